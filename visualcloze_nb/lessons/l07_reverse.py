"""Lesson 07: the exercises, blanks moved, the spread of answers and a round trip, and a figure of two grids."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.drawing.contact_sheet import contact_sheet
from visualcloze_nb.drawing.figures import show_image
from visualcloze_nb.errors import UsageError
from visualcloze_nb.lessons.exercise import exercise


def _row(*colours: str) -> list[Image.Image]:
    """One image for each column: a disc, a bar, a frame, all different."""
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


# Blanks moved -----------------------------------------------------------------------------------------------


@exercise(cases=[(_row("#ee9922", "#ffffff", "#66ccee"), (0, 1)), (_row("#66ccee", "#ee9922", "#ffffff"), (2,))])
def move_blanks(row, targets):
    return [None if col in targets else image for col, image in enumerate(row)]


@move_blanks.mistake("The targets are kept and the others are blank. It is the targets that the model generates.")
def others_blank(row, targets):
    return [image if col in targets else None for col, image in enumerate(row)]


@move_blanks.mistake("The blank cells are gone. They stay in the row as `None`, so that each image keeps its column.")
def blanks_left_out(row, targets):
    return [image for col, image in enumerate(row) if col not in targets]


@move_blanks.mistake("`targets` counts columns from 0, you count them from 1.")
def columns_from_one(row, targets):
    return [None if col + 1 in targets else image for col, image in enumerate(row)]


@move_blanks.mistake("The blanks are at the end, as many as there are targets. Put them into the target columns.")
def blanks_last(row, targets):
    return [image for col, image in enumerate(row) if col not in targets] + [None] * len(targets)


@move_blanks.mistake("Only the first target is blank. There may be several.")
def first_target_alone(row, targets):
    return [None if col == targets[0] else image for col, image in enumerate(row)]


# The spread of answers --------------------------------------------------------------------------------------

_ANSWERS = np.random.default_rng(7).uniform(0, 1, (3, 8, 6, 3))


@exercise(cases=[(_ANSWERS,), (np.concatenate([_ANSWERS, _ANSWERS[:1] ** 2]),)])
def spread(images):
    return float(images.std(axis=0, ddof=1).mean())


@spread.mistake("This is the standard deviation of all values of all images, so it is large even for equal images.")
def of_all_values(images):
    return float(images.std(ddof=1))


@spread.mistake("This is the contrast within each image. Take the deviation over the images: the first axis.")
def within_each_image(images):
    return float(np.mean([one.std(ddof=1) for one in images]))


@spread.mistake("`std` divides by n here. Give it `ddof=1`: it then divides by n - 1.")
def divided_by_n(images):
    return float(images.std(axis=0).mean())


@spread.mistake("This is the variance. Its root is the standard deviation.")
def variance(images):
    return float(images.var(axis=0, ddof=1).mean())


@spread.mistake("This is an image, one number for each value. Take its mean.")
def as_an_image(images):
    return images.std(axis=0, ddof=1)


# A round trip -----------------------------------------------------------------------------------------------


def generate(row: list) -> list:
    """A stand-in for a model: a blank gets the mean of the known cells, darkened and shifted by column."""
    known = [np.asarray(cell, dtype=float) for cell in row if cell is not None]
    if not known:
        raise UsageError("every cell is blank: give at least one image to start from")
    mean = np.mean(known, axis=0)
    made = [np.roll(mean, 5 * (col + 1), axis=col % 2) * (0.9 - 0.15 * col) for col in range(len(row))]
    blanks = [Image.fromarray(one.astype(np.uint8)) for one in made]
    return [blank if cell is None else cell for cell, blank in zip(row, blanks, strict=True)]


CASES = [
    (generate, _row("#ee9922", "#ffffff", "#66ccee"), (2,)),
    (generate, _row("#66ccee", "#ee9922", "#ffffff"), (0, 1)),
    (generate, _row("#ffffff", "#cc4477"), (0,)),
]


@exercise(cases=CASES)
def round_trip(fill, row, kept):
    generated = fill([cell if col in kept else None for col, cell in enumerate(row)])
    return fill([None if col in kept else cell for col, cell in enumerate(generated)])


@round_trip.mistake(
    "The way back starts from the true cells, so they leak into the answer. Start it from the generated ones."
)
def from_the_true_cells(fill, row, kept):
    fill([cell if col in kept else None for col, cell in enumerate(row)])
    return fill([None if col in kept else cell for col, cell in enumerate(row)])


@round_trip.mistake("That is the way there only: the kept cells are still the ones you were given. Now go back.")
def one_way(fill, row, kept):
    return fill([cell if col in kept else None for col, cell in enumerate(row)])


@round_trip.mistake("The wrong way round: on the way there the kept cells stay and the *others* are blank.")
def the_wrong_way_round(fill, row, kept):
    generated = fill([None if col in kept else cell for col, cell in enumerate(row)])
    return fill([cell if col in kept else None for col, cell in enumerate(generated)])


@round_trip.mistake("Only the kept cells come back. Return the whole row: what was generated on the way belongs to it.")
def kept_cells_alone(fill, row, kept):
    whole = round_trip.answer(fill, row, kept)
    return [whole[col] for col in kept]


@round_trip.mistake(
    "The blanks are filled one after the other, each seeing those before. Blank them all, then call `fill` once."
)
def one_after_the_other(fill, row, kept):
    generated = [cell if col in kept else None for col, cell in enumerate(row)]
    for col, cell in enumerate(generated):
        if cell is None:
            generated[col] = fill(generated)[col]
    return fill([None if col in kept else cell for col, cell in enumerate(generated)])


@round_trip.mistake("`kept` counts columns from 0, you count them from 1.")
def counted_from_one(fill, row, kept):
    generated = fill([cell if col + 1 in kept else None for col, cell in enumerate(row)])
    return fill([None if col + 1 in kept else cell for col, cell in enumerate(generated)])


@round_trip.mistake("These are two one-way trips. The second call must start from what the first one generated.")
def two_trips_one_way(fill, row, kept):
    others = fill([cell if col in kept else None for col, cell in enumerate(row)])
    back = fill([None if col in kept else cell for col, cell in enumerate(row)])
    return [back[col] if col in kept else others[col] for col in range(len(row))]


# Figures ----------------------------------------------------------------------------------------------------


def draw_grids(grids: Mapping[str, Grid], titles: list[str], title: str = ""):
    """Draw grids of the same shape side by side, each below its name.

    Args:
        grids: names and grids.
        titles: one for each column of a grid.
        title: what to see.

    Returns:
        the figure.
    """
    images = [grid.image(cell=84, titles=titles) for grid in grids.values()]
    page = contact_sheet([images], [list(grids)], gap=24, font_size=16)
    words = " ".join(f"{name}: {grid.alt}" for name, grid in grids.items())
    return show_image(page, title, words)
