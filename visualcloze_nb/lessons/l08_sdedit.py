"""Lesson 08: the exercises. The schedule, the start of stage 2, and the whole pipeline."""

from __future__ import annotations

from functools import cache

import torch
from PIL import Image

from visualcloze_nb.lessons.exercise import exercise
from visualcloze_nb.sampling import flow
from visualcloze_nb.sampling.flow import add_noise
from visualcloze_nb.sampling.latents import decode_targets, prepare
from visualcloze_nb.sampling.sdedit import decode_stage2, prepare_stage2, skipped_steps
from visualcloze_nb.sampling.text import encode_text
from visualcloze_nb.settings import STRENGTH, TINY_TEXT_TOKENS, UPSCALING

# schedule ---------------------------------------------------------------------------------------------------


@exercise(cases=[(4, 0.5), (8, 1.15), (2, 0.27)])
def schedule(steps, mu):
    config = {"use_dynamic_shifting": True, "base_shift": mu, "max_shift": mu}  # this mu, for any number of tokens
    return flow.schedule(steps, 256, config)


@schedule.mistake("The levels are even: each must be shifted by mu.")
def schedule_unshifted(steps, mu):
    return schedule.answer(steps, 0.0)


@schedule.mistake("The last level, 0, is missing: n steps need n + 1 levels.")
def schedule_without_zero(steps, mu):
    return schedule.answer(steps, mu)[:-1]


@schedule.mistake("mu is the logarithm of the factor: use exp(mu).")
def schedule_without_exp(steps, mu):
    even = torch.linspace(1, 1 / steps, steps)
    return torch.cat([mu / (mu + 1 / even - 1), torch.zeros(1)])


@schedule.mistake("The shift goes to less noise: it is exp(mu), not exp(-mu), that multiplies the ratio.")
def schedule_shifted_down(steps, mu):
    return schedule.answer(steps, -mu)


# start ------------------------------------------------------------------------------------------------------


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


# my_fill ----------------------------------------------------------------------------------------------------

STEPS = 8


@cache
def _pipe():
    from visualcloze_nb.loading.load import load

    return load("tiny")


def _grids():
    from visualcloze_nb.toyworld import sample

    return [(sample("image > grey", seed=3, height=48, width=80, examples=1, caption=True).grid,)]


@exercise(cases=_grids, tolerance=1.5 / 255)
def my_fill(grid):
    return _pipe().fill(grid, seed=0, steps=STEPS, strength=STRENGTH, progress=False).image


@torch.no_grad()
def _stage1(grid, generator):
    """The target after stage 1."""
    pipe = _pipe()
    ready, text = prepare(grid, pipe.vae, pipe.resolution, generator), encode_text(pipe, grid.prompt, TINY_TEXT_TOKENS)
    sigmas = flow.schedule(STEPS, ready.layout.total, pipe.scheduler.config)
    inputs = ready.noise, ready.condition, ready.ids, text, sigmas
    *_, last = flow.euler_sample(pipe.transformer, *inputs, layout=ready.layout)
    return decode_targets(last.after, pipe.vae, ready.layout)[0]


@torch.no_grad()
def _stage2(image, prompt, generator, strength=STRENGTH):
    """The target three times as large."""
    pipe, size = _pipe(), (UPSCALING * image.width, UPSCALING * image.height)
    ready = prepare_stage2(image, size, pipe.vae, pipe.scheduler.config, STEPS, strength, generator)
    inputs = ready.z, ready.condition, ready.ids, encode_text(pipe, prompt, TINY_TEXT_TOKENS), ready.sigmas
    *_, last = flow.euler_sample(pipe.transformer, *inputs, layout=ready.layout)
    return decode_stage2(last.after, pipe.vae, ready.layout)


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@my_fill.mistake("This is the image of stage 1. Stage 2 is missing: `enlarge` it three times.")
def fill_stops_early(grid):
    return _stage1(grid, _seeded())


@my_fill.mistake("The image of stage 1 is resized, not denoised: stage 2 adds noise and takes it away again.")
def fill_resized(grid):
    image = _stage1(grid, _seeded())
    return image.resize((UPSCALING * image.width, UPSCALING * image.height), Image.Resampling.LANCZOS)


@my_fill.mistake("The generator is seeded again for stage 2. It goes on from where stage 1 left it.")
def fill_seeded_again(grid):
    return _stage2(_stage1(grid, _seeded()), grid.content or "", _seeded())


@my_fill.mistake('Stage 2 reads the content prompt alone, "" if there is none: no layout and no task.')
def fill_with_the_task(grid):
    generator = _seeded()
    return _stage2(_stage1(grid, generator), grid.prompt, generator)


@my_fill.mistake("Strength 1 ignores stage 1: give `enlarge` a strength of 0.4.")
def fill_anew(grid):
    generator = _seeded()
    return _stage2(_stage1(grid, generator), grid.content or "", generator, strength=1)
