"""Degradations of detail: blur, lost resolution, noise, lossy coding. Inputs of restoration tasks.

Each is a pure function of an image (RGB, uint8, shape (H, W, 3)) and, where it draws random numbers, a seed. The model
reads a cell at 384² or 512² pixels, where single pixels of a large photograph would be averaged away. So lengths are
in *units*, pixels of an image of 512 x 512, and what acts on single pixels acts at 512² pixels at most.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image

from visualcloze_nb.annotate.annotator import Annotator

SIDE = 512  # the larger resolution of the released models


def unit(image: np.ndarray) -> float:
    """Pixels of this image to one unit of length."""
    return (image.shape[0] * image.shape[1]) ** 0.5 / SIDE


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Round values from 0 to 1, those outside clipped, to 0 to 255."""
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def at_model_size(
    image: np.ndarray, function: Callable[[np.ndarray], np.ndarray], *, smooth: bool = True
) -> np.ndarray:
    """Apply a function to an image of 512² pixels at most, and enlarge the result to the image's size.

    Args:
        image: uint8, shape (H, W, 3).
        function: from the reduced image to a result of any size.
        smooth: enlarge by bicubic interpolation, else by repeating pixels, which adds no new values.
    """
    import cv2

    height, width = image.shape[:2]
    scale = 1 / max(unit(image), 1)
    small = (max(round(width * scale), 1), max(round(height * scale), 1))
    result = function(cv2.resize(image, small, interpolation=cv2.INTER_AREA))
    return cv2.resize(result, (width, height), interpolation=cv2.INTER_CUBIC if smooth else cv2.INTER_NEAREST)


def motion_blur(image: np.ndarray, *, seed: int = 0, length: float = 24) -> np.ndarray:
    """Blur along a line of random direction, as from a camera that moved: `length` in units."""
    import cv2

    angle = np.random.default_rng(seed).uniform(0, np.pi)
    reach = length * unit(image) / 2
    middle = int(np.ceil(reach)) + 1
    kernel = np.zeros((2 * middle + 1, 2 * middle + 1), np.float32)
    along = np.linspace(-reach, reach, 8 * middle + 1)
    for dx, dy in zip(middle + along * np.cos(angle), middle + along * np.sin(angle), strict=True):
        kernel[round(dy), round(dx)] += 1
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def gaussian_blur(image: np.ndarray, *, sigma: float = 4) -> np.ndarray:
    """Convolve with a Gaussian: `sigma` in units."""
    import cv2

    return cv2.GaussianBlur(image, (0, 0), max(sigma * unit(image), 0.3), borderType=cv2.BORDER_REPLICATE)


def defocus_blur(image: np.ndarray, *, radius: float = 7) -> np.ndarray:
    """Average over a disc in linear light, so that highlights become discs: `radius` in units."""
    import cv2

    size = max(radius * unit(image), 1)
    reach = int(np.ceil(size))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(size + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)  # antialiased rim
    linear = (image / np.float32(255)) ** 2.2
    linear = cv2.filter2D(linear, -1, disc / disc.sum(), borderType=cv2.BORDER_REPLICATE)
    return to_uint8(np.clip(linear, 0, 1) ** (1 / 2.2))


