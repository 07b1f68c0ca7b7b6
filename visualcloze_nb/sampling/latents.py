"""From a grid to the tokens that the transformer reads, and from its tokens back to images.

    cells --strip--> one image a row --encode--> latents --pack--> tokens
    blanks --cell_mask--> one mask a row ---------------pack_mask--> tokens

One token stands for 16 x 16 pixels: the VAE encodes them as 2 x 2 latents of 16 channels, and packing puts those 64
numbers in one line. The transformer reads three parts side by side in each token, 384 channels: 64 of the noisy image,
64 of the image with its targets black, and 256 of the mask, one for each of the 16 x 16 pixels. This module makes the
last two, `condition`; `flow.py` adds the first.

The layout is VisualCloze's (arXiv 2504.07960), the ids are rotary positions (RoPE, Su et al. 2021, arXiv 2104.09864).
Arithmetic and order of random numbers are those of `diffusers.VisualClozeGenerationPipeline.prepare_latents`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers.utils.torch_utils import randn_tensor
from einops import rearrange
from PIL import Image

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.layout import Layout
from visualcloze_nb.settings import TOKEN_CHANNELS, VAE_SCALE

BLACK = -1.0  # the pixels of a blank cell, in the VAE's range -1..1


def pixels(image: Image.Image) -> torch.Tensor:
    """Convert an image to the VAE's input: `(1, 3, height, width)` float32, 0..255 becoming -1..1."""
    values = torch.from_numpy(np.asarray(image).astype(np.float32)[None] / 255.0)
    return 2.0 * rearrange(values, "b h w c -> b c h w") - 1.0


def strip(cells: Sequence[Image.Image | None], size: tuple[int, int]) -> torch.Tensor:
    """Lay the cells of one row side by side, blanks black.

    Args:
        cells: images of exactly `size`, or None for a blank.
        size: (width, height) of a cell in pixels.

    Returns:
        `(1, 3, height, width * len(cells))` in -1..1.
    """
    width, height = size
    blank = torch.full((1, 3, height, width), BLACK)
    row = torch.cat([blank if cell is None else pixels(cell) for cell in cells], dim=3)
    return row.contiguous(memory_format=torch.channels_last)  # as in diffusers: the last bits depend on it


def cell_mask(blanks: Sequence[bool], size: tuple[int, int]) -> torch.Tensor:
    """1 where a cell is to be filled in, 0 elsewhere: `(1, 1, height, width * len(blanks))`."""
    width, height = size
    return torch.cat([torch.full((1, 1, height, width), float(blank)) for blank in blanks], dim=3)


