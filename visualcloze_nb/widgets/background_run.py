"""Run a pipeline in a background thread, with live previews and cancellation.

A kernel handles no widget events while a cell or a callback runs. With the model in its own thread, a click on
*Cancel* takes effect within a step.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING, Any

from PIL import Image

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.result import Result
from visualcloze_nb.errors import BusyError, Cancelled
from visualcloze_nb.widgets.caught_warnings import caught_warnings
from visualcloze_nb.widgets.forward_hooks import LivePreview

if TYPE_CHECKING:
    from visualcloze_nb.pipelines.combined import VisualClozePipeline

_under_way: set[BackgroundRun] = set()
_loading = threading.Lock()  # two panels with one name share one pipeline


class BackgroundRun:
    """Calls `pipe.fill` in a background thread; it can be started again after each end.

    Args:
        pipe: a pipeline, or a name for `load`; it is loaded on the first run.
        on_step: called as `on_step(done, total, stage)` after each transformer step.
        on_preview: called as `on_preview(stage, target, images)`, see `LivePreview`.
        on_end: called as `on_end(outcome, seconds, warnings)`; the outcome is a `Result`, or the exception that
            ended the run: `Cancelled`, or an error.
    """

    def __init__(
        self,
        pipe: VisualClozePipeline | str,
        on_step: Callable[[int, int, int], None],
        on_preview: Callable[[int, int, list[Image.Image]], None],
        on_end: Callable[[Result | Exception, float, list[Warning]], None],
    ):
        self.pipe, self.on_step, self.on_preview, self.on_end = pipe, on_step, on_preview, on_end
        self.model_name = pipe if isinstance(pipe, str) else f"pipeline {id(pipe)}"
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._running = False

    @property
    def running(self) -> bool:
        """Whether a run is in progress."""
        return self._running

    @property
    def cancelling(self) -> bool:
        """Whether the run is about to be cancelled."""
        return self._stop.is_set()

    def start(self, grid: Grid, settings: dict[str, Any]) -> None:
        """Start to fill a grid in the background.

        Args:
            grid: the grid to be filled.
            settings: keyword arguments of `pipe.fill`.

        Raises:
            BusyError: if a run is in progress, here or wherever the pipeline's components are used.
        """
        if self.running:
            raise BusyError("a run is under way in this panel: cancel it, or wait for its end")
        if not isinstance(self.pipe, str):
            with _held(self.pipe):  # refuse at once; the thread takes the pipeline for itself
                pass
        self._stop.clear()
        self._running = True
        self._thread = threading.Thread(target=self._run, args=(grid, settings), daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Cancel the run at the transformer's next block."""
        self._stop.set()

    def holders(self) -> list[BackgroundRun]:
        """Other runs that are in progress on this pipeline or its components."""
        return [run for run in list(_under_way) if run is not self and run.running and run._keys() & self._keys()]

    def _keys(self) -> set[int | str]:
        if isinstance(self.pipe, str):
            return {self.pipe}
        parts = [part for part in self.pipe.components.values() if part is not None]
        return {id(self.pipe), *map(id, parts), self.model_name}

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the run to end, at most `timeout` seconds."""
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self, grid: Grid, settings: dict[str, Any]) -> None:
        began = time.perf_counter()
        _under_way.add(self)
        with caught_warnings() as caught:
            try:
                pipe = self.pipe = _load(self.pipe) if isinstance(self.pipe, str) else self.pipe
                began = time.perf_counter()
                outcome = self._fill(pipe, grid, settings)
            except Exception as error:
                outcome = error
            seconds = time.perf_counter() - began
        _under_way.discard(self)
        self._running = False  # what listens to the end may start the next run
        self.on_end(outcome, seconds, caught)

    def _fill(self, pipe: VisualClozePipeline, grid: Grid, settings: dict[str, Any]) -> Result:
        if self.cancelling:
            raise Cancelled
        layout = grid.layout(pipe.resolution)
        with _held(pipe), LivePreview(pipe, layout, self.on_preview, self._stop):
            result = pipe.fill(grid, **settings, progress=False, on_step=self.on_step)
        if self.cancelling:  # after the last block, while the images were decoded
            raise Cancelled
        return result


def _load(name: str) -> VisualClozePipeline:
    with _loading:
        return _load_once(name)


@cache
def _load_once(name: str) -> VisualClozePipeline:
    from visualcloze_nb.loading.load import load

    return load(name)


def _held(pipe: VisualClozePipeline) -> AbstractContextManager[None]:
    """Hold a pipeline as `fill` does, before hooks are put on its transformer."""
    from visualcloze_nb.pipelines.run_lock import running

    return running(pipe)
