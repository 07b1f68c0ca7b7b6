"""How long each lesson takes and how much memory its kernel needs, held against what a lesson may take.

    python -m tools.measure_lessons              all lessons, both forms
    python -m tools.measure_lessons 01_grids     one

Each notebook is executed in a fresh kernel, as `build` does, and nothing is written. Seconds are wall time
without the start of the kernel. Memory is the largest resident size that the kernel's process ever had, VmHWM
in Linux's /proc; where there is no /proc it is not measured. A lesson must run on Binder, which ends a session
at 2 GB, with two lessons open.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path
from typing import NamedTuple

from tools.build_notebooks import execute, find
from tools.notebook_source import lay_out, outlets
from visualcloze_nb.lessons.kernel import ENVIRONMENT

SECONDS = 90  # one notebook, on two cores
ALL_SECONDS = 8 * 60  # all of them, both forms
MEGABYTES, AIM = 1000, 800  # the most that a kernel may take, and what is aimed at


class Run(NamedTuple):
    """What one notebook took; `megabytes` is nan where it cannot be read."""

    lesson: str
    form: str
    seconds: float
    megabytes: float


def measure(root: Path, names: list[str]) -> list[Run]:
    """Execute lessons and print a line for each notebook as it is done.

    Args:
        root: the repository.
        names: lessons, such as 01_grids; all if empty.

    Raises:
        ValueError: if there is no such lesson.
        nbclient.exceptions.CellExecutionError: if a cell raises.
    """
    runs = []
    for source in find(root, names):
        for path, solutions in outlets(root, source).items():
            taken = execute(lay_out(root, source, path, solutions), root / "notebooks")
            runs.append(Run(source.stem, "solution" if solutions else "student", *taken))
            print(line(*runs[-1]), flush=True)
    return runs


def line(lesson: str, form: str, seconds: float | str, megabytes: float | str) -> str:
    """Write one line of the table."""
    if not isinstance(seconds, str):
        seconds, megabytes = f"{seconds:.1f}", "-" if math.isnan(megabytes) else f"{megabytes:.0f}"
    return f"{lesson:22} {form:8} {seconds:>8} {megabytes:>8}"


def misses(runs: list[Run]) -> list[str]:
    """Name what takes too long or too much; [] if nothing does."""
    total = sum(run.seconds for run in runs)
    found = [f"{r.lesson}, {r.form}: {r.seconds:.1f} s, the most is {SECONDS}" for r in runs if r.seconds > SECONDS]
    found += [
        f"{r.lesson}, {r.form}: {r.megabytes:.0f} MB, the most is {MEGABYTES}" for r in runs if r.megabytes > MEGABYTES
    ]
    return found + ([f"all: {total:.0f} s, the most is {ALL_SECONDS}"] if total > ALL_SECONDS else [])


def main(argv: list[str] | None = None) -> int:
    """Measure and print; the exit status is 1 if a bar is missed."""
    parser = argparse.ArgumentParser("python -m tools.measure_lessons", description="Measure the lessons.")
    parser.add_argument("names", nargs="*", help="lessons, such as 01_grids; all by default")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the repository; else this folder")
    options = parser.parse_args(argv)
    if hasattr(os, "getloadavg"):
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the start")
    print(line("lesson", "form", "seconds", "peak MB"), flush=True)
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT)  # the kernels inherit it
    try:
        runs = measure(options.root.resolve(), options.names)
    except ValueError as error:
        print(error)
        return 1
    finally:
        os.environ.clear()
        os.environ.update(before)
    seconds, peak = sum(run.seconds for run in runs), max(run.megabytes for run in runs)
    print(line("all", "both", seconds, peak))
    if math.isnan(peak):
        print("Peak memory is read from /proc, which this system does not have: not measured.")
    else:
        over = [f"{run.lesson} ({run.form})" for run in runs if run.megabytes > AIM]
        print(f"Over {AIM} MB, which is aimed at: {', '.join(over) or 'none'}.")
    found = misses(runs)
    print("\n".join(["Missed:", *found]) if found else "Every bar is met.")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
