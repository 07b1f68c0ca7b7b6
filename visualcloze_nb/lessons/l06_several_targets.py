"""Lesson 06: the exercises, from the overlap of two answers to an attention mask that keeps blank cells apart."""

from __future__ import annotations

import numpy as np
import torch

from visualcloze_nb.lessons.exercise import exercise

# Do two answers agree? --------------------------------------------------------------------------------------


def _discs() -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of regions: two discs that overlap, one inside the other, and far apart."""
    y, x = np.mgrid[:24, :24]

    def disc(left: int, radius: int) -> np.ndarray:
        return (x - left) ** 2 + (y - 12) ** 2 < radius**2

    return [(disc(8, 6), disc(13, 6)), (disc(12, 9), disc(12, 5)), (disc(5, 4), disc(18, 3))]


@exercise(cases=_discs)
def overlap(one, other):
    return float((one & other).sum() / (one | other).sum())


@overlap.mistake("You count all pixels that are alike. Black ground is alike everywhere: count objects only.")
def accuracy(one, other):
    return float((one == other).mean())


@overlap.mistake("Divide by the pixels that are in either region, not by those of the first alone.")
def share_of_the_first(one, other):
    return float((one & other).sum() / one.sum())


@overlap.mistake("That is the number of shared pixels. Divide by the number that are in either region.")
def pixels(one, other):
    return float((one & other).sum())


@overlap.mistake("Pixels of both regions are counted twice below the line: use `one | other`, not a sum.")
def counted_twice(one, other):
    return float((one & other).sum() / (one.sum() + other.sum()))


# Is one way better than the other? --------------------------------------------------------------------------

_SCENES = np.random.default_rng(3)
_HARD = _SCENES.uniform(5, 30, 8)  # how hard each scene is, for both ways
_PAIRS = [
    (_HARD, _HARD + _SCENES.normal(2, 1.5, 8)),
    (_HARD[:6] + 4, _HARD[:6] + _SCENES.normal(0, 3, 6)),
]


@exercise(cases=_PAIRS)
def paired_test(one_run, two_runs):
    gain = two_runs - one_run
    return gain.mean(), gain.std(ddof=1) / np.sqrt(len(gain))


@paired_test.mistake(
    "The scenes are the same in both arrays. Subtract scene by scene first, then take mean and standard error: how "
    "hard a scene is then drops out."
)
def unpaired(one_run, two_runs):
    variances = [values.var(ddof=1) / len(values) for values in (one_run, two_runs)]
    return two_runs.mean() - one_run.mean(), np.sqrt(sum(variances))


@paired_test.mistake("That is how much single scenes vary. For the mean divide by the square root of their number.")
def standard_deviation(one_run, two_runs):
    gain = two_runs - one_run
    return gain.mean(), gain.std(ddof=1)


@paired_test.mistake("The sign is wrong: a gain is positive if two runs disagree more than one.")
def the_other_sign(one_run, two_runs):
    mean, error = paired_test.answer(one_run, two_runs)
    return -mean, error


@paired_test.mistake("Use `ddof=1`: the mean was estimated from the same scenes.")
def too_sure(one_run, two_runs):
    gain = two_runs - one_run
    return gain.mean(), gain.std() / np.sqrt(len(gain))


# New noise under one cell -----------------------------------------------------------------------------------


def _noises() -> list[tuple]:
    random = torch.Generator().manual_seed(0)
    noise, other = torch.randn(2, 1, 6, 6, generator=random)
    place = torch.tensor([False, True, True, False, False, True])
    return [(noise, other, place), (other, noise, place.flip(0))]


@exercise(cases=_noises)
def swap_noise(noise, other, place):
    return torch.where(place[None, :, None], other, noise)


@swap_noise.mistake("The wrong way round: the new noise goes to the tokens of `place`, all others keep theirs.")
def the_wrong_tokens(noise, other, place):
    return torch.where(place[None, :, None], noise, other)


@swap_noise.mistake("All tokens have new noise. Then the other cell changes for a reason of its own.")
def everywhere(noise, other, place):
    return other


@swap_noise.mistake("`place` marks tokens, the second axis. You use it on the last one, the 64 numbers of each token.")
def the_wrong_axis(noise, other, place):
    return torch.where(place[None, None, :], other, noise)


@swap_noise.mistake("A sum of two noises has twice the variance, and no noise level fits it. Replace, do not add.")
def added(noise, other, place):
    return noise + other * place[None, :, None]


# Attention that keeps the blank cells apart -----------------------------------------------------------------


@exercise(
    cases=[
        (torch.tensor([0, 0, 0, 1, 1, 2, 2]),),
        (torch.tensor([0, 3, 1, 1, 0, 2]),),
    ]
)
def keep_apart(owner):
    return (owner[None, :] == 0) | (owner[None, :] == owner[:, None])


@keep_apart.mistake(
    "The given cells and the text still look at the blanks, and in the next layer each blank looks at them: that is a "
    "detour. A token of owner 0 may look at owner 0 only."
)
def with_a_detour(owner):
    looking, seen = owner[:, None], owner[None, :]
    return (looking == 0) | (seen == 0) | (looking == seen)


@keep_apart.mistake("Rows look, columns are looked at. Yours is transposed: the blanks cannot see the given cells.")
def transposed(owner):
    return keep_apart.answer(owner).T


@keep_apart.mistake("True means *may look*. Yours is the opposite.")
def inverted(owner):
    return ~keep_apart.answer(owner)


@keep_apart.mistake("The blanks see only themselves. They must still see what is given, owner 0.")
def alone(owner):
    return owner[None, :] == owner[:, None]


@keep_apart.mistake("A blank must see its own tokens, or it cannot become one image.")
def not_even_itself(owner):
    return (owner[None, :] == 0).expand(len(owner), -1)
