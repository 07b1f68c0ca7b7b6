"""Segments of a photograph: masks of everything (SAM 2, arXiv 2408.00714), and classes of ADE20K (UperNet)."""

from __future__ import annotations

from colorsys import hsv_to_rgb

import numpy as np
from PIL import Image

from visualcloze_nb.annotate.annotator import Annotator
from visualcloze_nb.annotate.hub import HubModel
from visualcloze_nb.errors import UsageError, shorten

SAM2 = HubModel("SAM2", "facebook/sam2.1-hiera-tiny", "Sam2Model", 156, "Apache-2.0")
CLASSES = HubModel("UNIFORMER", "openmmlab/upernet-convnext-small", "AutoModelForSemanticSegmentation", 328, "MIT")

POINTS = 16  # a side of the grid of points that SAM 2 is asked about
BATCH = 64  # points at a time
MIN_IOU = 0.8  # that SAM 2 predicts for a mask; this and the next two as in the authors' mask generator
MIN_STABILITY = 0.95  # intersection over union of a mask cut at logits of 1 and -1
MAX_OVERLAP = 0.7  # intersection over union of two masks' boxes
GOLDEN = 0.618034  # steps of this on the colour circle give colours far apart
# Mean and standard deviation of ImageNet's colours, which SAM 2 expects to be normalised by.
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)

# Colours of ADE20K's 150 classes, in their order: those of the data set's own tools, which UniFormer's maps have.
ADE20K = np.frombuffer(
    bytes.fromhex(
        "787878b4787806e6e650323204c8037878508c8c8ccc05ffe6e6e604fa07e005ffebff0796053d78784608ff33ff06528fff8cccff04"
        "ff3307cc46030066c83de6faff06330b66ffff0747ff09e00907e6dcdcdcff095c7009ff08ffd607ffe0ffb8060aff47ff290a07ffff"
        "e0ff086608ffff3d06ffc207ff7a0800ff14ff0829ff05990633ffeb0cffa0961400a3ff8c8c8cfa0a0f14ff001fff00ff1f00ffe000"
        "99ff000000ffff470000ebff00adff1f00ff0bc8c8ff520000fff5003dff00ff7000ff85ff0000ffa300ff6600c2ff00008fff33ff00"
        "0052ff00ff2900ffad0a00ffadff0000ff99ff5c00ff00ffff00f5ff0066ffad00ff0014ffb8b8001fff00ff3d0047ffff00cc00ffc2"
        "00ff52000aff0070ff3300ff00c2ff007aff00ffa3ff990000ff0aff70008fff005200ffa3ff00ffeb0008b8aa8500ff00ff5cb800ff"
        "ff001f00b8ff00d6ffff00705cff0000e0ff70e0ff46b8a0a300ff9900ff47ff00ff00a3ffcc00ff008f00ffeb85ff00ff00ebf500ff"
        "ff007afff5000abed4d6ff0000ccff1400ffffff000099ff0029ff00ffcc2900ff29ff00ad00ff00f5ff4700ff7a00ff00ffb8005cff"
        "b8ff000085ffffd60019c2c266ff005c00ff"
    ),
    np.uint8,
).reshape(150, 3)


def sam2(image: np.ndarray, *, model: str | None = None) -> np.ndarray:
    """Segments by SAM 2 (2.1, tiny): every mask in a colour of its own, small ones above large ones, on black.

    Args:
        image: RGB, uint8, shape (H, W, 3).
        model: a SAM 2 network.

    Returns:
        RGB, shape (H, W, 3).

    Raises:
        ModelError: the network is not here and cannot be downloaded.
    """
    import cv2

    result = np.zeros_like(image)
    logits = segments(image, model)
    for number in np.argsort([-(mask > 0).sum() for mask in logits], kind="stable"):
        large = cv2.resize(logits[number], image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        result[large > 0] = [round(255 * part) for part in hsv_to_rgb(number * GOLDEN % 1, 0.85, 1)]
    return result


def segments(
    image: np.ndarray, model: str | None = None, *, min_iou: float = MIN_IOU, min_stability: float = MIN_STABILITY
) -> list[np.ndarray]:
    """Find masks by asking SAM 2 about a grid of points, as its authors' automatic mask generator.

    transformers' pipeline for this needs torchvision, which must match the build of torch; this does not.

    Args:
        image: RGB, uint8, shape (H, W, 3).
        model: a SAM 2 network.
        min_iou: intersection over union that the network must predict for a mask, from 0 to 1.
        min_stability: of a mask under another threshold, from 0 to 1.

    Returns:
        Logits of the masks, positive inside, at the network's output size, the surest first.

    Raises:
        ModelError: the network is not here and cannot be downloaded.
    """
    import cv2
    import torch

    network = SAM2.load(model)
    side = network.config.prompt_encoder_config.image_size
    small = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))
    pixels = torch.from_numpy((small / np.float32(255) - MEAN) / DEVIATION).permute(2, 0, 1)[None]
    line = (torch.arange(POINTS) + 0.5) * side / POINTS
    points = torch.cartesian_prod(line, line).flip(1)  # (x, y), row by row
    masks, scores = [], []
    with torch.inference_mode():
        embeddings = network.get_image_embeddings(pixels)
        for batch in points.split(BATCH):
            labels = torch.ones(1, len(batch), 1, dtype=torch.long)
            found = network(input_points=batch[None, :, None], input_labels=labels, image_embeddings=embeddings)
            logits, iou = found.pred_masks[0].flatten(0, 1), found.iou_scores[0].flatten()
            stability = (logits > 1).sum((1, 2)) / (logits > -1).sum((1, 2)).clamp(min=1)
            kept = (iou >= min_iou) & (stability >= min_stability) & (logits > 0).any(2).any(1)
            masks += [mask.numpy() for mask in logits[kept]]
            scores += iou[kept].tolist()
    boxes = [cv2.boundingRect((mask > 0).astype(np.uint8)) for mask in masks]
    order = cv2.dnn.NMSBoxes(boxes, scores, 0.0, MAX_OVERLAP) if boxes else ()
    return [masks[number] for number in np.ravel(order).astype(int)]


def uniformer(image: np.ndarray, *, model: str | None = None) -> np.ndarray:
    """Semantic segmentation by UperNet: a colour for each of ADE20K's 150 classes.

    The authors' maps are by UperNet on UniFormer, which transformers lacks; this is UperNet on ConvNeXt (small),
    trained on the same classes and drawn in the same colours.

    Args:
        image: RGB, uint8, shape (H, W, 3).
        model: a network for semantic segmentation of ADE20K.

    Returns:
        RGB, shape (H, W, 3).

    Raises:
        ModelError: the network is not here and cannot be downloaded.
        UsageError: it has other classes.
    """
    import torch
    from torch.nn.functional import interpolate

    network = CLASSES.load(model)
    if network.config.num_labels != len(ADE20K):
        raise UsageError(
            f"{shorten(CLASSES.place(model))} has {network.config.num_labels} classes: give one for ADE20K's "
            f"{len(ADE20K)}"
        )
    inputs = CLASSES.processor(model)(images=Image.fromarray(image), return_tensors="pt")
    with torch.inference_mode():
        logits = interpolate(network(**inputs).logits.float(), image.shape[:2], mode="bilinear")
    return ADE20K[logits[0].argmax(0).numpy()]


ANNOTATORS = {
    "sam2": Annotator(sam2, needs=("cv2",), check=SAM2.availability),
    "uniformer": Annotator(uniformer, check=CLASSES.availability),
}
