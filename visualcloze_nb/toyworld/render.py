"""From scenes to images: every rendering is exact, batched, antialiased and of any size.

A shape is a signed distance field: a formula that says for each point how far outside (positive) or inside
(negative) it lies. One pixel of that distance, turned into opacity, gives a smooth outline at any size;
its absolute value gives the edge drawing; its sign gives the mask. Things are painted far to near.

All functions take a list of scenes and return `(B, 3, height, width)` float32 in 0..1 on `device`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from visualcloze_nb.toyworld.scenes import COLOURS, GROUNDS, MAX_THINGS, SHAPES, TEXTURES, Scene, Thing, make_scene
from visualcloze_nb.toyworld.transforms import rotate_hue

# One flat colour a shape, black where there is nothing (after Okabe and Ito: safe for colour-blind readers).
CLASS_COLOURS = {
    "circle": (0.90, 0.62, 0.00),
    "square": (0.34, 0.71, 0.91),
    "triangle": (0.00, 0.62, 0.45),
    "ring": (0.94, 0.89, 0.26),
    "cross": (0.84, 0.37, 0.00),
    "star": (0.80, 0.47, 0.65),
}
# One flat colour an instance, from far to near, when a scene has three; fewer things take the last ones.
INSTANCE_COLOURS = ((0.00, 0.45, 0.70), (0.84, 0.37, 0.00), (0.94, 0.89, 0.26))
EDGE_HALF_WIDTH = 0.036  # of half a side: lines a bit over two pixels wide in a 64-pixel cell
PLAIN_GROUND = 0.92


def _distance(shape: str, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Signed distance to the outline of a shape of radius 1 (formulas: Inigo Quilez, 2D distance functions)."""
    radius = torch.sqrt(x * x + y * y + 1e-9)
    if shape == "circle":
        return radius - 0.9
    if shape == "ring":
        return (radius - 0.68).abs() - 0.24
    if shape == "square":
        return torch.maximum(x.abs(), y.abs()) - 0.8
    if shape == "cross":
        long, short = torch.maximum(x.abs(), y.abs()), torch.minimum(x.abs(), y.abs())
        return torch.maximum(long - 0.95, short - 0.34)
    # Regular polygons and stars: fold the plane into one sector, then it is the distance to one line.
    corners = {"triangle": 3, "star": 5}[shape]
    angle = torch.atan2(x, -y)  # 0 at the top
    sector = math.pi / corners
    folded = torch.remainder(angle + sector, 2 * sector) - sector  # -sector..sector around a corner
    px, py = radius * folded.abs().sin(), radius * folded.cos()
    outer, inner = (1.05, 0.525) if shape == "triangle" else (1.05, 0.50)
    # The line from the corner (0, outer) to the notch (or the middle of a side) at angle `sector`.
    nx, ny = inner * math.sin(sector), inner * math.cos(sector)
    dx, dy = nx, ny - outer
    length = math.hypot(dx, dy)
    return (px * -dy + (py - outer) * dx) / length


class _Canvas:
    """Distances and local coordinates of every thing of every scene: `(B, MAX_THINGS, H, W)`."""

    def __init__(self, scenes: Sequence[Scene], height: int, width: int, device="cpu"):
        self.scenes, self.device = scenes, device
        things = [list(s.things) + [None] * (MAX_THINGS - len(s.things)) for s in scenes]
        self.things = things
        self.pixel = 2 / math.sqrt(height * width)

        half_w, half_h = math.sqrt(width / height), math.sqrt(height / width)  # area 4, whatever the aspect
        ys = (torch.arange(height, device=device) + 0.5) / height * 2 - 1
        xs = (torch.arange(width, device=device) + 0.5) / width * 2 - 1
        self.v, self.u = torch.meshgrid(ys, xs, indexing="ij")  # -1..1, for the ground

        def column(get):
            values = [[get(t) if t else 0.0 for t in row] for row in things]
            return torch.tensor(values, dtype=torch.float32, device=device)[:, :, None, None]

        size = column(lambda t: t.size).clamp(min=0.1)
        dx = (self.u - column(lambda t: t.x)) * half_w
        dy = (self.v - column(lambda t: t.y)) * half_h
        self.east, self.south = dx / size, dy / size  # place on a thing, -1..1 across it, not turned with it
        cos, sin = column(lambda t: math.cos(t.angle)), column(lambda t: math.sin(t.angle))
        self.x, self.y = (cos * dx - sin * dy) / size, (sin * dx + cos * dy) / size  # (B, N, H, W)
        self.distance = torch.full_like(self.x, 9.0)
        for shape in SHAPES:
            mine = torch.tensor([[bool(t) and t.shape == shape for t in row] for row in things], device=device)
            if mine.any():
                self.distance[mine] = _distance(shape, self.x[mine], self.y[mine]) * size[mine]
        self.opacity = (0.5 - self.distance / self.pixel).clamp(0, 1)

    def flat(self, colour_of) -> torch.Tensor:
        """One RGB colour a thing, `(B, N, 3, 1, 1)`."""
        values = [[colour_of(t) if t else (0.0, 0.0, 0.0) for t in row] for row in self.things]
        return torch.tensor(values, dtype=torch.float32, device=self.device)[..., None, None]

    def paint(self, ground: torch.Tensor, layers: torch.Tensor) -> torch.Tensor:
        """Far to near: each thing covers what is behind it. ground `(B, 3, H, W)`, layers `(B, N, 3, H, W)`."""
        image = ground
        for i in range(MAX_THINGS):
            alpha = self.opacity[:, i, None]
            image = image + alpha * (layers[:, i] - image)
        return image


