"""`fill` and `steps`: what they return, warn about and refuse."""

import inspect
import json
import warnings

import diffusers
import numpy as np
import pytest
import torch
from conftest import build_random_pipe, fresh_copy, noise_image, rows
from PIL import Image

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.layout import Layout
from visualcloze_nb.data.result import Result
from visualcloze_nb.data.target_size import photograph_size
from visualcloze_nb.errors import GridError, SizeWarning, TextWarning
from visualcloze_nb.pipelines.prompt_check import unknown_words
from visualcloze_nb.pipelines.sizes import stage2_size
from visualcloze_nb.sampling.flow import euler_sample
from visualcloze_nb.sampling.latents import position_ids
from visualcloze_nb.sampling.text import encode_text
from visualcloze_nb.settings import RECOMMENDABLE

GRID = Grid(rows(), task="a red circle", content="a blue square")


def same(one, other):
    return np.array_equal(np.asarray(one), np.asarray(other))


def test_a_result_says_all(random_pipe):
    result = random_pipe.fill(GRID, seed=7, steps=4, progress=False)
    assert isinstance(result, Result)
    assert result.stage1[0].size == (32, 32) and result.image.size == (96, 96)
    assert result.filled.rows[-1][-1].size == (96, 96) and result.grid is GRID
    assert result.seed == 7 and result.settings.steps == 4 and result.settings.strength == 0.4
    assert result.settings.max_sequence_length == 64 and result.settings.width == 96
    parts = {f"stage {n} {part}" for n in (1, 2) for part in ("text", "encode", "steps", "decode")}
    assert set(result.seconds) == {*parts, "total"}
    assert sum(result.seconds[part] for part in parts) == pytest.approx(result.seconds["total"])
    assert result.versions["torch"] == torch.__version__
    record = json.loads(json.dumps(result.provenance()))
    assert (record["seed"], record["settings"]["guidance"]) == (7, 30), "defaults are recorded as the values used"


def test_a_seed_gives_one_image(random_pipe):
    def fill(**options):
        return random_pipe.fill(GRID, steps=2, progress=False, **options)

    assert same(fill(seed=1).image, fill(seed=1).image)
    assert not same(fill(seed=1).image, fill(seed=2).image)
    surprise = fill()
    assert same(surprise.image, fill(seed=surprise.seed).image), "the seed that was drawn is kept"
    assert fill(generator=torch.Generator().manual_seed(1)).seed is None
    assert same(fill(generator=torch.Generator().manual_seed(1)).image, fill(seed=1).image)
    before = torch.random.get_rng_state()
    fill()
    assert torch.equal(before, torch.random.get_rng_state()), "global randomness is left alone"


def test_fill_equals_the_documented_call(random_pipe):
    result = random_pipe.fill(GRID, seed=3, steps=3, progress=False)
    called = random_pipe(
        task_prompt=GRID.task,
        content_prompt=GRID.content,
        image=GRID.to_lists(),
        num_inference_steps=3,
        generator=torch.Generator("cpu").manual_seed(3),
    )
    assert same(result.image, called.images[0][0]) and same(result.stage1[0], called.stage1[0][0])


def test_a_draft_is_stage_1_alone(random_pipe):
    draft = random_pipe.fill(GRID, seed=3, steps=3, strength=0, progress=False)
    whole = random_pipe.fill(GRID, seed=3, steps=3, progress=False)
    assert same(draft.image, whole.stage1[0]) and same(draft.image, draft.stage1[0])
    assert not any(part.startswith("stage 2") for part in draft.seconds)
    assert (draft.settings.width, draft.settings.height) == draft.image.size


def test_sizes(random_pipe):
    grid = Grid(rows(2, 2, size=(80, 48)))
    fill = random_pipe.fill
    assert fill(grid, steps=1, progress=False).image.size == (96, 48)
    assert fill(grid, steps=1, width=64, progress=False).image.size == (64, 32)
    assert fill(grid, steps=1, width=64, height=64, progress=False).image.size == (64, 64)
    with pytest.warns(SizeWarning, match="stage 2 makes 64 x 32"):
        assert fill(grid, steps=1, width=79, progress=False).image.size == (64, 32)


