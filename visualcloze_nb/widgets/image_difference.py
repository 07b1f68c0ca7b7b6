"""How far one image is from another."""

from __future__ import annotations

import numpy as np
from PIL import Image

from visualcloze_nb.data.images import resize_and_crop


def difference(one: Image.Image, other: Image.Image) -> tuple[Image.Image, float]:
    """The absolute difference of two images, scaled so that its maximum is white, and its mean in 0 to 255."""
    off = np.abs(np.asarray(one).astype(int) - np.asarray(resize_and_crop(other, *one.size))).astype(float)
    if off.max() == 0:
        return Image.new("RGB", one.size, "black"), 0.0
    return Image.fromarray((off.max(-1) * 255 / off.max()).astype(np.uint8)).convert("RGB"), float(off.mean())
