"""Benchmarks beyond drawn grids: photographs that no model was trained on, and holes in single images."""

from __future__ import annotations

import random
from collections import deque

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.utils.torch_utils import randn_tensor

from visualcloze_nb import photos
from visualcloze_nb.data.layout import Layout
from visualcloze_nb.data.prompts import full_prompt
from visualcloze_nb.errors import ImageError
from visualcloze_nb.evaluation.benchmark import Band, Benchmark, CachedPredictor, Floor, band, row, score_row
from visualcloze_nb.evaluation.predictions import SIDE, encode_prompts, predict_rows, queries
from visualcloze_nb.evaluation.scores import errors_of
from visualcloze_nb.sampling.flow import euler_sample, schedule
from visualcloze_nb.sampling.latents import BLACK, condition, decode, encode, position_ids, unpack
from visualcloze_nb.settings import TOKEN_CHANNELS, VAE_SCALE
from visualcloze_nb.toyworld import Task, draw
from visualcloze_nb.toyworld.graph import changed
from visualcloze_nb.toyworld.samples import eight_bits
from visualcloze_nb.toyworld.transforms import blur

TASKS = ("image > negative", "image > grey", "image > hue 105", "pixelated > image", "image > contours")


def crops(count: int, seed: int = 0) -> torch.Tensor:
    """Random crops of the held-out photographs, `(count, 3, 64, 64)` in 0..1.

    Raises:
        ImageError: the photographs are not installed.
    """
    rng, names, parts = random.Random(seed), photos.names(held_out=True), []
    images = {name: torch.from_numpy(np.asarray(photos.load(name)).copy()).permute(2, 0, 1) for name in names}
    for i in range(count):
        image = images[names[i % len(names)]]
        side = int(min(image.shape[1:]) * rng.uniform(0.3, 1))
        top, left = (rng.randint(0, length - side) for length in image.shape[1:])
        crop = image[None, :, top : top + side, left : left + side].float() / 255
        parts.append(F.interpolate(crop, (SIDE, SIDE), mode="bilinear", antialias=True))
    return torch.cat(parts).clamp(0, 1)


def photographs(predictor: CachedPredictor) -> Benchmark:
    """Tasks that need no annotation, on photographs; two examples are photographs too."""
    benchmark = Benchmark(
        "Photographs",
        "Score as for trained tasks; the mean image is that of the photographs. Crops of photographs that no model was "
        "trained on; the examples are other crops. Holes: only pixels in the hole count.",
    )
    try:
        shown = [crops(predictor.scenes, seed) for seed in range(3)]
    except ImageError as error:
        benchmark.means = f"Not measured: {error}"
        benchmark.floors.append(Floor("photographs, mean score", np.nan, 0.4, 0.7))
        return benchmark
    errors = []
    for task in map(Task.parse, TASKS):
        generator = torch.Generator().manual_seed(predictor.seed)
        rows = [
            eight_bits(torch.cat([i if k == "image" else changed(i, k, generator) for k in task.columns], dim=3))
            for i in shown
        ]
        predictor.log(f"{task}, photographs")
        prompts = [full_prompt(3, 2, task.prompt, None)] * predictor.scenes
        prediction = predict_rows(
            predictor.pipe, task.columns, rows, (1,), prompts, predictor.steps, predictor.seed, generator
        )
        truth = prediction.truths[:, 0]
        errors.append(errors_of(prediction, baseline=[truth.mean(0, keepdim=True).expand_as(truth)]))
        benchmark.rows.append(score_row(str(task), "2 examples, text", errors[-1]))
        benchmark.bands.append(band(prediction, f"{task}, photographs"))
    found, _, filled = hole_errors(predictor, shown[-1])
    errors.append(found)
    benchmark.rows.append(score_row("hole > image", "a single image", found))
    benchmark.bands.append(Band("holes in photographs", filled))
    benchmark.rows.append(score_row("mean", "photographs", np.stack(errors, axis=1)))
    benchmark.floors.append(Floor("photographs, mean score", benchmark.rows[-1].value, 0.4, 0.7))
    return benchmark


