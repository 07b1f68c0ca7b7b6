"""Contact sheets of an evaluation: the images behind the figures."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from visualcloze_nb.drawing.contact_sheet import contact_sheet
from visualcloze_nb.evaluation.benchmark import Band
from visualcloze_nb.toyworld import to_image

HIGHEST = 1800  # pixels of a page; then a new column of bands begins


def sheet(bands: Sequence[Band], scenes: int = 8) -> Image.Image:
    """One page: a band has a title, which names its lines from top to bottom, and one image per scene in each line."""
    columns: list[list[Image.Image]] = [[]]
    for title, lines in bands:
        side = max(line.shape[-1] for line in lines.values())  # lines of 64 and 192 pixels align
        count = min(scenes, *(len(line) for line in lines.values()))
        rows = [
            [to_image(line[n]).resize((side, side), Image.Resampling.NEAREST) for n in range(count)]
            for line in lines.values()
        ]
        images = contact_sheet(rows, gap=4, margin=4)
        block = contact_sheet([[images]], [[f"{title}:  {' | '.join(lines)}"]], font_size=11)
        if columns[-1] and sum(b.height for b in columns[-1]) + block.height > HIGHEST:
            columns.append([])
        columns[-1].append(block)
    return contact_sheet([[contact_sheet([[block] for block in column], gap=0) for column in columns]], gap=0)
