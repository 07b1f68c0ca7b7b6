"""VisualCloze, opened up: fill a grid of pictures, look at every tensor on the way, change it.

`Grid` and the pictures need neither torch nor diffusers. What runs a model is imported when it is first used.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

_HOME = {
    "Grid": "grid",
    "GridError": "grid",
    "Layout": "grid",
    "ImageError": "images",
    "ImageNote": "images",
    "Result": "result",
    "load": "models",
    "VisualClozePipeline": "pipeline",
    "VisualClozeGenerationPipeline": "pipeline",
    "VisualClozeUpsamplingPipeline": "pipeline",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
