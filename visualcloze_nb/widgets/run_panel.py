"""Run panel: settings, estimate, progress, live previews, and a way to cancel."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets
from PIL import Image

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.result import Result
from visualcloze_nb.errors import BusyError, Cancelled
from visualcloze_nb.settings import TEXT_TOKENS, TINY_TEXT_TOKENS, UPSCALING
from visualcloze_nb.widgets.background_run import BackgroundRun
from visualcloze_nb.widgets.controls import Fold, button, row
from visualcloze_nb.widgets.error_output import ErrorOutput
from visualcloze_nb.widgets.notebook_output import NotebookOutput, figure, figures
from visualcloze_nb.widgets.run_estimate import RunCost, estimate_seconds, record_speed, resolution_of, run_cost
from visualcloze_nb.widgets.run_settings import RunSettings

if TYPE_CHECKING:
    from visualcloze_nb.pipelines.combined import VisualClozePipeline


class RunPanel(RunSettings):
    """Fills a grid with a model, and shows previews while it runs.

    Args:
        grid: a `Grid`, or a function that returns the current one.
        pipe: a pipeline, or a name for `load`; it is loaded on the first run.
        errors: where messages are shown; by default the panel's own output.
        before_run: called before a run starts; what it raises refuses the run.
        on_preview: called as `on_preview(number, image)` with the x0 prediction for target `number`, from 0.
        on_result: called with the `Result`.
        on_end: called when a run ends, also after an error or a cancellation.

    Attributes:
        background: the run, which holds the pipeline.
        buttons: the buttons by label.
        result: of the last completed run, or None.
        running_grid: the grid of the last run, or None.
        box: the widget, to be placed into another one; `show()` displays the panel by itself.
    """

    def __init__(
        self,
        grid: Grid | Callable[[], Grid],
        pipe: VisualClozePipeline | str = "tiny",
        *,
        errors: ErrorOutput | None = None,
        before_run: Callable[[], object] | None = None,
        on_preview: Callable[[int, Image.Image], object] | None = None,
        on_result: Callable[[Result], object] | None = None,
        on_end: Callable[[], object] | None = None,
    ):
        self._grid = (lambda: grid) if isinstance(grid, Grid) else grid
        self.before_run, self.on_preview, self.on_result, self.on_end = before_run, on_preview, on_result, on_end
        self.background = BackgroundRun(pipe, self._count_step, self._take_previews, self._end)
        self.result: Result | None = None
        self.running_grid: Grid | None = None
        self._previews: dict[int, tuple[Image.Image, str]] = {}
        self.buttons: dict[str, ipywidgets.Button] = {}
        self._enabled_while_running: dict[str, bool] = {}
        self.errors = ErrorOutput() if errors is None else errors
        self._make_settings()
        self.progress = ipywidgets.IntProgress(0, 0, 1, layout={"width": "auto", "display": "none"})
        self.progress.add_class("vcnb-progress")
        self.estimate, self.status, self.previews = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        self.estimate.add_class("vcnb-facts")
        self.status.add_class("vcnb-status")
        self.settings_form = self._settings_form()
        alone = errors is None
        self.box = ipywidgets.VBox([*([self._grid_figure()] if alone else []), *self._controls()])
        if alone:
            self.box.children = [*self.box.children, self.settings_form]
        self._output = NotebookOutput(self.box, self._still)
        self.refresh()

    def show(self) -> None:
        """Display the panel, with the grid or the result as its static image."""
        self._output.show()

    _ipython_display_ = show

    def _still(self) -> Grid | Result:
        return self._grid() if self.result is None else self.result

    # Controls -----------------------------------------------------------------------------------------------

    def _controls(self) -> list[Any]:
        """The panel from top to bottom. A new button is one `self._button(...)` here, and its handler."""
        return [
            row(
                self._button("Run", self.run, icon="play", style="primary", while_running=False),
                self._button("Cancel", self.cancel, icon="stop", while_running=True),
                ipywidgets.HBox([self.seed, self._button("Random seed", self.random_seed, icon="random")]),
            ),
            self.errors.message,
            self.progress,
            self.status,
            self.estimate,
            self.previews,
        ]

    def _settings_form(self) -> Fold:
        return Fold(
            "Settings",
            row(self.draft, self.no_stage2),
            row(self.steps, self.guidance),
            self.strength,
            self.upsampling_steps,
            self.size,
        )

    def _grid_figure(self) -> ipywidgets.HTML:
        try:
            grid = self._grid()
        except ValueError:  # still incomplete
            return ipywidgets.HTML()
        return ipywidgets.HTML(figure(grid.image(cell=64), grid.alt, "", 480, "vcnb-sheet"))

    def _button(
        self,
        label: str,
        handler: Callable[[], object],
        icon: str = "",
        style: str = "",
        while_running: bool | None = None,
    ) -> ipywidgets.Button:
        """Make a button; it is enabled only during a run (True), only between runs (False), or always (None)."""
        made = self.buttons[label] = button(self.errors, label, handler, icon, style)
        if while_running is not None:
            self._enabled_while_running[label], made.disabled = while_running, while_running
        return made

    def _set_running(self, running: bool, status: str) -> None:
        for label, while_running in self._enabled_while_running.items():
            self.buttons[label].disabled = running != while_running
        self.progress.value = 0 if running else self.progress.value
        self.progress.layout.display = None if running else "none"
        self.status.value = html.escape(status)

    # Estimate ----------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether a run is in progress."""
        return self.background.running

    def refresh(self) -> None:
        """Update the estimate and what can be set; another grid brings the settings that it recommends."""
        self._refresh_settings()
        self.estimate.value = html.escape(self.estimate_text())

    def run_cost(self, grid: Grid, settings: dict[str, Any] | None = None) -> RunCost | None:
        """Count the tokens and steps of a run.

        Args:
            grid: the grid to be filled.
            settings: as in `settings`; by default the current ones.

        Returns:
            the cost, or None while the model's resolution is unknown.
        """
        resolution, settings = resolution_of(self.pipe), settings or self.settings
        if resolution is None:
            return None
        text = TINY_TEXT_TOKENS if self.background.model_name == "tiny" else TEXT_TOKENS
        if not isinstance(self.pipe, str):
            text = min(TEXT_TOKENS, self.pipe.tokenizer_2.model_max_length)
        size, steps = settings.get("size", UPSCALING), settings.get("upsampling_steps")
        return run_cost(grid, resolution, settings["steps"], settings["strength"], size, text, steps)

    def estimate_text(self) -> str:
        """Say how many tokens a run has and how long it should take."""
        try:
            cost = self.run_cost(self._grid())
        except ValueError:
            return "Tokens and seconds: known once the grid is complete."
        if cost is None:
            return "Tokens and seconds: known once the model is loaded."
        text = f"{cost.tokens} image tokens"
        if cost.large:
            text += f", in stage 2 {cost.large}" + (f" for each of {cost.targets}" if cost.targets > 1 else "")
        seconds, measured = estimate_seconds(self.background.model_name, cost)
        if seconds is None:
            return f"{text}. Seconds: known after the first run."
        basis = "at the speed of the last run" if measured else "assumed; a first run measures it"
        return f"{text}. About {seconds:.1f} s ({basis})."

    # The run ------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Start to fill the grid in the background.

        Raises:
            GridError: if the grid is incomplete.
            BusyError: if a run is in progress.
        """
        if self.before_run is not None:
            self.before_run()
        grid = self._grid().require_targets()
        with self.errors.lock:  # the run's first report waits for the lines below
            settings = grid, self.settings
            try:
                self.background.start(*settings)
            except BusyError:
                self._offer_cancel()
                raise
            self._started_with, self.running_grid, self._previews = settings, grid, {}
            self._set_running(True, "Loading the model …")

    def cancel(self) -> None:
        """Cancel the run at the transformer's next block; where another one holds the pipeline, that."""
        for run in [self.background] if self.running else self.background.holders():
            run.cancel()
        if self.running:
            self.status.value = "Cancelling …"
        else:
            self._set_running(False, "The other run is being cancelled, or has ended: run again in a moment.")

    def _offer_cancel(self) -> None:
        if self.background.holders():
            self.buttons["Cancel"].disabled = False
            self.status.value = "Another builder or panel runs on this pipeline: Cancel stops it."

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the run to end, at most `timeout` seconds."""
        self.background.wait(timeout)

    def _end(self, outcome: Result | Exception, seconds: float, caught: list[Warning]) -> None:
        status = f"Failed after {seconds:.1f} s. The grid is unchanged."
        with self.errors.lock:
            try:
                if isinstance(outcome, Result):
                    self._take_result(outcome, seconds)
                    self.errors.show_warnings(caught)
                    status = f"Done in {seconds:.1f} s, seed {outcome.seed}."
                elif isinstance(outcome, Cancelled):
                    status = "Cancelled. The grid is unchanged."
                else:
                    self.errors.show_error(outcome, "run")
            except Exception as error:
                self.errors.show_error(error, "run")
            self._set_running(False, status)
            if isinstance(outcome, BusyError):
                self._offer_cancel()
            self.refresh()
            if self.on_end is not None:
                self.on_end()

    def _take_result(self, result: Result, seconds: float) -> None:
        self.result = result
        if (cost := self.run_cost(*self._started_with)) is not None:
            record_speed(self.background.model_name, cost, seconds)
        self._previews = {number: (image, "done") for number, image in enumerate(result.images)}
        self._show_previews()
        if self.on_result is not None:
            self.on_result(result)
        self._output.update()

    def _count_step(self, done: int, total: int, stage: int) -> None:
        with self.errors.lock:
            self.progress.max, self.progress.value = total, done
            if not self.background.cancelling:
                self.status.value = f"Stage {stage}, step {done} of {total}"

    def _take_previews(self, stage: int, target: int, images: list[Image.Image]) -> None:
        with self.errors.lock:
            for number, image in enumerate(images, start=target if stage == 2 else 0):
                self._previews[number] = image, f"stage {stage}, preview"
                if self.on_preview is not None:
                    self.on_preview(number, image)
            self._show_previews()

    def _show_previews(self) -> None:
        panels = []
        targets = self.running_grid.targets if self.running_grid else ()
        for target, (image, text) in sorted(self._previews.items()):
            caption = f"column {targets[target] + 1}: {text}, {image.width} x {image.height}"
            panels.append(figure(image, f"x0 prediction, {caption}", caption, 256, "vcnb-big"))
        self.previews.value = figures(panels)
