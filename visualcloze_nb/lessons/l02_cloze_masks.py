"""Lesson 02: the exercises, and figures of masks and of tokens as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from visualcloze_nb.data.grid_image import TEXT
from visualcloze_nb.drawing.figures import show_image
from visualcloze_nb.lessons.exercise import exercise

if TYPE_CHECKING:
    import torch

WIDE = 750  # pixels: the width of a figure in a notebook

# strip ------------------------------------------------------------------------------------------------------


def _rows():
    """Rows of cells with the blank at the right, in the middle, and nowhere."""
    from visualcloze_nb.toyworld import sample

    wide = sample("image > depth", seed=4, width=48, height=32, examples=1).grid
    query = sample("image > edge", seed=15, examples=1).grid.query
    image, depth = wide.examples[0]
    return [(list(query), (64, 64)), ([image, None, depth], (48, 32)), ([image, depth], (48, 32))]


@exercise(cases=_rows)
def strip(cells, size):
    from visualcloze_nb.sampling import latents

    return latents.strip(cells, size)


def _joined(cells, size, blank=-1.0, dim=3, low=-1.0):
    import torch

    width, height = size
    images = [np.full((height, width, 3), np.nan) if cell is None else np.asarray(cell) / 255 for cell in cells]
    row = torch.cat([torch.from_numpy(one.astype(np.float32)).permute(2, 0, 1)[None] for one in images], dim=dim)
    return torch.where(row.isnan(), torch.tensor(blank), row * (1 - low) + low)


@strip.mistake("The blank is grey, 0. In stage 1 it is black, and black is -1.")
def strip_with_grey(cells, size):
    return _joined(cells, size, blank=0.0)


@strip.mistake("The numbers run from 0 to 1. The VAE reads -1 (black) to 1 (white).")
def strip_from_zero(cells, size):
    return _joined(cells, size, blank=0.0, low=0.0)


@strip.mistake("The cells lie under each other. Join them side by side, along the width: dim=3.")
def stacked(cells, size):
    return _joined(cells, size, dim=2)


@strip.mistake("The blank is white. In stage 1 it is black, -1.")
def strip_with_white(cells, size):
    return _joined(cells, size, blank=1.0)


@strip.mistake("The blank is left out. It keeps its place, as black pixels.")
def without_the_blank(cells, size):
    return _joined([cell for cell in cells if cell is not None], size)


# mask_tokens ------------------------------------------------------------------------------------------------


def masks():
    """Asymmetric masks of 32 x 48 and 16 x 32 pixels: a drawn shape, and speckles."""
    import torch

    y, x = np.mgrid[:32, :48]
    drawn = ((y - 9) ** 2 + (x - 13) ** 2 < 70) | ((x > 30) & (y > x - 20))
    speckled = np.random.default_rng(0).random((16, 32)) < 0.3
    return [(torch.from_numpy(one.astype(np.float32))[None, None],) for one in (drawn, speckled)]


@exercise(cases=masks)
def mask_tokens(mask):
    from visualcloze_nb.sampling.latents import pack_mask

    return pack_mask(mask)


def _rearranged(mask, pattern: str, **lengths):
    from einops import rearrange

    return rearrange(mask, pattern, **lengths)


@mask_tokens.mistake("1 and 0 are exchanged: 1 marks a pixel to fill.")
def inverted(mask):
    return 1 - mask_tokens.answer(mask)


@mask_tokens.mistake("Right numbers, wrong order. Two steps: 8 x 8 pixels to channels, as the VAE shrinks; then pack.")
def straight_blocks(mask):
    return _rearranged(mask, "b 1 (h p) (w q) -> b (h w) (p q)", p=16, q=16)


@mask_tokens.mistake("Averaging 8 x 8 pixels loses the shape of the mask: each pixel keeps a channel of its own.")
def averaged(mask):
    from einops import reduce

    means = reduce(mask, "b 1 (h p) (w q) -> b 1 h w", "mean", p=8, q=8).expand(-1, 64, -1, -1)
    return _rearranged(means, "b c (h p) (w q) -> b (h w) (c p q)", p=2, q=2)


@mask_tokens.mistake("These are 64 numbers for each latent. One step is missing: pack 2 x 2 latents into one token.")
def one_per_latent(mask):
    return _rearranged(mask, "b 1 (h p) (w q) -> b (h w) (p q)", p=8, q=8)


@mask_tokens.mistake("Rows and columns inside the 8 x 8 squares are exchanged: in (p q), p goes down and q across.")
def transposed_pixels(mask):
    from visualcloze_nb.sampling.latents import pack

    return pack(_rearranged(mask, "b 1 (h p) (w q) -> b (q p) h w", p=8, q=8))


@mask_tokens.mistake("The tokens come column by column. They are read line by line: (h w), not (w h).")
def column_by_column(mask):
    squares = _rearranged(mask, "b 1 (h p) (w q) -> b (p q) h w", p=8, q=8)
    return _rearranged(squares, "b c (h p) (w q) -> b (w h) (c p q)", p=2, q=2)


@mask_tokens.mistake("The 2 x 2 latents come before the 64 channels. `pack` puts the channels first: (c p q).")
def latents_first(mask):
    squares = _rearranged(mask, "b 1 (h p) (w q) -> b (p q) h w", p=8, q=8)
    return _rearranged(squares, "b c (h p) (w q) -> b (h w) (p q c)", p=2, q=2)


# channels ---------------------------------------------------------------------------------------------------


def _parts():
    """Noise, latents and mask of two rows: 32 x 64 pixels, and 16 x 48."""
    import torch

    generator, parts = torch.Generator().manual_seed(0), []
    for height, width in ((32, 64), (16, 48)):
        noise = torch.randn(1, height * width // 256, 64, generator=generator)
        z = torch.randn(1, 16, height // 8, width // 8, generator=generator)
        parts.append((noise, z, (torch.rand(1, 1, height, width, generator=generator) < 0.4).float()))
    return parts


@exercise(cases=_parts)
def channels(noise, z, mask):
    import torch

    from visualcloze_nb.sampling.latents import pack, pack_mask

    return torch.cat([noise, pack(z), pack_mask(mask)], dim=-1)


@channels.mistake("The mask comes before the image. The order is noise, image, mask.")
def mask_before_image(noise, z, mask):
    both = channels.answer(noise, z, mask)
    return both[..., [*range(64), *range(128, 384), *range(64, 128)]]


@channels.mistake("The image comes before the noise. The order is noise, image, mask.")
def image_before_noise(noise, z, mask):
    both = channels.answer(noise, z, mask)
    return both[..., [*range(64, 128), *range(64), *range(128, 384)]]


@channels.mistake("One part follows the other in the list of tokens. They belong side by side in each token: dim=-1.")
def one_after_the_other(noise, z, mask):
    import torch

    both = channels.answer(noise, z, mask)
    return torch.cat([both[..., i : i + 64] for i in range(0, 384, 64)], dim=1)


@channels.mistake("The noise is missing: without it there is nothing to denoise. 384 channels, not 320.")
def without_noise(noise, z, mask):
    return channels.answer(noise, z, mask)[..., 64:]


@channels.mistake("The mask is inverted: 1 marks the pixels to fill.")
def channels_inverted(noise, z, mask):
    return channels.answer(noise, z, 1 - mask)


# Figures ----------------------------------------------------------------------------------------------------


def image_of(values: torch.Tensor) -> Image.Image:
    """Image of a tensor (1, 3, H, W) in -1..1 or a mask (1, 1, H, W) in 0..1."""
    array = np.asarray(values[0].detach().float())
    array = array * 0.5 + 0.5 if len(array) == 3 else array.repeat(3, 0)
    return Image.fromarray((array.clip(0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0))


def draw_strips(named: Mapping[str, Any], title: str = "", alt: str = "", token: int = 16):
    """Draw strips and masks under each other, each with its name, cut into tokens.

    Args:
        named: names, and for each an image or a tensor as in `image_of`; all of one size.
        title: what to see.
        alt: alternative text of the figure.
        token: pixels along one side of a token; 0 draws no lines.

    Returns:
        the figure.
    """
    images = {n: v if isinstance(v, Image.Image) else image_of(v) for n, v in named.items()}
    left, (width, height) = 160, next(iter(images.values())).size
    scale = min(3 if len(images) < 3 else 2, (WIDE - left) // width)
    page = Image.new("RGB", (left + width * scale + 1, len(images) * (height * scale + 10)), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    for number, (name, image) in enumerate(images.items()):
        top = number * (height * scale + 10)
        middle = (left - 12, top + height * scale // 2)
        pen.multiline_text(middle, name, fill=TEXT, font=font, anchor="rm", align="right")
        page.paste(image.resize((width * scale, height * scale), Image.Resampling.NEAREST), (left, top))
        for line in range(0, width + 1, token or width):
            pen.line([(left + line * scale, top), (left + line * scale, top + height * scale)], fill="#9A9A9A")
        for line in range(0, height + 1, token or height):
            pen.line([(left, top + line * scale), (left + width * scale, top + line * scale)], fill="#9A9A9A")
    return show_image(page, title, alt)


def draw_numbers(tokens: torch.Tensor, parts: Mapping[str, int], title: str = "", alt: str = ""):
    """Draw tokens as a table of numbers: a row for each token, a column for each channel.

    Args:
        tokens: (1, L, C).
        parts: names and widths of the groups of channels.
        title: what to see.
        alt: alternative text of the figure.

    Returns:
        the figure: dark is small, light is large, clipped at -2.5 and 2.5.
    """
    from matplotlib import colormaps

    values = np.asarray(tokens[0].detach().float()).clip(-2.5, 2.5) / 5 + 0.5
    table = Image.fromarray((colormaps["cividis"](values)[..., :3] * 255).astype(np.uint8))
    left, top = 62, 26
    wide = WIDE - left
    scale = max(2, 380 // table.height)
    page = Image.new("RGB", (left + wide, top + table.height * scale), "white")
    page.paste(table.resize((wide, table.height * scale), Image.Resampling.NEAREST), (left, top))
    pen, font, start = ImageDraw.Draw(page), ImageFont.load_default(15), 0
    pen.text((left - 6, top + 2), "token 0", fill=TEXT, font=font, anchor="ra")
    pen.text((left - 6, page.height - 2), str(table.height - 1), fill=TEXT, font=font, anchor="rd")
    for name, width in parts.items():
        here = left + start * wide // table.width
        pen.line([(here, 0), (here, page.height)], fill="black", width=2)
        pen.text((here + 6, 4), name, fill=TEXT, font=font)
        start += width
    return show_image(page, title, alt)