def encode(vae: Any, strips: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
    """Encode pixels as latents, normalised to mean 0 and standard deviation 1.

    The VAE predicts a distribution, which is sampled, as in diffusers.

    Args:
        vae: the autoencoder.
        strips: `(B, 3, H, W)` in -1..1.
        generator: for sampling.

    Returns:
        `(B, 16, H/8, W/8)`.
    """
    latents = vae.encode(strips).latent_dist.sample(generator)
    return (latents - vae.config.shift_factor) * vae.config.scaling_factor


def decode(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Decode latents to pixels, `(B, 16, h, w)` to `(B, 3, 8h, 8w)` in about -1..1."""
    return vae.decode(latents / vae.config.scaling_factor + vae.config.shift_factor, return_dict=False)[0]


def pack(latents: torch.Tensor) -> torch.Tensor:
    """Pack 2 x 2 neighbouring latents into one token, `(B, C, 2p, 2q)` to `(B, p q, 4 C)`."""
    return rearrange(latents, "b c (h p) (w q) -> b (h w) (c p q)", p=2, q=2)


def unpack(tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Unpack the tokens of one row.

    Args:
        tokens: `(B, p q, 64)`.
        height, width: of the row in latents, 2p and 2q.

    Returns:
        `(B, 16, 2p, 2q)` latents.
    """
    return rearrange(tokens, "b (h w) (c p q) -> b c (h p) (w q)", h=height // 2, w=width // 2, p=2, q=2)


def pack_mask(mask: torch.Tensor, vae_scale_factor: int = VAE_SCALE) -> torch.Tensor:
    """Pack a mask of pixels into tokens without averaging: each pixel keeps its own channel.

    Args:
        mask: `(B, 1, H, W)` of 0 and 1.
        vae_scale_factor: pixels along one side of a latent.

    Returns:
        `(B, H/16 W/16, 256)`: 8 x 8 pixels become 64 channels of one latent, 2 x 2 latents one token.
    """
    f = vae_scale_factor
    return pack(rearrange(mask, "b 1 (h p) (w q) -> b (p q) h w", p=f, q=f))


def condition(
    vae: Any,
    strips: Sequence[torch.Tensor],
    masks: Sequence[torch.Tensor],
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Encode what the transformer knows about the grid: 320 of its 384 input channels.

    Args:
        vae: the autoencoder.
        strips: one for each row, `(B, 3, H, W)` in -1..1, blanks already black.
        masks: one for each row, `(B, 1, H, W)`, 1 where the model fills in.
        generator: for sampling the latents, row after row.

    Returns:
        `(B, L, 64 + 256)`, rows one after the other.
    """
    images = torch.cat([pack(encode(vae, s, generator)) for s in strips], dim=1)
    blanks = torch.cat([pack_mask(m).to(images.dtype) for m in masks], dim=1)
    return torch.cat([images, blanks], dim=-1)


def position_ids(layout: Layout, first_row: int = 1) -> torch.Tensor:
    """Rotary position ids, `(L, 3)`: row of the grid (from 1 in stage 1, 0 in stage 2), y and x in the row's strip."""
    ids = torch.from_numpy(layout.ids)
    ids[:, 0] += first_row - 1
    return ids


@dataclass
class Prepared:
    """The inputs of stage 1 except the text.

    Attributes:
        noise: `(1, L, 64)`, where sampling starts.
        condition: `(1, L, 320)`.
        ids: `(L, 3)` position ids.
        layout: sizes and token counts.
    """

    noise: torch.Tensor
    condition: torch.Tensor
    ids: torch.Tensor
    layout: Layout


@torch.no_grad()
def prepare(
    grid: Grid,
    vae: Any,
    resolution: int,
    generator: torch.Generator,
    *,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> Prepared:
    """Prepare all inputs of stage 1 except the text.

    Args:
        grid: with at least one target.
        vae: the autoencoder.
        resolution: a cell has about `resolution` x `resolution` pixels.
        generator: draws first the latents of each row, then the noise, as diffusers does.
        device, dtype: of the tensors, by default the VAE's. An offloaded VAE waits on another device than it runs on,
            so a pipeline passes its `_execution_device` and the transformer's dtype.

    Returns:
        noise, condition, position ids and layout.

    Raises:
        GridError: the grid has no target.
    """
    layout = grid.require_targets().layout(resolution)
    device, dtype = device or vae.device, dtype or vae.dtype
    strips, masks = [], []
    for row, (cells, size) in enumerate(zip(grid.fitted(resolution), layout.sizes, strict=True)):
        is_query = row == grid.n_rows - 1
        strips.append(strip(cells, size).to(device, dtype))
        masks.append(cell_mask([is_query and cell is None for cell in cells], size).to(device, dtype))
    known = condition(vae, strips, masks, generator)
    noise = randn_tensor((1, layout.total, TOKEN_CHANNELS), generator=generator, device=device, dtype=dtype)
    return Prepared(noise, known, position_ids(layout).to(device, dtype), layout)


@torch.no_grad()
def decode_targets(tokens: torch.Tensor, vae: Any, layout: Layout) -> list[Image.Image]:
    """Decode the last row of a grid's tokens as a whole, and cut out its targets.

    Args:
        tokens: `(1, L, 64)`, finished or an x0 prediction.
        vae: the autoencoder.
        layout: of the grid.

    Returns:
        one image for each target, left to right.
    """
    width, height = layout.sizes[-1]
    latents = unpack(tokens[:, layout.row_slices[-1]], height // VAE_SCALE, width * layout.n_cols // VAE_SCALE)
    row = to_images(decode(vae, latents))[0]
    return [row.crop(layout.target_box(column)) for column in layout.targets]


def to_images(values: torch.Tensor) -> list[Image.Image]:
    """Convert `(B, 3, H, W)` in -1..1 to images, rounded to 8 bits as in diffusers."""
    values = (values * 0.5 + 0.5).clamp(0, 1)
    array = rearrange(values.float().cpu(), "b c h w -> b h w c").numpy()
    return [Image.fromarray(one) for one in (array * 255).round().astype("uint8")]
