"""The three examples of diffusers' documentation as grids of free photographs, for lesson 10."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image, ImageFilter, ImageOps

from visualcloze_nb import photos, tasks
from visualcloze_nb.annotate import annotate

# Task, and the kinds of image in the file names, of the two examples whose URLs the docstring leaves out.
OTHER_EXAMPLES = {
    "edgedetection": ("image > hed", "image", "edge"),
    "subjectdriven": ("reference + depth > image", "reference", "depth", "image"),
}


def documented_grids() -> dict[str, tasks.Sample]:
    """The grids of the three documented examples, with free photographs.

    A photograph in a few colours stands for its segments, a blurred Canny map for soft edges, grey values for depth,
    and a part of the photograph for the second one of a subject: the real annotations need networks that are not here.
    """

    def rows(*names: str, **kinds: Callable[[Image.Image], Image.Image]) -> list[dict[str, Image.Image]]:
        shots = [ImageOps.contain(photos.load(name), (320, 320)) for name in names]
        return [{"image": shot, **{kind: make(shot) for kind, make in kinds.items()}} for shot in shots]

    def segments(shot: Image.Image) -> Image.Image:
        return ImageOps.posterize(shot.resize((20, 20)).resize(shot.size, Image.Resampling.NEAREST), 2)

    def soft_edges(shot: Image.Image) -> Image.Image:
        return annotate(shot, "canny").filter(ImageFilter.GaussianBlur(2))

    def part(shot: Image.Image) -> Image.Image:
        return shot.crop((shot.width // 4, shot.height // 4, shot.width, shot.height))

    chosen = {
        "A photograph from a mask": ("sam2 > image", rows("cat", "coffee", sam2=segments)),
        "Soft edges": ("image > hed", rows("coffee", "rocket", "astronaut", hed=soft_edges)),
        "A subject in a new place": (
            "reference + depth > image",
            rows("cat", "coffee", "flower", reference=part, depth=ImageOps.grayscale),
        ),
    }
    return {name: tasks.find(task).examples(found) for name, (task, found) in chosen.items()}
