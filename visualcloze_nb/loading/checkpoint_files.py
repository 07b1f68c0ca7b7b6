"""The files of a checkpoint folder: which are loaded, and whether they are whole. Reads headers, not weights."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

from visualcloze_nb.data.checks import LARGEST
from visualcloze_nb.errors import ModelError, shorten

COMPONENTS = ("transformer", "text_encoder_2", "text_encoder", "vae", "tokenizer", "tokenizer_2", "scheduler")
WEIGHTS = COMPONENTS[:4]
LAYERS = {  # of a part: the setting that counts its layers, and the number of a layer in the names of its weights
    "transformer": {"num_layers": r"^transformer_blocks\.(\d+)\.", "num_single_layers": r"single_.+blocks\.(\d+)\."},
    "text_encoder": {"num_hidden_layers": r"encoder\.layers\.(\d+)\."},
    "text_encoder_2": {"num_layers": r"encoder\.block\.(\d+)\."},
}
# One file or a shard of several, with a variant in either place that diffusers and transformers have used.
WEIGHT_FILE = re.compile(
    r"(?:diffusion_pytorch_)?model(?:\.(?P<before>[^.]+?))?(?P<shard>-\d{5}-of-(?P<shards>\d{5}))?"
    r"(?:\.(?P<after>[^.]+))?\.safetensors"
)
Shapes = dict[str, tuple[int, ...]]


def shown(value: object) -> str:
    """Write a path or another text so that a message stays short."""
    text = " ".join(str(value).split())
    return text if len(text) <= 80 else f"…{text[-79:]}"


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        ModelError: naming the file, and why it cannot be read.
    """
    try:
        value = json.loads(file.read_bytes().decode())  # as diffusers reads it: UTF-8 without a byte-order mark
    except FileNotFoundError:
        raise ModelError(f"{shown(file)} is missing: copy the whole checkpoint again") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{shown(file)} {damage(file) or f'is not JSON ({str(error)[:60]}): copy it again'}"
        ) from error
    if not isinstance(value, dict):
        raise ModelError(f"{shown(file)} holds no JSON object: copy it again")
    return value


