"""`flow.py` does the scheduler's arithmetic, and the algebra of the straight line holds."""

from types import SimpleNamespace

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.flux.pipeline_flux_fill import calculate_shift

from visualcloze_nb.data.layout import Layout
from visualcloze_nb.loading.checkpoints import TINY
from visualcloze_nb.sampling import flow
from visualcloze_nb.sampling.text import Text
from visualcloze_nb.training.tiny_model import build_scheduler

SCHEDULERS = {
    "no shift": FlowMatchEulerDiscreteScheduler(),
    "fixed shift": FlowMatchEulerDiscreteScheduler(shift=3.0),
    "FLUX": FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15),
    "tiny": build_scheduler(),
}


def set_up(scheduler, steps, tokens):
    """Set a scheduler as FLUX's pipelines do."""
    import numpy as np

    config = scheduler.config
    mu = calculate_shift(
        tokens, config.base_image_seq_len, config.max_image_seq_len, config.base_shift, config.max_shift
    )
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)
    return mu


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("steps", [1, 4, 30])
@pytest.mark.parametrize("tokens", [16, 80, 2304])
def test_the_schedule_is_the_schedulers_bit_for_bit(name, steps, tokens):
    scheduler = SCHEDULERS[name]
    mu = set_up(scheduler, steps, tokens)
    sigmas = flow.schedule(steps, tokens, scheduler.config)
    assert sigmas.shape == (steps + 1,) and sigmas[0] == 1 and sigmas[-1] == 0
    assert torch.equal(sigmas, scheduler.sigmas)
    assert flow.shift(tokens, scheduler.config) == mu


def test_more_tokens_keep_the_schedule_longer_at_high_noise():
    few, many = (flow.schedule(10, tokens, SCHEDULERS["tiny"].config) for tokens in (16, 256))
    assert (many[1:-1] > few[1:-1]).all()
    assert flow.shift(16, SCHEDULERS["tiny"].config) == pytest.approx(0)
    assert flow.shift(256, SCHEDULERS["tiny"].config) == pytest.approx(flow.shift(256, SCHEDULERS["FLUX"].config))


def test_the_bundled_schedule_is_the_one_that_training_builds():
    bundled = FlowMatchEulerDiscreteScheduler.from_pretrained(TINY, subfolder="scheduler")
    built = SCHEDULERS["tiny"].config
    assert {k: v for k, v in built.items() if k[0] != "_"} == {k: v for k, v in bundled.config.items() if k[0] != "_"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_step_is_the_schedulers_step(dtype):
    scheduler = SCHEDULERS["tiny"]
    set_up(scheduler, 6, 80)
    sigmas = flow.schedule(6, 80, scheduler.config)
    z = torch.randn(1, 5, 64).to(dtype)
    for i, timestep in enumerate(scheduler.timesteps):
        v = torch.randn(1, 5, 64).to(dtype)
        ours = flow.euler_step(z, v, sigmas[i], sigmas[i + 1])
        z = scheduler.step(v, timestep, z, return_dict=False)[0]
        assert ours.dtype == dtype and torch.equal(ours, z)


def test_the_line_between_image_and_noise():
    clean, noise = torch.randn(1, 4, 64), torch.randn(1, 4, 64)
    assert torch.equal(flow.add_noise(clean, noise, 0.0), clean)
    assert torch.equal(flow.add_noise(clean, noise, 1.0), noise)
    slope = (flow.add_noise(clean, noise, 0.6) - flow.add_noise(clean, noise, 0.4)) / 0.2
    assert torch.allclose(slope, noise - clean, atol=1e-5)
    stock = SCHEDULERS["no shift"]
    stock.set_timesteps(4)
    t = stock.timesteps[1:2]
    assert torch.allclose(flow.add_noise(clean, noise, t / 1000), stock.scale_noise(clean, t, noise), atol=1e-6)


class Oracle(torch.nn.Module):
    """Knows the image, so it gives the true velocity; and notes what it was asked."""

    def __init__(self, clean, guidance_embeds=False):
        super().__init__()
        self.clean, self.heard = clean, []
        self.config = SimpleNamespace(guidance_embeds=guidance_embeds)

    def forward(self, **given):
        self.heard.append(given)
        z, sigma = given["hidden_states"][..., :64], given["timestep"][:, None, None]
        return ((z - self.clean) / sigma,)


LAYOUT = Layout(((32, 32),), 1)
TEXT = Text(torch.zeros(1, 3, 8), torch.zeros(1, 8), torch.zeros(3, 3))


def run(oracle, steps=5, **settings):
    noise = torch.randn(1, 4, 64)
    condition, ids = torch.rand(1, 4, 320), torch.zeros(4, 3)
    sigmas = flow.schedule(steps, 80, SCHEDULERS["tiny"].config)
    return (
        noise,
        condition,
        list(flow.euler_sample(oracle, noise, condition, ids, TEXT, sigmas, layout=LAYOUT, **settings)),
    )


def test_an_oracle_walks_straight_from_noise_to_the_image():
    oracle = Oracle(torch.randn(1, 4, 64))
    noise, condition, steps = run(oracle)
    for i, step in enumerate(steps):
        assert (step.index, step.total, step.stage, step.target) == (i, 5, 1, None)
        assert torch.allclose(step.x0, oracle.clean, atol=1e-5)
        assert torch.allclose(step.velocity, noise - oracle.clean, atol=1e-4)
        assert torch.allclose(step.before, flow.add_noise(oracle.clean, noise, step.sigma), atol=1e-4)
        assert torch.allclose(step.after, flow.add_noise(oracle.clean, noise, step.sigma_next), atol=1e-4)
        assert torch.equal(oracle.heard[i]["hidden_states"], torch.cat([step.before, condition], 2))
        assert oracle.heard[i]["timestep"].item() == pytest.approx(step.sigma, abs=1e-6)
    assert torch.allclose(steps[-1].after, oracle.clean, atol=1e-4)


def test_steps_carry_their_stage_and_target():
    steps = run(Oracle(torch.zeros(1, 4, 64)), 2, stage=2, target=1)[2]
    assert [(step.stage, step.target) for step in steps] == [(2, 1)] * 2


@pytest.mark.parametrize("embeds", [True, False])
def test_guidance_reaches_only_models_that_read_it(embeds):
    oracle = Oracle(torch.zeros(1, 4, 64), guidance_embeds=embeds)
    run(oracle, 1, guidance=7.0)
    given = oracle.heard[0]["guidance"]
    assert (given.tolist() == [7.0]) if embeds else (given is None)


def test_velocity_takes_one_sigma_for_all_or_one_each():
    oracle = Oracle(torch.zeros(2, 4, 64))
    z, condition, ids = torch.randn(2, 4, 64), torch.zeros(2, 4, 320), torch.zeros(4, 3)
    for sigma in (0.5, torch.tensor([0.5, 0.25])):
        flow.velocity(oracle, z, condition, sigma, TEXT, ids)
    assert oracle.heard[0]["timestep"].tolist() == [0.5, 0.5]
    assert oracle.heard[1]["timestep"].tolist() == [0.5, 0.25]
