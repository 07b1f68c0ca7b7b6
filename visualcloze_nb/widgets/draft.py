"""Immutable snapshots of a grid under construction: cells, targets, texts. Needs no widgets and no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.prompts import column_prompt
from visualcloze_nb.errors import GridError

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
        sample: the same for images that were made together, as a condition and its photograph; None if unknown.
    """

    image: Image.Image | None = None
    note: str = ""
    origin: Origin | None = None
    sample: object = None


MAX_SIDE = 5  # rows and columns that the builder shows, as in the authors' demonstration
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
        answered: task and content prompt that the predictions were made with, or None.
        recommended: what the grid recommends to `fill`.
    """

    rows: tuple[tuple[Cell, ...], ...]
    targets: frozenset[int]
    names: tuple[str, ...]
    task: str | None = None
    content: str | None = None
    predictions: Mapping[int, Cell] = field(default_factory=dict)
    answered: tuple[str, str | None] | None = None
    recommended: Mapping[str, Any] = field(default_factory=dict)

    @property
    def task_text(self) -> str:
        """The effective task prompt: the custom one, or the one derived from the names."""
        if self.task is not None:
            return self.task
        if not self.targets or not all(name.strip() for name in self.names):
            return ""
        return column_prompt(self.names, sorted(self.targets))

    @property
    def texts(self) -> tuple[str, str | None]:
        """Task and content prompt."""
        return self.task_text, self.content

    @property
    def outdated(self) -> bool:
        """Whether the texts were changed since the predictions were made."""
        return bool(self.predictions) and self.answered != self.texts

    @property
    def problems(self) -> dict[tuple[int, int], str]:
        """What keeps the grid from being run, by cell; each text names the cell and says what to do."""
        found, last = {}, len(self.rows) - 1
        for row, cells in enumerate(self.rows):
            for col, cell in enumerate(cells):
                if cell.image is not None or (row == last and col in self.targets):
                    continue
                also = " or mark it as a target" if row == last else ""
                found[row, col] = f"{place(row, col)} is empty: put an image in{also}"
        if last == 0 and len(self.targets) == len(self.names):
            found[0, 0] = "row 1 has only targets: without examples, one cell needs an image"
        return found

    @property
    def problem(self) -> str:
        """The first problem, or "" if the grid can be run."""
        found = next(iter(self.problems.values()), "")
        return found or ("" if self.targets else f"row {len(self.rows)} has no target: mark the cell to be filled in")

    def same_images(self, other: Draft) -> bool:
        """Whether another draft has the same cells and targets, whatever its texts."""
        return self.rows == other.rows and self.targets == other.targets

    def truth(self, col: int) -> tuple[Image.Image | None, bool]:
        """The image under a target, and whether it is the ground truth: made together with the rest of its row."""
        cells = self.rows[-1]
        made = {cell.sample for cell in cells}
        return cells[col].image, len(made) == 1 and None not in made


def draft_of(grid: Grid) -> Draft:
    """Make a draft of a grid; column names are parsed from its task prompt.

    Raises:
        GridError: if it is larger than the builder shows.
    """
    if max(grid.n_rows, grid.n_cols) > MAX_SIDE:
        shape = f"{grid.n_rows} rows and {grid.n_cols} columns"
        raise GridError(f"the grid has {shape}, and the builder shows {MAX_SIDE} of each: run it with pipe.fill(grid)")
    rows = tuple(tuple(Cell(image, size_text(image)) for image in row) for row in grid.rows)
    found = {int(number) - 1: name for number, name in _COLUMN_NAME.findall(grid.task)}
    names = tuple(found.get(col, "") for col in range(grid.n_cols))
    draft = Draft(rows, frozenset(grid.targets), names, grid.task, grid.content, recommended=grid.recommended)
    written = replace(draft, task=None)
    return written if written.task_text == grid.task else draft


def blank_draft(n_rows: int = 3, n_cols: int = 2) -> Draft:
    """Make a draft of empty cells, with a target in the last column."""
    return Draft(((EMPTY,) * n_cols,) * n_rows, frozenset({n_cols - 1}), ("",) * n_cols)


def resized(draft: Draft, n_rows: int, n_cols: int) -> dict[str, Any]:
    """The fields of a draft that change with its shape: rows come and go above the query, columns on the right."""
    *examples, query = draft.rows
    examples = [*examples, *((EMPTY,) * len(draft.names),) * n_rows][: n_rows - 1]
    return {
        "rows": tuple((*row, *(EMPTY,) * n_cols)[:n_cols] for row in (*examples, query)),
        "names": (*draft.names, *("",) * n_cols)[:n_cols],
        "targets": frozenset(col for col in draft.targets if col < n_cols),
    }


def reversed_task(draft: Draft) -> dict[str, Any]:
    """The fields that reverse a task: predictions become conditions, conditions become targets.

    Raises:
        GridError: if there is no condition to predict.
    """
    if len(draft.predictions) == len(draft.names):
        where = f"row {len(draft.rows)} had no conditions to predict from the predictions"
        raise GridError(f"{where}: give it some, and run it again")
    query = tuple(draft.predictions.get(col, cell) for col, cell in enumerate(draft.rows[-1]))
    targets = frozenset(range(len(query))) - draft.predictions.keys()
    return {"rows": (*draft.rows[:-1], query), "targets": targets}


def place(row: int, col: int) -> str:
    """Name a cell, counting from 1: `row 1, column 2`."""
    return f"row {row + 1}, column {col + 1}"


def size_text(image: Image.Image | None) -> str:
    """Format an image's size in pixels, such as `640 x 480`; "" for None."""
    return "" if image is None else f"{image.width} x {image.height}"
