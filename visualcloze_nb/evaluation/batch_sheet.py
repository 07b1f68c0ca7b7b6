"""Contact sheets of a batch run: a row for each grid, with its conditions, every variant, and the ground truth."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from PIL import Image

from visualcloze_nb.data.grid_files import GridCase
from visualcloze_nb.drawing.contact_sheet import contact_sheet

CELL = 128  # height of an image in pixels; a wide one is made less high
ACROSS = 12  # images in a line
DOWN = 40  # lines on a sheet


def write_sheets(
    grids: Mapping[str, Callable[[], GridCase]], lines: Sequence[Mapping[str, Any]], out: Path
) -> list[Path]:
    """Write `sheet.png`, and `sheet-2.png` and so on where one does not hold all.

    Args:
        grids: from `find_grids`.
        lines: of the CSV, from `run_all`.
        out: folder of the results.

    Returns:
        the paths; none if no image was made.
    """
    rows: list[list[tuple[str, Image.Image]]] = []
    for name, made in groupby((line for line in lines if line.get("image")), key=lambda line: line["grid"]):
        panels = list(_panels(grids[name](), list(made), out))
        rows += [panels[first : first + ACROSS] for first in range(0, len(panels), ACROSS)]
    paths = []
    for number, page in enumerate((rows[first : first + DOWN] for first in range(0, len(rows), DOWN)), start=1):
        sheet = contact_sheet([[i for _, i in row] for row in page], [[t for t, _ in row] for row in page], 10, 10, 11)
        paths.append(out / f"sheet{'' if number == 1 else f'-{number}'}.png")
        partial = paths[-1].with_name(f".{paths[-1].name}")
        sheet.save(partial, "PNG")
        os.replace(partial, paths[-1])
    return paths


def _panels(case: GridCase, lines: Sequence[Mapping[str, Any]], out: Path) -> Iterator[tuple[str, Image.Image]]:
    """Title and thumbnail of each image of one grid; the first title begins with the grid's name."""
    last = len(case.grid.targets) > 1
    shown = [(f"column {col + 1}", cell) for col, cell in enumerate(case.grid.query) if cell is not None]
    for line in lines:
        title = line["variant"].replace("_", ", ").replace("-", " ") or "filled"
        with Image.open(out / line["image"]) as image:
            shown.append((f"{title}, column {line['column']}" if last else title, image.convert("RGB")))
    shown += [("truth", image) for _, image in sorted(case.truth.items())]
    for number, (title, image) in enumerate(shown):
        scale = min(CELL / image.height, 2 * CELL / image.width)
        size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
        title = f"{case.name}: {title}" if number == 0 else title
        yield title, image.resize(size, Image.Resampling.LANCZOS)
