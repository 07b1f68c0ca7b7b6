"""`visualcloze-nb bench`: seconds of each part and peak memory, beside stock diffusers.

Every case runs in a process of its own, so that one does not pay for what another imported or left behind.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from visualcloze_nb.cli.arguments import fraction, new_file, whole
from visualcloze_nb.cli.own_process import in_own_process
from visualcloze_nb.evaluation.timing import bare_calls, peak_memory
from visualcloze_nb.settings import STEPS, STRENGTH

if TYPE_CHECKING:
    import numpy as np

    from visualcloze_nb.data.grid import Grid
    from visualcloze_nb.pipelines.combined import VisualClozePipeline

PARTS = [f"stage {stage} {part}" for stage in (1, 2) for part in ("text", "encode", "steps", "decode")]
CASES = {"ours": "this package", "stock": "stock diffusers"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what to measure."""
    parser.add_argument("--model", default="tiny", help="tiny, or the folder of a checkpoint")
    parser.add_argument("--steps", type=whole(1), default=STEPS)
    parser.add_argument("--strength", type=fraction, default=STRENGTH)
    parser.add_argument("--repeat", type=whole(0), default=3, help="runs after the first; the median counts")
    parser.add_argument("--json", type=new_file(".json"), help="file to write the numbers to")
    parser.add_argument("--options", action="store_true", help="how far faster settings change the image")
    parser.add_argument("--full-size", action="store_true", help="the full architecture on a GPU, random weights")
    parser.add_argument("--small", action="store_true", help=argparse.SUPPRESS)  # tests: the same code, tiny
    parser.add_argument("--case", help=argparse.SUPPRESS)  # what a process of its own is to measure


def run(options: argparse.Namespace) -> int:
    """Measure, print a table, and write the numbers as JSON if `--json` is given."""
    if options.full_size:
        from visualcloze_nb.cli.bench_full_size import run as run_full_size

        return run_full_size(options)
    if options.case:
        print(json.dumps(measure(options)))
        return 0
    from visualcloze_nb.loading.checkpoints import checkpoint_folder

    checkpoint_folder(options.model)  # raises in one line here, not in a process of its own
    if options.options:
        for name, (mean, most) in changes(options).items():
            print(f"{name:34}changes an image by {mean:.2f} of 255 on average, {most} at most")
        return 0
    found = {case: in_own_process(["--case", case], options) for case in CASES}
    print(table(found))
    found["settings"] = {"model": options.model, "steps": options.steps, "strength": options.strength}
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


def changes(options: argparse.Namespace) -> dict[str, tuple[float, int]]:
    """Measure how far the settings that save time or memory change the demo's image: (mean, most) of 255."""
    import numpy as np
    import torch

    from visualcloze_nb.cli.demo import demo_grid
    from visualcloze_nb.loading.load import load

    grid, _ = demo_grid()

    def fill(pipe: VisualClozePipeline, **more: Any) -> np.ndarray:
        result = pipe.fill(grid, seed=0, steps=options.steps, progress=False, **more)
        return np.asarray(result.image).astype(int)

    plain = load(options.model)
    expected = fill(plain)
    images = {
        "the same again": fill(plain),
        "twice the padding of the text": fill(plain, max_sequence_length=2 * plain.tokenizer_2.model_max_length),
        "dtype=torch.bfloat16": fill(load(options.model, dtype=torch.bfloat16)),
    }
    if shutil.which("g++") or torch.cuda.is_available():
        images["compile=True"] = fill(load(options.model, compile=True))
    gaps = {name: np.abs(image - expected) for name, image in images.items()}
    return {name: (float(gap.mean()), int(gap.max())) for name, gap in gaps.items()}


def measure(options: argparse.Namespace) -> dict:
    """Load one of the two pipelines and run it: seconds and peak memory of this process."""
    start = time.perf_counter()
    from visualcloze_nb.cli.demo import demo_grid
    from visualcloze_nb.loading.hardware import limit_threads

    threads = limit_threads()
    open_checkpoint: Callable[[Any], Any]
    if options.case == "ours":
        from visualcloze_nb.loading.load import load

        open_checkpoint, place, run = load, options.model, ours
    else:
        from diffusers import VisualClozePipeline as Stock  # pyright: ignore[reportPrivateImportUsage]  # as users do

        from visualcloze_nb.loading.checkpoints import checkpoint_folder

        open_checkpoint, place, run = Stock.from_pretrained, checkpoint_folder(options.model), stock
    imported = time.perf_counter()
    pipe: Any = open_checkpoint(place)
    loaded = time.perf_counter()
    grid, _ = demo_grid()
    runs = [run(pipe, grid, options) for _ in range(1 + options.repeat)]
    found = {name: statistics.median(run[name] for run in runs[1:] or runs) for name in runs[0]}
    found |= {"import": imported - start, "load": loaded - imported, "first run": runs[0]["total"]}
    found |= {"peak_mb": peak_memory() / 1e6, "threads": threads}
    if options.case == "ours":
        found["bare stage 1 steps"] = bare_calls(pipe, grid, options.steps, options.repeat)
    return found


def ours(pipe: VisualClozePipeline, grid: Grid, options: argparse.Namespace) -> dict[str, float]:
    """Fill the grid with this package.

    Args:
        pipe: ours.
        grid: what to fill.
        options: those of the command; `steps` and `strength` are read.

    Returns:
        seconds of each part.
    """
    result = pipe.fill(grid, seed=0, steps=options.steps, strength=options.strength, progress=False)
    return result.seconds


def stock(pipe: Any, grid: Grid, options: argparse.Namespace) -> dict[str, float]:
    """Make the same call of stock diffusers, with the sizes and the strength that it does not choose itself.

    Args:
        pipe: of stock diffusers, already two-stage.
        grid: what to fill.
        options: those of the command; `steps` and `strength` are read.

    Returns:
        seconds of the call, as `total`.
    """
    import torch

    from visualcloze_nb.pipelines.sizes import stage2_size
    from visualcloze_nb.pipelines.validation import text_length

    for part in (pipe, pipe.generation_pipe, pipe.upsampling_pipe):
        part.set_progress_bar_config(disable=True)
    width, height = stage2_size(*grid.layout(pipe.config.resolution).sizes[-1])
    start = time.perf_counter()
    pipe(
        task_prompt=grid.task,
        content_prompt=grid.content,
        image=grid.to_lists(),
        num_inference_steps=options.steps,
        upsampling_strength=options.strength,
        upsampling_width=width,
        upsampling_height=height,
        max_sequence_length=text_length(None, pipe.tokenizer_2),
        generator=torch.Generator("cpu").manual_seed(0),
    )
    return {"total": time.perf_counter() - start}


def table(found: dict[str, dict]) -> str:
    """Format the numbers of both cases as a table."""
    ours, stock = found["ours"], found["stock"]
    lines = [f"{'seconds':22}{'this package':>14}{'stock diffusers':>17}"]
    for name in ("import", "load", "first run", *PARTS, "total"):
        if name in ours:
            other = f"{stock[name]:17.2f}" if name in stock else f"{'':17}"
            lines.append(f"{name:22}{ours[name]:14.2f}{other}")
    lines.append(f"{'peak memory, MB':22}{ours['peak_mb']:14.0f}{stock['peak_mb']:17.0f}")
    ratio = ours["stage 1 steps"] / ours["bare stage 1 steps"]
    lines.append(f"stage 1 steps take {ratio:.2f} times the bare calls of the transformer")
    lines.append(f"{ours['threads']} threads; a run's parts are medians, after a first run")
    return "\n".join(lines)
