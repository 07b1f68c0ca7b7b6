"""Train the tiny VAE: on rows of one to four cells, because that is what the pipeline encodes.

The pipeline puts the cells of a row side by side in one image before it encodes them, targets black, and GroupNorm
couples neighbours. A VAE that has only seen single cells is 8 dB worse on rows. Stage 2 encodes single images of three
times the size. So all of these are trained on, drawn scenes and photographs.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

from visualcloze_nb.settings import UPSCALING
from visualcloze_nb.toyworld import TRAINED_TASKS, concrete, draw, make_scene
from visualcloze_nb.toyworld.graph import changed, changes_images
from visualcloze_nb.toyworld.scene_batch import SceneBatch
from visualcloze_nb.training import device as devices
from visualcloze_nb.training.checkpoints import Budget, Log, average_of, learning_rate_factor, save_atomically
from visualcloze_nb.training.photo_crops import PhotoCrops
from visualcloze_nb.training.tiny_model import build_vae

OFTEN = ("image",) * 30 + ("edge",) * 25 + ("mask",) * 10 + ("depth",) * 5 + ("subject",) * 4  # lines are hardest
CELLS = ((64, 64), (64, 64), (64, 64), (48, 64), (64, 48), (48, 80), (80, 48))  # (width, height)
LARGE = (192, 192)
PHOTO_SHARE = 0.4
KEPT = 48  # batches
KL_WEIGHT = 3e-4
LEARNING_RATE = 6e-4
START_RATE = 0.5  # of that, when a trained decoder goes on


class RowImages:
    """Draws batches of rows of cells, and of large single images, `(B, 3, H, W)` in -1..1."""

    def __init__(self, device: torch.device, seed: int):
        self.device, self.rng = device, random.Random(seed)
        self.scenes = SceneBatch.sample(20_000 if device.type == "cpu" else 100_000, np.random.default_rng(seed))
        self.photos = PhotoCrops(device)
        self.kept: deque[torch.Tensor] = deque(maxlen=KEPT)

    def _scenes(self, count: int) -> SceneBatch:
        return self.scenes[np.array([self.rng.randrange(len(self.scenes)) for _ in range(count)])]

    def _kind(self) -> str:
        if self.rng.random() < 0.7:
            return self.rng.choice(OFTEN)
        return self.rng.choice(concrete(self.rng.choice(tuple(TRAINED_TASKS)), self.rng).columns)

    def _cells(self, count: int, size: tuple[int, int]) -> torch.Tensor:
        kind, (width, height) = self._kind(), size
        random_ = torch.Generator(self.device).manual_seed(self.rng.getrandbits(40))
        if self.photos.images and self.rng.random() < PHOTO_SHARE:
            crops = self.photos.sample(count, size, self.rng)
            return changed(crops, kind, random_) if changes_images(kind) else crops
        return draw(kind, self._scenes(count), height, width, random_, self.device)

    def batch(self, cells: int) -> torch.Tensor:
        """A batch as `render` makes it; each is used about four times, because rendering costs as much as a step."""
        if len(self.kept) < KEPT or self.rng.random() < 0.25:
            self.kept.append(self.render(cells))
            return self.kept[-1]
        return self.rng.choice(self.kept)

    def render(self, cells: int) -> torch.Tensor:
        """About `cells` cells in rows of one shape; a tenth of the batches are large images."""
        if self.rng.random() < 0.12:  # stage 2: large images, sharp or enlarged from small ones
            big = self._cells(max(1, cells // 9), LARGE)
            if self.rng.random() < 0.4:
                small = F.interpolate(big, scale_factor=1 / UPSCALING, mode="area")
                big = F.interpolate(small, LARGE[::-1], mode="bicubic").clamp(0, 1)
            return big * 2 - 1
        columns, size = self.rng.choice((1, 2, 2, 3, 3, 4)), self.rng.choice(CELLS)
        images = [self._cells(max(1, cells // columns), size) for _ in range(columns)]
        for i in range(columns):  # a target is black
            if self.rng.random() < 0.15 and columns > 1:
                images[i] = torch.zeros_like(images[i])
        return torch.cat(images, dim=3) * 2 - 1


def image_loss(error: torch.Tensor) -> torch.Tensor:
    """Error at every scale: coarse colour counts in its own right, so that it is learned early."""
    loss = 0.5 * error.abs().mean() + 6 * error.square().mean()
    for tile in (4, 16):
        loss = loss + F.avg_pool2d(error, tile).square().mean()
    return loss


@torch.no_grad()
def measure(vae: Any, kinds: Sequence[str] = ("image", "edge", "depth", "mask"), scenes: int = 32) -> dict[str, float]:
    """PSNR in dB on held-out scenes: each kind beside an image in one row, at 192 pixels, and held-out photographs."""
    held_out = [make_scene(seed) for seed in range(scenes)]
    device = next(vae.parameters()).device

    def psnr(row: torch.Tensor, first: int = 0) -> float:
        got = vae.decode(vae.encode(row).latent_dist.mode()).sample.clamp(-1, 1)
        return float(10 * torch.log10(4 / F.mse_loss(got[..., first:], row[..., first:])))

    image = draw("image", held_out, device=device) * 2 - 1
    found = {k: psnr(torch.cat([image, draw(k, held_out, device=device) * 2 - 1], dim=3), 64) for k in kinds}
    found["image192"] = psnr(draw("image", held_out[:8], *LARGE, device=device) * 2 - 1)
    photos = PhotoCrops(device, held_out=True)
    if photos.images:
        found["photo"] = psnr(photos.sample(scenes, (64, 64), random.Random(0)) * 2 - 1)
    return found


@torch.no_grad()
def set_latent_scale(vae: Any, rows: RowImages, batches: int = 40) -> tuple[float, float]:
    """Measure the latents' mean and 1/std on training rows, and store them as `shift_factor`, `scaling_factor`."""
    values = torch.cat([vae.encode(rows.render(12)).latent_dist.sample().flatten() for _ in range(batches)])
    shift, scale = float(values.mean()), float(1 / values.std())
    vae.register_to_config(shift_factor=shift, scaling_factor=scale)
    return shift, scale


