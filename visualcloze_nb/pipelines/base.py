"""What the pipelines of both stages have in common."""

from __future__ import annotations

import torch

from visualcloze_nb.pipelines import validation
from visualcloze_nb.pipelines.prompt_cache import RemembersText
from visualcloze_nb.settings import GUIDANCE

KEEP = object()  # in place of a dtype: leave every component as it is


class Shared(RemembersText):
    """What all three pipelines have in common."""

    stage: int | None = None
    clock = None

    @classmethod
    def from_pipe(cls, pipeline, **kwargs):
        """Make a pipeline of this class from another's components, which stay in their precision.

        Args:
            pipeline: any pipeline with the same components, ours or stock.
            **kwargs: as in diffusers; give `dtype` to cast the (shared) components.
        """
        if kwargs.get("dtype") is None and kwargs.get("torch_dtype") is None:
            kwargs["dtype"] = KEEP
        return super().from_pipe(pipeline, **kwargs)

    def to(self, *args, **kwargs):
        """Move or cast all components, as in diffusers."""
        if kwargs.get("dtype") is KEEP:
            return self
        if any(isinstance(value, torch.dtype) for value in (*args, *kwargs.values())):
            self.text_cache.clear()  # a mere move changes no embedding, and offloading moves all the time
        return super().to(*args, **kwargs)

    def _guidance(self, name: str, scale: float | None) -> float:
        """Give the guidance scale, checked; say once if asking for one is in vain."""
        if scale is None:
            return GUIDANCE
        validation.real(name, scale)
        if not self.transformer.config.guidance_embeds:
            validation.warn_once(self, f"{name} has no effect: this model has no guidance input")
        return scale

    def _lap(self, part: str) -> None:
        if self.clock is not None:
            self.clock.lap(f"stage {self.stage} {part}")

    def encode_prompt(self, *args, **kwargs):
        """Encode texts as in diffusers; embeddings come in the transformer's precision.

        The text encoders may then be kept in float32 beside a transformer in float16 or bfloat16.
        """
        embeds, pooled, ids = super().encode_prompt(*args, **kwargs)
        if self.transformer is not None:
            embeds, pooled = embeds.to(self.transformer.dtype), pooled.to(self.transformer.dtype)
        self._lap("text")
        return embeds, pooled, ids


class CountsOn:
    """Numbers the steps of a whole call for the user's callback, where diffusers starts anew in each run."""

    def __init__(self, callback):
        self.callback = callback
        self.step = 0

    def __call__(self, pipe, step, timestep, tensors):
        if step == pipe.num_timesteps - 1:
            pipe._lap("steps")
        step, self.step = self.step, self.step + 1
        if self.callback is None:
            return {}
        return self.callback(pipe, step, timestep, tensors) or {}
