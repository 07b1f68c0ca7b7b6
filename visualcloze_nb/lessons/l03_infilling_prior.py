"""Lesson 03: the exercises, from the straight line between image and noise to the training loss and the sampler."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from visualcloze_nb.drawing.figures import BLUE, new_figure
from visualcloze_nb.lessons.exercise import exercise
from visualcloze_nb.sampling import flow


def _drawn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# Noise ------------------------------------------------------------------------------------------------------

NOISE_CASES = [
    (_drawn(2, 3, seed=0), _drawn(2, 3, seed=1), 0.3),
    (_drawn(4, seed=2), _drawn(4, seed=3), torch.tensor([0.0, 0.2, 0.6, 1.0])),
]


@exercise(cases=NOISE_CASES)
def add_noise(clean, noise, sigma):
    return flow.add_noise(clean, noise, sigma)


@add_noise.mistake("The ends are exchanged: at sigma 0 there is the image alone, at sigma 1 the noise alone.")
def ends_exchanged(clean, noise, sigma):
    return sigma * clean + (1 - sigma) * noise


@add_noise.mistake("The image does not fade. Its share is 1 - sigma, so that at sigma 1 nothing of it is left.")
def image_stays(clean, noise, sigma):
    return clean + sigma * noise


@add_noise.mistake("The shares add up to 1 on this line. Square roots of them belong to another process (DDPM).")
def square_roots(clean, noise, sigma):
    sigma = torch.as_tensor(sigma)
    return (1 - sigma).sqrt() * clean + sigma.sqrt() * noise


@add_noise.mistake("That is the velocity times sigma. Add it to the image.")
def only_the_change(clean, noise, sigma):
    return sigma * (noise - clean)


# One step ---------------------------------------------------------------------------------------------------


@exercise(
    cases=[(_drawn(3, seed=4), _drawn(3, seed=5), 0.8, 0.5), (_drawn(2, 2, seed=6), _drawn(2, 2, seed=7), 0.2, 0.0)]
)
def euler_step(z, velocity, sigma, sigma_next):
    return flow.euler_step(z, velocity, sigma, sigma_next)


@euler_step.mistake("The step adds noise. The change of sigma is sigma_next - sigma, which is negative.")
def one_step_adds_noise(z, velocity, sigma, sigma_next):
    return z + (sigma - sigma_next) * velocity


@euler_step.mistake("The step goes all the way to sigma 0. It ends at sigma_next.")
def all_the_way(z, velocity, sigma, sigma_next):
    return z - sigma * velocity


@euler_step.mistake("The step moves by the whole velocity. Multiply it by the change of sigma.")
def whole_velocity(z, velocity, sigma, sigma_next):
    return z - velocity


@euler_step.mistake("That is the change alone. Add it to z.")
def change_alone(z, velocity, sigma, sigma_next):
    return (sigma_next - sigma) * velocity


# The flow-matching loss -------------------------------------------------------------------------------------


def _bent(z: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """A stand-in for the network: it bends, so that no other input gives the same output."""
    return torch.sin(2 * z) + z * sigma


def _errors(velocity: Callable, clean: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Error of the velocity of each sample: Lipman et al. 2023 (arXiv 2210.02747), equation 14."""
    return velocity(flow.add_noise(clean, noise, sigma), sigma) - (noise - clean)


@exercise(
    cases=[
        (_bent, torch.tensor([-1.0, 1.0, 1.0]), _drawn(3, seed=8), torch.tensor([0.9, 0.3, 0.6])),
        (_bent, _drawn(5, seed=9), _drawn(5, seed=10), torch.linspace(0.1, 1, 5)),
    ]
)
def flow_loss(velocity, clean, noise, sigma):
    return _errors(velocity, clean, noise, sigma).square().mean()


@flow_loss.mistake("The velocity points from the image to the noise, `noise - clean`; yours points the other way.")
def towards_the_image(velocity, clean, noise, sigma):
    return (velocity(flow.add_noise(clean, noise, sigma), sigma) - (clean - noise)).square().mean()


@flow_loss.mistake("The network sees the image without noise. Give it `add_noise(clean, noise, sigma)`.")
def without_noise(velocity, clean, noise, sigma):
    return (velocity(clean, sigma) - (noise - clean)).square().mean()


@flow_loss.mistake("You compare with the image. The network predicts the velocity, `noise - clean`.")
def compared_with_the_image(velocity, clean, noise, sigma):
    return (velocity(flow.add_noise(clean, noise, sigma), sigma) - clean).square().mean()


@flow_loss.mistake("You compare with the noise. The network predicts the velocity, `noise - clean`.")
def compared_with_the_noise(velocity, clean, noise, sigma):
    return (velocity(flow.add_noise(clean, noise, sigma), sigma) - noise).square().mean()


@flow_loss.mistake("That is the absolute error. Its best prediction is a median, not the mean: square it.")
def absolute_error(velocity, clean, noise, sigma):
    return _errors(velocity, clean, noise, sigma).abs().mean()


@flow_loss.mistake("That is the error of every sample. A loss is one number: take the mean.")
def one_per_sample(velocity, clean, noise, sigma):
    return _errors(velocity, clean, noise, sigma).square()


@flow_loss.mistake("That is the sum, which grows with the batch. Take the mean.")
def summed(velocity, clean, noise, sigma):
    return _errors(velocity, clean, noise, sigma).square().sum()


# The sampler ------------------------------------------------------------------------------------------------


def _towards_an_image(z, sigma):
    return (z - 0.5) / max(sigma, 0.01)


def _turning(z, sigma):
    return torch.sin(3 * z) + 2 * sigma


SAMPLE_CASES = [
    (_towards_an_image, torch.tensor([1.2, -0.7, 0.1]), [1.0, 0.7, 0.2, 0.0]),
    (_turning, torch.tensor([0.4, -1.1]), [0.8, 0.5, 0.1]),
]


@exercise(cases=SAMPLE_CASES)
def euler_sample(velocity, z, sigmas):
    for sigma, sigma_next in zip(sigmas, sigmas[1:], strict=False):
        z = flow.euler_step(z, velocity(z, sigma), sigma, sigma_next)
    return z


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
    return euler_sample.answer(velocity, z, sigmas[:-1])


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


# A figure of lesson 07 ---------------------------------------------------------------------------------------


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
