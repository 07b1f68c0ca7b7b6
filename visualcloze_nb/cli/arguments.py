"""Argument parsing shared by all commands: one-line errors, and types that check values."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """An argument parser that reports an error in one line, without the usage, and leaves room in its help."""

    def __init__(self, **options: Any):
        wide = functools.partial(argparse.HelpFormatter, max_help_position=28, width=112)
        super().__init__(formatter_class=wide, **options)

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with status 2."""
        self.exit(2, f"{self.prog}: {' '.join(message.split())[:300]}\n")


def whole(least: int) -> Callable[[str], int]:
    """Make an argument type: a whole number of at least `least`."""

    def read(text: str) -> int:
        if not text.lstrip("-").isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        return int(text)

    return read


def positive(text: str) -> float:
    """Read a number above 0."""
    return _number(text, lambda value: 0 < value < float("inf"), "a number above 0")


def fraction(text: str) -> float:
    """Read a number from 0 to 1."""
    return _number(text, lambda value: 0 <= value <= 1, "a number from 0 to 1")


def _number(text: str, allowed: Callable[[float], bool], expected: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not allowed(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
    return value


def folder(text: str) -> Path:
    """Read the path of a folder that exists."""
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {text!r}")
    return Path(text)


def new_file(*suffixes: str) -> Callable[[str], Path]:
    """Make an argument type: a file to write, with one of the suffixes, in a folder that exists."""

    def read(text: str) -> Path:
        path = Path(text)
        if not path.parent.is_dir() or path.is_dir() or path.suffix.lower() not in suffixes:
            raise argparse.ArgumentTypeError(f"{text!r} is not a {' or '.join(suffixes)} file in an existing folder")
        return path

    return read
