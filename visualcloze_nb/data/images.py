"""Reading any image as RGB, with limits, or with one clear error.

An image file is untrusted input. Its size is checked before it is read (bytes) and before it is decoded (pixels). Then
it is reduced to its first frame, converted to 8-bit RGB, and turned upright.
"""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import IO

import numpy as np
from PIL import ExifTags, Image, ImageOps

from visualcloze_nb.data.image_modes import flatten, from_array
from visualcloze_nb.errors import ImageError, ImageWarning
from visualcloze_nb.settings import TOKEN_PIXELS

MAX_PIXELS = 64_000_000  # more than a phone's largest photograph; 192 MB as RGB
MAX_BYTES = 128 * 2**20
REFUSED = {"EPS", "WMF"}  # reading these starts another program, or the system's drawing interface
LAYERED = {"PSD", "MPO"}  # their "frames" are layers, or a phone's preview: no warning
HINTS = (  # common mistakes, recognised by a piece of the first bytes
    (b"<svg", "it is an SVG drawing: export it as PNG"),
    (b"<!doctype html", "it is a web page: download the image itself"),
    (b"<html", "it is a web page: download the image itself"),
    (b"%pdf", "it is a PDF: export the page as PNG"),
    (b"%!ps", "it is PostScript: export it as PNG"),
    (b"ftyphei", "it is HEIC: save it as JPEG or PNG"),
    (b"git-lfs", "it is a Git LFS pointer: run git lfs pull"),
)

ImageSource = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | Image.Image | np.ndarray


def to_rgb(
    image: ImageSource, *, where: str = "image", max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES
) -> Image.Image:
    """Convert an image from any source to a new RGB image.

    EXIF orientation is applied, also to a PIL image that still carries the tag. Alpha is laid on white, 16 bits become
    8, and of an animation the first frame is used (with an `ImageWarning`). Colour profiles are ignored, as in
    diffusers.

    Args:
        image: a path (str or Path), the bytes of a file, a binary file object, a PIL image, or an array of shape
            (H, W), (H, W, 1), (H, W, 3) or (H, W, 4): bool, uint8, uint16, other integers from 0 to 255, or floats
            from 0 to 1.
        where: name of the image in messages, such as `row 1, column 2`.
        max_pixels: an image with more pixels is refused before it is decoded.
        max_bytes: a longer file is refused before it is read.

    Returns:
        An image of mode RGB that shares no memory with `image`.

    Raises:
        ImageError: for everything that is not a usable image.
    """
    if isinstance(image, Image.Image):
        opened = image
    elif isinstance(image, (str, os.PathLike)):
        opened = _open(_read_path(image, where, max_bytes), where)
    elif isinstance(image, (bytes, bytearray, memoryview)):
        opened = _open(_within(bytes(image), where, max_bytes), where)
    elif isinstance(image, np.ndarray) or hasattr(image, "__array__"):
        return from_array(image, where, max_pixels)
    elif hasattr(image, "read"):
        opened = _open(_read_file(image, where, max_bytes), where)
    else:
        kind = "None" if image is None else f"of type {type(image).__name__}"
        raise ImageError(f"{where} is {kind}, not an image: give a file, a PIL image or an array")
    return _decode(opened, where, max_pixels)


