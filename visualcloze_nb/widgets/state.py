"""State of the grid builder: the current draft, the undo history, validation. Needs no widgets and no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from PIL import Image

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.images import to_rgb
from visualcloze_nb.errors import GridError, ImageError
from visualcloze_nb.widgets import draft as drafts
from visualcloze_nb.widgets.draft import EMPTY, MAX_SIDE, Cell, Draft, Origin, place, size_text

UNDO_LIMIT = 30  # drafts share their images, but each run adds its answer
DIRECTIONS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}


class BuilderState:
    """A grid under construction, with undo and redo.

    Args:
        grid: the initial grid; by default three empty rows of two cells.

    Attributes:
        draft: the current snapshot.
        refused: by cell (row, column from 0), why the last image offered there was rejected.
        selected: the cell that the controls act on.
        tried: whether a run was tried that the grid did not allow; until then, empty cells are no problem to be shown.
    """

    def __init__(self, grid: Grid | Draft | None = None):
        self.draft = (
            grid if isinstance(grid, Draft) else drafts.blank_draft() if grid is None else drafts.draft_of(grid)
        )
        self.refused: dict[tuple[int, int], str] = {}
        self.selected = (0, 0)
        self.tried = False
        self._made: tuple[Draft, Grid] | None = None
        self._step: object = None
        self._past: list[Draft] = []
        self._future: list[Draft] = []
        self._observers: list[Callable[[], None]] = []

    @property
    def n_rows(self) -> int:
        return len(self.draft.rows)

    @property
    def n_cols(self) -> int:
        return len(self.draft.names)

    def is_target(self, row: int, col: int) -> bool:
        return row == self.n_rows - 1 and col in self.draft.targets

    def shown(self, row: int, col: int) -> Cell:
        """The cell as displayed: for a target, the model's prediction if there is one."""
        if self.is_target(row, col):
            return self.draft.predictions.get(col, EMPTY)
        return self.draft.rows[row][col]

    @property
    def can_undo(self) -> bool:
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        return bool(self._future)

    @property
    def problems(self) -> dict[tuple[int, int], str]:
        """What keeps the grid from being run, by cell."""
        return self.draft.problems

    @property
    def problem(self) -> str:
        """The first problem, or "" if the grid can be run."""
        return self.draft.problem

    @property
    def grid(self) -> Grid:
        """The finished grid, made once for each draft.

        Raises:
            GridError: if it is incomplete; the message names the first such cell.
        """
        if self._made is None or self._made[0] is not self.draft:
            if self.problems:
                raise GridError(next(iter(self.problems.values())))
            rows = [
                [None if self.is_target(r, c) else cell.image for c, cell in enumerate(cells)]
                for r, cells in enumerate(self.draft.rows)
            ]
            grid = Grid(rows, self.draft.task_text, self.draft.content, recommended=self.draft.recommended)
            self._made = self.draft, grid
        return self._made[1]

    def observe(self, observer: Callable[[], None]) -> None:
        """Call `observer()` after every change."""
        self._observers.append(observer)

    def change(self, **changes: Any) -> None:
        """Replace fields of the draft. Predictions are dropped unless only texts change."""
        if {"rows", "targets"} & changes.keys():
            changes.setdefault("predictions", {})
        if self._step is None or not self._past or self._past[-1] is not self._step:
            self._past = [*self._past, self.draft][-UNDO_LIMIT:]
        self._future = []
        self._set_draft(replace(self.draft, **changes))

    @contextmanager
    def one_step(self, before: Draft) -> Iterator[None]:
        """Make changes, also those of several such blocks, one step that a single undo takes back to `before`."""
        self._step = before
        try:
            yield
        finally:
            self._step = None

    def open(self, grid: Grid | Draft) -> None:
        """Replace everything by another grid; undo brings the old one back."""
        draft = grid if isinstance(grid, Draft) else drafts.draft_of(grid)
        self.refused = {}
        self.change(**{name: getattr(draft, name) for name in draft.__dataclass_fields__})

    def undo(self) -> bool:
        """Undo the last change; returns False if there is none."""
        if self._past:
            self._future.append(self.draft)
            self._set_draft(self._past.pop())
            return True
        return False

    def redo(self) -> bool:
        """Redo the last undone change; returns False if there is none."""
        if self._future:
            self._past.append(self.draft)
            self._set_draft(self._future.pop())
            return True
        return False

    def try_to_run(self) -> None:
        """Select the first cell that keeps the grid from being run, and show all problems from now on.

        Raises:
            GridError: if there is one; the message names it.
        """
        if problem := self.problem:
            self.tried = True
            self.selected = next(iter(self.problems), (self.n_rows - 1, self.n_cols - 1))
            self._notify()
            raise GridError(problem)

    def select(self, row: int, col: int) -> None:
        """Select the cell that the controls act on."""
        self._must_exist(row, col)
        if (row, col) != self.selected:
            self.selected = (row, col)
            self._notify()

    def resize(self, n_rows: int, n_cols: int) -> None:
        """Add or remove example rows (above the query, nearest first) and columns (on the right)."""
        for name, count in (("rows", n_rows), ("columns", n_cols)):
            if not 1 <= count <= MAX_SIDE:
                raise GridError(f"{count} {name}: give 1 to {MAX_SIDE}")
        self.change(**drafts.resized(self.draft, n_rows, n_cols))

    def put(
        self, row: int, col: int, image: Any, note: str = "", origin: Origin | None = None, sample: object = None
    ) -> None:
        """Put an image into a cell; a target becomes a condition.

        Args:
            row, col: the cell, from 0.
            image: anything `to_rgb` reads.
            note: a short description; the size is appended.
            origin: code that recreates it.
            sample: what it was made together with, see `Cell`.

        Raises:
            ImageError: if it is not a usable image; the reason is also shown at the cell.
        """
        self._must_exist(row, col)
        try:
            image = to_rgb(image, where=place(row, col))
        except ImageError as error:
            self.refuse(row, col, str(error))
            raise
        note = f"{note}, {size_text(image)}" if note else size_text(image)
        targets = self.draft.targets - {col} if row == self.n_rows - 1 else self.draft.targets
        self.refused.pop((row, col), None)
        self.change(rows=self._with({(row, col): Cell(image, note, origin, sample or object())}), targets=targets)

    def refuse(self, row: int, col: int, why: str) -> None:
        """Show at a cell why an image was rejected; the cell is unchanged."""
        self._must_exist(row, col)
        self.refused[row, col] = why
        self._notify()

    def clear(self, row: int, col: int) -> None:
        """Empty a cell."""
        self._must_exist(row, col)
        self.refused.pop((row, col), None)
        self.change(rows=self._with({(row, col): EMPTY}))

    def swap(self, one: tuple[int, int], other: tuple[int, int]) -> None:
        """Swap two cells; within the query row, the target mark moves along."""
        for cell in (one, other):
            self._must_exist(*cell)
        if one == other:
            return
        if self.is_target(*one) != self.is_target(*other) and one[0] != other[0]:
            target = one if self.is_target(*one) else other
            raise GridError(f"{place(*target)} is a target: only the last row has targets, so it cannot move up")
        rows = self.draft.rows
        targets = set(self.draft.targets)
        if one[0] == other[0] == self.n_rows - 1 and self.is_target(*one) != self.is_target(*other):
            targets ^= {one[1], other[1]}
        for cell in (one, other):
            self.refused.pop(cell, None)
        new = {one: rows[other[0]][other[1]], other: rows[one[0]][one[1]]}
        self.change(rows=self._with(new), targets=frozenset(targets))

    def move(self, row: int, col: int, direction: str) -> None:
        """Swap a cell with its neighbour to the `left`, `right`, `up` or `down`, and select it there."""
        down, across = DIRECTIONS[direction]
        to = row + down, col + across
        if not (0 <= to[0] < self.n_rows and 0 <= to[1] < self.n_cols):
            raise GridError(f"{place(row, col)} is at the edge, with no cell {direction} of it: move it another way")
        self.swap((row, col), to)
        self.select(*to)

    def mark(self, col: int, target: bool = True) -> None:
        """Make a cell of the query row a target, or restore the image that was there as a condition."""
        self._must_exist(self.n_rows - 1, col)
        self.refused.pop((self.n_rows - 1, col), None)
        changed = self.draft.targets | {col} if target else self.draft.targets - {col}
        if changed != self.draft.targets:
            self.change(targets=changed)

    def name_columns(self, names: Iterable[str]) -> None:
        """Describe the images of each column; the task prompt is then derived from the names."""
        names = tuple(names)
        if len(names) != self.n_cols:
            raise GridError(f"{len(names)} names for {self.n_cols} columns: give one for each")
        self.change(names=names, task=None)

    def write_task(self, text: str | None) -> None:
        """Set a custom task prompt; None derives it from the names."""
        self.change(task=text)

    def write_content(self, text: str | None) -> None:
        """Set the content prompt; None omits it."""
        self.change(content=text)

    def set_predictions(
        self, images: Iterable[Image.Image], note: str = "from the model", texts: tuple[str, str | None] | None = None
    ) -> None:
        """Store the model's predictions, left to right, and the texts that they were made with (the current ones)."""
        images = list(images)
        if len(images) != len(self.draft.targets):
            raise GridError(f"{len(images)} images for {len(self.draft.targets)} targets: give one for each")
        cells = [Cell(image, f"{note}, {size_text(image)}") for image in images]
        predictions = dict(zip(sorted(self.draft.targets), cells, strict=True))
        self.change(predictions=predictions, answered=texts or self.draft.texts)

    def reverse(self) -> None:
        """Reverse the task: predictions become conditions, conditions become targets.

        Raises:
            GridError: if there is no prediction yet, or no condition to predict.
        """
        if not self.draft.predictions:
            raise GridError(f"row {self.n_rows} has no prediction yet: run it first")
        self.change(**drafts.reversed_task(self.draft))

    def _with(self, new: Mapping[tuple[int, int], Cell]) -> tuple[tuple[Cell, ...], ...]:
        return tuple(
            tuple(new.get((r, c), cell) for c, cell in enumerate(cells)) for r, cells in enumerate(self.draft.rows)
        )

    def _must_exist(self, row: int, col: int) -> None:
        if not (0 <= row < self.n_rows and 0 <= col < self.n_cols):
            raise GridError(f"there is no {place(row, col)}: the grid is {self.n_rows} x {self.n_cols}")

    def _set_draft(self, draft: Draft) -> None:
        before, self.draft = self.draft, draft
        self.tried = self.tried and bool(self.problem)
        self.selected = min(self.selected[0], self.n_rows - 1), min(self.selected[1], self.n_cols - 1)
        same = (len(before.rows), len(before.rows[0])) == (self.n_rows, self.n_cols)
        still = {(r, c): same and before.rows[r][c] is draft.rows[r][c] for r, c in self.refused}
        self.refused = {cell: why for cell, why in self.refused.items() if still[cell]}
        self._notify()

    def _notify(self) -> None:
        for observer in self._observers:
            observer()
