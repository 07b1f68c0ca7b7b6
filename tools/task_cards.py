"""Draw the thumbnails of the builder's task cards: one of every toy kind, in a sheet inside the package.

Run by hand when a kind is added or the scenes change: python -m tools.task_cards. A test says when that is due.
"""

from __future__ import annotations

from visualcloze_nb.widgets.cards import sheet_of
from visualcloze_nb.widgets.gallery import toy_image
from visualcloze_nb.widgets.task_picker import TOY_SHEET, toy_kinds

SCENE = 52  # two objects that do not touch


def main() -> None:
    """Write the sheet."""
    TOY_SHEET.write_bytes(sheet_of(toy_kinds(), lambda kind: toy_image(kind, SCENE)))
    print(f"{TOY_SHEET.name}: {TOY_SHEET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
