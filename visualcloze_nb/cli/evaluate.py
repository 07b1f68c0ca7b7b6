"""`visualcloze-nb evaluate`: score a checkpoint on held-out scenes and tasks."""

from __future__ import annotations

import argparse
from pathlib import Path

from visualcloze_nb.cli.arguments import whole
from visualcloze_nb.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what to measure, how precisely, and where to write it."""
    parser.add_argument("--model", default="tiny", help="what load() takes: a name or a folder; else the bundled one")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="benchmarks to run; else all")
    parser.add_argument("--scenes", type=whole(1), default=16, help="held-out queries per task")
    parser.add_argument("--steps", type=whole(1), default=8, help="Euler steps of stage 1")
    parser.add_argument("--seed", type=whole(0), default=0)
    parser.add_argument("--quick", action="store_true", help="4 scenes, 4 steps: to see that it works")
    parser.add_argument("--out", type=Path, help="the record, JSON; else evaluation.json beside the checkpoint")
    parser.add_argument("--sheets", type=Path, help="a folder for contact sheets, PNG")


def run(options: argparse.Namespace) -> int:
    """Measure, print and write; returns 1 where a floor is missed."""
    from visualcloze_nb.evaluation import report

    if unknown := [name for name in options.only if name not in report.BENCHMARKS]:
        raise UsageError(f"there is no benchmark {unknown[0]!r}; there are {', '.join(report.BENCHMARKS)}")
    settings = {name: getattr(options, name) for name in ("quick", "scenes", "steps", "seed")}
    return report.run(options.model, options.only, options.out, options.sheets, **settings)
