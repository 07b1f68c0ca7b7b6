"""VisualCloze, opened up: fill a grid of images, look at every tensor on the way, change it.

Every public name is imported when it is first used: `Grid` and the widgets need neither torch nor diffusers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers
    from visualcloze_nb.data.grid import Grid
    from visualcloze_nb.data.layout import Layout
    from visualcloze_nb.data.result import Result, read_provenance
    from visualcloze_nb.drawing import figures as show
    from visualcloze_nb.errors import (
        BusyError,
        Cancelled,
        FileError,
        GridError,
        ImageError,
        ImageWarning,
        LicenceWarning,
        LongRunWarning,
        MissingFileError,
        ModelError,
        ProvenanceError,
        SizeWarning,
        TextWarning,
        UsageError,
        VisualClozeError,
        VisualClozeWarning,
    )
    from visualcloze_nb.loading.load import load
    from visualcloze_nb.pipelines.combined import VisualClozePipeline, VisualClozeUpsamplingPipeline
    from visualcloze_nb.pipelines.generation import VisualClozeGenerationPipeline
    from visualcloze_nb.pipelines.upsampling import FluxFillPipeline
    from visualcloze_nb.sampling.flow import Step
    from visualcloze_nb.widgets.builder import GridBuilder

__version__ = "0.1.0"

__all__ = [
    "BusyError",
    "Cancelled",
    "FileError",
    "FluxFillPipeline",
    "Grid",
    "GridBuilder",
    "GridError",
    "ImageError",
    "ImageWarning",
    "Layout",
    "LicenceWarning",
    "LongRunWarning",
    "MissingFileError",
    "ModelError",
    "ProvenanceError",
    "Result",
    "SizeWarning",
    "Step",
    "TextWarning",
    "UsageError",
    "VisualClozeError",
    "VisualClozeGenerationPipeline",
    "VisualClozePipeline",
    "VisualClozeUpsamplingPipeline",
    "VisualClozeWarning",
    "__version__",
    "load",
    "read_provenance",
    "show",
]

_MODULES = {
    "FluxFillPipeline": "pipelines.upsampling",
    "Grid": "data.grid",
    "GridBuilder": "widgets.builder",
    "Layout": "data.layout",
    "Result": "data.result",
    "Step": "sampling.flow",
    "VisualClozeGenerationPipeline": "pipelines.generation",
    "VisualClozePipeline": "pipelines.combined",
    "VisualClozeUpsamplingPipeline": "pipelines.combined",
    "load": "loading.load",
    "read_provenance": "data.result",
    "show": "drawing.figures",
}  # all other names of __all__ are in errors


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES.get(name, 'errors')}")
    value = module if name == "show" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
