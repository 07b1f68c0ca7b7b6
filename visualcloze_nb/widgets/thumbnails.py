"""Small copies of images for the browser; those of cells are made once."""

from __future__ import annotations

import io
import itertools
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from PIL import Image

from visualcloze_nb.data.grid_image import png_bytes
from visualcloze_nb.widgets.draft import Cell

THUMBNAIL = 160  # pixels of the longer side of an image in a cell
STILL = 256  # pixels of the longer side of an image that the static image is composed from


@dataclass(frozen=True)
class Small:
    """The small copy of a cell's image.

    Attributes:
        key: its name in the browser.
        image: at most `STILL` pixels wide and high.
        data: encoded, at most `THUMBNAIL` pixels wide and high.
        mime: type of the data: PNG or JPEG.
    """

    key: str
    image: Image.Image
    data: bytes
    mime: str


_made: WeakKeyDictionary[Cell, Small] = WeakKeyDictionary()
_numbers = itertools.count(1)


def small(cell: Cell) -> Small:
    """The small copy of a cell's image, which must not be None."""
    if cell not in _made:
        assert cell.image is not None
        image = shrunk(cell.image, STILL)
        _made[cell] = Small(str(next(_numbers)), image, *thumbnail(image))
    return _made[cell]


def shrunk(image: Image.Image, side: int) -> Image.Image:
    """Scale an image down, if need be, to at most `side` pixels in width and height."""
    scale = side / max(image.size)
    if scale >= 1:
        return image
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)


def thumbnail(image: Image.Image, side: int = THUMBNAIL) -> tuple[bytes, str]:
    """Encode a small copy for the browser; returns its bytes and MIME type (PNG or JPEG)."""
    image = shrunk(image, side)
    if image.width * image.height <= 96 * 96:
        return png_bytes(image), "image/png"
    data = io.BytesIO()
    image.save(data, "JPEG", quality=85)
    return data.getvalue(), "image/jpeg"
