"""Lesson 03: the exercise, an Euler sampler, and figures of sampling paths and curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from visualcloze_nb.drawing.figures import BLUE, ORANGE, new_figure
from visualcloze_nb.lessons.exercise import exercise
from visualcloze_nb.sampling.flow import euler_step

# The exercise -----------------------------------------------------------------------------------------------


def sample_states(velocity: Callable, z: torch.Tensor, sigmas: Sequence[float] | torch.Tensor) -> torch.Tensor:
    """Sample with Euler steps and keep every state.

    Args:
        velocity: `velocity(z, sigma)` returns dz/dsigma, of z's shape.
        z: the start, at noise level `sigmas[0]`.
        sigmas: descending noise levels, one more than there are steps.

    Returns:
        `(len(sigmas), *z.shape)`; the first state is `z`.
    """
    states = [z]
    for sigma, sigma_next in zip(sigmas, sigmas[1:], strict=False):
        states.append(euler_step(states[-1], velocity(states[-1], sigma), sigma, sigma_next))
    return torch.stack(states)


def _towards_an_image(z, sigma):
    return (z - 0.5) / max(sigma, 0.01)


def _turning(z, sigma):
    return torch.sin(3 * z) + 2 * sigma


CASES = [
    (_towards_an_image, torch.tensor([1.2, -0.7, 0.1]), [1.0, 0.7, 0.2, 0.0]),
    (_turning, torch.tensor([0.4, -1.1]), [0.8, 0.5, 0.1]),
]


@exercise(cases=CASES)
def euler_sample(velocity, z, sigmas):
    return sample_states(velocity, z, sigmas)[-1]


@euler_sample.mistake("The step adds noise. The change of sigma is sigma_next - sigma, which is negative.")
def adds_noise(velocity, z, sigmas):
    for sigma, sigma_next in zip(sigmas, sigmas[1:], strict=False):
        z = z + (sigma - sigma_next) * velocity(z, sigma)
    return z


@euler_sample.mistake("Every step moves by the whole velocity: multiply it by the change of sigma.")
def without_step_length(velocity, z, sigmas):
    for sigma in sigmas[:-1]:
        z = z - velocity(z, sigma)
    return z


@euler_sample.mistake("The velocity is computed only once, at the start. Compute it again at each state: it changes.")
def velocity_once(velocity, z, sigmas):
    return z + (sigmas[-1] - sigmas[0]) * velocity(z, sigmas[0])


@euler_sample.mistake(
    "Sampling ends one step early: n + 1 noise levels have n steps between them, the last one to sigmas[-1]."
)
def ends_early(velocity, z, sigmas):
    return sample_states(velocity, z, sigmas[:-1])[-1]


@euler_sample.mistake(
    "All your steps have the same length. The levels need not be even: use the two that a step connects."
)
def even_steps(velocity, z, sigmas):
    length = (sigmas[-1] - sigmas[0]) / (len(sigmas) - 1)
    for sigma in sigmas[:-1]:
        z = z + length * velocity(z, sigma)
    return z


@euler_sample.mistake(
    "The velocity is computed at the next noise level. Compute it at sigma, the level of the current state."
)
def velocity_ahead(velocity, z, sigmas):
    for sigma, sigma_next in zip(sigmas, sigmas[1:], strict=False):
        z = z + (sigma_next - sigma) * velocity(z, sigma_next)
    return z


# Figures ---------------------------------------------------------------------------------------------------


def draw_paths(panels: Mapping[str, torch.Tensor], title: str):
    """Draw sampling paths of one pixel from noise (left) to a sample (right), panels side by side.

    Args:
        panels: names, and for each the states `(steps + 1, paths)`, at even noise levels from 1 to 0.
        title: what to see.
    """
    figure = new_figure(2.9)
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
    """Draw how measurements change during denoising, one panel each.

    Args:
        sigmas: noise level of each measurement.
        curves: names, and for each one value for each noise level.
        title: what to see.
        levels: names, and for each a value to compare with.
    """
    figure = new_figure(2.8)
    figure.suptitle(title, size=11, weight="bold", x=0.01, ha="left")
    for axes, (name, values) in zip(figure.subplots(1, len(curves)), curves.items(), strict=True):
        axes.plot(sigmas, values, color=BLUE, marker="o", markersize=4)
        level = (levels or {}).get(name, 0)
        if level:
            axes.axhline(level, color="black", linewidth=1, linestyle=":")
            axes.text(1, level, "ground truth", size=9, va="bottom")
        axes.set(xlim=(1.02, 0), xlabel="sigma: noise left, sample right", ylim=(0, 1.2 * max(*values, level)))
        axes.set_title(name, size=9.5)
        axes.grid(alpha=0.3)
    words = [f"{name} goes from {values[0]:.2f} to {values[-1]:.2f}" for name, values in curves.items()]
    figure.alt = f"{title}. During sampling {'; '.join(words)}."
    return figure
