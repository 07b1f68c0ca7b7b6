"""`visualcloze-nb evaluate`: run the benchmarks, print and write their tables.

The command fails (exit status 1) where a checkpoint misses a floor, and says which, and by how much.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from visualcloze_nb.evaluation import bench_images, bench_photos, bench_sizes, bench_stage2, bench_tasks
from visualcloze_nb.evaluation.benchmark import Benchmark, CachedPredictor, Floor, Row, band
from visualcloze_nb.evaluation.contact_sheet import sheet
from visualcloze_nb.pipelines.fill import versions

BENCHMARKS: dict[str, Callable[[CachedPredictor], Benchmark]] = {
    "tasks": bench_tasks.in_domain,
    "examples": bench_tasks.examples,
    "misleading": bench_tasks.misleading,
    "unseen": bench_tasks.unseen,
    "steps": bench_tasks.steps,
    "order": bench_tasks.order,
    "control": bench_images.control,
    "several": bench_images.several,
    "reverse": bench_images.reverse,
    "content": bench_images.content,
    "photos": bench_photos.photographs,
    "holes": bench_photos.holes,
    "sdedit": bench_stage2.sdedit,
    "vae": bench_sizes.vae,
    "disk": bench_sizes.disk,
    "overhead": bench_sizes.overhead,
}
CONTACT = (
    "image > edge", "image > depth", "image > mask", "image > grey", "pixelated > image", "holed > image",
    "image > subject", "image > hue 105", "image > recolour 3", "image > replace 2", "image > light 100",
    "image + style > styled", "edge > image", "mask > image",
)  # fmt: skip
"""Tasks of the contact sheet: what a reader looks at first, always on the same scenes."""
CARD = re.compile(r"(?<=<!-- evaluation -->\n).*?(?=<!-- /evaluation -->)", re.DOTALL)


def table(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table; their raw figures under their names."""
    names = list(dict.fromkeys(name for row in rows for name in row.raw))
    lines = [f"| what | setting | figure | 95 % | scenes |{''.join(f' {n} |' for n in names)}"]
    lines.append("|---|---|---|---|---|" + "---|" * len(names))
    for row in rows:
        raw = "".join(f" {_number(row.raw[n])} |" if n in row.raw else " |" for n in names)
        interval = f"{_number(row.low)} to {_number(row.high)}"
        lines.append(
            f"| {row.what} | {row.setting} | **{_number(row.value)}** | {interval} | {row.scenes or ''} |{raw}"
        )
    return "\n".join(lines)


def _number(value: float) -> str:
    if isinstance(value, int) or not math.isfinite(value):
        return str(value) if isinstance(value, int) else "-"
    size = abs(value)
    return f"{value:.{0 if size >= 100 else 1 if size >= 10 else 2}f}"


def floors_table(floors: Sequence[Floor]) -> str:
    """Floors as a Markdown table."""
    lines = ["| what | figure | floor | aim | met |", "|---|---|---|---|---|"]
    for f in floors:
        sign = "≤" if f.at_most else ">" if f.strict else "≥"
        met = "yes" if f.met else f"no, by {_number(f.short_by)}"
        lines.append(f"| {f.what} | {_number(f.value)} | {sign} {f.bound:g} | {sign} {f.aim:g} | {met} |")
    return "\n".join(lines)


def markdown(benchmarks: dict[str, Benchmark], settings: dict) -> str:
    """Everything as one Markdown text: how it was measured, what must hold, a table for each benchmark."""
    listed = ", ".join(f"{name} {value}" for name, value in settings.items())
    floors = [floor for benchmark in benchmarks.values() for floor in benchmark.floors]
    parts = [
        "# What this checkpoint can do",
        f"Made by `visualcloze-nb evaluate`; settings: {listed}; revision {revision()}. Scenes and "
        "held-out tasks were never trained on. Intervals are 95 %, from 1000 bootstrap samples of scenes.",
        "## Must hold",
        floors_table(floors),
    ]
    for name, benchmark in benchmarks.items():
        parts += [f"## {benchmark.title} (`{name}`)", benchmark.means, table(benchmark.rows)]
    return "\n\n".join(parts) + "\n"


