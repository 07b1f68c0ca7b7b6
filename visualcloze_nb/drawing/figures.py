"""Figures: a grid, a result, one image, a sheet of images, a comparison.

Every function returns a matplotlib figure that a notebook displays once, with alt text. matplotlib is imported when a
figure is drawn.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from visualcloze_nb.data.checks import as_list
from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.grid_image import FRAME, STRETCH, TARGET, TEXT, blank
from visualcloze_nb.data.images import resize_and_crop, to_rgb
from visualcloze_nb.data.result import Result
from visualcloze_nb.drawing.fingerprint import check_image, signature
from visualcloze_nb.errors import UsageError, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from visualcloze_nb.drawing.notebook_figure import NotebookFigure

__all__ = ["check_image", "compare", "new_figure", "sheet", "show_grid", "show_image", "show_result", "signature"]

WIDTH = 7.6  # inches: the width of a notebook's output at 100 dots per inch
DPI = 100
CELL = 2.4  # inches: the largest width of a drawn image
SMALL, NORMAL = 9.5, 11  # points
LINE, LETTER = 0.19, 0.098  # inches, about: height of a line of text, width of a letter of a title
# The Okabe-Ito palette, safe for colour-blind readers; lines differ in style and marker as well.
BLUE, ORANGE, GREEN, PINK = "#0072B2", TARGET, "#009E73", "#CC79A7"
LINES = ((BLUE, "-", "o"), (ORANGE, "--", "s"), (GREEN, ":", "^"), (PINK, "-.", "D"))
_NOTHING = object()  # a place of a figure where nothing is drawn


def show_grid(
    grid: Grid, title: str = "", titles: Sequence[str] | None = None, outline: Sequence[int] | None = None
) -> NotebookFigure:
    """Draw a grid: examples, query, empty cells hatched, targets outlined.

    Args:
        grid: a `Grid`.
        title: what the figure shows.
        titles: one text for each column.
        outline: 0-based columns of the last row to outline; by default the targets.

    Returns:
        the figure.

    Raises:
        ValueError: if the number of titles is not the number of columns.
    """
    _check("grid", grid, Grid)
    image = grid.image(cell=144, titles=titles, outline=outline)
    return show_image(image, title, grid.alt)


def show_image(image: Image.Image, title: str = "", alt: str = "") -> NotebookFigure:
    """Draw one image, shrunk where it is wider than a notebook.

    Args:
        image: RGB.
        title: what the figure shows.
        alt: the figure in words.

    Returns:
        the figure.
    """
    _check("image", image, Image.Image)
    return _figure([], title=title, alt=alt, above=to_rgb(image))


def show_result(
    result: Result, truth: Any = None, title: str = "", titles: Sequence[str] | None = None
) -> NotebookFigure:
    """Draw a result: the filled grid, and each target after stage 1 and after stage 2.

    Args:
        result: a `Result`.
        truth: the ground truth, if it is known: one image, or a list with one for each target.
        title: what the figure shows.
        titles: one text for each column of the grid.

    Returns:
        the figure.

    Raises:
        ValueError: if the number of ground truths is not the number of targets.
    """
    _check("result", result, Result)
    truths = list(truth) if isinstance(truth, (list, tuple)) else [] if truth is None else [truth]
    if truths and len(truths) != len(result.images):
        raise UsageError(f"{len(truths)} truths for {len(result.images)} targets: give one for each")
    stages = {"stage 1": result.stage1}
    if list(result.images) != list(result.stage1):  # stage 2 may have been left out
        stages["stage 2"] = result.images
    shown = {**stages, "ground truth": truths} if truths else stages
    rows, labels = [], []
    for number, column in enumerate(result.grid.targets):
        which = f", column {column + 1}" if len(result.images) > 1 else ""
        rows.append([images[number] for images in shown.values()])
        labels.append([f"{name}{which}\n{_size(to_rgb(images[number]))}" for name, images in shown.items()])
    above = result.filled.image(cell=128, titles=titles, outline=result.grid.targets)
    outline = range(len(stages))
    return _figure(rows, labels, title=title, alt=result.alt, above=above, outline=outline)


def sheet(images: Sequence[Any], titles: Sequence[str] | None = None, cols: int = 4, title: str = "") -> NotebookFigure:
    """Draw many images in rows, all at one size.

    Args:
        images: anything `to_rgb` reads; None draws an empty cell.
        titles: one text for each.
        cols: images in a row, 1 or more.
        title: what the figure shows.

    Returns:
        the figure.

    Raises:
        ValueError: if there are no images, or the numbers of titles and images differ.
    """
    images = as_list("images", images)
    if not images or cols < 1:
        raise UsageError("a sheet cannot be empty: give at least one image and one column")
    if titles is not None and len(titles) != len(images):
        raise UsageError(f"{len(titles)} titles for {len(images)} images: give one for each")
    cols = min(cols, len(images))
    rows = [images[start : start + cols] for start in range(0, len(images), cols)]
    labels = titles and [list(titles[start : start + cols]) for start in range(0, len(images), cols)]
    alt = f"Sheet of {len(images)} images" + (f": {', '.join(titles)}." if titles else ".")
    return _figure(rows, labels, title=title, alt=alt)


def compare(images: Mapping[str, Any], reference: str | None = None, title: str = "") -> NotebookFigure:
    """Draw images side by side, and under each how it differs from one of them.

    Args:
        images: names and images, all drawn at the reference's size.
        reference: the name of the one to compare with; by default the first. Its own lower cell stays empty.
        title: what the figure shows.

    Returns:
        the figure; the lower row shows the absolute difference, black where there is none, brightened so
        that its largest value is white, and says how large that is.

    Raises:
        ValueError: if there are fewer than two images, or none of that name.
    """
    _check("images", images, Mapping)
    if len(images) < 2:
        raise UsageError("nothing to compare: give at least two images")
    reference = next(iter(images)) if reference is None else reference
    if reference not in images:
        raise UsageError(f"there is no image {reference!r}: the names are {', '.join(images)}")
    base = to_rgb(images[reference])
    fitted = {name: resize_and_crop(to_rgb(image), *base.size) for name, image in images.items()}
    lower, texts = [], []
    for name, image in fitted.items():
        off = np.abs(np.asarray(image).astype(int) - np.asarray(base)).max(-1)
        bright = (off * (255 / max(off.max(), 1))).astype(np.uint8)
        lower.append(_NOTHING if name == reference else Image.fromarray(bright))
        texts.append("" if name == reference else f"differs from {reference}\nby up to {off.max()} of 255")
    alt = f"{', '.join(images)} side by side. " + "; ".join(
        f"{name} {text}" for name, text in zip(fitted, texts, strict=True) if text
    ).replace("\n", " ")
    rows, labels = [list(fitted.values()), lower], [list(fitted), texts]
    return _figure(rows, labels, title=title, alt=alt + ".")


def _check(name: str, value: Any, wanted: type) -> None:
    if not isinstance(value, wanted):
        raise UsageError(f"{name} is {shown(value)}: give a {wanted.__name__}")


def new_figure(
    height: float, width: float = WIDTH, layout: Literal["constrained"] | None = "constrained"
) -> NotebookFigure:
    """Make an empty white figure, to be drawn on with matplotlib.

    Args:
        height, width: in inches.
        layout: matplotlib's layout engine; None places axes exactly where they are put.
    """
    from visualcloze_nb.drawing.notebook_figure import NotebookFigure

    return NotebookFigure(figsize=(width, height), dpi=DPI, facecolor="white", layout=layout)


def _figure(
    rows: Sequence[Sequence[Any]],
    labels: Sequence[Sequence[str]] | None = None,
    *,
    title: str,
    alt: str,
    above: Image.Image | None = None,
    outline: Collection[int] = (),
) -> NotebookFigure:
    """Place rows of images under each other, a label above each image, and `above` on top of them all."""
    labels = labels or [[""] * len(row) for row in rows]
    cols = max((len(row) for row in rows), default=1)
    cell = min(WIDTH / cols, CELL) if rows else 0
    shown = (0.0, 0.0)
    if above is not None:
        shown = min(WIDTH, above.width / DPI), min(WIDTH / above.width, 1 / DPI) * above.height
    width = min(WIDTH, max(cols * cell, shown[0], len(title) * LETTER))
    title = textwrap.fill(title, int(width / LETTER)) if title else ""
    head = (title.count("\n") + 1) * LINE + 0.1 if title else 0
    lines = [max(label.count("\n") + 1 if label else 0 for label in row) for row in labels]
    ratios = [_ratio(row) for row in rows]
    side = cell * 0.94  # a little air between the cells
    heights = [side * ratio + LINE * count + 0.1 for ratio, count in zip(ratios, lines, strict=True)]
    height = head + (shown[1] + 0.1 if above is not None else 0) + sum(heights)

    figure = new_figure(height, width, layout=None)
    figure.alt = f"{title}. {alt}".replace("\n", " ").strip() if title else alt
    if title:
        place = (0.06 / width, 1 - 0.04 / height)
        figure.text(*place, title, size=NORMAL, weight="bold", color=TEXT, va="top")
    y = height - head
    if above is not None:
        y -= shown[1]
        box = ((width - shown[0]) / 2 / width, y / height, shown[0] / width, shown[1] / height)
        axes = figure.add_axes(box)
        axes.imshow(above, interpolation="lanczos", aspect="auto")
        axes.axis("off")
        y -= 0.1
    left = (width - cols * cell) / 2 + cell * 0.03
    for row, texts, count, ratio, tall in zip(rows, labels, lines, ratios, heights, strict=True):
        y -= tall
        for number, image in enumerate(row):
            if image is _NOTHING:
                continue
            x = left + number * cell
            axes = figure.add_axes((x / width, (y + 0.06) / height, side / width, side * ratio / height))
            _draw(axes, image, ratio, TARGET if number in outline else FRAME)
            if count:
                axes.set_title(texts[number], size=SMALL, color=TEXT, pad=4)
    return figure


def _draw(axes: Axes, image: Any, ratio: float, colour: str) -> None:
    image = blank(160, round(160 * ratio)) if image is None else to_rgb(image)
    axes.imshow(image, interpolation="nearest" if image.width <= 64 else "antialiased")
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set(color=colour, linewidth=2 if colour == TARGET else 0.8)


def _ratio(row: Sequence[Any]) -> float:
    """Height over width of the tallest image of a row, kept within what can be drawn."""
    sizes = [to_rgb(image).size for image in row if image is not None and image is not _NOTHING]
    ratio = max((height / width for width, height in sizes), default=1)
    return min(max(ratio, 1 / STRETCH), STRETCH)


def _size(image: Image.Image) -> str:
    return f"{image.width} x {image.height}"
