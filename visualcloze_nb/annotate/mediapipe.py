"""MediaPipe's networks for people: a person's outline, where people are, and the joints of one. Run in LiteRT.

The wheel of MediaPipe brings the weights; MediaPipe itself is not installed, for it needs numpy below 2.
"""

from __future__ import annotations

import platform
import sys
from importlib.util import find_spec

import numpy as np

from visualcloze_nb.annotate.annotator import INSTALL, Availability
from visualcloze_nb.annotate.weights import Wheel

SEGMENTATION = "selfie_segmentation.tflite"  # (256, 256, 3) from 0 to 1 -> (256, 256, 1): probability of a person
DETECTION = "pose_detection.tflite"  # (224, 224, 3) from -1 to 1 -> (2254, 12): box and 4 points; (2254, 1): score
LANDMARKS = "pose_landmark_full.tflite"  # (256, 256, 3) from 0 to 1 -> (195,): 39 points; (1,): probability; …
WEIGHTS = Wheel(
    "mediapipe",
    "0.10.21",  # the last that brings these files
    "Apache-2.0",
    36,
    {
        f"mediapipe/modules/selfie_segmentation/{SEGMENTATION}": (
            "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c"
        ),
        f"mediapipe/modules/pose_detection/{DETECTION}": (
            "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c"
        ),
        f"mediapipe/modules/pose_landmark/{LANDMARKS}": (
            "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f"
        ),
    },
    ("--platform=manylinux_2_28_x86_64", "--python-version=3.11"),
)


def availability() -> Availability:
    """Whether LiteRT is installed, and the weights are here or may be downloaded."""
    if find_spec("ai_edge_litert"):
        return WEIGHTS.availability()
    if sys.platform == "darwin" and platform.machine() == "x86_64":
        return Availability(False, "needs ai-edge-litert, which does not exist for Macs with an Intel processor")
    return Availability(False, f"needs ai-edge-litert, not installed here: {INSTALL}")


def run(network: str, image: np.ndarray) -> list[np.ndarray]:
    """Run one network on one image.

    Args:
        network: `SEGMENTATION`, `DETECTION` or `LANDMARKS`, which say the shapes and ranges.
        image: RGB, float, of the network's input size.

    Returns:
        Its outputs, float32, without the batch axis.

    Raises:
        ModelError: the weights are not here and cannot be downloaded.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=WEIGHTS.read(network), num_threads=1)  # not to be shared by threads
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None].astype(np.float32))
    interpreter.invoke()
    return [interpreter.get_tensor(output["index"])[0].copy() for output in interpreter.get_output_details()]
