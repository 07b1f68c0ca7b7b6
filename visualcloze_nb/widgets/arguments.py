"""What `GridBuilder` accepts: a grid in several forms, a pipeline or its name; anything else is refused at once."""

from __future__ import annotations

import difflib
import os
from typing import Any

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.errors import GridError, UsageError, shorten, shown
from visualcloze_nb.widgets.draft import Draft, blank_draft, draft_of
from visualcloze_nb.widgets.run_estimate import RESOLUTIONS, resolution_of
from visualcloze_nb.widgets.saved_png import open_saved


def opened(grid: Any) -> tuple[Draft, dict[str, Any]]:
    """Make a draft of a grid, of its rows, or of what was saved.

    Args:
        grid: a `Grid`, its rows, the path of a PNG that the builder saved or of a folder of images, or None.

    Returns:
        the draft, and the settings of the run that a PNG keeps.

    Raises:
        GridError: if it is none of these.
        ImageError: if one of the rows' images cannot be used.
        FileError: if there is no such file.
    """
    if grid is None:
        return blank_draft(), {}
    if isinstance(grid, Grid):
        return draft_of(grid), {}
    if isinstance(grid, (list, tuple)):
        return draft_of(Grid(grid)), {}
    if isinstance(grid, (str, os.PathLike)):
        return open_saved(grid)
    if _fills(grid):
        raise GridError("grid is a pipeline: give it second, as in GridBuilder(grid, pipe) or GridBuilder(pipe=pipe)")
    raise GridError(f"grid is {shown(grid)}: give a Grid, its rows, or the path of a saved grid")


def _fills(value: Any) -> bool:
    """Whether this is a pipeline, by what it can do; nothing else is imported for it."""
    try:
        return hasattr(value, "resolution") and hasattr(value, "fill")
    except Exception:  # whatever an object of somebody's own raises
        return False


def checked_pipe(pipe: Any) -> Any:
    """Check that this is a pipeline, or may be the name of one, without loading it.

    Returns:
        the pipeline, or its name as a text.

    Raises:
        UsageError: if it is neither, or a folder whose model_index.json cannot be read.
    """
    names = f"give a pipeline, {', '.join(RESOLUTIONS)}, a folder or a hub id"
    if _fills(pipe):
        return pipe
    if not isinstance(pipe, (str, os.PathLike)) or not isinstance(os.fspath(pipe), str):
        raise UsageError(f"pipe is {shown(pipe)}: {names}")
    name = os.fspath(pipe)
    if name in RESOLUTIONS or (name.strip() and os.path.isdir(os.path.expanduser(name))):
        try:
            resolution = resolution_of(name)
        except (OSError, ValueError, AttributeError):
            resolution = "unreadable"
        if not isinstance(resolution, int | None):
            raise UsageError(f"pipe is {shorten(repr(name))}, whose model_index.json cannot be read: {names}")
        return name
    if name.count("/") == 1 and not name.startswith((".", "/", "~")) and all(name.split("/")):
        return name  # a hub id: whether it exists is known when it is loaded
    near = difflib.get_close_matches(name, RESOLUTIONS, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UsageError(f"pipe is {shorten(repr(name))}, and there is no such folder: {names}.{hint}")
