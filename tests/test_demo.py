"""The demo, with a random pipeline in place of the bundled one."""

import numpy as np
import pytest
from PIL import Image

import visualcloze_nb
from visualcloze_nb.cli import demo
from visualcloze_nb.cli.main import main
from visualcloze_nb.toyworld import draw, make_scene


@pytest.mark.filterwarnings("ignore:this model does not know")  # the random one knows few words
def test_demo_writes_its_page_and_says_what_took_how_long(random_pipe, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(visualcloze_nb, "load", lambda name: random_pipe, raising=False)
    out = tmp_path / "page.png"
    assert main(["demo", "--out", str(out), "--task", "subject + depth > image", "--seed", "3"]) == 0
    said = capsys.readouterr().out
    assert str(out) in said
    for part in ("draw the scenes", "load the model", "stage 1", "stage 2"):
        assert part in said
    assert Image.open(out).size[1] > 3 * demo.CELL + demo.SIDE


def test_demo_grid_is_held_out_and_its_truth_is_what_belongs_there():
    grid, truth = demo.demo_grid("image > depth", seed=2)
    assert (grid.n_rows, grid.n_cols, grid.targets) == (3, 2, (1,))
    query = draw("image", [make_scene(22)])[0].permute(1, 2, 0).numpy()
    assert np.abs(np.asarray(grid.query[0]) / 255 - query).max() < 0.01
    depth = draw("depth", [make_scene(22)], 192, 192)[0].permute(1, 2, 0).numpy()
    assert np.abs(np.asarray(truth) / 255 - depth).max() < 0.01


def test_page_shows_both_stages_and_the_truth(random_pipe):
    grid, truth = demo.demo_grid()
    result = random_pipe.fill(grid, seed=0, steps=1, progress=False)
    red, green, blue = (Image.new("RGB", (64, 64), colour) for colour in ("red", "lime", "blue"))
    result.stage1, result.images = [red], [green]
    page = np.asarray(demo.draw_page(result, blue, ["image", "depth"])).reshape(-1, 3)
    for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255)):
        assert (page == colour).all(1).sum() >= demo.SIDE**2, "each stage and the truth has its panel"
