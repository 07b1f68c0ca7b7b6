"""Put a trained pipeline where `load("tiny")` finds it: half-precision weights, the training logs beside them.

    python -m visualcloze_nb.training export --run runs/transformer --vae-run runs/vae --to visualcloze_nb/tiny

Transformer and VAE are rounded to float16, which halves the checkpoint; diffusers loads them as float32 again.
The text encoders stay float32, since transformers would keep them at the precision they are stored in.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from diffusers import VisualClozePipeline

KEPT = ("README.md", "training", "experiments")
"""What stays when a checkpoint is replaced: the model card, earlier runs' logs, the experiments' curves."""


def forget_the_place(config: Path) -> None:
    """Take out of a configuration where on this machine the weights lay when it was written."""
    settings = json.loads(config.read_text())
    settings.pop("_name_or_path", None)
    config.write_text(json.dumps(settings, indent=2) + "\n")


def export(run: Path, vae_run: Path, to: Path) -> int:
    """Write the checkpoint and its logs.

    Args:
        run: folder of a transformer run, with `pipeline/` and `log.csv`.
        vae_run: folder of the VAE run, for its `log.csv`.
        to: where to; what was there is replaced once the new one is complete, but for `KEPT`. `evaluate` then
            makes the card's tables anew.

    Returns:
        bytes on disk.
    """
    fresh = to.with_name(to.name + ".partial")
    shutil.rmtree(fresh, ignore_errors=True)
    pipe = VisualClozePipeline.from_pretrained(run / "pipeline")
    pipe.transformer.to(torch.float16)
    pipe.vae.to(torch.float16)
    pipe.save_pretrained(fresh)
    for config in (fresh / "model_index.json", fresh / "transformer" / "config.json", fresh / "vae" / "config.json"):
        forget_the_place(config)
    (fresh / "training").mkdir()
    for kept in (to / name for name in KEPT):
        if kept.is_dir():
            shutil.copytree(kept, fresh / kept.name, dirs_exist_ok=True)
        elif kept.exists():
            shutil.copy(kept, fresh / kept.name)
    shutil.copy(run / "log.csv", fresh / "training" / "transformer.csv")
    shutil.copy(vae_run / "log.csv", fresh / "training" / "vae.csv")
    shutil.rmtree(to, ignore_errors=True)
    fresh.rename(to)
    return sum(file.stat().st_size for file in to.rglob("*") if file.is_file())
