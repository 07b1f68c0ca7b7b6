"""Fixtures: a VisualCloze pipeline with random weights, built in a second, and small images to feed it.

The random pipeline has the real classes and the real geometry (8x VAE, 16 latent channels, 384 input
channels, dynamic shifting) at the smallest width. Equality, defects and interfaces do not depend on what the
weights are; what the trained model can do is measured by `visualcloze-nb evaluate`.
"""

import copy
import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pytest
from PIL import Image

HEAVY = ("torch", "diffusers", "transformers", "accelerate", "einops", "safetensors", "peft")  # slow to import
RESOLUTION = 32  # a square cell is 2 x 2 tokens

WORDS = """A grid layout with 1 2 3 4 5 6 rows and columns , displaying images arranged side by side . In each
row a logical task is demonstrated to achieve [IMAGE1] [IMAGE2] [IMAGE3] based on the an The last image of
last row depicts: depth edge map image mask red blue circle square photograph""".split()


def build_random_pipe(cls=None, *, guidance_embeds=False, seed=0, resolution=RESOLUTION):
    """Build a pipeline of class `cls`, by default ours; equal seeds give equal random weights."""
    import torch
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    if cls is None:
        from visualcloze_nb.pipelines.combined import VisualClozePipeline as cls

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer, tokenizer_2 = _clip_tokenizer(), _t5_tokenizer()
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=16,
                intermediate_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                max_position_embeddings=77,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
        text_encoder_2 = T5EncoderModel(
            T5Config(vocab_size=len(tokenizer_2), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
        )
        vae = AutoencoderKL(
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
            block_out_channels=[4, 4, 8, 8],
            layers_per_block=1,
            latent_channels=16,
            norm_num_groups=2,
            mid_block_add_attention=False,
            use_quant_conv=False,
            use_post_quant_conv=False,
            shift_factor=0.1,
            scaling_factor=0.5,
        )
        transformer = FluxTransformer2DModel(
            in_channels=384,
            out_channels=64,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=16,
            pooled_projection_dim=16,
            axes_dims_rope=(4, 6, 6),
            guidance_embeds=guidance_embeds,
        )
        for parameter in transformer.parameters():  # the default start is all but zero: nothing would matter
            torch.nn.init.normal_(parameter, std=0.3)
        for name, parameter in vae.named_parameters():  # and the default VAE would give nearly one grey
            if parameter.ndim == 4:
                torch.nn.init.normal_(parameter, std=3 * parameter[0].numel() ** -0.5)
            if name == "decoder.conv_out.weight":
                parameter.data /= 5
        vae.encoder.conv_out.weight.data[16:] = 0
        vae.encoder.conv_out.bias.data[16:] = -8  # log-variance: the encoder is sure, as a trained one is
    scheduler = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, base_image_seq_len=4, max_image_seq_len=64, base_shift=0.5, max_shift=1.15
    )
    pipe = cls(
        scheduler=scheduler,
        vae=vae.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=tokenizer,
        text_encoder_2=text_encoder_2.eval(),
        tokenizer_2=tokenizer_2,
        transformer=transformer.eval(),
        resolution=resolution,
    )
    quiet(pipe)
    return pipe


def quiet(pipe):
    """Switch off progress bars, in stock pipelines one by one."""
    for part in (pipe, getattr(pipe, "generation_pipe", None), getattr(pipe, "upsampling_pipe", None)):
        if part is not None:
            part.set_progress_bar_config(disable=True)
    return pipe


def _t5_tokenizer():
    from transformers import T5Tokenizer

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -5.0)]
    pieces += [("▁" + word, -1.0) for word in sorted(set(WORDS))] + [(mark, -2.0) for mark in ".,:"]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=64)


def _clip_tokenizer():
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    merges = []
    for word in sorted({word.lower() for word in WORDS if word.isalpha() and len(word) > 1}):
        parts = [*word[:-1], word[-1] + "</w>"]
        merges += [("".join(parts[:end]), parts[end]) for end in range(1, len(parts))]
    merges = list(dict.fromkeys(merges))
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(letter + "</w>" for letter in letters)]
    vocab = {token: number for number, token in enumerate([*tokens, *("".join(pair) for pair in merges)])}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=77)


def noise_image(width=48, height=48, seed=0):
    """Make an image in which every pixel matters: seeded noise on a gradient."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 120, (height, width, 3)) + np.linspace(0, 130, width)[None, :, None]
    return Image.fromarray(pixels.astype(np.uint8))


def rows(n_rows=2, n_cols=2, size=(48, 48), targets=(-1,), seed=0):
    """Make the rows of a grid: images everywhere, None at `targets` in the last row."""
    cells = [[noise_image(*size, seed=seed + 10 * r + c) for c in range(n_cols)] for r in range(n_rows)]
    for column in targets:
        cells[-1][column] = None
    return cells


@pytest.fixture(scope="session")
def browser():
    """The browser of the tests in tests/browser."""
    from servers import open_browser

    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def random_pipe():
    """Our pipeline with random weights. Shared: a test that changes it builds its own."""
    return build_random_pipe()


@pytest.fixture(scope="session")
def stock_pipe():
    """Stock diffusers with the same random weights as `random_pipe`."""
    import diffusers

    return build_random_pipe(diffusers.VisualClozePipeline)


@pytest.fixture(scope="session")
def tiny():
    """The bundled checkpoint."""
    from visualcloze_nb.loading.load import load

    return quiet(load("tiny"))


@pytest.fixture(scope="session")
def pipe(tiny):
    """The pipeline that the documented calls run on."""
    return tiny


def fresh_copy(pipe):
    """Copy a pipeline with its weights, for a test that changes them."""
    parts = {
        name: part if name.startswith("tokenizer") else copy.deepcopy(part) for name, part in pipe.components.items()
    }
    return quiet(type(pipe)(**parts, resolution=pipe.resolution))


def pytest_configure(config):
    """`pytest tests/test_field.py` runs the tests of all rows, which stand in several modules."""
    paths = [path for path in config.args if path.endswith("test_field.py")]
    if paths and len(config.args) == len(paths):
        folder = Path(__file__).parent
        named = [path for path in sorted(folder.glob("test_*.py")) if "def test_row_" in path.read_text()]
        config.args += [str(path) for path in named]
        config.only_rows = True


def pytest_collection_modifyitems(config, items):
    """Leave out what stands beside the rows' tests."""
    if getattr(config, "only_rows", False):
        kept = [item for item in items if "test_row_" in item.name or item.path.name == "test_field.py"]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept
