"""Contact sheets: the images behind the figures, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from visualcloze_nb.evaluation.benchmark import Band
from visualcloze_nb.toyworld import to_image

TITLE, GAP, SIDE = 16, 4, 64
HIGHEST = 1800  # pixels of a page; then a new column of bands begins


def sheet(bands: Sequence[Band], scenes: int = 8) -> Image.Image:
    """One page: a band has a title, which names its lines from top to bottom, and an image a scene in each line."""
    blocks = []
    for title, lines in bands:
        side = max(SIDE, *(line.shape[-1] for line in lines.values())) + GAP
        count = min(scenes, *(len(line) for line in lines.values()))
        head = f"{title}:  {' | '.join(lines)}"
        width = max(count * side + GAP, round(ImageDraw.Draw(Image.new("RGB", (1, 1))).textlength(head)) + 2 * GAP)
        block = Image.new("RGB", (width, TITLE + len(lines) * side), "white")
        ImageDraw.Draw(block).text((GAP, 2), head, fill="black")
        for down, line in enumerate(lines.values()):
            for across in range(count):
                block.paste(to_image(line[across]), (GAP + across * side, TITLE + down * side))
        blocks.append(block)
    columns: list[list[Image.Image]] = [[]]
    for block in blocks:
        if columns[-1] and sum(b.height for b in columns[-1]) + block.height > HIGHEST:
            columns.append([])
        columns[-1].append(block)
    widths = [max(b.width for b in column) for column in columns]
    height = max(sum(b.height for b in column) for column in columns)
    page = Image.new("RGB", (sum(widths), height), "white")
    left = 0
    for column, width in zip(columns, widths, strict=True):
        top = 0
        for block in column:
            page.paste(block, (left, top))
            top += block.height
        left += width
    return page
