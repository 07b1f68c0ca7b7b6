"""Memory plans: the strategies for running a model on a machine, and the choice between them. No torch.

A strategy is one entry of `STRATEGIES`: what it does in words, the memory it needs, and how it loads a pipeline. They
are ordered from the fastest to the slowest, and the first that fits is the plan. To add one, add an entry here and a
case to tests/test_plan.py. All sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from visualcloze_nb.errors import UsageError
from visualcloze_nb.loading.model_size import GB, Model, gb, text_precision
from visualcloze_nb.settings import TEXT_ENCODERS

if TYPE_CHECKING:
    from visualcloze_nb.loading.pretrained import Pretrained
    from visualcloze_nb.pipelines.combined import VisualClozePipeline

RESERVE = 1.0 * GB  # driver context, fragments, other programs
LIBRARIES = 0.4 * GB  # Python with torch and diffusers
STREAMING = 6.0 * GB  # RAM while weights go straight to the GPU: Python, torch, a piece of a file
SMALL = 100_000_000  # a model of fewer parameters runs in float32 everywhere: it gains nothing from less
TEXT_WORK = 0.2 * GB  # T5-XXL's activations at 512 tokens, and some
NO_GPU = "a GPU"
BITSANDBYTES = "bitsandbytes (pip install bitsandbytes)"


@dataclass(frozen=True)
class Machine:
    """What a machine has, in bytes; `hardware.probe` measures it."""

    ram: float
    disk: float = float("inf")
    cores: int = 1
    gpu: str | None = None
    gpu_memory: float = 0.0
    bf16: bool = False
    four_bit: bool = False


@dataclass(frozen=True)
class Demand:
    """What a run needs memory for, in bytes.

    Attributes:
        parts: weights of each component, as they are held.
        denoise: activations of the transformer.
        decode: activations of the VAE.
    """

    parts: dict[str, float]
    denoise: float
    decode: float

    @property
    def weights(self) -> float:
        """All weights."""
        return sum(self.parts.values())

    @property
    def text(self) -> float:
        """Weights of the text encoders."""
        return sum(self.parts[name] for name in TEXT_ENCODERS)

    @property
    def work(self) -> float:
        """The most activations at once."""
        return max(self.denoise, self.decode)


@dataclass(frozen=True)
class Strategy:
    """One way to run a model.

    Attributes:
        name: what `load(plan=…)` takes; two strategies of one name are tried in their order.
        does: a description for the user.
        memory: bytes of (GPU, RAM) for a demand, the reserve included.
        load: loads a pipeline, ready to run.
        packed: whether transformer and T5 are in 4 bits.
        device: where the transformer runs.
    """

    name: str
    does: str
    memory: Callable[[Demand], tuple[float, float]]
    load: Callable[[Pretrained], VisualClozePipeline]
    packed: bool = False
    device: str = "cuda"


def memory_resident(need: Demand) -> tuple[float, float]:
    """Everything stays on the GPU."""
    return need.weights + need.work + RESERVE, STREAMING


def memory_text_freed(need: Demand) -> tuple[float, float]:
    """The text encoders are gone when the transformer works."""
    return need.weights - need.text + max(need.work, need.text + TEXT_WORK) + RESERVE, STREAMING


def memory_offload(need: Demand) -> tuple[float, float]:
    """Components take turns on the GPU and wait in RAM."""
    vae = need.parts["vae"]
    turns = (need.weights - need.text - vae + need.denoise, need.text, vae + need.decode)
    return max(turns) + RESERVE, need.weights + STREAMING


def memory_cpu(need: Demand) -> tuple[float, float]:
    """Everything is in RAM."""
    return 0.0, need.weights + need.work + LIBRARIES


def load_resident(checkpoint: Pretrained) -> VisualClozePipeline:
    """Load everything onto the device."""
    return checkpoint.pipeline_on_device()


def load_text_freed(checkpoint: Pretrained) -> VisualClozePipeline:
    """Load without text encoders; they come for a new text and are freed again."""
    from visualcloze_nb.pipelines.prompt_cache import TextEncoderLoader

    pipe = checkpoint.pipeline_on_device(**dict.fromkeys(TEXT_ENCODERS))
    pipe.text_encoder_loader = TextEncoderLoader(pipe, checkpoint.text_encoders)
    return pipe


def load_offload(checkpoint: Pretrained) -> VisualClozePipeline:
    """Load into RAM; diffusers moves each component to the GPU for its turn."""
    pipe = checkpoint.pipeline()
    pipe.enable_model_cpu_offload(device=checkpoint.device)
    return pipe


def load_offload_packed(checkpoint: Pretrained) -> VisualClozePipeline:
    """Pack the large components one after the other, since the GPU may not hold both; then offload."""
    pipe = checkpoint.pipeline(**checkpoint.packed_parts())
    pipe.enable_model_cpu_offload(device=checkpoint.device)
    return pipe


STRATEGIES = (
    Strategy("resident", "everything stays on the GPU", memory_resident, load_resident),
    Strategy(
        "encode-then-free",
        "transformer and VAE stay on the GPU; the text encoders come for a new text and are freed",
        memory_text_freed,
        load_text_freed,
    ),
    Strategy(
        "nf4",
        "everything stays on the GPU, transformer and T5 in 4 bits",
        memory_resident,
        load_resident,
        packed=True,
    ),
    Strategy(
        "nf4",
        "transformer and VAE stay on the GPU; T5 comes for a new text and is freed; both in 4 bits",
        memory_text_freed,
        load_text_freed,
        packed=True,
    ),
    Strategy(
        "offload",
        "components take turns on the GPU and wait in RAM, transformer and T5 in 4 bits",
        memory_offload,
        load_offload_packed,
        packed=True,
    ),
    Strategy("offload", "components take turns on the GPU and wait in RAM", memory_offload, load_offload),
    Strategy("cpu", "everything runs on the CPU", memory_cpu, load_resident, device="cpu"),
)
NAMES = tuple(dict.fromkeys(strategy.name for strategy in STRATEGIES))


@dataclass(frozen=True)
class Plan:
    """A strategy, measured for one model on one machine.

    Attributes:
        strategy: what is done.
        precision: of the computation: `bf16`, `fp16` or `fp32`.
        gpu, ram, disk: bytes needed, the reserve included.
        parts: bytes of each component as it will be held.
        missing: what the machine lacks, in words; empty if it fits.
        reasons: why the faster strategies were passed over.
    """

    strategy: Strategy
    precision: str
    gpu: float
    ram: float
    disk: float
    parts: dict[str, float]
    missing: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the strategy."""
        return self.strategy.name

    def words(self) -> str:
        """Describe what will be done, with numbers, and why not something faster."""
        held = ", ".join(f"{name} {gb(size)}" for name, size in self.parts.items())
        need = [f"GPU {gb(self.gpu)}"] * (self.gpu > 0) + [f"RAM {gb(self.ram)}"]
        need += [f"disk {gb(self.disk)}"] * (self.disk > 0)
        slow = "; hours for each image" if self.strategy.device == "cpu" and self.precision != "fp32" else ""
        lines = [
            f"{self.name}: {self.strategy.does}{slow}",
            f"weights ({self.precision}): {held}",
            f"needs {', '.join(need)}",
        ]
        return "\n".join([*lines, *self.reasons, *(f"missing: {what}" for what in self.missing)])


