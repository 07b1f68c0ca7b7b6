"""Stage 1: diffusers' generation pipeline, one image at a time, with the checks it lacks."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.flux.pipeline_output import FluxPipelineOutput
from diffusers.pipelines.visualcloze import pipeline_visualcloze_generation as stock

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.pipelines import validation
from visualcloze_nb.pipelines.base import Callback, PipelineBase, StepCallback
from visualcloze_nb.pipelines.batch_inputs import read_samples
from visualcloze_nb.pipelines.image_processor import GridProcessor
from visualcloze_nb.pipelines.outputs import join
from visualcloze_nb.pipelines.run_lock import exclusive
from visualcloze_nb.settings import GUIDANCE, TEXT_TOKENS


class VisualClozeGenerationPipeline(PipelineBase, stock.VisualClozeGenerationPipeline):
    """Stage 1 alone: fills the empty cells at the model's resolution.

    A step callback gets this pipeline, whose `stage` is 1 and whose `sample` counts the images from 0.
    """

    stage = 1
    sample = 0
    _given_latents: torch.Tensor | None = None
    _encoded: Any = None

    @functools.wraps(stock.VisualClozeGenerationPipeline.__init__)
    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        config: Any = self.image_processor.config
        self.image_processor = GridProcessor(
            resolution=self.resolution,
            vae_scale_factor=config.vae_scale_factor,
            vae_latent_channels=config.vae_latent_channels,
        )

    @functools.wraps(stock.VisualClozeGenerationPipeline.check_inputs)
    def check_inputs(self, *args: Any, **kwargs: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  # wrapped
        """Do nothing: `__call__` has checked everything, and allows what stock diffusers refuses."""

    def check_latents(self, latents: Any, grids: list[Grid]) -> list[torch.Tensor | None]:
        """Split given starting noise into one tensor for each image, see `validation.check_latents`."""
        tokens = [grid.layout(self.resolution, self.vae_scale_factor).total for grid in grids]
        return validation.check_latents(latents, tokens, 4 * self.latent_channels)

    def encode_prompt(  # pyright: ignore[reportIncompatibleMethodOverride]  # None is allowed
        self,
        layout_prompt: str | list[str],
        task_prompt: str | list[str],
        content_prompt: str | list[str] | list[str | None] | None,
        device: torch.device | None = None,
        num_images_per_prompt: int = 1,
        prompt_embeds: torch.Tensor | None = None,
        pooled_prompt_embeds: Any = None,
        max_sequence_length: int = TEXT_TOKENS,
        lora_scale: float | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Encode the three texts as in diffusers, or pass given embeddings through (stock ignores them).

        Args:
            layout_prompt, task_prompt, content_prompt: texts, or lists of them for several samples.
            device: of the embeddings; the pipeline's unless given.
            num_images_per_prompt: copies of each embedding.
            prompt_embeds: (samples, T, D) in place of the texts.
            pooled_prompt_embeds: (samples, P), with `prompt_embeds`.
            max_sequence_length: tokens of text, T.
            lora_scale: of the text encoders' LoRA layers.

        Returns:
            `prompt_embeds`, `pooled_prompt_embeds` and the position ids (T, 3) of the text.
        """
        if prompt_embeds is None:
            max_sequence_length = self._text_length(max_sequence_length)
            prompt_embeds, pooled_prompt_embeds, text_ids = self._encode(
                layout_prompt=layout_prompt,
                task_prompt=task_prompt,
                content_prompt=content_prompt,
                device=device,
                num_images_per_prompt=num_images_per_prompt,
                prompt_embeds=None,
                max_sequence_length=max_sequence_length,
                lora_scale=lora_scale,
            )
        else:
            device, dtype = device or self._execution_device, self.transformer.dtype
            text_ids = torch.zeros(prompt_embeds.shape[1], 3, device=device, dtype=dtype)
            prompt_embeds, pooled_prompt_embeds = (
                prompt_embeds.to(device, dtype),
                pooled_prompt_embeds.to(device, dtype),
            )
        return prompt_embeds, pooled_prompt_embeds, text_ids

    @functools.wraps(stock.VisualClozeGenerationPipeline.prepare_latents)
    def prepare_latents(self, *args: Any, **kwargs: Any):  # pyright: ignore[reportIncompatibleMethodOverride]  # wrapped
        """Encode the grid and draw its noise as in diffusers; given `latents` then take the noise's place."""
        latents, masked_image_latents, ids = super().prepare_latents(*args, **kwargs)
        if self._given_latents is not None:
            latents = self._given_latents.to(latents)
        self._record_time("encode")
        return latents, masked_image_latents, ids

    @functools.wraps(stock.VisualClozeGenerationPipeline._prepare_latents)
    def _prepare_latents(self, *args: Any, **kwargs: Any):  # pyright: ignore[reportIncompatibleMethodOverride]  # wrapped
        return super()._prepare_latents(*args, **kwargs) if self._encoded is None else self._encoded

    def _encode_first(self, samples: list[Grid], generators: list[torch.Generator]) -> list:
        """Encode all grids before any noise is drawn: the order of a batch in diffusers."""
        encoded = []
        place = self.vae_scale_factor, self._execution_device, self.transformer.dtype
        for grid, generator in zip(samples, generators, strict=True):
            cells, _, targets = self.image_processor.preprocess_image(grid.to_lists(), self.vae_scale_factor)
            masks = self.image_processor.preprocess_mask(cells, targets)  # pyright: ignore[reportArgumentType]  # stub
            encoded.append(super()._prepare_latents(cells, masks, generator, *place))
        return encoded

    @exclusive
    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]  # more is accepted, samples are lists
        self,
        task_prompt: str | list[str] | None = None,
        content_prompt: str | list[str | None] | None = None,
        image: Any = None,
        num_inference_steps: int = 50,
        sigmas: Sequence[float] | None = None,
        guidance_scale: float = GUIDANCE,
        num_images_per_prompt: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: Any = None,
        prompt_embeds: torch.Tensor | None = None,
        pooled_prompt_embeds: torch.Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        joint_attention_kwargs: dict[str, Any] | None = None,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ["latents"],  # noqa: B006  # never changed
        max_sequence_length: int | None = None,
    ) -> FluxPipelineOutput | tuple:
        """Fill the empty cells of one grid or of several.

        Args:
            task_prompt: what a row does; for a batch a list of texts.
            content_prompt: what the target shows, or None; for a batch a list of either.
            image: rows of images with None at the targets, or a Grid; for a batch a list of either.
            num_inference_steps: 1 or more.
            sigmas: noise levels from 1 downwards in place of the even ones.
            guidance_scale: of no effect on a model without guidance input.
            num_images_per_prompt: images made of each grid, each from other noise.
            generator: one `torch.Generator`, or one for each image.
            latents: (images, L, 64) packed noise to start from; a list of (L, 64) if the grids differ in
                size. The generator runs on as if it had drawn them.
            prompt_embeds: (samples, T, D) in place of all texts, from `encode_prompt`.
            pooled_prompt_embeds: (samples, P), with `prompt_embeds`.
            output_type: `pil`, `np` (H, W, 3 from 0 to 1), `pt` (3, H, W from 0 to 1) or `latent`.
            return_dict: False returns a tuple of one.
            joint_attention_kwargs: passed to the attention processors; `scale` is the LoRA scale.
            callback_on_step_end: called as `f(pipeline, step, timestep, tensors)` after each step; `step` runs from
                0 to `pipeline.num_timesteps - 1` for each image, `pipeline.call_step` through the whole call.
            callback_on_step_end_tensor_inputs: which of `latents`, `prompt_embeds` it gets.
            max_sequence_length: tokens of text; by default what the checkpoint was made for.

        Returns:
            `images`, those of one grid next to each other, in diffusers' shapes: `images[image][target]` for
            `pil`; for `np` and `pt` one array over all targets; for `latent` the packed latents of whole grids,
            (images, L, 64). A list takes the array's place if sizes differ.

        Raises:
            ValueError: naming the argument, before any model runs.
        """
        guidance_scale = self._guidance("guidance_scale", guidance_scale)
        samples = read_samples(image, task_prompt, content_prompt, embedded=prompt_embeds is not None)
        num_inference_steps = validation.whole_steps("num_inference_steps", num_inference_steps)
        num_images_per_prompt = validation.images_per_prompt(num_images_per_prompt)
        sigmas = validation.check_sigmas(sigmas)
        validation.check_callable("callback_on_step_end", callback_on_step_end)
        joint_attention_kwargs = validation.check_attention_kwargs(joint_attention_kwargs)
        return_dict = validation.flag("return_dict", return_dict)
        validation.check_names(output_type, callback_on_step_end_tensor_inputs, self._callback_tensor_inputs)
        embeds = prompt_embeds, pooled_prompt_embeds
        validation.check_embeds("prompt_embeds", *embeds, len(samples), self.transformer.config)
        max_sequence_length = self._text_length(max_sequence_length)
        sample_of = [number for number in range(len(samples)) for _ in range(num_images_per_prompt)]
        generators = validation.one_generator_each(generator, len(sample_of))
        starts = self.check_latents(latents, [samples[number] for number in sample_of])
        self.image_processor.resolution = self.resolution

        encoded = [None] * len(samples)
        if len(sample_of) > 1:
            encoded = self._encode_first(samples, generators[::num_images_per_prompt])

        images: Any = []
        callback: Any = callback_on_step_end
        if not isinstance(callback, StepCallback):
            tokens = [grid.layout(self.resolution, self.vae_scale_factor).total for grid in samples]
            steps = len(sigmas or ()) or num_inference_steps
            callback = StepCallback(callback, [(steps, tokens[n] + max_sequence_length) for n in sample_of])
        for self.sample, number in enumerate(sample_of):
            grid = samples[number]
            embeds = slice(number, number + 1)
            self._given_latents, self._encoded = starts[self.sample], encoded[number]
            try:
                call: dict[str, Any] = dict(
                    task_prompt=grid.task,
                    content_prompt=grid.content,
                    image=grid.to_lists(),
                    num_inference_steps=num_inference_steps,
                    sigmas=sigmas,
                    guidance_scale=guidance_scale,
                    generator=generators[self.sample],
                    prompt_embeds=None if prompt_embeds is None else prompt_embeds[embeds].clone(),
                    pooled_prompt_embeds=None if pooled_prompt_embeds is None else pooled_prompt_embeds[embeds].clone(),
                    output_type=output_type,
                    joint_attention_kwargs=joint_attention_kwargs,
                    callback_on_step_end=callback,
                    callback_on_step_end_tensor_inputs=list(callback_on_step_end_tensor_inputs or ()),
                    max_sequence_length=max_sequence_length,
                )
                with np.errstate(divide="ignore"):  # the shift of sigma 0 is 0, by way of 1 / 0
                    output: Any = super().__call__(**call)
            finally:
                self._given_latents = self._encoded = None
            self._record_time("decode")
            images.append(output.images[0] if output_type == "pil" else output.images)
            if self.interrupt:
                break
        if output_type != "pil":
            images = join(images)
        return FluxPipelineOutput(images=images) if return_dict else (images,)
