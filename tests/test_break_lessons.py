"""The breakages of the lessons still apply. Running them takes long: `python tests/break_lessons.py`."""

import ast
from collections import Counter
from pathlib import Path

import pytest

from tools import break_lessons
from tools.breakages import BREAKAGES, Breakage

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "visualcloze_nb"
LESSONS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda breakage: breakage.name.replace(" ", "-"))
def test_breakage_applies_and_is_still_python(breakage):
    text = (PACKAGE / breakage.file).read_text(encoding="utf-8")
    assert text.count(breakage.old) == 1, "give the line as it reads now"
    assert breakage.new != breakage.old
    ast.parse(text.replace(breakage.old, breakage.new))  # a syntax error would turn any lesson red


def test_breakages_are_told_apart():
    assert len({b.name for b in BREAKAGES}) == len({(b.file, b.old, b.new) for b in BREAKAGES}) == len(BREAKAGES)


def test_there_are_at_least_twenty():
    assert len(BREAKAGES) >= 20


@pytest.mark.parametrize("lesson", LESSONS)
def test_every_lesson_has_breakages(lesson):
    assert Counter(b.lesson for b in BREAKAGES)[lesson] >= 3, "add what would break this lesson to breakages.py"


def test_breakages_name_lessons_that_exist():
    assert {b.lesson for b in BREAKAGES} <= set(LESSONS)


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


def test_killed_and_survived_are_counted(house, capsys):
    assert break_lessons.main([]) == 1
    said = capsys.readouterr().out
    assert "looked at: killed   (student, code cell 4)" in said
    assert "not: SURVIVES" in said
    assert said.endswith("killed / tried: 1 / 2\n")
    assert (house / "visualcloze_nb" / "sums.py").read_text() == "one = 1\ntwo = 2\n"


def test_one_breakage_can_be_picked(house, capsys):
    assert break_lessons.main(["--only", "looked"]) == 0
    assert capsys.readouterr().out.endswith("killed / tried: 1 / 1\n")
    assert break_lessons.main(["--lesson", "01"]) == 1
    assert "No such breakage" in capsys.readouterr().out


def test_a_lesson_that_is_red_unbroken_stops_all(house, capsys):
    (house / "visualcloze_nb" / "sums.py").write_text("uno = 1\ntwo = 2\n")
    assert break_lessons.main(["--only", "not"]) == 1
    assert "is red before anything is broken" in capsys.readouterr().out


def test_a_breakage_that_no_longer_applies_stops_all(house):
    (house / "visualcloze_nb" / "sums.py").write_text("one = 2\ntwo = 2\n")
    with pytest.raises(ValueError, match="'looked at': 'one = 1' occurs 0 times in sums.py"):
        break_lessons.main([])
