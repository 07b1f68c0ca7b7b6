"""From picture to picture: degradations, hue rotations, flips and turns.

Every function takes and returns `(B, 3, H, W)` float32 in 0..1. Random ones take a `torch.Generator`.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange


def blur(pictures: torch.Tensor, sigma: float = 0.07) -> torch.Tensor:
    """Gaussian blur; `sigma` in units of half a side."""
    height, width = pictures.shape[-2:]
    pixels = sigma * math.sqrt(height * width) / 2
    reach = math.ceil(3 * pixels)
    offsets = torch.arange(-reach, reach + 1, device=pictures.device, dtype=pictures.dtype)
    kernel = torch.exp(-0.5 * (offsets / pixels) ** 2)
    kernel = (kernel / kernel.sum()).repeat(3, 1)
    padded = F.pad(pictures, (reach,) * 4, mode="replicate")
    padded = F.conv2d(padded, rearrange(kernel, "c k -> c 1 1 k"), groups=3)
    return F.conv2d(padded, rearrange(kernel, "c k -> c 1 k 1"), groups=3)


def pixelate(pictures: torch.Tensor, blocks: int = 8) -> torch.Tensor:
    """Mean colour of `blocks` x `blocks` tiles (for a square picture; tiles stay square otherwise)."""
    height, width = pictures.shape[-2:]
    tile = max(1, round(math.sqrt(height * width) / blocks))
    small = F.interpolate(pictures, (max(1, height // tile), max(1, width // tile)), mode="area")
    return F.interpolate(small, (height, width), mode="nearest")


def noise(pictures: torch.Tensor, generator: torch.Generator | None = None, std: float = 0.15) -> torch.Tensor:
    """Gaussian noise, soft-grained: one grain is 1/16 of a side, whatever the size."""
    b, c, height, width = pictures.shape
    side = math.sqrt(height * width)
    rows, cols = max(1, round(16 * height / side)), max(1, round(16 * width / side))
    grain = torch.randn(b, c, rows, cols, generator=generator, device=pictures.device)
    return (pictures + std * F.interpolate(grain, (height, width), mode="nearest")).clamp(0, 1)


def hole(pictures: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
    """A grey rectangle, 30 to 45 % of each side, at a random place."""
    pictures = pictures.clone()
    height, width = pictures.shape[-2:]
    draws = torch.rand(len(pictures), 4, generator=generator, device=pictures.device).tolist()
    for one, (a, b, c, d) in zip(pictures, draws, strict=True):
        h, w = int(height * (0.30 + 0.15 * a)), int(width * (0.30 + 0.15 * b))
        top, left = int((height - h) * c), int((width - w) * d)
        one[:, top : top + h, left : left + w] = 0.5
    return pictures


def speckle(pictures: torch.Tensor, generator: torch.Generator | None = None, share: float = 0.12) -> torch.Tensor:
    """Salt and pepper: a share of the grains black or white; one grain is 1/16 of a side."""
    b, _, height, width = pictures.shape
    side = math.sqrt(height * width)
    rows, cols = max(1, round(16 * height / side)), max(1, round(16 * width / side))
    chance = torch.rand(b, 1, rows, cols, generator=generator, device=pictures.device)
    chance = F.interpolate(chance, (height, width), mode="nearest")
    salted = torch.where(chance < share / 2, torch.ones_like(pictures), pictures)
    return torch.where(chance > 1 - share / 2, torch.zeros_like(pictures), salted)


def darken(pictures: torch.Tensor) -> torch.Tensor:
    """Low light: a third of the brightness."""
    return pictures * 0.35


def fade(pictures: torch.Tensor) -> torch.Tensor:
    """Low contrast: everything drawn towards middle grey."""
    return 0.5 + 0.4 * (pictures - 0.5)


def posterise(pictures: torch.Tensor, levels: int = 3) -> torch.Tensor:
    """Only `levels` values of each channel."""
    return (pictures * (levels - 1)).round() / (levels - 1)


def mixing_weights(number: int) -> np.ndarray:
    """What `mix_channels` makes the new red, green and blue (rows) of the old ones (columns): `(3, 3)`, rows sum to 1.

    Raises:
        ValueError: a negative number.
    """
    if number < 0:
        raise ValueError(f"mix {number}: give 0 or more")
    return np.random.default_rng([number, 2]).dirichlet((0.5, 0.5, 0.5), size=3)


def mix_channels(pictures: torch.Tensor, number: int) -> torch.Tensor:
    """New red, green and blue, each a mean of the old ones with random weights; `number` is the seed of those."""
    weights = torch.tensor(mixing_weights(number), device=pictures.device, dtype=pictures.dtype)
    return torch.einsum("dc,bchw->bdhw", weights, pictures)


def roll(pictures: torch.Tensor, number: int) -> torch.Tensor:
    """Shifted by quarters of a side, what leaves comes in again: `number` is 4 times the quarters down plus across.

    Raises:
        ValueError: a number outside 0 to 15.
    """
    if not 0 <= number < 16:
        raise ValueError(f"shift {number}: give 0 to 15")
    height, width = pictures.shape[-2:]
    return pictures.roll((round(height * (number // 4) / 4), round(width * (number % 4) / 4)), dims=(-2, -1))


def grey(pictures: torch.Tensor) -> torch.Tensor:
    """Luminance (ITU-R BT.601) in all three channels."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=pictures.device, dtype=pictures.dtype)
    return torch.einsum("bchw,c->bhw", pictures, weights)[:, None].repeat(1, 3, 1, 1)


def invert(pictures: torch.Tensor) -> torch.Tensor:
    """The negative."""
    return 1 - pictures


def rotate_hue(pictures: torch.Tensor, degrees: float) -> torch.Tensor:
    """Turn every colour about the grey axis of the RGB cube by `degrees` (Rodrigues' formula), then clamp."""
    a = math.radians(degrees)
    cos, sin, third = math.cos(a), math.sin(a), 1 / 3
    x, y, z = cos + (1 - cos) * third, (1 - cos) * third, math.sqrt(third) * sin
    matrix = torch.tensor([[x, y - z, y + z], [y + z, x, y - z], [y - z, y + z, x]], device=pictures.device)
    return torch.einsum("dc,bchw->bdhw", matrix.to(pictures.dtype), pictures).clamp(0, 1)


def flip(pictures: torch.Tensor) -> torch.Tensor:
    """Left and right exchanged."""
    return pictures.flip(-1)


def turn(pictures: torch.Tensor, quarters: int) -> torch.Tensor:
    """Turned anticlockwise by `quarters` times 90 degrees.

    Raises:
        ValueError: an odd number of quarters of a picture that is not square.
    """
    if quarters % 2 and pictures.shape[-1] != pictures.shape[-2]:
        raise ValueError(f"a quarter turn needs square pictures, not {tuple(pictures.shape[-2:])}")
    return torch.rot90(pictures, quarters, (-2, -1))
