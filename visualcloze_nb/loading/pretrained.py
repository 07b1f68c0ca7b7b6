"""Loading a checkpoint whole or in parts, with precision, packing and device already decided."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.quantizers.pipe_quant_config import PipelineQuantizationConfig
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from visualcloze_nb.errors import ModelError, VisualClozeError
from visualcloze_nb.loading.checkpoint_files import shown
from visualcloze_nb.loading.checkpoints import REVISIONS, explained, token
from visualcloze_nb.loading.model_size import text_precision
from visualcloze_nb.loading.tokenizer_files import EXTRA
from visualcloze_nb.pipelines.combined import VisualClozePipeline
from visualcloze_nb.settings import TEXT_ENCODERS

MODULES = (*TEXT_ENCODERS, "transformer", "vae")
PACKED = ("text_encoder_2", "transformer")


@dataclass(frozen=True)
class Pretrained:
    """A checkpoint to load from. A memory plan's `load` decides in which parts, and what comes when.

    Attributes:
        place: a folder, or a repository on the hub.
        device: where to run.
        options: of `from_pretrained`: precision, revision, token, quantisation.
        lora: repository and file of a LoRA to put onto it.
    """

    place: str
    device: str
    options: dict[str, Any]
    lora: tuple[str, str] | None = None

    def pipeline(self, **components: Any) -> VisualClozePipeline:
        """Load the pipeline into RAM.

        Args:
            components: replace those of the checkpoint, by name; None leaves one out.
        """
        pipe = self._load(**components)
        if self.lora:
            repository, file = self.lora
            options = {"weight_name": file, "revision": REVISIONS.get(repository), "token": token()}
            loaded(pipe.load_lora_weights, repository, use_safetensors=True, **options)
        return pipe

    def pipeline_on_device(self, **components: Any) -> VisualClozePipeline:
        """Load the pipeline onto its device; `components` as for `pipeline`."""
        pipe = self.pipeline(**self._straight(), **components)
        if not self._straight():
            pipe.to(self.device)
        return pipe

    def text_encoders(self) -> dict[str, torch.nn.Module]:
        """Load the text encoders alone, onto the device."""
        pipe = self._load(transformer=None, vae=None, **self._straight())
        return {name: getattr(pipe, name).to(self.device) for name in TEXT_ENCODERS}

    def packed_parts(self) -> dict[str, torch.nn.Module]:
        """Load the components that are packed, one after the other, into RAM."""
        ready = {}
        for name in PACKED:
            pipe = self._load(**{other: None for other in MODULES if other != name})
            ready[name] = getattr(pipe, name).to("cpu")
        return ready

    def _straight(self) -> dict[str, str]:
        """Options with which weights go straight to the GPU, without a stay in RAM."""
        return {"device_map": "cuda"} if self.device == "cuda" and torch.cuda.is_available() else {}

    def _load(self, **options: Any) -> VisualClozePipeline:
        with loading_bars(shown=not Path(self.place).is_dir()):
            return loaded(VisualClozePipeline.from_pretrained, self.place, **{**self.options, **options})


def loaded(function: Callable[..., Any], place: str, **options: Any) -> Any:
    """Call a loading function of diffusers; whatever it raises becomes a ModelError.

    Args:
        function: called as `function(place, **options)`.
        place: a folder, or a repository on the hub.
        options: passed on.

    Raises:
        ModelError: with what to do, or at least with the cause.
    """
    try:
        return explained(function, place, **options)
    except VisualClozeError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        if "sentencepiece" in text.lower() or "tiktoken" in text.lower():
            text = f"its tokenizer needs sentencepiece: {EXTRA}"
        why = f"{type(error).__name__}: {text[:140]}"
        raise ModelError(f"{shown(place)} cannot be loaded: {why}: copy it again, or load another") from error


@contextmanager
def loading_bars(shown: bool) -> Iterator[None]:
    """Hide diffusers' and transformers' loading bars for a folder on disk, which takes no time to speak of."""
    hidden = [log for log in (diffusers_logging, transformers_logging) if log.is_progress_bar_enabled() and not shown]
    for log in hidden:
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log in hidden:
            log.enable_progress_bar()


def dtypes_of(precision: str) -> torch.dtype | dict[str, torch.dtype]:
    """Give the precision of the components as diffusers' `dtype` takes it."""
    types = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    text = types[text_precision(precision)]
    if text == types[precision]:
        return text
    return {"default": types[precision], **dict.fromkeys(TEXT_ENCODERS, text)}


def four_bits(dtypes: torch.dtype | dict) -> PipelineQuantizationConfig:
    """Pack transformer and T5 in 4 bits (nf4), and compute in the given precision."""
    from diffusers.quantizers.quantization_config import BitsAndBytesConfig
    from transformers import BitsAndBytesConfig as TransformersConfig

    if not isinstance(dtypes, dict):
        dtypes = {"default": dtypes, "text_encoder_2": dtypes}
    settings: dict[str, Any] = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    configs: dict[str, Any] = {
        "transformer": BitsAndBytesConfig(**settings, bnb_4bit_compute_dtype=dtypes["default"]),
        "text_encoder_2": TransformersConfig(**settings, bnb_4bit_compute_dtype=dtypes["text_encoder_2"]),
    }
    return PipelineQuantizationConfig(quant_mapping=configs)
