"""What is trained on and what is held out. A new task is one line in `TRAINED_TASKS` or in `HELD_OUT`.

Held out are whole tasks, ranges of the families' numbers, and compositions. Any column of a trained grid may be
the target, so each path is trained in all directions: what is held out is held out with its inverse.
`tests/test_toyworld.py` proves on images that no held-out path equals one that is trained on.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from visualcloze_nb.toyworld.graph import ANY, RANDOM_KINDS, SHOWS_ALL, THEN, Task, family
from visualcloze_nb.toyworld.transforms import mixing_weights

FIRST_TRAINING_SEED = 100_000
"""Scenes of smaller seeds are held out: no model of this package has been trained on them."""


def red_and_blue_swapped(number: int) -> bool:
    """Whether a channel mix makes red mostly of blue, or blue mostly of red: these mixes are held out."""
    weights = mixing_weights(number)
    return weights[0, 2] > 0.5 or weights[2, 0] > 0.5


TRAINED_NUMBERS = {
    "hue": (*range(20, 146, 5), *range(215, 341, 5)),  # between them, around 180, nothing
    "mix": tuple(n for n in range(100, 2100) if not red_and_blue_swapped(n)),
    "turn": (2,),
    "shift": tuple(n for n in range(1, 16) if n not in (7, 10, 13)),  # by 1 down 3 across, 2 2, and 3 1
    "light": (*range(0, 151, 10), *range(210, 360, 10)),
    "recolour": (3, 5),
    "replace": (2, 4),
    "move": (0, 1, 3, 4, 5, 7),  # never straight up or down
}
"""Numbers of each family that training draws from; for hue, shift, recolour and replace with n also its inverse."""

TRAINED_TASKS = {
    Task.parse(text): weight
    for text, weight in {
        # dense prediction
        "image > edge": 7,
        "image > depth": 3,
        "image > mask": 9,
        "image > normals": 2,
        "image > instances": 1.5,
        # conditional generation, alone, with another condition, with a subject
        "edge > image": 1.5,
        "depth > image": 1,
        "mask > image": 1.5,
        "edge + depth > image": 0.6,
        "edge + grey > image": 0.3,
        "normals + background > image": 0.3,
        "subject + depth > image": 1.0,
        "subject + mask > image": 0.8,
        "subject + edge > image": 0.6,
        # extraction
        "image > subject": 2,
        "image > foreground": 0.7,
        "image > background": 0.6,
        # restoration
        "pixelated > image": 5,
        "blurred > image": 2,
        "noisy > image": 1.5,
        "speckled > image": 1.2,
        "holed > image": 5,
        "grey > image": 6,
        "dark > image": 1,
        "faded > image": 1,
        "posterised > image": 1.2,
        # style transfer
        "image + style > styled": 1,
        "edge + subject + style > styled": 0.2,
        # editing and relighting
        "image > removed": 0.6,
        "image > recolour *": 0.5,
        "image > replace *": 0.3,
        "image > move *": 0.3,
        "image > light *": 0.8,
        # families
        "image > grey": 1.5,
        "image > negative": 1,
        "image > hue *": 2.5,
        "image > mix *": 3,
        "image > flipped": 1.5,
        "image > turn *": 1,
        "image > shift *": 1.5,
        "image > grey then turn 2": 0.7,
        "image > negative then flipped": 0.7,
        "image > dark then hue *": 0.5,
        "image > faded then mix *": 0.5,
        "image > grey then shift *": 0.5,
        "image > negative then shift *": 0.5,
        "image > dark then flipped": 0.5,
        "image > dark then turn 2": 0.4,
        "image > faded then flipped": 0.5,
        "image > faded then turn 2": 0.4,
        # between conditions
        "mask > edge": 1,
        "depth > edge": 0.4,
        "normals > instances": 0.2,
        "> styled": 0.1,
        # several targets at once
        "image > edge + normals": 0.5,
        "image > depth + normals": 0.5,
        "image > mask + normals": 0.5,
        "image > edge + instances": 0.5,
        "image > depth + foreground": 0.5,
        "image > mask + foreground": 0.5,
        "image > edge + subject": 0.5,
        "image > grey + depth": 0.5,
        "image > mask + grey": 0.5,
        "image > subject + grey": 0.5,
        "image > edge + negative + normals": 0.8,
        "image > edge + normals + instances": 0.8,
        "image > edge + foreground + normals": 0.8,
        "image > edge + subject + instances": 0.8,
        "image > instances + depth + grey": 0.8,
        "image > depth + normals + foreground": 0.8,
        "image > depth + subject + grey": 0.8,
        "image > normals + mask + negative": 0.8,
        "image > mask + instances + foreground": 0.8,
        "image > mask + grey + instances": 0.8,
        "image > hue * + normals + mask": 0.8,
        "image > mix * + instances + edge": 0.8,
        "pixelated > image + edge + normals": 0.9,
        "blurred > image + mask + normals": 0.6,
        "noisy > image + depth + instances": 0.5,
        "speckled > image + mask": 0.4,
        "holed > image + depth + normals": 0.9,
        "grey > image + edge": 0.9,
        "dark > image + mask + instances": 0.5,
        "faded > image + depth": 0.4,
        "posterised > image + edge": 0.4,
    }.items()
}
"""Trained tasks, with a weight of each; `*` is any trained number. `training.batches.TASKS` changes some weights, and
adds three tasks that the bundled checkpoint was trained on too."""

NEVER_BLANK_TOGETHER = tuple(
    frozenset(pair)
    for pair in (("edge", "depth"), ("edge", "mask"), ("depth", "mask"), ("subject", "mask"), ("edge", "grey"))
)
"""Kinds that are never blank together in a training grid; other kinds are, two or three at once."""


def may_be_blank_together(kinds: Sequence[str]) -> bool:
    """Tell whether training may leave these kinds blank in one grid, as `NEVER_BLANK_TOGETHER` has it."""
    return not any(pair <= set(kinds) for pair in NEVER_BLANK_TOGETHER)


def has_one_answer(kind: str, known: Sequence[str]) -> bool:
    """Tell whether an image of this kind follows from the known ones of the same scene, once its task is known.

    A depth map follows from an image, or from a blurred one; colours do not follow from a depth map, nor the
    specks of a speckled image from anything. They do follow from a grey image of this world: light comes from
    one side, and colours differ in luminance (red and purple hardly, so there a model may settle for their mean).
    """
    if kind in (*RANDOM_KINDS, "style") or (kind == "styled" and "style" not in known):
        return False
    return any(all(change.split(" ")[0] in SHOWS_ALL for change in other.split(THEN)) for other in known)


def only_examples_tell(kind: str) -> bool:
    """Tell whether the words for a kind stand for others as well: a number, two changes, which way it is turned."""
    return kind == "flipped" or THEN in kind or family(kind) is not None


HELD_OUT = {
    kind: tuple(Task.parse(text) for text in tasks)
    for kind, tasks in {
        # a number between trained ones
        "interpolated": ("image > hue 180", "image > mix 4", "image > mix 24", "image > light 180"),
        # two trained changes of an image, one after the other
        "changes composed": (
            "image > grey then flipped", "image > negative then turn 2", "image > dark then mix 109",
        ),
        # two trained edges of the graph, one after the other: noisy > image > mask; as many as there are from a
        # degraded image, a mask or a depth map to edge, depth or mask that no training grid shows together
        "edges composed": (
            "mask > depth", "depth > mask", "pixelated > depth", "pixelated > mask", "blurred > edge",
            "blurred > depth", "noisy > edge", "noisy > mask", "speckled > edge", "speckled > depth", "holed > edge",
            "holed > mask", "dark > edge", "dark > depth", "faded > edge", "faded > mask", "posterised > depth",
            "posterised > mask",
        ),
        # turns that no trained turns and flips give together
        "new": ("image > turn 1", "image > turn 3"),
    }.items()
}  # fmt: skip
"""Tasks that no model of this package is trained on, by what is new about them."""

HELD_OUT_TASKS = tuple(task for tasks in HELD_OUT.values() for task in tasks)


def trained_number(name: str, rng: random.Random) -> int:
    """A number of a family, drawn from those that are trained on."""
    return rng.choice(TRAINED_NUMBERS[name])


def concrete(task: Task, rng: random.Random) -> Task:
    """The task with a trained number in place of every `*`."""

    def settle(kind: str) -> str:
        return kind.replace(ANY, str(trained_number(kind.split(" then ")[-1].partition(" ")[0], rng)))

    return Task(*(tuple(settle(k) if ANY in k else k for k in kinds) for kinds in (task.inputs, task.outputs)))


def is_trained(task: Task) -> bool:
    """Tell whether a task, in its own direction, is trained on, its numbers included."""

    def fits(kind: str, pattern: str) -> bool:
        if ANY not in pattern:
            return kind == pattern
        (*before, last), (*expected, star) = kind.split(" then "), pattern.split(" then ")
        found = family(last)
        return (
            before == expected
            and found is not None
            and star == f"{found[0]} {ANY}"
            and (int(found[1]) in TRAINED_NUMBERS[found[0]])
        )

    for trained in TRAINED_TASKS:
        shape = (len(task.inputs), len(task.outputs))
        if shape == (len(trained.inputs), len(trained.outputs)):
            if all(fits(k, p) for k, p in zip(task.columns, trained.columns, strict=True)):
                return True
    return False
