"""What the device does best: precision, batch size, and how fast it multiplies matrices."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


def best_device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def synchronise(device: torch.device) -> None:
    """Wait for a GPU; a CPU has always finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.no_grad()
def matrix_rate(device: torch.device, dtype: torch.dtype, side: int = 0) -> float:
    """Floating-point operations a second of a square matrix product, at its best.

    Args:
        device: where to measure.
        dtype: of the matrices.
        side: of the matrices; unless given, 4096 on a GPU and 768 on a CPU.
    """
    side = side or (4096 if device.type == "cuda" else 768)
    a = torch.randn(side, side, device=device).to(dtype)
    fastest = float("inf")
    for _ in range(8):  # the first warms up, and another program may slow down some, but hardly all
        start = time.perf_counter()
        a.mm(a)
        a.mm(a)
        synchronise(device)
        fastest = min(fastest, time.perf_counter() - start)
    return 2 * 2 * side**3 / fastest


def best_precision(device: torch.device) -> torch.dtype:
    """bfloat16 where the device computes it natively and faster, float16 on other GPUs, else float32."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float16
    faster = matrix_rate(device, torch.bfloat16) > 1.3 * matrix_rate(device, torch.float32)
    return torch.bfloat16 if faster else torch.float32


def precision_context(device: torch.device, dtype: torch.dtype) -> AbstractContextManager:
    """Mixed precision, as a fresh context."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)


def attention_context(device: torch.device) -> AbstractContextManager:
    """Plain attention on a CPU, where the fused backward pass is slow for so few tokens."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def best_batch(rate: Callable[[int], float], sizes: tuple[int, ...], gain: float = 1.1) -> int:
    """The smallest batch beyond which throughput hardly grows.

    Args:
        rate: samples a second at a batch size; may run out of memory.
        sizes: to try, growing.
        gain: a larger batch must be this much faster.
    """
    best, most = sizes[0], 0.0
    for size in sizes:
        try:
            found = rate(size)
        except torch.cuda.OutOfMemoryError:
            break
        if found < gain * most:
            break
        best, most = size, found
    return best
