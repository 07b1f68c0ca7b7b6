"""Grid builder, run panel and explorers for Jupyter, on ipywidgets and anywidget.

`state.py` holds what is built, without widgets; `builder.py` assembles the forms, the grid and the run panel around
it; `explorers.py` has sliders over finished runs. Importing needs no torch; drawing toy images and running a model do.
"""

from visualcloze_nb.widgets.builder import GridBuilder
from visualcloze_nb.widgets.explorers import GreyOutExplorer, StepExplorer, StrengthExplorer
from visualcloze_nb.widgets.gallery import toy_image
from visualcloze_nb.widgets.run_panel import RunPanel
from visualcloze_nb.widgets.state import BuilderState

__all__ = [
    "BuilderState",
    "GreyOutExplorer",
    "GridBuilder",
    "RunPanel",
    "StepExplorer",
    "StrengthExplorer",
    "toy_image",
]
