"""`visualcloze-nb assignments`: the lessons as assignments for nbgrader or Otter-Grader."""

from __future__ import annotations

import argparse
from pathlib import Path

from visualcloze_nb.cli.lessons import notebooks, source_folder
from visualcloze_nb.errors import UsageError

DONE = {
    "nbgrader": "In that folder: nbgrader generate_assignment 01_grids, then collect, autograde and export as usual",
    "otter": "In a lesson's folder: otter generate -t tests -o autograder.zip, then otter run or otter grade",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the grader and where to write."""
    parser.add_argument("grader", choices=tuple(DONE))
    parser.add_argument("out", type=Path, help="a new or empty folder")


def run(options: argparse.Namespace) -> int:
    """Write one assignment for each lesson."""
    import nbformat

    from visualcloze_nb.lessons.grader_formats import NBGRADER_CONFIG, for_nbgrader, otter_tests

    out = options.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{str(out)!r} is there already: name a new or empty folder")
    solutions = notebooks(source_folder() / "solutions")
    for path in solutions:
        solution = nbformat.read(path, as_version=4)
        if options.grader == "nbgrader":
            folder = out / "source" / path.stem
            folder.mkdir(parents=True)
            nbformat.write(for_nbgrader(solution), folder / path.name)
        else:
            folder = out / path.stem / "tests"
            folder.mkdir(parents=True)
            for name, text in otter_tests(solution).items():
                (folder / f"{name}.py").write_text(text)
    if options.grader == "nbgrader":
        (out / "nbgrader_config.py").write_text(NBGRADER_CONFIG)
    print(f"{len(solutions)} assignments in {out}. {DONE[options.grader]}.")
    return 0
