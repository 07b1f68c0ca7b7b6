"""The tiny VisualCloze, untrained: the same classes and geometry as the real one, a thousandth of its size."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from diffusers.pipelines.visualcloze.pipeline_visualcloze_combined import VisualClozePipeline
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel, T5Tokenizer

from visualcloze_nb.data.prompts import column_prompt, full_prompt
from visualcloze_nb.settings import (
    CLIP_TOKENS,
    INPUT_CHANNELS,
    LATENT_CHANNELS,
    TINY_RESOLUTION,
    TINY_TEXT_TOKENS,
    TOKEN_CHANNELS,
)
from visualcloze_nb.toyworld import HELD_OUT_TASKS, make_scene, phrase
from visualcloze_nb.training.batches import TASKS
from visualcloze_nb.training.initialisation import AXES, HEAD, initialise

WIDTH = 384
SINGLE_BLOCKS = 5


def corpus(texts: int = 3000, seed: int = 0) -> list[str]:
    """Prompts of every grid size, task and kind of scene: what the tokenizers must be able to say."""
    rng = random.Random(seed)
    tasks = [*TASKS, *HELD_OUT_TASKS]
    found = []
    for i in range(texts):
        names = [phrase(kind) for kind in tasks[i % len(tasks)].columns]
        rng.shuffle(names)
        task = column_prompt(names, [rng.randrange(len(names))])
        rows, cols = rng.randint(1, 5), rng.randint(1, 5)
        found.append(full_prompt(rows, cols, task, make_scene(i).caption()))
    return found


def build_t5_tokenizer(texts: list[str]) -> T5Tokenizer:
    """One piece a word, punctuation attached where it always stands; numbers 0 to 25 and [IMAGE1] to [IMAGE5]."""
    seen = sorted({word for text in texts for word in text.split()})
    numbers = [str(n) for n in range(26)] + [f"[IMAGE{n}]" for n in range(1, 6)]
    bare = {word.rstrip(".,:") for word in seen} | {word.lower().rstrip(".,:") for word in seen}
    pieces = sorted({*seen, *numbers, *bare} - {""})
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -9.0)]
    vocab += [(mark, -4.0) for mark in ".,:"] + [(f"▁{piece}", -5.0) for piece in pieces]
    return T5Tokenizer(vocab=vocab, extra_ids=0, model_max_length=TINY_TEXT_TOKENS)


def build_clip_tokenizer(texts: list[str]) -> CLIPTokenizer:
    """Byte pairs learned on the same texts, with the whole byte alphabet, so that any text can be said."""
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    learner.normalizer = normalizers.Lowercase()
    learner.pre_tokenizer = CLIPTokenizer().backend_tokenizer.pre_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    specials = ["<|startoftext|>", "<|endoftext|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=1200, initial_alphabet=alphabet, special_tokens=specials, end_of_word_suffix="</w>"
    )
    learner.train_from_iterator(texts, trainer)
    learned = json.loads(learner.to_str())["model"]
    vocab = dict(learned["vocab"])
    for letter in alphabet:  # a byte may also end a word
        vocab.setdefault(letter + "</w>", len(vocab))
    merges = [tuple(pair) for pair in learned["merges"]]
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=CLIP_TOKENS)  # pyright: ignore[reportArgumentType]  # pairs, not str


def build_text_encoders(tokenizer: CLIPTokenizer, tokenizer_2: T5Tokenizer) -> tuple[CLIPTextModel, T5EncoderModel]:
    """Small encoders, trained together with the transformer."""
    t5 = T5Config(
        vocab_size=len(tokenizer_2), d_model=128, d_kv=32, d_ff=256, num_layers=2, num_heads=4,
        feed_forward_proj="gated-gelu", dropout_rate=0.0,
        pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    special: dict[str, Any] = {n: getattr(tokenizer, n) for n in ("bos_token_id", "eos_token_id", "pad_token_id")}
    clip = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, projection_dim=64,
        num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=CLIP_TOKENS,
        **special,
    )  # fmt: skip
    return CLIPTextModel(clip), T5EncoderModel(t5)


def build_vae() -> AutoencoderKL:
    """The tiny VAE, untrained: 8 times smaller a side, 16 channels, 3.8 M parameters.

    It starts almost linear: convolutions on the direct way keep their input's size, the branches beside it
    start small, and the latents almost without noise. From PyTorch's own start it stays colour-blind for
    thousands of steps.
    """
    blocks: dict[str, Any] = {  # diffusers annotates these as tuples of one
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": (32, 64, 128, 128),
    }
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        **blocks,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=2,  # few: the last norm must not wash out which colour is brighter
        sample_size=64,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=1.0,
        shift_factor=0.0,
    )
    with torch.no_grad():
        parts: dict[str, Any] = {n: m for n, m in vae.named_modules() if isinstance(m, torch.nn.Conv2d)}
        for name, conv in parts.items():
            if name.endswith(".conv2"):
                conv.weight.mul_(0.1)
                conv.bias.zero_()
            elif not name.endswith(".conv1"):
                conv.weight.mul_(3**0.5)
        parts["encoder.conv_out"].weight[16:].mul_(0.05)
        parts["encoder.conv_out"].bias[16:].fill_(-5.0)
    return vae


def build_transformer(width: int = WIDTH) -> FluxTransformer2DModel:
    """A FLUX transformer: one double block, five single ones, heads of 64; 17 million parameters at width 384."""
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=INPUT_CHANNELS,
        out_channels=TOKEN_CHANNELS,
        num_layers=1,
        num_single_layers=SINGLE_BLOCKS,
        attention_head_dim=HEAD,
        num_attention_heads=width // HEAD,
        joint_attention_dim=128,
        pooled_projection_dim=64,
        guidance_embeds=False,
        axes_dims_rope=AXES,
    )
    initialise(transformer)
    return transformer


def build_scheduler() -> FlowMatchEulerDiscreteScheduler:
    """FLUX's schedule, shifted as much as an image of so few latents stands.

    At 256 tokens this is FLUX's own shift. From there it falls to none at 16 tokens: the fewer latents, the less noise
    it takes to hide an image. FLUX's line over FLUX's token counts would give all sizes of this model nearly the same
    shift.
    """
    return FlowMatchEulerDiscreteScheduler(
        num_train_timesteps=1000,
        use_dynamic_shifting=True,
        base_shift=0.0,
        max_shift=0.5,
        base_image_seq_len=16,
        max_image_seq_len=256,
    )


def build_tokenizers(kept: Path | None = None) -> tuple[CLIPTokenizer, T5Tokenizer]:
    """Both tokenizers, built; or read back from the folders `tokenizer` and `tokenizer_2` in `kept`.

    Text encoders are worth nothing without the tokenizers they were trained with, and byte pairs come out in
    another order each time they are learned. So a run keeps its tokenizers.
    """
    if kept is not None:
        return CLIPTokenizer.from_pretrained(kept / "tokenizer"), T5Tokenizer.from_pretrained(kept / "tokenizer_2")
    texts = corpus()
    return build_clip_tokenizer(texts), build_t5_tokenizer(texts)


def build_pipeline(vae: AutoencoderKL, seed: int = 0, kept: Path | None = None, width: int = WIDTH):
    """All parts as a `diffusers.VisualClozePipeline` of resolution 64; all but the VAE untrained.

    Args:
        vae: the trained VAE.
        seed: of the random weights.
        kept: a folder with the tokenizers of an earlier run.
        width: of the transformer, a multiple of 64.
    """
    torch.manual_seed(seed)
    tokenizer, tokenizer_2 = build_tokenizers(kept)
    text_encoder, text_encoder_2 = build_text_encoders(tokenizer, tokenizer_2)
    return VisualClozePipeline(
        scheduler=build_scheduler(),
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        text_encoder_2=text_encoder_2,
        tokenizer_2=tokenizer_2,
        transformer=build_transformer(width),
        resolution=TINY_RESOLUTION,
    )
