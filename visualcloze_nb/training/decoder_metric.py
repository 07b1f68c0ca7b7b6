"""Latent-space loss metric from the decoder's mean JᵀJ.

Training measures errors of latents, a reader sees pixels. The VAE's decoder turns a small error `e` of one token (64
numbers) into a pixel error whose square is about `e M eᵀ`, where `M` is the mean of `JᵀJ` over tokens and `J` the
decoder's Jacobian. Some directions show many times as much as others. A loss in this metric has the same minimiser,
the conditional mean; but a small model, which must leave some error, leaves it where it shows less.
"""

from __future__ import annotations

import random

import numpy as np
import torch

from visualcloze_nb.sampling.latents import decode, encode, pack, unpack
from visualcloze_nb.settings import TOKEN_CHANNELS
from visualcloze_nb.toyworld import draw
from visualcloze_nb.toyworld.scene_batch import SceneBatch

NUDGE = 0.05  # of a latent, whose size is about 1
ROWS = (("image", "edge"), ("image", "mask"), ("grey", "image"), ("depth", "image"))


@torch.no_grad()
@torch.autocast("cpu", enabled=False)
@torch.autocast("cuda", enabled=False)
def decoder_metric(vae, rows: int = 24, size: int = 64, seed: int = 0) -> torch.Tensor:
    """A metric for errors of tokens: half of it weighs what the decoder shows, half all directions alike.

    Args:
        vae: the trained VAE; gives the device.
        rows: rows of two cells to look at, one token of each.
        size: of a cell, in pixels.
        seed: chooses scenes and tokens.

    Returns:
        `W`, `(64, 64)` and symmetric: the error `e` counts as the square of `e @ W`. An error that is spread evenly
        over all directions counts as without `W`.
    """
    rng, device = random.Random(seed), vae.device
    scenes = SceneBatch.sample(rows, np.random.default_rng(seed))
    total = torch.zeros(TOKEN_CHANNELS, TOKEN_CHANNELS, device=device)
    for i in range(rows):
        kinds = ROWS[i % len(ROWS)]
        row = torch.cat([draw(kind, scenes[[i]], size, size, device=device) for kind in kinds], dim=3) * 2 - 1
        tokens = pack(encode(vae, row))
        nudged = tokens.repeat(TOKEN_CHANNELS + 1, 1, 1)  # the first stays as it is
        nudged[1:, rng.randrange(tokens.shape[1])] += NUDGE * torch.eye(TOKEN_CHANNELS, device=device)
        pixels = decode(vae, unpack(nudged, size // 8, size // 4)).flatten(1)
        moved = (pixels[1:] - pixels[0]) / NUDGE
        total += moved @ moved.T
    shown = total * TOKEN_CHANNELS / total.trace()  # mean 1 over directions
    values, directions = torch.linalg.eigh((shown + torch.eye(TOKEN_CHANNELS, device=device)) / 2)
    return directions * values.sqrt() @ directions.T
