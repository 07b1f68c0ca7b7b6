"""The graph of the toy world: kinds of image are nodes, renderings are edges, a path is a task.

This is Graph200K in miniature. A kind is named by a word, or by a word and a number for the families that no
text can tell apart (`hue 120`: colours rotated by 120 degrees), or by two changes of an image, one after the
other (`grey then flipped`). A task is a row of kinds: its conditions, then its targets, such as
`image > edge` or `subject + depth > image`. What is trained on and what is held out is in `splits.py`.

A new kind of image is one entry in `_KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from visualcloze_nb.data.prompts import task_prompt
from visualcloze_nb.errors import UsageError
from visualcloze_nb.toyworld import edit, render, transforms
from visualcloze_nb.toyworld.scene_batch import SceneBatch
from visualcloze_nb.toyworld.scenes import Scene


@dataclass(frozen=True)
class Kind:
    """A kind of image: its words in prompts, and how it is made, from scenes or from images.

    Args:
        words: for the task prompt; they say "picture" because the bundled checkpoint was trained on that word.
        from_scenes: `(scenes, height, width, device)` to images, and a number where the kind has one.
        from_images: images to images; takes a number, or a generator, where the kind has one.
        numbered: a family of kinds, `hue 60`, `hue 120`, …, with the same words: only examples can tell the number.
        random: its image is not determined by the scene.
        shows_all: it shows form and colours of everything, if roughly.
    """

    words: str
    from_scenes: Callable[..., torch.Tensor] | None = None
    from_images: Callable[..., torch.Tensor] | None = None
    numbered: bool = False
    random: bool = False
    shows_all: bool = False


def _edited(change: Callable[..., SceneBatch]) -> Callable[..., torch.Tensor]:
    """Render edited scenes."""

    def draw_edited(scenes, height: int, width: int, device, *number: int) -> torch.Tensor:
        return render.image(change(SceneBatch.of(scenes), *number), height, width, device)

    return draw_edited


_KINDS = {
    "image": Kind("a picture", render.image, shows_all=True),
    "edge": Kind("white outlines", render.edge),
    "depth": Kind("a depth map", render.depth),
    "mask": Kind("a class mask", render.mask),
    "normals": Kind("a normal map", render.normals),
    "instances": Kind("an instance mask", render.instances),
    "subject": Kind("the subject alone", render.subject),
    "foreground": Kind("the foreground alone", render.foreground),
    "background": Kind("the empty background", render.background),
    "style": Kind("a style reference", render.style_reference),
    "styled": Kind("a stylised picture", render.stylised),
    "removed": Kind("the subject removed", _edited(edit.remove)),
    "grey": Kind("a grey picture", from_images=transforms.grey, shows_all=True),
    "blurred": Kind("a blurred picture", from_images=transforms.blur, shows_all=True),
    "pixelated": Kind("a pixelated picture", from_images=transforms.pixelate, shows_all=True),
    "noisy": Kind("a noisy picture", from_images=transforms.noise, random=True, shows_all=True),
    "speckled": Kind("a speckled picture", from_images=transforms.speckle, random=True, shows_all=True),
    "holed": Kind("a damaged picture", from_images=transforms.hole, random=True, shows_all=True),
    "dark": Kind("a dark picture", from_images=transforms.darken, shows_all=True),
    "faded": Kind("a faded picture", from_images=transforms.fade, shows_all=True),
    "posterised": Kind("a posterised picture", from_images=transforms.posterise, shows_all=True),
    "negative": Kind("a negative", from_images=transforms.invert, shows_all=True),
    "contours": Kind("a contour map", from_images=transforms.contours),
    "flipped": Kind("a turned picture", from_images=transforms.flip, shows_all=True),
    "hue": Kind("a recoloured picture", from_images=transforms.rotate_hue, numbered=True, shows_all=True),
    "mix": Kind("a recoloured picture", from_images=transforms.mix_channels, numbered=True, shows_all=True),
    "turn": Kind("a turned picture", from_images=transforms.turn, numbered=True, shows_all=True),
    "shift": Kind("a shifted picture", from_images=transforms.roll, numbered=True, shows_all=True),
    "light": Kind("a relit picture", render.relit, numbered=True, shows_all=True),
    "recolour": Kind("the subject recoloured", _edited(edit.recolour), numbered=True),
    "replace": Kind("the subject replaced", _edited(edit.exchange), numbered=True),
    "move": Kind("the subject moved", _edited(edit.move), numbered=True),
}
FAMILIES = tuple(name for name, kind in _KINDS.items() if kind.numbered)
KINDS = tuple(f"{name} <number>" if kind.numbered else name for name, kind in _KINDS.items())
RANDOM_KINDS = tuple(name for name, kind in _KINDS.items() if kind.random)
SHOWS_ALL = tuple(name for name, kind in _KINDS.items() if kind.shows_all)
ANY = "*"
"""In place of a number: any that is trained on, see `splits.trained_number`."""
THEN = " then "


def family(kind: str) -> tuple[str, str] | None:
    """`"hue 120"` to `("hue", "120")`; None for a kind without a number."""
    name, _, number = kind.partition(" ")
    return (name, number) if name in FAMILIES and (number == ANY or number.lstrip("-").isdigit()) else None


def _entry(kind: str) -> Kind | None:
    """What is known of one kind, its number given if it has one; None if there is no such kind."""
    found = family(kind)
    entry = _KINDS.get(found[0] if found else kind)
    return entry if entry and entry.numbered == bool(found) else None


def phrase(kind: str) -> str:
    """The words that stand for a kind in a task prompt.

    Raises:
        ValueError: no such kind.
    """
    if kind.count(THEN) == 1 and changes_images(kind):
        return "a changed picture"
    if entry := _entry(kind):
        return entry.words
    raise UsageError(f"there is no kind of image {kind!r}; there are {', '.join(KINDS)}, and two with 'then' between")


def changes_images(kind: str) -> bool:
    """Whether a kind, or each one of several with "then" between, is made of an image alone."""
    entries = [_entry(change) for change in kind.split(THEN)]
    return all(entry is not None and entry.from_images is not None for entry in entries)


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
        device: where to render.

    Returns:
        `(B, 3, height, width)` float32 in 0..1.

    Raises:
        ValueError: no such kind, a number out of range, or a quarter turn of an image that is not square.
    """
    phrase(kind)  # raises for an unknown kind
    found, entry = family(kind), _entry(kind)
    if found and found[1] == ANY:
        raise UsageError(f"{kind!r} stands for any number: give one, such as '{found[0]} 1'")
    if entry and entry.from_scenes:
        return entry.from_scenes(scenes, height, width, device, *([int(found[1])] if found else []))
    return changed(render.image(scenes, height, width, device), kind, generator)


