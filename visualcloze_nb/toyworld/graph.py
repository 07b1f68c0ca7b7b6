"""The graph of the toy world: kinds of picture are nodes, renderings are edges, a path is a task.

This is Graph200K in miniature. A kind is named by a word, or by a word and a number for the families that no
text can tell apart (`hue 120`: colours turned by 120 degrees). A task is a row of kinds: its conditions, then
its answer, such as `picture > edge` or `subject + depth > picture`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..prompts import task_prompt
from . import degrade, render
from .scenes import Scene

FIRST_TRAINING_SEED = 100_000
"""Scenes of smaller seeds are held out: no model of this package has been trained on them."""

# kind: (words for the task prompt, how it is made). `p` is the picture, `g` a generator.
_FROM_SCENE = {
    "picture": ("a picture", render.picture),
    "edge": ("white outlines", render.edge),
    "depth": ("a depth map", render.depth),
    "mask": ("a class mask", render.mask),
    "subject": ("the subject alone", render.subject),
    "background": ("the empty background", render.background),
}
_FROM_PICTURE = {
    "grey": ("a grey picture", lambda p, g: degrade.grey(p)),
    "blurred": ("a blurred picture", lambda p, g: degrade.blur(p)),
    "pixelated": ("a pixelated picture", lambda p, g: degrade.pixelate(p)),
    "noisy": ("a noisy picture", lambda p, g: degrade.noise(p, g)),
    "holed": ("a damaged picture", lambda p, g: degrade.hole(p, g)),
    "negative": ("a negative", lambda p, g: degrade.invert(p)),
    "flipped": ("a turned picture", lambda p, g: degrade.flip(p)),
}
_FAMILIES = {  # the number is not in the words: only examples can tell it
    "hue": ("a recoloured picture", lambda p, n: degrade.rotate_hue(p, n)),
    "turn": ("a turned picture", lambda p, n: degrade.turn(p, n)),
}
KINDS = (*_FROM_SCENE, *_FROM_PICTURE, *(f"{family} <number>" for family in _FAMILIES))


def _family(kind: str) -> tuple[str, int] | None:
    name, _, number = kind.partition(" ")
    return (name, int(number)) if name in _FAMILIES and number.lstrip("-").isdigit() else None


def words(kind: str) -> str:
    """The words that stand for a kind in a task prompt.

    Raises:
        ValueError: no such kind.
    """
    if family := _family(kind):
        return _FAMILIES[family[0]][0]
    if kind in _FROM_SCENE or kind in _FROM_PICTURE:
        return (_FROM_SCENE.get(kind) or _FROM_PICTURE[kind])[0]
    raise ValueError(f"there is no kind of picture {kind!r}; there are {', '.join(KINDS)}")


def draw(
    kind: str,
    scenes: Sequence[Scene],
    height: int = 64,
    width: int = 64,
    generator: torch.Generator | None = None,
    device: str | torch.device = "cpu",
) -> torch.Tensor:
    """One kind of picture of each scene.

    Args:
        kind: a name of `KINDS`, with its number for a family: `"edge"`, `"hue 120"`, `"turn 1"`.
        scenes: `B` scenes.
        height, width: pixels; any.
        generator: for the kinds with chance in them (`noisy`, `holed`), on `device`.

    Returns:
        `(B, 3, height, width)` float32 in 0..1.

    Raises:
        ValueError: no such kind, or a quarter turn of a picture that is not square.
    """
    words(kind)  # raises for an unknown kind
    if kind in _FROM_SCENE:
        return _FROM_SCENE[kind][1](scenes, height, width, device)
    pictures = render.picture(scenes, height, width, device)
    if family := _family(kind):
        return _FAMILIES[family[0]][1](pictures, family[1])
    return _FROM_PICTURE[kind][1](pictures, generator)


@dataclass(frozen=True)
class Task:
    """A path of the graph: conditions, then one or more answers.

    Args:
        inputs: kinds that are given.
        outputs: kinds that are asked for.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Task:
        """`"subject + depth > picture"` to a task."""
        given, _, asked = text.partition(" > ")
        task = cls(tuple(given.split(" + ")), tuple(asked.split(" + ")) if asked else ())
        if not asked:
            raise ValueError(f"a task reads 'kind > kind' or 'kind + kind > kind', not {text!r}")
        for kind in task.columns:
            words(kind)
        return task

    @property
    def columns(self) -> tuple[str, ...]:
        return self.inputs + self.outputs

    @property
    def prompt(self) -> str:
        """The task prompt in the authors' form."""
        return task_prompt([words(k) for k in self.inputs], [words(k) for k in self.outputs])

    def __str__(self) -> str:
        return f"{' + '.join(self.inputs)} > {' + '.join(self.outputs)}"


HELD_OUT_TASKS = tuple(
    Task.parse(text)
    for text in (
        "mask > depth",  # each end is practised, this path never is
        "depth > mask",
        "picture > hue 180",  # an angle between practised ones
        "picture > turn 3",  # practised: the flip and the half turn
    )
)
"""Tasks that no model of this package is trained on."""

TRAINED_TASKS = {
    Task.parse(text): weight
    for text, weight in {
        "picture > edge": 7,
        "picture > depth": 3,
        "picture > mask": 5,
        "picture > grey": 2,
        "pixelated > picture": 8,
        "blurred > picture": 1,
        "noisy > picture": 0.5,
        "holed > picture": 0.5,
        "grey > picture": 0.5,
        "picture > background": 0.5,
        "picture > negative": 0.5,
        "picture > hue 60": 0.3,
        "picture > hue 120": 0.3,
        "picture > hue 240": 0.3,
        "picture > hue 300": 0.3,
        "picture > flipped": 0.3,
        "picture > turn 2": 0.3,
        "mask > edge": 1,
        "edge + depth > picture": 0.8,
        "edge + grey > picture": 0.3,
        "subject + depth > picture": 0.5,
        "subject + mask > picture": 0.3,
    }.items()
}
"""The tasks of the bundled checkpoint, with how often each is practised."""
