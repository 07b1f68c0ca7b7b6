"""Grid builder: assemble a grid, run it, watch the previews, and reverse it.

A view over `BuilderState`: each control calls one of its methods, and every change is displayed from the state alone.
"""

from __future__ import annotations

import html
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ipywidgets import HTML, Button, Dropdown, VBox
from PIL import Image

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.grid_image import blank
from visualcloze_nb.data.prompts import layout_prompt
from visualcloze_nb.data.result import Result
from visualcloze_nb.errors import GridError, UsageError, shown
from visualcloze_nb.settings import TINY_RESOLUTION
from visualcloze_nb.widgets import gallery, photo_gallery
from visualcloze_nb.widgets.cell_form import CellForm
from visualcloze_nb.widgets.cell_text import describe
from visualcloze_nb.widgets.code_export import code
from visualcloze_nb.widgets.controls import FULL_LABEL, button, number, row
from visualcloze_nb.widgets.draft import place
from visualcloze_nb.widgets.error_output import ErrorOutput
from visualcloze_nb.widgets.grid_view import GridView
from visualcloze_nb.widgets.notebook_output import NotebookOutput, StaticImage
from visualcloze_nb.widgets.plain_grid import PlainGrid
from visualcloze_nb.widgets.prompt_form import PromptForm
from visualcloze_nb.widgets.run_estimate import resolution_of
from visualcloze_nb.widgets.run_panel import RunPanel
from visualcloze_nb.widgets.state import MAX_SIDE, BuilderState

if TYPE_CHECKING:
    from visualcloze_nb.pipelines.combined import VisualClozePipeline

SHOWN_CODE = 20_000  # characters; longer code is not displayed


