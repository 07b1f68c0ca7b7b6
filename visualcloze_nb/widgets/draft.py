"""Immutable snapshots of a grid under construction: cells, targets, texts. Needs no widgets and no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.prompts import column_prompt

_COLUMN_NAME = re.compile(r"\[IMAGE(\d+)\] (.+?)(?=, \[IMAGE\d| based on \[IMAGE|\.$)")


@dataclass(frozen=True)
class Origin:
    """Python that recreates an image: set-up lines, then one expression that evaluates to it."""

    setup: tuple[str, ...]
    expression: str


@dataclass(frozen=True, eq=False)
class Cell:
    """One cell of the grid.

    Attributes:
        image: RGB, or None for an empty cell.
        note: source and size, such as `cat.jpg, 640 x 480`.
        origin: code that recreates the image, where that is shorter than storing it.
    """

    image: Image.Image | None = None
    note: str = ""
    origin: Origin | None = None


EMPTY = Cell()


@dataclass(frozen=True, eq=False)
class Draft:
    """One snapshot of a grid under construction; it may be incomplete.

    Attributes:
        rows: cells, the query last. The image under a target is kept, but is not part of the grid.
        targets: 0-based columns of the query row that the model fills in.
        names: description of each column's images, for the task prompt.
        task: a custom task prompt; None derives it from the names.
        content: the content prompt, or None for none.
        predictions: what the model put into the targets, by column.
        recommended: what the grid recommends to `fill`.
    """

    rows: tuple[tuple[Cell, ...], ...]
    targets: frozenset[int]
    names: tuple[str, ...]
    task: str | None = None
    content: str | None = None
    predictions: Mapping[int, Cell] = field(default_factory=dict)
    recommended: Mapping[str, Any] = field(default_factory=dict)

    @property
    def task_text(self) -> str:
        """The effective task prompt: the custom one, or the one derived from the names."""
        if self.task is not None:
            return self.task
        if not self.targets or not all(name.strip() for name in self.names):
            return ""
        return column_prompt(self.names, sorted(self.targets))


def draft_of(grid: Grid) -> Draft:
    """Make a draft of a grid; column names are parsed from its task prompt."""
    rows = tuple(tuple(Cell(image, size_text(image)) for image in row) for row in grid.rows)
    found = {int(number) - 1: name for number, name in _COLUMN_NAME.findall(grid.task)}
    names = tuple(found.get(col, "") for col in range(grid.n_cols))
    draft = Draft(rows, frozenset(grid.targets), names, grid.task, grid.content, recommended=grid.recommended)
    written = replace(draft, task=None)
    return written if written.task_text == grid.task else draft


def blank_draft(n_rows: int = 3, n_cols: int = 2) -> Draft:
    """Make a draft of empty cells, with a target in the last column."""
    return Draft(((EMPTY,) * n_cols,) * n_rows, frozenset({n_cols - 1}), ("",) * n_cols)


def place(row: int, col: int) -> str:
    """Name a cell, counting from 1: `row 1, column 2`."""
    return f"row {row + 1}, column {col + 1}"


def size_text(image: Image.Image | None) -> str:
    """Format an image's size in pixels, such as `640 x 480`; "" for None."""
    return "" if image is None else f"{image.width} x {image.height}"
