"""Progress of what an explorer computes before it can be shown."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from visualcloze_nb.widgets.notebook_output import is_static

T = TypeVar("T")
INTERVAL = 0.2  # seconds between two updates


def counted(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Pass items on, and show in a notebook how many are done; nothing is left of it at the end.

    Args:
        items: what is worked through; an item may know their number as its `total`.
        what: an item in words, such as `step`.
        total: their number, if the items do not know it.
    """
    handle = _place()
    last = 0.0
    for number, item in enumerate(items, start=1):
        if handle is not None and time.monotonic() - last > INTERVAL:
            last, of = time.monotonic(), total or getattr(item, "total", number)
            label = f"{what} {number} of {of}"
            bar = f'<progress max="{of}" value="{min(number, of)}" aria-label="{label}"></progress> {label}'
            handle.update({"text/html": bar, "text/plain": label}, raw=True)
        yield item
    if handle is not None:
        handle.update({"text/html": "", "text/plain": ""}, raw=True)


def _place() -> Any:
    """A place on the page for the bar, or None outside a notebook and in a static one."""
    if is_static():
        return None
    from IPython import get_ipython
    from IPython.display import display

    if getattr(get_ipython(), "kernel", None) is None:
        return None
    return display({"text/html": "", "text/plain": ""}, raw=True, display_id=True)
