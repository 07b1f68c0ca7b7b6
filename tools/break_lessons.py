"""Mutation test of the lessons: break the package in one small way, run the lesson about it, expect a failure.

    python -m tools.break_lessons                        every breakage of every lesson
    python -m tools.break_lessons --lesson 02            those of one lesson
    python -m tools.break_lessons --only "blanks are"    those with these words in their name
    python -m tools.break_lessons --list                 list them and run nothing

The breakages are in tools/breakages.txt. Package and notebooks are copied to a temporary folder once and broken
there: the working tree is not touched. First each lesson must pass unbroken, in both forms. Then each breakage runs
against the student form. Nothing in it rests on the reader's own answer, so it is the harder one to fail. Only if
that passes, the solution form runs too, where the check of the exercise looks as well. If a breakage survives both,
mend the lesson.

Notebooks run under strict nbval, one after the other, and stop at the first failing cell. The exit status is 0 if
every breakage is detected.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from visualcloze_nb.lessons.kernel import ENVIRONMENT

ROOT = Path(__file__).parents[1]
FORMS = {"student": "notebooks", "solution": "notebooks/solutions"}
PASSED, FAILED = 0, 1  # of pytest's exit statuses; the others say nothing about a lesson


class Breakage(NamedTuple):
    """One mistake: `new` replaces `old` in `file` of the package, and `lesson` must fail."""

    name: str
    file: str
    old: str
    new: str
    lesson: str


def parse(text: str) -> list[Breakage]:
    """Read breakages.txt: a lesson, two spaces in a file, four spaces in `name: old => new`."""
    found, lesson, file = [], "", ""
    for line in text.splitlines():
        entry = line.strip()
        if not entry or line.startswith("#"):
            continue
        if not line.startswith(" "):
            lesson = entry
        elif not line.startswith("    "):
            file = entry
        else:
            name, _, change = entry.partition(": ")
            old, _, new = change.partition(" => ")
            found.append(Breakage(name, file, old, new, lesson))
    return found


BREAKAGES = parse((Path(__file__).parent / "breakages.txt").read_text(encoding="utf-8"))


def apply(breakage: Breakage, root: Path) -> str:
    """Break the package below `root`.

    Returns:
        the file's text as it was, to be put back.

    Raises:
        ValueError: if `old` does not occur exactly once.
    """
    path = root / "visualcloze_nb" / breakage.file
    text = path.read_text(encoding="utf-8")
    count = text.count(breakage.old)
    if count != 1:
        raise ValueError(
            f"{breakage.name!r}: {breakage.old!r} occurs {count} times in {breakage.file}: "
            "give the line as it reads now, in tools/breakages.txt"
        )
    path.write_text(text.replace(breakage.old, breakage.new), encoding="utf-8")
    return text


def copy_lessons(target: Path) -> None:
    """Copy the package and the executed notebooks into `target`."""
    for name in ("visualcloze_nb", "notebooks"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))


def run(root: Path, lesson: str, form: str) -> tuple[bool, str]:
    """Run one notebook of the copy under strict nbval.

    Args:
        root: the copy.
        lesson: such as 01_grids.
        form: "student" or "solution".

    Returns:
        whether it passed, and pytest's report.

    Raises:
        RuntimeError: if pytest itself could not do its work.
    """
    # Without bytecode files: Python would take two breakages of one length within one second for each other.
    env = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"--rootdir={root}"]
    command += ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=300", f"{FORMS[form]}/{lesson}.ipynb"]
    command += [f"--nbval-sanitize-with={ROOT / 'tests' / 'nbval_sanitize.cfg'}"]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
    if done.returncode not in (PASSED, FAILED):
        raise RuntimeError(f"pytest could not run {form} {lesson}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.returncode == PASSED, re.sub(r"\x1b\[\d*m", "", done.stdout)


def first_failure(report: str) -> str:
    """Name the first failing cell."""
    found = re.search(r"::Cell (\d+)", report)
    return f"code cell {int(found[1]) + 1}" if found else "somewhere"


def select(lesson: str = "", words: str = "") -> list[Breakage]:
    """Pick breakages by how the lesson's name begins and by a part of their own."""
    return [b for b in BREAKAGES if b.lesson.startswith(lesson) and words in b.name]


def main(argv: list[str] | None = None) -> int:
    """Run the breakages; returns the exit status."""
    parser = argparse.ArgumentParser("python -m tools.break_lessons", description="Break the package, run the lessons.")
    parser.add_argument("--lesson", default="", help="how a lesson's name begins, such as 02")
    parser.add_argument("--only", default="", metavar="WORDS", help="a part of a breakage's name")
    parser.add_argument("--list", action="store_true", help="list the breakages, run nothing")
    parser.add_argument("--report", action="store_true", help="print nbval's report of each lesson run")
    options = parser.parse_args(argv)
    picked = select(options.lesson, options.only)
    if not picked:
        print("No such breakage. See --list.")
        return 1
    if options.list:
        print("\n".join(f"{b.lesson:20} {b.name} ({b.file})" for b in picked))
        return 0
    with tempfile.TemporaryDirectory(prefix="break_lessons_") as folder:
        root = Path(folder)
        copy_lessons(root)
        for breakage in picked:
            (root / "visualcloze_nb" / breakage.file).write_text(apply(breakage, root), encoding="utf-8")
        for lesson in dict.fromkeys(b.lesson for b in picked):
            for form in FORMS:
                started = time.perf_counter()
                passed, report = run(root, lesson, form)
                if not passed:
                    print(f"{form} {lesson} fails before anything is broken: mend it first\n{report[-6000:]}")
                    return 1
                print(f"passes unbroken: {form:8} {lesson} ({time.perf_counter() - started:.0f} s)", flush=True)
        survivors = 0
        for number, breakage in enumerate(picked, start=1):
            started = time.perf_counter()
            as_it_was = apply(breakage, root)
            verdict = "SURVIVES"
            for form in FORMS:
                passed, report = run(root, breakage.lesson, form)
                if options.report:
                    print(report)
                if not passed:
                    verdict = f"detected ({form}, {first_failure(report)})"
                    break
            survivors += verdict == "SURVIVES"
            (root / "visualcloze_nb" / breakage.file).write_text(as_it_was, encoding="utf-8")
            took = f"{time.perf_counter() - started:.0f} s"
            print(f"{number:3}/{len(picked)} {breakage.lesson:20} {breakage.name}: {verdict}, {took}", flush=True)
    print(f"detected / tried: {len(picked) - survivors} / {len(picked)}")
    return bool(survivors)


if __name__ == "__main__":
    sys.exit(main())
