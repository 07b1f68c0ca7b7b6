"""The 14 defects of diffusers 0.42.1's VisualCloze pipelines: what stock does today, and what ours does.

Each test first shows the defect in the installed diffusers. When an upgrade turns a test red with "no longer
has defect", delete the workaround it names and that half of the test.
"""

import inspect
from contextlib import contextmanager

import diffusers
import numpy as np
import pytest
import torch
from conftest import build_random_pipe, noise_image, rows
from diffusers.pipelines.visualcloze.visualcloze_utils import VisualClozeProcessor

from visualcloze_nb.pipelines.combined import VisualClozePipeline, VisualClozeUpsamplingPipeline
from visualcloze_nb.pipelines.generation import VisualClozeGenerationPipeline
from visualcloze_nb.pipelines.image_processor import GridProcessor

CALL = {"task_prompt": "a red circle", "num_inference_steps": 2, "max_sequence_length": 64}
SIZE = {"upsampling_height": 32, "upsampling_width": 48}


def stock_still(has_defect: bool, number: int, workaround: str):
    assert has_defect, (
        f"diffusers {diffusers.__version__} no longer has defect {number}: "
        f"delete the workaround ({workaround}) and this half of the test"
    )


def seeded(seed=0):
    return torch.Generator("cpu").manual_seed(seed)


def pixels(image):
    return np.asarray(image).astype(int)


@contextmanager
def transformer_calls(pipe):
    """Collect the arguments of every call of the transformer."""
    calls = []
    forward = pipe.transformer.forward

    def recording(*args, **kwargs):
        calls.append(kwargs)
        return forward(*args, **kwargs)

    pipe.transformer.forward = recording
    try:
        yield calls
    finally:
        del pipe.transformer.forward


