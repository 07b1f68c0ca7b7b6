"""Faults of calls that users met elsewhere, named by row of issue 18: 1, 3, 9, 11, 16, 17, 19 to 22."""

import inspect
import re
import threading
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import diffusers
import numpy as np
import pytest
import torch
from conftest import build_random_pipe, rows
from diffusers.pipelines.visualcloze.visualcloze_utils import VisualClozeProcessor
from PIL import Image

import visualcloze_nb
from visualcloze_nb.data.grid import Grid
from visualcloze_nb.errors import BusyError, LongRunWarning, SizeWarning, TextWarning, UsageError, VisualClozeWarning
from visualcloze_nb.pipelines import run_lock, run_time
from visualcloze_nb.pipelines.combined import VisualClozePipeline, VisualClozeUpsamplingPipeline
from visualcloze_nb.pipelines.generation import VisualClozeGenerationPipeline
from visualcloze_nb.pipelines.image_processor import GridProcessor
from visualcloze_nb.pipelines.sizes import check_tokens

CALL = {"task_prompt": "an edge map", "num_inference_steps": 2}


def seeded(seed=0):
    return torch.Generator("cpu").manual_seed(seed)


@pytest.mark.parametrize("output_type", ["np", "pt", "latent"])
def test_row_20_arrays_as_in_diffusers_tests(random_pipe, output_type):
    """A batch is one array; its first image is that of the call alone."""
    options = {"num_inference_steps": 2, "output_type": output_type, "upsampling_height": 32, "upsampling_width": 32}
    batch = {"task_prompt": ["an edge map"] * 3, "content_prompt": [None] * 3, "image": [rows()] * 3}
    for strength in (0, 0.4):
        call = {**options, "upsampling_strength": strength}
        images = random_pipe(**batch, **call, generator=[seeded(n) for n in range(3)])[0]
        (alone,) = random_pipe(task_prompt="an edge map", image=rows(), **call, generator=seeded(), return_dict=False)
        assert len(images) == 3 and alone.shape == (1, *images.shape[1:])
        assert np.abs(np.asarray(images[0]) - np.asarray(alone[0])).max() < 1e-4
        several = random_pipe(task_prompt="an edge map", image=rows(), **call, num_images_per_prompt=2)
        assert several.images.shape == (2, *images.shape[1:])


def test_row_21_the_last_step_of_each_run(random_pipe):
    seen = []

    def callback(pipe, i, t, tensors):
        if i == pipe.num_timesteps - 1:
            seen.append((pipe.stage, pipe.call_step))
            tensors["latents"] = torch.zeros_like(tensors["latents"])
        return tensors

    call = {"num_inference_steps": 2, "upsampling_strength": 0.5, "callback_on_step_end": callback}
    grids = {"task_prompt": ["an edge map"] * 2, "image": [rows(2, 3, targets=(1, 2)), rows()]}
    images = random_pipe(**grids, **call, output_type="latent").images
    assert seen == [(1, 1), (1, 3), (2, 4), (2, 5), (2, 6)]
    assert images.shape == (3, 36, 64) and images.abs().sum() == 0
    seen.clear()
    assert random_pipe.generation_pipe(**CALL, image=rows(), callback_on_step_end=callback) and seen == [(1, 1)]
    seen.clear()
    image = rows()[0][0]
    assert random_pipe.upsampling_pipe(image=image, num_inference_steps=4, callback_on_step_end=callback)
    assert seen == [(2, 1)]


ODD_VALUES = {
    "guidance_scale": (torch.tensor(30.0), 30),
    "upsampling_strength": (torch.tensor([0.5]), 0.5),
    "num_inference_steps": (np.array(3), 3),
    "upsampling_width": (torch.tensor(64), 64),
    "max_sequence_length": (np.int64(40), 40),
    "sigmas": (torch.tensor([1, 0.5, 0.25]), [1, 0.5, 0.25]),
}


