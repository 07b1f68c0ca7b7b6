"""The grid on the page, from ipywidgets alone: an image, its words and a button for every cell."""

from __future__ import annotations

import html

import ipywidgets
from PIL import Image

from visualcloze_nb.data.grid_image import blank
from visualcloze_nb.widgets.error_output import Guard
from visualcloze_nb.widgets.state import BuilderState, place
from visualcloze_nb.widgets.static_page import figure

SIDE = 112  # pixels of a drawn empty cell


def describe(state: BuilderState, row: int, col: int) -> tuple[str, str]:
    """Say what a cell is (`image`, `empty`, `target` or `answer`), and what is in it, in words."""
    cell = state.shown(row, col)
    if state.is_target(row, col):
        kind = "target" if cell.image is None else "answer"
        return kind, "target" if cell.image is None else f"target: {cell.note}"
    return ("empty", "empty") if cell.image is None else ("image", cell.note)


def complaint(state: BuilderState, row: int, col: int) -> str:
    """Say what is wrong at a cell: an image that was refused, or what is missing; else ""."""
    return state.refused.get((row, col)) or state.problems.get((row, col), "")


class PlainGrid:
    """Shows the cells and lets one be chosen.

    Args:
        state: what is shown.
        guard: catches what goes wrong.

    Attributes:
        box: the widget.
    """

    takes_files = False

    def __init__(self, state: BuilderState, guard: Guard):
        self.state, self.guard = state, guard
        self.box = ipywidgets.VBox()
        self._shape, self._cells = None, {}
        self.refresh()

    def refresh(self) -> None:
        """Show the state as it is now; widgets are kept where the shape is the same, and with them the focus."""
        shape = self.state.n_rows, self.state.n_cols
        if shape != self._shape:
            self._shape = shape
            self._cells = {(r, c): self._cell(r, c) for r in range(shape[0]) for c in range(shape[1])}
            self.box.children = [
                ipywidgets.HBox([self._label(r), *(ipywidgets.VBox(self._cells[r, c]) for c in range(shape[1]))])
                for r in range(shape[0])
            ]
        for (row, col), (image, button) in self._cells.items():
            chosen = (row, col) == self.state.selected
            image.value = self._drawn(row, col, chosen)
            button.description = f"{'● ' if chosen else ''}{place(row, col)}"

    def show_guess(self, col: int, image: Image.Image) -> None:
        """Show in a target what the model makes of it so far."""
        words = "target: forming"
        alt = f"{place(self.state.n_rows - 1, col)}: {words}"
        self._cells[self.state.n_rows - 1, col][0].value = figure(image, alt, words, classes="vcnb-target")

    def forget_guess(self) -> None:
        """Show the state again in place of a guess."""
        self.refresh()

    def _label(self, row: int) -> ipywidgets.HTML:
        text = "query" if row == self.state.n_rows - 1 else f"example {row + 1}"
        return ipywidgets.HTML(text, layout=ipywidgets.Layout(width="76px"))

    def _cell(self, row: int, col: int) -> tuple[ipywidgets.HTML, ipywidgets.Button]:
        width = ipywidgets.Layout(width="150px")
        image = ipywidgets.HTML(layout=width)
        button = ipywidgets.Button(tooltip=f"choose {place(row, col)}", layout=width)
        choose = f"choose {place(row, col)}"
        self.guard.wire(choose, button, "click", lambda: self.state.select(row, col), clears=False)
        return image, button

    def _drawn(self, row: int, col: int, chosen: bool) -> str:
        state = self.state
        kind, words = describe(state, row, col)
        image = state.shown(row, col).image
        if image is None:
            image = blank(SIDE, SIDE) if kind == "target" else Image.new("RGB", (SIDE, SIDE), "white")
        classes = f"{'vcnb-target' if kind in ('target', 'answer') else ''} {'vcnb-chosen' if chosen else ''}"
        drawn = figure(image, f"{place(row, col)}: {words}", words, classes=classes)
        wrong = complaint(state, row, col)
        if wrong:
            short = wrong if (row, col) in state.refused else wrong.removeprefix(f"{place(row, col)} is ")
            sign = '<span aria-hidden="true">⚠ </span>'
            drawn += f'<div class="vcnb-error" role="alert">{sign}{html.escape(short)}</div>'
        return drawn
