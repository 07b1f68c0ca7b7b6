"""The graph of the toy world: kinds of image are nodes, renderings are edges, a path is a task.

This is Graph200K in miniature. A kind is named by a word, or by a word and a number for the families that no
text can tell apart (`hue 120`: colours turned by 120 degrees), or by two changes of an image, one after the
other (`grey then flipped`). A task is a row of kinds: its conditions, then its answer, such as
`image > edge` or `subject + depth > image`. What is practised and what is held out is in `tasks.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from visualcloze_nb.data.prompts import task_prompt
from visualcloze_nb.toyworld import edit, render, transforms
from visualcloze_nb.toyworld.scene_batch import SceneBatch
from visualcloze_nb.toyworld.scenes import Scene

# The prompts say "picture" because the bundled checkpoint was trained on that word.
# kind: (words for the task prompt, how it is made). `p` is the image, `g` a generator, `n` the number.
_FROM_SCENE = {
    "image": ("a picture", render.image),
    "edge": ("white outlines", render.edge),
    "depth": ("a depth map", render.depth),
    "mask": ("a class mask", render.mask),
    "normals": ("a normal map", render.normals),
    "instances": ("an instance mask", render.instances),
    "subject": ("the subject alone", render.subject),
    "foreground": ("the foreground alone", render.foreground),
    "background": ("the empty background", render.background),
    "style": ("a style reference", render.style_reference),
    "styled": ("a stylised picture", render.stylised),
    "removed": ("the subject removed", lambda s, h, w, d: render.image(edit.remove(SceneBatch.of(s)), h, w, d)),
}
_FROM_IMAGE = {
    "grey": ("a grey picture", lambda p, g: transforms.grey(p)),
    "blurred": ("a blurred picture", lambda p, g: transforms.blur(p)),
    "pixelated": ("a pixelated picture", lambda p, g: transforms.pixelate(p)),
    "noisy": ("a noisy picture", lambda p, g: transforms.noise(p, g)),
    "speckled": ("a speckled picture", lambda p, g: transforms.speckle(p, g)),
    "holed": ("a damaged picture", lambda p, g: transforms.hole(p, g)),
    "dark": ("a dark picture", lambda p, g: transforms.darken(p)),
    "faded": ("a faded picture", lambda p, g: transforms.fade(p)),
    "posterised": ("a posterised picture", lambda p, g: transforms.posterise(p)),
    "negative": ("a negative", lambda p, g: transforms.invert(p)),
    "contours": ("a contour map", lambda p, g: transforms.contours(p)),
    "flipped": ("a turned picture", lambda p, g: transforms.flip(p)),
}
_IMAGE_FAMILIES = {  # the number is not in the words: only examples can tell it
    "hue": ("a recoloured picture", lambda p, n: transforms.rotate_hue(p, n)),
    "mix": ("a recoloured picture", lambda p, n: transforms.mix_channels(p, n)),
    "turn": ("a turned picture", lambda p, n: transforms.turn(p, n)),
    "shift": ("a shifted picture", lambda p, n: transforms.roll(p, n)),
}
_SCENE_FAMILIES = {
    "light": ("a relit picture", lambda s, h, w, d, n: render.relit(s, h, w, d, n)),
    "recolour": ("the subject recoloured", lambda s, h, w, d, n: _edited(s, edit.recolour, n, h, w, d)),
    "replace": ("the subject replaced", lambda s, h, w, d, n: _edited(s, edit.exchange, n, h, w, d)),
    "move": ("the subject moved", lambda s, h, w, d, n: _edited(s, edit.move, n, h, w, d)),
}
FAMILIES = (*_IMAGE_FAMILIES, *_SCENE_FAMILIES)
KINDS = (*_FROM_SCENE, *_FROM_IMAGE, *(f"{family} <number>" for family in FAMILIES))
RANDOM_KINDS = ("noisy", "speckled", "holed")
"""Kinds with chance in them."""
ANY = "*"
"""In place of a number: any that is practised, see `tasks.trained_number`."""
THEN = " then "


def _edited(scenes, how, number, height, width, device) -> torch.Tensor:
    return render.image(how(SceneBatch.of(scenes), number), height, width, device)


def family(kind: str) -> tuple[str, str] | None:
    """`"hue 120"` to `("hue", "120")`; None for a kind without a number."""
    name, _, number = kind.partition(" ")
    return (name, number) if name in FAMILIES and (number == ANY or number.lstrip("-").isdigit()) else None


def phrase(kind: str) -> str:
    """The words that stand for a kind in a task prompt.

    Raises:
        ValueError: no such kind.
    """
    if kind.count(THEN) == 1 and changes_images(kind):
        return "a changed picture"
    if found := family(kind):
        return (_IMAGE_FAMILIES.get(found[0]) or _SCENE_FAMILIES[found[0]])[0]
    if kind in _FROM_SCENE or kind in _FROM_IMAGE:
        return (_FROM_SCENE.get(kind) or _FROM_IMAGE[kind])[0]
    raise ValueError(f"there is no kind of image {kind!r}; there are {', '.join(KINDS)}, and two with 'then' between")


def changes_images(kind: str) -> bool:
    """Whether a kind, or each one of several with "then" between, is made of an image alone."""
    names = [(family(change) or (change,))[0] for change in kind.split(THEN)]
    return all(name in _FROM_IMAGE or name in _IMAGE_FAMILIES for name in names)


def draw(
    kind: str,
    scenes: Sequence[Scene] | SceneBatch,
    height: int = 64,
    width: int = 64,
    generator: torch.Generator | None = None,
    device: str | torch.device = "cpu",
) -> torch.Tensor:
    """One kind of image of each scene.

    Args:
        kind: a name of `KINDS`, with its number for a family: `"edge"`, `"hue 120"`, `"turn 1"`; or two that
            change an image: `"grey then flipped"`.
        scenes: `B` scenes; a `SceneBatch` saves work where several kinds are drawn.
        height, width: pixels; any.
        generator: for `RANDOM_KINDS`, on `device`.

    Returns:
        `(B, 3, height, width)` float32 in 0..1.

    Raises:
        ValueError: no such kind, a number out of range, or a quarter turn of an image that is not square.
    """
    phrase(kind)  # raises for an unknown kind
    if kind in _FROM_SCENE:
        return _FROM_SCENE[kind][1](scenes, height, width, device)
    found = family(kind)
    if found and found[1] == ANY:
        raise ValueError(f"{kind!r} stands for any number: give one, such as '{found[0]} 1'")
    if found and found[0] in _SCENE_FAMILIES:
        return _SCENE_FAMILIES[found[0]][1](scenes, height, width, device, int(found[1]))
    return changed(render.image(scenes, height, width, device), kind, generator)


def changed(images: torch.Tensor, kind: str, generator: torch.Generator | None = None) -> torch.Tensor:
    """Another kind of image, made of images alone.

    Args:
        images: `(B, 3, H, W)` in 0..1.
        kind: one that `changes_images`: `"grey"`, `"hue 120"`, or two with "then" between.
        generator: for `RANDOM_KINDS`.
    """
    for change in kind.split(THEN):
        if found := family(change):
            images = _IMAGE_FAMILIES[found[0]][1](images, int(found[1]))
        else:
            images = _FROM_IMAGE[change][1](images, generator)
    return images


@dataclass(frozen=True)
class Task:
    """A path of the graph: conditions, then one or more answers.

    Args:
        inputs: kinds that are given; may be empty (only examples, or the text, say what to paint).
        outputs: kinds that are asked for.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Task:
        """`"subject + depth > image"` to a task.

        Raises:
            ValueError: not of that form, or no such kind.
        """
        given, arrow, asked = text.partition("> ")
        given = given.removesuffix(" ")
        if not arrow or not asked or (given and text != f"{given} > {asked}"):
            raise ValueError(f"a task reads 'kind > kind' or 'kind + kind > kind', not {text!r}")
        task = cls(tuple(given.split(" + ")) if given else (), tuple(asked.split(" + ")))
        for kind in task.columns:
            phrase(kind)
        return task

    @property
    def columns(self) -> tuple[str, ...]:
        return self.inputs + self.outputs

    @property
    def prompt(self) -> str:
        """The task prompt in the authors' form."""
        return task_prompt([phrase(k) for k in self.inputs], [phrase(k) for k in self.outputs])

    def __str__(self) -> str:
        return f"{' + '.join(self.inputs)} > {' + '.join(self.outputs)}".strip()
