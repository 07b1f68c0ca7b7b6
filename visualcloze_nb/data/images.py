"""Reading any image as RGB, with limits, or with one clear error.

An image file is untrusted input. Its size is checked before it is read (bytes) and before it is decoded (pixels). Then
it is reduced to its first frame, converted to 8-bit RGB, and turned upright.
"""

from __future__ import annotations

import os
import warnings
from typing import IO

import numpy as np
from PIL import ExifTags, Image, ImageOps

from visualcloze_nb.data.image_files import (
    halved,
    is_closed,
    is_raw_preview,
    open_bytes,
    orientation,
    read_file,
    read_path,
    within,
)
from visualcloze_nb.data.image_modes import flatten, from_array
from visualcloze_nb.errors import ImageError, ImageWarning, shorten
from visualcloze_nb.settings import TOKEN_PIXELS

MAX_PIXELS = 64_000_000  # 192 MB as RGB; a JPEG may have four times as many, as the largest phones' do
MAX_BYTES = 128 * 2**20
LAYERED = {"PSD", "MPO"}  # their "frames" are layers, or a phone's preview: no warning

ImageSource = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | Image.Image | np.ndarray


def to_rgb(
    image: ImageSource, *, where: str = "image", max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES
) -> Image.Image:
    """Convert an image from any source to a new RGB image.

    The orientation of EXIF or XMP is applied, also to a PIL image that still carries it. Colour profiles are converted
    to sRGB (diffusers ignores them) and alpha is laid on white. An `ImageWarning` says where only a part is used: one
    frame of an animation, the preview in a camera's raw file. A JPEG with up to four times `max_pixels` is decoded at
    half its size.

    Args:
        image: a path (str or Path), the bytes of a file, a binary file object, a PIL image, or an array of shape
            (H, W), (H, W, 1), (H, W, 3) or (H, W, 4). Numbers, in arrays and in grey images of 16 bits or more, are
            black to white as bool, integers from 0 to 255, 16-bit integers from 0 to 65535, or floats from 0 to 1.
            Others (a depth map in metres, or in 16-bit millimetres that are all dark) are refused, with the line
            that scales them.
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
        opened = open_bytes(read_path(image, where, max_bytes), where)
    elif isinstance(image, (bytes, bytearray, memoryview)):
        opened = open_bytes(within(bytes(image), where, max_bytes), where)
    elif isinstance(image, np.ndarray) or _has(image, "__array__"):
        return from_array(image, where, max_pixels)
    elif _has(image, "read"):
        opened = open_bytes(read_file(image, where, max_bytes), where)
    else:
        kind = "None" if image is None else f"of type {shorten(type(image).__name__)}"
        raise ImageError(f"{where} is {kind}, not an image: give a file, a PIL image or an array")
    return _decode(opened, where, max_pixels)


def _has(value: object, name: str) -> bool:
    try:
        return hasattr(value, name)
    except Exception:  # an object whose attributes raise is no image
        return False


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


def _decode(opened: Image.Image, where: str, max_pixels: int) -> Image.Image:
    if is_closed(opened):
        raise ImageError(f"{where}: its file was closed before it was read: use im.copy() before it is closed")
    opened = halved(opened, max_pixels)
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
        raise ImageError(f"{where}: this {kind} is damaged or cut off ({shorten(error)}): save it again") from error
    if result.width * result.height > max_pixels:  # a few formats know their size only after decoding
        raise ImageError(f"{where} is {result.width} x {result.height}, too many pixels: save it smaller")
    if is_raw_preview(opened):
        size = f"{opened.width} x {opened.height}"
        notes.append(f"is a camera's raw file: only its preview of {size} is used; develop it and save it as JPEG")
    elif frames > 1:
        number = opened.tell() + 1
        notes.append(f"holds {frames} frames: {'the first' if number == 1 else f'number {number}'} is used")
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
    image.getexif()[ExifTags.Base.Orientation] = orientation(opened)
    ImageOps.exif_transpose(image, in_place=True)
