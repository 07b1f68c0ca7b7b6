"""The files of a checkpoint's tokenizers. Without them transformers makes an empty tokenizer and says nothing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from visualcloze_nb.errors import ModelError, shorten
from visualcloze_nb.loading.checkpoint_files import damage, read_index, read_json, shown

TOKENIZER_MODEL = {"CLIPTokenizer": "BPE", "T5Tokenizer": "Unigram"}  # `model.type` in tokenizer.json
EXTRA = "pip install 'visualcloze_nb[gpu]'"


def check_tokenizers(folder: Path) -> None:
    """Check the files of both tokenizers of a checkpoint, and that their encoders know all their tokens.

    Args:
        folder: that `check_files` has passed.

    Raises:
        ModelError: naming the first file that is missing or damaged, and what to do.
    """
    index = read_index(folder)
    for name, encoder in (("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2")):
        vocabulary = read_json(folder / encoder / "config.json").get("vocab_size")
        _check_tokenizer(folder / name, index[name][1], vocabulary)


def _check_tokenizer(folder: Path, kind: str, vocabulary: int | None) -> None:
    for file in sorted(file for file in folder.iterdir() if file.is_file()):
        if file.suffix == ".json":
            read_json(file)
        elif file.suffix in (".model", ".txt") and (reason := damage(file)):
            raise ModelError(f"{shown(file)} {reason}")
    if not (folder / "tokenizer_config.json").is_file():
        raise ModelError(f"{shown(folder / 'tokenizer_config.json')} is missing: copy the whole folder again")
    if "model_max_length" not in read_json(folder / "tokenizer_config.json"):  # else it is guessed, and images change
        raise ModelError(f"{shown(folder / 'tokenizer_config.json')} names no model_max_length: copy it again")
    if not (folder / "tokenizer.json").is_file():
        kind = kind.removesuffix("Fast")
        if kind == "CLIPTokenizer" and all((folder / name).is_file() for name in ("vocab.json", "merges.txt")):
            return
        if kind == "CLIPTokenizer" or not any(folder.glob("*.model")):
            raise ModelError(f"{shown(folder / 'tokenizer.json')} is missing: copy the whole folder again")
        missing = [name for name in ("sentencepiece", "google.protobuf") if not _installed(name)]
        if missing:
            raise ModelError(f"{shown(folder)} needs {' and '.join(missing)} to read its spiece.model: {EXTRA}")
        return
    tokenizer = read_json(folder / "tokenizer.json")
    model = tokenizer.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), (dict, list)) or not model["vocab"]:
        raise ModelError(f"{shown(folder / 'tokenizer.json')} holds no vocabulary: copy it again")
    expected = TOKENIZER_MODEL.get(kind.removesuffix("Fast"))
    if expected and model.get("type", expected) != expected:
        raise ModelError(f"{shown(folder)} holds a {shorten(model['type'])}, not {expected}: copy it again")
    ids = [*model["vocab"].values()] if isinstance(model["vocab"], dict) else [len(model["vocab"]) - 1]
    if vocabulary is not None and max(ids) >= vocabulary:
        known = f"{max(ids) + 1} tokens, its text encoder {vocabulary}"
        raise ModelError(f"{shown(folder)} has {known}: copy both from one checkpoint")


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package above it is missing
        return False
