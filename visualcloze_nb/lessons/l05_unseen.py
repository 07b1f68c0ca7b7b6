"""Lesson 05: the exercises, from a gap between two hues to a score with its interval, and every trained answer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from visualcloze_nb.errors import UsageError
from visualcloze_nb.lessons.exercise import exercise
from visualcloze_nb.toyworld import TRAINED_TASKS, Task, draw, is_trained, make_scene
from visualcloze_nb.toyworld.graph import ANY, THEN, changed, changes_images
from visualcloze_nb.toyworld.splits import TRAINED_NUMBERS

MIXES = 24  # of the family `mix`, which has hundreds of numbers, only the first are drawn
FAR = 10  # percent of RMSE: an answer that far from every trained one is new
_SCENES = range(4)


def trained_answers(given: str, scenes: Sequence[int], side: int = 64) -> dict[str, torch.Tensor]:
    """Exact answers of every trained task that starts from one kind of image.

    Args:
        given: the kind of image that is given.
        scenes: B scene numbers.
        side: pixels along one side of an image.

    Returns:
        by kind of answer, `(B, 3, side, side)` float16 in 0..1: every kind that stands beside `given` in a trained
        grid, a family with each of its trained numbers.
    """
    shown = [make_scene(scene) for scene in scenes]
    images = draw("image", shown, side, side)
    beside = {kind for task in TRAINED_TASKS if given in task.columns for kind in task.columns} - {given}
    answers = {}
    for pattern in sorted(beside):
        family = pattern.removesuffix(f" {ANY}").split(THEN)[-1]
        numbers = TRAINED_NUMBERS[family] if ANY in pattern else [0]
        for number in numbers[:MIXES] if family == "mix" else numbers:
            kind, generator = pattern.replace(ANY, str(number)), torch.Generator().manual_seed(0)
            from_images = changes_images(kind)  # then the scenes need not be rendered again
            drawn = changed(images, kind, generator) if from_images else draw(kind, shown, side, side, generator)
            answers[kind] = drawn.half()  # half the memory: there are hundreds
    return answers


# How far apart are two hues? --------------------------------------------------------------------------------


@exercise(cases=[(10, 350), (20, 90), (200, 200), (300, 30), (0, 180), (355, 165)])
def hue_gap(one, other):
    return min((one - other) % 360, (other - one) % 360)


@hue_gap.mistake("Hues lie on a circle: from 350 to 10 it is 20 degrees, across 0.")
def on_a_line(one, other):
    return abs(one - other)


@hue_gap.mistake("The gap has no sign and is at most 180: the shorter of the two ways around the circle.")
def one_way_round(one, other):
    return (one - other) % 360


@hue_gap.mistake("That is the longer way around the circle. Take the shorter one.")
def the_long_way(one, other):
    return max((one - other) % 360, (other - one) % 360)


@hue_gap.mistake("In Python `-20 % 360` is 340: a remainder by 180 loses which side of the circle a hue is on.")
def half_a_circle(one, other):
    return abs(one - other) % 180


# Which trained answer is nearest? ---------------------------------------------------------------------------


def _candidates() -> list[tuple]:
    """Small images whose means, colours and order mislead."""
    random = torch.Generator().manual_seed(5)
    answer = torch.rand(3, 8, 8, generator=random)
    others = {
        "shuffled": answer.flip(-1),  # the same mean colour, elsewhere
        "far": 1 - answer,
        "near": (answer + 0.1 * torch.randn(3, 8, 8, generator=random)).clamp(0, 1),
        "one spot": answer.clone(),
        "paler": 0.75 * answer + 0.25,
    }
    others["one spot"][:, :3, :3] = 1 - others["one spot"][:, :3, :3].round()
    return [(answer, others), (answer, {name: others[name] for name in ("one spot", "shuffled", "paler")})]


@exercise(cases=_candidates)
def nearest(answer, candidates):
    return min(candidates, key=lambda name: (answer - candidates[name]).square().mean())


@nearest.mistake("That is the one that differs most.")
def farthest(answer, candidates):
    return max(candidates, key=lambda name: (answer - candidates[name]).square().mean())


@nearest.mistake("Differences of opposite sign cancel. Square them before you take the mean.")
def signed(answer, candidates):
    return min(candidates, key=lambda name: (answer - candidates[name]).mean().abs())


@nearest.mistake("Return the name, the key of the dictionary, not the error.")
def the_error(answer, candidates):
    return min(float((answer - image).square().mean().sqrt()) for image in candidates.values())


@nearest.mistake("You count the pixels that differ. Measure by how much: a small error everywhere is still near.")
def counted(answer, candidates):
    return min(candidates, key=lambda name: (answer - candidates[name]).abs().gt(0.02).sum())


# A score ----------------------------------------------------------------------------------------------------

_ERRORS = np.random.default_rng(0).uniform([0.05, 0.2, 0.02], [0.2, 0.35, 0.05], (8, 3))
_HARD = np.random.default_rng(1).uniform([0.1, 0.08, 0.02], [0.3, 0.24, 0.06], (6, 3))


@exercise(cases=[tuple(errors.T) for errors in (_ERRORS, _HARD)])
def score(model, baseline, vae):
    return (baseline.mean() - model.mean()) / (baseline.mean() - vae.mean())


@score.mistake("One number is wanted: take the mean over the scenes first.")
def for_each_scene(model, baseline, vae):
    return (baseline - model) / (baseline - vae)


@score.mistake(
    "That is the mean of ratios, in which one scene with a good baseline can outweigh all. Take means first."
)
def mean_of_ratios(model, baseline, vae):
    return ((baseline - model) / (baseline - vae)).mean()


@score.mistake("The wrong way round: a model as good as the VAE must get 1, one as good as the baseline 0.")
def upside_down(model, baseline, vae):
    return (model.mean() - vae.mean()) / (baseline.mean() - vae.mean())


@score.mistake("A perfect model would have to beat the VAE here. Divide by what can be gained: baseline less VAE.")
def without_the_vae(model, baseline, vae):
    return (baseline.mean() - model.mean()) / baseline.mean()


# Its interval -----------------------------------------------------------------------------------------------


def _draws(scenes: int) -> np.ndarray:
    return np.random.default_rng(2).integers(0, scenes, (200, scenes))


@exercise(cases=[(errors, _draws(len(errors))) for errors in (_ERRORS, _HARD)], tolerance=1e-6)
def interval(errors, draws):
    return tuple(np.percentile([score.answer(*errors[rows].T) for rows in draws], [2.5, 97.5]))


@interval.mistake("The three errors of a scene belong together: draw the scene, and take all three with it.")
def columns_apart(errors, draws):
    others = np.roll(draws, 1, axis=0), np.roll(draws, 2, axis=0)
    scores = [
        score.answer(errors[first, 0], errors[second, 1], errors[third, 2])
        for first, second, third in zip(draws, *others, strict=True)
    ]
    return tuple(np.percentile(scores, [2.5, 97.5]))


@interval.mistake("95 % of the scores lie between the percentiles 2.5 and 97.5; between 5 and 95 there are 90 %.")
def ninety_percent(errors, draws):
    return tuple(np.percentile([score.answer(*errors[rows].T) for rows in draws], [5, 95]))


@interval.mistake("These are percentiles of single scenes. Compute the score of each *draw*, then take percentiles.")
def of_single_scenes(errors, draws):
    model, baseline, vae = errors.T
    return tuple(np.percentile((baseline - model) / (baseline - vae), [2.5, 97.5]))


@interval.mistake(
    "Mean and two standard deviations assume a bell curve. Take the percentiles of the scores themselves."
)
def bell_curve(errors, draws):
    scores = np.array([score.answer(*errors[rows].T) for rows in draws])
    return scores.mean() - 2 * scores.std(), scores.mean() + 2 * scores.std()


# A task that the model cannot know --------------------------------------------------------------------------


@lru_cache(maxsize=32)
def why_known(text: str) -> str:
    """Why a task is not new to a model, or "" if it is: no trained answer comes near its own.

    Args:
        text: a task of one condition and one target, `"image > edge"`.
    """
    try:
        task = Task.parse(text)
        (given,), (target,) = task.inputs, task.outputs
        shown, random = [make_scene(scene) for scene in _SCENES], torch.Generator().manual_seed(0)
        truth, copy = draw(target, shown, generator=random), draw(given, shown, generator=random)
    except UsageError as error:
        return f"no task of the toy world: {error}"
    except ValueError:
        return "give one kind of image, '>', and one other kind"
    if is_trained(task):
        return "this task is trained"
    if is_trained(Task((target,), (given,))):
        return "it is trained in the other direction, and any cell of a training grid may be the blank one"
    answers = {"the given image itself": copy, **trained_answers(given, _SCENES)}
    errors = {
        kind: 100 * float((images - truth).square().mean((1, 2, 3)).sqrt().mean()) for kind, images in answers.items()
    }
    kind = min(errors, key=lambda kind: errors[kind])
    return f"{kind} is only {errors[kind]:.0f} % from its answer (RMSE)" if errors[kind] < FAR else ""


@exercise(cases=[()], accept=lambda yours: why_known(str(yours)) or True)
def new_task():
    return "image > turn 1"


@new_task.mistake("This task is trained: look into `TRAINED_TASKS`, where * stands for many numbers.")
def trained():
    return "image > hue 120"


@new_task.mistake("Backwards it is trained, and any cell of a training grid may be the blank one.")
def backwards():
    return "edge > mask"


@new_task.mistake("Held out, but hardly new: 180 lies between trained angles, and their answers look nearly the same.")
def between():
    return "image > light 180"
