"""Run diffusers' own tests of its VisualCloze and Fill pipelines, first as they are, then with our classes.

`python -m tools.upstream_tests CHECKOUT` takes a checkout of diffusers at the tag of the installed version: its wheel
and its source archive hold no pipeline tests. The tests fetch two tiny models from the hub. What passes on the stock
classes and not on ours is listed, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

FILES = (
    "tests/pipelines/visualcloze/test_pipeline_visualcloze_combined.py",
    "tests/pipelines/visualcloze/test_pipeline_visualcloze_generation.py",
    "tests/pipelines/flux/test_pipeline_flux_fill.py",
)
REPLACED = ("VisualClozePipeline", "VisualClozeGenerationPipeline", "FluxFillPipeline")
PLUGIN = """
import diffusers, visualcloze_nb
for name in {names!r}:
    setattr(diffusers, name, getattr(visualcloze_nb, name))
"""


def outcomes(checkout: Path, ours: bool) -> dict[str, str]:
    """Run the tests in a process of their own.

    Args:
        checkout: folder that holds `tests/pipelines`.
        ours: whether our classes take the place of diffusers'.

    Returns:
        for each test `passed`, `failed` or `skipped`.
    """
    files = [name for name in FILES if (checkout / name).is_file()]
    if not files:
        sys.exit(f"{checkout} has none of diffusers' pipeline tests: give a checkout of its repository")
    with tempfile.TemporaryDirectory() as folder:
        report, plugin = Path(folder, "report.xml"), Path(folder, "our_classes.py")
        plugin.write_text(PLUGIN.format(names=REPLACED if ours else ()))
        paths = [folder, str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        command = [sys.executable, "-m", "pytest", "-q", "-p", "our_classes", "-p", "no:cacheprovider"]
        command += ["--rootdir", str(checkout), f"--junit-xml={report}", *files]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
        if not report.is_file():
            sys.exit(f"pytest gave no report:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        cases = ElementTree.parse(report).getroot().iter("testcase")
        return {f"{case.get('classname')}::{case.get('name')}": _outcome(case) for case in cases}


def _outcome(case: ElementTree.Element) -> str:
    tags = {child.tag for child in case}
    return "failed" if tags & {"failure", "error"} else "skipped" if "skipped" in tags else "passed"


def main(arguments: list[str] | None = None) -> int:
    """Compare the two runs, and return the number for `sys.exit`."""
    parser = argparse.ArgumentParser(prog="python -m tools.upstream_tests", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkout", type=Path, help="folder with diffusers' repository at the installed version's tag")
    checkout = parser.parse_args(arguments).checkout.resolve()
    stock = outcomes(checkout, ours=False)
    passing = [name for name, outcome in stock.items() if outcome == "passed"]
    if not passing:
        print("No test passes on the stock classes: the hub's tiny models cannot be had here, or the versions differ")
        return 2
    ours = outcomes(checkout, ours=True)
    differing = [name for name in passing if ours.get(name) != "passed"]
    same = len(passing) - len(differing)
    print(f"{len(passing)} of {len(stock)} tests pass on the stock classes, {same} of them on ours")
    for name in differing:
        print(f"  {name}: {ours.get(name, 'not run')}")
    return int(bool(differing))


if __name__ == "__main__":
    sys.exit(main())
