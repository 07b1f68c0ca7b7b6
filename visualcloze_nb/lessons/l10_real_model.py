"""Lesson 10: the exercises, parameters, four bits and operations; figures of sizes and costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from visualcloze_nb.drawing.figures import BLUE, GREEN, ORANGE, PINK, new_figure
from visualcloze_nb.lessons.exercise import exercise

PAINTS = ((BLUE, ""), ("#E69F00", "//"), (GREEN, ".."), (PINK, "xx"), ("#999999", "--"))  # colour and hatching

# Parameters -------------------------------------------------------------------------------------------------


@exercise(cases=[(192, 1, 10), (3072, 19, 38)], tolerance=0)
def block_weights(width, double, single):
    return (2 * (4 + 8 + 6) * double + (3 + 9 + 3) * single) * width**2


@block_weights.mistake("A double block has its matrices twice: once for the image, once for the text.")
def one_stream(width, double, single):
    return (18 * double + 15 * single) * width**2


@block_weights.mistake("A matrix has a row for each number that comes out: `width`² parameters, not `width`.")
def one_row_each(width, double, single):
    return (36 * double + 15 * single) * width


@block_weights.mistake("You exchanged double and single blocks.")
def exchanged_blocks(width, double, single):
    return block_weights.answer(width, single, double)


# Weights in four bits ---------------------------------------------------------------------------------------


def nf4_levels() -> torch.Tensor:
    """The 16 levels of nf4, from -1 to 1 (Dettmers et al. 2023, QLoRA, arXiv 2305.14314).

    Weights are about normally distributed, so the levels are quantiles of the normal distribution: close together
    around 0. One level is 0 itself, seven lie below and eight above.
    """
    outermost = 1 - (1 / 30 + 1 / 32) / 2
    above, below = (torch.special.ndtri(torch.linspace(outermost, 0.5, n, dtype=torch.float64))[:-1] for n in (9, 8))
    levels = torch.cat([-below, above, torch.zeros(1, dtype=torch.float64)]).sort().values
    return (levels / levels.max()).float()


def round_weights(weights: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Round weights as four-bit storage does.

    Args:
        weights: `(blocks, 64)`; each block has a scale of its own.
        levels: `(16,)`, from -1 to 1.

    Returns:
        `(blocks, 64)`: for each weight the nearest level times its block's largest absolute value.
    """
    scale = weights.abs().amax(1, keepdim=True)
    return levels[_nearest(weights / scale, levels)] * scale


