"""Grid builder: assemble a grid, run it, watch the answer form, compare it, save it.

A view over `BuilderState`: each control calls one of its methods, and every change is displayed from the state alone.
"""

from __future__ import annotations

import html
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ipywidgets import HTML, Box, Button, VBox
from PIL import Image

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.result import Result
from visualcloze_nb.settings import TINY_RESOLUTION
from visualcloze_nb.widgets.arguments import checked_pipe, opened
from visualcloze_nb.widgets.cell_form import CellForm
from visualcloze_nb.widgets.controls import button, row
from visualcloze_nb.widgets.draft import Draft
from visualcloze_nb.widgets.drop_zone import DropZone
from visualcloze_nb.widgets.error_output import ErrorOutput
from visualcloze_nb.widgets.grid_view import GridView
from visualcloze_nb.widgets.history import History, PastRun
from visualcloze_nb.widgets.notebook_output import NotebookOutput, StaticImage
from visualcloze_nb.widgets.plain_grid import PlainGrid
from visualcloze_nb.widgets.prompt_form import PromptForm
from visualcloze_nb.widgets.run_estimate import resolution_of
from visualcloze_nb.widgets.run_panel import RunPanel
from visualcloze_nb.widgets.state import MAX_SIDE, BuilderState
from visualcloze_nb.widgets.still import still
from visualcloze_nb.widgets.task_picker import TaskPicker
from visualcloze_nb.widgets.ways_out import WaysOut

if TYPE_CHECKING:
    from visualcloze_nb.pipelines.combined import VisualClozePipeline

INVITATION = (
    "Put images into the cells, or start from an example task. Then run: the model fills the target, marked “?”."
)


