"""Defaults and constants that several parts of the package share, each once.

The released models fix the geometry: the VAE encodes 8 x 8 pixels as one latent of 16 channels, and FLUX packs 2 x 2
latents into one token. The transformer reads 384 channels a token: 64 of the noisy image, 64 of the image with its
targets black, and 256 of the mask, one for each pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

TINY = Path(__file__).parent / "tiny"  # the bundled checkpoint

# A call's defaults, from the authors' examples.
STEPS = 30  # Euler steps of stage 1
STRENGTH = 0.4  # of stage 2; the authors use 0.2 to 0.4
GUIDANCE = 30.0
UPSCALING = 3  # stage 2 multiplies each side by this unless a size is given
PHOTOGRAPH = "photograph"  # the size of stage 2 that follows the query's photograph ...
PHOTOGRAPH_SIDE = 1024  # ... up to the area of a square of this side, in pixels
RECOMMENDABLE = ("steps", "upsampling_steps", "strength", "guidance", "size")  # what a grid can recommend to `fill`

# Geometry of FLUX.1-Fill, which the tiny model shares.
VAE_SCALE = 8  # pixels along one side of a latent
PATCH = 2  # latents along one side of a token
TOKEN_PIXELS = VAE_SCALE * PATCH  # 16
LATENT_CHANNELS = 16
TOKEN_CHANNELS = LATENT_CHANNELS * PATCH**2  # 64
MASK_CHANNELS = TOKEN_PIXELS**2  # 256
INPUT_CHANNELS = 2 * TOKEN_CHANNELS + MASK_CHANNELS  # 384

# Text and resolution.
TEXT_TOKENS = 512  # T5 tokens that FLUX was trained with: the most
CLIP_TOKENS = 77
TEXT_ENCODERS = ("text_encoder", "text_encoder_2")  # CLIP and T5, as components
TINY_TEXT_TOKENS = 64  # T5 tokens of the tiny model: enough for the three texts of a grid with four columns
TINY_RESOLUTION = 64


def stage2_steps(steps: int, strength: float) -> int:
    """Number of steps that stage 2 takes of a schedule, about `strength * steps`: as diffusers' `get_timesteps`."""
    return steps - int(max(steps - min(steps * strength, steps), 0))


@dataclass(frozen=True)
class CallSettings:
    """The settings of one call of `fill` or `steps`, checked and complete; a result records them.

    Attributes:
        seed: of the noise, or None if a generator was given.
        steps: length of stage 1's schedule.
        upsampling_steps: length of stage 2's schedule; None where `sigmas` hold for stage 2 too.
        strength: of stage 2, from 0 (no stage 2) to 1.
        guidance: scale; without effect on a model that has no guidance input.
        width, height: of the resulting images in pixels.
        max_sequence_length: T5 tokens that are read.
        resolution: of the model; a cell of stage 1 has about `resolution`² pixels.
        sigmas: noise levels that replace the schedule.
        joint_attention_kwargs: arguments of the attention processors.
    """

    seed: int | None
    steps: int
    upsampling_steps: int | None
    strength: float
    guidance: float
    width: int
    height: int
    max_sequence_length: int
    resolution: int
    sigmas: tuple[float, ...] | None = None
    joint_attention_kwargs: dict[str, Any] | None = None
