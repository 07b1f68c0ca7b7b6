"""The grid builder and the explorers: make a grid with your hands, and watch it being filled.

    state.py     what a builder holds, with undo; no widgets
    gallery.py   images and ready tasks of the toy world
    code.py      a grid as Python
    guard.py     no error of a widget is lost
    page.py      a static image first, the live widget after it (shield.js keeps its keys from Jupyter)
    cells.py     the grid on the page, from ipywidgets alone
    drop.py      the same with drag and drop (grid_view.js, grid_view.css)
    builder.py   the form around it
    pace.py      tokens, steps and seconds of a run
    tap.py       listening to a run, and stopping it
    run.py       the run panel
    explore.py   sliders over finished runs

Nothing here imports torch before an image is drawn or a model is run.
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
