"""`visualcloze-nb lessons`: list the notebooks of the course, or copy them into a folder and open it in JupyterLab."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from visualcloze_nb.errors import FileError, UsageError, shorten

PACKAGE = Path(__file__).parents[1]
PLACES = (PACKAGE / "notebooks", PACKAGE.parent / "notebooks")  # in an installed wheel; in the repository


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where to copy the lessons."""
    parser.add_argument("folder", type=Path, nargs="?", help="copy the notebooks here; else they are listed")
    parser.add_argument("--solutions", action="store_true", help="copy the worked solutions too")
    parser.add_argument("--no-lab", action="store_true", help="do not open JupyterLab")


def run(options: argparse.Namespace) -> int:
    """List or copy; a notebook that is there already is kept, since it may hold a reader's work."""
    source = source_folder()
    if options.folder is None:
        for notebook in notebooks(source):
            number, _, title = lesson_title(notebook).partition(" ")
            print(f"{number}  {title:22}{notebook}")
        return 0
    copy_missing(notebooks(source), options.folder)
    if options.solutions:
        copy_missing(solution_notebooks(), options.folder / "solutions")
    if options.no_lab:
        return 0
    if find_spec("jupyterlab") is None:
        print(
            "To open them in JupyterLab: python -m pip install 'visualcloze_nb[lab]', then jupyter lab", options.folder
        )
        return 0
    return subprocess.call([sys.executable, "-m", "jupyterlab", str(options.folder)])


def source_folder() -> Path:
    """Where the notebooks lie.

    Raises:
        UsageError: they are not there.
    """
    for place in PLACES:
        if notebooks(place):
            return place
    raise UsageError("this installation lacks the notebooks: install visualcloze_nb again, or clone the repository")


def solution_notebooks() -> list[Path]:
    """The solution form of every lesson.

    Raises:
        UsageError: they are not there.
    """
    return notebooks(source_folder() / "solutions")


def notebooks(folder: Path) -> list[Path]:
    """The lessons in a folder, in order."""
    return sorted(folder.glob("[0-9][0-9]_*.ipynb"))


def copy_missing(found: list[Path], folder: Path) -> None:
    """Copy notebooks, and say which were there already.

    Raises:
        FileError: the folder cannot be written.
    """
    missing = [notebook for notebook in found if not (folder / notebook.name).exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for notebook in missing:
            shutil.copy(notebook, folder)
    except OSError as error:
        raise FileError(f"cannot write to {shorten(folder)!r}: {error.strerror}; name another folder") from error
    kept = len(found) - len(missing)
    print(f"notebooks copied to {folder}: {len(missing)}" + (f"; kept, since they were there: {kept}" if kept else ""))


def lesson_title(notebook: Path) -> str:
    """Read the title from a notebook's first heading, such as `01 Grids`."""
    first = json.loads(notebook.read_text(encoding="utf-8"))["cells"][0]["source"]
    return "".join(first).splitlines()[0].removeprefix("# ")
