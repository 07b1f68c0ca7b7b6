"""Any image a reader may bring becomes a safe RGB image, or one clear error.

An image file is somebody else's data. It is measured before it is read (bytes), and again before it is
decoded (pixels). It is then turned upright, reduced to its first frame, to eight bits and to three
channels, in that order.
"""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

from PIL import Image

from visualcloze_nb.data.image_modes import flatten, from_array
from visualcloze_nb.errors import ImageError, ImageWarning
from visualcloze_nb.settings import TOKEN_PIXELS

MAX_PIXELS = 64_000_000  # more than a phone's largest photograph; 192 MB as RGB
MAX_BYTES = 128 * 2**20
ORIENTATION = 0x0112  # the EXIF tag; its values 2 to 8 say how the camera was held
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
REFUSED = {"EPS", "WMF"}  # reading these starts another program, or the system's drawing interface
LAYERED = {"PSD", "MPO"}  # "frames" here are layers, or a phone's preview: not worth a note
HINTS = (  # what people pass by mistake, told by a piece of the first bytes
    (b"<svg", "it is an SVG drawing: export it as PNG"),
    (b"<!doctype html", "it is a web page: download the image itself"),
    (b"<html", "it is a web page: download the image itself"),
    (b"%pdf", "it is a PDF: export the page as PNG"),
    (b"%!ps", "it is PostScript: export it as PNG"),
    (b"ftyphei", "it is HEIC: save it as JPEG or PNG"),
    (b"git-lfs", "it is a Git LFS pointer: run git lfs pull"),
)


def to_rgb(image, *, where="image", max_pixels=MAX_PIXELS, max_bytes=MAX_BYTES) -> Image.Image:
    """Turn whatever holds an image into a new RGB image.

    EXIF orientation is applied, also to a PIL image that still carries the tag. Alpha is laid on white, 16
    bits become 8, of an animation the first frame is used (and an `ImageWarning` says so). Colour profiles are
    ignored, as in diffusers.

    Args:
        image: a path (str or Path), the bytes of a file, a binary file object, a PIL image, or an array
            of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4): bool, uint8, uint16, other integers from 0 to
            255, or floats from 0 to 1.
        where: what error messages call it, such as `row 1, column 2`.
        max_pixels: more pixels than this are refused before decoding.
        max_bytes: longer files than this are refused before reading.

    Returns:
        an image of mode RGB that shares nothing with `image`.

    Raises:
        ImageError: for everything that is not a usable image, whatever its content.
    """
    if isinstance(image, Image.Image):
        opened = image
    elif isinstance(image, (str, os.PathLike)):
        opened = _open(_read_path(image, where, max_bytes), where)
    elif isinstance(image, (bytes, bytearray, memoryview)):
        opened = _open(_within(bytes(image), where, max_bytes), where)
    elif hasattr(image, "read"):
        opened = _open(_read_file(image, where, max_bytes), where)
    elif hasattr(image, "__array__"):
        return from_array(image, where, max_pixels)
    else:
        kind = "None" if image is None else f"of type {type(image).__name__}"
        raise ImageError(f"{where} is {kind}, not an image: give a file, a PIL image or an array")
    return _decode(opened, where, max_pixels)


def fit_size(width: int, height: int, resolution: int, multiple: int = TOKEN_PIXELS) -> tuple[int, int]:
    """Give the size at which the model sees an image: about `resolution`² pixels, aspect ratio kept.

    Args:
        width, height: of the image, pixels, 1 or more.
        resolution: side of a square of the same area, pixels (384 or 512; 64 for the tiny model).
        multiple: sides are cut down to a multiple of this (VAE factor 8 times patch 2), but not below it.

    Returns:
        `(width, height)` in pixels, as in diffusers' `VisualClozeProcessor.preprocess_image`.
    """
    aspect = width / height
    new_height = int((resolution * resolution / aspect) ** 0.5)
    new_width = int(new_height * aspect)
    return max(new_width // multiple, 1) * multiple, max(new_height // multiple, 1) * multiple


def resize_and_crop(image: Image.Image, width: int, height: int) -> Image.Image:
    """Scale an image to cover `width` x `height` and cut what sticks out, equally on both sides.

    Args:
        image: an RGB image.
        width, height: of the result, pixels.

    Returns:
        what diffusers' `VaeImageProcessor` gives with `resize_mode="crop"` (Lanczos), pixel for pixel. Only a
        image so long that the scaled one would have over `MAX_PIXELS` is cut before it is scaled.
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


def _read_path(path, where: str, max_bytes: int) -> bytes:
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


def _read_file(file, where: str, max_bytes: int) -> bytes:
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
    notes = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opened.load()
            frames = _frames(opened)
            orientation = _orientation(opened)
            result = flatten(opened, notes)
    except ImageError as error:
        raise ImageError(f"{where} {error}") from error
    except Exception as error:
        kind = f"{opened.format} file" if opened.format else f"image of mode {opened.mode}"
        raise ImageError(f"{where}: this {kind} is damaged or cut off ({error}): save it again") from error
    if result.width * result.height > max_pixels:  # a few formats tell their true size only now
        raise ImageError(f"{where} is {result.width} x {result.height}, too many pixels: save it smaller")
    if frames > 1:
        notes.append(f"holds {frames} frames: the first is used")
    for note in notes:
        warnings.warn(f"{where} {note}", ImageWarning, stacklevel=3)
    result.info.clear()  # the orientation must not be applied again when this image comes back
    return result.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else result


def _frames(opened: Image.Image) -> int:
    try:
        if opened.format in LAYERED or not getattr(opened, "is_animated", False):
            return 1
        return opened.n_frames
    except Exception:  # a later frame is broken: the first one is there, and is all we use
        return 1


def _orientation(opened: Image.Image) -> int | None:
    try:
        return opened.getexif().get(ORIENTATION)
    except Exception:  # broken EXIF beside a sound image: use it as it lies
        return None