class GridBuilder:
    """A form that builds grids and runs them.

    Args:
        grid: the initial grid; by default three empty rows of two cells.
        pipe: a pipeline, or a name for `visualcloze_nb.load`; it is loaded on the first run.
        drag_and_drop: whether files and cells can be dragged. False shows the grid in plain ipywidgets, for
            front ends that block other scripts.

    Attributes:
        state: the grid under construction.
        panel: the run panel.
    """

    def __init__(
        self, grid: Grid | None = None, pipe: VisualClozePipeline | str = "tiny", *, drag_and_drop: bool = True
    ):
        if grid is not None and not isinstance(grid, Grid):
            raise GridError(f"grid is {shown(grid)}: make a Grid of the rows first")
        if not hasattr(pipe, "resolution") and not isinstance(pipe, (str, os.PathLike)):
            raise UsageError(f"pipe is {shown(pipe)}: give a pipeline, or a name for load")
        self.state = state = BuilderState(grid)
        self.errors = errors = ErrorOutput()
        self.cells = (GridView if drag_and_drop else PlainGrid)(state, errors)
        resolution = resolution_of(pipe)
        photographs = resolution is None or resolution > TINY_RESOLUTION  # else the model knows the toy world alone
        self._tasks: Any = photo_gallery if photographs else gallery
        self.cell_form = CellForm(state, errors, with_files=not self.cells.takes_files, photographs=photographs)
        self.prompt_form = PromptForm(state, errors)
        self.panel = RunPanel(
            lambda: self.grid,
            pipe,
            errors=errors,
            on_preview=self._show_preview,
            on_result=self._take_result,
            on_end=self.cells.clear_previews,
        )
        self.facts, self.python = HTML(), HTML()
        self.facts.add_class("vcnb-facts")
        self.gallery: Any = Dropdown(options=self._tasks.choices(), style=FULL_LABEL)
        self.gallery.description, self.gallery.layout.width = "Example task", "440px"
        self.scene = self._tasks.scene_control()
        self.examples = number("Examples", 2, 0, MAX_SIDE - 1)
        self.buttons: dict[str, Button] = {}
        self.box = VBox(
            [
                errors.message,
                row(self.gallery, self.scene, self.examples, self._button("Open task", self._open, "folder-open")),
                row(
                    self._button("Add row", lambda: state.resize(state.n_rows + 1, state.n_cols), "plus"),
                    self._button("Remove row", lambda: state.resize(state.n_rows - 1, state.n_cols), "minus"),
                    self._button("Add column", lambda: state.resize(state.n_rows, state.n_cols + 1), "plus"),
                    self._button("Remove column", lambda: state.resize(state.n_rows, state.n_cols - 1), "minus"),
                    self._button("Undo", self._undo, "undo"),
                    self._button("Redo", self._redo, "repeat"),
                ),
                self.cells.box,
                self.cell_form.box,
                self.prompt_form.box,
                self.facts,
                self.panel.box,
                row(
                    self._button("Reverse: swap predictions and conditions", state.reverse, "exchange"),
                    self._button("Show the Python", self._show_code, "code"),
                ),
                self.python,
            ]
        )
        self._output = NotebookOutput(self.box, self.still)
        self._displayed = state.draft
        state.observe(self.refresh)
        self.refresh()

    # Public -------------------------------------------------------------------------------------------------

    @property
    def grid(self) -> Grid:
        """The grid as built.

        Raises:
            GridError: if it is incomplete; the message names the first such cell.
        """
        return self.state.grid

    @property
    def result(self) -> Result | None:
        """The result of the last run, or None."""
        return self.panel.result

    def code(self, folder: str | os.PathLike[str] | None = None) -> str:
        """Write Python code that recreates the grid, and as its last line the call of `fill` with the panel's settings.

        Args:
            folder: where to save images as PNG; by default they are embedded in the code.

        Raises:
            GridError: if the grid is incomplete.
        """
        return f"{code(self.state, folder)}# {self.panel.call}\n"

    def show(self) -> None:
        """Display the builder: the grid as a static image, and the live form."""
        self._output.show()

    _ipython_display_ = show

    def still(self) -> StaticImage:
        """The grid, complete or not, as one image."""
        state = self.state
        rows = [[state.shown(r, c).image for c in range(state.n_cols)] for r in range(state.n_rows)]
        for images in rows:  # a Grid has no empty cells in its examples
            width, height = next((image.size for image in images if image is not None), (64, 64))
            empty = blank(64, max(1, round(64 * height / width)))
            images[:] = [empty if image is None else image for image in images]
        names = state.draft.names if all(state.draft.names) else None
        image = Grid(rows).image(titles=names, outline=sorted(state.draft.targets))
        cells = [
            f"{place(r, c)}: {describe(state, r, c).text}" for r in range(state.n_rows) for c in range(state.n_cols)
        ]
        return StaticImage(image, f"Grid builder. {'; '.join(cells)}.")

    # Handlers -----------------------------------------------------------------------------------------------

    def _button(self, label: str, handler: Callable[[], object], icon: str) -> Button:
        self.buttons[label.partition(":")[0]] = made = button(self.errors, label, handler, icon)
        return made

    def _open(self) -> None:
        task = self.gallery.value
        self.errors.show_text("Making the images … (the first time it takes some seconds)")
        self.state.open(self._tasks.open_task(task, self.scene.value, self.examples.value))
        self.state.select(self.state.n_rows - 1, min(self.state.draft.targets))
        self.errors.show_text(self._tasks.about(task))

    def _undo(self) -> None:
        if not self.state.undo():
            self.errors.show_text("There is nothing to undo.")

    def _redo(self) -> None:
        if not self.state.redo():
            self.errors.show_text("There is nothing to redo.")

    def _show_code(self) -> None:
        text = self.code()
        if len(text) > SHOWN_CODE:
            text = (
                f"# {len(text)} characters, most of them images. Too long to show here.\n"
                "# builder.code() returns them all; builder.code(folder='images') saves the images as files.\n"
            )
        self.python.value = f'<pre tabindex="0" aria-label="Python that makes this grid">{html.escape(text)}</pre>'

    def _show_preview(self, number: int, image: Image.Image) -> None:
        grid = self.panel.running_grid
        if grid is not None and grid.targets == tuple(sorted(self.state.draft.targets)):
            self.cells.show_preview(grid.targets[number], image)

    def _take_result(self, result: Result) -> None:
        if self.state.problem or self.grid != result.grid:
            self.errors.show_text("The grid was changed during the run: the result is below, and in builder.result.")
            self.refresh()
            return
        self.state.set_predictions(result.images, f"from the model, seed {result.seed}")

    # Display ------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show the current state."""
        with self.errors.muted():
            state, draft = self.state, self.state.draft
            for part in (self.cells, self.cell_form, self.prompt_form, self.panel):
                part.refresh()
            disabled = {
                "Add row": state.n_rows >= MAX_SIDE,
                "Remove row": state.n_rows <= 1,
                "Add column": state.n_cols >= MAX_SIDE,
                "Remove column": state.n_cols <= 1,
                "Undo": not state.can_undo,
                "Redo": not state.can_redo,
                "Reverse": not draft.predictions,
            }
            for label, value in disabled.items():
                self.buttons[label].disabled = value
            layout = html.escape(layout_prompt(state.n_rows, state.n_cols))
            problem = html.escape(state.problem)
            ready = f'<span aria-hidden="true">⚠</span> Not ready: {problem}' if problem else "✓ Ready to run."
            self.facts.value = f"Layout prompt: {layout}<br>{ready}"
            if draft is not self._displayed:
                self._displayed = draft
                self.python.value = ""
                self._output.update()