def _surface(canvas: _Canvas) -> torch.Tensor:
    """Colour of every thing with its texture, before light, `(B, N, 3, H, W)`."""
    colour = canvas.flat(lambda t: COLOURS[t.colour])
    kind = [[TEXTURES.index(t.texture) if t else 0 for t in row] for row in canvas.things]
    kind = torch.tensor(kind, device=canvas.device)[:, :, None, None]
    soft = canvas.pixel * 6
    stripes = (torch.sin(canvas.x * 7.5) / soft).clamp(-1, 1) * 0.5 + 0.5
    dots = ((torch.sin(canvas.x * 7.0) * torch.sin(canvas.y * 7.0) - 0.45) / soft).clamp(-1, 1) * 0.5 + 0.5
    pale = torch.where(kind == 1, stripes, torch.where(kind == 2, dots, torch.zeros_like(dots)))[:, :, None]
    return colour + 0.55 * pale * (1 - colour)


def _lit(canvas: _Canvas, angle: float = 135.0, strength: float = 0.23) -> torch.Tensor:
    """The things under light from `angle` (degrees, anticlockwise from the right), `(B, N, 3, H, W)`.

    A thing is shaded as a dome: brightness is linear in its normal (see `normals`).
    """
    towards = math.cos(math.radians(angle)) * canvas.east - math.sin(math.radians(angle)) * canvas.south
    light = (0.88 + strength * towards.clamp(-1.1, 1.1))[:, :, None]
    return (_surface(canvas) * light).clamp(0, 1)


def background(scenes: Sequence[Scene], height: int, width: int, device="cpu") -> torch.Tensor:
    """The ground alone, without things."""
    return _ground(_Canvas(scenes, height, width, device)).clamp(0, 1)


def _ground(canvas: _Canvas) -> torch.Tensor:
    colour = torch.tensor([GROUNDS[s.ground] for s in canvas.scenes], device=canvas.device)[:, :, None, None]
    angle = torch.tensor([s.ground_angle for s in canvas.scenes], device=canvas.device)[:, None, None, None]
    fade = 0.5 + 0.5 * (torch.cos(angle) * canvas.u + torch.sin(angle) * canvas.v) / math.sqrt(2)
    return colour * (0.65 + 0.5 * fade).clamp(0, 1.1)


def image(scenes: Sequence[Scene], height: int, width: int, device="cpu") -> torch.Tensor:
    """The scene as a camera sees it."""
    canvas = _Canvas(scenes, height, width, device)
    return canvas.paint(_ground(canvas), _lit(canvas)).clamp(0, 1)


def relit(scenes: Sequence[Scene], height: int, width: int, device="cpu", angle: float = 0.0) -> torch.Tensor:
    """The scene under a stronger light from `angle`, in degrees anticlockwise from the right; the ground too."""
    turned = [replace(s, ground_angle=-math.radians(angle)) for s in scenes]
    canvas = _Canvas(turned, height, width, device)
    return canvas.paint(_ground(canvas), _lit(canvas, angle, 0.38)).clamp(0, 1)


def edge(scenes: Sequence[Scene], height: int, width: int, device="cpu") -> torch.Tensor:
    """White outlines of what is visible of each thing, on black."""
    canvas = _Canvas(scenes, height, width, device)
    lines = (0.5 + (EDGE_HALF_WIDTH - canvas.distance.abs()) / canvas.pixel).clamp(0, 1)  # (B, N, H, W)
    drawing = torch.zeros_like(lines[:, 0])
    for i in range(MAX_THINGS):  # a nearer thing hides the lines behind it, then adds its own
        drawing = torch.maximum(drawing * (1 - canvas.opacity[:, i]), lines[:, i])
    return drawing[:, None].repeat(1, 3, 1, 1)


def depth(scenes: Sequence[Scene], height: int, width: int, device="cpu") -> torch.Tensor:
    """Nearness as grey: the ground rises from dark (top, far) to middle (bottom), a thing is flat."""
    canvas = _Canvas(scenes, height, width, device)
    ground = (0.18 + 0.14 * canvas.v).expand(len(scenes), 3, -1, -1)
    near = canvas.flat(lambda t: (t.depth,) * 3).expand(-1, -1, -1, height, width)
    return canvas.paint(ground, near)


