"""Base class of the three pipelines: precision, guidance, prompt encoding, step callbacks."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline as StockPipeline

from visualcloze_nb.errors import ModelError, UsageError, VisualClozeError, shorten, shown
from visualcloze_nb.pipelines import validation
from visualcloze_nb.pipelines.lora_check import adapter_names, adapter_weights, check_lora, lora_name, nothing_fits
from visualcloze_nb.pipelines.prompt_cache import TextEncoderLoader
from visualcloze_nb.pipelines.prompt_check import no_truncation_logs, warn_about_text
from visualcloze_nb.pipelines.run_lock import in_callback
from visualcloze_nb.pipelines.run_time import Run, warn_if_long
from visualcloze_nb.pipelines.sizes import warn_about_resolution
from visualcloze_nb.settings import GUIDANCE, TEXT_TOKENS

if TYPE_CHECKING:
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline

    from visualcloze_nb.pipelines.progress import Timer
else:
    DiffusionPipeline = object  # each class gets it from the stock class beside this mixin

Callback = Callable[[Any, int, Any, dict[str, Any]], dict[str, Any] | None]  # (pipe, step, timestep, tensors)
PARTS = ("transformer", "vae", "text_encoder", "text_encoder_2")
KEEP_DTYPES: Any = object()  # in place of a dtype: `to` leaves every component as it is


class PipelineBase(DiffusionPipeline):
    """Mixin for the three pipelines, put before the stock class."""

    text_encoder: Any
    text_encoder_2: Any
    tokenizer: Any
    tokenizer_2: Any
    transformer: Any
    vae: Any
    scheduler: Any
    stage: int | None = None
    call_step = 0  # of the whole call, from 0; a step callback reads it
    timer: Timer | None = None
    part_ended: float | None = None  # when the last part of a run ended, by `time.perf_counter`
    made_for: int | None = None  # the checkpoint's resolution, where the pipeline may have another
    text_encoder_loader: TextEncoderLoader | None = None

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **kwargs: Any):
        """Load a pipeline as in diffusers, and warn about a resolution that the checkpoint was not made for."""
        if kwargs.get("resolution") is not None:
            kwargs["resolution"] = validation.check_resolution(kwargs["resolution"])
        pipe = super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        if kwargs.get("resolution") is not None:
            where = {name: kwargs[name] for name in ("cache_dir", "revision") if name in kwargs}
            try:
                index: Any = cls.load_config(pretrained_model_name_or_path, local_files_only=True, **where)
            except OSError:
                return pipe
            for part in (pipe, *getattr(pipe, "inner", ())):
                part.made_for = index.get("resolution")
            warn_about_resolution(pipe.resolution, pipe.made_for)
        return pipe

    @classmethod
    def from_pipe(cls, pipeline: Any, **kwargs: Any):
        """Make a pipeline of this class from another's components, which keep their precision.

        Args:
            pipeline: any pipeline with the same components, ours or stock.
            **kwargs: as in diffusers; give `dtype` to cast the (shared) components.
        """
        if kwargs.get("dtype") is None and kwargs.get("torch_dtype") is None:
            kwargs["dtype"] = KEEP_DTYPES
        new = super().from_pipe(pipeline, **kwargs)
        for part in (new, *getattr(new, "inner", ())):
            part.made_for = getattr(pipeline, "made_for", None) or getattr(pipeline, "resolution", None)
        loader = getattr(pipeline, "text_encoder_loader", None)
        if loader is not None and new.text_encoder is None and new.text_encoder_2 is None:
            new.text_encoder_loader = TextEncoderLoader(new, loader.load)
        return new

    @functools.wraps(StockPipeline.save_pretrained, assigned=())
    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  # wrapped
        """Save as in diffusers; freed text encoders are loaded for it, so that the folder is whole."""
        folder = args[0] if args else kwargs.get("save_directory")
        if not isinstance(folder, (str, os.PathLike)) or os.path.isfile(folder):
            raise UsageError(f"save_directory is {shown(folder)}: give a folder")
        with self._text_encoders() as loader, no_truncation_logs():
            if loader is not None:
                loader.ensure_loaded()
            parts = {name: getattr(self, name) for name in PARTS if name in self.config}
            missing = [name for name, part in parts.items() if part is None]
            if missing:
                raise ModelError(f"this pipeline has no {', '.join(missing)}: put it there, then save_pretrained")
            self.register_modules(**parts)  # diffusers' index keeps a null for a component that was None before
            super().save_pretrained(*args, **kwargs)

    def load_lora_weights(
        self,
        pretrained_model_name_or_path_or_dict: Any,
        adapter_name: str | None = None,
        hotswap: bool = False,
        **kwargs: Any,
    ) -> None:
        """Load a LoRA as in diffusers, which says nothing if its weights fit only in part, or not at all.

        Args:
            pretrained_model_name_or_path_or_dict: a folder, a hub repository, or a dict of weights.
            adapter_name, hotswap, **kwargs: as in diffusers.

        Raises:
            ModelError: if weights of the LoRA match no layer of this pipeline, or it cannot be read. The pipeline is
                then as it was.
        """
        lora = pretrained_model_name_or_path_or_dict
        models = [part for name in PARTS if (part := getattr(self, name, None)) is not None]
        before, adapters = [adapter_weights(model) for model in models], adapter_names(models)
        read = type(self).lora_state_dict  # pyright: ignore[reportAttributeAccessIssue]

        def checked(*args: Any, **kwargs: Any) -> Any:
            found = read(*args, **kwargs)
            parts = {name: getattr(self, name, None) for name in ("transformer", "text_encoder")}
            check_lora(found[0] if isinstance(found, tuple) else found, parts, lora_name(lora))
            return found

        self.lora_state_dict = checked  # called by diffusers before it changes the models
        try:
            super().load_lora_weights(lora, adapter_name, hotswap, **kwargs)  # pyright: ignore[reportAttributeAccessIssue]
        except Exception as error:  # diffusers and peft raise whatever their readers meet
            if added := adapter_names(models) - adapters:
                self.delete_adapters(sorted(added))  # pyright: ignore[reportAttributeAccessIssue]
            if isinstance(error, VisualClozeError):
                raise
            advice = "give a LoRA that was trained for FLUX"
            raise ModelError(f"the LoRA {lora_name(lora)} cannot be loaded ({shorten(error, 99)}): {advice}") from error
        finally:
            del self.lora_state_dict
        if [adapter_weights(model) for model in models] == before and not hotswap:
            raise nothing_fits(lora_name(lora))

    def to(self, *args: Any, **kwargs: Any):
        """Move or cast all components, as in diffusers."""
        return self if kwargs.get("dtype") is KEEP_DTYPES else super().to(*args, **kwargs)

    def _encode(self, **arguments: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Encode prompts as in diffusers; embeddings have the transformer's dtype.

        The text encoders may thus stay in float32 beside a transformer in float16 or bfloat16.
        """
        with self._text_encoders() as loader, no_truncation_logs():
            if loader is not None and arguments["prompt_embeds"] is None:
                loader.ensure_loaded()
            embeds, pooled, ids = super().encode_prompt(**arguments)  # pyright: ignore[reportAttributeAccessIssue]
        if self.transformer is not None:
            embeds, pooled = embeds.to(self.transformer.dtype), pooled.to(self.transformer.dtype)
        self._record_time("text")
        return embeds, pooled, ids

    def _get_t5_prompt_embeds(
        self,
        prompt: Any = None,
        num_images_per_prompt: int = 1,
        max_sequence_length: int = TEXT_TOKENS,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> torch.Tensor:
        warn_about_text(self.tokenizer_2, prompt, max_sequence_length)
        arguments = prompt, num_images_per_prompt, max_sequence_length, device, dtype
        return super()._get_t5_prompt_embeds(*arguments)  # pyright: ignore[reportAttributeAccessIssue]

    def _text_encoders(self) -> AbstractContextManager[TextEncoderLoader | None]:
        return self.text_encoder_loader or nullcontext()

    def _guidance(self, name: str, scale: float | None) -> float:
        """Check the guidance scale, and warn once if it is not the default and the model ignores it."""
        scale = GUIDANCE if scale is None else validation.real(name, scale)
        if scale != GUIDANCE and not self.transformer.config.guidance_embeds:
            validation.warn_once(self, "guidance has no effect: this model has no guidance input")
        return scale

    def _text_length(self, max_sequence_length: int | None) -> int:
        """Check the number of text tokens, and warn once if it is more than the checkpoint was made for."""
        length = validation.text_length(max_sequence_length, self.tokenizer_2)
        made_for = validation.text_length(None, self.tokenizer_2)
        if length > made_for:
            message = (
                f"max_sequence_length is {length}, and this model was made for {made_for}: the images change and take "
                f"longer; give {made_for}"
            )
            validation.warn_once(self, message)
        return length

    def _record_time(self, part: str) -> None:
        if self.timer is not None:
            self.timer.lap(f"stage {self.stage} {part}")
        self.part_ended = time.perf_counter()


class StepCallback:
    """Calls the user's callback as diffusers does, and counts the steps of the whole call in `pipe.call_step`.

    `step` starts at 0 in every run, so that `step == pipe.num_timesteps - 1` is the last one of each.

    Args:
        callback: called as `callback(pipe, step, timestep, tensors)`, or None.
        runs: steps and tokens of each pass through a schedule, to estimate the call's seconds.
    """

    def __init__(self, callback: Callback | None, runs: Sequence[Run]):
        self.callback, self.runs = callback, runs
        self.count = 0

    def __call__(self, pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if step == pipe.num_timesteps - 1:
            pipe._record_time("steps")
            if not tensors.get("latents", torch.zeros(1)).isfinite().all():
                raise ModelError(
                    f"stage {pipe.stage} gives no numbers (nan): the weights are damaged, or {pipe.transformer.dtype} "
                    "cannot hold them; copy the checkpoint again, or load it in another precision"
                )
        if self.count == 0 and self.runs and pipe.part_ended is not None:
            if pipe._execution_device.type == "cuda":
                torch.cuda.synchronize()
            warn_if_long(pipe, time.perf_counter() - pipe.part_ended, self.runs)
        pipe.call_step, self.count = self.count, self.count + 1
        if self.callback is None:
            return {}
        with in_callback():
            changed = self.callback(pipe, step, timestep, tensors) or {}
        if not isinstance(changed, dict):
            raise UsageError(f"callback_on_step_end returned {shown(changed)}: give one that returns a dict or nothing")
        return changed
