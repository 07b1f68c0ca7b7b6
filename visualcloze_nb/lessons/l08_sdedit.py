"""Lesson 08: the exercise, the start of stage 2, and a figure of curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from visualcloze_nb.drawing.figures import LINES, new_figure
from visualcloze_nb.lessons.exercise import exercise
from visualcloze_nb.sampling.flow import add_noise
from visualcloze_nb.sampling.sdedit import skipped_steps

# The exercise -----------------------------------------------------------------------------------------------


def _cases():
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 1, 16, 6, 6, generator=generator)
    even, shifted = torch.linspace(1, 0, 11), torch.tensor([1.0, 0.95, 0.85, 0.7, 0.4, 0.0])
    return [(clean, noise, *rest) for rest in ((even, 0.4), (shifted, 0.6), (even, 0.15), (even, 1))]


@exercise(cases=_cases)
def start(clean, noise, sigmas, strength):
    left = sigmas[skipped_steps(len(sigmas) - 1, strength) :]
    return add_noise(clean, noise, left[0]), left


@start.mistake("Strength is the wrong way round: 1 runs all steps, so it skips nothing.")
def start_inverted(clean, noise, sigmas, strength):
    left = sigmas[int((len(sigmas) - 1) * strength) :]
    return add_noise(clean, noise, left[0]), left


@start.mistake("The noise is at sigma = strength. It must be at the first level that remains.")
def start_at_strength(clean, noise, sigmas, strength):
    left = sigmas[skipped_steps(len(sigmas) - 1, strength) :]
    return add_noise(clean, noise, strength), left


@start.mistake("Image and noise are exchanged: at sigma 1 the latents are pure noise.")
def start_exchanged(clean, noise, sigmas, strength):
    left = sigmas[skipped_steps(len(sigmas) - 1, strength) :]
    return add_noise(noise, clean, left[0]), left


@start.mistake("The noise is added to the unscaled image. On the line the image is multiplied by 1 - sigma.")
def start_unscaled(clean, noise, sigmas, strength):
    left = sigmas[skipped_steps(len(sigmas) - 1, strength) :]
    return clean + left[0] * noise, left


@start.mistake("One level is missing: n steps need n + 1 levels. Count the steps, which are one fewer than the sigmas.")
def start_one_short(clean, noise, sigmas, strength):
    left = sigmas[skipped_steps(len(sigmas) - 1, strength) + 1 :]
    return add_noise(clean, noise, left[0]), left


@start.mistake("Half a step is rounded to the wrong side: skip int(steps - steps * strength), and run all the others.")
def start_rounded_up(clean, noise, sigmas, strength):
    steps = len(sigmas) - 1
    left = sigmas[steps - int(steps * strength) :]
    return add_noise(clean, noise, left[0]), left


# Figures ---------------------------------------------------------------------------------------------------


def draw_lines(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    title: str,
    xlabel: str,
    ylabel: str,
    level: tuple[str, float] | None = None,
    octaves: bool = False,
):
    """Draw curves in one panel.

    Args:
        curves: names, and for each the x and the y values.
        title: what to see.
        xlabel, ylabel: of the axes.
        level: (name, y) of a horizontal line to compare with.
        octaves: logarithmic x axis to base 2.
    """
    figure = new_figure(3.2)
    axes = figure.subplots()
    for (name, (x, y)), (colour, line, mark) in zip(curves.items(), LINES, strict=False):
        axes.plot(x, y, color=colour, linestyle=line, marker=mark, markersize=4, label=name)
    if level:
        axes.axhline(level[1], color="black", linewidth=1, linestyle=(0, (1, 3)), label=level[0])
    if octaves:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
    axes.set(xlabel=xlabel, ylabel=ylabel, ylim=(0, None))
    axes.set_title(title, size=11, weight="bold", loc="left")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=9.5)
    words = [f"{name} goes from {float(y[0]):.2f} to {float(y[-1]):.2f}" for name, (x, y) in curves.items()]
    figure.alt = f"{title}. {ylabel} over {xlabel}: {'; '.join(words)}."
    return figure
