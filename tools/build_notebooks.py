"""Build and execute the lessons: notebooks/source/NN_topic.py becomes two executed notebooks.

    python -m tools.build_notebooks              all lessons (make notebooks)
    python -m tools.build_notebooks 01_grids     one
    python -m tools.build_notebooks --check      compare notebooks with sources, execute nothing

notebook_source.py makes a notebook from its source. This module executes it, and rejects outputs that could not be
compared later.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path

import nbformat

from tools.notebook_source import METADATA, differences, make_notebook, notebook_paths


def execute(notebook: nbformat.NotebookNode, folder: Path) -> tuple[float, float]:
    """Run every cell in a fresh kernel, in place.

    Args:
        notebook: its outputs are replaced.
        folder: the kernel's working directory.

    Returns:
        seconds, and the kernel's peak memory in MB (nan where /proc is missing).

    Raises:
        nbclient.exceptions.CellExecutionError: if a cell raises.
    """
    from nbclient import NotebookClient

    client = NotebookClient(
        notebook,
        timeout=600,
        record_timing=False,
        coalesce_streams=True,  # how often a kernel flushes varies
        extra_arguments=["--log-level=ERROR"],  # the kernel warns about its own transport on every start
        resources={"metadata": {"path": str(folder)}},
    )
    started = time.perf_counter()
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
        seconds = time.perf_counter() - started
        pid = getattr(client.km and client.km.provisioner, "pid", None)
        status = Path(f"/proc/{pid}/status")
        peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    notebook.metadata = METADATA
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data.pop("image/jpeg", None)  # Pillow gives both
            if "text/html" in output.get("data", {}):  # the image with its alt text: committed once, not twice
                output.data.pop("image/png", None)
                output.metadata.pop("image/png", None)
    return seconds, int(peak[1]) * 1024 / 1e6 if peak else float("nan")


def faults(notebook: nbformat.NotebookNode, solutions: bool) -> list[str]:
    """List what must not be committed: outputs that cannot be compared, verdicts that must be wrong.

    Args:
        notebook: an executed notebook.
        solutions: whether it keeps the solutions.

    Returns:
        one line for each fault, naming the cell.
    """
    found = []
    for number, cell in enumerate(notebook.cells, start=1):
        for output in cell.get("outputs", []):
            text = output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
            found += [
                f"cell {number}: {complaint}"
                for complaint, is_so in {
                    f"writes to stderr: {text[:200]!r}": output.get("name") == "stderr",
                    "shows a live widget: show its static form": any(
                        "widget" in kind for kind in output.get("data", {})
                    ),
                    f"prints an address in memory: {text[:200]!r}": bool(re.search(r"0x[0-9a-f]{6,}", text)),
                    "rejects its own solution": solutions and bool(re.search("✗|not attempted yet", text)),
                    "has a verdict on a stub": not solutions and bool(re.search("[✗✓]", text)),
                }.items()
                if is_so
            ]
    return found


def find_sources(root: Path, names: list[str]) -> list[Path]:
    """Find the sources of lessons, in order.

    Args:
        root: the repository.
        names: lessons, such as 01_grids; all if empty.

    Raises:
        ValueError: if there is no such lesson, or none at all.
    """
    sources = sorted((root / "notebooks" / "source").glob("*.py"))
    unknown = set(names) - {source.stem for source in sources}
    if unknown or not sources:
        missing = ", ".join(sorted(unknown)) or "any lesson"
        raise ValueError(f"No source for {missing} in {root / 'notebooks' / 'source'}")
    return [source for source in sources if not names or source.stem in names]


def main(argv: list[str] | None = None) -> int:
    """Build or check; returns the exit status."""
    parser = argparse.ArgumentParser("python -m tools.build_notebooks", description="Build and execute the lessons.")
    parser.add_argument("names", nargs="*", help="lessons, such as 01_grids; all by default")
    parser.add_argument("--check", action="store_true", help="compare with the sources, execute nothing")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the repository; this folder by default")
    options = parser.parse_args(argv)
    root = options.root.resolve()
    if options.check:
        found = differences(root)
        print("\n".join([*found, "Run: make notebooks"] if found else ["Notebooks and sources agree."]))
        return bool(found)
    try:
        sources = find_sources(root, options.names)
    except ValueError as error:
        print(error)
        return 1
    failed = 0
    for source in sources:
        for path, solutions in notebook_paths(root, source).items():
            notebook = make_notebook(root, source, path, solutions)
            path.parent.mkdir(parents=True, exist_ok=True)
            seconds, megabytes = execute(notebook, path.parent)
            print(f"{path.relative_to(root)}: {seconds:.1f} s, peak {megabytes:.0f} MB", flush=True)
            found = faults(notebook, solutions)
            print("".join(f"  {line}\n" for line in found), end="")
            failed += bool(found)
            if not found:
                nbformat.write(notebook, path)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
