"""Learning curves of the two ablations that ship with the tiny model: read, compare, draw (lesson 03).

`visualcloze-nb train ablations` runs the ablations again.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from visualcloze_nb.drawing.figures import LINES, new_figure
from visualcloze_nb.errors import UsageError, shown

EXPERIMENTS = Path(__file__).parents[1] / "tiny" / "experiments"


@dataclass
class Curve:
    """Relative error of the velocity near pure noise, on held-out scenes, during training; 1 is an uninformed model.

    Attributes:
        steps: training steps done.
        error, low, high: mean, and the ends of its 95 % confidence interval over grids and seeds.
    """

    steps: list[int]
    error: list[float]
    low: list[float]
    high: list[float]

    def __str__(self) -> str:
        return f"{self.error[-1]:.3f} ({self.low[-1]:.3f} to {self.high[-1]:.3f})"


def read(experiment: str, tasks: str) -> dict[str, Curve]:
    """Read the curves of one experiment.

    Args:
        experiment: `"infilling_prior"` or `"density"`.
        tasks: what the error was measured on: `"trained"` or `"held out"` tasks.

    Returns:
        the curves, by name of the model.

    Raises:
        FileNotFoundError: if there is no such experiment.
        ValueError: if it was not measured on such tasks.
    """
    with (EXPERIMENTS / f"{experiment}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    if tasks not in {row["tasks"] for row in rows}:
        there = " or ".join(sorted({row["tasks"] for row in rows}))
        raise UsageError(f"{experiment} was not measured on {shown(tasks)}: give {there}")
    curves: dict[str, Curve] = {}
    for row in rows:
        if row["tasks"] == tasks:
            curve = curves.setdefault(row["arm"], Curve([], [], [], []))
            curve.steps.append(int(row["step"]))
            for name in ("error", "low", "high"):
                getattr(curve, name).append(float(row[name]))
    return curves


def lower(one: Curve, other: Curve) -> bool:
    """Whether one curve ends below another, with intervals that do not overlap."""
    return one.high[-1] < other.low[-1]


def draw(panels: Mapping[str, Mapping[str, Curve]], title: str):
    """Draw curves with their intervals, one panel beside the other, all on one scale.

    Args:
        panels: names, and for each the curves from `read`; the same models in each.
        title: what to see.
    """
    figure = new_figure(3.3)
    figure.suptitle(title, size=11, weight="bold", x=0.01, ha="left")
    words = []
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (panel, curves) in zip(grid, panels.items(), strict=True):
        for (colour, _, marker), (name, curve) in zip(LINES, curves.items(), strict=False):
            axes.plot(curve.steps, curve.error, color=colour, marker=marker, markersize=4, label=name)
            axes.fill_between(curve.steps, curve.low, curve.high, color=colour, alpha=0.2, linewidth=0)
            words.append(f"{panel}, {name}: {curve.error[0]:.2f} to {curve.error[-1]:.2f}")
        axes.set(xlabel="training steps")
        axes.set_title(panel, size=9.5)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("error (1: uninformed)")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    figure.alt = f"{title}. {'; '.join(words)}."
    return figure
