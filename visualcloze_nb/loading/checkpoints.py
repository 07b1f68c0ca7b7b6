"""Where checkpoints are: names, folders, hub repositories and their licence; download errors explained."""

from __future__ import annotations

import difflib
import functools
import importlib.util
import os
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import errors as hub
from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.constants import HF_HUB_CACHE

from visualcloze_nb.errors import LicenceWarning, ModelError
from visualcloze_nb.loading.checkpoint_files import check_files, read_index, shown
from visualcloze_nb.loading.model_size import Model, folder_model, full_model, gb, resolution_by_name
from visualcloze_nb.loading.tokenizer_files import EXTRA, check_tokenizers
from visualcloze_nb.settings import TINY

T = TypeVar("T")

FILL = "black-forest-labs/FLUX.1-Fill-dev"
HUB = {
    "384": "VisualCloze/VisualClozePipeline-384",
    "512": "VisualCloze/VisualClozePipeline-512",
    "384-lora": FILL,
    "512-lora": FILL,
}
LORAS = {  # repository and file
    "384-lora": ("VisualCloze/VisualClozePipeline-LoRA-384", "visualcloze-lora-384.safetensors"),
    "512-lora": ("VisualCloze/VisualClozePipeline-LoRA-512", "visualcloze-lora-512.safetensors"),
}
FILE_ENDINGS = (".safetensors", ".json", ".ckpt", ".bin", ".gguf", ".png", ".jpg", ".jpeg", ".webp", ".zip", ".csv")
# Commits to load by default. They could not be looked up where this was written (no network), and a made-up
# hash would be worse than none: so the newest commit is taken, unless `revision=` names one.
REVISIONS: dict[str, str | None] = dict.fromkeys([*HUB.values(), *(repository for repository, _ in LORAS.values())])
LICENCE = (
    "FLUX.1-Fill-dev and what is derived from it, the released VisualCloze pipelines, come under Black Forest "
    "Labs' non-commercial licence: outputs may be used, but not to train competing models, and need a content "
    "filter or a person's review. The bundled tiny model is not concerned."
)


def checkpoint_folder(name: str) -> Path:
    """Give the folder of a model that is on this machine: `tiny` or a path.

    Raises:
        ModelError: if there is no checkpoint in it.
    """
    place = Path(place_of(name))
    if not (place / "model_index.json").is_file():
        raise ModelError(f"there is no checkpoint in {shown(place)}: it needs a model_index.json")
    return place


def place_of(name: str) -> str:
    """Give the folder or the hub repository of a model."""
    if name == "tiny":
        return str(TINY)
    return name if os.path.isdir(name) else HUB.get(name, name)


def describe(name: str, variant: str | None = None) -> Model:
    """Give the sizes of a model, and what has to be downloaded for it; check the files of a folder.

    Args:
        name: as given to `load`.
        variant: of the weights, such as `bf16`, or None.

    Raises:
        ModelError: if there is no such model, or a file of it is missing or damaged.
    """
    if os.path.isdir(place_of(name)) or name == "tiny":
        folder = checkpoint_folder(name)
        check_files(folder, variant)
        check_tokenizers(folder)
        return folder_model(folder, name, variant)
    if name in HUB:
        return _without_cached(full_model(name), HUB[name])
    if may_be_on_hub(name):
        return _without_cached(full_model(name), name)  # most likely another checkpoint of the same size
    raise ModelError(unknown(name))


def may_be_on_hub(name: str) -> bool:
    """Whether a name can be a repository's id, and not the path of a file or of something in a folder that is here."""
    owner, _, repository = name.partition("/")
    return (
        re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name, re.ASCII) is not None
        and not repository.lower().endswith(FILE_ENDINGS)
        and not os.path.isdir(owner)
    )


def unknown(name: str) -> str:
    """Say that a name is no model, and which names are near."""
    if os.path.isfile(name):
        return f"{shown(name)!r} is a file: give the folder of a checkpoint, the one with its model_index.json"
    near = near_names(name)
    advice = f"did you mean {' or '.join(shown(match) for match in near)}? Give " if near else "give "
    return (
        f"no such folder, and no known model: {shown(name)!r}: {advice}"
        f"tiny, {', '.join(HUB)}, an existing folder or a hub id"
    )


def near_names(name: str) -> list[str]:
    """List at most two names that look like this one, of known models and of checkpoints in the same folder."""
    try:
        beside = [str(path) for path in Path(name).parent.iterdir() if (path / "model_index.json").is_file()]
    except (OSError, ValueError):
        beside = []
    known = {
        model.lower(): model for model in ["tiny", *HUB, *HUB.values(), *(one[0] for one in LORAS.values()), *beside]
    }
    return [known[match] for match in difflib.get_close_matches(name.lower(), known, n=2)]


def check_packages(name: str) -> None:
    """Check, before anything is downloaded, that the packages which a model needs are installed.

    Raises:
        ModelError: naming the package and the command that installs it.
    """
    if name in LORAS and importlib.util.find_spec("peft") is None:
        raise ModelError(f"{name} needs peft, which is not installed: run {EXTRA}")


