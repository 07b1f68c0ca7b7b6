"""Train the tiny VAE: on rows of one to four cells, because that is what the pipeline encodes.

The pipeline puts the cells of a row side by side in one image before it encodes them, blanks black, and
GroupNorm mixes what lies side by side. A VAE that has only seen single cells is 8 dB worse on rows. Stage 2
encodes single images of three times the size. So all of these are trained on, in these proportions.

    visualcloze-nb train vae --out runs/vae --steps 6000
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from diffusers import AutoencoderKL
from tqdm.auto import tqdm

from visualcloze_nb.settings import LATENT_CHANNELS, UPSCALING
from visualcloze_nb.toyworld import FIRST_TRAINING_SEED, TRAINED_TASKS, concrete, draw, make_scene
from visualcloze_nb.training.checkpoints import Log, cosine, save_atomically

OFTEN = ("image",) * 30 + ("edge",) * 25 + ("mask",) * 10 + ("depth",) * 5 + ("subject",) * 4  # lines are hardest
CELLS = ((64, 64), (48, 64), (64, 48), (48, 80), (80, 48))  # height, width: what resolution 64 makes of aspects
KL_WEIGHT = 5e-4


def build_vae() -> AutoencoderKL:
    """The tiny VAE, untrained: 8 times smaller a side, 16 channels, 2.6 M parameters.

    It starts almost linear: convolutions on the direct way keep their input's size, the branches beside it
    start small, and the latents almost without noise. From PyTorch's own start it stays colour-blind for
    thousands of steps.
    """
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 128),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=2,  # few: the last norm must not wash out which colour is brighter
        sample_size=64,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=1.0,
        shift_factor=0.0,
    )
    with torch.no_grad():
        for name, module in vae.named_modules():
            if not isinstance(module, torch.nn.Conv2d):
                continue
            if name.endswith(".conv2"):
                module.weight.mul_(0.1)
                module.bias.zero_()
            elif not name.endswith(".conv1"):
                module.weight.mul_(3**0.5)
        vae.encoder.conv_out.weight[16:].mul_(0.05)
        vae.encoder.conv_out.bias[16:].fill_(-5.0)
    return vae


def batch(rng: random.Random, device="cpu", cells: int = 10) -> torch.Tensor:
    """One training batch: rows of cells, or large single images, `(B, 3, H, W)` in -1..1."""

    def scenes(n):
        return [make_scene(rng.randrange(FIRST_TRAINING_SEED, 2**40)) for _ in range(n)]

    def kind():
        if rng.random() < 0.75:
            return rng.choice(OFTEN)
        return rng.choice(concrete(rng.choice(tuple(TRAINED_TASKS)), rng).columns)

    chance = torch.Generator(device).manual_seed(rng.getrandbits(40))
    if rng.random() < 0.1:  # stage 2: large images, sharp or enlarged from small ones
        big = draw(kind(), scenes(1), 192, 192, chance, device)
        if rng.random() < 0.4:
            small = F.interpolate(big, scale_factor=1 / UPSCALING, mode="area")
            big = F.interpolate(small, (192, 192), mode="bicubic").clamp(0, 1)
        return big * 2 - 1

    columns = rng.choice((1, 2, 2, 3, 3, 4))
    height, width = CELLS[0] if rng.random() < 0.7 else rng.choice(CELLS)
    row = scenes(max(1, cells // columns))
    images = [draw(kind(), row, height, width, chance, device) for _ in range(columns)]
    for i in range(columns):  # a blank cell is black
        if rng.random() < 0.15 and columns > 1:
            images[i] = torch.zeros_like(images[i])
    return torch.cat(images, dim=3) * 2 - 1


class RoundTrip(torch.nn.Module):
    """Encode, sample, decode: one forward pass, so that several processes can share a batch (DDP)."""

    def __init__(self, vae: AutoencoderKL):
        super().__init__()
        self.vae = vae

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        posterior = self.vae.encode(x).latent_dist
        return self.vae.decode(posterior.sample()).sample, posterior.kl().mean() / posterior.mean[0].numel()


def image_loss(error: torch.Tensor) -> torch.Tensor:
    """Error at every scale: fine detail by its size, coarse colour by its square, so that colour is learned early."""
    loss = error.abs().mean() + 4 * error.square().mean()
    for tile in (4, 16):
        loss = loss + F.avg_pool2d(error, tile).square().mean()
    return loss


@torch.no_grad()
def measure(vae: AutoencoderKL, kinds=("image", "edge", "depth", "mask"), scenes: int = 32) -> dict[str, float]:
    """PSNR in dB on held-out scenes: each kind beside an image in one row, and at 192 px; and latent statistics."""
    held_out = [make_scene(seed) for seed in range(scenes)]
    device = next(vae.parameters()).device
    psnr = {}

    def score(x):
        got = vae.decode(vae.encode(x).latent_dist.mode()).sample.clamp(-1, 1)
        return got, lambda a, b: float(10 * torch.log10(4 / F.mse_loss(a, b)))

    image = draw("image", held_out, device=device) * 2 - 1
    for kind in kinds:
        other = draw(kind, held_out, device=device) * 2 - 1
        row = torch.cat([image, other], dim=3)
        got, db = score(row)
        psnr[kind] = db(got[..., 64:], other)
    big = draw("image", held_out[:8], 192, 192, device=device) * 2 - 1
    got, db = score(big)
    psnr["image192"] = db(got, big)
    return psnr


@torch.no_grad()
def set_latent_scale(vae: AutoencoderKL, rng: random.Random, batches: int = 40) -> tuple[float, float]:
    """Measure the latents' mean and 1/std on training rows, and store them as `shift_factor`, `scaling_factor`."""
    device = next(vae.parameters()).device
    values = torch.cat([vae.encode(batch(rng, device)).latent_dist.sample().flatten() for _ in range(batches)])
    shift, scale = float(values.mean()), float(1 / values.std())
    vae.register_to_config(shift_factor=shift, scaling_factor=scale)
    return shift, scale


