"""Where stock diffusers is right, our images are its images: same weights, seed and settings, on a CPU.

Stock diffusers writes the layout prompt as a tuple (a defect, see `test_upstream_defects.py`). Here ours is
made to write it the same way, so that stock diffusers runs exactly as it is installed.
"""

import diffusers
import numpy as np
import pytest
import torch
import transformers
from conftest import build_random_pipe, noise_image, quiet, rows
from diffusers.pipelines.visualcloze.visualcloze_utils import VisualClozeProcessor
from PIL import Image

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.pipelines.combined import (
    VisualClozeGenerationPipeline,
    VisualClozePipeline,
    VisualClozeUpsamplingPipeline,
)
from visualcloze_nb.pipelines.image_processor import GridProcessor

TEXTS = {
    "task_prompt": "In each row, a logical task is demonstrated to achieve [IMAGE2] an image",
    "content_prompt": "a red circle and a blue square",
}
SETTINGS = {"num_inference_steps": 3, "max_sequence_length": 64}
SIZE = {"upsampling_height": 48, "upsampling_width": 64}  # stock has no other sensible size: defect 4


@pytest.fixture(autouse=True)
def stock_layout_text(monkeypatch):
    monkeypatch.setattr(GridProcessor, "get_layout_prompt", VisualClozeProcessor.get_layout_prompt)


def seeded(seed=0):
    return torch.Generator("cpu").manual_seed(seed)


def pixels(image):
    return np.asarray(image).astype(int)


def assert_same(ours, stock):
    assert ours.size == stock.size
    assert pixels(ours).std() > 5, "a flat image would prove nothing"
    assert np.array_equal(pixels(ours), pixels(stock))


GRIDS = {
    "square, one example": rows(2, 2),
    "landscape, one example": rows(2, 2, size=(80, 48)),
    "portrait, two examples": rows(3, 2, size=(40, 60)),
    "three columns": rows(2, 3, size=(50, 50)),
    "rows of different shapes": [*rows(2, 2, size=(64, 40))[:1], *rows(2, 2, size=(40, 64), seed=3)],
    "no example": rows(1, 2),
    "reverse": rows(2, 2, size=(80, 48), targets=(0,)),
}


PRECISIONS = {  # of the text encoders, and of transformer and VAE
    "fp32": (torch.float32, torch.float32),
    "bf16": (torch.bfloat16, torch.bfloat16),
    "fp32 text, bf16": (torch.float32, torch.bfloat16),
    "fp32 text, fp16": (torch.float32, torch.float16),  # what `load` does on a GPU without bf16
}


def cast(pipe, precision):
    text, rest = PRECISIONS[precision]
    for name, dtype in (("text_encoder", text), ("text_encoder_2", text), ("transformer", rest), ("vae", rest)):
        getattr(pipe, name).to(dtype)
    return pipe


def casts_prompts(pipe):
    """Give a stock pipeline the cast that it lacks: embeddings in the transformer's dtype."""
    for stage in (pipe.generation_pipe, pipe.upsampling_pipe):

        def encode_prompt(*args, stage=stage, **kwargs):
            dtype = stage.transformer.dtype
            return [part.to(dtype) for part in type(stage).encode_prompt(stage, *args, **kwargs)]

        stage.encode_prompt = encode_prompt
    return pipe


@pytest.fixture(scope="module", params=PRECISIONS)
def both_pipes(request):
    """Ours and stock in one precision."""
    ours = cast(build_random_pipe(), request.param)
    return ours, casts_prompts(cast(build_random_pipe(diffusers.VisualClozePipeline), request.param))


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("strength", [0.4, 1.0])
def test_both_stages(both_pipes, name, strength):
    call = {**TEXTS, **SETTINGS, **SIZE, "image": GRIDS[name], "upsampling_strength": strength}
    ours, stock = (pipe(**call, generator=seeded()).images[0][0] for pipe in both_pipes)
    assert_same(ours, stock)


@pytest.mark.parametrize("content", [None, "", "a blue square"])
@pytest.mark.parametrize("name", GRIDS)
def test_stage_1(random_pipe, stock_pipe, name, content):
    call = {**TEXTS, **SETTINGS, "image": GRIDS[name], "content_prompt": content}
    ours = random_pipe.generation_pipe(**call, generator=seeded(1)).images[0][0]
    stock = stock_pipe.generation_pipe(**call, generator=seeded(1)).images[0][0]
    assert_same(ours, stock)


