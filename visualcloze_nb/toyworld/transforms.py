"""From image to image: degradations, hue rotations, flips and turns.

Every function takes and returns `(B, 3, H, W)` float32 in 0..1. Random ones take a `torch.Generator`.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange

from visualcloze_nb.errors import UsageError


def blur(images: torch.Tensor, sigma: float = 0.07) -> torch.Tensor:
    """Gaussian blur; `sigma` in units of half a side."""
    height, width = images.shape[-2:]
    pixels = sigma * math.sqrt(height * width) / 2
    reach = math.ceil(3 * pixels)
    offsets = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offsets / pixels) ** 2)
    kernel = (kernel / kernel.sum()).repeat(3, 1)
    padded = F.pad(images, (reach,) * 4, mode="replicate")
    padded = F.conv2d(padded, rearrange(kernel, "c k -> c 1 1 k"), groups=3)
    return F.conv2d(padded, rearrange(kernel, "c k -> c 1 k 1"), groups=3)


def pixelate(images: torch.Tensor, blocks: int = 8) -> torch.Tensor:
    """Mean colour of `blocks` x `blocks` tiles (for a square image; tiles stay square otherwise)."""
    height, width = images.shape[-2:]
    tile = max(1, round(math.sqrt(height * width) / blocks))
    small = F.interpolate(images, (max(1, height // tile), max(1, width // tile)), mode="area")
    return F.interpolate(small, (height, width), mode="nearest")


def noise(images: torch.Tensor, generator: torch.Generator | None = None, std: float = 0.15) -> torch.Tensor:
    """Gaussian noise in grains of 1/16 of a side, whatever the size.

    Args:
        images: `(B, 3, H, W)` in 0..1.
        generator: on the images' device.
        std: standard deviation, in units of the range 0..1.
    """
    b, c, height, width = images.shape
    side = math.sqrt(height * width)
    rows, cols = max(1, round(16 * height / side)), max(1, round(16 * width / side))
    grain = torch.randn(b, c, rows, cols, generator=generator, device=images.device)
    return (images + std * F.interpolate(grain, (height, width), mode="nearest")).clamp(0, 1)


def hole(images: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
    """A grey rectangle, 30 to 45 % of each side, at a random place."""
    images = images.clone()
    height, width = images.shape[-2:]
    draws = torch.rand(len(images), 4, generator=generator, device=images.device).tolist()
    for one, (a, b, c, d) in zip(images, draws, strict=True):
        h, w = int(height * (0.30 + 0.15 * a)), int(width * (0.30 + 0.15 * b))
        top, left = int((height - h) * c), int((width - w) * d)
        one[:, top : top + h, left : left + w] = 0.5
    return images


def speckle(images: torch.Tensor, generator: torch.Generator | None = None, share: float = 0.12) -> torch.Tensor:
    """Salt-and-pepper noise.

    Args:
        images: `(B, 3, H, W)` in 0..1.
        generator: on the images' device.
        share: of the grains that become black or white, 0 to 1; one grain is 1/16 of a side.
    """
    b, _, height, width = images.shape
    side = math.sqrt(height * width)
    rows, cols = max(1, round(16 * height / side)), max(1, round(16 * width / side))
    drawn = torch.rand(b, 1, rows, cols, generator=generator, device=images.device)
    drawn = F.interpolate(drawn, (height, width), mode="nearest")
    salted = torch.where(drawn < share / 2, torch.ones_like(images), images)
    return torch.where(drawn > 1 - share / 2, torch.zeros_like(images), salted)


def darken(images: torch.Tensor) -> torch.Tensor:
    """Low light: a third of the brightness."""
    return images * 0.35


def fade(images: torch.Tensor) -> torch.Tensor:
    """Low contrast: everything drawn towards middle grey."""
    return 0.5 + 0.4 * (images - 0.5)


def posterise(images: torch.Tensor, levels: int = 3) -> torch.Tensor:
    """Only `levels` values of each channel."""
    return (images * (levels - 1)).round() / (levels - 1)


def mixing_weights(number: int) -> np.ndarray:
    """What `mix_channels` makes the new red, green and blue (rows) of the old ones (columns): `(3, 3)`, rows sum to 1.

    Raises:
        ValueError: a negative number.
    """
    if number < 0:
        raise UsageError(f"mix {number}: give 0 or more")
    return np.random.default_rng([number, 2]).dirichlet((0.5, 0.5, 0.5), size=3)


def mix_channels(images: torch.Tensor, number: int) -> torch.Tensor:
    """New red, green and blue, each a mean of the old ones with random weights; `number` is the seed of those."""
    weights = torch.tensor(mixing_weights(number), device=images.device, dtype=images.dtype)
    return torch.einsum("dc,bchw->bdhw", weights, images)


def roll(images: torch.Tensor, number: int) -> torch.Tensor:
    """Shifted by quarters of a side, what leaves comes in again: `number` is 4 times the quarters down plus across.

    Raises:
        ValueError: a number outside 0 to 15.
    """
    if not 0 <= number < 16:
        raise UsageError(f"shift {number}: give 0 to 15")
    height, width = images.shape[-2:]
    return images.roll((round(height * (number // 4) / 4), round(width * (number % 4) / 4)), dims=(-2, -1))


def grey(images: torch.Tensor) -> torch.Tensor:
    """Luminance (ITU-R BT.601) in all three channels."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=images.device, dtype=images.dtype)
    return torch.einsum("bchw,c->bhw", images, weights)[:, None].repeat(1, 3, 1, 1)


def contours(images: torch.Tensor) -> torch.Tensor:
    """Where colour changes, white on black: the gradient magnitude (Sobel) over all three channels, doubled."""
    across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], device=images.device) / 8
    kernel = torch.stack([across, across.T])[:, None].to(images.dtype).repeat(3, 1, 1, 1)
    gradient = F.conv2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
    return (4 * gradient.square().sum(1, keepdim=True).sqrt()).clamp(0, 1).repeat(1, 3, 1, 1)


def invert(images: torch.Tensor) -> torch.Tensor:
    """The negative."""
    return 1 - images


def rotate_hue(images: torch.Tensor, degrees: float) -> torch.Tensor:
    """Rotate colours about the grey axis of the RGB cube by `degrees` (Rodrigues' rotation formula), then clamp."""
    a = math.radians(degrees)
    cos, sin, third = math.cos(a), math.sin(a), 1 / 3
    x, y, z = cos + (1 - cos) * third, (1 - cos) * third, math.sqrt(third) * sin
    matrix = torch.tensor([[x, y - z, y + z], [y + z, x, y - z], [y - z, y + z, x]], device=images.device)
    return torch.einsum("dc,bchw->bdhw", matrix.to(images.dtype), images).clamp(0, 1)


def flip(images: torch.Tensor) -> torch.Tensor:
    """Left and right exchanged."""
    return images.flip(-1)


def turn(images: torch.Tensor, quarters: int) -> torch.Tensor:
    """Turned anticlockwise by `quarters` times 90 degrees.

    Raises:
        ValueError: an odd number of quarters of an image that is not square.
    """
    if quarters % 2 and images.shape[-1] != images.shape[-2]:
        raise UsageError(f"images of {tuple(images.shape[-2:])} have no quarter turn: give square ones")
    return torch.rot90(images, quarters, (-2, -1))
