"""Warnings of one thread, caught while other threads warn as ever.

`warnings.catch_warnings` swaps what all threads share, before Python 3.14 at least: where a handler starts a run in a
thread and ends before it, the two would put back each other's state, and the kernel would never show a warning again.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_thread = threading.local()
_shown_before: Any = warnings.showwarning


def _show(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
    caught = getattr(_thread, "caught", None)
    if caught is None:
        _shown_before(message, category, filename, lineno, file, line)
    else:
        caught.append(message)


@contextmanager
def caught_warnings() -> Iterator[list[Warning]]:
    """Collect the warnings of this thread in a list; filters stay as they are, and what was shown once comes again."""
    global _shown_before
    if warnings.showwarning is not _show:
        _shown_before, warnings.showwarning = warnings.showwarning, _show
    with warnings.catch_warnings():  # entering and leaving makes Python forget what it has shown
        pass
    before, _thread.caught = getattr(_thread, "caught", None), []
    try:
        yield _thread.caught
    finally:
        _thread.caught = before
