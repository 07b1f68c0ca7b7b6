"""Drop-in diffusers pipelines for VisualCloze that keep what the documentation promises.

The work is diffusers' own: each class inherits from the stock class of the same name, so that offloading,
quantisation, LoRA, compilation and saved folders work as ever. Added are checks before the first step,
corrected sizes and prompts, the promised defaults, and one image at a time: a batch of FLUX grids gains
next to nothing and costs memory, and one by one their shapes may differ. What stock diffusers gets wrong,
with a test for each point, is in `tests/test_upstream_defects.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.pipelines.flux.pipeline_output import FluxPipelineOutput
from diffusers.pipelines.visualcloze import pipeline_visualcloze_combined as stock

from visualcloze_nb.data.checks import type_of
from visualcloze_nb.data.grid import Grid
from visualcloze_nb.errors import GridError
from visualcloze_nb.pipelines import validation
from visualcloze_nb.pipelines.base import Callback, StepCallback
from visualcloze_nb.pipelines.batch_inputs import read_samples
from visualcloze_nb.pipelines.fill import FillMixin
from visualcloze_nb.pipelines.generation import VisualClozeGenerationPipeline
from visualcloze_nb.pipelines.outputs import join
from visualcloze_nb.pipelines.prompt_cache import Embeddings
from visualcloze_nb.pipelines.run_lock import exclusive
from visualcloze_nb.pipelines.upsampling import FluxFillPipeline as VisualClozeUpsamplingPipeline
from visualcloze_nb.sampling.sdedit import skipped_steps
from visualcloze_nb.sampling.text import tokenize
from visualcloze_nb.settings import GUIDANCE, PATCH, STRENGTH, stage2_steps

__all__ = ["VisualClozeGenerationPipeline", "VisualClozePipeline", "VisualClozeUpsamplingPipeline"]


@dataclass
class VisualClozeOutput(FluxPipelineOutput):
    """Output of the two-stage pipeline.

    Attributes:
        images: as the call says.
        stage1: the same after stage 1; PIL images, `stage1[image][target]`, if stage 2 followed.
    """

    stage1: Any = None


class VisualClozePipeline(FillMixin, stock.VisualClozePipeline):
    """Both stages: fills the empty cells of a grid and upsamples their images.

    Load it with `load` or `from_pretrained`; run it with `fill(grid)` or by the call diffusers documents.
    Components and progress-bar settings put on this pipeline reach its two inner ones.
    """

    @functools.wraps(stock.VisualClozePipeline.__init__)
    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.resolution = self.config["resolution"]
        self.generation_pipe = VisualClozeGenerationPipeline(**self.components, resolution=self.resolution)
        self.upsampling_pipe = VisualClozeUpsamplingPipeline(**self.components)
        self.vae_scale_factor = self.generation_pipe.vae_scale_factor
        self._warned: set[str] = set()
        for pipe in self.inner:
            pipe._warned = self._warned

    @property
    def inner(self) -> tuple[Any, ...]:
        """The pipelines of the two stages; () while they are being made."""
        names = ("generation_pipe", "upsampling_pipe")
        return tuple(self.__dict__[name] for name in names if name in self.__dict__)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        for pipe in self.inner:
            if name in pipe.config or name == "text_encoder_loader":
                setattr(pipe, name, value)

    def set_progress_bar_config(self, **kwargs: Any) -> None:
        """Set how the progress bars of both stages look; `disable=True` hides them."""
        for pipe in (super(), *self.inner):
            pipe.set_progress_bar_config(**kwargs)

    @exclusive
    def embed(self, grid: Grid, max_sequence_length: int | None = None) -> dict[str, torch.Tensor]:
        """Encode the texts of a grid for both stages.

        Args:
            grid: a Grid.
            max_sequence_length: tokens of text; by default what the checkpoint was made for.

        Returns:
            `prompt_embeds` (1, T, D), `pooled_prompt_embeds` (1, P), `upsampling_prompt_embeds` and
            `upsampling_pooled_prompt_embeds`, to be passed to the call in place of the texts.
        """
        if not isinstance(grid, Grid):
            raise GridError(f"grid is {type_of(grid)}: make a Grid of the rows first")
        length = self._text_length(max_sequence_length)
        with self._text_encoders():
            first, second = (self._encode_prompt(stage, grid, length) for stage in (1, 2))
        return {
            "prompt_embeds": first[0],
            "pooled_prompt_embeds": first[1],
            "upsampling_prompt_embeds": second[0],
            "upsampling_pooled_prompt_embeds": second[1],
        }

    @exclusive
    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]  # more is accepted, samples are lists
        self,
        task_prompt: str | list[str] | None = None,
        content_prompt: str | list[str | None] | None = None,
        image: Any = None,
        upsampling_height: int | None = None,
        upsampling_width: int | None = None,
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
        upsampling_strength: float = STRENGTH,
        upsampling_prompt_embeds: torch.Tensor | None = None,
        upsampling_pooled_prompt_embeds: torch.Tensor | None = None,
        upsampling_steps: int | None = None,
        upsampling_size: float | str | None = None,
    ) -> FluxPipelineOutput | tuple:
        """Fill the empty cells of one grid or of several, then upsample each image.

        Args:
            task_prompt: what a row does; for a batch a list of texts.
            content_prompt: what the target shows, or None; for a batch a list of either. Stage 2 reads only
                this. `""` adds an empty "… depicts:" in stage 1, as in diffusers; None leaves it out.
            image: rows of images with None at the targets, or a Grid; for a batch a list of either.
            upsampling_height, upsampling_width: of the images, pixels. Three times the target's size after stage 1
                unless given; one side fixes the other by the aspect ratio.
            num_inference_steps: of each stage's schedule; stage 2 takes about `upsampling_strength` of them.
            sigmas: noise levels from 1 downwards in place of the even ones; for stage 2 too, unless `upsampling_steps`
                is given.
            guidance_scale: of no effect on a model without guidance input.
            num_images_per_prompt: images made of each grid, each from other noise.
            generator: one `torch.Generator`, or one for each image; a fresh one unless given.
            latents: (images, L, 64) packed noise for stage 1 to start from.
            prompt_embeds, pooled_prompt_embeds: (samples, T, D) and (samples, P) for stage 1, in place of
                `task_prompt`; `embed` makes them. `content_prompt` then counts for stage 2 only.
            output_type: `pil`, `np` (H, W, 3 from 0 to 1), `pt` (3, H, W from 0 to 1), or `latent`: packed
                latents (L, 64), those of the whole grid where stage 2 is left out.
            return_dict: False returns a tuple of one.
            joint_attention_kwargs: passed to the attention processors; `scale` is the LoRA scale.
            callback_on_step_end: called as `f(pipeline, step, timestep, tensors)` after each step. `step` runs from 0
                to `pipeline.num_timesteps - 1` for each sample in stage 1 and for each target in stage 2;
                `pipeline.stage` is 1 or 2, and `pipeline.call_step` counts on through the whole call. Setting
                `pipeline._interrupt = True` ends the call with the images so far (after stage 1: PIL images).
            callback_on_step_end_tensor_inputs: which of `latents`, `prompt_embeds` it gets.
            max_sequence_length: tokens of text, 1 to 512; by default what the checkpoint was made for.
            upsampling_strength: from 0 to 1: how much noise stage 2 adds. 0 leaves stage 2 out, 1 leaves
                nothing of stage 1.
            upsampling_prompt_embeds, upsampling_pooled_prompt_embeds: for stage 2, in place of
                `content_prompt`.
            upsampling_steps: length of stage 2's schedule, where it differs.
            upsampling_size: in place of height and width: `"photograph"`, as large as the query's first image, at most
                one megapixel; or a factor of the target's sides after stage 1.

        Returns:
            `images`, those of one grid next to each other, in diffusers' shapes: `images[image][target]` for
            `pil`, else one array over all targets, such as (targets, H, W, 3) for `np`; a list takes its place if
            sizes differ. And `stage1`, the same before stage 2.

        Raises:
            ValueError: naming the argument, before any model runs.
        """
        samples = read_samples(image, task_prompt, content_prompt, embedded=prompt_embeds is not None)
        num_inference_steps = validation.whole_steps("num_inference_steps", num_inference_steps)
        num_images_per_prompt = validation.images_per_prompt(num_images_per_prompt)
        upsampling_strength = validation.real("upsampling_strength", upsampling_strength, 0, 1)
        sigmas = validation.check_sigmas(sigmas)
        validation.check_callable("callback_on_step_end", callback_on_step_end)
        joint_attention_kwargs = validation.check_attention_kwargs(joint_attention_kwargs)
        return_dict = validation.flag("return_dict", return_dict)
        validation.check_names(output_type, callback_on_step_end_tensor_inputs, self._callback_tensor_inputs)
        guidance_scale = self._guidance("guidance_scale", guidance_scale)
        steps = num_inference_steps if sigmas is None else len(sigmas)
        steps_2 = steps if upsampling_steps is None else validation.whole_steps("upsampling_steps", upsampling_steps)
        if upsampling_strength > 0:
            skipped_steps(steps_2, upsampling_strength)
        embeds: tuple[Any, Any] = prompt_embeds, pooled_prompt_embeds
        upsampling_embeds: tuple[Any, Any] = upsampling_prompt_embeds, upsampling_pooled_prompt_embeds
        validation.check_embeds("prompt_embeds", *embeds, len(samples), self.transformer.config)
        validation.check_embeds("upsampling_prompt_embeds", *upsampling_embeds, len(samples), self.transformer.config)
        length = self._text_length(max_sequence_length)
        generators = validation.one_generator_each(generator, len(samples) * num_images_per_prompt)
        self.generation_pipe.check_latents(latents, [grid for grid in samples for _ in range(num_images_per_prompt)])
        size = upsampling_width, upsampling_height, upsampling_size, "upsampling_"
        sizes = [self._size(grid, *size) for grid in samples]
        for grid, size in zip(samples, sizes, strict=True):
            self._check_tokens(grid, size, steps, upsampling_strength, steps_2)
        tokens = [grid.layout(self.resolution, self.vae_scale_factor).total + length for grid in samples]
        runs = [(steps, count) for count in tokens for _ in range(num_images_per_prompt)]
        for grid, (width, height) in zip(samples, sizes, strict=True):
            large = width * height // (PATCH * self.vae_scale_factor) ** 2 + length
            again = len(grid.targets) * num_images_per_prompt
            runs += [(stage2_steps(steps_2, upsampling_strength), large)] * again
        both: dict[str, Any] = {
            "num_inference_steps": num_inference_steps,
            "sigmas": sigmas,
            "guidance_scale": guidance_scale,
            "joint_attention_kwargs": joint_attention_kwargs,
            "callback_on_step_end": StepCallback(callback_on_step_end, runs),
            "callback_on_step_end_tensor_inputs": list(callback_on_step_end_tensor_inputs or ()),
            "max_sequence_length": length,
        }
        lora_scale = (joint_attention_kwargs or {}).get("scale")
        try:
            with self._text_encoders():  # all prompts at once, so that offloaded encoders are moved only once
                if prompt_embeds is None:
                    embeds = self._encode_prompts(1, samples, length, lora_scale)
                if upsampling_prompt_embeds is None and upsampling_strength > 0:
                    upsampling_embeds = self._encode_prompts(2, samples, length, lora_scale)
            output: Any = self.generation_pipe(
                image=samples,
                num_images_per_prompt=num_images_per_prompt,
                generator=generators,
                latents=latents,
                prompt_embeds=embeds[0],
                pooled_prompt_embeds=embeds[1],
                output_type="pil" if upsampling_strength else output_type,
                **both,
            )
            stage1 = images = output.images
            if upsampling_strength > 0 and not self.generation_pipe.interrupt:
                images = list(stage1)
                both |= {"strength": upsampling_strength, "output_type": output_type, "num_inference_steps": steps_2}
                both["sigmas"] = sigmas if upsampling_steps is None else None
                for number, targets in enumerate(stage1):
                    sample = number // num_images_per_prompt
                    self.upsampling_pipe.sample = number
                    embeds = tuple(part[sample : sample + 1] for part in upsampling_embeds)
                    images[number] = self._upsample(targets, sizes[sample], embeds, generators[number], both)
                    if self.upsampling_pipe.interrupt:
                        break
                if output_type != "pil":
                    images = join([target for targets in images for target in targets])
        finally:
            self.maybe_free_model_hooks()
        return VisualClozeOutput(images=images, stage1=stage1) if return_dict else (images,)

    def _encode_prompts(self, stage: int, samples: list[Grid], length: int, lora_scale: float | None) -> Embeddings:
        """Encode one stage's prompt of each sample: (samples, T, D) and (samples, P)."""
        embeds, pooled = zip(*(self._encode_prompt(stage, grid, length, lora_scale) for grid in samples), strict=True)
        return torch.cat(embeds), torch.cat(pooled)

    def _encode_prompt(self, stage: int, grid: Grid, length: int, lora_scale: float | None = None) -> Embeddings:
        options: dict[str, Any] = {"max_sequence_length": length, "lora_scale": lora_scale}

        def encode() -> Embeddings:
            if stage == 2:
                return self.upsampling_pipe.encode_prompt(content, None, **options)[:2]
            texts = [layout_prompt], [grid.task], [grid.content]
            return self.generation_pipe.encode_prompt(*texts, **options)[:2]

        content = grid.content or ""
        layout_prompt = self.generation_pipe.image_processor.get_layout_prompt((grid.n_rows, grid.n_cols))
        if self.text_encoder_loader is None:
            return encode()
        # The token ids are what the encoders read, whatever the tokenizers are now.
        ids = [part.tolist() for part in tokenize(self, [grid.prompt if stage == 1 else content], length)]
        return self.text_encoder_loader.recall((str(ids), self._execution_device, self.transformer.dtype), encode)

    def _upsample(
        self, targets: list, size: tuple[int, int], embeds: Embeddings, generator: torch.Generator, options: dict
    ) -> list:
        """Run stage 2 on the targets of one image, one after the other."""
        larger = list(targets)
        for number, target in enumerate(targets):
            self.upsampling_pipe.target = number
            prompt_embeds, pooled = (part.clone() for part in embeds)  # a callback may change them in place
            output: Any = self.upsampling_pipe(
                image=target,
                width=size[0],
                height=size[1],
                prompt_embeds=prompt_embeds,
                pooled_prompt_embeds=pooled,
                generator=generator,
                **options,
            )
            larger[number] = output.images[0] if options["output_type"] == "pil" else output.images
            if self.upsampling_pipe.interrupt:
                break
        return larger
