"""Benchmarks without predictions: VAE reconstruction, checkpoint size, pipeline overhead."""

from __future__ import annotations

import random
import statistics
import time
from contextlib import suppress

import numpy as np
import torch

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.errors import ImageError
from visualcloze_nb.evaluation.bench_photos import crops
from visualcloze_nb.evaluation.benchmark import Band, Benchmark, CachedPredictor, Floor, Row, row
from visualcloze_nb.evaluation.metrics import psnr
from visualcloze_nb.evaluation.predictions import SIDE, queries
from visualcloze_nb.evaluation.timing import bare_calls
from visualcloze_nb.sampling.latents import decode, encode
from visualcloze_nb.settings import STEPS
from visualcloze_nb.toyworld import TRAINED_TASKS, concrete, draw, sample

NOISE = ("noisy", "speckled")
WRITTEN = ("evaluation.json", "evaluation.md")  # by this command: no part of the checkpoint


def vae(predictor: CachedPredictor) -> Benchmark:
    """Rows of one to four mixed cells, encoded and decoded as the pipeline does."""
    benchmark = Benchmark(
        "VAE reconstruction", "PSNR in dB of each cell, after rows of 1 to 4 mixed cells were encoded and decoded."
    )
    rng = random.Random(predictor.seed)
    generator = torch.Generator().manual_seed(predictor.seed)
    kinds = sorted({kind for task in TRAINED_TASKS for kind in concrete(task, rng).columns})
    clean = [kind for kind in kinds if kind not in NOISE]
    every = []
    for n_cols in range(1, 5):
        rows = [(rng.sample(clean, n_cols), scene) for scene in queries(predictor.scenes)]
        got, true = _reconstruct(predictor.pipe.vae, rows, generator)
        every.append(psnr(got.flatten(0, 1), true.flatten(0, 1)).view(len(rows), n_cols).mean(1).double().numpy())
        benchmark.rows.append(row("mixed kinds", f"{n_cols} cells", np.mean, every[-1]))
        if n_cols == 4:
            benchmark.bands += [Band(f"cell {i + 1} of 4", {"kept": got[:, i], "truth": true[:, i]}) for i in range(4)]
    benchmark.rows.append(row("mixed kinds", "mean of 1 to 4 cells", np.mean, np.stack(every, axis=1)))
    benchmark.floors.append(Floor("VAE on rows of 1 to 4 mixed cells, dB", benchmark.rows[-1].value, 30, 34))
    for kind in NOISE:
        got, true = _reconstruct(
            predictor.pipe.vae, [((kind, "image"), scene) for scene in queries(predictor.scenes)], generator
        )
        benchmark.rows.append(row(f"{kind}, apart", "2 cells", np.mean, psnr(got[:, 0], true[:, 0]).double().numpy()))
    with suppress(ImageError):  # they are not installed
        images = crops(predictor.scenes)
        with torch.no_grad():
            kept = decode(predictor.pipe.vae, encode(predictor.pipe.vae, images * 2 - 1, generator)) * 0.5 + 0.5
        benchmark.rows.append(row("photographs", "1 cell", np.mean, psnr(kept.clamp(0, 1), images).double().numpy()))
        benchmark.floors.append(Floor("VAE on photographs, dB", benchmark.rows[-1].value, 25, 28))
    return benchmark


@torch.no_grad()
def _reconstruct(vae, rows, generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of (kinds, scene), after the VAE and before, `(N, cells, 3, 64, 64)` each."""
    true = torch.stack([torch.cat([draw(kind, [s], SIDE, SIDE, generator) for kind in kinds]) for kinds, s in rows])
    strips = torch.cat(list(true.unbind(1)), dim=3).to(vae.device) * 2 - 1
    got = (decode(vae, encode(vae, strips, generator)) * 0.5 + 0.5).clamp(0, 1).cpu()
    return torch.stack(got.split(SIDE, dim=3), dim=1), true


def disk(predictor: CachedPredictor) -> Benchmark:
    """The checkpoint's folder, in millions of bytes."""
    benchmark = Benchmark(
        "Checkpoint on disk", "MB (10^6 bytes) of the checkpoint's folder, without what this command writes."
    )
    folder = predictor.folder
    files = [f for f in folder.rglob("*") if f.is_file() and f.name not in WRITTEN] if folder else []
    size = sum(f.stat().st_size for f in files) / 1e6 if files else np.nan
    benchmark.rows.append(Row("all files", "", size, size, size, {"files": len(files)}, 0))
    benchmark.floors.append(Floor("checkpoint on disk, MB", size, 32, 16, at_most=True))
    return benchmark


def overhead(predictor: CachedPredictor, steps: int = STEPS, repeat: int = 5) -> Benchmark:
    """Filling a 2 x 2 grid, stage 1 only, against the calls of the transformer it needs, alternately."""
    benchmark = Benchmark(
        "Pipeline overhead",
        f"Seconds to fill a grid of 2 x 2, stage 1 only, {steps} steps, text encoded anew, over seconds of {steps} "
        f"bare calls of the transformer. Median of {repeat} pairs measured alternately, after a first one.",
    )
    grid = sample("image > edge", 0, 2).grid
    grid = Grid(list(grid.rows)[-2:], grid.task)
    pairs = []
    for _ in range(repeat + 1):
        start = time.perf_counter()
        predictor.pipe.fill(grid, seed=0, steps=steps, strength=0, progress=False)
        pairs.append((time.perf_counter() - start, bare_calls(predictor.pipe, grid, steps)))
    values = np.array([whole / bare for whole, bare in pairs[1:]])
    raw = {name: statistics.median(p[i] for p in pairs[1:]) for i, name in enumerate(("seconds", "bare seconds"))}
    benchmark.rows.append(row("2 x 2 grid", f"{steps} steps", np.median, values, **raw))
    benchmark.floors.append(
        Floor("2x2 grid, stage 1, against bare calls", benchmark.rows[-1].value, 1.4, 1.15, at_most=True)
    )
    return benchmark
