"""From photographs to the rows of a task: what an annotator makes, what must be given, and the ground truth."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from visualcloze_nb.data import checks
from visualcloze_nb.data.checks import as_list
from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.images import ImageSource, resize_and_crop, to_rgb
from visualcloze_nb.errors import ImageWarning, UsageError, shorten
from visualcloze_nb.tasks.kinds import KINDS

if TYPE_CHECKING:
    from visualcloze_nb.tasks.task import Task

PhotoRow = ImageSource | Mapping[str, ImageSource]


@dataclass(frozen=True)
class Sample:
    """A grid of photographs and its ground truth.

    Attributes:
        task: which task it is.
        grid: examples above, the query below with its targets empty.
        truth: the images that belong in the targets, left to right.
    """

    task: Task
    grid: Grid
    truth: tuple[Image.Image, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The kind of image in each column."""
        return self.task.columns

    @property
    def completed(self) -> Grid:
        """The grid with its targets filled by the truth."""
        return self.grid.completed(self.truth)


def missing_kinds(columns: Sequence[str], given: Sequence[str] = ("image",)) -> dict[str, str]:
    """The kinds that are neither given nor can be made here, and for each what it is or what helps.

    Args:
        columns: kinds of a task.
        given: kinds that need not be made.
    """
    from visualcloze_nb.annotate import kinds

    can, wanted = kinds(), [kind for kind in columns if kind not in given]
    missing = {"image": "a photograph"} if wanted and "image" not in given else {}
    for kind in wanted:
        if KINDS[kind].bring or kind not in can:
            missing.setdefault(kind, KINDS[kind].bring or "no annotator makes it yet")
        elif not can[kind].works:
            missing[kind] = can[kind].note
    return missing


def make_sample(
    task: Task, photos: Sequence[PhotoRow], targets: Sequence[int], seed: int, texts: Mapping[str, Any]
) -> Sample:
    """Annotate photographs to the rows of a task; the last becomes the query.

    Args:
        task: what is to be shown.
        photos: see `Task.examples`.
        targets: 0-based columns of the query to be left empty, sorted.
        seed: of the annotators and the wordings.
        texts: further arguments of `Task.grid`.

    Raises:
        UsageError: there is no photograph, or a kind can neither be made nor is given.
    """
    seed = checks.seed(seed)
    photos = as_list("photos", photos)
    if not photos:
        raise UsageError("there are no photographs: give one for each row, the query's last")
    given = [dict(photo) if isinstance(photo, Mapping) else {"image": photo} for photo in photos]
    for number, row in enumerate(given, start=1):
        _check_row(task, number, row)
    rows = [list(_images(task, row, seed * len(given) + number, number + 1)) for number, row in enumerate(given)]
    *examples, query = rows
    blanked = [None if col in targets else cell for col, cell in enumerate(query)]
    shape = next((cell.size for cell in blanked if cell is not None), query[0].size)  # of the query's cells
    truth = (query[col] for col in targets)
    truth = tuple(image if image.size == shape else resize_and_crop(image, *shape) for image in truth)
    return Sample(task, task.grid([*examples, blanked], seed=seed or None, **texts), truth)


def _check_row(task: Task, number: int, row: Mapping[str, ImageSource]) -> None:
    """Say which kinds a row lacks, or names that are none of the task's."""
    for name in row.keys() - {*task.columns, "image"}:
        raise UsageError(f"row {number}: {task.name} has no {shorten(repr(name))}: give image or {_list(task.columns)}")
    missing = missing_kinds(task.columns, tuple(row))
    if missing:
        kind, why = next(iter(missing.items()))
        others = f"; also missing: {_list(list(missing)[1:])}" if len(missing) > 1 else ""
        example = '{"image": photo}' if kind == "image" else f'{{"image": photo, "{kind}": …}}'
        raise UsageError(f"row {number}: {kind} is missing ({why:.120}){others}. Give it yourself, as in {example}")


def _images(task: Task, row: Mapping[str, ImageSource], seed: int, number: int) -> Iterator[Image.Image]:
    """Make or read the images of one row, in the order of the columns."""
    from visualcloze_nb.annotate import annotate, annotators

    known = annotators()
    images = {kind: to_rgb(image, where=f"row {number}, {kind}") for kind, image in row.items()}
    turned = any(kind in known and known[kind].turns for kind in task.columns)
    if "image" in images and turned:  # the sides would be swapped, and a row has one cell size
        side = min(images["image"].size)
        images["image"] = resize_and_crop(images["image"], side, side)
    for kind in task.columns:
        if kind not in images:
            images[kind] = annotate(images["image"], kind, seed=seed)
            if KINDS[kind].family == "condition" and images[kind].getcolors(1):  # a single colour
                note = "shows nothing of this photograph (a pose needs a person); choose another one"
                warnings.warn(f"row {number}: {kind} {note}", ImageWarning, stacklevel=2)
        yield images[kind]


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