def plan(
    model: Model, machine: Machine, force: str = "auto", *, rows: int = 3, cols: int = 3,
    size: tuple[int, int] | None = None,
) -> Plan:  # fmt: skip
    """Choose how to run a model.

    Args:
        model: what runs.
        machine: what it runs on.
        force: `auto`, or the name of the strategy to take whether it fits or not.
        rows, cols: the largest grid that must fit.
        size: (width, height) of stage 2 in pixels that must fit; three times a cell's unless given.

    Returns:
        the fastest plan that fits; if none does, or the forced one does not, the plan lists what is missing.

    Raises:
        UsageError: if there is no such strategy.
    """
    if force not in ("auto", *NAMES):
        raise UsageError(f"plan is {str(force)[:80]!r}: give auto or one of {', '.join(NAMES)}")
    without_gpu = force == "auto" and machine.gpu is None
    strategies = [strategy for strategy in STRATEGIES if force in ("auto", strategy.name)]
    if without_gpu:
        strategies = [strategy for strategy in strategies if strategy.device == "cpu"]
    plans = [measure(strategy, model, machine, rows, cols, size) for strategy in strategies]
    chosen = next((found for found in plans if not found.missing), plans[-1])
    faster = plans[: plans.index(chosen)]
    reasons = ["nothing faster: there is no GPU"] if without_gpu else []
    reasons += [f"not {found.name} ({found.strategy.does}): {'; '.join(found.missing)}" for found in faster]
    return replace(chosen, reasons=tuple(reasons))


def measure(
    strategy: Strategy, model: Model, machine: Machine, rows: int, cols: int, size: tuple[int, int] | None
) -> Plan:
    """Compute what a strategy needs, and what the machine lacks for it; arguments as for `plan`."""
    on_gpu = strategy.device != "cpu"
    precision = "bf16" if machine.bf16 or not on_gpu else "fp16"
    if sum(part.parameters for part in model.parts.values()) < SMALL:
        precision = "fp32"
    parts = {
        name: part.bytes(text_precision(precision) if name in TEXT_ENCODERS else precision, strategy.packed)
        for name, part in model.parts.items()
    }
    gpu, ram = strategy.memory(Demand(parts, **model.work(precision, rows, cols, size)))
    lacks = []
    if on_gpu and machine.gpu is None:
        lacks.append(NO_GPU)
    elif gpu > machine.gpu_memory:
        lacks.append(f"{gb(gpu)} of GPU memory (there are {gb(machine.gpu_memory)})")
    if strategy.packed and machine.gpu is not None and not machine.four_bit:
        lacks.append(BITSANDBYTES)
    if ram > machine.ram:
        lacks.append(f"{gb(ram)} of RAM (there are {gb(machine.ram)})")
    if model.download > machine.disk:
        lacks.append(f"{gb(model.download)} of disk (there are {gb(machine.disk)})")
    return Plan(strategy, precision, gpu, ram, model.download, parts, tuple(lacks))
