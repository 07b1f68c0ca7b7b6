"""The memory arithmetic, against models of full size on the meta device; and the order of the plans."""

import itertools
import json
import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from visualcloze_nb.loading.memory_plan import NAMES, STRATEGIES, Machine, load_text_freed, plan
from visualcloze_nb.loading.model_size import FULL_PARTS, GB, LIVE, NF4, Part, folder_model, full_model, gb


def build_on_meta():
    """Build every component of the released pipelines in full size, without memory for the weights."""
    from diffusers import AutoencoderKL, FluxTransformer2DModel
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    with torch.device("meta"):
        return {
            "transformer": FluxTransformer2DModel(
                in_channels=384, out_channels=64, num_layers=19, num_single_layers=38, guidance_embeds=True
            ),
            "text_encoder_2": T5EncoderModel(
                T5Config(
                    vocab_size=32128,
                    d_model=4096,
                    d_kv=64,
                    d_ff=10240,
                    num_layers=24,
                    num_heads=64,
                    feed_forward_proj="gated-gelu",
                )
            ),
            "text_encoder": CLIPTextModel(
                CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12)
            ),
            "vae": AutoencoderKL(
                down_block_types=["DownEncoderBlock2D"] * 4,
                up_block_types=["UpDecoderBlock2D"] * 4,
                block_out_channels=[128, 256, 512, 512],
                layers_per_block=2,
                latent_channels=16,
                use_quant_conv=False,
                use_post_quant_conv=False,
            ),
        }


@pytest.fixture(scope="module")
def full_size():
    return {name: module.to(torch.bfloat16) for name, module in build_on_meta().items()}


class Live(TorchDispatchMode):
    """Adds up the bytes of all tensors alive at once, weights apart."""

    def __init__(self, module):
        super().__init__()
        self.weights = [p.untyped_storage() for p in (*module.parameters(), *module.buffers())]
        self.sizes = {storage._cdata: 0 for storage in self.weights}
        self.now = self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in self.sizes:
                storage = tensor.untyped_storage()
                self.sizes[storage._cdata] = storage.nbytes()
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self.free, storage._cdata)
        return out

    def free(self, key):
        self.now -= self.sizes.pop(key, 0)


@pytest.fixture
def fused_attention(monkeypatch):
    """On a GPU attention never holds the table of all pairs; on the meta device it would."""

    def fused(query, key, value, **options):
        return torch.empty_strided(query.shape, query.stride(), dtype=query.dtype, device=query.device)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", fused)


@pytest.mark.parametrize("name", FULL_PARTS)
def test_weights_are_counted_right(full_size, name):
    module, part = full_size[name], FULL_PARTS[name]
    assert part.parameters == sum(p.numel() for p in module.parameters())
    assert part.bytes("bf16") == sum(p.numel() * p.element_size() for p in module.parameters())
    linear = {key: m for key, m in module.named_modules() if isinstance(m, torch.nn.Linear)}
    if name in ("transformer", "text_encoder_2"):
        assert part.linear == sum(m.weight.numel() for m in linear.values())
        kept = getattr(module, "_keep_in_fp32_modules", None) or ()
        assert part.wide == sum(m.weight.numel() for key, m in linear.items() if key.split(".")[-1] in kept)


def test_four_bits():
    part = Part(1000, linear=900, wide=100)
    assert part.bytes("bf16", packed=True) == 800 * NF4 + 200 * 2
    assert part.bytes("fp32", packed=True) == 800 * NF4 + 200 * 4
    assert part.bytes("fp16") == 1000 * 2
    assert 6.5 * GB < FULL_PARTS["transformer"].bytes("bf16", packed=True) < 6.8 * GB  # 6.7 GB are reported


@pytest.mark.parametrize(("rows", "cols"), [(2, 2), (3, 3)])
def test_activations_of_the_transformer(full_size, fused_attention, rows, cols):
    model = full_model("384")
    tokens, text = rows * cols * 384 * 384 // 256, 512
    half = {"dtype": torch.bfloat16, "device": "meta"}
    with torch.no_grad(), Live(full_size["transformer"]) as live:
        full_size["transformer"](
            hidden_states=torch.empty(1, tokens, 384, **half),
            encoder_hidden_states=torch.empty(1, text, 4096, **half),
            pooled_projections=torch.empty(1, 768, **half),
            timestep=torch.empty(1, **half),
            guidance=torch.empty(1, device="meta"),
            txt_ids=torch.empty(text, 3, **half),
            img_ids=torch.empty(tokens, 3, **half),
        )
    expected = model.work("bf16", rows, cols, size=(16, 16))["denoise"]
    assert expected == LIVE * (tokens + text) * 3072 * 2
    assert abs(expected / live.peak - 1) < 0.1


