"""Image metrics by classical image processing: edges, classes, foreground, colours.

Images are `(B, 3, H, W)` in 0..1; every measure gives one number an image, `(B,)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F

from visualcloze_nb.toyworld import Scene, draw
from visualcloze_nb.toyworld.render import CLASS_COLOURS
from visualcloze_nb.toyworld.scenes import COLOURS

GRADIENT = 0.09  # a step of colour of that much a pixel is an edge
STANDS_OUT = 0.11  # colours that far from the ground's are not ground
NEAR = 0.385  # between the nearest ground (0.32) and the farthest object (0.45) of a depth map


def psnr(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Peak signal-to-noise ratio in dB; 80 where there is no difference to speak of."""
    return -10 * torch.log10((a - b).square().mean((1, 2, 3)).clamp(min=1e-8))


def lines(drawing: torch.Tensor) -> torch.Tensor:
    """The lines of an edge drawing, `(B, H, W)` bool."""
    return drawing.mean(1) > 0.5


def edges(images: torch.Tensor) -> torch.Tensor:
    """Where the colour changes fast, `(B, H, W)` bool: gradient magnitude over all three channels."""
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    return (across.square() + down.square()).sum(1).sqrt() > GRADIENT


def f1(found: torch.Tensor, true: torch.Tensor, reach: int = 1) -> torch.Tensor:
    """F1 of two sets of pixels `(B, H, W)`: a pixel counts if one of the others is at most `reach` away."""

    def grown(mask):
        return F.max_pool2d(mask.float()[:, None], 2 * reach + 1, 1, reach)[:, 0] > 0

    precision = (found & grown(true)).sum((1, 2)) / found.sum((1, 2)).clamp(min=1)
    recall = (true & grown(found)).sum((1, 2)) / true.sum((1, 2)).clamp(min=1)
    return 2 * precision * recall / (precision + recall).clamp(min=1e-6)


