"""Text encoders that are loaded for a new prompt and freed again, with a cache of their embeddings.

Only the plan `encode-then-free` uses this: loading T5 takes far longer than encoding with it. Encoders that stay in
memory encode every prompt anew, because a cache cannot know of a hook, an adapter or a weight changed in place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from visualcloze_nb.settings import TEXT_ENCODERS

Embeddings = tuple[torch.Tensor, torch.Tensor]  # (1, T, D) from T5, (1, P) from CLIP


class TextEncoderLoader:
    """Context manager that frees the text encoders at its end, if they were loaded inside.

    Args:
        pipe: the two-stage pipeline, which gives up the encoders it has.
        load: returns both encoders by name, on the right device.
    """

    limit = 32  # cached embeddings; 4 MB each with the full T5

    def __init__(self, pipe: Any, load: Callable[[], dict[str, torch.nn.Module]]):
        self.pipe, self.load = pipe, load
        self.cache: dict[Any, Embeddings] = {}
        self._depth, self._loaded = 0, set(TEXT_ENCODERS)
        self._free()

    def __enter__(self) -> TextEncoderLoader:
        self._depth += 1
        return self

    def __exit__(self, *error: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._free()

    def ensure_loaded(self) -> None:
        """Load the encoders that the pipeline lacks."""
        missing = self._missing()
        if missing:
            encoders = self.load()
            for name in missing:
                setattr(self.pipe, name, encoders[name])
            self._loaded |= missing

    def recall(self, key: Any, encode: Callable[[], Embeddings]) -> Embeddings:
        """Return the embeddings cached under `key`, or those of `encode`; the tensors are the caller's own.

        Args:
            key: all that the embeddings depend on.
            encode: makes them.
        """
        if self._missing() | self._loaded != set(TEXT_ENCODERS):
            return encode()  # somebody gave the pipeline another encoder
        if key not in self.cache:
            self.cache[key] = encode()
            if len(self.cache) > self.limit:
                del self.cache[next(iter(self.cache))]
        embeds, pooled = self.cache[key]
        return embeds.clone(), pooled.clone()

    def _missing(self) -> set[str]:
        return {name for name in TEXT_ENCODERS if getattr(self.pipe, name) is None}

    def _free(self) -> None:
        for name in self._loaded:
            setattr(self.pipe, name, None)
        self._loaded = set()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
