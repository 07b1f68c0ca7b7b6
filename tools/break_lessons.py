"""Are the lessons alive? Break the package in one small way, run the lesson that teaches it, and see it turn red.

    python tests/break_lessons.py                        every breakage of every lesson
    python tests/break_lessons.py --lesson 02            those of one lesson
    python tests/break_lessons.py --only "blanks are"    those with these words in their name
    python tests/break_lessons.py --list                 what there is; nothing is run

Package and notebooks are copied to a temporary folder once, and everything is broken and run there: the
working tree is not touched. First each lesson must be green unbroken, in both forms. Then each breakage is
run against the student form, the one that a reader opens: nothing in it rests on the reader's own answer, so
it is the harder one to turn red. Only if that stays green the solution form is tried, where the check of the
exercise looks as well. A breakage that survives both is a lesson to be mended.

Run: strict nbval, one after the other, stopped at the first cell that fails. Exit status 0 if all are killed.
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

from tools.breakages import BREAKAGES, Breakage
from visualcloze_nb.lessons.kernel import ENVIRONMENT

ROOT = Path(__file__).parents[1]
FORMS = {"student": "notebooks", "solution": "notebooks/solutions"}
GREEN, RED = 0, 1  # of pytest's exit statuses; the others are no verdict on a lesson


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
            "give the line as it reads now, in tests/breakages.py"
        )
    path.write_text(text.replace(breakage.old, breakage.new), encoding="utf-8")
    return text


def copied(target: Path) -> None:
    """Copy the package and the executed notebooks."""
    for name in ("visualcloze_nb", "notebooks"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))


def run(root: Path, lesson: str, form: str) -> tuple[bool, str]:
    """Run one notebook of the copy under strict nbval.

    Returns:
        whether it is green, and pytest's report.

    Raises:
        RuntimeError: if pytest itself could not do its work.
    """
    # Without bytecode files: two breakages of one length within one second would be taken for each other.
    env = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"--rootdir={root}"]
    command += ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=300", f"{FORMS[form]}/{lesson}.ipynb"]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
    if done.returncode not in (GREEN, RED):
        raise RuntimeError(f"pytest could not run {form} {lesson}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.returncode == GREEN, re.sub(r"\x1b\[\d*m", "", done.stdout)


def where(report: str) -> str:
    """Say which cell failed first."""
    found = re.search(r"::Cell (\d+)", report)
    return f"code cell {int(found[1]) + 1}" if found else "somewhere"


def chosen(lesson: str = "", words: str = "") -> list[Breakage]:
    """Pick breakages by how the lesson's name begins and by a part of their own."""
    return [b for b in BREAKAGES if b.lesson.startswith(lesson) and words in b.name]


def main(argv: list[str] | None = None) -> int:
    """Run the breakages; returns the exit status."""
    parser = argparse.ArgumentParser("python tests/break_lessons.py", description="Break the package, run the lessons.")
    parser.add_argument("--lesson", default="", help="how a lesson's name begins, such as 02")
    parser.add_argument("--only", default="", metavar="WORDS", help="a part of a breakage's name")
    parser.add_argument("--list", action="store_true", help="say what there is, run nothing")
    parser.add_argument("--report", action="store_true", help="print nbval's report of each lesson run")
    options = parser.parse_args(argv)
    picked = chosen(options.lesson, options.only)
    if not picked:
        print("No such breakage. What there is: --list")
        return 1
    if options.list:
        print("\n".join(f"{b.lesson:20} {b.name} ({b.file})" for b in picked))
        return 0
    with tempfile.TemporaryDirectory(prefix="break_lessons_") as folder:
        root = Path(folder)
        copied(root)
        for breakage in picked:
            (root / "visualcloze_nb" / breakage.file).write_text(apply(breakage, root), encoding="utf-8")
        for lesson in dict.fromkeys(b.lesson for b in picked):
            for form in FORMS:
                started = time.perf_counter()
                green, report = run(root, lesson, form)
                if not green:
                    print(f"{form} {lesson} is red before anything is broken: mend it first\n{report[-6000:]}")
                    return 1
                print(f"green unbroken: {form:8} {lesson} ({time.perf_counter() - started:.0f} s)", flush=True)
        survivors = []
        for number, breakage in enumerate(picked, start=1):
            started = time.perf_counter()
            as_it_was = apply(breakage, root)
            verdict = "SURVIVES"
            for form in FORMS:
                green, report = run(root, breakage.lesson, form)
                if options.report:
                    print(report)
                if not green:
                    verdict = f"killed   ({form}, {where(report)})"
                    break
            else:
                survivors.append(breakage)
            (root / "visualcloze_nb" / breakage.file).write_text(as_it_was, encoding="utf-8")
            took = f"{time.perf_counter() - started:.0f} s"
            print(f"{number:3}/{len(picked)} {breakage.lesson:20} {breakage.name}: {verdict}, {took}", flush=True)
    print(f"killed / tried: {len(picked) - len(survivors)} / {len(picked)}")
    return bool(survivors)


if __name__ == "__main__":
    sys.exit(main())
