"""Every lesson has the anatomy of a lesson and agrees with its source; and the tool that makes them works."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tools import build_notebooks, measure_lessons
from tools.notebook_source import COLAB, LAST, badges, differences, link_lessons, make_notebook, notebook_paths
from visualcloze_nb.lessons.kernel import ENVIRONMENT

ROOT = Path(__file__).parents[1]
STUDENT = sorted((ROOT / "notebooks").glob("*.ipynb"))
ALL = [*STUDENT, *sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))]
student = pytest.mark.parametrize("path", STUDENT, ids=lambda path: path.stem)
every = pytest.mark.parametrize("path", ALL, ids=lambda path: path.relative_to(ROOT).as_posix())


def read(path: Path, kind: str | None = None) -> list:
    cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in cells if kind in (None, cell.cell_type)]


def lines(cell) -> int:
    return sum(bool(line.strip()) for line in cell.source.splitlines())


# Anatomy ----------------------------------------------------------------------------------------------------


def test_notebooks_agree_with_their_sources():
    assert differences(ROOT) == []


@student
def test_length(path):
    words = sum(len(re.sub(r"\S+://\S+", "", cell.source).split()) for cell in read(path, "markdown"))
    assert 20 <= len(read(path)) <= 45, "20 to 45 cells"
    assert words <= 2000, "at most 2,000 words"


@every
def test_code_cells_are_short(path):
    counts = [lines(cell) for cell in read(path, "code")]
    assert max(counts) <= 25, "no code cell over 25 lines"
    assert sum(count <= 8 for count in counts) >= 0.7 * len(counts), "code cells mostly 8 lines or fewer"


@student
def test_opening(path):
    first, second = read(path)[:2]
    assert first.cell_type == "markdown" and re.match(r"# \d\d? ", first.source), "the title: # 3 What …"
    assert "mybinder.org" in first.source and "colab.research.google.com" in first.source
    opening = first.source if second.cell_type == "code" else first.source + second.source
    text = re.sub(r"\[!\[.+?\]\(\S+\)\]\(\S+\)", "", first.source.partition("\n")[2]).strip()  # without badges
    assert re.match(r"\*\*[^*]+\?\*\*", text), "the one question comes first, in bold"
    assert re.search(r"you will be able to", opening, re.I), "say what the reader will be able to do"
    assert re.search(r"\d+ minutes", opening), "say how long it takes"
    assert re.search(r"\b(CPU|GPU)\b", opening), "say what machine it needs"


@every
def test_one_set_up_cell_and_it_comes_first(path):
    code = read(path, "code")
    assert ["setup" in cell.metadata.get("tags", []) for cell in code] == [True] + [False] * (len(code) - 1)


@student
def test_sections_and_closing(path):
    text = "\n".join(cell.source for cell in read(path, "markdown"))
    headings = re.findall(r"^## (.+)$", text, re.M)
    assert 4 <= len(headings) <= 6, "three to five sections and the closing"
    assert headings[-1].startswith("What we saw")
    assert "?" in text.rpartition("## What we saw")[2], "close with one open question"


@student
def test_predicts_and_exercises(path):
    """Each exercise is one function, followed at once by its check; each guess is compared."""
    code = read(path, "code")
    source = "\n".join(cell.source for cell in code)
    assert source.count("predict(") >= 1
    assert source.count("predict(") == source.count(".compare("), "every guess is compared"
    for cell in code:
        assert not ("predict(" in cell.source and ".compare(" in cell.source), "a later cell compares the guess"
    stubs = [number for number, cell in enumerate(code) if "# Your code here." in cell.source]
    assert stubs, "at least one exercise"
    for number in stubs:
        assert "def " in code[number].source, "an exercise is a function"
        assert ".check(" in code[number + 1].source, "its check comes next"


@every
def test_everything_is_executed_and_nothing_failed(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert all(output.output_type != "error" for cell in code for output in cell.outputs)
    assert build_notebooks.faults(notebook, solutions=path.parent.name == "solutions") == []
    assert "widgets" not in notebook.metadata
    assert path.stat().st_size < 3e6, "keep a notebook under 3 MB: show smaller images"


@student
def test_images_in_text_say_what_they_show(path):
    for cell in read(path, "markdown"):
        assert not re.search(r"!\[\s*\]\(", cell.source), "an image without words"


@every
def test_figures_say_what_they_show(path):
    """Each is HTML with alt text, which viewers keep; a figure's begins with its title, which says what to see."""
    for number, cell in enumerate(read(path), start=1):
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            bare = [kind for kind in data if kind.startswith("image/")]
            assert not bare, f"cell {number}: {bare}, which viewers show without alt text; see image_output"
            for alt in re.findall(r'<img alt="(.*?)"', data.get("text/html", "")):
                assert len(alt.split()) >= 4, f"cell {number}: give the figure a title and alt text"


