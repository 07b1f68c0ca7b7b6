"""Drop zone: takes the images that are dropped, pasted or chosen anywhere on the builder.

Photographs are shrunk in the browser before they are sent: Jupyter silently drops messages of some ten megabytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from visualcloze_nb.errors import ImageError, UsageError, shorten, shown
from visualcloze_nb.widgets.draft import Draft, place
from visualcloze_nb.widgets.error_output import ErrorOutput
from visualcloze_nb.widgets.placing import places
from visualcloze_nb.widgets.state import BuilderState

FILE_BYTES = 50_000_000  # larger files are refused before they are read
SENT_BYTES = 900_000  # largest message that the browser sends to the kernel
SIDE = 2048  # pixels: more than any stage of the model uses


class DropWidget(anywidget.AnyWidget):
    """The browser's side: listens on the whole builder, and sends each image as a message."""

    _esm = Path(__file__).parent / "drop_zone.js"
    limits = traitlets.Dict({"file": FILE_BYTES, "sent": SENT_BYTES, "side": SIDE}).tag(sync=True)


class DropZone:
    """Puts the images that come at once into cells: one step for undo.

    Args:
        state: of the builder.
        errors: shows what the handlers raise.

    Attributes:
        box: the widget.
    """

    def __init__(self, state: BuilderState, errors: ErrorOutput):
        self.state, self.errors = state, errors
        self.box = DropWidget()
        self._batch = ""
        self._before: Draft = state.draft
        self._places: list[tuple[int, int]] = []
        self._left: list[str] = []
        errors.connect("images", self.box, "msg", self._receive)

    def _receive(self, content: dict[str, Any], buffers: list) -> None:
        kind, state = content.get("kind"), self.state
        if kind == "failed":
            where = f"{shorten(content['name'])} cannot be fetched from {shorten(content['host'])}"
            raise ImageError(f"{where}: save the image, then drop or choose the file")
        if kind not in ("put", "refuse"):
            raise UsageError(f"the drop zone sent an unknown message, {shown(kind)}: run the cell again")
        if content["batch"] != self._batch:
            self._batch, self._before, self._left = content["batch"], state.draft, []
            at = content.get("at")
            with state.one_step(self._before):
                self._places = places(state, int(content["total"]), None if at is None else (int(at[0]), int(at[1])))
        number, name = int(content["number"]), str(content["name"])
        if number >= len(self._places):
            self._left.append(name)
            names = shorten(", ".join(self._left), 150)
            raise UsageError(f"{len(self._left)} did not fit: {names}. Add a row or a column, and drop them again")
        row, col = self._places[number]
        if kind == "refuse":
            state.refuse(row, col, f"{place(row, col)}: {name} {content['why']}")
            return
        with state.one_step(self._before):
            self._put(row, col, name, content.get("from"), bytes(buffers[0]))

    def _put(self, row: int, col: int, name: str, shrunk: list[int] | None, data: bytes) -> None:
        if len(data) > 1_000_000:
            raise ImageError(
                f"{place(row, col)}: {len(data)} bytes came, over the limit of a million: save a smaller image"
            )
        note = name + (f" ({shrunk[0]} x {shrunk[1]}, shrunk)" if shrunk else "")
        self.state.put(row, col, data, note)
        self.state.select(row, col)