@contextmanager
def no_model_runs(pipe):
    """Fail if a text encoder, the VAE or the transformer is called."""
    modules = [pipe.text_encoder, pipe.text_encoder_2, pipe.transformer, pipe.vae.encoder]

    def refuse(*args, **kwargs):
        raise AssertionError("a model ran before the input was checked")

    handles = [module.register_forward_pre_hook(refuse) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def test_1_the_default_strength_throws_stage_1_away(random_pipe, stock_pipe):
    grids = [rows(2, 2, seed=0), rows(2, 2, seed=50)]
    signature = inspect.signature(diffusers.VisualClozePipeline.__call__)
    default = signature.parameters["upsampling_strength"].default
    call = {**CALL, **SIZE}
    one, other = (pixels(stock_pipe(**call, image=g, generator=seeded()).images[0][0]) for g in grids)
    stock_still(default == 1.0 and np.array_equal(one, other), 1, "STRENGTH in settings.py")
    one, other = (pixels(random_pipe(**call, image=g, generator=seeded()).images[0][0]) for g in grids)
    assert not np.array_equal(one, other)
    given = random_pipe(**call, image=grids[0], generator=seeded(), upsampling_strength=0.4).images[0][0]
    assert np.array_equal(one, pixels(given))


def test_2_no_generator(random_pipe, stock_pipe):
    call = {**CALL, **SIZE, "image": rows()}
    try:
        stock_pipe(**call)
        broken = False
    except TypeError:
        broken = True
    stock_still(broken, 2, "one_generator_each in validation.py, for stage 1")
    stage_1 = stock_pipe.generation_pipe  # lend it a generator: stage 2 fails as well
    original = stage_1.prepare_latents
    stage_1.prepare_latents = lambda *args, **kwargs: original(*args[:6], seeded(), **kwargs)
    try:
        stock_pipe(**call)
        broken = False
    except TypeError:
        broken = True
    finally:
        del stage_1.prepare_latents
    stock_still(broken, 2, "one_generator_each in validation.py, for stage 2")
    one, other = (pixels(random_pipe(**call).images[0][0]) for _ in range(2))
    assert not np.array_equal(one, other), "a fresh generator gives other noise each time"


def test_3_several_targets_swap_width_and_height(random_pipe):
    grid = rows(2, 3, size=(640, 480), targets=(1, 2))
    sizes = VisualClozeProcessor(resolution=384, vae_scale_factor=16).preprocess_image(grid, 8)[1]
    stock_still(sizes[-1][-1] == [432, 320], 3, "GridProcessor.preprocess_image")  # [height, width]
    cells, sizes, targets = GridProcessor(resolution=384, vae_scale_factor=16).preprocess_image(grid, 8)
    assert sizes == [[[320, 432]] * 3] * 2 and targets == [0, 1, 1]
    assert all(cell.shape == (1, 3, 320, 432) for row in cells for cell in row)
    grid = rows(2, 3, size=(80, 48), targets=(1, 2))
    image = random_pipe(**CALL, image=grid, upsampling_strength=0).images[0][1]
    assert image.width > image.height


def test_4_stage_2_has_one_size_for_every_grid(random_pipe, stock_pipe, monkeypatch):
    stage_2 = stock_pipe.upsampling_pipe
    assert stage_2.default_sample_size * stage_2.vae_scale_factor == 1024
    monkeypatch.setattr(stage_2, "default_sample_size", 4)  # 32 for 1024, to save time
    call = {**CALL, "image": rows(2, 2, size=(80, 48)), "upsampling_strength": 0.4}
    sizes = [
        stock_pipe(**call, **side, generator=seeded()).images[0][0].size
        for side in ({}, {"upsampling_width": 96}, {"upsampling_height": 96})
    ]
    stock_still(sizes == [(32, 32), (96, 32), (32, 96)], 4, "stage2_size in sizes.py")
    small = random_pipe(**{**call, "upsampling_strength": 0}).images[0][0]
    assert small.size == (32, 16)
    assert random_pipe(**call).images[0][0].size == (96, 48)
    assert random_pipe(**call, upsampling_width=64).images[0][0].size == (64, 32)
    assert random_pipe(**call, upsampling_height=64).images[0][0].size == (128, 64)
    with pytest.warns(UserWarning, match="stage 2 makes 64 x 32"):
        assert random_pipe(**call, upsampling_width=70, upsampling_height=47).images[0][0].size == (64, 32)


def test_5_the_layout_prompt_is_a_tuple(random_pipe, stock_pipe):
    text = VisualClozeProcessor().get_layout_prompt((2, 2))
    stock_still(isinstance(text, tuple), 5, "GridProcessor.get_layout_prompt")
    ours = random_pipe.generation_pipe.image_processor.get_layout_prompt((2, 2))
    assert ours == text[0] and ours.startswith("A grid layout with 2 rows and 2 columns, displaying 4 images")


BAD_GRIDS = {
    "no target": (rows(targets=()), IndexError, "row 2 has no empty cell"),
    "a blank in an example": ([[noise_image(), None], [noise_image(), None]], None, "row 1, column 2 is empty"),
    "an extra column": ([*rows()[:1], [noise_image(), None, noise_image()]], None, "row 2 has 3 cells, row 1 has 2"),
    "not an image": ([["no.png", noise_image()], [noise_image(), None]], AttributeError, "row 1, column 1"),
}


@pytest.mark.parametrize("name", BAD_GRIDS)
def test_6_bad_grids(random_pipe, stock_pipe, name):
    grid, error, message = BAD_GRIDS[name]
    try:
        stock_pipe(**CALL, **SIZE, image=grid, generator=seeded())
        raised = None
    except Exception as caught:
        raised = type(caught)
    stock_still(raised is error, 6, "Grid and read_samples")
    with no_model_runs(random_pipe), pytest.raises(ValueError, match=message):
        random_pipe(**CALL, image=grid)
    with no_model_runs(random_pipe), pytest.raises(ValueError, match=f"sample 2: {message}"):
        random_pipe(**{**CALL, "task_prompt": ["", ""]}, image=[rows(), grid])


def test_6_a_query_without_any_image(random_pipe, stock_pipe):
    grid = rows(2, 2, size=(80, 48), targets=(0, 1))
    try:
        stock_pipe.generation_pipe(**CALL, image=grid, generator=seeded())
        broken = False
    except TypeError:
        broken = True
    stock_still(broken, 6, "Grid.layout")
    images = random_pipe(**CALL, image=grid, upsampling_strength=0).images[0]
    assert [image.size for image in images] == [(32, 16)] * 2, "the size is the example's"


@pytest.mark.parametrize("strength", [-0.1, 1.5])
def test_7_a_bad_strength_is_noticed_too_late(random_pipe, stock_pipe, strength):
    with transformer_calls(stock_pipe) as calls, pytest.raises(ValueError):
        stock_pipe(**CALL, **SIZE, image=rows(), generator=seeded(), upsampling_strength=strength)
    stock_still(len(calls) == 2, 7, "validation.real in VisualClozePipeline.__call__")
    with no_model_runs(random_pipe), pytest.raises(ValueError, match="upsampling_strength is"):
        random_pipe(**CALL, image=rows(), upsampling_strength=strength)


BATCH = {**CALL, "task_prompt": ["a red circle", "a blue square"], "content_prompt": [None, None]}


def test_8_a_batch_of_different_sizes(random_pipe, stock_pipe):
    grids = [rows(3, 2), rows(2, 2)]
    try:
        stock_pipe.generation_pipe(**BATCH, image=grids, generator=seeded())
        broken = False
    except RuntimeError:
        broken = True
    stock_still(broken, 8, "the loop in VisualClozeGenerationPipeline.__call__")
    images = random_pipe(**BATCH, image=grids, generator=[seeded(1), seeded(2)]).images
    single = {**CALL, "task_prompt": "a blue square"}
    alone = random_pipe(**single, image=grids[1], generator=seeded(2)).images
    assert np.array_equal(pixels(images[1][0]), pixels(alone[0][0]))


def test_8_a_batch_of_landscape_and_portrait(random_pipe, stock_pipe):
    batch = {**BATCH, "image": [rows(1, 2, size=(80, 30)), rows(1, 2, size=(30, 80))]}
    with transformer_calls(stock_pipe) as calls:
        try:
            stock_pipe.generation_pipe(**batch, generator=seeded())
        except RuntimeError:  # other token counts
            calls.clear()
    shared_ids = bool(calls) and calls[0]["img_ids"].ndim == 2 and calls[0]["hidden_states"].shape[0] == 2
    stock_still(shared_ids, 8, "the loop in VisualClozeGenerationPipeline.__call__")
    with transformer_calls(random_pipe) as calls:
        images = random_pipe.generation_pipe(**batch, generator=[seeded(1), seeded(2)]).images
    assert not torch.equal(calls[0]["img_ids"], calls[-1]["img_ids"])
    assert images[0][0].size == images[1][0].size[::-1]


def test_8_several_images_of_each_sample_get_the_wrong_prompts(random_pipe, stock_pipe):
    batch = {**BATCH, "image": [rows(), rows(seed=50)], "num_images_per_prompt": 2}

    def pairs(calls):
        """Return for each image which text and which grid it got, as numbers in order of appearance."""
        texts = torch.cat([call["encoder_hidden_states"] for call in calls])
        grids = torch.cat([call["hidden_states"][:, :4, 64:128] for call in calls])  # the first example
        same_text = [int(not torch.equal(text, texts[0])) for text in texts]
        same_grid = [int((grid - grids[0]).abs().max() > 0.05) for grid in grids]
        return same_text, same_grid

    with transformer_calls(stock_pipe) as calls:
        stock_pipe.generation_pipe(**batch, generator=seeded())
    texts, grids = pairs(calls[:1])
    stock_still(texts == [0, 0, 1, 1] and grids == [0, 1, 0, 1], 8, "`sample_of` in generation.py")
    with transformer_calls(random_pipe) as calls:
        images = random_pipe.generation_pipe(**batch, generator=seeded()).images
    assert pairs(calls[::2]) == ([0, 0, 1, 1], [0, 0, 1, 1])
    assert len(images) == 4 and len({image.tobytes() for (image,) in images}) == 4


def test_9_latents_are_ignored(random_pipe, stock_pipe):
    call = {**CALL, "image": rows()}
    latents = torch.randn(1, 16, 64, generator=seeded(7))
    one = stock_pipe.generation_pipe(**call, generator=seeded()).images[0][0]
    other = stock_pipe.generation_pipe(**call, generator=seeded(), latents=latents).images[0][0]
    stock_still(np.array_equal(pixels(one), pixels(other)), 9, "prepare_latents in generation.py")
    one = random_pipe(**call, generator=seeded()).images[0][0]
    other = random_pipe(**call, generator=seeded(), latents=latents).images[0][0]
    assert not np.array_equal(pixels(one), pixels(other))


def test_9_embeddings_are_refused(random_pipe, stock_pipe):
    grid = rows()
    stage_1 = random_pipe.generation_pipe
    layout = stage_1.image_processor.get_layout_prompt((2, 2))
    with torch.no_grad():
        embeds, pooled, _ = stage_1.encode_prompt(layout, CALL["task_prompt"], None, max_sequence_length=64)
    given = {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled, "image": grid, "num_inference_steps": 2}
    errors = []
    for texts in ({}, {"task_prompt": CALL["task_prompt"]}):
        try:
            stock_pipe.generation_pipe(**given, **texts, generator=seeded())
        except ValueError as error:
            errors.append(str(error))
    stock_still(len(errors) == 2, 9, "encode_prompt in generation.py")
    by_text = stage_1(**CALL, image=grid, generator=seeded()).images[0][0]
    by_embeds = stage_1(**given, generator=seeded()).images[0][0]
    assert np.array_equal(pixels(by_text), pixels(by_embeds))


def test_10_an_empty_content_prompt_leaves_its_lead_in(random_pipe, stock_pipe):
    """Kept on purpose: the documented edge example passes `""`, and None leaves the sentence out."""

    def read(pipe, content):
        texts = []
        original = type(pipe.generation_pipe)._get_t5_prompt_embeds

        def spy(self, prompt=None, *args, **kwargs):
            texts.extend(prompt)
            return original(self, prompt, *args, **kwargs)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(pipe.generation_pipe), "_get_t5_prompt_embeds", spy)
            pipe.generation_pipe(**CALL, image=rows(), content_prompt=content, generator=seeded())
        return texts[0]

    lead = "The last image of the last row depicts:"
    stock_still(read(stock_pipe, "").endswith(lead), 10, 'the note on "" in the docstrings')
    assert read(random_pipe, "").endswith(lead)
    assert lead not in read(random_pipe, None) and lead not in read(stock_pipe, None)
    assert read(random_pipe, "a blue square").endswith(f"{lead} a blue square")


