"""Make a lesson's two notebooks from its source, not yet executed, and compare notebooks with sources.

A source is py:percent. This module adds what all lessons share: badges under the title, Colab's install lines
above the cell tagged `setup`, links to other lessons, and the last cell. In the student notebook the lines between
`### BEGIN SOLUTION` and `### END SOLUTION` become `...`; notebooks/solutions/ keeps them.
"""

from __future__ import annotations

import ast
import hashlib
import re
import textwrap
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat.v4 import new_code_cell, new_notebook

SOLUTION = re.compile(r"^( *)### BEGIN SOLUTION\n(.*?)^ *### END SOLUTION$", re.MULTILINE | re.DOTALL)
LESSONS = re.compile(r"(?<!\[)\b([Ll]essons?)(\s)(\d\d(?:(?:, | and )\d\d)*)\b")
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
COLAB = """\
import sys

if "google.colab" in sys.modules:  # Colab brings torch; only what is missing is installed
    %pip install -q "visualcloze_nb @ git+https://github.com/{slug}@main"

"""
LAST = """\
# Everything is still there to play with. When you are done, this frees the memory:
# from visualcloze_nb.lessons import finish; finish()"""


def notebook_paths(root: Path, source: Path) -> dict[Path, bool]:
    """Paths of the notebooks made from a source, and whether each keeps the solutions."""
    name = f"{source.stem}.ipynb"
    return {root / "notebooks" / name: False, root / "notebooks" / "solutions" / name: True}


def make_notebook(root: Path, source: Path, path: Path, solutions: bool) -> nbformat.NotebookNode:
    """Make one notebook from its source, not yet executed.

    Args:
        root: the repository.
        source: notebooks/source/NN_topic.py.
        path: of the notebook, for its badges.
        solutions: keep the solutions, or replace them by `...`.

    Returns:
        the notebook.

    Raises:
        ValueError: if the source has no title to put the badges under, or not exactly one set-up cell.
    """
    slug = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["visualcloze_nb"]["slug"]
    cells = jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent").cells
    cells.append(new_code_cell(LAST))
    setups = [cell for cell in cells if "setup" in cell.metadata.get("tags", [])]
    if len(setups) != 1:
        raise ValueError(f"{source.name} has {len(setups)} cells tagged setup: one is needed")
    if not cells[0].source.startswith("# "):
        raise ValueError(f"{source.name}: the first cell must be markdown and start with the title, '# …'")
    seen: Counter[str] = Counter()
    others = [other for other in source.parent.glob("*.py") if other != source]
    for cell in cells:
        # The id is a hash of the text, so that a change of one cell keeps the other ids.
        text = f"{source.stem}\n{cell.cell_type}\n{cell.source}"
        seen[text] += 1
        cell.id = hashlib.sha256(f"{text}\n{seen[text]}".encode()).hexdigest()[:12]
        cell.metadata = {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
        if not solutions and cell.cell_type == "code":
            cell.source = SOLUTION.sub(_stub, cell.source)
        if cell.cell_type == "markdown":
            cell.source = link_lessons(cell.source, {p.stem[:2]: f"{p.stem}.ipynb" for p in others})
    setups[0].source = COLAB.format(slug=slug) + setups[0].source
    title, _, rest = cells[0].source.partition("\n")
    cells[0].source = f"{title}\n\n{badges(slug, path.relative_to(root).as_posix())}\n\n{rest}"
    return new_notebook(cells=cells, metadata=METADATA)


def badges(slug: str, path: str) -> str:
    """The Binder and Colab badges of a notebook, as markdown."""
    binder = f"[![Open on Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/{slug}/main?labpath="
    colab = (
        "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
        f"(https://colab.research.google.com/github/{slug}/blob/main/"
    )
    return f"{binder}{path.replace('/', '%2F')})\n{colab}{path})"


def link_lessons(text: str, files: dict[str, str]) -> str:
    """Make links of `lesson 03` and of the numbers in `lessons 01, 02 and 08`.

    Args:
        text: markdown.
        files: notebooks by number, "03": "03_infilling_prior.ipynb". Other numbers stay as they are.
    """

    def link(found: re.Match[str]) -> str:
        word, space, numbers = found.groups()
        if numbers in files:
            return f"[{word}{space}{numbers}]({files[numbers]})"
        linked = re.sub(r"\d\d", lambda n: f"[{n[0]}]({files[n[0]]})" if n[0] in files else n[0], numbers)
        return f"{word}{space}{linked}"

    return LESSONS.sub(link, text)


def _stub(solution: re.Match[str]) -> str:
    """`return ...` in place of a solution that returns, else `name = ...` for each name and attribute it assigns."""
    indent, body = solution.groups()
    statements = ast.parse(textwrap.dedent(body)).body
    if isinstance(statements[-1], ast.Return):
        lines = ["return ..."]
    else:
        targets = [target for s in statements if isinstance(s, ast.Assign) for target in s.targets]
        stored = [node for target in targets for node in ast.walk(target) if isinstance(node, ast.Name | ast.Attribute)]
        names = [ast.unparse(node) for node in stored if isinstance(node.ctx, ast.Store)]
        lines = [f"{name} = ..." for name in dict.fromkeys(names)] or ["..."]
    return "\n".join(f"{indent}{line}" for line in ["# Your code here.", *lines])


def differences(root: Path) -> list[str]:
    """Compare every committed notebook with its source, without executing anything.

    Returns:
        one line for each notebook or cell that is missing, left over or different in kind, text, tags or id.
    """
    found, expected_paths = [], set()
    for source in sorted((root / "notebooks" / "source").glob("*.py")):
        for path, solutions in notebook_paths(root, source).items():
            expected_paths.add(path)
            name = path.relative_to(root).as_posix()
            if not path.exists():
                found.append(f"{name} is missing")
                continue
            expected = [_essence(cell) for cell in make_notebook(root, source, path, solutions).cells]
            actual = [_essence(cell) for cell in nbformat.read(path, as_version=4).cells]
            if len(expected) != len(actual):
                found.append(f"{name} has {len(actual)} cells, its source {len(expected)}")
            found += [
                f"{name}, cell {number}: {', '.join(k for k in a if a[k] != b[k])} not as in the source"
                for number, (a, b) in enumerate(zip(expected, actual, strict=False), start=1)
                if a != b
            ]
    present = {*(root / "notebooks").glob("*.ipynb"), *(root / "notebooks" / "solutions").glob("*.ipynb")}
    found += [f"{p.relative_to(root).as_posix()} has no source" for p in sorted(present - expected_paths)]
    return found


def _essence(cell: nbformat.NotebookNode) -> dict[str, Any]:
    return {"kind": cell.cell_type, "text": cell.source, "tags": cell.metadata.get("tags", []), "id": cell.id}
