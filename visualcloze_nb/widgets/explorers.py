"""Explorers: a slider over the images of finished runs, after a static sheet of them.

Moving the slider needs no model; the class method `of` runs a pipeline to make the images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ipywidgets
from PIL import Image

from visualcloze_nb.data.grid import Grid, grey_out
from visualcloze_nb.errors import UsageError
from visualcloze_nb.widgets.controls import FULL_LABEL
from visualcloze_nb.widgets.draft import place
from visualcloze_nb.widgets.error_output import ErrorOutput
from visualcloze_nb.widgets.image_difference import difference
from visualcloze_nb.widgets.notebook_output import NotebookOutput, figure, figures
from visualcloze_nb.widgets.progress import counted

if TYPE_CHECKING:
    from visualcloze_nb.drawing.notebook_figure import NotebookFigure
    from visualcloze_nb.pipelines.combined import VisualClozePipeline
    from visualcloze_nb.sampling.flow import Step

WIDE = {"width": "480px"}


class Explorer:
    """Base class: a static sheet of images, and a control that selects what is shown.

    Attributes:
        box: the live widget; `show()` displays sheet and widget.
        control: the slider or list.
    """

    def __init__(self, control: Any):
        self.errors, self.control, self.view = ErrorOutput(), control, ipywidgets.HTML()
        self.errors.connect("show", control, "value", lambda _: self.refresh())
        self.box = ipywidgets.VBox([self.errors.message, control, self.view])
        self._output = NotebookOutput(self.box, self.sheet)
        self.refresh()

    def show(self) -> None:
        """Display the sheet and, unless static, the live control."""
        self._output.show()

    _ipython_display_ = show

    def refresh(self) -> None:
        """Show the selected images."""
        self.view.value = figures([figure(image, text, text, 256, "vcnb-big") for text, image in self.panels()])

    def panels(self) -> list[tuple[str, Image.Image]]:
        """Captions and images of what is selected."""
        raise NotImplementedError

    def sheet(self) -> NotebookFigure:
        """The static figure."""
        raise NotImplementedError


@dataclass(frozen=True)
class DecodedStep:
    """A step of a run, decoded to images.

    Attributes:
        label: number and noise levels of the step.
        latents: the noisy latents after the step.
        x0: the x0 prediction.
    """

    label: str
    latents: Image.Image
    x0: Image.Image


class StepExplorer(Explorer):
    """A slider over the steps of one run: noisy latents, x0 prediction, and how the prediction changed.

    Args:
        steps: in order; `decode_steps` makes them from a run.
    """

    def __init__(self, steps: Sequence[DecodedStep]):
        if not steps:
            raise UsageError("there are no steps to show: give those of a run")
        self.steps = list(steps)
        middle = len(steps) // 2 + 1  # the first shows noise and no change
        super().__init__(ipywidgets.IntSlider(middle, 1, len(steps), description="Step", style=FULL_LABEL, layout=WIDE))

    @classmethod
    def of(
        cls, pipe: VisualClozePipeline, grid: Grid, *, stage: int = 1, target: int = 0, **settings: Any
    ) -> StepExplorer:
        """Run a pipeline step by step and decode the steps.

        Args:
            pipe: the pipeline to run.
            grid: the grid to fill.
            stage: 1 or 2.
            target: which target, from 0.
            settings: as for `pipe.steps`: seed, steps, strength …
        """
        return cls(decode_steps(pipe, counted(pipe.steps(grid, **settings), "step"), stage, target))

    def changes(self, number: int) -> tuple[Image.Image, float]:
        """How an x0 prediction differs from that of the step before: an image, and the mean in 0 to 255."""
        return difference(self.steps[max(number - 1, 0)].x0, self.steps[number].x0)

    def panels(self) -> list[tuple[str, Image.Image]]:
        number = self.control.value - 1
        step = self.steps[number]
        changed, mean = self.changes(number)
        text = "change of the prediction" + (" (first step: none)" if number == 0 else f": {mean:.1f} of 255")
        return [(f"latents, {step.label}", step.latents), ("x0 prediction", step.x0), (text, changed)]

    def sheet(self) -> NotebookFigure:
        from visualcloze_nb.drawing.figures import sheet

        last = len(self.steps) - 1
        picks = sorted({round(last * part / 5) for part in range(6)})
        images = [self.steps[n].latents for n in picks] + [self.steps[n].x0 for n in picks]
        titles = [f"step {n + 1}" for n in picks] + ["x0" for _ in picks]
        images += [self.changes(n)[0] for n in picks]
        titles += [f"change {self.changes(n)[1]:.0f}" for n in picks]
        title = f"{len(self.steps)} steps: latents, x0 prediction, change of the prediction"
        return sheet(images, titles, cols=len(picks), title=title)


def decode_steps(
    pipe: VisualClozePipeline, steps: Iterable[Step], stage: int = 1, target: int = 0
) -> list[DecodedStep]:
    """Decode the steps of a run.

    Args:
        pipe: the pipeline that they come from.
        steps: from `pipe.steps(grid)`.
        stage: 1 or 2: which steps.
        target: which target's image, from 0.
    """
    decoded = []
    for step in steps:
        if step.stage != stage or (stage == 2 and step.target != target):
            continue
        which = target if stage == 1 else 0
        label = f"step {step.index + 1} of {step.total}, noise {step.sigma:.2f} to {step.sigma_next:.2f}"
        decoded.append(DecodedStep(label, pipe.read(step)[which], pipe.read(step, step.x0)[which]))
    return decoded


class StrengthExplorer(Explorer):
    """A slider over the strength of stage 2: from a copy to a new image.

    Args:
        results: the first target by strength; `of` makes them.
        stage1: the target after stage 1.
    """

    def __init__(self, results: Mapping[float, Image.Image], stage1: Image.Image):
        if not results:
            raise UsageError("there are no strengths to show: give at least one")
        self.results, self.stage1 = dict(sorted(results.items())), stage1
        options = [(f"{strength:.2f}", strength) for strength in self.results]
        middle = options[len(options) // 2][1]
        slider = ipywidgets.SelectionSlider(options=options, value=middle, description="Strength", layout=WIDE)
        slider.style = FULL_LABEL
        super().__init__(slider)

    @classmethod
    def of(
        cls,
        pipe: VisualClozePipeline,
        grid: Grid,
        strengths: Sequence[float] = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0),
        **settings: Any,
    ) -> StrengthExplorer:
        """Fill a grid once for every strength, with the same noise.

        Args:
            pipe: the pipeline to run.
            grid: the grid to fill.
            strengths: of stage 2, each above 0 and at most 1.
            settings: as for `pipe.fill`: seed (0 unless given), steps …
        """
        settings = {"seed": 0, "progress": False, **settings}
        runs = counted(strengths, "run", len(strengths))
        done = {strength: pipe.fill(grid, strength=strength, **settings) for strength in runs}
        return cls({strength: one.image for strength, one in done.items()}, next(iter(done.values())).stage1[0])

    def _distance(self, image: Image.Image) -> float:
        return difference(self.stage1.resize(image.size, Image.Resampling.LANCZOS), image)[1]

    def panels(self) -> list[tuple[str, Image.Image]]:
        strength = self.control.value
        image = self.results[strength]
        text = f"strength {strength:.2f}, differs by {self._distance(image):.1f} of 255"
        return [(f"stage 1, {self.stage1.width} x {self.stage1.height}", self.stage1), (text, image)]

    def sheet(self) -> NotebookFigure:
        from visualcloze_nb.drawing.figures import sheet

        images = [self.stage1, *self.results.values()]
        titles = ["stage 1"] + [f"{strength:.2f}" for strength in self.results]
        return sheet(images, titles, cols=4, title="Stage 2 by strength: from a copy to a new image")


class GreyOutExplorer(Explorer):
    """A list of cells: the prediction with one cell greyed out, beside that of the whole grid.

    Args:
        grid: the grid that was filled.
        prediction: its first target.
        without: the first target by the cell (row, column from 0) that was greyed out.
    """

    def __init__(self, grid: Grid, prediction: Image.Image, without: Mapping[tuple[int, int], Image.Image]):
        self.grid, self.prediction, self.without = grid, prediction, dict(without)
        options = [("none: all cells as they are", None)] + [(f"grey: {place(*cell)}", cell) for cell in self.without]
        first = next(iter(self.without), None)
        control = ipywidgets.Dropdown(options=options, value=first, description="Cell", style=FULL_LABEL, layout=WIDE)
        super().__init__(control)

    @classmethod
    def of(
        cls, pipe: VisualClozePipeline, grid: Grid, cells: Sequence[tuple[int, int]] | None = None, **settings: Any
    ) -> GreyOutExplorer:
        """Fill a grid as it is, and once more for every cell greyed out, with the same noise.

        Args:
            pipe: the pipeline to run.
            grid: the grid to fill.
            cells: (row, column from 0); by default all cells of the examples.
            settings: as for `pipe.fill`; seed 0, and no stage 2, unless given.
        """
        settings = {"seed": 0, "strength": 0, "progress": False, **settings}
        if cells is None:
            cells = [(row, col) for row in range(grid.n_rows - 1) for col in range(grid.n_cols)]
        prediction = pipe.fill(grid, **settings).image
        runs = counted(cells, "run", len(cells))
        return cls(grid, prediction, {cell: pipe.fill(grey_out(grid, *cell), **settings).image for cell in runs})

    def panels(self) -> list[tuple[str, Image.Image]]:
        cell = self.control.value
        if cell is None:
            return [("grid, all cells", self.grid.image(cell=64)), ("prediction with all cells", self.prediction)]
        image = self.without[cell]
        changed, mean = difference(self.prediction, image)
        return [
            (f"grid, {place(*cell)} grey", grey_out(self.grid, *cell).image(cell=64)),
            ("prediction with all cells", self.prediction),
            (f"prediction without {place(*cell)}", image),
            (f"difference: {mean:.1f} of 255", changed),
        ]

    def sheet(self) -> NotebookFigure:
        from visualcloze_nb.drawing.figures import sheet

        titles = ["all cells"]
        for cell, image in self.without.items():
            titles.append(f"without {cell[0] + 1},{cell[1] + 1}: {difference(self.prediction, image)[1]:.1f}")
        title = "Prediction without one cell (row, column), and its distance from that of the whole grid, of 255"
        return sheet([self.prediction, *self.without.values()], titles, cols=4, title=title)
