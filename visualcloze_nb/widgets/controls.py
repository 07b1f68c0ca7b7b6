"""Form controls: a button with its handler, a number field, a row that wraps, a section that folds away."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

from ipywidgets import HTML, BoundedIntText, Button, HBox, VBox

from visualcloze_nb.widgets.error_output import ErrorOutput

FULL_LABEL = {"description_width": "initial"}  # style of a control whose label is not cut off


def row(*widgets: Any) -> HBox:
    """Place widgets side by side, on as many lines as they need."""
    return HBox(widgets, layout={"flex_flow": "row wrap"})


def button(
    errors: ErrorOutput, label: str, handler: Callable[[], object], icon: str = "", style: str = "", width: str = "auto"
) -> Button:
    """Make a button and connect it.

    Args:
        errors: shows what the handler raises; the connection is named after the label.
        label: the visible text, which is also the accessible name.
        handler: called as `handler()` on a click.
        icon: a Font Awesome name, such as `undo`.
        style: an ipywidgets button style, such as `primary`.
        width: a CSS length.
    """
    made = Button(description=label, icon=icon, button_style=style, layout={"width": width})
    errors.connect(label.lower(), made, "click", handler)
    return made


def number(label: str, value: int, low: int, high: int, width: str = "150px") -> BoundedIntText:
    """Make a field for a whole number.

    Args:
        label: the visible text.
        value: the initial number.
        low, high: the smallest and the largest number allowed.
        width: a CSS length.
    """
    return BoundedIntText(value, low, high, description=label, style=FULL_LABEL, layout={"width": width})


class Fold(VBox):
    """A section that folds away. The browser opens it by itself (see the styles), also while the kernel is busy.

    Args:
        title: always shown.
        content: what folds away.
        open: whether it is open at first.
    """

    def __init__(self, title: str, *content: Any, open: bool = False):
        self._title, self._times = title, 0
        self._summary = HTML()
        super().__init__([self._summary, *content])
        self.add_class("vcnb-fold")
        self.fold(not open)

    def fold(self, folded: bool = True) -> None:
        """Fold it, or open it; the text differs each time, as the browser does not say what the reader did."""
        self._times += 1
        state = f"data-times={self._times}{'' if folded else ' open'}"
        self._summary.value = f"<details {state}><summary>{html.escape(self._title)}</summary></details>"
