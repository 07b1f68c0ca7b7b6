"""Lesson 07: the exercise, a task done and undone, and the lesson's drawing of two grids."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from visualcloze_nb.data.grid_image import TEXT
from visualcloze_nb.drawing.figures import _figure
from visualcloze_nb.lessons.exercise import exercise

WIDE = 750  # pixels: the width of a drawing in a notebook

# The exercise -----------------------------------------------------------------------------------------------


def paint(row: list) -> list:
    """Stand in for a model: a blank gets the mean of what is known, darkened and moved, each column otherwise."""
    known = [np.asarray(cell, dtype=float) for cell in row if cell is not None]
    if not known:
        raise ValueError("every cell is blank: there is nothing to paint from")
    mean = np.mean(known, axis=0)
    made = [np.roll(mean, 5 * (col + 1), axis=col % 2) * (0.9 - 0.15 * col) for col in range(len(row))]
    blanks = [Image.fromarray(one.astype(np.uint8)) for one in made]
    return [blank if cell is None else cell for cell, blank in zip(row, blanks, strict=True)]


def _row(*colours: str) -> list[Image.Image]:
    """An image a column: a disc, a bar, a frame, so that each can be told from the others."""
    images = [Image.new("RGB", (32, 32), "#445566") for _ in colours]
    for number, (image, colour) in enumerate(zip(images, colours, strict=True)):
        pen = ImageDraw.Draw(image)
        if number == 0:
            pen.ellipse((4, 6, 22, 24), fill=colour)
        elif number == 1:
            pen.rectangle((18, 3, 25, 29), fill=colour)
        else:
            pen.rectangle((5, 5, 27, 20), outline=colour, width=3)
    return images


CASES = [
    (paint, _row("#ee9922", "#ffffff", "#66ccee"), (2,)),
    (paint, _row("#66ccee", "#ee9922", "#ffffff"), (0, 1)),
    (paint, _row("#ffffff", "#cc4477"), (0,)),
]


@exercise(cases=CASES)
def round_trip(fill, row, kept):
    painted = fill([cell if col in kept else None for col, cell in enumerate(row)])
    return fill([None if col in kept else cell for col, cell in enumerate(painted)])


@round_trip.mistake(
    "The way back starts from the true cells, so they leak into the answer. Start it from the painted ones."
)
def from_the_true_cells(fill, row, kept):
    fill([cell if col in kept else None for col, cell in enumerate(row)])
    return fill([None if col in kept else cell for col, cell in enumerate(row)])


@round_trip.mistake("That is the way there only: the kept cells are still the ones you were given. Now go back.")
def one_way(fill, row, kept):
    return fill([cell if col in kept else None for col, cell in enumerate(row)])


@round_trip.mistake("The wrong way round: on the way there the kept cells stay and the *others* are blank.")
def the_wrong_way_round(fill, row, kept):
    painted = fill([None if col in kept else cell for col, cell in enumerate(row)])
    return fill([cell if col in kept else None for col, cell in enumerate(painted)])


@round_trip.mistake("Only the kept cells come back. Return the whole row: what was painted on the way belongs to it.")
def kept_cells_alone(fill, row, kept):
    whole = round_trip.answer(fill, row, kept)
    return [whole[col] for col in kept]


@round_trip.mistake(
    "The blanks are painted one after the other, each seeing those before. Blank them all, then call `fill` once."
)
def one_after_the_other(fill, row, kept):
    painted = [cell if col in kept else None for col, cell in enumerate(row)]
    for col, cell in enumerate(painted):
        if cell is None:
            painted[col] = fill(painted)[col]
    return fill([None if col in kept else cell for col, cell in enumerate(painted)])


@round_trip.mistake("`kept` counts columns from 0, you count them from 1.")
def counted_from_one(fill, row, kept):
    painted = fill([cell if col + 1 in kept else None for col, cell in enumerate(row)])
    return fill([None if col + 1 in kept else cell for col, cell in enumerate(painted)])


@round_trip.mistake(
    "These are two trips one way, laid together. The second call must start from what the first one painted."
)
def two_trips_one_way(fill, row, kept):
    others = fill([cell if col in kept else None for col, cell in enumerate(row)])
    back = fill([None if col in kept else cell for col, cell in enumerate(row)])
    return [back[col] if col in kept else others[col] for col in range(len(row))]


# Drawings ---------------------------------------------------------------------------------------------------


def draw_grids(grids: Mapping[str, object], titles: list[str], title: str = ""):
    """Draw grids of the same shape side by side, each with its name above.

    Args:
        grids: names and `Grid`s.
        titles: one text for each column of a grid.
        title: what to see.

    Returns:
        the figure.
    """
    images = [grid.image(cell=84, titles=titles) for grid in grids.values()]
    gap, line = 24, 26
    width = sum(image.width for image in images) + gap * (len(images) - 1)
    page = Image.new("RGB", (width, max(image.height for image in images) + line), "white")
    pen, font, left = ImageDraw.Draw(page), ImageFont.load_default(16), 0
    for name, image in zip(grids, images, strict=True):
        pen.text((left + image.width // 2, 2), name, fill=TEXT, font=font, anchor="ma")
        page.paste(image, (left, line))
        left += image.width + gap
    words = " ".join(f"{name}: {grid.alt}" for name, grid in grids.items())
    return _figure([], title=title, alt=words, above=page)
