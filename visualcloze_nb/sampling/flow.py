"""Flow matching: from noise to an image, one Euler step after the other.

Between an image `x` (sigma 0) and noise `n` (sigma 1) lies the straight line `z = (1 - sigma) x + sigma n`. Along it
the velocity dz/dsigma is `n - x`. The transformer predicts the velocity at `z`; so `z - sigma v` is its x0 prediction,
and a small step down in sigma is a small step towards it. Where several images are possible, the velocity with the
least squared error is the mean of theirs, and the steps choose between them.

Sources: flow matching, Lipman et al. 2023 (arXiv 2210.02747); straight lines, rectified flow, Liu et al. 2022
(arXiv 2209.03003); the shifted schedule, Esser et al. 2024 (arXiv 2403.03206); guidance as an input, Meng et al. 2023
(arXiv 2210.03142). The arithmetic is that of `diffusers.FlowMatchEulerDiscreteScheduler` with FLUX's settings.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from visualcloze_nb.data.layout import Layout
from visualcloze_nb.sampling.text import Text
from visualcloze_nb.settings import GUIDANCE


def shift(tokens: int, config: Mapping[str, Any]) -> float:
    """FLUX's mu, linear in the number of tokens: the more there are, the longer the schedule stays at high noise."""
    low, high = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    slope = (config.get("max_shift", 1.15) - config.get("base_shift", 0.5)) / (high - low)
    return tokens * slope + (config.get("base_shift", 0.5) - slope * low)


def schedule(steps: int, tokens: int, config: Mapping[str, Any]) -> torch.Tensor:
    """The noise levels of a run, from 1 down to 0.

    Args:
        steps: number of Euler steps.
        tokens: number of image tokens, which sets the shift (Esser et al. 2024, section 5.3.2).
        config: the scheduler's `config`.

    Returns:
        `(steps + 1,)` float32; the last one is 0.
    """
    sigmas = np.linspace(1.0, 1 / steps, steps).astype(np.float32)
    if config["use_dynamic_shifting"]:
        mu = math.exp(shift(tokens, config))
        sigmas = mu / (mu + (1 / sigmas - 1) ** 1.0)
    else:
        sigmas = config["shift"] * sigmas / (1 + (config["shift"] - 1) * sigmas)
    return torch.cat([torch.from_numpy(sigmas).to(torch.float32), torch.zeros(1)])


def add_noise(clean: torch.Tensor, noise: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
    """Interpolate between clean latents (sigma 0) and noise (sigma 1): Liu et al. 2022, equation 1.

    Args:
        clean: any shape.
        noise: the same shape.
        sigma: noise level, 0 to 1; a number or a tensor that broadcasts.

    Returns:
        noisy latents of the same shape.
    """
    return sigma * noise + (1.0 - sigma) * clean


def euler_step(
    z: torch.Tensor, velocity: torch.Tensor, sigma: float | torch.Tensor, sigma_next: float | torch.Tensor
) -> torch.Tensor:
    """Follow the velocity from one noise level to the next.

    Args:
        z: noisy tokens at `sigma`.
        velocity: at `z`, the same shape.
        sigma, sigma_next: noise levels, 0 to 1, falling.

    Returns:
        noisy tokens at `sigma_next`, in the dtype of the velocity.
    """
    return (z.float() + (sigma_next - sigma) * velocity).to(velocity.dtype)


def velocity(
    transformer: Any,
    z: torch.Tensor,
    condition: torch.Tensor,
    sigma: float | torch.Tensor,
    text: Text,
    ids: torch.Tensor,
    guidance: float = GUIDANCE,
) -> torch.Tensor:
    """Predict the velocity, `noise - image`.

    Args:
        transformer: a `FluxTransformer2DModel`.
        z: `(B, L, 64)` noisy tokens.
        condition: `(B, L, 320)` from `latents.condition`.
        sigma: noise level, 0 to 1; a number or `(B,)`.
        text: the encoded prompts.
        ids: `(L, 3)` position ids.
        guidance: scale of the distilled guidance (Meng et al. 2023). Only models with guidance embeddings read it: the
            released ones, not the tiny one.

    Returns:
        `(B, L, 64)`.
    """
    # diffusers counts time to 1000 and divides again; in float32 that changes the last bit, so we do the same.
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
    """One Euler step of a run.

    Attributes:
        stage: 1 fills the grid, 2 upsamples one target.
        index, total: number of the step, from 0, and how many this stage has.
        sigma, sigma_next: noise level before and after.
        before, after: `(1, L, 64)` noisy tokens.
        velocity: `(1, L, 64)`.
        layout: of the tokens.
        target: which target stage 2 works on, from 0; None in stage 1.
    """

    stage: int
    index: int
    total: int
    sigma: float
    sigma_next: float
    before: torch.Tensor
    velocity: torch.Tensor
    after: torch.Tensor
    layout: Layout
    target: int | None = None

    @property
    def x0(self) -> torch.Tensor:
        """`(1, L, 64)`: the x0 prediction, the finished image as the model predicts it at this step."""
        return self.before - self.sigma * self.velocity


@torch.no_grad()
def euler_sample(
    transformer: Any,
    z: torch.Tensor,
    condition: torch.Tensor,
    ids: torch.Tensor,
    text: Text,
    sigmas: torch.Tensor,
    guidance: float = GUIDANCE,
    *,
    layout: Layout,
    stage: int = 1,
    target: int | None = None,
) -> Iterator[Step]:
    """Sample with Euler's method, and yield every step.

    Args:
        transformer, condition, ids, text, guidance: as for `velocity`.
        z: `(1, L, 64)` tokens at noise level `sigmas[0]`.
        sigmas: `(steps + 1,)` noise levels, falling.
        layout: of the tokens, so that a step can be decoded.
        stage, target: labels of the steps.

    Yields:
        the steps in order; `after` of the last one holds the result.
    """
    total = len(sigmas) - 1
    for i in range(total):
        v = velocity(transformer, z, condition, sigmas[i], text, ids, guidance)
        after = euler_step(z, v, sigmas[i], sigmas[i + 1])
        yield Step(stage, i, total, float(sigmas[i]), float(sigmas[i + 1]), z, v, after, layout, target)
        z = after
