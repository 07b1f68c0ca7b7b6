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
        self.refresh()

    def refresh(self) -> None:
        """Show the current state; widgets, and with them the focus, are kept while the shape is the same."""
        shape = self.state.n_rows, self.state.n_cols
        if shape != self._shape:
            self._shape = shape
            self._cells = {(r, c): self._cell(r, c) for r in range(shape[0]) for c in range(shape[1])}
            self.box.children = [
                ipywidgets.HBox([self._label(r), *(ipywidgets.VBox(self._cells[r, c]) for c in range(shape[1]))])
                for r in range(shape[0])
            ]
        for (row, col), (image, button) in self._cells.items():
            selected = (row, col) == self.state.selected
            image.value = self._html(row, col, selected)
            button.description = f"{'● ' if selected else ''}{place(row, col)}"

    def show_preview(self, col: int, image: Image.Image) -> None:
        """Show an x0 preview in a target."""
        text = "target: preview"
        alt = f"{place(self.state.n_rows - 1, col)}: {text}"
        self._cells[self.state.n_rows - 1, col][0].value = figure(image, alt, text, classes="vcnb-target")

    def clear_previews(self) -> None:
        """Show the current state in place of the previews."""
        self.refresh()

    def _label(self, row: int) -> ipywidgets.HTML:
        text = "query" if row == self.state.n_rows - 1 else f"example {row + 1}"
        return ipywidgets.HTML(text, layout=ipywidgets.Layout(width="76px"))

    def _cell(self, row: int, col: int) -> tuple[ipywidgets.HTML, ipywidgets.Button]:
        width, name = ipywidgets.Layout(width="150px"), f"choose {place(row, col)}"
        button = ipywidgets.Button(tooltip=name, layout=width)
        self.errors.connect(name, button, "click", lambda: self.state.select(row, col), keeps_message=True)
        return ipywidgets.HTML(layout=width), button

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
