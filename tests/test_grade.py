"""`visualcloze-nb grade`: a class of known verdicts, and submissions that would harm others."""

import csv
import io
from pathlib import Path

import nbformat
import pytest

from visualcloze_nb.cli.main import main
from visualcloze_nb.lessons.grading import exercises, grade_cells, lesson_of, read_cells, slice_of

ROOT = Path(__file__).parents[1]
SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))
LESSON = "02_cloze_masks"
ACCIDENTS = {
    "loops": ("while True: pass", "crashed", "took more than"),
    "exits": ("exit()", "wrong", "SystemExit"),
    "ends": ("import os; os._exit(0)", "crashed", "ended the process"),
    "interrupts": ("raise KeyboardInterrupt", "crashed", "KeyboardInterrupt"),
    "fills memory": ("x = bytearray(10**12)", "wrong", "MemoryError"),
    "grows": ("x = [bytearray(10**8)]\n    while True: x.append(x[-1][:])", "wrong", "MemoryError"),
    "deletes": ("import shutil; shutil.rmtree(VICTIM)", "wrong", "own folder only"),
    "overwrites": ("open(VICTIM + '/kept', 'w')", "wrong", "own folder only"),
    "starts a process": ("import subprocess; subprocess.run(['true'])", "wrong", "not allowed"),
    "calls home": ("import socket; socket.create_connection(('127.0.0.1', 9))", "wrong", "not allowed"),
    "raises": ("raise ValueError('mine')", "wrong", "ValueError: mine"),
    "nbgrader's stub": ("raise NotImplementedError()", "not attempted", ""),
    "recurses": ("return mask_tokens(mask)", "wrong", "RecursionError"),
}


def notebook(path, edit=lambda source: source):
    """A copy of a solution with one more cell at its end."""
    made = nbformat.read(path, as_version=4)
    cells = [cell for cell in made.cells if cell.cell_type == "code"]
    made.cells = [*cells, nbformat.v4.new_code_cell(edit(""))]
    return made


def graded(folder, capsys, *arguments):
    assert main(["grade", str(folder), *arguments]) == 0
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_solutions_are_right_students_forms_untouched_and_mistakes_get_their_hints(path):
    cells = read_cells(path)
    lesson = lesson_of(cells)
    assert lesson == f"l{path.stem}"
    found = exercises(lesson)
    assert [(score.exercise, score.state) for score in grade_cells(cells, lesson)] == [(n, "right") for n in found]
    untouched = grade_cells(read_cells(ROOT / "notebooks" / path.name), lesson)
    assert [score.state for score in untouched] == ["not attempted"] * len(found)
    for name, exercise in found.items():
        assert len(exercise.mistakes) >= 3
        for number, hint in enumerate(exercise.mistakes.values()):
            wrong = (
                f"def {name}(*arguments):\n    import visualcloze_nb.lessons.{lesson} as m\n"
                f"    return list(m.{name}.mistakes)[{number}](*arguments)"
            )
            scores = {score.exercise: score for score in grade_cells([*cells, wrong], lesson)}
            assert (scores[name].state, scores[name].hint) == ("wrong", hint[:300])
            assert [s.state for other, s in scores.items() if other != name] == ["right"] * (len(found) - 1)