@pytest.mark.parametrize("size", [(768, 384), (1344, 768)])
def test_activations_of_the_vae(full_size, fused_attention, size):
    width, height = size
    vae = full_size["vae"]
    peaks = []
    for run, shape in ((vae.decode, (1, 16, height // 8, width // 8)), (vae.encode, (1, 3, height, width))):
        with torch.no_grad(), Live(vae) as live:
            run(torch.empty(shape, dtype=torch.bfloat16, device="meta"))
        peaks.append(live.peak)
    expected = full_model("384").work("bf16", 1, 1, size=size)["decode"]
    assert abs(expected / max(peaks) - 1) < 0.1


GPUS = [0, 6, 8, 10, 12, 16, 20, 24, 32, 34, 36, 40, 48, 80, 140]
RAMS = [2, 8, 12, 20, 32, 48, 64, 128]


def machine(gpu, ram, *, bf16=True, four_bit=True, disk=1000):
    name = "a GPU" if gpu else None
    return Machine(ram * GB, disk * GB, 8, name, gpu * GB, bf16 and gpu > 0, four_bit and gpu > 0)


@pytest.mark.parametrize("name", ["384", "512", "384-lora"])
@pytest.mark.parametrize("bf16", [True, False])
@pytest.mark.parametrize("four_bit", [True, False])
def test_every_plan_fits_and_more_memory_is_never_slower(name, bf16, four_bit):
    model = full_model(name)
    rank = {}
    for gpu, ram in itertools.product(GPUS, RAMS):
        here = machine(gpu, ram, bf16=bf16, four_bit=four_bit)
        found = plan(model, here)
        if found.missing:
            rank[gpu, ram] = 99
        else:
            assert found.gpu <= here.gpu_memory and found.ram <= here.ram and found.disk <= here.disk
            assert not found.strategy.packed or four_bit
            rank[gpu, ram] = STRATEGIES.index(found.strategy)
    for gpu, ram in rank:
        for more_gpu, more_ram in rank:
            if more_gpu >= gpu and more_ram >= ram:
                assert rank[more_gpu, more_ram] <= rank[gpu, ram]
    assert len(set(rank.values())) >= 3, "a table with one plan would prove little"


@pytest.mark.parametrize(
    ("gpu", "bf16", "name", "text_freed"),
    [
        (85, True, "resident", False),
        (25.7, True, "nf4", False),
        (15.8, False, "nf4", True),
        (9, True, "offload", False),
    ],
)
def test_the_usual_machines(gpu, bf16, name, text_freed):
    found = plan(full_model("384"), machine(gpu, 64, bf16=bf16))
    assert found.name == name and not found.missing
    assert (found.strategy.load is load_text_freed) == text_freed
    assert found.precision == ("bf16" if bf16 else "fp16")
    t5 = FULL_PARTS["text_encoder_2"].bytes("bf16" if bf16 else "fp32", found.strategy.packed)
    assert found.parts["text_encoder_2"] == t5, "T5 overflows in float16: it stays in float32"


def test_a_larger_task_needs_more():
    here = machine(80, 64)
    small = plan(full_model("384"), here, rows=2, cols=2, size=(768, 768))
    large = plan(full_model("384"), here, rows=5, cols=5, size=(2048, 2048))
    assert small.gpu < large.gpu


@pytest.mark.parametrize("name", NAMES)
def test_any_plan_can_be_forced(name):
    found = plan(full_model("384"), machine(10, 12), force=name)
    assert found.name == name
    roomy = plan(full_model("384"), machine(100, 100), force=name)
    assert roomy.name == name and not roomy.missing


def test_what_is_missing_is_said():
    found = plan(full_model("384"), machine(0, 8))
    assert found.name == "cpu" and any("of RAM (there are 8.0 GB)" in what for what in found.missing)
    assert "there is no GPU" in found.words() and "hours" in found.words()
    tight = plan(full_model("384"), machine(9, 64))
    assert "not nf4" in tight.words() and "of GPU memory (there are 9.0 GB)" in tight.words()
    found = plan(full_model("384"), machine(80, 64, disk=10))
    assert found.missing == ("33.7 GB of disk (there are 10.0 GB)",)
    found = plan(full_model("384"), machine(24, 64, four_bit=False), force="nf4")
    assert any("bitsandbytes" in what for what in found.missing)
    with pytest.raises(ValueError, match="plan is 'fast': give auto or one of"):
        plan(full_model("384"), machine(80, 64), force="fast")


def test_words_name_sizes():
    words = plan(full_model("384"), machine(80, 64)).words()
    assert "resident: everything stays on the GPU" in words
    assert "transformer 23.8 GB" in words and "text_encoder_2 9.5 GB" in words
    assert gb(23.8e9) == "23.8 GB" and gb(41e6) == "41 MB"


def test_a_folder_is_measured_from_its_files(random_pipe, tmp_path):
    random_pipe.save_pretrained(tmp_path)
    model = folder_model(tmp_path)
    for name, part in model.parts.items():
        module = getattr(random_pipe, name)
        saved = sum(p.numel() for p in module.parameters())
        assert part.parameters == saved
        if name in ("transformer", "text_encoder_2"):
            linear = [m for m in module.modules() if isinstance(m, torch.nn.Linear)]
            assert part.linear == sum(m.weight.numel() for m in linear)
    assert model.resolution == random_pipe.resolution and model.width == 32 and model.download == 0
    assert json.loads((tmp_path / "vae/config.json").read_text())["block_out_channels"][1] == model.channels
    found = plan(model, machine(0, 8))
    assert found.name == "cpu" and found.precision == "fp32" and not found.missing
