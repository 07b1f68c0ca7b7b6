"""Argument validation, before any model runs. Each error names the argument and says what to do."""

from __future__ import annotations

import math
import numbers
import secrets
import warnings
from collections.abc import Sequence
from types import NoneType
from typing import Any

import numpy as np
import torch

from visualcloze_nb.data.checks import LARGEST
from visualcloze_nb.errors import UsageError, VisualClozeWarning, shown
from visualcloze_nb.settings import TEXT_TOKENS, TOKEN_PIXELS

MOST_STEPS = 1000  # the training timesteps of FLUX
OUTPUT_TYPES = ("pil", "np", "pt", "latent")


def whole(name: str, value: Any, most: int = 10**6) -> int:
    """A whole number from 1 to `most`; a tensor or an array of one number counts as that number.

    Raises:
        UsageError: naming the argument.
    """
    value = _number(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise UsageError(f"{name} is {shown(value)}: give a whole number, 1 or more")
    if int(value) > most:
        raise UsageError(f"{name} is {shown(value)}: give {most} at most")
    return int(value)


def whole_steps(name: str, value: Any) -> int:
    """A number of steps; more than the noise levels that the model was trained at are of no use."""
    return whole(name, value, MOST_STEPS)


def check_resolution(value: Any) -> int:
    """A pipeline's resolution: pixels along a side of a square cell."""
    value = whole("resolution", value, LARGEST)
    if value % TOKEN_PIXELS:
        raise UsageError(f"resolution is {value}: give a multiple of {TOKEN_PIXELS} pixels, such as 384")
    return value


def images_per_prompt(value: Any) -> int:
    """A number of images for each prompt; None counts as 1, as in diffusers."""
    return 1 if value is None else whole("num_images_per_prompt", value, 1000)


def real(name: str, value: Any, low: float = 0.0, high: float = float("inf")) -> float:
    """A finite number from `low` to `high`; a tensor or an array of one number counts as that number.

    Args:
        name: of the argument.
        value: as given.
        low, high: the range, ends included.

    Raises:
        UsageError: naming the argument.
    """
    value = _number(value)
    try:
        number = float(value) if isinstance(value, numbers.Real) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or not low <= number <= high:
        limits = f"from {low:g} to {high:g}" if high < float("inf") else f"{low:g} or more"
        raise UsageError(f"{name} is {shown(value)}: give a number {limits}")
    return number


def _number(value: Any) -> Any:
    one = isinstance(value, (torch.Tensor, np.ndarray)) and math.prod(value.shape) == 1
    return value.item() if one and not getattr(value, "is_meta", False) else value


def check_sigmas(sigmas: Sequence[float] | None) -> list[float] | None:
    """Noise levels as numbers; refuses those that do not fall from at most 1 to 0 or above. None is allowed.

    Raises:
        UsageError: saying what is wrong.
    """
    if sigmas is None:
        return None
    try:
        levels = [real("sigmas", sigma, 0, 1) for sigma in sigmas]
    except TypeError:
        raise UsageError(f"sigmas is {shown(sigmas)}: give a list of numbers") from None
    falling = all(a > b for a, b in zip(levels, levels[1:], strict=False))
    if not levels or not falling or levels[0] == 0:
        raise UsageError(f"sigmas {shown(levels)} do not fall from at most 1 to 0 or above: sort them")
    return levels


def check_callable(name: str, value: Any) -> None:
    """Refuse what cannot be called; None is allowed.

    Raises:
        UsageError: naming the argument.
    """
    if value is not None and not callable(value):
        raise UsageError(f"{name} is {shown(value)}: give a function, or leave it out")


def check_attention_kwargs(given: Any) -> dict[str, Any] | None:
    """Arguments of the attention processors; refuses what is no dict, and a `scale` that is no number.

    Raises:
        UsageError: saying what is wrong.
    """
    if given is None:
        return None
    if not isinstance(given, dict) or not all(isinstance(key, str) for key in given):
        raise UsageError(f"joint_attention_kwargs is {shown(given)}: give a dict of names and values, or leave it out")
    if given.get("scale") is not None:
        real("joint_attention_kwargs['scale']", given["scale"], -1e6, 1e6)
    if not isinstance(given.get("attention_mask"), (torch.Tensor, NoneType)):
        raise UsageError(f"joint_attention_kwargs['attention_mask'] is {shown(given['attention_mask'])}: give a tensor")
    return given


def flag(name: str, value: Any) -> bool:
    """A value that counts as true or false.

    Raises:
        UsageError: naming the argument.
    """
    try:
        return bool(value)
    except Exception as error:  # an array of several numbers is neither
        raise UsageError(f"{name} is {shown(value)}: give True or False") from error


def check_names(output_type: str, callback_tensors: Sequence[str] | None, known_tensors: Sequence[str]) -> None:
    """Refuse an unknown output type or callback tensor.

    Args:
        output_type: as given.
        callback_tensors: names as given, or None.
        known_tensors: names that the pipeline has.

    Raises:
        UsageError: naming the argument.
    """
    if not isinstance(output_type, str) or output_type not in OUTPUT_TYPES:
        raise UsageError(f"output_type is {shown(output_type)}: give one of {', '.join(OUTPUT_TYPES)}")
    if callback_tensors is None:
        return
    choice = f"choose from {', '.join(known_tensors)}"
    if not isinstance(callback_tensors, (list, tuple)):
        raise UsageError(f"callback_on_step_end_tensor_inputs is {shown(callback_tensors)}: give a list, and {choice}")
    unknown = [name for name in callback_tensors if not isinstance(name, str) or name not in known_tensors]
    if unknown:
        raise UsageError(f"callback_on_step_end_tensor_inputs has {shown(unknown)}: {choice}")


def text_length(max_sequence_length: int | None, tokenizer_2: Any) -> int:
    """The number of T5 tokens that the model reads.

    Args:
        max_sequence_length: as given; None takes what the checkpoint's tokenizer says (64 for the tiny model,
            512 for the full one).
        tokenizer_2: of the T5 encoder.

    Returns:
        1 to 512.

    Raises:
        UsageError: if a given length is out of range.
    """
    if max_sequence_length is None:
        return min(getattr(tokenizer_2, "model_max_length", TEXT_TOKENS), TEXT_TOKENS)
    return whole("max_sequence_length", max_sequence_length, TEXT_TOKENS)


def check_embeds(name: str, embeds: torch.Tensor | None, pooled: torch.Tensor | None, count: int, config: Any) -> None:
    """Refuse embeddings that come without their other half, for another number of samples, or for another model.

    Args:
        name: of the argument, `prompt_embeds` or `upsampling_prompt_embeds`.
        embeds: (count, T, D) or None.
        pooled: (count, P) or None.
        count: samples.
        config: of the transformer, which says how wide both are.

    Raises:
        UsageError: naming the argument.
    """
    pooled_name = name.replace("prompt_embeds", "pooled_prompt_embeds")
    if (embeds is None) != (pooled is None):
        missing = pooled_name if pooled is None else name
        raise UsageError(f"{missing} is missing: give both embeddings of a text, or neither")
    for part, value in ((name, embeds), (pooled_name, pooled)):
        if value is not None and not isinstance(value, torch.Tensor):
            raise UsageError(f"{part} is {shown(value)}: give the tensor that `embed` or `encode_prompt` returns")
    shapes = (count, None, config.joint_attention_dim), (count, config.pooled_projection_dim)
    for part, value, shape in zip((name, pooled_name), (embeds, pooled), shapes, strict=True):
        if value is None:
            continue
        fits = value.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, value.shape, strict=True))
        if not fits or not value.is_floating_point():
            needed = ", ".join("T" if n is None else str(n) for n in shape)
            given = f"{tuple(value.shape)} and {value.dtype}"
            raise UsageError(f"{part} is of shape {given}: give floating-point numbers of shape ({needed})")


