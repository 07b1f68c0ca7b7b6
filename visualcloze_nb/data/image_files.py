"""Image files as untrusted input: bytes from a path or a file object, opened by Pillow, with limits."""

from __future__ import annotations

import io
import os
import re
import warnings
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from PIL import ExifTags, Image, JpegImagePlugin

from visualcloze_nb.errors import ImageError, shorten

REFUSED = {"EPS", "WMF"}  # reading these starts another program, or the system's drawing interface
RAW = "it is a camera's raw file: develop it and save it as JPEG"
HINTS = (  # common mistakes, recognised by a piece of the first bytes
    (b"<svg", "it is an SVG drawing: export it as PNG"),
    (b"<!doctype html", "it is a web page: download the image itself"),
    (b"<html", "it is a web page: download the image itself"),
    (b"%pdf", "it is a PDF: export the page as PNG"),
    (b"%!ps", "it is PostScript: export it as PNG"),
    *((mark, "it is HEIC: save it as JPEG or PNG") for mark in (b"ftyphei", b"ftyphev", b"ftypmif1", b"ftypmsf1")),
    (b"git-lfs", "it is a Git LFS pointer: run git lfs pull"),
    *((mark, RAW) for mark in (b"iiro\x08\0", b"iirs\x08\0", b"mmor\0\x08", b"iiu\0", b"fujifilmccd-raw", b"ftypcrx")),
)
ADDRESS = re.compile(r"\s*([a-z][a-z0-9+.-]+):/|\s*data:", re.IGNORECASE)  # a Windows drive has one letter
BASE64 = re.compile(rb"\s*[A-Za-z0-9+/_=-]{60}")  # lines of MIME are longer, words are not
DECODE = "it looks like base64: pass base64.b64decode(text)"


def read_path(path: str | os.PathLike[str], where: str, max_bytes: int) -> bytes:
    """Read a file as bytes, or say why the path leads to none."""
    try:
        text = os.fsdecode(path)
    except Exception as error:
        raise ImageError(f"{where}: the path cannot be read ({shorten(error)}): pass a str or a Path") from error
    if not text.strip():
        raise ImageError(f"{where} is an empty text, not an image: give a path, or None for a cell to be filled")
    _refuse_address(text, where)
    shown = repr(shorten(text, 120))
    try:
        file = Path(text).expanduser()
        if not file.is_file():  # also keeps out devices and pipes, which may never end
            reason = "is a folder, not a file" if file.is_dir() else "does not exist"
            if reason == "does not exist" and len(text) > 200 and BASE64.match(text[:80].encode(errors="ignore")):
                raise ImageError(f"{where}: {shown} is no path: {DECODE}")
            raise ImageError(f"{where}: {shown} {reason}: give the path of an image file")
        with file.open("rb") as opened:
            return within(opened.read(max_bytes + 1), where, max_bytes)
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, ImageError):
            raise
        if len(text) > 200 and BASE64.match(text[:80].encode(errors="ignore")):
            raise ImageError(f"{where}: {shown} is no path: {DECODE}") from error
        reason = shorten(getattr(error, "strerror", None) or error)
        raise ImageError(f"{where}: {shown} cannot be read ({reason}): give the path of an image file") from error


def _refuse_address(text: str, where: str) -> None:
    match = ADDRESS.match(text)
    if match is None:
        return
    scheme = (match[1] or "data").lower()
    if scheme == "file":
        address = urlsplit(text.strip()[:2000])
        path = unquote(address.netloc + address.path)
        raise ImageError(f"{where} is a file:// address: give the path alone, {shorten(path)!r}")
    if scheme == "data":
        raise ImageError(
            f'{where} is a data: address, not a file: pass base64.b64decode(text.split(",", 1)[1]), the bytes in it'
        )
    raise ImageError(f"{where} is an address ({shorten(text)}), not a file: download the image first and give its path")