def resolution_of(name: str, **options: object) -> tuple[int, bool]:
    """Give the resolution that a checkpoint was made for, and whether it is known: its index may not say.

    Args:
        name: as given to `load`.
        options: revision and token for the hub.

    Raises:
        ModelError: if a hub repository cannot be read.
    """
    place = place_of(name)
    if name in HUB:
        return resolution_by_name(name), True
    if os.path.isdir(place):
        index = read_index(Path(place))
    else:
        from visualcloze_nb.pipelines.combined import VisualClozePipeline

        try:
            explained(_ask_hub, place, **options)
            index: Any = explained(VisualClozePipeline.load_config, place, **options)
        except Exception as error:
            reason = str(error) if isinstance(error, ModelError) else f"{type(error).__name__} on reading its index"
            if " is gated: " in reason:
                raise
            near = "".join(f"did you mean {shown(match)}? " for match in near_names(name)[:1])
            message = f"no such folder, and no known model: {shown(name)!r}: {near}{reason}"
            raise ModelError(message[:300]) from error
    resolution = index.get("resolution")
    return (resolution, True) if isinstance(resolution, int) else (resolution_by_name(name), False)


def _without_cached(model: Model, repository: str) -> Model:
    """Subtract what the hub's cache already holds from what has to be downloaded."""
    blobs = Path(HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "blobs"
    here = sum(file.stat().st_size for file in blobs.glob("*")) if blobs.is_dir() else 0
    return replace(model, download=max(model.download - here, 0.0))


def token() -> str | None:
    """Find the user's hub token: in the environment, in Colab's secrets, or where `hf auth login` left it."""
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if os.environ.get(variable):
            return os.environ[variable]
    try:
        from google.colab import userdata  # pyright: ignore[reportMissingImports]  # there on Colab only

        return userdata.get("HF_TOKEN") or None
    except Exception:  # not on Colab, no such secret, or the notebook may not read it
        from huggingface_hub import get_token

        return get_token()


@functools.cache
def warn_of_licence() -> None:
    """Warn once of what the released models' licence requires."""
    warnings.warn(LICENCE, LicenceWarning, stacklevel=3)


def explained(function: Callable[..., T], place: str, **options: object) -> T:
    """Call a function that may download, and explain its error.

    Args:
        function: called as `function(place, **options)`.
        place: a folder, or a repository on the hub.
        options: passed on.

    Returns:
        what the function returns.

    Raises:
        ModelError: for the known errors, with what to do; others pass unchanged.
    """
    try:
        return function(place, **options)
    except Exception as error:
        reason = _reason(place, error)
        if reason is None:
            raise
        raise ModelError(reason) from error


def _ask_hub(place: str, **options: Any) -> None:
    """Ask the hub once for the index of a pipeline that is not in the cache; a download would try for half a minute."""
    file = "model_index.json"
    if not isinstance(try_to_load_from_cache(place, file, revision=options.get("revision")), str):
        url = hf_hub_url(place, file, revision=options.get("revision"))
        get_hf_file_metadata(url, token=options.get("token"), timeout=5)


def _reason(place: str, error: Exception) -> str | None:
    """Explain why loading failed; None for an unknown error."""
    from torch.cuda import OutOfMemoryError

    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    for cause in chain:
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if isinstance(cause, hub.GatedRepoError) or status in (401, 403):
            return (
                f"{place} is gated: sign in on the hub, open the page of {place}, accept its conditions, make a "
                "read token, and set it as HF_TOKEN (in Colab: a secret named HF_TOKEN, notebook access on)"
            )
        if isinstance(cause, hub.RevisionNotFoundError):
            return f"{place} has no such revision: look up the commit on its page"
        if isinstance(cause, hub.RepositoryNotFoundError):
            return f"there is no {place} on the hub, or your token may not see it: check the spelling"
        if isinstance(cause, hub.EntryNotFoundError) and not isinstance(cause, hub.LocalEntryNotFoundError):
            return f"the repository {place} lacks a file that is needed: {' '.join(str(cause).split())[-100:]}"
        if isinstance(cause, OutOfMemoryError):
            return f"{place} does not fit the GPU: restart the kernel to free it, or load(…, plan='nf4')"
        if isinstance(cause, MemoryError):
            return f"{place} does not fit the memory of this machine: run `visualcloze-nb doctor`"
        if isinstance(cause, OSError) and cause.errno == 28:
            return f"the disk is full: {place} needs about {gb(34e9)}; set HF_HOME to a larger one"
    for cause in chain:
        if isinstance(cause, (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled, ConnectionError)) or any(
            base.__name__ == "TransportError"
            for base in type(cause).__mro__  # of the HTTP client
        ):
            return (
                f"{place} is not on this machine and the hub cannot be reached: check the network, unset "
                "HF_HUB_OFFLINE, or give the path of a folder that you copied here"
            )
    return None
