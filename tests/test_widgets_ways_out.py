"""What leaves the builder and comes back: saved answers, folders, code, changes; and what it is given at first."""

import subprocess
import sys
import zipfile

import numpy as np
import pytest
from conftest import build_random_pipe, noise_image, rows
from PIL import Image

from visualcloze_nb import FileError, Grid, GridError, ImageError, MissingFileError, ProvenanceError, UsageError
from visualcloze_nb.data.grid_files import read_grid
from visualcloze_nb.data.result import read_provenance
from visualcloze_nb.widgets import GridBuilder
from visualcloze_nb.widgets.saved_png import open_saved


@pytest.fixture
def answered(random_pipe, tmp_path, monkeypatch):
    """A builder with an answer for two targets, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    builder = GridBuilder(Grid(rows(2, 3, targets=(1, 2)), "an image of a depth map", "red circle"), random_pipe)
    builder.panel.steps.value, builder.panel.seed.value = 3, 7
    builder.panel.run()
    builder.panel.wait(60)
    return builder


def same(one, other):
    return one.size == other.size and np.array_equal(np.asarray(one), np.asarray(other))


def test_an_answer_saved_at_full_size_opens_as_the_same_grid_with_its_settings(answered, tmp_path):
    answered.ways_out.save.click()
    assert "Saved grid.png, grid-column-3.png (96 x 96) with its record" in answered.errors.message.value
    assert same(Image.open("grid.png"), answered.result.images[0])
    assert same(Image.open("grid-column-3.png"), answered.result.images[1])
    assert read_provenance("grid.png")["seed"] == 7 and read_provenance("grid-column-3.png")["target"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["grid-column-3.png", "grid.png"], "no file left over"

    again = GridBuilder("grid.png", "tiny")
    assert again.grid == answered.grid and again.panel.settings == answered.panel.settings
    predictions, images = again.state.draft.predictions, answered.result.images
    assert same(predictions[1].image, images[0]) and same(predictions[2].image, images[1])
    assert not again.state.draft.outdated and again.state.draft.names == answered.state.draft.names

    other = GridBuilder()
    other.ways_out.path.value = "grid-column-3.png"
    other.ways_out.open.click()
    assert other.grid == answered.grid and other.panel.seed.value == 7
    other.buttons["Undo"].click()
    assert len(other.state.problems) == 5


def test_nothing_is_overwritten(answered, tmp_path):
    for _ in range(2):
        answered.ways_out.save.click()
    assert "Saved grid-2.png, grid-column-3-2.png" in answered.errors.message.value
    answered.ways_out.images.click()
    answered.ways_out.images.click()
    assert "grid-2;" in answered.errors.message.value and read_grid("grid-2").grid == answered.grid


def test_the_truth_of_a_toy_task_is_saved_too(random_pipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    builder = GridBuilder(pipe=random_pipe)
    builder.picker.open(0)
    builder.panel.steps.value = 2
    builder.panel.run()
    builder.panel.wait(60)
    builder.ways_out.save.click()
    builder.ways_out.images.click()
    truth = builder.state.draft.rows[-1][1].image
    for path in ("grid.png", "grid"):
        draft, _ = open_saved(path)
        assert same(draft.truth(1)[0], truth) and draft.truth(1)[1]
    assert "difference, on average" in builder.panel.previews.value


def test_what_cannot_be_saved_or_opened_is_said(answered, tmp_path):
    form = answered.ways_out
    for value, said in (
        ("no/such/folder/x.png", "choose another name, in a folder that exists"),
        ("  ", "File or folder is empty"),
    ):
        form.path.value = value
        form.save.click()
        assert said in answered.errors.message.value and ".png'" not in answered.errors.message.value.replace(value, "")
    Image.new("RGB", (9, 9)).save("plain.png")
    answered.result.save("record.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "plain.png").read_bytes()[:40])
    for value in ("plain.png", "record.png", "cut.png", "missing.png"):
        form.path.value = value
        form.open.click()
        assert "vcnb-error" in answered.errors.message.value and "Traceback" not in answered.errors.message.value
    assert answered.state.draft.predictions, "what was there stays"
    empty = GridBuilder()
    empty.ways_out.save.click()
    assert "there is no answer yet: run the grid first" in empty.errors.message.value


def test_a_zip_that_unpacks_to_too_much_is_refused(answered, tmp_path, monkeypatch):
    from visualcloze_nb.widgets import saved_png

    answered.ways_out.save.click()
    assert zipfile.is_zipfile("grid.png")
    monkeypatch.setattr(saved_png, "LIMIT", 1000)
    with pytest.raises(UsageError, match="too much for a saved grid"):
        open_saved("grid.png")


def test_code_of_own_photographs_refers_to_files_that_it_writes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    builder = GridBuilder(Grid(rows(2, 2, size=(300, 200))))
    builder.ways_out.code.click()
    text = builder.ways_out.python.value
    assert (
        "base64" not in text and len(text) < 3000 and "saved in the folder grid-images" in builder.errors.message.value
    )
    assert len(list((tmp_path / "grid-images").iterdir())) == 3
    text = builder.code()
    namespace = {}
    exec(text, namespace)
    assert namespace["grid"] == builder.grid and "grid-images-2" in text


def test_on_change_hears_of_every_change_and_of_an_answer(random_pipe):
    builder, heard = GridBuilder(Grid(rows(2, 2)), random_pipe), []
    builder.on_change(lambda changed: heard.append((changed.state.problem == "", changed.result is not None)))
    builder.state.clear(0, 0)
    builder.state.select(1, 1)
    builder.state.undo()
    assert heard == [(False, False), (True, False)]
    builder.panel.steps.value = 2
    builder.panel.run()
    builder.panel.wait(60)
    assert heard[-1] == (True, True)
    builder.on_change(lambda _: 1 / 0)
    builder.buttons["Add row"].click()
    assert "ZeroDivisionError" in builder.errors.message.value and builder.state.n_rows == 3


# What it is given -------------------------------------------------------------------------------------------


def test_a_builder_takes_rows_paths_and_nothing(tmp_path):
    from visualcloze_nb.data.grid_files import save_grid

    grid = Grid(rows(2, 2))
    assert GridBuilder(grid.to_lists()).grid.rows[0][0].tobytes() == grid.rows[0][0].tobytes()
    save_grid(grid, tmp_path / "folder")
    assert GridBuilder(str(tmp_path / "folder")).grid == GridBuilder(tmp_path / "folder").grid == grid
    assert len(GridBuilder(None).state.problems) == 5


@pytest.mark.parametrize(
    "given, error, said",
    [
        (7, GridError, "grid is 7: give a Grid, its rows, or the path of a saved grid"),
        ({}, GridError, "give a Grid, its rows"),
        (noise_image(), GridError, "give a Grid, its rows"),
        ([], GridError, "row"),
        ([["nothing.png", None]], ImageError, "row 1, column 1"),
        ("tiny", MissingFileError, "does not exist"),
        ("missing.png", MissingFileError, "does not exist"),
        (b"bytes", GridError, "give a Grid"),
    ],
)
def test_what_is_no_grid_is_refused_at_once(given, error, said):
    with pytest.raises(error, match=said) as caught:
        GridBuilder(given)
    assert len(str(caught.value)) <= 300


def test_a_pipeline_given_first_is_put_in_its_place(random_pipe):
    with pytest.raises(GridError, match=r"GridBuilder\(pipe=pipe\)"):
        GridBuilder(random_pipe)


@pytest.mark.parametrize(
    "pipe", [None, 7, "", "tniy", "38", "no such folder", "./missing", "/missing/folder", object, []]
)
def test_what_is_no_pipeline_is_refused_before_anything_is_loaded(pipe):
    with pytest.raises(UsageError, match="pipe is") as caught:
        GridBuilder(pipe=pipe)
    assert len(str(caught.value)) <= 300 and "512" in str(caught.value)
    assert pipe != "tniy" or "Did you mean 'tiny'?" in str(caught.value)


def test_a_png_without_a_grid_is_refused(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "plain.png")
    with pytest.raises(ProvenanceError, match="holds no provenance"):
        GridBuilder(tmp_path / "plain.png")


def test_refusals_take_no_torch():
    script = """
