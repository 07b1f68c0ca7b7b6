"""Sizes of stage 2, and whether the model was made for them."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.layout import Layout
from visualcloze_nb.data.target_size import nearest, target_size
from visualcloze_nb.errors import SizeWarning, UsageError, VisualClozeWarning, shown
from visualcloze_nb.pipelines import validation
from visualcloze_nb.sampling.flow import schedule
from visualcloze_nb.settings import PHOTOGRAPH, TOKEN_PIXELS, UPSCALING, stage2_steps

MOST_TIMES = 1000  # a factor of stage 1's sides beyond this is refused by its own name


def result_size(
    grid: Grid,
    layout: Layout,
    size: float | str | None = None,
    width: int | None = None,
    height: int | None = None,
    prefix: str = "",
) -> tuple[int, int]:
    """The size of a grid's targets after stage 2.

    Args:
        grid: the grid to be filled.
        layout: of stage 1.
        size: `"photograph"` or a factor of stage 1's sides, see `target_size`; three times unless given.
        width, height: in place of `size`, see `stage2_size`.
        prefix: of the arguments' names in messages.

    Returns:
        `(width, height)` in pixels.

    Raises:
        UsageError: if `size` is none of these, or given beside a width or height.

    Warns:
        SizeWarning: if a given side had to be changed.
    """
    if size is None:
        return stage2_size(*layout.sizes[-1], width, height, layout.multiple, prefix)
    if width is not None or height is not None:
        raise UsageError(f"both {prefix}size and {prefix}width or {prefix}height are given: leave one out")
    if isinstance(size, str):
        if size != PHOTOGRAPH:
            raise UsageError(f"{prefix}size is {shown(size)}: give {PHOTOGRAPH!r}, or a factor such as {UPSCALING}")
    elif validation.real(f"{prefix}size", size, 0, MOST_TIMES) == 0:
        raise UsageError(f"{prefix}size is 0: give more, or strength=0 for no stage 2")
    return target_size(grid, layout, size)


def stage2_size(
    width: int,
    height: int,
    new_width: int | None = None,
    new_height: int | None = None,
    multiple: int = TOKEN_PIXELS,
    prefix: str = "",
) -> tuple[int, int]:
    """The size of a target after stage 2.

    Args:
        width, height: of the target after stage 1, pixels.
        new_width, new_height: as given, pixels. One of them fixes the other by the aspect ratio; without either,
            both sides are tripled.
        multiple: sides are made multiples of this: a given side is cut down as in diffusers, a derived one
            goes to the nearest.
        prefix: of the arguments' names in messages, `upsampling_` for the two-stage call.

    Returns:
        `(width, height)` in pixels.

    Raises:
        UsageError: if a given side is not a whole number or smaller than `multiple`.

    Warns:
        SizeWarning: if a given side had to be changed.
    """
    given = new_width, new_height = (
        _side(f"{prefix}width", new_width, multiple),
        _side(f"{prefix}height", new_height, multiple),
    )
    if new_height is None:
        if new_width is None:
            return width * UPSCALING, height * UPSCALING
        new_height = nearest(new_width * height / width, multiple)
    elif new_width is None:
        new_width = nearest(new_height * width / height, multiple)
    new_width, new_height = (side // multiple * multiple for side in (new_width, new_height))
    if any(side is not None and side % multiple for side in given):
        message = f"stage 2 makes {new_width} x {new_height}: sides are multiples of {multiple}"
        warnings.warn(message, SizeWarning, stacklevel=2)
    return new_width, new_height


def _side(name: str, side: Any, smallest: int) -> int | None:
    if side is None:
        return None
    side = validation.whole(name, side)
    if side < smallest:
        raise UsageError(f"{name} is {side}: the smallest side is {smallest}")
    return side


def check_tokens(pipe: Any, size: tuple[int, int], steps: int, *, cells: int = 1, multiple: int = TOKEN_PIXELS) -> None:
    """Refuse a size whose noise levels do not fall, and warn about one that the model was not made for.

    FLUX's shift is linear in the number of tokens. Far beyond the range that the schedule was made for, all steps but
    the last stay at full noise; still further the levels overflow.

    Args:
        pipe: whose scheduler and resolution count.
        size: (width, height) of an image or of a cell, pixels.
        steps: of the schedule.
        cells: number of cells, 1 in stage 2.
        multiple: pixels along one side of a token.

    Raises:
        UsageError: naming the largest size that works.

    Warns:
        SizeWarning: the same, where the result will be poor.
    """
    config: Any = pipe.scheduler.config
    if not config.get("use_dynamic_shifting") or config.get("time_shift_type", "exponential") != "exponential":
        return
    width, height = size
    tokens = cells * (width // multiple) * (height // multiple)
    resolution = pipe.made_for or getattr(pipe, "resolution", 0)  # stage 2 alone may know neither
    side = resolution * UPSCALING // multiple
    most = max(config.get("max_image_seq_len", 4096), side**2)
    scale = math.sqrt(most / tokens)
    largest = [max(int(edge * scale / multiple), 1) * multiple for edge in size]
    advice = f"the largest that works is {largest[0]} x {largest[1]}"
    try:
        with np.errstate(all="ignore"):
            levels = schedule(steps, tokens, config)
        usable = bool((levels[1:] < levels[:-1]).all())
    except OverflowError:
        usable = False
    if not usable:
        raise UsageError(f"{width} x {height} ({tokens} tokens) is beyond the model's noise schedule: {advice}")
    if tokens > most and cells == 1 and resolution:
        message = f"{width} x {height} ({tokens} tokens) is more than the model was made for, expect noise: {advice}"
        warnings.warn(message, SizeWarning, stacklevel=3)


def warn_about_strength(steps: int, strength: float) -> None:
    """Warn if so few steps make stage 2 change at least twice as much as its strength says.

    Args:
        steps: of the schedule; stage 2 starts at one of them.
        strength: above 0, up to 1.

    Warns:
        VisualClozeWarning: with the steps that would be needed.
    """
    share = stage2_steps(steps, strength) / steps
    if share >= 2 * strength:
        needed = math.ceil(1 / strength)
        advice = f"give {needed} steps or more" if needed <= validation.MOST_STEPS else "give a larger one, or 0"
        message = (
            f"strength {strength:g} of {steps} steps acts like {share:.2g}: stage 2 takes at least one whole step; "
            f"{advice}"
        )
        warnings.warn(message, VisualClozeWarning, stacklevel=3)


def warn_about_resolution(resolution: int, made_for: int | None) -> None:
    """Warn if a pipeline is loaded with another resolution than its checkpoint was made for.

    Args:
        resolution: of the pipeline.
        made_for: the checkpoint's own, or None if it does not say.

    Warns:
        SizeWarning: naming both.
    """
    if made_for not in (None, resolution):
        times = (resolution / made_for) ** 2
        cost = f", and a step takes at least {times:.0f} times as long" if times > 1 else ""
        message = (
            f"this checkpoint was made for resolution={made_for}: with {resolution} it makes noise or artefacts{cost}; "
            "leave resolution out"
        )
        warnings.warn(message, SizeWarning, stacklevel=3)
