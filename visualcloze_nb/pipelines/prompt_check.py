"""Warnings about the parts of a prompt that the model cannot read."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from visualcloze_nb.errors import TextWarning

LOGGERS = (
    "transformers.tokenization_utils_base",
    "diffusers.pipelines.visualcloze.pipeline_visualcloze_generation",
    "diffusers.pipelines.flux.pipeline_flux_fill",
)


def unknown_words(tokenizer: Any, text: str) -> list[str]:
    """Find the words of a text that the tokenizer has no token for, each once, in order.

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


def warn_about_text(tokenizer: Any, prompt: str | list[str], max_sequence_length: int) -> None:
    """Warn if the model will not read all of a text.

    Args:
        tokenizer: of the T5 encoder.
        prompt: one text or several.
        max_sequence_length: tokens that the encoder reads, the end token included.

    Warns:
        TextWarning: naming the words that the vocabulary lacks, or the end that does not fit.
    """
    for text in [prompt] if isinstance(prompt, str) else prompt:
        words = unknown_words(tokenizer, text)
        if words:
            message = f"this model does not know {', '.join(map(repr, words)):.200}: it reads a blank there"
            warnings.warn(message, TextWarning, stacklevel=2)
        ids = _ids(tokenizer, text)
        if len(ids) > max_sequence_length:
            lost = tokenizer.decode(ids[max_sequence_length - 1 :], skip_special_tokens=True)
            lost = lost if len(lost) <= 120 else f"{lost[:60]} … {lost[-55:]}"
            message = (
                f"the text has {len(ids)} tokens and the model reads {max_sequence_length}: "
                f"{lost!r} is left out; shorten it or raise max_sequence_length"
            )
            warnings.warn(message, TextWarning, stacklevel=2)


@contextmanager
def no_truncation_logs() -> Iterator[None]:
    """Mute what transformers and diffusers log about long prompts: `warn_about_text` says it in one line."""

    def wanted(record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith(("Token indices sequence", "The following part of your input was trunc"))

    with ExitStack() as stack:
        for name in LOGGERS:
            logger = logging.getLogger(name)
            logger.addFilter(wanted)
            stack.callback(logger.removeFilter, wanted)
        yield


def _ids(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, verbose=False).input_ids
