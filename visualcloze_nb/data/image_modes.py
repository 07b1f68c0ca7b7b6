"""Conversion to 8-bit RGB: every mode that Pillow knows, and arrays.

Numbers follow one rule, whether they come from a file, a PIL image or an array: floats from 0 to 1 are black to white,
and so are integers from 0 to 255, and 16-bit integers from 0 to 65535. Whole numbers stored as floats or as wider
integers count as 8 or 16 bits if they reach half of that range. All others are measurements (metres, millimetres):
they are refused, for only the user knows how to scale them. Of an image with all values below 16, a mask of 0 and 1
for example, a warning says so.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from PIL import Image

from visualcloze_nb.data.colour_profiles import to_srgb
from visualcloze_nb.errors import ImageError, ImageWarning, shorten

DARK = 2**15  # half of 16 bits: a camera's 10 to 14 bits end below it, and depth in millimetres or as KITTI has it
BLACK = 16  # of 255: an image whose values all lie below is nearly black to the eye
STRETCH = "(a - a.min()) / np.ptp(a) with a = np.asarray(image, float)"


def flatten(image: Image.Image, notes: list[str]) -> Image.Image:
    """Convert an image of any mode to a new 8-bit RGB image, alpha laid on white; add to `notes` what to warn of."""
    alpha = None
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        clear = image.info.get("transparency")
        clear = clear if isinstance(clear, (int, float)) else None
        seen = values if clear is None else values[values != clear]
        sixteen = image.mode.startswith("I;16") or image.format == "PPM"  # Pillow scales a PGM to 65535
        grey = Image.fromarray(to_bytes(values, seen, sixteen))
        alpha = None if clear is None else Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8))
        grey.info.update(icc_profile=image.info.get("icc_profile"))
        image = grey
    elif image.mode == "LAB":
        raise ImageError("has Lab colours: save it as RGB first")
    elif image.has_transparency_data:
        profile = image.info.get("icc_profile")
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        image.info.update(icc_profile=profile)
    colours = to_srgb(image, notes)
    brightest = max(high for _, high in colours.getextrema())  # pyright: ignore[reportGeneralTypeIssues]  # RGB: 3 pairs
    if 0 < brightest < BLACK:
        notes.append(
            f"is all but black, at most {brightest} of 255, as masks and class maps are: pass a * 255 // a.max() with "
            "a = np.asarray(image, int) if its values are to be seen"
        )
    if alpha is None:
        return colours
    white = Image.new("RGB", image.size, "white")
    white.paste(colours, mask=alpha)
    return white


def to_bytes(values: np.ndarray, seen: np.ndarray | None = None, sixteen: bool = False) -> np.ndarray:
    """Convert numbers to uint8 by the rule of this module.

    Args:
        values: numbers of any shape.
        seen: those of them that are not transparent; by default all.
        sixteen: whether 65535 is white although the type is wider than 16 bits.

    Raises:
        ImageError: if they do not fill their range; the message holds the line that scales them.
    """
    seen = values if seen is None else seen
    low, high = (seen.min(), seen.max()) if seen.size else (0, 0)
    if values.dtype == bool:
        return values * np.uint8(255)
    span = f"(from {low:g} to {high:g})"
    if values.dtype.kind == "f":
        if not np.isfinite([low, high]).all():
            raise ImageError(
                "holds floats that are not finite, outside 0 to 1: replace them, as by a[~np.isfinite(a)] = 0 "
                "with a = np.array(image), and scale the rest to 0 to 1"
            )
        if low >= 0 and DARK / 256 <= high <= 255 and (seen == np.rint(seen)).all():
            return np.clip(np.nan_to_num(values), 0, 255).astype(np.uint8)
        if low < -1e-3 or high > 1 + 1e-3:
            raise ImageError(f"holds floats outside 0 to 1 {span}: pass {STRETCH}, or a / 255 if 255 is white")
        with np.errstate(invalid="ignore"):  # transparent values may be anything
            return np.rint(np.clip(np.nan_to_num(values), 0, 1) * 255).astype(np.uint8)
    if not sixteen and values.dtype != np.uint16 and 0 <= low and high <= 255:
        return np.clip(values, 0, 255).astype(np.uint8)
    if low < 0 or high > 65535 or (high < DARK and not sixteen and values.dtype != np.uint16):
        raise ImageError(f"holds integers outside 0 to 255 {span}: pass {STRETCH}")
    if low < high < DARK:
        raise ImageError(
            f"holds 16-bit integers that are all dark {span}, as measurements are: pass {STRETCH}, "
            "or a / 65535 if it is a dark image"
        )
    return np.rint(np.clip(values, 0, 65535) / np.float32(257)).astype(np.uint8)


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
        raise ImageError(f"{where} cannot be read as an array ({shorten(error)}): pass a numpy array") from error
    shape = array.shape
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (1, 3, 4)):
        hint = "move the channels last" if array.ndim == 3 and shape[0] in (1, 3, 4) else "give one image"
        raise ImageError(f"{where} is an array of shape {shorten(shape)}, not (H, W), (H, W, 3) or (H, W, 4): {hint}")
    if array.size == 0:
        raise ImageError(f"{where} is an array of shape {shape}: an image needs at least one pixel")
    if shape[0] * shape[1] > max_pixels:
        raise ImageError(f"{where} has {shape[0] * shape[1] / 1e6:.0f} million pixels: scale it down first")
    if array.dtype.kind not in "buif":
        kind = shorten(array.dtype)
        raise ImageError(f"{where} is an array of {kind}: give uint8, or floats from 0 to 1")
    try:
        array = to_bytes(array)
    except ImageError as error:
        raise ImageError(f"{where} {error}") from error
    notes: list[str] = []
    image = flatten(Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array), notes)
    for note in notes:
        warnings.warn(f"{where} {note}", ImageWarning, stacklevel=4)
    return image
