"""Form for the builder's selected cell: target or condition, file, toy image or photograph, moving and swapping."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

from ipywidgets import HTML, Checkbox, Dropdown, FileUpload

from visualcloze_nb.errors import GridError, ImageError, shorten
from visualcloze_nb.widgets import gallery
from visualcloze_nb.widgets.cell_text import describe
from visualcloze_nb.widgets.controls import FULL_LABEL, Fold, button, number, row
from visualcloze_nb.widgets.draft import place
from visualcloze_nb.widgets.error_output import ErrorOutput
from visualcloze_nb.widgets.file_upload import files, forget
from visualcloze_nb.widgets.photo_form import PhotoForm
from visualcloze_nb.widgets.state import DIRECTIONS, BuilderState

FILE_BYTES = 5_000_000  # FileUpload sends a file as it is, and Jupyter drops messages of 10 MB


class CellForm:
    """Controls that act on the selected cell.

    Args:
        state: of the builder.
        errors: shows what the handlers raise.
        photographs: whether to offer photographs and annotators, in place of toy images.

    Attributes:
        file_row: a file upload, for a grid that takes no files itself.
        box: the other controls.
    """

    def __init__(self, state: BuilderState, errors: ErrorOutput, photographs: bool = False):
        self.state, self.errors = state, errors
        self.heading = HTML()
        self.which = Dropdown(description="Cell", style=FULL_LABEL, layout={"width": "220px"})
        self.is_target = Checkbox(False, description="Target: to be filled in", indent=False)
        self.is_target.layout.width = "210px"
        self.file = FileUpload(accept="image/*", description="Image file …", layout={"width": "auto"})
        self.kind: Any = Dropdown(options=gallery.KINDS, description="Toy image", style=FULL_LABEL)
        self.kind.layout.width = "220px"
        self.toy_scene = number("Toy scene", 0, 0, 10**6)
        self.photos = PhotoForm(state, errors) if photographs else None
        self.other = Dropdown(description="Swap with", style=FULL_LABEL, layout={"width": "240px"})
        self.clear = button(errors, "Empty this cell", self._on_selected(state.clear), "trash")
        self.put_toy = button(errors, "Put toy image", self._put_toy, "paint-brush")
        self.moves = {
            name: button(errors, f"Move {name}", self._on_selected(state.move, name), f"arrow-{name}")
            for name in DIRECTIONS
        }
        self.swap = button(errors, "Swap", self._swap, "exchange")
        errors.connect("select", self.which, "value", self._select, keeps_message=True)
        errors.connect("mark target", self.is_target, "value", self._mark)
        errors.connect("put file", self.file, "value", self._put_file)
        note = HTML(f"PNG or JPEG, at most {FILE_BYTES / 1e6:.0f} MB")
        self.file_row = row(self.file, note)
        rows = [
            self.heading,
            row(self.which, self.is_target, self.clear),
            self.photos.box if self.photos else row(self.kind, self.toy_scene, self.put_toy),
            row(*self.moves.values()),
            row(self.other, self.swap),
        ]
        self.box = Fold("This cell", *rows)

    def refresh(self) -> None:
        """Show the current state."""
        state = self.state
        row, col = state.selected
        places = [(place(r, c), (r, c)) for r in range(state.n_rows) for c in range(state.n_cols)]
        for control in (self.which, self.other):
            if tuple(control.options) != tuple(places):
                control.options = places
        self.which.value = row, col
        described = describe(state, row, col)
        problem = html.escape(described.problem)
        alert = f'<div class="vcnb-error">{problem}</div>' if problem else ""
        self.heading.value = (
            f'<div class="vcnb-name">Chosen cell: {place(row, col)} ({html.escape(described.text)})</div>{alert}'
        )
        self.is_target.disabled = row != state.n_rows - 1
        self.is_target.value = state.is_target(row, col)
        if self.photos:
            self.photos.refresh()

    def _on_selected(self, method: Callable[..., object], *more: object) -> Callable[[], object]:
        return lambda: method(*self.state.selected, *more)

    def _select(self, cell: tuple[int, int] | None) -> None:
        if cell:
            self.state.select(*cell)

    def _mark(self, target: bool) -> None:
        row, col = self.state.selected
        if row != self.state.n_rows - 1:
            raise GridError(f"{place(row, col)} is in an example: only the last row has targets")
        self.state.mark(col, target)

    def _swap(self) -> None:
        if self.other.value is None:
            raise GridError(f"{place(*self.state.selected)}: choose the other cell to swap with")
        self.state.swap(self.state.selected, self.other.value)

    def _put_file(self, value: Any) -> None:
        with self.errors.muted():  # first of all: an unchanged value raises no event when the file is chosen again
            forget(self.file)
        row, col = self.state.selected
        for name, data in files(value):
            if len(data) > FILE_BYTES:
                size = f"{len(data) / 1e6:.1f} MB, over the limit of {FILE_BYTES / 1e6:.0f} MB"
                why = f"{place(row, col)}: {shorten(name)} is {size}: save a smaller version"
                self.state.refuse(row, col, why)
                raise ImageError(why)
            self.state.put(row, col, data, name)

    def _put_toy(self) -> None:
        self.errors.show_text("Drawing … (the first time it takes some seconds)")
        cell = gallery.toy_cell(self.kind.value, self.toy_scene.value)
        self.state.put(*self.state.selected, cell.image, cell.note, cell.origin, cell.sample)
        self.errors.clear()
