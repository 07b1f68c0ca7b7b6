"""Stage 2 (SDEdit): diffusers' FluxFillPipeline with the defaults that VisualCloze promises."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.flux import pipeline_flux_fill as diffusers_fill
from diffusers.pipelines.flux.pipeline_output import FluxPipelineOutput
from PIL import Image

from visualcloze_nb.errors import UsageError
from visualcloze_nb.pipelines import validation
from visualcloze_nb.pipelines.base import Callback, PipelineBase, StepCallback
from visualcloze_nb.pipelines.fill_inputs import check_generator, check_prompts, check_tensors, input_errors
from visualcloze_nb.pipelines.run_lock import exclusive
from visualcloze_nb.pipelines.sizes import check_tokens, stage2_size, warn_about_strength
from visualcloze_nb.settings import GUIDANCE, PATCH, STRENGTH, TEXT_TOKENS, stage2_steps


class FluxFillPipeline(PipelineBase, diffusers_fill.FluxFillPipeline):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Stage 2 alone (SDEdit, Meng et al. 2022): resizes an image, adds noise and denoises it.

    Named as in diffusers, so that saved folders load there; imported as `VisualClozeUpsamplingPipeline`.
    A step callback gets this pipeline, whose `stage` is 2.
    """

    stage = 2
    sample = 0
    target = 0
    prepared = False  # whether all inputs of the call are encoded

    def encode_prompt(  # pyright: ignore[reportIncompatibleMethodOverride]  # None is allowed
        self,
        prompt: str | list[str] | None,
        prompt_2: str | list[str] | None = None,
        device: torch.device | None = None,
        num_images_per_prompt: int = 1,
        prompt_embeds: torch.Tensor | None = None,
        pooled_prompt_embeds: torch.Tensor | None = None,
        max_sequence_length: int = TEXT_TOKENS,
        lora_scale: float | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Encode prompts as in diffusers.

        Args:
            prompt: one text or several, for both encoders.
            prompt_2: for T5 alone.
            device: of the embeddings; the pipeline's unless given.
            num_images_per_prompt: copies of each embedding.
            prompt_embeds, pooled_prompt_embeds: in place of the texts.
            max_sequence_length: tokens of text, T.
            lora_scale: of the text encoders' LoRA layers.

        Returns:
            `prompt_embeds` (samples, T, D), `pooled_prompt_embeds` (samples, P) and the position ids (T, 3).
        """
        if prompt_embeds is None:
            max_sequence_length = self._text_length(max_sequence_length)
        prompt_embeds, pooled_prompt_embeds, text_ids = self._encode(
            prompt=prompt,
            prompt_2=prompt_2,
            device=device,
            num_images_per_prompt=num_images_per_prompt,
            prompt_embeds=prompt_embeds,
            pooled_prompt_embeds=pooled_prompt_embeds,
            max_sequence_length=max_sequence_length,
            lora_scale=lora_scale,
        )
        return prompt_embeds, pooled_prompt_embeds, text_ids

    @functools.wraps(diffusers_fill.FluxFillPipeline.prepare_mask_latents)
    def prepare_mask_latents(self, *args: Any, **kwargs: Any):  # pyright: ignore[reportIncompatibleMethodOverride]  # wrapped
        """Encode the masked image, as in diffusers."""
        prepared = super().prepare_mask_latents(*args, **kwargs)
        self._record_time("encode")
        self.prepared = True
        return prepared

    @exclusive
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
        guidance_scale: float = GUIDANCE,
        num_images_per_prompt: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
        prompt_embeds: torch.Tensor | None = None,
        pooled_prompt_embeds: torch.Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        joint_attention_kwargs: dict[str, Any] | None = None,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ["latents"],  # noqa: B006  # never changed
        max_sequence_length: int | None = None,
    ) -> FluxPipelineOutput | tuple:
        """Upsample one image. Arguments that are not explained here are those of diffusers.

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
            UsageError: naming the argument, before any model runs.
        """
        num_inference_steps = validation.whole_steps("num_inference_steps", num_inference_steps)
        strength = validation.real("strength", strength, 0, 1)
        sigmas = validation.check_sigmas(sigmas)
        num_images_per_prompt = validation.images_per_prompt(num_images_per_prompt)
        validation.check_names(output_type, callback_on_step_end_tensor_inputs, self._callback_tensor_inputs)
        validation.check_callable("callback_on_step_end", callback_on_step_end)
        joint_attention_kwargs = validation.check_attention_kwargs(joint_attention_kwargs)
        return_dict = validation.flag("return_dict", return_dict)
        guidance_scale = self._guidance("guidance_scale", guidance_scale)
        if strength == 0:
            raise UsageError("strength is 0: there is nothing to do; give more than 0, or keep the image")
        check_prompts(prompt=prompt, prompt_2=prompt_2)
        check_generator(generator)
        check_tensors(latents=latents, masked_image_latents=masked_image_latents)
        check_tensors(prompt_embeds=prompt_embeds, pooled_prompt_embeds=pooled_prompt_embeds)
        width, height = (
            None if side is None else validation.whole(name, side)
            for name, side in (("width", width), ("height", height))
        )
        alone = not isinstance(callback_on_step_end, StepCallback)  # else the two-stage pipeline has checked and warned
        if alone:
            warn_about_strength(num_inference_steps if sigmas is None else len(sigmas), strength)
        first = image[0] if isinstance(image, list) and image else image
        if isinstance(first, Image.Image):
            multiple = PATCH * self.vae_scale_factor
            width, height = stage2_size(first.width, first.height, width, height, multiple)
            if alone:
                check_tokens(self, (width, height), num_inference_steps, multiple=multiple)
            if mask_image is None:
                mask_image = Image.new("RGB", first.size, (255, 255, 255))
        if prompt is None and prompt_embeds is None:
            prompt = ""
        max_sequence_length = self._text_length(max_sequence_length)
        callback: Any = callback_on_step_end
        if alone:  # a batch is one run, so its tokens do not count
            taken = stage2_steps(len(sigmas or ()) or num_inference_steps, strength)
            callback = StepCallback(callback, [(taken, 1)])
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
            num_images_per_prompt=num_images_per_prompt,
            generator=generator,
            latents=latents,
            prompt_embeds=None if prompt_embeds is None else prompt_embeds.clone(),  # a callback may write into them
            pooled_prompt_embeds=pooled_prompt_embeds,
            output_type=output_type,
            return_dict=return_dict,
            joint_attention_kwargs=joint_attention_kwargs,
            callback_on_step_end=callback,
            callback_on_step_end_tensor_inputs=list(callback_on_step_end_tensor_inputs or ()),
            max_sequence_length=max_sequence_length,
        )
        with np.errstate(divide="ignore"), input_errors(self):  # the shift of sigma 0 is 0, by way of 1 / 0
            output: Any = super().__call__(**call)
        self._record_time("decode")
        return output
