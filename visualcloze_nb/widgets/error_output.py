"""Error output of a widget: connects event handlers and shows what they raise.

Jupyter runs widget callbacks outside any cell, so their exceptions go to a log that readers do not see.
"""

from __future__ import annotations

import html
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ipywidgets

from visualcloze_nb.errors import VisualClozeError
from visualcloze_nb.widgets.caught_warnings import caught_warnings


@dataclass
class Connection:
    """An event handler's name, its widget, and the event (`click`, `msg`, or the name of a trait)."""

    name: str
    widget: ipywidgets.DOMWidget
    event: str


class ErrorOutput:
    """Shows messages, and the exceptions and warnings of the handlers connected through it.

    Attributes:
        message: the widget with the last message, announced to screen readers.
        handlers: the handlers by name.
        connections: all connections.
        lock: held while a handler runs or a background thread changes widgets.
    """

    def __init__(self):
        self.message = ipywidgets.HTML()
        self.message.add_class("vcnb-message")
        self.handlers: dict[str, Callable[..., object]] = {}
        self.connections: list[Connection] = []
        self.lock = threading.RLock()
        self._muted = False
        self._keeps_message: set[str] = set()

    def connect(
        self, name: str, widget: Any, event: str, handler: Callable[..., object], keeps_message: bool = False
    ) -> None:
        """Connect an event of a widget to a handler.

        Args:
            name: what the handler does, for messages: `undo`.
            widget: the ipywidget it belongs to.
            event: `click` of a button, `msg` of a custom widget, else the name of a trait, such as `value`.
            handler: called as `handler()` for a click, `handler(value)` for a trait and
                `handler(content, buffers)` for a message.
            keeps_message: whether the last message stays; selecting a cell, for example, does not clear it.
        """
        self.handlers[name] = handler
        self.connections.append(Connection(name, widget, event))
        if keeps_message:
            self._keeps_message.add(name)
        if event == "click":
            widget.on_click(lambda _: self.call(name))
        elif event == "msg":
            widget.on_msg(lambda _, content, buffers: self.call(name, content, buffers))
        else:
            widget.observe(lambda change: self.call(name, change["new"]), event)

    def call(self, name: str, *args: object) -> None:
        """Run a handler; show what it raises or warns of."""
        with self.lock:
            if self._muted:  # this code changed the widget, not the reader
                return
            if name not in self._keeps_message:
                self.clear()
            with caught_warnings() as caught:
                try:
                    self.handlers[name](*args)
                except Exception as error:
                    self.show_error(error, name)
            self.show_warnings(caught)

    @contextmanager
    def muted(self) -> Iterator[None]:
        """Change widgets without calling their handlers."""
        with self.lock:
            before, self._muted = self._muted, True
            try:
                yield
            finally:
                self._muted = before

    def show_text(self, text: str) -> None:
        """Show a message that is not an error."""
        self.message.value = f'<div class="vcnb-say">{html.escape(text)}</div>'

    def show_warnings(self, caught: Iterable[Warning]) -> None:
        """Append warnings to the message."""
        texts = dict.fromkeys(map(str, caught))
        if texts:
            lines = "".join(f"<div>Note: {html.escape(text)}</div>" for text in texts)
            self.message.value += f'<div class="vcnb-say">{lines}</div>'

    def show_error(self, error: BaseException, name: str) -> None:
        """Show an exception: the package's own and a ValueError by its message, any other with its traceback."""
        text = html.escape(str(error) or type(error).__name__)
        if not isinstance(error, (ValueError, VisualClozeError)):
            where = html.escape("".join(traceback.format_exception(error)))
            text = f"{html.escape(name)} failed: {html.escape(type(error).__name__)}: {text}"
            text += f"<details><summary>Traceback</summary><pre>{where}</pre></details>"
        self.message.value = f'<div role="alert" class="vcnb-error"><span aria-hidden="true">⚠ </span>{text}</div>'

    def clear(self) -> None:
        """Remove the last message."""
        self.message.value = ""
