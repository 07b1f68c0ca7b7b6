"""`visualcloze-nb bench --full-size`: the released architecture with random weights on a GPU, beside stock diffusers.

Speed and memory do not depend on what the weights are, so nothing is downloaded. `resident`,
`encode-then-free` and `nf4` run in processes of their own, each on four workloads: seconds a step, peak memory
against the plan's figure, and the share of the matrix rate measured on the same device.
"""

from __future__ import annotations

import argparse
import copy
import gc
import importlib.util
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from diffusers.pipelines.visualcloze.pipeline_visualcloze_combined import VisualClozePipeline as StockPipeline
from PIL import Image

from visualcloze_nb.cli.own_process import in_own_process
from visualcloze_nb.data.grid import Grid
from visualcloze_nb.evaluation.timing import peak_memory
from visualcloze_nb.loading.memory_plan import RESERVE, Machine, plan
from visualcloze_nb.loading.model_size import Model, Part
from visualcloze_nb.loading.random_weights import FULL, SMALL, Size, build, build_text_encoders, four_bit_layers
from visualcloze_nb.pipelines.combined import VisualClozePipeline
from visualcloze_nb.pipelines.prompt_cache import TextEncoderLoader
from visualcloze_nb.settings import TOKEN_PIXELS, UPSCALING

MODES = ("resident", "encode-then-free", "nf4")
WORKLOADS = ("2x2@384", "3x3@384", "2x2@512", "stage 2 1344x768")
STEPS = 8
TEXT = "a cross beside two rings on a plain ground, seen from above in even light"


def run(options: argparse.Namespace) -> int:
    """Run each mode in its own process, print the table, write JSON."""
    if options.case:
        print(json.dumps(measure(options.case, options)))
        return 0
    if not torch.cuda.is_available() and not options.small:
        print("--full-size needs a CUDA GPU: torch finds none here, so nothing was measured")
        return 1
    flags = ["--full-size"] + ["--small"] * options.small
    found = {mode: in_own_process([*flags, "--case", mode], options) for mode in MODES}
    print(table(found))
    target = options.json or Path("bench_full_size.json")
    target.write_text(json.dumps(found, indent=2) + "\n")
    print(f"written to {target}")
    return 0


def measure(mode: str, options: argparse.Namespace) -> dict:
    """Build the model for one mode and run all workloads, ours and stock in turn."""
    if mode == "nf4" and importlib.util.find_spec("bitsandbytes") is None:
        return {"skipped": "bitsandbytes is not installed"}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = SMALL if options.small else FULL
    parts = build(size, device)
    if mode == "nf4":
        for name in ("transformer", "text_encoder_2"):
            parts[name] = four_bit_layers(parts[name])
    found = {"device": torch.cuda.get_device_name() if device == "cuda" else "CPU", "workloads": {}}
    found["matrix_rate"] = rate = matrix_rate(device, size.matrix)
    steps = 3 if options.small else STEPS
    waiting = build_text_encoders(size, "cpu") if mode == "encode-then-free" else {}  # in place of the disk
    parts |= dict.fromkeys(waiting)
    for workload in WORKLOADS:
        ours = VisualClozePipeline(**parts, resolution=size.resolution(workload))
        runs: dict[str, Any] = {"ours": ours}
        if waiting:
            ours.text_encoder_loader = TextEncoderLoader(ours, lambda: copied(waiting, device))
        else:
            runs["stock"] = StockPipeline(**parts, resolution=size.resolution(workload))
        times = {name: run_workload(pipe, workload, steps, size) for name, pipe in runs.items()}
        peak = times["ours"].pop("peak")
        found["workloads"][workload] = entry = {name: value["seconds a step"] for name, value in times.items()}
        entry |= {"peak": peak, "planned": planned(mode, ours, workload, size)}
        entry["share of matrix rate"] = flops(ours, workload, size) / entry["ours"] / rate
        gc.collect()
    if mode == "resident" and device == "cuda":
        ours = VisualClozePipeline(**parts, resolution=size.resolution(WORKLOADS[0]))
        ours.transformer.compile_repeated_blocks(fullgraph=True, dynamic=True)
        run_workload(ours, WORKLOADS[0], 2, size)
        compiled = run_workload(ours, WORKLOADS[0], steps, size)["seconds a step"]
        found["compiled"] = {"seconds a step": compiled}
        found["compiled"]["times faster"] = found["workloads"][WORKLOADS[0]]["ours"] / compiled
    return found


def copied(modules: dict[str, torch.nn.Module], device: str) -> dict[str, torch.nn.Module]:
    """Copy modules to a device, so that the originals stay where they wait."""
    return {name: copy.deepcopy(module).to(device) for name, module in modules.items()}


def run_workload(pipe: Any, workload: str, steps: int, size: Size) -> dict[str, float]:
    """Run one workload.

    Args:
        pipe: ours, or that of stock diffusers.
        workload: one of `WORKLOADS`.
        steps: of the sampler.
        size: of the model.

    Returns:
        the median time between steps in seconds, and the peak of GPU memory (of RAM without a GPU) in bytes.
    """
    cuda = torch.cuda.is_available()
    stamps = []

    def stamp(inner, step, timestep, tensors):
        if cuda:
            torch.cuda.synchronize()
        stamps.append(time.perf_counter())
        return tensors

    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    for part in (pipe, pipe.generation_pipe, pipe.upsampling_pipe):
        part.set_progress_bar_config(disable=True)
    call(pipe, workload, steps, size, callback_on_step_end=stamp)
    peak = torch.cuda.max_memory_allocated() if cuda else peak_memory()
    between = [b - a for a, b in zip(stamps, stamps[1:], strict=False)]
    return {"seconds a step": statistics.median(between), "peak": peak}


