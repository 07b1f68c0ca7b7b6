"""No error of a widget is lost: every handler is wired here, and what it raises is shown in the widget.

Jupyter runs a widget's callbacks outside any cell, so an exception in one goes to a log that readers do not
see. `Guard.wire` connects a handler and catches what it raises or warns of; `Guard.message` shows it.
"""

from __future__ import annotations

import html
import threading
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import ipywidgets


@dataclass
class Wire:
    """A connection: what was wired to which handler, and how it is set off (`click`, `value` or `msg`)."""

    name: str
    widget: ipywidgets.Widget
    event: str


class Guard:
    """Shows messages, and keeps the handlers of one widget from failing unseen.

    Attributes:
        message: the widget with the last message, announced to screen readers.
        handlers: by name, what is called.
        wires: all connections.
        lock: held while a handler runs or a thread of ours changes widgets.
    """

    def __init__(self):
        self.message = ipywidgets.HTML()
        self.message.add_class("vcnb-message")
        self.handlers: dict[str, Callable] = {}
        self.wires: list[Wire] = []
        self.lock = threading.RLock()
        self._quiet = False
        self._keeps: set[str] = set()

    def wire(self, name: str, widget, event: str, handler: Callable, clears: bool = True) -> None:
        """Connect a handler.

        Args:
            name: what the handler does, for messages: `undo`.
            widget: the widget it belongs to.
            event: `click` of a button, `msg` of a custom widget, else the name of a trait, such as `value`.
            handler: called as `handler()` for a click, `handler(value)` for a trait and
                `handler(content, buffers)` for a message.
            clears: whether the last message goes away; looking around should not take it.
        """
        self.handlers[name] = handler
        self.wires.append(Wire(name, widget, event))
        if not clears:
            self._keeps.add(name)
        if event == "click":
            widget.on_click(lambda _: self.call(name))
        elif event == "msg":
            widget.on_msg(lambda _, content, buffers: self.call(name, content, buffers))
        else:
            widget.observe(lambda change: self.call(name, change["new"]), event)

    def call(self, name: str, *args) -> None:
        """Run a handler; show what it raises or warns of."""
        with self.lock:
            if self._quiet:  # a widget changed because we changed it
                return
            if name not in self._keeps:
                self.clear()
            with warnings.catch_warnings(record=True) as notes:
                warnings.simplefilter("default")
                try:
                    self.handlers[name](*args)
                except Exception as error:
                    self.error(error, name)
            self.notes(notes)

    def quietly(self):
        """A context in which changing a widget sets off no handler."""
        return _Quiet(self)

    def say(self, text: str) -> None:
        """Show something that is not an error."""
        self.message.value = f'<div role="status" class="vcnb-say">{html.escape(text)}</div>'

    def notes(self, caught) -> None:
        """Show warnings, below what is there."""
        texts = dict.fromkeys(str(note.message) for note in caught)
        if texts:
            lines = "".join(f"<div>Note: {html.escape(text)}</div>" for text in texts)
            self.message.value += f'<div role="status" class="vcnb-say">{lines}</div>'

    def error(self, error: BaseException, name: str) -> None:
        """Show an exception: our own refusals in their words, anything else with its traceback."""
        text = html.escape(str(error) or type(error).__name__)
        if not isinstance(error, ValueError):
            where = html.escape("".join(traceback.format_exception(error)))
            text = f"{html.escape(name)} failed: {html.escape(type(error).__name__)}: {text}"
            text += f"<details><summary>where</summary><pre>{where}</pre></details>"
        self.message.value = f'<div role="alert" class="vcnb-error"><span aria-hidden="true">⚠ </span>{text}</div>'

    def clear(self) -> None:
        """Take the last message away."""
        self.message.value = ""


class _Quiet:
    def __init__(self, guard: Guard):
        self.guard = guard

    def __enter__(self):
        self.guard.lock.acquire()
        self.before, self.guard._quiet = self.guard._quiet, True

    def __exit__(self, *error):
        self.guard._quiet = self.before
        self.guard.lock.release()
