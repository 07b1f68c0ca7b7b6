"""Cards: thumbnails with titles, of which one is chosen; where scripts are blocked, a list with a button."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from ipywidgets import Dropdown
from PIL import Image

from visualcloze_nb.data.images import resize_and_crop
from visualcloze_nb.errors import VisualClozeError
from visualcloze_nb.widgets.controls import FULL_LABEL, button, row
from visualcloze_nb.widgets.error_output import ErrorOutput
from visualcloze_nb.widgets.thumbnails import thumbnail

HERE = Path(__file__).parent
TILE, PER_LINE = 64, 8  # pixels of a thumbnail in a sheet, and thumbnails in a line, as in cards.js


class CardsWidget(anywidget.AnyWidget):
    """The browser's side: `cards` are drawn, thumbnails cut out of `sheet`; what is chosen comes as a message."""

    _esm = HERE / "cards.js"
    cards = traitlets.List().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    sheet = traitlets.Bytes().tag(sync=True)


class Cards:
    """Shows choices.

    Args:
        errors: shows what `choose` raises.
        label: what is chosen, for screen readers and for messages.
        choose: called with the number of a card, from 0.
        plain: a list and a button, in place of cards.
        sheet: thumbnails as `sheet_of` draws them.

    Attributes:
        box: the widget.
    """

    def __init__(
        self, errors: ErrorOutput, label: str, choose: Callable[[int], object], plain: bool = False, sheet: bytes = b""
    ):
        self.errors, self.plain, self._choose = errors, plain, choose
        if plain:
            self.list: Any = Dropdown(description=label, style=FULL_LABEL, layout={"width": "auto"})
            self.button = button(errors, f"Open {label.lower()}", self._open, "folder-open")
            self.box: Any = row(self.list, self.button)
        else:
            self.box = CardsWidget(label=label, sheet=sheet)
            errors.connect(label.lower(), self.box, "msg", lambda content, _: choose(int(content["number"])))

    def show(self, cards: Sequence[dict[str, Any]]) -> None:
        """Show these cards.

        Args:
            cards: `title`, `group`, optionally `says`, and `tiles` (numbers in the sheet) or `src` (see `source`).
        """
        if not self.plain:
            self.box.cards = list(cards)
            return
        texts = [
            f"{card['group']}: {card['title']}" + (f", {card['says']}" if card.get("says") else "") for card in cards
        ]
        with self.errors.muted():
            self.list.options = [(text, number) for number, text in enumerate(texts)]
            self.list.index = 0 if cards else None

    def _open(self) -> None:
        if self.list.value is not None:
            self._choose(self.list.value)


def sheet_of(kinds: Sequence[str], draw: Callable[[str], Image.Image]) -> bytes:
    """Draw the thumbnails of all kinds into one JPEG; those that cannot be made here stay grey."""
    sheet = Image.new("RGB", (PER_LINE * TILE, -(-len(kinds) // PER_LINE) * TILE), "#8a8a8a")
    for number, kind in enumerate(kinds):
        with suppress(VisualClozeError):
            sheet.paste(resize_and_crop(draw(kind), TILE, TILE), (number % PER_LINE * TILE, number // PER_LINE * TILE))
    data = io.BytesIO()
    sheet.save(data, "JPEG", quality=88)
    return data.getvalue()


def source(image: Image.Image) -> str:
    """The address of a card's own thumbnail."""
    data, mime = thumbnail(image, 64)
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"
