"""Laid open: what the two text encoders make of a prompt.

T5 gives one vector a token, which the transformer reads beside the image tokens. CLIP gives one vector for
the whole text, which sets the mood of every layer together with the timestep. Neither is told which tokens
are padding: FLUX was trained so.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass
class Text:
    """A prompt as the transformer reads it.

    Attributes:
        states: `(B, T, D)` from T5, T tokens with padding.
        pooled: `(B, P)` from CLIP.
        ids: `(T, 3)`, all zero: text has no place in the image.
    """

    states: torch.Tensor
    pooled: torch.Tensor
    ids: torch.Tensor


def encode_ids(text_encoder, text_encoder_2, clip_ids: torch.Tensor, t5_ids: torch.Tensor) -> Text:
    """Token numbers `(B, 77)` and `(B, T)` to vectors."""
    states = text_encoder_2(t5_ids.to(text_encoder_2.device), output_hidden_states=False)[0]
    pooled = text_encoder(clip_ids.to(text_encoder.device), output_hidden_states=False).pooler_output
    states, pooled = states.to(text_encoder_2.dtype), pooled.to(text_encoder.dtype)
    return Text(states, pooled, torch.zeros(states.shape[1], 3, device=states.device, dtype=pooled.dtype))


def tokenize(pipe, prompts: list[str], max_sequence_length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompts to token numbers, padded: `(B, 77)` for CLIP, `(B, max_sequence_length)` for T5."""
    settings = dict(padding="max_length", truncation=True, return_tensors="pt")
    clip = pipe.tokenizer(prompts, max_length=pipe.tokenizer.model_max_length, **settings).input_ids
    t5 = pipe.tokenizer_2(prompts, max_length=max_sequence_length, **settings).input_ids
    return clip, t5


@torch.no_grad()
def encode_text(pipe, prompt: str, max_sequence_length: int) -> Text:
    """One prompt, read by both encoders of a pipeline.

    Args:
        pipe: has `tokenizer`, `tokenizer_2`, `text_encoder`, `text_encoder_2`.
        prompt: `grid.prompt` in stage 1, the content prompt or "" in stage 2.
        max_sequence_length: T5 tokens, 512 at most for the released models, 64 for the tiny one.
    """
    return encode_ids(pipe.text_encoder, pipe.text_encoder_2, *tokenize(pipe, [prompt], max_sequence_length))
