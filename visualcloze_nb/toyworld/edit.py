"""From scene to scene: edits, exact because they change the data and not the pixels.

An edit changes the subject, the nearest object, of every scene of a batch. `steps` of recolouring count along
`COLOURS`, of replacing along `SHAPES`, of moving around the compass: eight directions, from the right, anticlockwise.
"""

from __future__ import annotations

import math
from dataclasses import replace

from visualcloze_nb.toyworld.scene_batch import SceneBatch
from visualcloze_nb.toyworld.scenes import COLOURS, SHAPES

MOVE = 0.45  # of half a side


def remove(scenes: SceneBatch) -> SceneBatch:
    """The scenes without their subject."""
    return replace(scenes, count=scenes.count - 1)


def recolour(scenes: SceneBatch, steps: int) -> SceneBatch:
    """The subject's colour `steps` further along the palette of eight, which closes to a ring."""
    return scenes.with_subject(colour=(scenes.of_subject(scenes.colour) + steps) % len(COLOURS))


def exchange(scenes: SceneBatch, steps: int) -> SceneBatch:
    """The subject's shape `steps` further along the six shapes, which close to a ring."""
    return scenes.with_subject(shape=(scenes.of_subject(scenes.shape) + steps) % len(SHAPES))


def move(scenes: SceneBatch, direction: int) -> SceneBatch:
    """The subject moved `MOVE` in one of eight directions, but its centre stays in the image."""
    x = scenes.of_subject(scenes.x) + MOVE * math.cos(direction * math.pi / 4)
    y = scenes.of_subject(scenes.y) - MOVE * math.sin(direction * math.pi / 4)
    return scenes.with_subject(x=x.clip(-0.9, 0.9), y=y.clip(-0.9, 0.9))
