"""Models of full size with random weights, built where they are to run, for measuring speed and memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from visualcloze_nb.loading.model_size import FULL_PARTS
from visualcloze_nb.settings import CLIP_TOKENS, INPUT_CHANNELS, LATENT_CHANNELS, TEXT_TOKENS, TOKEN_CHANNELS

VAE_BLOCKS: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
}


@dataclass(frozen=True)
class Size:
    """How large the parts are, and the workloads that go with them.

    Attributes:
        transformer, t5, clip, vae: arguments of the components' configs.
        text: tokens of text.
        scale: resolutions are divided by this.
        stage_2: (width, height) in pixels.
        matrix: side of the matrices that the device's rate is measured with.
        counts: (parameters, linear, wide) of each component, as `model_size.Part` takes them.
    """

    transformer: dict
    t5: dict
    clip: dict
    vae: dict
    text: int
    scale: int
    stage_2: tuple[int, int]
    matrix: int
    counts: dict

    def resolution(self, workload: str) -> int:
        """Give the pipeline's resolution for a workload such as `2x2@384`."""
        return int(workload.partition("@")[2] or 384) // self.scale

    def shape(self, workload: str) -> tuple[int, int]:
        """Give rows and columns."""
        rows, _, cols = workload.partition("@")[0].partition("x")
        return int(rows), int(cols)


FULL = Size(
    transformer={"num_layers": 19, "num_single_layers": 38, "guidance_embeds": True},
    t5={"vocab_size": 32128, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64},
    clip={"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
    vae={"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2},
    text=TEXT_TOKENS,
    scale=1,
    stage_2=(1344, 768),
    matrix=8192,
    counts={name: (part.parameters, part.linear, part.wide) for name, part in FULL_PARTS.items()},
)
SMALL = Size(
    transformer={
        "num_layers": 1,
        "num_single_layers": 1,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": 32,
        "pooled_projection_dim": 32,
        "axes_dims_rope": (4, 6, 6),
        "guidance_embeds": True,
    },
    t5={"vocab_size": 32128, "d_model": 32, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2},
    clip={"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2},
    vae={"block_out_channels": [4, 4, 8, 8], "layers_per_block": 1, "norm_num_groups": 2},
    text=256,
    scale=12,
    stage_2=(112, 64),
    matrix=256,
    counts={
        "transformer": (90_000, 80_000, 0),
        "text_encoder_2": (1_040_000, 10_000, 1000),
        "text_encoder": (1_600_000, 0, 0),
        "vae": (30_000, 0, 0),
    },  # fmt: skip
)


def build(size: Size, device: str) -> dict:
    """Build all components of a pipeline in bfloat16 on a device, weights random."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
    from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

    with torch.device("meta"):
        transformer = FluxTransformer2DModel(
            in_channels=INPUT_CHANNELS, out_channels=TOKEN_CHANNELS, **size.transformer
        )
        vae = AutoencoderKL(
            latent_channels=LATENT_CHANNELS,
            use_quant_conv=False,
            use_post_quant_conv=False,
            shift_factor=0.1159,
            scaling_factor=0.3611,
            **VAE_BLOCKS,
            **size.vae,
        )
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    tokenizer, tokenizer_2 = any_tokenizers(size)
    return {
        "transformer": filled(transformer, device),
        "vae": filled(vae, device),
        "scheduler": scheduler,
        "tokenizer": tokenizer,
        "tokenizer_2": tokenizer_2,
        **build_text_encoders(size, device),
    }


def build_text_encoders(size: Size, device: str) -> dict[str, torch.nn.Module]:
    """Build both text encoders."""
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    with torch.device("meta"):
        text_encoder = CLIPTextModel(CLIPTextConfig(**size.clip))
        text_encoder_2 = T5EncoderModel(T5Config(feed_forward_proj="gated-gelu", **size.t5))
    return {"text_encoder": filled(text_encoder, device), "text_encoder_2": filled(text_encoder_2, device)}


def filled(module: torch.nn.Module, device: str) -> torch.nn.Module:
    """Give a module without memory random weights in bfloat16, one tensor after the other."""
    module = module.to(torch.bfloat16).to_empty(device=device).eval().requires_grad_(False)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    for name, buffer in module.named_buffers():
        if name.endswith("position_ids"):
            buffer.copy_(torch.arange(buffer.shape[-1], device=device).expand_as(buffer))
        else:
            buffer.zero_()
    return module


def any_tokenizers(size: Size):
    """Make tokenizers that read any ASCII text, letter by letter: only the padded length matters here."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer, T5Tokenizer

    letters = sorted(ByteLevel.alphabet())
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(letter + "</w>" for letter in letters)]
    clip = CLIPTokenizer(vocab={t: n for n, t in enumerate(tokens)}, merges=[], model_max_length=CLIP_TOKENS)
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -1.0)]
    pieces += [(chr(code), -2.0) for code in range(33, 127)]
    return clip, T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=size.text)


def four_bit_layers(module: torch.nn.Module) -> torch.nn.Module:
    """Pack the linear layers of a module in 4 bits (nf4) with bitsandbytes, where they lie; T5's `wo` stays."""
    import bitsandbytes  # pyright: ignore[reportMissingImports]  # the gpu extra

    kept = set(getattr(module, "_keep_in_fp32_modules", None) or ())
    for parent in list(module.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is not torch.nn.Linear or name in kept:
                continue
            packed = bitsandbytes.nn.Linear4bit(
                layer.in_features,
                layer.out_features,
                bias=layer.bias is not None,
                compute_dtype=torch.bfloat16,
                quant_type="nf4",
                device="meta",
            )
            packed.weight = bitsandbytes.nn.Params4bit(layer.weight.data, requires_grad=False, quant_type="nf4")
            packed.bias = layer.bias
            setattr(parent, name, packed.to(layer.weight.device))
    return module
