"""The person or object in a photograph: as a mask, alone, and the photograph without it.

The mask is MediaPipe's selfie segmentation, made for people within about two metres of the camera. The foreground is
the person; if there is nobody, what GrabCut (Rother et al., SIGGRAPH 2004) separates from the border by colour. That
works for one object on a plain ground. The authors' kinds, too, show one part on a solid colour, the other masked.
"""

from __future__ import annotations

import numpy as np

from visualcloze_nb.annotate import mediapipe
from visualcloze_nb.annotate.annotator import Annotator, Availability
from visualcloze_nb.annotate.pose import find_poses

SIDE = 256  # pixels of the network's input, and of the longer side of what GrabCut sees
BLUR = 1.0  # pixels of that input: smooths the outline
BORDER = 0.06  # of each side: what GrabCut takes for background
ITERATIONS = 5  # of GrabCut
SMALLEST_PART = 0.05  # of the largest part's area


def person(image: np.ndarray) -> np.ndarray:
    """Person mask: white where a person is, black elsewhere; all black if `find_poses` finds nobody.

    Args:
        image: RGB, uint8, shape (H, W, 3).

    Returns:
        0 or 255, shape (H, W).

    Raises:
        ModelError: the weights are not here and cannot be downloaded.
    """
    import cv2

    if not find_poses(image):  # the network for masks finds somebody in every photograph
        return np.zeros(image.shape[:2], np.uint8)
    small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    (probability,) = mediapipe.run(mediapipe.SEGMENTATION, small / 255)
    return _cut(probability, image.shape[:2])


def mask(image: np.ndarray) -> np.ndarray:
    """Mask of the foreground: the person, or else what stands out from the border, white on black.

    Args:
        image: RGB, uint8, shape (H, W, 3).

    Returns:
        0 or 255, shape (H, W).

    Raises:
        ModelError: the weights are not here and cannot be downloaded.
    """
    found = person(image)
    return found if found.any() else grab_cut(image)


def foreground(image: np.ndarray) -> np.ndarray:
    """Foreground: the person, or else what stands out from the border, on black.

    Args:
        image: RGB, uint8, shape (H, W, 3).

    Returns:
        RGB, shape (H, W, 3).

    Raises:
        ModelError: the weights are not here and cannot be downloaded.
    """
    return np.where(mask(image)[..., None] > 0, image, np.uint8(0))


def background(image: np.ndarray) -> np.ndarray:
    """Background: the photograph, black where `mask` is white.

    Args:
        image: RGB, uint8, shape (H, W, 3).

    Returns:
        RGB, shape (H, W, 3).

    Raises:
        ModelError: the weights are not here and cannot be downloaded.
    """
    return np.where(mask(image)[..., None] > 0, np.uint8(0), image)


def grab_cut(image: np.ndarray) -> np.ndarray:
    """Mask of what differs in colour from the photograph's border, by GrabCut.

    Args:
        image: RGB, uint8, shape (H, W, 3).

    Returns:
        0 or 255, shape (H, W); all 0 if nothing differs.
    """
    import cv2

    scale = min(1.0, SIDE / max(image.shape[:2]))
    width, height = (round(side * scale) for side in image.shape[1::-1])
    left, top = round(width * BORDER), round(height * BORDER)
    nothing = np.zeros(image.shape[:2], np.uint8)
    if not left or not top:  # too small for a border
        return nothing
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    labels, box = np.zeros((height, width), np.uint8), (left, top, width - 2 * left, height - 2 * top)
    cv2.setRNGSeed(0)  # of its k-means
    cv2.grabCut(small, labels, box, np.zeros((1, 65)), np.zeros((1, 65)), ITERATIONS, cv2.GC_INIT_WITH_RECT)
    return _cut(np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32), image.shape[:2])


def _cut(probability: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Enlarge a map of probabilities, cut it at one half, and drop small parts."""
    import cv2

    smooth = cv2.GaussianBlur(probability, (0, 0), BLUR)
    inside = (cv2.resize(smooth, size[::-1], interpolation=cv2.INTER_LINEAR) > 0.5).astype(np.uint8)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(inside)
    areas = statistics[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0  # the background
    return np.where((areas >= SMALLEST_PART * areas.max())[labels] & (inside > 0), 255, 0).astype(np.uint8)


def availability() -> Availability:
    """Whether masks work here, and for which photographs."""
    works, note = mediapipe.availability()
    limit = "made for people; without one, for a single object on a plain ground, else give the mask yourself"
    return Availability(works, "; ".join(filter(None, (limit, note))) if works else note)


ANNOTATORS = {
    kind: Annotator(function, needs=("cv2", "platformdirs"), check=availability)
    for kind, function in {"mask": mask, "foreground": foreground, "background": background}.items()
}
