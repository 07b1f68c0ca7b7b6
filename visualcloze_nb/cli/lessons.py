"""`visualcloze-nb lessons`: the notebooks of the course."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from visualcloze_nb.errors import UsageError

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be done with the lessons."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="print number, title and place of each lesson")


def run(options: argparse.Namespace) -> int:
    """Print one line for each notebook."""
    found = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise UsageError("the notebooks lie in the repository, not in the installed package: clone it to have them")
    for notebook in found:
        number, _, title = lesson_title(notebook).partition(" ")
        print(f"{number}  {title:22}{notebook}")
    return 0


def lesson_title(notebook: Path) -> str:
    """Read the title from a notebook's first heading, such as `01 Grids`."""
    first = json.loads(notebook.read_text(encoding="utf-8"))["cells"][0]["source"]
    return "".join(first).splitlines()[0].removeprefix("# ")