def low_resolution(image: np.ndarray, *, factor: int) -> np.ndarray:
    """Reduce to 1/`factor` of the sides, from 512² pixels at most, and enlarge again (bicubic): super-resolution."""
    import cv2

    def reduce(small: np.ndarray) -> np.ndarray:
        size = (max(small.shape[1] // factor, 1), max(small.shape[0] // factor, 1))
        return cv2.resize(small, size, interpolation=cv2.INTER_AREA)

    return at_model_size(image, reduce)


def pixelate(image: np.ndarray, *, block: float = 12) -> np.ndarray:
    """Average over square blocks: `block` in units, at least 2 pixels."""
    import cv2

    side = max(round(block * unit(image)), 2)
    height, width = image.shape[:2]
    down, across = -(-height // side), -(-width // side)
    padded = np.pad(image, ((0, down * side - height), (0, across * side - width), (0, 0)), "edge")
    means = cv2.resize(padded, (across, down), interpolation=cv2.INTER_AREA)
    return means.repeat(side, 0).repeat(side, 1)[:height, :width]


def mosaic(image: np.ndarray, *, element: float = 2) -> np.ndarray:
    """Bayer mosaic, as a sensor records it: each element of the RGGB pattern keeps one colour. `element` in units."""
    side = max(round(element * unit(image)), 1)
    odd_row = (np.arange(image.shape[0]) // side % 2)[:, None]
    odd_column = (np.arange(image.shape[1]) // side % 2)[None, :]
    channel = odd_row + odd_column  # 0 red, 1 green, 2 blue
    return image * (channel[..., None] == np.arange(3)).astype(np.uint8)


def oversharpen(image: np.ndarray, *, amount: float = 5, sigma: float = 2) -> np.ndarray:
    """Add `amount` times the difference from a Gaussian blur (unsharp masking), `sigma` in units."""
    import cv2

    blurred = cv2.GaussianBlur(image, (0, 0), max(sigma * unit(image), 0.5))
    return cv2.addWeighted(image, 1 + amount, blurred, -amount, 0)


def gaussian_noise(image: np.ndarray, *, seed: int = 0, sigma: float = 40) -> np.ndarray:
    """Add normal noise to every channel: `sigma` in levels of 255."""

    def add(small: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(seed).standard_normal(small.shape, np.float32)
        return to_uint8((small + sigma * noise) / 255)

    return at_model_size(image, add)


def poisson_noise(image: np.ndarray, *, seed: int = 0, peak: float = 16) -> np.ndarray:
    """Photon noise, in a channel at 255 from a mean of `peak` photons: stronger where it is bright."""

    def count(small: np.ndarray) -> np.ndarray:
        return to_uint8(np.random.default_rng(seed).poisson(small * (peak / 255)) / peak)

    return at_model_size(image, count)


def salt_and_pepper(image: np.ndarray, *, seed: int = 0, amount: float = 0.08) -> np.ndarray:
    """Make a fraction `amount` of the pixels white or black, half of them each."""

    def strew(small: np.ndarray) -> np.ndarray:
        drawn = np.random.default_rng(seed).random(small.shape[:2])
        result = small.copy()
        result[drawn < amount] = 0
        result[drawn < amount / 2] = 255
        return result

    return at_model_size(image, strew)


def quantisation(image: np.ndarray, *, levels: int = 5) -> np.ndarray:
    """Round every channel to `levels` evenly spaced values, at least 2."""
    return to_uint8(np.rint(image * ((levels - 1) / 255)) / (levels - 1))


def jpeg(image: np.ndarray, *, quality: int = 7) -> np.ndarray:
    """JPEG at a low `quality` (1 to 95): blocks of 8 x 8 pixels."""
    return at_model_size(image, lambda small: _coded(small, format="JPEG", quality=quality))


def jpeg_2000(image: np.ndarray, *, ratio: float = 150) -> np.ndarray:
    """JPEG 2000 at one byte for `ratio` of the image: smeared detail and ringing, without blocks."""

    def code(small: np.ndarray) -> np.ndarray:
        options = {"format": "JPEG2000", "quality_mode": "rates", "quality_layers": [ratio], "irreversible": True}
        return _coded(small, num_resolutions=min(min(small.shape[:2]).bit_length(), 6), **options)

    return at_model_size(image, code)


def _coded(image: np.ndarray, **options) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, **options)
    return np.asarray(Image.open(file).convert("RGB"))


OPENCV = ("cv2",)
ANNOTATORS = {
    "blur": Annotator(motion_blur, needs=OPENCV, seeded=True),
    "gaussian-blur": Annotator(gaussian_blur, needs=OPENCV),
    "defocus-blur": Annotator(defocus_blur, needs=OPENCV),
    "sr-x2": Annotator(partial(low_resolution, factor=2), needs=OPENCV),
    "sr-x4": Annotator(partial(low_resolution, factor=4), needs=OPENCV),
    "pixelate": Annotator(pixelate, needs=OPENCV),
    "mosaic": Annotator(mosaic),
    "oversharpen": Annotator(oversharpen, needs=OPENCV),
    "gaussian-noise": Annotator(gaussian_noise, needs=OPENCV, seeded=True),
    "poisson-noise": Annotator(poisson_noise, needs=OPENCV, seeded=True),
    "salt-and-pepper": Annotator(salt_and_pepper, needs=OPENCV, seeded=True),
    "compression": Annotator(jpeg_2000, needs=OPENCV),
    "quantisation": Annotator(quantisation),
    "jpeg": Annotator(jpeg, needs=OPENCV),
}
