"""Drop-in diffusers pipelines for VisualCloze that keep what the documentation promises.

The work is diffusers' own: each class inherits from the stock class of the same name, so that offloading,
quantisation, LoRA, compilation and saved folders work as ever. Added are checks before the first step,
corrected sizes and prompts, the promised defaults, and one image at a time: a batch of FLUX grids gains
next to nothing and costs memory, and one by one their shapes may differ. What stock diffusers gets wrong,
with a test for each point, is in `tests/test_upstream_defects.py`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import diffusers
import torch
from diffusers.pipelines.flux.pipeline_output import FluxPipelineOutput

from visualcloze_nb.pipelines import validation
from visualcloze_nb.pipelines.base import CountsOn, Shared
from visualcloze_nb.pipelines.batch_inputs import read_samples
from visualcloze_nb.pipelines.fill import Fills
from visualcloze_nb.pipelines.generation import VisualClozeGenerationPipeline
from visualcloze_nb.pipelines.prompt_cache import forgets_text
from visualcloze_nb.pipelines.upsampling import FluxFillPipeline as VisualClozeUpsamplingPipeline
from visualcloze_nb.settings import STRENGTH

__all__ = ["VisualClozeGenerationPipeline", "VisualClozePipeline", "VisualClozeUpsamplingPipeline"]


@dataclass
class VisualClozeOutput(FluxPipelineOutput):
    """What the two-stage pipeline returns.

    Attributes:
        images: `images[image][target]`, in the `output_type` asked for.
        stage1: the same after stage 1; PIL images if stage 2 followed.
    """

    stage1: list | None = None


@forgets_text
class VisualClozePipeline(Fills, Shared, diffusers.VisualClozePipeline):
    """Both stages: fills the empty cells of a grid and enlarges what it filled in.

    Load it with `load` or `from_pretrained`; run it with `fill(grid)` or by the call diffusers documents.
    Components and progress-bar settings put on this pipeline reach its two inner ones.
    """

    @functools.wraps(diffusers.VisualClozePipeline.__init__)
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.resolution = self.config.resolution
        self.generation_pipe = VisualClozeGenerationPipeline(**self.components, resolution=self.resolution)
        self.upsampling_pipe = VisualClozeUpsamplingPipeline(**self.components)
        self.vae_scale_factor = self.generation_pipe.vae_scale_factor
        self._told = set()
        self.text_source = None
        for pipe in self.inner:
            pipe._text_cache, pipe._told = self.text_cache, self._told

    @property
    def inner(self) -> tuple:
        """The pipelines of the two stages; () while they are being made."""
        names = ("generation_pipe", "upsampling_pipe")
        return tuple(self.__dict__[name] for name in names if name in self.__dict__)

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        for pipe in self.inner:
            if name in pipe.config or name == "text_source":
                setattr(pipe, name, value)

    def set_progress_bar_config(self, **kwargs):
        """Set how the progress bars of both stages look; `disable=True` hides them."""
        for pipe in (super(), *self.inner):
            pipe.set_progress_bar_config(**kwargs)

    @torch.no_grad()
    def embed(self, grid, max_sequence_length=None) -> dict[str, torch.Tensor]:
        """Encode the texts of a grid for both stages.

        Args:
            grid: a Grid.
            max_sequence_length: tokens of text; by default what the checkpoint was made for.

        Returns:
            `prompt_embeds` (1, T, D), `pooled_prompt_embeds` (1, P), `upsampling_prompt_embeds` and
            `upsampling_pooled_prompt_embeds`, to be passed to the call in place of the texts.
        """
        length = validation.text_length(max_sequence_length, self.tokenizer_2)
        with self.text_source_open():
            first = self.generation_pipe.encode_prompt(
                grid.layout_prompt, grid.task, grid.content, max_sequence_length=length
            )
            second = self.upsampling_pipe.encode_prompt(grid.content or "", max_sequence_length=length)
        return {
            "prompt_embeds": first[0],
            "pooled_prompt_embeds": first[1],
            "upsampling_prompt_embeds": second[0],
            "upsampling_pooled_prompt_embeds": second[1],
        }

    @torch.no_grad()
    def __call__(
        self,
        task_prompt=None,
        content_prompt=None,
        image=None,
        upsampling_height=None,
        upsampling_width=None,
        num_inference_steps=50,
        sigmas=None,
        guidance_scale=None,
        num_images_per_prompt=1,
        generator=None,
        latents=None,
        prompt_embeds=None,
        pooled_prompt_embeds=None,
        output_type="pil",
        return_dict=True,
        joint_attention_kwargs=None,
        callback_on_step_end=None,
        callback_on_step_end_tensor_inputs=("latents",),
        max_sequence_length=None,
        upsampling_strength=STRENGTH,
        upsampling_prompt_embeds=None,
        upsampling_pooled_prompt_embeds=None,
    ):
        """Fill the empty cells of one grid or of several, then enlarge each image made.

        Args:
            task_prompt: what a row does; for a batch a list of texts.
            content_prompt: what the target shows, or None; for a batch a list of either. Stage 2 reads only
                this. `""` adds an empty "… depicts:" in stage 1, as in diffusers; None leaves it out.
            image: rows of images with None at the targets, or a Grid; for a batch a list of either.
            upsampling_height, upsampling_width: of the images, pixels. Three times the target's size after
                stage 1 unless given; one side given fixes the other by the aspect ratio.
            num_inference_steps: of each stage's schedule; stage 2 takes about `upsampling_strength` of them.
            sigmas: noise levels from 1 downwards in place of the even ones.
            guidance_scale: 30 unless given; of no effect on a model without guidance input.
            num_images_per_prompt: images made of each grid, each from other noise.
            generator: one `torch.Generator`, or one for each image; a fresh one unless given.
            latents: (images, L, 64) packed noise for stage 1 to start from.
            prompt_embeds, pooled_prompt_embeds: (samples, T, D) and (samples, P) for stage 1, in place of
                `task_prompt`; `embed` makes them. `content_prompt` then counts for stage 2 only.
            output_type: `pil`, `np` (H, W, 3 from 0 to 1), `pt` (3, H, W from 0 to 1), or `latent`: the
                packed latents (L, 64) of each target.
            return_dict: False returns a tuple of one.
            joint_attention_kwargs: passed to the attention processors; `scale` is the LoRA scale.
            callback_on_step_end: called as `f(pipeline, step, timestep, tensors)` after each step. `step`
                counts on through the whole call; `pipeline.stage` is 1 or 2. Setting
                `pipeline._interrupt = True` ends the call with what there is (after stage 1: PIL images).
            callback_on_step_end_tensor_inputs: which of `latents`, `prompt_embeds` it gets.
            max_sequence_length: tokens of text, 1 to 512; by default what the checkpoint was made for.
            upsampling_strength: from 0 to 1: how much noise stage 2 adds. 0 leaves stage 2 out, 1 leaves
                nothing of stage 1.
            upsampling_prompt_embeds, upsampling_pooled_prompt_embeds: for stage 2, in place of
                `content_prompt`.

        Returns:
            `images[image][target]`, whatever the `output_type`; images of one grid next to each other.
            And `stage1`, the same before stage 2.

        Raises:
            ValueError: naming the argument, before any model runs.
        """
        samples = read_samples(image, task_prompt, content_prompt, embedded=prompt_embeds is not None)
        validation.whole("num_inference_steps", num_inference_steps)
        validation.whole("num_images_per_prompt", num_images_per_prompt)
        validation.real("upsampling_strength", upsampling_strength, 0, 1)
        validation.check_names(output_type, (), ())
        second_embeds = upsampling_prompt_embeds, upsampling_pooled_prompt_embeds
        validation.check_embeds("upsampling_prompt_embeds", *second_embeds, len(samples))
        generators = validation.one_generator_each(generator, len(samples) * num_images_per_prompt)
        sizes = [self._size(grid, upsampling_width, upsampling_height, "upsampling_") for grid in samples]
        both = {
            "num_inference_steps": num_inference_steps,
            "sigmas": sigmas,
            "guidance_scale": guidance_scale,
            "joint_attention_kwargs": joint_attention_kwargs,
            "callback_on_step_end": CountsOn(callback_on_step_end),
            "callback_on_step_end_tensor_inputs": list(callback_on_step_end_tensor_inputs or ()),
            "max_sequence_length": max_sequence_length,
        }
        if self.text_source is not None:
            self._encode_ahead(samples, max_sequence_length, prompt_embeds is None, second_embeds[0] is None)
        try:
            images = self.generation_pipe(
                image=samples,
                num_images_per_prompt=num_images_per_prompt,
                generator=generators,
                latents=latents,
                prompt_embeds=prompt_embeds,
                pooled_prompt_embeds=pooled_prompt_embeds,
                output_type="pil" if upsampling_strength else output_type,
                **both,
            ).images
            if upsampling_strength == 0 and output_type == "latent":
                images = [
                    self._target_tokens(samples[number // num_images_per_prompt], tokens)
                    for number, tokens in enumerate(images)
                ]
            stage1 = list(images)
            if upsampling_strength > 0 and not self.generation_pipe.interrupt:
                both |= {"strength": upsampling_strength, "output_type": output_type}
                for number, targets in enumerate(images):
                    sample = number // num_images_per_prompt
                    self.upsampling_pipe.sample = number
                    images[number] = self._enlarge(
                        targets,
                        samples[sample].content,
                        sizes[sample],
                        [None if part is None else part[sample : sample + 1] for part in second_embeds],
                        generator=generators[number],
                        **both,
                    )
                    if self.upsampling_pipe.interrupt:
                        break
        finally:
            self.maybe_free_model_hooks()
        return VisualClozeOutput(images=images, stage1=stage1) if return_dict else (images,)

    def _encode_ahead(self, samples, max_sequence_length, first: bool, second: bool) -> None:
        """Encode all texts at once, so that the encoders need to be there only once."""
        length = {"max_sequence_length": validation.text_length(max_sequence_length, self.tokenizer_2)}
        self.text_cache.limit = max(self.text_cache.limit, 4 * len(samples))
        with self.text_source_open():
            for grid in samples:
                if first:
                    self.generation_pipe.encode_prompt(grid.layout_prompt, grid.task, grid.content, **length)
                if second:
                    self.upsampling_pipe.encode_prompt(grid.content or "", **length)

    def _enlarge(self, targets, content, size, embeds, **options) -> list:
        """Run stage 2 on the targets of one image, one after the other."""
        texts = {"prompt": content or ""} if embeds[0] is None else {}
        if embeds[0] is not None:
            texts = {"prompt_embeds": embeds[0], "pooled_prompt_embeds": embeds[1]}
        larger = list(targets)
        for number, target in enumerate(targets):
            self.upsampling_pipe.target = number
            width, height = size
            done = self.upsampling_pipe(image=target, width=width, height=height, **texts, **options)
            larger[number] = done.images[0]
            if self.upsampling_pipe.interrupt:
                break
        return larger

    def _size(self, grid, width: int | None, height: int | None, prefix: str = "") -> tuple[int, int]:
        """Say how large stage 2 makes the targets of a grid."""
        layout = grid.layout(self.resolution, self.vae_scale_factor)
        return validation.stage2_size(*layout.sizes[-1], width, height, layout.multiple, prefix)

    def _target_tokens(self, grid, tokens: torch.Tensor) -> list[torch.Tensor]:
        """Cut the targets' packed latents out of a whole grid's (1, L, 64)."""
        layout = grid.layout(self.resolution, self.vae_scale_factor)
        query = tokens.reshape(-1, tokens.shape[-1])[layout.row_slices[-1]]
        column = torch.from_numpy(layout.cells[layout.row_slices[-1], 1])
        return [query[column == target] for target in grid.targets]
