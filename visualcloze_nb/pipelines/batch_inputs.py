"""Normalise pipeline inputs to one Grid for each sample of the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.errors import GridError, ImageError


def read_samples(image: Any, task_prompt: Any, content_prompt: Any, *, embedded: bool = False) -> list[Grid]:
    """Convert the documented `image`, `task_prompt` and `content_prompt` to grids, one for each sample.

    Args:
        image: rows of images with None at the targets; or a Grid, whose texts hold where none are given; or
            a list of either (a batch).
        task_prompt: a text; for a batch a list of texts.
        content_prompt: a text or None; for a batch a list of them, or None.
        embedded: True if embeddings are given, so that no text is needed.

    Returns:
        grids that have something to fill in.

    Raises:
        GridError: what is wrong, with the sample's number for a batch.
    """
    if embedded and task_prompt is not None:
        raise GridError("both task_prompt and prompt_embeds are given: leave one out")
    if image is None:
        raise GridError("image is missing: give the rows of the grid, with None at the targets")
    batch = isinstance(image, (list, tuple)) and len(image) > 0 and _is_sample(image[0])
    if not batch:
        for name, value in (("task_prompt", task_prompt), ("content_prompt", content_prompt)):
            if isinstance(value, (list, tuple)):
                raise GridError(f"{name} is a list but image is a single grid: nest image one level deeper")
        return [_sample(image, task_prompt, content_prompt, embedded)]
    tasks = _per_sample("task_prompt", task_prompt, len(image))
    contents = _per_sample("content_prompt", content_prompt, len(image))
    samples = []
    for number, texts in enumerate(zip(image, tasks, contents, strict=True), start=1):
        try:
            samples.append(_sample(*texts, embedded))
        except (GridError, ImageError) as error:
            raise type(error)(f"sample {number}: {error}") from error
    return samples


def one_grid(grid: Any) -> Grid:
    """Return the grid if it is one and has something to fill in.

    Raises:
        GridError: if not.
    """
    if not isinstance(grid, Grid):
        raise GridError(f"grid is a {type(grid).__name__}: make a Grid of the rows first")
    return grid.require_targets()


def _is_sample(item: Any) -> bool:
    """Whether an item is a grid (rows of cells) and not a row (cells)."""
    if isinstance(item, Grid):
        return True
    return isinstance(item, (list, tuple)) and len(item) > 0 and isinstance(item[0], (list, tuple))


def _per_sample(name: str, texts: Any, count: int) -> Sequence[str | None]:
    if texts is None:
        return [None] * count
    if not isinstance(texts, (list, tuple)):
        raise GridError(f"{name} is a single text for a batch of {count}: give a list, one for each sample")
    if len(texts) != count:
        raise GridError(f"{name} has {len(texts)} texts for {count} samples: give one for each")
    return texts


def _sample(rows: Any, task: str | None, content: str | None, embedded: bool) -> Grid:
    if isinstance(rows, Grid):
        given = {"task": task, "content": content}
        grid = rows.replace(**{name: text for name, text in given.items() if text is not None})
    elif task is None and not embedded:
        raise GridError('task_prompt is missing: say what a row does, or "" for nothing')
    else:
        grid = Grid(rows, task="" if task is None else task, content=content)
    return grid.require_targets()
