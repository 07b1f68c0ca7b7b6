"""One run at a time for each set of components: scheduler and hooks hold the state of the run they serve."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from visualcloze_nb.errors import BusyError

Method = TypeVar("Method", bound=Callable[..., Any])

_guard = threading.Lock()
_in_use: dict[int, tuple[threading.Thread, object]] = {}  # by id of a pipeline or component: thread and run
_thread = threading.local()  # `callback`: whether this thread is in a user's callback


@contextmanager
def running(pipe: Any) -> Iterator[None]:
    """Hold a pipeline and its components for one run; runs inside a run of the same thread are its parts.

    Raises:
        BusyError: another run holds one of them, or a callback of this run starts another.
    """
    keys = [id(pipe), *(id(part) for part in pipe.components.values() if part is not None)]
    this, run = threading.current_thread(), object()
    try:
        with _guard:
            holders = {_in_use[key][0] for key in keys if key in _in_use}
            own = holders <= {this} and not (holders and getattr(_thread, "callback", False))
            if not own and any(thread.is_alive() for thread in holders):
                raise BusyError(
                    "a run is under way on this pipeline, or on one that shares its components: wait for its end, "
                    "or load another pipeline"
                )
            for key in keys:
                if key not in _in_use or _in_use[key][0] is not this:  # a thread that has ended holds nothing
                    _in_use[key] = this, run
        yield
    finally:
        with _guard:
            for key in keys:
                if key in _in_use and _in_use[key][1] is run:
                    del _in_use[key]


@contextmanager
def in_callback() -> Iterator[None]:
    """Mark that a user's callback runs, from which no other run may start."""
    before, _thread.callback = getattr(_thread, "callback", False), True
    try:
        yield
    finally:
        _thread.callback = before


def exclusive(call: Method) -> Method:
    """Decorate a pipeline's method that uses its models: one run at a time, without gradients."""

    @functools.wraps(call)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        with running(self), torch.no_grad():
            return call(self, *args, **kwargs)

    return wrapper  # pyright: ignore[reportReturnType]  # the same signature


class ExclusiveSteps(Iterator[Any]):
    """Iterator over a run's steps that holds the pipeline while a step is made, not between two steps.

    Args:
        pipe: the pipeline.
        steps: a generator.
    """

    def __init__(self, pipe: Any, steps: Any):
        self.pipe, self.steps = pipe, steps

    def __next__(self) -> Any:
        with running(self.pipe):
            return next(self.steps)

    def close(self) -> None:
        """End the run early."""
        self.steps.close()
