"""Grid builder, run panel and explorers for Jupyter, on ipywidgets and anywidget.

    draft.py            immutable snapshots of a grid under construction
    state.py            the builder's state, with undo and validation; no widgets
    gallery.py          toy images and example tasks
    code_export.py      a grid as Python code
    error_output.py     event handlers whose errors are shown
    notebook_output.py  a static image, then the live widget (keyboard.js keeps its keys from Jupyter)
    controls.py         a button, a number field, a row
    cell_text.py        a cell in words
    grid_view.py        the grid with drag and drop (grid_view.js, grid_view.css)
    plain_grid.py       the same in plain ipywidgets
    cell_form.py        form for the selected cell
    prompt_form.py      form for the texts
    run_estimate.py     tokens, steps and seconds of a run
    forward_hooks.py    live x0 previews and cancellation
    background_run.py   a run in a background thread
    run_panel.py        settings, estimate, progress and previews of a run
    builder.py          all of these in one form
    explorers.py        sliders over finished runs

Importing needs no torch; drawing toy images and running a model do.
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
