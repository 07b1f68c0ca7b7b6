"""Gallery of toy images and example tasks, one or more for every task family of the VisualCloze paper.

The lists need no torch; drawing does, so the toy world is imported by the functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import Image

from visualcloze_nb.errors import UsageError
from visualcloze_nb.settings import TINY_RESOLUTION
from visualcloze_nb.widgets.controls import number
from visualcloze_nb.widgets.draft import Cell, Draft, Origin, draft_of

KINDS = (
    *("image", "edge", "depth", "mask", "normals", "instances"),
    *("subject", "foreground", "background", "style", "styled", "removed"),
    *("grey", "blurred", "pixelated", "noisy", "speckled", "holed", "dark", "faded", "posterised"),
    *("negative", "contours", "flipped", "hue 60", "hue 120", "hue 180", "hue 240", "hue 300", "mix 4", "mix 109"),
    *("turn 1", "turn 2", "turn 3", "shift 2", "shift 10", "light 0", "light 180"),
    *("recolour 3", "replace 2", "move 0", "move 2"),
)
N_SCENES = 10_000  # held-out scenes


@dataclass(frozen=True)
class GalleryTask:
    """An example task that the builder can open.

    Attributes:
        family: the paper's group of tasks.
        title: what the task does.
        task: a path in the toy world's graph.
        targets: 0-based target columns; by default the task's outputs.
    """

    family: str
    title: str
    task: str
    targets: tuple[int, ...] | None = None

    @property
    def label(self) -> str:
        """Family and title, for a list."""
        return f"{self.family}: {self.title}"


GALLERY = (
    GalleryTask("Dense prediction", "depth", "image > depth"),
    GalleryTask("Dense prediction", "edges", "image > edge"),
    GalleryTask("Dense prediction", "class mask", "image > mask"),
    GalleryTask("Dense prediction", "normals", "image > normals"),
    GalleryTask("Dense prediction", "instance mask", "image > instances"),
    GalleryTask("Conditional generation", "image from edges", "edge > image"),
    GalleryTask("Conditional generation", "image from a mask", "mask > image"),
    GalleryTask("Conditional generation", "image from edges and depth", "edge + depth > image"),
    GalleryTask("Conditional generation with a subject", "subject and depth", "subject + depth > image"),
    GalleryTask("Conditional generation with a style", "edges, in a style", "edge + style > styled"),
    GalleryTask(
        "Conditional generation with subject and style", "edges, in a style", "edge + subject + style > styled"
    ),
    GalleryTask("Reference to image", "an image around a subject", "subject > image"),
    GalleryTask("Subject extraction", "the subject alone", "image > subject"),
    GalleryTask("Style transfer", "a reference shows the style", "image + style > styled"),
    GalleryTask("Style transfer", "colours turned by 120 degrees", "image > hue 120"),
    GalleryTask("Style transfer with a condition", "negative, edges given", "image + edge > negative"),
    GalleryTask("Editing, background kept", "remove all shapes", "image > background"),
    GalleryTask("Editing, background kept", "remove the subject", "image > removed"),
    GalleryTask("Editing, background kept", "another colour for the subject", "image > recolour 3"),
    GalleryTask("Editing, background kept", "another shape for the subject", "image > replace 2"),
    GalleryTask("Editing, background kept", "move the subject", "image > move 0"),
    GalleryTask("Relighting", "light from the right", "image > light 0"),
    GalleryTask("Editing with a reference", "put the subject there", "subject + background > image"),
    GalleryTask("Restoration", "pixelated", "pixelated > image"),
    GalleryTask("Restoration", "noise", "noisy > image"),
    GalleryTask("Restoration", "a hole", "holed > image"),
    GalleryTask("Restoration", "grey to colour", "grey > image"),
    GalleryTask("Restoration", "low light", "dark > image"),
    GalleryTask("Restoration", "salt and pepper", "speckled > image"),
    GalleryTask("Restoration with a reference", "pixelated, subject given", "subject + pixelated > image"),
    GalleryTask("Several targets", "depth and edges at once", "image > depth + edge"),
    GalleryTask("Unseen task", "mask to depth", "mask > depth"),
    GalleryTask("Unseen task", "a hue turned by 180 degrees", "image > hue 180"),
    GalleryTask("Unseen task", "grey and mirrored", "image > grey then flipped"),
    GalleryTask("Reverse generation", "back from depth to the image", "image > depth", (0,)),
)


def choices() -> list[tuple[str, GalleryTask]]:
    """Label and task of all, for a list."""
    return [(task.label, task) for task in GALLERY]


def scene_control() -> Any:
    """The control that chooses the query's scene."""
    return number("Scene", 0, 0, N_SCENES - 1)


