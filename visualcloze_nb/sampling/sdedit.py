"""Laid open: stage 2. A small image becomes a large one by forgetting its details and painting them anew.

SDEdit (Meng et al. 2022): enlarge the image, add noise up to some level, and let the model walk back down
from there. Noise hides the small and keeps the large, so the result keeps what the image shows and gets
new, sharp details. `strength` says how far up to go: 0 changes nothing, 1 forgets everything.

To the model this is infilling again, with everything blank: a grey masked image, a mask of ones, one cell
whose row number is 0, and only the content prompt.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image

from visualcloze_nb.data.layout import Layout
from visualcloze_nb.sampling.flow import noised, schedule
from visualcloze_nb.sampling.latents import condition, decode, encode, pack, pixels, position_ids, to_images, unpack
from visualcloze_nb.settings import VAE_SCALE

GREY = 0.0  # what stage 2 sees under its mask (stage 1 sees black)


def skipped(steps: int, strength: float) -> int:
    """How many of the schedule's steps stage 2 leaves out: it starts where the noise is `strength` deep.

    Raises:
        ValueError: strength outside 0..1, or so small that no step is left.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength is {strength}, but must lie between 0 and 1")
    first = int(max(steps - min(steps * strength, steps), 0))
    if first >= steps:
        raise ValueError(f"strength {strength} of {steps} steps leaves no step to do: raise either")
    return first


def enlarged(image: Image.Image, size: tuple[int, int]) -> torch.Tensor:
    """The small image at its new (width, height), blurred of course: `(1, 3, H, W)` in -1..1."""
    return pixels(image.resize(size, Image.Resampling.LANCZOS))


@dataclass
class PreparedLarge:
    """An image made ready for stage 2: `z` `(1, L, 64)` at `sigmas[0]`, `condition`, `ids`, and the layout."""

    z: torch.Tensor
    condition: torch.Tensor
    ids: torch.Tensor
    sigmas: torch.Tensor
    layout: Layout


@torch.no_grad()
def prepare_large(
    image: Image.Image, size: tuple[int, int], vae, scheduler_config, steps: int, strength: float, generator
) -> PreparedLarge:
    """Everything stage 2 needs besides the text.

    Args:
        image: what stage 1 made.
        size: (width, height) of the result, multiples of 16.
        steps: of the full schedule; about `strength` of them are done.
        strength: 0..1.
        generator: draws the latents, the noise, and the grey latents, in diffusers' order.
    """
    width, height = size
    layout = Layout(((width, height),), 1, (0,))
    large = enlarged(image, size).to(vae.device, vae.dtype)
    sigmas = schedule(steps, layout.total, scheduler_config)[skipped(steps, strength) :]
    clean = encode(vae, large, generator)
    noise = randn_tensor(clean.shape, generator=generator, device=vae.device, dtype=vae.dtype)
    z = pack(noised(clean, noise, sigmas[0].to(vae.device, vae.dtype)))
    grey, ones = torch.full_like(large, GREY), torch.ones_like(large[:, :1])
    known = condition(vae, [grey], [ones], generator)
    return PreparedLarge(z, known, position_ids(layout, first_row=0).to(vae.device, vae.dtype), sigmas, layout)


@torch.no_grad()
def read_large(tokens: torch.Tensor, vae, layout: Layout) -> Image.Image:
    """The image in stage 2's tokens."""
    width, height = layout.sizes[0]
    return to_images(decode(vae, unpack(tokens, height // VAE_SCALE, width // VAE_SCALE)))[0]
