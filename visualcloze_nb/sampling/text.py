"""Prompt encoding: T5 gives one vector for each token, CLIP one for the whole prompt.

The transformer reads T5's vectors beside the image tokens. The pooled CLIP embedding modulates every block (AdaLN)
together with the timestep. Padding is not masked: FLUX was trained so. Source of the two-encoder design: Esser et al.
2024 (arXiv 2403.03206), section 4. In diffusers this is `FluxPipeline.encode_prompt`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from diffusers.utils.torch_utils import get_module_execution_device


@dataclass
class Text:
    """Encoded prompts.

    Attributes:
        states: `(B, T, D)` from T5, T tokens with padding.
        pooled: `(B, P)` from CLIP.
        ids: `(T, 3)` position ids, all zero: text has no place in the image.
    """

    states: torch.Tensor
    pooled: torch.Tensor
    ids: torch.Tensor


def encode_ids(text_encoder: Any, text_encoder_2: Any, clip_ids: torch.Tensor, t5_ids: torch.Tensor) -> Text:
    """Encode token ids; each output has the dtype of its encoder.

    Args:
        text_encoder: CLIP.
        text_encoder_2: T5.
        clip_ids: `(B, 77)`.
        t5_ids: `(B, T)`.

    Returns:
        the encoded prompts.
    """
    states = text_encoder_2(t5_ids.to(get_module_execution_device(text_encoder_2)), output_hidden_states=False)[0]
    output = text_encoder(clip_ids.to(get_module_execution_device(text_encoder)), output_hidden_states=False)
    states, pooled = states.to(text_encoder_2.dtype), output.pooler_output.to(text_encoder.dtype)
    return Text(states, pooled, torch.zeros(states.shape[1], 3, device=states.device, dtype=pooled.dtype))


def tokenize(pipe: Any, prompts: list[str], max_sequence_length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn prompts into token ids, padded and truncated.

    Args:
        pipe: a pipeline with `tokenizer` (CLIP) and `tokenizer_2` (T5).
        prompts: B texts.
        max_sequence_length: number of T5 tokens.

    Returns:
        CLIP's ids `(B, 77)`, T5's ids `(B, max_sequence_length)`.
    """
    settings = dict(padding="max_length", truncation=True, return_tensors="pt")
    clip = pipe.tokenizer(prompts, max_length=pipe.tokenizer.model_max_length, **settings).input_ids
    t5 = pipe.tokenizer_2(prompts, max_length=max_sequence_length, **settings).input_ids
    return clip, t5


@torch.no_grad()
def encode_text(pipe: Any, prompt: str, max_sequence_length: int) -> Text:
    """Encode one prompt for the transformer of a pipeline: on its device, in its dtype.

    The encoders may be more precise than the transformer, or be offloaded.

    Args:
        pipe: a VisualCloze pipeline.
        prompt: `grid.prompt` in stage 1, the content prompt or "" in stage 2.
        max_sequence_length: number of T5 tokens: at most 512 for the released models, 64 for the tiny one.

    Returns:
        the encoded prompt, batch size 1.
    """
    text = encode_ids(pipe.text_encoder, pipe.text_encoder_2, *tokenize(pipe, [prompt], max_sequence_length))
    device, dtype = pipe._execution_device, pipe.transformer.dtype
    return Text(text.states.to(device, dtype), text.pooled.to(device, dtype), text.ids.to(device, dtype))
