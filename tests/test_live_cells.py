"""The lessons' widgets, live. Committed lessons show their static images; here each widget runs and is driven.

Of a lesson only those cells run that its widget rests on. nbval compares no outputs here (its lax mode), since those
of live widgets are not committed: a cell that raises fails, the added one too if the widget does nothing.
tests/browser/test_live_lessons.py runs whole lessons and moves the same controls in a browser.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbformat.v4 import new_code_cell, new_notebook

LESSONS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))

RUN = """live = Out[max(Out)]
live.panel.strength.value, live.panel.steps.value = 0, 2
live.panel.run()
live.panel.wait(250)
assert live.state.draft.predictions, (live.panel.errors.message.value, live.panel.status.value)"""

SLIDE = """live = Out[max(Out)]
options = [option[1] for option in live.control.options] if hasattr(live.control, "options") else range(1, 13)
seen = set()
for live.control.value in options:
    seen.add(live.view.value)
assert len(seen) == len(options) > 3 and not live.errors.message.value, (len(seen), live.errors.message.value)"""

DRIVE = {"GridBuilder": RUN, "StepExplorer": SLIDE, "GreyOutExplorer": SLIDE, "StrengthExplorer": SLIDE}
IN_LESSONS = {  # which widgets a reader meets where
    "00_start_here": ["GridBuilder"],
    "01_grids": ["GridBuilder"],
    "03_infilling_prior": ["StepExplorer"],
    "04_in_context": ["GreyOutExplorer"],
    "06_several_targets": ["StepExplorer"],
    "07_reverse": ["StepExplorer"],
    "08_sdedit": ["StrengthExplorer"],
}


def code_of(path: Path) -> list[str]:
    """The code cells."""
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def parse(source: str) -> ast.Module:
    """A cell's syntax tree; its magics are calls."""
    return ast.parse(TransformerManager().transform_cell(source))


def widget_of(source: str) -> str:
    """The widget that a cell shows, or ""."""
    body = parse(source).body
    name = ast.unparse(body[-1]).split("(")[0].split(".")[0] if body else ""
    return name if name in DRIVE else ""


def names(node: ast.AST) -> tuple[set[str], set[str]]:
    """The names that code defines, those inside of its functions left out, and the names it uses."""
    defined, used = set(), set()
    for child in ast.iter_child_nodes(node):
        more, needed = names(child)
        used |= needed
        if isinstance(child, ast.Name):
            (used if isinstance(child.ctx, ast.Load) else defined).add(child.id)
        elif isinstance(child, ast.FunctionDef | ast.ClassDef):
            defined.add(child.name)
        elif isinstance(child, ast.alias):
            defined.add((child.asname or child.name).partition(".")[0])
        elif not isinstance(child, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            defined |= more
    return defined, used


def rests_on(cells: list[str], number: int) -> list[str]:
    """The cells that a cell needs, and itself."""
    needed, kept = names(parse(cells[number]))[1], [cells[number]]
    for source in reversed(cells[:number]):
        defined, used = names(parse(source))
        if defined & needed or "torch.set_" in source:  # a mode: it has no name
            needed = needed - defined | used
            kept.insert(0, source)
    return kept


def test_these_are_the_widgets_of_the_lessons():
    shown = {path.stem: [name for name in map(widget_of, code_of(path)) if name] for path in LESSONS}
    assert {lesson: found for lesson, found in shown.items() if found} == IN_LESSONS


@pytest.mark.parametrize("lesson", IN_LESSONS)
def test_a_live_widget_works(lesson, tmp_path):
    cells = code_of(next(path for path in LESSONS if path.stem == lesson))
    number = next(number for number, source in enumerate(cells) if widget_of(source))
    code = [*rests_on(cells, number), DRIVE[widget_of(cells[number])]]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    made = new_notebook(cells=[new_code_cell(source) for source in code], metadata=metadata)
    nbformat.write(made, tmp_path / f"{lesson}.ipynb")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", str(tmp_path)]
    command += ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=300"]
    env = {name: value for name, value in os.environ.items() if name != "VISUALCLOZE_NB_STATIC"}
    done = subprocess.run(command, env={**env, "HF_HUB_OFFLINE": "1"}, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and f"{len(code)} passed" in done.stdout, done.stdout[-6000:]