import sys
from visualcloze_nb.widgets import GridBuilder
try:
    GridBuilder(pipe="tniy")
except ValueError:
    print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_names_with_dots_are_kept_and_names_of_no_file_refused(answered, tmp_path):
    way, message = answered.ways_out, answered.errors.message
    for name, made in (("my photo v1.5", "my photo v1.5.png"), ("run.PNG", "run.PNG")):
        way.path.value = name
        way.save.click()
        assert (tmp_path / made).is_file(), message.value
        way.open.click()
        assert "Opened" in message.value
    way.images.click()
    assert (tmp_path / "run").is_dir()
    way.path.value = "nowhere"
    way.open.click()
    assert "nowhere" in message.value and "nowhere.png" not in message.value
    for name in (".", "/", "..", "~nobodyhere/x", "x" * 300):
        way.path.value = name
        for button in (way.save, way.images):
            button.click()
            assert "such as grid.png" in message.value and "Traceback" not in message.value
    with pytest.raises(FileError, match=r"such as grid\.png"):
        open_saved("~nobodyhere/x")


def test_recommended_settings_beyond_a_controls_limits_are_taken_as_they_are():
    recommended = {"steps": 150, "strength": 0.02, "guidance": 200.0}
    builder = GridBuilder(Grid(rows(2, 2), recommended=recommended), build_random_pipe(guidance_embeds=True))
    assert {name: builder.panel.settings[name] for name in recommended} == recommended


def test_cancel_while_the_answer_is_decoded_leaves_the_grid_as_it_was(random_pipe, monkeypatch):
    builder = GridBuilder(Grid(rows(2, 2)), random_pipe)
    builder.panel.steps.value, builder.panel.no_stage2.value = 1, True
    fill = random_pipe.fill

    def cancelled_late(*args, **settings):
        result = fill(*args, **settings)
        builder.panel.cancel()
        return result

    monkeypatch.setattr(random_pipe, "fill", cancelled_late)
    builder.panel.run()
    builder.panel.wait(60)
    assert builder.panel.status.value == "Cancelled. The grid is unchanged." and not builder.state.draft.predictions


def test_code_whose_images_cannot_be_written_says_so(random_pipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pathlib.Path.write_bytes", lambda *_: (_ for _ in ()).throw(OSError(30, "read-only")))
    builder = GridBuilder(Grid([[noise_image(200, 200), noise_image(200, 200)], [noise_image(200, 200), None]]))
    with pytest.raises(FileError, match="start Jupyter in a folder that can be written"):
        builder.ways_out.write_code()