def iou(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Intersection over union of two sets of pixels `(B, H, W)`; 1 if both are empty."""
    either = (found | true).sum((1, 2))
    return torch.where(either > 0, (found & true).sum((1, 2)) / either.clamp(min=1), 1.0)


def nearest(images: torch.Tensor, palette) -> torch.Tensor:
    """The number of the nearest colour of `palette` (n, 3) for each pixel, `(B, H, W)`."""
    colours = torch.as_tensor(palette, dtype=images.dtype)[None, :, :, None, None]
    return (images[:, None] - colours).square().sum(2).argmin(1)


def classes(mask: torch.Tensor) -> torch.Tensor:
    """The class of each pixel of a class mask, 0 for none, by nearest class colour: `(B, H, W)`."""
    return nearest(mask, [(0.0, 0.0, 0.0), *CLASS_COLOURS.values()])


def miou(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Mean over the classes in `true` of the intersection over union."""
    means = []
    for one, other in zip(found, true, strict=True):
        means.append(torch.stack([iou((one == c)[None], (other == c)[None])[0] for c in other.unique()]).mean())
    return torch.stack(means)


def ground(images: torch.Tensor) -> torch.Tensor:
    """The ground as a colour that changes linearly over the image, fitted so that objects do not count.

    First to the image's frame, which is mostly ground; then to all pixels, those that do not fit counting
    less and less (iteratively reweighted least squares).
    """
    b, _, height, width = images.shape
    v, u = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    basis = torch.stack([torch.ones_like(u), u, v], dim=-1).reshape(-1, 3).double()  # (HW, 3)
    colours = images.flatten(2).transpose(1, 2).double()  # (B, HW, 3)
    weight = ((u.abs() > 0.8) | (v.abs() > 0.8)).double().reshape(1, -1).expand(b, -1)
    for scale in (0.3, 0.2, 0.1, 0.1, 0.07, 0.07, 0.05, 0.05, 0.05):
        weighted = basis * weight[..., None]
        fit = torch.linalg.solve(weighted.mT @ basis + 1e-6 * torch.eye(3), weighted.mT @ colours)
        distance = (colours - basis @ fit).square().sum(-1).sqrt()
        weight = 1 / (1 + (distance / scale) ** 2) ** 2
    return (basis @ fit).transpose(1, 2).reshape(b, 3, height, width).to(images.dtype)


def foreground(images: torch.Tensor) -> torch.Tensor:
    """What differs from the ground, `(B, H, W)` bool."""
    return (images - ground(images)).square().sum(1).sqrt() > STANDS_OUT


def region(kind: str, images: torch.Tensor) -> torch.Tensor:
    """Where objects are, read from an image, depth map or class mask, `(B, H, W)` bool."""
    if kind == "depth":
        return images.mean(1) > NEAR
    if kind == "mask":
        return classes(images) > 0
    return foreground(images)


def agreement(kind: str, images: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
    """How well images agree with a condition: it is recovered from them, and compared.

    Edges: F1 of where colour changes fast against the lines. Depth and mask: IoU of what differs from the
    ground against where the condition has objects.
    """
    if kind == "edge":
        return f1(edges(images), lines(condition))
    return iou(foreground(images), region(kind, condition))


def consistency(kinds: Sequence[str], images: Sequence[torch.Tensor]) -> torch.Tensor:
    """How well two images of one scene agree: IoU of their objects, or F1 of the lines with an edge drawing."""
    if "edge" in kinds:
        at = list(kinds).index("edge")
        return f1(edges(images[1 - at]), lines(images[at]))
    return iou(region(kinds[0], images[0]), region(kinds[1], images[1]))


def alone(scene: Scene, side: int, **changes) -> torch.Tensor:
    """The subject of a scene alone, as it is or changed: where it is, `(H, W)` in 0..1."""
    subject = replace(scene.subject, **changes)
    shown = draw("mask", [replace(scene, objects=(subject,))], side, side)[0]
    return shown.amax(0) / max(CLASS_COLOURS[subject.shape])


def _visible(scene: Scene, side: int, number: int) -> torch.Tensor:
    """Where object `number` (from the nearest, 0) is seen, a pixel inside its outline, `(H, W)` bool."""
    kept = replace(scene, objects=scene.objects[len(scene.objects) - 1 - number :])
    mine = alone(replace(kept, objects=kept.objects[:1]), side) > 0.99
    for other in kept.objects[1:]:
        mine &= alone(replace(kept, objects=(other,)), side) < 0.01
    shrunk = -F.max_pool2d(-mine.float()[None, None], 3, 1, 1)[0, 0] > 0
    return shrunk if shrunk.any() else mine


# What an object of each colour looks like on average: plain, striped (half paler), lit.
LOOKS = [
    (name, torch.tensor(colour) + 0.55 * paler * (1 - torch.tensor(colour)))
    for name, colour in COLOURS.items()
    for paler in (0, 0.5)
]


def colours_found(images: torch.Tensor, scenes: Sequence[Scene], number: int = 0) -> list[str | None]:
    """The colour name nearest to the mean colour of one object; None where it is not visible.

    Args:
        number: which object, 0 the nearest.
    """
    found = []
    for image, scene in zip(images, scenes, strict=True):
        where = _visible(scene, image.shape[-1], number) if number < len(scene.objects) else torch.tensor(False)
        if not where.any():
            found.append(None)
            continue
        mean = image[:, where].mean(1)
        found.append(min(LOOKS, key=lambda look: float((0.88 * look[1] - mean).square().sum()))[0])
    return found


def shapes_found(images: torch.Tensor, scenes: Sequence[Scene]) -> list[str]:
    """The shape that what stands out at the subject's place fits best, by IoU with all six in its size and turn."""
    found = []
    for there, scene in zip(foreground(images), scenes, strict=True):
        side = there.shape[-1]
        shapes = {name: alone(scene, side, shape=name) > 0.5 for name in CLASS_COLOURS}
        near = F.max_pool2d(torch.stack([*shapes.values()]).any(0).float()[None, None], 5, 1, 2)[0, 0] > 0
        for other in scene.objects[:-1]:
            near &= (alone(replace(scene, objects=(other,)), side) < 0.01) | (alone(scene, side) > 0.5)
        scores = {name: float(iou((there & near)[None], (shape & near)[None])[0]) for name, shape in shapes.items()}
        found.append(max(scores, key=lambda name: scores[name]))
    return found
