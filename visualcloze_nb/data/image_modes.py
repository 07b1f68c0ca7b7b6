"""Conversion to 8-bit RGB: every mode that Pillow knows, and arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from visualcloze_nb.errors import ImageError


def flatten(image: Image.Image, notes: list[str]) -> Image.Image:
    """Convert an image of any mode to a new 8-bit RGB image, alpha laid on white; add to `notes` what to warn of."""
    if image.mode.startswith(("I", "F")):
        return _from_wide(image, notes).convert("RGB")
    if image.mode == "LAB":
        raise ImageError("has Lab colours: convert it to RGB first")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        return white
    return image.convert("RGB")  # a copy even where the mode is RGB


def _from_wide(image: Image.Image, notes: list[str]) -> Image.Image:
    """Convert a grey image of 16 or 32 bits, or of floats, to 8 bits."""
    values = np.asarray(image).astype(np.float32)
    low, high = values.min(), values.max()
    if not np.isfinite([low, high]).all():
        raise ImageError("holds values that are not finite numbers: replace them first")
    known = image.mode.startswith("I;16") or image.format == "PPM"
    if known or (image.mode == "I" and low >= 0 and 255 < high <= 65535):
        values = values / 257
    elif image.mode == "F" and low >= 0 and high <= 1:
        values = values * 255
    elif low < 0 or high > 255:
        notes.append(f"holds values from {low:g} to {high:g}: they are stretched to black and white")
        values = (values - low) * (255 / max(high - low, 1e-9))
    return Image.fromarray(np.rint(values).astype(np.uint8))


def from_array(array: Any, where: str, max_pixels: int) -> Image.Image:
    """Convert an array to an RGB image.

    Args:
        array: numpy reads it as (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), with values as `images.to_rgb` says.
        where: name of the image in messages.
        max_pixels: an array with more pixels is refused.

    Raises:
        ImageError: for another shape, type or range of values.
    """
    try:
        array = np.asarray(array)
    except Exception as error:
        raise ImageError(f"{where} cannot be read as an array ({error}): pass a numpy array") from error
    shape = array.shape
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (1, 3, 4)):
        hint = "move the channels last" if array.ndim == 3 and shape[0] in (1, 3, 4) else "give one image"
        raise ImageError(f"{where} is an array of shape {shape}, not (H, W), (H, W, 3) or (H, W, 4): {hint}")
    if array.size == 0:
        raise ImageError(f"{where} is an array of shape {shape}: an image needs at least one pixel")
    if shape[0] * shape[1] > max_pixels:
        raise ImageError(f"{where} has {shape[0] * shape[1] / 1e6:.0f} million pixels: scale it down first")
    if array.dtype == bool:
        array = array * np.uint8(255)
    elif array.dtype == np.uint16:
        array = np.rint(array / 257)
    elif array.dtype.kind not in "uif":
        raise ImageError(f"{where} is an array of {array.dtype}: give uint8, or floats from 0 to 1")
    elif array.dtype.kind == "f":
        if not (np.isfinite(array).all() and array.min() >= -1e-3 and array.max() <= 1 + 1e-3):
            raise ImageError(f"{where} is an array of floats outside 0 to 1: scale it first")
        array = np.rint(np.clip(array, 0, 1) * 255)
    elif array.min() < 0 or array.max() > 255:
        raise ImageError(f"{where} is an array of integers outside 0 to 255: scale it first")
    array = array.astype(np.uint8)
    return flatten(Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array), [])
