"""Strength of stage 2, from the noise level that the authors' demo begins at.

The demo mixes `(1 - u) * noise + u * image` with its slider u, and takes equal steps from there: its schedule is not
shifted (lzyhha/VisualCloze, `VisualClozeModel.upsampling`, `do_shift=False`). Diffusers' `strength` counts steps of a
schedule that is shifted to high noise, the more the larger the image is (Esser et al. 2024, arXiv 2403.03206, section
5.3.2). So a noise level of 0.6 is a strength of 0.32 at one megapixel and 0.44 at 512 x 512.
"""

from __future__ import annotations

import math

from visualcloze_nb.settings import TOKEN_PIXELS

TOKENS = (256, 4096)  # between which mu grows from the first value to the second, in FLUX.1-Fill's scheduler
MU = (0.5, 1.15)


def strength_of(noise: float, pixels: int) -> float:
    """The strength at which the shifted schedule begins at a noise level.

    Args:
        noise: share of noise in the latents that stage 2 begins with, above 0 to 1.
        pixels: of the image that stage 2 makes.

    Returns:
        s with `noise = e^mu / (e^mu + 1 / s - 1)`, to three decimals.
    """
    slope = (MU[1] - MU[0]) / (TOKENS[1] - TOKENS[0])
    mu = MU[0] + slope * (pixels / TOKEN_PIXELS**2 - TOKENS[0])
    return round(1 / (1 + math.exp(mu) * (1 / noise - 1)), 3)
