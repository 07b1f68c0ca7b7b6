"""Two experiments on small models, for the lessons: what an infilling prior is worth, and what density is worth.

    visualcloze-nb train ablations --vae visualcloze_nb/tiny/vae --out visualcloze_nb/tiny/experiments

*Infilling prior.* The paper tunes a model that can already fill holes in images, and trains only LoRA weights. So:
train a small transformer to fill holes in single images, then let it learn grids, by LoRA or with all weights,
beside models that start from nothing.

*Density.* The paper's graph has many paths between the same kinds of image. So: two models with the same prior and
the same number of steps, one taught three tasks, the other all; then both do tasks that neither has practised.

All arms are asked without text: only the examples say what to do. Error is the squared error of the velocity on
the blank tokens of held-out scenes, near pure noise (sigma 0.93 to 1), where only the conditions can help; 1 is
about what knowing nothing gives. Its interval is 95 %, over grids and seeds.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from peft import LoraConfig
from tqdm.auto import tqdm

from visualcloze_nb.data.layout import Layout
from visualcloze_nb.sampling.flow import add_noise, velocity
from visualcloze_nb.sampling.latents import BLACK, condition, encode, pack, position_ids
from visualcloze_nb.sampling.text import Text
from visualcloze_nb.settings import INPUT_CHANNELS, TOKEN_CHANNELS
from visualcloze_nb.toyworld import HELD_OUT_TASKS, TRAINED_TASKS, Task, draw
from visualcloze_nb.training import tiny_model
from visualcloze_nb.training.batches import Batch, grids, held_out_scene, training_scene
from visualcloze_nb.training.checkpoints import save_atomically
from visualcloze_nb.training.train_transformer import learning_rate_factor, optimisers

TWO_COLUMNS = {task: weight for task, weight in TRAINED_TASKS.items() if len(task.columns) == 2}
SPARSE = {Task.parse(text): 1.0 for text in ("image > depth", "image > mask", "image > hue *")}
UNSEEN = {task: 1.0 for task in HELD_OUT_TASKS if task.inputs[0] in ("image", "mask", "depth")}
"""What was held out when the curves were made: not the paths from degraded images."""
ONE_EXAMPLE = (0, 1)
SIDE = 128  # of an image to fill holes in: as many tokens as a grid of 2 x 2
RANK = 16


@dataclass(frozen=True)
class Arm:
    """One way of learning: where from, what is trained, and which tasks."""

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
    """The tiny model's transformer at a third of its size: one double block, three single ones, two heads of 64."""
    torch.manual_seed(seed)
    transformer = FluxTransformer2DModel(
        in_channels=INPUT_CHANNELS, out_channels=TOKEN_CHANNELS, num_layers=1, num_single_layers=3,
        attention_head_dim=64, num_attention_heads=2, joint_attention_dim=8, pooled_projection_dim=8,
        axes_dims_rope=tiny_model.AXES,
    )  # fmt: skip
    tiny_model.point_heads(transformer)
    return transformer