@every
def test_last_cell_offers_to_free_the_memory(path):
    assert read(path)[-1].source == LAST


# The map ----------------------------------------------------------------------------------------------------

MAP = (ROOT / "notebooks" / "README.md").read_text()
LESSONS = {  # file: (number, question, minutes, lessons to read first)
    file: (number, question, int(minutes), re.findall(r"\d\d", first))
    for number, file, question, minutes, first in re.findall(
        r"^\| \[(\d\d) .+?\]\((\S+)\) \| (.+?) \| (\d+) \| (.+?) \|$", MAP, re.M
    )
}


def test_the_map_has_every_lesson_in_order_and_no_other():
    assert list(LESSONS) == [path.name for path in STUDENT]


@student
def test_the_map_says_what_the_lesson_says(path):
    number, question, minutes, first = LESSONS[path.name]
    opening = read(path)[0].source
    assert path.name.startswith(number) and opening.startswith(f"# {number} ")
    assert f"**{question}**" in opening
    assert f"{minutes} minutes" in opening
    numbers = [other[0] for other in LESSONS.values()]
    assert all(other in numbers[: numbers.index(number)] for other in first), "what to read first comes before"


def test_paths_add_up_and_start_at_the_beginning():
    minutes = {number: length for number, _, length, _ in LESSONS.values()}
    first = {number: needs for number, _, _, needs in LESSONS.values()}
    paths = re.findall(r"^\| (.+?) \| ([\d, ]+) \| (\d+) \|$", MAP.partition("## Paths")[2], re.M)
    earlier = []
    for name, lessons, total in paths:
        chosen = lessons.split(", ")
        assert sum(minutes[number] for number in chosen) == int(total), name
        earlier = [*earlier, *chosen] if "session" in name else chosen
        for number in chosen:
            missing = [n for n in first[number] if n not in earlier[: earlier.index(number)]]
            assert not missing, f"{name}: {number} needs {missing} first"
    assert set(earlier) == set(minutes), "the classroom sessions cover all lessons"


def test_the_map_names_the_exercises():
    named = re.findall(r"^\| (\d\d) \| `(\w+)` \|", MAP, re.M)
    for path in STUDENT:
        code = "\n".join(cell.source for cell in read(path, "code"))
        listed = [name for number, name in named if number == path.name[:2]]
        assert re.findall(r"checks\.(\w+)\.check\(", code) == listed
    for link in re.findall(r"\]\((\S+?)\)", MAP):
        assert (ROOT / "notebooks" / link).exists(), f"the map links to {link}"


# The tool ---------------------------------------------------------------------------------------------------

SOURCE = '''\
# %% [markdown]
# # 00 Try
# **What is it?**

# %% tags=["setup"]
from visualcloze_nb.lessons import predict

# %% [markdown]
# Text with ### BEGIN SOLUTION in it stays.

# %% tags=["exercise"]
def double(number):
    """Twice the number."""
    ### BEGIN SOLUTION
    twice = number + number
    return twice
    ### END SOLUTION

# %%
### BEGIN SOLUTION
a, b = 1, 2
### END SOLUTION
print(double(2))

# %%
print("same")

# %%
print("same")
'''


@pytest.fixture
def house(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.visualcloze_nb]\nslug = "someone/something"\n')
    (tmp_path / "notebooks" / "source").mkdir(parents=True)
    (tmp_path / "notebooks" / "source" / "00_try.py").write_text(SOURCE)
    return tmp_path


def laid_out(house, solutions):
    source = house / "notebooks" / "source" / "00_try.py"
    path = next(path for path, kept in notebook_paths(house, source).items() if kept is solutions)
    return make_notebook(house, source, path, solutions).cells


def test_stub_replaces_the_solution_and_stays_python(house):
    cells = laid_out(house, solutions=False)
    assert cells[3].source.endswith('"""Twice the number."""\n    # Your code here.\n    return ...')
    assert cells[4].source == "# Your code here.\na = ...\nb = ...\nprint(double(2))"
    assert cells[2].source == "Text with ### BEGIN SOLUTION in it stays."
    for cell in cells[3:]:
        ast.parse(cell.source)
    assert "twice = number + number" in laid_out(house, solutions=True)[3].source


