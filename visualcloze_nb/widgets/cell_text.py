"""Describe a builder's cell in words, for captions, alt texts and error messages."""

from __future__ import annotations

from dataclasses import dataclass

from visualcloze_nb.widgets.draft import place
from visualcloze_nb.widgets.state import BuilderState

EMPTY_TEXT = "drop, paste or choose an image"


@dataclass(frozen=True)
class CellText:
    """A cell in words.

    Attributes:
        kind: `image`, `empty`, `target` or `prediction`.
        text: what is in it, such as `cat.jpg, 640 x 480`.
        problem: why an image was rejected, or, once a run was tried, why it cannot be run; or "".
        refused: whether the problem is a rejected image.
    """

    kind: str
    text: str
    problem: str
    refused: bool


def describe(state: BuilderState, row: int, col: int) -> CellText:
    """Describe a cell, counted from 0."""
    cell = state.shown(row, col)
    if state.is_target(row, col):
        outdated = ", outdated" if state.draft.outdated else ""
        kind, text = ("target", "target") if cell.image is None else ("prediction", f"target: {cell.note}{outdated}")
    else:
        kind, text = ("empty", EMPTY_TEXT) if cell.image is None else ("image", cell.note)
    if why := state.refused.get((row, col)):
        return CellText(kind, text, why, True)
    return CellText(kind, text, state.problems.get((row, col), "") if state.tried else "", False)


def caption_problem(state: BuilderState, row: int, col: int) -> str:
    """Shorten a cell's problem to stand at the cell, without the cell's name in front."""
    described = describe(state, row, col)
    return described.problem if described.refused else described.problem.removeprefix(f"{place(row, col)} is ")
