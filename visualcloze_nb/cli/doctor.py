"""`visualcloze-nb doctor`: what this machine can run, and what to do about what is missing."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
from pathlib import Path

from visualcloze_nb.errors import ModelError
from visualcloze_nb.loading.checkpoint_files import check_weights
from visualcloze_nb.loading.checkpoints import HUB, TINY, describe, place_of, resolution_of, token
from visualcloze_nb.loading.hardware import probe
from visualcloze_nb.loading.memory_plan import Machine, plan
from visualcloze_nb.loading.model_size import gb

PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "huggingface_hub", "Pillow")
OPTIONAL = {
    "bitsandbytes": "4-bit weights, for GPUs under 40 GB",
    "peft": "LoRA",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which models to plan for."""
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"tiny, {', '.join(HUB)}, a folder, a hub id")


def run(options: argparse.Namespace) -> int:
    """Print machine, versions, a plan for each model, and advice; returns 0 if the bundled model can run.

    Raises:
        ModelError: if a model that was given does not exist, or its files are damaged.
    """
    models = options.models or ["tiny", *HUB]
    for name in options.models:
        check(name)  # before anything is printed
    machine = probe()
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    print(describe_machine(machine))
    print(", ".join(f"{name} {version(name) or 'missing'}" for name in PACKAGES))
    for name, use in OPTIONAL.items():
        print(f"{name} {version(name) or 'not installed'}: {use}")
    print()
    for name in models:
        print(f"{name}:", report(name, machine), "", sep="\n")
    print("\n".join(f"- {line}" for line in advice(machine)))
    try:
        check("tiny")
    except ModelError:  # reported above
        return 1
    return 0


def check(name: str) -> None:
    """Check that a model exists and, in a folder, that its files are whole and belong together.

    Raises:
        ModelError: naming the file.
    """
    describe(name)
    resolution_of(name, token=token())
    if os.path.isdir(place_of(name)):
        check_weights(Path(place_of(name)))


def describe_machine(machine: Machine) -> str:
    """Describe a machine."""
    gpu = f"{machine.gpu}, {gb(machine.gpu_memory)}" if machine.gpu else "none"
    bf16 = ", bf16" if machine.bf16 else ", no bf16" if machine.gpu else ""
    return f"CPU cores {machine.cores}, free RAM {gb(machine.ram)}, free disk {gb(machine.disk)}\nGPU: {gpu}{bf16}"


def report(name: str, machine: Machine) -> str:
    """Describe how a model would run here, or why that is unknown."""
    try:
        found = plan(describe(name), machine, "cpu" if name == "tiny" else "auto")
    except Exception as error:  # one broken model must not end the report
        return f"  {type(error).__name__}: {error}"
    head = "does not run here; the last plan tried:" if found.missing else "runs here:"
    return "\n".join([f"  {head}", *(f"  {line}" for line in found.words().splitlines())])


def version(package: str) -> str | None:
    """Return the installed version of a package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def advice(machine: Machine) -> list[str]:
    """List what to do about what is missing."""
    lines = []
    if not (TINY / "model_index.json").is_file():
        lines.append("the bundled checkpoint is missing: install the package again, or clone with all files")
    if machine.gpu is None:
        lines.append("no GPU that torch can use: the tiny model runs here; for the full one take a GPU machine")
    elif not machine.four_bit and machine.gpu_memory < 40e9:
        lines.append("pip install bitsandbytes: the full model fits this GPU only in 4 bits")
    if machine.gpu and not machine.bf16:
        lines.append("this GPU has no bf16: float16 is used, which nobody has verified for this model yet")
    if token() is None:
        lines.append(
            "no hub token: FLUX.1-Fill-dev (384-lora, 512-lora) is gated; accept its conditions on its page, make a "
            "read token, and set HF_TOKEN"
        )
    if machine.ram < 1.2e9:
        lines.append("less than 1.2 GB of RAM is free: close other notebooks")
    return lines or ["nothing is missing"]
