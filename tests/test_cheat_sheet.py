"""The cheat sheet's code runs, and its shapes and formulas are the package's."""

import re
from pathlib import Path

import pytest
import torch
from conftest import rows

from visualcloze_nb import Grid
from visualcloze_nb.sampling.flow import add_noise
from visualcloze_nb.sampling.latents import prepare
from visualcloze_nb.sampling.sdedit import skipped_steps

SHEET = (Path(__file__).parents[1] / "notebooks" / "cheat_sheet.md").read_text()


def test_the_call_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", SHEET, re.S)
    (first, second), (third, fourth), (query, _) = rows(3, 2)
    scope = {"image_1": first, "depth_1": second, "image_2": third, "depth_2": fourth, "image_3": query}
    exec(code.replace("seed=0)", "seed=0, steps=2, strength=0)"), scope)
    assert (tmp_path / "answer.png").exists() and len(scope["images"]) == 1


@pytest.mark.parametrize("resolution, a_cell", [(64, 16), (384, 576)])
def test_tokens_of_a_grid(resolution, a_cell):
    assert f"{a_cell} R C" in SHEET
    assert Grid(rows(3, 2)).layout(resolution).total == a_cell * 3 * 2


def test_shapes_and_formulas(tiny):
    prepared = prepare(Grid(rows(2, 2)), tiny.vae, 64, torch.Generator().manual_seed(0))
    assert prepared.noise.shape[-1] + prepared.condition.shape[-1] == 384
    clean, noise = torch.randn(2, 1, 4, 64)
    sigma = torch.tensor([0.3])[:, None, None]
    assert torch.allclose(add_noise(clean, noise, sigma), (1 - sigma) * clean + sigma * noise)
    for steps, strength in [(30, 0.4), (30, 0.3), (10, 1), (7, 0.5)]:
        assert skipped_steps(steps, strength) == int(steps * (1 - strength))
