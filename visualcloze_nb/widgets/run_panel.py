"""The run panel: settings, an image that forms, a way to stop.

A kernel answers no widget while a cell or a callback runs. So the model runs in a thread of its own: the
panel goes on listening, and *Cancel* is heard within a step.
"""

from __future__ import annotations

import html
import random
import threading
import time
import warnings
from collections.abc import Callable

import ipywidgets

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.errors import Cancelled
from visualcloze_nb.settings import STEPS, STRENGTH, TEXT_TOKENS, TINY_TEXT_TOKENS
from visualcloze_nb.widgets import run_estimate
from visualcloze_nb.widgets.error_output import Guard
from visualcloze_nb.widgets.static_page import Page, figure

DRAFT_STEPS = 10
_loaded: dict[str, object] = {}
_busy = threading.Lock()  # one run at a time: two would share the processor and the model's hooks


class RunPanel:
    """Fills a grid with a model, and shows how.

    Args:
        grid: a `Grid`, or a function that gives the present one.
        pipe: a pipeline, or a name for `load`; it is loaded when it is first needed.
        guard: where messages are shown; the panel's own by default.
        on_guess: called as `on_guess(number, image)` with what target `number` (from 0) looks like so far.
        on_result: called with the `Result`.
        on_end: called when the run is over, also after an error or when it was cancelled.

    Attributes:
        result: of the last run that ended, or None.
        asked: the grid of the last run.
        box: the widget, to be put into another one; `show()` displays the panel by itself.
    """

    def __init__(
        self,
        grid: Grid | Callable[[], Grid],
        pipe="tiny",
        *,
        guard: Guard | None = None,
        on_guess: Callable | None = None,
        on_result: Callable | None = None,
        on_end: Callable | None = None,
    ):
        self._grid = (lambda: grid) if isinstance(grid, Grid) else grid
        self.pipe, self.on_guess, self.on_result, self.on_end = pipe, on_guess, on_result, on_end
        self.result, self.thread, self.asked = None, None, None
        self._stop = threading.Event()
        alone = guard is None
        self.guard = Guard() if alone else guard
        style = {"description_width": "initial"}
        number = ipywidgets.Layout(width="190px")
        self.seed = ipywidgets.BoundedIntText(0, 0, 2**31 - 1, description="Seed", style=style, layout=number)
        self.other = ipywidgets.Button(description="Other seed", layout={"width": "110px"})
        self.steps = ipywidgets.BoundedIntText(STEPS, 1, 100, description="Steps", style=style, layout=number)
        self.strength = ipywidgets.FloatSlider(
            STRENGTH, min=0.05, max=1, step=0.05, description="Strength of stage 2", style=style, readout_format=".2f"
        )
        self.times = ipywidgets.Dropdown(
            options=[("as stage 1", 1.0), ("twice", 2.0), ("3 times", 3.0), ("4 times", 4.0)],
            value=3.0,
            description="Size",
            style=style,
            layout=number,
        )
        self.draft = ipywidgets.Checkbox(
            False, description=f"Draft: {DRAFT_STEPS} steps, no stage 2", indent=False, layout={"width": "240px"}
        )
        self.start = ipywidgets.Button(description="Run", icon="play", button_style="primary")
        self.cancel = ipywidgets.Button(description="Cancel", icon="stop", disabled=True)
        self.bar = ipywidgets.IntProgress(0, 0, 1, description="Progress", style=style, layout={"width": "360px"})
        self.status, self.facts, self.forming = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        self.facts.add_class("vcnb-facts")
        wire = self.guard.wire
        wire("run", self.start, "click", self.run)
        wire("cancel", self.cancel, "click", self.stop)
        wire("other seed", self.other, "click", self._other_seed)
        for name in ("steps", "strength", "times", "draft"):
            wire(f"set {name}", getattr(self, name), "value", lambda _: self.refresh(), clears=False)

        def row(widgets):
            return ipywidgets.HBox(widgets, layout={"flex_flow": "row wrap"})

        settings = [
            row([self.seed, self.other, self.steps]),
            row([self.strength, self.times]),
            row([self.draft]),
        ]
        inside = [*settings, self.facts, row([self.start, self.cancel, self.bar]), self.status, self.forming]
        self.box = ipywidgets.VBox([self.guard.message, *inside] if alone else inside)
        self._page = Page(self.box, self._shown) if alone else None
        self.refresh()

    def show(self) -> None:
        """Display the panel: the grid as a static image first."""
        self._page.show()

    _ipython_display_ = show

    def _shown(self):
        return self._grid() if self.result is None else self.result

    @property
    def settings(self) -> dict:
        """What is asked of `pipe.fill`, but for the size."""
        draft = self.draft.value
        return {
            "seed": self.seed.value,
            "steps": DRAFT_STEPS if draft else self.steps.value,
            "strength": 0.0 if draft else self.strength.value,
        }

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self.thread is not None and self.thread.is_alive()

    def refresh(self) -> None:
        """Say again what a run would take."""
        self.facts.value = html.escape(self.outlook())
        draft = self.draft.value
        for control in (self.steps, self.strength, self.times):
            control.disabled = draft

    def work(self, grid: Grid, asked: dict | None = None, times: float | None = None) -> run_estimate.Work | None:
        """Count what a run would have to do; None while the model's resolution is not known."""
        resolution = run_estimate.resolution_of(self.pipe)
        if resolution is None:
            return None
        asked, text = asked or self.settings, TINY_TEXT_TOKENS if self._model == "tiny" else TEXT_TOKENS
        if not isinstance(self.pipe, str):
            text = min(TEXT_TOKENS, self.pipe.tokenizer_2.model_max_length)
        return run_estimate.work(grid, resolution, asked["steps"], asked["strength"], times or self.times.value, text)

    def outlook(self) -> str:
        """Say in words how many tokens a run has and how long it should take."""
        try:
            ahead = self.work(self._grid())
        except ValueError:
            return "Tokens and seconds: known once the grid is complete."
        if ahead is None:
            return "Tokens and seconds: known once the model is loaded."
        text = f"{ahead.tokens} image tokens"
        if ahead.large:
            text += f", in stage 2 {ahead.large}" + (f" for each of {ahead.targets}" if ahead.targets > 1 else "")
        seconds, measured = run_estimate.expect(self._model, ahead)
        if seconds is None:
            return f"{text}. Seconds: known after the first run."
        basis = "by the pace of the last run" if measured else "assumed; a first run measures it"
        return f"{text}. About {seconds:.1f} s ({basis})."

    def run(self) -> None:
        """Begin to fill the grid; returns at once.

        Raises:
            GridError: if the grid is not ready.
            ValueError: if a run is under way.
        """
        if self.running or not _busy.acquire(blocking=False):
            raise ValueError("a run is under way: cancel it, or wait for it")
        try:
            grid = self._grid().require_targets()
            self._stop.clear()
            self._set(True, "Getting the model ready …")
            self.asked = grid
            asked = grid, self.settings, self.times.value
            self.thread = threading.Thread(target=self._work, args=asked, daemon=True)
            self.thread.start()
        except BaseException:
            self._set(False, "")
            _busy.release()
            raise

    def stop(self) -> None:
        """Stop the run, at the next block of the transformer."""
        self._stop.set()
        self.status.value = "Stopping …"

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the run to end."""
        if self.thread is not None:
            self.thread.join(timeout)

    # In the thread ------------------------------------------------------------------------------------------

    def _work(self, grid: Grid, asked: dict, times: float) -> None:
        from visualcloze_nb.widgets.forward_hooks import Tap

        said = ""
        try:
            with warnings.catch_warnings(record=True) as notes:
                warnings.simplefilter("default")
                pipe = self._ready()
                layout = grid.layout(pipe.resolution)
                self._seen = {}
                ahead = self.work(grid, asked, times)
                began = time.perf_counter()
                with Tap(pipe, layout, lambda *guess: self._guess(grid, *guess), self._stop):
                    width = round(layout.sizes[-1][0] * times)
                    size = {} if asked["strength"] == 0 else {"width": width}
                    self.result = pipe.fill(grid, **asked, **size, progress=False, on_step=self._step)
                seconds = time.perf_counter() - began
                run_estimate.measure(self._model, ahead, seconds)
            with self.guard.lock:
                for number, image in enumerate(self.result.images):
                    self._seen[number] = image, "done"
                self._draw(grid)
                said = f"Done in {seconds:.1f} s, seed {asked['seed']}."
                if self.on_result is not None:
                    self.on_result(self.result)
                self.guard.notes(notes)
                if self._page is not None:
                    self._page.update()
        except Cancelled:
            said = "Cancelled. The grid is as it was."
        except Exception as error:
            said = "Failed: see the message."
            with self.guard.lock:
                self.guard.error(error, "run")
        finally:
            _busy.release()
            with self.guard.lock:
                self._set(False, said)
                self.refresh()
                if self.on_end is not None:
                    self.on_end()

    def _ready(self):
        if isinstance(self.pipe, str):
            if self.pipe not in _loaded:
                from visualcloze_nb.loading.load import load

                _loaded[self.pipe] = load(self.pipe)
            self.model, self.pipe = self.pipe, _loaded[self.pipe]
        if self._stop.is_set():
            raise Cancelled
        return self.pipe

    @property
    def _model(self) -> str:
        """What the pace is remembered by."""
        return self.pipe if isinstance(self.pipe, str) else getattr(self, "model", f"pipeline {id(self.pipe)}")

    def _step(self, done: int, total: int, stage: int) -> None:
        with self.guard.lock:
            self.bar.max, self.bar.value = total, done
            if not self._stop.is_set():
                self.status.value = f"Stage {stage}, step {done} of {total}"

    def _guess(self, grid: Grid, stage: int, target: int, images: list) -> None:
        with self.guard.lock:
            for number, image in enumerate(images, start=target if stage == 2 else 0):
                self._seen[number] = image, f"stage {stage}, forming"
                if self.on_guess is not None:
                    self.on_guess(number, image)
            self._draw(grid)

    def _draw(self, grid: Grid) -> None:
        drawn = []
        for number, (image, words) in sorted(self._seen.items()):
            where = f"column {grid.targets[number] + 1}: {words}, {image.width} x {image.height}"
            drawn.append(figure(image, f"Running guess, {where}", where, 256, "vcnb-big"))
        self.forming.value = f'<div style="display:flex;gap:12px;flex-wrap:wrap">{"".join(drawn)}</div>'

    def _set(self, running: bool, text: str) -> None:
        self.start.disabled, self.cancel.disabled = running, not running
        self.bar.value = 0 if running else self.bar.value
        self.status.value = f'<div role="status">{html.escape(text)}</div>' if text else ""

    def _other_seed(self) -> None:
        self.seed.value = random.randrange(2**31)
