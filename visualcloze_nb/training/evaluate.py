"""Measure what a checkpoint can do, on scenes it has never seen.

    python -m visualcloze_nb.training evaluate [--model FOLDER] [--scenes 24] [--out FILE] [--sheet FILE]

A score of 0 is the best answer that needs no model: copying a condition, or the mean picture of the kind that
is asked for (whichever has the smaller error over all scenes). A score of 1 is the VAE's own reconstruction of
the truth, which is the best any answer can look. Between them the root mean square error (RMSE) decides, in
units of 0..1 pixel values, averaged over scenes:

    score = (RMSE of the trivial answer - RMSE of the model) / (RMSE of the trivial answer - RMSE of the VAE)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from diffusers.utils.torch_utils import randn_tensor

from ..flow import schedule, walk
from ..latents import decode, encode, unpack
from ..layout import Layout
from ..prompts import column_prompt, full_prompt
from ..text import encode_ids, tokenize
from ..toyworld import FIRST_TRAINING_SEED, Task, draw, make_scene, words
from .batches import assemble, draw_columns

SPINE = tuple(
    Task.parse(text)
    for text in ("picture > edge", "picture > depth", "picture > mask", "picture > grey", "pixelated > picture")
)
SIDE = 64


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
    """Root mean square error of each picture, `(B, 3, H, W)` in 0..1 to `(B,)`."""
    return (a - b).square().mean((1, 2, 3)).sqrt()


@lru_cache(maxsize=64)
def mean_picture(kind: str, scenes: int = 256) -> torch.Tensor:
    """The mean over training scenes of one kind of picture, `(1, 3, 64, 64)`."""
    seeds = range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + scenes)
    pictures = draw(kind, [make_scene(s) for s in seeds], SIDE, SIDE, torch.Generator().manual_seed(0))
    return pictures.mean(0, keepdim=True)


def summarise(model: torch.Tensor, trivial: torch.Tensor, vae: torch.Tensor) -> Score:
    """Scenes' errors, `(N,)` each, to a score with its interval (1000 bootstrap samples)."""
    errors = torch.stack([model, trivial, vae]).double().numpy()

    def score(e):
        return (e[1] - e[0]) / (e[1] - e[2])

    rng = np.random.default_rng(0)
    means = [errors[:, rng.integers(0, errors.shape[1], errors.shape[1])].mean(1) for _ in range(1000)]
    low, high = np.percentile([score(m) for m in means], [2.5, 97.5])
    m, t, v = errors.mean(1)
    return Score(float(score((m, t, v))), float(low), float(high), float(m), float(t), float(v), errors.shape[1])


@torch.no_grad()
def fill_batch(
    pipe, rows: Sequence[torch.Tensor], targets: Sequence[int], prompts: list[str], steps: int, seed: int = 0
) -> torch.Tensor:
    """Fill many grids of one shape at once (stage 1).

    Args:
        rows: one a grid row, `(B, 3, 64, n 64)` in -1..1; what lies under the targets is not looked at.
        targets: blank columns of the last row, the same in all grids.
        prompts: B texts.

    Returns:
        `(B, len(targets), 3, 64, 64)` in 0..1.
    """
    device, n_cols = pipe.vae.device, rows[0].shape[3] // SIDE
    generator = torch.Generator("cpu").manual_seed(seed)
    _, known, ids, _ = assemble(pipe.vae, rows, [targets] * len(prompts), (SIDE, SIDE), generator)
    noise = randn_tensor((len(prompts), ids.shape[0], 64), generator=generator, device=device)
    tokens = tokenize(pipe, prompts, pipe.tokenizer_2.model_max_length)
    text = encode_ids(pipe.text_encoder, pipe.text_encoder_2, *tokens)
    sigmas = schedule(steps, ids.shape[0], pipe.scheduler.config)
    for step in walk(pipe.transformer, noise, known, ids, text, sigmas):
        last = step
    layout = Layout(((SIDE, SIDE),) * len(rows), n_cols, 16)
    latents = unpack(last.after[:, layout.row_slices[-1]], SIDE // 8, n_cols * SIDE // 8)
    strips = (decode(pipe.vae, latents) * 0.5 + 0.5).clamp(0, 1)
    return torch.stack([strips[..., c * SIDE : (c + 1) * SIDE] for c in targets], dim=1)


@dataclass
class Attempt:
    """What a model made of one task, beside what it should have made; pictures `(B, 3, 64, 64)` in 0..1, on the CPU.

    Attributes:
        conditions: one tensor a given column.
        answer: what the model painted.
        truth: what belongs there.
        rebuilt: the VAE's reconstruction of the truth.
    """

    conditions: list[torch.Tensor]
    answer: torch.Tensor
    truth: torch.Tensor
    rebuilt: torch.Tensor


@torch.no_grad()
def attempt(
    pipe, task: Task, scenes: int = 24, examples: int = 2, steps: int = 20, text: bool = True, seed: int = 0
) -> Attempt:
    """Let a model do one task, its last column the target, on held-out scenes.

    Args:
        task: any task of the toy world.
        scenes: held-out queries, 1 to 1000; the examples are other held-out scenes.
        examples: in-context examples above the query.
        steps: Euler steps of stage 1.
        text: give the task prompt, or leave it out.
        seed: of all chance: noise, and the kinds of picture with chance in them.

    Raises:
        ValueError: more than 1000 scenes, or none: examples and queries must differ.
    """
    if not 1 <= scenes <= 1000:
        raise ValueError(f"scenes is {scenes}, but must lie between 1 and 1000")
    device, columns = pipe.vae.device, task.columns
    chance = torch.Generator().manual_seed(seed)
    seeds = [[row * 1000 + i for i in range(scenes)] for row in range(examples + 1)]  # all below 100,000
    all_scenes = [[make_scene(s) for s in row] for row in seeds]
    rows = [draw_columns([columns] * scenes, row, (SIDE, SIDE), chance, "cpu").to(device) for row in all_scenes]
    target = len(columns) - 1
    words_ = column_prompt([words(k) for k in columns], [target]) if text else ""
    prompt = full_prompt(examples + 1, len(columns), words_, None)
    answer = fill_batch(pipe, rows, [target], [prompt] * scenes, steps, seed)[:, 0].cpu()

    cells = (rows[-1] * 0.5 + 0.5).unflatten(3, (len(columns), SIDE)).unbind(3)
    rebuilt = decode(pipe.vae, encode(pipe.vae, rows[-1], chance))[..., target * SIDE :]
    rebuilt = (rebuilt * 0.5 + 0.5).clamp(0, 1).cpu()
    return Attempt([c.cpu() for c in cells[:target]], answer, cells[target].cpu(), rebuilt)


def score_attempt(made: Attempt, kind: str) -> Score:
    """Score an attempt at a picture of this kind; the trivial answer is the best of the conditions and the mean."""
    trivial = [rmse(mean_picture(kind), made.truth)] + [rmse(c, made.truth) for c in made.conditions]
    best = min(trivial, key=lambda errors: errors.mean())
    return summarise(rmse(made.answer, made.truth), best, rmse(made.rebuilt, made.truth))


def score_task(pipe, task: Task, **settings) -> Score:
    """Score one task; the settings are those of `attempt`."""
    return score_attempt(attempt(pipe, task, **settings), task.columns[-1])


def score_tasks(pipe, tasks: Sequence[Task] = SPINE, **settings) -> dict[Task, Score]:
    """`score_task` for several tasks."""
    return {task: score_task(pipe, task, **settings) for task in tasks}
