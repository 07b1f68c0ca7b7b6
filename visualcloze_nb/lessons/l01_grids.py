"""Lesson 01: the exercises, and a figure of tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from visualcloze_nb.data.grid_image import TARGET
from visualcloze_nb.data.images import resize_and_crop
from visualcloze_nb.data.layout import Layout
from visualcloze_nb.drawing.figures import show_image
from visualcloze_nb.lessons.exercise import exercise
from visualcloze_nb.settings import TOKEN_PIXELS

WIDE = 750  # pixels: the width of a figure in a notebook

# cover ------------------------------------------------------------------------------------------------------


def _images():
    """A scene of drawings in three shapes, each with a size to cover."""
    from visualcloze_nb.toyworld import sample

    shapes = (((120, 160), (80, 48)), ((200, 120), (48, 64)), ((64, 64), (64, 64)))
    images = [sample("image > depth", seed=4, width=w, height=h).grid.query[0] for (w, h), _ in shapes]
    return [(image, *size) for image, (_, size) in zip(images, shapes, strict=True)]


@exercise(cases=_images, tolerance=1.5 / 255)
def cover(image, width, height):
    return resize_and_crop(image, width, height)


@cover.mistake("The image is distorted. Scale both sides by the same factor, then crop.")
def stretched(image, width, height):
    return image.resize((width, height), Image.Resampling.LANCZOS)


@cover.mistake("The image is scaled to fit inside, and the rest is black. Scale it until it covers the whole size.")
def fitted_inside(image, width, height):
    wide = width / height > image.width / image.height
    size = (image.width * height // image.height, height) if wide else (width, image.height * width // image.width)
    page = Image.new("RGB", (width, height))
    page.paste(image.resize(size, Image.Resampling.LANCZOS), (width // 2 - size[0] // 2, height // 2 - size[1] // 2))
    return page


def _scaled(image, width, height) -> Image.Image:
    wide = width / height > image.width / image.height
    size = (width, image.height * width // image.width) if wide else (image.width * height // image.height, height)
    return image.resize(size, Image.Resampling.LANCZOS)


@cover.mistake("It is cropped at the top and at the left. Crop equally on both sides.")
def cropped_at_the_corner(image, width, height):
    return _scaled(image, width, height).crop((0, 0, width, height))


@cover.mistake("It is scaled and not yet cropped to width x height.")
def not_cropped(image, width, height):
    return _scaled(image, width, height)


@cover.mistake("It is cropped and not scaled: most of the image is lost. Scale first.")
def not_scaled(image, width, height):
    left, top = image.width // 2 - width // 2, image.height // 2 - height // 2
    return image.crop((left, top, left + width, top + height))


# pack -------------------------------------------------------------------------------------------------------


def _latents():
    import torch

    return [(torch.arange(count * 16.0).reshape(1, 16, *shape),) for shape, count in (((4, 6), 24), ((2, 8), 16))]


@exercise(cases=_latents)
def pack(z):
    from visualcloze_nb.sampling import latents

    return latents.pack(z)


def _arranged(z, pattern: str):
    from einops import rearrange

    return rearrange(z, pattern, p=2, q=2)


@pack.mistake("The 2 x 2 positions come before the channels. FLUX puts the channels first: (c p q).")
def positions_first(z):
    return _arranged(z, "b c (h p) (w q) -> b (h w) (p q c)")


@pack.mistake("The tokens come column by column. They are read line by line: (h w).")
def packed_by_columns(z):
    return _arranged(z, "b c (h p) (w q) -> b (w h) (c p q)")


@pack.mistake("Down and across are exchanged inside a token: p goes down and q across, so (c p q).")
def packed_across(z):
    return _arranged(z, "b c (h p) (w q) -> b (h w) (c q p)")


@pack.mistake("One token for each latent: 16 numbers. Four neighbouring latents become one token of 64.")
def one_latent_each(z):
    return z.flatten(2).transpose(1, 2)


@pack.mistake("The four latents are apart, not neighbours: in (h p) the place inside the square, p, comes last.")
def packed_far_apart(z):
    return _arranged(z, "b c (p h) (q w) -> b (h w) (c p q)")


# position_ids -----------------------------------------------------------------------------------------------


@exercise(cases=[(((80, 48), (48, 64)), 2), (((64, 64),), 3), (((48, 80), (48, 80), (64, 48)), 1)])
def position_ids(sizes, n_cols):
    return Layout(tuple(sizes), n_cols).ids


def _listed(sizes, n_cols, one) -> np.ndarray:
    """Ids of each strip line by line; `one(row, y, x, down, across)` returns the three numbers of a token."""
    found = []
    for row, (width, height) in enumerate(sizes, start=1):
        down, across = height // TOKEN_PIXELS, width // TOKEN_PIXELS
        found += [one(row, y, x, down, across) for y in range(down) for x in range(across * n_cols)]
    return np.array(found, dtype=np.float32)


@position_ids.mistake("Rows are counted from 1. Row 0 is reserved for stage 2, where an image stands alone.")
def rows_from_zero(sizes, n_cols):
    return _listed(sizes, n_cols, lambda row, y, x, down, across: (row - 1, y, x))


@position_ids.mistake("The order is row, y, x: how far down comes before how far across.")
def x_before_y(sizes, n_cols):
    return _listed(sizes, n_cols, lambda row, y, x, down, across: (row, x, y))


@position_ids.mistake(
    "x starts again in every cell. It should run through the whole strip: cells are joined side by side."
)
def x_within_the_cell(sizes, n_cols):
    return _listed(sizes, n_cols, lambda row, y, x, down, across: (row, y, x % across))


@position_ids.mistake("y goes on from one row of the grid to the next. Each strip starts at y = 0 again.")
def y_goes_on(sizes, n_cols):
    above = np.cumsum([0, *(height // TOKEN_PIXELS for _, height in sizes)])
    return _listed(sizes, n_cols, lambda row, y, x, down, across: (row, y + above[row - 1], x))


@position_ids.mistake("These are the ids of latents, 8 pixels wide. A token is 2 x 2 latents: 16 pixels.")
def of_latents(sizes, n_cols):
    return _listed([(2 * width, 2 * height) for width, height in sizes], n_cols, lambda row, y, x, *_: (row, y, x))


@position_ids.mistake("The right ids in another order: a strip is read line by line, not column by column.")
def column_by_column(sizes, n_cols):
    return _reordered(sizes, n_cols, lambda row, y, x, across: (row, x, y))


@position_ids.mistake("The right ids in another order: a line runs through all cells of a row before the next begins.")
def cell_by_cell(sizes, n_cols):
    return _reordered(sizes, n_cols, lambda row, y, x, across: (row, x // across, y, x))


@position_ids.mistake("Only the first cell of each row is there. A strip holds all n_cols cells, side by side.")
def one_cell_wide(sizes, n_cols):
    return _listed(sizes, 1, lambda row, y, x, *_: (row, y, x))


def _reordered(sizes, n_cols, key) -> np.ndarray:
    ids = Layout(tuple(sizes), n_cols).ids.astype(int).tolist()
    return np.array(sorted(ids, key=lambda i: key(*i, sizes[i[0] - 1][0] // TOKEN_PIXELS)), dtype=np.float32)


# Figures ----------------------------------------------------------------------------------------------------


def draw_tokens(strips: Sequence[np.ndarray], labels: Sequence = (), title: str = "", alt: str = "", marked=()):
    """Draw the strips of a grid cut into tokens, one under the other.

    Args:
        strips: one for each row, uint8 (H, W, 3).
        labels: text in each token, in the model's order; none if empty.
        title: what to see.
        alt: alternative text of the figure.
        marked: indices of the tokens to outline.

    Returns:
        the figure.
    """
    scale = WIDE // max(strip.shape[1] for strip in strips)
    side, gap = TOKEN_PIXELS * scale, 14
    heights = [strip.shape[0] * scale for strip in strips]
    page = Image.new("RGB", (WIDE, sum(heights) + gap * (len(strips) - 1) + 2), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(max(12, min(20, side // 4)))
    number, top, outlined = 0, 0, []
    for strip, height in zip(strips, heights, strict=True):
        image = Image.fromarray(strip)
        page.paste(image.resize((image.width * scale, height), Image.Resampling.NEAREST), (0, top))
        for y in range(strip.shape[0] // TOKEN_PIXELS):
            for x in range(strip.shape[1] // TOKEN_PIXELS):
                box = (x * side, top + y * side, (x + 1) * side, top + (y + 1) * side)
                pen.rectangle(box, outline="#FFFFFF", width=1)
                if len(labels):
                    middle = (box[0] + side // 2, box[1] + side // 2)
                    text = str(labels[number])
                    pen.text(middle, text, fill="black", font=font, anchor="mm", stroke_width=2, stroke_fill="white")
                outlined += [box] if number in marked else []
                number += 1
        top += height + gap
    for box in outlined:
        pen.rectangle(box, outline=TARGET, width=4)
    return show_image(page, title, alt)


def heat(values: np.ndarray, layout: Layout) -> list[np.ndarray]:
    """Heat map of one number for each token, as strips for `draw_tokens`: dark is smallest, light is largest.

    Args:
        values: (L,), any range.
        layout: of the grid.
    """
    from matplotlib import colormaps

    low, high = float(values.min()), float(values.max())
    colours = (colormaps["cividis"]((values - low) / ((high - low) or 1))[:, :3] * 255).astype(np.uint8)
    strips = [colours[part].reshape(*shape, 3) for part, shape in zip(layout.row_slices, layout.shapes, strict=True)]
    return [strip.repeat(TOKEN_PIXELS, 0).repeat(TOKEN_PIXELS, 1) for strip in strips]
