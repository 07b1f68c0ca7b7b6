"""Every use that diffusers documents for VisualCloze, in the documented form, prompts in our own words.

Not verifiable without a GPU: that offloading saves GPU memory, and quantised components. The offload tests
run the same hooks with the CPU as the device.
"""

import warnings

import diffusers
import numpy as np
import pytest
import torch
from conftest import build_random_pipe, fresh_copy, noise_image, rows
from PIL import Image

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.pipelines.combined import VisualClozePipeline, VisualClozeUpsamplingPipeline
from visualcloze_nb.pipelines.generation import VisualClozeGenerationPipeline

MASK_TO_IMAGE = "In each row, a logical task is demonstrated to achieve [IMAGE2] a picture based on [IMAGE1] a mask."
IMAGE_TO_EDGE = (
    "In each row, a logical task is demonstrated to achieve [IMAGE2] an edge map based on [IMAGE1] a picture."
)
SUBJECT = (
    "In each row, a logical task is demonstrated to achieve [IMAGE3] a picture based on [IMAGE1] the subject "
    "alone, [IMAGE2] a depth map."
)
CONTENT = "a red circle on a blue ground"
STEPS = {"guidance_scale": 30, "num_inference_steps": 2, "max_sequence_length": 512}
QUICK = {"task_prompt": IMAGE_TO_EDGE, "content_prompt": CONTENT, "num_inference_steps": 2}
# the documented values where they matter for what is tested, and no more warnings than readers get
pytestmark = pytest.mark.filterwarnings(
    "ignore:guidance has no effect", "ignore:.*does not know", "ignore:.*Token indices"
)


def seeded(seed=0):
    return torch.Generator("cpu").manual_seed(seed)


def pixels(image):
    return np.asarray(image).astype(int)


def same(one, other):
    return np.array_equal(pixels(one), pixels(other))


def assert_fill_agrees(pipe, image, cells, task, content, strength):
    """The documented call makes the image that `fill` makes, of the size that was given."""
    grid = Grid(cells, task=task, content=content)
    settings = {"seed": 0, "steps": 2, "strength": strength, "width": image.width, "height": image.height}
    filled = pipe.fill(grid, **settings, guidance=30, max_sequence_length=512, progress=False).image
    assert np.ptp(pixels(image)) > 50 and same(image, filled)
    assert not same(image, pipe.fill(grid, **{**settings, "seed": 1}, progress=False).image)


def test_mask_to_image(pipe):
    image = pipe(
        task_prompt=MASK_TO_IMAGE,
        content_prompt=CONTENT,
        image=rows(2, 2, size=(84, 48)),
        upsampling_width=112,
        upsampling_height=64,
        upsampling_strength=0.4,
        **STEPS,
        generator=torch.Generator("cpu").manual_seed(0),
    ).images[0][0]
    assert isinstance(image, Image.Image) and image.size == (112, 64)
    assert_fill_agrees(pipe, image, rows(2, 2, size=(84, 48)), MASK_TO_IMAGE, CONTENT, 0.4)


def test_edge_detection(pipe):
    image = pipe(
        task_prompt=IMAGE_TO_EDGE,
        content_prompt="",
        image=rows(3, 2, size=(48, 84)),
        upsampling_width=64,
        upsampling_height=112,
        upsampling_strength=0.4,
        **STEPS,
        generator=torch.Generator("cpu").manual_seed(0),
    ).images[0][0]
    assert image.size == (64, 112)
    assert_fill_agrees(pipe, image, rows(3, 2, size=(48, 84)), IMAGE_TO_EDGE, "", 0.4)


def test_subject_driven(pipe):
    image = pipe(
        task_prompt=SUBJECT,
        content_prompt=CONTENT,
        image=rows(3, 3),
        upsampling_height=96,
        upsampling_width=96,
        upsampling_strength=0.2,
        **STEPS,
        generator=torch.Generator("cpu").manual_seed(0),
    ).images[0][0]
    assert image.size == (96, 96)
    assert_fill_agrees(pipe, image, rows(3, 3), SUBJECT, CONTENT, 0.2)