def _nearest(values: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    return (values[..., None] - levels).abs().argmin(-1)


def _cases():
    generator = torch.Generator().manual_seed(0)
    sizes = torch.linspace(0.1, 0.4, 16)[torch.randperm(16, generator=generator), None]
    weights = (torch.randn(16, 64, generator=generator) * sizes).clamp(-2 * sizes, 2 * sizes)
    weights[::3, 5] = -2.5 * sizes[::3, 0]  # the largest of a block may be negative
    return [(weights, torch.linspace(-1, 1, 7)), (weights[:8], nf4_levels())]


@exercise(cases=_cases)
def four_bits(weights, levels):
    return round_weights(weights, levels)


@four_bits.mistake("One scale for all blocks: one large weight then spoils all the others. Each row has its own.")
def one_scale(weights, levels):
    scale = weights.abs().max()
    return levels[_nearest(weights / scale, levels)] * scale


@four_bits.mistake("The largest value of a block may be negative. The scale is the largest *absolute* value.")
def scale_without_sign(weights, levels):
    scale = weights.amax(1, keepdim=True)
    return levels[_nearest(weights / scale, levels)] * scale


@four_bits.mistake("These are levels, from -1 to 1. Multiply each by its block's scale to get weights back.")
def not_scaled_back(weights, levels):
    return levels[_nearest(weights / weights.abs().amax(1, keepdim=True), levels)]


@four_bits.mistake("These are indices of levels, the four bits themselves. Look up the levels: levels[indices].")
def only_the_indices(weights, levels):
    return _nearest(weights / weights.abs().amax(1, keepdim=True), levels)


@four_bits.mistake("Each weight goes to the next level below. Take the nearest one, which may lie above.")
def rounded_down(weights, levels):
    scale = weights.abs().amax(1, keepdim=True)
    return levels[(torch.searchsorted(levels, weights / scale, right=True) - 1).clamp(min=0)] * scale


@four_bits.mistake("The scale runs down the columns. A block is a row of 64: its largest value is along dim 1.")
def scale_by_column(weights, levels):
    scale = weights.abs().amax(0, keepdim=True)
    return levels[_nearest(weights / scale, levels)] * scale


@four_bits.mistake("The levels reach to 1, so the scale must be the largest value of the block, not its spread.")
def scale_by_spread(weights, levels):
    scale = weights.std(1, keepdim=True)
    return levels[_nearest(weights / scale, levels)] * scale


@four_bits.mistake("The weights are not divided by their block's scale before the nearest level is taken.")
def not_scaled_down(weights, levels):
    return levels[_nearest(weights, levels)] * weights.abs().amax(1, keepdim=True)


# Operations -------------------------------------------------------------------------------------------------


@exercise(cases=[(192, 11, 128), (3072, 57, 2816)], tolerance=0)
def operations(width, blocks, tokens):
    return blocks * 2 * 12 * width**2 * tokens, blocks * 2 * 2 * tokens**2 * width


@operations.mistake("You count the multiplications. Each has an addition beside it, which counts as well.")
def multiplications_alone(width, blocks, tokens):
    return blocks * 12 * width**2 * tokens, blocks * 2 * tokens**2 * width


@operations.mistake("Attention takes each token with every other: `tokens` squared.")
def attention_of_single_tokens(width, blocks, tokens):
    return blocks * 24 * width**2 * tokens, blocks * 4 * tokens * width


@operations.mistake("Attention works on pairs twice: to weigh them, and to add up their values.")
def attention_once(width, blocks, tokens):
    return blocks * 24 * width**2 * tokens, blocks * 2 * tokens**2 * width


@operations.mistake("This is one block. Multiply by `blocks`.")
def one_block(width, blocks, tokens):
    return operations.answer(width, 1, tokens)


# Costs ------------------------------------------------------------------------------------------------------


def counted(model: torch.nn.Module, tokens: int, text: int) -> int:
    """Operations of one step of a transformer on the device `meta`, counted by PyTorch.

    Args:
        model: the transformer.
        tokens: of the grid.
        text: tokens of text.
    """
    config: Any = model.config
    dtype = next(model.parameters()).dtype
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model(
            hidden_states=torch.zeros(1, tokens, 384, dtype=dtype),
            encoder_hidden_states=torch.zeros(1, text, config.joint_attention_dim, dtype=dtype),
            pooled_projections=torch.zeros(1, config.pooled_projection_dim, dtype=dtype),
            timestep=torch.ones(1, dtype=dtype),
            guidance=torch.ones(1) if config.guidance_embeds else None,
            img_ids=torch.zeros(tokens, 3),
            txt_ids=torch.zeros(text, 3),
        )
    return counter.get_total_flops()


# Figures ---------------------------------------------------------------------------------------------------


def draw_areas(models: Mapping[str, Mapping[str, int]], title: str):
    """Draw each part of each model as a square whose area is its number of parameters.

    Args:
        models: names, and for each the number of parameters of its parts by name.
        title: what to see.
    """
    from matplotlib.patches import Rectangle

    figure = new_figure(3.4)
    axes = figure.subplots()
    largest = max(max(parts.values()) for parts in models.values()) ** 0.5
    left = 0.0
    for model, parts in models.items():
        start = left
        for (name, count), (colour, hatch) in zip(parts.items(), PAINTS, strict=False):
            side = count**0.5
            axes.add_patch(Rectangle((left, 0), side, side, facecolor=colour, edgecolor="white", hatch=hatch))
            if side > 0.2 * largest:
                words = f"{name}\n{_count(count)}"
                axes.text(left + side / 2, side / 2, words, ha="center", va="center", size=9.5,
                          bbox={"facecolor": "white", "edgecolor": "none", "pad": 2})  # fmt: skip
            elif side > 0.05 * largest:
                axes.text(left + side / 2, side + 0.02 * largest, name, rotation=90, ha="center", va="bottom", size=9.5)
            left += side + 0.02 * largest
        words = f"{model}\n{_count(sum(parts.values()))}"
        axes.text((start + left) / 2, -0.04 * largest, words, ha="center", va="top", size=9.5)
        left += 0.2 * largest
    axes.set(xlim=(-0.1 * largest, left), ylim=(-0.25 * largest, 1.02 * largest), aspect="equal")
    axes.axis("off")
    axes.set_title(title, size=11, weight="bold", loc="left")
    words = [
        f"{model}: {', '.join(f'{name} {_count(count)}' for name, count in parts.items())}"
        for model, parts in models.items()
    ]
    figure.alt = f"{title}. Squares whose areas are numbers of parameters. {'; '.join(words)}."
    return figure


def _count(number: float) -> str:
    return f"{number / 1e9:.1f} billion" if number >= 1e8 else f"{number / 1e6:.1f} million"


def draw_rounding(before: torch.Tensor, after: torch.Tensor, levels: torch.Tensor, title: str):
    """Draw one block of weights before and after rounding, and the levels it was rounded to.

    Args:
        before, after: `(64,)`.
        levels: `(16,)`, times the block's scale.
        title: what to see.
    """
    figure = new_figure(2.8)
    axes = figure.subplots()
    for level in levels:
        axes.axhline(float(level), color="#BBBBBB", linewidth=0.8)
    places = range(len(before))
    axes.vlines(places, before, after, color=ORANGE, linewidth=1.5)
    axes.plot(places, before, "o", color=BLUE, markersize=4, label="weight")
    axes.plot(places, after, "_", color="black", markersize=8, markeredgewidth=1.5, label="nearest level")
    axes.set(xlim=(-1, len(before)), xlabel="64 weights of one block", ylabel="value")
    axes.set_title(title, size=11, weight="bold", loc="left")
    figure.legend(frameon=False, fontsize=9.5, ncols=2, loc="outside lower center")
    off = (before - after).abs().max() / before.abs().max()
    figure.alt = (
        f"{title}. {len(before)} weights move to the nearest of {len(levels)} horizontal lines, which lie closer "
        f"together around 0; none moves by more than {float(off):.0%} of the largest weight."
    )
    return figure


def draw_stacks(
    rows: Mapping[str, Mapping[str, float]],
    title: str,
    xlabel: str,
    lines: Mapping[str, float] | None = None,
):
    """Draw stacked horizontal bars.

    Args:
        rows: names, and for each its parts by name; all have the same parts.
        title: what to see.
        xlabel: quantity and unit.
        lines: names and x values of vertical lines to compare with.
    """
    height = 1.5 + 0.42 * len(rows)
    figure = new_figure(height)
    axes = figure.subplots()
    names = list(rows)
    left = [0.0] * len(names)
    for part, (colour, hatch) in zip(rows[names[0]], PAINTS, strict=False):
        widths = [rows[name][part] for name in names]
        axes.barh(names, widths, left=left, color=colour, hatch=hatch, edgecolor="white", label=part, height=0.7)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for (name, place), raised in zip((lines or {}).items(), _raised(lines or {}), strict=True):
        axes.axvline(place, color="black", linewidth=1.2, linestyle=(0, (4, 2)))
        axes.annotate(name, (place, 1), (0, 3 + 12 * raised), xycoords=("data", "axes fraction"),
                      textcoords="offset points", ha="center", va="bottom", size=9.5)  # fmt: skip
    axes.invert_yaxis()
    axes.set(xlabel=xlabel, xlim=(0, 1.05 * max([*left, *(lines or {}).values()])))
    axes.grid(axis="x", alpha=0.3)
    figure.suptitle(title, size=11, weight="bold", x=0.01, ha="left")
    figure.legend(frameon=False, fontsize=9.5, ncols=len(rows[names[0]]), loc="outside lower center")
    words = [f"{name} {total:.1f}" for name, total in zip(names, left, strict=True)]
    marks = f" Lines at {', '.join(f'{n} {p:.1f}' for n, p in lines.items())}." if lines else ""
    figure.alt = f"{title}. {xlabel}: {', '.join(words)}.{marks}".replace("\n", " ")
    return figure


def _raised(lines: Mapping[str, float]) -> Sequence[int]:
    """Alternate between two heights, so that names of neighbouring lines do not overlap."""
    order = sorted(lines, key=lambda name: lines[name])
    return [order.index(name) % 2 for name in lines]
