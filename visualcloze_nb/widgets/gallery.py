"""Images and ready tasks of the toy world: every family of tasks in the VisualCloze paper has one here.

The lists need no torch. Only drawing does, so the toy world is imported when an image is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from visualcloze_nb.settings import TINY_RESOLUTION
from visualcloze_nb.widgets.state import Cell, Draft, Origin, draft_of

KINDS = (
    *("image", "edge", "depth", "mask", "normals", "instances"),
    *("subject", "foreground", "background", "style", "styled", "removed"),
    *("grey", "blurred", "pixelated", "noisy", "speckled", "holed", "dark", "faded", "posterised"),
    *("negative", "flipped", "hue 60", "hue 120", "hue 180", "hue 240", "hue 300", "mix 4", "mix 109"),
    *("turn 1", "turn 2", "turn 3", "shift 2", "shift 10", "light 0", "light 180"),
    *("recolour 3", "replace 2", "move 0", "move 2"),
)
MOST_SCENES = 10_000


@dataclass(frozen=True)
class Ready:
    """A task that can be opened.

    Attributes:
        family: as the paper groups its tasks.
        title: what is done.
        task: a path of the toy world's graph.
        targets: 0-based columns to be filled in; by default the task's outputs.
    """

    family: str
    title: str
    task: str
    targets: tuple[int, ...] | None = None

    @property
    def label(self) -> str:
        return f"{self.family}: {self.title}"


GALLERY = (
    Ready("Dense prediction", "depth", "image > depth"),
    Ready("Dense prediction", "edges", "image > edge"),
    Ready("Dense prediction", "class mask", "image > mask"),
    Ready("Dense prediction", "normals", "image > normals"),
    Ready("Dense prediction", "instance mask", "image > instances"),
    Ready("Conditional generation", "image from edges", "edge > image"),
    Ready("Conditional generation", "image from a mask", "mask > image"),
    Ready("Conditional generation", "image from edges and depth", "edge + depth > image"),
    Ready("Conditional generation with a subject", "subject and depth", "subject + depth > image"),
    Ready("Conditional generation with a style", "edges, in a style", "edge + style > styled"),
    Ready("Conditional generation with subject and style", "edges, in a style", "edge + subject + style > styled"),
    Ready("Reference to image", "an image around a subject", "subject > image"),
    Ready("Subject extraction", "the subject alone", "image > subject"),
    Ready("Style transfer", "a reference shows the style", "image + style > styled"),
    Ready("Style transfer", "colours turned by 120 degrees", "image > hue 120"),
    Ready("Style transfer with a condition", "negative, edges given", "image + edge > negative"),
    Ready("Editing, background kept", "take the things away", "image > background"),
    Ready("Editing, background kept", "take the subject away", "image > removed"),
    Ready("Editing, background kept", "another colour for the subject", "image > recolour 3"),
    Ready("Editing, background kept", "another shape for the subject", "image > replace 2"),
    Ready("Editing, background kept", "move the subject", "image > move 0"),
    Ready("Relighting", "light from the right", "image > light 0"),
    Ready("Editing with a reference", "put the subject there", "subject + background > image"),
    Ready("Restoration", "pixelated", "pixelated > image"),
    Ready("Restoration", "noise", "noisy > image"),
    Ready("Restoration", "a hole", "holed > image"),
    Ready("Restoration", "grey to colour", "grey > image"),
    Ready("Restoration", "low light", "dark > image"),
    Ready("Restoration", "salt and pepper", "speckled > image"),
    Ready("Restoration with a reference", "pixelated, subject given", "subject + pixelated > image"),
    Ready("Several targets", "depth and edges at once", "image > depth + edge"),
    Ready("Unseen task", "mask to depth", "mask > depth"),
    Ready("Unseen task", "a hue turned by 180 degrees", "image > hue 180"),
    Ready("Unseen task", "grey and mirrored", "image > grey then flipped"),
    Ready("Reverse generation", "back from depth to the image", "image > depth", (0,)),
)


def toy_image(
    kind: str = "image", seed: int = 0, width: int = TINY_RESOLUTION, height: int = TINY_RESOLUTION
) -> Image.Image:
    """Draw one image of the toy world.

    Args:
        kind: a name of `KINDS`, or one of the families with another number.
        seed: which scene, 0 or more; also of the chance in `noisy`, `speckled` and `holed`.
        width, height: pixels.

    Returns:
        an RGB image, the same on every machine.

    Raises:
        ValueError: no such kind, or a negative seed.
    """
    import torch

    from visualcloze_nb.toyworld import draw, make_scene, to_image

    if seed < 0:
        raise ValueError(f"seed is {seed}: give 0 or more")
    chance = torch.Generator().manual_seed(seed)
    return to_image(draw(kind, [make_scene(seed)], height, width, chance)[0])


def toy_cell(kind: str, seed: int) -> Cell:
    """Make a cell with one image of the toy world, and how to make it again."""
    image = toy_image(kind, seed)
    setup = ("from visualcloze_nb.widgets import toy_image",)
    return Cell(image, f"toy world, {kind}, scene {seed}", Origin(setup, f"toy_image({kind!r}, {seed})"))


def open_ready(ready: Ready, seed: int = 0, examples: int = 2) -> Draft:
    """Make a ready task: a draft to put into a builder.

    Args:
        ready: one of `GALLERY`.
        seed: which scenes, 0 to 9999; no model of this package has been trained on them.
        examples: finished rows above the query, 0 to 4.

    Returns:
        a draft whose targets still hold, out of sight, the images that belong there.

    Raises:
        ValueError: a seed or a number of examples out of range.
    """
    from visualcloze_nb.toyworld import sample

    made = sample(ready.task, seed, examples, targets=ready.targets)
    call = f"sample({ready.task!r}, {seed}, {examples}, targets={made.grid.targets!r})"
    setup = ("from visualcloze_nb.toyworld import sample", f"toy = {call}")
    draft = draft_of(made.grid)
    rows = [
        [
            Cell(cell.image, f"{made.columns[c]}, {cell.note}", Origin(setup, f"toy.grid.rows[{r}][{c}]"))
            for c, cell in enumerate(cells)
        ]
        for r, cells in enumerate(draft.rows)
    ]
    for number, (col, truth) in enumerate(zip(made.grid.targets, made.truth, strict=True)):
        note = f"{made.columns[col]}, {truth.width} x {truth.height}"
        rows[-1][col] = Cell(truth, note, Origin(setup, f"toy.truth[{number}]"))
    return Draft(tuple(map(tuple, rows)), draft.targets, draft.names, draft.task, draft.content)


def practised(ready: Ready) -> bool:
    """Tell whether the bundled model was trained on exactly this task (imports torch)."""
    from visualcloze_nb.toyworld import Task, is_trained

    return ready.targets is None and is_trained(Task.parse(ready.task))
