"""Loading: names, plans carried out, and every way it can fail, in words."""

import os
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import quiet, rows
from huggingface_hub import errors as hub

from visualcloze_nb.cli.doctor import advice
from visualcloze_nb.cli.main import main
from visualcloze_nb.data.grid import Grid
from visualcloze_nb.errors import LicenceWarning, ModelError
from visualcloze_nb.loading import checkpoints
from visualcloze_nb.loading import hardware as machines
from visualcloze_nb.loading import load as models
from visualcloze_nb.loading.checkpoints import describe, warn_of_licence
from visualcloze_nb.loading.load import load
from visualcloze_nb.loading.memory_plan import Machine, load_text_freed, plan
from visualcloze_nb.loading.model_size import GB
from visualcloze_nb.pipelines.combined import VisualClozePipeline
from visualcloze_nb.pipelines.prompt_cache import TextEncoderLoader
from visualcloze_nb.settings import TEXT_ENCODERS

BIG = Machine(64 * GB, 500 * GB, 8, "a GPU", 85 * GB, bf16=True, four_bit=True)


@pytest.fixture(scope="module")
def folder(random_pipe, tmp_path_factory):
    place = tmp_path_factory.mktemp("checkpoint")
    random_pipe.save_pretrained(place)
    return place


@pytest.fixture
def on(monkeypatch):
    """Pretend to be on another machine."""

    def pretend(machine):
        monkeypatch.setattr(models, "probe", lambda: machine)

    return pretend


def same(one, other):
    return np.array_equal(np.asarray(one), np.asarray(other))


def test_a_folder(folder):
    pipe = quiet(load(folder))
    assert type(pipe) is VisualClozePipeline and pipe.transformer.dtype == torch.float32
    assert pipe.plan.name == "cpu" and pipe.resolution == 32
    result = pipe.fill(Grid(rows()), steps=1, strength=0)
    assert result.image.size == (32, 32) and result.model == str(folder)
    assert load(folder, dtype=torch.bfloat16).transformer.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("768", "no known model: '768': give tiny, 384, 512, 384-lora, 512-lora, an existing folder or a hub id"),
        ("./missing", "no such folder, and no known model: './missing'"),
        ("tests", "there is no checkpoint in tests: it needs a model_index.json"),
    ],
)
def test_names_that_are_no_model(name, message):
    with pytest.raises(ModelError, match=message):
        load(name)


def test_too_little_memory_is_said_before_loading(on):
    on(Machine(4 * GB, 500 * GB, 2))
    with pytest.raises(ModelError, match=r"384 does not fit this machine as cpu: it lacks 36\.\d GB of RAM"):
        load("384")
    on(BIG)
    assert plan(describe("384"), BIG).name == "resident" and plan(describe("384"), BIG, "nf4").strategy.packed
    with pytest.raises(ValueError, match="plan is 'quick'"):
        load("384", plan="quick")


def test_a_forced_plan_is_tried(on, folder):
    on(Machine(1e6, 0, 1))
    with pytest.warns(UserWarning, match="does not fit this machine as cpu: it lacks .* tried all the same"):
        assert load(folder, plan="cpu").plan.missing
    on(Machine(64 * GB, 500 * GB, 8, "a GPU", 24 * GB, bf16=True, four_bit=False))
    with pytest.raises(ModelError, match="bitsandbytes"):
        load("384", plan="nf4")
    on(Machine(64 * GB, 500 * GB, 8))
    with pytest.raises(ModelError, match="it lacks a GPU"):
        load(folder, plan="resident")


def test_what_was_downloaded_needs_no_disk(monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoints, "HF_HUB_CACHE", str(tmp_path))
    assert plan(describe("384"), BIG).disk == pytest.approx(33.7e9, rel=0.01)
    blobs = tmp_path / "models--VisualCloze--VisualClozePipeline-384" / "blobs"
    blobs.mkdir(parents=True)
    with (blobs / "weights").open("wb") as file:
        file.truncate(30_000_000_000)  # sparse: takes no room
    assert plan(describe("384"), BIG).disk == pytest.approx(3.7e9, rel=0.05)


def test_no_network(on, monkeypatch):
    on(BIG)
    monkeypatch.setenv("HF_TOKEN", "")
    with (
        pytest.raises(ModelError, match="is not on this machine and the hub cannot be reached"),
        pytest.warns(UserWarning),
    ):
        warn_of_licence.cache_clear()
        load("384")