def about(task: GalleryTask) -> str:
    """Say what a task is, and whether the bundled model was trained on it."""
    return f"{task.label}. The bundled model {'was' if trained_on(task) else 'was not'} trained on this task."


def toy_image(
    kind: str = "image", seed: int = 0, width: int = TINY_RESOLUTION, height: int = TINY_RESOLUTION
) -> Image.Image:
    """Draw one image of the toy world.

    Args:
        kind: a name in `KINDS`, or one of its families with another number.
        seed: of the scene, 0 or more, and of the random numbers in `noisy`, `speckled` and `holed`.
        width, height: in pixels.

    Returns:
        an RGB image, the same on every machine.

    Raises:
        ValueError: if there is no such kind, or the seed is negative.
    """
    import torch

    from visualcloze_nb.toyworld import draw, make_scene, to_image

    if seed < 0:
        raise UsageError(f"seed is {seed}: give 0 or more")
    generator = torch.Generator().manual_seed(seed)
    return to_image(draw(kind, [make_scene(seed)], height, width, generator)[0])


def toy_cell(kind: str, seed: int) -> Cell:
    """Draw a toy image into a cell that knows its own code."""
    image = toy_image(kind, seed)
    setup = ("from visualcloze_nb.widgets import toy_image",)
    origin = Origin(setup, f"toy_image({kind!r}, {seed})")
    return Cell(image, f"toy world, {kind}, scene {seed}", origin, ("toy", seed))


def open_task(task: GalleryTask, seed: int = 0, examples: int = 2) -> Draft:
    """Draw an example task as a draft for a builder.

    Args:
        task: one of `GALLERY`.
        seed: of the scenes, 0 to 9999; all are held out from training.
        examples: rows above the query, 0 to 4.

    Returns:
        a draft with the ground truth kept under its targets.

    Raises:
        ValueError: if the seed or the number of examples is out of range.
    """
    from visualcloze_nb.toyworld import sample

    made = sample(task.task, seed, examples, targets=task.targets)
    call = f"sample({task.task!r}, {seed}, {examples}, targets={made.grid.targets!r})"
    setup = ("from visualcloze_nb.toyworld import sample", f"toy = {call}")
    draft = draft_of(made.grid)
    rows = [
        [
            Cell(cell.image, f"{made.columns[c]}, {cell.note}", Origin(setup, f"toy.grid.rows[{r}][{c}]"), (call, r))
            for c, cell in enumerate(cells)
        ]
        for r, cells in enumerate(draft.rows)
    ]
    for place, (col, truth) in enumerate(zip(made.grid.targets, made.truth, strict=True)):
        note = f"{made.columns[col]}, {truth.width} x {truth.height}"
        rows[-1][col] = Cell(truth, note, Origin(setup, f"toy.truth[{place}]"), (call, len(rows) - 1))
    return Draft(tuple(map(tuple, rows)), draft.targets, draft.names, draft.task, draft.content)


def trained_on(task: GalleryTask) -> bool:
    """Whether the bundled model was trained on exactly this task (imports torch)."""
    from visualcloze_nb.toyworld import Task, is_trained

    return task.targets is None and is_trained(Task.parse(task.task))
