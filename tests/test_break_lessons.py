"""The breakages of the lessons apply, and some are executed. All take long: `python -m tools.break_lessons`."""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tools import break_lessons
from tools.break_lessons import BREAKAGES, Breakage, parse

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "visualcloze_nb"
LESSONS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda breakage: breakage.name.replace(" ", "-"))
def test_breakage_applies_and_is_still_python(breakage):
    text = (PACKAGE / breakage.file).read_text(encoding="utf-8")
    assert text.count(breakage.old) == 1, "give the line as it reads now"
    broken = text.replace(breakage.old, breakage.new)
    # A syntax error fails any lesson, and a change of a comment or of nothing fails none.
    assert ast.dump(ast.parse(broken)) != ast.dump(ast.parse(text))


def test_breakages_are_told_apart():
    assert len({b.name for b in BREAKAGES}) == len({(b.file, b.old, b.new) for b in BREAKAGES}) == len(BREAKAGES)


def test_every_lesson_has_breakages_and_they_name_no_other():
    counts = Counter(b.lesson for b in BREAKAGES)
    assert set(counts) == set(LESSONS)
    assert min(counts.values()) >= 3, "add what would break this lesson to breakages.txt"


def test_the_format_of_the_breakages():
    assert parse(
        "# comment\n\n00_sums\n  sums.py\n    one is three: one = 1 => one = 3\n    no two: two = 2 => pass\n"
    ) == [
        Breakage("one is three", "sums.py", "one = 1", "one = 3", "00_sums"),
        Breakage("no two", "sums.py", "two = 2", "pass", "00_sums"),
    ]


# Some are executed ------------------------------------------------------------------------------------------

EXECUTED = [  # what the exercise of the lesson alone detects, in a second each
    "rows are counted from 0",
    "x stands before y",
    "tokens come column by column",
    "a mask's pixels are read column by column",
    "a step adds noise",
    "strength the wrong way round",
]
# Imports torch once; then for each breakage imports the broken package afresh and judges the lesson's solution.
JUDGE = r"""
import ast, importlib, json, re, sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np, torch
from einops import rearrange
from PIL import Image
from tools.break_lessons import BREAKAGES, apply

ROOT, COPY = Path(sys.argv[1]), Path(sys.argv[2])

def judge(lesson):
    for name in [name for name in sys.modules if name.startswith("visualcloze_nb")]:
        del sys.modules[name]
    checks = vars(importlib.import_module(f"visualcloze_nb.lessons.l{lesson}"))
    assert checks["__file__"].startswith(str(COPY))
    source = ast.parse((ROOT / "notebooks/source" / f"{lesson}.py").read_text())
    again = re.compile(r"\w+ = checks\.\w+\.or_answer\(\w+\)")  # a right answer, used in the next exercise
    source.body = [n for n in source.body if isinstance(n, ast.FunctionDef) or again.fullmatch(ast.unparse(n))]
    names = {"np": np, "torch": torch, "rearrange": rearrange, "Image": Image, "checks": SimpleNamespace(**checks)}
    exec(compile(source, lesson, "exec"), names)
    exercises = [value for value in checks.values() if type(value).__name__ == "Exercise"]
    exercises = [exercise for exercise in exercises if exercise.name != "my_fill"]  # that one runs the model
    return [exercise.judge(names[exercise.name]).state for exercise in exercises]

states = {}
for breakage in BREAKAGES:
    if breakage.name in sys.argv[3:]:
        whole = judge(breakage.lesson)
        text = apply(breakage, COPY)
        states[breakage.name] = [whole, judge(breakage.lesson)]
        (COPY / "visualcloze_nb" / breakage.file).write_text(text)
print(json.dumps(states))
"""


def test_some_breakages_are_executed_and_detected(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "visualcloze_nb", ignore=shutil.ignore_patterns("__pycache__", "tiny"))
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-P", "-c", JUDGE, ROOT, tmp_path, *EXECUTED]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    states = json.loads(done.stdout)
    assert sorted(states) == sorted(EXECUTED)
    for name, (whole, broken) in states.items():
        assert whole and set(whole) == {"right"}, f"{name}: the solution fails on the package as it is"
        assert "wrong" in broken, f"{name}: not detected"


# The runner -------------------------------------------------------------------------------------------------


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A package of two lines; a lesson that looks at the first and not at the second."""
    (tmp_path / "visualcloze_nb").mkdir()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "visualcloze_nb" / "sums.py").write_text("one = 1\ntwo = 2\n")
    looked_at = Breakage("looked at", "sums.py", "one = 1", "one = 3", "00_sums")
    monkeypatch.setattr(break_lessons, "ROOT", tmp_path)
    monkeypatch.setattr(break_lessons, "BREAKAGES", [looked_at, looked_at._replace(name="not", old="two = 2", new="")])

    def run(root, lesson, form):
        assert root != tmp_path, "the working tree must not be touched"
        return "one = 1" in (root / "visualcloze_nb" / "sums.py").read_text(), "FAILED notebooks/x.ipynb::Cell 3"

    monkeypatch.setattr(break_lessons, "run", run)
    return tmp_path


def test_detected_and_survived_are_counted(house, capsys):
    assert break_lessons.main([]) == 1
    said = capsys.readouterr().out
    assert "looked at: detected (student, code cell 4)" in said
    assert "not: SURVIVES" in said
    assert said.endswith("detected / tried: 1 / 2\n")
    assert (house / "visualcloze_nb" / "sums.py").read_text() == "one = 1\ntwo = 2\n"


def test_one_breakage_can_be_picked(house, capsys):
    assert break_lessons.main(["--only", "looked"]) == 0
    assert capsys.readouterr().out.endswith("detected / tried: 1 / 1\n")
    assert break_lessons.main(["--lesson", "01"]) == 1
    assert "No such breakage" in capsys.readouterr().out


def test_a_lesson_that_fails_unbroken_stops_all(house, capsys):
    (house / "visualcloze_nb" / "sums.py").write_text("uno = 1\ntwo = 2\n")
    assert break_lessons.main(["--only", "not"]) == 1
    assert "fails before anything is broken" in capsys.readouterr().out


def test_a_breakage_that_no_longer_applies_stops_all(house):
    (house / "visualcloze_nb" / "sums.py").write_text("one = 2\ntwo = 2\n")
    with pytest.raises(ValueError, match="'looked at': 'one = 1' occurs 0 times in sums.py"):
        break_lessons.main([])
