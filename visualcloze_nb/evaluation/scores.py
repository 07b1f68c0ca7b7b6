"""Normalised scores of predictions for toy-world tasks.

A score of 0 is the best baseline that needs no model: a copied condition, or the mean image of the target's
kind (whichever has the smaller error over all scenes). A score of 1 is the VAE's own reconstruction of
the ground truth, the best that any prediction can reach. Between them the root mean square error (RMSE) decides, in
units of 0..1 pixel values, averaged over scenes:

    score = (RMSE of the baseline - RMSE of the model) / (RMSE of the baseline - RMSE of the VAE)

The benchmarks and their floors are in the modules `bench_*`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from visualcloze_nb.data.bootstrap import bootstrap
from visualcloze_nb.evaluation.predictions import SIDE, TaskPrediction, predict_task
from visualcloze_nb.toyworld import FIRST_TRAINING_SEED, Task, draw, make_scene

SPINE = tuple(
    Task.parse(text) for text in ("image > edge", "image > depth", "image > mask", "image > grey", "pixelated > image")
)


@dataclass(frozen=True)
class Score:
    """What was measured for one task; RMSE in units of 0..1.

    Attributes:
        score: 0 the baseline, 1 the VAE's reconstruction; below 0 is worse than the baseline.
        low, high: 95 % interval of the score, from bootstrap over scenes.
        rmse, baseline, vae: mean RMSE of the model, of the best baseline, of the VAE's reconstruction.
        scenes: how many.
    """

    score: float
    low: float
    high: float
    rmse: float
    baseline: float
    vae: float
    scenes: int


def rmse(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Root mean square error of each image, `(B, 3, H, W)` in 0..1 to `(B,)`."""
    return (a - b).square().mean((1, 2, 3)).sqrt()


@lru_cache(maxsize=64)
def mean_image(kind: str, scenes: int = 256) -> torch.Tensor:
    """The mean over training scenes of one kind of image, `(1, 3, 64, 64)`."""
    made = [make_scene(FIRST_TRAINING_SEED + i) for i in range(scenes)]
    generator, total = torch.Generator().manual_seed(0), torch.zeros(1, 3, SIDE, SIDE)
    for start in range(0, scenes, 32):  # all at once need 300 MB
        total += draw(kind, made[start : start + 32], SIDE, SIDE, generator).sum(0, keepdim=True)
    return total / scenes


def score_of(errors: np.ndarray) -> np.ndarray:
    """Errors of the model, the baseline and the VAE, `(N, ..., 3)`, to scores of the means over scenes, `(...)`."""
    model, baseline, vae = np.moveaxis(np.mean(errors, 0), -1, 0)
    return (baseline - model) / (baseline - vae)


def summarise(model: torch.Tensor, baseline: torch.Tensor, vae: torch.Tensor) -> Score:
    """A score with its 95 % bootstrap interval, from the errors of the scenes, `(N,)` each."""
    errors = torch.stack([model, baseline, vae], dim=-1).double().numpy()
    rmse_, baseline_, vae_ = errors.mean(0).tolist()
    return Score(*bootstrap(score_of, errors), rmse_, baseline_, vae_, len(errors))


def errors_of(prediction: TaskPrediction, which: int = 0, baseline: Sequence[torch.Tensor] = ()) -> np.ndarray:
    """RMSE of the model, the best baseline and the VAE for each scene, `(N, 3)`.

    Args:
        made: a prediction with its ground truth.
        which: of its targets.
        baseline: further baselines, beside the conditions and the mean image of the kind.
    """
    truth = prediction.truths[:, which]
    baselines = [mean_image(prediction.columns[prediction.targets[which]]), *prediction.conditions.values(), *baseline]
    best = min((rmse(images, truth) for images in baselines), key=lambda error: error.mean())
    errors = rmse(prediction.outputs[:, which], truth), best, rmse(prediction.reconstructions[:, which], truth)
    return torch.stack(errors, dim=-1).double().numpy()


def score_task(pipe, task: Task, **settings) -> Score:
    """Score one task of one output; the settings are those of `predict_task`."""
    return summarise(*torch.from_numpy(errors_of(predict_task(pipe, task, **settings))).unbind(-1))


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
