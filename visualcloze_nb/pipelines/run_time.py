"""Expected seconds of a whole call, from the time of its first transformer step."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from visualcloze_nb.errors import LongRunWarning

LONG = 60.0  # seconds; a shorter call needs no word

Run = tuple[int, int]  # of one pass through a schedule: steps, and tokens of image and text together


def step_cost(tokens: int, width: int) -> float:
    """Relative cost of a transformer step.

    A block's linear layers take about 24 width² operations per token, its attention 4 width tokens.

    Args:
        tokens: of image and text together.
        width: of the transformer, numbers per token.
    """
    return tokens * (1 + tokens / (6 * width))


def expected_seconds(first: float, runs: Sequence[Run], width: int) -> float:
    """Estimate the transformer's seconds over a whole call.

    Args:
        first: seconds of the first step of the first run.
        runs: all passes through a schedule, in order.
        width: of the transformer.
    """
    return first * sum(steps * step_cost(tokens, width) for steps, tokens in runs) / step_cost(runs[0][1], width)


def warn_if_long(pipe: Any, first: float, runs: Sequence[Run]) -> None:
    """Warn if a call will take more than a minute.

    Args:
        pipe: whose transformer runs.
        first: seconds of its first step.
        runs: all passes through a schedule, in order.

    Warns:
        LongRunWarning: with the expected time.
    """
    config = pipe.transformer.config
    seconds = expected_seconds(first, runs, config.num_attention_heads * config.attention_head_dim)
    if seconds > LONG:
        message = (
            f"the first step took {first:.1f} s, so the whole call takes about {duration(seconds)} (an estimate; less "
            "if the first step was slow to start). Fewer steps, a smaller size or no stage 2 take less"
        )
        warnings.warn(message, LongRunWarning, stacklevel=2)


def duration(seconds: float) -> str:
    """Write a time in seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
