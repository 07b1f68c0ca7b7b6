"""Degradations of tone and colour: contrast, brightness, low light, saturation, swapped channels.

Each is a pure function of an image (RGB, uint8, shape (H, W, 3)) and, where it draws random numbers, a seed.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from visualcloze_nb.annotate.annotator import Annotator
from visualcloze_nb.annotate.degradations import at_model_size, to_uint8

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def contrast(image: np.ndarray, *, gain: float) -> np.ndarray:
    """Multiply the distance from the image's mean level by `gain`."""
    mean = image.mean()
    return _by_level(mean + gain * (LEVELS - mean), image)


def brightness(image: np.ndarray, *, gamma: float) -> np.ndarray:
    """Raise levels, from 0 to 1, to the power `gamma`: below 1 it brightens, above it darkens; 0 and 1 stay."""
    return _by_level(255 * (LEVELS / 255) ** gamma, image)


def low_light(image: np.ndarray, *, seed: int = 0, light: float = 0.05, photons: float = 5000) -> np.ndarray:
    """A short exposure at night: `light` times the linear light, with the noise of few photons.

    Args:
        image: RGB, uint8, shape (H, W, 3).
        seed: of the noise.
        light: fraction of the linear light that is left.
        photons: mean number that makes a channel of the original white; with fewer there is more noise.
    """

    def expose(small: np.ndarray) -> np.ndarray:
        drawn = np.random.default_rng(seed)
        counted = drawn.poisson((small / 255) ** 2.2 * (light * photons)) + drawn.normal(0, 1, small.shape)
        return to_uint8(np.maximum(counted / photons, 0) ** (1 / 2.2))

    return at_model_size(image, expose)


def saturation(image: np.ndarray, *, factor: float) -> np.ndarray:
    """Multiply the distance of every pixel from the grey of its luma by `factor`."""
    luma = (image @ LUMA)[..., None]
    return to_uint8((luma + factor * (image - luma)) / 255)


def grey(image: np.ndarray) -> np.ndarray:
    """Luma alone (ITU-R BT.601)."""
    return to_uint8(image @ LUMA / 255)


def colour_distortion(image: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Swap channels, or make one of them all black or all white, as the seed says; grey images get the latter."""
    drawn = np.random.default_rng(seed)
    is_grey = bool((image == image[..., :1]).all())
    if drawn.random() < 0.5 and not is_grey:
        orders = [(0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
        return image[..., orders[drawn.integers(5)]]
    result = image.copy()
    result[..., drawn.integers(3)] = 255 * drawn.integers(2)
    return result


LEVELS = np.arange(256)


def _by_level(table: np.ndarray, image: np.ndarray) -> np.ndarray:
    return to_uint8(table / 255)[image]


ANNOTATORS = {
    "contrast-up": Annotator(partial(contrast, gain=2.2)),
    "contrast-down": Annotator(partial(contrast, gain=0.35)),
    "brighten": Annotator(partial(brightness, gamma=0.45)),
    "darken": Annotator(partial(brightness, gamma=2.2)),
    "low-light": Annotator(low_light, needs=("cv2",), seeded=True),
    "saturation-up": Annotator(partial(saturation, factor=3)),
    "saturation-down": Annotator(partial(saturation, factor=0.3)),
    "grey": Annotator(grey),
    "colour-distortion": Annotator(colour_distortion, seeded=True),
}
