"""Explorers: a slider over what a run did. A sheet of images first, the slider after it.

Each explorer holds finished images, so moving its slider costs nothing and needs no model. `of` makes one
by running a pipeline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ipywidgets
import numpy as np
from PIL import Image

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.images import resize_and_crop
from visualcloze_nb.errors import GridError
from visualcloze_nb.widgets.error_output import Guard
from visualcloze_nb.widgets.state import place
from visualcloze_nb.widgets.static_page import Page, figure

GREY = (128, 128, 128)


class Explorer:
    """A static sheet, and a control that shows one entry of many. Subclasses say what the entries are.

    Attributes:
        box: the live widget; `show()` displays sheet and widget.
        control: the slider, or whatever chooses.
    """

    def __init__(self, control):
        self.guard, self.control, self.view = Guard(), control, ipywidgets.HTML()
        self.guard.wire("show", control, "value", lambda _: self.refresh())
        self.box = ipywidgets.VBox([self.guard.message, control, self.view])
        self._page = Page(self.box, self.sheet)
        self.refresh()

    def show(self) -> None:
        """Display the sheet and, unless static, the live control."""
        self._page.show()

    _ipython_display_ = show

    def refresh(self) -> None:
        """Show what the control stands at."""
        shown = "".join(figure(image, words, words, 256, "vcnb-big") for words, image in self.panels())
        self.view.value = f'<div style="display:flex;gap:12px;flex-wrap:wrap">{shown}</div>'

    def panels(self) -> list[tuple[str, Image.Image]]:
        """Words and images for what the control stands at."""
        raise NotImplementedError

    def sheet(self):
        """The static figure."""
        raise NotImplementedError


@dataclass(frozen=True)
class Moment:
    """A step of a run, decoded.

    Attributes:
        label: which step, at which noise.
        state: the noisy latents after the step, as an image.
        guess: the finished image as far as could be told.
    """

    label: str
    state: Image.Image
    guess: Image.Image


class StepExplorer(Explorer):
    """A slider over the steps of one run: the state, the running guess, and what changed in the guess.

    Args:
        moments: in order; `moments_of` decodes them from a run.
    """

    def __init__(self, moments: Sequence[Moment]):
        if not moments:
            raise ValueError("there are no steps to show: give those of a run")
        self.moments = list(moments)
        last = len(self.moments)
        style, layout = {"description_width": "initial"}, {"width": "480px"}
        super().__init__(ipywidgets.IntSlider(1, 1, last, description="Step", style=style, layout=layout))

    @classmethod
    def of(cls, pipe, grid: Grid, *, stage: int = 1, target: int = 0, **settings) -> StepExplorer:
        """Run a pipeline laid open and keep its steps.

        Args:
            pipe, grid: what to run.
            stage: 1 or 2.
            target: which target, from 0.
            settings: as for `pipe.steps`: seed, steps, strength …
        """
        return cls(moments_of(pipe, pipe.steps(grid, **settings), stage, target))

    def changes(self, number: int) -> tuple[Image.Image, float]:
        """How the guess differs from that of the step before: an image, and the mean of 255."""
        before = self.moments[max(number - 1, 0)].guess
        return difference(before, self.moments[number].guess)

    def panels(self):
        number = self.control.value - 1
        moment = self.moments[number]
        changed, mean = self.changes(number)
        words = "change of the guess (first step: none)" if number == 0 else f"change of the guess: {mean:.1f} of 255"
        return [(f"state, {moment.label}", moment.state), ("running guess", moment.guess), (words, changed)]

    def sheet(self):
        from visualcloze_nb.drawing.figures import sheet

        last = len(self.moments) - 1
        picks = sorted({round(last * part / 5) for part in range(6)})
        rows = [[self.moments[n].state for n in picks], [self.moments[n].guess for n in picks]]
        rows.append([self.changes(n)[0] for n in picks])
        titles = [f"step {n + 1}" for n in picks] + ["guess" for _ in picks]
        titles += [f"change {self.changes(n)[1]:.0f}" for n in picks]
        title = f"{len(self.moments)} steps: state, running guess, change of the guess"
        return sheet([one for row in rows for one in row], titles, cols=len(picks), title=title)


def moments_of(pipe, steps, stage: int = 1, target: int = 0) -> list[Moment]:
    """Decode the steps of a run.

    Args:
        pipe: the pipeline they come from.
        steps: from `pipe.steps(grid)`.
        stage: 1 or 2: which steps.
        target: which target's image, from 0.
    """
    moments = []
    for step in steps:
        if step.stage != stage or (stage == 2 and step.target != target):
            continue
        which = target if stage == 1 else 0
        label = f"step {step.index + 1} of {step.total}, noise {step.sigma:.2f} to {step.sigma_next:.2f}"
        moments.append(Moment(label, pipe.read(step)[which], pipe.read(step, step.x0)[which]))
    return moments


class StrengthExplorer(Explorer):
    """A slider over the strength of stage 2: from a copy to a new image.

    Args:
        results: by strength, the first target; `of` makes them.
        stage1: the target after stage 1.
    """

    def __init__(self, results: Mapping[float, Image.Image], stage1: Image.Image):
        if not results:
            raise ValueError("there are no strengths to show: give at least one")
        self.results, self.stage1 = dict(sorted(results.items())), stage1
        options = [(f"{strength:.2f}", strength) for strength in self.results]
        style, layout = {"description_width": "initial"}, {"width": "480px"}
        slider = ipywidgets.SelectionSlider(options=options, description="Strength", style=style, layout=layout)
        super().__init__(slider)

    @classmethod
    def of(cls, pipe, grid: Grid, strengths=(0.1, 0.2, 0.4, 0.6, 0.8, 1.0), **settings) -> StrengthExplorer:
        """Fill a grid once for every strength, with the same noise.

        Args:
            pipe, grid: what to run.
            strengths: of stage 2, each above 0 and at most 1.
            settings: as for `pipe.fill`: seed (0 unless given), steps …
        """
        settings = {"seed": 0, "progress": False, **settings}
        done = {strength: pipe.fill(grid, strength=strength, **settings) for strength in strengths}
        return cls({strength: one.image for strength, one in done.items()}, next(iter(done.values())).stage1[0])

    def _off(self, image: Image.Image) -> float:
        return difference(self.stage1.resize(image.size, Image.Resampling.LANCZOS), image)[1]

    def panels(self):
        strength = self.control.value
        image = self.results[strength]
        words = f"strength {strength:.2f}, differs by {self._off(image):.1f} of 255"
        return [(f"stage 1, {self.stage1.width} x {self.stage1.height}", self.stage1), (words, image)]

    def sheet(self):
        from visualcloze_nb.drawing.figures import sheet

        images = [self.stage1, *self.results.values()]
        titles = ["stage 1"] + [f"{strength:.2f}" for strength in self.results]
        return sheet(images, titles, cols=4, title="Stage 2 by strength: from a copy to a new image")


class GreyOutExplorer(Explorer):
    """Grey out one cell, and see what the answer becomes without it.

    Args:
        grid: the grid that was filled.
        answer: its first target.
        without: by cell (row, column from 0), the first target with that cell grey.
    """

    def __init__(self, grid: Grid, answer: Image.Image, without: Mapping[tuple[int, int], Image.Image]):
        self.grid, self.answer, self.without = grid, answer, dict(without)
        options = [("none: all cells as they are", None)] + [(f"grey: {place(*cell)}", cell) for cell in self.without]
        style, layout = {"description_width": "initial"}, {"width": "360px"}
        super().__init__(ipywidgets.Dropdown(options=options, description="Cell", style=style, layout=layout))

    @classmethod
    def of(cls, pipe, grid: Grid, cells=None, **settings) -> GreyOutExplorer:
        """Fill a grid as it is, and once more for every cell greyed out, with the same noise.

        Args:
            pipe, grid: what to run.
            cells: (row, column from 0); by default every image of the examples.
            settings: as for `pipe.fill`; seed 0, and no stage 2, unless given.
        """
        settings = {"seed": 0, "strength": 0, "progress": False, **settings}
        if cells is None:
            cells = [(row, col) for row in range(grid.n_rows - 1) for col in range(grid.n_cols)]
        answer = pipe.fill(grid, **settings).image
        return cls(grid, answer, {cell: pipe.fill(grey_out(grid, *cell), **settings).image for cell in cells})

    def panels(self):
        cell = self.control.value
        if cell is None:
            return [("grid", self.grid.image(cell=64)), ("answer with all cells", self.answer)]
        image = self.without[cell]
        changed, mean = difference(self.answer, image)
        return [
            (f"grid, {place(*cell)} grey", grey_out(self.grid, *cell).image(cell=64)),
            ("answer with all cells", self.answer),
            (f"answer without {place(*cell)}", image),
            (f"difference: {mean:.1f} of 255", changed),
        ]

    def sheet(self):
        from visualcloze_nb.drawing.figures import sheet

        titles = ["all cells"]
        for cell, image in self.without.items():
            titles.append(f"without {cell[0] + 1},{cell[1] + 1}: {difference(self.answer, image)[1]:.1f}")
        title = "The answer without one cell (row, column), and how far it is from the one with all, of 255"
        return sheet([self.answer, *self.without.values()], titles, cols=4, title=title)


def grey_out(grid: Grid, row: int, col: int) -> Grid:
    """Replace one image of a grid by plain grey of its size.

    Raises:
        GridError: if there is no such cell, or it is a target.
    """
    if not (0 <= row < grid.n_rows and 0 <= col < grid.n_cols):
        raise GridError(f"there is no {place(row, col)}: the grid is {grid.n_rows} x {grid.n_cols}")
    image = grid.rows[row][col]
    if image is None:
        raise GridError(f"{place(row, col)} is a target: there is nothing to grey out")
    rows = grid.to_lists()
    rows[row][col] = Image.new("RGB", image.size, GREY)
    return grid.replace(rows=rows)


def difference(one: Image.Image, other: Image.Image) -> tuple[Image.Image, float]:
    """How two images differ: brightened so that the most is white, and the mean difference of 255."""
    off = np.abs(np.asarray(one).astype(int) - np.asarray(resize_and_crop(other, *one.size))).astype(float)
    if off.max() == 0:
        return Image.new("RGB", one.size, "black"), 0.0
    return Image.fromarray((off.max(-1) * 255 / off.max()).astype(np.uint8)).convert("RGB"), float(off.mean())
