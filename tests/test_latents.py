"""`latents.py` does diffusers' arithmetic: each function beside the stock one, on random numbers."""

import diffusers
import numpy as np
import pytest
import torch
from conftest import build_random_pipe, noise_image, rows

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.layout import Layout
from visualcloze_nb.errors import GridError
from visualcloze_nb.sampling import latents

STOCK = diffusers.VisualClozeGenerationPipeline


@pytest.fixture(scope="module")
def noisy_pipe():
    """Its encoder is unsure, so that what is sampled, and in which order, shows."""
    pipe = build_random_pipe()
    pipe.vae.encoder.conv_out.bias.data[16:] = 0
    return pipe


def captured_inputs(pipe, run):
    """Run a pipeline and return what its transformer was given first."""
    inputs = []

    def record(module, args, kwargs):
        inputs.append(kwargs)

    hook = pipe.transformer.register_forward_pre_hook(record, with_kwargs=True)
    try:
        run()
    finally:
        hook.remove()
    return inputs[0]


def test_an_image_becomes_minus_one_to_one():
    values = latents.pixels(noise_image(4, 3))
    assert values.shape == (1, 3, 3, 4) and values.dtype == torch.float32
    assert values[0, 2, 1, 3] == pytest.approx(np.asarray(noise_image(4, 3))[1, 3, 2] / 127.5 - 1, abs=1e-6)


def test_images_survive_the_way_to_numbers_and_back():
    one = noise_image(20, 12)
    assert np.array_equal(latents.to_images(latents.pixels(one))[0], one)


def test_numbers_outside_are_clamped():
    values = torch.tensor([-3.0, 0.0, 3.0])[None, :, None, None].expand(1, 3, 2, 2)
    assert np.asarray(latents.to_images(values)[0])[0, 0].tolist() == [0, 128, 255]


def test_a_strip_holds_its_cells_in_order_and_blanks_black():
    left, right = noise_image(32, 16, seed=1), noise_image(32, 16, seed=2)
    row = latents.strip([left, None, right], (32, 16))
    assert row.shape == (1, 3, 16, 96)
    assert torch.equal(row[..., :32], latents.pixels(left))
    assert torch.equal(row[..., 64:], latents.pixels(right))
    assert (row[..., 32:64] == -1).all()


def test_the_mask_is_one_on_blanks_only():
    mask = latents.cell_mask([False, True, False], (32, 16))
    assert mask.shape == (1, 1, 16, 96)
    assert mask[..., 32:64].min() == 1 and mask.sum() == 32 * 16


def test_pack_and_unpack_undo_each_other_and_are_diffusers_own():
    z = torch.randn(2, 16, 6, 8)
    tokens = latents.pack(z)
    assert tokens.shape == (2, 12, 64)
    assert torch.equal(tokens, STOCK._pack_latents(z, 2, 16, 6, 8))
    assert torch.equal(latents.unpack(tokens, 6, 8), z)
    stock = STOCK._unpack_latents(tokens, [[(48, 32), (48, 32)]], 8)[0]  # one row, two cells of 48 x 32 pixels
    assert torch.equal(latents.unpack(tokens, 6, 8), stock)


def test_each_pixel_of_a_mask_keeps_a_channel_of_its_own():
    mask = torch.zeros(1, 1, 32, 48)
    mask[0, 0, 16 + 9, 32 + 3] = 1
    tokens = latents.pack_mask(mask)
    assert tokens.shape == (1, 6, 256) and tokens.sum() == 1
    token, channel = tokens[0].nonzero()[0].tolist()
    assert token == 5  # second line, third column
    # Channel: which of the 8 x 8 pixels of a latent (1 down, 3 across), then which of the 2 x 2 latents (1, 0).
    assert channel == (1 * 8 + 3) * 4 + 1 * 2 + 0


