"""What a claim comes to: rows of figures, the floors it must reach, images to look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from visualcloze_nb.evaluation.metrics import classes, f1, lines, miou, psnr
from visualcloze_nb.evaluation.predictions import Attempt, attempt
from visualcloze_nb.evaluation.scores import bootstrap, errors_of, score_of
from visualcloze_nb.toyworld import Task

ROOM = 0.25  # of the trivial error: by so much the VAE must be better for a score to say anything


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        what: the task, or the group of tasks.
        asked: how.
        value, low, high: the claim's own figure, and its 95 % interval.
        raw: other figures, by name.
        scenes: how many it rests on.
    """

    what: str
    asked: str
    value: float
    low: float
    high: float
    raw: Mapping[str, float]
    scenes: int


@dataclass(frozen=True)
class Floor:
    """What a checkpoint must reach: a figure, its bound, and what a model trained on a GPU should reach."""

    what: str
    value: float
    bound: float
    aim: float
    at_most: bool = False
    strict: bool = False  # reaching the bound is not enough

    @property
    def short_by(self) -> float:
        """How much is missing; 0 or less if nothing; infinite if nothing could be measured."""
        gap = self.value - self.bound if self.at_most else self.bound - self.value
        return gap if np.isfinite(gap) else np.inf

    @property
    def met(self) -> bool:
        return self.short_by < 0 or (self.short_by == 0 and not self.strict)

    def __str__(self) -> str:
        kind = "at most" if self.at_most else "above" if self.strict else "at least"
        return f"{self.what}: {self.value:.2f}, must be {kind} {self.bound:g}, missed by {self.short_by:.2f}"


class Band(NamedTuple):
    """Images for a contact sheet: a title, and named lines of images `(N, 3, h, w)`."""

    title: str
    lines: dict[str, torch.Tensor]


@dataclass
class Claim:
    """A claim, measured.

    Attributes:
        title: the claim in a few words.
        means: what the figure of its table is.
        rows, floors, bands: see `Row`, `Floor`, `Band`.
    """

    title: str
    means: str
    rows: list[Row] = field(default_factory=list)
    floors: list[Floor] = field(default_factory=list)
    bands: list[Band] = field(default_factory=list)


class Ask:
    """Ask one pipeline under common settings, and remember its answers: claims share many of them."""

    def __init__(self, pipe, scenes: int = 24, steps: int = 8, seed: int = 0, say: Callable[[str], None] | None = None):
        self.pipe, self.scenes, self.steps, self.seed, self.say = pipe, scenes, steps, seed, say or (lambda line: None)
        self.few = max(2, scenes // 2)  # for what compares many ways of asking
        self.kept: dict[tuple, Attempt] = {}

    def __call__(self, task: str | Task, **how) -> Attempt:
        """An `attempt`; `how` are its settings, where they differ from the common ones."""
        task = Task.parse(task) if isinstance(task, str) else task
        how = dict(scenes=self.scenes, examples=2, steps=self.steps, text=True, seed=self.seed) | how
        if how.get("given"):  # images are no key; and such a question comes once
            return attempt(self.pipe, task, **how)
        key = (task, *sorted(how.items(), key=lambda item: item[0]))
        if key not in self.kept:
            self.say(f"{task}, {', '.join(f'{k} {v}' for k, v in how.items() if k != 'seed')}")
            self.kept[key] = attempt(self.pipe, task, **how)
        return self.kept[key]


def row(what: str, asked: str, statistic: Callable, values: np.ndarray, **raw: float) -> Row:
    """A row whose figure is a statistic of scenes, see `bootstrap`."""
    return Row(what, asked, *bootstrap(statistic, values), raw, len(values))


def judged(errors: np.ndarray) -> np.ndarray:
    """Whether a task's score says anything, for errors `(N, ..., 3)`: `(...)` bool.

    Where the VAE's reconstruction is hardly better than the trivial answer (a blurred image of a VAE that blurs),
    the score divides by next to nothing. Such tasks are shown without score, and left out of means.
    """
    _, trivial, vae = np.moveaxis(errors.mean(0), -1, 0)
    return trivial - vae >= ROOM * trivial


def score_row(what: str, asked: str, errors: np.ndarray, **raw: float) -> Row:
    """A row of a normalised score: errors of model, trivial answer and VAE, `(N, 3)` or for several tasks `(N, T, 3)`.

    Of several tasks it is the mean score of those that can be judged.
    """
    if errors.ndim == 2:
        raw = dict(zip(("RMSE", "trivial", "VAE"), errors.mean(0).tolist(), strict=True)) | raw
        if not judged(errors):
            return Row(what, asked, np.nan, np.nan, np.nan, raw, len(errors))
        return row(what, asked, mean_score, errors, **raw)
    kept = judged(errors)
    if not kept.any():
        return Row(what, asked, np.nan, np.nan, np.nan, raw, len(errors))
    return row(
        what, asked, mean_score, errors[:, kept], **raw, **{"tasks": int(kept.sum()), "left out": int((~kept).sum())}
    )


def mean_score(errors: np.ndarray) -> float:
    """The mean over tasks of the score of the means over scenes."""
    return float(np.mean(score_of(errors)))


def share_row(what: str, asked: str, hits: np.ndarray, **raw: float) -> Row:
    """A row of a share of scenes, in percent; nan does not count."""

    def percent(values):
        return 100 * np.nanmean(values) if np.isfinite(values).any() else np.nan

    return row(what, asked, percent, hits, **raw)


def own_measure(made: Attempt, which: int = 0) -> dict[str, float]:
    """The measure that is usual for the kind of image: F1 of edges, mIoU of a class mask; PSNR in dB of all."""
    kind, truth = made.columns[made.targets[which]], made.truths[:, which]
    versions = {"": made.answers[:, which], " of VAE": made.rebuilt[:, which]}
    found = {}
    for name, images in versions.items():
        found[f"PSNR{name}"] = float(psnr(images, truth).mean())
        if kind == "edge":
            found[f"F1{name}"] = float(f1(lines(images), lines(truth)).mean())
        if kind == "mask":
            found[f"mIoU{name}"] = float(miou(classes(images), classes(truth)).mean())
    return found


def task_row(made: Attempt, asked: str, which: int = 0, trivial=()) -> Row:
    """The row of one attempt, scored by RMSE."""
    kind = made.columns[made.targets[which]]
    what = f"{' + '.join(made.conditions)} > {kind}".strip()
    return score_row(what, asked, errors_of(made, which, trivial), **own_measure(made, which))


def band(made: Attempt, title: str) -> Band:
    """Conditions, answers and truths of an attempt."""
    kinds = [made.columns[t] for t in made.targets]
    shown = dict(made.conditions)
    for i, kind in enumerate(kinds):
        shown |= {f"{kind} painted": made.answers[:, i], f"{kind} truth": made.truths[:, i]}
    return Band(title, shown)
