"""Diffusers' image processor for VisualCloze, with two defects corrected.

Sizes come from `Grid.layout`, so that a row keeps its aspect ratio also when it has several targets, and the
layout prompt is the sentence itself. For one target the transformer's input is the same, bit for bit.
"""

from __future__ import annotations

from typing import cast

import torch
from diffusers.pipelines.visualcloze.visualcloze_utils import VisualClozeProcessor
from PIL import Image

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.prompts import layout_prompt


class GridProcessor(VisualClozeProcessor):
    """Turns the rows of a grid into what stage 1 encodes."""

    def preprocess_image(
        self, input_images: list[list[Image.Image | None]], vae_scale_factor: int
    ) -> tuple[list[list[torch.Tensor]], list[list[list[int]]], list[int]]:
        """Scale, crop and normalise the cells of one grid.

        Args:
            input_images: rows of images, None at the targets.
            vae_scale_factor: pixels along one side of a latent, 8.

        Returns:
            cells as float tensors (1, 3, H, W) from -1 to 1, a target black; their [H, W]; and 1 for each
            target of the last row, else 0.
        """
        grid = Grid(input_images)
        sizes = grid.layout(self.resolution, vae_scale_factor).sizes
        cells = [
            [self._tensor(cell or Image.new("RGB", size)) for cell in row]
            for row, size in zip(grid.fitted(self.resolution, vae_scale_factor), sizes, strict=True)
        ]
        shapes = [[[height, width]] * grid.n_cols for width, height in sizes]
        return cells, shapes, [int(cell is None) for cell in grid.query]

    def _tensor(self, image: Image.Image) -> torch.Tensor:
        return cast(torch.Tensor, self.normalize(self.numpy_to_pt(self.pil_to_numpy(image))))

    def get_layout_prompt(self, size: tuple[int, int]) -> str:
        """The layout prompt as a text; stock returns a tuple of one."""
        return layout_prompt(*size)