def test_11_arrays_of_several_sizes_and_an_output_in_an_output(random_pipe, stock_pipe):
    call = {**CALL, "image": rows(2, 3, targets=(1, 2)), "num_inference_steps": 1}
    odd = stock_pipe(**call, upsampling_strength=0, return_dict=False, generator=seeded())
    stock_still(hasattr(odd[0], "images"), 11, "the end of VisualClozePipeline.__call__")
    for strength, side in ((0, (32, 32)), (1.0, (32, 48))):
        for output_type, shape in (("np", (2, *side, 3)), ("pt", (2, 3, *side))):
            options = {"output_type": output_type, "upsampling_strength": strength}
            (images,) = random_pipe(**call, **SIZE, **options, return_dict=False)
            assert images.shape == shape
        (images,) = random_pipe(**call, **SIZE, upsampling_strength=strength, return_dict=False)
        assert [[image.size for image in sample] for sample in images] == [[side[::-1]] * 2]
    batch = {**BATCH, "image": [rows(2, 2, size=(80, 48)), rows()], "num_inference_steps": 1}
    images = random_pipe(**batch, output_type="np").images
    assert [image.shape for image in images] == [(48, 96, 3), (96, 96, 3)], "no array can hold both"


def test_12_settings_do_not_reach_the_inner_pipelines(random_pipe):
    stock, ours = build_random_pipe(diffusers.VisualClozePipeline), build_random_pipe()
    for pipe in (stock, ours):
        pipe.scheduler = diffusers.FlowMatchEulerDiscreteScheduler.from_config(pipe.scheduler.config)
        pipe.set_progress_bar_config(disable=True, desc="mine")
    inner = [stock.generation_pipe, stock.upsampling_pipe]
    unmoved = all(pipe.scheduler is not stock.scheduler for pipe in inner)
    stock_still(unmoved, 12, "VisualClozePipeline.__setattr__")
    deaf = all("desc" not in pipe._progress_bar_config for pipe in inner)
    stock_still(deaf, 12, "VisualClozePipeline.set_progress_bar_config")
    assert all(pipe.scheduler is ours.scheduler for pipe in ours.inner)
    assert all(pipe._progress_bar_config["desc"] == "mine" for pipe in ours.inner)


