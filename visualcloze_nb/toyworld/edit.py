"""From scene to scene: edits, exact because they change the data and not the pixels.

An edit changes the subject, the nearest thing. `steps` of recolouring walk along `COLOURS`, of replacing along
`SHAPES`, of moving around the compass: eight directions, from the right, anticlockwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from visualcloze_nb.toyworld.scenes import COLOURS, SHAPES, Scene, Thing

MOVE = 0.45  # of half a side


def remove(scene: Scene) -> Scene:
    """The scene without its subject."""
    return replace(scene, things=scene.things[:-1])


def recolour(scene: Scene, steps: int) -> Scene:
    """The subject's colour `steps` further along the palette of eight, which closes to a ring."""
    names = list(COLOURS)
    return _change(scene, lambda t: replace(t, colour=names[(names.index(t.colour) + steps) % len(names)]))


def exchange(scene: Scene, steps: int) -> Scene:
    """The subject's shape `steps` further along the six shapes, which close to a ring."""
    return _change(scene, lambda t: replace(t, shape=SHAPES[(SHAPES.index(t.shape) + steps) % len(SHAPES)]))


def move(scene: Scene, direction: int) -> Scene:
    """The subject moved `MOVE` in one of eight directions, but its centre stays in the image."""

    def moved(t: Thing) -> Thing:
        x = t.x + MOVE * math.cos(direction * math.pi / 4)
        y = t.y - MOVE * math.sin(direction * math.pi / 4)
        return replace(t, x=max(-0.9, min(0.9, x)), y=max(-0.9, min(0.9, y)))

    return _change(scene, moved)


def _change(scene: Scene, how: Callable[[Thing], Thing]) -> Scene:
    return replace(scene, things=(*scene.things[:-1], how(scene.subject)))
