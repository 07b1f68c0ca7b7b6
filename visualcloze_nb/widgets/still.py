"""The static image of a builder: its grid, complete or not, from the small copies that the browser gets too."""

from __future__ import annotations

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.grid_image import blank
from visualcloze_nb.widgets.cell_text import describe
from visualcloze_nb.widgets.draft import place
from visualcloze_nb.widgets.notebook_output import StaticImage
from visualcloze_nb.widgets.state import BuilderState
from visualcloze_nb.widgets.thumbnails import small


def still(state: BuilderState) -> StaticImage:
    """Draw a builder's grid."""
    cells = [[state.shown(r, c) for c in range(state.n_cols)] for r in range(state.n_rows)]
    rows = [[None if cell.image is None else small(cell).image for cell in row] for row in cells]
    for images in rows:  # a Grid has no empty cells in its examples
        width, height = next((image.size for image in images if image is not None), (64, 64))
        empty = blank(64, max(1, round(64 * height / width)))
        images[:] = [empty if image is None else image for image in images]
    names = state.draft.names if all(state.draft.names) else None
    cell = 128 if state.n_cols <= 3 else 72  # it is stored in the notebook
    image = Grid(rows).image(cell, titles=names, outline=sorted(state.draft.targets))
    texts = [f"{place(r, c)}: {describe(state, r, c).text}" for r in range(state.n_rows) for c in range(state.n_cols)]
    return StaticImage(image, f"Grid builder. {'; '.join(texts)}.")
