"""How large a model is: weights of each component, and memory for activations. Arithmetic, no torch.

A run needs memory for weights (parameters times bytes each) and for activations that come and go: those of the
transformer's blocks, and the images inside the VAE. All sizes are bytes, all GB are 10^9 bytes.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visualcloze_nb.errors import ModelError
from visualcloze_nb.loading.checkpoint_files import read_index, read_json, read_shapes, shown, weight_files
from visualcloze_nb.settings import TEXT_ENCODERS, TEXT_TOKENS, TOKEN_PIXELS

GB = 1e9
BYTES = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0}
NF4 = 0.5 + 4 / 64  # bytes a weight: 4 bits, and a 32-bit scale for each 64 weights
LIVE = 18  # activations of a FLUX block alive at once, as multiples of (tokens x width)


@dataclass(frozen=True)
class Part:
    """The weights of one component.

    Attributes:
        parameters: how many.
        linear: how many of them lie in linear layers, which 4-bit quantisation packs.
        wide: how many of those are left unpacked (T5's `wo`).
    """

    parameters: int
    linear: int = 0
    wide: int = 0

    def bytes(self, precision: str, packed: bool = False) -> float:
        """Size in memory, `packed` in 4 bits or not."""
        four_bit = self.linear - self.wide if packed else 0
        return four_bit * NF4 + (self.parameters - four_bit) * BYTES[precision]


@dataclass(frozen=True)
class Model:
    """What the arithmetic needs to know of a checkpoint.

    Attributes:
        name: as given to `load`.
        parts: weights by component name.
        resolution: of the pipeline.
        width: of the transformer's hidden states.
        channels: of the VAE's widest layer at full resolution.
        download: bytes to fetch; 0 for a local folder.
    """

    name: str
    parts: dict[str, Part]
    resolution: int
    width: int = 3072
    channels: int = 256
    download: float = 0.0

    def work(self, precision: str, rows: int, cols: int, size: tuple[int, int] | None = None) -> dict[str, float]:
        """Memory that comes and goes, by stage of the work.

        Args:
            precision: `bf16`, `fp16` or `fp32`.
            rows, cols: of the grid.
            size: (width, height) of stage 2 in pixels; three times a cell's unless given.
        """
        side = self.resolution
        large = 9 * side * side if size is None else size[0] * size[1]
        tokens = max(rows * cols * side * side, large) // TOKEN_PIXELS**2 + TEXT_TOKENS
        pixels = max(cols * side * side, large)
        number = BYTES[precision]
        return {
            "denoise": LIVE * tokens * self.width * number,
            "decode": 3 * pixels * self.channels * number,  # three images of that many channels at once
        }


FULL_PARTS = {
    "transformer": Part(11_902_391_360, linear=11_899_305_984),
    "text_encoder_2": Part(4_762_310_656, linear=4_630_511_616, wide=1_006_632_960),
    "text_encoder": Part(123_060_480),
    "vae": Part(83_819_683),
}
LORA = Part(1_240_000_000)  # rank 256 on all linear layers; about


def full_model(name: str) -> Model:
    """Describe a released model, such as `384` or `512-lora`, or another of the same size."""
    parts = dict(FULL_PARTS)
    if name.endswith("-lora"):
        parts["lora"] = LORA
    download = sum(part.parameters * 2 for part in parts.values())
    return Model(name, parts, resolution=resolution_by_name(name), download=download)


def resolution_by_name(name: str) -> int:
    """Take a model's resolution from its name: 512 if the number is in it, else 384, the released models' other."""
    return 512 if re.search(r"(?<!\d)512(?!\d)", Path(name).name) else 384


def folder_model(folder: Path, name: str | None = None, variant: str | None = None) -> Model:
    """Describe a checkpoint folder from its configs and the headers of its safetensors files; reads no weights.

    Args:
        folder: with a `model_index.json`.
        name: as given to `load`.
        variant: of the weights, such as `bf16`, or None.

    Raises:
        ModelError: if a file is missing or damaged.
    """
    folder = Path(folder)
    index = read_index(folder)
    transformer, vae = (read_json(folder / part / "config.json") for part in ("transformer", "vae"))
    heads: Any = transformer.get("num_attention_heads")
    head_dim: Any = transformer.get("attention_head_dim")
    channels: Any = vae.get("block_out_channels")
    if not isinstance(channels, list) or not channels or {type(n) for n in (heads, head_dim, *channels)} != {int}:
        raise ModelError(f"{shown(folder)}: the config.json of transformer or vae lacks sizes: copy it again")
    parts = {}
    for part in ("transformer", *TEXT_ENCODERS[::-1], "vae"):
        shapes = [shape for file in weight_files(folder / part, variant) for shape in read_shapes(file).items()]
        counts = {key: math.prod(shape) for key, shape in shapes}
        tables = ("shared", "embed_tokens", "relative_attention_bias")  # T5's embeddings: two sides, no layer
        linear = sum(
            counts[key] for key, shape in shapes if len(shape) == 2 and not any(name in key for name in tables)
        )
        wide = sum(count for key, count in counts.items() if key.endswith("wo.weight"))
        packable = part in ("transformer", "text_encoder_2")
        parts[part] = Part(sum(counts.values()), linear if packable else 0, wide if packable else 0)
    return Model(
        name or str(folder),
        parts,
        resolution=index.get("resolution") or resolution_by_name(str(folder)),
        width=heads * head_dim,
        channels=channels[min(1, len(channels) - 1)],
    )


def text_precision(precision: str) -> str:
    """Give the precision of the text encoders: float32 beside float16, in which T5's numbers grow too large."""
    return "fp32" if precision == "fp16" else precision


def gb(size: float) -> str:
    """Write a size: `23.8 GB`, `41 MB`."""
    return f"{size / GB:.1f} GB" if size >= 0.1 * GB else f"{size / 1e6:.0f} MB"
