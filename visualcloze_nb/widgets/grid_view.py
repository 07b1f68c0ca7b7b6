"""The grid, drawn by JavaScript through anywidget: cells can be dragged, and everything works by keyboard.

A change sends one message of texts; an image is sent once, when the browser first asks for it.
"""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets
from PIL import Image

from visualcloze_nb.errors import UsageError, shown
from visualcloze_nb.widgets.cell_text import caption_problem, describe
from visualcloze_nb.widgets.draft import place
from visualcloze_nb.widgets.error_output import ErrorOutput
from visualcloze_nb.widgets.state import BuilderState
from visualcloze_nb.widgets.thumbnails import small, thumbnail

HERE = Path(__file__).parent


class GridWidget(anywidget.AnyWidget):
    """The browser's side: `view` is drawn, `selected` is synchronised; what the reader does comes as messages."""

    _esm = HERE / "grid_view.js"
    view = traitlets.Dict().tag(sync=True)
    selected = traitlets.List([0, 0]).tag(sync=True)


class GridView:
    """Shows the cells.

    Args:
        state: what is shown.
        errors: shows what the handlers raise.

    Attributes:
        box: the widget.
    """

    takes_files = True

    def __init__(self, state: BuilderState, errors: ErrorOutput):
        self.state, self.errors = state, errors
        self.box = GridWidget()
        errors.connect("grid view", self.box, "msg", self._receive, keeps_message=True)
        errors.connect("choose a cell", self.box, "selected", lambda cell: state.select(*cell), keeps_message=True)
        self.refresh()

    def refresh(self) -> None:
        """Send the current state to the browser, as one message."""
        state = self.state
        headings = [name or f"column {col + 1}" for col, name in enumerate(state.draft.names)]
        cells = [[self._sent(row, col) for col in range(state.n_cols)] for row in range(state.n_rows)]
        with self.box.hold_sync():
            self.box.view = {"cells": cells, "headings": headings}
            self.box.selected = list(state.selected)

    def focus(self) -> None:
        """Move the keyboard's focus to the selected cell."""
        self.box.send({"kind": "focus"})

    def show_preview(self, col: int, image: Image.Image) -> None:
        """Show an x0 preview in a target."""
        data, mime = thumbnail(image)
        self.box.send({"kind": "preview", "row": self.state.n_rows - 1, "col": col, "mime": mime}, [data])

    def clear_previews(self) -> None:
        """Show the current state in place of the previews."""
        self.box.send({"kind": "draw"})

    def _sent(self, row: int, col: int) -> dict[str, object]:
        described = describe(self.state, row, col)
        cell = self.state.shown(row, col)
        texts = {"kind": described.kind, "text": described.text, "problem": caption_problem(self.state, row, col)}
        return {**texts, "image": "" if cell.image is None else small(cell).key}

    def _send_images(self, keys: list[str]) -> None:
        cells = [self.state.shown(r, c) for r in range(self.state.n_rows) for c in range(self.state.n_cols)]
        there = {made.key: made for made in (small(cell) for cell in cells if cell.image is not None)}
        sent = [there[key] for key in keys if key in there]
        mimes = [made.mime for made in sent]
        message = {"kind": "images", "asked": keys, "keys": [made.key for made in sent], "mimes": mimes}
        self.box.send(message, [made.data for made in sent])

    def _receive(self, content: dict, buffers: list) -> None:
        kind, state = content.get("kind"), self.state
        if kind == "want":
            self._send_images(content["keys"])
            return
        self.errors.clear()
        if kind in ("undo", "redo"):
            getattr(state, kind)()
            return
        row, col = int(content["row"]), int(content["col"])
        if kind == "swap":
            state.swap((row, col), (int(content["to_row"]), int(content["to_col"])))
            state.select(int(content["to_row"]), int(content["to_col"]))
        elif kind == "clear":
            state.clear(row, col)
        elif kind == "mark":
            if row != state.n_rows - 1:
                raise UsageError(f"{place(row, col)} is in an example: only the last row has targets")
            state.mark(col, not state.is_target(row, col))
        else:
            raise UsageError(f"the grid view sent an unknown message, {shown(kind)}: run the cell again")
