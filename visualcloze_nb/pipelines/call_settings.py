"""Settings of one call: what is given, else what the grid recommends, else the default; checked and complete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.pipelines import validation
from visualcloze_nb.pipelines.batch_inputs import one_grid
from visualcloze_nb.sampling.sdedit import skipped_steps
from visualcloze_nb.settings import STEPS, STRENGTH, CallSettings


def complete(
    pipe: Any,
    grid: Grid,
    generator: torch.Generator | None,
    *,
    seed: int | None,
    steps: int | None,
    upsampling_steps: int | None,
    strength: float | None,
    guidance: float | None,
    size: float | str | None,
    height: int | None,
    width: int | None,
    max_sequence_length: int | None,
    sigmas: Sequence[float] | None = None,
    joint_attention_kwargs: dict[str, Any] | None = None,
) -> tuple[CallSettings, torch.Generator]:
    """Check the arguments of `fill` or `steps`, before any model runs, and complete them.

    Args:
        pipe: the two-stage pipeline.
        grid: to be filled; its recommended settings take the place of arguments that are not given.
        generator, seed, steps, upsampling_steps, strength, guidance, size, height, width: as for `fill`.
        max_sequence_length, sigmas, joint_attention_kwargs: as for `fill`.

    Returns:
        the settings, and the generator of all noise.

    Raises:
        ValueError: naming the argument or the cell.
    """
    length = pipe._text_length(max_sequence_length)
    recommended = one_grid(grid).recommended
    steps = validation.whole_steps("steps", first_given(steps, recommended.get("steps"), STEPS))
    strength = validation.real("strength", first_given(strength, recommended.get("strength"), STRENGTH), 0, 1)
    scale = pipe._guidance("guidance", first_given(guidance, recommended.get("guidance")))
    levels = validation.check_sigmas(sigmas)
    joint_attention_kwargs = validation.check_attention_kwargs(joint_attention_kwargs)
    if upsampling_steps is None and levels is None:
        upsampling_steps = first_given(recommended.get("upsampling_steps"), steps)
    if upsampling_steps is not None:
        upsampling_steps = validation.whole_steps("upsampling_steps", upsampling_steps)
    if width is None and height is None:
        size = first_given(size, recommended.get("size"))
    large = pipe._size(grid, width, height, size)
    if strength == 0:
        large = grid.layout(pipe.resolution).sizes[-1]
    else:
        skipped_steps(upsampling_steps or len(levels or ()), strength)
    seed, generator = validation.seeded(seed, generator)
    return CallSettings(
        seed=seed,
        steps=steps,
        upsampling_steps=upsampling_steps,
        strength=strength,
        guidance=scale,
        width=large[0],
        height=large[1],
        max_sequence_length=length,
        resolution=pipe.resolution,
        sigmas=None if levels is None else tuple(levels),
        joint_attention_kwargs=joint_attention_kwargs,
    ), generator


def first_given(*values: Any) -> Any:
    """The first value that is not None, or None."""
    return next((value for value in values if value is not None), None)
