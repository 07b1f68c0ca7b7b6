"""`load(name)`: a VisualCloze pipeline, ready to run on this machine."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import torch

from visualcloze_nb.errors import ModelError, VisualClozeWarning
from visualcloze_nb.loading import memory_plan
from visualcloze_nb.loading.checkpoints import REVISIONS, describe, place_of, token, warn_of_licence
from visualcloze_nb.loading.hardware import limit_threads, probe
from visualcloze_nb.loading.pretrained import Pretrained, dtypes_of, four_bits
from visualcloze_nb.pipelines.combined import VisualClozePipeline


def load(
    name: str | os.PathLike = "tiny",
    *,
    plan: str = "auto",
    device: str | None = None,
    dtype: torch.dtype | None = None,
    revision: str | None = None,
    compile: bool = False,
) -> VisualClozePipeline:
    """Load a pipeline by the fastest memory plan that fits this machine.

    Args:
        name: `tiny` (bundled; on the CPU unless `plan` or `device` says otherwise); `384`, `512` or
            `384-lora` (released, 34 GB, for a GPU); the path of a folder that a pipeline was saved in; or the
            id of a hub repository.
        plan: `auto`, or the name of one of `memory_plan.STRATEGIES`, such as `resident`, `nf4` or `offload`: it is
            followed even if it may not fit.
        device: where to run, such as `cuda:1`, in place of the plan's device.
        dtype: precision of the computation, in place of the plan's. `visualcloze-nb bench --options`
            measures how far bfloat16 changes the tiny model's image.
        revision: commit, tag or branch on the hub.
        compile: compile the transformer's blocks: the first run takes a minute longer, all others less time.
            `visualcloze-nb bench --options` measures how far it changes the tiny model's image.

    Returns:
        the pipeline; `pipe.plan` describes how it runs.

    Raises:
        ModelError: if the checkpoint is not there, not allowed, or too large, saying what to do.
        ValueError: if there is no such plan.
    """
    limit_threads()
    if name == "tiny" and plan == "auto":
        plan = "cpu"  # the lessons are written for it, and it takes seconds
    chosen = memory_plan.plan(describe(str(name)), probe(), plan)
    if chosen.missing:
        message = f"{name} does not fit this machine as {chosen.name}: it lacks {'; '.join(chosen.missing)}"
        if plan == "auto" or {memory_plan.NO_GPU, memory_plan.BITSANDBYTES} & set(chosen.missing) and device is None:
            raise ModelError(f"{message}. `visualcloze-nb doctor` says more")
        warnings.warn(f"{message}. It is tried all the same", VisualClozeWarning, stacklevel=2)
    place = place_of(str(name))
    dtypes = dtype or dtypes_of(chosen.precision)
    options: dict[str, Any] = {"dtype": dtypes, "use_safetensors": True}
    if not Path(place).is_dir():
        warn_of_licence()
        options |= {"revision": revision or REVISIONS.get(place), "token": token()}
    if chosen.strategy.packed:
        options["quantization_config"] = four_bits(dtypes)
    checkpoint = Pretrained(place, device or chosen.strategy.device, options, lora=name == "384-lora")
    pipe = chosen.strategy.load(checkpoint)
    if compile:
        pipe.transformer.compile_repeated_blocks(fullgraph=True, dynamic=True)
    pipe.plan = chosen
    pipe.register_to_config(_name_or_path=str(name))  # a result records it as its model
    return pipe
