"""What both training runs share: state that survives a kill, a CSV log, an average of the weights.

A run lives in one folder: `state.pt` (model, optimiser, step: written whole or not at all), `log.csv`, and
images of what the model does. Start the same command again and it goes on from the last state.
"""

from __future__ import annotations

import csv
import math
import os
from pathlib import Path

import torch


def save_atomically(what: dict, path: Path) -> None:
    """`torch.save`, but a kill at any moment leaves the old file or the new one, never half of one."""
    partial = path.with_suffix(".partial")
    torch.save(what, partial)
    os.replace(partial, path)


def cosine(step: int, total: int, warmup: int = 200, floor: float = 0.02) -> float:
    """Factor of the learning rate: linear warm-up, then half a cosine down to `floor`."""
    if step < warmup:
        return (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))


class Average:
    """Exponential moving average of a model's parameters, kept in float32 on the same device.

    The decay grows with the number of updates, `min(decay, (1 + n) / (10 + n))`, so that the average never
    remembers the random start.
    """

    def __init__(self, model: torch.nn.Module, decay: float = 0.9995):
        self.decay, self.updates = decay, 0
        self.weights = {k: v.detach().float().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: torch.nn.Module) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for k, v in model.state_dict().items():
            if v.is_floating_point():
                self.weights[k].lerp_(v.float(), 1 - decay)
            else:
                self.weights[k] = v.clone()

    def state_dict(self) -> dict:
        return {"weights": self.weights, "updates": self.updates}

    def load_state_dict(self, state: dict) -> None:
        self.weights, self.updates = state["weights"], state["updates"]


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