def test_a_stub_assigns_names_and_attributes(house):
    source = house / "notebooks" / "source" / "00_try.py"
    source.write_text(
        SOURCE.replace("    twice = number + number\n    return twice", "    self.up, b = number, 2\n    c = b")
    )
    assert laid_out(house, solutions=False)[3].source.endswith("here.\n    self.up = ...\n    b = ...\n    c = ...")


def test_badges_set_up_and_last_cell_are_added(house):
    cells = laid_out(house, solutions=True)
    shown = badges("someone/something", "notebooks/solutions/00_try.ipynb")
    assert cells[0].source == f"# 00 Try\n\n{shown}\n\n**What is it?**"
    assert cells[1].source.startswith(COLAB.format(slug="someone/something"))
    assert "git+https://github.com/someone/something@main" in cells[1].source
    assert cells[1].source.endswith("import predict")
    assert cells[-1].source == LAST


@pytest.mark.parametrize(
    "text, linked",
    [
        ("(lesson 03).", "([lesson 03](03_prior.ipynb))."),
        ("Lesson\n08 is", "[Lesson\n08](08_sdedit.ipynb) is"),
        ("of lessons 03, 07 and 08.", "of lessons [03](03_prior.ipynb), 07 and [08](08_sdedit.ipynb)."),
        ("[lesson 03](x) and lesson 07, lesson 3, lesson 031", "[lesson 03](x) and lesson 07, lesson 3, lesson 031"),
    ],
)
def test_lessons_are_linked(text, linked):
    assert link_lessons(text, {"03": "03_prior.ipynb", "08": "08_sdedit.ipynb"}) == linked


def test_both_forms_link_to_their_own_neighbours_and_not_to_themselves(house):
    source = house / "notebooks" / "source" / "00_try.py"
    source.with_name("01_other.py").touch()
    source.write_text(SOURCE.replace("Text with", "Lessons 00 and 01 with"))
    for solutions in (False, True):
        assert laid_out(house, solutions)[2].source.startswith("Lessons 00 and [01](01_other.ipynb) with")


def test_cell_ids_are_stable_unique_and_shared_by_both_notebooks(house):
    ids = [cell.id for cell in laid_out(house, solutions=False)]
    assert len(set(ids)) == len(ids)
    assert ids == [cell.id for cell in laid_out(house, solutions=True)]
    source = house / "notebooks" / "source" / "00_try.py"
    source.write_text(SOURCE.replace("# %% [markdown]\n# Text", "# %%\n1 + 1\n\n# %% [markdown]\n# Text"))
    assert [i for i in (cell.id for cell in laid_out(house, solutions=False)) if i in ids] == ids


@pytest.mark.parametrize(
    "old, new, complaint",
    [('tags=["setup"]', "", "0 cells tagged setup"), ("# # 00 Try", "# Try", "start with the title")],
)
def test_a_source_without_title_or_set_up_is_refused(house, old, new, complaint):
    source = house / "notebooks" / "source" / "00_try.py"
    source.write_text(SOURCE.replace(old, new))
    with pytest.raises(ValueError, match=complaint):
        laid_out(house, solutions=False)


def test_build_then_check_then_drift(house, capsys):
    assert build_notebooks.main(["--root", str(house), "--check"]) == 1
    assert "notebooks/solutions/00_try.ipynb is missing" in capsys.readouterr().out
    assert build_notebooks.main(["--root", str(house)]) == 0
    made = house / "notebooks" / "solutions" / "00_try.ipynb"
    cells = nbformat.read(made, as_version=4).cells
    assert cells[4].outputs[0].text == "4\n"
    assert build_notebooks.main(["--root", str(house), "--check"]) == 0

    source = house / "notebooks" / "source" / "00_try.py"
    source.write_text(SOURCE.replace("double(2)", "double(3)").replace('tags=["exercise"]', ""))
    assert differences(house)[:2] == [
        "notebooks/00_try.ipynb, cell 4: tags not as in the source",
        "notebooks/00_try.ipynb, cell 5: text, id not as in the source",
    ]
    source.rename(source.with_name("01_other.py"))
    assert "notebooks/00_try.ipynb has no source" in differences(house)


def test_a_faulty_lesson_is_not_written(house, capsys):
    source = house / "notebooks" / "source" / "00_try.py"
    source.write_text(SOURCE.replace('print("same")', "import sys; sys.stderr.write('careful')"))
    assert build_notebooks.main(["--root", str(house)]) == 1
    assert "cell 6: writes to stderr: 'careful'" in capsys.readouterr().out
    assert not list(house.rglob("*.ipynb"))