class GridBuilder:
    """A form that builds grids and runs them.

    Args:
        grid: the initial grid; by default three empty rows of two cells. Also its rows, or the path of a PNG that the
            builder saved or of a folder of images.
        pipe: a pipeline, or a name for `visualcloze_nb.load`; it is loaded on the first run.
        drag_and_drop: whether files and cells can be dragged. False shows the grid in plain ipywidgets, for
            front ends that block other scripts.

    Attributes:
        state: the grid under construction.
        panel: the run panel.
        history: past runs.

    Raises:
        GridError: if `grid` is no grid and cannot be made one.
        UsageError: if `pipe` is no pipeline and no name of one.
    """

    def __init__(
        self,
        grid: Grid | list | str | os.PathLike[str] | None = None,
        pipe: VisualClozePipeline | str = "tiny",
        *,
        drag_and_drop: bool = True,
    ):
        draft, settings = opened(grid)
        pipe = checked_pipe(pipe)
        self.state = state = BuilderState(draft)
        self.errors = errors = ErrorOutput()
        self._started: tuple[Draft, dict[str, Any]] | None = None
        self._current: PastRun | None = None
        self._ending = False
        self._listeners: list[Callable[[GridBuilder], object]] = []
        self.cells = (GridView if drag_and_drop else PlainGrid)(state, errors)
        resolution = resolution_of(pipe)
        photographs = resolution is None or resolution > TINY_RESOLUTION  # else the model knows little but toys
        self.picker = TaskPicker(state, errors, photographs, self.cells.focus, plain=not drag_and_drop)
        self.picker.box.fold(grid is not None)
        self.cell_form = CellForm(state, errors, photographs=photographs)
        self.files = DropZone(state, errors).box if drag_and_drop else self.cell_form.file_row
        self.prompt_form = PromptForm(state, errors)
        self.panel = RunPanel(
            lambda: self.grid,
            pipe,
            errors=errors,
            before_run=self._before_run,
            on_preview=self._show_preview,
            on_result=self._take_result,
            on_end=self._end_run,
        )
        self.history = History(errors, self._go_back, plain=not drag_and_drop)
        self.ways_out = WaysOut(state, errors, lambda: self._current, lambda: self.panel.call, self.panel.take_settings)
        self.facts = HTML()
        self.facts.add_class("vcnb-facts")
        self.buttons: dict[str, Button] = {}
        shape = row(
            self._button("Add row", lambda: state.resize(state.n_rows + 1, state.n_cols), "plus"),
            self._button("Remove row", lambda: state.resize(state.n_rows - 1, state.n_cols), "minus"),
            self._button("Add column", lambda: state.resize(state.n_rows, state.n_cols + 1), "plus"),
            self._button("Remove column", lambda: state.resize(state.n_rows, state.n_cols - 1), "minus"),
            self._button("Undo", self._undo, "undo"),
            self._button("Redo", self._redo, "repeat"),
        )
        shape.add_class("vcnb-shape")
        backwards = self._button("Run it backwards", self.run_backwards, "exchange")
        left = VBox(
            [
                shape,
                self.cells.box,
                self.files,
                self.facts,
                self.prompt_form.names_row,
                self.prompt_form.box,
                self.cell_form.box,
            ]
        )
        right = VBox([self.panel.box, row(backwards), self.history.box, self.panel.settings_form, self.ways_out.box])
        columns = Box([left.add_class("vcnb-left"), right.add_class("vcnb-right")]).add_class("vcnb-columns")
        self.box = VBox(
            [HTML(f'<div class="vcnb-name">Grid builder</div><div>{INVITATION}</div>'), self.picker.box, columns]
        )
        self._output = NotebookOutput(self.box, self.still)
        self._displayed = state.draft
        if settings:
            self.panel.take_settings(settings)
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
            folder: where to save images as PNG; by default small ones are embedded in the code, and others saved in
                a new folder beside the notebook.

        Raises:
            GridError: if the grid is incomplete.
        """
        return self.ways_out.write_code(folder)[0]

    def on_change(self, listener: Callable[[GridBuilder], object]) -> None:
        """Call `listener(builder)` after every change of the grid, and after every run."""
        self._listeners.append(listener)

    def run_backwards(self) -> None:
        """Make the predictions conditions and the conditions targets, and run that.

        Raises:
            GridError: if there is no prediction yet, or no condition to predict.
        """
        self.state.reverse()
        self.panel.run()

    def show(self) -> None:
        """Display the builder: the grid as a static image, and the live form."""
        self._output.show()

    _ipython_display_ = show

    def still(self) -> StaticImage:
        """The grid, complete or not, as one image."""
        return still(self.state)

    # Handlers -----------------------------------------------------------------------------------------------

    def _button(self, label: str, handler: Callable[[], object], icon: str) -> Button:
        self.buttons[label] = made = button(self.errors, label, handler, icon)
        return made

    def _undo(self) -> None:
        if not self.state.undo():
            self.errors.show_text("There is nothing to undo.")

    def _redo(self) -> None:
        if not self.state.redo():
            self.errors.show_text("There is nothing to redo.")

    def _before_run(self) -> None:
        try:
            self.state.try_to_run()
        except ValueError:
            self.cells.focus()
            raise
        if not self.panel.running:
            self._started = self.state.draft, self.panel.settings

    def _show_preview(self, number: int, image: Image.Image) -> None:
        grid = self.panel.running_grid
        if grid is not None and self._started and self._started[0].same_images(self.state.draft):
            self.cells.show_preview(grid.targets[number], image)

    def _take_result(self, result: Result) -> None:
        assert self._started is not None
        self._ending = True
        self._current = run = PastRun(self._started[0], result, self._started[1])
        self.history.add(run)
        if run.draft.same_images(self.state.draft):
            self.state.set_predictions(result.images, f"from the model, seed {result.seed}", run.draft.texts)
        else:
            self.errors.show_text("The grid was changed during the run: the answer is that of the grid that was run.")
            self.refresh()

    def _end_run(self) -> None:
        self.cells.clear_previews()
        self._show_answer(ended=True)
        self._ending = False
        self._tell()

    def _go_back(self, run: PastRun) -> None:
        self._current = run
        self.state.open(run.answered)
        self.panel.take_settings(run.settings)
        self.errors.show_text(f"This is the grid that was run with seed {run.result.seed}. Undo brings back the other.")

    def _tell(self) -> None:
        if self._ending:  # listeners are told once, when the run has ended and the next may start
            return
        for listener in list(self._listeners):
            try:
                listener(self)
            except Exception as error:
                self.errors.show_error(error, "what on_change calls")

    # Display ------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show the current state."""
        with self.errors.muted():
            draft = self.state.draft
            for part in (self.cells, self.cell_form):
                part.refresh()
            if draft is not self._displayed or not self.facts.value:
                self.prompt_form.refresh()
                self.panel.refresh()
            self.facts.value = self._facts()
            self._show_buttons()
            if draft is self._displayed:
                return
            self._displayed = draft
            self.ways_out.python.value = ""
            self._show_answer()
            self._output.update()
        self._tell()

    def _show_buttons(self) -> None:
        state = self.state
        disabled = {
            "Add row": state.n_rows >= MAX_SIDE,
            "Remove row": state.n_rows <= 1,
            "Add column": state.n_cols >= MAX_SIDE,
            "Remove column": state.n_cols <= 1,
            "Undo": not state.can_undo,
            "Redo": not state.can_redo,
            "Run it backwards": not state.draft.predictions,
        }
        for label, value in disabled.items():
            self.buttons[label].disabled = value

    def _show_answer(self, ended: bool = False) -> None:
        if self._current is not None and (ended or not self.panel.running):
            self.panel.previews.value = self._current.html(outdated=not self._current.is_of(self.state.draft))

    def _facts(self) -> str:
        state = self.state
        if not state.problem:
            return "✓ Ready to run."
        if state.tried:
            return f'<span aria-hidden="true">⚠</span> Not ready: {html.escape(state.problem)}'
        empty = len(state.problems)
        return (
            f"{empty} cell{'s' if empty > 1 else ''} to fill before it can run."
            if empty
            else html.escape(state.problem)
        )