@pytest.mark.parametrize(
    ("photograph", "expected"),
    [
        ((640, 480), (640, 480)),
        ((1000, 700), (992, 688)),
        ((1024, 1024), (1024, 1024)),
        ((4000, 3000), (1168, 880)),  # int(sqrt(1024**2 / (4 / 3))) = 886, int(886 * 4 / 3) = 1181, in whole tokens
        ((3000, 4000), (880, 1168)),
        ((5000, 100), (5000 // 16 * 16, 96)),
        ((20, 9), (16, 16)),
    ],
)
def test_as_large_as_the_photograph(photograph, expected):
    """The authors' rule: the first image of the query row, at most 1024 * 1024 pixels, in whole tokens."""
    grid = Grid([[noise_image(), noise_image()], [Image.new("RGB", photograph), None]])
    assert photograph_size(grid, grid.layout(384)) == expected
    width, height = expected
    assert width * height <= 1024**2 and width % 16 == height % 16 == 0


def test_a_query_without_an_image_gives_a_megapixel_at_the_aspect_ratio_of_the_example():
    grid = Grid([[noise_image(640, 320), noise_image()], [None, None]])
    width, height = photograph_size(grid, grid.layout(384))
    assert 0.9 * 1024**2 < width * height <= 1024**2 and width / height == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize(
    ("size", "expected"), [(1, (32, 16)), (2.0, (64, 32)), (3, (96, 48)), (2.5, (80, 32)), (0.1, (16, 16))]
)
def test_a_size_may_be_a_factor_of_stage_1(random_pipe, size, expected):
    grid = Grid(rows(2, 2, size=(96, 48)))
    assert grid.layout(32).sizes[-1] == (32, 16)
    result = random_pipe.fill(grid, seed=1, steps=3, size=size, progress=False)
    assert result.image.size == expected == (result.settings.width, result.settings.height)


def test_as_large_as_the_photograph_in_a_run(random_pipe):
    grid = Grid(rows(2, 2, size=(100, 70)), recommended={"size": "photograph"})
    fill = random_pipe.fill
    assert fill(grid, steps=3, progress=False).image.size == (96, 64)
    assert fill(grid, steps=3, width=64, progress=False).image.size == (64, 32), "what is given wins"
    assert fill(grid, steps=3, size=1, progress=False).image.size == grid.layout(32).sizes[-1]
    assert fill(grid, steps=3, strength=0, progress=False).image.size == grid.layout(32).sizes[-1], "no stage 2"


def test_stage_2_has_steps_of_its_own(random_pipe):
    seen = []
    result = random_pipe.fill(
        GRID, seed=2, steps=3, upsampling_steps=8, strength=0.5, progress=False, on_step=lambda *step: seen.append(step)
    )
    assert seen == [(n, 7, 1 if n < 4 else 2) for n in range(1, 8)]
    assert (result.settings.steps, result.settings.upsampling_steps) == (3, 8)
    short = random_pipe.fill(GRID, seed=2, steps=3, strength=0.5, progress=False)
    assert same(result.stage1[0], short.stage1[0]) and not same(result.image, short.image)
    assert short.settings.upsampling_steps == 3, "unless given, that of stage 1"
    draft = random_pipe.fill(GRID, seed=2, steps=3, upsampling_steps=8, strength=0, progress=False)
    assert same(draft.image, result.stage1[0])


def test_given_noise_levels_hold_for_stage_2_unless_it_has_steps_of_its_own(random_pipe):
    settings = {"seed": 2, "sigmas": [1.0, 0.6, 0.2], "strength": 0.7, "progress": False}
    both, one = random_pipe.fill(GRID, **settings), random_pipe.fill(GRID, **settings, upsampling_steps=3)
    assert same(both.stage1[0], one.stage1[0]) and not same(both.image, one.image)
    assert (both.settings.upsampling_steps, one.settings.upsampling_steps) == (None, 3)
    even = random_pipe.fill(GRID, seed=2, sigmas=[1.0, 0.6, 0.2], strength=0, progress=False)
    assert same(even.image, one.stage1[0])


@pytest.mark.parametrize("guidance", [30.0, 2.0])
@pytest.mark.parametrize("size", [2, "photograph"])
@pytest.mark.parametrize("strength", [0.0, 0.6])
def test_steps_equal_fill_with_every_setting(guidance, size, strength):
    pipe = build_random_pipe(guidance_embeds=True)
    grid = Grid(rows(3, 3, size=(100, 64), targets=(0, 2)), "a red circle", "a blue square")
    settings = dict(seed=5, steps=3, upsampling_steps=7, strength=strength, guidance=guidance, size=size)
    result = pipe.fill(grid, **settings, progress=False)
    last = [step for step in pipe.steps(grid, **settings) if step.index == step.total - 1]
    assert [step.total for step in last] == [3] + ([5, 5] if strength else [])
    images = [image for step in last for image in pipe.read(step)]
    expected = [*result.stage1, *(result.images if strength else [])]
    assert len(images) == len(expected) and all(map(same, images, expected))
    recommended = {name: settings[name] for name in RECOMMENDABLE}
    again = pipe.fill(grid.replace(recommended=recommended), seed=5, progress=False)
    assert all(map(same, again.images, result.images)) and again.settings == result.settings


def test_the_documented_call_takes_the_same_beside_stocks_names(random_pipe):
    grid = Grid(rows(2, 2, size=(100, 64)), "a red circle", "a blue square")
    result = random_pipe.fill(grid, seed=3, steps=3, upsampling_steps=6, size="photograph", progress=False)
    call = dict(image=grid, num_inference_steps=3, generator=torch.Generator("cpu").manual_seed(3))
    called = random_pipe(**call, upsampling_steps=6, upsampling_size="photograph")
    assert same(result.image, called.images[0][0]) and result.image.size == (96, 64)
    stock = list(inspect.signature(diffusers.VisualClozePipeline.__call__).parameters)
    assert list(inspect.signature(type(random_pipe).__call__).parameters)[: len(stock)] == stock
    for options, message in (
        ({"upsampling_steps": 0}, "^upsampling_steps is 0"),
        ({"upsampling_size": 2, "upsampling_width": 64}, "^both upsampling_size and upsampling_width"),
        ({"upsampling_size": "as"}, "^upsampling_size is 'as'"),
    ):
        with pytest.raises(ValueError, match=message):
            random_pipe(image=grid, **options)


@pytest.mark.parametrize(
    ("given", "expected"),
    [((None, None), (96, 48)), ((160, None), (160, 80)), ((None, 160), (320, 160)), ((16, None), (16, 16))],
)
def test_stage2_size(given, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert stage2_size(32, 16, *given) == expected


def test_on_step_and_progress(random_pipe, capsys):
    seen = []
    pipe = fresh_copy(random_pipe)
    pipe.set_progress_bar_config()
    grid = Grid(rows(2, 3, targets=(1, 2)))
    pipe.fill(grid, steps=2, strength=0.5, on_step=lambda *step: seen.append(step), progress=False)
    assert seen == [(1, 4, 1), (2, 4, 1), (3, 4, 2), (4, 4, 2)]
    assert capsys.readouterr() == ("", ""), "quiet means quiet"
    pipe.fill(grid, steps=2, strength=0.5)
    assert "stage 2" in capsys.readouterr().err
    assert all(not inner._progress_bar_config for inner in pipe.inner), "settings are put back"
    random_pipe.fill(grid, steps=1)
    assert capsys.readouterr().err == "", "a bar that was switched off stays off"


def test_an_error_leaves_the_pipeline_as_it_was(random_pipe):
    def fail(*args):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        random_pipe.fill(GRID, steps=2, on_step=fail, progress=False)
    assert all(inner.timer is None for inner in random_pipe.inner)
    assert all(inner._progress_bar_config == {"disable": True} for inner in random_pipe.inner)
    assert random_pipe.generation_pipe._given_latents is None


BAD = {
    "no target": ({}, Grid(rows(targets=())), GridError, "row 2 has no empty cell"),
    "not a grid": ({}, rows(), GridError, "grid is a list: make a Grid"),
    "steps": ({"steps": 0}, GRID, ValueError, "^steps is 0"),
    "steps as text": ({"steps": "30"}, GRID, ValueError, "^steps is '30'"),
    "strength": ({"strength": 1.1}, GRID, ValueError, "^strength is 1.1: give a number from 0 to 1"),
    "strength nan": ({"strength": float("nan")}, GRID, ValueError, "^strength is nan"),
    "size": ({"width": 0}, GRID, ValueError, "^width is 0"),
    "half a pixel": ({"height": 64.5}, GRID, ValueError, "^height is 64.5"),
    "seed": ({"seed": -1}, GRID, ValueError, "seed is -1"),
    "two seeds": ({"seed": 1, "generator": torch.Generator()}, GRID, ValueError, "both seed and generator"),
    "guidance": ({"guidance": -3}, GRID, ValueError, "^guidance is -3"),
    "steps of stage 2": ({"upsampling_steps": 0}, GRID, ValueError, "^upsampling_steps is 0"),
    "size name": ({"size": "photo"}, GRID, ValueError, "^size is 'photo': give 'photograph', or a factor such as 3"),
    "no size": ({"size": 0}, GRID, ValueError, "^size is 0: give more"),
    "two sizes": ({"size": 2, "width": 64}, GRID, ValueError, "^both size and width or height"),
    "text length": ({"max_sequence_length": 513}, GRID, ValueError, "max_sequence_length is 513"),
}


def test_row_12_what_is_no_function_is_noticed_before_a_model_runs(random_pipe, monkeypatch):
    monkeypatch.setattr(random_pipe.text_encoder, "forward", None)
    for value in ("print", 3, [print]):
        with pytest.raises(ValueError, match="^on_step is .*: give a function"):
            random_pipe.fill(GRID, steps=2, on_step=value)


@pytest.mark.parametrize("way", ["fill", "steps"])
@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_before_any_model_runs(random_pipe, monkeypatch, name, way):
    options, grid, error, message = BAD[name]
    for part in (random_pipe.vae, random_pipe.transformer, random_pipe.text_encoder):
        monkeypatch.setattr(part, "forward", None)
        monkeypatch.setattr(part, "encode", None, raising=False)
    with pytest.raises(error, match=message):
        getattr(random_pipe, way)(grid, **options)


def test_images_of_any_size_and_mode(random_pipe, tmp_path):
    noise_image(37, 200).save(tmp_path / "tall.jpg")
    noise_image(300, 20).convert("RGBA").save(tmp_path / "wide.png")
    noise_image(50, 50).convert("P").save(tmp_path / "palette.gif")
    noise_image(64, 48).convert("L").save(tmp_path / "grey.webp")
    grid = Grid(
        [
            [tmp_path / "tall.jpg", str(tmp_path / "wide.png")],
            [(tmp_path / "palette.gif").read_bytes(), None],
        ]
    )
    result = random_pipe.fill(grid, steps=1, progress=False)
    assert result.image.size == (96, 96) and result.image.mode == "RGB"
    grid = Grid([[np.asarray(noise_image(80, 48)), Image.open(tmp_path / "grey.webp"), None]])
    assert random_pipe.fill(grid, steps=1, progress=False).image.size == (96, 48)


def test_words_the_model_lacks_are_named(random_pipe):
    with pytest.warns(TextWarning, match="does not know 'platypus': it reads a blank there"):
        random_pipe.fill(GRID.replace(content="a red platypus"), steps=1, progress=False)
    assert unknown_words(random_pipe.tokenizer_2, "a blue zebra and a zebra , a gnu") == ["zebra", "gnu"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        random_pipe.fill(GRID, steps=3, progress=False)


def test_text_that_does_not_fit_is_named(random_pipe):
    long = GRID.replace(content="a red circle " * 20 + "and a blue square")
    with pytest.warns(TextWarning, match=r"the model reads 64: '.*blue square' is left out"):
        random_pipe.fill(long, steps=1, progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", TextWarning)
        random_pipe.fill(long, steps=1, max_sequence_length=200, progress=False)


@pytest.mark.parametrize("stage", [1, 2])
def test_any_step_can_be_read(random_pipe, stage):
    """Also one from `euler_sample`, which no pipeline has seen."""
    layout = GRID.layout(32) if stage == 1 else Layout(((48, 32),), 1, (0,))
    z, sigmas = torch.randn(1, layout.total, 64), torch.tensor([1.0, 0.5, 0.0])
    inputs = torch.rand(1, layout.total, 320), position_ids(layout), encode_text(random_pipe, "a red circle", 64)
    *_, step = euler_sample(random_pipe.transformer, z, *inputs, sigmas, layout=layout, stage=stage)
    assert [image.size for image in random_pipe.read(step)] == [(32, 32) if stage == 1 else (48, 32)]
    assert [image.size for image in random_pipe.read(step, step.x0)] == [(32, 32) if stage == 1 else (48, 32)]


def test_a_strength_that_leaves_no_step_is_refused_before_any_model_runs(random_pipe, monkeypatch):
    monkeypatch.setattr(random_pipe.text_encoder, "forward", None)
    for run in (random_pipe.fill, random_pipe.steps):
        with pytest.raises(ValueError, match="strength 1e-20 of 2 steps leaves no step"):
            run(GRID, steps=2, strength=1e-20)


def test_steps_lay_the_run_open(random_pipe):
    steps = list(random_pipe.steps(GRID, seed=0, steps=5, strength=0.5))
    assert [(step.stage, step.index, step.total) for step in steps[:5]] == [(1, n, 5) for n in range(5)]
    assert {(step.stage, step.target, step.total) for step in steps[5:]} == {(2, 0, 3)}
    for step, following in zip(steps[:4], steps[1:5], strict=True):
        assert torch.equal(step.after, following.before) and step.sigma_next == following.sigma
    assert steps[0].sigma == 1 and steps[4].sigma_next == 0
    guess = random_pipe.read(steps[0], steps[0].x0)
    assert len(guess) == 1 and guess[0].size == (32, 32)
    assert random_pipe.read(steps[-1])[0].size == (96, 96)
    assert same(random_pipe.read(steps[4], steps[4].x0)[0], random_pipe.read(steps[4])[0])


RECOMMENDED = {"steps": 4, "strength": 0.5}


def test_a_grid_recommends_settings_and_an_argument_wins(random_pipe):
    grid = Grid(rows(), "a red circle", recommended=RECOMMENDED)
    result = random_pipe.fill(grid, seed=1, progress=False)
    assert (result.settings.steps, result.settings.strength) == (4, 0.5)
    assert result.provenance()["recommended"] == RECOMMENDED
    assert same(result.image, random_pipe.fill(GRID.replace(content=None), seed=1, progress=False, **RECOMMENDED).image)
    draft = random_pipe.fill(grid, steps=2, strength=0, progress=False)
    assert (draft.settings.steps, draft.settings.strength) == (2, 0), "also where the argument counts as false"
    assert [step.total for step in random_pipe.steps(grid, seed=1)] == [4] * 4 + [2] * 2
    assert [step.total for step in random_pipe.steps(grid, seed=1, strength=0)] == [4] * 4


def test_recommended_settings_stay_with_a_grid_and_are_no_part_of_equality():
    grid = Grid(rows(), recommended=RECOMMENDED)
    assert grid == Grid(rows()) and hash(grid) == hash(Grid(rows())) and Grid(rows()).recommended == {}
    for other in (
        grid.with_examples([]),
        grid.with_blanks(0, query=[None, noise_image()]),
        grid.replace(task="a mask"),
        grid.completed([noise_image()]),
    ):
        assert other.recommended == RECOMMENDED
    assert grid.replace(recommended=None).recommended == {}
    for wrong, message in (
        ({"seed": 1}, "recommended has no seed: choose from steps, "),
        ([1], "type list: give a dict"),
    ):
        with pytest.raises(GridError, match=message):
            Grid(rows(), recommended=wrong)


@pytest.mark.parametrize("name, value", [("steps", 0), ("strength", 2), ("guidance", -1)])
def test_a_bad_recommendation_is_refused_as_the_argument_is(random_pipe, name, value):
    with pytest.raises(ValueError, match=f"^{name} is {value}"):
        random_pipe.fill(Grid(rows(), recommended={name: value}))
