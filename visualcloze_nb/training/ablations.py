"""Two ablations on small models, for the lessons: what an infilling prior is worth, and what density is worth.

    visualcloze-nb train ablations --vae visualcloze_nb/tiny/vae --out runs/experiments

*Infilling prior.* The paper tunes a model that can already fill holes in images, and trains only LoRA weights. So:
train a small transformer to fill holes in single images, then train it on grids, by LoRA or with all weights, beside
models with random weights.

*Density.* The paper's graph has many paths between the same kinds of image. So: two models with the same prior and
the same number of steps, one trained on three tasks, the other on all; then both do tasks that neither was trained on.

No arm gets text: only the examples tell the task. Error is the squared error of the velocity on the target tokens of
held-out scenes, near pure noise (sigma 0.93 to 1), where only the conditions can help; 1 is about what an uninformed
model gets. Its interval is 95 %, over grids and seeds.

The curves in `tiny/experiments` are of an earlier version: other tasks, loss and order of random numbers. Today's code
gives similar curves, not these.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from peft import LoraConfig
from tqdm.auto import tqdm

from visualcloze_nb.data.bootstrap import bootstrap
from visualcloze_nb.sampling.flow import add_noise, velocity
from visualcloze_nb.sampling.text import Text
from visualcloze_nb.settings import INPUT_CHANNELS, TOKEN_CHANNELS
from visualcloze_nb.toyworld import HELD_OUT_TASKS, TRAINED_TASKS, Task
from visualcloze_nb.training.ablation_batches import Batch, grids, held_out_batches, holes
from visualcloze_nb.training.checkpoints import learning_rate_factor, save_atomically
from visualcloze_nb.training.initialisation import AXES, initialise
from visualcloze_nb.training.optimisers import optimisers

TWO_COLUMNS = {task: weight for task, weight in TRAINED_TASKS.items() if len(task.columns) == 2}
SPARSE = {Task.parse(text): 1.0 for text in ("image > depth", "image > mask", "image > hue *")}
UNSEEN = {task: 1.0 for task in HELD_OUT_TASKS if task.inputs[0] in ("image", "mask", "depth")}
"""What was held out when the curves were made: not the paths from degraded images."""
RANK = 16


@dataclass(frozen=True)
class Arm:
    """One way of training: from where, which weights, and on which tasks."""

    experiment: str
    name: str
    prior: bool
    lora: bool
    tasks: dict[Task, float]


ARMS = (
    Arm("infilling_prior", "infilling prior, LoRA", True, True, TWO_COLUMNS),
    Arm("infilling_prior", "infilling prior, all weights", True, False, TWO_COLUMNS),
    Arm("infilling_prior", "from nothing, LoRA", False, True, TWO_COLUMNS),
    Arm("infilling_prior", "from nothing, all weights", False, False, TWO_COLUMNS),
    Arm("density", "sparse: three tasks", True, False, SPARSE),
    Arm("density", "dense: all tasks", True, False, TWO_COLUMNS),
)


def small_transformer(seed: int) -> FluxTransformer2DModel:
    """The tiny model's transformer at a sixth of its size: one double block, three single ones, two heads of 64."""
    torch.manual_seed(seed)
    transformer = FluxTransformer2DModel(
        in_channels=INPUT_CHANNELS, out_channels=TOKEN_CHANNELS, num_layers=1, num_single_layers=3,
        attention_head_dim=64, num_attention_heads=2, joint_attention_dim=8, pooled_projection_dim=8,
        axes_dims_rope=AXES,
    )  # fmt: skip
    initialise(transformer)
    return transformer


def no_text(size: int) -> Text:
    return Text(torch.zeros(size, 1, 8), torch.zeros(size, 8), torch.zeros(1, 3))


def errors(transformer: Any, batch: Batch, sigma: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Squared error of the velocity on the target tokens, `(B,)`.

    Args:
        transformer: predicts the velocity.
        batch: of `B` grids.
        sigma: `(B,)` noise levels.
        noise: `(B, L, 64)`.
    """
    z = add_noise(batch.clean, noise, sigma[:, None, None])
    with torch.autocast("cpu", torch.bfloat16):
        v = velocity(transformer, z, batch.condition, sigma, no_text(len(z)), batch.ids).float()
    weight = batch.targets.float()
    return ((v - (noise - batch.clean)).square().mean(-1) * weight).sum(1) / weight.sum(1)


def train(
    transformer: Any, draw_batch: Callable[[random.Random], Batch], steps: int, seed: int, label: str, reuse: int = 6
) -> Iterator[int]:
    """Train in place; yields the number of steps done, before the first and after each.

    Args:
        transformer: what does not require gradients stays as it is.
        draw_batch: makes a batch.
        steps: of training.
        seed: of batches and noise.
        label: for the progress bar.
        reuse: steps for each batch made; the last twelve are drawn from.
    """
    trained = [p for p in transformer.parameters() if p.requires_grad]
    full = len(trained) == len(list(transformer.parameters()))
    tuned = optimisers(transformer, 1e-3) if full else [torch.optim.AdamW(trained, lr=2e-3, weight_decay=0.0)]
    groups = [(group, group["lr"]) for optimiser in tuned for group in optimiser.param_groups]
    rng, pool = random.Random(seed), []
    torch.manual_seed(seed)
    yield 0
    for step in tqdm(range(steps), desc=label):
        if step % reuse == 0:
            pool = [*pool[-11:], draw_batch(rng)]
        batch = rng.choice(pool)
        u = torch.rand(len(batch.clean))
        loss = errors(transformer, batch, 3 * u / (1 + 2 * u), torch.randn_like(batch.clean)).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        for group, peak in groups:
            group["lr"] = peak * learning_rate_factor(step / steps)
        for optimiser in tuned:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        yield step + 1


@torch.no_grad()
def measure(transformer: Any, batches: list[Batch]) -> torch.Tensor:
    """Errors near pure noise on batches of held-out scenes, the same noise each time: one number a grid."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for batch in batches:
        noise = torch.randn(batch.clean.shape, generator=generator)
        found.append(errors(transformer, batch, torch.linspace(0.93, 1, len(batch.clean)), noise))
    return torch.cat(found)


def train_prior(vae: Any, steps: int, seed: int) -> FluxTransformer2DModel:
    """A transformer that can fill holes in single images and was never trained on a grid."""
    transformer = small_transformer(seed)
    for _ in train(transformer, lambda rng: holes(vae, rng), steps, seed, f"filling holes, seed {seed}"):
        pass
    return transformer


def initial_model(arm: Arm, prior: dict[str, torch.Tensor], seed: int) -> FluxTransformer2DModel:
    """The model an arm begins with; what is not to be trained does not require gradients.

    Args:
        arm: with the prior or without, LoRA or all weights.
        prior: weights of the infilling prior.
        seed: of random weights.
    """
    transformer = small_transformer(seed)
    if arm.prior:
        transformer.load_state_dict(prior)
    if arm.lora:
        transformer.requires_grad_(False)
        transformer.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules="all-linear"))
    return transformer


