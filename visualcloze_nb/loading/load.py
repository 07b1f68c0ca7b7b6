"""`load(name)`: a VisualCloze pipeline, ready to run on this machine."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import PipelineQuantizationConfig
from diffusers.utils import logging as diffusers_logging
from huggingface_hub import errors as hub
from huggingface_hub.constants import HF_HUB_CACHE
from transformers.utils import logging as transformers_logging

from visualcloze_nb.errors import LicenceWarning, ModelError
from visualcloze_nb.loading.hardware import limit_threads, probe
from visualcloze_nb.loading.memory_plan import (
    BITSANDBYTES,
    TEXT,
    Model,
    Plan,
    folder_model,
    full_model,
    gb,
    text_precision,
)
from visualcloze_nb.loading.memory_plan import plan as choose
from visualcloze_nb.pipelines.combined import VisualClozePipeline
from visualcloze_nb.pipelines.prompt_cache import TextSource

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


def plan(name: str = "384", force: str = "auto", *, rows=3, cols=3, size=None, machine=None) -> Plan:
    """Say how a model would run on this machine, without loading it. `plan(…).words()` puts it in words.

    Args:
        name: as for `load`.
        force: `auto`, or `resident`, `encode-then-free`, `nf4`, `offload`, `cpu`.
        rows, cols, size: the largest grid, and stage 2 in pixels (width, height), that must fit.
        machine: another machine than this one, as `machine.probe` describes it.

    Raises:
        ModelError: if there is no such checkpoint.
        ValueError: if there is no such way.
    """
    return choose(_describe(name), machine or probe(), force, rows=rows, cols=cols, size=size)


def load(
    name: str | os.PathLike = "tiny",
    *,
    plan: str = "auto",
    device: str | None = None,
    dtype: torch.dtype | None = None,
    revision: str | None = None,
    compile: bool = False,
) -> VisualClozePipeline:
    """Load a pipeline the way that suits this machine.

    Args:
        name: `tiny` (bundled; on the CPU unless `plan` or `device` says otherwise); `384`, `512` or
            `384-lora` (released, 34 GB, for a GPU); the path of a folder that a pipeline was saved in; or the
            id of a hub repository.
        plan: `auto`, or the way to run, also if it may not fit: `resident`, `encode-then-free`, `nf4`,
            `offload`, `cpu`.
        device: where to run, such as `cuda:1`, in place of what the plan says.
        dtype: precision of the computation, in place of what the plan says. `bench --options` measures how
            far bfloat16 changes the tiny model's image.
        revision: commit, tag or branch on the hub.
        compile: compile the transformer's blocks: the first run takes a minute longer, all others less time.
            `bench --options` measures how far it changes the tiny model's image.

    Returns:
        the pipeline; `pipe.plan` says how it runs.

    Raises:
        ModelError: if the checkpoint is not there, not allowed, or too large, saying what to do.
        ValueError: if there is no such plan.
    """
    limit_threads()
    if name == "tiny" and plan == "auto":
        plan = "cpu"  # the lessons are written for it, and it takes seconds
    way = choose(_describe(str(name)), probe(), plan)
    if way.missing:
        message = f"{name} does not fit this machine as {way.name}: it lacks {'; '.join(way.missing)}"
        if plan == "auto" or {"a GPU", BITSANDBYTES} & set(way.missing) and device is None:
            raise ModelError(f"{message}. `visualcloze-nb doctor` says more")
        warnings.warn(f"{message}. It is tried all the same", UserWarning, stacklevel=2)
    place = _place(str(name))
    dtypes = dtype or dtypes_of(way.precision)
    options = {"dtype": dtypes, "use_safetensors": True}
    if not Path(place).is_dir():
        warn_of_licence()
        options |= {"revision": revision or REVISIONS.get(place), "token": token()}
    if way.packed:
        options["quantization_config"] = four_bits(dtypes)
    device = device or way.device
    if device == "cuda" and not way.offload and torch.cuda.is_available():
        options["device_map"] = device  # weights go straight there, without a stay in RAM
    absent = dict.fromkeys(TEXT) if way.visits else {}
    ready = _one_by_one(place, options) if way.packed and way.offload else {}
    with loading_bars(shown=not Path(place).is_dir()):
        pipe = explained(VisualClozePipeline.from_pretrained, place, **{**options, **absent, **ready})
    if name == "384-lora":
        pipe = _with_lora(pipe)
    if way.offload:
        pipe.enable_model_cpu_offload(device=device)
    elif "device_map" not in options:
        pipe.to(device)
    if way.visits:
        pipe.text_source = TextSource(pipe, lambda: load_text_encoders(place, device, options))
    if compile:
        pipe.transformer.compile_repeated_blocks(fullgraph=True, dynamic=True)
    pipe.plan = way
    pipe.register_to_config(_name_or_path=str(name))  # what a result says it was made with
    return pipe


@contextmanager
def loading_bars(shown: bool) -> Iterator[None]:
    """Hide diffusers' and transformers' loading bars for a folder on disk, which takes no time to speak of."""
    hidden = [log for log in (diffusers_logging, transformers_logging) if log.is_progress_bar_enabled() and not shown]
    for log in hidden:
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log in hidden:
            log.enable_progress_bar()


def dtypes_of(precision: str) -> torch.dtype | dict[str, torch.dtype]:
    """Give the precision of the components, as diffusers' `dtype` takes it."""
    types = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    text = types[text_precision(precision)]
    if text == types[precision]:
        return text
    return {"default": types[precision], **dict.fromkeys(TEXT, text)}


