"""The grid with drag and drop: the state of a builder, drawn by JavaScript through anywidget.

Photographs are shrunk in the browser before they are sent: Jupyter silently drops messages of some ten megabytes.
"""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets
from PIL import Image

from visualcloze_nb.errors import ImageError, UsageError, shown
from visualcloze_nb.widgets.cell_text import caption_problem, describe
from visualcloze_nb.widgets.draft import place
from visualcloze_nb.widgets.error_output import ErrorOutput
from visualcloze_nb.widgets.notebook_output import thumbnail
from visualcloze_nb.widgets.state import BuilderState

HERE = Path(__file__).parent
FILE_BYTES = 50_000_000  # larger files are refused before they are read
SENT_BYTES = 900_000  # largest message that the browser sends to the kernel
SIDE = 2048  # pixels: more than any stage of the model uses


class GridWidget(anywidget.AnyWidget):
    """The browser's side: `cells` are drawn, `selected` is synchronised; what the reader does comes as messages."""

    _esm = HERE / "grid_view.js"
    _css = HERE / "grid_view.css"
    cells = traitlets.List().tag(sync=True)
    headings = traitlets.List().tag(sync=True)
    selected = traitlets.List([0, 0]).tag(sync=True)
    limits = traitlets.Dict({"file": FILE_BYTES, "sent": SENT_BYTES, "side": SIDE}).tag(sync=True)


class GridView:
    """Shows the cells; files and cells can be dragged onto them, and everything works by keyboard.

    Args:
        state: what is shown.
        errors: shows what the handlers raise.

    Attributes:
        box: the widget.
    """

    takes_files = True

    def __init__(self, state: BuilderState, errors: ErrorOutput):
        self.state = state
        self.box = GridWidget()
        errors.connect("grid view", self.box, "msg", self._receive)
        errors.connect("choose a cell", self.box, "selected", lambda cell: state.select(*cell), keeps_message=True)
        self.refresh()

    def refresh(self) -> None:
        """Send the current state to the browser."""
        state = self.state
        self.box.headings = [name or f"column {col + 1}" for col, name in enumerate(state.draft.names)]
        self.box.cells = [[self._sent(row, col) for col in range(state.n_cols)] for row in range(state.n_rows)]
        self.box.selected = list(state.selected)

    def show_preview(self, col: int, image: Image.Image) -> None:
        """Show an x0 preview in a target."""
        data, mime = thumbnail(image)
        self.box.send({"kind": "preview", "row": self.state.n_rows - 1, "col": col, "mime": mime}, [data])

    def clear_previews(self) -> None:
        """Show the current state in place of the previews."""
        self.box.send({"kind": "draw"})

    def _sent(self, row: int, col: int) -> dict[str, object]:
        described = describe(self.state, row, col)
        image = self.state.shown(row, col).image
        data, mime = (b"", "") if image is None else thumbnail(image)
        problem = caption_problem(self.state, row, col)
        texts = {"kind": described.kind, "text": described.text, "problem": problem, "refused": described.refused}
        return {**texts, "image": data, "mime": mime}

    def _receive(self, content: dict, buffers: list) -> None:
        kind, state = content.get("kind"), self.state
        if kind in ("undo", "redo"):
            getattr(state, kind)()
            return
        row, col = int(content["row"]), int(content["col"])
        if kind == "put":
            self._put(row, col, content, bytes(buffers[0]))
        elif kind == "refuse":
            state.refuse(row, col, f"{place(row, col)}: {content['name']} {content['why']}")
        elif kind == "swap":
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

    def _put(self, row: int, col: int, content: dict, data: bytes) -> None:
        if len(data) > 1_000_000:
            raise ImageError(
                f"{place(row, col)}: {len(data)} bytes came, over the limit of a million: save a smaller image"
            )
        shrunk = content.get("from")
        note = str(content["name"]) + (f" ({shrunk[0]} x {shrunk[1]}, shrunk)" if shrunk else "")
        self.state.put(row, col, data, note)
        self.state.select(row, col)
