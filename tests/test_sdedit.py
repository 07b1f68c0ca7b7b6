"""`sdedit.py` starts stage 2 where diffusers' FluxFillPipeline starts it."""

import numpy as np
import pytest
import torch
from conftest import build_random_pipe, noise_image
from test_latents import captured_inputs

from visualcloze_nb.sampling import sdedit
from visualcloze_nb.sampling.flow import add_noise, schedule
from visualcloze_nb.sampling.latents import encode, pack, pixels


@pytest.mark.parametrize("steps", [1, 5, 20, 30])
@pytest.mark.parametrize("strength", [0.01, 0.2, 0.4, 0.5, 0.77, 1.0])
def test_skipped_steps_are_those_that_diffusers_skips(random_pipe, steps, strength):
    pipe = random_pipe.upsampling_pipe
    pipe.scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=1.0)
    left = pipe.get_timesteps(steps, strength, "cpu")[1]
    if left < 1:
        with pytest.raises(ValueError, match="no step"):
            sdedit.skipped_steps(steps, strength)
    else:
        assert sdedit.skipped_steps(steps, strength) == steps - left


def test_strength_is_checked():
    assert sdedit.skipped_steps(10, 1.0) == 0
    for strength in (-0.1, 1.1):
        with pytest.raises(ValueError, match=f"strength is {strength}"):
            sdedit.skipped_steps(10, strength)
    with pytest.raises(ValueError, match="leaves no step"):
        sdedit.skipped_steps(10, 0.0)


@pytest.mark.parametrize("size", [(48, 48), (64, 48), (48, 96)])
@pytest.mark.parametrize("strength", [0.4, 1.0])
def test_prepare_large_makes_what_the_pipeline_feeds(size, strength):
    pipe = build_random_pipe()
    pipe.vae.encoder.conv_out.bias.data[16:] = 0  # an unsure encoder: the order of sampling shows
    small = noise_image(size[0] // 2, size[1] // 2)
    call = dict(image=small, width=size[0], height=size[1], strength=strength, num_inference_steps=5)
    inputs = captured_inputs(pipe, lambda: pipe.upsampling_pipe(**call, generator=torch.Generator().manual_seed(4)))
    generator = torch.Generator().manual_seed(4)
    ready = sdedit.prepare_stage2(small, size, pipe.vae, pipe.scheduler.config, 5, strength, generator)
    assert torch.equal(inputs["hidden_states"][..., :64], ready.z)
    assert torch.equal(inputs["hidden_states"][..., 64:], ready.condition)
    assert torch.equal(inputs["img_ids"], ready.ids)
    assert inputs["timestep"].item() == pytest.approx(ready.sigmas[0].item(), abs=1e-6)
    assert len(ready.sigmas) == 1 + (2 if strength == 0.4 else 5)
    assert (ready.ids[:, 0] == 0).all() and ready.ids[-1].tolist() == [0, size[1] // 16 - 1, size[0] // 16 - 1]
    assert (ready.condition[..., 64:] == 1).all()


def test_the_start_is_the_enlarged_image_under_as_much_noise_as_strength_says(random_pipe):
    vae, config = random_pipe.vae, random_pipe.scheduler.config
    size = (48, 48)
    large = noise_image(48, 48)
    ready = sdedit.prepare_stage2(large, size, vae, config, 10, 0.5, torch.Generator().manual_seed(0))
    assert torch.equal(ready.sigmas, schedule(10, 9, config)[5:])
    generator = torch.Generator().manual_seed(0)
    clean = encode(vae, pixels(large), generator)
    noise = torch.randn(clean.shape, generator=generator)
    assert torch.equal(ready.z, pack(add_noise(clean, noise, ready.sigmas[0])))


def test_stage_2_sees_grey_where_stage_1_sees_black(random_pipe):
    vae, config = random_pipe.vae, random_pipe.scheduler.config
    ready = sdedit.prepare_stage2(noise_image(), (48, 48), vae, config, 5, 0.4, torch.Generator().manual_seed(0))
    for value, same in ((0.0, True), (-1.0, False)):
        flat = pack(encode(vae, torch.full((1, 3, 48, 48), value), torch.Generator().manual_seed(1)))
        gap = (ready.condition[..., :64] - flat).abs().max()
        assert (gap < 0.1) == same, f"gap to {value} is {gap}"  # the encoder's sampling alone moves it by 0.04


def test_read_large_decodes_the_whole(random_pipe):
    vae, config = random_pipe.vae, random_pipe.scheduler.config
    ready = sdedit.prepare_stage2(noise_image(), (64, 48), vae, config, 5, 0.4, torch.Generator().manual_seed(0))
    made = sdedit.decode_stage2(ready.z, vae, ready.layout)
    assert made.size == (64, 48) and np.asarray(made).std() > 5