def fit_size(width: int, height: int, resolution: int, multiple: int = TOKEN_PIXELS) -> tuple[int, int]:
    """Compute an image's size in the model: about `resolution`² pixels at its own aspect ratio.

    Args:
        width, height: of the image in pixels, 1 or more.
        resolution: side in pixels of a square of the same area (384 or 512; 64 for the tiny model).
        multiple: sides are rounded down to a multiple of this, but not below it.

    Returns:
        `(width, height)` in pixels, as diffusers' `VisualClozeProcessor.preprocess_image` computes it.
    """
    aspect = width / height
    new_height = int((resolution * resolution / aspect) ** 0.5)
    new_width = int(new_height * aspect)
    return max(new_width // multiple, 1) * multiple, max(new_height // multiple, 1) * multiple


def resize_and_crop(image: Image.Image, width: int, height: int) -> Image.Image:
    """Scale an image to cover `width` x `height` and crop it equally on both sides.

    Args:
        image: an RGB image.
        width, height: of the result in pixels.

    Returns:
        The result of diffusers' `VaeImageProcessor` with `resize_mode="crop"` (Lanczos), pixel for pixel. Only an
        image so long that its scaled version would have over `MAX_PIXELS` is cropped before it is scaled.
    """
    wide = width / height > image.width / image.height
    scaled_width = width if wide else image.width * height // image.height
    scaled_height = image.height * width // image.width if wide else height
    if scaled_width * scaled_height > MAX_PIXELS:
        return _crop_first(image, width, height)
    scaled = image.resize((scaled_width, scaled_height), Image.Resampling.LANCZOS)
    result = Image.new("RGB", (width, height))
    result.paste(scaled, (width // 2 - scaled_width // 2, height // 2 - scaled_height // 2))
    return result


def _crop_first(image: Image.Image, width: int, height: int) -> Image.Image:
    scale = min(image.width / width, image.height / height)
    left, top = (image.width - width * scale) / 2, (image.height - height * scale) / 2
    box = (max(left, 0), max(top, 0), image.width - max(left, 0), image.height - max(top, 0))
    return image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS, box=box)


def _within(data: bytes, where: str, max_bytes: int) -> bytes:
    if len(data) > max_bytes:
        raise ImageError(f"{where} has more than {max_bytes / 2**20:.0f} MB: save a smaller version")
    return data


def _read_path(path: str | os.PathLike[str], where: str, max_bytes: int) -> bytes:
    if isinstance(path, str) and path.startswith(("http://", "https://", "data:")):
        raise ImageError(f"{where} is an address, not a file: download the image first and give its path")
    try:
        path = Path(os.fsdecode(path)).expanduser()
        if not path.is_file():  # also keeps out devices and pipes, which may never end
            reason = "is a folder, not a file" if path.is_dir() else "does not exist"
            raise ImageError(f"{where}: {str(path)!r} {reason}: give the path of an image file")
        with path.open("rb") as file:
            return _within(file.read(max_bytes + 1), where, max_bytes)
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{where}: {str(path)[:200]!r} cannot be read ({error})") from error


def _read_file(file: IO[bytes], where: str, max_bytes: int) -> bytes:
    try:
        if hasattr(file, "seekable") and file.seekable():
            file.seek(0)
        data = file.read(max_bytes + 1)
    except Exception as error:
        raise ImageError(f"{where}: the file object cannot be read ({error}): pass the path") from error
    if not isinstance(data, bytes):
        raise ImageError(f'{where}: the file object gives text: open it with mode "rb"')
    return _within(data, where, max_bytes)


def _open(data: bytes, where: str) -> Image.Image:
    if not data:
        raise ImageError(f"{where} is empty (0 bytes): give an image file")
    Image.init()
    formats = [name for name in Image.ID if name not in REFUSED]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own limits and notes replace Pillow's warnings
            return Image.open(io.BytesIO(data), formats=formats)
    except Image.DecompressionBombError as error:
        raise ImageError(f"{where} has too many pixels: save a smaller version ({error})") from error
    except Exception as error:
        start = data[:512].lower()
        hint = next((text for mark, text in HINTS if mark in start), "save it as PNG or JPEG")
        raise ImageError(f"{where} is not an image that can be read: {hint}") from error


def _decode(opened: Image.Image, where: str, max_pixels: int) -> Image.Image:
    width, height = opened.size
    if width < 1 or height < 1:
        raise ImageError(f"{where} is {width} x {height} pixels: an image needs at least one")
    if width * height > max_pixels:
        raise ImageError(
            f"{where} is {width} x {height}, {width * height / 1e6:.0f} million pixels, over the limit of "
            f"{max_pixels / 1e6:.0f} million: save a smaller version"
        )
    notes: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opened.load()
            frames = _frames(opened)
            result = flatten(opened, notes)
            result.info.clear()
            _turn_upright(result, opened)
    except ImageError as error:
        raise ImageError(f"{where} {error}") from error
    except Exception as error:
        kind = f"{opened.format} file" if opened.format else f"image of mode {opened.mode}"
        raise ImageError(f"{where}: this {kind} is damaged or cut off ({error}): save it again") from error
    if result.width * result.height > max_pixels:  # a few formats know their size only after decoding
        raise ImageError(f"{where} is {result.width} x {result.height}, too many pixels: save it smaller")
    if frames > 1:
        notes.append(f"holds {frames} frames: the first is used")
    for note in notes:
        warnings.warn(f"{where} {note}", ImageWarning, stacklevel=3)
    return result


def _frames(opened: Image.Image) -> int:
    try:
        if opened.format in LAYERED or not getattr(opened, "is_animated", False):
            return 1
        return getattr(opened, "n_frames", 1)
    except Exception:  # a later frame is broken; only the first one is used
        return 1


def _turn_upright(image: Image.Image, opened: Image.Image) -> None:
    try:
        image.getexif()[ExifTags.Base.Orientation] = opened.getexif().get(ExifTags.Base.Orientation, 1)
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:  # broken EXIF beside a sound image, which is used as stored
        pass
