"""`visualcloze-nb nbgrader`: the lessons as assignments for nbgrader."""

from __future__ import annotations

import argparse
from pathlib import Path

from visualcloze_nb.cli.lessons import solution_notebooks
from visualcloze_nb.errors import UsageError, shorten


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where to write."""
    parser.add_argument("out", type=Path, help="a new or empty folder: the course")


def run(options: argparse.Namespace) -> int:
    """Write a source notebook for each lesson, and nbgrader's configuration."""
    import nbformat

    from visualcloze_nb.lessons.grader_formats import NBGRADER_CONFIG, for_nbgrader

    check_new(options.out)
    solutions = solution_notebooks()
    for path in solutions:
        folder = options.out / "source" / path.stem
        folder.mkdir(parents=True)
        nbformat.write(for_nbgrader(nbformat.read(path, as_version=4)), folder / path.name)
    (options.out / "nbgrader_config.py").write_text(NBGRADER_CONFIG)
    print(f"{len(solutions)} assignments in {options.out}. There: nbgrader generate_assignment {solutions[0].stem}")
    return 0


def check_new(folder: Path) -> None:
    """Make a folder; refuse one that holds something.

    Raises:
        UsageError: it does, or it cannot be made.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{shorten(folder)!r} is there already: name a new or empty folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"{shorten(folder)!r} cannot be made ({reason}): name a folder that can be written") from error
