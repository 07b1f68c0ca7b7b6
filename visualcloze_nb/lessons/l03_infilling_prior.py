"""Lesson 03: the exercise, a walk from noise to an answer, and the lesson's drawings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from visualcloze_nb.drawing.figures import figure_class
from visualcloze_nb.lessons.exercise import exercise
from visualcloze_nb.sampling.flow import euler_step

BLUE, ORANGE = "#0072B2", "#D55E00"  # of the Okabe-Ito palette: told apart by all readers

# The exercise -----------------------------------------------------------------------------------------------


def every_state(velocity: Callable, z: torch.Tensor, sigmas: Sequence[float]) -> torch.Tensor:
    """Walk down the noise levels and keep each state.

    Args:
        velocity: `velocity(z, sigma)` gives dz/dsigma, of z's shape.
        z: where to start, at noise level `sigmas[0]`.
        sigmas: falling noise levels, one more than there are steps.

    Returns:
        `(len(sigmas), *z.shape)`, the first being `z`.
    """
    states = [z]
    for sigma, sigma_next in zip(sigmas, sigmas[1:], strict=False):
        states.append(euler_step(states[-1], velocity(states[-1], sigma), sigma, sigma_next))
    return torch.stack(states)


def _towards_a_image(z, sigma):
    return (z - 0.5) / max(sigma, 0.01)


def _turning(z, sigma):
    return torch.sin(3 * z) + 2 * sigma


CASES = [
    (_towards_a_image, torch.tensor([1.2, -0.7, 0.1]), [1.0, 0.7, 0.2, 0.0]),
    (_turning, torch.tensor([0.4, -1.1]), [0.8, 0.5, 0.1]),
]


@exercise(cases=CASES)
def walk(velocity, z, sigmas):
    return every_state(velocity, z, sigmas)[-1]


@walk.mistake("The step goes up in noise. The change of sigma is sigma_next - sigma, which is below zero.")
def walk_uphill(velocity, z, sigmas):
    for sigma, sigma_next in zip(sigmas, sigmas[1:], strict=False):
        z = z + (sigma - sigma_next) * velocity(z, sigma)
    return z


@walk.mistake("The whole velocity is taken at every step: multiply it by how far sigma changes.")
def walk_without_step_length(velocity, z, sigmas):
    for sigma in sigmas[:-1]:
        z = z - velocity(z, sigma)
    return z


@walk.mistake("The velocity is asked only once, at the start. Ask again at each new place: it changes.")
def walk_asks_once(velocity, z, sigmas):
    return z + (sigmas[-1] - sigmas[0]) * velocity(z, sigmas[0])


@walk.mistake("The walk ends one step early: n + 1 noise levels have n steps between them, the last one to sigmas[-1].")
def walk_ends_early(velocity, z, sigmas):
    return every_state(velocity, z, sigmas[:-1])[-1]


@walk.mistake("All your steps have one length. The levels need not be even: use the two that a step joins.")
def walk_with_even_steps(velocity, z, sigmas):
    length = (sigmas[-1] - sigmas[0]) / (len(sigmas) - 1)
    for sigma in sigmas[:-1]:
        z = z + length * velocity(z, sigma)
    return z


@walk.mistake("The velocity is asked at the noise level of arrival. Ask at sigma, where the state is now.")
def walk_asks_ahead(velocity, z, sigmas):
    for sigma, sigma_next in zip(sigmas, sigmas[1:], strict=False):
        z = z + (sigma_next - sigma) * velocity(z, sigma_next)
    return z


# The drawings -----------------------------------------------------------------------------------------------


def draw_paths(panels: Mapping[str, torch.Tensor], title: str):
    """Draw walks of one pixel from noise (left) to an answer (right), one panel beside the other.

    Args:
        panels: names and states, `(steps + 1, walks)`, noise levels falling evenly from 1 to 0.
        title: what to see.
    """
    figure = figure_class()(figsize=(7.6, 2.9), dpi=100, facecolor="white", layout="constrained")
    figure.suptitle(title, size=11, weight="bold", x=0.01, ha="left")
    words = []
    for axes, (name, states) in zip(figure.subplots(1, len(panels), sharey=True), panels.items(), strict=True):
        sigmas = torch.linspace(1, 0, len(states))
        for path in states.T:
            axes.plot(sigmas, path, color=BLUE if path[-1] >= 0 else ORANGE, linewidth=1, alpha=0.8)
            axes.plot(0, path[-1], "o", color="black", markersize=3, clip_on=False)
        axes.set(xlim=(1, 0), ylim=(-2.6, 2.6), xticks=[1, 0.5, 0], yticks=[-2, -1, 0, 1, 2], xlabel="sigma")
        axes.set_title(name, size=9.5)
        axes.grid(alpha=0.3)
        ends = sorted({round(float(end), 1) + 0.0 for end in states[-1]})
        name = name.replace("\n", " ")
        words.append(f"{name}: {states.shape[1]} paths end at {', '.join(f'{end:g}' for end in ends)}")
    figure.axes[0].set_ylabel("value of the pixel")
    figure.alt = f"{title}. {'; '.join(words)}."
    return figure


def draw_curves(
    sigmas: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    title: str,
    levels: Mapping[str, float] | None = None,
):
    """Draw how measurements change while the noise falls, one panel each.

    Args:
        sigmas: noise level of each measurement.
        curves: names and values, one a noise level.
        title: what to see.
        levels: names and, for each, a height to compare with.
    """
    figure = figure_class()(figsize=(7.6, 2.8), dpi=100, facecolor="white", layout="constrained")
    figure.suptitle(title, size=11, weight="bold", x=0.01, ha="left")
    for axes, (name, values) in zip(figure.subplots(1, len(curves)), curves.items(), strict=True):
        axes.plot(sigmas, values, color=BLUE, marker="o", markersize=4)
        level = (levels or {}).get(name, 0)
        if level:
            axes.axhline(level, color="black", linewidth=1, linestyle=":")
            axes.text(1, level, "the truth", size=9, va="bottom")
        axes.set(xlim=(1.02, 0), xlabel="sigma: noise left, answer right", ylim=(0, 1.2 * max(*values, level)))
        axes.set_title(name, size=9.5)
        axes.grid(alpha=0.3)
    words = [f"{name} goes from {values[0]:.2f} to {values[-1]:.2f}" for name, values in curves.items()]
    figure.alt = f"{title}. Along the walk {'; '.join(words)}."
    return figure
