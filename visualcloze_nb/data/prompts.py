"""The three texts of a grid: layout, task and content.

The model reads one string: the arrangement of the images (layout), what a row does (task), and optionally what the
target shows (content). The wording is that of the released models' training (VisualCloze, arXiv 2504.07960).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from visualcloze_nb.data.checks import as_list
from visualcloze_nb.errors import GridError, shorten

MOST_CHARACTERS = 50_000  # a model reads 512 tokens, some 2,500 characters
CONTENT_LEAD = "The last image of the last row depicts:"


def layout_prompt(rows: int, cols: int) -> str:
    """Write the layout text: how many rows, columns and images there are.

    Args:
        rows: rows of the grid, 1 or more, the query row included.
        cols: columns of the grid, 1 or more.

    Returns:
        The sentence that diffusers writes for the same grid. (diffusers 0.42.1 wraps it in a one-element tuple, so
        its encoders read brackets and quotes as well; ours read the sentence.)
    """
    return f"A grid layout with {rows} rows and {cols} columns, displaying {rows * cols} images arranged side by side."


def task_prompt(inputs: Sequence[str], outputs: Sequence[str]) -> str:
    """Write a task prompt in the authors' form, inputs in the first columns and outputs in the last.

    Args:
        inputs: what the images of the first columns are, such as `["an edge map"]`; may be empty.
        outputs: what the images of the remaining columns are; at least one.

    Returns:
        `In each row, a logical task is demonstrated to achieve [IMAGE2] … based on [IMAGE1] ….`

    Raises:
        GridError: if `outputs` is empty, or either is a bare string.
    """
    for name, value in (("inputs", inputs), ("outputs", outputs)):
        if isinstance(value, str):
            raise GridError(f"{name} is a single string: give a list, one text per column")
    inputs, outputs = as_list("inputs", inputs), as_list("outputs", outputs)
    return column_prompt([*inputs, *outputs], range(len(inputs), len(inputs) + len(outputs)))


def column_prompt(columns: Sequence[str], targets: Sequence[int]) -> str:
    """Write a task prompt for targets in any columns, as reverse generation needs it.

    Args:
        columns: what the images of each column are, left to right.
        targets: 0-based columns of the targets; at least one. `[IMAGE1]` in the text is column 0.

    Returns:
        The prompt: first the targets, then the other columns if there are any.

    Raises:
        GridError: if there is no target or a target is not a column.
    """
    columns, targets = as_list("columns", columns), as_list("targets", targets)
    if not targets:
        raise GridError("a task needs at least one output: name the column to be filled")
    for target in targets:
        if not isinstance(target, (int, np.integer)) or not 0 <= target < len(columns):
            raise GridError(f"target column {shorten(target)} does not exist: columns are 0 to {len(columns) - 1}")

    def names(chosen: Sequence[int]) -> str:
        return ", ".join(f"[IMAGE{column + 1}] {columns[column]}" for column in chosen)

    others = sorted(set(range(len(columns))) - set(targets))
    basis = f" based on {names(others)}" if others else ""
    return f"In each row, a logical task is demonstrated to achieve {names(targets)}{basis}."


def full_prompt(rows: int, cols: int, task: str | None, content: str | None) -> str:
    """Join the three texts as diffusers does: what both text encoders read in stage 1.

    Args:
        rows: rows of the grid, 1 or more.
        cols: columns of the grid, 1 or more.
        task: what a row does; None counts as "".
        content: what the target shows. None leaves the sentence out; "" keeps its beginning, as stock diffusers
            does and the documented edge example relies on.

    Returns:
        The layout, task and content texts with one space between, stripped.
    """
    ending = "" if content is None else f"{CONTENT_LEAD} {content}"
    return f"{layout_prompt(rows, cols)} {task or ''} {ending}".strip()


def check_text(name: str, text: str) -> None:
    """Refuse a text that cannot be encoded, and so reaches no tokenizer and no file.

    Raises:
        GridError: if it is far longer than any prompt, or holds half of a surrogate pair, as text that was cut inside
            an emoji does.
    """
    if len(text) > MOST_CHARACTERS:
        raise GridError(f"{name} has {len(text)} characters, over the limit of {MOST_CHARACTERS}: shorten it")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = f"U+{ord(text[error.start]):04X}"
        raise GridError(
            f"{name}: character {error.start + 1} is {code}, half of a surrogate pair, which no tokenizer can read: "
            "write the text again, an emoji as one character"
        ) from error


def misfit(task: str, rows: int, cols: int, targets: Sequence[int]) -> str:
    """Return how a task text contradicts its grid, or "".

    Args:
        task: a text that may name columns as `[IMAGE1]`, `[IMAGE2]` and so on.
        rows, cols: of the grid, the query row included.
        targets: 0-based columns of the targets.
    """
    named = {int(number) for number in re.findall(r"\[IMAGE ?(\d{1,6})\]", task)}
    hint = f": name columns 1 to {cols}, or change the grid"
    if named and max(named) == rows != cols:
        hint = ": is the grid transposed? a row is one example, a column one kind of image"
    outside = [number for number in sorted(named) if not 1 <= number <= cols]
    if outside:
        return f"task names [IMAGE{outside[0]}], but the grid has {cols} {'column' if cols == 1 else 'columns'}{hint}"
    unnamed = [col + 1 for col in targets if col + 1 not in named]
    if named and unnamed:
        return f"task names other columns, but not the target [IMAGE{unnamed[0]}]{hint}"
    return ""
