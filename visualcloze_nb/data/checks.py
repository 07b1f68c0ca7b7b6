"""Argument checks of the data modules: each returns the value in the type that is needed, or raises one clear error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from visualcloze_nb.data.images import ImageSource, to_rgb
from visualcloze_nb.errors import GridError, UsageError, shorten

LARGEST = 16_384  # pixels along a side


def type_of(value: object) -> str:
    """Write the type of a value for a message."""
    return f"of type {shorten(type(value).__name__)}"


def as_list(name: str, value: Any) -> list[Any]:
    """Return the items of a list, tuple or other sequence that is not a text."""
    try:
        if not isinstance(value, (str, bytes, Image.Image)):
            return list(value)
    except Exception:  # not iterable, or it raises something of its own
        pass
    raise GridError(f"{name} is {type_of(value)}: give a list")


def size(name: str, value: Any, low: int = 1, high: int = LARGEST) -> Any:
    """Return a number of pixels, unchanged."""
    if not isinstance(value, (int, float, np.integer, np.floating)) or not low <= value <= high:
        raise GridError(f"{name} is {shorten(repr(value))}: give at least {low} and at most {high} pixels")
    return value


def column(value: Any, count: int) -> int:
    """Return a 0-based column of a grid with `count` columns."""
    if not isinstance(value, (int, np.integer)) or not 0 <= value < count:
        raise GridError(f"there is no column {shorten(repr(value))}: columns are 0 to {count - 1}")
    return int(value)


def seed(value: Any) -> int:
    """Return a seed."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 0:
        raise UsageError(f"seed is {shorten(repr(value))}: give a whole number of at least 0")
    return int(value)


def checked_rows(rows: Sequence[Sequence[ImageSource | None]]) -> tuple[tuple[Image.Image | None, ...], ...]:
    """Return the rows as tuples of RGB images, or raise the first error."""
    if not isinstance(rows, (list, tuple)):
        raise GridError(f"rows is {type_of(rows)}: give a list of rows, each a list of images")
    rows = as_list("rows", rows)
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, (list, tuple)):
            raise GridError(f"row {number} is {type_of(row)}: give a list of images for each row")
    rows = [as_list(f"row {number}", row) for number, row in enumerate(rows, start=1)]
    if not rows or not rows[0]:
        raise GridError("the grid has no cells: give a list of rows, each a list of images")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise GridError(
                f"row {number} has {len(row)} cells, row 1 has {len(rows[0])}: all rows need the same number"
            )
    for number, row in enumerate(rows[:-1], start=1):
        for col, cell in enumerate(row, start=1):
            if cell is None:
                raise GridError(f"row {number}, column {col} is empty: only the last row may have blanks")
    if len(rows) == 1 and all(cell is None for cell in rows[0]):
        raise GridError("row 1 has no image and there is no example to take a size from: add one")
    return tuple(
        tuple(
            None if cell is None else to_rgb(cell, where=f"row {number}, column {col}")
            for col, cell in enumerate(row, start=1)
        )
        for number, row in enumerate(rows, start=1)
    )
