"""Faults that users met elsewhere: every row of issue 18 has tests that name it, `test_row_<number>_…`.

`pytest tests/test_field.py` runs them all, wherever they stand (see `pytest_configure` in conftest.py).
"""

import ast
from collections import Counter
from pathlib import Path

import pytest

ROWS = {
    1: "two runs on one pipeline",
    2: "number images read wrongly",
    3: "sizes the model was never trained for",
    4: "a damaged or partial checkpoint",
    5: "a wrong name reported as another trouble",
    6: "closed and lazy images",
    7: "endless messages",
    8: "colour profiles, raw previews, odd orientations",
    9: "settings that undo each other",
    10: "the plain upload form",
    11: "noise around the message",
    12: "small ones",
    13: "the text cache hands out its own tensors",
    14: "the cache misses changes",
    15: "the checkpoint's resolution",
    16: "documented code, verbatim",
    17: "text longer than the model was made for",
    18: "a freed text encoder",
    19: "arguments in stock's order",
    20: "output types np and pt",
    21: "callbacks",
    22: "odd but valid values",
    23: "variants and LoRA files",
    24: "a tokenizer that needs sentencepiece",
}
TESTS = Counter(
    int(node.name.split("_")[2])
    for path in Path(__file__).parent.glob("test_*.py")
    for node in ast.parse(path.read_text()).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("test_row_")
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"row {row}, {ROWS[row]}")
def test_a_row_has_tests(row):
    assert TESTS[row] > 0


def test_no_test_names_another_row():
    assert set(TESTS) == set(ROWS)
