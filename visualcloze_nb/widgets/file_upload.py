"""Files of an upload control, read alike from ipywidgets 7, which Colab has, and 8."""

from __future__ import annotations

from typing import Any

import ipywidgets

SEVEN = ipywidgets.__version__.startswith("7.")


def files(value: Any) -> list[tuple[str, bytes]]:
    """Names and contents of the files in a `FileUpload.value`: a dict by name in 7, a tuple of dicts in 8."""
    if SEVEN:
        return [(name, bytes(file["content"])) for name, file in value.items()]
    return [(file["name"], bytes(file["content"])) for file in value]


def forget(upload: Any) -> None:
    """Empty an upload control, so that the same file can be chosen again."""
    if SEVEN:
        upload.metadata, upload.data, upload._counter = [], [], 0
        upload.set_trait("value", {})
    else:
        upload.value = ()