@pytest.mark.parametrize("name", ODD_VALUES)
def test_row_22_tensors_of_one_number(random_pipe, name):
    odd, plain = ODD_VALUES[name]
    call = {**CALL, "image": rows(), "output_type": "np"}
    images = [random_pipe(**{**call, name: value}, generator=seeded()).images for value in (odd, plain)]
    assert np.array_equal(*images)
    fill = {"guidance_scale": "guidance", "upsampling_strength": "strength", "upsampling_width": "width"}
    name = fill.get(name, name.replace("num_inference_steps", "steps"))
    settings = [
        random_pipe.fill(Grid(rows()), **{"steps": 3, name: value}, seed=torch.tensor(0), progress=False).settings
        for value in (odd, plain)
    ]
    assert settings[0] == settings[1] and repr(settings[0]) == repr(settings[1]), "plain numbers are recorded"


def test_row_22_sigmas_that_end_at_0(random_pipe, stock_pipe):
    call = {**CALL, "image": rows(), "sigmas": [1, 0.5, 0], "output_type": "np", "max_sequence_length": 64}
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        ours = random_pipe.generation_pipe(**call, generator=seeded()).images
        assert np.isfinite(random_pipe(**call, generator=seeded()).images).all()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VisualClozeProcessor, "get_layout_prompt", GridProcessor.get_layout_prompt)
        with np.errstate(divide="ignore"):
            assert np.array_equal(ours, stock_pipe.generation_pipe(**call, generator=seeded()).images)
    for bad in ([0], [1, 1], 3, "abc", [1, "x"], [2, 1], [float("nan")], torch.ones(2, 2)):
        with pytest.raises(ValueError, match="^sigmas") as caught:
            random_pipe(**{**call, "sigmas": bad})
        assert len(str(caught.value)) <= 300


PIPELINES = {
    VisualClozePipeline: diffusers.VisualClozePipeline,
    VisualClozeGenerationPipeline: diffusers.VisualClozeGenerationPipeline,
    VisualClozeUpsamplingPipeline: diffusers.FluxFillPipeline,
}
OTHER_DEFAULTS = {"upsampling_strength", "strength", "max_sequence_length"}  # README says why


@pytest.mark.parametrize("ours", PIPELINES)
def test_row_19_names_order_and_defaults_as_in_diffusers(ours):
    stock = PIPELINES[ours]
    for name in vars(stock).keys() & {
        name for cls in ours.__mro__ if cls.__module__[:6] == "visual" for name in vars(cls)
    }:
        if not inspect.isfunction(getattr(stock, name)):
            continue
        own, theirs = (inspect.signature(getattr(cls, name)).parameters for cls in (ours, stock))
        assert list(own)[: len(theirs)] == list(theirs), name
        for parameter in theirs.values():
            assert own[parameter.name].kind == parameter.kind
            if name != "__call__" or parameter.name not in OTHER_DEFAULTS:
                assert own[parameter.name].default == parameter.default, f"{name}: {parameter.name}"


@pytest.mark.parametrize("name", ["save_pretrained", "load_lora_weights", "from_pretrained", "from_pipe"])
@pytest.mark.parametrize("ours", PIPELINES)
def test_row_19_inherited_methods_as_in_diffusers(ours, name):
    own, theirs = (inspect.signature(getattr(cls, name)).parameters for cls in (ours, PIPELINES[ours]))
    assert [(p.name, p.kind, p.default) for p in own.values()] == [(p.name, p.kind, p.default) for p in theirs.values()]


def test_row_19_positional_arguments(random_pipe, stock_pipe):
    device = torch.device("cpu")
    layout = random_pipe.generation_pipe.image_processor.get_layout_prompt((2, 2))
    for texts in ((layout, "an edge map", "a red circle"), ([layout] * 2, ["an edge map", ""], [None, "a circle"])):
        with torch.no_grad():
            ours, stock = (
                pipe.generation_pipe.encode_prompt(*texts, device, 2, None, None, 64)
                for pipe in (random_pipe, stock_pipe)
            )
        assert all(torch.equal(one, other) for one, other in zip(ours, stock, strict=True))
    image = rows()[0][0]
    arguments = ("a circle", None, image, Image.new("RGB", image.size, "white"), None, 32, 48, 0.4, 3, None, 30.0, 2)
    ours, stock = (
        pipe.upsampling_pipe(*arguments, [seeded(0), seeded(1)], max_sequence_length=64).images
        for pipe in (random_pipe, stock_pipe)
    )
    assert len(ours) == 2 and all(np.array_equal(one, other) for one, other in zip(ours, stock, strict=True))
    assert not hasattr(random_pipe, "encode_prompt"), "stock has none, and diffusers' tests ask"