def test_a_class_with_accidents_harms_nobody(tmp_path, capsys):
    victim = tmp_path / "elsewhere"
    victim.mkdir()
    (victim / "kept").write_text("kept")
    path = ROOT / "notebooks" / "solutions" / f"{LESSON}.ipynb"
    submitted = tmp_path / "submitted"
    for student, (code, *_) in ACCIDENTS.items():
        attempt = f"VICTIM = {str(victim)!r}\n\ndef mask_tokens(mask):\n    {code}"
        (submitted / student).mkdir(parents=True)
        nbformat.write(notebook(path, lambda _, attempt=attempt: attempt), submitted / student / path.name)
    for student, text in (("broken", "def mask_tokens(mask:\n"), ("not a notebook", None), ("zoe", "")):
        (submitted / student).mkdir()
        if text is None:
            (submitted / student / path.name).write_text("<html>")
        else:
            made = notebook(path, lambda _, text=text: text)
            if text:
                made.cells = [
                    cell for cell in made.cells if "def mask_tokens" not in cell.source or cell.source == text
                ]
            nbformat.write(made, submitted / student / path.name)
    scores = graded(submitted, capsys, "--seconds", "10", "--megabytes", "400")
    rows = {row["student"]: row for row in scores if row["exercise"] in ("mask_tokens", "")}
    for student, (_, state, hint) in ACCIDENTS.items():
        assert (rows[student]["state"], hint in rows[student]["hint"]) == (state, True), rows[student]
    assert rows["broken"]["state"] == "crashed" and "cannot be read" in rows["broken"]["hint"]
    assert rows["not a notebook"]["state"] == "crashed" and "not a notebook" in rows["not a notebook"]["hint"]
    assert (rows["zoe"]["state"], rows["zoe"]["points"]) == ("right", "1")
    assert len(rows) == len(ACCIDENTS) + 3
    assert (victim / "kept").read_text() == "kept"


def test_an_exercise_that_loops_or_exits_costs_no_other(tmp_path, capsys):
    """Each is judged by itself, and one whose cases write files is judged too."""
    for lesson, name in (("02_cloze_masks", "strip"), ("11_teach_it", "read_pairs"), ("11_teach_it", "merge")):
        path = ROOT / "notebooks" / "solutions" / f"{lesson}.ipynb"
        for student, code in (
            ("loops", "while True: pass"),
            ("exits", "import os; os._exit(0)"),
            ("wrong", "return 1"),
        ):
            place = tmp_path / f"{student}-{name}"
            place.mkdir()
            attempt = f"def {name}(*arguments):\n    {code}"
            nbformat.write(notebook(path, lambda _, attempt=attempt: attempt), place / path.name)
    for row in graded(tmp_path, capsys, "--seconds", "10"):
        student, _, name = row["student"].partition("-")
        expected = "right" if row["exercise"] != name else "wrong" if student == "wrong" else "crashed"
        assert row["state"] == expected, row


def test_students_are_told_apart_by_file_name_too(tmp_path, capsys):
    for name in ("ann", "bob"):
        nbformat.write(notebook(SOLUTIONS[0]), tmp_path / f"{name}_{SOLUTIONS[0].name}")
    assert list(dict.fromkeys(row["student"] for row in graded(tmp_path, capsys))) == ["ann", "bob"]


def test_an_empty_folder_is_an_error(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["grade", str(tmp_path)])
    assert "no notebook" in capsys.readouterr().err


def test_a_slice_is_what_a_function_needs_and_no_more():
    import ast

    code = (
        "import a\nb = a.c\nd = slow()\nprint(b)\ndef f(d):\n    return b + d\ndef g():\n    return f(1) + e\ne = 2\n"
    )
    chosen = slice_of("g", ast.parse(code).body)
    assert [ast.unparse(s).splitlines()[0] for s in chosen] == ["import a", "b = a.c", "def f(d):", "def g():", "e = 2"]


# What a breaker found: right in the notebook, so right here ---------------------------------------------------