@torch.no_grad()
def holes(vae, rng: random.Random, size: int, scene=training_scene) -> Batch:
    """Single images with a hole: plain infilling, as FLUX.1-Fill was taught. The hole is 30 to 90 % of each side."""
    chance = torch.Generator().manual_seed(rng.getrandbits(40))
    kind = rng.choice(("image", "image", "edge", "depth", "mask", "normals", "styled"))
    images = draw(kind, [scene(rng) for _ in range(size)], SIDE, SIDE, chance) * 2 - 1
    mask = torch.zeros(size, 1, SIDE, SIDE)
    for one in mask:
        height, width = (16 * rng.randint(2, 7) for _ in range(2))
        top, left = 16 * rng.randint(0, 8 - height // 16), 16 * rng.randint(0, 8 - width // 16)
        one[:, top : top + height, left : left + width] = 1
    known = condition(vae, [torch.where(mask > 0, BLACK, images)], [mask], chance)
    ids = position_ids(Layout(((SIDE, SIDE),), 1), 0)
    return Batch(
        pack(encode(vae, images, chance)), known, ids, known[..., TOKEN_CHANNELS:].mean(-1) > 0.5, [""] * size, 1
    )


def no_text(size: int) -> Text:
    return Text(torch.zeros(size, 1, 8), torch.zeros(size, 8), torch.zeros(1, 3))


def errors(transformer, batch: Batch, sigma: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Squared error of the velocity on the blank tokens, one number a grid, `(B,)`."""
    z = add_noise(batch.clean, noise, sigma[:, None, None])
    with torch.autocast("cpu", torch.bfloat16):
        v = velocity(transformer, z, batch.condition, sigma, no_text(len(z)), batch.ids).float()
    weight = batch.targets.float()
    return ((v - (noise - batch.clean)).square().mean(-1) * weight).sum(1) / weight.sum(1)


def teach(
    transformer, draw_batch: Callable[[random.Random], Batch], steps: int, seed: int, label: str, reuse: int = 6
) -> Iterator[int]:
    """Train in place; yields the number of steps done, before the first and after each."""
    trained = [p for p in transformer.parameters() if p.requires_grad]
    full = len(trained) == len(list(transformer.parameters()))
    tuned = optimisers(transformer, 1e-3) if full else [torch.optim.AdamW(trained, lr=2e-3, weight_decay=0.0)]
    peaks = [[g["lr"] for g in optimiser.param_groups] for optimiser in tuned]
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
        for optimiser, peak in zip(tuned, peaks, strict=True):
            for group, lr in zip(optimiser.param_groups, peak, strict=True):
                group["lr"] = lr * learning_rate_factor(step, steps)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        yield step + 1


@torch.no_grad()
def measure(transformer, batches: list[Batch]) -> torch.Tensor:
    """Errors near pure noise on batches of held-out scenes, the same noise each time: one number a grid."""
    chance = torch.Generator().manual_seed(0)
    found = []
    for batch in batches:
        noise = torch.randn(batch.clean.shape, generator=chance)
        found.append(errors(transformer, batch, torch.linspace(0.93, 1, len(batch.clean)), noise))
    return torch.cat(found)


def held_out_batches(vae, tasks: dict[Task, float], count: int, size: int = 16) -> list[Batch]:
    """Grids of held-out scenes, one batch a seed."""
    return [grids(vae, random.Random(i), tasks, size, examples=ONE_EXAMPLE, scene=held_out_scene) for i in range(count)]


def prior(vae, steps: int, seed: int) -> FluxTransformer2DModel:
    """A transformer that can fill holes in single images and has never seen a grid."""
    transformer = small_transformer(seed)
    for _ in teach(transformer, lambda rng: holes(vae, rng, 16), steps, seed, f"filling holes, seed {seed}"):
        pass
    return transformer


def pupil(arm: Arm, learned: dict[str, torch.Tensor], seed: int) -> FluxTransformer2DModel:
    """The model an arm begins with; what is not to be trained does not require gradients."""
    transformer = small_transformer(seed)
    if arm.prior:
        transformer.load_state_dict(learned)
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
    looked_at = {"trained": held_out_batches(vae, SPARSE, 4), "held out": held_out_batches(vae, UNSEEN, 6)}
    work.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[dict]] = {arm.experiment: [] for arm in ARMS}
    for seed in range(seeds):
        learned = _once(work / f"prior-{seed}.pt", lambda seed=seed: prior(vae, prior_steps, seed).state_dict())
        for number, arm in enumerate(ARMS):

            def learn(arm=arm, seed=seed, learned=learned) -> list[dict]:
                transformer, found = pupil(arm, learned, seed), []
                practice = partial(grids, vae, tasks=arm.tasks, size=16, examples=ONE_EXAMPLE)
                for done in teach(transformer, practice, steps, seed, f"{arm.name}, seed {seed}"):
                    if done % every == 0:
                        for which, batches in looked_at.items():
                            row = {"arm": arm.name, "tasks": which, "step": done}
                            found += [row | {"error": e} for e in measure(transformer, batches).tolist()]
                return found

            rows[arm.experiment] += _once(work / f"arm-{number}-{seed}.pt", learn)
    out.mkdir(parents=True, exist_ok=True)
    for experiment, found in rows.items():
        write(summarise(found), out / f"{experiment}.csv")
    write(difference(rows["density"], ARMS[-2].name, ARMS[-1].name), out / "density_difference.csv")


def _once(path: Path, make: Callable):
    """What `make` gives, kept in a file."""
    if not path.exists():
        save_atomically(make(), path)
    return torch.load(path)


def summarise(rows: list[dict]) -> list[dict]:
    """Mean and 95 % interval (1.96 standard errors, over grids and seeds) for each arm, set of tasks and step."""
    groups: dict[tuple, list[float]] = {}
    for row in rows:
        groups.setdefault((row["arm"], row["tasks"], row["step"]), []).append(row["error"])
    table = []
    for (arm, tasks, step), values in groups.items():
        values_ = torch.tensor(values)
        half = 1.96 * values_.std().item() / len(values) ** 0.5
        mean = values_.mean().item()
        table.append({"arm": arm, "tasks": tasks, "step": step, "error": mean, "low": mean - half, "high": mean + half})
    return table


def difference(rows: list[dict], one: str, other: str) -> list[dict]:
    """How much larger the error of one arm is than the other's, and its 95 % interval.

    Both arms are asked the same grids with the same noise, so the differences are taken grid by grid: what makes a
    grid hard drops out.
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
