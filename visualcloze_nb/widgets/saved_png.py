"""A saved answer that can be opened again: the full-size PNG with its record, and behind it the grid as a zip.

The PNG is that of `Result.save`. What follows its last chunk is a zip of the folder that `save_grid` writes, and of all
answers: image programs ignore it, `unzip` reads it. A program that writes the image anew drops it.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from visualcloze_nb.data.grid_files import GridCase, read_grid, save_grid
from visualcloze_nb.data.grid_image import png_bytes
from visualcloze_nb.data.images import to_rgb
from visualcloze_nb.data.result import read_provenance
from visualcloze_nb.errors import FileError, ProvenanceError, UsageError, VisualClozeError, shorten
from visualcloze_nb.widgets.draft import Cell, Draft, draft_of, size_text
from visualcloze_nb.widgets.history import PastRun

LIMIT = 500_000_000  # bytes of the unpacked grid
ABOUT = "builder.json"


def free_path(path: Path) -> Path:
    """The path, or the first of `name-2`, `name-3` … that does not exist: nothing is overwritten."""
    tried, number = path, 1
    while tried.exists():
        number += 1
        tried = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return tried


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path, `~` written out.

    Raises:
        FileError: if it cannot name a file.
    """
    try:
        full = Path(path).expanduser()
        full.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise FileError(f"{shorten(path)!r} cannot be a file ({error}): give a name, such as grid.png") from error
    if full.name in ("", ".."):
        raise FileError(f"{str(path)!r} names no file: give a name, such as grid.png")
    return full


def png_path(path: Path) -> Path:
    """The path with `.png` at its end, which `my photo v1.5` lacks."""
    return path if path.suffix.lower() == ".png" else path.with_name(f"{path.name}.png")


def save(run: PastRun, path: str | os.PathLike[str]) -> list[Path]:
    """Write the answers of a run as PNG files that `open_saved` reads; none is overwritten.

    Args:
        run: the run.
        path: of the file, `.png` unless it ends so; further targets get the number of their column.

    Returns:
        the files' paths, one for each target.

    Raises:
        FileError: if a file cannot be written.
    """
    path, saved, data = png_path(expanded(path)), [], _packed(run)
    for number, col in enumerate(run.result.grid.targets):
        named = path if number == 0 else path.with_name(f"{path.stem}-column-{col + 1}{path.suffix}")
        named = free_path(named)
        partial = named.with_name(f".{named.stem}.{os.getpid()}.png")
        try:
            run.result.save(partial, number)
            with partial.open("ab") as file:
                file.write(data)
            os.replace(partial, named)
        except OSError as error:
            reason = "" if isinstance(error, FileError) else f" ({shorten(error.strerror or error)})"
            text = f"{shorten(named, 120)!r} cannot be written{reason}: choose another name, in a folder that exists"
            raise FileError(text) from error
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
        saved.append(named)
    return saved


def open_saved(path: str | os.PathLike[str]) -> tuple[Draft, dict[str, Any]]:
    """Read a grid from a PNG that `save` wrote, or from a folder of images (see `grid_files`).

    Args:
        path: of the PNG or the folder.

    Returns:
        the draft, with the answers of a PNG in its targets, and the settings of its run (none for a folder).

    Raises:
        MissingFileError: if there is no such file or folder.
        ProvenanceError: if a PNG holds no grid.
        GridError: if a folder holds none.
    """
    path = Path(path).expanduser() if os.path.isdir(path) else expanded(path)
    if os.path.isdir(path):
        return _draft(read_grid(path), {}), {}
    if not path.exists() and png_path(path).exists():  # a name as it was given to `save`
        path = png_path(path)
    record = read_provenance(path)
    try:
        with zipfile.ZipFile(path) as packed, tempfile.TemporaryDirectory() as folder:
            if sum(member.file_size for member in packed.infolist()) > LIMIT:
                raise UsageError(
                    f"{shorten(path.name)!r} has over {LIMIT // 10**6} MB, too much for a saved grid: open another file"
                )
            packed.extractall(folder)
            about = json.loads((Path(folder) / ABOUT).read_text())
            draft = _draft(read_grid(Path(folder) / "grid"), about)
            answers = {int(one.stem): to_rgb(one) for one in (Path(folder) / "answers").glob("*.png")}
    except VisualClozeError:
        raise
    except (zipfile.BadZipFile, OSError, ValueError, KeyError) as error:
        text = f"{shorten(path.name)!r} holds no grid: open a PNG that the builder saved, or a folder of images"
        raise ProvenanceError(text) from error
    note = f"from the model, seed {record.get('seed')}"
    cells = {col - 1: Cell(image, f"{note}, {size_text(image)}") for col, image in answers.items()}
    draft = replace(draft, predictions=cells, answered=draft.texts)
    return draft, about.get("settings") or {}


def _packed(run: PastRun) -> bytes:
    draft, data = run.draft, io.BytesIO()
    truths = [draft.truth(col) for col in run.result.grid.targets]
    sure = all(image is not None and known for image, known in truths)
    about = {"settings": run.settings, "names": draft.names, "task": draft.task, "truth": sure}
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(data, "w", zipfile.ZIP_STORED) as packed:
        known: list[Image.Image] = [image for image, _ in truths if image is not None] if sure else []
        for file in sorted(save_grid(run.result.grid, Path(folder) / "grid", known).iterdir()):
            packed.write(file, f"grid/{file.name}")
        for col, image in zip(run.result.grid.targets, run.result.images, strict=True):
            packed.writestr(f"answers/{col + 1}.png", png_bytes(image))
        packed.writestr(ABOUT, json.dumps(about))
    return data.getvalue()


def _draft(case: GridCase, about: dict[str, Any]) -> Draft:
    """A draft of a grid read from files; its truth lies under its targets."""
    draft, token = draft_of(case.grid), object() if case.truth else None
    query = [replace(cell, sample=token) for cell in draft.rows[-1]]
    for col, image in case.truth.items():
        query[col] = Cell(image, f"ground truth, {size_text(image)}", sample=token)
    names = tuple(about.get("names") or draft.names)
    return replace(draft, rows=(*draft.rows[:-1], tuple(query)), names=names, task=about.get("task", draft.task))