def train_vae(
    minutes: float, out: Path, seed: int = 0, say: Callable[[str], None] = print, start: Path | None = None
) -> AutoencoderKL:
    """Train within a time budget, resume after a kill; the result is `out/vae` in diffusers' format.

    Args:
        minutes: in all, earlier runs on the same folder counted in.
        out: folder of the run.
        seed: of weights and batches.
        say: takes one line a minute.
        start: folder of a trained VAE, to train its decoder on. Its encoder stays, and with it the latents: a
            transformer that was trained on them fits the new decoder too.

    Returns:
        the averaged VAE, in float32, with its latent scale set.
    """
    out.mkdir(parents=True, exist_ok=True)
    device = devices.best_device()
    precision = devices.best_precision(device)
    torch.manual_seed(seed)
    vae: Any = AutoencoderKL.from_pretrained(start, torch_dtype=torch.float32) if start else build_vae()
    vae.to(device)
    if start:
        vae.encoder.requires_grad_(False)
    rate = START_RATE * LEARNING_RATE if start else LEARNING_RATE
    fused = device.type == "cuda"
    trained = [p for p in vae.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, rate, betas=(0.9, 0.99), weight_decay=0.01, fused=fused)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == torch.float16)
    step, seen, used = 0, 0, 0.0
    state = None
    if (out / "state.pt").exists():
        state = torch.load(out / "state.pt", map_location=device)
        vae.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        step, seen, used = state["step"], state["seen"], state["seconds"]
    average = average_of(vae, step)
    if state:
        average.load_state_dict(state["average"])
    rows, budget, log = RowImages(device, seed + step), Budget(minutes, used), Log(out / "log.csv")
    cells, noted, saved = (256 if fused else 12), budget.used, budget.used

    def report(loss: float) -> None:
        psnr = measure(average.module)
        log.write(seconds=budget.used, step=step, cells=seen, loss=loss, **psnr)
        shown = ", ".join(f"{k} {v:.1f}" for k, v in psnr.items())
        say(f"VAE {budget.used / 60:.1f} min, {seen / budget.used:.0f} cells/s, loss {loss:.4f}, dB: {shown}")

    loss = torch.tensor(float("nan"))
    while budget.share < 1:
        for group in optimiser.param_groups:
            group["lr"] = rate * learning_rate_factor(budget.share, decay=0.6)
        x = rows.batch(cells)
        with devices.precision_context(device, precision):
            posterior = vae.encode(x).latent_dist
            got = vae.decode(posterior.sample()).sample
        loss = image_loss(got.float() - x) + KL_WEIGHT * posterior.kl().float().mean() / posterior.mean[0].numel()
        scaler.scale(loss).backward()
        scaler.unscale_(optimiser)
        torch.nn.utils.clip_grad_norm_(trained, 0.5)
        scaler.step(optimiser)
        scaler.update()
        optimiser.zero_grad(set_to_none=True)
        average.update_parameters(vae)
        step, seen = step + 1, seen + x.shape[0] * x.shape[2] * x.shape[3] // 64**2
        if budget.used - noted > 60:
            noted = budget.used
            report(loss.item())
        if budget.used - saved > 30:
            saved = budget.used
            state = {"model": vae.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict()}
            save_atomically(state | {"step": step, "seen": seen, "seconds": budget.used}, out / "state.pt")
    report(loss.item())
    finished: Any = average.module.eval()
    if not start:
        set_latent_scale(finished, rows)
    finished.save_pretrained(out / "vae")
    return finished
