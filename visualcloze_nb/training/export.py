"""Put a trained pipeline where `load("tiny")` finds it: half-precision weights, the training logs beside them.

    visualcloze-nb train export --run runs/tiny/transformer --vae-run runs/tiny/vae --to visualcloze_nb/tiny

Transformer and VAE are rounded to float16, which halves the checkpoint; diffusers loads them as float32 again.
The text encoders stay float32, since transformers would keep them at the precision they are stored in. With
`--mean-with` the weights are a mean of the run's and those of the checkpoint it began with: what a run has learnt
last, it has often learnt at the cost of what it knew, and the mean keeps more of both (Wortsman et al. 2022, "Robust
fine-tuning of zero-shot models").
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.pipelines.visualcloze.pipeline_visualcloze_combined import VisualClozePipeline

from visualcloze_nb.errors import UsageError, shorten

KEPT = ("README.md", "training", "experiments")
"""What stays when a checkpoint is replaced: the model card, earlier runs' logs, the experiments' curves."""


def forget_the_place(config: Path) -> None:
    """Take out of a configuration where on this machine the weights lay when it was written."""
    settings = json.loads(config.read_text())
    settings.pop("_name_or_path", None)
    config.write_text(json.dumps(settings, indent=2) + "\n")


def meet(pipe: VisualClozePipeline, other: VisualClozePipeline, share: float = 0.5) -> None:
    """Set the trained weights of `pipe` to a mean with those of `other`: `share` of its own, the rest of the other's.

    Raises:
        ValueError: the two differ in a weight's name or shape, or in the numbers of words; or `share` is not in 0..1.
    """
    if not 0 <= share <= 1:
        raise UsageError(f"share is {share}, but must lie between 0 (the other's weights) and 1 (the run's own)")
    for name in ("tokenizer", "tokenizer_2"):
        if getattr(pipe, name).get_vocab() != getattr(other, name).get_vocab():
            raise UsageError(f"the {name} of the two checkpoints number words differently: give two that share it")
    for name in ("transformer", "text_encoder", "text_encoder_2"):
        mine, others = getattr(pipe, name).state_dict(), getattr(other, name).state_dict()
        if {k: v.shape for k, v in mine.items()} != {k: v.shape for k, v in others.items()}:
            raise UsageError(f"the two checkpoints differ in the shape of {name}: give a pair of one origin")
        # A new tensor for each name: T5 knows its word table by two names, so in place it would be averaged twice.
        mean = {k: torch.lerp(others[k].to(v), v, share) if v.is_floating_point() else v for k, v in mine.items()}
        getattr(pipe, name).load_state_dict(mean)


def with_the_same_latents(folder: Path, vae: AutoencoderKL) -> AutoencoderKL:
    """The VAE of a folder: the run's own, or one whose decoder was trained on.

    Raises:
        ValueError: its latents are others than those of `vae`, with which the transformer was trained.
    """
    found: AutoencoderKL = AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float32)
    scale = [getattr(one.config, name) for one in (found, vae) for name in ("scaling_factor", "shift_factor")]
    weights, others = found.encoder.state_dict(), vae.encoder.state_dict()
    same = weights.keys() == others.keys() and all(torch.equal(weights[k], others[k].float()) for k in weights)
    if not same or scale[:2] != scale[2:]:
        raise UsageError(
            f"the transformer was trained with another VAE than the one in {shorten(str(folder))}: "
            "use a VAE of `train vae --start`, whose latents stay"
        )
    return found


def export(run: Path, vae_run: Path, to: Path, mean_with: Path | None = None, share: float = 0.5) -> int:
    """Write the checkpoint and its logs.

    Args:
        run: folder of a transformer run, with `pipeline/` and `log.csv`.
        vae_run: folder of the VAE run, for its VAE and `log.csv`; there is none where the VAE was given.
        to: where to; what was there is replaced once the new one is complete, but for `KEPT`. `evaluate` then
            makes the card's tables anew.
        mean_with: a checkpoint, such as the one the run began with; the weights written are then a mean of both.
        share: how much the run's own weights count in that mean, 0 to 1.

    Returns:
        bytes on disk.

    Raises:
        UsageError: `to` is neither new, nor empty, nor a checkpoint: what is there would be lost.
        ValueError: `mean_with` is not of the same shape, or does not know the same words, or `share` is not in 0..1, or
            the VAE in `vae_run` is not the transformer's; nothing is written.
    """
    if to.exists() and not (to / "model_index.json").is_file() and not (to.is_dir() and not any(to.iterdir())):
        raise UsageError(f"{shorten(str(to))} holds something else than a checkpoint: name a new folder")
    fresh = to.with_name(to.name + ".partial")
    shutil.rmtree(fresh, ignore_errors=True)
    pipe = VisualClozePipeline.from_pretrained(run / "pipeline")
    if (vae_run / "vae").is_dir():
        pipe.register_modules(vae=with_the_same_latents(vae_run / "vae", pipe.vae))
    if mean_with:
        meet(pipe, VisualClozePipeline.from_pretrained(mean_with), share)
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
    if (vae_run / "log.csv").is_file():  # the VAE was trained in this run
        shutil.copy(vae_run / "log.csv", fresh / "training" / "vae.csv")
    shutil.rmtree(to, ignore_errors=True)
    fresh.rename(to)
    return sum(file.stat().st_size for file in to.rglob("*") if file.is_file())
