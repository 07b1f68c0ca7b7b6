"""The grid in plain ipywidgets, without drag and drop: an image, its caption and a button for every cell."""

from __future__ import annotations

import html

import ipywidgets
from PIL import Image

from visualcloze_nb.data.grid_image import blank
from visualcloze_nb.widgets.cell_text import caption_problem, describe
from visualcloze_nb.widgets.draft import place
from visualcloze_nb.widgets.error_output import ErrorOutput
from visualcloze_nb.widgets.notebook_output import figure
from visualcloze_nb.widgets.state import BuilderState

SIDE = 112  # pixels of a drawn empty cell


class PlainGrid:
    """Shows the cells and lets one be selected.

    Args:
        state: what is shown.
        errors: shows what the handlers raise.

    Attributes:
        box: the widget.
    """

    takes_files = False

    def __init__(self, state: BuilderState, errors: ErrorOutput):
        self.state, self.errors = state, errors
        self.box = ipywidgets.VBox()
        self._shape: tuple[int, int] | None = None
        self._cells: dict[tuple[int, int], tuple[ipywidgets.HTML, ipywidgets.Button]] = {}
        self._places: dict[tuple[int, int], ipywidgets.VBox] = {}
        self._rows: dict[int, tuple[ipywidgets.HTML, ipywidgets.HBox]] = {}
        self.refresh()

    def refresh(self) -> None:
        """Show the current state; widgets, and with them the focus, are kept while the shape is the same."""
        shape = self.state.n_rows, self.state.n_cols
        if shape != self._shape:
            self._shape = shape
            self.box.children = [self._row(r) for r in range(shape[0])]
        for row in range(shape[0]):
            for col in range(shape[1]):
                image, button = self._cells[row, col]
                selected = (row, col) == self.state.selected
                image.value = self._html(row, col, selected)
                button.description = f"{'● ' if selected else ''}{place(row, col)}"

    def focus(self) -> None:
        """Plain buttons cannot be focused from here; the selected one is marked."""

    def show_preview(self, col: int, image: Image.Image) -> None:
        """Show an x0 preview in a target."""
        text = "target: preview"
        alt = f"{place(self.state.n_rows - 1, col)}: {text}"
        self._cells[self.state.n_rows - 1, col][0].value = figure(image, alt, text, classes="vcnb-target")

    def clear_previews(self) -> None:
        """Show the current state in place of the previews."""
        self.refresh()

    def _row(self, row: int) -> ipywidgets.HBox:
        """A row, its widgets made once."""
        if row not in self._rows:
            self._rows[row] = ipywidgets.HTML(layout={"width": "66px"}), ipywidgets.HBox()
        label, box = self._rows[row]
        label.value = "query" if row == self.state.n_rows - 1 else f"example {row + 1}"
        for col in range(self.state.n_cols):
            if (row, col) not in self._cells:
                self._cells[row, col] = self._cell(row, col)
                self._places[row, col] = ipywidgets.VBox(self._cells[row, col], layout={"flex": "0 1 140px"})
        box.children = [label, *(self._places[row, col] for col in range(self.state.n_cols))]
        return box

    def _cell(self, row: int, col: int) -> tuple[ipywidgets.HTML, ipywidgets.Button]:
        name = f"choose {place(row, col)}"
        button = ipywidgets.Button(tooltip=name, layout={"width": "auto"})
        self.errors.connect(name, button, "click", lambda: self.state.select(row, col), keeps_message=True)
        return ipywidgets.HTML(), button

    def _html(self, row: int, col: int, selected: bool) -> str:
        described = describe(self.state, row, col)
        image = self.state.shown(row, col).image
        if image is None:
            image = blank(SIDE, SIDE) if described.kind == "target" else Image.new("RGB", (SIDE, SIDE), "white")
        is_target = described.kind in ("target", "prediction")
        classes = f"{'vcnb-target' if is_target else ''} {'vcnb-chosen' if selected else ''}"
        shown = figure(image, f"{place(row, col)}: {described.text}", described.text, classes=classes)
        if described.problem:
            problem = html.escape(caption_problem(self.state, row, col))
            shown += f'<div class="vcnb-error" role="alert"><span aria-hidden="true">⚠ </span>{problem}</div>'
        return shown
