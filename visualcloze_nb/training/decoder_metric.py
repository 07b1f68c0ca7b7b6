"""What of an error is seen: training counts errors of latents, a reader looks at pixels.

The VAE's decoder turns a small error `e` of one token (64 numbers) into an error of pixels. Its square is about
`e M e`, where `M` is the mean of `J^T J` over tokens and `J` the decoder's derivative. Some directions show many
times as much as others. A loss that counts directions by what they show has the same best answer, the mean of all
that are possible; but a small model, which must leave some error, leaves it where it shows less.
"""

from __future__ import annotations

import random

import torch

from visualcloze_nb.sampling.latents import decode, encode, pack, unpack
from visualcloze_nb.training.batches import draw_columns, training_scene

NUDGE = 0.05  # of a latent, whose size is about 1
ROWS = (("image", "edge"), ("image", "mask"), ("grey", "image"), ("depth", "image"))


@torch.no_grad()
@torch.autocast("cpu", enabled=False)
@torch.autocast("cuda", enabled=False)
def shown_error(vae, rows: int = 24, size: int = 64, seed: int = 0) -> torch.Tensor:
    """A metric for errors of tokens: half of it counts what the decoder shows, half counts all directions alike.

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
    chance = torch.Generator(device).manual_seed(seed)
    total = torch.zeros(64, 64, device=device)
    for i in range(rows):
        row = draw_columns([ROWS[i % len(ROWS)]], [training_scene(rng)], (size, size), chance, device)
        tokens = pack(encode(vae, row, chance))
        nudged = tokens.repeat(65, 1, 1)  # the first stays as it is
        nudged[1:, rng.randrange(tokens.shape[1])] += NUDGE * torch.eye(64, device=device)
        pixels = decode(vae, unpack(nudged, size // 8, size // 4)).flatten(1)
        moved = (pixels[1:] - pixels[0]) / NUDGE
        total += moved @ moved.T
    shown = total * 64 / total.trace()  # mean 1 over directions
    values, directions = torch.linalg.eigh((shown + torch.eye(64, device=device)) / 2)
    return directions * values.sqrt() @ directions.T