def _one_by_one(place: str, options: dict) -> dict[str, torch.nn.Module]:
    """Pack the large components one after the other: the GPU need not hold both."""
    names = ("text_encoder_2", "transformer")
    models = (*TEXT, "transformer", "vae")
    ready = {}
    for name in names:
        absent = {other: None for other in models if other != name}
        pipe = explained(VisualClozePipeline.from_pretrained, place, **{**options, **absent})
        ready[name] = getattr(pipe, name).to("cpu")
    return ready


def load_text_encoders(place: str, device: str, options: dict) -> dict[str, torch.nn.Module]:
    """Load the text encoders of a checkpoint alone."""
    absent = dict.fromkeys(("transformer", "vae"))
    pipe = explained(VisualClozePipeline.from_pretrained, place, **{**options, **absent})
    return {name: getattr(pipe, name).to(device) for name in TEXT}


def four_bits(dtypes: torch.dtype | dict) -> PipelineQuantizationConfig:
    """Pack transformer and T5 in 4 bits (nf4), and compute in the given precision."""
    from diffusers import BitsAndBytesConfig
    from transformers import BitsAndBytesConfig as TransformersConfig

    if not isinstance(dtypes, dict):
        dtypes = {"default": dtypes, "text_encoder_2": dtypes}
    settings = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    return PipelineQuantizationConfig(
        quant_mapping={
            "transformer": BitsAndBytesConfig(**settings, bnb_4bit_compute_dtype=dtypes["default"]),
            "text_encoder_2": TransformersConfig(**settings, bnb_4bit_compute_dtype=dtypes["text_encoder_2"]),
        }
    )


def _with_lora(pipe):
    """Put the released LoRA onto FLUX.1-Fill-dev; its folder says FluxFillPipeline and no resolution."""
    repository, file = LORA
    options = {"weight_name": file, "revision": REVISIONS[repository], "token": token(), "use_safetensors": True}
    explained(pipe.load_lora_weights, repository, **options)
    return pipe


def checkpoint_folder(name: str) -> Path:
    """Give the folder of a model that is on this machine: `tiny` or a path.

    Raises:
        ModelError: if there is no checkpoint in it.
    """
    place = Path(_place(name))
    if not (place / "model_index.json").is_file():
        raise ModelError(f"there is no checkpoint in {place}: it needs a model_index.json")
    return place


def _place(name: str) -> str:
    """Return the folder or the hub repository of a model."""
    if name == "tiny":
        return str(TINY)
    return name if Path(name).is_dir() else HUB.get(name, name)


def _describe(name: str):
    if Path(_place(name)).is_dir() or name == "tiny":
        return folder_model(checkpoint_folder(name), name)
    if name in HUB:
        return _less_what_is_here(full_model(name), HUB[name])
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return _less_what_is_here(full_model(name), name)  # most likely another checkpoint of the same size
    raise ModelError(f"{name!r} is no model: give tiny, {', '.join(HUB)}, an existing folder or a hub id")


def _less_what_is_here(model: Model, repository: str) -> Model:
    """Take what the hub's cache already holds off what has to be fetched."""
    blobs = Path(HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "blobs"
    here = sum(file.stat().st_size for file in blobs.glob("*")) if blobs.is_dir() else 0
    return replace(model, download=max(model.download - here, 0.0))


def token() -> str | None:
    """Find the reader's hub token: in the environment, in Colab's secrets, or where `hf auth login` left it."""
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if os.environ.get(variable):
            return os.environ[variable]
    try:
        from google.colab import userdata

        return userdata.get("HF_TOKEN") or None
    except Exception:  # not on Colab, no such secret, or the notebook may not read it
        from huggingface_hub import get_token

        return get_token()


def warn_of_licence() -> None:
    """Say once what the released models' licence asks."""
    if not warn_of_licence.__dict__.get("said"):
        warn_of_licence.said = True
        warnings.warn(LICENCE, LicenceWarning, stacklevel=3)


def explained(function, place, **options):
    """Call a function that may download, and turn what can go wrong into words.

    Raises:
        ModelError: saying what to do.
    """
    try:
        return function(place, **options)
    except Exception as error:
        reason = _reason(place, error)
        if reason is None:
            raise
        raise ModelError(reason) from error


def _reason(place, error: BaseException) -> str | None:
    """Say in words why loading failed; None if it is not one of the known ways."""
    chain = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    for error in chain:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, hub.GatedRepoError) or status in (401, 403):
            return (
                f"{place} is gated: sign in on the hub, open the page of {place}, accept its conditions, make a "
                "read token, and set it as HF_TOKEN (in Colab: a secret named HF_TOKEN, notebook access on)"
            )
        if isinstance(error, hub.RevisionNotFoundError):
            return f"{place} has no such revision: look up the commit on its page"
        if isinstance(error, hub.RepositoryNotFoundError):
            return f"there is no {place} on the hub, or your token may not see it: check the spelling"
        if isinstance(error, torch.cuda.OutOfMemoryError):
            return f"{place} does not fit the GPU: restart the kernel to free it, or load(…, plan='nf4')"
        if isinstance(error, MemoryError):
            return f"{place} does not fit the memory of this machine: run `visualcloze-nb doctor`"
        if isinstance(error, OSError) and error.errno == 28:
            return f"the disk is full: {place} needs about {gb(34e9)}; set HF_HOME to a larger one"
    for error in chain:
        if isinstance(error, (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled, ConnectionError)):
            return (
                f"{place} is not on this machine and the hub cannot be reached: check the network, unset "
                "HF_HUB_OFFLINE, or give the path of a folder that you copied here"
            )
    return None
