"""The size of a target after stage 2: a factor of stage 1's, or as large as the query's photograph."""

from __future__ import annotations

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.images import fit_size
from visualcloze_nb.data.layout import Layout
from visualcloze_nb.settings import PHOTOGRAPH, PHOTOGRAPH_SIDE


def target_size(grid: Grid, layout: Layout, size: float | str) -> tuple[int, int]:
    """The size of a grid's targets after stage 2.

    Args:
        grid: the grid to be filled.
        layout: of stage 1.
        size: `"photograph"`, or a factor of stage 1's sides, above 0.

    Returns:
        `(width, height)` in pixels, in whole tokens.
    """
    if size == PHOTOGRAPH:
        return photograph_size(grid, layout)
    width, height = (nearest(side * float(size), layout.multiple) for side in layout.sizes[-1])
    return width, height


def photograph_size(grid: Grid, layout: Layout) -> tuple[int, int]:
    """The size of the query's first image, at most one megapixel, as in the authors' demo.

    Args:
        grid: the grid to be filled. A query without any image gives one megapixel at its aspect ratio of stage 1.
        layout: of stage 1.

    Returns:
        `(width, height)` in pixels, each rounded down to whole tokens.
    """
    first = next((image for image in grid.query if image is not None), None)
    if first is None:
        return fit_size(*layout.sizes[-1], PHOTOGRAPH_SIDE, layout.multiple)
    if first.width * first.height > PHOTOGRAPH_SIDE**2:
        return fit_size(*first.size, PHOTOGRAPH_SIDE, layout.multiple)
    width, height = (max(side // layout.multiple, 1) * layout.multiple for side in first.size)
    return width, height


def nearest(side: float, multiple: int) -> int:
    """The multiple that is nearest to a number of pixels, at least one."""
    return max(round(side / multiple), 1) * multiple
