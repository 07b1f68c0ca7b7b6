"""`visualcloze-nb demo`: two examples, one query, the bundled model, one image of it all."""

from __future__ import annotations

import argparse
import time

from PIL import Image

from visualcloze_nb.cli.arguments import new_file
from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.images import resize_and_crop
from visualcloze_nb.drawing.contact_sheet import contact_sheet
from visualcloze_nb.settings import TINY_RESOLUTION

TASK = "image > edge"
EXAMPLES = 2
CELL = 128  # pixels of a drawn cell in the grid
SIDE = 192  # pixels of the stages and the truth


def demo_grid(
    task: str = TASK, seed: int = 0, height: int = TINY_RESOLUTION, width: int = TINY_RESOLUTION
) -> tuple[Grid, Image.Image]:
    """Make a grid of scenes that no training has seen, and the image that belongs in its empty cell.

    Args:
        task: a path of the toy world's graph, such as `"image > depth"`; its last kind is the target.
        seed: which scenes; each seed gives other ones.
        height, width: pixels of a cell.

    Returns:
        the grid, and the ground truth at three times its size, as large as stage 2 makes it.

    Raises:
        ValueError: no such task or kind of image, or a seed whose scenes are not held out.
    """
    from visualcloze_nb.toyworld import sample

    made = sample(task, seed, EXAMPLES, height=height, width=width)
    return made.grid, made.large()[0]


def draw_page(result, truth: Image.Image, titles: list[str]) -> Image.Image:
    """Draw the filled grid, and below it stage 1, stage 2 and the ground truth.

    Args:
        result: what `pipe.fill` gave for a grid with one target.
        truth: what belongs there.
        titles: one for each column of the grid.
    """
    above = result.filled.image(cell=CELL, titles=titles, outline=result.grid.targets)
    panels = {
        f"stage 1 ({_size(result.stage1[0])})": result.stage1[0],
        f"stage 2 ({_size(result.image)})": result.image,
        "ground truth": truth,
    }
    images = [resize_and_crop(panel, SIDE, round(SIDE * panel.height / panel.width)) for panel in panels.values()]
    below = contact_sheet([images], [list(panels)], gap=10, margin=10)
    return contact_sheet([[above], [below]], gap=0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which grid to fill, and where to write it."""
    parser.add_argument("--task", default=TASK, help=f"a path of the toy world's graph; else {TASK!r}")
    parser.add_argument("--seed", type=int, default=7, help="other scenes and other noise; else 7")
    parser.add_argument("--out", type=new_file(".png"), default="demo.png", help="where to write; else demo.png")


def run(options: argparse.Namespace) -> int:
    """Fill a grid, write the page, print where it is and how long each part took."""
    clock = [time.perf_counter()]
    grid, truth = demo_grid(options.task, options.seed)
    clock.append(time.perf_counter())
    from visualcloze_nb import load

    pipe = load("tiny")
    clock.append(time.perf_counter())
    result = pipe.fill(grid, seed=options.seed)
    titles = [kind for part in options.task.split(" > ") for kind in part.split(" + ")]
    draw_page(result, truth, titles).save(options.out)

    parts = {"draw the scenes": clock[1] - clock[0], "load the model": clock[2] - clock[1], **result.seconds}
    for part, seconds in parts.items():
        print(f"{part:>16} {seconds:6.2f} s")
    print(f"{options.task}: {options.out.resolve()}")
    return 0


def _size(image: Image.Image) -> str:
    return f"{image.width} x {image.height}"
