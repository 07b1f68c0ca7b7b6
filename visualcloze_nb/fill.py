"""`pipe.fill(grid)` and `pipe.steps(grid)`: both stages, in one go or laid open step by step."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator

import diffusers
import torch
import transformers

from visualcloze_nb import checks
from visualcloze_nb.flow import Step, schedule, walk
from visualcloze_nb.grid import Grid
from visualcloze_nb.latents import prepare, read_targets
from visualcloze_nb.result import Result
from visualcloze_nb.sdedit import prepare_large, read_large
from visualcloze_nb.shared import GUIDANCE, STEPS, STRENGTH
from visualcloze_nb.text import encode_text
from visualcloze_nb.watch import Clock, Watch, timed


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

        The work is done by `text`, `latents`, `flow` and `sdedit`. With the Euler scheduler the pictures are
        those of `fill`, bit for bit on a CPU in float32. A step can be looked at with `read`.

        Args:
            grid, seed, steps, strength, guidance, height, width, max_sequence_length, generator: as in
                `fill`.

        Returns:
            an iterator over the steps of stage 1, then of stage 2 for each target.

        Raises:
            ValueError: naming the argument or the cell, before any model runs.
        """
        guidance = GUIDANCE if guidance is None else guidance
        checks.check_numbers(num_inference_steps=steps, guidance_scale=guidance, strength=strength)
        length = checks.text_length(max_sequence_length, self.tokenizer_2)
        size = self._size(checks.one_grid(grid), width, height)
        generator = checks.seeded(seed, generator)[1]
        return self._walk(grid, steps, strength, guidance, size, length, generator)

    def _walk(self, grid, steps, strength, guidance, size, length, generator) -> Iterator[Step]:
        config = self.scheduler.config
        with self.text_source_open() as source:
            if source is not None:
                source.fetch()
            text = encode_text(self, grid.prompt, length)
            text_2 = encode_text(self, grid.content or "", length) if strength else None
        ready = prepare(grid, self.vae, self.resolution, generator)
        sigmas = schedule(steps, ready.layout.total, config)
        for step in walk(self.transformer, ready.noise, ready.condition, ready.ids, text, sigmas, guidance):
            step.layout = ready.layout
            yield step
        if strength == 0:
            return
        for target, picture in enumerate(read_targets(step.after, self.vae, ready.layout)):
            large = prepare_large(picture, size, self.vae, config, steps, strength, generator)
            start = large.z, large.condition, large.ids, text_2, large.sigmas, guidance
            for step in walk(self.transformer, *start, stage=2, target=target):
                step.layout = large.layout
                yield step

    @torch.no_grad()
    def read(self, step: Step, tokens: torch.Tensor | None = None) -> list:
        """Decode what a step holds.

        Args:
            step: from `steps`.
            tokens: (1, L, 64), such as `step.guess`; `step.after` unless given.

        Returns:
            in stage 1 a picture for each target, in stage 2 the one picture it works on.
        """
        tokens = step.after if tokens is None else tokens
        if step.stage == 1:
            return read_targets(tokens, self.vae, step.layout)
        return [read_large(tokens, self.vae, step.layout)]

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

        Returns:
            the pictures, the filled grid, what stage 1 gave, seconds, and all settings.

        Raises:
            ValueError: naming the argument or the cell, before any model runs.
        """
        seed, generator = checks.seeded(seed, generator)
        checks.check_numbers(
            num_inference_steps=steps,
            guidance_scale=GUIDANCE if guidance is None else guidance,
            strength=strength,
            sigmas=sigmas,
        )
        count = steps if sigmas is None else len(sigmas)
        clock = Clock()
        watch = Watch(self, checks.one_grid(grid), count, strength, progress, on_step)
        with watch, timed(self, clock):
            output = self(
                image=grid,
                num_inference_steps=steps,
                sigmas=sigmas,
                upsampling_strength=strength,
                guidance_scale=guidance,
                upsampling_height=height,
                upsampling_width=width,
                max_sequence_length=max_sequence_length,
                generator=generator,
                joint_attention_kwargs=joint_attention_kwargs,
                callback_on_step_end=watch.step,
            )
        width, height = output.images[0][0].size
        return Result(
            images=output.images[0],
            stage1=output.stage1[0],
            query=grid,
            seed=seed,
            settings={
                "steps": steps,
                "sigmas": sigmas,
                "strength": strength,
                "guidance": guidance,
                "height": height,
                "width": width,
                "max_sequence_length": checks.text_length(max_sequence_length, self.tokenizer_2),
                "resolution": self.resolution,
                "joint_attention_kwargs": joint_attention_kwargs,
            },
            seconds={**clock.seconds, "total": clock.total},
            model=self.name_or_path or type(self).__name__,
            versions=versions(),
        )


def versions() -> dict[str, str]:
    """Name the versions that may change a picture."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
    }
