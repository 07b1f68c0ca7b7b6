"""nbgrader and Otter-Grader themselves score right, wrong, untouched and crashing submissions of every lesson.

Not in CI: `make test-graders` installs both and takes about a minute a submission.
"""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from visualcloze_nb.cli.main import main
from visualcloze_nb.lessons.grader_formats import SOLUTION
from visualcloze_nb.lessons.grading import exercises, lesson_of

pytest.importorskip("nbgrader", reason="make test-graders installs it")
pytest.importorskip("otter", reason="make test-graders installs it")

ROOT = Path(__file__).parents[2]
LESSONS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
KINDS = ("right", "wrong", "untouched", "crashing")
STUB = re.compile(rf"^ *{SOLUTION}.*?### END SOLUTION$", re.M | re.S)
ATTEMPTS = {"wrong": "    return 12345", "untouched": "    # Your code here.\n    return ...", "crashing": "    1 / 0"}


def submission(lesson, kind):
    """The solution form, with the code of every exercise replaced."""
    made = nbformat.read(ROOT / "notebooks" / "solutions" / f"{lesson}.ipynb", as_version=4)
    for cell in made.cells:
        if cell.cell_type == "code" and kind in ATTEMPTS:
            cell.source = STUB.sub(ATTEMPTS[kind], cell.source)
    return made


def tool(folder, *arguments):
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}  # nbgrader calls alembic
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-1500:]}\n{done.stderr[-1500:]}"


def expected(lesson):
    cells = nbformat.read(ROOT / "notebooks" / f"{lesson}.ipynb", as_version=4).cells
    most = len(exercises(lesson_of(cell.source for cell in cells)))
    return {kind: most if kind == "right" else 0 for kind in KINDS}


@pytest.mark.parametrize("lesson", LESSONS)
def test_nbgrader(lesson, tmp_path):
    course = tmp_path / "course"
    assert main(["nbgrader", str(course)]) == 0
    tool(course, "nbgrader", "generate_assignment", lesson)
    released = nbformat.read(course / "release" / lesson / f"{lesson}.ipynb", as_version=4)
    for kind in KINDS:
        by_id = {cell.id: cell.source for cell in submission(lesson, kind).cells}
        for cell in released.cells:
            if cell.metadata.get("nbgrader", {}).get("solution"):
                cell.source = by_id[cell.id]
        folder = course / "submitted" / kind / lesson
        folder.mkdir(parents=True)
        nbformat.write(released, folder / f"{lesson}.ipynb")
    tool(course, "nbgrader", "autograde", lesson)
    tool(course, "nbgrader", "generate_feedback", lesson)
    tool(course, "nbgrader", "export")
    rows = csv.DictReader((course / "grades.csv").open())
    assert {row["student_id"]: float(row["score"]) for row in rows} == expected(lesson)


@pytest.mark.parametrize("lesson", LESSONS)
def test_otter(lesson, tmp_path):
    course = tmp_path / "course"
    assert main(["otter", str(course)]) == 0
    folder = course / lesson
    tool(folder, "otter", "generate", "-t", "tests", "-o", "autograder.zip", "--no-environment")
    found = {}
    for kind in KINDS:
        (folder / kind).mkdir()
        nbformat.write(submission(lesson, kind), folder / f"{kind}.ipynb")
        tool(folder, "otter", "run", "-a", "autograder.zip", "-o", kind, f"{kind}.ipynb")
        results = json.loads((folder / kind / "results.json").read_text())
        found[kind] = sum(test.get("score") or 0 for test in results["tests"])
    assert found == expected(lesson)