def test_the_two_pipelines_apart(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    resolution = pipe.resolution
    generation = VisualClozeGenerationPipeline.from_pretrained(tmp_path, resolution=resolution)
    generation.to("cpu")
    small = generation(
        task_prompt=MASK_TO_IMAGE,
        content_prompt=CONTENT,
        image=rows(2, 2, size=(84, 48)),
        **STEPS,
        generator=torch.Generator("cpu").manual_seed(0),
    ).images[0][0]
    upsampling = VisualClozeUpsamplingPipeline.from_pipe(generation)
    upsampling.to("cpu")
    assert upsampling.transformer is generation.transformer
    image = upsampling(
        image=small,
        mask_image=Image.new("RGB", small.size, (255, 255, 255)),
        prompt=CONTENT,
        width=112,
        height=64,
        strength=0.4,
        **STEPS,
        generator=torch.Generator("cpu").manual_seed(0),
    ).images[0]
    # The same components: weights loaded anew lie at other addresses, which with two threads moves the last bit.
    whole = VisualClozePipeline.from_pipe(generation)
    both = whole(
        task_prompt=MASK_TO_IMAGE,
        content_prompt=CONTENT,
        image=rows(2, 2, size=(84, 48)),
        **STEPS,
        generator=torch.Generator("cpu").manual_seed(0),
    )
    assert same(small, both.stage1[0][0]) and image.size == (112, 64)
    alone = {"image": small, "width": 112, "height": 64, "strength": 0.4}
    assert same(image, whole.upsampling_pipe(**alone, prompt=CONTENT, **STEPS, generator=seeded()).images[0])
    bare = upsampling(image=small, num_inference_steps=2).images[0]
    assert bare.size == (3 * small.width, 3 * small.height)


def test_batch(pipe):
    images = pipe(
        task_prompt=[MASK_TO_IMAGE, SUBJECT],
        content_prompt=[CONTENT, None],
        image=[rows(2, 2, size=(84, 48)), rows(3, 3)],
        num_inference_steps=2,
        generator=torch.Generator("cpu").manual_seed(0),
    ).images
    assert [len(sample) for sample in images] == [1, 1]
    assert [sample[0].size for sample in images] == [(240, 144), (192, 192)]


@pytest.mark.parametrize("strength", [0, 0.5])
def test_output_types(pipe, strength):
    call = {**QUICK, "image": rows(2, 3, targets=(1, 2)), "upsampling_strength": strength}
    kinds = "pil", "np", "pt", "latent"
    images, arrays, tensors, latents = (pipe(**call, output_type=kind, generator=seeded()).images for kind in kinds)
    assert len(images) == 1 and arrays.shape == (2, *images[0][0].size[::-1], 3)
    assert np.array_equal(tensors.permute(0, 2, 3, 1).numpy(), arrays)
    assert all(same(image, (array * 255).round()) for image, array in zip(images[0], arrays, strict=True))
    assert latents.shape == ((1, 96, 64) if strength == 0 else (2, 144, 64)), "a whole grid, or two targets"


def test_tuple(pipe):
    call = {**QUICK, "image": rows()}
    output = pipe(**call, return_dict=False, generator=seeded())
    assert type(output) is tuple and len(output) == 1
    assert same(output[0][0][0], pipe(**call, generator=seeded()).images[0][0])


def test_callbacks_see_and_change_the_latents(pipe):
    seen = []

    def callback(pipeline, step, timestep, tensors):
        seen.append((pipeline.stage, pipeline.sample, step, float(timestep), tensors["latents"].shape[0]))
        if pipeline.call_step == 0:
            tensors["latents"] = torch.zeros_like(tensors["latents"])
        return tensors

    call = {**QUICK, "image": rows(), "upsampling_strength": 0.5}
    changed = pipe(
        **call,
        generator=seeded(),
        callback_on_step_end=callback,
        callback_on_step_end_tensor_inputs=["latents", "prompt_embeds"],
    ).images[0][0]
    assert [entry[:3] for entry in seen] == [(1, 0, 0), (1, 0, 1), (2, 0, 0)]
    assert seen[0][3] == 1000 and all(entry[4] == 1 for entry in seen)
    assert pipe.generation_pipe.stage == 1
    output = pipe(**call, generator=seeded(), callback_on_step_end=lambda *args: None)
    assert same(output.images[0][0], pipe(**call, generator=seeded()).images[0][0])
    assert not same(output.images[0][0], changed)


def test_a_callback_can_stop_the_call(pipe):
    steps = []

    def stop(pipeline, step, timestep, tensors):
        steps.append(step)
        pipeline._interrupt = True
        return tensors

    images = pipe(**{**QUICK, "num_inference_steps": 5}, image=rows(), callback_on_step_end=stop).images
    assert steps == [0] and images[0][0].size == (pipe.resolution, pipe.resolution)

    def stop_in_stage_2(pipeline, step, timestep, tensors):
        steps.append(step)
        pipeline._interrupt = pipeline.stage == 2
        return tensors

    steps.clear()
    images = pipe(**QUICK, image=rows(2, 3, targets=(1, 2)), callback_on_step_end=stop_in_stage_2).images
    assert steps == [0, 1, 0] and images[0][0].width == 3 * images[0][1].width


def test_several_targets(pipe):
    images = pipe(**QUICK, image=rows(2, 3, size=(84, 48), targets=(1, 2)), generator=seeded()).images
    assert len(images) == 1 and len(images[0]) == 2
    assert images[0][0].size == images[0][1].size and not same(*images[0])


def test_reverse(pipe):
    images = [pipe(**QUICK, image=rows(2, 2, targets=(n,)), generator=seeded()).images[0] for n in (0, 1)]
    assert [len(targets) for targets in images] == [1, 1] and not same(images[0][0], images[1][0])


def test_no_examples(pipe):
    images = [pipe(**QUICK, image=grid, generator=seeded()).images[0] for grid in (rows(1, 2), rows(2, 2))]
    assert [len(targets) for targets in images] == [1, 1] and not same(images[0][0], images[1][0])


def test_several_images_of_one_prompt(pipe):
    call = {**QUICK, "image": rows(), "num_images_per_prompt": 2}
    images = pipe(**call, generator=[seeded(1), seeded(2)]).images
    assert [len(image) for image in images] == [1, 1] and not same(images[0][0], images[1][0])
    single = pipe(**QUICK, image=rows(), generator=seeded(1)).images[0][0]
    assert same(images[0][0], single), "an image with its own generator does not depend on the others"


def test_a_list_of_generators(pipe):
    call = {**QUICK, "task_prompt": [""] * 2, "content_prompt": [None] * 2, "image": [rows(), rows(seed=9)]}
    one = pipe(**call, generator=[seeded(1), seeded(2)]).images
    other = pipe(**call, generator=[seeded(1), seeded(3)]).images
    assert same(one[0][0], other[0][0]) and not same(one[1][0], other[1][0])
    with pytest.raises(ValueError, match="3 generators for 2 images"):
        pipe(**call, generator=[seeded(n) for n in range(3)])


@pytest.fixture
def lora_folder(tmp_path):
    """Write a LoRA of the transformer whose second half is not zero, as after training."""
    peft = pytest.importorskip("peft")

    def write(pipe):
        torch.manual_seed(0)
        pipe.transformer.add_adapter(peft.LoraConfig(r=4, target_modules=["to_q", "to_k"]), "made")
        for name, parameter in pipe.transformer.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.5)
        layers = peft.get_peft_model_state_dict(pipe.transformer, adapter_name="made")
        VisualClozePipeline.save_lora_weights(tmp_path, transformer_lora_layers=layers)
        return tmp_path

    return write


