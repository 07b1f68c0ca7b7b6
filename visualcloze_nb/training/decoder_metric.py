"""Latent-space loss metric from the decoder's mean JᵀJ.

Training measures errors of latents, a reader sees pixels. The VAE's decoder turns a small error `e` of one token (64
numbers) into a pixel error whose square is about `e M eᵀ`, where `M` is the mean of `JᵀJ` over tokens and `J` the
decoder's Jacobian. For pixels weighed by random signs `r`, the gradient `g = r J` has the mean `gᵀg = JᵀJ`
(Hutchinson 1990), so one backward pass estimates it for every token of a row.

Some directions show many times as much as others. A loss in this metric has the same minimiser, the conditional mean;
but a small model, which must leave some error, leaves it where it shows less.
"""

from __future__ import annotations

import numpy as np
import torch

from visualcloze_nb.sampling.latents import decode, encode, pack, unpack
from visualcloze_nb.settings import TOKEN_CHANNELS, VAE_SCALE
from visualcloze_nb.toyworld import draw
from visualcloze_nb.toyworld.scene_batch import SceneBatch

ROWS = (("image", "edge"), ("image", "mask"), ("grey", "image"), ("depth", "image"))


@torch.autocast("cpu", enabled=False)
@torch.autocast("cuda", enabled=False)
def decoder_metric(vae, rows: int = 24, probes: int = 4, size: int = 64, seed: int = 0) -> torch.Tensor:
    """A metric for errors of tokens: half of it weighs what the decoder shows, half all directions alike.

    Args:
        vae: the trained VAE; gives the device.
        rows: rows of two cells to look at.
        probes: gradients of each row.
        size: of a cell, in pixels.
        seed: chooses scenes and signs.

    Returns:
        `W`, `(64, 64)` and symmetric: the error `e` counts as the square of `e @ W`. An error that is spread evenly
        over all directions counts as without `W`.
    """
    device = vae.device
    random_ = torch.Generator(device).manual_seed(seed)
    scenes = SceneBatch.sample(rows, np.random.default_rng(seed))
    total = torch.zeros(TOKEN_CHANNELS, TOKEN_CHANNELS, device=device)
    for i in range(rows):
        kinds = ROWS[i % len(ROWS)]
        row = torch.cat([draw(kind, scenes[[i]], size, size, device=device) for kind in kinds], dim=3) * 2 - 1
        with torch.no_grad():
            tokens = pack(encode(vae, row))
        tokens.requires_grad_()
        with torch.enable_grad():
            pixels = decode(vae, unpack(tokens, size // VAE_SCALE, 2 * size // VAE_SCALE))
        for _ in range(probes):
            signs = torch.randint(2, pixels.shape, generator=random_, device=device) * 2.0 - 1
            (gradient,) = torch.autograd.grad(pixels, tokens, signs, retain_graph=True)
            total += gradient[0].T @ gradient[0]
    shown = total * TOKEN_CHANNELS / total.trace()  # mean 1 over directions
    values, directions = torch.linalg.eigh((shown + torch.eye(TOKEN_CHANNELS, device=device)) / 2)
    return directions * values.sqrt() @ directions.T