def mask(scenes: Sequence[Scene], height: int, width: int, device="cpu") -> torch.Tensor:
    """What is where: each thing filled with the colour of its shape (`CLASS_COLOURS`), on black."""
    canvas = _Canvas(scenes, height, width, device)
    classes = canvas.flat(lambda t: CLASS_COLOURS[t.shape]).expand(-1, -1, -1, height, width)
    return canvas.paint(torch.zeros(len(scenes), 3, height, width, device=device), classes)


def subject(scenes: Sequence[Scene], height: int, width: int, device="cpu") -> torch.Tensor:
    """The nearest thing alone, upright in the middle of a plain ground."""
    alone = [
        Scene(s.seed, s.ground, 0.0, (Thing(s.subject.shape, s.subject.colour, s.subject.texture, 0.6, 0, 0, 0),))
        for s in scenes
    ]
    canvas = _Canvas(alone, height, width, device)
    plain = torch.full((len(scenes), 3, height, width), PLAIN_GROUND, device=device)
    return canvas.paint(plain, _lit(canvas)).clamp(0, 1)


def foreground(scenes: Sequence[Scene], height: int, width: int, device="cpu") -> torch.Tensor:
    """The things alone, on black."""
    canvas = _Canvas(scenes, height, width, device)
    return canvas.paint(torch.zeros(len(scenes), 3, height, width, device=device), _lit(canvas)).clamp(0, 1)


def normals(scenes: Sequence[Scene], height: int, width: int, device="cpu") -> torch.Tensor:
    """Which way each surface faces: red to the right, green up, blue to the viewer. Things are domes."""
    canvas = _Canvas(scenes, height, width, device)
    x, y = 0.6 * canvas.east.clamp(-1.1, 1.1), -0.6 * canvas.south.clamp(-1.1, 1.1)
    z = (1 - x * x - y * y).clamp(min=0).sqrt()
    flat = torch.tensor([0.5, 0.5, 1.0], device=device)[:, None, None].expand(len(scenes), 3, height, width)
    return canvas.paint(flat, torch.stack([x, y, z], dim=2) * 0.5 + 0.5).clamp(0, 1)


def instances(scenes: Sequence[Scene], height: int, width: int, device="cpu") -> torch.Tensor:
    """Which thing is where: the nearest yellow, the next orange, the third blue, on black."""
    canvas = _Canvas(scenes, height, width, device)
    colours = [[(0.0, 0.0, 0.0)] * MAX_THINGS for _ in scenes]
    for row, scene in zip(colours, scenes, strict=True):
        row[: len(scene.things)] = INSTANCE_COLOURS[MAX_THINGS - len(scene.things) :]
    flat = torch.tensor(colours, device=device)[..., None, None].expand(-1, -1, -1, height, width)
    return canvas.paint(torch.zeros(len(scenes), 3, height, width, device=device), flat)


STYLES = 12  # four palettes, each flat, outlined or in two tones


def style_of(scene: Scene) -> int:
    """The style a scene is drawn in when it is drawn in one, 0 to `STYLES - 1`: chance, but always the same."""
    return int(np.random.default_rng([scene.seed, 1]).integers(STYLES))


def stylised(
    scenes: Sequence[Scene], height: int, width: int, device="cpu", styles: Sequence[int] | None = None
) -> torch.Tensor:
    """Each scene in its style, or in the one given: no light and no texture, other colours, perhaps outlines."""
    styles = [style_of(s) for s in scenes] if styles is None else styles
    canvas = _Canvas(scenes, height, width, device)
    colours = canvas.flat(lambda t: COLOURS[t.colour]).expand(-1, -1, -1, height, width)
    plain = canvas.paint(_ground(canvas), colours)
    lines = edge(scenes, height, width, device)
    painted = []
    for image_, line, style in zip(plain, lines, styles, strict=True):
        image_ = rotate_hue(image_[None], 90.0 * (style % 4))[0]
        if style // 4 == 1:  # outlined
            image_ = image_ * (1 - line)
        if style // 4 == 2:  # two tones
            dark, light = (torch.tensor(c, device=device)[:, None, None] for c in TONES[style % 4])
            grey = image_.mean(0, keepdim=True)
            image_ = dark + (light - dark) * grey
        painted.append(image_)
    return torch.stack(painted).clamp(0, 1)


TONES = (
    ((0.05, 0.08, 0.30), (0.95, 0.90, 0.70)),
    ((0.25, 0.02, 0.10), (1.00, 0.75, 0.80)),
    ((0.02, 0.22, 0.15), (0.85, 1.00, 0.70)),
    ((0.20, 0.10, 0.00), (1.00, 0.85, 0.40)),
)


def style_reference(scenes: Sequence[Scene], height: int, width: int, device="cpu") -> torch.Tensor:
    """Another scene in each scene's style: what a style is shown by."""
    others = [make_scene(s.seed + REFERENCE_OFFSET) for s in scenes]
    return stylised(others, height, width, device, [style_of(s) for s in scenes])


REFERENCE_OFFSET = 2**41  # beyond every seed that is held out or trained on
