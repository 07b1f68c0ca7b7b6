"""Run state that survives a kill, a CSV log, and a learning rate that follows the share of the time budget.

A run lives in one folder: `state.pt` (weights, optimisers, seconds used: written whole or not at all) and `log.csv`.
The same command on the same folder goes on from the last state, with the time that is left.
"""

from __future__ import annotations

import csv
import itertools
import os
import time
from pathlib import Path
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel


def save_atomically(what: dict, path: Path) -> None:
    """`torch.save`, but a kill at any moment leaves the old file or the new one, never half of one."""
    partial = path.with_suffix(".partial")
    torch.save(what, partial)
    os.replace(partial, path)


def average_of(model: torch.nn.Module, updates: int = 0) -> AveragedModel:
    """A moving average of a model's weights over the last twentieth of its updates; the first update copies them.

    A fixed decay is wrong for a budget of time: 0.9995 remembers 2,000 steps, which on a slow device is the whole run.

    Args:
        model: what is trained.
        updates: how many there were before this process, in a run that goes on.
    """
    counted = itertools.count(updates + 1)

    def average(averaged: Any, current: Any, _: torch.Tensor | int) -> None:
        torch._foreach_lerp_(averaged, current, min(1.0, 20 / (20 + next(counted))))  # pyright: ignore[reportPrivateImportUsage]

    return AveragedModel(model, multi_avg_fn=average)


def learning_rate_factor(share: float, warmup: float = 0.01, decay: float = 0.35) -> float:
    """Warm up, stay, and fall to zero over the last `decay` of the time (warmup-stable-decay, arXiv 2404.06395).

    Args:
        share: of the time budget that is used, 0 to 1.
        warmup, decay: shares of the budget.
    """
    return max(0.002, min(1.0, (share + 1e-3) / warmup, (1 - share) / decay))


class Budget:
    """A time budget that counts the seconds of earlier, killed runs.

    Args:
        minutes: in all.
        used: seconds that earlier runs have taken.
    """

    def __init__(self, minutes: float, used: float = 0.0):
        self.seconds, self.began = 60 * minutes, time.perf_counter() - used

    @property
    def used(self) -> float:
        return time.perf_counter() - self.began

    @property
    def share(self) -> float:
        """Share of the budget that is used, 0 to 1."""
        return min(1.0, self.used / self.seconds)


class Log:
    """Rows of figures in a CSV file, one header, appended to as the run goes on."""

    def __init__(self, path: Path):
        self.path = path

    def write(self, **row) -> None:
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(row), lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()})