def test_row_3_sizes_beyond_the_schedule(tiny, monkeypatch):
    grid = Grid(rows(), task="an edge map")
    with warnings.catch_warnings():
        warnings.simplefilter("error", SizeWarning)
        tiny._check_tokens(grid, (192, 192), 30, 0.4)
        tiny._check_tokens(grid, (256, 256), 30, 0.4)
    for side in (272, 384, 768):
        with pytest.warns(SizeWarning, match=f"{side} x {side} .* is more than the model was made for.* 256 x 256"):
            tiny._check_tokens(grid, (side, side), 30, 0.4)
    monkeypatch.setattr(tiny.text_encoder, "forward", None)
    for width, height, largest in ((4096, 3072, "288 x 208"), (65536, 65536, "256 x 256"), (8192, 2048, "512 x 128")):
        for run in (tiny.fill, tiny.steps):
            with pytest.raises(UsageError, match=f"{width} x {height} .*: the largest that works is {largest}"):
                run(grid, width=width, height=height)
        with pytest.raises(UsageError, match="the largest that works is"):
            tiny.upsampling_pipe(image=rows()[0][0], width=width, height=height)


def test_row_3_the_released_models_sizes_pass(random_pipe):
    """Stage 2 at three times 384 and 512, and grids beyond 4,096 tokens, are what they were made for."""
    config = {"use_dynamic_shifting": True, "max_image_seq_len": 4096}
    for resolution in (384, 512):
        pipe = SimpleNamespace(scheduler=SimpleNamespace(config=config), made_for=None, resolution=resolution)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_tokens(pipe, (3 * resolution, 3 * resolution), 30)
            check_tokens(pipe, (resolution, resolution), 30, cells=25)
        with pytest.warns(SizeWarning):
            check_tokens(pipe, (4 * resolution, 4 * resolution), 30)


def test_row_16_another_resolution_than_the_checkpoints(tiny, tmp_path):
    folder = Path(visualcloze_nb.__file__).parent / "tiny"
    for cls in (VisualClozePipeline, VisualClozeGenerationPipeline):
        with pytest.warns(SizeWarning, match="made for resolution=64: with 384 it makes noise.* 36 times as long"):
            loaded = cls.from_pretrained(folder, resolution=384)
        assert loaded.resolution == 384 and loaded.made_for == 64
        with warnings.catch_warnings():
            warnings.simplefilter("error", SizeWarning)
            assert cls.from_pretrained(folder, resolution=64).resolution == cls.from_pretrained(folder).resolution
    whole = VisualClozePipeline.from_pipe(loaded)
    with pytest.warns(SizeWarning, match="1152 x 1152 .* the largest that works is 256 x 256"):
        whole._check_tokens(Grid(rows()), (1152, 1152), 2, 0.4)


def test_row_1_one_run_at_a_time_for_shared_components(random_pipe):
    """Threads, three pipelines of the same components, interrupts: an image is right or refused."""
    pipes = [random_pipe, VisualClozePipeline.from_pipe(random_pipe), VisualClozePipeline.from_pipe(random_pipe)]
    for pipe in pipes:
        pipe.set_progress_bar_config(disable=True)
    grid = Grid(rows(), task="an edge map")
    alone = {n: np.asarray(random_pipe.fill(grid, seed=n, steps=2 + n, progress=False).image) for n in range(4)}
    made, refused, wrong = [], [], []

    def interrupt(done, total, stage):
        if done == 2:
            raise KeyboardInterrupt

    def work(number):
        for n in range(25):
            seed = (n + number) % 4
            options = {"on_step": interrupt} if n % 5 == 0 else {}
            try:
                result = pipes[(n + number) % 3].fill(grid, seed=seed, steps=2 + seed, progress=False, **options)
            except BusyError as error:
                assert "a run is under way" in str(error) and len(str(error)) <= 300
                refused.append(n)
                time.sleep(0.01)
            except KeyboardInterrupt:
                pass
            else:
                made.append(n)
                if not np.array_equal(np.asarray(result.image), alone[seed]):
                    wrong.append(n)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made and refused and not wrong and not run_lock._in_use
    again = random_pipe.fill(grid, seed=1, steps=3, progress=False).image
    assert np.array_equal(np.asarray(again), alone[1]), "nothing is left behind"


