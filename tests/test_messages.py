"""Every `raise X(…)` and `parser.error(…)` of the package: its class, its length, and that it says what to do.

The rule for the last: a clause of the message (after `:`, `;`, `,`, `.`, a bracket, *and*, *or* or *to*) begins with a
verb that tells the reader what to do, or the message states which values are allowed. Where another function composes
the message, `COMPOSED` names it and the test that reads its text.
"""

import ast
import functools
import itertools
import re
from pathlib import Path

import pytest

import visualcloze_nb
from visualcloze_nb import errors

PACKAGE = Path(visualcloze_nb.__file__).parent
LIMIT = 300  # characters
OTHER_PLACEHOLDER = 20  # characters counted for a name, a number or another value that does not go through a shortener
SHORTENERS = {"shorten": 60, "shown": 80, "type_of": 60}  # and their limits, where the call gives none

OTHER_CLASSES = {
    ("__init__.py", "AttributeError"): "Python expects it of a module's __getattr__",
    ("cli/arguments.py", "ArgumentTypeError"): "argparse turns it into its own line about the argument",
    ("cli/grade.py", "PermissionError"): "meets the pupil's code as the system's own would",
    ("evaluation/batch_run.py", "error or AssertionError"): "raises what the run raised",
    ("lessons/exercise.py", "AssertionError"): "the verdict on an exercise, as nbgrader and pytest count it",
    ("loading/checkpoint_files.py", "ValueError"): "caught a few lines below, and told in a ModelError",
    ("pipelines/batch_inputs.py", "type"): "the package's own error again, with the number of its sample",
    ("pipelines/base.py", "nothing_fits"): "returns a ModelError",
    ("pipelines/lora_check.py", "nothing_fits"): "returns a ModelError",
    ("widgets/explorers.py", "NotImplementedError"): "of a method that each explorer has to write",
}
COMPOSED = {  # by file: the message as far as it can be read, and the tests of the rest
    "annotate/annotator.py": {"kind x x": "the note of an availability, test_annotate*.py"},
    "data/image_files.py": {"x is not an image that can be read: x": "HINTS, test_images.py and rows 8 and 12"},
    "data/image_modes.py": {"x x": "another ImageError after the name of its place, row 2"},
    "data/images.py": {"x x": "another ImageError after the name of its place, row 2"},
    "loading/checkpoint_files.py": {"x x": "damage, row 4"},
    "loading/tokenizer_files.py": {"x x": "damage, row 4"},
    "loading/checkpoints.py": {"x": "unknown and _reason, row 5 and test_models.py; cut at 300 characters"},
    "tasks/catalogue.py": {"there is no task x; x": "_near, test_tasks.py"},
    "widgets/state.py": {"x": "the problem that a cell shows, made by the errors of data"},
}
VERBS = (
    "add call change check choose clone copy create download draw give import install keep leave load make move name "
    "nest open pass put raise replace run save say scale set shorten sort store sweep take train unset use wait write"
).replace(" ", "|")
TELLS = re.compile(rf"(?:[:;,.(] |\b(?:and|or|to) )(?:first )?(?:{VERBS}|(?:python -m )?pip install)\b", re.IGNORECASE)
ALLOWED = re.compile(
    r"[;:] there are |: the smallest|: (?:columns|targets) are|: the names are|\bmust lie between|: [\w ]+ needs? "
    r"|\btakes? up to|: only the last row|\breads? '|: see |: the largest that works is |: the grid is |did you mean"
    r"|; (?:see|near:) | lists them$"
)


def messages():
    """Each raise of the package: file, line, class as written, and the texts its message may have."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name, tree = path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        local = {node: function for function in functions for node in ast.walk(function)}  # the innermost, walked last
        for node in ast.walk(tree):
            known = assigned(tree.body), assigned(ast.walk(local[node]) if node in local else ())
            if isinstance(node, ast.Raise) and node.exc is not None:
                call = node.exc if isinstance(node.exc, ast.Call) else None
                raised = ast.unparse(call.func if call else node.exc).split(".")[-1].split("(")[0]
                yield name, node.lineno, raised, texts(call.args[0], *known) if call and call.args else []
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".error"):
                yield name, node.lineno, ".error", texts(node.args[0], *known)


def assigned(nodes) -> dict[str, list[ast.expr]]:
    """The texts that names are given, by name."""
    found: dict[str, list[ast.expr]] = {}
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found.setdefault(node.targets[0].id, []).append(node.value)
    return found


def texts(part: ast.expr, everywhere, here) -> list[str]:
    """Each text that a message's expression may give, with `x` for each character that a value may take."""
    again = functools.partial(texts, everywhere=everywhere, here=here)
    if isinstance(part, ast.Constant):
        return [str(part.value)]
    if isinstance(part, (ast.JoinedStr, ast.BinOp)):
        pieces = part.values if isinstance(part, ast.JoinedStr) else [part.left, part.right]
        return ["".join(one) for one in itertools.product(*map(again, pieces))]
    if isinstance(part, ast.FormattedValue):
        return [text + "x" * 2 * (part.conversion == ord("r")) for text in again(part.value)]
    if isinstance(part, (ast.IfExp, ast.BoolOp)):
        return sum(map(again, [part.body, part.orelse] if isinstance(part, ast.IfExp) else part.values), [])
    if isinstance(part, ast.Name) and (part.id in here or part.id in everywhere):
        values = here.get(part.id) or everywhere[part.id]
        return sum((texts(value, {}, {}) for value in values), [])
    if isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id in SHORTENERS:
        limit = part.args[1] if len(part.args) > 1 else None
        return ["x" * (limit.value if isinstance(limit, ast.Constant) else SHORTENERS[part.func.id])]  # pyright: ignore
    return ["x" * OTHER_PLACEHOLDER]


ALL = list(messages())
OWN = [entry for entry in ALL if hasattr(errors, entry[2])]


def test_there_are_as_many_as_the_text_has():
    written = sum(len(re.findall(r"^\s+raise \w", p.read_text(encoding="utf-8"), re.M)) for p in PACKAGE.rglob("*.py"))
    assert written > 250 and written == sum(raised != ".error" for _, _, raised, _ in ALL)


def test_every_class_is_of_errors_py():
    others = {(name, raised) for name, _, raised, _ in ALL if not hasattr(errors, raised) and raised != ".error"}
    assert others == set(OTHER_CLASSES)


def says_what_to_do(text):
    return bool(TELLS.search(text) or ALLOWED.search(text))


@pytest.mark.parametrize(("name", "line", "raised", "possible"), OWN, ids=[f"{name}:{line}" for name, line, *_ in OWN])
def test_a_message_is_short_and_says_what_to_do(name, line, raised, possible):
    assert possible or raised == "Cancelled"
    for text in possible:
        assert len(text) <= LIMIT, f"{len(text)} characters: {text}"
        assert says_what_to_do(text) or re.sub("x+", "x", text) in COMPOSED.get(name, {}), text


def test_every_exception_is_needed():
    found = {(name, re.sub("x+", "x", text)) for name, _, _, possible in OWN for text in possible}
    assert {(name, text) for name, entries in COMPOSED.items() for text in entries} <= found


@pytest.mark.parametrize("text", ["seed is x: give a whole number", "no column x: columns are 0 to 2"])
def test_the_rule_accepts_advice(text):
    assert says_what_to_do(text)


@pytest.mark.parametrize("text", ["the seed cannot be used", "it is damaged (x)", "x: they do not fit", "not x: y"])
def test_the_rule_refuses_a_bare_complaint(text):
    assert not says_what_to_do(text)
