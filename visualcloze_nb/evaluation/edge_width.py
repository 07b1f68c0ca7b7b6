"""How sharp an outline is: the width, in pixels, over which colour rises from 10 to 90 % across it.

Where the subject's outline runs is known exactly, so the image is read along short lines across it. Only places
count where the exact image has a clean step. Each line finds its own middle, so an outline that has moved by a
pixel is not taken for a blurred one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from visualcloze_nb.evaluation.metrics import alone
from visualcloze_nb.toyworld import Scene
from visualcloze_nb.toyworld.transforms import blur

REACH, FINE = 9.0, 0.1  # pixels to each side of the outline, and between two readings
PLATEAU = 5.0  # farther than that from the outline colours are flat


def rise_width(profiles: torch.Tensor) -> torch.Tensor:
    """10 to 90 % width of steps `(P, T)`, read every `FINE` pixels; at most twice `REACH`.

    The middle is where half the height is passed next to the centre; from there outwards to the first reading
    that is at most 10 %, and to the first that is at least 90 %.
    """
    n = profiles.shape[1]
    at = torch.arange(n)
    above = profiles >= 0.5
    crossing = (~above[:, :-1] & above[:, 1:]).float() * (n - (at[:-1] - n // 2).abs())
    middle = crossing.argmax(1)[:, None]
    first = torch.where((profiles <= 0.1) & (at <= middle), at, -1).amax(1)
    last = torch.where((profiles >= 0.9) & (at > middle), at, n).amin(1)
    return (last - first) * FINE


def _profiles(images: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """One image `(3, H, W)` read at pixels `(P, T, 2)` (x, y), `(3, P, T)`."""
    side = torch.tensor([images.shape[2], images.shape[1]])
    return F.grid_sample(images[None], ((where + 0.5) / side * 2 - 1)[None], mode="bicubic", align_corners=False)[0]


def _lines_across(scene: Scene, side: int, most: int) -> torch.Tensor:
    """Places `(P, T, 2)` on lines across the subject's outline, from outside to inside."""
    solid = alone(scene, side)
    smooth = blur(solid[None, None].repeat(1, 3, 1, 1), 4 / side)[0, 0]
    down, across = torch.gradient(smooth)
    y, x = torch.nonzero((solid - 0.5).abs() < 0.25, as_tuple=True)
    far = REACH + 1
    kept = (x > far) & (x < side - far) & (y > far) & (y < side - far)
    y, x = y[kept], x[kept]
    some = torch.linspace(0, max(0, len(x) - 1), min(most, len(x))).long()
    y, x = y[some], x[some]
    inwards = torch.stack([across[y, x], down[y, x]], dim=-1)
    inwards = inwards / inwards.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    steps = torch.arange(-REACH, REACH + FINE / 2, FINE)
    return torch.stack([x, y], dim=-1)[:, None] + steps[None, :, None] * inwards[:, None]


def rise_widths(
    images: Sequence[torch.Tensor], exact: torch.Tensor, scenes: Sequence[Scene], most: int = 150
) -> torch.Tensor:
    """Median rise width of the subject's outline.

    Args:
        images: versions of the same images, each `(B, 3, side, side)`.
        exact: the exact images, which decide what is a clean step.
        scenes: B.
        most: places an outline is measured at.

    Returns:
        `(B, versions)` in pixels; nan where the outline has no clean step.
    """
    steps = torch.arange(-REACH, REACH + FINE / 2, FINE)
    out, inside = steps < -PLATEAU, steps > PLATEAU
    widths = torch.full((len(scenes), len(images)), torch.nan)
    for i, scene in enumerate(scenes):
        where = _lines_across(scene, exact.shape[-1], most)
        if not len(where):
            continue
        true = _profiles(exact[i], where)
        contrast = true[..., inside].mean(-1) - true[..., out].mean(-1)  # (3, P)

        def stretched(profile, contrast=contrast):
            level = (profile * contrast[..., None]).sum(0)
            low, high = level[:, out].mean(1, keepdim=True), level[:, inside].mean(1, keepdim=True)
            return (level - low) / (high - low).clamp(min=1e-4)

        step, off = stretched(true), steps.abs() > 2.5
        clean = (step - (steps > 0).float()).abs()[:, off].amax(1) < 0.12
        clean &= contrast.norm(dim=0) > 0.2
        if clean.sum() >= 8:
            for j, version in enumerate(images):
                widths[i, j] = rise_width(stretched(_profiles(version[i], where))[clean]).median()
    return widths
