"""From scenes to images: every rendering is exact, batched, antialiased and of any size.

A shape is a signed distance field: a formula that says for each point how far outside (positive) or inside
(negative) it lies. One pixel of that distance, turned into opacity, gives a smooth outline at any size;
its absolute value gives the edge drawing; its sign gives the mask. Objects are painted far to near.

All functions take scenes, height and width in pixels, and a device; they return `(B, 3, height, width)` in 0..1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from visualcloze_nb.toyworld.scene_batch import SceneBatch, style_scenes
from visualcloze_nb.toyworld.scenes import COLOURS, GROUNDS, LARGEST, MAX_OBJECTS, SHAPES, SMALLEST, Scene
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
# One flat colour an instance, from far to near; a single object takes the last.
INSTANCE_COLOURS = ((0.84, 0.37, 0.00), (0.94, 0.89, 0.26))
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


Scenes = Sequence[Scene] | SceneBatch
Device = str | torch.device


class _Canvas:
    """Distances and local coordinates of every object of every scene: `(B, MAX_OBJECTS, H, W)`."""

    def __init__(self, scenes: Scenes, height: int, width: int, device: Device = "cpu"):
        self.scenes, self.device = SceneBatch.of(scenes), device
        self.pixel = 2 / math.sqrt(height * width)
        half_w, half_h = math.sqrt(width / height), math.sqrt(height / width)  # area 4, whatever the aspect
        ys = (torch.arange(height, device=device) + 0.5) / height * 2 - 1
        xs = (torch.arange(width, device=device) + 0.5) / width * 2 - 1
        self.v, self.u = torch.meshgrid(ys, xs, indexing="ij")  # -1..1, for the ground

        batch = self.scenes
        size = self.column(batch.size).clamp(min=0.1)
        dx = (self.u - self.column(batch.x)) * half_w
        dy = (self.v - self.column(batch.y)) * half_h
        self.east, self.south = dx / size, dy / size  # place on an object, -1..1 across it, not turned with it
        cos, sin = self.column(np.cos(batch.angle)), self.column(np.sin(batch.angle))
        self.x, self.y = (cos * dx - sin * dy) / size, (sin * dx + cos * dy) / size  # (B, N, H, W)
        self.distance = torch.full_like(self.x, 9.0)
        exists = np.arange(MAX_OBJECTS) < batch.count[:, None]
        for number, shape in enumerate(SHAPES):
            at = tuple(torch.as_tensor(i, device=device) for i in np.nonzero(exists & (batch.shape == number)))
            if len(at[0]):
                self.distance[at] = _distance(shape, self.x[at], self.y[at]) * size[at]
        self.opacity = (0.5 - self.distance / self.pixel).clamp(0, 1)

    def column(self, values: np.ndarray) -> torch.Tensor:
        """One number an object, `(B, N)`, ready to meet pixels: `(B, N, 1, 1)`."""
        return torch.as_tensor(values, dtype=torch.float32, device=self.device)[:, :, None, None]

    def flat(self, palette, numbers: np.ndarray) -> torch.Tensor:
        """One RGB colour an object, `(B, N, 3, H, W)`: entry `numbers` `(B, N)` of `palette` `(n, 3)`."""
        colours = np.asarray(palette)[numbers]
        flat = torch.as_tensor(colours, dtype=torch.float32, device=self.device)[..., None, None]
        return flat.expand(-1, -1, -1, *self.u.shape)

    def paint(self, ground: torch.Tensor, layers: torch.Tensor) -> torch.Tensor:
        """Far to near: each object covers what is behind it. ground `(B, 3, H, W)`, layers `(B, N, 3, H, W)`."""
        image = ground
        for i in range(MAX_OBJECTS):
            alpha = self.opacity[:, i, None]
            image = image + alpha * (layers[:, i] - image)
        return image

    def black(self) -> torch.Tensor:
        return torch.zeros(len(self.scenes), 3, *self.u.shape, device=self.device)


def _surface(canvas: _Canvas) -> torch.Tensor:
    """Colour of every object with its texture, before light, `(B, N, 3, H, W)`."""
    colour = canvas.flat([*COLOURS.values()], canvas.scenes.colour)
    stripes = (torch.sin(canvas.x * 7.5) / (canvas.pixel * 6)).clamp(-1, 1) * 0.5 + 0.5
    pale = (canvas.column(canvas.scenes.texture) * stripes)[:, :, None]
    return colour + 0.55 * pale * (1 - colour)


def _lit(canvas: _Canvas, angle: float = 135.0, strength: float = 0.23) -> torch.Tensor:
    """The objects under light from `angle` (degrees, anticlockwise from the right), `(B, N, 3, H, W)`.

    An object is shaded as a dome: brightness is linear in its normal (see `normals`).
    """
    towards = math.cos(math.radians(angle)) * canvas.east - math.sin(math.radians(angle)) * canvas.south
    light = (0.88 + strength * towards.clamp(-1.1, 1.1))[:, :, None]
    return (_surface(canvas) * light).clamp(0, 1)


def background(scenes: Scenes, height: int, width: int, device: Device = "cpu") -> torch.Tensor:
    """The ground alone, without objects."""
    return _ground(_Canvas(scenes, height, width, device)).clamp(0, 1)


def _ground(canvas: _Canvas) -> torch.Tensor:
    colours = np.asarray([*GROUNDS.values()])[canvas.scenes.ground]
    colour = torch.as_tensor(colours, dtype=torch.float32, device=canvas.device)[:, :, None, None]
    angle = canvas.column(canvas.scenes.ground_angle[:, None])
    fade = 0.5 + 0.5 * (torch.cos(angle) * canvas.u + torch.sin(angle) * canvas.v) / math.sqrt(2)
    return colour * (0.65 + 0.5 * fade).clamp(0, 1.1)


def image(scenes: Scenes, height: int, width: int, device: Device = "cpu") -> torch.Tensor:
    """The scene as a camera sees it."""
    canvas = _Canvas(scenes, height, width, device)
    return canvas.paint(_ground(canvas), _lit(canvas)).clamp(0, 1)


def relit(scenes: Scenes, height: int, width: int, device: Device = "cpu", angle: float = 0.0) -> torch.Tensor:
    """The scene under a stronger light from `angle`, in degrees anticlockwise from the right; the ground too."""
    batch = SceneBatch.of(scenes)
    turned = replace(batch, ground_angle=np.full(len(batch), -math.radians(angle)))
    canvas = _Canvas(turned, height, width, device)
    return canvas.paint(_ground(canvas), _lit(canvas, angle, 0.5)).clamp(0, 1)


def edge(scenes: Scenes, height: int, width: int, device: Device = "cpu") -> torch.Tensor:
    """White outlines of what is visible of each object, on black."""
    canvas = _Canvas(scenes, height, width, device)
    lines = (0.5 + (EDGE_HALF_WIDTH - canvas.distance.abs()) / canvas.pixel).clamp(0, 1)  # (B, N, H, W)
    drawing = torch.zeros_like(lines[:, 0])
    for i in range(MAX_OBJECTS):  # a nearer object hides the lines behind it, then adds its own
        drawing = torch.maximum(drawing * (1 - canvas.opacity[:, i]), lines[:, i])
    return drawing[:, None].repeat(1, 3, 1, 1)


def depth(scenes: Scenes, height: int, width: int, device: Device = "cpu") -> torch.Tensor:
    """Nearness as grey: the ground rises from dark (top, far) to middle (bottom), an object is flat."""
    canvas = _Canvas(scenes, height, width, device)
    ground = (0.18 + 0.14 * canvas.v).expand(len(canvas.scenes), 3, -1, -1)
    near = canvas.column(0.45 + 0.55 * (canvas.scenes.size - SMALLEST) / (LARGEST - SMALLEST))
    return canvas.paint(ground, near[:, :, None].expand(-1, -1, 3, height, width))


def mask(scenes: Scenes, height: int, width: int, device: Device = "cpu") -> torch.Tensor:
    """What is where: each object filled with the colour of its shape (`CLASS_COLOURS`), on black."""
    canvas = _Canvas(scenes, height, width, device)
    return canvas.paint(canvas.black(), canvas.flat([*CLASS_COLOURS.values()], canvas.scenes.shape))


def subject(scenes: Scenes, height: int, width: int, device: Device = "cpu") -> torch.Tensor:
    """The nearest object alone, upright in the middle of a plain ground."""
    batch = SceneBatch.of(scenes)
    alone = {
        name: batch.of_subject(getattr(batch, name))[:, None].repeat(MAX_OBJECTS, 1)
        for name in ("shape", "colour", "texture")
    }
    nothing = np.zeros((len(batch), MAX_OBJECTS))
    one = np.ones(len(batch), int)
    placed = replace(batch, **alone, size=nothing + 0.6, x=nothing, y=nothing, angle=nothing, count=one)
    canvas = _Canvas(placed, height, width, device)
    plain = torch.full((len(batch), 3, height, width), PLAIN_GROUND, device=device)
    return canvas.paint(plain, _lit(canvas)).clamp(0, 1)


def foreground(scenes: Scenes, height: int, width: int, device: Device = "cpu") -> torch.Tensor:
    """The objects alone, on black."""
    canvas = _Canvas(scenes, height, width, device)
    return canvas.paint(canvas.black(), _lit(canvas)).clamp(0, 1)


def normals(scenes: Scenes, height: int, width: int, device: Device = "cpu") -> torch.Tensor:
    """Which way each surface faces: red to the right, green up, blue to the viewer. Objects are domes."""
    canvas = _Canvas(scenes, height, width, device)
    x, y = 0.6 * canvas.east.clamp(-1.1, 1.1), -0.6 * canvas.south.clamp(-1.1, 1.1)
    z = (1 - x * x - y * y).clamp(min=0).sqrt()
    flat = torch.tensor([0.5, 0.5, 1.0], device=device)[:, None, None].expand(len(canvas.scenes), 3, height, width)
    return canvas.paint(flat, torch.stack([x, y, z], dim=2) * 0.5 + 0.5).clamp(0, 1)


def instances(scenes: Scenes, height: int, width: int, device: Device = "cpu") -> torch.Tensor:
    """Which object is where: the nearest yellow, the other orange, on black."""
    canvas = _Canvas(scenes, height, width, device)
    numbers = np.arange(MAX_OBJECTS) + MAX_OBJECTS - canvas.scenes.count[:, None]
    return canvas.paint(canvas.black(), canvas.flat(INSTANCE_COLOURS, numbers.clip(max=MAX_OBJECTS - 1)))


def stylised(
    scenes: Scenes, height: int, width: int, device: Device = "cpu", styles: Sequence[int] | np.ndarray | None = None
) -> torch.Tensor:
    """Each scene in its style, or in the one given: no light and no texture, other colours, perhaps outlines.

    Args:
        scenes: `B` scenes.
        height, width: pixels.
        device: where to render.
        styles: `B` numbers, 0 to `STYLES` - 1; unless given, each scene's own.

    Returns:
        `(B, 3, height, width)` in 0..1.
    """
    canvas = _Canvas(scenes, height, width, device)
    styles = canvas.scenes.style if styles is None else np.asarray(styles)
    painted = canvas.paint(_ground(canvas), canvas.flat([*COLOURS.values()], canvas.scenes.colour))
    lines = edge(canvas.scenes, height, width, device)

    def those(chosen: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(np.flatnonzero(chosen), device=device)

    for palette in range(4):
        mine = those(styles % 4 == palette)
        painted[mine] = rotate_hue(painted[mine], 90.0 * palette)
        toned = those((styles % 4 == palette) & (styles // 4 == 2))  # two tones
        dark, light = (torch.tensor(c, device=device)[:, None, None] for c in TONES[palette])
        painted[toned] = dark + (light - dark) * painted[toned].mean(1, keepdim=True)
    outlined = those(styles // 4 == 1)
    painted[outlined] = painted[outlined] * (1 - lines[outlined])
    return painted.clamp(0, 1)


TONES = (
    ((0.05, 0.08, 0.30), (0.95, 0.90, 0.70)),
    ((0.25, 0.02, 0.10), (1.00, 0.75, 0.80)),
    ((0.02, 0.22, 0.15), (0.85, 1.00, 0.70)),
    ((0.20, 0.10, 0.00), (1.00, 0.85, 0.40)),
)


def style_reference(scenes: Scenes, height: int, width: int, device: Device = "cpu") -> torch.Tensor:
    """Another scene in each scene's style: what a style is shown by."""
    batch = SceneBatch.of(scenes)
    return stylised(style_scenes(batch), height, width, device, batch.style)
