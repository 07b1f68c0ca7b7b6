"""Training batches from pairs of images: every row is encoded once, and grids of two rows are drawn from them.

A row is a pair side by side. Whole it is an example; with a black second cell it is a query (lesson 02). The VAE is
not trained, so this saves nearly all of its work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from visualcloze_nb.data.layout import Layout
from visualcloze_nb.errors import UsageError
from visualcloze_nb.sampling.flow import velocity
from visualcloze_nb.sampling.latents import BLACK, cell_mask, encode, pack, pack_mask, position_ids
from visualcloze_nb.sampling.text import Text, encode_text

LENGTH = 24  # text tokens in training: a prompt without a task has 17
AT_ONCE = 16  # rows that the VAE encodes together: more need much memory


class PairRows:
    """Rows of pairs, encoded.

    Attributes:
        whole, blank: `(N, L/2, 64)` tokens of each row, and those of the row with a black second cell.
        masks: `(1, L, 256)` of a grid of two rows: only the last cell is to be filled in.
        targets: `(L,)`, True for the tokens of that cell.
    """

    @torch.no_grad()
    def __init__(self, pipe: Any, before: torch.Tensor, after: torch.Tensor):
        """Encode pairs of images.

        Args:
            pipe: gives the VAE.
            before, after: `(N, 3, H, W)` in 0..1, at least two.

        Raises:
            UsageError: fewer than two pairs: one would have no example.
        """
        if len(before) < 2:
            raise UsageError(f"{len(before)} pairs: give two or more, an example and a query")
        height, width = before.shape[-2:]
        row = torch.cat([before, after], dim=3) * 2 - 1
        query = torch.cat([before * 2 - 1, torch.full_like(after, BLACK)], dim=3)
        generator = torch.Generator().manual_seed(0)
        self.whole, self.blank = (
            torch.cat([pack(encode(pipe.vae, few, generator)) for few in images.split(AT_ONCE)])
            for images in (row, query)
        )
        masks = [pack_mask(cell_mask([False, last], (width, height))) for last in (False, True)]
        self.masks = torch.cat(masks, dim=1)
        self.targets = self.masks[0].amax(1) > 0

    def batch(self, size: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw grids of one example and one query; no row is its own example.

        Args:
            size: `B` grids; fewer if there are less than twice as many rows.
            generator: chooses the rows.

        Returns:
            clean tokens `(B, L, 64)` and the condition `(B, L, 320)`.
        """
        size = min(size, len(self.whole) // 2)
        above, below = torch.randperm(len(self.whole), generator=generator)[: 2 * size].chunk(2)
        clean = torch.cat([self.whole[above], self.whole[below]], dim=1)
        known = torch.cat([self.whole[above], self.blank[below]], dim=1)
        return clean, torch.cat([known, self.masks.expand(len(below), -1, -1)], dim=2)


def velocity_model(pipe: Any, prompt: str, size: int) -> Callable[..., Callable]:
    """The transformer as a function of its condition, and then of state and noise level alone.

    Args:
        pipe: a pipeline.
        prompt: of all grids.
        size: pixels along a side of the four cells.

    Returns:
        `model(condition, network=pipe.transformer)`, which returns `velocity(z, sigma)`; gradients flow through it.
    """
    text, ids = encode_text(pipe, prompt, LENGTH), position_ids(Layout(((size, size),) * 2, 2))

    def model(condition: torch.Tensor, network: Any = None) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        b = len(condition)
        texts = Text(text.states.expand(b, -1, -1), text.pooled.expand(b, -1), text.ids)
        return lambda z, sigma: velocity(network or pipe.transformer, z, condition, sigma, texts, ids)

    return model