def one_generator_each(generator: Any, count: int) -> list[torch.Generator]:
    """One generator for each image.

    Args:
        generator: one for all, which then runs on; a list of `count`; or None for a fresh one.
        count: images.

    Returns:
        `count` generators, the same one over and over if there is one for all.

    Raises:
        UsageError: if the list has another length or holds something else.
    """
    if generator is None:
        generator = torch.Generator("cpu")
        generator.seed()
    if isinstance(generator, torch.Generator):
        return [generator] * count
    if not isinstance(generator, (list, tuple)) or not all(isinstance(g, torch.Generator) for g in generator):
        raise UsageError(f"generator is {shown(generator)}: give a torch.Generator or a list of them")
    if len(generator) != count:
        raise UsageError(f"generator has {len(generator)} generators for {count} images: give one for each")
    return list(generator)


def seeded(seed: int | None, generator: torch.Generator | None) -> tuple[int | None, torch.Generator]:
    """The seed of a call, if it is known, and its generator.

    Args:
        seed: 0 to 2**64 - 1, or None for a random one.
        generator: in place of a seed, or None.

    Returns:
        the seed, None for a given generator; and a generator on the CPU, so that every device gets the same
        noise.

    Raises:
        UsageError: if both are given or the seed is out of range.
    """
    if generator is not None:
        if seed is not None:
            raise UsageError("both seed and generator are given: leave one out")
        return None, one_generator_each(generator, 1)[0]
    if seed is None:
        seed = secrets.randbelow(2**32)
    seed = _number(seed)
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral) or not 0 <= seed < 2**64:
        raise UsageError(f"seed is {shown(seed)}: give a whole number from 0 to 2**64 - 1")
    return int(seed), torch.Generator("cpu").manual_seed(int(seed))


def check_latents(latents: Any, tokens: list[int], channels: int) -> list[torch.Tensor | None]:
    """Split given starting noise into one tensor for each image.

    Args:
        latents: (images, L, channels) packed noise for stage 1, or a list of (L, channels) if the images
            differ in size; or None.
        tokens: L of each image.
        channels: numbers in a token, 64.

    Returns:
        (1, L, channels) for each image, or None.

    Raises:
        UsageError: saying which shape is needed.
    """
    if latents is None:
        return [None] * len(tokens)
    usable = isinstance(latents, (list, tuple, torch.Tensor)) and len(getattr(latents, "shape", "x")) > 0
    if not usable or not all(isinstance(part, torch.Tensor) and part.ndim >= 2 for part in latents):
        raise UsageError(f"latents is {shown(latents)}: give a tensor, or a list of one for each image")
    parts = [part.reshape(1, *part.shape[-2:]) for part in latents] if len(latents) == len(tokens) else []
    if [tuple(part.shape[1:]) for part in parts] != [(length, channels) for length in tokens]:
        given = tuple(latents.shape) if isinstance(latents, torch.Tensor) else f"{len(latents)} tensors"
        wanted = ", ".join(f"({length}, {channels})" for length in tokens)
        raise UsageError(f"latents has shape {given}: stage 1 needs {wanted}, one for each image")
    return parts


def warn_once(owner: Any, message: str) -> None:
    """Warn with `message` the first time it concerns `owner`."""
    warned = owner.__dict__.setdefault("_warned", set())
    if message not in warned:
        warned.add(message)
        warnings.warn(message, VisualClozeWarning, stacklevel=5)  # the line that made the call
