"""Benchmark of stage 2: SDEdit sharpens outlines at three times the size, and keeps the image."""

from __future__ import annotations

from collections import deque

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.utils.torch_utils import randn_tensor

from visualcloze_nb.data.layout import Layout
from visualcloze_nb.evaluation.benchmark import Band, Benchmark, CachedPredictor, Floor, Row, row
from visualcloze_nb.evaluation.edge_width import rise_widths
from visualcloze_nb.evaluation.metrics import psnr
from visualcloze_nb.evaluation.predictions import encode_prompts, queries
from visualcloze_nb.sampling.flow import add_noise, euler_sample, schedule
from visualcloze_nb.sampling.latents import condition, decode, encode, pack, position_ids, unpack
from visualcloze_nb.sampling.sdedit import GREY, enlarge, skipped_steps
from visualcloze_nb.settings import TINY_RESOLUTION, UPSCALING, VAE_SCALE
from visualcloze_nb.toyworld import draw, to_image

LARGE = UPSCALING * TINY_RESOLUTION
STRENGTHS = (0.0, 0.2, 0.3, 0.4, 0.6, 1.0)
STEPS = 20


@torch.no_grad()
def upsample(pipe, images: torch.Tensor, strength: float, captions: list[str], steps: int, seed: int) -> torch.Tensor:
    """Stage 2 of many images at once, as `sdedit.prepare_stage2` and `flow.euler_sample` do it for one.

    Args:
        pipe: the pipeline whose components are used.
        images: `(B, 3, 64, 64)` in 0..1.
        strength: 0 gives the enlarged image that stage 2 begins with.
        captions: B content prompts.
        steps: Euler steps of a full run, of which `strength` says how many are done.
        seed: of the noise and of the VAE's sampling.

    Returns:
        `(B, 3, 192, 192)` in 0..1.
    """
    device, size = pipe.vae.device, (LARGE, LARGE)
    large = torch.cat([enlarge(to_image(p), size) for p in images]).to(device)
    if strength == 0:
        return large.cpu() * 0.5 + 0.5
    layout = Layout((size,), 1, (0,))
    generator = torch.Generator("cpu").manual_seed(seed)
    sigmas = schedule(steps, layout.total, pipe.scheduler.config)[skipped_steps(steps, strength) :]
    clean = encode(pipe.vae, large, generator)
    noise = randn_tensor(clean.shape, generator=generator, device=device)
    z = pack(add_noise(clean, noise, sigmas[0]))
    grey, ones = torch.full_like(large[:1], GREY), torch.ones_like(large[:1, :1])
    known = condition(pipe.vae, [grey], [ones], generator).expand(len(z), -1, -1)
    ids = position_ids(layout, first_row=0).to(device)
    inputs = z, known, ids, encode_prompts(pipe, captions), sigmas
    last = deque(euler_sample(pipe.transformer, *inputs, layout=layout, stage=2), maxlen=1).pop()
    latents = unpack(last.after, LARGE // VAE_SCALE, LARGE // VAE_SCALE)
    return (decode(pipe.vae, latents) * 0.5 + 0.5).clamp(0, 1).cpu()


def bicubic(images: torch.Tensor) -> torch.Tensor:
    """Three times as large, by bicubic interpolation."""
    return F.interpolate(images, (LARGE, LARGE), mode="bicubic").clamp(0, 1)


def sdedit(predictor: CachedPredictor) -> Benchmark:
    """Rise width and PSNR against the exact large image, by strength, from the true image and from the model's."""
    benchmark = Benchmark(
        "SDEdit at three times the size",
        "Median width in pixels over which colour rises from 10 to 90 % across the subject's outline, in percent of "
        f"the width after bicubic enlargement. PSNR in dB against the exact image of {LARGE} pixels, bicubic too. "
        f"Begins with the true image of 64 pixels after the VAE, or with the model's own; {STEPS} steps of which "
        "strength says how many are done; the caption is given. Strength 0 is the Lanczos enlargement that "
        "stage 2 begins with.",
    )
    scenes = queries(predictor.few_scenes)
    exact = draw("image", scenes, LARGE, LARGE)
    captions = [s.caption() for s in scenes]
    prediction = predictor("edge + depth > image", caption="true", scenes=predictor.few_scenes)
    for source, begun, strengths in (
        ("true image", prediction.reconstructions[:, 0], STRENGTHS),
        ("model's prediction", prediction.outputs[:, 0], (0.0, 0.4)),
    ):
        versions = {"bicubic": bicubic(begun)}
        for strength in strengths:
            predictor.log(f"stage 2 at {strength} from the {source}")
            versions[f"strength {strength:g}"] = upsample(
                predictor.pipe, begun, strength, captions, STEPS, predictor.seed
            )
        versions["exact"] = exact
        widths = rise_widths([*versions.values()], exact, scenes).double().numpy()
        benchmark.bands.append(Band(f"from the {source}", versions))
        rows = {}
        for i, (name, images) in enumerate(versions.items()):
            rows[name] = _compare_versions(source, name, images, versions["bicubic"], exact, widths[:, [i, 0]])
        benchmark.rows += rows.values()
        if source == "true image":
            half, plain = rows["strength 0.4"], rows["bicubic"]
            lost = plain.raw["PSNR"] - half.raw["PSNR"]
            benchmark.floors += [
                Floor("SDEdit .4 at 3x: rise width over bicubic's", half.value / 100, 0.5, 0.35, at_most=True),
                Floor("SDEdit .4 at 3x: dB of PSNR below bicubic", lost, 0.0, -1.0, at_most=True),
            ]
    return benchmark


def _compare_versions(source, name, images, plain, exact, widths: np.ndarray) -> Row:
    """One version's row; widths `(N, 2)`: its own and bicubic's."""
    widths = widths[np.isfinite(widths).all(1)]
    raw = {
        "pixels": float(np.mean(widths[:, 0])) if len(widths) else np.nan,
        "PSNR": float(psnr(images, exact).mean()),
        "PSNR of bicubic": float(psnr(plain, exact).mean()),
    }
    if not len(widths):
        return Row(source, name, np.nan, np.nan, np.nan, raw, 0)
    return row(source, name, lambda w: 100 * w[:, 0].mean() / w[:, 1].mean(), widths, **raw)
