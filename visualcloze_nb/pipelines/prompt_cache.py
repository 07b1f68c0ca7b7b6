"""Remembering what the text encoders answered, and warning about what they cannot read.

A grid is often filled again with the same words: another seed, other examples. Encoding them once more costs
seconds with the full model, so embeddings are kept. They are forgotten when the encoders may have changed.
"""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict
from collections.abc import Callable
from contextlib import contextmanager

import torch

from visualcloze_nb.errors import TextWarning
from visualcloze_nb.settings import TEXT_TOKENS

KEPT = 32  # embeddings; 4 MB each with the full T5
ENCODERS = ("text_encoder", "text_encoder_2")
CHANGES_TEXT_ENCODERS = (
    "load_lora_weights",
    "unload_lora_weights",
    "fuse_lora",
    "unfuse_lora",
    "load_textual_inversion",
    "unload_textual_inversion",
)


class TextCache(OrderedDict):
    """The last few embeddings by encoder, text and length; the oldest goes first."""

    limit = KEPT

    def recall(self, key, encode):
        """Return what is kept under `key`, or `encode()`, which is then kept."""
        if key in self:
            self.move_to_end(key)
        else:
            self[key] = encode()
            while len(self) > self.limit:
                self.popitem(last=False)
        return self[key]


class TextSource:
    """Brings a pipeline's text encoders for a new text, and frees them again.

    Args:
        pipe: the two-stage pipeline.
        load: gives both encoders by name, on the right device.
    """

    def __init__(self, pipe, load: Callable[[], dict[str, torch.nn.Module]]):
        self.pipe, self.load = pipe, load
        self.free()

    def fetch(self) -> None:
        """Have the encoders there."""
        if self.pipe.text_encoder is None:
            for name, encoder in self.load().items():
                setattr(self.pipe, name, encoder)

    def free(self) -> None:
        """Give up the encoders and their memory."""
        for name in ENCODERS:
            setattr(self.pipe, name, None)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class RemembersText:
    """Mixin for a diffusers pipeline with two text encoders: keeps their answers in `text_cache`."""

    @property
    def text_cache(self) -> TextCache:
        """What is remembered; `clear()` forgets it."""
        return self.__dict__.setdefault("_text_cache", TextCache())

    text_source: TextSource | None = None

    @contextmanager
    def text_source_open(self):
        """Free the text encoders at the end, if they were fetched for the texts read inside."""
        try:
            yield self.text_source
        finally:
            if self.text_source is not None:
                self.text_source.free()

    def _get_clip_prompt_embeds(self, prompt, num_images_per_prompt=1, device=None):
        arguments = (prompt, num_images_per_prompt, device)
        encode = functools.partial(super()._get_clip_prompt_embeds, *arguments)
        return self._recall("text_encoder", encode, *arguments)

    def _get_t5_prompt_embeds(
        self, prompt=None, num_images_per_prompt=1, max_sequence_length=TEXT_TOKENS, device=None, dtype=None
    ):
        warn_about_text(self.tokenizer_2, prompt, max_sequence_length)
        arguments = (prompt, num_images_per_prompt, max_sequence_length, device, dtype)
        encode = functools.partial(super()._get_t5_prompt_embeds, *arguments)
        return self._recall("text_encoder_2", encode, *arguments)

    def _recall(self, name, encode, prompt, *arguments):
        encoder = getattr(self, name)
        texts = (prompt,) if isinstance(prompt, str) else tuple(prompt)
        if self.text_source is not None:  # what it gives is always the same

            def fetch_and_encode():
                self.text_source.fetch()
                return encode()

            return self.text_cache.recall((name, texts, *arguments), fetch_and_encode)
        if torch.is_grad_enabled() or encoder.training or getattr(encoder, "peft_config", None):
            return encode()  # somebody trains it, or a LoRA's scale changes what it says
        return self.text_cache.recall((name, _state(encoder), texts, *arguments), encode)


def _state(encoder: torch.nn.Module) -> tuple:
    """Tell apart the states of an encoder: which one, its precision, and how often it was written to."""
    writes = sum(0 if p.is_inference() else p._version for p in encoder.parameters())
    return id(encoder), encoder.dtype, writes


def forgets_text(cls: type) -> type:
    """Make the methods of a pipeline class that change its text encoders forget all embeddings."""
    for name in CHANGES_TEXT_ENCODERS:
        setattr(cls, name, _forgetting(getattr(cls, name)))
    return cls


def _forgetting(original):
    @functools.wraps(original)
    def method(self, *args, **kwargs):
        self.text_cache.clear()
        return original(self, *args, **kwargs)

    return method


def unknown_words(tokenizer, text: str) -> list[str]:
    """Return the words of a text that the tokenizer has no piece for, each once, in order.

    Args:
        tokenizer: of the T5 encoder, `pipe.tokenizer_2`.
        text: any.

    Returns:
        whole words, as they stand in the text.
    """
    unknown = tokenizer.unk_token_id
    if unknown is None or unknown not in _ids(tokenizer, text):
        return []
    return [word for word in dict.fromkeys(text.split()) if unknown in _ids(tokenizer, word)]


def warn_about_text(tokenizer, prompt: str | list[str], max_sequence_length: int) -> None:
    """Warn if the model will not read all of a text.

    Args:
        tokenizer: of the T5 encoder.
        prompt: one text or several.
        max_sequence_length: tokens that the encoder reads, the end mark included.

    Warns:
        TextWarning: naming the words the vocabulary lacks, or the end that does not fit.
    """
    for text in [prompt] if isinstance(prompt, str) else prompt:
        words = unknown_words(tokenizer, text)
        if words:
            message = f"this model does not know {', '.join(map(repr, words))}: it reads a blank there"
            warnings.warn(message, TextWarning, stacklevel=2)
        ids = _ids(tokenizer, text)
        if len(ids) > max_sequence_length:
            lost = tokenizer.decode(ids[max_sequence_length - 1 :], skip_special_tokens=True)
            message = (
                f"the text has {len(ids)} tokens and the model reads {max_sequence_length}: "
                f"{lost!r} is left out; shorten it or raise max_sequence_length"
            )
            warnings.warn(message, TextWarning, stacklevel=2)


def _ids(tokenizer, text: str) -> list[int]:
    return tokenizer(text, verbose=False).input_ids
