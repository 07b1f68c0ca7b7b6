"""Edges of a photograph: thin contours (Canny), and straight line segments."""

from __future__ import annotations

import numpy as np

from visualcloze_nb.annotate.annotator import Annotator


def canny(image: np.ndarray, *, low: int = 100, high: int = 200) -> np.ndarray:
    """Canny edges: white lines, one pixel wide, on black.

    Args:
        image: RGB, uint8, shape (H, W, 3).
        low, high: thresholds of the gradient of an 8-bit image: a line starts where it is over `high` and goes on
            while it is over `low`.

    Returns:
        0 or 255, shape (H, W).
    """
    import cv2

    return cv2.Canny(np.ascontiguousarray(image), low, high)


ANNOTATORS = {"canny": Annotator(canny, needs=("cv2",))}
