"""Grids as files: a folder with one image for each cell, or a CSV with one line for each grid.

    cats/                 one grid; the folder's name is its name
      1-1.png  1-2.png    row and column, from 1; any format that a `Grid` reads
      2-1.png             the last row is the query; a cell without an image is a target
      2-2.truth.png       optional: the ground truth of that target
      2-3.target          only where nothing else shows that a target is there: an empty file
      task.txt            the task prompt
      content.txt         optional: what the target shows
      settings.json       optional: what the grid recommends to `fill`, such as {"strength": 0.3}
      result.png          optional: what `Result.save` wrote; its texts and settings hold where no file gives others

A CSV has the columns `name`, `task`, `content`, the settings, and the cells `1-1`, `1-2` … `2-2.truth`: paths from the
CSV's folder. A cell left empty in the last row is a target; `?` marks one explicitly.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.grid_image import png_bytes
from visualcloze_nb.data.images import to_rgb
from visualcloze_nb.data.result import digest, read_provenance
from visualcloze_nb.errors import FileError, GridError, MissingFileError, ProvenanceError, UsageError, shorten
from visualcloze_nb.settings import PHOTOGRAPH, RECOMMENDABLE

CELL = re.compile(r"(\d{1,3})-(\d{1,3})(\.truth)?")
TARGET = "?"
WHOLE = ("seed", "steps", "upsampling_steps", "examples", "order")  # settings that are whole numbers
RECORDED = ("seed", "max_sequence_length", "sigmas", "joint_attention_kwargs", "width", "height")


@dataclass(frozen=True)
class GridCase:
    """A grid read from files.

    Attributes:
        name: of the folder or the line.
        grid: to be filled.
        truth: ground truth by 0-based column, where it is known.
        settings: arguments of `fill` beside those that the grid recommends: what a saved result was made with.
    """

    name: str
    grid: Grid
    truth: Mapping[int, Image.Image] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


def find_grids(path: str | os.PathLike[str]) -> dict[str, Callable[[], GridCase]]:
    """Find the grids in a folder or a CSV, without reading their images.

    Args:
        path: a folder of grid folders, a single grid folder, or a CSV file.

    Returns:
        a function for each name that reads the grid, and raises what is wrong with it.

    Raises:
        MissingFileError: if there is no such file or folder.
        UsageError: if it holds no grid, or a CSV has a column that is none of the above or a name twice.
    """
    path = Path(path).expanduser()
    if path.is_file():
        return _lines(path)
    if not path.is_dir():
        raise MissingFileError(f"there is no {shorten(path, 120)!r}: give a folder of grids or a CSV")
    folders = sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))
    if any(CELL.fullmatch(child.stem) for child in path.iterdir() if child.is_file()):
        folders = [path]
    if not folders:
        raise UsageError(f"{shorten(path, 120)!r} holds no grid: give a folder whose folders hold 1-1.png, 1-2.png …")
    return {folder.resolve().name: partial(read_grid, folder) for folder in folders}


def read_grid(folder: str | os.PathLike[str]) -> GridCase:
    """Read a grid from a folder, laid out as described above.

    Args:
        folder: its path.

    Raises:
        GridError: if a file's name says no cell, or the cells make no grid.
        ImageError: if a cell is not a usable image.
        FileError: if a text cannot be read.
    """
    folder = Path(folder).expanduser()
    suffixes = Image.registered_extensions()
    cells: dict[str, Path | str] = {}
    records: list[Path] = []
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or not file.is_file():
            continue
        if file.suffix == ".target" and CELL.fullmatch(file.stem):
            cells[file.stem] = TARGET
        elif CELL.fullmatch(file.stem):
            if file.stem in cells:
                raise GridError(f"cell {file.stem} has two files: keep one")
            cells[file.stem] = file
        elif file.suffix.lower() == ".png":
            records.append(file)
        elif file.suffix.lower() in suffixes:
            raise GridError(f"{shorten(file.name)!r} is no cell: name images by row and column, such as 1-2.png")
    texts = {name: _text(folder / f"{name}.txt") for name in ("task", "content")}
    recommended = _json(folder / "settings.json")
    return _case(folder.resolve().name, cells, texts, recommended, records)


def save_grid(grid: Grid, folder: str | os.PathLike[str], truth: Sequence[Image.Image] = ()) -> Path:
    """Write a grid as a folder that `read_grid` and `visualcloze-nb run` read; it appears as a whole.

    Args:
        grid: any grid.
        folder: a new folder, in one that exists.
        truth: the ground truth of its targets, from left to right, or nothing.

    Returns:
        The path.

    Raises:
        GridError: if `truth` has not one image for each target.
        FileError: if the folder exists or cannot be written.
    """
    folder = Path(folder).expanduser()
    if truth and len(truth) != len(grid.targets):
        raise GridError(f"{len(truth)} truths for {len(grid.targets)} targets: give one for each, or none")
    if folder.exists():
        raise FileError(f"{shorten(folder, 120)!r} exists: choose another folder")
    files = {"task.txt": f"{grid.task}\n".encode()}
    if grid.content is not None:
        files["content.txt"] = f"{grid.content}\n".encode()
    if grid.recommended:
        files["settings.json"] = json.dumps(dict(grid.recommended), indent=1).encode()
    for row, images in enumerate(grid.rows, start=1):
        for col, image in enumerate(images, start=1):
            files[f"{row}-{col}.{'target' if image is None else 'png'}"] = b"" if image is None else png_bytes(image)
    for col, image in zip(grid.targets, truth, strict=False):
        files[f"{grid.n_rows}-{col + 1}.truth.png"] = png_bytes(to_rgb(image, where="truth"))
    partial_folder = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        partial_folder.mkdir()
        for name, data in files.items():
            (partial_folder / name).write_bytes(data)
        os.replace(partial_folder, folder)
    except OSError as error:
        shutil.rmtree(partial_folder, ignore_errors=True)
        reason = shorten(error.strerror or error)
        raise FileError(f"{shorten(folder, 120)!r} cannot be written ({reason}): choose another folder") from error
    return folder


def setting(name: str, text: str) -> Any:
    """Read the value of a setting from text: a whole number, a number, or `photograph` for a size."""
    text = text.strip()
    if name == "size" and text == PHOTOGRAPH:
        return text
    try:
        return int(text) if name in WHOLE else float(text)
    except ValueError:
        wanted = "a whole number" if name in WHOLE else "a number"
        wanted += f" or {PHOTOGRAPH}" if name == "size" else ""
        raise UsageError(f"{name} is {shorten(repr(text))}: give {wanted}") from None


def _case(
    name: str,
    cells: Mapping[str, Path | str],
    texts: Mapping[str, str | None],
    recommended: Mapping[str, Any],
    records: Sequence[Path] = (),
) -> GridCase:
    """Put cells, texts and the record of a result together."""
    places = {key: tuple(map(int, key.removesuffix(".truth").split("-"))) for key in cells}
    if not places:
        raise GridError("there is no cell: name images by row and column, such as 1-2.png")
    if any(0 in place for place in places.values()):
        raise GridError("rows and columns count from 1: name the first cell 1-1")
    n_rows, n_cols = (max(place[axis] for place in places.values()) for axis in (0, 1))
    given = {places[key]: file for key, file in cells.items() if not key.endswith(".truth") and file != TARGET}
    rows = [[given.get((row + 1, col + 1)) for col in range(n_cols)] for row in range(n_rows)]
    truth = {}
    for key, (row, col) in places.items():
        if key.endswith(".truth"):
            if row != n_rows or (row, col) in given:
                raise GridError(f"{key} is the truth of a cell that is no target: only the last row has targets")
            truth[col - 1] = to_rgb(cells[key], where=f"truth of row {row}, column {col}")
    grid = Grid(rows).require_targets()
    settings: dict[str, Any] = {}
    for file in records:
        texts, recommended, settings = _recorded(file, grid, texts, recommended)
    grid = Grid(grid.to_lists(), texts.get("task") or "", texts.get("content"), recommended=recommended)
    return GridCase(name, grid, truth, settings)


def _recorded(
    file: Path, grid: Grid, texts: Mapping[str, str | None], recommended: Mapping[str, Any]
) -> tuple[dict[str, str | None], dict[str, Any], dict[str, Any]]:
    """Texts, recommended settings and other arguments of `fill`, from a saved result where the folder has none."""
    try:
        record = read_provenance(file)
    except ProvenanceError as error:
        raise GridError(
            f"{shorten(file.name)!r} is neither a cell nor a saved result: name cells such as 1-2.png"
        ) from error
    if record.get("images_sha256") != digest(grid):
        raise GridError(f"{shorten(file.name)!r} was made from other images than those of this folder: take it out")
    made = record.get("settings") or {}
    made = {"seed": record.get("seed"), **(made if isinstance(made, dict) else {})}
    if not made.get("strength"):  # its size is that of stage 1
        made = {**made, "width": None, "height": None}
    texts = {name: record.get(name) if text is None else text for name, text in texts.items()}
    recommended = {name: made[name] for name in RECOMMENDABLE if made.get(name) is not None} | dict(recommended)
    return texts, recommended, {name: made[name] for name in RECORDED if made.get(name) is not None}


def _lines(path: Path) -> dict[str, Callable[[], GridCase]]:
    text = _text(path, "utf-8-sig") or ""
    header = text.partition("\n")[0]
    reader = csv.DictReader(
        io.StringIO(text, newline=""), delimiter=";" if header.count(";") > header.count(",") else ","
    )
    for column in reader.fieldnames or ():
        if column not in ("name", "task", "content", *RECOMMENDABLE) and not CELL.fullmatch(column):
            raise UsageError(
                f"the CSV has a column {shorten(column)!r}: give name, task, content, settings, 1-1, 1-2 …"
            )
    found: dict[str, Callable[[], GridCase]] = {}
    for number, line in enumerate(reader, start=1):
        name = (line.get("name") or "").strip() or f"line-{number}"
        if name in found:
            raise UsageError(f"the CSV has the name {shorten(name)!r} twice: each grid needs one of its own")
        found[name] = partial(_read_line, name, line, path.parent)
    if not found:
        raise UsageError(
            f"{shorten(path, 120)!r} holds no line: give one for each grid, below the names of the columns"
        )
    return found


def _read_line(name: str, line: Mapping[Any, Any], folder: Path) -> GridCase:
    if None in line or None in line.values():
        raise GridError("its line has not as many values as the CSV has columns: write one for each")
    cells: dict[str, Path | str] = {}
    for key, value in line.items():
        if CELL.fullmatch(key) and value.strip():
            cells[key] = TARGET if value.strip() == TARGET else folder / value.strip()
    recommended = {key: setting(key, line[key]) for key in RECOMMENDABLE if (line.get(key) or "").strip()}
    return _case(name, cells, {"task": line.get("task"), "content": line.get("content") or None}, recommended)


def _text(file: Path, encoding: str = "utf-8") -> str | None:
    try:
        text = file.read_text(encoding) if file.exists() else None
    except (OSError, ValueError) as error:
        raise FileError(f"{shorten(file.name)!r} cannot be read ({shorten(error)}): save it as UTF-8 text") from error
    return text if text is None else text.removesuffix("\n")


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(_text(file) or "{}")
    except ValueError as error:
        raise GridError(f"settings.json is no JSON ({shorten(error)}): write {{}}, or settings in it") from error
    if not isinstance(found, dict):
        raise GridError("settings.json holds no settings: write {}, or settings in it")
    return found
