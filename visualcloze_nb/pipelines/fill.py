"""`pipe.fill(grid)` and `pipe.steps(grid)`: both stages, in one go or laid open step by step."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator

import diffusers
import torch
import transformers

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.result import Result
from visualcloze_nb.pipelines import validation
from visualcloze_nb.pipelines.batch_inputs import one_grid
from visualcloze_nb.pipelines.progress import Clock, Watch, timed
from visualcloze_nb.sampling.flow import Step, euler_sample, schedule
from visualcloze_nb.sampling.latents import decode_targets, prepare
from visualcloze_nb.sampling.sdedit import decode_stage2, prepare_stage2
from visualcloze_nb.sampling.text import encode_text
from visualcloze_nb.settings import STEPS, STRENGTH


class Fills:
    """Mixin for the two-stage pipeline: `fill`."""

    def steps(
        self,
        grid: Grid,
        *,
        seed: int | None = None,
        steps: int = STEPS,
        strength: float = STRENGTH,
        guidance: float | None = None,
        height: int | None = None,
        width: int | None = None,
        max_sequence_length: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Iterator[Step]:
        """Do the same as `fill`, laid open: every step of both stages, with what goes in and comes out.

        The work is done by `text`, `latents`, `flow` and `sdedit`. With the Euler scheduler the images are
        those of `fill`, bit for bit on a CPU in float32. A step can be looked at with `read`.

        Args:
            grid, seed, steps, strength, guidance, height, width, max_sequence_length, generator: as in
                `fill`.

        Returns:
            an iterator over the steps of stage 1, then of stage 2 for each target.

        Raises:
            ValueError: naming the argument or the cell, before any model runs.
        """
        validation.whole("steps", steps)
        validation.real("strength", strength, 0, 1)
        guidance = self._guidance("guidance", guidance)
        length = validation.text_length(max_sequence_length, self.tokenizer_2)
        size = self._size(one_grid(grid), width, height)
        generator = validation.seeded(seed, generator)[1]
        return self._walk(grid, steps, strength, guidance, size, length, generator)

    def _walk(self, grid, steps, strength, guidance, size, length, generator) -> Iterator[Step]:
        config = self.scheduler.config
        with self.text_source_open() as source:
            if source is not None:
                source.fetch()
            text = encode_text(self, grid.prompt, length)
            text_2 = encode_text(self, grid.content or "", length) if strength else None
        where = {"device": self._execution_device, "dtype": self.transformer.dtype}
        ready = prepare(grid, self.vae, self.resolution, generator, **where)
        sigmas = schedule(steps, ready.layout.total, config).to(where["device"])
        inputs = ready.noise, ready.condition, ready.ids, text, sigmas, guidance
        for step in euler_sample(self.transformer, *inputs, layout=ready.layout):
            yield step
        if strength == 0:
            return
        for target, image in enumerate(decode_targets(step.after, self.vae, ready.layout)):
            large = prepare_stage2(image, size, self.vae, config, steps, strength, generator, **where)
            inputs = large.z, large.condition, large.ids, text_2, large.sigmas.to(where["device"]), guidance
            yield from euler_sample(self.transformer, *inputs, layout=large.layout, stage=2, target=target)

    def _watched(self, steps: Iterator[Step], watch: Watch) -> list[Step]:
        kept = []
        for step in steps:
            kept.append(step)
            watch.step(step.stage)
        return kept

    def _images(self, steps: list[Step]) -> tuple[list, list]:
        """Decode the last step of each stage: the final images, and those of stage 1."""
        last = [step for step in steps if step.index == step.total - 1]
        stage1 = self.read(last[0])
        return [image for step in last[1:] for image in self.read(step)] or stage1, stage1

    @torch.no_grad()
    def read(self, step: Step, tokens: torch.Tensor | None = None) -> list:
        """Decode what a step holds.

        Args:
            step: from `steps`.
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
        steps: int = STEPS,
        strength: float = STRENGTH,
        guidance: float | None = None,
        height: int | None = None,
        width: int | None = None,
        max_sequence_length: int | None = None,
        generator: torch.Generator | None = None,
        progress: bool = True,
        on_step: Callable[[int, int, int], None] | None = None,
        sigmas: list[float] | None = None,
        joint_attention_kwargs: dict | None = None,
        trace: bool = False,
    ) -> Result:
        """Fill the empty cells of a grid.

        Args:
            grid: examples and a query with one or more targets.
            seed: of all noise, 0 to 2**64 - 1; a random one, kept in the result, unless given.
            steps: of each stage's schedule.
            strength: of stage 2, from 0 (leave it out: a quick draft) to 1 (nothing of stage 1 remains).
            guidance: 30 unless given; of no effect on a model without guidance input.
            height, width: of the result, pixels; three times stage 1's unless given, and one fixes the other.
            max_sequence_length: tokens of text; by default what the checkpoint was made for.
            generator: in place of a seed.
            progress: whether to show a progress bar.
            on_step: called as `f(done, total, stage)` after each step; steps are counted over both stages.
            sigmas: noise levels from 1 downwards in place of the even ones.
            joint_attention_kwargs: passed to the attention processors; `scale` is the LoRA scale.
            trace: run laid open, as `steps` does, and keep every step in the result.

        Returns:
            the images, the filled grid, what stage 1 gave, seconds, and all settings.

        Raises:
            ValueError: naming the argument or the cell, before any model runs.
        """
        length = validation.text_length(max_sequence_length, self.tokenizer_2)
        validation.whole("steps", steps)
        validation.real("strength", strength, 0, 1)
        validation.check_sigmas(sigmas)
        size = self._size(one_grid(grid), width, height)
        scale = self._guidance("guidance", guidance)
        seed, generator = validation.seeded(seed, generator)
        clock = Clock()
        watch = Watch(self, grid, steps if sigmas is None else len(sigmas), strength, progress, on_step)
        kept = None
        if trace:
            if sigmas is not None or joint_attention_kwargs is not None:
                raise ValueError("trace cannot be had with sigmas or joint_attention_kwargs: leave them out")
            with watch:
                kept = self._watched(self._walk(grid, steps, strength, scale, size, length, generator), watch)
            images, stage1 = self._images(kept)
            clock.lap("both stages")
        else:
            with watch, timed(self, clock):
                output = self(
                    image=grid,
                    num_inference_steps=steps,
                    sigmas=sigmas,
                    upsampling_strength=strength,
                    guidance_scale=scale if self.transformer.config.guidance_embeds else None,
                    upsampling_width=size[0],
                    upsampling_height=size[1],
                    max_sequence_length=length,
                    generator=generator,
                    joint_attention_kwargs=joint_attention_kwargs,
                    callback_on_step_end=watch.callback,
                )
            images, stage1 = output.images[0], output.stage1[0]
        return Result(
            images=images,
            stage1=stage1,
            grid=grid,
            trace=kept,
            seed=seed,
            settings={
                "steps": steps,
                "sigmas": sigmas,
                "strength": strength,
                "guidance": guidance,
                "height": images[0].height,
                "width": images[0].width,
                "max_sequence_length": length,
                "resolution": self.resolution,
                "joint_attention_kwargs": joint_attention_kwargs,
            },
            seconds={**clock.seconds, "total": clock.total},
            model=self.name_or_path or type(self).__name__,
            versions=versions(),
        )


def versions() -> dict[str, str]:
    """Name the versions that may change an image."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
    }
