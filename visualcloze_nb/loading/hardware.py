"""What this machine has: memory and cores as the container allows, the GPU, the disk."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from visualcloze_nb.loading.memory_plan import Machine

CGROUP = Path("/sys/fs/cgroup")


def probe() -> Machine:
    """Measure this machine.

    Returns:
        RAM and disk that are free, GPU memory in all (what a notebook's own process holds counts as free).
    """
    import torch

    gpu, memory, bf16 = None, 0.0, False
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        gpu, memory = properties.name, float(properties.total_memory)
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)  # a T4 only emulates it
    four_bit = gpu is not None and importlib.util.find_spec("bitsandbytes") is not None
    return Machine(free_ram(), free_disk(), cores(), gpu, memory, bf16, four_bit)


def cores() -> int:
    """Count the CPU cores this process may use: the smaller of its affinity and the container's quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _cgroups("cpu"):
        quota = _numbers(folder / "cpu.max") or [
            *_numbers(folder / "cpu.cfs_quota_us"),
            *_numbers(folder / "cpu.cfs_period_us"),
        ]
        if len(quota) == 2 and quota[0] > 0 and quota[1] > 0:
            count = min(count, max(1, round(quota[0] / quota[1])))
    return count


def free_ram() -> float:
    """Measure the memory this process may still take, in bytes: what is free, or what the container allows."""
    free = float("inf")
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = float(line.split()[1]) * 1024
    except OSError:
        if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
            free = float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
    for folder in _cgroups("memory"):
        for limit, usage in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            allowed, taken = _numbers(folder / limit), _numbers(folder / usage)
            if allowed and taken:
                free = min(free, allowed[0] - taken[0] + _reclaimable(folder))
    return free


def _reclaimable(folder: Path) -> float:
    """Page cache counts as taken but is given back on demand."""
    try:
        lines = (folder / "memory.stat").read_text().split("\n")
    except OSError:
        return 0.0
    stat = dict(line.split(maxsplit=1) for line in lines if " " in line)
    return float(stat.get("inactive_file", stat.get("total_inactive_file", 0)))


def free_disk() -> float:
    """Measure the room where the hub's files go, in bytes."""
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE)
    while not folder.exists():
        folder = folder.parent
    return float(shutil.disk_usage(folder).free)


def limit_threads() -> int:
    """Have torch use no more threads than this process has cores; it counts the host's.

    Returns:
        the number of threads torch now uses.
    """
    import torch

    allowed = cores()
    if torch.get_num_threads() > allowed:
        torch.set_num_threads(allowed)
    return torch.get_num_threads()


def _cgroups(controller: str) -> list[Path]:
    """List the folders that may limit this process, version 2 and 1, from its own group up to the root."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    folders = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root = CGROUP
        elif controller in controllers.split(","):
            root = CGROUP / controller
        else:
            continue
        group = Path(path.lstrip("/"))
        folders += [root / group, *(root / parent for parent in group.parents)]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def _numbers(file: Path) -> list[float]:
    """Read the numbers in a file; "max" and a missing file give none."""
    try:
        return [float(word) for word in file.read_text().split()]
    except (OSError, ValueError):
        return []
