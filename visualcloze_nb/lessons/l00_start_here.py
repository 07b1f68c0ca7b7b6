"""Lesson 00: the exercise, the same query below other examples."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageOps

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.lessons.exercise import exercise


def _disc(colour: str, left: int) -> Image.Image:
    image = Image.new("RGB", (64, 64), "#334455")
    ImageDraw.Draw(image).ellipse((left, 14, left + 36, 50), fill=colour)
    return image


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
