"""What a grid builder holds: cells, targets, texts, and what was there before. No widget, no model.

A `Draft` is one moment, and never changes. `BuilderState` has the present draft, the earlier ones (undo) and
the ones undone (redo); each of its methods makes the next draft. A draft may be wrong while it is being made:
`problems` says what is wrong and where, and `grid` gives the `Grid` once nothing is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from PIL import Image

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.images import to_rgb
from visualcloze_nb.data.prompts import column_prompt
from visualcloze_nb.errors import GridError, ImageError

MOST = 5  # rows and columns, as in the authors' demonstration
KEPT = 100  # drafts to go back to; they share their images
DIRECTIONS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
_NAMES = re.compile(r"\[IMAGE(\d+)\] (.+?)(?=, \[IMAGE\d| based on \[IMAGE|\.$)")


@dataclass(frozen=True)
class Origin:
    """Python that makes an image again: lines to run first, and the expression that then is the image."""

    setup: tuple[str, ...]
    expression: str


@dataclass(frozen=True, eq=False)
class Cell:
    """A place in the grid.

    Attributes:
        image: RGB, or None if nothing was put here.
        note: what was understood, such as `cat.jpg, 640 x 480`.
        origin: how to make the image again, if there is a shorter way than to store it.
    """

    image: Image.Image | None = None
    note: str = ""
    origin: Origin | None = None


EMPTY = Cell()


@dataclass(frozen=True, eq=False)
class Draft:
    """One moment of a grid being made.

    Attributes:
        rows: cells, the query last. What lies under a target is kept, but not part of the grid.
        targets: 0-based columns of the query row that the model is to fill in.
        names: what the images of each column are, for the task prompt.
        task: the task prompt by hand; None has it written from the names.
        content: the content prompt, or None for none.
        answers: by column, what the model put into a target.
    """

    rows: tuple[tuple[Cell, ...], ...]
    targets: frozenset[int]
    names: tuple[str, ...]
    task: str | None = None
    content: str | None = None
    answers: Mapping[int, Cell] = field(default_factory=dict)

    @property
    def task_text(self) -> str:
        """The task prompt that counts."""
        if self.task is not None:
            return self.task
        if not self.targets or not all(name.strip() for name in self.names):
            return ""
        return column_prompt(self.names, sorted(self.targets))


def draft_of(grid: Grid) -> Draft:
    """Open a grid: its empty cells become the targets, its task prompt gives the columns' names."""
    rows = tuple(tuple(Cell(image, _size(image)) for image in row) for row in grid.rows)
    found = {int(number) - 1: name for number, name in _NAMES.findall(grid.task)}
    names = tuple(found.get(col, "") for col in range(grid.n_cols))
    draft = Draft(rows, frozenset(grid.targets), names, grid.task, grid.content)
    written = replace(draft, task=None)
    return written if written.task_text == grid.task else draft


def blank_draft(n_rows: int = 3, n_cols: int = 2) -> Draft:
    """Nothing yet: empty cells, the last of the query marked as target."""
    return Draft(((EMPTY,) * n_cols,) * n_rows, frozenset({n_cols - 1}), ("",) * n_cols)