def test_row_1_steps_hold_the_pipeline_only_while_they_run(random_pipe):
    grid = Grid(rows(), task="an edge map")
    steps = random_pipe.steps(grid, seed=0, steps=3, strength=0)
    first = next(steps)
    fill = {"seed": 0, "steps": 3, "strength": 0, "progress": False}
    image = random_pipe.fill(grid, **fill).image  # between two steps
    *_, last = steps
    assert first.index == 0 and np.array_equal(np.asarray(random_pipe.read(last)[0]), np.asarray(image))
    other = random_pipe.steps(grid, steps=3)
    next(other)
    other.close()
    assert not list(other) and not run_lock._in_use
    fourth = random_pipe.steps(grid, seed=0, steps=3, strength=0)
    found = []

    def on_step(done, total, stage):
        for start in (lambda: random_pipe.fill(grid, **fill), lambda: next(fourth), lambda: random_pipe(image=grid)):
            with pytest.raises(BusyError, match="a run is under way"):
                start()
            found.append(done)

    random_pipe.fill(grid, **fill, on_step=on_step)
    assert len(found) == 9 and len(list(fourth)) == 3, "a refused step can be taken later"


@pytest.mark.parametrize("text", ["a red circle " * 40, "a blue square , " * 30, "image " * 400])
def test_row_11_a_long_prompt_gives_one_line(random_pipe, capfd, caplog, text):
    with pytest.warns(TextWarning) as caught:
        random_pipe(task_prompt=text, image=rows(), num_inference_steps=2, upsampling_strength=0)
    assert len(caught) == 1 and len(str(caught[0].message)) <= 300
    assert not caplog.records and capfd.readouterr().err == ""


