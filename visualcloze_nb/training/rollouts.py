"""Train on the model's own Euler rollouts, to reduce exposure bias.

Flow matching trains on the line from the ground truth to noise. The sampler never stands there: after its first step
the latents hold noise and the model's own x0 prediction, and stage 2 starts from noise on an enlarged, blurred image.
So where an answer is determined by the conditions, part of the training starts from a short rollout of the model, and
the target stays the ground truth. Where several answers are right the plain line stays, for there the steps must
choose. (Exposure bias in diffusion: Ning et al. 2023, arXiv 2308.15321.)
"""

from __future__ import annotations

from collections.abc import Callable

import torch

FIRST_GUESS = 0.7  # squared error of an x0 prediction, in latents of variance 1, above which a grid is left out


@torch.no_grad()
def rollout(
    velocity: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], z: torch.Tensor, sigma: torch.Tensor, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Take `steps` Euler steps down to random noise levels, then move on to a random point of the last one.

    Args:
        velocity: `(z, sigma)` to the velocity, `(B, L, 64)` and `(B,)` to `(B, L, 64)`.
        z: `(B, L, 64)` tokens to start from.
        sigma: `(B,)` their noise levels.
        steps: 1 or more calls of the model.

    Returns:
        `(B, L, 64)` tokens and `(B,)` noise levels on the model's own path.
    """
    for _ in range(steps):
        lower = sigma * torch.rand_like(sigma)
        z = z + (lower - sigma)[:, None, None] * velocity(z, sigma).float()
        sigma = lower
    return z, sigma