def train(
    out: Path,
    steps: int = 6000,
    seed: int = 0,
    learning_rate: float = 2.5e-4,
    save_every: int = 500,
    start: Path | None = None,
) -> None:
    """Train, resume, finish; the result is `out/vae` in diffusers' format.

    Args:
        out: folder of the run; if it holds a state, the run goes on from there.
        steps: in all.
        seed: of weights and batches.
        learning_rate: of AdamW, at its highest.
        save_every: steps between states, and between rows of the log.
        start: a VAE to begin from, such as the bundled one, in place of random weights.
    """
    out.mkdir(parents=True, exist_ok=True)
    accelerator = Accelerator(mixed_precision="bf16")
    device = accelerator.device
    torch.manual_seed(seed)
    vae = build_vae().to(device)
    if start:
        vae.load_state_dict(AutoencoderKL.from_pretrained(start, dtype=torch.float32).state_dict())
    optimiser = torch.optim.AdamW(vae.parameters(), lr=learning_rate, betas=(0.9, 0.99), weight_decay=0.01)
    first, log, began = 0, Log(out / "log.csv"), time.time()
    if (out / "state.pt").exists():
        state = torch.load(out / "state.pt", map_location=device)
        vae.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        first, began = state["step"], began - state["seconds"]
    model, optimiser = accelerator.prepare(RoundTrip(vae), optimiser)

    progress = tqdm(range(first, steps), initial=first, total=steps, disable=not accelerator.is_local_main_process)
    for step in progress:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * cosine(step, steps)
        rng = random.Random(f"{seed} {step} {accelerator.process_index}")  # resumable: a step always sees the same
        x = batch(rng, device)
        with accelerator.autocast():
            got, kl = model(x)
        loss = image_loss(got.float() - x) + KL_WEIGHT * kl
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(vae.parameters(), 0.5)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        done = step + 1
        if (done % save_every == 0 or done == steps) and accelerator.is_main_process:
            state = {"model": vae.state_dict(), "optimiser": optimiser.state_dict(), "step": done}
            save_atomically(state | {"seconds": time.time() - began}, out / "state.pt")
            psnr = measure(vae)
            log.write(step=done, seconds=time.time() - began, loss=loss.item(), **psnr)
            progress.set_postfix({k: f"{v:.1f}" for k, v in psnr.items()})
    if accelerator.is_main_process:
        set_latent_scale(vae, random.Random(seed))
        vae.save_pretrained(out / "vae")
