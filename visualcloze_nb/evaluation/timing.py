"""Timing and peak memory, measured in one way everywhere."""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from visualcloze_nb.data.grid import Grid
    from visualcloze_nb.pipelines.combined import VisualClozePipeline


def bare_calls(pipe: VisualClozePipeline, grid: Grid, steps: int, repeat: int = 0) -> float:
    """Time as many calls of the transformer as stage 1 makes, with the same inputs and nothing around them.

    Args:
        pipe: the pipeline whose transformer is called.
        grid: what the inputs are made from.
        steps: calls in one measurement.
        repeat: measurements after the first, which then does not count.

    Returns:
        the median, in seconds.
    """
    import torch

    kept = {}
    hook = pipe.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: kept.update(kwargs), with_kwargs=True
    )
    pipe.fill(grid, seed=0, steps=1, strength=0, progress=False)
    hook.remove()
    seconds = []
    with torch.no_grad():
        for _ in range(1 + repeat):
            start = time.perf_counter()
            for _ in range(steps):
                pipe.transformer(**kept)
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:] or seconds)


def peak_memory() -> float:
    """The peak memory of this process, in bytes."""
    import resource

    status = Path("/proc/self/status")
    if status.exists():  # on Linux getrusage counts what the parent held when it started this process
        return 1024.0 * int(status.read_text().partition("VmHWM:")[2].split()[0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) * (1 if sys.platform == "darwin" else 1024)
