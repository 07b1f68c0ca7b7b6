"""VisualCloze, opened up: fill a grid of images, look at every tensor on the way, change it.

`Grid` and the images need neither torch nor diffusers. What runs a model is imported when it is first used.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

_HOME = {
    "Grid": "data.grid",
    "Layout": "data.layout",
    "GridError": "errors",
    "ImageError": "errors",
    "ImageWarning": "errors",
    "Result": "data.result",
    "load": "loading.load",
    "VisualClozePipeline": "pipelines.combined",
    "VisualClozeGenerationPipeline": "pipelines.generation",
    "VisualClozeUpsamplingPipeline": "pipelines.combined",
    "show": "drawing.figures",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = importlib.import_module(f"{__name__}.{_HOME[name]}")
    if name != "show":
        value = getattr(value, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
