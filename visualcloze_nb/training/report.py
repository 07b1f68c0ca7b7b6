"""`python -m visualcloze_nb.training evaluate`: a table of scores, a record of how they came about, a picture sheet.

The command fails (exit status 1) where the bundled checkpoint is not good enough: the mean score of the tasks in
`evaluate.SPINE` must reach `MEAN_FLOOR`, and none of them may be under `FLOOR`, with two examples and task text.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw

from ..fill import versions
from ..toyworld import Task, to_picture
from .evaluate import SPINE, Attempt, Score, attempt, score_attempt

MEAN_FLOOR, FLOOR = 0.4, 0.1


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table: a task, how it was asked, and its score."""

    task: str
    examples: int
    text: bool
    score: Score


def measure(
    pipe, tasks: Sequence[Task] = SPINE, *, scenes: int = 24, examples: int = 2, steps: int = 20, seed: int = 0,
    compare: bool = True,
) -> tuple[list[Row], dict[Task, Attempt]]:  # fmt: skip
    """Score tasks, and what text and examples are worth.

    Args:
        pipe: any VisualCloze pipeline of resolution 64.
        tasks: their last column is the target.
        scenes, examples, steps, seed: see `evaluate.attempt`.
        compare: also measure without task text, and with 0, 1 and 2 examples.

    Returns:
        the table, the asked-for settings first; and for each task what the model painted with them.
    """
    asked = [(examples, True)]
    if compare:
        asked += [way for way in [(examples, False), (0, True), (1, True), (2, True)] if way not in asked]
    rows, kept = [], {}
    for count, text in asked:
        for task in tasks:
            made = attempt(pipe, task, scenes, count, steps, text, seed)
            kept.setdefault(task, made)
            rows.append(Row(str(task), count, text, score_attempt(made, task.columns[-1])))
    return rows, kept


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, and the mean score of each way of asking."""
    lines = [
        "| task | examples | text | score | 95 % | RMSE model | trivial | VAE |",
        "|---|---|---|---|---|---|---|---|",
    ]
    ways = dict.fromkeys((row.examples, row.text) for row in rows)
    for way in ways:
        mine = [row for row in rows if (row.examples, row.text) == way]
        text = "yes" if way[1] else "no"
        for row in mine:
            s = row.score
            lines.append(
                f"| {row.task} | {way[0]} | {text} | {s.score:.2f} | {s.low:.2f} to {s.high:.2f} "
                f"| {s.rmse:.3f} | {s.trivial:.3f} | {s.vae:.3f} |"
            )
        mean = sum(row.score.score for row in mine) / len(mine)
        lines.append(f"| **mean** | {way[0]} | {text} | **{mean:.2f}** | | | | |")
    return "\n".join(lines)


def misses(rows: Sequence[Row]) -> list[str]:
    """What is not good enough, in words; empty if all is. Judged on the first way of asking, on `SPINE` alone."""
    first = (rows[0].examples, rows[0].text)
    spine = {str(task) for task in SPINE}
    scores = {r.task: r.score.score for r in rows if (r.examples, r.text) == first and r.task in spine}
    if not scores:
        return []
    found = [f"{task}: {score:.2f} is under {FLOOR}" for task, score in scores.items() if score < FLOOR]
    mean = sum(scores.values()) / len(scores)
    if mean < MEAN_FLOOR:
        found.append(f"the mean, {mean:.2f}, is under {MEAN_FLOOR}")
    return found


def record(rows: Sequence[Row], **settings) -> dict:
    """Everything needed to get the same figures again: settings, git revision, versions; and the figures."""
    return {
        "settings": settings,
        "revision": revision(),
        "versions": versions(),
        "rows": [dataclasses.asdict(row) for row in rows],
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


def sheet(attempts: dict[Task, Attempt], scenes: int = 6, gap: int = 4) -> Image.Image:
    """A contact sheet: a task a band; in it, for each scene, conditions | answer | truth from top to bottom."""
    title, blocks = 16, []
    for task, made in attempts.items():
        lines = [*made.conditions, made.answer, made.truth]
        side = made.truth.shape[-1] + gap
        count = min(scenes, len(made.truth))
        block = Image.new("RGB", (count * side + gap, title + len(lines) * side), "white")
        names = [*task.inputs, "answer", "truth"]
        ImageDraw.Draw(block).text((gap, 2), f"{task}:  {' | '.join(names)}, downwards", fill="black")
        for down, line in enumerate(lines):
            for across in range(count):
                block.paste(to_picture(line[across]), (gap + across * side, title + down * side))
        blocks.append(block)
    page = Image.new("RGB", (max(b.width for b in blocks), sum(b.height for b in blocks)), "white")
    top = 0
    for block in blocks:
        page.paste(block, (0, top))
        top += block.height
    return page


def run(
    model: str, tasks: Sequence[str] = (), out: Path | None = None, sheet_to: Path | None = None, **settings
) -> int:
    """The command: load, measure, print, write.

    Args:
        model: what `load` takes: a name or a folder.
        tasks: such as `"picture > edge"`; `SPINE` unless given.
        out: where to write the record, JSON; the table goes beside it, Markdown.
        sheet_to: where to write the contact sheet, PNG.
        settings: of `measure`.

    Returns:
        the exit status: 1 if the checkpoint is not good enough.
    """
    from ..models import load

    pipe = load(model)
    torch.manual_seed(settings.get("seed", 0))
    rows, attempts = measure(pipe, [Task.parse(text) for text in tasks] or SPINE, **settings)
    print(table(rows))
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(record(rows, model=str(model), **settings), indent=1) + "\n")
        out.with_suffix(".md").write_text(table(rows) + "\n")
    if sheet_to:
        sheet_to.parent.mkdir(parents=True, exist_ok=True)
        sheet(attempts).save(sheet_to)
    found = misses(rows)
    print("\n".join(["", *(f"not good enough: {line}" for line in found)]) if found else "\ngood enough")
    return 1 if found else 0