def holes(predictor: CachedPredictor) -> Benchmark:
    """Plain infilling: one rectangle in a single drawn image."""
    benchmark = Benchmark(
        "Holes in an image",
        "dB of PSNR inside the hole over the better of two fills: the mean colour of what is known, and a wide blur of "
        "it. One rectangle of 25 to 50 % of each side in a single image of 64 pixels, no text.",
    )
    images = draw("image", queries(predictor.scenes), SIDE, SIDE)
    predictor.log("holes in single images")
    _, gains, filled = hole_errors(predictor, images)
    benchmark.rows.append(row("image", "a hole", np.mean, gains, median=float(np.median(gains))))
    benchmark.bands.append(Band("holes in images", filled))
    benchmark.floors.append(Floor("hole in an image: dB over the best of mean and blur", benchmark.rows[0].value, 4, 8))
    return benchmark


def rectangles(count: int, seed: int = 0) -> torch.Tensor:
    """Masks with one rectangle each, `(count, 1, 64, 64)` of 0 and 1."""
    rng, masks = random.Random(seed), torch.zeros(count, 1, SIDE, SIDE)
    for mask in masks:
        height, width = (int(SIDE * rng.uniform(0.25, 0.5)) for _ in range(2))
        top, left = rng.randint(0, SIDE - height), rng.randint(0, SIDE - width)
        mask[:, top : top + height, left : left + width] = 1
    return masks


@torch.no_grad()
def fill_holes(pipe, images: torch.Tensor, masks: torch.Tensor, steps: int, seed: int) -> torch.Tensor:
    """Fill holes in single images; what is known stays as it was.

    Args:
        pipe: the pipeline whose components are used.
        images: `(B, 3, 64, 64)` in 0..1.
        masks: `(B, 1, 64, 64)`, 1 in the hole.
        steps: Euler steps.
        seed: of the noise and of the VAE's sampling.

    Returns:
        `(B, 3, 64, 64)` in 0..1.
    """
    layout = Layout(((SIDE, SIDE),), 1)
    generator = torch.Generator("cpu").manual_seed(seed)
    known = condition(pipe.vae, [torch.where(masks > 0, BLACK, images * 2 - 1)], [masks], generator)
    noise = randn_tensor((len(images), layout.total, TOKEN_CHANNELS), generator=generator)
    inputs = noise, known, position_ids(layout), encode_prompts(pipe, [""] * len(images))
    sigmas = schedule(steps, layout.total, pipe.scheduler.config)
    last = deque(euler_sample(pipe.transformer, *inputs, sigmas, layout=layout), maxlen=1).pop()
    latents = unpack(last.after, SIDE // VAE_SCALE, SIDE // VAE_SCALE)
    return torch.where(masks > 0, (decode(pipe.vae, latents) * 0.5 + 0.5).clamp(0, 1), images)


def hole_errors(predictor: CachedPredictor, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray, dict]:
    """Errors inside holes.

    Returns:
        RMSE of the model, the best baseline, the VAE, `(N, 3)`; gain in dB over the best baseline, `(N,)`; and the
        images to show.
    """
    masks, vae = rectangles(len(images), predictor.seed), predictor.pipe.vae
    known = 1 - masks
    with torch.no_grad():
        kept = (decode(vae, encode(vae, images * 2 - 1)) * 0.5 + 0.5).clamp(0, 1)
    mean = ((images * known).sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True)).expand_as(images)
    near = blur(images * known, 0.25) / blur(known.expand_as(images), 0.25).clamp(min=1e-3)
    filled = fill_holes(predictor.pipe, images, masks, predictor.steps, predictor.seed)

    def error(fill: torch.Tensor) -> np.ndarray:
        squared = ((fill - images).square().mean(1, keepdim=True) * masks).sum((1, 2, 3)) / masks.sum((1, 2, 3))
        return squared.sqrt().clamp(min=1e-4).double().numpy()

    best = min((error(mean), error(near)), key=np.mean)
    errors = np.stack([error(filled), best, error(kept)], axis=-1)
    shown = {"hole": images * known, "filled": filled, "blur": torch.where(masks > 0, near, images), "truth": images}
    return errors, 20 * np.log10(errors[:, 1] / errors[:, 0]), shown
