"""Where practice begins: at the noisy grids that the pipeline itself comes by.

Plain flow matching practises on the line from the truth to noise. The pipeline never stands there: after its first
step its latents hold noise and its own guess, and stage 2 begins with noise on an enlarged, blurred picture. So
where an answer is told by what is given, practice begins on the way that the model goes, and the question stays the
same: where is the truth from here? An answer that a later step can still mend is not one to be drawn by lot.
Where several answers are right the plain line stays, for there the steps must choose.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..flow import euler_step, noised
from .batches import Batch

BEGIN_LARGE = 0.2, 0.85  # noise levels where stage 2 begins: 0.47 with a strength of 0.4, 0.66 with one of 0.6
UNDERSTOOD = 0.7  # squared error of a first guess, in latents of size 1; chosen by looking at first guesses


@dataclass
class OwnPath:
    """How a model went to its answer, in two straight legs: from `begin` to `middle`, and from there to `end`.

    Attributes:
        begin, middle, end: `(B, L, 64)` at noise levels `first`, `second` and 0.
        first, second: `(B,)` noise levels; in stage 1 `first` is 1.
        tokens: `(B, L)` bool, where practice begins on this path: answers that are told by what is given, of grids
            whose task the model has understood. Where it has not, plain noise on the truth shows at least that.
    """

    begin: torch.Tensor
    middle: torch.Tensor
    end: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    tokens: torch.Tensor

    def at(self, sigma: torch.Tensor) -> torch.Tensor:
        """The tokens at noise levels `(B,)`, none above `first`."""
        sigma, first, second = (levels[:, None, None] for levels in (sigma, self.first, self.second))
        early = torch.lerp(self.middle, self.begin, (sigma - second) / (first - second))
        return torch.where(sigma > second, early, torch.lerp(self.end, self.middle, sigma / second))


@torch.no_grad()
def walked(guess: Callable, batch: Batch, rng: random.Random) -> OwnPath:
    """Let a model go to an answer in two steps: from noise, or in stage 2 from noise on the enlarged picture.

    Args:
        guess: `(z, sigma)` to the velocity, `(B, L, 64)` and `(B,)` to `(B, L, 64)`.
        batch: of either stage.
        rng: chooses where the second step begins.
    """
    noise = torch.randn_like(batch.clean)
    first = torch.ones(len(noise), device=noise.device)
    if batch.stage == 2:
        first.uniform_(*BEGIN_LARGE)
    second = first * rng.uniform(0.4, 0.9)
    begin = noise if batch.stage == 1 else noised(batch.begun, noise, first[:, None, None])
    velocity = guess(begin, first).float()
    away = (begin - first[:, None, None] * velocity - batch.clean).square().mean(-1) * batch.told
    understood = away.sum(1) / batch.told.sum(1).clamp(min=1) < UNDERSTOOD
    middle = euler_step(begin, velocity, first[:, None, None], second[:, None, None])
    end = euler_step(middle, guess(middle, second).float(), second[:, None, None], 0.0)
    return OwnPath(begin, middle, end, first, second, batch.told & understood[:, None])
