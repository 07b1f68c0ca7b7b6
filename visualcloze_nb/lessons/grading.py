"""Score the exercises of one submitted notebook without running the lesson.

Of a notebook only the statements that an exercise's function needs are executed: imports, definitions, and the
assignments of names that it reads (a backward slice). Plots, model runs and everything else are left out.
"""

from __future__ import annotations

import ast
import importlib
import re
import symtable
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from visualcloze_nb.errors import UsageError
from visualcloze_nb.lessons.exercise import Exercise

MODULE = re.compile(
    r"^(?:from visualcloze_nb\.lessons import |import visualcloze_nb\.lessons\.)(l\d\d_\w+) as checks", re.M
)
MUTATORS = {
    "add",
    "append",
    "clear",
    "discard",
    "extend",
    "insert",
    "pop",
    "remove",
    "reverse",
    "setdefault",
    "sort",
    "update",
}


@dataclass(frozen=True)
class Score:
    """What one exercise of a submission is worth.

    Attributes:
        exercise: its name.
        state: "right", "wrong", "not attempted" or "crashed".
        hint: why, empty if it is right.
    """

    exercise: str
    state: str
    hint: str = ""


def read_cells(path: Path) -> list[str]:
    """Source of the code cells of a notebook.

    Raises:
        UsageError: the file is not a notebook.
    """
    import nbformat

    try:
        cells = nbformat.read(path, as_version=4).cells
        return ["" + cell.source for cell in cells if cell.cell_type == "code"]
    except Exception as error:  # nbformat raises errors of many kinds for what is no notebook
        raise UsageError(f"{path.name} is not a notebook ({type(error).__name__}): give a saved .ipynb") from error


def lesson_of(cells: Iterable[str], name: str = "the notebook") -> str:
    """Name of the lesson's module, `lNN_topic`, read from the notebook's imports.

    Raises:
        UsageError: it imports the exercises of no lesson that exists.
    """
    found = MODULE.search("\n".join(cells))
    if found is None or not (Path(__file__).parent / f"{found[1]}.py").is_file():
        raise UsageError(f"{name} imports no lesson's exercises: keep the line that ends in `as checks`")
    return found[1]


def exercises(lesson: str) -> dict[str, Exercise]:
    """The exercises of a lesson, in the order of its module."""
    module = importlib.import_module(f"visualcloze_nb.lessons.{lesson}")
    return {value.name: value for value in vars(module).values() if isinstance(value, Exercise)}


def grade_cells(cells: list[str], lesson: str, only: str = "") -> list[Score]:
    """Judge the exercises of a lesson in this process.

    Args:
        cells: source of the code cells.
        lesson: `lNN_topic`.
        only: the name of one exercise; else all.
    """
    found, broken = _statements(cells)
    return [_grade(exercise, found, broken) for name, exercise in exercises(lesson).items() if only in ("", name)]


def _grade(exercise: Exercise, cells: list[list[ast.stmt]], broken: str) -> Score:
    """Judge what stands up to the exercise's cell, as the check below it does; else all, as at the notebook's end."""
    name, written = exercise.name, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    found = [number for number, cell in enumerate(cells) for s in cell if isinstance(s, written) and s.name == name]
    if found:  # a lesson may bind the name again, to go on with
        cells = [[s for s in cell if isinstance(s, written) or name not in _defines(s)] for cell in cells]
    else:
        cells = [[s for s in cell if name not in _defines(s) or "or_answer" not in ast.unparse(s)] for cell in cells]
        found = [number for number, cell in enumerate(cells) for s in cell if name in _defines(s)]
    if not found:
        return Score(name, "crashed" if broken else "not attempted", broken or "the function is not there")
    score = _judge(exercise, sum(cells[: found[-1] + 1], []))
    return score if score.state == "right" else _judge(exercise, sum(cells, []))


def _judge(exercise: Exercise, statements: list[ast.stmt]) -> Score:
    needed = slice_of(exercise.name, statements)
    scope: dict[str, object] = {"__name__": "__main__", "display": lambda *_, **__: None, "get_ipython": lambda: None}
    try:
        exec(compile(ast.Module(needed, type_ignores=[]), "<submission>", "exec", dont_inherit=True), scope)
    except Exception as error:
        return Score(exercise.name, "crashed", f"before the exercise runs: {type(error).__name__}: {error}"[:300])
    verdict = exercise.judge(scope[exercise.name])  # pyright: ignore[reportArgumentType]  # judge checks it
    return Score(exercise.name, verdict.state, verdict.hint[:300])


def slice_of(name: str, statements: list[ast.stmt]) -> list[ast.stmt]:
    """The statements that define a name and, transitively, all names that those read; in the notebook's order."""
    wanted, chosen = {name, "*"}, set[int]()  # a star import may bring anything
    while True:
        more = {i for i, statement in enumerate(statements) if _defines(statement) & wanted} - chosen
        if not more:
            return [statements[i] for i in sorted(chosen)]
        chosen |= more
        for i in more:
            wanted |= set(_reads(symtable.symtable(ast.unparse(statements[i]), "<submission>", "exec")))


def _statements(cells: list[str]) -> tuple[list[list[ast.stmt]], str]:
    """Top-level statements of each cell that parses, and the error of the first that does not."""
    from IPython.core.inputtransformer2 import TransformerManager

    found, broken = [], ""
    for source in cells:
        try:
            if source.lstrip().startswith("%%"):  # %%time: what it is put on may be the exercise
                source = source.lstrip().partition("\n")[2]
                ast.parse(source)  # else it is another language's
        except (SyntaxError, ValueError):
            continue
        try:
            found.append(ast.parse(TransformerManager().transform_cell(source)).body)
        except (SyntaxError, ValueError) as error:
            broken = broken or f"a cell cannot be read: {error}"[:300]
    return found, broken


def _reads(table: symtable.SymbolTable) -> Iterator[str]:
    """Global names that a statement reads, inside its functions too; parameters and local names are none."""
    at_top = table.get_type() == "module"
    yield from (s.get_name() for s in table.get_symbols() if s.is_referenced() and (at_top or s.is_global()))
    for child in table.get_children():
        yield from _reads(child)


def _defines(statement: ast.stmt) -> set[str]:
    """Names that a top-level statement binds or fills (`x.a = …`, `x.append(…)`); plots are none."""
    return set(_bound(statement))


def _bound(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
        return
    if isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        return
    if isinstance(node, ast.alias):
        yield (node.asname or node.name).partition(".")[0]
    if isinstance(node, ast.Name | ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
        yield _root(node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
        yield _root(node.func)
    if isinstance(node, ast.MatchAs | ast.MatchStar) and node.name:
        yield node.name
    for child in ast.iter_child_nodes(node):
        yield from _bound(child)


def _root(node: ast.AST) -> str:
    """The name that `x`, `x.a`, `x[0]` and `x.a[0]` begin with, or ""."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