def test_12_callbacks_cannot_tell_the_stages_apart(random_pipe, stock_pipe):
    def run(pipe):
        seen = []

        def callback(inner, step, timestep, tensors):
            seen.append((step, getattr(inner, "stage", None), getattr(inner, "call_step", None)))
            return tensors

        call = {**CALL, **SIZE, "image": rows(), "generator": seeded(), "upsampling_strength": 1.0}
        pipe(**call, callback_on_step_end=callback)
        return seen

    stock_still(run(stock_pipe) == [(0, None, None), (1, None, None)] * 2, 12, "`stage` and `call_step`")
    assert run(random_pipe) == [(0, 1, 0), (1, 1, 1), (0, 2, 2), (1, 2, 3)]


def test_13_all_targets_are_enlarged_at_once(random_pipe, stock_pipe):
    call = {**CALL, **SIZE, "image": rows(2, 3, targets=(1, 2)), "upsampling_strength": 1.0}
    with transformer_calls(stock_pipe) as calls:
        stock_pipe(**call, generator=seeded())
    stock_still([len(c["hidden_states"]) for c in calls] == [1, 1, 2, 2], 13, "the loop in _upsample")
    with transformer_calls(random_pipe) as calls:
        random_pipe(**call, generator=seeded())
    assert [len(c["hidden_states"]) for c in calls] == [1, 1, 1, 1, 1, 1]


def test_14_from_pipe_casts_to_float32():
    pipe = build_random_pipe().to(torch.bfloat16)
    pipe.vae.to(torch.float32)  # a pipeline may hold several precisions
    for cls, source in (
        (VisualClozeGenerationPipeline, pipe),
        (VisualClozeUpsamplingPipeline, pipe.generation_pipe),
        (VisualClozePipeline, pipe),
    ):
        new = cls.from_pipe(source)
        assert new.transformer is pipe.transformer and new.transformer.dtype == torch.bfloat16
        assert new.text_encoder_2.dtype == torch.bfloat16 and new.vae.dtype == torch.float32
    assert VisualClozeUpsamplingPipeline.from_pipe(pipe, dtype=torch.bfloat16).vae.dtype == torch.bfloat16
    diffusers.FluxFillPipeline.from_pipe(pipe)
    stock_still(pipe.transformer.dtype == torch.float32, 14, "from_pipe in base.py")
