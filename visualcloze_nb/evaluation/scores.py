"""Score what a model made of tasks of the toy world.

A score of 0 is the best answer that needs no model: copying a condition, or the mean image of the kind that
is asked for (whichever has the smaller error over all scenes). A score of 1 is the VAE's own reconstruction of
the truth, which is the best any answer can look. Between them the root mean square error (RMSE) decides, in
units of 0..1 pixel values, averaged over scenes:

    score = (RMSE of the trivial answer - RMSE of the model) / (RMSE of the trivial answer - RMSE of the VAE)

What is asked of a checkpoint, and with which floors, is in the modules `claims_*`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from visualcloze_nb.evaluation.predictions import SIDE, Attempt, attempt
from visualcloze_nb.toyworld import FIRST_TRAINING_SEED, Task, draw, make_scene

SPINE = tuple(
    Task.parse(text) for text in ("image > edge", "image > depth", "image > mask", "image > grey", "pixelated > image")
)


@dataclass(frozen=True)
class Score:
    """What was measured for one task; RMSE in units of 0..1.

    Attributes:
        score: 0 trivial, 1 the VAE's reconstruction; below 0 is worse than trivial.
        low, high: 95 % interval of the score, from bootstrap over scenes.
        rmse, trivial, vae: mean RMSE of the model, of the best trivial answer, of the VAE's reconstruction.
        scenes: how many.
    """

    score: float
    low: float
    high: float
    rmse: float
    trivial: float
    vae: float
    scenes: int


def rmse(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Root mean square error of each image, `(B, 3, H, W)` in 0..1 to `(B,)`."""
    return (a - b).square().mean((1, 2, 3)).sqrt()


@lru_cache(maxsize=64)
def mean_image(kind: str, scenes: int = 256) -> torch.Tensor:
    """The mean over training scenes of one kind of image, `(1, 3, 64, 64)`."""
    seeds = range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + scenes)
    images = draw(kind, [make_scene(s) for s in seeds], SIDE, SIDE, torch.Generator().manual_seed(0))
    return images.mean(0, keepdim=True)


def bootstrap(statistic: Callable, values: np.ndarray, samples: int = 1000) -> tuple[float, float, float]:
    """A statistic of scenes, and its 95 % interval.

    Args:
        statistic: a function of an array like `values`, to one number.
        values: `(N, ...)`, one entry a scene; scenes are drawn with replacement, always the same way.
    """
    rng = np.random.default_rng(0)
    values = np.asarray(values, dtype=float)
    drawn = [statistic(values[rng.integers(0, len(values), len(values))]) for _ in range(samples)]
    low, high = np.nanpercentile(drawn, [2.5, 97.5]) if np.isfinite(drawn).any() else (np.nan, np.nan)
    return float(statistic(values)), float(low), float(high)


def score_of(errors: np.ndarray) -> np.ndarray:
    """Errors of model, trivial answer and VAE, `(N, ..., 3)`, to scores of the means over scenes, `(...)`."""
    model, trivial, vae = np.moveaxis(np.mean(errors, 0), -1, 0)
    return (trivial - model) / (trivial - vae)


def summarise(model: torch.Tensor, trivial: torch.Tensor, vae: torch.Tensor) -> Score:
    """Scenes' errors, `(N,)` each, to a score with its interval (1000 bootstrap samples)."""
    errors = torch.stack([model, trivial, vae], dim=-1).double().numpy()
    return Score(*bootstrap(score_of, errors), *(float(m) for m in errors.mean(0)), len(errors))


def errors_of(made: Attempt, which: int = 0, trivial: Sequence[torch.Tensor] = ()) -> np.ndarray:
    """RMSE of model, best trivial answer and VAE for each scene, `(N, 3)`.

    Args:
        made: an attempt.
        which: of its targets.
        trivial: further trivial answers, beside the conditions and the mean image of the kind.
    """
    truth = made.truths[:, which]
    easy = [mean_image(made.columns[made.targets[which]]), *made.conditions.values(), *trivial]
    best = min((rmse(images, truth) for images in easy), key=lambda error: error.mean())
    errors = rmse(made.answers[:, which], truth), best, rmse(made.rebuilt[:, which], truth)
    return torch.stack(errors, dim=-1).double().numpy()


def score_task(pipe, task: Task, **settings) -> Score:
    """Score one task of one output; the settings are those of `attempt`."""
    return summarise(*torch.from_numpy(errors_of(attempt(pipe, task, **settings))).unbind(-1))


def score_tasks(pipe, tasks: Sequence[Task] = SPINE, **settings) -> dict[Task, Score]:
    """`score_task` for several tasks."""
    return {task: score_task(pipe, task, **settings) for task in tasks}


AT_A_GLANCE = (
    "image > edge",
    "image > depth",
    "image > mask",
    "pixelated > image",
    "image > hue 90",
    "image > recolour 3",
)


def scores_at_a_glance(pipe, scenes: int = 16) -> dict[str, float]:
    """Scores of a few tasks from one step each, the x0 prediction from pure noise: quick enough to watch training."""
    return {text: score_task(pipe, Task.parse(text), scenes=scenes, steps=1).score for text in AT_A_GLANCE}
