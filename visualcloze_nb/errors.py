"""Every exception and warning of the package.

All errors derive from `VisualClozeError`, all warnings from `VisualClozeWarning`. An error keeps the built-in type
that fits it as its second base, so that `except ValueError` catches it too.
"""

from __future__ import annotations


class VisualClozeError(Exception):
    """Base class of the package's errors."""


class GridError(VisualClozeError, ValueError):
    """A grid breaks a rule; the message names the cell and says what to do."""


class ImageError(VisualClozeError, ValueError):
    """An image cannot be used; the message names its place and says what to do."""


class ProvenanceError(VisualClozeError, ValueError):
    """A file holds no provenance that can be read."""


class FileError(VisualClozeError, OSError):
    """A file cannot be written or read; the message names it."""


class MissingFileError(FileError, FileNotFoundError):
    """There is no such file; the message names it."""


class ModelError(VisualClozeError, RuntimeError):
    """A model cannot be loaded here; the message says what to do."""


class UsageError(VisualClozeError, ValueError):
    """A call or a command cannot use the value of an argument; the message names it."""


class BusyError(VisualClozeError, RuntimeError):
    """Another run holds the pipeline or one that shares its components."""


class Cancelled(VisualClozeError):
    """The user stopped a run."""


class VisualClozeWarning(UserWarning):
    """Base class of the package's warnings."""


class ImageWarning(VisualClozeWarning):
    """An image is used, but not all of it, or with changed values."""


class SizeWarning(VisualClozeWarning):
    """A size was changed to one that the model can make; the message gives it."""


class LongRunWarning(VisualClozeWarning):
    """A call will take more than a minute; the message gives an estimate."""


class TextWarning(VisualClozeWarning):
    """The model does not read all of a text; the message says which part."""


class LicenceWarning(VisualClozeWarning):
    """What the licence of a released model requires; given once."""


def shorten(value: object, limit: int = 60) -> str:
    """Return the text of a value in one line of at most `limit` characters, its middle cut out, for a message."""
    text = str(value)
    if len(text) > 4 * limit:
        text = text[: 2 * limit] + text[-2 * limit :]
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[: limit // 2]}…{text[1 - limit + limit // 2 :]}"


def shown(value: object, limit: int = 80) -> str:
    """Return the `repr` of any value in one line of at most `limit` characters, for a message."""
    if isinstance(value, int) and value.bit_length() > 4000:  # Python refuses to write it
        return f"a whole number of {value.bit_length()} bits"
    try:
        return shorten(repr(value), limit)
    except Exception:  # an object's own repr may fail
        return f"of type {shorten(type(value).__name__)}"
