"""What the transformer starts with: heads that point, open gates, a way for the noise; and new blocks in a trained one.

A grid is solved by looking at one place of several cells, and a velocity is noise less image. A model that starts
without any sense of place, with its residual branches nearly shut and no way from its input to its output, first has
to find all that. Nothing here is fixed: training may move every weight. What it is worth: `README.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.models.transformers.transformer_flux import FluxSingleTransformerBlock

from visualcloze_nb.errors import UsageError

HEAD = 64  # numbers of a head
AXES = (8, 28, 28)  # of them, how many turn with row, y and x
CELL = 4  # tokens along a side of a 64-pixel cell
SHARPNESS = 2.5  # weight of the numbers that point, in the norms of queries and keys
LEFT, RIGHT, ABOVE = (0, 0, -CELL), (0, 0, CELL), (-1, 0, 0)  # (row, y, x) in tokens: the same place of another cell
WITHIN = ((0, 0, -1), (0, 0, 1), (0, -1, 0), (0, 1, 0), LEFT)
ACROSS = (LEFT, ABOVE, (-1, 0, -CELL), RIGHT, LEFT)
ADDED = (
    (0, (LEFT, ABOVE, (-1, 0, -CELL))),
    (5, (LEFT, (0, -1, -CELL), (0, 1, -CELL))),
    (10, (LEFT, (0, 0, -CELL - 1), (0, 0, -CELL + 1))),
)
"""Blocks that `--grow` adds: before which single block, and where their heads point; chosen for the ten single blocks
of three heads that the bundled model had then."""

_PAIRS = [(0, 8, 0, 0), *((8 + 2 * n, 28, n, 1) for n in (0, 1)), *((36 + 2 * n, 28, n, 2) for n in (0, 1))]
"""The pairs that point, those that turn fastest: first number, numbers of the axis, which pair of it, which axis."""
_POINTING = [first + i for first, *_ in _PAIRS for i in (0, 1)]


@torch.no_grad()
def point_head(attention: Any, head: int, offset: tuple[int, int, int], size: float = 3.0) -> None:
    """Let one head look at the token `offset` (row, y, x) away, and at little else.

    Rotary embedding turns the pair of numbers of frequency f by f times the position. So a query bias that is turned by
    f times an offset prefers, against an unturned key bias, keys at that offset. Two pairs of an axis tell one step
    from another and from a whole turn.
    """
    for layer in (attention.to_q, attention.to_k):
        rows = torch.tensor(_POINTING) + head * HEAD
        layer.weight[rows] = 0.0
    for first, numbers, pair, axis in _PAIRS:
        angle = torch.tensor(offset[axis] * 10_000 ** (-2 * pair / numbers))  # diffusers fixes theta at 10,000
        at = head * HEAD + first
        attention.to_q.bias[at : at + 2] = size * torch.stack([angle.cos(), angle.sin()])
        attention.to_k.bias[at : at + 2] = size * torch.tensor([1.0, 0.0])


@torch.no_grad()
def point_heads(block: Any, offsets: Sequence[tuple[int, int, int]]) -> None:
    """Point the heads of one block; where there are more heads than offsets, from the first offset again."""
    attention = block.attn
    attention.to_q.bias.zero_()
    attention.to_k.bias.zero_()
    for head in range(attention.heads):
        point_head(attention, head, offsets[head % len(offsets)])
    for norm in (attention.norm_q, attention.norm_k):
        norm.weight.fill_(1.0)
        norm.weight[_POINTING] = SHARPNESS


@torch.no_grad()
def open_gates(block: Any) -> None:
    """Set the gates of a block to 1, its scales and shifts to nearly none: PyTorch's start leaves it nearly shut."""
    norms = [block.norm1, block.norm1_context] if hasattr(block, "norm1") else [block.norm]
    for linear in (norm.linear for norm in norms):
        width = linear.in_features
        linear.weight.mul_(0.1)
        linear.bias.zero_()
        for gate in range(2, linear.out_features // width, 3):  # shift, scale, gate, and for two branches again
            linear.bias[gate * width : (gate + 1) * width] = 1.0


@torch.no_grad()
def pass_noise_on(transformer: Any, amount: float = 0.3) -> None:
    """Start the transformer with a way for the noise, from its input to its output.

    All 64 numbers of a token's noise must come out as they went in, through a stream of only 192 or 320. Here the
    first 64 channels carry the noise, quietly, so that norms see little of it, and are read at the end.
    """
    noise = transformer.config.out_channels
    into, out = transformer.x_embedder, transformer.proj_out
    into.weight[:, :noise] = 0.0
    into.weight[:noise] = 0.0
    into.bias[:noise] = 0.0
    into.weight[:noise, :noise] = amount * torch.eye(noise)
    ends = [block.proj_out for block in transformer.single_transformer_blocks]
    ends += [block.attn.to_out[0] for block in transformer.transformer_blocks]
    ends += [block.ff.net[2] for block in transformer.transformer_blocks]
    for end in ends:
        end.weight[:noise] = 0.0
        end.bias[:noise] = 0.0
    for layer in (transformer.norm_out.linear, out):
        layer.weight.zero_()
        layer.bias.zero_()
    given = torch.randn(256, into.in_features)
    given[:, 2 * noise :] = 1.0  # the mask where the answer belongs
    out.weight[:, :noise] = into(given).std(1).mean() / amount * torch.eye(noise)  # undoes the last norm


def initialise(transformer: Any) -> None:
    """All of the above, for an untrained transformer: blocks that look within a cell, and blocks that look across."""
    blocks = [*transformer.transformer_blocks, *transformer.single_transformer_blocks]
    for i, block in enumerate(blocks):
        offsets = (WITHIN, ACROSS)[i % 2]
        turn = 3 * (i // 2) % len(offsets)  # with few heads, later blocks take up the other offsets
        point_heads(block, offsets[turn:] + offsets[:turn])
        open_gates(block)
    pass_noise_on(transformer)


@torch.no_grad()
def add_blocks(transformer: Any, added: Sequence[tuple[int, Sequence[tuple[int, int, int]]]] = ADDED) -> list[Any]:
    """Put new single blocks into a trained transformer; their output begins at zero, so it computes what it did.

    Args:
        transformer: changed in place.
        added: for each new block the number of the single block that it comes before, and where its heads point.

    Returns:
        the new blocks.

    Raises:
        UsageError: the heads of this transformer are of another size than the tiny model's.
    """
    heads, size = transformer.config.num_attention_heads, transformer.config.attention_head_dim
    if (size, tuple(transformer.config.axes_dims_rope)) != (HEAD, AXES):
        raise UsageError(
            f"blocks are added to heads of {HEAD}, not {size}: use --start with the bundled model or one like it"
        )
    blocks, made = list(transformer.single_transformer_blocks), []
    for before, offsets in sorted(added, reverse=True):
        block = FluxSingleTransformerBlock(heads * HEAD, heads, HEAD).to(transformer.device, transformer.dtype)
        point_heads(block, offsets)
        open_gates(block)
        block.proj_out.weight.zero_()
        block.proj_out.bias.zero_()
        blocks.insert(before, block)
        made.append(block)
    transformer.single_transformer_blocks = torch.nn.ModuleList(blocks)
    transformer.register_to_config(num_single_layers=len(blocks))
    return made[::-1]
