"""Whether the weights of a LoRA fit a model; diffusers drops in silence what does not."""

from __future__ import annotations

import re
from typing import Any

import torch

from visualcloze_nb.errors import ModelError, shorten

MATRIX = re.compile(r"\.lora_([AB])\.")  # between the name of a layer and `weight` or `bias`


def check_lora(weights: dict[str, Any], models: dict[str, torch.nn.Module | None], name: str) -> None:
    """Refuse a LoRA with weights that match no layer in name and shape, or whose other half is missing.

    Args:
        weights: by name, as `lora_state_dict` returns them.
        models: the pipeline's `transformer` and `text_encoder`. Weights for others are left to diffusers.
        name: of the LoRA, for the message.

    Raises:
        ModelError: with the number of such weights.
    """
    layers = {
        f"{part}.{layer}".replace(".text_model.", "."): (module.out_features, module.in_features)
        for part, model in models.items()
        if model is not None
        for layer, module in model.named_modules()
        if hasattr(module, "in_features")  # as packed layers and those with another LoRA have
    }
    names = [key for key in weights if MATRIX.search(key)]
    lost = [key for key in names if not _fits(key, weights, layers)]
    if lost and len(lost) == len(names):
        raise nothing_fits(name)
    if lost:
        raise ModelError(
            f"the LoRA {name} fits only in part: {len(lost)} of its {len(names)} weights match no layer of this model "
            f"or lack their other half, such as {shorten(lost[0], 80)}. Give one that was trained for FLUX"
        )


def nothing_fits(name: str) -> ModelError:
    """The error for a LoRA of which no weight matches."""
    what = "has no weights for this model: the names in its file match no layer"
    return ModelError(f"the LoRA {name} {what}. Give one that was trained for FLUX")


def adapter_weights(model: torch.nn.Module) -> int:
    """Count the tensors that LoRAs have put into a model, expanded layers included."""
    added: Any = getattr(model, "_transformer_norm_layers", None) or {}
    return len(added) + sum("lora" in name for name, _ in model.named_parameters())


def adapter_names(models: list[torch.nn.Module]) -> set[str]:
    """Give the names of the LoRAs in models."""
    return {name for model in models for name in getattr(model, "peft_config", {})}


def lora_name(lora: Any) -> str:
    """How a message names what `load_lora_weights` was given."""
    return "given as a dict" if isinstance(lora, dict) else repr(shorten(lora, 60))


def _fits(key: str, weights: dict[str, Any], layers: dict[str, tuple[Any, Any]]) -> bool:
    layer, half, _ = MATRIX.split(key)
    if not isinstance(weights[key], torch.Tensor) or _other_half(key) not in weights:
        return False
    if layer.startswith("text_encoder_2."):
        return True
    shape, wanted = weights[key].shape, layers.get(layer.replace(".text_model.", "."))
    if wanted is None or not shape:
        return False
    if half == "A":  # diffusers pads one for fewer inputs, and rebuilds the model for more
        return len(shape) == 2 and shape[1] <= wanted[1]
    return shape[0] == wanted[0]


def _other_half(key: str) -> str:
    """The name of lora_B's weight for lora_A's, and of lora_A's for lora_B's weight or bias."""
    return MATRIX.sub(lambda half: ".lora_B." if half[1] == "A" else ".lora_A.", key).replace(".bias", ".weight")
