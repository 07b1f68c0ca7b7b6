"""Draw the thumbnails of the builder's task cards: one of every kind of image, in two sheets inside the package.

Run by hand when a kind is added: python -m tools.task_cards. A test says when that is due.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from visualcloze_nb import photos, tasks
from visualcloze_nb.annotate import annotate
from visualcloze_nb.data.images import resize_and_crop
from visualcloze_nb.errors import VisualClozeError
from visualcloze_nb.widgets.cards import HERE, PER_LINE, TILE
from visualcloze_nb.widgets.gallery import toy_image
from visualcloze_nb.widgets.task_picker import PHOTO_SHEET, TOY_SHEET, toy_kinds

SCENE, PHOTOGRAPH = 3, "cat"


def sheet(kinds: Sequence[str], draw: Callable[[str], Image.Image]) -> Image.Image:
    """Draw all kinds; those that cannot be made here stay grey."""
    lines = -(-len(kinds) // PER_LINE)
    made = Image.new("RGB", (PER_LINE * TILE, lines * TILE), "#8a8a8a")
    for number, kind in enumerate(kinds):
        try:
            tile = resize_and_crop(draw(kind), TILE, TILE)
        except VisualClozeError as error:
            print(f"{kind}: {error}", file=sys.stderr)
            continue
        made.paste(tile, (number % PER_LINE * TILE, number // PER_LINE * TILE))
    return made


def photo(kind: str) -> Image.Image:
    """The photograph, or a condition made from it."""
    image = photos.load(PHOTOGRAPH)
    return image if kind == "image" else annotate(image, kind)


def main(folder: Path = HERE) -> None:
    """Write both sheets."""
    for name, made in (
        (TOY_SHEET, sheet(toy_kinds(), lambda kind: toy_image(kind, SCENE))),
        (PHOTO_SHEET, sheet(list(tasks.KINDS), photo)),
    ):
        made.save(folder / name, "JPEG", quality=88)
        print(f"{name}: {made.width} x {made.height}, {(folder / name).stat().st_size} bytes")


if __name__ == "__main__":
    main()