class BuilderState:
    """A grid in the making.

    Args:
        grid: what to begin with; else three empty rows of two cells.

    Attributes:
        draft: the present.
        refused: by cell (row, column from 0), why the last image brought there was not taken.
        selected: the cell that the controls are about.
    """

    def __init__(self, grid: Grid | None = None):
        self.draft = blank_draft() if grid is None else draft_of(grid)
        self.refused: dict[tuple[int, int], str] = {}
        self.selected = (0, 0)
        self._past: list[Draft] = []
        self._future: list[Draft] = []
        self._watchers: list[Callable[[], None]] = []

    # Looking ------------------------------------------------------------------------------------------------

    @property
    def n_rows(self) -> int:
        return len(self.draft.rows)

    @property
    def n_cols(self) -> int:
        return len(self.draft.names)

    def is_target(self, row: int, col: int) -> bool:
        return row == self.n_rows - 1 and col in self.draft.targets

    def shown(self, row: int, col: int) -> Cell:
        """What a reader sees in a cell: of a target the model's answer, if there is one yet."""
        if self.is_target(row, col):
            return self.draft.answers.get(col, EMPTY)
        return self.draft.rows[row][col]

    @property
    def can_undo(self) -> bool:
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        return bool(self._future)

    @property
    def problems(self) -> dict[tuple[int, int], str]:
        """By cell, what keeps this from being a grid; `where` and what to do are in the words."""
        found = {}
        for row, cells in enumerate(self.draft.rows):
            for col, cell in enumerate(cells):
                if cell.image is not None or self.is_target(row, col):
                    continue
                also = " or mark it as a target" if row == self.n_rows - 1 else ""
                found[row, col] = f"{place(row, col)} is empty: put an image in{also}"
        if self.n_rows == 1 and len(self.draft.targets) == self.n_cols:
            found[0, 0] = "row 1 has only targets: without examples, one cell needs an image"
        return found

    @property
    def problem(self) -> str:
        """The first thing that keeps this from being run, or ""."""
        for said in self.problems.values():
            return said
        return "" if self.draft.targets else f"row {self.n_rows} has no target: mark the cell to be filled in"

    @property
    def grid(self) -> Grid:
        """What was built.

        Raises:
            GridError: naming the first cell that is not right.
        """
        for said in self.problems.values():
            raise GridError(said)
        rows = [
            [None if self.is_target(r, c) else cell.image for c, cell in enumerate(cells)]
            for r, cells in enumerate(self.draft.rows)
        ]
        return Grid(rows, self.draft.task_text, self.draft.content)

    # Changing -----------------------------------------------------------------------------------------------

    def watch(self, watcher: Callable[[], None]) -> None:
        """Have `watcher()` called after every change."""
        self._watchers.append(watcher)

    def change(self, **changes) -> None:
        """Go to a draft with other parts. What the model answered is forgotten unless only texts change."""
        if {"rows", "targets"} & changes.keys():
            changes.setdefault("answers", {})
        self._past = [*self._past, self.draft][-KEPT:]
        self._future = []
        self._go(replace(self.draft, **changes))

    def open(self, what: Grid | Draft) -> None:
        """Begin again with a grid."""
        draft = what if isinstance(what, Draft) else draft_of(what)
        self.change(**{name: getattr(draft, name) for name in draft.__dataclass_fields__})

    def undo(self) -> bool:
        """Take back the last change; False if there is none."""
        if self._past:
            self._future.append(self.draft)
            self._go(self._past.pop())
            return True
        return False

    def redo(self) -> bool:
        """Do again what was taken back last; False if there is nothing."""
        if self._future:
            self._past.append(self.draft)
            self._go(self._future.pop())
            return True
        return False

    def select(self, row: int, col: int) -> None:
        """Have the controls be about another cell."""
        self._must_exist(row, col)
        if (row, col) != self.selected:
            self.selected = (row, col)
            self._tell()

    def resize(self, n_rows: int, n_cols: int) -> None:
        """Add or remove example rows (above the query, nearest first) and columns (on the right)."""
        for name, count in (("rows", n_rows), ("columns", n_cols)):
            if not 1 <= count <= MOST:
                raise GridError(f"{count} {name}: a grid here has 1 to {MOST}")
        *examples, query = self.draft.rows
        examples = [*examples, *((EMPTY,) * self.n_cols,) * n_rows][: n_rows - 1]
        rows = tuple((*row, *(EMPTY,) * n_cols)[:n_cols] for row in (*examples, query))
        names = (*self.draft.names, *("",) * n_cols)[:n_cols]
        targets = frozenset(col for col in self.draft.targets if col < n_cols)
        self.change(rows=rows, names=names, targets=targets)

    def put(self, row: int, col: int, image, note: str = "", origin: Origin | None = None) -> None:
        """Put an image into a cell; into a target, it also ends being one.

        Args:
            row, col: from 0.
            image: anything `to_rgb` reads.
            note: what it is, in a few words; its size is added.
            origin: how to make it again.

        Raises:
            ImageError: if it is not a usable image; the reason also stands at the cell.
        """
        self._must_exist(row, col)
        try:
            image = to_rgb(image, where=place(row, col))
        except ImageError as error:
            self.refuse(row, col, str(error))
            raise
        note = f"{note}, {_size(image)}" if note else _size(image)
        targets = self.draft.targets - {col} if row == self.n_rows - 1 else self.draft.targets
        self.refused.pop((row, col), None)
        self.change(rows=self._with({(row, col): Cell(image, note, origin)}), targets=targets)

    def refuse(self, row: int, col: int, why: str) -> None:
        """Say at a cell why an image was not taken; the cell stays as it was."""
        self._must_exist(row, col)
        self.refused[row, col] = why
        self._tell()

    def clear(self, row: int, col: int) -> None:
        """Empty a cell."""
        self._must_exist(row, col)
        self.refused.pop((row, col), None)
        self.change(rows=self._with({(row, col): EMPTY}))

    def swap(self, one: tuple[int, int], other: tuple[int, int]) -> None:
        """Exchange two cells; within the query row, being a target moves along."""
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
        """Exchange a cell with its neighbour to the `left`, `right`, `up` or `down`; the choice moves along."""
        down, across = DIRECTIONS[direction]
        to = row + down, col + across
        if not (0 <= to[0] < self.n_rows and 0 <= to[1] < self.n_cols):
            raise GridError(f"{place(row, col)} is at the edge: there is no cell {direction} of it")
        self.swap((row, col), to)
        self.select(*to)

    def mark(self, col: int, target: bool = True) -> None:
        """Make a cell of the query row a target, or a condition again with the image that was there."""
        self._must_exist(self.n_rows - 1, col)
        self.refused.pop((self.n_rows - 1, col), None)
        changed = self.draft.targets | {col} if target else self.draft.targets - {col}
        if changed != self.draft.targets:
            self.change(targets=changed)

    def name_columns(self, names: Iterable[str]) -> None:
        """Say what the images of each column are; the task prompt is then written from it."""
        names = tuple(names)
        if len(names) != self.n_cols:
            raise GridError(f"{len(names)} names for {self.n_cols} columns: give one for each")
        self.change(names=names, task=None)

    def write_task(self, text: str | None) -> None:
        """Set the task prompt by hand; None has it written from the names."""
        self.change(task=text)

    def write_content(self, text: str | None) -> None:
        """Set the content prompt; None leaves it out."""
        self.change(content=text)

    def take_answers(self, images: Iterable[Image.Image], note: str = "from the model") -> None:
        """Show what the model put into the targets, left to right."""
        images = list(images)
        if len(images) != len(self.draft.targets):
            raise GridError(f"{len(images)} images for {len(self.draft.targets)} targets: give one for each")
        cells = [Cell(image, f"{note}, {_size(image)}") for image in images]
        self.change(answers=dict(zip(sorted(self.draft.targets), cells, strict=True)))

    def reverse(self) -> None:
        """Run it backwards: the answers become conditions, and what were conditions become targets.

        Raises:
            GridError: if there is no answer yet, or nothing is left to be made.
        """
        answers, last = self.draft.answers, self.n_rows - 1
        if not answers:
            raise GridError(f"row {self.n_rows} has no answer yet: run it first")
        if len(answers) == self.n_cols:
            raise GridError(f"row {self.n_rows} had no conditions: there is nothing to make from the answers")
        rows = self._with({(last, col): cell for col, cell in answers.items()})
        self.change(rows=rows, targets=frozenset(range(self.n_cols)) - answers.keys())

    # Inside -------------------------------------------------------------------------------------------------

    def _with(self, new: Mapping[tuple[int, int], Cell]) -> tuple[tuple[Cell, ...], ...]:
        return tuple(
            tuple(new.get((r, c), cell) for c, cell in enumerate(cells)) for r, cells in enumerate(self.draft.rows)
        )

    def _must_exist(self, row: int, col: int) -> None:
        if not (0 <= row < self.n_rows and 0 <= col < self.n_cols):
            raise GridError(f"there is no {place(row, col)}: the grid is {self.n_rows} x {self.n_cols}")

    def _go(self, draft: Draft) -> None:
        self.draft = draft
        self.selected = min(self.selected[0], self.n_rows - 1), min(self.selected[1], self.n_cols - 1)
        there = {(r, c) for r in range(self.n_rows) for c in range(self.n_cols)}
        self.refused = {cell: why for cell, why in self.refused.items() if cell in there}
        self._tell()

    def _tell(self) -> None:
        for watcher in self._watchers:
            watcher()


def place(row: int, col: int) -> str:
    """Name a cell as readers count: `row 1, column 2`."""
    return f"row {row + 1}, column {col + 1}"


def _size(image: Image.Image | None) -> str:
    return "" if image is None else f"{image.width} x {image.height}"
