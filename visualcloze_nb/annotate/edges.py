"""Edges of a photograph: thin contours (Canny), and straight line segments."""

from __future__ import annotations

import numpy as np

from visualcloze_nb.annotate.annotator import Annotator
from visualcloze_nb.annotate.degradations import at_model_size, unit


def canny(image: np.ndarray, *, low: int = 100, high: int = 200) -> np.ndarray:
    """Canny edges: white lines on black, one pixel wide at the size that a model reads.

    Args:
        image: RGB, uint8, shape (H, W, 3); a larger one than 512 x 512 is reduced for this, and the lines enlarged.
        low, high: thresholds of the gradient of an 8-bit image: a line starts where it is over `high` and goes on
            while it is over `low`.

    Returns:
        0 or 255, shape (H, W).
    """
    import cv2

    return at_model_size(image, lambda small: cv2.Canny(small, low, high), smooth=False)


def straight_lines(image: np.ndarray, *, shortest: float = 36, width: float = 1) -> np.ndarray:
    """Straight line segments: white lines on black, as M-LSD draws them.

    Found by LSD (Grompone von Gioi and others, IPOL 2012), which needs no weights; M-LSD is a network trained on rooms
    and buildings, and finds fewer lines in textures.

    Args:
        image: RGB, uint8, shape (H, W, 3).
        shortest: length of the shortest segment that is drawn, in pixels of an image of 512 x 512.
        width: of a line, in the same pixels.

    Returns:
        0 to 255, shape (H, W).
    """
    import cv2

    height, across = image.shape[:2]
    lines = np.zeros((height, across), np.uint8)
    if min(height, across) < 8:  # too small for the detector
        return lines
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scale = max(unit(image), 1)
    small = cv2.resize(grey, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA)
    found = cv2.createLineSegmentDetector().detect(small)[0]
    for x1, y1, x2, y2 in [] if found is None else found.reshape(-1, 4) * scale:
        if np.hypot(x2 - x1, y2 - y1) >= shortest * unit(image):
            ends = (round(x1), round(y1)), (round(x2), round(y2))
            cv2.line(lines, *ends, 255, max(round(width * unit(image)), 1), cv2.LINE_AA)
    return lines


ANNOTATORS = {"canny": Annotator(canny, needs=("cv2",)), "mlsd": Annotator(straight_lines, needs=("cv2",))}
