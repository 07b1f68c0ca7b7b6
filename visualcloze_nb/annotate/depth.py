"""Depth and normals of a photograph.

Depth is predicted by Depth Anything V2 (arXiv 2406.09414), small. Normals are derived from it.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from visualcloze_nb.annotate.annotator import Annotator
from visualcloze_nb.annotate.hub import HubModel

DEPTH = HubModel("DEPTH", "depth-anything/Depth-Anything-V2-Small-hf", "AutoModelForDepthEstimation", 99, "Apache-2.0")
BACKGROUND = 0.1  # nearness below which `normal` calls the surface flat, from 0 to 1
RELIEF = 2.0  # what `normal` takes for the scene's depth, in shorter sides of the photograph


def depth(image: np.ndarray, *, model: str | None = None) -> np.ndarray:
    """Depth map by Depth Anything V2 (small): bright is near; scaled to use the whole range.

    Args:
        image: RGB, uint8, shape (H, W, 3).
        model: a network for relative depth, whose values grow towards the viewer.

    Returns:
        0 to 255, shape (H, W).

    Raises:
        ModelError: the network is not here and cannot be downloaded.
    """
    return np.rint(nearness(image, model) * 255).astype(np.uint8)


def normal(image: np.ndarray, *, model: str | None = None) -> np.ndarray:
    """Normal map, derived from the depth map by Sobel gradients.

    No network predicts these normals. The authors' kind `midas_depth_normal` is derived from depth as well, from that
    of MiDaS; `model="Intel/dpt-hybrid-midas"` takes the same one.

    Args:
        image: RGB, uint8, shape (H, W, 3).
        model: as for `depth`.

    Returns:
        RGB, shape (H, W, 3), as `normals_from_nearness` says.

    Raises:
        ModelError: the network is not here and cannot be downloaded.
    """
    return normals_from_nearness(nearness(image, model))


def nearness(image: np.ndarray, model: str | None = None) -> np.ndarray:
    """Relative inverse depth, from 0 (farthest) to 1 (nearest), float32, shape (H, W); all 0 where it is constant."""
    import torch
    from torch.nn.functional import interpolate

    network = DEPTH.load(model)
    inputs = DEPTH.processor(model)(images=Image.fromarray(image), return_tensors="pt")
    with torch.inference_mode():
        predicted = network(**inputs).predicted_depth[:, None].float()
        values = interpolate(predicted, image.shape[:2], mode="bicubic")[0, 0].numpy()
    span = np.ptp(values)
    return (values - values.min()) / span if span > 0 else np.zeros_like(values)


def normals_from_nearness(values: np.ndarray) -> np.ndarray:
    """Compute a normal map from relative inverse depth, as ControlNet's annotator does for MiDaS.

    Args:
        values: from 0 (farthest) to 1 (nearest), shape (H, W).

    Returns:
        uint8, shape (H, W, 3): red is brighter where the surface comes nearer to the right, green where it comes
        nearer downwards, blue where it faces the viewer; (128, 128, 255) faces the viewer.
    """
    import cv2

    values = np.ascontiguousarray(values, np.float32)
    slope = RELIEF * min(values.shape) / 8  # a 3 x 3 Sobel filter gives 8 times the gradient
    x, y = (cv2.Sobel(values, cv2.CV_32F, *order, ksize=3) * slope for order in ((1, 0), (0, 1)))
    flat = values < BACKGROUND
    normals = np.stack([np.where(flat, 0, x), np.where(flat, 0, y), np.ones_like(values)], -1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return np.rint(normals * 127.5 + 127.5).astype(np.uint8)


ANNOTATORS = {
    "depth": Annotator(depth, check=DEPTH.availability),
    "normal": Annotator(normal, needs=("cv2",), check=DEPTH.availability),
}
