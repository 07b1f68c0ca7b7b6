"""Form controls: a button with its handler, a number field, a row that wraps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipywidgets import BoundedIntText, Button, HBox

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
