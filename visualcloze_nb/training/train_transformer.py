"""Train the tiny transformer and its text encoders to fill grids, within a time budget.

The loss is the error of the velocity on the tokens to be filled in. Most of the training is at sigma 1, pure noise,
where only the conditions decide; there the x0 prediction of a determined task is the answer itself. Later a part starts
from the model's own rollouts (`rollouts.py`). Known cells count a little: the pipeline denoises them too, and the VAE
decodes a row whole. Half of the metric is what the decoder shows of an error (`decoder_metric.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.pipelines.visualcloze.pipeline_visualcloze_combined import VisualClozePipeline

from visualcloze_nb.errors import UsageError, shorten
from visualcloze_nb.sampling.flow import add_noise, velocity
from visualcloze_nb.sampling.text import encode_ids
from visualcloze_nb.training import device as devices
from visualcloze_nb.training.batches import RowBank
from visualcloze_nb.training.checkpoints import Budget, Log, average_of, learning_rate_factor, save_atomically
from visualcloze_nb.training.decoder_metric import decoder_metric
from visualcloze_nb.training.initialisation import add_blocks
from visualcloze_nb.training.optimisers import LEARNING_RATE, optimisers
from visualcloze_nb.training.rollouts import FIRST_GUESS, rollout
from visualcloze_nb.training.row_sets import Batch
from visualcloze_nb.training.tiny_model import WIDTH, build_pipeline

START_RATE, START_DECAY = 0.6, 0.75  # of that, and for how much of the time it falls, when trained weights go on
PURE_NOISE = 0.7  # share of determined grids that are trained at sigma 1; of the others a quarter of that
ROLLOUTS = 0.2  # share of batches that start from a rollout, once the model leads somewhere
ROLLOUTS_FROM = 0.7  # share of the time after which it does
STAGE2_START = 0.2, 0.85  # noise levels where stage 2 starts: 0.47 with a strength of 0.4
LATE = 0.2  # on a rollout, errors count the more the lower sigma, down to this
LEAST = 1e-3  # the lowest noise level: the error is divided by it
KNOWN = 0.15  # weight of known cells
ROW_SHARE = 0.1  # of the time, for making rows
SCORE_SHARE = 0.03  # of the time, for the scores in the log: most of its lines have none
PREFILLED = 48  # row sets made before training, or as many as fit into
PREFILL_SHARE = 0.02  # of the time
BATCHES = (32, 128, 256, 512, 1024)


class Model(torch.nn.Module):
    """Everything that is trained, in one forward pass: token ids and noisy grids to velocity."""

    def __init__(self, pipe):
        super().__init__()
        self.transformer = pipe.transformer
        self.text_encoder = pipe.text_encoder
        self.text_encoder_2 = pipe.text_encoder_2

    def forward(self, z: torch.Tensor, sigma: torch.Tensor, batch: Batch) -> torch.Tensor:
        text = encode_ids(self.text_encoder, self.text_encoder_2, batch.clip_ids, batch.t5_ids)
        return velocity(self.transformer, z, batch.condition, sigma, text, batch.ids).float()


def noisy_start(model: Model, batch: Batch, rollouts: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Where this batch is trained: tokens, noise levels, and which tokens are on the model's own path.

    Returns:
        `(B, L, 64)`, `(B,)` and `(B, L)` bool.
    """
    noise = torch.randn_like(batch.clean)
    u = torch.rand(len(noise), device=noise.device)
    determined = batch.determined.any(1)
    own = torch.zeros_like(batch.determined)
    if batch.begun is not None:  # stage 2: mostly from the enlarged image, and from there along the model's path
        sigma = STAGE2_START[0] + (STAGE2_START[1] - STAGE2_START[0]) * u
        start = add_noise(batch.begun, noise, sigma[:, None, None])
        draw = float(torch.rand(()))
        if draw < 0.8:
            own = batch.determined
            if rollouts and draw < 0.4:
                start, sigma = rollout(lambda z, s: model(z, s, batch), start, sigma, 1 + int(draw < 0.15))
            return start, sigma.clamp(min=LEAST), own
    elif rollouts and batch.has_determined and float(torch.rand(())) < ROLLOUTS:
        with torch.no_grad():
            first = model(noise, torch.ones_like(u), batch)
            missed = (noise - first - batch.clean).square().mean(-1) * batch.determined
            understood = missed.sum(1) / batch.determined.sum(1).clamp(min=1) < FIRST_GUESS
            own = batch.determined & understood[:, None]
            lower = torch.rand_like(u)
            z = noise + (lower - 1)[:, None, None] * first
            if float(torch.rand(())) < 0.5:
                z, lower = rollout(lambda z, s: model(z, s, batch), z, lower.clamp(min=0.02), 1)
        sigma = lower.clamp(min=LEAST)
        return torch.where(own[..., None], z, add_noise(batch.clean, noise, sigma[:, None, None])), sigma, own
    shift = batch.noise_shift
    sigma = shift * u / (1 + (shift - 1) * u)
    pure = torch.where(determined, PURE_NOISE, PURE_NOISE / 4)
    sigma = torch.where(torch.rand_like(u) < pure, 1.0, sigma).clamp(min=LEAST)
    return add_noise(batch.clean, noise, sigma[:, None, None]), sigma, own


