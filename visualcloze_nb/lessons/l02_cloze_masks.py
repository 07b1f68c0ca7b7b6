"""Lesson 02: the exercise, and figures of masks and of tokens as numbers."""

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

# The exercise -----------------------------------------------------------------------------------------------


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
