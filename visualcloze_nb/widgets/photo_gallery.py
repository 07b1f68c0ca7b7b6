"""Gallery of real tasks: the catalogue's, with rows made from bundled photographs, for models that read photographs."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from ipywidgets import Dropdown
from PIL import Image

from visualcloze_nb import photos, tasks
from visualcloze_nb.data.images import resize_and_crop
from visualcloze_nb.errors import ImageError
from visualcloze_nb.widgets.cards import TILE, sheet_of
from visualcloze_nb.widgets.controls import FULL_LABEL
from visualcloze_nb.widgets.draft import Cell, Draft, Origin, draft_of, size_text

FIRST = ("cat", "astronaut", "coffee", "temple", "flower", "rocket")  # objects and people, before textures
GREY = Image.new("RGB", (1, 1), "#8a8a8a")  # a kind that a network makes, or a person
NAMES = (*FIRST, *(name for name in photos.names() if name not in FIRST))


def choices() -> list[tuple[str, tasks.Task]]:
    """Label and task of all that can be made here from photographs alone."""
    return [(f"{task.group.name}: {task.name}", task) for task in tasks.TASKS.values() if not task.missing()]


def scene_control() -> Any:
    """The control that chooses the query's photograph."""
    return Dropdown(options=NAMES, description="Photograph", style=FULL_LABEL, layout={"width": "190px"})


def about(task: tasks.Task) -> str:
    """Say what a task is, and whether the released models were trained on it."""
    seen = f"trained on it ({task.group.trained_on})" if task.group.trained_on else "not trained on it"
    return f"{task.group.name}: {task.name}. The released models were {seen}; the settings are those of its authors."


def open_task(task: tasks.Task, photograph: str, examples: int = 2) -> Draft:
    """Make a draft of a task from bundled photographs.

    Args:
        task: one of `choices`.
        photograph: of the query, one of `NAMES`.
        examples: rows above the query, each of another photograph.

    Returns:
        a draft with the ground truth kept under its targets.

    Raises:
        ImageError: if the packages that bring the photographs are not installed.
        UsageError: if an annotator does not work here.
    """
    others = [name for name in NAMES if name != photograph]
    names = [*others[:examples], photograph]
    sample = task.examples([photos.load(name) for name in names])
    call = f"tasks.find({task.name!r}).examples([photos.load(name) for name in {names!r}])"
    setup = ("from visualcloze_nb import photos, tasks", f"sample = {call}")
    draft = draft_of(sample.grid)
    rows = [
        [_cell(cell.image, task.columns[col], names[r], setup, f"sample.grid.rows[{r}][{col}]") for col, cell in row]
        for r, row in enumerate(map(enumerate, draft.rows))
    ]
    for number, (col, truth) in enumerate(zip(sample.grid.targets, sample.truth, strict=True)):
        rows[-1][col] = _cell(truth, task.columns[col], photograph, setup, f"sample.truth[{number}]")
    wordings = tuple(tasks.KINDS[kind].wordings[0] for kind in task.columns)
    return replace(draft, rows=tuple(map(tuple, rows)), names=wordings, task=sample.grid.task)


@cache
def thumbnails() -> bytes:
    """A sheet of all kinds of image of one photograph; small, and without networks, so that it takes no second."""
    from visualcloze_nb.annotate import annotate, annotators

    try:
        photo = resize_and_crop(photos.load(FIRST[0]), 2 * TILE, 2 * TILE)
    except ImageError:  # the packages that bring photographs are not installed
        return sheet_of(list(tasks.KINDS), lambda kind: GREY)
    made = {kind for kind, annotator in annotators().items() if not annotator.has_weights}
    return sheet_of(
        list(tasks.KINDS),
        lambda kind: annotate(photo, kind) if kind in made else photo if kind == "image" else GREY,
    )


def photo_cell(name: str) -> Cell:
    """A bundled photograph in a cell that knows its own code."""
    image = photos.load(name)
    setup = ("from visualcloze_nb import photos",)
    return Cell(image, f"photograph, {name}", Origin(setup, f"photos.load({name!r})"), ("photo", name))


def _cell(image: Any, kind: str, photograph: str, setup: tuple[str, ...], expression: str) -> Cell:
    note = f"{kind}, {photograph}, {size_text(image)}"
    return Cell(image, note, Origin(setup, expression), ("photo", photograph))
