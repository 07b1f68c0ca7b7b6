"""Drawing of a grid as one image, with Pillow alone: what a notebook shows for a `Grid` or a `Result`."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from visualcloze_nb.data.checks import as_list, column, size
from visualcloze_nb.data.images import fit_size, resize_and_crop
from visualcloze_nb.errors import GridError

if TYPE_CHECKING:
    from visualcloze_nb.data.grid import Grid

TARGET = "#D55E00"  # vermillion of the Okabe-Ito palette, safe for colour-blind readers
FRAME = "#9A9A9A"
TEXT = "#333333"
MARGIN, GAP = 8, 10
STRETCH = 4  # largest ratio of the sides; a longer image is drawn cropped


def compose_grid(
    grid: Grid, cell: int = 128, titles: Sequence[str] | None = None, outline: Sequence[int] = ()
) -> Image.Image:
    """Draw a grid: examples above, the query below, columns aligned.

    Args:
        grid: the grid to draw.
        cell: a drawn cell has about `cell` x `cell` pixels, at its row's own aspect ratio; 16 or more.
        titles: one text for each column, written above it.
        outline: 0-based columns of the last row that get the target's outline.

    Returns:
        An RGB image on white.

    Raises:
        GridError: if the number of titles is not the number of columns, a column does not exist, or `cell` is too
            small or too large.
    """
    titles = None if titles is None else [str(title) for title in as_list("titles", titles)]
    outline = [column(col, grid.n_cols) for col in as_list("outline", outline)]
    if titles is not None and len(titles) != grid.n_cols:
        raise GridError(f"{len(titles)} titles for {grid.n_cols} columns: give one for each")
    cell = int(size("cell", cell, low=16, high=4096))
    sizes = [_drawn_size(grid, row, cell) for row in range(grid.n_rows)]
    font = ImageFont.load_default(max(11, cell // 9))
    labels = [f"example {row + 1}" for row in range(grid.n_rows - 1)] + ["query"]
    gutter = max(int(font.getlength(label)) for label in labels) + GAP
    pitch = max(width for width, _ in sizes) + GAP
    if titles is not None:
        pitch = max(pitch, *(int(font.getlength(title)) + GAP for title in titles))
    line = int(font.getbbox("Ag")[3]) + 4
    top = MARGIN + (line if titles is not None else 0)
    height = top + sum(h + GAP for _, h in sizes) + GAP
    canvas = Image.new("RGB", (MARGIN + gutter + pitch * grid.n_cols + MARGIN - GAP, height), "white")
    draw = ImageDraw.Draw(canvas)
    for col, title in enumerate(titles or ()):
        middle = MARGIN + gutter + col * pitch + (pitch - GAP) // 2
        draw.text((middle, MARGIN), title, fill=TEXT, font=font, anchor="ma")
    for row, (width, row_height) in enumerate(sizes):
        last = row == grid.n_rows - 1
        top += GAP if last and row else 0  # more space above the query
        draw.text((MARGIN, top + row_height // 2), labels[row], fill=TEXT, font=font, anchor="lm")
        for col, image in enumerate(grid.rows[row]):
            left = MARGIN + gutter + col * pitch + (pitch - GAP - width) // 2
            drawn = (width, row_height)
            canvas.paste(blank(*drawn) if image is None else resize_and_crop(image, *drawn), (left, top))
            box = (left - 1, top - 1, left + width, top + row_height)
            if last and col in outline:
                draw.rectangle([box[0] - 2, box[1] - 2, box[2] + 2, box[3] + 2], outline=TARGET, width=3)
            else:
                draw.rectangle(box, outline=FRAME, width=1)
        top += row_height + GAP
    return canvas


def blank(width: int, height: int) -> Image.Image:
    """Draw an empty cell: hatched, with a question mark."""
    image = Image.new("RGB", (width, height), "#F4F4F4")
    draw = ImageDraw.Draw(image)
    for start in range(-height, width, 10):
        draw.line([(start, height), (start + height, 0)], fill="#CFCFCF", width=2)
    side = min(width, height)
    middle = (width // 2, height // 2)
    radius = side * 0.28
    circle = [middle[0] - radius, middle[1] - radius, middle[0] + radius, middle[1] + radius]
    draw.ellipse(circle, fill="#F4F4F4")
    draw.text(middle, "?", fill=TARGET, font=ImageFont.load_default(max(10, side * 0.45)), anchor="mm")
    return image


def png_bytes(image: Image.Image, texts: dict[str, str] | None = None) -> bytes:
    """Encode an image as PNG, with `texts` as its text chunks."""
    info = PngInfo()
    for key, value in (texts or {}).items():
        info.add_itxt(key, value)
    data = io.BytesIO()
    image.save(data, "PNG", pnginfo=info)
    return data.getvalue()


def _drawn_size(grid: Grid, row: int, cell: int) -> tuple[int, int]:
    """The size of a row's cells as in `Grid.layout`, but not in whole tokens and not longer than `STRETCH`."""
    images = [image for image in (*grid.rows[row], *grid.rows[row - 1]) if image is not None]
    width, height = images[0].size
    width, height = min(width, height * STRETCH), min(height, width * STRETCH)
    return fit_size(width, height, cell, multiple=1)
