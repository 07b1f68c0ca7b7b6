"""What nbgrader and Otter-Grader get; their own tools read it in tests/graders."""

from pathlib import Path

import nbformat
import pytest

from visualcloze_nb.lessons import l04_in_context as checks
from visualcloze_nb.lessons.grader_formats import for_nbgrader, otter_tests
from visualcloze_nb.lessons.grading import exercises, lesson_of

SOLUTIONS = sorted((Path(__file__).parents[1] / "notebooks" / "solutions").glob("*.ipynb"))


def marked(notebook, what):
    return [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get(what)]


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_every_exercise_is_scored_once_and_before_the_lesson_goes_on(path):
    lesson = nbformat.read(path, as_version=4)
    made = for_nbgrader(lesson)
    nbformat.validate(made)
    names = list(exercises(lesson_of(cell.source for cell in lesson.cells)))
    written, tests = marked(made, "solution"), marked(made, "grade")
    assert sorted(cell.metadata.nbgrader.grade_id for cell in written) == sorted(names)
    assert [cell.metadata.nbgrader.grade_id for cell in tests] == [
        f"{c.metadata.nbgrader.grade_id}-test" for c in written
    ]
    for cell, test in zip(written, tests, strict=True):
        name = cell.metadata.nbgrader.grade_id
        assert test.metadata.nbgrader.grade_id == f"{name}-test"
        assert made.cells.index(test) == made.cells.index(cell) + 1
        assert test.metadata.nbgrader.points == 1 and f"checks.{name}.grade({name})" in test.source.splitlines()
        assert test.source.index("### BEGIN HIDDEN TESTS") < test.source.index(".grade(")
    assert list(otter_tests(lesson)) == names


def test_a_wrong_answer_scores_nothing_where_the_lesson_has_put_the_right_one_under_its_name():
    def mean_and_error(scores):
        return 12345

    attempt = mean_and_error
    mean_and_error = checks.mean_and_error.or_answer(mean_and_error)
    assert mean_and_error is checks.mean_and_error.answer is not attempt
    with pytest.raises(AssertionError, match="mean_and_error: "):
        checks.mean_and_error.grade(mean_and_error)