def loss_of(
    model: Model, batch: Batch, metric: torch.Tensor | None = None, rollouts: bool = False
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Error of one batch: of the velocity; on a rollout and in known cells, of the x0 prediction.

    Args:
        model: what is trained.
        batch: its noise is fresh each time.
        metric: `(64, 64)` from `decoder_metric`; without it all directions of a token count alike.
        rollouts: train on the model's own path too.

    Returns:
        the loss, each grid's own error `(B,)`, each grid's sigma `(B,)`.
    """
    z, sigma, own = noisy_start(model, batch, rollouts)
    level = sigma[:, None]
    error = model(z, sigma, batch) - (z - batch.clean) / level[..., None]
    error = (error if metric is None else error @ metric).square().mean(-1)
    known = ~batch.targets
    copied = (level**2 * error * known).sum() / known.sum().clamp(min=1)
    error = torch.where(own, level**2 * error, error)
    weight = batch.targets * batch.emphasis
    weight = torch.where(own, weight / level.clamp(min=LATE), weight)
    each = (error * weight).sum(1) / weight.sum(1)
    return (error * weight).sum() / weight.sum() + KNOWN * copied, each.detach(), sigma


def train_transformer(
    vae: AutoencoderKL,
    minutes: float,
    out: Path,
    seed: int = 0,
    width: int = WIDTH,
    batch_size: int | None = None,
    say: Callable[[str], None] = print,
    score: Callable[[object], dict[str, float]] | None = None,
    start: Path | None = None,
    grow: bool = False,
) -> Path:
    """Train within a time budget, resume after a kill; the result is `out/pipeline`, averaged weights.

    Args:
        vae: trained.
        minutes: in all, earlier runs on the same folder counted in.
        out: folder of the run.
        seed: of weights and batches.
        width: of the transformer, a multiple of 64.
        batch_size: grids of 2 x 2 in a batch; unless given, what the device does best.
        say: takes one line a minute.
        score: a few scores of a pipeline, for that line.
        start: a checkpoint whose weights, tokenizers and width to begin with, in place of random weights.
        grow: add `initialisation.ADDED` to the blocks of `start`.

    Returns:
        the folder of the pipeline, in diffusers' format.
    """
    out.mkdir(parents=True, exist_ok=True)
    device = devices.best_device()
    precision = devices.best_precision(device)
    torch.set_float32_matmul_precision("high")
    kept = out if (out / "tokenizer_2").is_dir() else None
    vae.requires_grad_(False)
    if start:
        pipe = VisualClozePipeline.from_pretrained(start, vae=vae, dtype=torch.float32).to(device)
        added = add_blocks(pipe.transformer) if grow else []
    else:
        pipe, added = build_pipeline(vae, seed, kept, width).to(device), []
    for name in ("tokenizer", "tokenizer_2"):
        getattr(pipe, name).save_pretrained(out / name)
    model = Model(pipe)
    tuned = optimisers(model, LEARNING_RATE * (START_RATE if start else 1), added)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == torch.float16)
    step, seen, used, size = 0, 0, 0.0, batch_size or 0
    state = None
    if (out / "state.pt").exists():
        state = torch.load(out / "state.pt", map_location=device)
        try:
            model.load_state_dict(state["model"])
        except RuntimeError as differ:
            raise UsageError(
                f"the run in {shorten(str(out))} has other weights: "
                "use the --start, --grow and --width it began with to resume it"
            ) from differ
        for optimiser, saved_state in zip(tuned, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved_state)
        step, seen, used, size = state["step"], state["seen"], state["seconds"], state["size"]
    average = average_of(model, step)
    if state:
        average.load_state_dict(state["average"])
    budget, log = Budget(minutes, used), Log(out / "log.csv")
    torch.manual_seed(seed + step)
    bank = RowBank(pipe, rows=128 if device.type == "cuda" else 16, seed=seed + step)
    metric = decoder_metric(vae)

    def one_step(batch: Batch, factor: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        with devices.precision_context(device, precision), devices.attention_context(device):
            loss, each, sigma = loss_of(model, batch, metric, bool(start) or budget.share > ROLLOUTS_FROM)
        scaler.scale(loss).backward()
        for optimiser in tuned:
            scaler.unscale_(optimiser)
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * factor
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in tuned:
            scaler.step(optimiser)
            optimiser.zero_grad(set_to_none=True)
        scaler.update()
        average.update_parameters(model)
        return loss, each, sigma

    def rate(grids: int) -> float:
        few = 2 if device.type == "cpu" else 4
        batches = [bank.batch(grids) for _ in range(few)]
        for batch in batches * (few // 2):  # to warm up
            one_step(batch, 0.01)
        devices.synchronise(device)
        began = time.perf_counter()
        for batch in batches:
            one_step(batch, 0.01)
        devices.synchronise(device)
        return sum(len(batch.clean) for batch in batches) / (time.perf_counter() - began)

    began, prefilled = time.perf_counter(), 0
    while prefilled < PREFILLED and (not prefilled or time.perf_counter() - began < PREFILL_SHARE * budget.seconds):
        bank.refresh()
        prefilled += 1
    devices.synchronise(device)
    row_set_seconds = (time.perf_counter() - began) / prefilled
    if not size:
        size = devices.best_batch(rate, BATCHES if device.type == "cuda" else BATCHES[:1])
    refreshes = ROW_SHARE / (1 - ROW_SHARE) * size / rate(size) / row_set_seconds  # row sets made a step
    multiply = devices.matrix_rate(device, precision)
    weights = sum(p.numel() for name, p in model.named_parameters() if ".norm" not in name and p.ndim == 2)
    say(
        f"{device.type}, {precision}, width {width}, batches of about {size}, {multiply / 1e12:.2f} TFLOP/s, "
        f"{refreshes:.2f} row sets a step, {budget.used:.0f} s used"
    )
    tokens, high, low = 0, [], []
    scores, score_due = {}, 0.0
    started = noted = saved = budget.used
    counted_from, row_sets, due = seen, 0, 0.0

    def report(loss: float) -> None:
        nonlocal scores, score_due
        spent = max(budget.used - started, 1e-9)  # none, if no time was left
        row = {"seconds": budget.used, "step": step, "grids": seen, "loss": loss}
        row |= {k: float(torch.stack(v).nanmean()) if v else float("nan") for k, v in (("high", high), ("low", low))}
        row |= {"grids a second": (seen - counted_from) / spent, "rows": bank.made}
        row |= {"row share": row_sets * row_set_seconds / spent}
        row |= {"matrix share": 6 * weights * tokens / spent / multiply}
        scores = dict.fromkeys(scores, float("nan"))
        if score and (spent >= score_due or budget.share >= 1):
            began = time.perf_counter()
            with devices.precision_context(device, precision):
                scores = _scores(pipe, model, average, score)
            score_due = budget.used - started + (time.perf_counter() - began) / SCORE_SHARE
        row |= scores
        log.write(**row)
        say("transformer " + ", ".join(f"{k} {v:.4g}" for k, v in row.items()))

    loss = torch.tensor(float("nan"))
    while budget.share < 1:
        due += refreshes
        while due >= 1:
            bank.refresh()
            row_sets, due = row_sets + 1, due - 1
        batch = bank.batch(size)
        loss, each, sigma = one_step(batch, learning_rate_factor(budget.share, decay=START_DECAY if start else 0.35))
        step, seen = step + 1, seen + len(each)
        tokens += batch.clean.shape[0] * (batch.clean.shape[1] + batch.t5_ids.shape[1])
        if step % 20 == 0 and batch.begun is None:
            high.append(each[sigma > 0.93].mean())
            low.append(each[sigma < 0.5].mean())
        if budget.used - noted > 60:
            report(loss.item())
            noted, high, low = budget.used, [], []
        if budget.used - saved > (120 if device.type == "cuda" else 60):
            saved = budget.used
            state = {"model": model.state_dict(), "average": average.state_dict(), "step": step, "seen": seen}
            state |= {"optimisers": [o.state_dict() for o in tuned], "seconds": budget.used, "size": size}
            save_atomically(state, out / "state.pt")
    report(loss.item())
    model.load_state_dict(average.module.state_dict())
    pipe.save_pretrained(out / "pipeline")
    return out / "pipeline"


def _scores(pipe, model: Model, average, score: Callable[[object], dict[str, float]]) -> dict[str, float]:
    """Scores of the averaged weights; the trained ones are put back."""
    live = {k: v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(average.module.state_dict())
    try:
        return score(pipe)
    finally:
        model.load_state_dict(live)