BODY = "    return float(np.sqrt(((np.asarray(one) / {s} - np.asarray(other) / {s}) ** 2).mean()))"
RMSE = "def rmse(one, other):\n" + BODY.format(s=255)
FILLED = "def rmse(one, other):\n" + BODY
RIGHT = {
    "star import": [RMSE.replace("float(np.sqrt", "(sqrt"), "from math import *"],
    "cell magic": ["%%time\n" + RMSE],
    "cell of another language, dataclass": [
        "%%bash\nls -l",
        "import dataclasses\n@dataclasses.dataclass\nclass P:\n    s: int = 255\n" + FILLED.format(s="P().s"),
    ],
    "names bound in compound statements": [
        "if True:\n    import math as m\ntry:\n    def h(x): return np.asarray(x) / 255\nexcept Exception: pass",
        "match 255:\n    case S: pass\n(T := 255)\nif __name__ == '__main__': U = 255",
        "def rmse(one, other):\n    assert S == T == U\n    return m.sqrt(((h(one) - h(other)) ** 2).mean())",
    ],
    "filled later": [
        "T = {}; L = []\nclass H: pass",
        "T['s'] = 255; L.append(255); H.s = 255\nfor x in [255]: L.append(x)",
        FILLED.format(s="(T['s'] * L[1] / H.s)"),
    ],
    "lambda": ["rmse = lambda one, other: " + BODY.format(s=255).strip().removeprefix("return ")],
    "another name": [RMSE.replace("def rmse", "def my"), "rmse = my"],
    "display": [RMSE.replace(":\n", ":\n    display(one)\n", 1)],
    "a helper of the same name later": [
        "def h(x): return np.asarray(x) / 255\n"
        "def rmse(one, other): return float(np.sqrt(((h(one) - h(other)) ** 2).mean()))",
        "def h(x): return 0",
    ],
    "a helper that follows": [
        "def rmse(one, other): return float(np.sqrt(((h(one) - h(other)) ** 2).mean()))",
        "def h(x): return np.asarray(x) / 255",
    ],
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_in_the_notebook_is_right_here(name):
    other = "# from visualcloze_nb.lessons import l01_grids as checks"
    cells = [other, "import visualcloze_nb.lessons.l00_start_here as checks\nimport numpy as np", *RIGHT[name]]
    (score,) = grade_cells(cells, lesson_of(cells), "rmse")
    assert score.state == "right", score


def test_odd_files_neither_end_the_run_nor_count_as_students(tmp_path, capsys):
    setup = "from visualcloze_nb.lessons import l00_start_here as checks\nimport numpy as np"
    new = nbformat.v4.new_notebook, nbformat.v4.new_code_cell
    for where, code in (
        ("anna/a.ipynb", RMSE),
        ("anna/a-Copy1.ipynb", "def rmse(a, b): return 1"),
        ("ben/a.ipynb", r"def rmse(a, b): raise ValueError('\ud800 and' + chr(10) + 'a line')"),
        ("__MACOSX/anna/._a.ipynb", RMSE),
        (".Trash/a.ipynb", RMSE),
    ):
        (tmp_path / where).parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(new[0](cells=[new[1](setup), new[1](code)]), tmp_path / where)
    (tmp_path / "cleo").mkdir()
    (tmp_path / "cleo" / "a.ipynb").write_text(
        '{"cells": [{"cell_type": "code", "source": null, "metadata": {}, "outputs": [], "execution_count": null}],'
        ' "metadata": {}, "nbformat": 4, "nbformat_minor": 4}'
    )
    scores = {row["file"]: row for row in graded(tmp_path, capsys) if row["exercise"] in ("rmse", "")}
    found = {file: (row["student"], row["state"]) for file, row in scores.items()}
    assert found == {
        "anna/a.ipynb": ("anna", "right"),
        "anna/a-Copy1.ipynb": ("anna", "wrong"),
        "ben/a.ipynb": ("ben", "wrong"),
        "cleo/a.ipynb": ("cleo", "crashed"),
    }
    assert "and a line" in scores["ben/a.ipynb"]["hint"] and "not a notebook" in scores["cleo/a.ipynb"]["hint"]


def test_what_grading_writes_is_gone_even_if_an_exercise_is_stopped(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    (tmp_path / "in" / "anna").mkdir(parents=True)
    code = "from visualcloze_nb.lessons import l00_start_here as checks\n"
    code += "def rmse(a, b):\n    open('f', 'w')\n    while True: pass"
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbformat.write(made, tmp_path / "in" / "anna" / "a.ipynb")
    rows = graded(tmp_path / "in", capsys, "--seconds", "3")
    assert "took more than 3 seconds" in next(row["hint"] for row in rows if row["exercise"] == "rmse")
    assert list((tmp_path / "temporary").iterdir()) == []