def failure(kind, status=None):
    response = SimpleNamespace(status_code=status, headers={}, request=None, url="", text="")
    try:
        return kind("failed", response=response)
    except TypeError:
        return kind("failed")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (failure(hub.GatedRepoError, 403), "is gated: sign in on the hub, open the page of someone/model, accept"),
        (failure(hub.RevisionNotFoundError, 404), "no such revision"),
        (failure(hub.RepositoryNotFoundError, 404), "there is no someone/model on the hub"),
        (failure(hub.LocalEntryNotFoundError), "the hub cannot be reached"),
        (failure(hub.OfflineModeIsEnabled), "unset HF_HUB_OFFLINE"),
        (ConnectionError("no route"), "check the network"),
        (OSError(28, "No space left on device"), "the disk is full"),
        (torch.cuda.OutOfMemoryError("out of memory"), "does not fit the GPU"),
        (MemoryError(), "does not fit the memory"),
    ],
)
def test_what_the_hub_says_in_words(error, message):
    def download(place):
        try:
            raise error
        except Exception as cause:
            raise OSError(f"cannot load {place}") from cause

    with pytest.raises(ModelError, match=message) as caught:
        checkpoints.explained(download, "someone/model")
    assert caught.value.__cause__ is not None


def test_other_errors_pass_unchanged():
    def broken(place):
        raise KeyError("weights")

    with pytest.raises(KeyError):
        checkpoints.explained(broken, "someone/model")


def test_the_licence_is_said_once():
    warn_of_licence.cache_clear()
    with pytest.warns(LicenceWarning, match="non-commercial"):
        warn_of_licence()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_licence()


def test_the_token_comes_from_the_environment(monkeypatch):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "stored")
    assert checkpoints.token() == "stored"
    monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", "older")
    assert checkpoints.token() == "older"
    monkeypatch.setenv("HF_TOKEN", "newer")
    assert checkpoints.token() == "newer"


def test_the_token_comes_from_colab(monkeypatch):
    import sys

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    colab = SimpleNamespace(userdata=SimpleNamespace(get=lambda name: {"HF_TOKEN": "secret"}[name]))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    assert checkpoints.token() == "secret"


class Recorded:
    """Stands in for `from_pretrained` and remembers what was asked for."""

    def __init__(self, monkeypatch, pipe):
        self.pipe, self.asked, self.done = pipe, {}, []
        monkeypatch.setattr(VisualClozePipeline, "from_pretrained", self)
        for name in ("to", "enable_model_cpu_offload", "load_lora_weights"):
            monkeypatch.setattr(VisualClozePipeline, name, self.step(name))

    def __call__(self, place, **options):
        self.asked = {"place": place, **options}
        return self.pipe

    def step(self, name):
        return lambda pipe, *args, **kwargs: self.done.append((name, args, kwargs))


@pytest.fixture
def recorded(monkeypatch, folder):
    with warnings.catch_warnings(action="ignore"):
        warn_of_licence()  # given once: not again in the test
    return Recorded(monkeypatch, VisualClozePipeline.from_pretrained(folder))


def test_released_models_are_asked_for_safely(on, recorded, monkeypatch):
    on(BIG)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setenv("HF_TOKEN", "secret")
    load("512", revision="abc")
    asked = recorded.asked
    assert asked["place"] == "VisualCloze/VisualClozePipeline-512" and asked["revision"] == "abc"
    assert asked["use_safetensors"] is True and asked["token"] == "secret" and "trust_remote_code" not in asked
    assert asked["dtype"] == torch.bfloat16 and "quantization_config" not in asked
    assert asked["device_map"] == "cuda" and not recorded.done, "weights go straight to the GPU"
    load("512", device="cuda:1")
    assert "device_map" not in recorded.asked and recorded.done == [("to", ("cuda:1",), {})]


def test_the_lora_goes_onto_flux_fill(on, recorded):
    on(BIG)
    load("384-lora")
    assert recorded.asked["place"] == "black-forest-labs/FLUX.1-Fill-dev"
    name, (repository,), options = recorded.done[0]
    assert (name, repository) == ("load_lora_weights", "VisualCloze/VisualClozePipeline-LoRA-384")
    assert options["weight_name"] == "visualcloze-lora-384.safetensors" and options["use_safetensors"]