def call(pipe: Any, workload: str, steps: int, size: Size, **options: Any) -> None:
    """Make the call of a workload, in the form that stock diffusers knows; arguments as for `run_workload`."""
    options |= {"num_inference_steps": steps, "generator": torch.Generator("cpu").manual_seed(0)}
    options["max_sequence_length"] = size.text
    if workload.startswith("stage 2"):
        width, height = size.stage_2
        image = Image.new("RGB", (width // UPSCALING, height // UPSCALING), "grey")
        mask = Image.new("RGB", image.size, "white")
        options |= {"image": image, "mask_image": mask, "width": width, "height": height, "strength": 1.0}
        pipe.upsampling_pipe(prompt=TEXT, **options)
        return
    rows, cols = size.shape(workload)
    grid = grid_of(rows, cols, size.resolution(workload))
    options |= {"task_prompt": grid.task, "content_prompt": TEXT, "image": grid.to_lists()}
    pipe(**options, upsampling_strength=0)


def grid_of(rows: int, cols: int, side: int) -> Grid:
    """Make a grid of plain images with one target; `side` is the pixels of a cell."""
    cells = [[Image.new("RGB", (side, side), (40 * r, 40 * c, 90)) for c in range(cols)] for r in range(rows)]
    return Grid(
        [*cells[:-1], [*cells[-1][:-1], None]], task="In each row, a logical task is demonstrated.", content=TEXT
    )


def matrix_rate(device: str, side: int) -> float:
    """Measure how many operations a second a large bfloat16 product runs at."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(5):
            torch.matmul(a, b)
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, (time.perf_counter() - start) / 5)
    return 2 * side**3 / best


def flops(pipe: Any, workload: str, size: Size) -> float:
    """Count the operations of one step of a workload: two for each weight and token, and attention.

    A token meets 12 width² weights in a block of either kind; other layers hardly count.

    Args:
        pipe: its transformer's config is read.
        workload: one of `WORKLOADS`.
        size: of the model.
    """
    config = pipe.transformer.config
    width = config.num_attention_heads * config.attention_head_dim
    if workload.startswith("stage 2"):
        image = size.stage_2[0] * size.stage_2[1] // TOKEN_PIXELS**2
    else:
        rows, cols = size.shape(workload)
        image = grid_of(rows, cols, size.resolution(workload)).layout(size.resolution(workload)).total
    tokens = image + size.text
    blocks = config.num_layers + config.num_single_layers
    return blocks * (2 * 12 * width**2 * tokens + 4 * tokens**2 * width)


def planned(mode: str, pipe: Any, workload: str, size: Size) -> float:
    """Compute the peak by the memory plan, without the reserve for what torch does not count.

    Args:
        mode: one of `MODES`, the name of a memory plan.
        pipe: its config is read.
        workload: one of `WORKLOADS`.
        size: of the model.

    Returns:
        bytes of GPU memory.
    """
    counted = {name: Part(number, *rest) for name, (number, *rest) in size.counts.items()}
    config = pipe.transformer.config
    model = Model(
        mode,
        counted,
        size.resolution(workload),
        width=config.num_attention_heads * config.attention_head_dim,
        channels=pipe.vae.config.block_out_channels[1],
    )
    rows, cols, stage_2 = (1, 1, size.stage_2)
    if not workload.startswith("stage 2"):
        (rows, cols), stage_2 = size.shape(workload), (16, 16)
    machine = Machine(1e15, 1e15, 1, "this GPU", 1e15, bf16=True, four_bit=True)
    return plan(model, machine, mode, rows=rows, cols=cols, size=stage_2).gpu - RESERVE


def table(found: dict[str, dict]) -> str:
    """Format the numbers of all modes as a table."""
    lines = [f"{'':18}{'workload':20}{'s a step':>10}{'stock':>9}{'peak GB':>9}{'planned':>9}{'of rate':>9}"]
    for mode, result in found.items():
        if "skipped" in result:
            lines.append(f"{mode:18}skipped: {result['skipped']}")
            continue
        for workload, entry in result["workloads"].items():
            stock = f"{entry['stock']:9.3f}" if "stock" in entry else f"{'':9}"
            lines.append(
                f"{mode:18}{workload:20}{entry['ours']:10.3f}{stock}{entry['peak'] / 1e9:9.1f}"
                f"{entry['planned'] / 1e9:9.1f}{entry['share of matrix rate']:9.0%}"
            )
        if "compiled" in result:
            compiled = result["compiled"]
            lines.append(f"{mode:18}compiled: {compiled['seconds a step']:.3f} s a step, "
                         f"{compiled['times faster']:.2f} times faster")  # fmt: skip
    first = next(iter(found.values()))
    lines.append(f"{first['device']}, {first['matrix_rate'] / 1e12:.2f} TFLOP/s in bfloat16 products")
    return "\n".join(lines)
