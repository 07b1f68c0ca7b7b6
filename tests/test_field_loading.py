"""Faults of loading that users met elsewhere, named by row of issue 18: 4, 5, 15, 16, 18, 23, 24; and item 7 of 20."""

import json
import os
import shutil
import struct
import time
from pathlib import Path

import pytest
import torch
from conftest import quiet, rows
from safetensors.torch import load_file, save_file

import visualcloze_nb
from visualcloze_nb.cli.main import main
from visualcloze_nb.data.grid import Grid
from visualcloze_nb.errors import ModelError, UsageError, VisualClozeWarning
from visualcloze_nb.loading import checkpoints
from visualcloze_nb.loading import load as models
from visualcloze_nb.loading.checkpoints import describe
from visualcloze_nb.loading.load import load
from visualcloze_nb.loading.memory_plan import Machine
from visualcloze_nb.loading.model_size import GB, full_model
from visualcloze_nb.pipelines.combined import VisualClozePipeline

GPU = Machine(64 * GB, 500 * GB, 8, "a GPU", 85 * GB, bf16=True)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943\nsize 12\n"
HTML = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n"
VAE = "vae/diffusion_pytorch_model.safetensors"
T5 = "text_encoder_2/model.safetensors"


@pytest.fixture(scope="module")
def saved(random_pipe, tmp_path_factory):
    place = tmp_path_factory.mktemp("whole")
    random_pipe.save_pretrained(place)
    return place


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of a whole checkpoint, a few hundred kilobytes, to be damaged."""
    return shutil.copytree(saved, tmp_path / "checkpoint")


def refused(folder, *parts, capsys=None, **options):
    """The message of the one error that a load raises; `doctor` says the same and fails."""
    start = time.perf_counter()
    with pytest.raises(ModelError) as caught:
        load(folder, **options)
    message = str(caught.value)
    assert time.perf_counter() - start < 2
    assert len(message) <= 300 and "\n" not in message
    for part in parts:
        assert part in message
    if not options:
        with pytest.raises(SystemExit) as ended:
            main(["doctor", str(folder)])
        assert ended.value.code == 2
    return message


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (LFS, "is a Git LFS pointer, not the file itself: run `git lfs pull`"),
        (HTML, "is an HTML or XML page"),
        (b"\n  <?xml version='1.0'?><Error/>", "is an HTML or XML page"),
        (b"", "is empty"),
        (b"PK\x03\x04" + bytes(100), "is not a whole safetensors file"),
        (b"\xff" * 64, "is not a whole safetensors file"),
        (struct.pack("<Q", 20) + b'{"a": 1}' + b" " * 40, "is not a whole safetensors file"),
        (struct.pack("<Q", 2) + b"[]", "is not a whole safetensors file"),
        (b"Entry not found", "is not a whole safetensors file"),
    ],
)
@pytest.mark.parametrize("name", [VAE, T5, "text_encoder/model.safetensors"])
def test_row_4_no_weights_in_a_weight_file(folder, name, content, cause):
    (folder / name).write_bytes(content)
    refused(folder, f"{Path(name).parent.name}/{Path(name).name}", cause)


@pytest.mark.parametrize("name", [VAE, T5, "transformer/diffusion_pytorch_model.safetensors"])
@pytest.mark.parametrize("kept", [0.99, 0.5, 0.001])
def test_row_4_a_download_that_broke_off(folder, name, kept):
    size = (folder / name).stat().st_size
    os.truncate(folder / name, int(size * kept))
    refused(folder, Path(name).name, "is not a whole safetensors file")


@pytest.mark.parametrize(
    "name",
    [
        "model_index.json",
        "vae/config.json",
        "text_encoder_2/config.json",
        "scheduler/scheduler_config.json",
        "tokenizer/tokenizer.json",
        "tokenizer_2/tokenizer_config.json",
    ],
)
@pytest.mark.parametrize(
    ("content", "cause"),
    [(LFS, "git lfs pull"), (HTML, "HTML"), (b"", "is empty"), (b'{"a": ', "is not JSON"), (b"[1]", "no JSON object")],
)
def test_row_4_no_json_in_a_json_file(folder, name, content, cause):
    (folder / name).write_bytes(content)
    refused(folder, name, cause)


@pytest.mark.parametrize(
    "name",
    [
        "tokenizer",
        "tokenizer_2",
        "scheduler",
        "vae",
        "text_encoder",
        "tokenizer_2/tokenizer.json",
        "tokenizer/tokenizer.json",
        "tokenizer_2/tokenizer_config.json",
        "transformer/config.json",
        T5,
        VAE,
    ],
)
def test_row_4_what_is_missing_is_named(folder, name):
    path = folder / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    refused(folder, Path(name).parts[0])


def rewrite(file, change):
    save_file(change(load_file(file)), file, metadata={"format": "pt"})


@pytest.mark.parametrize("name", [VAE, T5, "text_encoder/model.safetensors"])
@pytest.mark.parametrize(
    "change",
    [
        lambda weights: {f"first_stage_model.{key}": value for key, value in weights.items()},
        lambda weights: dict(list(weights.items())[1:]),
        lambda weights: {key: torch.cat([value, value]) for key, value in weights.items()},
    ],
    ids=["foreign", "one lost", "other shapes"],
)
def test_row_4_weights_of_another_model(folder, name, change):
    rewrite(folder / name, change)
    refused(folder, Path(name).parts[0], "copy both from one checkpoint")


def test_row_4_a_foreign_key_beside_the_right_ones(folder):
    rewrite(folder / VAE, lambda weights: {**weights, "quant_conv.weight": torch.zeros(32, 32, 1, 1)})
    refused(folder, "vae: the weights have a foreign quant_conv.weight")


def test_row_4_tokenizers_that_are_not_those_of_the_encoders(folder):
    (folder / "tokenizer").rename(folder / "third")
    (folder / "tokenizer_2").rename(folder / "tokenizer")
    (folder / "third").rename(folder / "tokenizer_2")
    refused(folder, "tokenizer holds a Unigram, not BPE: copy it again")


def test_row_4_a_vocabulary_too_large_for_its_encoder(folder):
    file = folder / "tokenizer_2/tokenizer.json"
    content = json.loads(file.read_text())
    content["model"]["vocab"] += [[f"word{number}", -3.0] for number in range(500)]
    file.write_text(json.dumps(content))
    refused(folder, "tokenizer_2 has", "copy both from one checkpoint")


def test_row_4_one_of_two_weight_files(folder, random_pipe):
    (folder / VAE).unlink()
    random_pipe.vae.save_pretrained(folder / "vae", max_shard_size="20KB")
    assert quiet(load(folder)).vae is not None
    shards = sorted((folder / "vae").glob("*-of-*.safetensors"))
    shards[-1].unlink()
    refused(folder, f"vae has {len(shards) - 1} of {len(shards)} weight files")


def test_row_4_a_config_that_describes_nothing(folder):
    (folder / "vae/config.json").write_text('{"block_out_channels": "wide"}')
    refused(folder, "vae")


def test_row_4_whatever_else_fails_is_a_model_error(saved, monkeypatch):
    def fail(*args, **kwargs):
        raise AttributeError("'NoneType' object has no attribute 'x'\n" * 100)

    monkeypatch.setattr(VisualClozePipeline, "from_pretrained", fail)
    with pytest.raises(ModelError, match="cannot be loaded: AttributeError") as caught:
        load(saved)
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("models/typo", ["no such folder, and no known model: 'models/typo'"]),
        ("x.png", ["no such folder, and no known model: 'x.png'"]),
        ("photos/x.png", ["no such folder, and no known model: 'photos/x.png'"]),
        ("tinny", ["did you mean tiny?"]),
        ("384lora", ["did you mean 384-lora"]),
        ("VisualCloze/VisualClozePipline-384", ["did you mean VisualCloze/VisualClozePipeline-384?"]),
        ("visualcloze_nb/tyny", ["no such folder", "tiny"]),
        (__file__, ["is a file: give the folder"]),
        ("m" * 5000, ["no such folder"]),
        ("models/" + "m" * 300, ["no such folder"]),
        ("", ["no such folder"]),
        ("a\0b", ["no such folder"]),
        ("a\nb", ["no such folder"]),
    ],
)
def test_row_5_a_wrong_name(name, parts, monkeypatch):
    monkeypatch.setattr(models, "probe", lambda: Machine(4 * GB, 500 * GB, 2))
    refused(name, *parts)


def test_row_5_a_checkpoint_beside_the_wrong_name(folder):
    refused(folder.parent / "chekpoint", "did you mean", "checkpoint?")


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("name", None),
        ("name", 384),
        ("name", ["384"]),
        ("plan", "quick"),
        ("plan", None),
        ("device", "banana"),
        ("device", 1.5),
        ("dtype", "bf16"),
        ("dtype", torch.int8),
        ("revision", 3),
        ("variant", "b f"),
        ("variant", 16),
        ("resolution", 0),
        ("resolution", "512"),
        ("resolution", True),
        ("resolution", 100),
        ("resolution", 64.0),
    ],
)
def test_row_5_a_wrong_argument_is_named(argument, value, saved):
    with pytest.raises(UsageError, match=f"{argument} is ") as caught:
        load(**{"name": saved, argument: value})
    assert len(str(caught.value)) <= 300


class Recorded:
    """Stands in for `from_pretrained` and keeps what it is called with."""

    def __init__(self, pipe):
        self.pipe, self.options = pipe, {}

    def __call__(self, place, **options):
        self.options = {"place": place, **options}
        return self.pipe


@pytest.fixture
def recorded(monkeypatch, random_pipe):
    stand_in = Recorded(random_pipe)
    monkeypatch.setattr(models, "probe", lambda: GPU)
    monkeypatch.setattr(models, "warn_of_licence", lambda: None)
    for method in ("to", "load_lora_weights", "register_to_config"):
        monkeypatch.setattr(VisualClozePipeline, method, lambda *args, **kwargs: None)
    monkeypatch.setattr(VisualClozePipeline, "from_pretrained", stand_in)
    monkeypatch.setattr(random_pipe, "plan", None, raising=False)
    return stand_in


@pytest.mark.parametrize(("name", "expected"), [("384", 384), ("512", 512), ("384-lora", 384), ("512-lora", 512)])
def test_row_15_by_name(recorded, name, expected):
    load(name)
    assert recorded.options["resolution"] == expected == full_model(name).resolution
    load(name, resolution=256)
    assert recorded.options["resolution"] == 256


@pytest.mark.parametrize(
    ("name", "index", "expected"),
    [
        ("someone/finetuned-512", {}, 512),
        ("someone/finetuned", {}, 384),
        ("someone/finetuned-512", {"resolution": 256}, 256),
        ("someone/model-15120", {}, 384),
    ],
)
def test_row_15_a_repository(recorded, monkeypatch, recwarn, name, index, expected):
    monkeypatch.setattr(checkpoints, "_ask_hub", lambda *args, **kwargs: None)
    monkeypatch.setattr(VisualClozePipeline, "load_config", lambda *args, **kwargs: index)
    load(name)
    assert recorded.options["resolution"] == expected
    assert any("names no resolution" in str(one.message) for one in recwarn.list) == (not index)


def without_resolution(folder):
    index = json.loads((folder / "model_index.json").read_text())
    del index["resolution"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def test_row_15_a_folder(folder):
    without_resolution(folder)
    with pytest.warns(VisualClozeWarning, match=r"names no resolution .* 384 is taken .* load\(…, resolution=…\)"):
        assert load(folder).resolution == 384
    other = folder.rename(folder.parent / "mine-512")
    with pytest.warns(VisualClozeWarning, match="512 is taken"):
        pipe = load(other)
    assert pipe.resolution == pipe.generation_pipe.resolution == describe(str(other)).resolution == 512


def test_row_15_an_argument(folder, recwarn):
    pipe = load(without_resolution(folder), resolution=32)
    assert pipe.resolution == pipe.generation_pipe.resolution == 32
    assert not [one for one in recwarn.list if issubclass(one.category, VisualClozeWarning)]


def test_row_16_the_documented_import():
    from visualcloze_nb import FluxFillPipeline, VisualClozeGenerationPipeline, VisualClozePipeline

    names = {"FluxFillPipeline", "VisualClozeGenerationPipeline", "VisualClozePipeline"}
    assert names == {cls.__name__ for cls in (FluxFillPipeline, VisualClozeGenerationPipeline, VisualClozePipeline)}
    assert names <= set(visualcloze_nb.__all__)


def only_variant(folder, variant="bf16"):
    for file in folder.rglob("*.safetensors"):
        file.rename(file.with_name(file.name.replace(".safetensors", f".{variant}.safetensors")))
    return folder


def test_row_23_a_folder_of_variants(folder, random_pipe):
    only_variant(folder)
    refused(folder, "has weights of the variant bf16 only: load(…, variant='bf16')")
    refused(folder, "no weights of the variant 'fp16': there are bf16", variant="fp16")
    pipe = quiet(load(folder, variant="bf16"))
    for name in ("vae", "transformer", "text_encoder_2"):
        for one, other in zip(getattr(pipe, name).parameters(), getattr(random_pipe, name).parameters(), strict=True):
            assert torch.equal(one, other)


def test_row_23_one_component_in_a_variant(folder):
    shutil.copy(folder / VAE, folder / VAE.replace(".safetensors", ".fp16.safetensors"))
    assert describe(str(folder)).parts == describe(str(folder), "fp16").parts, "no weight counts twice"
    assert load(folder, variant="fp16").resolution == load(folder).resolution


def test_row_23_pickled_weights_only(folder):
    (folder / VAE).rename(folder / "vae/diffusion_pytorch_model.bin")
    refused(folder, "vae has weights as pickle files")


@pytest.mark.parametrize("installed", [[], ["sentencepiece"]])
def test_row_24_a_tokenizer_that_needs_sentencepiece(folder, installed, monkeypatch):
    from visualcloze_nb.loading import tokenizer_files

    monkeypatch.setattr(tokenizer_files, "_installed", lambda name: name in installed)
    (folder / "tokenizer_2/tokenizer.json").unlink()
    (folder / "tokenizer_2/spiece.model").write_bytes(b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18\x02")
    missing = "google.protobuf" if installed else "sentencepiece"
    refused(folder, "tokenizer_2 needs", missing, "spiece.model", "pip install 'visualcloze_nb[gpu]'")


def test_row_24_a_sentencepiece_file_that_is_none(folder):
    (folder / "tokenizer_2/tokenizer.json").unlink()
    (folder / "tokenizer_2/spiece.model").write_bytes(LFS)
    refused(folder, "spiece.model is a Git LFS pointer")


@pytest.mark.parametrize("name", ["384-lora", "512-lora"])
def test_issue_20_item_7_packages_are_checked_before_a_download(recorded, monkeypatch, name):
    monkeypatch.setattr(checkpoints.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(ModelError, match=rf"{name} needs peft, .*: run pip install 'visualcloze_nb\[gpu\]'"):
        load(name)
    assert not recorded.options


@pytest.fixture
def freed(saved, monkeypatch):
    monkeypatch.setattr(models, "probe", lambda: GPU)
    pipe = quiet(load(saved, plan="encode-then-free", device="cpu"))
    assert pipe.text_encoder is None
    return pipe


GRID = {"task": "a red circle", "content": "a blue square"}


def filled(pipe):
    return pipe.fill(Grid(rows(), **GRID), seed=0, steps=2, progress=False).image.tobytes()


def test_row_18_a_freed_text_encoder_is_saved(freed, saved, tmp_path):
    freed.save_pretrained(tmp_path / "copy")
    assert freed.text_encoder is None, "freed again"
    index = json.loads((tmp_path / "copy/model_index.json").read_text())
    assert index["text_encoder"] == ["transformers", "CLIPTextModel"]
    assert filled(quiet(load(tmp_path / "copy", plan="cpu"))) == filled(quiet(load(saved, plan="cpu")))


def test_row_18_a_stage_with_a_freed_text_encoder_is_saved(freed, tmp_path):
    freed.upsampling_pipe.save_pretrained(tmp_path / "copy")
    assert (tmp_path / "copy/text_encoder_2/model.safetensors").is_file()


def test_row_18_a_pipeline_from_one_with_freed_text_encoders(freed):
    expected = filled(freed)
    other = quiet(VisualClozePipeline.from_pipe(freed))
    assert filled(other) == expected and other.text_encoder is None
    stage = quiet(visualcloze_nb.VisualClozeGenerationPipeline.from_pipe(freed))
    assert stage.encode_prompt("a", "red", "circle")[0].shape[0] == 1


def test_row_18_a_component_that_nobody_can_load(saved, tmp_path):
    pipe = VisualClozePipeline.from_pretrained(saved)
    pipe.vae = None
    with pytest.raises(ModelError, match="this pipeline has no vae: put it there"):
        pipe.save_pretrained(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def lora(prefix="transformer.", layer="transformer_blocks.0.attn.to_q", width=32):
    return {
        f"{prefix}{layer}.lora_A.weight": torch.ones(4, width),
        f"{prefix}{layer}.lora_B.weight": torch.ones(width, 4),
    }


@pytest.mark.parametrize(
    "weights",
    [
        lora(prefix="unet."),
        lora(prefix=""),
        lora(layer="down_blocks.0.attentions.0.to_q"),
        lora(width=48),
        {"transformer.proj_out.weight": torch.ones(2, 2)},
        {},
    ],
    ids=["unet", "no prefix", "other layers", "other width", "no LoRA", "empty"],
)
def test_row_23_a_lora_that_does_not_fit(saved, tmp_path, weights):
    pytest.importorskip("peft")
    save_file(weights, tmp_path / "lora.safetensors")
    pipe = VisualClozePipeline.from_pretrained(saved)
    for given, options in ((tmp_path, {"weight_name": "lora.safetensors"}), (weights, {})):
        with pytest.raises(ModelError, match="^the LoRA ") as caught:
            pipe.load_lora_weights(given, **options)
        assert len(str(caught.value)) <= 300


CLIP = {"prefix": "text_encoder.", "layer": "text_model.encoder.layers.0.self_attn.q_proj"}


@pytest.mark.parametrize(
    "weights",
    [
        {**lora(), **lora(**{**CLIP, "layer": CLIP["layer"].replace("layers.0", "layers.9")}, width=16)},
        {**lora(), **lora(**CLIP, width=24)},
        {**lora(), **lora(**CLIP, width=8)},
        lora(layer="x_embedder", width=448),
        lora(layer="transformer_blocks.0.attn.norm_q", width=16),
        dict.fromkeys(lora(), "no tensor"),
        {key: value[:0] if "lora_A" in key else value[:, :0] for key, value in lora().items()},
        None,
    ],
    ids=["CLIP's layer 9", "wider CLIP", "narrower CLIP", "wider input", "a norm", "text", "rank 0", "None"],
)
def test_row_23_a_refused_lora_leaves_the_pipeline_as_it_was(saved, weights):
    pytest.importorskip("peft")
    pipe = quiet(VisualClozePipeline.from_pretrained(saved))
    before = filled(pipe)
    pipe.load_lora_weights(lora(layer="transformer_blocks.0.attn.to_v"), adapter_name="mine")
    with_mine = filled(pipe)
    with pytest.raises(ModelError, match="^the LoRA ") as caught:
        pipe.load_lora_weights(weights)
    assert len(str(caught.value)) <= 300
    assert filled(pipe) == with_mine != before and pipe.get_active_adapters() == ["mine"]


def test_row_23_a_lora_for_both_models(saved):
    pytest.importorskip("peft")
    pipe = quiet(VisualClozePipeline.from_pretrained(saved))
    pipe.load_lora_weights({**lora(), **lora(**CLIP, width=16)})
    assert set(pipe.get_list_adapters()) == {"transformer", "text_encoder"}


def test_row_23_a_lora_that_fits(saved):
    pytest.importorskip("peft")
    pipe = quiet(VisualClozePipeline.from_pretrained(saved))
    before = filled(pipe)
    pipe.load_lora_weights(lora(), adapter_name="one")
    assert filled(pipe) != before
    pipe.unload_lora_weights()
    assert filled(pipe) == before


@pytest.mark.parametrize("content", [LFS, HTML, b""])
def test_row_23_no_lora_in_a_lora_file(saved, tmp_path, content):
    pytest.importorskip("peft")
    (tmp_path / "lora.safetensors").write_bytes(content)
    pipe = VisualClozePipeline.from_pretrained(saved)
    with pytest.raises(ModelError, match="^the LoRA "):
        pipe.load_lora_weights(tmp_path, weight_name="lora.safetensors")


def joined(*loras):
    return {key: value for part in loras for key, value in part.items()}


@pytest.mark.parametrize(
    ("weights", "lost", "of"),
    [
        (joined(lora(), lora(layer="transformer_blocks.7.attn.to_q")), 2, 4),
        (joined(lora(), lora(prefix="unet.")), 2, 4),
        (joined(lora(), dict(list(lora(layer="transformer_blocks.0.attn.to_k").items())[:1])), 1, 3),
    ],
    ids=["other layers", "other model", "half a pair"],
)
def test_row_23_a_lora_that_fits_in_part(saved, weights, lost, of):
    pytest.importorskip("peft")
    pipe = quiet(VisualClozePipeline.from_pretrained(saved))
    before = filled(pipe)
    with pytest.raises(ModelError, match=f"fits only in part: {lost} of its {of} weights") as caught:
        pipe.load_lora_weights(weights)
    assert len(str(caught.value)) <= 300
    assert filled(pipe) == before and not pipe.get_list_adapters(), "nothing was changed"
    pipe.load_lora_weights(joined(lora(), lora(layer="transformer_blocks.0.attn.to_k")))
    assert filled(pipe) != before


@pytest.mark.parametrize(
    ("name", "change", "cause"),
    [
        ("scheduler/scheduler_config.json", dict.clear, "describes no FlowMatchEulerDiscreteScheduler"),
        ("model_index.json", lambda it: it.update(scheduler=["diffusers", "DDIMScheduler"]), "describes no DDIM"),
        ("model_index.json", lambda it: it.update(vae=["os", "system"]), "as its vae"),
        ("model_index.json", lambda it: it.update(vae=[1, 2]), "as its vae"),
        ("model_index.json", lambda it: it.update(resolution=10**9), "resolution is '1000000000'"),
        ("tokenizer_2/tokenizer_config.json", dict.clear, "names no model_max_length"),
    ],
)
def test_row_4_a_json_file_that_says_something_else(folder, name, change, cause):
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))
    refused(folder, cause)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_row_4_a_json_file_in_an_encoding_that_diffusers_cannot_read(folder, encoding):
    index = folder / "model_index.json"
    index.write_text(index.read_text(), encoding=encoding)
    refused(folder, "model_index.json is not JSON")


def test_row_4_more_weight_files_than_there_should_be(folder):
    shutil.copy(folder / VAE, folder / "vae/model.safetensors")
    refused(folder, "vae has 2 weight files, too many: keep those of one save")


def test_row_4_a_weight_file_that_leads_nowhere(folder):
    (folder / VAE).unlink()
    (folder / VAE).symlink_to(folder / "gone")
    refused(folder, "cannot be read (No such file or directory): download or copy it again")


def test_row_23_a_variant_where_there_is_none(folder):
    refused(folder, "no weights of the variant 'fp8': leave variant out", variant="fp8")


@pytest.mark.parametrize(
    ("part", "setting"),
    [
        ("transformer", "num_layers"),
        ("transformer", "num_single_layers"),
        ("text_encoder", "num_hidden_layers"),
        ("text_encoder_2", "num_layers"),
    ],
)
def test_row_4_layers_that_have_no_weights(part, setting, folder):
    config = folder / part / "config.json"
    content = json.loads(config.read_text())
    config.write_text(json.dumps(content | {setting: 10_000}))
    refused(folder, part, f"{setting} is 10000 in config.json, and the weights have {content[setting]}")


@pytest.mark.parametrize("stage2", [False, True])
def test_row_4_weights_that_are_no_numbers_make_no_image(stage2):
    from conftest import build_random_pipe, rows

    from visualcloze_nb import Grid

    pipe = build_random_pipe()
    pipe.vae.decoder.conv_in.weight.data[:] = float("nan")
    pipe.vae.encoder.conv_in.weight.data[0, 0] = float("nan")
    with pytest.raises(ModelError, match="gives no numbers .*copy the checkpoint again"):
        pipe.fill(Grid(rows()), steps=2, strength=0.5 * stage2, progress=False)
