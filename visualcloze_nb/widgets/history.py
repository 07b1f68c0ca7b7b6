"""Past runs of a builder: what was run, the answer, and how far it is from the ground truth."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from visualcloze_nb.data.result import Result
from visualcloze_nb.widgets.cards import Cards, source
from visualcloze_nb.widgets.draft import Cell, Draft, size_text
from visualcloze_nb.widgets.error_output import ErrorOutput
from visualcloze_nb.widgets.image_difference import difference
from visualcloze_nb.widgets.notebook_output import figure, figures

KEPT = 12  # runs: their images take memory


@dataclass(eq=False)
class PastRun:
    """A finished run.

    Attributes:
        draft: what was run, whatever was opened meanwhile.
        result: what came out.
        settings: of the panel, the arguments of `fill`.
    """

    draft: Draft
    result: Result
    settings: dict[str, Any]

    @property
    def answered(self) -> Draft:
        """The draft with the answer in its targets."""
        note = f"from the model, seed {self.result.seed}"
        cells = [Cell(image, f"{note}, {size_text(image)}") for image in self.result.images]
        predictions = dict(zip(self.result.grid.targets, cells, strict=True))
        return replace(self.draft, predictions=predictions, answered=self.draft.texts)

    def is_of(self, draft: Draft) -> bool:
        """Whether a draft is still the one that was run: the same images, targets and texts."""
        return self.draft.same_images(draft) and self.draft.texts == draft.texts

    @property
    def error(self) -> float | None:
        """Mean absolute difference of the first target from its ground truth, 0 to 255; None if that is unknown."""
        truth, sure = self.draft.truth(self.result.grid.targets[0])
        return None if truth is None or not sure else difference(truth, self.result.image)[1]

    def html(self, outdated: bool) -> str:
        """The answer, and beside it the ground truth and the difference where there is one."""
        panels = []
        for col, image in zip(self.result.grid.targets, self.result.images, strict=True):
            name = f"column {col + 1}"
            panels.append(_panel(image, f"{name}: the answer, {size_text(image)}"))
            truth, sure = self.draft.truth(col)
            if truth is None:
                continue
            off, mean = difference(truth, image)
            panels.append(_panel(truth, f"{name}: {'ground truth' if sure else 'image under the target'}"))
            panels.append(_panel(off, f"{name}: difference, on average {mean:.1f} of 255"))
        said = f"Answer with seed {self.result.seed}"
        if outdated:
            text = f"{said}: outdated, the grid was changed since. Run again, or open it under Past runs."
            return f'<div class="vcnb-outdated">{html.escape(text)}</div>{figures(panels)}'
        return f"<div>{html.escape(said)}</div>{figures(panels)}"


def _panel(image: Image.Image, text: str) -> str:
    return figure(image, text, text, 256, "vcnb-big")


class History:
    """The strip of past runs.

    Args:
        errors: shows what `go_back` raises.
        go_back: called with the run that was chosen.
        plain: without cards.

    Attributes:
        runs: the newest first, at most `KEPT`.
        box: the widget.
    """

    def __init__(self, errors: ErrorOutput, go_back: Callable[[PastRun], object], plain: bool = False):
        self.runs: list[PastRun] = []
        self.cards = Cards(errors, "Past run", lambda number: go_back(self.runs[number]), plain)
        self.box: Any = self.cards.box
        self.box.layout.display = "none"

    def add(self, run: PastRun) -> None:
        """Add a run in front."""
        self.runs = [run, *self.runs][:KEPT]
        self.cards.show([_card(one) for one in self.runs])
        self.box.layout.display = None


def _card(run: PastRun) -> dict[str, str]:
    settings = run.result.settings
    says = f"{settings.steps} steps" if settings is not None else ""
    if run.error is not None:
        says += f", off by {run.error:.1f}"
    title = f"seed {run.result.seed}"
    return {"group": "Past runs", "title": title, "says": says, "src": source(run.result.image)}
