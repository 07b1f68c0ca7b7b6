"""Image fingerprint of 96 characters: fine enough to notice a wrong image, too coarse to notice another CPU.

Tests of notebooks compare printed text and skip images, so an image that is entirely wrong would pass. The lessons
therefore print one line that is the same on every machine as long as the image is right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from visualcloze_nb.data.images import to_rgb
from visualcloze_nb.errors import UsageError

LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"  # base64: six bits each
BRIGHTNESS, COLOUR = 8, 4  # fields along each side
TOLERANCE = 8  # of 255; rounding to six bits takes 2 of them


def signature(shown: Any) -> str:
    """Encode an image by the means of 8 x 8 fields in brightness and 4 x 4 in each colour difference.

    Args:
        shown: an image, anything `to_rgb` reads, or a `Grid`, `Result` or figure (as a notebook shows it).

    Returns:
        the size and 96 characters, `64x64:…`: one character per field, 6 bits each.
    """
    image = _image(shown)
    levels = np.rint(_fields(image) * 63 / 255).astype(int)
    return f"{image.width}x{image.height}:" + bytes(LETTERS[level] for level in levels).decode()


def check_image(shown: Any, expected: str, *, name: str = "image", tolerance: float = TOLERANCE) -> bool:
    """Compare an image with a stored signature and print one line that does not depend on the machine.

    Args:
        shown: as for `signature`.
        expected: what `signature` returned when the image was known to be right.
        name: what the line calls it.
        tolerance: largest difference allowed in the mean of any field, in 0 to 255.

    Returns:
        True, having printed `image ✓ as expected`, or False, having printed `image ✗ differs: …`.

    Raises:
        ValueError: if `expected` is not a signature.
    """
    reason = difference(shown, expected, tolerance)
    print(f"{name} ✗ differs: {reason}" if reason else f"{name} ✓ as expected")
    return not reason


def difference(shown: Any, expected: str, tolerance: float = TOLERANCE) -> str:
    """Describe how an image differs from a stored signature, "" if it does not; arguments as in `check_image`."""
    size, _, letters = expected.partition(":")
    wanted = np.array([LETTERS.find(letter) for letter in letters.encode()])
    if len(wanted) != BRIGHTNESS**2 + 2 * COLOUR**2 or (wanted < 0).any():
        raise UsageError("expected is not a signature: store what signature(image) returns")
    image = _image(shown)
    if size != f"{image.width}x{image.height}":
        return f"it is {image.width} x {image.height} pixels, not {size.replace('x', ' x ')}"
    off = np.abs(_fields(image) - wanted * (255 / 63))
    worst = int(off.argmax())
    if off[worst] <= tolerance:
        return ""
    kind, side, place = "brightness", BRIGHTNESS, worst
    if worst >= BRIGHTNESS**2:
        kind, side, place = "colour", COLOUR, (worst - BRIGHTNESS**2) % COLOUR**2
    row, column = place // side + 1, place % side + 1
    return f"{kind} is off by {off[worst]:.0f} of 255 in row {row}, column {column} of {side} x {side} fields"


def _fields(image: Image.Image) -> np.ndarray:
    """Means of the fields, floats 0 to 255: 64 of brightness, 16 of blueness, 16 of redness."""
    brightness, *colours = image.convert("YCbCr").split()
    sides = [BRIGHTNESS, COLOUR, COLOUR]
    fields = [
        np.asarray(plane.convert("F").resize((side, side), Image.Resampling.BOX)).ravel()
        for plane, side in zip([brightness, *colours], sides, strict=True)
    ]
    return np.concatenate(fields).astype(np.float64)


def _image(shown: Any) -> Image.Image:
    if isinstance(shown, Image.Image) or not hasattr(shown, "_repr_png_"):
        return to_rgb(shown)
    return to_rgb(shown._repr_png_())