def changed(images: torch.Tensor, kind: str, generator: torch.Generator | None = None) -> torch.Tensor:
    """Another kind of image, made of images alone.

    Args:
        images: `(B, 3, H, W)` in 0..1.
        kind: one that `changes_images`: `"grey"`, `"hue 120"`, or two with "then" between.
        generator: for `RANDOM_KINDS`, on the images' device.

    Returns:
        `(B, 3, H, W)` in 0..1.

    Raises:
        ValueError: not a kind that is made of an image alone.
    """
    for change in kind.split(THEN):
        found, entry = family(change), _entry(change)
        if entry is None or entry.from_images is None:
            raise UsageError(f"{change!r} is not made of an image alone: see `changes_images`")
        images = entry.from_images(images, *([int(found[1])] if found else [generator] if entry.random else []))
    return images


@dataclass(frozen=True)
class Task:
    """A path of the graph: conditions, then one or more targets.

    Args:
        inputs: kinds of the conditions; may be empty: only examples, or the text, then say what to generate.
        outputs: kinds of the targets.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Task:
        """`"subject + depth > image"` to a task.

        Raises:
            ValueError: not of that form, or no such kind.
        """
        inputs, arrow, outputs = text.partition("> ")
        inputs = inputs.removesuffix(" ")
        if not arrow or not outputs or (inputs and text != f"{inputs} > {outputs}"):
            raise UsageError(f"a task reads 'kind > kind' or 'kind + kind > kind', not {text!r}")
        task = cls(tuple(inputs.split(" + ")) if inputs else (), tuple(outputs.split(" + ")))
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