def test_four_bits_and_offload(on, recorded, monkeypatch):
    on(BIG)
    monkeypatch.setattr(models, "four_bits", lambda dtype: ("packed", dtype))
    load("384", plan="offload")
    assert recorded.asked["quantization_config"] == ("packed", torch.bfloat16)
    assert recorded.asked["transformer"] is recorded.pipe.transformer, "packed on its own before"
    assert recorded.done == [("enable_model_cpu_offload", (), {"device": "cuda"})]
    recorded.done.clear()
    on(Machine(64 * GB, 500 * GB, 8, "a GPU", 26 * GB, bf16=True, four_bit=False))
    load("384", plan="offload")
    assert "quantization_config" not in recorded.asked and "transformer" not in recorded.asked
    assert recorded.done == [("enable_model_cpu_offload", (), {"device": "cuda"})]
    on(Machine(64 * GB, 500 * GB, 8, "T4", 15.8 * GB, bf16=False, four_bit=True))
    pipe = load("384")
    assert pipe.plan.strategy.load is load_text_freed and recorded.asked["dtype"]["default"] == torch.float16
    assert recorded.asked["dtype"]["text_encoder_2"] == torch.float32
    assert recorded.asked["text_encoder_2"] is None and isinstance(pipe.text_encoder_loader, TextEncoderLoader)


def test_text_encoders_that_come_and_go_change_no_image(on, folder, monkeypatch):
    on(Machine(64 * GB, 500 * GB, 8, "a GPU", 64 * GB, bf16=True))
    resident = quiet(load(folder, plan="resident", device="cpu"))
    pipe = quiet(load(folder, plan="encode-then-free", device="cpu"))
    assert pipe.text_encoder is None and pipe.upsampling_pipe.text_encoder_2 is None
    loads = []
    source = pipe.text_encoder_loader.load
    monkeypatch.setattr(pipe.text_encoder_loader, "load", lambda: loads.append(1) or source())
    grid = Grid(rows(), task="a red circle", content="a blue square")
    for _ in range(2):
        result = pipe.fill(grid, seed=0, steps=2, progress=False)
        assert all(getattr(one, name) is None for one in (pipe, *pipe.inner) for name in TEXT_ENCODERS)
    assert len(loads) == 1, "the second run remembers the text"
    assert same(result.image, resident.fill(grid, seed=0, steps=2, progress=False).image)
    last = list(pipe.steps(grid, seed=0, steps=2))[-1]
    assert same(pipe.read(last)[0], result.image)
    pipe.fill(grid.replace(task="a blue square"), steps=1, progress=False)
    assert len(loads) == 3


def test_cores_and_memory_follow_the_container(tmp_path, monkeypatch):
    group = tmp_path / "job"
    group.mkdir()
    (group / "cpu.max").write_text("150000 100000\n")
    (group / "memory.max").write_text("3000000000\n")
    (group / "memory.current").write_text("1000000000\n")
    (group / "memory.stat").write_text("anon 5\ninactive_file 500000000\n")
    monkeypatch.setattr(machines, "_cgroups", lambda controller: [group])
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(64), raising=False)
    assert machines.cores() == 2
    assert machines.free_ram() <= 2.5e9
    (group / "cpu.max").write_text("max 100000\n")
    assert machines.cores() == 64
    (group / "cpu.max").unlink()
    (group / "cpu.cfs_quota_us").write_text("400000")
    (group / "cpu.cfs_period_us").write_text("100000")
    assert machines.cores() == 4


def test_threads_are_only_ever_reduced(monkeypatch):
    used = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    monkeypatch.setattr(machines, "cores", lambda: 4)
    machines.limit_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    machines.limit_threads()
    assert used == [4]


def test_this_machine_can_be_measured():
    here = machines.probe()
    assert here.cores >= 1 and here.ram > 1e8 and here.disk > 0
    assert (here.gpu is None) == (not torch.cuda.is_available())


def test_doctor_says_what_to_do(capsys, folder):
    assert main(["doctor", str(folder), "384"]) == 0
    said = capsys.readouterr().out
    assert "runs here:" in said and "cpu: everything runs on the CPU" in said
    assert "transformer 23.8 GB" in said
    assert "torch" in said and "free RAM" in said


def test_advice(monkeypatch):
    monkeypatch.setattr("visualcloze_nb.cli.doctor.token", lambda: None)
    lines = advice(Machine(64 * GB, 500 * GB, 8, "T4", 15.8 * GB, bf16=False, four_bit=False))
    assert any("bitsandbytes" in line for line in lines) and any("no bf16" in line for line in lines)
    assert any("HF_TOKEN" in line for line in lines)


def test_a_flux_fill_folder_loads_as_visualcloze(random_pipe, tmp_path):
    """The LoRA route: FLUX.1-Fill-dev's folder names another pipeline class and no resolution."""
    random_pipe.upsampling_pipe.save_pretrained(tmp_path)
    pipe = quiet(VisualClozePipeline.from_pretrained(tmp_path, resolution=32))
    assert type(pipe) is VisualClozePipeline and pipe.resolution == 32
    assert pipe.fill(Grid(rows()), steps=1, progress=False).image.size == (96, 96)
    assert VisualClozePipeline.from_pretrained(tmp_path).resolution == 384
