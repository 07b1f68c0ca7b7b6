"""Degradations of shape and weather: covered parts, rotation, lens distortion, elastic deformation, rain, frost.

Each is a pure function of an image (RGB, uint8, shape (H, W, 3)) and, where it draws random numbers, a seed. Lengths
are in units, pixels of an image of 512 x 512.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from visualcloze_nb.annotate.annotator import Annotator
from visualcloze_nb.annotate.degradations import unit


def cover(image: np.ndarray, *, seed: int = 0, strokes: int = 7, width: float = 26) -> np.ndarray:
    """Cover parts with free-form strokes for inpainting: white on a dark image, black on a bright one.

    Args:
        image: RGB, uint8, shape (H, W, 3).
        seed: of their places.
        strokes: their number, each of five straight pieces.
        width: of a stroke, in units.
    """
    import cv2

    drawn = np.random.default_rng(seed)
    height, across = image.shape[:2]
    colour = (255,) * 3 if image.mean() < 100 else (0,) * 3
    result = image.copy()
    for _ in range(strokes):
        start = drawn.random((1, 2))
        steps = drawn.normal(0, 0.09, (5, 2)) + drawn.normal(0, 0.06, 2)
        points = np.vstack([start, start + steps.cumsum(0)]) * (across, height)
        cv2.polylines(result, [points.astype(np.int32)], False, colour, max(round(width * unit(image)), 1), cv2.LINE_AA)
    return result


def rotate(image: np.ndarray, *, quarters: int) -> np.ndarray:
    """Turn counter-clockwise by a number of quarter turns."""
    return np.rot90(image, quarters)


def radial(image: np.ndarray, *, k: float) -> np.ndarray:
    """Radial lens distortion: straight lines bend outwards (barrel, k > 0) or inwards (pincushion, k < 0).

    Args:
        image: RGB, uint8, shape (H, W, 3).
        k: a pixel at distance r from the centre, in half diagonals, comes from distance r (1 + k r²): Brown's model
            with one coefficient, scaled so that the middles of the two nearer edges stay. Above -1/3 nothing folds.
            Black where a barrel's pixels come from outside the image.
    """
    import cv2

    y, x = _coordinates(image)
    centre_y, centre_x = (image.shape[0] - 1) / 2, (image.shape[1] - 1) / 2
    dy, dx = y - centre_y, x - centre_x
    half_diagonal = max(np.hypot(centre_x, centre_y), 1)
    scale = 1 + k * (dx**2 + dy**2) / half_diagonal**2
    scale /= 1 + k * (min(centre_x, centre_y) / half_diagonal) ** 2
    return _remap(image, centre_x + dx * scale, centre_y + dy * scale, cv2.BORDER_CONSTANT)


def elastic(image: np.ndarray, *, seed: int = 0, strength: float = 7, spacing: float = 40) -> np.ndarray:
    """Move every pixel by a smooth random field, as if the image were printed on rubber.

    Args:
        image: RGB, uint8, shape (H, W, 3).
        seed: of the field.
        strength: standard deviation of the displacement on the field's grid, in units.
        spacing: of the grid whose values are interpolated (bicubic), in units.
    """
    import cv2

    height, width = image.shape[:2]
    grid = [int(side / (spacing * unit(image))) + 2 for side in (height, width)]
    field = np.random.default_rng(seed).normal(0, strength * unit(image), (*grid, 2)).astype(np.float32)
    moved = cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC)
    y, x = _coordinates(image)
    return _remap(image, x + moved[..., 0], y + moved[..., 1], cv2.BORDER_REPLICATE)


def rain(image: np.ndarray, *, seed: int = 0, drops: int = 900, length: float = 32) -> np.ndarray:
    """Bright, slightly blurred streaks in one direction, under a light haze.

    Args:
        image: RGB, uint8, shape (H, W, 3).
        seed: of places and direction.
        drops: number of streaks.
        length: of the longest ones, in units.
    """
    import cv2

    drawn = np.random.default_rng(seed)
    height, width = image.shape[:2]
    one = unit(image)
    layer = np.zeros((height, width), np.uint8)
    slant = drawn.uniform(-0.35, 0.35)
    starts = drawn.uniform((-0.1, -0.1), (1.1, 1.1), (drops, 2)) * (width, height)
    falls = length * one * drawn.uniform(0.3, 1, drops)
    for (x, y), fall, light in zip(starts, falls, drawn.integers(90, 255, drops), strict=True):
        first, last = np.array([[x, y], [x + slant * fall, y + fall]]).round().astype(int).tolist()
        cv2.line(layer, first, last, int(light), max(round(one), 1), cv2.LINE_AA)
    layer = cv2.GaussianBlur(layer, (0, 0), max(0.6 * one, 0.3), borderType=cv2.BORDER_REPLICATE)[
        ..., None
    ] / np.float32(255)
    hazy = image * np.float32(0.85) + 22
    return np.rint(hazy + (235 - hazy) * layer * 0.85).clip(0, 255).astype(np.uint8)


def frost(image: np.ndarray, *, seed: int = 0, crystals: int = 46, length: float = 170) -> np.ndarray:
    """Ice on a window: feathery crystals that grow from the rim, over a white haze that is thick there.

    Args:
        image: RGB, uint8, shape (H, W, 3).
        seed: of places and directions.
        crystals: number of feathers.
        length: of the longest ones, in units.
    """
    import cv2

    drawn = np.random.default_rng(seed)
    height, width = image.shape[:2]
    one = unit(image)
    layer = np.zeros((height, width), np.uint8)
    for _ in range(crystals):
        along, rim = drawn.random(), drawn.integers(4)
        x, y = [(along, 0), (1, along), (along, 1), (0, along)][rim]
        angle = np.pi / 2 * (1 + rim) + drawn.normal(0, 0.6)
        _feather(layer, (x * width, y * height), angle, length * one * drawn.uniform(0.4, 1), one, depth=2)
    y, x = _coordinates(image)
    edge = np.maximum(abs(2 * x / width - 1), abs(2 * y / height - 1)) ** 2.5  # 0 in the middle, 1 at the rim
    soft = cv2.GaussianBlur(layer, (0, 0), max(5 * one, 0.5))
    ice = 0.2 + 0.35 * edge + (0.75 * layer + 0.5 * soft) / np.float32(255)
    ice = ice.clip(0, 0.95)[..., None].astype(np.float32)
    behind = cv2.GaussianBlur(image, (0, 0), max(1.5 * one, 0.3))
    return np.rint(behind * (1 - ice) + np.array([228, 238, 248], np.float32) * ice).clip(0, 255).astype(np.uint8)


def _feather(layer: np.ndarray, start, angle: float, length: float, one: float, depth: int) -> None:
    """Draw a stem with side branches at 60°, shorter towards its tip, each a smaller feather."""
    import cv2

    tip = (start[0] + length * np.cos(angle), start[1] + length * np.sin(angle))
    first, last = np.array([start, tip]).round().astype(int).tolist()
    cv2.line(layer, first, last, 110 + 60 * depth, max(round(0.6 * depth * one), 1), cv2.LINE_AA)
    step = 7 * one
    if depth and length > 2 * step:
        for done in np.arange(step, length, step):
            root = (start[0] + done * np.cos(angle), start[1] + done * np.sin(angle))
            for side in (-np.pi / 3, np.pi / 3):
                _feather(layer, root, angle + side, 0.4 * (length - done), one, depth - 1)


def _coordinates(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of every pixel, as float32."""
    return np.arange(image.shape[0], dtype=np.float32)[:, None], np.arange(image.shape[1], dtype=np.float32)[None, :]


def _remap(image: np.ndarray, x: np.ndarray, y: np.ndarray, border: int) -> np.ndarray:
    """Sample the image at given columns and rows (bicubic)."""
    import cv2

    return cv2.remap(image, x.astype(np.float32), y.astype(np.float32), cv2.INTER_CUBIC, borderMode=border)


OPENCV = ("cv2",)
ANNOTATORS = {
    "inpainting": Annotator(cover, needs=OPENCV, seeded=True),
    "rotate-90": Annotator(partial(rotate, quarters=1), turns=True),
    "rotate-180": Annotator(partial(rotate, quarters=2)),
    "rotate-270": Annotator(partial(rotate, quarters=3), turns=True),
    "barrel": Annotator(partial(radial, k=0.45), needs=OPENCV),
    "pincushion": Annotator(partial(radial, k=-0.3), needs=OPENCV),
    "elastic": Annotator(elastic, needs=OPENCV, seeded=True),
    "rain": Annotator(rain, needs=OPENCV, seeded=True),
    "frost": Annotator(frost, needs=OPENCV, seeded=True),
}
