"""Crops of real photographs, for all that needs no annotation."""

from __future__ import annotations

import random

import numpy as np
import torch
import torch.nn.functional as F

from visualcloze_nb import photos
from visualcloze_nb.errors import ImageError


class PhotoCrops:
    """Random crops of the training (or the held-out) photographs; no images where none are installed."""

    def __init__(self, device: str | torch.device = "cpu", held_out: bool = False):
        self.images = []
        for name in photos.names(held_out):
            try:
                values = np.asarray(photos.load(name))
            except ImageError:
                continue
            self.images.append(torch.from_numpy(values.copy()).to(device).permute(2, 0, 1))

    def sample(self, count: int, size: tuple[int, int], rng: random.Random) -> torch.Tensor:
        """Crops at random scales, flipped, and in half of the cases with colours mixed.

        Args:
            count: how many; eight at a time come from one photograph at one scale.
            size: (width, height) in pixels.
            rng: source of randomness.
        """
        (width, height), parts = size, []
        for first in range(0, count, 8):
            image = rng.choice(self.images)
            most = min(image.shape[1] / height, image.shape[2] / width)
            scale = most ** rng.uniform(0.15, 1)
            h, w = int(height * scale), int(width * scale)
            corners = [(rng.randint(0, image.shape[1] - h), rng.randint(0, image.shape[2] - w)) for _ in range(8)]
            crops = torch.stack([image[:, top : top + h, left : left + w] for top, left in corners[: count - first]])
            crops = F.interpolate(crops.float() / 255, (height, width), mode="bilinear", antialias=True)
            if rng.random() < 0.5:
                crops = crops.flip(-1)
            if rng.random() < 0.5:  # other colours
                mix = torch.tensor(np.random.default_rng(rng.getrandbits(32)).dirichlet((0.4,) * 3, 3)).to(crops)
                crops = torch.einsum("dc,bchw->bdhw", mix, crops)
            parts.append(crops)
        return torch.cat(parts).clamp(0, 1)