def run(
    vae_folder: Path, work: Path, out: Path, steps: int = 400, prior_steps: int = 800, seeds: int = 2, every: int = 50
) -> None:
    """Both experiments; one CSV each in `out`, with a row for each arm, set of tasks and number of steps.

    Beside them `density_difference.csv`: the error of the sparse arm less that of the dense one, grid by grid.

    Args:
        vae_folder: a trained VAE.
        work: keeps every finished arm, so that the same command goes on where it was stopped.
        out: where the curves go.
        steps: of each arm.
        prior_steps: of filling holes.
        seeds: each arm is run with this many.
        every: steps between points of a curve.
    """
    vae = AutoencoderKL.from_pretrained(vae_folder).requires_grad_(False)
    measured = {"trained": held_out_batches(vae, SPARSE, 4), "held out": held_out_batches(vae, UNSEEN, 6)}
    work.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[dict]] = {arm.experiment: [] for arm in ARMS}
    for seed in range(seeds):
        prior = _once(work / f"prior-{seed}.pt", lambda seed=seed: train_prior(vae, prior_steps, seed).state_dict())
        for number, arm in enumerate(ARMS):

            def curve(arm=arm, seed=seed, prior=prior) -> list[dict]:
                transformer, found = initial_model(arm, prior, seed), []
                for done in train(
                    transformer, lambda rng: grids(vae, rng, arm.tasks), steps, seed, f"{arm.name}, seed {seed}"
                ):
                    if done % every == 0:
                        for which, batches in measured.items():
                            row = {"arm": arm.name, "tasks": which, "step": done}
                            errors = measure(transformer, batches).tolist()
                            found += [row | {"grid": n, "error": e} for n, e in enumerate(errors)]
                return found

            rows[arm.experiment] += _once(work / f"arm-{number}-{seed}.pt", curve)
    out.mkdir(parents=True, exist_ok=True)
    for experiment, found in rows.items():
        write(summarise(found), out / f"{experiment}.csv")
    write(difference(rows["density"], ARMS[-2].name, ARMS[-1].name), out / "density_difference.csv")


def _once(path: Path, make: Callable[[], Any]) -> Any:
    """What `make` returns, kept in a file."""
    if not path.exists():
        save_atomically(make(), path)
    return torch.load(path)


def summarise(rows: list[dict]) -> list[dict]:
    """Mean and 95 % bootstrap interval over grids, for each arm, set of tasks and step; seeds are averaged first."""
    groups: dict[tuple, dict[int, list[float]]] = {}
    for row in rows:
        grid_errors = groups.setdefault((row["arm"], row["tasks"], row["step"]), {})
        grid_errors.setdefault(row["grid"], []).append(row["error"])
    table = []
    for (arm, tasks, step), grid_errors in groups.items():
        mean, low, high = bootstrap(np.mean, np.array([np.mean(of_seeds) for of_seeds in grid_errors.values()]))
        table.append({"arm": arm, "tasks": tasks, "step": step, "error": mean, "low": low, "high": high})
    return table


def difference(rows: list[dict], one: str, other: str) -> list[dict]:
    """How much larger the error of one arm is than the other's, and its 95 % interval.

    Both arms fill the same grids from the same noise, so the differences are taken grid by grid: what makes a grid
    hard drops out.

    Args:
        rows: of all arms, one a grid.
        one, other: names of arms.
    """
    theirs = [[row for row in rows if row["arm"] == arm] for arm in (one, other)]
    pairs = [a | {"arm": f"{one} less {other}", "error": a["error"] - b["error"]} for a, b in zip(*theirs, strict=True)]
    return summarise(pairs)


def write(table: list[dict], path: Path) -> None:
    """A CSV file, three digits."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.3f}" if isinstance(v, float) else v for k, v in row.items()} for row in table)