@pytest.mark.parametrize(("steps", "strength", "needed"), [(1, 0.01, 100), (3, 0.1, 10), (2, 0.2, 5)])
def test_row_9_too_few_steps_for_the_strength(random_pipe, steps, strength, needed):
    with pytest.warns(VisualClozeWarning, match=f"strength {strength} of {steps} steps acts like .* {needed} steps"):
        random_pipe.fill(Grid(rows()), steps=steps, strength=strength, progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", VisualClozeWarning)
        random_pipe._check_tokens(Grid(rows()), (96, 96), needed, strength)
        random_pipe._check_tokens(Grid(rows()), (96, 96), 30, 0.4)


@pytest.mark.parametrize("length", [65, 128, 512])
def test_row_17_more_text_than_the_model_was_made_for(length):
    call = {"steps": 2, "strength": 0, "progress": False}
    with pytest.warns(UserWarning, match=f"max_sequence_length is {length}, and this model was made for 64"):
        build_random_pipe().fill(Grid(rows()), max_sequence_length=length, **call)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_random_pipe().fill(Grid(rows()), max_sequence_length=64, **call)


@pytest.mark.parametrize(
    ("first", "runs", "expected"),
    [(2, [(30, 100)], 60), (1, [(10, 100), (4, 200)], 10 + 8), (3, [(1, 50), (2, 50), (2, 50)], 15)],
)
def test_row_16_the_seconds_of_a_call_follow_from_its_first_step(first, runs, expected):
    assert run_time.expected_seconds(first, runs, width=10**9) == pytest.approx(expected)
    assert run_time.expected_seconds(1, [(1, 100), (1, 200)], width=10) > 1 + 2, "attention is quadratic"


CALLS = {
    "fill": lambda pipe: pipe.fill(Grid(rows(2, 3, targets=(1, 2))), steps=4, strength=0.5, progress=False),
    "call": lambda pipe: pipe(task_prompt="", image=rows(), num_inference_steps=4),
    "generation": lambda pipe: pipe.generation_pipe(task_prompt="", image=rows(), num_inference_steps=4),
    "upsampling": lambda pipe: pipe.upsampling_pipe(image=rows()[0][0], num_inference_steps=8),
}


@pytest.mark.parametrize("name", CALLS)
def test_row_16_a_long_call_says_so_after_its_first_step(random_pipe, monkeypatch, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error", LongRunWarning)
        CALLS[name](random_pipe)
    monkeypatch.setattr(run_time, "LONG", 0)
    began = time.perf_counter()
    with pytest.warns(LongRunWarning, match=r"first step took .* the whole call takes about \d+ seconds") as caught:
        CALLS[name](random_pipe)
    long = [str(one.message) for one in caught if one.category is LongRunWarning]
    assert len(long) == 1 and len(long[0]) <= 300, "once a call, not once a stage"
    said = float(re.search(r"about (\d+) seconds", long[0])[1])
    assert said <= 20 * (time.perf_counter() - began) + 1
    assert [run_time.duration(seconds) for seconds in (61, 600, 36_000)] == ["61 seconds", "10 minutes", "10.0 hours"]


def test_row_1_embed_and_read_wait_for_no_other_run(random_pipe):
    grid = Grid(rows(), task="an edge map")
    step = next(iter(random_pipe.steps(grid, seed=0, steps=2)))
    entered, go_on, found = threading.Event(), threading.Event(), []

    def on_step(*_):
        entered.set()
        go_on.wait(20)

    fill = {"steps": 2, "strength": 0, "progress": False, "on_step": on_step}
    thread = threading.Thread(target=lambda: found.append(random_pipe.fill(grid, **fill)))
    thread.start()
    assert entered.wait(20)
    for call in (lambda: random_pipe.embed(grid), lambda: random_pipe.read(step)):
        with pytest.raises(BusyError, match="a run is under way"):
            call()
    go_on.set()
    thread.join(20)
    assert found and random_pipe.embed(grid) and random_pipe.read(step) and not run_lock._in_use


def test_an_error_of_a_hook_or_of_the_package_is_not_taken_for_wrong_input(random_pipe, monkeypatch):
    def fails(*args, **kwargs):
        raise ValueError("not about the input")

    pipe, call = random_pipe.upsampling_pipe, {"prompt": "a circle", "num_inference_steps": 4}
    with pytest.raises(UsageError, match="do not fit together") as caught:
        pipe(image=torch.zeros(1, 5, 32, 32), mask_image=torch.ones(1, 1, 32, 32), **call)
    assert caught.value.__cause__ is not None
    hook = pipe.text_encoder_2.register_forward_hook(fails)
    try:
        with pytest.raises(ValueError, match="^not about the input$"):
            pipe(image=Image.new("RGB", (32, 32)), **call)
    finally:
        hook.remove()
    monkeypatch.setattr(pipe, "_record_time", None)  # a line of the package then fails
    with pytest.raises(TypeError, match="not callable"):
        pipe(image=Image.new("RGB", (32, 32)), **call)


@pytest.mark.parametrize("part", ["prompt_embeds", "pooled_prompt_embeds"])
@pytest.mark.parametrize("change", [lambda e: e[..., :-1], lambda e: e.long(), lambda e: e[None], lambda e: e[:0]])
@pytest.mark.parametrize("stage", ["both", "upsampling", "generation"])
def test_row_22_embeddings_of_another_model_are_named(random_pipe, part, change, stage):
    embeds = random_pipe.embed(Grid(rows(), task="x"))
    name = f"upsampling_{part}" if stage == "upsampling" else part
    embeds[name] = change(embeds[name])
    if stage == "generation":
        embeds = {name: value for name, value in embeds.items() if not name.startswith("upsampling")}
    pipe = random_pipe.generation_pipe if stage == "generation" else random_pipe
    with pytest.raises(UsageError, match=f"^{name} is of shape .*: give floating-point numbers of shape"):
        pipe(image=rows(), num_inference_steps=2, **embeds)


def test_row_22_a_number_without_a_value_is_named():
    pipe = build_random_pipe(guidance_embeds=True)
    with pytest.raises(UsageError, match="^guidance_scale is "):
        pipe(image=rows(), **CALL, guidance_scale=torch.tensor(30.0, device="meta"))


def test_row_13_a_callback_in_stage_2_alone_leaves_the_callers_embeddings(random_pipe):
    stage2 = random_pipe.upsampling_pipe
    with torch.no_grad():
        embeds, pooled, _ = stage2.encode_prompt("a circle", max_sequence_length=64)
    before = embeds.clone()

    def zero(pipe, step, timestep, tensors):
        tensors["prompt_embeds"].zero_()

    call = {"num_inference_steps": 3, "strength": 0.9, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
    stage2(image=rows()[0][0], prompt_embeds=embeds, pooled_prompt_embeds=pooled, callback_on_step_end=zero, **call)
    assert torch.equal(embeds, before)


def test_row_9_stage_2_alone_says_it_too(random_pipe):
    with pytest.warns(VisualClozeWarning, match=r"strength 0.01 of 1 steps acts like 1: .* give 100 steps"):
        random_pipe.upsampling_pipe(image=rows()[0][0], num_inference_steps=1, strength=0.01)
    with pytest.warns(VisualClozeWarning, match="give a larger one, or 0"):  # no schedule is as long as it would need
        random_pipe(image=rows(), **CALL, upsampling_strength=1e-9)


def test_row_3_a_size_is_warned_of_once(random_pipe):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        random_pipe.fill(Grid(rows(), task="an edge map"), steps=2, strength=0.5, width=192, progress=False)
    assert len([one for one in caught if "is more than the model was made for" in str(one.message)]) == 1


def test_row_11_guidance_is_said_once_to_have_no_effect():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        build_random_pipe().fill(Grid(rows(), task="an edge map"), steps=1, strength=0, guidance=7, progress=False)
    assert [one.category for one in caught if "guidance" in str(one.message)] == [VisualClozeWarning]


def test_row_17_embeddings_longer_than_the_model_was_made_for():
    pipe = build_random_pipe()
    made_for = pipe.tokenizer_2.model_max_length
    for stage, texts in ((pipe.generation_pipe, ("", "a", "b")), (pipe.upsampling_pipe, ("a",))):
        stage._warned = set()
        with pytest.warns(VisualClozeWarning, match=f"max_sequence_length is 512.* give {made_for}"):
            stage.encode_prompt(*texts)
        with pytest.raises(UsageError, match="max_sequence_length"):
            stage.encode_prompt(*texts, max_sequence_length=0)


def test_row_22_numbers_of_numpy_without_a_warning(random_pipe):
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        values = {"strength": np.float16(0.5), "guidance": np.float32(30), "size": np.float32(1)}
        random_pipe.fill(Grid(rows(), task="an edge map"), steps=2, progress=False, **values)
    with pytest.raises(UsageError, match="^size is 1000000000.0: give a number from 0 to 1000"):
        random_pipe.fill(Grid(rows(), task="an edge map"), size=1e9)


def test_row_22_an_attention_mask_that_is_no_tensor(random_pipe):
    with pytest.raises(UsageError, match="attention_mask.*give a tensor"):
        random_pipe.fill(Grid(rows()), joint_attention_kwargs={"attention_mask": 1})


def test_row_21_a_callback_that_returns_no_dict(random_pipe):
    with pytest.raises(UsageError, match="callback_on_step_end returned 3: give one that returns a dict"):
        random_pipe("a task", None, rows(), num_inference_steps=1, callback_on_step_end=lambda *_: 3)


@pytest.mark.parametrize("folder", [None, 3, __file__])
def test_row_18_saving_into_no_folder(folder, random_pipe):
    with pytest.raises(UsageError, match="save_directory is .*: give a folder"):
        random_pipe.save_pretrained(folder)


@pytest.mark.parametrize("resolution", ["384", 0, -16, 50, 10**7, 64.0])
def test_row_15_a_resolution_that_is_none(resolution, random_pipe, tmp_path):
    random_pipe.save_pretrained(tmp_path)
    for load in (
        visualcloze_nb.load,
        VisualClozePipeline.from_pretrained,
        VisualClozeGenerationPipeline.from_pretrained,
    ):
        with pytest.raises(UsageError, match="resolution is .*: give"):
            load(tmp_path, resolution=resolution)
