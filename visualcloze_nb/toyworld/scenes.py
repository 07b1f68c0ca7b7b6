"""A scene is a small data structure: a ground, and one or two objects on it.

Everything else in the toy world is rendered from a scene exactly (see `render.py`), so every image has
perfect annotations. A scene is made from one integer, its seed: the same seed gives the same scene on any
machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SHAPES = ("circle", "square", "triangle", "ring", "cross", "star")
TEXTURES = ("plain", "striped")
COLOURS = {
    "red": (0.86, 0.15, 0.15),
    "orange": (0.96, 0.55, 0.10),
    "yellow": (0.96, 0.88, 0.20),
    "green": (0.20, 0.66, 0.25),
    "cyan": (0.15, 0.75, 0.80),
    "blue": (0.16, 0.30, 0.85),
    "purple": (0.55, 0.20, 0.75),
    "pink": (0.96, 0.50, 0.72),
}
GROUNDS = {
    "dark": (0.16, 0.17, 0.22),
    "slate": (0.36, 0.42, 0.50),
    "sand": (0.80, 0.72, 0.56),
    "mint": (0.66, 0.80, 0.72),
    "brown": (0.42, 0.32, 0.25),
    "pale": (0.88, 0.88, 0.92),
}
SMALLEST, LARGEST = 0.38, 0.60  # radii, in units of half a side; a token is 0.5 wide in a cell of 64 pixels
COUNT_SHARES = (0.5, 0.5)  # of scenes with one object, with two
TEXTURE_SHARES = (0.6, 0.4)  # in the order of `TEXTURES`
MAX_OBJECTS = len(COUNT_SHARES)


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene.

    Args:
        shape, colour, texture: names from `SHAPES`, `COLOURS`, `TEXTURES`.
        size: radius, in units of half the side of a square image, `SMALLEST` to `LARGEST`. Larger is nearer: the
            size alone decides depth and who hides whom, so depth can be seen.
        x, y: place of the centre, -1 (left, top) to 1 (right, bottom).
        angle: rotation in radians, anticlockwise.
    """

    shape: str
    colour: str
    texture: str
    size: float
    x: float
    y: float
    angle: float

    @property
    def depth(self) -> float:
        """Nearness, 0.45 (smallest) to 1 (largest): what the depth image shows."""
        return 0.45 + 0.55 * (self.size - SMALLEST) / (LARGEST - SMALLEST)

    def phrase(self) -> str:
        words = self.colour if self.texture == "plain" else f"{self.texture} {self.colour}"
        return f"{'an' if words[0] in 'aeiou' else 'a'} {words} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """A ground and one or two objects, far (small) to near (large).

    Args:
        seed: the integer the scene was made from.
        ground: name from `GROUNDS`; the ground fades from this colour to a darker one.
        ground_angle: direction of that fade, radians.
        objects: one or two `SceneObject`, sorted by size.
    """

    seed: int
    ground: str
    ground_angle: float
    objects: tuple[SceneObject, ...]

    @property
    def subject(self) -> SceneObject:
        """The nearest (largest) object."""
        return self.objects[-1]

    def caption(self) -> str:
        """The content prompt: the objects, near to far, and the ground (short, to fit 64 tokens with the rest)."""
        return " and ".join(t.phrase() for t in self.objects[::-1]) + f" on {self.ground} ground."


def make_scene(seed: int) -> Scene:
    """The scene of one seed.

    Args:
        seed: any non-negative integer. Seeds below `splits.FIRST_TRAINING_SEED` are held out: no model of
            this package was trained on them.

    Returns:
        `Scene`, the same on every machine.
    """
    rng = np.random.default_rng(seed)
    wanted = int(rng.choice(len(COUNT_SHARES), p=COUNT_SHARES) + 1)
    objects: list[SceneObject] = []
    for _ in range(40):
        if len(objects) == wanted:
            break
        size = float(rng.uniform(SMALLEST, LARGEST))
        x, y = (float(v) for v in rng.uniform(-1, 1, 2) * (1 - 0.75 * size))
        if any(np.hypot(x - t.x, y - t.y) < 0.8 * (size + t.size) for t in objects):
            continue
        objects.append(
            SceneObject(
                shape=SHAPES[rng.integers(len(SHAPES))],
                colour=list(COLOURS)[rng.integers(len(COLOURS))],
                texture=TEXTURES[rng.choice(len(TEXTURES), p=TEXTURE_SHARES)],
                size=size,
                x=x,
                y=y,
                angle=float(rng.uniform(-0.5, 0.5)),
            )
        )
    return Scene(
        seed=seed,
        ground=list(GROUNDS)[rng.integers(len(GROUNDS))],
        ground_angle=float(rng.uniform(0, 2 * np.pi)),
        objects=tuple(sorted(objects, key=lambda t: t.size)),
    )
