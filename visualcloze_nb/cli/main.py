"""The command `visualcloze-nb`: it reads the arguments and imports the module of the command that was given."""

from __future__ import annotations

import importlib
import os
import sys

from visualcloze_nb import __version__
from visualcloze_nb.cli.arguments import Parser
from visualcloze_nb.errors import VisualClozeError

COMMANDS = {
    "demo": "fill a grid with the bundled model and write demo.png",
    "annotate": "make condition images from photographs, or a contact sheet of all kinds",
    "run": "fill a folder or a CSV of grids, with sweeps; goes on after a kill",
    "doctor": "report what this machine can run, and what is missing",
    "bench": "measure seconds and memory, beside stock diffusers",
    "train": "train a tiny model, in one go or part by part",
    "evaluate": "score a checkpoint on held-out scenes and tasks",
    "grade": "score a folder of submitted notebooks",
    "tasks": "print the tasks that VisualCloze knows, with prompts and settings",
    "nbgrader": "write the lessons as assignments for nbgrader",
    "otter": "write the lessons' tests for Otter-Grader",
    "lessons": "list the notebooks of the course, or copy them and open JupyterLab",
}


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments; `sys.argv[1:]` unless given.

    Returns:
        the exit status.

    Raises:
        SystemExit: with status 2 after one line on stderr, if an argument is wrong.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = Parser(prog="visualcloze-nb", description="VisualCloze, opened up: run, measure and train it.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, line in COMMANDS.items():
        command = commands.add_parser(name, help=line, description=f"{line[0].upper()}{line[1:]}.")
        if argv[:1] == [name]:  # the other modules are not imported
            importlib.import_module(f"visualcloze_nb.cli.{name}").add_arguments(command)
    options = parser.parse_args(argv)
    if options.command is None:
        parser.print_help()
        return 0
    try:
        status = importlib.import_module(f"visualcloze_nb.cli.{options.command}").run(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader of our output has gone, such as `head`: nothing more is wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ModuleNotFoundError as error:
        if error.name not in ("nbformat", "IPython"):
            raise
        parser.exit(2, f"{options.command} needs {error.name}: python -m pip install 'visualcloze_nb[notebooks]'\n")
    except VisualClozeError as error:
        commands.choices[options.command].error(str(error))
