"""What `pipe.fill` returns: the images, the grid that they complete, and their provenance.

A saved image carries its provenance: a file found a year later still says which model made it, from which texts, with
which seed and settings.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from visualcloze_nb import __version__
from visualcloze_nb.data.checks import type_of
from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.grid_image import png_bytes
from visualcloze_nb.data.notebook_image import image_output
from visualcloze_nb.errors import FileError, GridError, MissingFileError, ProvenanceError, UsageError, shorten, shown
from visualcloze_nb.settings import CallSettings

PROVENANCE = "visualcloze_nb"  # key of the PNG text chunk


@dataclass(eq=False, repr=False)
class Result:
    """The outcome of one run.

    Args:
        images: the targets, left to right, as they came out of the last stage.
        stage1: the targets as stage 1 gave them; the same images as `images` where stage 2 was left out.
        grid: the grid that was filled, targets empty.
        settings: of the call, complete; or None.
        seconds: time of each part, such as `{"text": 0.1, "stage 1": 2.0}`.
        model: name or path of the checkpoint.
        versions: of torch, diffusers and so on; the package's own is added.
    """

    images: list[Image.Image]
    stage1: list[Image.Image]
    grid: Grid
    settings: CallSettings | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    model: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.grid, Grid):
            raise GridError(f"grid is {type_of(self.grid)}: give the Grid that was filled")
        for name in ("images", "stage1"):
            if not isinstance(getattr(self, name), (list, tuple)):
                raise GridError(f"{name} is {type_of(getattr(self, name))}: give a list, one image for each target")
            count, wanted = len(getattr(self, name)), len(self.grid.targets)
            if count != wanted:
                raise GridError(f"{name} holds {count} images for {wanted} targets: give one for each")

    @property
    def seed(self) -> int | None:
        """The seed of the noise, or None if a generator was given."""
        return None if self.settings is None else self.settings.seed

    @property
    def image(self) -> Image.Image:
        """The first target."""
        return self.images[0]

    @property
    def filled(self) -> Grid:
        """The grid with its targets filled in."""
        return self.grid.completed(self.images)

    def provenance(self) -> dict[str, Any]:
        """Return how the images were made, in plain JSON values.

        Returns:
            Model, seed, settings, those that the grid recommends, the three texts, the grid's shape, a SHA-256 of its
            images, seconds, versions.
        """
        settings = {} if self.settings is None else asdict(self.settings)
        record = {
            "model": self.model,
            "seed": settings.pop("seed", None),
            "settings": settings,
            "recommended": dict(self.grid.recommended),
            "layout": self.grid.layout_prompt,
            "task": self.grid.task,
            "content": self.grid.content,
            "rows": self.grid.n_rows,
            "columns": self.grid.n_cols,
            "targets": self.grid.targets,
            "images_sha256": digest(self.grid),
            "seconds": self.seconds,
            "versions": {"visualcloze_nb": __version__, **self.versions},
        }
        return json.loads(json.dumps(record, default=_plain))

    def save(self, path: str | os.PathLike[str], target: int = 0) -> Path:
        """Write one target as PNG with its provenance; an existing file is replaced as a whole.

        Args:
            path: of the file, which must end in `.png`.
            target: which of `images`, from 0.

        Returns:
            The path.

        Raises:
            UsageError: if the path does not end in `.png` or there is no such target.
            FileError: if the file cannot be written; an existing file is then left as it was.
        """
        try:
            path = Path(path).expanduser()
        except (TypeError, RuntimeError) as error:  # no path at all, or the home of an unknown user
            raise UsageError(f"path {shown(path)} cannot be used ({shorten(error)}): give a str or a Path") from error
        name = repr(shorten(path, 120))
        if path.name.lower() == ".png":
            raise UsageError(f"{name} has no name before .png: give one, such as result.png")
        if path.suffix.lower() != ".png":
            raise UsageError(f"{shorten(path.name)!r} does not end in .png: name a .png, only PNG keeps the provenance")
        if not isinstance(target, (int, np.integer)) or not 0 <= target < len(self.images):
            raise UsageError(f"there is no target {shorten(repr(target))}: targets are 0 to {len(self.images) - 1}")
        record = json.dumps({**self.provenance(), "target": int(target)}, ensure_ascii=False)
        texts = {PROVENANCE: record, "Software": f"visualcloze_nb {__version__}"}
        temporary = path.with_name(f".{path.name[:100]}.{os.getpid()}")
        try:
            if not path.parent.is_dir():
                raise FileError(f"there is no folder {shorten(path.parent, 120)!r}: create it before saving")
            temporary.write_bytes(png_bytes(self.images[target], texts))
            os.replace(temporary, path)
        except (OSError, ValueError) as error:
            if isinstance(error, FileError):
                raise
            reason = shorten(getattr(error, "strerror", None) or error)  # not the temporary file's name
            raise FileError(f"{name} cannot be written ({reason}): choose another folder or name") from error
        finally:
            with suppress(OSError, ValueError):
                temporary.unlink(missing_ok=True)
        return path

    @property
    def alt(self) -> str:
        """Alternative text, for readers who do not see the image."""
        columns = ", ".join(str(col + 1) for col in self.grid.targets)
        return f"{self.grid.alt[:-1]}; the model filled column {columns}."

    def _repr_png_(self) -> bytes:
        return png_bytes(self.filled.image(outline=self.grid.targets))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        return image_output(self._repr_png_(), self.alt, repr(self))

    def __repr__(self) -> str:
        sizes = ", ".join(f"{image.width} x {image.height}" for image in self.images)
        return f"<Result {sizes}, model={self.model!r}, seed={self.seed}>"


def read_provenance(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read back what `Result.save` wrote into a PNG.

    Args:
        path: a PNG file.

    Returns:
        The record that `Result.provenance` returned, and as `target` which of the images the file holds.

    Raises:
        ProvenanceError: if the file is not a PNG, holds no such record, or is damaged.
        MissingFileError: if there is no such file.
        FileError: if it cannot be read.
    """
    name = repr(shorten(path, 120))
    try:
        file = Path(path).expanduser().open("rb")
    except FileNotFoundError as error:
        raise MissingFileError(f"{name} does not exist: give the path of a PNG that Result.save wrote") from error
    except OSError as error:
        raise FileError(f"{name} cannot be read ({shorten(error.strerror or error)}): give another path") from error
    except (TypeError, ValueError, RuntimeError) as error:  # a null character, or the home of an unknown user
        raise ProvenanceError(f"{shown(path)} is not a path ({shorten(error)}): give a str or Path") from error
    with file:
        try:
            with Image.open(file, formats=["PNG"]) as image:
                image.load()  # text chunks may follow the pixels
                text = getattr(image, "text", {}).get(PROVENANCE)
        except UnidentifiedImageError as error:
            raise ProvenanceError(f"{name} is not a PNG file: give one, only PNG keeps the provenance") from error
        except Exception as error:  # Pillow raises many types for a damaged file
            raise ProvenanceError(f"{name} is damaged ({shorten(error)}): copy it again") from error
    if text is None:
        raise ProvenanceError(f"{name} holds no provenance: give a PNG that Result.save wrote")
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProvenanceError(f"{name}: its provenance is damaged ({shorten(error)}): save the result again") from error
    if not isinstance(record, dict):
        raise ProvenanceError(f"{name}: its provenance is damaged (no object): save the result again")
    return record


def digest(grid: Grid) -> str:
    """The SHA-256 of the sizes and pixels of all cells, in hexadecimal digits."""
    digest = hashlib.sha256()
    for row in grid.rows:
        for cell in row:
            digest.update(b"-" if cell is None else repr(cell.size).encode() + cell.tobytes())
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """Convert numbers of numpy or torch to JSON numbers, and anything else to text."""
    return value.item() if getattr(value, "shape", None) == () else str(value)
