"""The tiny VisualCloze, untrained: the same classes and geometry as the real one, a thousandth of its size."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel, T5Tokenizer

from visualcloze_nb.data.prompts import column_prompt, full_prompt
from visualcloze_nb.settings import CLIP_TOKENS, INPUT_CHANNELS, TINY_RESOLUTION, TINY_TEXT_TOKENS, TOKEN_CHANNELS
from visualcloze_nb.toyworld import HELD_OUT_TASKS, TRAINED_TASKS, make_scene, words

WIDTH = 192
SINGLE_BLOCKS = 10
AXES = (8, 28, 28)  # of the 64 numbers of a head: how many turn with row, y and x


def corpus(texts: int = 3000, seed: int = 0) -> list[str]:
    """Prompts of every grid size, task and kind of scene: what the tokenizers must be able to say."""
    rng = random.Random(seed)
    tasks = [*TRAINED_TASKS, *HELD_OUT_TASKS]
    found = []
    for i in range(texts):
        names = [words(kind) for kind in tasks[i % len(tasks)].columns]
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
    import json

    learned = json.loads(learner.to_str())["model"]
    vocab = dict(learned["vocab"])
    for letter in alphabet:  # a byte may also end a word
        vocab.setdefault(letter + "</w>", len(vocab))
    merges = [tuple(pair) for pair in learned["merges"]]
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=CLIP_TOKENS)


def build_text_encoders(tokenizer: CLIPTokenizer, tokenizer_2: T5Tokenizer) -> tuple[CLIPTextModel, T5EncoderModel]:
    """Small encoders, trained together with the transformer."""
    t5 = T5Config(
        vocab_size=len(tokenizer_2), d_model=128, d_kv=32, d_ff=256, num_layers=2, num_heads=4,
        feed_forward_proj="gated-gelu", dropout_rate=0.0,
        pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    clip = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, projection_dim=64,
        num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=CLIP_TOKENS,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return CLIPTextModel(clip), T5EncoderModel(t5)


def build_transformer() -> FluxTransformer2DModel:
    """A FLUX transformer of seven million parameters: one double block, ten single ones, three heads of 64."""
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=INPUT_CHANNELS,
        out_channels=TOKEN_CHANNELS,
        num_layers=1,
        num_single_layers=SINGLE_BLOCKS,
        attention_head_dim=64,
        num_attention_heads=WIDTH // 64,
        joint_attention_dim=128,
        pooled_projection_dim=64,
        guidance_embeds=False,
        axes_dims_rope=AXES,
    )
    point_heads(transformer)
    pass_noise_on(transformer)
    return transformer


@torch.no_grad()
def point_heads(transformer: FluxTransformer2DModel) -> None:
    """Start every attention head as a soft pointer to the same place of a neighbouring cell.

    A grid is solved by looking at one place of several cells. A model that starts without any sense of place
    needs a long time to find that out. Rotary embedding turns the pair of numbers of frequency f by f times
    the position, so a query bias turned by f times an offset, against an unturned key bias, prefers keys at
    that offset. The bias is a start only: training may move it anywhere.
    """
    offsets = (((0, 0, -4), (-1, 0, 0), (0, 0, 0)), ((0, 0, 4), (-1, 0, -4), (-1, 0, 4)))  # row, y, x in tokens
    blocks = [*transformer.transformer_blocks, *transformer.single_transformer_blocks]
    for i, block in enumerate(blocks):
        for head, offset in enumerate(offsets[i % 2][: block.attn.heads]):
            first = head * 64
            for axis, (dims, used) in enumerate(zip(AXES, (1, 3, 3), strict=True)):
                for pair in range(used):  # the higher frequencies only; the others hardly turn over a grid
                    angle = torch.tensor(offset[axis] * 10_000 ** (-2 * pair / dims))
                    at = first + 2 * pair
                    size = 2.5 if axis == 0 else 2.0
                    block.attn.to_q.bias[at : at + 2] = size * torch.stack([angle.cos(), angle.sin()])
                    block.attn.to_k.bias[at : at + 2] = size * torch.tensor([1.0, 0.0])
                first += dims
        block.attn.norm_q.weight.fill_(1.4)
        block.attn.norm_k.weight.fill_(1.4)


@torch.no_grad()
def pass_noise_on(transformer: FluxTransformer2DModel, amount: float = 0.3) -> None:
    """Start the transformer with a way for the noise, from its input to its output.

    A velocity is noise less image: all 64 numbers of a token's noise must come out as they went in, through
    a stream of only 192, and a model that starts without such a way must first find one. Here the first 64
    channels carry the noise, quietly, so that norms see little of it, and are read at the end. In a trial on
    image to edge drawing alone this start learned faster; no run of all tasks has begun with it yet.
    """
    noise = transformer.config.out_channels
    into, out = transformer.x_embedder, transformer.proj_out
    into.weight[:, :noise] = 0.0
    into.weight[:noise] = 0.0
    into.bias[:noise] = 0.0
    into.weight[:noise, :noise] = amount * torch.eye(noise)
    ends = [block.proj_out for block in transformer.single_transformer_blocks]
    ends += [block.attn.to_out[0] for block in transformer.transformer_blocks]
    ends += [block.ff.net[2] for block in transformer.transformer_blocks]
    for end in ends:
        end.weight[:noise] = 0.0
        end.bias[:noise] = 0.0
    for layer in (transformer.norm_out.linear, out):
        layer.weight.zero_()
        layer.bias.zero_()
    given = torch.randn(256, into.in_features)
    given[:, 2 * noise :] = 1.0  # the mask where the answer belongs
    out.weight[:, :noise] = into(given).std(1).mean() / amount * torch.eye(noise)  # undoes the last norm


@torch.no_grad()
def deepen(new: FluxTransformer2DModel, old: FluxTransformer2DModel) -> None:
    """Give a transformer what a shallower one has learned, so that both say the same.

    Its blocks are spread evenly over the new ones, first to first and last to last. A block in between begins as
    a copy of the one before it whose output is zero: it adds nothing yet, but has useful things to add.

    Args:
        new: changed in place.
        old: of the same width and double blocks, with as many or fewer single blocks.

    Raises:
        ValueError: `old` is the deeper one.
    """
    more, fewer = len(new.single_transformer_blocks), len(old.single_transformer_blocks)
    if fewer > more:
        raise ValueError(f"begin with a pipeline of at most {more} single blocks, this one has {fewer}")
    places = [round(i * (more - 1) / max(1, fewer - 1)) for i in range(fewer)]
    state = {k: v for k, v in old.state_dict().items() if not k.startswith("single_transformer_blocks.")}
    for place in range(more):
        source = max(i for i in range(fewer) if places[i] <= place)
        for name, value in old.single_transformer_blocks[source].state_dict().items():
            silent = place not in places and name.startswith("proj_out.")
            state[f"single_transformer_blocks.{place}.{name}"] = torch.zeros_like(value) if silent else value
    new.load_state_dict(state)


@torch.no_grad()
def take_over(pipe, begun) -> None:
    """Give a new pipeline what another has learned; it may have more single blocks and larger vocabularies.

    Args:
        pipe: from `build_pipeline`; changed in place.
        begun: a pipeline of the same width, whose words may have other numbers. A word that both know keeps its
            embedding; a new one keeps its random start.
    """
    deepen(pipe.transformer, begun.transformer)
    for encoder, tokenizer in (("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2")):
        new, old = getattr(pipe, encoder), getattr(begun, encoder)
        words, known = getattr(pipe, tokenizer).get_vocab(), getattr(begun, tokenizer).get_vocab()
        fresh = new.get_input_embeddings().weight.clone()
        for word, number in words.items():
            if word in known:
                fresh[number] = old.get_input_embeddings().weight[known[word]]
        sizes = {name: value.shape for name, value in new.state_dict().items()}
        same = {name: value for name, value in old.state_dict().items() if sizes[name] == value.shape}
        new.load_state_dict(same, strict=False)
        new.get_input_embeddings().weight.copy_(fresh)


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


def build_pipeline(vae: AutoencoderKL, seed: int = 0, kept: Path | None = None):
    """All parts together as a `diffusers.VisualClozePipeline` of resolution 64; the rest untrained."""
    from diffusers import VisualClozePipeline

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
        transformer=build_transformer(),
        resolution=TINY_RESOLUTION,
    )
