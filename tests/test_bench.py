"""The benchmark: its two cases run in processes of their own, and `--full-size` runs on a small model.

Not verifiable without a GPU: the figures of the full architecture, 4-bit layers, compilation.
"""

import json
from types import SimpleNamespace

import pytest
import torch

from visualcloze_nb.cli import bench, bench_full_size
from visualcloze_nb.cli.main import main
from visualcloze_nb.cli.own_process import in_own_process
from visualcloze_nb.loading.random_weights import FULL, SMALL, build


@pytest.fixture(scope="module")
def folder(random_pipe, tmp_path_factory):
    place = tmp_path_factory.mktemp("checkpoint")
    random_pipe.save_pretrained(place)
    return str(place)


def test_ours_and_stock_in_processes_of_their_own(folder, tmp_path, capsys):
    target = tmp_path / "bench.json"
    options = ["bench", "--model", folder, "--steps", "2", "--repeat", "1", "--json", str(target)]
    assert main(options) == 0
    found = json.loads(target.read_text())
    assert set(found["ours"]) >= {*bench.PARTS, "total", "import", "load", "peak_mb", "bare stage 1 steps"}
    for case in ("ours", "stock"):
        assert found[case]["total"] > 0 and 100 < found[case]["peak_mb"] < 1200
    said = capsys.readouterr().out
    assert "stock diffusers" in said and "times the bare calls of the transformer" in said


def test_what_changes_an_image_says_by_how_much(folder, capsys, monkeypatch):
    monkeypatch.setattr(bench.shutil, "which", lambda name: None)  # compiling takes a minute
    assert main(["bench", "--model", folder, "--steps", "2", "--options"]) == 0
    said = capsys.readouterr().out
    assert "the same again                    changes an image by 0.00 of 255 on average, 0 at most" in said
    assert "dtype=torch.bfloat16" in said


def test_a_case_that_fails_says_why():
    options = SimpleNamespace(model="no-such-model", steps=1, strength=0.4, repeat=0)
    with pytest.raises(RuntimeError, match="no known model: 'no-such-model'"):
        in_own_process(["--case", "ours"], options)


@pytest.mark.parametrize("mode", ["resident", "encode-then-free"])
def test_full_size_on_a_small_model(mode):
    found = bench_full_size.measure(mode, SimpleNamespace(small=True))
    assert set(found["workloads"]) == set(bench_full_size.WORKLOADS)
    for entry in found["workloads"].values():
        assert entry["ours"] > 0 and entry["peak"] > 0 and entry["planned"] > 0
        assert ("stock" in entry) == (mode == "resident")
        assert 0 < entry["share of matrix rate"] < 10
    table = bench_full_size.table({mode: found, "nf4": {"skipped": "bitsandbytes is not installed"}})
    assert "stage 2 1344x768" in table and "nf4               skipped" in table


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_full_size_without_a_gpu_says_so(capsys):
    assert main(["bench", "--full-size"]) == 1
    assert "needs a CUDA GPU" in capsys.readouterr().out


def test_operations_are_counted_right():
    from torch.utils.flop_counter import FlopCounterMode

    from visualcloze_nb.pipelines.combined import VisualClozePipeline

    parts = build(SMALL, "cpu")
    with torch.device("meta"):
        from diffusers import FluxTransformer2DModel

        parts["transformer"] = FluxTransformer2DModel(in_channels=384, out_channels=64, **FULL.transformer)
    pipe = VisualClozePipeline(**parts, resolution=384)
    image, text = 4 * 24 * 24, FULL.text
    empty = {"device": "meta"}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        pipe.transformer(
            hidden_states=torch.empty(1, image, 384, **empty),
            encoder_hidden_states=torch.empty(1, text, 4096, **empty),
            pooled_projections=torch.empty(1, 768, **empty),
            timestep=torch.empty(1, **empty),
            guidance=torch.empty(1, **empty),
            txt_ids=torch.empty(text, 3, **empty),
            img_ids=torch.empty(image, 3, **empty),
        )
    assert bench_full_size.flops(pipe, "2x2@384", FULL) == pytest.approx(counter.get_total_flops(), rel=0.02)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_four_bit_layers():
    pytest.importorskip("bitsandbytes")
    from visualcloze_nb.loading.random_weights import four_bit_layers

    layer = torch.nn.Sequential(torch.nn.Linear(256, 256)).cuda().to(torch.bfloat16)
    x = torch.randn(4, 256, device="cuda", dtype=torch.bfloat16)
    expected = layer(x)
    packed = four_bit_layers(layer)
    assert torch.nn.functional.mse_loss(packed(x), expected) < 0.02 * expected.var()
