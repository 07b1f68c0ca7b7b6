"""Compare two answers: whether they are equal, how they differ, and an image of both.

Answers may be numbers, texts, arrays, tensors, images, anything that draws itself (`_repr_png_`), and
lists, tuples and dicts of these.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from visualcloze_nb.drawing.contact_sheet import contact_sheet

PANEL = 192  # pixels along a drawn answer's longer side
PLANES = 8  # the most arrays of a stack that are drawn side by side


def alike(expected: Any, yours: Any, tolerance: float = 1e-5) -> bool:
    """Whether two answers are equal up to `tolerance` in every number.

    Args:
        expected, yours: the answers; images count as arrays in 0..1.
        tolerance: largest difference allowed.

    Returns:
        False as well if type, length or shape differ.
    """
    if isinstance(expected, dict) and isinstance(yours, dict):
        same_keys = expected.keys() == yours.keys()
        return same_keys and all(alike(expected[key], yours[key], tolerance) for key in expected)
    if isinstance(expected, (list, tuple)) and isinstance(yours, (list, tuple)):
        same_length = len(expected) == len(yours)
        return same_length and all(alike(a, b, tolerance) for a, b in zip(expected, yours, strict=True))
    a, b = _numbers(expected), _numbers(yours)
    if a is None or b is None:
        return a is b and type(expected) is type(yours) and bool(expected == yours)
    if a.shape != b.shape:
        return False
    with np.errstate(invalid="ignore"):  # equal infinities have no difference
        return bool(np.all((a == b) | (np.abs(a - b) <= tolerance)))


def describe_difference(expected: Any, yours: Any) -> str:
    """Describe how `yours` differs: in type, in size, or how many numbers are off and by how much."""
    a, b = _numbers(expected), _numbers(yours)
    if a is None or b is None:
        if type(expected) is not type(yours):
            return f"expected a {type(expected).__name__}, yours is a {type(yours).__name__}"
        if isinstance(expected, (list, tuple)):
            if len(expected) != len(yours):
                return f"expected {len(expected)} items, yours has {len(yours)}"
            for number, (one, other) in enumerate(zip(expected, yours, strict=True), start=1):
                if not alike(one, other):
                    return f"item {number}: {describe_difference(one, other)}"
        return "not the expected answer"
    if a.shape != b.shape:
        return f"expected the shape {_shape(expected)}, yours is {_shape(yours)}"
    off = np.abs(a - b)
    if off.size == 1:
        return "not the expected number"
    return f"{np.mean(off > 1e-5):.0%} of the values differ, by up to {np.nanmax(off):.2f}"


def side_by_side(expected: Any, yours: Any) -> Image.Image | None:
    """Draw both answers and their absolute difference.

    Returns:
        an RGB image with titles, or None if either cannot be drawn.
    """
    low, high = _range(expected, yours)
    first, second = _image(expected, low, high), _image(yours, low, high)
    if first is None or second is None:
        return None
    panels = {"expected": first, "yours": second}
    a, b = (np.asarray(panel, dtype=np.int16) for panel in panels.values())
    if a.shape == b.shape:
        panels["differs (white)"] = Image.fromarray(np.abs(a - b).clip(0, 255).astype(np.uint8))
    return contact_sheet([list(panels.values())], [list(panels)], font_size=13)


def _numbers(value: Any) -> np.ndarray | None:
    """A number, array, tensor or image as a float64 array; None for anything else."""
    if isinstance(value, Image.Image):
        return np.asarray(value.convert("RGB"), dtype=np.float64) / 255
    if hasattr(value, "detach"):
        value = value.detach().cpu().float().numpy()
    if isinstance(value, (bool, int, float, np.ndarray, np.generic)):
        array = np.asarray(value)
        return array.astype(np.float64) if array.dtype.kind in "biuf" else None
    return None


def _shape(value: Any) -> str:
    if isinstance(value, Image.Image):
        return f"{value.width} x {value.height} pixels"
    shape = np.shape(value)
    return f"({', '.join(map(str, shape))})" if shape else "of a single number"


def _range(*values: Any) -> tuple[float, float]:
    """Smallest and largest number in all answers, so that both are drawn on one scale; at least 0..1."""
    arrays = [a for a in map(_numbers, values) if a is not None and a.size and np.isfinite(a).any()]
    if not arrays:
        return 0.0, 1.0
    low, high = min(np.nanmin(a) for a in arrays), max(np.nanmax(a) for a in arrays)
    return (float(low), float(high)) if low < 0 or high > 1 else (0.0, 1.0)


def _image(value: Any, low: float, high: float) -> Image.Image | None:
    if isinstance(value, Image.Image):
        return _fit(value.convert("RGB"))
    if hasattr(value, "_repr_png_"):
        return _fit(Image.open(io.BytesIO(value._repr_png_())).convert("RGB"))
    if isinstance(value, (list, tuple)) and value:
        return _row([_image(item, low, high) for item in value])
    array = _numbers(value)
    if array is None or array.ndim == 0 or array.size == 0:
        return None
    array = np.nan_to_num((array - low) / ((high - low) or 1))
    if array.ndim == 3 and array.shape[0] == 3:  # colour planes first, as torch has them
        array = np.moveaxis(array, 0, -1)
    if not (array.ndim == 3 and array.shape[-1] == 3):
        planes = array.reshape(-1, *array.shape[-2:]) if array.ndim > 2 else np.atleast_2d(array)[None]
        array = np.hstack(list(planes[:PLANES]))[:1024, :1024]
    return _fit(Image.fromarray((array.clip(0, 1) * 255).astype(np.uint8)).convert("RGB"))


def _fit(image: Image.Image) -> Image.Image:
    scale = PANEL / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX)


def _row(images: list[Image.Image | None]) -> Image.Image | None:
    panels = [image for image in images if image is not None]
    if len(panels) < len(images):
        return None
    return contact_sheet([panels], gap=0)
