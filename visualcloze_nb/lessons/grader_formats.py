"""Lessons in the formats of two graders: source notebooks for nbgrader, test files for Otter-Grader.

nbgrader reads from a cell's metadata what a student writes and what is scored (nbgrader.readthedocs.io, "Creating and
grading assignments"). Otter scores doctests in the notebook's namespace (otter-grader.readthedocs.io, "OK Format").
Both call `checks.NAME.grade(NAME)`, which raises with a hint unless the answer is right.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from visualcloze_nb.lessons.grading import exercises, lesson_of

if TYPE_CHECKING:
    from nbformat import NotebookNode

SOLUTION = "### BEGIN SOLUTION"
NBGRADER_CONFIG = """\
c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "visualcloze"
c.ClearSolutions.code_stub = {"python": "# Your code here.\\nreturn ..."}  # what the lessons' own student form has
c.Execute.timeout = 600  # seconds a cell
"""
OTTER_TEST = """\
OK_FORMAT = True

test = {{
    "name": "{name}",
    "points": 1,
    "suites": [
        {{
            "cases": [
                {{
                    "code": r'''
                    >>> from visualcloze_nb.lessons import {lesson} as checks
                    >>> checks.{name}.grade({name})
                    ''',
                    "hidden": False,
                    "locked": False,
                }},
            ],
            "scored": True,
            "setup": "",
            "teardown": "",
            "type": "doctest",
        }},
    ],
}}
"""


def for_nbgrader(solution: NotebookNode) -> NotebookNode:
    """A source notebook for nbgrader: exercises marked, a scored test below each check, no outputs.

    Args:
        solution: the solution form of a lesson.
    """
    from nbformat.v4 import new_code_cell, new_notebook

    cells = []
    for cell in solution.cells:
        if cell.cell_type == "code":
            cell = new_code_cell(cell.source, id=cell.id)
            if SOLUTION in cell.source:
                name = re.findall(r"^def (\w+)", cell.source, re.M)[-1]
                cell.metadata["nbgrader"] = _mark(name, solution=True)
        cells.append(cell)
        if cell.cell_type == "code" and (check := re.fullmatch(r"checks\.(\w+)\.check\(\1\)", cell.source.strip())):
            test = new_code_cell(f"checks.{check[1]}.grade({check[1]})")
            test.metadata["nbgrader"] = _mark(f"{check[1]}-test", grade=True, locked=True, points=1)
            cells.append(test)
    return new_notebook(cells=cells, metadata=solution.metadata)


def _mark(name: str, **more: Any) -> dict[str, Any]:
    fixed = {"schema_version": 3, "grade_id": name, "task": False}
    return {"grade": False, "locked": False, "solution": False, **fixed, **more}


def otter_tests(solution: NotebookNode) -> dict[str, str]:
    """Otter's test files of a lesson, by the name of the exercise.

    Args:
        solution: either form of a lesson.
    """
    lesson = lesson_of(cell.source for cell in solution.cells)
    return {name: OTTER_TEST.format(name=name, lesson=lesson) for name in exercises(lesson)}
