"""Form for the selected cell: put a photograph there, or make its condition from another cell's photograph."""

from __future__ import annotations

from typing import Any

from ipywidgets import Dropdown, VBox

from visualcloze_nb import annotate, tasks
from visualcloze_nb.errors import GridError
from visualcloze_nb.widgets import photo_gallery
from visualcloze_nb.widgets.controls import FULL_LABEL, button, row
from visualcloze_nb.widgets.draft import Cell, Origin, place
from visualcloze_nb.widgets.error_output import ErrorOutput
from visualcloze_nb.widgets.state import BuilderState


class PhotoForm:
    """Controls for photographs and what annotators make of them.

    Args:
        state: of the builder.
        errors: shows what the handlers raise.

    Attributes:
        box: the widget.
    """

    def __init__(self, state: BuilderState, errors: ErrorOutput):
        self.state, self.errors = state, errors
        self.photograph: Any = photo_gallery.scene_control()
        self.put = button(errors, "Put photograph", self._put, "image")
        made = annotate.kinds()
        kinds = [kind for kind in tasks.KINDS if kind in made]
        self.kind: Any = Dropdown(options=kinds, description="Make", style=FULL_LABEL, layout={"width": "220px"})
        self.source: Any = Dropdown(description="from", style=FULL_LABEL, layout={"width": "220px"})
        self.make = button(errors, "Make this condition", self._make, "magic")
        self.box = VBox([row(self.photograph, self.put), row(self.kind, self.source, self.make)])

    def refresh(self) -> None:
        """Show the current state: the cells that hold an image, one of the selected cell's row first."""
        state = self.state
        cells = [(r, c) for r in range(state.n_rows) for c in range(state.n_cols) if state.draft.rows[r][c].image]
        places = [(place(*cell), cell) for cell in cells if cell != state.selected]
        if tuple(self.source.options) != tuple(places):
            chosen = self.source.value
            self.source.options = places
            self.source.value = chosen if chosen in dict(places).values() else None
        beside = [cell for _, cell in places if cell[0] == state.selected[0]]
        if places and (self.source.value is None or beside and self.source.value not in beside):
            self.source.value = (beside or [cell for _, cell in places])[0]

    def _put(self) -> None:
        cell = photo_gallery.photo_cell(self.photograph.value)
        self.state.put(*self.state.selected, cell.image, cell.note, cell.origin, cell.sample)

    def _make(self) -> None:
        """Annotate the source's image into the selected cell."""
        if self.source.value is None:
            raise GridError("there is no photograph to make it from: put one into another cell of this row first")
        self.errors.show_text("Making … (a kind's first time takes longer: its weights may have to be fetched)")
        row, col = self.source.value
        kind, cell = self.kind.value, self.state.draft.rows[row][col]
        image = annotate.annotate(cell.image, kind)
        self.state.put(*self.state.selected, image, f"{kind} of {place(row, col)}", _origin(cell, kind), cell.sample)
        self._name_column(kind)
        self.errors.clear()

    def _name_column(self, kind: str) -> None:
        """Name the selected column after the kind, if it has no name and the task is written from the names."""
        col, draft = self.state.selected[1], self.state.draft
        if draft.task is None and not draft.names[col].strip():
            names = list(draft.names)
            names[col] = tasks.KINDS[kind].wordings[0]
            self.state.name_columns(names)


def _origin(cell: Cell, kind: str) -> Origin | None:
    """The code that makes a condition again, where the photograph has code of its own."""
    if cell.origin is None:
        return None
    setup = (*cell.origin.setup, "from visualcloze_nb.annotate import annotate")
    return Origin(setup, f"annotate({cell.origin.expression}, {kind!r})")
