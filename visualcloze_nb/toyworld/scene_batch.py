"""Many scenes as arrays: what the renderer reads, and what training samples from.

A `Scene` is easy to read, one at a time. A `SceneBatch` holds `B` of them as arrays `(B, 2)`, one column per object,
far to near, of which the first `count` exist. Edits and renderings are then a few array operations for all scenes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from visualcloze_nb.errors import UsageError
from visualcloze_nb.toyworld.scenes import (
    COLOURS,
    COUNT_SHARES,
    GROUNDS,
    LARGEST,
    MAX_OBJECTS,
    SHAPES,
    SMALLEST,
    TEXTURE_SHARES,
    TEXTURES,
    Scene,
    SceneObject,
    make_scene,
)

COLOUR_NAMES, GROUND_NAMES = tuple(COLOURS), tuple(GROUNDS)
STYLES = 12  # four palettes, each flat, outlined or in two tones
REFERENCE_OFFSET = 2**41  # seeds of the scenes that show a style: beyond all held-out and training seeds


@dataclass(frozen=True)
class SceneBatch:
    """`B` scenes.

    Args:
        shape, colour, texture: `(B, 2)` int, numbers in `SHAPES`, `COLOURS`, `TEXTURES`.
        size, x, y, angle: `(B, 2)` float, as in `SceneObject`.
        count: `(B,)` int, 1 or 2: how many objects exist; 0 after the only one was removed.
        ground, ground_angle: `(B,)`, number in `GROUNDS`, radians.
        seed: `(B,)` int; -1 where the scene was not made from one.
        style: `(B,)` int, 0 to `STYLES` - 1.
    """

    shape: np.ndarray
    colour: np.ndarray
    texture: np.ndarray
    size: np.ndarray
    x: np.ndarray
    y: np.ndarray
    angle: np.ndarray
    count: np.ndarray
    ground: np.ndarray
    ground_angle: np.ndarray
    seed: np.ndarray
    style: np.ndarray

    def __len__(self) -> int:
        return len(self.count)

    def __getitem__(self, index) -> SceneBatch:
        return SceneBatch(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    @classmethod
    def of(cls, scenes: Sequence[Scene] | SceneBatch) -> SceneBatch:
        """Arrays of scenes; a `SceneBatch` is returned as it is. A scene of more than two objects is a `UsageError`."""
        if isinstance(scenes, SceneBatch):
            return scenes
        if (most := max((len(s.objects) for s in scenes), default=0)) > MAX_OBJECTS:
            raise UsageError(f"a scene has {most} objects: give at most {MAX_OBJECTS}")

        def column(get, blank):
            rows = [[get(t) for t in s.objects] + [blank] * (MAX_OBJECTS - len(s.objects)) for s in scenes]
            return np.array(rows).reshape(len(scenes), MAX_OBJECTS)

        return cls(
            shape=column(lambda t: SHAPES.index(t.shape), 0),
            colour=column(lambda t: COLOUR_NAMES.index(t.colour), 0),
            texture=column(lambda t: TEXTURES.index(t.texture), 0),
            size=column(lambda t: t.size, 0.0),
            x=column(lambda t: t.x, 0.0),
            y=column(lambda t: t.y, 0.0),
            angle=column(lambda t: t.angle, 0.0),
            count=np.array([len(s.objects) for s in scenes], int),
            ground=np.array([GROUND_NAMES.index(s.ground) for s in scenes], int),
            ground_angle=np.array([s.ground_angle for s in scenes], float),
            seed=np.array([s.seed for s in scenes], np.int64),
            style=np.array([style_of(s.seed) for s in scenes], int),
        )

    @classmethod
    def sample(cls, size: int, rng: np.random.Generator) -> SceneBatch:
        """Sample scenes as `make_scene` does, all at once. Their seed is -1: they come from no seed."""
        wanted = rng.choice(len(COUNT_SHARES), size, p=COUNT_SHARES) + 1
        count = np.zeros(size, int)
        placed = np.full((3, size, MAX_OBJECTS), 9.0)  # size, x, y; far away until placed
        for _ in range(40):
            radius = rng.uniform(SMALLEST, LARGEST, size)
            x, y = rng.uniform(-1, 1, (2, size)) * (1 - 0.75 * radius)
            gap = np.hypot(x[:, None] - placed[1], y[:, None] - placed[2]) - 0.8 * (radius[:, None] + placed[0])
            exists = np.arange(MAX_OBJECTS) < count[:, None]
            at = np.flatnonzero((count < wanted) & ((gap >= 0) | ~exists).all(1))
            placed[:, at, count[at]] = np.stack([radius, x, y])[:, at]
            count[at] += 1
        order = placed[0].argsort(1)  # far to near; what does not exist is last
        radius, x, y = np.take_along_axis(placed, np.broadcast_to(order, placed.shape), 2)
        return cls(
            shape=rng.integers(len(SHAPES), size=(size, MAX_OBJECTS)),
            colour=rng.integers(len(COLOURS), size=(size, MAX_OBJECTS)),
            texture=rng.choice(len(TEXTURES), (size, MAX_OBJECTS), p=TEXTURE_SHARES),
            size=radius,
            x=x,
            y=y,
            angle=rng.uniform(-0.5, 0.5, (size, MAX_OBJECTS)),
            count=count,
            ground=rng.integers(len(GROUNDS), size=size),
            ground_angle=rng.uniform(0, 2 * np.pi, size),
            seed=np.full(size, -1, np.int64),
            style=rng.integers(STYLES, size=size),
        )

    def scenes(self) -> list[Scene]:
        """The same as `Scene` objects."""
        return [self._scene(i) for i in range(len(self))]

    def captions(self) -> list[str]:
        """The content prompt of each scene."""
        return [scene.caption() for scene in self.scenes()]

    def _scene(self, i: int) -> Scene:
        objects = tuple(
            SceneObject(
                SHAPES[self.shape[i, n]],
                COLOUR_NAMES[self.colour[i, n]],
                TEXTURES[self.texture[i, n]],
                *(float(values[i, n]) for values in (self.size, self.x, self.y, self.angle)),
            )
            for n in range(self.count[i])
        )
        return Scene(int(self.seed[i]), GROUND_NAMES[self.ground[i]], float(self.ground_angle[i]), objects)

    def of_subject(self, values: np.ndarray) -> np.ndarray:
        """The nearest object's entry of a `(B, 2)` array, `(B,)`."""
        return values[np.arange(len(self)), self.count - 1]

    def with_subject(self, **changes: np.ndarray) -> SceneBatch:
        """The same scenes with other values `(B,)` for their nearest object."""
        changed = {}
        for name, values in changes.items():
            changed[name] = getattr(self, name).copy()
            changed[name][np.arange(len(self)), self.count - 1] = values
        return replace(self, **changed)


def style_of(seed: int) -> int:
    """The style in which the scene of a seed is drawn when it is drawn in one, 0 to `STYLES` - 1."""
    return int(np.random.default_rng([seed, 1]).integers(STYLES))


def style_scenes(scenes: SceneBatch) -> SceneBatch:
    """Other scenes, one each, to show a style on: by the seed, or for sampled scenes the next one of the batch."""
    if (scenes.seed < 0).any():
        return scenes[np.roll(np.arange(len(scenes)), 1)]
    return SceneBatch.of([make_scene(int(seed) + REFERENCE_OFFSET) for seed in scenes.seed])
