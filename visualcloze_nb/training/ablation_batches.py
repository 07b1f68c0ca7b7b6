"""Batches of the ablations: single images with a hole, and grids of two columns with one example, without text."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from visualcloze_nb.data.layout import Layout
from visualcloze_nb.sampling.latents import BLACK, cell_mask, condition, encode, pack, position_ids
from visualcloze_nb.settings import TOKEN_CHANNELS
from visualcloze_nb.toyworld import FIRST_TRAINING_SEED, Scene, Task, concrete, draw, make_scene
from visualcloze_nb.toyworld.samples import draw_row
from visualcloze_nb.training.batches import draw_targets

CELL = (64, 64)
SIDE = 128  # of an image to fill holes in: as many tokens as a grid of 2 x 2
SIZE = 16  # grids in a batch


class Batch(NamedTuple):
    """Grids without text: tokens `(B, L, 64)`, condition `(B, L, 320)`, ids `(L, 3)`, target tokens `(B, L)` bool."""

    clean: torch.Tensor
    condition: torch.Tensor
    ids: torch.Tensor
    targets: torch.Tensor


def training_scenes(rng: random.Random, count: int) -> list[Scene]:
    return [make_scene(rng.randrange(FIRST_TRAINING_SEED, 2**40)) for _ in range(count)]


def held_out_scenes(rng: random.Random, count: int) -> list[Scene]:
    return [make_scene(rng.randrange(FIRST_TRAINING_SEED)) for _ in range(count)]


def _encoded(vae, strips: Sequence[torch.Tensor], masks: Sequence[torch.Tensor], ids, generator) -> Batch:
    """Rows `(B, 3, H, W)` in -1..1 and their masks `(B, 1, H, W)` as a batch."""
    clean = torch.cat([pack(encode(vae, strip, generator)) for strip in strips], dim=1)
    blanked = [torch.where(mask > 0, BLACK, strip) for strip, mask in zip(strips, masks, strict=True)]
    known = condition(vae, blanked, masks, generator)
    return Batch(clean, known, ids, known[..., TOKEN_CHANNELS:].mean(-1) > 0.5)


@torch.no_grad()
def holes(vae: Any, rng: random.Random, size: int = SIZE) -> Batch:
    """Single images with a hole: plain infilling, as FLUX.1-Fill was trained. The hole is 30 to 90 % of each side."""
    generator = torch.Generator().manual_seed(rng.getrandbits(40))
    kind = rng.choice(("image", "image", "edge", "depth", "mask", "normals", "styled"))
    images = draw(kind, training_scenes(rng, size), SIDE, SIDE, generator) * 2 - 1
    mask = torch.zeros(size, 1, SIDE, SIDE)
    for one in mask:
        height, width = (16 * rng.randint(2, 7) for _ in range(2))
        top, left = 16 * rng.randint(0, 8 - height // 16), 16 * rng.randint(0, 8 - width // 16)
        one[:, top : top + height, left : left + width] = 1
    return _encoded(vae, [images], [mask], position_ids(Layout(((SIDE, SIDE),), 1), 0), generator)


@torch.no_grad()
def grids(
    vae: Any, rng: random.Random, tasks: Mapping[Task, float], size: int = SIZE, scenes: Callable = training_scenes
) -> Batch:
    """Grids of two columns, an example above the query; about three grids of each task drawn.

    Args:
        vae: the trained VAE.
        rng: source of randomness.
        tasks: of two columns, with weights.
        size: grids in the batch.
        scenes: `(rng, count)` to scenes.
    """
    generator = torch.Generator().manual_seed(rng.getrandbits(40))
    chosen = [concrete(task, rng) for task in rng.choices([*tasks], [*tasks.values()], k=max(1, size // 3))]
    rows, masks = ([], []), []
    for i, task in enumerate(chosen):
        count = len(range(i, size, len(chosen)))
        for row in rows:
            row.append(draw_row(task.columns, scenes(rng, count), CELL[1], CELL[0], generator))
        blanks = [draw_targets(task, task.columns, rng) for _ in range(count)]
        masks += [cell_mask([column in blank for column in range(2)], CELL) for blank in blanks]
    mask = torch.cat(masks)
    strips = [torch.cat(row) for row in rows]
    return _encoded(vae, strips, [torch.zeros_like(mask), mask], position_ids(Layout((CELL, CELL), 2)), generator)


def held_out_batches(vae: Any, tasks: Mapping[Task, float], count: int, size: int = SIZE) -> list[Batch]:
    """Grids of held-out scenes, one batch a seed."""
    return [grids(vae, random.Random(i), tasks, size, held_out_scenes) for i in range(count)]
