"""Pose of the people in a photograph: a skeleton in OpenPose's colours on black.

Two networks of MediaPipe (BlazePose, arXiv 2006.10204): the first finds people in the whole photograph, and for each
the centre of the hips and the circle around the body; the second reads 33 joints from an upright crop of that circle.
The constants are those of its graphs `pose_detection_cpu`, `pose_detection_to_roi` and `pose_landmark_by_roi_cpu`.
The joints are drawn as OpenPose draws the 18 of COCO (arXiv 1812.08008): limb i and joint i in the hue i / 18.
"""

from __future__ import annotations

from colorsys import hsv_to_rgb

import numpy as np

from visualcloze_nb.annotate import mediapipe
from visualcloze_nb.annotate.annotator import Annotator

DETECTOR_SIDE, LANDMARK_SIDE = 224, 256  # pixels of the networks' inputs
ANCHORS = ((28, 2), (14, 2), (7, 6))  # cells a side, and anchors in each cell
MIN_SCORE = 0.5  # of a detected person, and of a pose in the crop
MIN_VISIBILITY = 0.5  # of a joint that is drawn
MAX_OVERLAP = 0.3  # intersection over union of two people's boxes
MARGIN = 1.25  # of the crop, around the circle that the detector gives

# OpenPose's joints in BlazePose's numbering; the neck is the middle of the shoulders.
NOSE, NECK = 0, (11, 12)
JOINTS = (NOSE, NECK, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7)
NAMES = (
    "nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist",
    "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle", "right eye", "left eye",
    "right ear", "left ear",
)  # fmt: skip
LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 0),
    (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
LIMB_BRIGHTNESS = 0.6
WIDTH = 4 / 512  # half the width of a limb, and a joint's radius, of the photograph's shorter side


def pose(image: np.ndarray) -> np.ndarray:
    """Pose: an OpenPose skeleton of every person, on black; all black if there is nobody.

    Args:
        image: RGB, uint8, shape (H, W, 3).

    Returns:
        RGB, shape (H, W, 3).

    Raises:
        ModelError: the weights are not here and cannot be downloaded.
    """
    return draw_skeletons(find_poses(image), image.shape[0], image.shape[1])


def find_poses(image: np.ndarray) -> list[np.ndarray]:
    """Find the joints of every person.

    Args:
        image: RGB, uint8, shape (H, W, 3).

    Returns:
        For each person an array of shape (18, 2): x and y in pixels of the joints `NAMES`; NaN where one is hidden or
        outside the image.
    """
    found = (read_joints(image, *circle) for circle in find_people(image))
    return [joints for joints in found if joints is not None]


def find_people(image: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Find people, the surest first.

    Args:
        image: RGB, uint8, shape (H, W, 3).

    Returns:
        For each the centre of the hips and the point of the circle around the body that is above the head, as (x, y)
        in pixels, also outside the image.
    """
    import cv2

    height, width = image.shape[:2]
    scale = DETECTOR_SIDE / max(height, width)
    small = cv2.resize(
        image, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA
    )
    top, left = (DETECTOR_SIDE - small.shape[0]) // 2, (DETECTOR_SIDE - small.shape[1]) // 2
    square = np.zeros((DETECTOR_SIDE, DETECTOR_SIDE, 3), np.uint8)
    square[top : top + small.shape[0], left : left + small.shape[1]] = small

    boxes, scores = mediapipe.run(mediapipe.DETECTION, square / 127.5 - 1)
    scores = _sigmoid(scores[:, 0])
    points = boxes.reshape(-1, 6, 2)  # centre and size of the face's box, then four points of the body
    points[:, [0, 2, 3, 4, 5]] += _anchors()[:, None] * DETECTOR_SIDE
    faces = [[*(box[0] - box[1] / 2).tolist(), *box[1].tolist()] for box in points]
    kept = cv2.dnn.NMSBoxes(faces, scores.tolist(), MIN_SCORE, MAX_OVERLAP)
    circles = (points[number, 2:4] - (left, top) for number in np.ravel(kept).astype(int))
    return [(circle[0] / scale, circle[1] / scale) for circle in circles]


def read_joints(image: np.ndarray, centre: np.ndarray, above: np.ndarray) -> np.ndarray | None:
    """Read the joints of one person, as `find_poses` returns them, or None if the crop shows no person.

    Args:
        image: RGB, uint8, shape (H, W, 3).
        centre: of the hips, (x, y) in pixels.
        above: the point of the circle around the body that is above the head, (x, y) in pixels.
    """
    import cv2

    up = (above - centre) * (2 * MARGIN / LANDMARK_SIDE)  # of one pixel of the crop, in pixels of the image
    if not np.hypot(*up):
        return None
    turn = np.array([[-up[1], -up[0]], [up[0], -up[1]]])  # the crop's axes (right, down) as columns
    shift = centre - turn @ np.full(2, LANDMARK_SIDE / 2)
    crop = cv2.warpAffine(
        image,
        np.column_stack([turn, shift]),
        (LANDMARK_SIDE, LANDMARK_SIDE),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    points, probability, *_ = mediapipe.run(mediapipe.LANDMARKS, crop / 255)
    if probability[0] < MIN_SCORE:
        return None
    points = points.reshape(39, 5)  # x, y, z, visibility, presence
    places = points[:, :2] @ turn.T + shift
    seen = _sigmoid(points[:, 3]) >= MIN_VISIBILITY
    seen &= ((places >= 0) & (places < image.shape[1::-1])).all(1)
    places[~seen] = np.nan
    return np.stack([places[list(joint)].mean(0) if isinstance(joint, tuple) else places[joint] for joint in JOINTS])


def draw_skeletons(people: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """Draw skeletons in OpenPose's colours on black.

    Args:
        people: joints of each, shape (18, 2), x and y in pixels; NaN where there is none.
        height, width: of the image in pixels.

    Returns:
        RGB, uint8, shape (height, width, 3).
    """
    import cv2

    image = np.zeros((height, width, 3), np.uint8)
    radius = max(1, round(WIDTH * min(height, width)))
    colours = [tuple(round(255 * part) for part in hsv_to_rgb(i / len(JOINTS), 1, 1)) for i in range(len(JOINTS))]
    for joints in people:
        for (start, end), colour in zip(LIMBS, colours, strict=False):
            if np.isfinite(joints[[start, end]]).all():
                middle, way = joints[[start, end]].mean(0), joints[end] - joints[start]
                box = (
                    middle.tolist(),
                    (float(np.hypot(*way)), 2.0 * radius),
                    float(np.degrees(np.arctan2(*way[::-1]))),
                )
                cv2.ellipse(image, box, [LIMB_BRIGHTNESS * part for part in colour], -1, cv2.LINE_AA)
    for joints in people:
        for joint, colour in zip(joints, colours, strict=True):
            if np.isfinite(joint).all():
                cv2.circle(image, [round(part) for part in joint.tolist()], radius, colour, -1, cv2.LINE_AA)
    return image


def _anchors() -> np.ndarray:
    """Centres of the detector's anchors, (2254, 2), x and y from 0 to 1, layer by layer and row by row."""
    layers = []
    for side, count in ANCHORS:
        y, x = np.mgrid[:side, :side]
        layers.append(np.repeat((np.stack([x, y], -1).reshape(-1, 2) + 0.5) / side, count, axis=0))
    return np.concatenate(layers)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x.astype(float), -100, 100)))


ANNOTATORS = {"openpose": Annotator(pose, needs=("cv2", "platformdirs"), check=mediapipe.availability)}
