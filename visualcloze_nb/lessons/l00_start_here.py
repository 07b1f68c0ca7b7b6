"""Lesson 00: the exercises, a first grid, the error of an answer, other examples, and a choice by the median."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.lessons.exercise import exercise


def _disc(colour: str, left: int) -> Image.Image:
    image = Image.new("RGB", (64, 64), "#334455")
    ImageDraw.Draw(image).ellipse((left, 14, left + 36, 50), fill=colour)
    return image


# A first grid ------------------------------------------------------------------------------------------------


@exercise(cases=[(_disc("#cc3333", 4), _disc("#111111", 4), _disc("#44aa66", 24))])
def one_example(image, answer, query):
    return Grid([[image, answer], [query, None]])


@one_example.mistake("The query comes last, below the example.")
def query_first(image, answer, query):
    return [[query, None], [image, answer]]  # Grid refuses a blank in an example


@one_example.mistake("These are the rows alone. Put them into `Grid(...)`.")
def rows_alone(image, answer, query):
    return [[image, answer], [query, None]]


@one_example.mistake("The gap is filled: the answer of the example belongs to the example. Write `None` for the gap.")
def no_gap(image, answer, query):
    return Grid([[image, answer], [query, answer]])


@one_example.mistake(
    "The gap is in the first column. The example has its answer on the right, so the query has it there."
)
def gap_on_the_left(image, answer, query):
    return Grid([[image, answer], [None, query]])


@one_example.mistake("The example runs the other way: first the image, then the answer.")
def example_mirrored(image, answer, query):
    return Grid([[answer, image], [query, None]])


# The error of an answer -------------------------------------------------------------------------------------


def _values(image) -> np.ndarray:
    return np.asarray(image) / 255


@exercise(cases=[(_disc("#cc3333", 4), _disc("#cc3333", 12)), (_disc("#44aa66", 4), _disc("#3366cc", 4))])
def rmse(one, other):
    return float(np.sqrt(((_values(one) - _values(other)) ** 2).mean()))


@rmse.mistake("The root is missing: this is the mean square error.")
def without_root(one, other):
    return float(((_values(one) - _values(other)) ** 2).mean())


@rmse.mistake("This is the mean absolute difference. Square the differences, and take the root of their mean.")
def absolute(one, other):
    return float(np.abs(_values(one) - _values(other)).mean())


@rmse.mistake("Differences above and below zero cancel out. Square them before you take the mean.")
def plain_mean(one, other):
    return float((_values(one) - _values(other)).mean())


@rmse.mistake("The result is 0 to 255. Divide the numbers of both images by 255 first.")
def of_255(one, other):
    return 255 * rmse.answer(one, other)


@rmse.mistake("Bytes wrap around: 3 - 5 is 254. Divide by 255 *before* you subtract, which makes them floats.")
def bytes_wrap(one, other):
    return float(np.sqrt((((np.asarray(one) - np.asarray(other)) / 255) ** 2).mean()))


# The same query below other examples ------------------------------------------------------------------------


def _grid(answer, colours, query, task, content=None) -> Grid:
    """Discs and what `answer` makes of them; the query's target is empty."""
    photos = [_disc(colour, 4 + 7 * i) for i, colour in enumerate(colours)]
    return Grid([*([photo, answer(photo)] for photo in photos), [_disc(query, 24), None]], task, content)


def _grey(photo: Image.Image) -> Image.Image:
    return photo.convert("L").convert("RGB")


def _cases() -> list[tuple[Grid, Grid]]:
    negatives = _grid(ImageOps.invert, ["#cc3333", "#ddaa22"], "#44aa66", "to achieve a negative")
    greys = _grid(_grey, ["#3366cc", "#44aa66"], "#ddaa22", "to achieve a grey image", "a yellow disc")
    mirrored = _grid(ImageOps.mirror, ["#ddaa22"], "#cc3333", "", "a red disc")
    return [(negatives, greys), (greys, mirrored)]


@exercise(cases=_cases)
def with_examples_of(grid, other):
    return grid.with_examples(other.examples)


@with_examples_of.mistake("That is the other grid, with its own query. Keep the query of `grid`.")
def the_other_grid(grid, other):
    return other


@with_examples_of.mistake("The wrong way round: the query should come from `grid`, the examples from `other`.")
def the_wrong_way_round(grid, other):
    return other.with_examples(grid.examples)


@with_examples_of.mistake("This is `grid` unchanged. A Grid never changes: `with_examples` returns a new one.")
def unchanged(grid, other):
    grid.with_examples(other.examples)
    return grid


@with_examples_of.mistake("The old examples are still there, above the new ones. Leave them out.")
def old_examples_first(grid, other):
    return grid.with_examples([*grid.examples, *other.examples])


@with_examples_of.mistake("The old examples are still there, below the new ones. Leave them out.")
def old_examples_last(grid, other):
    return grid.with_examples([*other.examples, *grid.examples])


@with_examples_of.mistake(
    "The images are right, but the texts are lost: `Grid(rows)` starts without any. "
    "`grid.with_examples(...)` keeps them."
)
def without_texts(grid, other):
    return Grid([*other.examples, grid.query])


@with_examples_of.mistake("`other.rows` ends with the other query, whose cell is empty: use `other.examples`.")
def with_the_other_query(grid, other):
    return grid.with_examples(other.rows)


@with_examples_of.mistake("The query is missing: its row comes last, below the examples.")
def without_the_query(grid, other):
    return Grid(other.examples, grid.task, grid.content)


# A choice by the median -------------------------------------------------------------------------------------


@exercise(cases=[([0.5, 0.4, 0.1, 0.2, 0.9, 0.25],), ([3.0, 2.0, 1.9, 1.0, 5.0],), ([9, 7, 40, 8, 6, 1],)])
def first_below_median(errors):
    median = np.median(errors)
    return next(i for i, error in enumerate(errors) if error < median)


@first_below_median.mistake("That is the smallest, the luckiest of all. Take the first that is below the median.")
def the_smallest(errors):
    return int(np.argmin(errors))


@first_below_median.mistake("You count from 1. An index counts from 0.")
def counted_from_one(errors):
    return first_below_median.answer(errors) + 1


@first_below_median.mistake("That is the number itself. Return its index.")
def the_number(errors):
    return errors[first_below_median.answer(errors)]


@first_below_median.mistake("The median itself is not below the median: use `<`, not `<=`.")
def at_most_the_median(errors):
    return next(i for i, error in enumerate(errors) if error <= np.median(errors))


@first_below_median.mistake("You compare with the mean. One very bad answer moves the mean, but not the median.")
def below_the_mean(errors):
    return next(i for i, error in enumerate(errors) if error < np.mean(errors))
