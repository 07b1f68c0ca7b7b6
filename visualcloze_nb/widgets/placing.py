"""Where several images go: into which cells, and into how large a grid. Needs no widgets and no torch."""

from __future__ import annotations

from visualcloze_nb.widgets.draft import MAX_SIDE
from visualcloze_nb.widgets.state import BuilderState


def places(state: BuilderState, count: int, at: tuple[int, int] | None = None) -> list[tuple[int, int]]:
    """Choose the cells for images that come at once; a blank grid grows or shrinks to hold them all.

    Args:
        state: of the builder.
        count: number of images.
        at: the cell (row, column from 0) that they were dropped on: one image goes into it, several into it and the
            following. None takes the empty cells.

    Returns:
        cells (row, column from 0) in reading order, without targets; fewer than `count` if they do not fit.
    """
    if count == 1 and at is not None:
        return [at]
    if count > 1 and all(cell.image is None for row in state.draft.rows for cell in row):
        at = None
        shape = shape_for(count)
        if shape != (state.n_rows, state.n_cols) and count != len(state.problems):
            state.resize(*shape)
            for col in range(state.n_cols):
                state.mark(col, col == state.n_cols - 1)
    cells = [(r, c) for r in range(state.n_rows) for c in range(state.n_cols) if not state.is_target(r, c)]
    if at is None:
        return [cell for cell in cells if state.draft.rows[cell[0]][cell[1]].image is None][:count]
    return [cell for cell in cells if cell >= at][:count]


def shape_for(count: int) -> tuple[int, int]:
    """The smallest grid, as square as may be, that holds so many images and a target: its rows and columns."""
    shapes = [(rows, cols) for rows in range(1, MAX_SIDE + 1) for cols in range(2, MAX_SIDE + 1)]
    fitting = [shape for shape in shapes if shape[0] * shape[1] > count] or [(MAX_SIDE, MAX_SIDE)]
    return min(fitting, key=lambda shape: (shape[0] * shape[1], abs(shape[0] - shape[1]), -shape[0]))
