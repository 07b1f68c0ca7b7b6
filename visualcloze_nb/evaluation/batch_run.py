"""Fill many grids, each with every variant of a sweep; a run that was killed goes on where it stopped.

    out/results.csv        a line for each image: settings, seconds, error against the ground truth
    out/images/GRID/*.png  the images, each with its provenance
    out/sheet.png          all images beside their conditions and ground truth

An image is written as a whole before its line, and the CSV is replaced as a whole. So after a kill at any moment, the
same call finds what is done, and does the rest. A lock, which ends with its
process, keeps a second run from the folder.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout
from PIL import Image

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.grid_files import GridCase
from visualcloze_nb.data.images import resize_and_crop
from visualcloze_nb.data.result import Result, digest
from visualcloze_nb.errors import BusyError, UsageError, shorten
from visualcloze_nb.evaluation.sweeps import Variant, variants

if TYPE_CHECKING:
    from visualcloze_nb.pipelines.combined import VisualClozePipeline

RESULTS = "results.csv"
LOCK = ".lock"
SETTINGS = ("seed", "examples", "order", "steps", "upsampling_steps", "strength", "guidance", "width", "height")
COLUMNS: tuple[str, ...] = (
    "grid",
    "variant",
    "column",
    *SETTINGS,
    "seconds",
    "rmse",
    "copy_rmse",
    "image",
    "error",
    "key",
)
Line = dict[str, Any]


def run_all(
    grids: Mapping[str, Callable[[], GridCase]],
    pipe: Callable[[], VisualClozePipeline],
    model: str,
    out: Path,
    sweep: Mapping[str, Sequence[Any]],
    on_grid: Callable[[list[Line], bool], object] = lambda lines, found: None,
) -> list[Line]:
    """Fill every grid with every variant, except what an earlier run has done.

    Args:
        grids: from `find_grids`.
        pipe: returns the pipeline; called once, when the first grid has to be filled.
        model: what identifies the model; lines made by another one are made again.
        out: folder of the results; created if missing.
        sweep: values by setting.
        on_grid: called as `on_grid(lines, found)` after each grid and variant; `found` if an earlier run made them.

    Returns:
        the lines of the CSV that belong to these grids and this sweep, in order. One that failed has an `error`.

    Raises:
        UsageError: if `results.csv` there is not of this kind.
        BusyError: if another run writes to this folder.
    """
    (out / "images").mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / LOCK, timeout=0):
            return _run_all(grids, pipe, model, out, sweep, on_grid)
    except Timeout as error:
        where = shorten(out, 120)
        raise BusyError(f"another run writes to {where!r}: wait for its end, or choose another folder") from error


def _run_all(
    grids: Mapping[str, Callable[[], GridCase]],
    pipe: Callable[[], VisualClozePipeline],
    model: str,
    out: Path,
    sweep: Mapping[str, Sequence[Any]],
    on_grid: Callable[[list[Line], bool], object],
) -> list[Line]:
    for leftover in (out / "images").rglob(".*.png.*"):  # of an image that a kill kept from its name
        leftover.unlink()
    earlier = read_results(out / RESULTS)
    lines: list[Line] = []

    def write() -> None:
        write_results(out / RESULTS, [*lines, *(line for found in earlier.values() for line in found)])

    for place, name, case, variant, error in _jobs(grids, sweep):
        label = variant.label if variant else ""
        mine = {"grid": name, "variant": label}
        found = earlier.pop((name, label), [])
        new: list[Line] = []
        try:
            if case is None or variant is None:
                raise error or AssertionError
            grid = variant.of(case.grid)
            mine["key"] = _key(model, grid, variant, case)
            if _done(found, mine["key"], len(grid.targets), out):
                new = found
        except Exception as failed:
            new = [mine | {"error": _describe(failed)}]
        else:
            if not new:
                filler = pipe()  # what it raises ends the run
                try:
                    new = _fill(filler, grid, case, variant, out, f"images/{place}/{label or 'result'}", mine)
                except Exception as failed:  # also no memory left: the other grids go on
                    new = [mine | {"error": _describe(failed)}]
        lines += new
        if new is not found:
            write()
        on_grid(new, new is found)
    write()
    return lines


def _describe(error: Exception) -> str:
    kind = "" if type(error).__module__.startswith("visualcloze_nb") else f"{type(error).__name__}: "
    return shorten(f"{kind}{error}", 300)


def _jobs(
    grids: Mapping[str, Callable[[], GridCase]], sweep: Mapping[str, Sequence[Any]]
) -> Iterator[tuple[str, str, GridCase | None, Variant | None, Exception | None]]:
    """Folder of the images, name, grid and variant; or what is wrong with the grid."""
    taken: set[str] = set()
    for name, read in grids.items():
        stem = plain = re.sub(r"[^\w.-]+", "-", name).strip(".") or "grid"
        while stem.casefold() in taken:  # two names that differ in other characters alone
            stem = f"{plain}-{len(taken)}"
        taken.add(stem.casefold())
        try:
            case = read()
        except Exception as error:
            yield stem, name, None, None, error
        else:
            for variant in variants(case, sweep):
                yield stem, name, case, variant, None


def _fill(
    pipe: VisualClozePipeline, grid: Grid, case: GridCase, variant: Variant, out: Path, place: str, mine: Line
) -> list[Line]:
    """Fill one grid, save its images, and return their lines."""
    result = pipe.fill(grid, **variant.settings, progress=False)
    settings = asdict(result.settings) | {"examples": variant.examples, "order": variant.order}  # pyright: ignore[reportArgumentType]  # fill gives them
    lines = []
    for number, col in enumerate(grid.targets):
        image = f"{place}{f'_column-{col + 1}' if len(grid.targets) > 1 else ''}.png"
        (out / image).parent.mkdir(exist_ok=True)
        result.save(out / image, target=number)
        scores = _scores(result, number, case.truth[col]) if col in case.truth else {}
        line = mine | {"column": col + 1, "image": image, "seconds": f"{result.seconds['total']:.2f}", **scores}
        lines.append(line | {name: settings[name] for name in SETTINGS})
    return lines


def _scores(result: Result, number: int, truth: Image.Image) -> Line:
    """The error of a prediction, and that of the best condition if it is copied."""
    copies = [rmse(cell, truth, result.images[number].size) for cell in result.grid.query if cell is not None]
    found = {"rmse": f"{rmse(result.images[number], truth):.5f}"}
    return found | ({"copy_rmse": f"{min(copies):.5f}"} if copies else {})


def rmse(image: Image.Image, truth: Image.Image, shape: tuple[int, int] | None = None) -> float:
    """Root mean square error of an image, in units of 0 to 1.

    Args:
        image, truth: fitted to one size, as the cells of a grid are: the image's, or smaller where the truth has fewer
            pixels.
        shape: (width, height) in place of the image's size.
    """
    width, height = shape or image.size
    scale = min(1.0, (truth.width * truth.height / (width * height)) ** 0.5)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    one, other = (np.asarray(resize_and_crop(each, *size), dtype=np.float64) / 255 for each in (image, truth))
    return float(np.sqrt(((one - other) ** 2).mean()))


def _key(model: str, grid: Grid, variant: Variant, case: GridCase) -> str:
    """A digest of all that decides a line: model, grid, texts, settings and truth."""
    truth = {col: hashlib.sha256(image.tobytes()).hexdigest() for col, image in case.truth.items()}
    texts = grid.task, grid.content, dict(grid.recommended), dict(variant.settings)
    parts = json.dumps([model, digest(grid), texts, truth], sort_keys=True, default=str)
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


def _done(lines: Sequence[Line], key: str, targets: int, out: Path) -> bool:
    whole = [line for line in lines if line["key"] == key and line["image"] and (out / line["image"]).is_file()]
    return len(whole) == len(lines) == targets


def read_results(path: Path) -> dict[tuple[str, str], list[Line]]:
    """Read the lines of a CSV that an earlier run wrote, by grid and variant; without those that failed.

    Raises:
        UsageError: if the file is another one.
    """
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise UsageError(f"{shorten(path, 120)!r} is not of this command: choose another folder for the results")
        found: dict[tuple[str, str], list[Line]] = {}
        for line in reader:
            if not line["error"]:
                found.setdefault((line["grid"], line["variant"]), []).append(line)
        return found


def write_results(path: Path, lines: Sequence[Line]) -> None:
    """Write the CSV, replacing an older one as a whole."""
    partial = path.with_name(f".{path.name}")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    os.replace(partial, path)