def test_lora(pipe, lora_folder):
    folder = lora_folder(fresh_copy(pipe))
    own = fresh_copy(pipe)
    call = {**QUICK, "image": rows()}

    def run(**options):
        return own(**call, **options, generator=seeded()).images[0][0]

    plain = run()
    own.load_lora_weights(folder, adapter_name="one")
    assert own.get_active_adapters() == ["one"]
    with_lora = run()
    assert not same(plain, with_lora)
    assert same(plain, run(joint_attention_kwargs={"scale": 0.0}))
    own.load_lora_weights(folder, adapter_name="two")
    own.set_adapters(["one", "two"], adapter_weights=[1.0, 0.0])
    assert np.abs(pixels(run()) - pixels(with_lora)).max() <= 1
    own.delete_adapters("two")
    own.fuse_lora()
    own.unload_lora_weights()
    assert np.abs(pixels(run()) - pixels(with_lora)).max() <= 1


def test_lora_can_be_unloaded(pipe, lora_folder):
    own = fresh_copy(pipe)
    call = {**QUICK, "image": rows()}
    plain = own(**call, generator=seeded()).images[0][0]
    own.load_lora_weights(lora_folder(fresh_copy(pipe)))
    own.unload_lora_weights()
    assert same(plain, own(**call, generator=seeded()).images[0][0])


