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
NBGRADER_TEST = """\
# nbgrader's test of the cell above.
### BEGIN HIDDEN TESTS
checks.{name}.grade({name})
### END HIDDEN TESTS"""
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
    """A source notebook for nbgrader: exercises marked, a hidden scored test below each, no outputs.

    Students do not see what the test does, and it cannot stop their *Run all*; the lesson's own check, which comes
    next, tells them what it would say.

    Args:
        solution: the solution form of a lesson.
    """
    from nbformat.v4 import new_code_cell, new_notebook

    names = exercises(lesson_of(cell.source for cell in solution.cells))
    cells = []
    for cell in solution.cells:
        cells.append(new_code_cell(cell.source, id=cell.id) if cell.cell_type == "code" else cell)
        if cell.cell_type == "code" and SOLUTION in cell.source:
            name = next(name for name in names if re.search(rf"^(def|class) {name}\b", cell.source, re.M))
            cells[-1].metadata["nbgrader"] = _mark(name, solution=True)
            cells.append(new_code_cell(NBGRADER_TEST.format(name=name)))
            cells[-1].metadata["nbgrader"] = _mark(f"{name}-test", grade=True, locked=True, points=1)
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
