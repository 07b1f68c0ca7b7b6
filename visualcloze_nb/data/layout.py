"""Geometry of a grid: how cells of pixels become one sequence of tokens.

The images of a row lie side by side in one strip. A strip is cut into squares of 16 x 16 pixels (the VAE encodes 8 x 8
pixels as one latent, FLUX packs 2 x 2 latents), read line by line; the strips follow each other from top to bottom.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np

from visualcloze_nb.errors import GridError, shorten
from visualcloze_nb.settings import TOKEN_PIXELS


@dataclass(frozen=True)
class Layout:
    """Sizes and token positions of a grid's cells at one model's resolution.

    Attributes:
        sizes: (width, height) in pixels of each cell, one pair a row.
        n_cols: number of columns.
        targets: 0-based columns of the targets in the last row.
        multiple: pixels along one side of a token.
    """

    sizes: tuple[tuple[int, int], ...]
    n_cols: int
    targets: tuple[int, ...] = ()
    multiple: int = TOKEN_PIXELS

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Tokens of each row's strip: (down, across)."""
        return [(h // self.multiple, w // self.multiple * self.n_cols) for w, h in self.sizes]

    @property
    def tokens(self) -> list[int]:
        """Number of tokens of each row."""
        return [down * across for down, across in self.shapes]

    @property
    def total(self) -> int:
        """Number of image tokens of the whole grid, L; text tokens come on top."""
        return sum(self.tokens)

    @property
    def row_slices(self) -> list[slice]:
        """Slices of the rows in the sequence of all L tokens."""
        ends = np.cumsum([0, *self.tokens]).tolist()
        return [slice(start, end) for start, end in zip(ends, ends[1:], strict=False)]

    @property
    def ids(self) -> np.ndarray:
        """Position ids, float32 (L, 3): row of the grid from 1, y and x in its strip from 0, in tokens."""
        blocks = [
            np.stack(np.meshgrid([row], np.arange(down), np.arange(across), indexing="ij"), -1).reshape(-1, 3)
            for row, (down, across) in enumerate(self.shapes, start=1)
        ]
        return np.concatenate(blocks).astype(np.float32)

    @property
    def cells(self) -> np.ndarray:
        """Row and column of the cell that each token belongs to, from 0, int (L, 2)."""
        ids = self.ids.astype(int)
        across = np.array([width // self.multiple for width, _ in self.sizes])
        rows = ids[:, 0] - 1
        return np.stack([rows, ids[:, 2] // across[rows]], -1)

    @property
    def target_tokens(self) -> np.ndarray:
        """True for the tokens of the targets, bool (L,)."""
        rows, cols = self.cells.T
        return (rows == len(self.sizes) - 1) & np.isin(cols, self.targets)

    def target_box(self, col: int) -> tuple[int, int, int, int]:
        """Compute the box of a cell in the last row's strip.

        Args:
            col: 0-based column.

        Returns:
            (left, top, right, bottom) in pixels, as `Image.crop` takes it.

        Raises:
            GridError: if there is no such column.
        """
        if not isinstance(col, Integral) or not 0 <= col < self.n_cols:
            raise GridError(f"there is no column {shorten(repr(col))}: columns are 0 to {self.n_cols - 1}")
        width, height = self.sizes[-1]
        return col * width, 0, (col + 1) * width, height
