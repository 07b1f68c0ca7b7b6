"""Run time and peak memory of each lesson, compared with their limits.

    python -m tools.measure_lessons              all lessons, both forms
    python -m tools.measure_lessons 01_grids     one

Each notebook is executed in a fresh kernel, as build_notebooks does, and nothing is written. Seconds are wall time
without the start of the kernel. Memory is the largest resident size of the kernel's process, VmHWM in Linux's /proc;
without /proc it is not measured. A lesson must run on Binder, which ends a session at 2 GB, with two lessons open.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path
from typing import NamedTuple

from tools.build_notebooks import execute, find_sources
from tools.notebook_source import make_notebook, notebook_paths
from visualcloze_nb.lessons.kernel import ENVIRONMENT

SECONDS = 90  # one notebook, on two cores
LONGER = {"11_teach_it": 5 * 60}  # it trains
ALL_SECONDS = 14 * 60  # all of them, both forms
MEGABYTES, AIM = 1000, 800  # limit for one kernel, and the aim


class Run(NamedTuple):
    """Measurements of one notebook; `megabytes` is nan where it cannot be read."""

    lesson: str
    form: str
    seconds: float
    megabytes: float


def measure(root: Path, names: list[str]) -> list[Run]:
    """Execute lessons, and print a line for each notebook as soon as it is done.

    Args:
        root: the repository.
        names: lessons, such as 01_grids; all if empty.

    Returns:
        one `Run` for each notebook.

    Raises:
        ValueError: if there is no such lesson.
        nbclient.exceptions.CellExecutionError: if a cell raises.
    """
    runs = []
    for source in find_sources(root, names):
        for path, solutions in notebook_paths(root, source).items():
            measured = execute(make_notebook(root, source, path, solutions), root / "notebooks")
            runs.append(Run(source.stem, "solution" if solutions else "student", *measured))
            print(line(runs[-1]), flush=True)
    return runs


def line(run: Run) -> str:
    """Format one line of the table."""
    peak = "-" if math.isnan(run.megabytes) else f"{run.megabytes:.0f}"
    return f"{run.lesson:22} {run.form:8} {run.seconds:8.1f} {peak:>8}"


def exceeded(runs: list[Run]) -> list[str]:
    """List the limits that were exceeded, one line each."""
    total = sum(run.seconds for run in runs)
    limits = [LONGER.get(run.lesson, SECONDS) for run in runs]
    found = [
        f"{r.lesson}, {r.form}: {r.seconds:.1f} s, the limit is {limit}"
        for r, limit in zip(runs, limits, strict=True)
        if r.seconds > limit
    ]
    found += [
        f"{r.lesson}, {r.form}: {r.megabytes:.0f} MB, the limit is {MEGABYTES}" for r in runs if r.megabytes > MEGABYTES
    ]
    return found + ([f"all: {total:.0f} s, the limit is {ALL_SECONDS}"] if total > ALL_SECONDS else [])


def main(argv: list[str] | None = None) -> int:
    """Measure and print; the exit status is 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser("python -m tools.measure_lessons", description="Measure the lessons.")
    parser.add_argument("names", nargs="*", help="lessons, such as 01_grids; all by default")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the repository; this folder by default")
    options = parser.parse_args(argv)
    if hasattr(os, "getloadavg"):
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the start")
    print(f"{'lesson':22} {'form':8} {'seconds':>8} {'peak MB':>8}", flush=True)
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
    print(line(Run("all", "both", seconds, peak)))
    if math.isnan(peak):
        print("Peak memory is read from /proc, which this system does not have: not measured.")
    else:
        over = [f"{run.lesson} ({run.form})" for run in runs if run.megabytes > AIM]
        print(f"Over the aim of {AIM} MB: {', '.join(over) or 'none'}.")
    found = exceeded(runs)
    print("\n".join(["Exceeded:", *found]) if found else "All within their limits.")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
