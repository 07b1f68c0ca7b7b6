"""Lesson 01: the exercise, and figures of tokens and of cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from visualcloze_nb.data.grid_image import TARGET, TEXT
from visualcloze_nb.data.layout import Layout
from visualcloze_nb.drawing.figures import BLUE, new_figure, show_image
from visualcloze_nb.lessons.exercise import exercise
from visualcloze_nb.settings import TOKEN_PIXELS

WIDE = 750  # pixels: the width of a figure in a notebook

# The exercise -----------------------------------------------------------------------------------------------


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


def draw_cost(tokens: Sequence[int], seconds: Sequence[float], names: Sequence[str], title: str = ""):
    """Draw measured times against tokens, beside the line of a cost proportional to the tokens.

    Args:
        tokens: image and text tokens of each grid, ascending.
        seconds: time of one call for each grid.
        names: of the grids.
        title: what to see.

    Returns:
        the figure; times are drawn as multiples of the first.
    """
    counts, times = np.asarray(tokens), np.asarray(seconds) / seconds[0]
    figure = new_figure(3.4, width=6.4)
    axes = figure.add_subplot()
    axes.plot(counts, counts / counts[0], "--", color=BLUE, label="if proportional to tokens")
    axes.plot(counts, times, "o-", color=TARGET, label="measured here")
    for x, y, name in zip(counts, times, names, strict=True):
        axes.annotate(name, (x, y), xytext=(0, 8), textcoords="offset points", ha="center", color=TEXT)
    axes.set(xlabel="tokens (image and text)", ylabel=f"time of one step, {names[0]} = 1")
    axes.set_xlim(0, counts[-1] * 1.08)
    axes.set_ylim(0, max(times.max(), counts[-1] / counts[0]) * 1.15)
    axes.legend(loc="upper left", frameon=False, bbox_to_anchor=(0, 0.98))
    axes.set_title(title, loc="left", weight="bold", size=11, color=TEXT)
    axes.spines[["top", "right"]].set_visible(False)
    figure.alt = f"{title}. Curve of the time of one step against tokens, above a straight dashed line."
    return figure
