"""Argument checks of stage 2 alone, whose images and texts may be anything that diffusers takes."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from visualcloze_nb.data.prompts import check_text
from visualcloze_nb.errors import UsageError, VisualClozeError, shorten, shown

PACKAGE = Path(__file__).parents[1]


def check_prompts(**prompts: Any) -> int:
    """Refuse prompts that are neither a text nor a list of texts; None is allowed.

    Args:
        **prompts: by the argument's name.

    Returns:
        the number of prompts, 1 unless lists are given.

    Raises:
        UsageError: naming the argument.
    """
    counts = set()
    for name, value in prompts.items():
        if value is None:
            continue
        texts = list(value) if isinstance(value, (list, tuple)) else [value]
        if not texts or not all(isinstance(text, str) for text in texts):
            raise UsageError(f"{name} is {shown(value)}: give a text, or a list of texts")
        for text in texts:
            check_text(name, text)
        counts.add(len(texts))
    if len(counts) > 1:
        raise UsageError(f"{' and '.join(prompts)} have different numbers of texts: give one of each for each image")
    return counts.pop() if counts else 1


def check_generator(generator: Any) -> None:
    """Refuse what is neither a generator nor a list of them; None is allowed.

    Raises:
        UsageError: naming the argument.
    """
    one_each = generator if isinstance(generator, (list, tuple)) else [generator]
    if generator is not None and not (one_each and all(isinstance(one, torch.Generator) for one in one_each)):
        raise UsageError(f"generator is {shown(generator)}: give a torch.Generator or a list of them")


def check_tensors(**tensors: Any) -> None:
    """Refuse what is no tensor; None is allowed.

    Args:
        **tensors: by the argument's name.

    Raises:
        UsageError: naming the argument.
    """
    for name, value in tensors.items():
        if value is not None and not isinstance(value, torch.Tensor):
            raise UsageError(f"{name} is {shown(value)}: give a tensor, or leave it out")


@contextmanager
def input_errors(pipe: Any) -> Iterator[None]:
    """Turn what diffusers raises about its inputs, before the first step, into one error of the package.

    Images, masks and latents may be of so many kinds that only diffusers can check them; so whatever fails on them is
    taken for wrong input, with the original error as its cause. What cannot come from them passes unchanged: an error
    raised by a line of this package, one on encoding the texts (they were checked), and a want of memory.

    Args:
        pipe: whose `prepared` says that the steps have begun.

    Raises:
        UsageError: with diffusers' own words.
    """
    pipe.prepared = False
    try:
        yield
    except VisualClozeError:
        raise
    except (ValueError, TypeError, AttributeError, LookupError, RuntimeError) as error:
        if pipe.prepared or isinstance(error, torch.OutOfMemoryError) or _own(error):
            raise
        reason = shorten(error, 180)
        raise UsageError(f"these arguments of stage 2 do not fit together ({reason}): change one of them") from error


def _own(error: Exception) -> bool:
    """Whether an error comes from this package or from encoding the texts."""
    codes = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
    return Path(codes[-1].co_filename).is_relative_to(PACKAGE) or any(code.co_name == "encode_prompt" for code in codes)
