"""A grid as Python: what `builder.code()` prints, and what makes an equal grid when it is run.

Images of the toy world are made again from their seeds. Others are written out as PNG, in the code itself
or as files beside it.
"""

from __future__ import annotations

import base64
import os
import textwrap
from pathlib import Path

from visualcloze_nb.data.grid_image import png_bytes
from visualcloze_nb.widgets.state import BuilderState

WIDTH = 100  # letters in a line of a written-out image


def code(state: BuilderState, folder: str | os.PathLike | None = None) -> str:
    """Write the Python that makes the grid of a builder.

    Args:
        state: a builder's state; it must be a grid.
        folder: where to save images as PNG files, made if it is missing. By default they are written into
            the code, as base64.

    Returns:
        Python that leaves an equal `Grid` in the variable `grid`.

    Raises:
        GridError: if the state is not a grid yet; the message names the cell.
    """
    grid = state.grid
    imports, setup, named, rows = {"from visualcloze_nb import Grid": None}, {}, {}, []
    for r, cells in enumerate(state.draft.rows):
        row = []
        for c, cell in enumerate(cells):
            if state.is_target(r, c):
                row.append("None")
            elif cell.origin is not None:
                for line in cell.origin.setup:
                    (imports if line.startswith(("import ", "from ")) else setup)[line] = None
                row.append(cell.origin.expression)
            else:
                name = f"image_{r + 1}_{c + 1}"
                if folder is None:
                    imports["import base64"] = None
                    named[name] = _written_out(grid.rows[r][c])
                else:
                    named[name] = repr(_saved(grid.rows[r][c], Path(folder) / f"{name}.png"))
                row.append(name)
        rows.append(f"    [{', '.join(row)}],")
    texts = [f"    task={grid.task!r},", f"    content={grid.content!r},"]
    lines = [*sorted(imports), "", *setup, *(f"{name} = {value}" for name, value in named.items())]
    return "\n".join([*lines, "grid = Grid([", *rows, "],", *texts, ")"]) + "\n"


def _written_out(image) -> str:
    text = base64.b64encode(png_bytes(image)).decode()
    return 'base64.b64decode("""\n' + "\n".join(textwrap.wrap(text, WIDTH)) + '\n""")'


def _saved(image, path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png_bytes(image))
    return str(path)
