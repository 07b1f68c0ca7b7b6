"""Train the tiny transformer and its text encoders to fill grids.

The loss is the error of the velocity on the tokens to be filled in, or where practice begins on the model's own path
(`paths.py`) of its guess of the answer. Known cells count a little: the pipeline paints them anew as well, and the VAE
decodes a row whole, so what is painted beside an answer shows in it. All errors count half by what the decoder shows
of them (`seen.py`). Two things made it learn: first only tasks that copy (the model must discover that the answer lies
at the same place of another cell), then all tasks; and Muon for the matrices of the blocks, AdamW for the rest. Noise
levels are drawn towards noise, where the conditions decide; on a path less, and there late guesses count the more.

    visualcloze-nb train transformer --vae runs/vae/vae --out runs/transformer --steps 12000
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers import AutoencoderKL, VisualClozePipeline
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm.auto import tqdm

from visualcloze_nb.evaluation.scores import score_tasks
from visualcloze_nb.sampling.flow import add_noise, velocity
from visualcloze_nb.sampling.text import encode_ids, tokenize
from visualcloze_nb.settings import TEXT_TOKENS, TINY_TEXT_TOKENS
from visualcloze_nb.toyworld import TRAINED_TASKS, Task
from visualcloze_nb.toyworld.splits import only_examples_tell
from visualcloze_nb.training.batches import Batch, easily_described, grids, large
from visualcloze_nb.training.checkpoints import Average, Log, save_atomically
from visualcloze_nb.training.decoder_metric import shown_error
from visualcloze_nb.training.rollouts import OwnPath, walked
from visualcloze_nb.training.tiny_model import build_pipeline, take_over

COPYING = {
    Task.parse(text): 1.0
    for text in ("image > grey", "image > negative", "image > hue *",
                 "blurred > image", "image > depth", "image > background")
}  # fmt: skip
COPYING_STEPS = 500
PLAIN_STEPS = 2000  # before these a model's own path leads nowhere
DESCRIBED = {
    Task.parse(text): 1.0
    for text in ("edge > image", "depth > image", "mask > image", "edge + depth > image")
}  # fmt: skip
"""Tasks that leave the colours open, so that a caption decides."""
SEVERAL = {task: weight for task, weight in TRAINED_TASKS.items() if len(task.outputs) > 1}
"""Tasks of several answers: three a grid teach more than one, at little more cost."""
BY_EXAMPLE = {
    task: weight
    for task, weight in TRAINED_TASKS.items()
    if task.inputs == ("image",) and len(task.outputs) == 1 and only_examples_tell(task.outputs[0])
}
"""Tasks that only examples tell apart: any number of a family, one change after the other."""
SINGLE = {task: weight for task, weight in TRAINED_TASKS.items() if task not in SEVERAL and task not in BY_EXAMPLE}
PATH_SHIFT = 1.5  # how much noise levels are drawn towards noise on the model's own path
FINE = 0.2  # share of a path down to which guesses count the more, the later: the last steps must not spoil them
LEAST = 1e-3  # the lowest noise level: the error is divided by it
KNOWN = 0.25  # how much known cells count: the pipeline paints them anew too, and decodes them with the answer
POOL, REUSE = 60, 10  # encoded batches are kept and used again with other noise: encoding costs as much as a step


class Model(torch.nn.Module):
    """Everything that is trained, in one forward pass: token numbers and noisy grids to velocity."""

    def __init__(self, pipe):
        super().__init__()
        self.transformer = pipe.transformer
        self.text_encoder = pipe.text_encoder
        self.text_encoder_2 = pipe.text_encoder_2

    def forward(self, z, condition, sigma, clip_ids, t5_ids, ids):
        text = encode_ids(self.text_encoder, self.text_encoder_2, clip_ids, t5_ids)
        return velocity(self.transformer, z, condition, sigma, text, ids)


def optimisers(model: torch.nn.Module, learning_rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the transformer's blocks, AdamW for all else."""
    inside = [
        p
        for name, p in model.named_parameters()
        if "transformer_blocks" in name and p.ndim == 2 and ".norm" not in name
    ]
    known = {id(p) for p in inside}
    rest = [p for p in model.parameters() if id(p) not in known]
    muon = torch.optim.Muon(inside, lr=2 * learning_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(rest, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    for group in (*muon.param_groups, *adamw.param_groups):
        group["peak"] = group["lr"]
    return [muon, adamw]


def learning_rate_factor(step: int, total: int, warmup: int = 100, decay: float = 0.3) -> float:
    """Warm up, stay, and fall to zero over the last `decay` of the run: one may lengthen a run before that."""
    return min((step + 1) / warmup, 1.0, max(0.01, (total - step) / (decay * total)))


def draw_batch(vae, rng: random.Random, step: int, size: int, copying_steps: int = COPYING_STEPS) -> Batch:
    """The curriculum: copying first, then every task; large images and grids with captions among them."""
    if step < copying_steps:
        return grids(vae, rng, COPYING, size, examples=(0, 1))
    part = rng.random()
    if part < 0.14:
        return large(vae, rng, max(1, size * 3 // 8))
    if part < 0.20:
        return grids(vae, rng, DESCRIBED, size * 3 // 2, examples=(3, 1), captions=1.0, scene=easily_described)
    if part < 0.32:
        return grids(vae, rng, SEVERAL, size * 3 // 2, examples=(4, 4, 1), captions=0.0)
    if part < 0.60:
        return grids(vae, rng, BY_EXAMPLE, size * 3 // 2, examples=(0, 4, 6, 2), captions=0.1)
    return grids(vae, rng, SINGLE, size)


def mean(values: list[float]) -> float:
    return sum(values) / max(1, len(values))


def asked(model, batch: Batch, pipe, rng: random.Random) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The model on one batch: a function of noisy tokens `(B, L, 64)` and noise levels `(B,)`, to velocity."""
    device = batch.clean.device
    # Padding is read as text, so its length must not matter: mostly just enough, sometimes 64, rarely 512.
    longest = max(len(ids) for ids in pipe.tokenizer_2(batch.prompts).input_ids)
    length = TEXT_TOKENS if rng.random() < 0.003 else TINY_TEXT_TOKENS if rng.random() < 0.25 else -(-longest // 8) * 8
    clip_ids, t5_ids = (ids.to(device) for ids in tokenize(pipe, batch.prompts, length))
    return lambda z, sigma: model(z, batch.condition, sigma, clip_ids, t5_ids, batch.ids).float()


def loss_of(
    model, batch: Batch, pipe, rng: random.Random, path: OwnPath | None = None, shown: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Error of one batch: of the velocity, or where practice begins on a path and in known cells, of the guess.

    Args:
        model: a `Model`.
        batch: its noise is fresh each time.
        pipe: for the tokenizers.
        rng: all chance but the noise's.
        path: the model's own way to answers; without it everything begins on the line from the truth.
        shown: `(64, 64)` from `seen.shown_error`; without it all directions of a token count alike.

    Returns:
        the loss, each grid's own error `(B,)`, each grid's sigma `(B,)`.
    """
    device = batch.clean.device
    u = torch.rand(len(batch.prompts), device=device)
    noise = torch.randn_like(batch.clean)
    shift = torch.full_like(u, batch.noise_shift)
    if path is not None:  # a path ends with its last guess, so low levels matter there as much as high ones
        shift[path.tokens.any(1)] = min(batch.noise_shift, PATH_SHIFT)
    sigma = (shift * u / (1 + (shift - 1) * u)).clamp(min=LEAST)
    if path is not None and not (batch.stage == 2 and rng.random() < 0.25):  # stage 2 may also begin with noise alone
        share, own = sigma, path.tokens
        sigma = (share * path.first).clamp(min=LEAST)
        z = torch.where(own[..., None], path.at(sigma), add_noise(batch.clean, noise, sigma[:, None, None]))
    else:
        share, own = sigma, torch.zeros_like(batch.targets)
        z = add_noise(batch.clean, noise, sigma[:, None, None])
    levels = sigma[:, None, None]
    v = asked(model, batch, pipe, rng)(z, sigma)
    error = v - (z - batch.clean) / levels
    error = (error if shown is None else error @ shown).square().mean(-1)
    known = ~batch.targets
    copied = (sigma[:, None] ** 2 * error * known).sum() / known.sum().clamp(min=1)
    error = torch.where(own, share[:, None] ** 2 * error, error)  # of the guess, as large as the velocity's at first
    weight = batch.targets * (1.0 if batch.emphasis is None else batch.emphasis)
    weight = torch.where(own, weight / share.clamp(min=FINE)[:, None], weight)
    each = (error * weight).sum(1) / weight.sum(1)
    return (error * weight).sum() / weight.sum() + KNOWN * copied, each.detach(), sigma


def kept_tokenizers(out: Path) -> Path | None:
    """Where a run that began earlier has kept its tokenizers; None if it is only beginning."""
    return next((place for place in (out, out / "pipeline") if (place / "tokenizer_2").is_dir()), None)


def train(
    vae_folder: Path,
    out: Path,
    steps: int = 12_000,
    batch_size: int = 32,
    seed: int = 0,
    learning_rate: float = 1e-3,
    save_every: int = 250,
    measure_every: int = 1000,
    start: Path | None = None,
) -> None:
    """Train, resume, finish; the result is `out/pipeline`, averaged weights in diffusers' layout.

    Args:
        vae_folder: the trained VAE.
        out: folder of the run; if it holds a state, the run goes on from there.
        steps: in all. The learning rate falls over the last 30 %: to train on, raise it before that.
        batch_size: grids in a step.
        seed: of weights and batches.
        learning_rate: of AdamW; Muon's is twice that.
        save_every, measure_every: steps between states, and between rows of the log.
        start: a pipeline to begin from, such as the bundled one, in place of random weights.
    """
    out.mkdir(parents=True, exist_ok=True)
    accelerator = Accelerator(mixed_precision="bf16")
    device = accelerator.device
    # On a CPU the fused attention's backward pass is slow for so few tokens.
    attention = partial(sdpa_kernel, SDPBackend.MATH) if device.type == "cpu" else nullcontext
    vae = AutoencoderKL.from_pretrained(vae_folder).to(device).requires_grad_(False)
    with accelerator.main_process_first():  # the others then read what the first has kept
        pipe = build_pipeline(vae, seed, kept_tokenizers(out))
        if start:
            take_over(pipe, VisualClozePipeline.from_pretrained(start))
        pipe = pipe.to(device)
        if accelerator.is_main_process:
            pipe.tokenizer.save_pretrained(out / "tokenizer")
            pipe.tokenizer_2.save_pretrained(out / "tokenizer_2")
    model = Model(pipe)
    tuned = optimisers(model, learning_rate)
    average, log = Average(model), Log(out / "log.csv")
    shown = shown_error(vae)
    copying_steps, plain_steps = (0, 0) if start else (COPYING_STEPS, PLAIN_STEPS)
    first, began = 0, time.time()
    if (out / "state.pt").exists():
        place = "cpu" if device.type == "cpu" else device  # torch.load does not know the "cpu:0" of several processes
        state = torch.load(out / "state.pt", map_location=place)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        for optimiser, saved in zip(tuned, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        first, began = state["step"], began - state["seconds"]
    wrapped, *tuned = accelerator.prepare(model, *tuned)

    pool: list[list] = []  # [batch, the model's path through it, uses left]
    high, low = [], []  # recent errors of grids at high and at low noise
    progress = tqdm(range(first, steps), initial=first, total=steps, disable=not accelerator.is_local_main_process)
    for step in progress:
        rng = random.Random(f"{seed} {step} {accelerator.process_index}")
        torch.manual_seed(rng.getrandbits(40))
        factor = learning_rate_factor(step, steps)
        for group in (g for optimiser in tuned for g in optimiser.param_groups):
            group["lr"] = group["peak"] * factor
        with accelerator.autocast():
            while len(pool) < min(POOL, 1 + step - first):
                batch = draw_batch(vae, rng, step, batch_size, copying_steps)
                told = step >= plain_steps and bool(batch.told.any())
                path = walked(asked(model, batch, pipe, rng), batch, rng) if told else None
                pool.append([batch, path, REUSE])
            slot = rng.choice(pool)
            with attention():
                loss, each, sigma = loss_of(wrapped, slot[0], pipe, rng, slot[1], shown)
        slot[2] -= 1
        pool = [s for s in pool if s[2] > 0]
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in tuned:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        average.update(model)
        if slot[0].stage == 1:
            high += each[sigma > 0.93].tolist()
            low += each[sigma < 0.5].tolist()

        done = step + 1
        if done % 50 == 0:
            progress.set_postfix(high=mean(high[-400:]), low=mean(low[-200:]))
        if not accelerator.is_main_process:
            continue
        if done % save_every == 0 or done == steps:
            state = {"model": model.state_dict(), "average": average.state_dict(), "step": done}
            state |= {"optimisers": [o.state_dict() for o in tuned], "seconds": time.time() - began}
            save_atomically(state, out / "state.pt")
        if done % measure_every == 0 or done == steps:
            live = {k: v.clone() for k, v in model.state_dict().items()}
            model.load_state_dict(average.weights)
            scores = score_tasks(pipe, scenes=8, steps=8)
            row = {"step": done, "seconds": time.time() - began, "high": mean(high), "low": mean(low)}
            log.write(**row, **{str(task): score.score for task, score in scores.items()})
            pipe.save_pretrained(out / "pipeline")
            model.load_state_dict(live)
            high, low = [], []