def test_several_targets_of_a_square_grid_in_stage_1(random_pipe, stock_pipe):
    call = {**TEXTS, **SETTINGS, "image": rows(2, 3, targets=(1, 2))}
    ours = random_pipe.generation_pipe(**call, generator=seeded()).images[0]
    stock = stock_pipe.generation_pipe(**call, generator=seeded()).images[0]
    assert len(ours) == len(stock) == 2
    for one, other in zip(ours, stock, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("sigmas", [None, [1.0, 0.7, 0.2]])
def test_a_model_with_guidance_and_a_schedule_of_ones_own(sigmas):
    ours = build_random_pipe(guidance_embeds=True)
    stock = build_random_pipe(diffusers.VisualClozePipeline, guidance_embeds=True)
    call = {**TEXTS, **SETTINGS, **SIZE, "image": rows(), "sigmas": sigmas, "upsampling_strength": 0.5}
    images = []
    for guidance in (30.0, 2.0):
        one = ours(**call, guidance_scale=guidance, generator=seeded()).images[0][0]
        assert_same(one, stock(**call, guidance_scale=guidance, generator=seeded()).images[0][0])
        images.append(pixels(one))
    assert not np.array_equal(*images)


@pytest.mark.parametrize("strength", [0, 0.4])
@pytest.mark.parametrize("output_type", ["np", "pt", "latent"])
def test_arrays_and_tensors(random_pipe, stock_pipe, output_type, strength):
    call = {**TEXTS, **SETTINGS, **SIZE, "image": rows(), "output_type": output_type, "upsampling_strength": strength}
    ours = random_pipe(**call, generator=seeded()).images
    stock = stock_pipe(**call, generator=seeded()).images
    assert type(ours) is type(stock) and ours.shape == stock.shape
    assert np.array_equal(np.asarray(ours), np.asarray(stock))


@pytest.mark.parametrize("output_type", ["pil", "np", "pt", "latent"])
def test_stage_1_alone(random_pipe, stock_pipe, output_type):
    call = {**TEXTS, **SETTINGS, "image": rows(2, 2, size=(80, 48)), "output_type": output_type}
    ours, stock = (pipe.generation_pipe(**call, generator=seeded()).images for pipe in (random_pipe, stock_pipe))
    assert type(ours) is type(stock) and np.array_equal(np.asarray(ours), np.asarray(stock))


def test_stage_2_alone(random_pipe, stock_pipe):
    image = noise_image(48, 32)
    call = {
        "prompt": "a red circle",
        "image": image,
        "mask_image": Image.new("RGB", image.size, (255, 255, 255)),
        "height": 64,
        "width": 96,
        "strength": 0.4,
        **SETTINGS,
    }
    ours = random_pipe.upsampling_pipe(**call, generator=seeded()).images[0]
    assert_same(ours, stock_pipe.upsampling_pipe(**call, generator=seeded()).images[0])


def test_batches_agree_within_one_level(random_pipe, stock_pipe):
    call = {
        **SETTINGS,
        **SIZE,
        "task_prompt": ["a red circle", "a blue square"],
        "content_prompt": ["an image", None],
        "image": [rows(2, 2, size=(80, 48)), rows(2, 2, size=(80, 48), seed=5)],
        "upsampling_strength": 0.4,
    }
    ours = random_pipe(**call, generator=[seeded(1), seeded(2)]).images
    stock = stock_pipe(**call, generator=[seeded(1), seeded(2)]).images
    assert len(ours) == len(stock) == 2
    for (one,), (other,) in zip(ours, stock, strict=True):
        assert np.abs(pixels(one) - pixels(other)).max() <= 1


def test_one_generator_for_a_batch_draws_in_the_same_order_in_stage_1(random_pipe, stock_pipe):
    """In stage 2 ours draws for one target after the other, so that each needs memory for one only."""
    call = {
        **SETTINGS,
        "task_prompt": ["a red circle", "a blue square"],
        "content_prompt": [None, None],
        "image": [rows(2, 2, size=(80, 48)), rows(2, 2, size=(80, 48), seed=5)],
    }
    single = {**TEXTS, **SETTINGS, "image": rows(), "num_images_per_prompt": 3}
    for arguments in (call, single):
        ours = random_pipe.generation_pipe(**arguments, generator=seeded()).images
        stock = stock_pipe.generation_pipe(**arguments, generator=seeded()).images
        assert len(ours) == len(stock) > 1
        for (one,), (other,) in zip(ours, stock, strict=True):
            assert np.abs(pixels(one) - pixels(other)).max() <= 1


def test_folders_load_both_ways(random_pipe, stock_pipe, tmp_path):
    call = {**TEXTS, **SETTINGS, **SIZE, "image": rows(), "upsampling_strength": 0.4}
    random_pipe.save_pretrained(tmp_path / "ours")
    stock_pipe.save_pretrained(tmp_path / "stock")
    # Weights read from a file lie elsewhere in memory than those just made, and matrix products may then
    # differ in the last bit: so what is read is compared with what is read.
    expected = quiet(diffusers.VisualClozePipeline.from_pretrained(tmp_path / "stock"))(
        **call, generator=seeded()
    ).images[0][0]
    assert np.abs(pixels(random_pipe(**call, generator=seeded()).images[0][0]) - pixels(expected)).max() <= 1
    loaded = [
        diffusers.VisualClozePipeline.from_pretrained(tmp_path / "ours"),
        diffusers.DiffusionPipeline.from_pretrained(tmp_path / "ours"),
        VisualClozePipeline.from_pretrained(tmp_path / "stock"),
        VisualClozePipeline.from_pretrained(tmp_path / "ours"),
    ]
    assert [type(pipe) for pipe in loaded] == [diffusers.VisualClozePipeline] * 2 + [VisualClozePipeline] * 2
    for pipe in loaded:
        assert_same(quiet(pipe)(**call, generator=seeded()).images[0][0], expected)


def test_the_single_stages_load_and_save_too(random_pipe, tmp_path):
    random_pipe.save_pretrained(tmp_path / "both")
    generation = VisualClozeGenerationPipeline.from_pretrained(tmp_path / "both")
    upsampling = VisualClozeUpsamplingPipeline.from_pipe(generation)
    generation.save_pretrained(tmp_path / "one")
    upsampling.save_pretrained(tmp_path / "two")
    stock_one = diffusers.DiffusionPipeline.from_pretrained(tmp_path / "one")
    stock_two = diffusers.DiffusionPipeline.from_pretrained(tmp_path / "two")
    assert type(stock_one) is diffusers.VisualClozeGenerationPipeline
    assert type(stock_two) is diffusers.FluxFillPipeline
    assert generation.resolution == stock_one.resolution == random_pipe.resolution


def assert_steps_equal_fill(pipe, targets, strength):
    grid = Grid(rows(3, 2, size=(80, 48), targets=targets), task="a red circle", content="a blue square")
    settings = {"seed": 5, "steps": 5, "strength": strength}
    result = pipe.fill(grid, **settings, progress=False)
    last = [step for step in pipe.steps(grid, **settings) if step.index == step.total - 1]
    assert len(last) == 1 + (len(targets) if strength else 0)
    images = [image for step in last for image in pipe.read(step)]
    expected = [*result.stage1, *(result.images if strength else [])]
    for one, other in zip(images, expected, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("targets", [(1,), (0, 1)])
@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_steps_equal_fill(both_pipes, monkeypatch, targets, strength):
    monkeypatch.undo()  # both with the right layout text
    assert_steps_equal_fill(both_pipes[0], targets, strength)


OFFLOADS = {  # the same hooks as on a GPU, with the CPU as the device
    "model": lambda pipe: pipe.enable_model_cpu_offload(device="cpu"),
    "group": lambda pipe: pipe.enable_group_offload(torch.device("cpu"), offload_type="leaf_level"),
}


@pytest.mark.parametrize("kind", OFFLOADS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_steps_equal_fill_offloaded(monkeypatch, kind, precision):
    monkeypatch.undo()
    pipe = cast(build_random_pipe(), precision)
    OFFLOADS[kind](pipe)
    for cls in (diffusers.ModelMixin, transformers.PreTrainedModel):  # the weights wait elsewhere than they run
        monkeypatch.setattr(cls, "device", property(lambda self: torch.device("meta")))
    assert pipe._execution_device.type == "cpu"
    for _ in range(2):  # hooks must be as they were after a run
        assert_steps_equal_fill(pipe, (1,), 0.4)


def test_the_bundled_checkpoint_in_stock_diffusers(tiny):
    from visualcloze_nb.loading.checkpoints import TINY

    stock = quiet(diffusers.VisualClozePipeline.from_pretrained(TINY))
    size = {"upsampling_height": 96, "upsampling_width": 160}
    call = {**TEXTS, **SETTINGS, **size, "image": rows(3, 2, size=(80, 48)), "upsampling_strength": 0.4}
    assert_same(tiny(**call, generator=seeded()).images[0][0], stock(**call, generator=seeded()).images[0][0])
