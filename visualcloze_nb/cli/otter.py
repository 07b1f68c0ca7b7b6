"""`visualcloze-nb otter`: the lessons' tests for Otter-Grader."""

from __future__ import annotations

import argparse
from pathlib import Path

from visualcloze_nb.cli.lessons import solution_notebooks
from visualcloze_nb.cli.nbgrader import check_new


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where to write."""
    parser.add_argument("out", type=Path, help="a new or empty folder; each lesson gets its own below it")


def run(options: argparse.Namespace) -> int:
    """Write one test file for each exercise of each lesson."""
    import nbformat

    from visualcloze_nb.lessons.grader_formats import otter_tests

    check_new(options.out)
    solutions = solution_notebooks()
    for path in solutions:
        folder = options.out / path.stem / "tests"
        folder.mkdir(parents=True)
        for name, text in otter_tests(nbformat.read(path, as_version=4)).items():
            (folder / f"{name}.py").write_text(text)
    print(f"{len(solutions)} lessons in {options.out}. In one: otter generate -t tests -r FILE -o autograder.zip")
    print("FILE names what Otter's container installs: visualcloze_nb, from where you have it.")
    return 0
