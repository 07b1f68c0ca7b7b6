"""What is practised and what is held out.

Held out are whole tasks, ranges of the families' numbers, and compositions. Any column of a trained grid may be
the target, so each path is practised in all directions: what is held out is held out with its inverse.
`tests/test_toyworld.py` proves on pictures that no held-out path equals one that is practised.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from .degrade import mixing_weights
from .graph import ANY, CHANCE_KINDS, THEN, Task, family

FIRST_TRAINING_SEED = 100_000
"""Scenes of smaller seeds are held out: no model of this package has been trained on them."""

def red_and_blue_change_places(number: int) -> bool:
    """Whether a channel mix makes red mostly of blue, or blue mostly of red: these mixes are held out."""
    weights = mixing_weights(number)
    return weights[0, 2] > 0.5 or weights[2, 0] > 0.5


PRACTISED_NUMBERS = {
    "hue": (*range(20, 146, 5), *range(215, 341, 5)),  # between them, around 180, nothing
    "mix": tuple(n for n in range(100, 2100) if not red_and_blue_change_places(n)),
    "turn": (2,),
    "shift": tuple(n for n in range(1, 16) if n not in (7, 10, 13)),  # by 1 down 3 across, 2 2, and 3 1
    "light": (*range(0, 151, 10), *range(210, 360, 10)),
    "recolour": (1, 2, 3, 5, 6, 7),
    "replace": (1, 2, 4, 5),
    "move": (0, 1, 3, 4, 5, 7),  # never straight up or down
}
"""Numbers of each family that training draws from; for hue, shift, recolour and replace with n also its inverse."""

TRAINED_TASKS = {
    Task.parse(text): weight
    for text, weight in {
        # dense prediction
        "picture > edge": 7,
        "picture > depth": 3,
        "picture > mask": 9,
        "picture > normals": 2,
        "picture > instances": 1.5,
        # conditional generation, alone, with another condition, with a subject
        "edge > picture": 1.5,
        "depth > picture": 1,
        "mask > picture": 1.5,
        "edge + depth > picture": 0.6,
        "edge + grey > picture": 0.3,
        "normals + background > picture": 0.3,
        "subject + depth > picture": 1.0,
        "subject + mask > picture": 0.8,
        "subject + edge > picture": 0.6,
        # extraction
        "picture > subject": 2,
        "picture > foreground": 0.7,
        "picture > background": 0.6,
        # restoration
        "pixelated > picture": 5,
        "blurred > picture": 2,
        "noisy > picture": 1.5,
        "speckled > picture": 1.2,
        "holed > picture": 5,
        "grey > picture": 6,
        "dark > picture": 1,
        "faded > picture": 1,
        "posterised > picture": 1.2,
        # style transfer
        "picture + style > styled": 1,
        "edge + subject + style > styled": 0.2,
        # editing and relighting
        "picture > removed": 0.6,
        "picture > recolour *": 0.5,
        "picture > replace *": 0.3,
        "picture > move *": 0.3,
        "picture > light *": 0.8,
        # families
        "picture > grey": 1.5,
        "picture > negative": 1,
        "picture > hue *": 2.5,
        "picture > mix *": 3,
        "picture > flipped": 1.5,
        "picture > turn *": 1,
        "picture > shift *": 1.5,
        "picture > grey then turn 2": 0.7,
        "picture > negative then flipped": 0.7,
        "picture > dark then hue *": 0.5,
        "picture > faded then mix *": 0.5,
        "picture > grey then shift *": 0.5,
        "picture > negative then shift *": 0.5,
        "picture > dark then flipped": 0.5,
        "picture > dark then turn 2": 0.4,
        "picture > faded then flipped": 0.5,
        "picture > faded then turn 2": 0.4,
        # between conditions
        "mask > edge": 1,
        "depth > edge": 0.4,
        "normals > instances": 0.2,
        "> styled": 0.1,
        # several answers at once
        "picture > edge + normals": 0.5,
        "picture > depth + normals": 0.5,
        "picture > mask + normals": 0.5,
        "picture > edge + instances": 0.5,
        "picture > depth + foreground": 0.5,
        "picture > mask + foreground": 0.5,
        "picture > edge + subject": 0.5,
        "picture > grey + depth": 0.5,
        "picture > mask + grey": 0.5,
        "picture > subject + grey": 0.5,
        "picture > edge + negative + normals": 0.8,
        "picture > edge + normals + instances": 0.8,
        "picture > edge + foreground + normals": 0.8,
        "picture > edge + subject + instances": 0.8,
        "picture > instances + depth + grey": 0.8,
        "picture > depth + normals + foreground": 0.8,
        "picture > depth + subject + grey": 0.8,
        "picture > normals + mask + negative": 0.8,
        "picture > mask + instances + foreground": 0.8,
        "picture > mask + grey + instances": 0.8,
        "picture > hue * + normals + mask": 0.8,
        "picture > mix * + instances + edge": 0.8,
        "pixelated > picture + edge + normals": 0.9,
        "blurred > picture + mask + normals": 0.6,
        "noisy > picture + depth + instances": 0.5,
        "speckled > picture + mask": 0.4,
        "holed > picture + depth + normals": 0.9,
        "grey > picture + edge": 0.9,
        "dark > picture + mask + instances": 0.5,
        "faded > picture + depth": 0.4,
        "posterised > picture + edge": 0.4,
    }.items()
}
"""The tasks of the bundled checkpoint, with how often each is practised; `*` is any practised number."""

NEVER_BLANK_TOGETHER = tuple(
    frozenset(pair)
    for pair in (("edge", "depth"), ("edge", "mask"), ("depth", "mask"), ("subject", "mask"), ("edge", "grey"))
)
"""Kinds that are never blank in the same practised grid; other kinds are, two or three at once."""


def may_be_blank_together(kinds: Sequence[str]) -> bool:
    """Tell whether training may leave these kinds blank in one grid, as `NEVER_BLANK_TOGETHER` has it."""
    return not any(pair <= set(kinds) for pair in NEVER_BLANK_TOGETHER)


SHOWS_ALL = (
    "picture", "negative", "flipped", "pixelated", "blurred", "noisy", "speckled", "holed", "dark", "faded",
    "posterised", "hue", "mix", "turn", "shift", "light", "grey",
)  # fmt: skip
"""Kinds, and families of kinds, that show form and colours of everything, if roughly."""


def has_one_answer(kind: str, known: Sequence[str]) -> bool:
    """Tell whether a picture of this kind follows from the known ones of the same scene, once its task is known.

    A depth map follows from a picture, or from a blurred one; colours do not follow from a depth map, nor the
    specks of a speckled picture from anything. They do follow from a grey picture of this world: light comes from
    one side, and colours differ in luminance (red and purple hardly, so there a model may settle for their mean).
    """
    if kind in (*CHANCE_KINDS, "style") or (kind == "styled" and "style" not in known):
        return False
    return any(all(change.split(" ")[0] in SHOWS_ALL for change in other.split(THEN)) for other in known)


def only_examples_tell(kind: str) -> bool:
    """Tell whether the words for a kind stand for others as well: a number, two changes, which way it is turned."""
    return kind == "flipped" or THEN in kind or family(kind) is not None


HELD_OUT = {
    kind: tuple(Task.parse(text) for text in tasks)
    for kind, tasks in {
        # a number between practised ones
        "interpolated": ("picture > hue 180", "picture > mix 4", "picture > mix 24", "picture > light 180"),
        # two practised changes of a picture, one after the other
        "changes composed": (
            "picture > grey then flipped", "picture > negative then turn 2", "picture > dark then mix 109",
        ),
        # two practised edges of the graph, one after the other: noisy > picture > mask; as many as there are from a
        # degraded picture, a mask or a depth map to edge, depth or mask that no practised grid shows together
        "edges composed": (
            "mask > depth", "depth > mask", "pixelated > depth", "pixelated > mask", "blurred > edge",
            "blurred > depth", "noisy > edge", "noisy > mask", "speckled > edge", "speckled > depth", "holed > edge",
            "holed > mask", "dark > edge", "dark > depth", "faded > edge", "faded > mask", "posterised > depth",
            "posterised > mask",
        ),
        # turns that no practised turns and flips give together
        "new": ("picture > turn 1", "picture > turn 3"),
    }.items()
}  # fmt: skip
"""Tasks that no model of this package is trained on, by what is new about them."""

HELD_OUT_TASKS = tuple(task for tasks in HELD_OUT.values() for task in tasks)


def practised_number(name: str, rng: random.Random) -> int:
    """A number of a family, drawn from those that are practised."""
    return rng.choice(PRACTISED_NUMBERS[name])


def concrete(task: Task, rng: random.Random) -> Task:
    """The task with a practised number in place of every `*`."""

    def settle(kind: str) -> str:
        return kind.replace(ANY, str(practised_number(kind.split(" then ")[-1].partition(" ")[0], rng)))

    return Task(*(tuple(settle(k) if ANY in k else k for k in kinds) for kinds in (task.inputs, task.outputs)))


def is_trained(task: Task) -> bool:
    """Tell whether a task, in its own direction, is practised, its numbers included."""

    def fits(kind: str, pattern: str) -> bool:
        if ANY not in pattern:
            return kind == pattern
        (*before, last), (*expected, star) = kind.split(" then "), pattern.split(" then ")
        found = family(last)
        return before == expected and found is not None and star == f"{found[0]} {ANY}" and (
            int(found[1]) in PRACTISED_NUMBERS[found[0]]
        )

    for trained in TRAINED_TASKS:
        shape = (len(task.inputs), len(task.outputs))
        if shape == (len(trained.inputs), len(trained.outputs)):
            if all(fits(k, p) for k, p in zip(task.columns, trained.columns, strict=True)):
                return True
    return False
