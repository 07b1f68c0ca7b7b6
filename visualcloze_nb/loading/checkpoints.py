"""Where checkpoints are: names, folders, hub repositories and their licence; download errors explained."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from huggingface_hub import errors as hub
from huggingface_hub.constants import HF_HUB_CACHE

from visualcloze_nb.errors import LicenceWarning, ModelError
from visualcloze_nb.loading.model_size import Model, folder_model, full_model, gb

T = TypeVar("T")

TINY = Path(__file__).parents[1] / "tiny"
FILL = "black-forest-labs/FLUX.1-Fill-dev"
HUB = {
    "384": "VisualCloze/VisualClozePipeline-384",
    "512": "VisualCloze/VisualClozePipeline-512",
    "384-lora": FILL,
}
LORA = ("VisualCloze/VisualClozePipeline-LoRA-384", "visualcloze-lora-384.safetensors")
# Commits to load by default. They could not be looked up where this was written (no network), and a made-up
# hash would be worse than none: so the newest commit is taken, unless `revision=` names one.
REVISIONS: dict[str, str | None] = {repository: None for repository in (*HUB.values(), LORA[0])}
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
        raise ModelError(f"there is no checkpoint in {place}: it needs a model_index.json")
    return place


def place_of(name: str) -> str:
    """Give the folder or the hub repository of a model."""
    if name == "tiny":
        return str(TINY)
    return name if Path(name).is_dir() else HUB.get(name, name)


def describe(name: str) -> Model:
    """Give the sizes of a model, and what has to be downloaded for it.

    Raises:
        ModelError: if there is no such model.
    """
    if Path(place_of(name)).is_dir() or name == "tiny":
        return folder_model(checkpoint_folder(name), name)
    if name in HUB:
        return _without_cached(full_model(name), HUB[name])
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return _without_cached(full_model(name), name)  # most likely another checkpoint of the same size
    raise ModelError(f"{name!r} is no model: give tiny, {', '.join(HUB)}, an existing folder or a hub id")


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
        if isinstance(cause, OutOfMemoryError):
            return f"{place} does not fit the GPU: restart the kernel to free it, or load(…, plan='nf4')"
        if isinstance(cause, MemoryError):
            return f"{place} does not fit the memory of this machine: run `visualcloze-nb doctor`"
        if isinstance(cause, OSError) and cause.errno == 28:
            return f"the disk is full: {place} needs about {gb(34e9)}; set HF_HOME to a larger one"
    for cause in chain:
        if isinstance(cause, (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled, ConnectionError)):
            return (
                f"{place} is not on this machine and the hub cannot be reached: check the network, unset "
                "HF_HUB_OFFLINE, or give the path of a folder that you copied here"
            )
    return None
