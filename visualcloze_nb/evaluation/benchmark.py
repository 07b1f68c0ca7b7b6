"""A benchmark's results: rows of figures, floors the checkpoint must reach, images for a contact sheet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from visualcloze_nb.data.bootstrap import bootstrap
from visualcloze_nb.evaluation.metrics import classes, f1, lines, miou, psnr
from visualcloze_nb.evaluation.predictions import TaskPrediction, predict_task
from visualcloze_nb.evaluation.scores import errors_of, score_of
from visualcloze_nb.toyworld import Task

MIN_MARGIN = 0.25  # the VAE must be better by this share of the baseline's error; else a score is unstable


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        what: the task, or the group of tasks.
        setting: what was varied: examples, text, steps, the group.
        value, low, high: the figure of the benchmark, and its 95 % interval.
        raw: other figures, by name.
        scenes: how many were measured.
    """

    what: str
    setting: str
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
    """Images for a contact sheet: a title and named lines of images `(N, 3, h, w)`."""

    title: str
    lines: dict[str, torch.Tensor]


@dataclass
class Benchmark:
    """A benchmark's results.

    Attributes:
        title: what is measured, in a few words.
        means: what the figure in its table is.
        rows, floors, bands: see `Row`, `Floor`, `Band`.
    """

    title: str
    means: str
    rows: list[Row] = field(default_factory=list)
    floors: list[Floor] = field(default_factory=list)
    bands: list[Band] = field(default_factory=list)


class CachedPredictor:
    """Run one pipeline under common settings, and cache its predictions: benchmarks share many of them."""

    def __init__(
        self, pipe, scenes: int = 16, steps: int = 8, seed: int = 0,
        log: Callable[[str], None] = lambda line: None, folder: Path | None = None,
    ):  # fmt: skip
        self.pipe, self.scenes, self.steps, self.seed, self.log = pipe, scenes, steps, seed, log
        self.folder = folder  # of the checkpoint; None where it is not a local folder
        self.few_scenes = max(2, scenes // 2)  # for benchmarks that compare many settings
        self.kept: dict[tuple, TaskPrediction] = {}

    def __call__(self, task: str | Task, **settings) -> TaskPrediction:
        """The `predict_task` of one task; `settings` are its arguments, where they differ from the common ones."""
        task = Task.parse(task) if isinstance(task, str) else task
        common = {"scenes": self.scenes, "examples": 2, "steps": self.steps, "text": True, "seed": self.seed}
        settings = common | settings
        if settings.get("given"):  # images cannot be a key, and such a call comes once
            return predict_task(self.pipe, task, **settings)
        key = (task, *sorted(settings.items(), key=lambda item: item[0]))
        if key not in self.kept:
            self.log(f"{task}, {', '.join(f'{k} {v}' for k, v in settings.items() if k != 'seed')}")
            self.kept[key] = predict_task(self.pipe, task, **settings)
        return self.kept[key]


def row(what: str, setting: str, statistic: Callable, values: np.ndarray, **raw: float) -> Row:
    """A row whose figure is a statistic of scenes, see `bootstrap`."""
    return Row(what, setting, *bootstrap(statistic, values), raw, len(values))


def has_score(errors: np.ndarray) -> np.ndarray:
    """Whether a task's score is defined, for errors `(N, ..., 3)`: `(...)` bool.

    Where the VAE's reconstruction is hardly better than the baseline (a blurred image of a VAE that blurs),
    the score divides by next to nothing. Such tasks are shown without score, and left out of means.
    """
    _, baseline, vae = np.moveaxis(errors.mean(0), -1, 0)
    return baseline - vae >= MIN_MARGIN * baseline


def score_row(what: str, setting: str, errors: np.ndarray, **raw: float) -> Row:
    """A row of a normalised score: errors of the model, the baseline and the VAE, `(N, 3)`, or `(N, T, 3)` for T tasks.

    Of several tasks it is the mean score of those that have a score. Beside it the median and the worst tenth of the
    single answers, see `answer_scores`.
    """
    if errors.ndim == 2:
        raw = dict(zip(("RMSE", "baseline", "VAE"), errors.mean(0).tolist(), strict=True)) | raw
        if not has_score(errors):
            return Row(what, setting, np.nan, np.nan, np.nan, raw, len(errors))
        return row(what, setting, mean_score, errors, **raw, **_spread(errors))
    kept = has_score(errors)
    if not kept.any():
        return Row(what, setting, np.nan, np.nan, np.nan, raw, len(errors))
    counts = {"tasks": int(kept.sum()), "left out": int((~kept).sum())}
    return row(what, setting, mean_score, errors[:, kept], **raw, **counts, **_spread(errors[:, kept]))


def answer_scores(errors: np.ndarray) -> np.ndarray:
    """A score of each answer, `(N, ..., 3)` to `(N, ...)`: 0 is the baseline's answer for the same scene.

    The unit is that of the task's score, the mean baseline less the mean VAE: a scene's own would be next to nothing
    where the baseline happens to be right.
    """
    model, baseline, vae = np.moveaxis(errors, -1, 0)
    return (baseline - model) / (baseline.mean(0) - vae.mean(0))


def worst_tenth(errors: np.ndarray) -> float:
    """The score that nine of ten answers exceed."""
    return float(np.percentile(answer_scores(errors), 10))


def _spread(errors: np.ndarray) -> dict[str, float]:
    return {"median": float(np.median(answer_scores(errors))), "worst tenth": worst_tenth(errors)}


def mean_score(errors: np.ndarray) -> float:
    """The mean over tasks of the score of the means over scenes."""
    return float(np.mean(score_of(errors)))


def share_row(what: str, setting: str, hits: np.ndarray, **raw: float) -> Row:
    """A row of a share of scenes, in percent; nan does not count."""

    def percent(values):
        return 100 * np.nanmean(values) if np.isfinite(values).any() else np.nan

    return row(what, setting, percent, hits, **raw)


def usual_metrics(prediction: TaskPrediction, which: int = 0) -> dict[str, float]:
    """The usual metrics of the kind of image: F1 of edges, mIoU of a class mask; PSNR in dB of all."""
    kind, truth = prediction.columns[prediction.targets[which]], prediction.truths[:, which]
    versions = {"": prediction.outputs[:, which], " of VAE": prediction.reconstructions[:, which]}
    found = {}
    for name, images in versions.items():
        found[f"PSNR{name}"] = float(psnr(images, truth).mean())
        if kind == "edge":
            found[f"F1{name}"] = float(f1(lines(images), lines(truth)).mean())
        if kind == "mask":
            found[f"mIoU{name}"] = float(miou(classes(images), classes(truth)).mean())
    return found


def task_row(prediction: TaskPrediction, setting: str, which: int = 0, baseline=()) -> Row:
    """The row of one prediction, scored by RMSE."""
    kind = prediction.columns[prediction.targets[which]]
    what = f"{' + '.join(prediction.conditions)} > {kind}".strip()
    return score_row(what, setting, errors_of(prediction, which, baseline), **usual_metrics(prediction, which))


def band(prediction: TaskPrediction, title: str) -> Band:
    """Conditions, predictions and ground truth."""
    kinds = [prediction.columns[t] for t in prediction.targets]
    shown = dict(prediction.conditions)
    for i, kind in enumerate(kinds):
        shown |= {f"{kind} predicted": prediction.outputs[:, i], f"{kind} truth": prediction.truths[:, i]}
    return Band(title, shown)
