"""Networks from the hub, through transformers: for depth, normals, segments and classes.

They are in no wheel, so the first call downloads one from the hub. Another repository or a local folder can be named by
the argument `model` of an annotator, or by an environment variable such as VISUALCLOZE_NB_DEPTH_MODEL.

The tests run `depth` and `segments` on small checkpoints of the same classes with random weights. The released weights
could not be downloaded where these modules were written: what they draw has not been looked at.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import Any

from visualcloze_nb.annotate.annotator import Availability
from visualcloze_nb.annotate.weights import NO_DOWNLOAD
from visualcloze_nb.errors import ModelError, shorten

CONFIG = "config.json"  # which every checkpoint has


@dataclass(frozen=True)
class HubModel:
    """A network on the hub.

    Args:
        name: in the environment variable that replaces the repository.
        repository: on the hub.
        transformers_class: that loads it.
        megabytes: size of the download, about.
        licence: as the repository's card states it.
    """

    name: str
    repository: str
    transformers_class: str
    megabytes: int
    licence: str

    @property
    def variable(self) -> str:
        return f"VISUALCLOZE_NB_{self.name}_MODEL"

    def place(self, model: str | None = None) -> str:
        """Repository or folder: the argument, else the environment variable, else the repository above."""
        return str(model or os.environ.get(self.variable) or self.repository)

    def availability(self) -> Availability:
        """Whether the network is on this machine or may be downloaded; asks nobody."""
        place = self.place()
        try:
            if _is_here(place):
                return Availability(True)
        except ValueError:  # of the hub's client: not the form of a repository's name
            return Availability(False, f"has no network: {shorten(place)} is no folder and no repository on the hub")
        if _offline():
            advice = f"unset HF_HUB_OFFLINE and {NO_DOWNLOAD}, or set {self.variable} to a folder"
            return Availability(False, f"has no network here ({shorten(place)}): {advice}")
        size = f" ({self.megabytes} MB, {self.licence})" if place == self.repository else ""
        return Availability(
            True, f"the first call downloads {shorten(place)}{size} from the hub; tested with random weights"
        )

    def load(self, model: str | None = None) -> Any:
        """Load the network for inference on the CPU.

        Raises:
            ModelError: it is not here and cannot be downloaded, or is of another class.
        """
        return self._load(self.transformers_class, model)

    def processor(self, model: str | None = None) -> Any:
        """Load what prepares images for the network, as the checkpoint describes it.

        Raises:
            ModelError: as `load`.
        """
        return self._load("AutoImageProcessor", model)

    def _load(self, transformers_class: str, model: str | None) -> Any:
        place = self.place(model)
        try:
            return _loaded(transformers_class, place)
        except Exception as error:  # whatever transformers and the hub's client raise
            raise ModelError(
                f"{shorten(place)} cannot be loaded as {transformers_class} ({shorten(error)}): check the network, or "
                f"set {self.variable} to the folder of a checkpoint of this class"
            ) from error


@cache
def _loaded(transformers_class: str, place: str) -> Any:
    import transformers
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    if not _is_here(place) and not _offline():  # asked once: a download without network retries for half a minute
        get_hf_file_metadata(hf_hub_url(place, CONFIG), timeout=5)
    loaded = getattr(transformers, transformers_class).from_pretrained(place, local_files_only=_offline())
    return loaded.eval() if hasattr(loaded, "eval") else loaded


def _is_here(place: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return os.path.isdir(place) or isinstance(try_to_load_from_cache(place, CONFIG), str)


def _offline() -> bool:
    from huggingface_hub import is_offline_mode

    return is_offline_mode() or bool(os.environ.get(NO_DOWNLOAD))
