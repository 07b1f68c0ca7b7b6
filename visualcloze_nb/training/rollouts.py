"""Where practice begins: at the noisy grids that the pipeline itself comes by.

Plain flow matching practises on the line from the truth to noise. The pipeline never stands there: after its first
step its latents hold noise and its own guess, and stage 2 begins with noise on an enlarged, blurred image. So
where an answer is told by what is given, practice begins on the way that the model goes, and the question stays the
same: where is the truth from here? An answer that a later step can still mend is not one to be drawn by lot. Such a
path is walked in few steps or in many: small mistakes of many steps add up, and only who has seen that mends them.
Where several answers are right the plain line stays, for there the steps must choose.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch

from visualcloze_nb.sampling.flow import add_noise, euler_step
from visualcloze_nb.training.batches import Batch

BEGIN_LARGE = 0.2, 0.85  # noise levels where stage 2 begins: 0.47 with a strength of 0.4, 0.66 with one of 0.6
STEPS = 2, 4, 8  # of a walk: after two a model's mistakes are not yet those of twenty
SPREAD = 0.7, 3.0  # how far levels are drawn towards noise; the pipeline's schedules lie between 1 and 1.65
UNDERSTOOD = 0.7  # squared error of a first guess, in latents of size 1; chosen by looking at first guesses


@dataclass
class OwnPath:
    """How a model went to its answer: straight legs from noise level to noise level.

    Attributes:
        stops: `(S + 1, B, L, 64)`, the tokens where its S steps begin, and where the last one ends.
        levels: `(S + 1, B)`, noise levels of the stops, falling to 0; in stage 1 the first is 1.
        tokens: `(B, L)` bool, where practice begins on this path: answers that are told by what is given, of grids
            whose task the model has understood. Where it has not, plain noise on the truth shows at least that.
    """

    stops: torch.Tensor
    levels: torch.Tensor
    tokens: torch.Tensor

    @property
    def first(self) -> torch.Tensor:
        """The noise level of each grid's beginning, `(B,)`."""
        return self.levels[0]

    def at(self, sigma: torch.Tensor) -> torch.Tensor:
        """The tokens at noise levels `(B,)`, none above `first`."""
        grid = torch.arange(len(sigma), device=sigma.device)
        leg = (self.levels[1:-1] >= sigma).sum(0)
        above, below = self.levels[leg, grid], self.levels[leg + 1, grid]
        share = ((sigma - below) / (above - below))[:, None, None]
        return torch.lerp(self.stops[leg + 1, grid], self.stops[leg, grid], share)


@torch.no_grad()
def walked(guess: Callable, batch: Batch, rng: random.Random) -> OwnPath:
    """Let a model go to an answer in a few steps: from noise, or in stage 2 from noise on the enlarged image.

    Args:
        guess: `(z, sigma)` to the velocity, `(B, L, 64)` and `(B,)` to `(B, L, 64)`.
        batch: of either stage.
        rng: chooses how many steps, and how they are spread.
    """
    noise = torch.randn_like(batch.clean)
    first = torch.ones(len(noise), device=noise.device)
    if batch.stage == 2:
        first.uniform_(*BEGIN_LARGE)
    down = torch.linspace(1, 0, rng.choice(STEPS) + 1, device=noise.device)
    spread = rng.uniform(*SPREAD)
    levels = (down / (down + (1 - down) / spread))[:, None] * first  # shifted as flow.schedule does
    stops = [noise if batch.stage == 1 else add_noise(batch.begun, noise, first[:, None, None])]
    for step in range(len(levels) - 1):
        here, there = levels[step, :, None, None], levels[step + 1, :, None, None]
        velocity = guess(stops[-1], levels[step]).float()
        if step == 0:
            away = (stops[0] - here * velocity - batch.clean).square().mean(-1) * batch.told
        stops.append(euler_step(stops[-1], velocity, here, there))
    understood = away.sum(1) / batch.told.sum(1).clamp(min=1) < UNDERSTOOD
    return OwnPath(torch.stack(stops), levels, batch.told & understood[:, None])
