"""Stage 2, SDEdit: upsample an image by adding noise to it and denoising it again.

The image is resized, noise is added up to some level, and the model denoises from there (Meng et al. 2022, arXiv
2108.01073). Noise hides small details and keeps large shapes, so the result keeps what the image shows and gets new,
sharp details. `strength` sets the noise level: at 0 nothing changes, at 1 nothing of the image remains.

To the model this is infilling again, with everything masked: a grey masked image, a mask of ones, one cell whose row id
is 0, and only the content prompt (VisualCloze, arXiv 2504.07960). In diffusers this is `FluxFillPipeline`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image

from visualcloze_nb.data.layout import Layout
from visualcloze_nb.errors import UsageError
from visualcloze_nb.sampling.flow import add_noise, schedule
from visualcloze_nb.sampling.latents import condition, decode, encode, pack, pixels, position_ids, to_images, unpack
from visualcloze_nb.settings import VAE_SCALE, stage2_steps

GREY = 0.0  # the masked image in stage 2 (in stage 1 targets are black)


def skipped_steps(steps: int, strength: float) -> int:
    """How many steps of the schedule stage 2 skips, because it starts at a lower noise level.

    Raises:
        UsageError: strength is outside 0 to 1, or so small that no step is left.
    """
    if not 0 <= strength <= 1:
        raise UsageError(f"strength is {strength}, but must lie between 0 and 1")
    left = stage2_steps(steps, strength)
    if left < 1:
        raise UsageError(f"strength {strength} of {steps} steps leaves no step to do: raise either")
    return steps - left


def enlarge(image: Image.Image, size: tuple[int, int]) -> torch.Tensor:
    """Resize an image to (width, height), which blurs it: `(1, 3, H, W)` in -1..1."""
    return pixels(image.resize(size, Image.Resampling.LANCZOS))


@dataclass
class PreparedStage2:
    """The inputs of stage 2 except the text.

    Attributes:
        z: `(1, L, 64)` tokens at noise level `sigmas[0]`.
        condition: `(1, L, 320)`.
        ids: `(L, 3)` position ids.
        sigmas: noise levels of the steps that are left, the last one 0.
        layout: one cell of the new size.
    """

    z: torch.Tensor
    condition: torch.Tensor
    ids: torch.Tensor
    sigmas: torch.Tensor
    layout: Layout


@torch.no_grad()
def prepare_stage2(
    image: Image.Image,
    size: tuple[int, int],
    vae: Any,
    scheduler_config: Mapping[str, Any],
    steps: int,
    strength: float,
    generator: torch.Generator,
    *,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> PreparedStage2:
    """Prepare all inputs of stage 2 except the text.

    Args:
        image: a target from stage 1.
        size: (width, height) of the result in pixels, multiples of 16.
        vae: the autoencoder.
        scheduler_config: the scheduler's `config`.
        steps: length of the full schedule; about `strength * steps` of them are taken.
        strength: 0 to 1.
        generator: draws the latents, the noise and the grey latents, in diffusers' order.
        device, dtype: of the tensors, as for `latents.prepare`.

    Returns:
        noisy tokens, condition, position ids, noise levels and layout.

    Raises:
        UsageError: from `skipped_steps`.
    """
    device, dtype = device or vae.device, dtype or vae.dtype
    layout = Layout((size,), 1, (0,))
    large = enlarge(image, size).to(device, dtype)
    sigmas = schedule(steps, layout.total, scheduler_config)[skipped_steps(steps, strength) :]
    clean = encode(vae, large, generator)
    noise = randn_tensor(clean.shape, generator=generator, device=device, dtype=dtype)
    z = pack(add_noise(clean, noise, sigmas[0].to(device, dtype)))
    grey, ones = torch.full_like(large, GREY), torch.ones_like(large[:, :1])
    known = condition(vae, [grey], [ones], generator)
    return PreparedStage2(z, known, position_ids(layout, first_row=0).to(device, dtype), sigmas, layout)


@torch.no_grad()
def decode_stage2(tokens: torch.Tensor, vae: Any, layout: Layout) -> Image.Image:
    """Decode stage 2's tokens.

    Args:
        tokens: `(1, L, 64)`, finished or an x0 prediction.
        vae: the autoencoder.
        layout: one cell, from `prepare_stage2`.

    Returns:
        the image.
    """
    width, height = layout.sizes[0]
    return to_images(decode(vae, unpack(tokens, height // VAE_SCALE, width // VAE_SCALE)))[0]
