"""Stage 2 (SDEdit): diffusers' FluxFillPipeline with the defaults that VisualCloze promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.flux import pipeline_flux_fill as diffusers_fill
from diffusers.pipelines.flux.pipeline_output import FluxPipelineOutput
from PIL import Image

from visualcloze_nb.pipelines import validation
from visualcloze_nb.pipelines.base import Callback, PipelineBase, StepCallback
from visualcloze_nb.settings import PATCH, STRENGTH


class FluxFillPipeline(PipelineBase, diffusers_fill.FluxFillPipeline):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Stage 2 alone (SDEdit, Meng et al. 2022): resizes an image, adds noise and denoises it.

    Named as in diffusers, so that saved folders load there; imported as `VisualClozeUpsamplingPipeline`.
    A step callback gets this pipeline, whose `stage` is 2.
    """

    stage = 2
    sample = 0
    target = 0

    def prepare_mask_latents(self, *args: Any, **kwargs: Any):
        """Encode the masked image, as in diffusers."""
        prepared = super().prepare_mask_latents(*args, **kwargs)
        self._record_time("encode")
        return prepared

    @torch.no_grad()
    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]  # more is accepted, samples are lists
        self,
        prompt: str | list[str] | None = None,
        prompt_2: str | list[str] | None = None,
        image: Any = None,
        mask_image: Any = None,
        masked_image_latents: torch.Tensor | None = None,
        height: int | None = None,
        width: int | None = None,
        strength: float = STRENGTH,
        num_inference_steps: int = 50,
        sigmas: Sequence[float] | None = None,
        guidance_scale: float | None = None,
        max_sequence_length: int | None = None,
        callback_on_step_end: Callback | None = None,
        **stock: Any,
    ) -> FluxPipelineOutput | tuple:
        """Upsample one image. Arguments that are not listed here are those of diffusers.

        Args:
            prompt: what the image shows; none unless given.
            image: a PIL image, or a list of them of one size. (Other inputs that diffusers takes are
                passed on, with diffusers' defaults.)
            mask_image: white where the image may change; everywhere unless given.
            height, width: of the result, pixels; three times the image's unless given, and one side given
                fixes the other. Cut down to multiples of 16.
            strength: above 0, up to 1: how much noise is added. At 1 nothing of the image is left.
            num_inference_steps: of the whole schedule; about `strength` times as many are taken.
            max_sequence_length: tokens of text; by default what the checkpoint was made for.

        Returns:
            `images`, a list.

        Raises:
            ValueError: naming the argument, before any model runs.
        """
        num_inference_steps = validation.whole("num_inference_steps", num_inference_steps)
        strength = validation.real("strength", strength, 0, 1)
        sigmas = validation.check_sigmas(sigmas)
        validation.check_callable("callback_on_step_end", callback_on_step_end)
        guidance_scale = self._guidance("guidance_scale", guidance_scale)
        if strength == 0:
            raise ValueError("strength is 0: there is nothing to do; give more than 0, or keep the image")
        first = image[0] if isinstance(image, list) and image else image
        if isinstance(first, Image.Image):
            multiple = PATCH * self.vae_scale_factor
            width, height = validation.stage2_size(first.width, first.height, width, height, multiple)
            if mask_image is None:
                mask_image = Image.new("RGB", first.size, (255, 255, 255))
        if prompt is None and stock.get("prompt_embeds") is None:
            prompt = ""
        call: dict[str, Any] = dict(
            prompt=prompt,
            prompt_2=prompt_2,
            image=image,
            mask_image=mask_image,
            masked_image_latents=masked_image_latents,
            height=height,
            width=width,
            strength=strength,
            num_inference_steps=num_inference_steps,
            sigmas=sigmas,
            guidance_scale=guidance_scale,
            max_sequence_length=validation.text_length(max_sequence_length, self.tokenizer_2),
            callback_on_step_end=StepCallback(callback_on_step_end),
            **stock,
        )
        with np.errstate(divide="ignore"):  # the shift of sigma 0 is 0, by way of 1 / 0
            output: Any = super().__call__(**call)
        self._record_time("decode")
        return output
