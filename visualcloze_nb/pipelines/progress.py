"""Watching a run: how long its parts take, and one progress bar over both stages."""

from __future__ import annotations

import time
from contextlib import contextmanager

import torch
from tqdm.auto import tqdm

from visualcloze_nb.sampling.sdedit import skipped_steps


class Clock:
    """Adds up how long each part of a run takes; waits for the GPU at the end of a part."""

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self.start = self.last = time.perf_counter()

    def lap(self, part: str) -> None:
        """Book the time since the last lap under `part`."""
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
def timed(pipe, clock: Clock):
    """Have the inner pipelines of a two-stage pipeline book their parts to a clock."""
    for inner in pipe.inner:
        inner.clock = clock
    try:
        yield
    finally:
        for inner in pipe.inner:
            inner.clock = None


class Watch:
    """One progress bar over both stages in place of diffusers' own, and the caller's `on_step`."""

    def __init__(self, pipe, grid, steps, strength, progress, on_step):
        self.inner = pipe.inner
        self.total = steps
        if strength:
            self.total += (steps - skipped_steps(steps, strength)) * len(grid.targets)
        self.progress, self.on_step = progress, on_step

    def __enter__(self):
        self.kept = [dict(getattr(pipe, "_progress_bar_config", {})) for pipe in self.inner]
        hidden = not self.progress or any(config.get("disable") for config in self.kept)
        self.stage, self.done = 1, 0
        self.bar = tqdm(total=self.total, disable=hidden, leave=False, desc="stage 1")
        for pipe in self.inner:
            pipe.set_progress_bar_config(disable=True)
        return self

    def step(self, stage: int) -> None:
        """Count one step."""
        if stage != self.stage:
            self.stage = stage
            self.bar.set_description(f"stage {stage}")
        self.done += 1
        self.bar.update()
        if self.on_step is not None:
            self.on_step(self.done, self.total, stage)

    def callback(self, pipe, step, timestep, tensors) -> dict:
        """Count one step, as diffusers' step callback."""
        self.step(pipe.stage)
        return {}

    def __exit__(self, *error):
        self.bar.close()
        for pipe, config in zip(self.inner, self.kept, strict=True):
            pipe.set_progress_bar_config(**config)
