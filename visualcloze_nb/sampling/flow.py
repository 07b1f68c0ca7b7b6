"""Laid open: flow matching. From noise to an image along a line, one Euler step after the other.

Between an image `x` (sigma 0) and noise `n` (sigma 1) draw the straight line `z = (1 - sigma) x + sigma n`.
Along it the velocity dz/dsigma is `n - x`, always. The transformer guesses that velocity from `z`; so at any
moment `z - sigma v` is its guess of the finished image, and a small step down in sigma is a small step
towards it. Where several images are possible the guess is their mean, and the steps choose.

Same arithmetic as `diffusers.FlowMatchEulerDiscreteScheduler` with FLUX's settings.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from visualcloze_nb.sampling.text import Text
from visualcloze_nb.settings import GUIDANCE


def shift(tokens: int, config) -> float:
    """FLUX's mu: the more tokens, the longer the schedule stays at high noise (linear in their number)."""
    low, high = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    slope = (config.get("max_shift", 1.15) - config.get("base_shift", 0.5)) / (high - low)
    return tokens * slope + (config.get("base_shift", 0.5) - slope * low)


def schedule(steps: int, tokens: int, config) -> torch.Tensor:
    """The noise levels of a run, from 1 down to 0.

    Args:
        steps: number of transformer calls.
        tokens: image tokens, which decide the shift (Esser et al. 2024, section 5.3.2).
        config: the scheduler's `config`.

    Returns:
        `(steps + 1,)` float32, the last one 0.
    """
    sigmas = np.linspace(1.0, 1 / steps, steps).astype(np.float32)
    if config.use_dynamic_shifting:
        mu = math.exp(shift(tokens, config))
        sigmas = mu / (mu + (1 / sigmas - 1) ** 1.0)
    else:
        sigmas = config.shift * sigmas / (1 + (config.shift - 1) * sigmas)
    return torch.cat([torch.from_numpy(sigmas).to(torch.float32), torch.zeros(1)])


def noised(clean: torch.Tensor, noise: torch.Tensor, sigma) -> torch.Tensor:
    """The point on the line between image (sigma 0) and noise (sigma 1)."""
    return sigma * noise + (1.0 - sigma) * clean


def euler_step(z: torch.Tensor, velocity: torch.Tensor, sigma, sigma_next) -> torch.Tensor:
    """One step down the noise, straight along the velocity."""
    return (z.float() + (sigma_next - sigma) * velocity).to(velocity.dtype)


def velocity(transformer, z, condition, sigma, text: Text, ids, guidance: float = GUIDANCE) -> torch.Tensor:
    """The transformer's guess of `noise - image`.

    Args:
        z: `(B, L, 64)` noisy tokens.
        condition: `(B, L, 320)` from `latents.condition`.
        sigma: noise level, 0..1; a number or `(B,)`.
        text: the prompt.
        ids: `(L, 3)`.
        guidance: read only by models with guidance embeddings (the released ones; not the tiny one).

    Returns:
        `(B, L, 64)`.
    """
    # diffusers counts time to 1000 and divides again; in float32 that moves the last bit, so we do the same.
    timestep = torch.as_tensor(sigma, dtype=torch.float32, device=z.device) * 1000
    embedded = transformer.config.guidance_embeds
    return transformer(
        hidden_states=torch.cat([z, condition], dim=2),
        timestep=timestep.expand(z.shape[0]).to(z.dtype) / 1000,
        guidance=torch.full((z.shape[0],), guidance, device=z.device) if embedded else None,
        pooled_projections=text.pooled,
        encoder_hidden_states=text.states,
        txt_ids=text.ids,
        img_ids=ids,
        return_dict=False,
    )[0]


@dataclass
class Step:
    """One step of a run.

    Attributes:
        stage: 1 fills the grid, 2 enlarges one target.
        index, total: this step, from 0, and how many there are in this stage.
        sigma, sigma_next: noise level before and after.
        before, after: `(1, L, 64)` noisy tokens.
        velocity: `(1, L, 64)`.
        target: which target stage 2 works on, 0-based; None in stage 1.
    """

    stage: int
    index: int
    total: int
    sigma: float
    sigma_next: float
    before: torch.Tensor
    velocity: torch.Tensor
    after: torch.Tensor
    target: int | None = None

    @property
    def guess(self) -> torch.Tensor:
        """`(1, L, 64)`: the finished image as far as can be told now."""
        return self.before - self.sigma * self.velocity


@torch.no_grad()
def walk(transformer, z, condition, ids, text: Text, sigmas, guidance: float = GUIDANCE, **which) -> Iterator[Step]:
    """All Euler steps of one run, yielded one by one.

    Args:
        z: `(1, L, 64)` tokens at noise level `sigmas[0]`.
        sigmas: `(steps + 1,)` noise levels, falling.
        which: `stage` and `target` for the steps' labels.
    """
    total = len(sigmas) - 1
    for i in range(total):
        v = velocity(transformer, z, condition, sigmas[i], text, ids, guidance)
        after = euler_step(z, v, sigmas[i], sigmas[i + 1])
        yield Step(which.get("stage", 1), i, total, float(sigmas[i]), float(sigmas[i + 1]), z, v, after,
                   which.get("target"))  # fmt: skip
        z = after
