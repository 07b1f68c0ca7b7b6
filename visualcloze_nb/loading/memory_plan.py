"""Which way to run a model on a machine: arithmetic, no torch.

A run needs memory for weights (parameters times bytes each) and for what the work leaves lying about on the
way: the transformer's activations, and the images inside the VAE. The ways to run are tried from the
fastest to the slowest; the first that fits is the plan. All sizes are bytes, all GB are 10^9 bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from visualcloze_nb.settings import TEXT_TOKENS, TOKEN_PIXELS

GB = 1e9
BYTES = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0}
NF4 = 0.5 + 4 / 64  # bytes a weight: 4 bits, and a 32-bit scale for each 64 weights
LIVE = 18  # activations of a FLUX block alive at once, as multiples of (tokens x width)
RESERVE = 1.0 * GB  # driver context, fragments, other programs
LIBRARIES = 0.4 * GB  # Python with torch and diffusers
STREAMING = 6.0 * GB  # RAM while weights go straight to the GPU: Python, torch, a piece of a file
SMALL = 100_000_000  # a model of fewer parameters runs in float32 everywhere: it is not worth less
BITSANDBYTES = "bitsandbytes (pip install bitsandbytes)"
TEXT_WORK = 0.2 * GB  # T5-XXL's activations at 512 tokens, and some


@dataclass(frozen=True)
class Part:
    """The weights of one component.

    Attributes:
        parameters: how many.
        linear: how many of them lie in linear layers, which 4-bit quantisation packs.
        wide: how many of those are left unpacked (T5's `wo`).
    """

    parameters: int
    linear: int = 0
    wide: int = 0

    def bytes(self, precision: str, packed: bool = False) -> float:
        """Size in memory, `packed` in 4 bits or not."""
        four_bit = self.linear - self.wide if packed else 0
        return four_bit * NF4 + (self.parameters - four_bit) * BYTES[precision]


@dataclass(frozen=True)
class Model:
    """What the arithmetic needs to know of a checkpoint.

    Attributes:
        name: as given to `load`.
        parts: weights by component name.
        resolution: of the pipeline.
        width: of the transformer's hidden states.
        channels: of the VAE's widest layer at full resolution.
        download: bytes to fetch; 0 for a local folder.
    """

    name: str
    parts: dict[str, Part]
    resolution: int
    width: int = 3072
    channels: int = 256
    download: float = 0.0

    def work(self, precision: str, rows: int, cols: int, size: tuple[int, int] | None = None) -> dict[str, float]:
        """Memory that comes and goes, by stage of the work.

        Args:
            precision: `bf16`, `fp16` or `fp32`.
            rows, cols: of the grid.
            size: (width, height) of stage 2 in pixels; three times a cell's unless given.
        """
        side = self.resolution
        large = 9 * side * side if size is None else size[0] * size[1]
        tokens = max(rows * cols * side * side, large) // TOKEN_PIXELS**2 + TEXT_TOKENS
        pixels = max(cols * side * side, large)
        number = BYTES[precision]
        return {
            "denoise": LIVE * tokens * self.width * number,
            "decode": 3 * pixels * self.channels * number,  # three images of that many channels at once
        }


FULL_PARTS = {
    "transformer": Part(11_902_391_360, linear=11_899_305_984),
    "text_encoder_2": Part(4_762_310_656, linear=4_630_511_616, wide=1_006_632_960),
    "text_encoder": Part(123_060_480),
    "vae": Part(83_819_683),
}
LORA = Part(1_240_000_000)  # rank 256 on all linear layers; about
TEXT = ("text_encoder", "text_encoder_2")


def full_model(name: str) -> Model:
    """Describe a released model: `384`, `512` or `384-lora`."""
    parts = dict(FULL_PARTS)
    if name == "384-lora":
        parts["lora"] = LORA
    download = sum(part.parameters * 2 for part in parts.values())
    return Model(name, parts, resolution=512 if name.startswith("512") else 384, download=download)


def folder_model(folder: Path, name: str | None = None) -> Model:
    """Describe a checkpoint folder from its configs and the headers of its safetensors files; reads no weights.

    Raises:
        FileNotFoundError: if there is no `model_index.json`.
    """
    folder = Path(folder)
    index = json.loads((folder / "model_index.json").read_text())
    transformer = json.loads((folder / "transformer/config.json").read_text())
    vae = json.loads((folder / "vae/config.json").read_text())
    parts = {}
    for part in ("transformer", *TEXT[::-1], "vae"):
        shapes = [shape for file in sorted((folder / part).glob("*.safetensors")) for shape in _shapes(file).items()]
        counts = {key: _product(shape) for key, shape in shapes}
        tables = ("shared", "embed_tokens", "relative_attention_bias")  # T5's embeddings: two sides, no layer
        linear = sum(
            counts[key] for key, shape in shapes if len(shape) == 2 and not any(name in key for name in tables)
        )
        wide = sum(count for key, count in counts.items() if key.endswith("wo.weight"))
        packable = part in ("transformer", "text_encoder_2")
        parts[part] = Part(sum(counts.values()), linear if packable else 0, wide if packable else 0)
    return Model(
        name or str(folder),
        parts,
        resolution=index.get("resolution", 384),
        width=transformer["num_attention_heads"] * transformer["attention_head_dim"],
        channels=vae["block_out_channels"][min(1, len(vae["block_out_channels"]) - 1)],
    )


def _shapes(file: Path) -> dict[str, list[int]]:
    with file.open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    return {key: entry["shape"] for key, entry in header.items() if key != "__metadata__"}


def _product(shape: list[int]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total


@dataclass(frozen=True)
class Machine:
    """What a machine has, in bytes; `machine.probe` measures it."""

    ram: float
    disk: float = float("inf")
    cores: int = 1
    gpu: str | None = None
    gpu_memory: float = 0.0
    bf16: bool = False
    four_bit: bool = False


@dataclass(frozen=True)
class Plan:
    """One way to run a model.

    Attributes:
        name: `resident`, `encode-then-free`, `nf4`, `offload` or `cpu`.
        rank: 0 is the fastest way.
        packed: whether transformer and T5 are in 4 bits.
        visits: whether the text encoders are loaded for a new text only, and freed again.
        offload: whether components take turns on the GPU.
        precision: of the computation.
        gpu, ram, disk: bytes needed, the reserve included.
        parts: bytes of each component as it will be held.
        missing: what the machine lacks for it, in words; empty if it fits.
        reasons: why the faster ways were passed over.
    """

    name: str
    rank: int
    packed: bool = False
    visits: bool = False
    offload: bool = False
    precision: str = "bf16"
    gpu: float = 0.0
    ram: float = 0.0
    disk: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    @property
    def device(self) -> str:
        """Where the transformer runs."""
        return "cpu" if self.name == "cpu" else "cuda"

    def words(self) -> str:
        """Say what will be done, with numbers, and why not something faster."""
        held = ", ".join(f"{name} {gb(size)}" for name, size in self.parts.items())
        need = [f"GPU {gb(self.gpu)}"] * (self.gpu > 0) + [f"RAM {gb(self.ram)}"]
        need += [f"disk {gb(self.disk)}"] * (self.disk > 0)
        slow = "; hours for each image" if self.name == "cpu" and self.precision != "fp32" else ""
        lines = [
            f"{self.name}: {DOES[self.rank]}{slow}",
            f"weights ({self.precision}): {held}",
            f"needs {', '.join(need)}",
        ]
        return "\n".join([*lines, *self.reasons, *(f"missing: {what}" for what in self.missing)])


WAYS = (
    Plan("resident", 0),
    Plan("encode-then-free", 1, visits=True),
    Plan("nf4", 2, packed=True),
    Plan("nf4", 3, packed=True, visits=True),
    Plan("offload", 4, packed=True, offload=True),
    Plan("offload", 5, offload=True),
    Plan("cpu", 6),
)
DOES = (
    "everything stays on the GPU",
    "transformer and VAE stay on the GPU; the text encoders come for a new text and are freed",
    "everything stays on the GPU, transformer and T5 in 4 bits",
    "transformer and VAE stay on the GPU; T5 comes for a new text and is freed; both in 4 bits",
    "components take turns on the GPU and wait in RAM, transformer and T5 in 4 bits",
    "components take turns on the GPU and wait in RAM",
    "everything runs on the CPU",
)
NAMES = tuple(dict.fromkeys(way.name for way in WAYS))


def plan(model: Model, machine: Machine, force: str = "auto", *, rows=3, cols=3, size=None) -> Plan:
    """Choose the way to run a model.

    Args:
        model: what it is.
        machine: what there is.
        force: `auto`, or the name of the way to take whether it fits or not.
        rows, cols, size: the largest grid and stage 2 that must fit: 3 x 3 and three times a cell.

    Returns:
        the fastest way that fits; if none does, or the forced one does not, the plan says what is missing.

    Raises:
        ValueError: if there is no such way.
    """
    if force not in ("auto", *NAMES):
        raise ValueError(f"plan is {force!r}: give auto or one of {', '.join(NAMES)}")
    reasons = []
    for way in WAYS:
        if force not in ("auto", way.name):
            continue
        if force == "auto" and machine.gpu is None and way.name != "cpu":
            reasons = ["nothing faster: there is no GPU"]
            continue
        found = _measured(way, model, machine, rows, cols, size)
        if not found.missing:
            return replace(found, reasons=tuple(reasons))
        reasons.append(f"not {way.name} ({DOES[way.rank]}): {'; '.join(found.missing)}")
    return replace(found, reasons=tuple(reasons[:-1]))


def _measured(way: Plan, model: Model, machine: Machine, rows: int, cols: int, size) -> Plan:
    """Fill in what a way of running needs, and what the machine lacks for it."""
    precision = "bf16" if machine.bf16 or way.name == "cpu" else "fp16"
    if sum(part.parameters for part in model.parts.values()) < SMALL:
        precision = "fp32"
    parts = {
        name: part.bytes(text_precision(precision) if name in TEXT else precision, way.packed)
        for name, part in model.parts.items()
    }
    total = sum(parts.values())
    text = sum(parts[name] for name in TEXT)
    stays = total - text
    work = model.work(precision, rows, cols, size)
    most = max(work.values())
    if way.name == "cpu":
        gpu, ram = 0.0, total + most + LIBRARIES
    elif way.offload:
        turns = (stays - parts["vae"] + work["denoise"], text, parts["vae"] + work["decode"])
        gpu, ram = max(turns) + RESERVE, total + STREAMING
    else:
        gpu = stays + (max(most, text + TEXT_WORK) if way.visits else text + most) + RESERVE
        ram = STREAMING
    needs = {"gpu": gpu, "ram": ram, "disk": model.download}
    lacks = []
    if way.name != "cpu" and machine.gpu is None:
        lacks.append("a GPU")
    elif gpu > machine.gpu_memory:
        lacks.append(f"{gb(gpu)} of GPU memory (there are {gb(machine.gpu_memory)})")
    if way.packed and machine.gpu is not None and not machine.four_bit:
        lacks.append(BITSANDBYTES)
    if ram > machine.ram:
        lacks.append(f"{gb(ram)} of RAM (there are {gb(machine.ram)})")
    if model.download > machine.disk:
        lacks.append(f"{gb(model.download)} of disk (there are {gb(machine.disk)})")
    return replace(way, precision=precision, parts=parts, missing=tuple(lacks), **needs)


def text_precision(precision: str) -> str:
    """Give the precision of the text encoders: float32 beside float16, in which T5's numbers grow too large."""
    return "fp32" if precision == "fp16" else precision


def gb(size: float) -> str:
    """Write a size: `23.8 GB`, `41 MB`."""
    return f"{size / GB:.1f} GB" if size >= 0.1 * GB else f"{size / 1e6:.0f} MB"
