"""The grid on the page with drag and drop: the state of `plain_grid.PlainGrid`, drawn by JavaScript.

anywidget brings `grid_view.js` and `grid_view.css` to JupyterLab, Notebook 7, Colab and VS Code as they are.
Photographs are shrunk in the browser before they are sent: a message of some ten megabytes is lost without a word.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from PIL import Image

from visualcloze_nb.errors import ImageError
from visualcloze_nb.widgets.error_output import Guard
from visualcloze_nb.widgets.plain_grid import complaint, describe
from visualcloze_nb.widgets.state import BuilderState, place
from visualcloze_nb.widgets.static_page import thumb

HERE = Path(__file__).parent
FILE_BYTES = 50_000_000  # larger files are refused before they are read
SENT_BYTES = 900_000  # what arrives in the kernel, at most
SIDE = 2048  # pixels: more than any stage of the model looks at


@cache
def widget_class():
    """The anywidget class, made when it is first needed.

    Raises:
        ImportError: if anywidget is not installed.
    """
    import anywidget
    import traitlets

    class DropGrid(anywidget.AnyWidget):
        """`cells` are shown, `selected` is the chosen one; what the reader does comes as messages."""

        _esm = HERE / "grid_view.js"
        _css = HERE / "grid_view.css"
        cells = traitlets.List().tag(sync=True)
        headings = traitlets.List().tag(sync=True)
        selected = traitlets.List([0, 0]).tag(sync=True)
        limits = traitlets.Dict({"file": FILE_BYTES, "sent": SENT_BYTES, "side": SIDE}).tag(sync=True)

    return DropGrid


class DropGrid:
    """Shows the cells; files and cells can be dragged onto them, and everything can be done by keyboard.

    Args:
        state: what is shown.
        guard: catches what goes wrong.

    Raises:
        ImportError: if anywidget is not installed.
    """

    takes_files = True

    def __init__(self, state: BuilderState, guard: Guard):
        self.state, self.guard = state, guard
        self.box = widget_class()()
        guard.wire("grid view", self.box, "msg", self._heard)
        guard.wire("choose a cell", self.box, "selected", lambda at: state.select(*at), clears=False)
        self.refresh()

    def refresh(self) -> None:
        """Send the state as it is now."""
        state = self.state
        self.box.headings = [name or f"column {col + 1}" for col, name in enumerate(state.draft.names)]
        self.box.cells = [[self._sent(row, col) for col in range(state.n_cols)] for row in range(state.n_rows)]
        self.box.selected = list(state.selected)

    def show_guess(self, col: int, image: Image.Image) -> None:
        """Show in a target what the model makes of it so far."""
        data, kind = thumb(image)
        self.box.send({"kind": "guess", "row": self.state.n_rows - 1, "col": col, "mime": kind}, [data])

    def forget_guess(self) -> None:
        """Show the state again in place of a guess."""
        self.box.send({"kind": "draw"})

    def _sent(self, row: int, col: int) -> dict:
        state = self.state
        kind, words = describe(state, row, col)
        image = state.shown(row, col).image
        data, mime = (b"", "") if image is None else thumb(image)
        wrong = complaint(state, row, col)
        refused = (row, col) in state.refused
        short = wrong if refused else wrong.removeprefix(f"{place(row, col)} is ")
        return {"kind": kind, "words": words, "problem": short, "refused": refused, "image": data, "mime": mime}

    def _heard(self, content: dict, buffers: list) -> None:
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
                raise ValueError(f"{place(row, col)} is in an example: only the last row has targets")
            state.mark(col, not state.is_target(row, col))
        else:
            raise ValueError(f"the grid view sent {kind!r}, which means nothing here")

    def _put(self, row: int, col: int, content: dict, data: bytes) -> None:
        if len(data) > 1_000_000:
            raise ImageError(f"{place(row, col)}: {len(data)} bytes came, over the limit of a million")
        shrunk = content.get("from")
        note = str(content["name"]) + (f" ({shrunk[0]} x {shrunk[1]}, shrunk)" if shrunk else "")
        self.state.put(row, col, data, note)
        self.state.select(row, col)
