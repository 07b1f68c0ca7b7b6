"""Seconds of a run's parts, and one progress bar over both stages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from tqdm.auto import tqdm

from visualcloze_nb.settings import CallSettings, stage2_steps


class Timer:
    """Adds up the seconds of each part of a run; waits for the GPU at the end of a part."""

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self.start = self.last = time.perf_counter()

    def lap(self, part: str) -> None:
        """Add the time since the last lap to `part`."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self.last
        self.last = now

    @property
    def total(self) -> float:
        """Seconds from the start to the last lap."""
        return self.last - self.start


@contextmanager
def timed(pipe: Any, timer: Timer) -> Iterator[None]:
    """Let both stages of a pipeline record the seconds of their parts in a timer."""
    for inner in pipe.inner:
        inner.timer = timer
    try:
        yield
    finally:
        for inner in pipe.inner:
            inner.timer = None


class Progress:
    """Context with one progress bar over both stages, in place of diffusers' own, and the user's `on_step`.

    Args:
        pipe: the two-stage pipeline.
        settings: of the call.
        targets: number of targets.
        shown: whether to show the bar.
        on_step: called as `f(done, total, stage)` after each step, or None.
    """

    def __init__(
        self,
        pipe: Any,
        settings: CallSettings,
        targets: int,
        shown: bool,
        on_step: Callable[[int, int, int], None] | None,
    ):
        steps = settings.steps if settings.sigmas is None else len(settings.sigmas)
        self.total = steps + targets * stage2_steps(settings.upsampling_steps or steps, settings.strength)
        self.inner, self.shown, self.on_step = pipe.inner, shown, on_step

    def __enter__(self) -> Progress:
        self.saved = [dict(getattr(pipe, "_progress_bar_config", {})) for pipe in self.inner]
        hidden = not self.shown or any(config.get("disable") for config in self.saved)
        self.done = 0
        self.bar = tqdm(total=self.total, disable=hidden, leave=False, desc="stage 1")
        for pipe in self.inner:
            pipe.set_progress_bar_config(disable=True)
        return self

    def callback(self, pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        """Count one step, as diffusers' step callback.

        Args:
            pipe: the pipeline of the stage that runs.
            step, timestep, tensors: not used.
        """
        self.done += 1
        self.bar.set_description(f"stage {pipe.stage}")
        self.bar.update()
        if self.on_step is not None:
            self.on_step(self.done, self.total, pipe.stage)
        return {}

    def __exit__(self, *error: object) -> None:
        self.bar.close()
        for pipe, config in zip(self.inner, self.saved, strict=True):
            pipe.set_progress_bar_config(**config)
