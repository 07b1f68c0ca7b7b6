"""Pictures and ready tasks of the toy world: every family of tasks in the VisualCloze paper has one here.

The lists need no torch. Only drawing does, so the toy world is imported when a picture is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from visualcloze_nb.widgets.state import Cell, Draft, Origin, draft_of

KINDS = (
    *("picture", "edge", "depth", "mask", "normals", "instances"),
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
    Ready("Dense prediction", "depth", "picture > depth"),
    Ready("Dense prediction", "edges", "picture > edge"),
    Ready("Dense prediction", "class mask", "picture > mask"),
    Ready("Dense prediction", "normals", "picture > normals"),
    Ready("Dense prediction", "instance mask", "picture > instances"),
    Ready("Conditional generation", "picture from edges", "edge > picture"),
    Ready("Conditional generation", "picture from a mask", "mask > picture"),
    Ready("Conditional generation", "picture from edges and depth", "edge + depth > picture"),
    Ready("Conditional generation with a subject", "subject and depth", "subject + depth > picture"),
    Ready("Conditional generation with a style", "edges, in a style", "edge + style > styled"),
    Ready("Conditional generation with subject and style", "edges, in a style", "edge + subject + style > styled"),
    Ready("Reference to image", "a picture around a subject", "subject > picture"),
    Ready("Subject extraction", "the subject alone", "picture > subject"),
    Ready("Style transfer", "a reference shows the style", "picture + style > styled"),
    Ready("Style transfer", "colours turned by 120 degrees", "picture > hue 120"),
    Ready("Style transfer with a condition", "negative, edges given", "picture + edge > negative"),
    Ready("Editing, background kept", "take the things away", "picture > background"),
    Ready("Editing, background kept", "take the subject away", "picture > removed"),
    Ready("Editing, background kept", "another colour for the subject", "picture > recolour 3"),
    Ready("Editing, background kept", "another shape for the subject", "picture > replace 2"),
    Ready("Editing, background kept", "move the subject", "picture > move 0"),
    Ready("Relighting", "light from the right", "picture > light 0"),
    Ready("Editing with a reference", "put the subject there", "subject + background > picture"),
    Ready("Restoration", "pixelated", "pixelated > picture"),
    Ready("Restoration", "noise", "noisy > picture"),
    Ready("Restoration", "a hole", "holed > picture"),
    Ready("Restoration", "grey to colour", "grey > picture"),
    Ready("Restoration", "low light", "dark > picture"),
    Ready("Restoration", "salt and pepper", "speckled > picture"),
    Ready("Restoration with a reference", "pixelated, subject given", "subject + pixelated > picture"),
    Ready("Several targets", "depth and edges at once", "picture > depth + edge"),
    Ready("Unseen task", "mask to depth", "mask > depth"),
    Ready("Unseen task", "a hue turned by 180 degrees", "picture > hue 180"),
    Ready("Unseen task", "grey and mirrored", "picture > grey then flipped"),
    Ready("Reverse generation", "back from depth to the picture", "picture > depth", (0,)),
)


def toy_picture(kind: str = "picture", seed: int = 0, width: int = 64, height: int = 64) -> Image.Image:
    """Draw one picture of the toy world.

    Args:
        kind: a name of `KINDS`, or one of the families with another number.
        seed: which scene, 0 or more; also of the chance in `noisy`, `speckled` and `holed`.
        width, height: pixels.

    Returns:
        an RGB picture, the same on every machine.

    Raises:
        ValueError: no such kind, or a negative seed.
    """
    import torch

    from visualcloze_nb.toyworld import draw, make_scene, to_picture

    if seed < 0:
        raise ValueError(f"seed is {seed}: give 0 or more")
    chance = torch.Generator().manual_seed(seed)
    return to_picture(draw(kind, [make_scene(seed)], height, width, chance)[0])


def toy_cell(kind: str, seed: int) -> Cell:
    """Make a cell with one picture of the toy world, and how to make it again."""
    picture = toy_picture(kind, seed)
    setup = ("from visualcloze_nb.widgets import toy_picture",)
    return Cell(picture, f"toy world, {kind}, scene {seed}", Origin(setup, f"toy_picture({kind!r}, {seed})"))


def open_ready(ready: Ready, seed: int = 0, examples: int = 2) -> Draft:
    """Make a ready task: a draft to put into a builder.

    Args:
        ready: one of `GALLERY`.
        seed: which scenes, 0 to 9999; no model of this package has been trained on them.
        examples: finished rows above the query, 0 to 4.

    Returns:
        a draft whose targets still hold, out of sight, the pictures that belong there.

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
            Cell(cell.picture, f"{made.columns[c]}, {cell.note}", Origin(setup, f"toy.grid.rows[{r}][{c}]"))
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