@pytest.mark.parametrize("size", [(32, 32), (48, 32)])
def test_masks_and_ids_are_packed_as_in_diffusers(random_pipe, size):
    width, height = size
    strips = [torch.rand(1, 3, height, width) for _ in range(2)]
    masks = [(torch.rand(1, 1, height, width) > 0.5).float() for _ in range(2)]
    call = [[m] for m in strips], [[m] for m in masks], torch.Generator().manual_seed(3), 8, "cpu", torch.float32
    stock_images, _, stock_masks, stock_ids = STOCK._prepare_latents(random_pipe.generation_pipe, *call)
    ours = latents.condition(random_pipe.vae, strips, masks, torch.Generator().manual_seed(3))
    assert torch.equal(ours[..., 64:], stock_masks)
    assert torch.equal(ours[..., :64], stock_images)
    layout = Layout((size, size), 1)
    assert torch.equal(latents.position_ids(layout), stock_ids)
    assert torch.equal(latents.position_ids(layout, first_row=0)[:, 0], stock_ids[:, 0] - 1)


@pytest.mark.parametrize("shape", [(1, 2), (2, 2), (3, 2), (2, 3)])
@pytest.mark.parametrize("size", [(48, 48), (80, 48), (48, 80)])
def test_prepare_makes_what_the_pipeline_feeds(noisy_pipe, shape, size):
    grid = Grid(rows(*shape, size=size, targets=(0,)), task="a red circle")
    inputs = captured_inputs(noisy_pipe, lambda: noisy_pipe.fill(grid, seed=7, steps=1, strength=0, progress=False))
    ready = latents.prepare(grid, noisy_pipe.vae, 32, torch.Generator().manual_seed(7))
    assert torch.equal(inputs["hidden_states"][..., :64], ready.noise)
    assert torch.equal(inputs["hidden_states"][..., 64:], ready.condition)
    assert torch.equal(inputs["img_ids"], ready.ids)
    assert ready.ids[0].tolist() == [1, 0, 0] and ready.ids[-1, 0] == shape[0]


def test_another_seed_samples_other_latents(noisy_pipe):
    """Else the test above could not tell sampling from taking the mean."""
    grid = Grid(rows())
    one, other = (latents.prepare(grid, noisy_pipe.vae, 32, torch.Generator().manual_seed(s)) for s in (1, 2))
    assert (one.condition - other.condition).abs().max() > 0.1


def test_encode_and_decode_scale_and_shift(random_pipe):
    vae = random_pipe.vae
    values = torch.rand(1, 3, 32, 32)
    got = latents.encode(vae, values, torch.Generator().manual_seed(0))
    raw = vae.encode(values).latent_dist.sample(torch.Generator().manual_seed(0))
    assert torch.allclose(got, (raw - 0.1) * 0.5)  # conftest's shift_factor and scaling_factor
    assert torch.allclose(latents.decode(vae, got), vae.decode(raw).sample, atol=1e-5)  # to scale and back rounds


def test_no_target_is_refused_before_the_model_runs():
    grid = Grid(rows())
    with pytest.raises(GridError, match="target|empty|blank"):
        latents.prepare(grid.completed([noise_image()]), None, 32, torch.Generator())


@torch.no_grad()
def test_targets_are_cut_out_of_the_decoded_row(random_pipe):
    grid = Grid(rows(2, 3, size=(80, 48), targets=(0, 2)))
    layout = grid.layout(32)
    tokens = torch.randn(1, layout.total, 64)
    found = latents.decode_targets(tokens, random_pipe.vae, layout)
    down, across = layout.shapes[-1]
    query = latents.unpack(tokens[:, layout.tokens[0] :], 2 * down, 2 * across)
    strip = random_pipe.vae.decode(query / 0.5 + 0.1).sample
    width, height = layout.sizes[-1]
    for one, column in zip(found, (0, 2), strict=True):
        cell = strip[..., column * width : (column + 1) * width]
        assert one.size == (width, height)
        assert np.array_equal(one, latents.to_images(cell)[0])
