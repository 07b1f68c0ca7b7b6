"""Prompt embeddings are the caller's own, and every change of the text encoders takes effect."""

import copy

import numpy as np
import pytest
import torch
from conftest import build_random_pipe, fresh_copy, rows

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.pipelines.prompt_cache import TextEncoderLoader

GRID = Grid(rows(), task="a red circle", content="a blue square")
TWO_TARGETS = Grid(rows(2, 3, targets=(1, 2)), task="a red circle", content="a blue square")


def fill(pipe, grid=GRID):
    return np.stack([np.asarray(image) for image in pipe.fill(grid, seed=0, steps=2, progress=False).images])


def call(pipe, **options):
    images = pipe(image=GRID, num_inference_steps=2, generator=torch.Generator().manual_seed(0), **options).images
    return np.asarray(images[0][0])


@pytest.fixture(params=["resident", "loaded"])
def pipe(request, random_pipe):
    """A pipeline whose text encoders stay, and one that loads and frees them."""
    own = fresh_copy(random_pipe)
    if request.param == "loaded":
        encoders = {name: getattr(own, name) for name in ("text_encoder", "text_encoder_2")}
        own.text_encoder_loader = TextEncoderLoader(own, lambda: encoders)
    return own


def test_row_13_embeddings_are_the_callers_own(pipe):
    """Issue 18, row 13."""
    before = fill(pipe)
    for tensor in pipe.embed(GRID).values():
        tensor.zero_()
    assert np.array_equal(fill(pipe), before)


def test_row_13_a_callback_may_change_embeddings_in_place(pipe):
    """Issue 18, row 13: the change lasts until the end of the run it is made in."""

    def scale(inner, step, timestep, tensors):
        tensors["prompt_embeds"].mul_(3)
        return tensors

    options = {"callback_on_step_end": scale, "callback_on_step_end_tensor_inputs": ["latents", "prompt_embeds"]}
    before, changed = call(pipe), call(pipe, **options)
    assert not np.array_equal(changed, before)
    assert np.array_equal(call(pipe, **options), changed)
    assert np.array_equal(call(pipe), before)
    embeds = pipe.embed(GRID)
    kept = copy.deepcopy(embeds)
    assert np.array_equal(call(pipe, **embeds, **options), changed), "one target does not see another's change"
    assert all(torch.equal(embeds[name], kept[name]) for name in kept)


def hook(pipe):
    pipe.text_encoder_2.register_forward_hook(lambda module, args, output: (-output[0],))


def swap_encoder(pipe):
    pipe.text_encoder_2 = build_random_pipe(seed=5).text_encoder_2


def untracked_write(pipe):
    for parameter in pipe.text_encoder_2.parameters():
        parameter.data.mul_(-2)


def in_place_write(pipe):
    with torch.no_grad():
        pipe.text_encoder.get_input_embeddings().weight.mul_(-2)


def lora(pipe):
    peft = pytest.importorskip("peft")
    pipe.text_encoder.add_adapter(peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
    for name, parameter in pipe.text_encoder.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=2)


def swap_layer(pipe):
    pipe.text_encoder_2.encoder.final_layer_norm = torch.nn.Identity()


@pytest.mark.parametrize("change", [hook, swap_encoder, untracked_write, in_place_write, lora, swap_layer])
def test_row_14_a_change_of_the_text_encoders_takes_effect(random_pipe, change):
    """Issue 18, row 14."""
    pipe = fresh_copy(random_pipe)
    before = fill(pipe)
    change(pipe)
    assert not np.array_equal(fill(pipe), before)


def test_an_encoder_of_ones_own_takes_the_place_of_a_loaded_one(random_pipe):
    pipe = fresh_copy(random_pipe)
    encoders = {name: getattr(pipe, name) for name in ("text_encoder", "text_encoder_2")}
    pipe.text_encoder_loader = TextEncoderLoader(pipe, lambda: encoders)
    before = fill(pipe)
    own = pipe.text_encoder_2 = build_random_pipe(seed=5).text_encoder_2
    assert not np.array_equal(fill(pipe), before)
    assert pipe.text_encoder_2 is own and pipe.text_encoder is None, "only what was loaded is freed"


@pytest.mark.filterwarnings("ignore:.*does not know", "ignore:.*is left out")
def test_row_14_another_tokenizer_takes_effect(pipe):
    """Issue 18, row 14: what counts are the token ids that the encoders read."""
    before = pipe.embed(GRID)["prompt_embeds"]
    pipe.tokenizer_2 = copy.deepcopy(pipe.tokenizer_2)
    assert torch.equal(pipe.embed(GRID)["prompt_embeds"], before)
    pipe.tokenizer_2.add_tokens(["red circle"])
    with pytest.raises(IndexError):  # the random T5 has no vector for the new token
        pipe.embed(GRID)


def test_loaded_encoders_are_cached_freed_and_bounded(random_pipe):
    pipe, loads = fresh_copy(random_pipe), []
    encoders = {name: getattr(pipe, name) for name in ("text_encoder", "text_encoder_2")}
    loader = pipe.text_encoder_loader = TextEncoderLoader(pipe, lambda: loads.append(1) or encoders)
    resident = fill(random_pipe)
    for _ in range(2):
        assert np.array_equal(fill(pipe), resident)
        assert all(one.text_encoder is None and one.text_encoder_2 is None for one in (pipe, *pipe.inner))
    assert len(loads) == 1
    list(pipe.steps(GRID, steps=1))
    assert len(loads) == 2 and pipe.text_encoder is None
    with pytest.warns(UserWarning, match="does not know"):
        for number in range(loader.limit):
            pipe.embed(GRID.replace(task=f"{number} red circle"))
    assert len(loader.cache) == loader.limit
    pipe.upsampling_pipe(image=GRID.rows[0][0], prompt="a red circle", num_inference_steps=3)
    assert pipe.text_encoder is None, "a single stage frees them as well"


@pytest.mark.filterwarnings("ignore:.*does not know")
def test_every_prompt_of_a_call_is_encoded_once(random_pipe):
    pipe, calls = fresh_copy(random_pipe), []
    for encoder in (pipe.text_encoder, pipe.text_encoder_2):
        encoder.register_forward_pre_hook(lambda *_: calls.append(1))
    pipe.fill(TWO_TARGETS, steps=2, progress=False)
    assert len(calls) == 4, "two encoders, two stages"
    calls.clear()
    pipe.fill(TWO_TARGETS, steps=2, strength=0, progress=False)
    assert len(calls) == 2


def test_gradients_go_through_the_encoders_when_asked(random_pipe):
    for _ in range(2):
        embeds, pooled, _ = random_pipe.generation_pipe.encode_prompt("a red circle", "", None, max_sequence_length=64)
        assert embeds.requires_grad and pooled.requires_grad