def read_file(file: IO[bytes], where: str, max_bytes: int) -> bytes:
    """Read a binary file object as bytes, from its start if it can be rewound."""
    try:
        if getattr(file, "closed", False) is True:
            raise ImageError(f"{where}: its file was closed before it was read: pass the path, or open it again")
        if hasattr(file, "seekable") and file.seekable():
            file.seek(0)
        data = file.read(max_bytes + 1)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"{where}: the file object cannot be read ({shorten(error)}): pass the path") from error
    if not isinstance(data, bytes):
        raise ImageError(f'{where}: the file object gives text: open it with mode "rb"')
    return within(data, where, max_bytes)


def within(data: bytes, where: str, max_bytes: int) -> bytes:
    """Return `data`, or refuse it if it is too long."""
    if len(data) > max_bytes:
        raise ImageError(f"{where} has more than {max_bytes / 2**20:.0f} MB: save a smaller version")
    return data


def open_bytes(data: bytes, where: str) -> Image.Image:
    """Open the bytes of an image file, without decoding it."""
    if not data:
        raise ImageError(f"{where} is empty (0 bytes): give an image file")
    Image.init()
    formats = [name for name in Image.ID if name not in REFUSED]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own limits and notes replace Pillow's warnings
            try:
                return Image.open(io.BytesIO(data), formats=formats)
            except Image.DecompressionBombError:
                if not data.startswith(b"\xff\xd8"):
                    raise
                return JpegImagePlugin.JpegImageFile(io.BytesIO(data))  # it can be decoded at half its size
    except Image.DecompressionBombError as error:
        raise ImageError(f"{where} has too many pixels: save a smaller version ({shorten(error, 100)})") from error
    except Exception as error:
        start = data[:512].lower()
        hint = next((text for mark, text in HINTS if mark in start), "save it as PNG or JPEG")
        if BASE64.match(data[:80]) or start.lstrip().startswith(b"data:"):
            hint = DECODE
        raise ImageError(f"{where} is not an image that can be read: {hint}") from error


def halved(opened: Image.Image, max_pixels: int) -> Image.Image:
    """Let a JPEG with up to four times `max_pixels` be decoded at half its size, in a new image."""
    width, height = opened.size
    if not (isinstance(opened, JpegImagePlugin.JpegImageFile) and opened.tile and opened.fp is not None):
        return opened
    if not max_pixels < width * height <= 4 * max_pixels:
        return opened
    place = opened.fp.tell()
    opened.fp.seek(0)
    again = JpegImagePlugin.JpegImageFile(io.BytesIO(opened.fp.read()))  # the caller's image keeps its size
    opened.fp.seek(place)
    again.draft(None, (width // 2, height // 2))  # pyright: ignore[reportArgumentType]  # None keeps the mode
    return again


def is_closed(image: Image.Image) -> bool:
    """Whether the pixels of a PIL image can no longer be read, because it or its file was closed."""
    if "DeferredError" in type(getattr(image, "_im", None)).__name__:
        return True
    if not getattr(image, "tile", None):
        return False
    file = getattr(image, "fp", None)
    return file is None or getattr(file, "closed", False) is True


def is_raw_preview(image: Any) -> bool:
    """Whether an image is the preview in a camera's raw file: a reduced image of a TIFF, a DNG or a CR2."""
    tags = getattr(image, "tag_v2", None)
    if image.format != "TIFF" or tags is None:
        return False
    reduced = tags.get(254)  # NewSubfileType
    raw = 50706 in tags or (330 in tags and 271 in tags)  # DNGVersion; SubIFDs beside the maker of a camera
    return raw or (isinstance(reduced, int) and bool(reduced & 1))


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8, from the EXIF tags or else from XMP."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # broken EXIF beside a sound image
        found = None
    if isinstance(found, int) and 1 <= found <= 8:
        return found
    for key in ("XML:com.adobe.xmp", "xmp", "Raw profile type xmp"):
        text = image.info.get(key, b"")
        text = text.encode(errors="ignore") if isinstance(text, str) else bytes(text)
        if key.startswith("Raw"):
            try:
                text = bytes.fromhex("".join(text.decode().split("\n")[3:]))
            except ValueError:
                continue
        match = re.search(rb"tiff:Orientation\s*(?:=\s*[\"']|>)\s*([1-8])", text)
        if match:
            return int(match[1])
    return 1
