"""`pipe.fill(grid)` and `pipe.steps(grid)`: both stages in one call, or laid open step by step."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import diffusers
import torch
import transformers
from PIL import Image

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.result import Result
from visualcloze_nb.pipelines import validation
from visualcloze_nb.pipelines.base import PipelineBase
from visualcloze_nb.pipelines.call_settings import complete
from visualcloze_nb.pipelines.progress import Progress, Timer, timed
from visualcloze_nb.pipelines.prompt_check import warn_about_text
from visualcloze_nb.pipelines.run_lock import ExclusiveSteps, exclusive, running
from visualcloze_nb.pipelines.sizes import check_tokens, result_size, warn_about_strength
from visualcloze_nb.sampling.flow import Step, euler_sample, schedule
from visualcloze_nb.sampling.latents import decode_targets, prepare
from visualcloze_nb.sampling.sdedit import decode_stage2, prepare_stage2
from visualcloze_nb.sampling.text import encode_text
from visualcloze_nb.settings import CallSettings


class FillMixin(PipelineBase):
    """`fill`, `steps` and `read`, for the two-stage pipeline."""

    resolution: int
    vae_scale_factor: int
    __call__: Callable[..., Any]

    def steps(
        self,
        grid: Grid,
        *,
        seed: int | None = None,
        steps: int | None = None,
        upsampling_steps: int | None = None,
        strength: float | None = None,
        guidance: float | None = None,
        size: float | str | None = None,
        height: int | None = None,
        width: int | None = None,
        max_sequence_length: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Iterator[Step]:
        """Run `fill` laid open: every step of both stages, with its inputs and outputs.

        The modules `text`, `latents`, `flow` and `sdedit` do the work, on the device and in the dtype that `fill` uses.
        With the Euler scheduler the images are those of `fill`, bit for bit on a CPU. `read` decodes a step.

        Args:
            grid, seed, steps, upsampling_steps, strength, guidance, size, height, width: as for `fill`.
            max_sequence_length, generator: as for `fill`.

        Returns:
            an iterator over the steps of stage 1, then those of stage 2 for each target.

        Raises:
            ValueError: naming the argument or the cell, before any model runs.
        """
        settings, generator = complete(
            self,
            grid,
            generator,
            seed=seed,
            steps=steps,
            upsampling_steps=upsampling_steps,
            strength=strength,
            guidance=guidance,
            size=size,
            height=height,
            width=width,
            max_sequence_length=max_sequence_length,
        )
        large = settings.width, settings.height
        self._check_tokens(grid, large, settings.steps, settings.strength, settings.upsampling_steps)
        return ExclusiveSteps(self, self._steps(grid, settings, generator))

    def _steps(self, grid: Grid, settings: CallSettings, generator: torch.Generator) -> Iterator[Step]:
        config, length = self.scheduler.config, settings.max_sequence_length
        warn_about_text(self.tokenizer_2, grid.prompt, length)
        try:
            with self._text_encoders() as loader:
                if loader is not None:
                    loader.ensure_loaded()
                text = encode_text(self, grid.prompt, length)
                text_2 = encode_text(self, grid.content or "", length)
            device, dtype = self._execution_device, self.transformer.dtype
            ready = prepare(grid, self.vae, self.resolution, generator, device=device, dtype=dtype)
            sigmas = schedule(settings.steps, ready.layout.total, config).to(device)
            tokens = ready.noise
            inputs = tokens, ready.condition, ready.ids, text, sigmas, settings.guidance
            for step in euler_sample(self.transformer, *inputs, layout=ready.layout):
                yield step
                tokens = step.after
            if settings.strength == 0:
                return
            steps = settings.upsampling_steps or settings.steps
            call = (settings.width, settings.height), self.vae, config, steps, settings.strength, generator
            for target, image in enumerate(decode_targets(tokens, self.vae, ready.layout)):
                two = prepare_stage2(image, *call, device=device, dtype=dtype)
                inputs = two.z, two.condition, two.ids, text_2, two.sigmas.to(device), settings.guidance
                yield from euler_sample(self.transformer, *inputs, layout=two.layout, stage=2, target=target)
        finally:
            self.maybe_free_model_hooks()

    @exclusive
    def read(self, step: Step, tokens: torch.Tensor | None = None) -> list[Image.Image]:
        """Decode the tokens of a step.

        Args:
            step: from `steps` or `flow.euler_sample`.
            tokens: (1, L, 64), such as `step.x0`; `step.after` unless given.

        Returns:
            in stage 1 an image for each target, in stage 2 the one image it works on.
        """
        tokens = step.after if tokens is None else tokens
        if step.stage == 1:
            return decode_targets(tokens, self.vae, step.layout)
        return [decode_stage2(tokens, self.vae, step.layout)]

    def fill(
        self,
        grid: Grid,
        *,
        seed: int | None = None,
        steps: int | None = None,
        upsampling_steps: int | None = None,
        strength: float | None = None,
        guidance: float | None = None,
        size: float | str | None = None,
        height: int | None = None,
        width: int | None = None,
        max_sequence_length: int | None = None,
        generator: torch.Generator | None = None,
        progress: bool = True,
        on_step: Callable[[int, int, int], None] | None = None,
        sigmas: Sequence[float] | None = None,
        joint_attention_kwargs: dict[str, Any] | None = None,
    ) -> Result:
        """Fill the empty cells of a grid.

        Args:
            grid: examples and a query with one or more targets.
            seed: of all noise, 0 to 2**64 - 1; a random one, kept in the result, unless given.
            steps: length of stage 1's schedule; the grid's recommendation unless given, else 30.
            upsampling_steps: length of stage 2's schedule, of which it takes about `strength` times as many; the
                grid's recommendation unless given, else that of stage 1.
            strength: of stage 2, from 0 (no stage 2: a quick draft) to 1 (nothing of stage 1 remains); the grid's
                recommendation unless given, else 0.4.
            guidance: the grid's recommendation unless given, else 30; without effect on a model that has no guidance
                input.
            size: of the result: `"photograph"`, as large as the query's first image, at most one megapixel; or a
                factor of stage 1's sides; the grid's recommendation unless given, else 3.
            height, width: of the result in pixels, in place of `size`; one fixes the other by the aspect ratio.
            max_sequence_length: T5 tokens; by default what the checkpoint was made for.
            generator: in place of a seed.
            progress: whether to show a progress bar.
            on_step: called as `f(done, total, stage)` after each step; steps are counted over both stages.
            sigmas: noise levels from 1 downwards in place of the even ones; for stage 2 too, unless
                `upsampling_steps` is given.
            joint_attention_kwargs: passed to the attention processors; `scale` is the LoRA scale.

        Returns:
            the images, the filled grid, the images of stage 1, seconds, and all settings.

        Raises:
            ValueError: naming the argument or the cell, before any model runs.
        """
        settings, generator = complete(
            self,
            grid,
            generator,
            seed=seed,
            steps=steps,
            upsampling_steps=upsampling_steps,
            strength=strength,
            guidance=guidance,
            size=size,
            height=height,
            width=width,
            max_sequence_length=max_sequence_length,
            sigmas=sigmas,
            joint_attention_kwargs=joint_attention_kwargs,
        )
        validation.check_callable("on_step", on_step)
        progress = validation.flag("progress", progress)
        timer = Timer()
        with running(self), Progress(self, settings, len(grid.targets), progress, on_step) as bar, timed(self, timer):
            output = self(
                image=grid,
                num_inference_steps=settings.steps,
                sigmas=settings.sigmas,
                upsampling_steps=settings.upsampling_steps,
                upsampling_strength=settings.strength,
                guidance_scale=settings.guidance,
                upsampling_width=settings.width,
                upsampling_height=settings.height,
                max_sequence_length=settings.max_sequence_length,
                generator=generator,
                joint_attention_kwargs=joint_attention_kwargs,
                callback_on_step_end=bar.callback,
            )
        return Result(
            images=output.images[0],
            stage1=output.stage1[0],
            grid=grid,
            settings=settings,
            seconds={**timer.seconds, "total": timer.total},
            model=self.name_or_path or type(self).__name__,
            versions=versions(),
        )

    def _size(
        self, grid: Grid, width: int | None, height: int | None, size: float | str | None = None, prefix: str = ""
    ) -> tuple[int, int]:
        """The size of stage 2's images: (width, height) in pixels."""
        return result_size(grid, grid.layout(self.resolution, self.vae_scale_factor), size, width, height, prefix)

    def _check_tokens(
        self, grid: Grid, size: tuple[int, int], steps: int, strength: float, upsampling_steps: int | None = None
    ) -> None:
        layout = grid.layout(self.resolution, self.vae_scale_factor)
        check_tokens(self, layout.sizes[-1], steps, cells=layout.n_cols * grid.n_rows, multiple=layout.multiple)
        if strength > 0:
            steps = upsampling_steps or steps
            warn_about_strength(steps, strength)
            check_tokens(self, size, steps, multiple=layout.multiple)


def versions() -> dict[str, str]:
    """The versions that may change an image."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
    }