def read_shapes(file: Path) -> Shapes:
    """Read names and shapes of the tensors in a safetensors file, and check that all their bytes are there.

    Raises:
        ModelError: naming the file, and what it is in place of weights.
    """
    try:
        with file.open("rb") as stream:
            length, size = int.from_bytes(stream.read(8), "little"), file.stat().st_size
            if not 2 <= length <= size - 8:
                raise ValueError("its header is cut or no header")
            header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        shapes = {key: tuple(entry["shape"]) for key, entry in header.items()}
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        if end != size - 8 - length:
            raise ValueError(f"it has {size} bytes and should have {end + 8 + length}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        reason = damage(file) or f"is not a whole safetensors file ({str(error)[:60]}): download or copy it again"
        raise ModelError(f"{shown(file)} {reason}") from error
    return shapes


def damage(file: Path) -> str | None:
    """Say what a file is that should hold something else; None if that is not known."""
    try:
        with file.open("rb") as stream:
            head = stream.read(200).lstrip(b"\xef\xbb\xbf \t\r\n")
    except OSError as error:
        advice = "check its permissions" if isinstance(error, PermissionError) else "download or copy it again"
        return f"cannot be read ({error.strerror or error}): {advice}"
    if not head:
        return "is empty: download or copy it again"
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the file itself: run `git lfs pull` in its folder"
    if head.startswith(b"<"):
        return "is an HTML or XML page, not the file itself: download it again, signed in on the hub if need be"
    return None


def weight_files(folder: Path, variant: str | None = None) -> list[Path]:
    """List the weight files of a component that are loaded: those of the variant, else those without any.

    Args:
        folder: of the component.
        variant: such as `bf16`, or None.

    Raises:
        ModelError: if there are none, or not all.
    """
    found: dict[str | None, list[Path]] = {}
    shards: dict[str | None, int] = {}
    for file in sorted(folder.glob("*.safetensors")):
        if match := WEIGHT_FILE.fullmatch(file.name):
            kind = match["before"] or match["after"]
            found.setdefault(kind, []).append(file)
            shards[kind] = int(match["shards"] or 1)
    kind = variant if variant in found else None
    if kind not in found:
        others = ", ".join(str(name) for name in found)
        if others:
            advice = f"has weights of the variant {others[:80]} only: load(…, variant={next(iter(found))!r})"
        elif any(folder.glob("*.bin")) or any(folder.glob("*.pt")) or any(folder.glob("*.ckpt")):
            advice = "has weights as pickle files, which may run code: save them as safetensors"
        else:
            advice = "has no weights (*.safetensors): copy the whole checkpoint again"
        raise ModelError(f"{shown(folder)} {advice}")
    files = found[kind]
    if len(files) > shards[kind]:
        names = ", ".join(file.name for file in files)
        raise ModelError(
            f"{shown(folder)} has {len(files)} weight files, too many: keep those of one save of {names:.90}"
        )
    if len(files) < shards[kind]:
        raise ModelError(f"{shown(folder)} has {len(files)} of {shards[kind]} weight files: copy the others too")
    if shards[kind] > 1 and not any(folder.glob("*.index*.json")):
        raise ModelError(f"{shown(folder)} lacks the index of its weight files (*.safetensors.index.json): copy it too")
    for index in folder.glob("*.index*.json"):
        read_json(index)
    return files


def check_variant(folder: Path, variant: str | None) -> None:
    """Check that at least one component has weights of a variant.

    Raises:
        ModelError: listing the variants that there are.
    """
    if variant is None:
        return
    names = [WEIGHT_FILE.fullmatch(file.name) for part in WEIGHTS for file in (folder / part).glob("*.safetensors")]
    found = {match["before"] or match["after"] or "None" for match in names if match}
    if variant not in found:
        others = ", ".join(sorted(found - {"None"}))[:100]
        advice = f"there are {others}" if others else "leave variant out"
        raise ModelError(f"{shown(folder)} has no weights of the variant {shown(variant)!r}: {advice}")


def read_index(folder: Path) -> dict[str, Any]:
    """Read `model_index.json`, and check that it names all components.

    Raises:
        ModelError: naming what is missing.
    """
    index = read_json(folder / "model_index.json")
    for name in COMPONENTS:
        entry = index.get(name)
        if not isinstance(entry, list) or len(entry) != 2 or None in entry:
            why = "was saved without it" if isinstance(entry, list) else "does not name it"
            raise ModelError(f"{shown(folder)} has no {name}: its model_index.json {why}; copy a whole checkpoint")
        if entry[0] not in ("diffusers", "transformers") or not isinstance(entry[1], str):
            found = shorten(entry, 60)
            raise ModelError(f"{shown(folder)}: model_index.json names {found} as its {name}: copy the file again")
    resolution = index.get("resolution")
    if resolution is not None and not (type(resolution) is int and 0 < resolution <= LARGEST):
        raise ModelError(
            f"{shown(folder / 'model_index.json')}: resolution is {shown(resolution)!r}: write a whole number of "
            f"at most {LARGEST}"
        )
    return index


def check_files(folder: Path, variant: str | None = None) -> None:
    """Check that the files of a checkpoint are there and whole; reads headers only.

    Args:
        folder: with a `model_index.json`.
        variant: of the weights, such as `bf16`, or None.

    Raises:
        ModelError: naming the first file that is not, and what to do.
    """
    index = read_index(folder)
    for name in COMPONENTS:
        if not (folder / name).is_dir():
            raise ModelError(f"{shown(folder)} has no folder {name}: copy the whole checkpoint again")
    check_variant(folder, variant)
    scheduler = folder / "scheduler/scheduler_config.json"
    if read_json(scheduler).get("_class_name") != index["scheduler"][1]:  # without it diffusers takes its own defaults
        raise ModelError(f"{shown(scheduler)} describes no {shorten(index['scheduler'][1])}: copy it again")
    configs = {name: read_json(folder / name / "config.json") for name in WEIGHTS}
    for name in WEIGHTS:
        keys = [key for file in weight_files(folder / name, variant) for key in read_shapes(file)]
        for setting, layer in LAYERS.get(name, {}).items():
            there = len({match[1] for key in keys if (match := re.search(layer, key))})
            if (named := configs[name].get(setting, there)) != there:
                raise ModelError(
                    f"{shown(folder / name)}: {setting} is {shorten(named)} in config.json, and the weights have "
                    f"{there}: copy both from one checkpoint"
                )


def check_weights(folder: Path, variant: str | None = None) -> None:
    """Check that weights and configs belong together: every tensor of each model is there, in its shape.

    Args:
        folder: that `check_files` has passed.
        variant: of the weights.

    Raises:
        ModelError: naming the component and a tensor.
    """
    index = read_index(folder)
    for name in WEIGHTS:
        config = read_json(folder / name / "config.json")
        if "quantization_config" not in config and index[name][0] in ("diffusers", "transformers"):
            shapes = {
                key: value for file in weight_files(folder / name, variant) for key, value in read_shapes(file).items()
            }
            _compare(folder / name, index[name], shapes)


def _compare(folder: Path, entry: list[str], given: Shapes) -> None:
    """Compare the tensors in files with those of the model that the config describes."""
    import torch

    try:
        model_class = getattr(importlib.import_module(entry[0]), entry[1])
        with torch.device("meta"):
            if entry[0] == "diffusers":
                model = model_class.from_config(model_class.load_config(folder))
            else:
                model = model_class(model_class.config_class.from_pretrained(folder))
    except Exception as error:  # whatever a constructor makes of a wrong config
        reason = f"describes no {entry[1]} ({shorten(error, 80)}): copy it again"
        raise ModelError(f"{shown(folder / 'config.json')} {reason}") from error
    wanted: Shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    tied = getattr(model, "_tied_weights_keys", None) or ()
    if hasattr(model, "_fix_state_dict_keys_on_load"):
        given = dict(given)
        model._fix_state_dict_keys_on_load(given)  # attention layers under their older names
    if entry[0] == "transformers":  # it drops and adds this prefix when it loads
        given = {key.removeprefix("text_model."): shape for key, shape in given.items()}
        wanted = {key.removeprefix("text_model."): shape for key, shape in wanted.items()}
    shapes = {key: given.get(key) for key in wanted if key not in tied}
    missing = [key for key, shape in shapes.items() if shape is None]
    foreign = set(given) - set(wanted) if entry[0] == "diffusers" else ()
    wrong = [key for key, shape in shapes.items() if shape is not None and _sides(shape) != _sides(wanted[key])]
    for problem, keys in (("lack", missing), ("have a foreign", foreign), ("have another shape of", wrong)):
        if keys:
            raise ModelError(
                f"{shown(folder)}: the weights {problem} {shorten(min(keys))} (and {len(keys) - 1} more). They are not "
                f"those of config.json's {entry[1]}: copy both from one checkpoint"
            )


def _sides(shape: tuple[int, ...]) -> list[int]:
    """Give the sides above 1: older attention layers were 1 x 1 convolutions."""
    return [side for side in shape if side != 1]
