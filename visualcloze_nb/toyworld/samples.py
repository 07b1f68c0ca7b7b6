"""Grids of the toy world, with the images that belong in their empty cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.prompts import column_prompt
from visualcloze_nb.errors import UsageError
from visualcloze_nb.settings import TINY_RESOLUTION, UPSCALING
from visualcloze_nb.toyworld.graph import Task, draw, phrase
from visualcloze_nb.toyworld.scene_batch import SceneBatch
from visualcloze_nb.toyworld.scenes import Scene, make_scene
from visualcloze_nb.toyworld.splits import FIRST_TRAINING_SEED


@dataclass(frozen=True)
class Sample:
    """A grid and its ground truth.

    Attributes:
        grid: examples above, the query below with its targets empty.
        truth: the images that belong in the targets, left to right.
        scenes: the scene of each row; the last is the query's.
        columns: the kind of image in each column.
    """

    grid: Grid
    truth: tuple[Image.Image, ...]
    scenes: tuple[Scene, ...]
    columns: tuple[str, ...]

    def large(self, times: int = UPSCALING) -> tuple[Image.Image, ...]:
        """The truth drawn `times` as large: what stage 2 should find. Random kinds differ."""
        return tuple(
            to_image(draw(self.columns[col], self.scenes[-1:], one.height * times, one.width * times)[0])
            for col, one in zip(self.grid.targets, self.truth, strict=True)
        )


def eight_bits(images: torch.Tensor) -> torch.Tensor:
    """0..1 to the VAE's -1..1, rounded to 8 bits as any image file is."""
    return (images * 255).round() / 127.5 - 1


def draw_row(
    columns: Sequence[str],
    scenes: Sequence[Scene] | SceneBatch,
    height: int,
    width: int,
    generator: torch.Generator | None = None,
    device: str | torch.device = "cpu",
) -> torch.Tensor:
    """One row of many grids of the same task, cells side by side.

    Args:
        columns: n kinds of image.
        scenes: `B` scenes.
        height, width: of a cell, in pixels.
        generator: for `RANDOM_KINDS`, on `device`.
        device: where to render.

    Returns:
        `(B, 3, height, n * width)` float32 in -1..1.
    """
    drawn = [draw(kind, scenes, height, width, generator, device) for kind in columns]
    return eight_bits(torch.cat(drawn, dim=3))


def to_image(values: torch.Tensor) -> Image.Image:
    """`(3, H, W)` in 0..1 to an image; what lies outside is clamped."""
    return Image.fromarray((values.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy())


def sample(
    task: Task | str,
    seed: int = 0,
    examples: int = 2,
    *,
    targets: Sequence[int] | None = None,
    height: int = TINY_RESOLUTION,
    width: int = TINY_RESOLUTION,
    text: bool = True,
    caption: bool = False,
    scenes: Sequence[int] | None = None,
) -> Sample:
    """A grid of scenes that no model has been trained on.

    Args:
        task: a path of the graph, such as `"image > edge"`.
        seed: which scenes, 0 to 9999; each seed gives others.
        examples: finished rows above the query, 0 to 4.
        targets: columns left empty, from 0; else the task's outputs. Other columns run the task backwards.
        height, width: pixels of a cell.
        text: write the task prompt.
        caption: write what the query's scene shows as the content prompt.
        scenes: scene seeds of the rows, query last, in place of `seed`, which then only feeds the random
            kinds. `seed` alone gives another query when `examples` changes; `scenes` keeps it.

    Raises:
        ValueError: no such task; a seed out of range; a wrong number of scenes, or one that is not held out; no
            target, or one that is not a column.
    """
    task = Task.parse(task) if isinstance(task, str) else task
    columns = task.columns
    targets = tuple(range(len(task.inputs), len(columns)) if targets is None else targets)
    if not targets:
        raise UsageError("a sample needs at least one target: name the column to be left empty, from 0")
    for col in targets:
        if not 0 <= col < len(columns):
            raise UsageError(f"there is no column {col}: columns are 0 to {len(columns) - 1}")
    if scenes is None:
        if not 0 <= seed < FIRST_TRAINING_SEED // 10 or not 0 <= examples <= 4:
            wanted = f"give a seed from 0 to {FIRST_TRAINING_SEED // 10 - 1} and 0 to 4 examples"
            raise UsageError(f"seed is {seed}, examples {examples}: {wanted}")
        scenes = [seed * 10 + row for row in range(examples + 1)]
    elif len(scenes) != examples + 1:
        raise UsageError(f"{len(scenes)} scenes for {examples} examples and a query: give {examples + 1}")
    for scene in scenes:
        if not 0 <= scene < FIRST_TRAINING_SEED:
            raise UsageError(f"scene {scene} is not held out: give seeds from 0 to {FIRST_TRAINING_SEED - 1}")
    made = tuple(make_scene(s) for s in scenes)
    generator = torch.Generator().manual_seed(seed)
    drawn = [draw(kind, made, height, width, generator) for kind in columns]
    *rows, query = [[to_image(column[row]) for column in drawn] for row in range(len(made))]
    truth = tuple(query[col] for col in targets)
    rows = [*rows, [None if col in targets else cell for col, cell in enumerate(query)]]
    prompt = column_prompt([phrase(k) for k in columns], targets) if text else ""
    return Sample(Grid(rows, prompt, made[-1].caption() if caption else None), truth, made, columns)
