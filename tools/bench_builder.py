"""Measure what a change in the grid builder costs: CPU time of the kernel, and bytes sent to the browser.

    python -m tools.bench_builder               # this version
    python -m tools.bench_builder 2162dcf       # beside an earlier one, each in a process of its own

The grid is 5 x 5 photographs of 1600 x 1200 pixels. A change is a cell emptied and restored, the image of a cell
replaced, and two cells swapped; the static image that is made when nothing has changed for a moment counts as part of
it. What the browser asks for in answer is counted too.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
MEASURE = """
import json, sys, time
import numpy as np
from PIL import Image
import comm

class Comm(comm.base_comm.BaseComm):
    sent = 0
    def publish_msg(self, kind, data=None, metadata=None, buffers=None, **more):
        Comm.sent += len(json.dumps(data, default=str)) + sum(memoryview(part).nbytes for part in buffers or ())

comm.create_comm = lambda *given, **more: Comm(*given, **more)
import ipywidgets.widgets.widget as widget
widget.comm.create_comm = comm.create_comm

from visualcloze_nb import Grid
from visualcloze_nb.widgets import GridBuilder

rng = np.random.default_rng(0)
def photo():
    coarse = Image.fromarray(rng.integers(0, 255, (30, 40, 3), dtype=np.uint8))
    return coarse.resize((1600, 1200), Image.Resampling.BICUBIC)

rows = [[photo() for _ in range(5)] for _ in range(5)]
rows[4][4] = None
builder = GridBuilder(Grid(rows), pipe="384")
state, stills = builder.state, []

class Handle:
    def update(self, still):
        data, _ = still._repr_mimebundle_()
        Comm.sent += sum(len(part) for part in data.values())
builder._output.handle = Handle()

known = set()
def browser():
    '''Ask for images that are shown and not known, as the browser does.'''
    view = getattr(builder.cells.box, "view", None)
    if view:
        keys = [cell["image"] for line in view["cells"] for cell in line]
        missing = sorted({key for key in keys if key} - known)
        if missing:
            builder.cells.box._handle_custom_msg({"kind": "want", "keys": missing}, [])
            known.update(missing)
browser()

def measure(times, act):
    Comm.sent, began = 0, time.process_time()
    for number in range(times):
        act(number)
        browser()
    return (time.process_time() - began) / times, Comm.sent / times

def changes(number):
    if number % 4 == 0:
        state.clear(1, 1)
    elif number % 4 == 1:
        state.undo()
    elif number % 4 == 2:
        state.put(2, 2, fresh[number // 4])
    else:
        state.swap((0, 0), (3, 1))

fresh = [photo() for _ in range(3)]
changes(3)
measured = {"change": measure(12, changes), "select": measure(12, lambda number: state.select(number % 5, number % 3))}
print(json.dumps(measured))
"""


def measured(root: Path) -> dict[str, list[float]]:
    """Seconds of CPU time and bytes, by what was done."""
    done = subprocess.run([sys.executable, "-c", MEASURE], cwd=root, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def main(revisions: list[str]) -> None:
    """Measure this version, and before it those given."""
    with tempfile.TemporaryDirectory() as folder:
        versions = {}
        for revision in revisions:
            place = Path(folder) / revision
            place.mkdir()
            archive = subprocess.run(
                ["git", "archive", revision, "visualcloze_nb"], cwd=ROOT, stdout=subprocess.PIPE, check=True
            )
            subprocess.run(["tar", "x", "-C", str(place)], input=archive.stdout, check=True)
            versions[revision] = measured(place)
        versions["this version"] = measured(ROOT)
    for version, actions in versions.items():
        for action, (seconds, sent) in actions.items():
            print(f"{version:14} {action:8} {seconds * 1000:8.1f} ms CPU  {sent / 1000:8.1f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
