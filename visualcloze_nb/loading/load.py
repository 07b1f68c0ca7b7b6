"""`load(name)`: a VisualCloze pipeline, ready to run on this machine."""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from visualcloze_nb.errors import ModelError, UsageError, VisualClozeWarning
from visualcloze_nb.loading import memory_plan
from visualcloze_nb.loading.checkpoint_files import check_weights, shown
from visualcloze_nb.loading.checkpoints import (
    HUB,
    LORAS,
    REVISIONS,
    check_packages,
    describe,
    place_of,
    resolution_of,
    token,
    warn_of_licence,
)
from visualcloze_nb.loading.hardware import limit_threads, probe
from visualcloze_nb.loading.pretrained import Pretrained, dtypes_of, four_bits
from visualcloze_nb.pipelines.combined import VisualClozePipeline
from visualcloze_nb.pipelines.validation import check_resolution


def load(
    name: str | os.PathLike = "tiny",
    *,
    plan: str = "auto",
    device: str | None = None,
    dtype: torch.dtype | None = None,
    revision: str | None = None,
    variant: str | None = None,
    resolution: int | None = None,
    compile: bool = False,
) -> VisualClozePipeline:
    """Load a pipeline by the fastest memory plan that fits this machine.

    Args:
        name: `tiny` (bundled; on the CPU unless `plan` or `device` says otherwise); `384`, `512`,
            `384-lora` or `512-lora` (released, 34 GB, for a GPU); the path of a folder that a pipeline was
            saved in; or the id of a hub repository.
        plan: `auto`, or the name of one of `memory_plan.STRATEGIES`, such as `resident`, `nf4` or `offload`: it is
            followed even if it may not fit.
        device: where to run, such as `cuda:1`, in place of the plan's device.
        dtype: precision of the computation, in place of the plan's. `visualcloze-nb bench --options`
            measures how far bfloat16 changes the tiny model's image.
        revision: commit, tag or branch on the hub.
        variant: of the weight files, such as `bf16` for `model.bf16.safetensors`; components without it load
            their plain files.
        resolution: of the pipeline, a multiple of 16 pixels, in place of the one that the checkpoint names.
        compile: compile the transformer's blocks: the first run takes a minute longer, all others less time.
            `visualcloze-nb bench --options` measures how far it changes the tiny model's image.

    Returns:
        the pipeline; `pipe.plan` describes how it runs.

    Raises:
        ModelError: if the checkpoint is not there, damaged, not allowed, or too large, saying what to do.
        UsageError: if an argument has no meaning, such as a plan that does not exist.

    Warns:
        VisualClozeWarning: if a checkpoint does not name its resolution, and it is taken from its name.
    """
    name = check_arguments(name, device=device, dtype=dtype, revision=revision, variant=variant, resolution=resolution)
    limit_threads()
    check_packages(name)
    if name == "tiny" and plan == "auto":
        plan = "cpu"  # the lessons are written for it, and it takes seconds
    model = describe(name, variant)
    place = place_of(name)
    local = os.path.isdir(place)
    hub = {} if local else {"revision": revision or REVISIONS.get(place), "token": token()}
    named, known = resolution_of(name, **hub)
    if resolution is None and not known:
        message = (
            f"{shown(name)} names no resolution in its model_index.json: {named} is taken from its name or by default"
        )
        warnings.warn(f"{message}. Give load(…, resolution=…) if it is another", VisualClozeWarning, stacklevel=2)
    model = replace(model, resolution=int(resolution or named))
    chosen = memory_plan.plan(model, probe(), plan)
    if chosen.missing:
        message = f"{name} does not fit this machine as {chosen.name}: it lacks {'; '.join(chosen.missing)}"
        if plan == "auto" or {memory_plan.NO_GPU, memory_plan.BITSANDBYTES} & set(chosen.missing) and device is None:
            raise ModelError(f"{message}. Run `visualcloze-nb doctor`, which says more")
        warnings.warn(f"{message}. It is tried all the same", VisualClozeWarning, stacklevel=2)
    dtypes = dtype or dtypes_of(chosen.precision)
    options: dict[str, Any] = {"dtype": dtypes, "use_safetensors": True, "resolution": model.resolution, **hub}
    if variant is not None:
        options["variant"] = variant
    if local:
        check_weights(Path(place), variant)
    else:
        warn_of_licence()
    if chosen.strategy.packed:
        options["quantization_config"] = four_bits(dtypes)
    checkpoint = Pretrained(place, device or chosen.strategy.device, options, lora=LORAS.get(name))
    pipe = chosen.strategy.load(checkpoint)
    if compile:
        pipe.transformer.compile_repeated_blocks(fullgraph=True, dynamic=True)
    pipe.plan = chosen
    pipe.register_to_config(_name_or_path=name)  # a result records it as its model
    return pipe


def check_arguments(name: Any, *, device: Any, dtype: Any, revision: Any, variant: Any, resolution: Any) -> str:
    """Check the arguments of `load`, and give the model's name as text.

    Args:
        name, device, dtype, revision, variant, resolution: as for `load`.

    Raises:
        UsageError: naming the argument.
    """
    if not isinstance(name, (str, os.PathLike)) or not isinstance(os.fspath(name), str):
        raise UsageError(f"name is {shown(repr(name))}: give tiny, {', '.join(HUB)}, a folder or a hub id")
    text = os.path.expanduser(os.fspath(name))
    for argument, value in (("revision", revision), ("variant", variant)):
        if value is not None and not (isinstance(value, str) and re.fullmatch(r"[\w./-]+", value)):
            raise UsageError(f"{argument} is {shown(repr(value))}: give its name, or leave it out")
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise UsageError(f"dtype is {shown(repr(dtype))}: give torch.float32, torch.bfloat16 or torch.float16")
    if device is not None:
        try:
            torch.device(device)
        except (RuntimeError, TypeError) as error:
            raise UsageError(f"device is {shown(repr(device))}: give cpu, cuda or cuda:1") from error
    if resolution is not None:
        check_resolution(resolution)
    return text