def test_save_and_load(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    loaded = VisualClozePipeline.from_pretrained(tmp_path)
    assert type(loaded) is VisualClozePipeline and loaded.resolution == pipe.resolution
    other = VisualClozePipeline.from_pretrained(tmp_path, resolution=16)
    assert other.resolution == other.generation_pipe.resolution == 16
    assert other(**QUICK, image=rows(), upsampling_strength=0).images[0][0].size == (16, 16)


def test_from_pipe(pipe):
    stock = diffusers.VisualClozePipeline(**pipe.components, resolution=pipe.resolution)
    ours = VisualClozePipeline.from_pipe(stock)
    ours.set_progress_bar_config(disable=True)
    assert ours.transformer is pipe.transformer and ours.resolution == pipe.resolution
    call = {**QUICK, "image": rows()}
    assert same(*(one(**call, generator=seeded()).images[0][0] for one in (ours, pipe)))


OFFLOADS = {
    "model": lambda pipe: pipe.enable_model_cpu_offload(device="cpu"),
    "group": lambda pipe: pipe.enable_group_offload(torch.device("cpu"), offload_type="leaf_level"),
}


@pytest.mark.parametrize("kind", OFFLOADS)
def test_offload(pipe, kind):
    own = fresh_copy(pipe)
    call = {**QUICK, "image": rows(2, 3, targets=(1, 2))}
    expected = own(**call, generator=seeded()).images[0]
    OFFLOADS[kind](own)
    for _ in range(2):  # hooks must be as they were after a call
        output = own(**call, generator=seeded())
        assert all(map(same, output.images[0], expected))
    draft = own(**call, upsampling_strength=0, generator=seeded())
    assert all(map(same, draft.images[0], output.stage1[0]))


def test_embeddings_in_place_of_text(pipe):
    grid = Grid(rows(), task=IMAGE_TO_EDGE, content=CONTENT)
    embeds = pipe.embed(grid)
    by_embeds = pipe(image=grid.to_lists(), num_inference_steps=2, **embeds, generator=seeded()).images[0][0]
    assert same(by_embeds, pipe(image=grid, num_inference_steps=2, generator=seeded()).images[0][0])
    part = {name: embeds[name] for name in ("prompt_embeds", "pooled_prompt_embeds")}
    call = {"image": grid.to_lists(), "num_inference_steps": 2, "content_prompt": CONTENT}
    assert same(by_embeds, pipe(**call, **part, generator=seeded()).images[0][0])
    with pytest.raises(ValueError, match="pooled_prompt_embeds is missing"):
        pipe(**call, prompt_embeds=embeds["prompt_embeds"])
    with pytest.raises(ValueError, match="both task_prompt and prompt_embeds"):
        pipe(**call, **part, task_prompt="")


def test_latents_given(pipe):
    grid = Grid(rows(2, 2, size=(84, 48)), task=IMAGE_TO_EDGE)
    length = grid.layout(pipe.resolution).total
    latents = torch.randn(1, length, 64, generator=seeded(4))
    call = {"image": grid, "num_inference_steps": 2}
    one, other = (pipe(**call, latents=latents, generator=seeded()).images[0][0] for _ in range(2))
    assert same(one, other)
    assert not same(one, pipe(**call, generator=seeded()).images[0][0])
    with pytest.raises(ValueError, match=rf"latents has shape .*: stage 1 needs \({length}, 64\)"):
        pipe(**call, latents=latents[:, 1:])


def test_a_grid_is_an_image_too(pipe):
    grid = Grid(rows(), task=IMAGE_TO_EDGE, content=CONTENT)
    one = pipe(image=grid, num_inference_steps=2, generator=seeded()).images[0][0]
    assert same(one, pipe(**QUICK, image=grid.to_lists(), generator=seeded()).images[0][0])
    other = pipe(image=[grid], task_prompt=[MASK_TO_IMAGE], num_inference_steps=2, generator=seeded())
    assert not same(one, other.images[0][0])


def test_bad_numbers_are_refused_before_any_model_runs(pipe):
    call = {**QUICK, "image": rows()}
    for name, value in {
        "num_inference_steps": 0,
        "num_images_per_prompt": 1.5,
        "guidance_scale": -1,
        "upsampling_strength": "much",
        "upsampling_width": 8,
        "upsampling_height": 32.5,
        "max_sequence_length": 513,
        "output_type": "jpeg",
        "sigmas": [0.2, 0.9],
        "generator": 3,
        "callback_on_step_end": "print",
        "callback_on_step_end_tensor_inputs": ["noise"],
    }.items():
        with pytest.raises(ValueError, match=name):
            pipe(**{**call, name: value})
    for texts in ({"task_prompt": ["a", "b"]}, {"content_prompt": ["a"]}, {"task_prompt": None}):
        with pytest.raises(ValueError, match=next(iter(texts))):
            pipe(**{**call, **texts})
    with pytest.raises(ValueError, match="task_prompt is a single text for a batch of 2"):
        pipe(task_prompt="", image=[rows(), rows()])


def test_text_encoders_may_be_more_precise_than_the_rest(pipe):
    """The embeddings are cast, and nothing else changes: a call with cast embeddings makes the same images."""
    own = fresh_copy(pipe)
    own.transformer.to(torch.bfloat16)
    own.vae.to(torch.bfloat16)
    assert own.text_encoder_2.dtype == torch.float32
    call = {"image": rows(), "num_inference_steps": 2, "num_images_per_prompt": 2}
    images = own(**call, task_prompt=IMAGE_TO_EDGE, content_prompt=CONTENT, generator=seeded()).images
    embeds = pipe.embed(Grid(rows(), task=IMAGE_TO_EDGE, content=CONTENT))
    cast = {name: part.to(torch.bfloat16) for name, part in embeds.items()}
    expected = own(**call, **cast, generator=seeded()).images
    assert all(same(one, other) for (one,), (other,) in zip(images, expected, strict=True))
    assert not same(images[0][0], images[1][0])


def test_guidance_is_said_to_have_no_effect():
    own = build_random_pipe()
    call = {**QUICK, "task_prompt": "an edge map", "image": rows(), "upsampling_strength": 0}
    with pytest.warns(UserWarning, match="guidance has no effect"):
        own(**call, guidance_scale=7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        own(**{**call, "content_prompt": None}, guidance_scale=7)  # said once
        build_random_pipe()(**{**call, "content_prompt": None}, guidance_scale=30)  # the documented value
        build_random_pipe()(**{**call, "content_prompt": None})  # not asked for
    guided = build_random_pipe(guidance_embeds=True)
    assert not same(*(guided(**call, guidance_scale=g, generator=seeded()).images[0][0] for g in (1, 30)))


def test_stage_2_alone_wants_a_strength_above_0(pipe):
    with pytest.raises(ValueError, match="strength is 0"):
        pipe.upsampling_pipe(image=noise_image(), strength=0)
