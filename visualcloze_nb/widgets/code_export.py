"""Export a builder's grid as Python code that recreates it.

Toy images are drawn again from their seeds; others are embedded in the code as PNG, or saved as files beside it.
"""

from __future__ import annotations

import base64
import os
import textwrap
from pathlib import Path

from PIL import Image

from visualcloze_nb.data.grid_image import png_bytes
from visualcloze_nb.errors import FileError, shorten
from visualcloze_nb.widgets.state import BuilderState

WIDTH = 100  # characters in a line of an embedded image


def code(state: BuilderState, folder: str | os.PathLike | None = None) -> str:
    """Write Python code that recreates a builder's grid.

    Args:
        state: of the builder; it must hold a complete grid.
        folder: where to save images as PNG files, created if missing; by default images are embedded as base64.

    Returns:
        code that assigns an equal `Grid` to the variable `grid`.

    Raises:
        GridError: if the grid is incomplete; the message names the cell.
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
                name, image = f"image_{r + 1}_{c + 1}", grid.rows[r][c]
                assert image is not None  # only targets are empty
                if folder is None:
                    imports["import base64"] = None
                    named[name] = _embedded(image)
                else:
                    named[name] = repr(_saved(image, Path(folder) / f"{name}.png"))
                row.append(name)
        rows.append(f"    [{', '.join(row)}],")
    texts = [f"    task={grid.task!r},", f"    content={grid.content!r},"]
    texts += [f"    recommended={dict(grid.recommended)!r},"] if grid.recommended else []
    lines = [*sorted(imports), "", *setup, *(f"{name} = {value}" for name, value in named.items())]
    return "\n".join([*lines, "grid = Grid([", *rows, "],", *texts, ")"]) + "\n"


def _embedded(image: Image.Image) -> str:
    text = base64.b64encode(png_bytes(image)).decode()
    return 'base64.b64decode("""\n' + "\n".join(textwrap.wrap(text, WIDTH)) + '\n""")'


def _saved(image: Image.Image, path: Path) -> str:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png_bytes(image))
    except OSError as error:
        reason = error.strerror or error
        text = f"the images of the code cannot be written to {shorten(path.parent)} ({reason})"
        raise FileError(f"{text}: start Jupyter in a folder that can be written, or save the answer") from error
    return str(path)
