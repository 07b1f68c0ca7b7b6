"""Kept rows and the training grids that they make: any row as the query, any others as examples above it.

A `RowSet` holds `N` rows of one task as latents, so `N` rows make about `N ** (examples + 1)` grids. A `Batch` is what
the transformer reads in training: what the pipeline feeds it, and the ground truth.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from visualcloze_nb.data.layout import Layout
from visualcloze_nb.sampling.latents import position_ids
from visualcloze_nb.toyworld.scene_batch import SceneBatch

NOISE_SHIFT = 3.0


@dataclass(frozen=True)
class GridShape:
    """What all grids of a batch share: they are one tensor.

    Args:
        rows, cols: of the grid.
        cell: (width, height) in pixels.
        what: "task", "caption" (a described target), "hole" (a hole in a cell), or "stage 2".
        worded: whether the prompts say more than the layout; without, they are short.
        queries: how many of the rows, counted from the last, have their targets blank. The pipeline asks for one;
            training on several gives more answers for the same arithmetic.
    """

    rows: int
    cols: int
    cell: tuple[int, int]
    what: str = "task"
    worded: bool = True
    queries: int = 1

    @property
    def row(self) -> tuple[int, tuple[int, int], str]:
        """What one row is, whatever grid it stands in: rows are kept by this."""
        return self.cols, self.cell, self.what

    @property
    def ids(self) -> torch.Tensor:
        layout = Layout((self.cell,) * self.rows, self.cols)
        return position_ids(layout, first_row=0 if self.what == "stage 2" else 1)


@dataclass
class Batch:
    """Grids of one shape, ready for the transformer.

    Attributes:
        clean: `(B, L, 64)` tokens of the finished grids.
        condition: `(B, L, 320)`.
        ids: `(L, 3)` position ids.
        targets: `(B, L)` bool, tokens to be filled in.
        determined: `(B, L)` bool, target tokens that have one right answer, see `toyworld.splits.has_one_answer`.
        emphasis: `(B, L)`, weight of each token's error.
        clip_ids, t5_ids: `(B, 77)`, `(B, T)` token ids of the prompts.
        has_determined: whether any target is determined: known without looking at the device.
        noise_shift: how far noise levels are shifted towards noise; 1 is uniform.
        begun: `(B, L, 64)` for stage 2, the enlarged image it starts from; else None.
    """

    clean: torch.Tensor
    condition: torch.Tensor
    ids: torch.Tensor
    targets: torch.Tensor
    determined: torch.Tensor
    emphasis: torch.Tensor
    clip_ids: torch.Tensor
    t5_ids: torch.Tensor
    has_determined: bool = True
    noise_shift: float = NOISE_SHIFT
    begun: torch.Tensor | None = None


class Wording(NamedTuple):
    """What the rows of a set are told in grids of one shape: token ids of the prompts, and `Batch.determined`."""

    clip_ids: torch.Tensor
    t5_ids: torch.Tensor
    determined: torch.Tensor
    has_determined: bool


@dataclass
class RowSet:
    """`N` rows of one task: any may be the query, with its targets blank, or an example.

    The same rows stand in grids of one to four rows, with words or without; what depends on that is a `Wording`.
    Attributes are those of `Batch`, for one row of the grid: `(N, L, …)`; `known` are the tokens of the row with its
    targets black, `mask` `(N, L, 256)` the mask.

    Attributes:
        columns: kinds of the row, left to right.
        blank: the target columns.
        scenes: of the rows.
        wordings: those made so far.
    """

    columns: tuple[str, ...]
    blank: tuple[int, ...]
    scenes: SceneBatch
    clean: torch.Tensor
    known: torch.Tensor
    mask: torch.Tensor
    emphasis: torch.Tensor
    begun: torch.Tensor | None = None
    wordings: dict[GridShape, Wording] = field(default_factory=dict)

    def grids(self, count: int, shape: GridShape) -> tuple[Any, ...]:
        """Draw `count` grids of a shape: clean, condition, targets, determined, emphasis, token ids, begun."""
        wording, first = self.wordings[shape], shape.rows - shape.queries
        chosen = torch.randint(len(self.clean), (shape.rows, count))
        texts = chosen[-1]
        rows = chosen.to(self.clean.device, non_blocking=True)
        above, queries = rows[:first], rows[first:]
        query = queries[-1]
        clean = torch.cat([self.clean[i] for i in rows], dim=1).float()
        known = torch.cat([*(self.clean[i] for i in above), *(self.known[i] for i in queries)], dim=1).float()
        before = first * self.clean.shape[1]

        def of_queries(values: torch.Tensor) -> torch.Tensor:
            values = torch.cat([values[i] for i in queries], dim=1)
            return F.pad(values, (0, 0) * (values.ndim - 2) + (before, 0))

        mask = of_queries(self.mask).float()
        begun = None if self.begun is None else self.begun[query].float()
        return (
            clean, torch.cat([known, mask], dim=-1), mask.amax(-1) > 0, of_queries(wording.determined),
            of_queries(self.emphasis), wording.clip_ids[texts], wording.t5_ids[texts], begun,
        )  # fmt: skip
