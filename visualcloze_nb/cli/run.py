"""`visualcloze-nb run`: fill a folder or a CSV of grids, with sweeps over settings; resumable."""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visualcloze_nb.data import grid_files
from visualcloze_nb.errors import UsageError, shorten

if TYPE_CHECKING:
    from visualcloze_nb.pipelines.combined import VisualClozePipeline


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what to fill, with which model, and where to write it."""
    parser.formatter_class = partial(argparse.RawDescriptionHelpFormatter, max_help_position=28, width=112)
    parser.description = f"{parser.description}\n\n{grid_files.__doc__}"
    parser.add_argument("grids", type=Path, metavar="FOLDER_OR_CSV", help="as above")
    parser.add_argument("--model", default="tiny", help="what load() takes: tiny, 384, 512 or a folder; else tiny")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for the results; made if missing")
    parser.add_argument(
        *("--sweep", "--set"),
        action="append",
        default=[],
        metavar="NAME=VALUE,…",
        help="a setting and its values, as often as needed: seed, examples (how many), order (how many go from above "
        "to the end), steps, upsampling_steps, strength, guidance, size (a factor, or photograph)",
    )


def run(options: argparse.Namespace) -> int:
    """Fill all grids that are not done yet; returns 1 where one failed."""
    from tqdm.auto import tqdm

    from visualcloze_nb.evaluation.batch_run import RESULTS, run_all
    from visualcloze_nb.evaluation.batch_sheet import write_sheets
    from visualcloze_nb.evaluation.sweeps import parse_sweep

    sweep = parse_sweep(options.sweep)
    grids = grid_files.find_grids(options.grids)
    counts = {"filled": 0, "done before": 0, "failed": 0}

    @cache
    def pipe() -> VisualClozePipeline:
        from visualcloze_nb import load

        return load(options.model)

    total = len(grids) * math.prod(len(values) for values in sweep.values())
    with tqdm(total=total, unit="grid", disable=None) as bar:

        def count(lines: list[dict[str, Any]], found: bool) -> None:
            failed = lines[0].get("error")
            counts["failed" if failed else "done before" if found else "filled"] += 1
            bar.update()
            if failed:
                tqdm.write(f"{_name(lines[0])}: {failed}", file=sys.stderr)

        try:
            lines = run_all(grids, pipe, identity(options.model), options.out, sweep, count)
        except KeyboardInterrupt:
            print(f"stopped; the same command goes on. So far: {options.out / RESULTS}", file=sys.stderr)
            return 130
    sheets = write_sheets(grids, lines, options.out)
    print_means(lines)
    print(", ".join(f"{number} {what}" for what, number in counts.items()))
    print(", ".join(str(path) for path in (options.out / RESULTS, *sheets)))
    return 1 if counts["failed"] else 0


def identity(model: str) -> str:
    """What identifies a model: its name, and for a folder the sizes and times of its weights as well."""
    folder = Path(model).expanduser()
    if model == "tiny" or not folder.is_dir():
        return model
    files = sorted(folder.rglob("*.safetensors"))
    if not files:
        raise UsageError(f"there is no checkpoint in {shorten(model, 120)}: give a folder that a pipeline was saved in")
    return " ".join([str(folder.resolve()), *(f"{f.stat().st_size}:{f.stat().st_mtime_ns}" for f in files)])


def print_means(lines: list[dict[str, Any]]) -> None:
    """Print for each variant the mean error over the grids whose ground truth is known."""
    scored = sorted((line for line in lines if line.get("rmse")), key=lambda line: line["variant"])
    for variant, group in groupby(scored, key=lambda line: line["variant"]):
        members = list(group)
        mean = statistics.mean(float(line["rmse"]) for line in members)
        copied = [float(line["copy_rmse"]) for line in members if line.get("copy_rmse")]
        beside = f" (a copied condition: {statistics.mean(copied):.3f})" if copied else ""
        print(f"{variant or 'all':40} RMSE {mean:.3f}{beside}, {len(members)} images")


def _name(line: dict[str, Any]) -> str:
    return " ".join(filter(None, (line["grid"], line["variant"])))
