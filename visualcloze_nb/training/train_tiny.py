"""Train the tiny VisualCloze from nothing within a time budget: VAE, transformer with text encoders, export.

The budget is split between the parts. The same command on the same folder goes on after a kill; a part that is
finished is not begun again. What the device does best (precision, batch) is measured when training starts.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

from visualcloze_nb.training import device as devices
from visualcloze_nb.training.export import export
from visualcloze_nb.training.tiny_model import WIDTH
from visualcloze_nb.training.train_transformer import train_transformer
from visualcloze_nb.training.train_vae import train_vae

PARTS = ("vae", "transformer", "export")
VAE_SHARE = 0.25  # of the time


def train_tiny(
    minutes: float,
    out: Path,
    only: str | None = None,
    seed: int = 0,
    width: int | None = None,
    vae: Path | None = None,
    score: Callable[[object], dict[str, float]] | None = None,
    start: Path | None = None,
    grow: bool = False,
) -> Path:
    """Train, resume, export.

    Args:
        minutes: for all parts, or for the one that `only` names.
        out: folder of the run: `out/vae`, `out/transformer`, and the finished checkpoint `out/tiny`.
        only: one of `PARTS`; else all.
        seed: of weights and batches.
        width: of the transformer, a multiple of 64; unless given, 384 on a GPU or with two hours and more, else 320.
        vae: folder of a trained VAE to use in place of training one.
        score: a few scores of a pipeline, for the line a minute.
        start: a checkpoint to train on; its VAE stays as it is.
        grow: add blocks to its transformer.

    Returns:
        the folder of what was made.
    """
    vae = vae or (start / "vae" if start else None)
    vae_run, transformer_run, tiny = out / "vae", out / "transformer", out / "tiny"
    trained = vae or vae_run / "vae"
    parts = (only,) if only else PARTS
    both = len(parts) > 1 and not vae

    def say(line: str) -> None:
        print(line, flush=True)

    if only == "vae" and start:  # its decoder, on the same latents
        train_vae(minutes, vae_run, seed, say, start / "vae")
    elif "vae" in parts and not vae and not (both and (trained / "config.json").exists()):
        train_vae(minutes * VAE_SHARE if both else minutes, vae_run, seed, say)
    if "transformer" in parts and not (transformer_run / "pipeline" / "model_index.json").exists():
        width = width or (WIDTH if devices.best_device().type == "cuda" or minutes >= 120 else 320)
        loaded = AutoencoderKL.from_pretrained(trained, torch_dtype=torch.float32)
        share = 1 - VAE_SHARE if both else 1.0
        train_transformer(
            loaded, minutes * share, transformer_run, seed, width, say=say, score=score, start=start, grow=grow
        )
    if "export" in parts:
        say(f"{export(transformer_run, vae_run, tiny) / 1e6:.1f} MB in {tiny}")
        return tiny
    return transformer_run if "transformer" in parts else vae_run