def test_measure_prints_and_writes_nothing(house, capsys):
    before = dict(measure_lessons.os.environ)
    assert measure_lessons.main(["--root", str(house)]) == 0
    assert dict(measure_lessons.os.environ) == before, "or all that follows would show still images only"
    said = capsys.readouterr().out
    for form in ("student", "solution"):
        assert re.search(rf"^00_try +{form} +[\d.]+ +(\d+|-)$", said, re.M)
    assert re.search(r"^all +both +[\d.]+ +(\d+|-)$", said, re.M)
    assert said.endswith("All within their limits.\n")
    assert not list(house.rglob("*.ipynb"))
    assert measure_lessons.main(["--root", str(house), "01_none"]) == 1
    assert "No source for 01_none" in capsys.readouterr().out


@pytest.mark.parametrize(
    "seconds, megabytes, missed",
    [
        (89, 999, []),
        (91, 500, ["00_try, student: 91.0 s, the limit is 90"]),
        (10, 1001, ["00_try, student: 1001 MB, the limit is 1000"]),
        (10, float("nan"), []),
    ],
)
def test_a_bar_that_is_missed_is_named(seconds, megabytes, missed):
    assert measure_lessons.exceeded([measure_lessons.Run("00_try", "student", seconds, megabytes)]) == missed


def test_all_lessons_together_have_a_bar(house, monkeypatch, capsys):
    runs = [measure_lessons.Run(f"{number:02}_try", "student", 85.0, 810.0) for number in range(10)]
    monkeypatch.setattr(measure_lessons, "measure", lambda root, names: runs)
    assert measure_lessons.main(["--root", str(house)]) == 1
    said = capsys.readouterr().out
    assert "Over the aim of 800 MB: 00_try (student)" in said
    assert said.endswith("Exceeded:\nall: 850 s, the limit is 840\n")


def test_lessons_are_executed_alike_everywhere():
    """`make`, `measure` and `break_lessons` set the same environment."""
    line = re.search(r"^LESSON_ENV := (.+)$", (ROOT / "Makefile").read_text(), re.M)[1]
    assert dict(item.split("=") for item in line.split()) == ENVIRONMENT


@pytest.mark.parametrize(
    "output, solutions, complaint",
    [
        (new_output("stream", name="stderr", text="careful"), False, "writes to stderr"),
        (new_output("stream", name="stdout", text="<object at 0x7f0011223344>"), False, "address in memory"),
        (
            new_output("display_data", data={"application/vnd.jupyter.widget-view+json": {}}),
            False,
            "live widget",
        ),
        (new_output("stream", name="stdout", text="✗ f: no"), True, "rejects its own solution"),
        (new_output("stream", name="stdout", text="f: not attempted yet"), True, "rejects its own solution"),
        (new_output("stream", name="stdout", text="✓ f"), False, "verdict on a stub"),
    ],
)
def test_outputs_that_must_not_be_committed(output, solutions, complaint):
    found = build_notebooks.faults(new_notebook(cells=[new_code_cell("f()", outputs=[output])]), solutions)
    assert len(found) == 1 and complaint in found[0]


@pytest.mark.parametrize("text, solutions", [("✓ f", True), ("f: not attempted yet", False)])
def test_verdicts_that_belong(text, solutions):
    output = new_output("stream", name="stdout", text=text)
    assert build_notebooks.faults(new_notebook(cells=[new_code_cell("f()", outputs=[output])]), solutions) == []


# Words ------------------------------------------------------------------------------------------------------

WRITTEN = [
    *(ROOT / "notebooks" / "source").glob("*.py"),
    *(path for name in ("visualcloze_nb", "tools", "tests") for path in (ROOT / name).rglob("*.py")),
    *(path for folder in (ROOT, ROOT / "notebooks", ROOT / "visualcloze_nb") for path in folder.glob("*.md")),
]
PRIVATE = r"walk(s|ed|ing)?|running guess|practi[sc](e|ed|es|ing)|trivial answers?|things?|chances?|pictures?"
PROMPTS = r"\[IMAGE|\"(a|an|changed) ?\w* picture|say.*picture"  # the bundled model was trained on "a picture"


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_field_s_words(path):
    """None of the words that the package once had in place of the field's."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        found = re.search(rf"(?<![\w.])({PRIVATE})(?!\w)", line, re.I)
        if found and not re.search(PROMPTS, line) and "PRIVATE" not in line and "walk(" not in line:
            pytest.fail(f"line {number}: {found[0]!r} is not the field's word")


@student
def test_a_lesson_links_to_the_paper(path):
    assert "arxiv.org/abs/2504.07960" in read(path)[0].source