def record(benchmarks: dict[str, Benchmark], settings: dict) -> dict:
    """Everything needed to get the same figures again: settings, git revision, versions; and the figures."""

    def plain(value):
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return None if isinstance(value, float) and not math.isfinite(value) else value  # JSON has no nan

    return {
        "settings": settings,
        "revision": revision(),
        "versions": versions(),
        "threads": torch.get_num_threads(),
        "benchmarks": {
            name: {
                "title": benchmark.title,
                "means": benchmark.means,
                "rows": [plain(dataclasses.asdict(row)) for row in benchmark.rows],
                "floors": [plain(dataclasses.asdict(floor) | {"met": floor.met}) for floor in benchmark.floors],
            }
            for name, benchmark in benchmarks.items()
        },
    }


def revision() -> str:
    """The commit this code is at, with `+` if files have changed since; "unknown" outside a repository."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def run(
    model: str, only: Sequence[str] = (), out: Path | None = None, sheets: Path | None = None, quick: bool = False,
    scenes: int = 16, steps: int = 8, seed: int = 0,
) -> int:  # fmt: skip
    """The command: load, measure, print, write.

    Args:
        model: what `load` takes: a name or a folder.
        only: names of `BENCHMARKS`; all unless given.
        out: the record, JSON; the tables go beside it, Markdown. Unless given, `evaluation.json` beside the
            checkpoint, if everything is measured in full.
        sheets: a folder for contact sheets: one PNG per benchmark, and `contact.png`, see `CONTACT`.
        quick: 4 scenes and 4 steps: a smoke test, not a measurement.
        scenes, steps, seed: see `predictions.predict_task`; some benchmarks take half the scenes.

    Returns:
        the exit status: 1 if a floor is missed.
    """
    from visualcloze_nb.loading.checkpoints import checkpoint_folder
    from visualcloze_nb.loading.load import load

    pipe = load(model)
    folder = checkpoint_folder(model) if model == "tiny" or Path(model).is_dir() else None
    if quick:
        scenes, steps = min(scenes, 4), min(steps, 4)
    settings = {"model": str(model), "scenes": scenes, "steps": steps, "seed": seed, "precision": "float32"}
    began = time.perf_counter()

    def log(line: str) -> None:
        print(f"{time.perf_counter() - began:6.0f} s  {line}", flush=True)

    predictor = CachedPredictor(pipe, scenes, steps, seed, log, folder)
    benchmarks = {}
    for name in only or BENCHMARKS:
        torch.manual_seed(seed)
        benchmarks[name] = BENCHMARKS[name](predictor)
        print(f"\n{benchmarks[name].title}. {benchmarks[name].means}\n\n{table(benchmarks[name].rows)}\n", flush=True)
        if sheets:
            sheets.mkdir(parents=True, exist_ok=True)
            if benchmarks[name].bands:
                sheet(benchmarks[name].bands).save(sheets / f"{name}.png")
    if sheets:
        sheet([band(predictor(task), task) for task in CONTACT]).save(sheets / "contact.png")
    floors = [floor for benchmark in benchmarks.values() for floor in benchmark.floors]
    settings["seconds"] = round(time.perf_counter() - began)
    if out is None and folder and not only and not quick:
        out = folder / "evaluation.json"
    if out:
        write(benchmarks, settings, out)
    print(f"{floors_table(floors)}\n\n{settings['seconds']} s")
    missed = [str(floor) for floor in floors if not floor.met]
    print("\n".join(f"not good enough: {line}" for line in missed) if missed else "good enough")
    return 1 if missed else 0


def write(benchmarks: dict[str, Benchmark], settings: dict, out: Path) -> None:
    """Write the record and the tables; a model card beside them gets its table between its two marks."""
    out.parent.mkdir(parents=True, exist_ok=True)
    prediction, tables = (
        record(benchmarks, settings),
        markdown(benchmarks, settings),
    )  # the revision, before a file changes
    out.write_text(json.dumps(prediction, indent=1) + "\n")
    out.with_suffix(".md").write_text(tables)
    card = out.parent / "README.md"
    if card.exists():
        floors = floors_table([floor for benchmark in benchmarks.values() for floor in benchmark.floors])
        card.write_text(CARD.sub(lambda _: f"\n{floors}\n\n", card.read_text()))
