"""Contact sheets: the pictures behind the figures, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from ..toyworld import to_picture
from .claim import Band

TITLE, GAP, SIDE = 16, 4, 64


def sheet(bands: Sequence[Band], scenes: int = 8) -> Image.Image:
    """One page: a band has a title, which names its lines from top to bottom, and a picture a scene in each line."""
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
                block.paste(to_picture(line[across]), (GAP + across * side, TITLE + down * side))
        blocks.append(block)
    page = Image.new("RGB", (max(b.width for b in blocks), sum(b.height for b in blocks)), "white")
    top = 0
    for block in blocks:
        page.paste(block, (0, top))
        top += block.height
    return page
