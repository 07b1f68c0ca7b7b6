"""Training feeds the transformer what the pipeline feeds it; runs survive a kill; scores mean what they say."""

import copy
import csv
import functools
import math
import random
import re
import shutil

import diffusers
import pytest
import torch
from conftest import build_random_pipe, quiet
from test_latents import captured_inputs
from transformers import CLIPTokenizer

from visualcloze_nb.cli.main import main
from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.layout import Layout
from visualcloze_nb.data.prompts import column_prompt, full_prompt
from visualcloze_nb.evaluation import scores
from visualcloze_nb.evaluation.bench_images import ALL_AT_ONCE, SEVERAL
from visualcloze_nb.pipelines.combined import VisualClozePipeline
from visualcloze_nb.sampling import sdedit
from visualcloze_nb.sampling.flow import add_noise, euler_sample, schedule, velocity
from visualcloze_nb.sampling.latents import decode, encode, pack, pixels, prepare, to_images, unpack
from visualcloze_nb.sampling.text import Text, encode_ids, encode_text, tokenize
from visualcloze_nb.toyworld import (
    FIRST_TRAINING_SEED,
    HELD_OUT_TASKS,
    TRAINED_TASKS,
    Scene,
    Task,
    SceneObject,
    make_scene,
    to_image,
    phrase,
)
from visualcloze_nb.toyworld.splits import has_one_answer
from visualcloze_nb.training import batches, checkpoints, rollouts, tiny_model, train_transformer
from visualcloze_nb.training import train_vae as vae_training
from visualcloze_nb.training.decoder_metric import shown_error
from visualcloze_nb.training.export import export, meet

ROUNDING = 1e-4  # training and pipeline divide by 255 in another order, and batches are laid out otherwise


def sure_vae(bias=-30.0):
    """A random VAE that leaves nothing to chance (or, with `bias` 0, a lot).

    It reads all images in one memory layout. The pipeline's are channels-last, where PyTorch's norms are less
    exact, and random weights make a third digit of that.
    """
    vae = build_random_pipe().vae
    vae.encoder.conv_out.bias.data[16:] = bias
    encode = vae.encode
    vae.encode = lambda images: encode(images.contiguous())
    return vae


def small_transformer():
    """The tiny model's interface at its smallest."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return diffusers.FluxTransformer2DModel(
            in_channels=384, out_channels=64, num_layers=1, num_single_layers=1, attention_head_dim=16,
            num_attention_heads=2, joint_attention_dim=128, pooled_projection_dim=64, axes_dims_rope=(4, 6, 6),
        )  # fmt: skip


@pytest.fixture(scope="module")
def tiny():
    """The tiny model's tokenizers and text encoders, untrained, with a smaller transformer and a sure VAE."""
    patch = pytest.MonkeyPatch()
    patch.setattr(tiny_model, "build_transformer", small_transformer)
    parts = tiny_model.build_pipeline(sure_vae()).components
    patch.undo()
    pipe = quiet(VisualClozePipeline(**parts, resolution=64))
    for part in (pipe.transformer, pipe.text_encoder, pipe.text_encoder_2, pipe.vae):
        part.eval().requires_grad_(False)
    return pipe


def image_of(values):
    """A training image, (3, H, W) in -1..1, as the image file it stands for."""
    return to_image((values + 1) / 2)


# what training feeds is what the pipeline feeds


@pytest.fixture
def draws(monkeypatch):
    """Note what `grids` and `large` drew: pixels, targets, texts and the state of chance."""
    seen = {}
    assemble, columns, join = batches.assemble, batches.draw_columns, batches.full_prompt

    def see_assemble(vae, rows, targets, size, generator=None):
        seen.update(rows=rows, targets=targets, size=size, chance=generator.get_state())
        return assemble(vae, rows, targets, size, generator)

    def see_columns(*args):
        drawn = columns(*args)
        seen.setdefault("images", []).append(drawn)
        return drawn

    def see_prompt(rows, cols, task, content):
        seen["texts"] = task, content
        return join(rows, cols, task, content)

    monkeypatch.setattr(batches, "assemble", see_assemble)
    monkeypatch.setattr(batches, "draw_columns", see_columns)
    monkeypatch.setattr(batches, "full_prompt", see_prompt)
    return seen


SHAPES = {
    "2 x 2": ("image > edge", (0, 1), (64, 64)),
    "3 x 2": ("image > depth", (0, 0, 1), (64, 64)),
    "no example": ("image > grey", (1,), (64, 64)),
    "three columns": ("subject + depth > image", (0, 1), (64, 64)),
    "landscape": ("image > mask", (0, 0, 1), (80, 48)),
    "portrait, three columns": ("edge + depth > image", (0, 1), (48, 64)),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("seed", [1, 2])
def test_stage_1_sees_in_training_what_the_pipeline_shows_it(tiny, draws, monkeypatch, name, seed):
    task, examples, size = SHAPES[name]
    monkeypatch.setattr(batches, "SIZES", (size,) * 2)
    batch = batches.grids(tiny.vae, random.Random(seed), {Task.parse(task): 1.0}, 1, examples=examples)
    width, height = size
    cells = [[image_of(cell) for cell in row[0].split(width, dim=2)] for row in draws["rows"]]
    assert cells[0][0].size == size
    (target,) = draws["targets"][0]
    answer, cells[-1][target] = cells[-1][target], None
    grid = Grid(cells, task=draws["texts"][0], content=draws["texts"][1])
    assert grid.n_rows == len(examples)
    assert batch.prompts == [grid.prompt]

    def seeded():
        generator = torch.Generator()
        generator.set_state(draws["chance"])
        return generator

    heard = captured_inputs(tiny, lambda: tiny.fill(grid, generator=seeded(), steps=1, strength=0, progress=False))
    ready = prepare(grid, tiny.vae, 64, seeded())
    for known in (heard["hidden_states"][..., 64:], ready.condition):
        assert torch.allclose(batch.condition, known, atol=ROUNDING)
    for ids in (heard["img_ids"], ready.ids):
        assert torch.equal(batch.ids, ids)
    text = encode_ids(tiny.text_encoder, tiny.text_encoder_2, *tokenize(tiny, batch.prompts, tiny_model.TEXT_TOKENS))
    assert torch.allclose(heard["encoder_hidden_states"], text.states, atol=1e-5)
    assert torch.allclose(heard["pooled_projections"], text.pooled, atol=1e-5)
    assert torch.equal(heard["txt_ids"], text.ids)
    assert heard["timestep"].tolist() == [1.0]
    # The answer: the clean tokens are those of the finished grid, and the targets are where the blanks were.
    assert torch.equal(batch.targets[0], torch.from_numpy(ready.layout.target_tokens))
    finished = Grid([*grid.completed([answer]).rows, cells[-1]])  # the finished rows as examples of another grid
    there = prepare(finished, tiny.vae, 64, seeded()).condition[:, : batch.clean.shape[1], :64]
    assert torch.allclose(batch.clean, there, atol=ROUNDING)


@pytest.mark.parametrize("seed", range(4))
def test_stage_2_sees_in_training_what_the_pipeline_shows_it(tiny, draws, seed):
    batch = batches.large(tiny.vae, random.Random(seed), 1)
    large = image_of(draws["images"][0][0])
    assert large.size in ((192, 192), (192, 144), (144, 192))
    call = dict(image=large, width=large.width, height=large.height, strength=0.5, num_inference_steps=4)

    def seeded():
        return torch.Generator().manual_seed(9)

    heard = captured_inputs(tiny, lambda: tiny.upsampling_pipe(prompt=batch.prompts[0], generator=seeded(), **call))
    ready = sdedit.prepare_stage2(large, large.size, tiny.vae, tiny.scheduler.config, 4, 0.5, seeded())
    sigma = schedule(4, batch.clean.shape[1], tiny.scheduler.config)[2]
    shape = 1, 16, large.height // 8, large.width // 8
    chance = seeded()
    _, noise = torch.randn(shape, generator=chance), torch.randn(shape, generator=chance)  # latents, then noise
    for z, known, ids in (
        (heard["hidden_states"][..., :64], heard["hidden_states"][..., 64:], heard["img_ids"]),
        (ready.z, ready.condition, ready.ids),
    ):
        assert torch.allclose(batch.condition, known, atol=ROUNDING)
        assert torch.allclose(add_noise(batch.clean, pack(noise), sigma), z, atol=ROUNDING)
        assert torch.equal(batch.ids, ids)
    text = encode_ids(tiny.text_encoder, tiny.text_encoder_2, *tokenize(tiny, batch.prompts, tiny_model.TEXT_TOKENS))
    assert torch.allclose(heard["encoder_hidden_states"], text.states, atol=1e-5)
    assert torch.allclose(heard["pooled_projections"], text.pooled, atol=1e-5)
    assert batch.targets.all()


def test_training_samples_latents_as_the_pipeline_does(draws):
    """With an unsure encoder: same chance, same latents; other chance, others."""
    vae = sure_vae(bias=0.0)
    batch = batches.grids(vae, random.Random(3), {Task.parse("image > edge"): 1.0}, 1, examples=(0, 1))
    cells = [[image_of(cell) for cell in row[0].split(draws["size"][0], dim=2)] for row in draws["rows"]]
    cells[-1][draws["targets"][0][0]] = None
    generator = torch.Generator()
    generator.set_state(draws["chance"])
    same, other = (prepare(Grid(cells), vae, 64, g).condition for g in (generator, torch.Generator()))
    assert torch.allclose(batch.condition, same, atol=ROUNDING)
    assert (batch.condition - other).abs().max() > 0.1


def test_every_grid_of_a_batch_has_its_own_task_targets_and_text(tiny):
    rng = random.Random(0)
    batch = batches.grids(tiny.vae, rng, TRAINED_TASKS, 9)
    assert len(batch.prompts) == 9 and len(set(batch.prompts)) > 2
    rows, columns = map(int, re.search(r"(\d) rows and (\d) columns", batch.prompts[0]).groups())
    cells = batch.targets.sum(1) / (batch.targets.shape[1] / (rows * columns))
    assert set(cells.tolist()) <= {1.0, 2.0, 3.0}  # one target each or several, always whole cells
    assert any(not torch.equal(batch.targets[0], other) for other in batch.targets)
    per_token = batch.condition[..., 64:].mean(-1)
    assert torch.equal(per_token > 0.5, batch.targets)


def test_several_targets_are_practised_but_never_those_held_out():
    rng, seen = random.Random(0), set()
    for task in rng.choices(list(TRAINED_TASKS), list(TRAINED_TASKS.values()), k=20_000):
        row = (*rng.sample(task.inputs, len(task.inputs)), *task.outputs)
        blank = batches.draw_targets(task, row, rng)
        assert len(blank) < len(row) or row == ("styled",)
        seen.add(frozenset(row[column] for column in blank))
    held_out = [Task.parse(task).outputs for task in SEVERAL] + [Task.parse(task).inputs for task in ALL_AT_ONCE]
    for kinds in held_out:
        assert not any(set(kinds) <= blank for blank in seen), kinds
        assert all(any(kind in blank for blank in seen if len(blank) > 1) for kind in kinds)
    assert {len(blank) for blank in seen} == {1, 2, 3}


def test_without_examples_several_answers_are_asked_for_in_words(tiny):
    def told(tasks, examples):
        prompts = []
        for seed in range(4):
            prompts += batches.grids(tiny.vae, random.Random(seed), tasks, 6, examples=examples, captions=0.0).prompts
        return {"[IMAGE1]" in prompt for prompt in prompts}

    assert told(train_transformer.SEVERAL, (1,)) == {True}
    assert told(train_transformer.SEVERAL, (0, 1)) == {True, False}  # the examples can tell
    assert told(train_transformer.SINGLE, (1,)) == {True, False}


def test_every_task_is_practised_and_what_only_examples_tell_never_without_one(tiny, monkeypatch):
    parts = (train_transformer.SEVERAL, train_transformer.BY_EXAMPLE, train_transformer.SINGLE)
    assert sum(map(len, parts)) == len(TRAINED_TASKS) and {t for part in parts for t in part} == set(TRAINED_TASKS)
    others = {str(task) for task in train_transformer.BY_EXAMPLE}
    assert {"image > hue *", "image > flipped", "image > grey then turn 2"} <= others
    assert not {"image > grey", "grey > image", "image > hue * + normals + mask"} & others
    asked = []
    monkeypatch.setattr(train_transformer, "grids", lambda vae, rng, tasks, size, **how: asked.append((tasks, how)))
    monkeypatch.setattr(train_transformer, "large", lambda *args: asked.append(("large", {})))
    for seed in range(200):
        train_transformer.draw_batch(tiny.vae, random.Random(seed), 10_000, 8)
    drawn = [tasks for tasks, _ in asked]
    assert all(part in drawn for part in (*parts, train_transformer.DESCRIBED, "large"))
    examples = {how["examples"] for tasks, how in asked if tasks is train_transformer.BY_EXAMPLE}
    assert len(examples) == 1 and examples.pop()[0] == 0


def test_where_the_caption_decides_every_grid_has_one(tiny):
    batch = batches.grids(tiny.vae, random.Random(0), train_transformer.DESCRIBED, 8, examples=(1, 1), captions=1.0)
    assert all(" ground." in prompt for prompt in batch.prompts)
    assert (batch.ids[batch.targets.any(0), 2] >= (batch.ids[:, 2].max() + 1) / 2).all()  # the last column
    assert batch.noise_shift > batches.NOISE_SHIFT
    assert (batch.emphasis[~batch.targets] == 1).all() and batch.emphasis.max() > 3
    for task in train_transformer.DESCRIBED:
        assert task in TRAINED_TASKS and task.outputs == ("image",) and "grey" not in task.inputs


def test_what_a_caption_names_counts_more(tiny):
    thing = SceneObject("square", "red", "plain", 0.5, x=-0.5, y=-0.5, angle=0.0)
    batch = batches.grids(
        tiny.vae, random.Random(4), {Task.parse("edge > image"): 1.0}, 2, examples=(1,), captions=1.0,
        scene=lambda rng: Scene(FIRST_TRAINING_SEED, "pale", 0.0, (thing,)),
    )  # fmt: skip
    assert batch.clean.shape[1] == 32  # two cells of 4 x 4 tokens
    cell = batch.emphasis[0].reshape(4, 8)[:, 4:]
    assert cell[0, 0] > 4 and (cell[:2, :2] > 1).all() and (cell[2:] == 1).all() and (cell[:, 2:] == 1).all()
    scenes = [batches.easily_described(random.Random(i)) for i in range(60)]
    single = [s for s in scenes if len(s.objects) == 1]
    assert 0.5 < len(single) / 60 < 0.85 and all(s.seed >= FIRST_TRAINING_SEED for s in scenes)


def test_the_loss_counts_by_emphasis(tiny):
    batch = batches.grids(tiny.vae, random.Random(1), {Task.parse("edge > image"): 1.0}, 2, examples=(1,))

    def silent(z, condition, sigma, clip_ids, t5_ids, ids):
        return z * 0.0

    torch.manual_seed(0)
    plain = train_transformer.loss_of(silent, batch, tiny, random.Random(0))[0]
    batch.emphasis = torch.where(batch.targets.cumsum(1) > 8, 0.0, 1.0)  # the upper half only
    torch.manual_seed(0)
    assert train_transformer.loss_of(silent, batch, tiny, random.Random(0))[0] != plain
    batch.emphasis = torch.ones_like(batch.emphasis)
    torch.manual_seed(0)
    assert train_transformer.loss_of(silent, batch, tiny, random.Random(0))[0] == plain


def test_noise_levels_are_shifted_as_the_batch_says(tiny):
    batch = batches.grids(tiny.vae, random.Random(1), {Task.parse("edge > image"): 1.0}, 4, examples=(1,))
    assert batch.noise_shift == batches.NOISE_SHIFT

    def sigmas(shift):
        batch.noise_shift = shift
        torch.manual_seed(0)
        return train_transformer.loss_of(lambda z, *rest: z, batch, tiny, random.Random(0))[2]

    even = sigmas(1.0)
    for shift in (3.0, 8.0):
        assert torch.allclose(sigmas(shift) / (1 - sigmas(shift)), shift * even / (1 - even))  # odds times the shift


def test_batches_draw_training_scenes_only(tiny, monkeypatch):
    seeds = []
    monkeypatch.setattr(batches, "make_scene", lambda seed: seeds.append(seed) or make_scene(seed))
    for i in range(3):
        batches.grids(tiny.vae, random.Random(i), TRAINED_TASKS, 4)
        batches.large(tiny.vae, random.Random(i), 1)
    monkeypatch.setattr(vae_training, "make_scene", lambda seed: seeds.append(seed) or make_scene(seed))
    for i in range(6):
        vae_training.batch(random.Random(i))
    assert len(seeds) > 60 and min(seeds) >= FIRST_TRAINING_SEED

    class Lowest(random.Random):
        def randrange(self, start, stop=None, step=1):
            return start

    assert batches.training_scene(Lowest()).seed == FIRST_TRAINING_SEED
    assert all(batches.held_out_scene(random.Random(i)).seed < FIRST_TRAINING_SEED for i in range(50))


def test_the_loss_is_zero_for_the_true_velocity(tiny):
    batch = batches.grids(tiny.vae, random.Random(1), {Task.parse("image > depth"): 1.0}, 4, examples=(0, 1))

    def oracle(z, condition, sigma, clip_ids, t5_ids, ids):
        return (z - batch.clean) / sigma[:, None, None]  # noise - image

    torch.manual_seed(0)
    loss, each, sigma = train_transformer.loss_of(oracle, batch, tiny, random.Random(0))
    assert loss < 1e-6 and each.shape == sigma.shape == (4,) and 0 < sigma.min() and sigma.max() < 1
    wrong = train_transformer.loss_of(lambda *given: -oracle(*given), batch, tiny, random.Random(0))[0]
    assert wrong > 1


def test_known_cells_count_a_little_by_their_guess_and_are_not_in_the_log(tiny):
    batch = batches.grids(tiny.vae, random.Random(1), {Task.parse("image > depth"): 1.0}, 4, examples=(0, 1))
    off = 2.0

    def wrong_in(tokens):
        def oracle(z, condition, sigma, clip_ids, t5_ids, ids):
            levels = sigma[:, None, None]
            return (z - batch.clean) / levels + torch.where(tokens[..., None], off / levels, 0.0)  # so is the guess

        return train_transformer.loss_of(oracle, batch, tiny, random.Random(0))

    loss, each, _ = wrong_in(~batch.targets)
    assert loss.item() == pytest.approx(train_transformer.KNOWN * off**2, rel=1e-4) and each.max() < 1e-6
    loss, each, _ = wrong_in(batch.targets)
    assert loss.item() == pytest.approx(each.mean().item(), rel=1e-4)
    batch.targets = torch.ones_like(batch.targets)  # as in stage 2: nothing is known
    assert wrong_in(batch.targets)[0].isfinite()


def test_errors_count_by_what_the_decoder_shows_of_them(tiny):
    shown = shown_error(tiny.vae, rows=8)
    assert shown.shape == (64, 64) and torch.allclose(shown, shown.T, atol=1e-5)
    assert (shown @ shown).trace() == pytest.approx(64, rel=1e-4)
    values, directions = torch.linalg.eigh(shown)
    assert values.min() ** 2 >= 0.5 - 1e-4  # half of it counts all directions alike
    assert values.max() ** 2 > 2  # and half does not

    chance = torch.Generator().manual_seed(0)
    row = batches.draw_columns([("image", "depth")], [make_scene(FIRST_TRAINING_SEED)], (64, 64), chance, "cpu")
    tokens = pack(encode(tiny.vae, row, chance)).repeat(3, 1, 1)
    tokens[1, 5] += 0.1 * directions[:, 0]
    tokens[2, 5] += 0.1 * directions[:, -1]
    plain, least, most = decode(tiny.vae, unpack(tokens, 8, 16))
    assert (most - plain).square().sum() > 5 * (least - plain).square().sum()

    batch = batches.grids(tiny.vae, random.Random(1), {Task.parse("image > depth"): 1.0}, 4, examples=(1,))

    def loss(direction, metric):
        def off(z, condition, sigma, *rest):
            return (z - batch.clean) / sigma[:, None, None] + direction

        torch.manual_seed(0)
        return train_transformer.loss_of(off, batch, tiny, random.Random(0), None, metric)[1].mean().item()

    weak, strong = directions[:, 0], directions[:, -1]
    assert loss(weak, None) == pytest.approx(1 / 64, rel=1e-3) and loss(strong, None) == pytest.approx(1 / 64, rel=1e-3)
    assert loss(weak, shown) == pytest.approx(values[0].item() ** 2 / 64, rel=1e-3)
    assert loss(strong, shown) == pytest.approx(values[-1].item() ** 2 / 64, rel=1e-3)


# where practice begins


def batch_of(tiny, task: str, examples=(0, 1), size: int = 4, seed: int = 1) -> batches.Batch:
    return batches.grids(tiny.vae, random.Random(seed), {Task.parse(task): 1.0}, size, examples=examples, captions=0.0)


@pytest.mark.parametrize(
    "kind, known, told",
    [
        ("edge", ["image"], True),
        ("image", ["blurred"], True),
        ("image", ["hue 30"], True),
        ("image", ["negative then flipped"], True),
        ("styled", ["image", "style"], True),
        ("grey", ["edge", "dark then hue 30"], True),
        ("image", ["edge", "depth"], False),  # colours
        ("image", ["grey"], True),
        ("image", ["grey then turn 2"], True),
        ("hue 30", ["edge", "mask"], False),
        ("image", ["recolour 3"], False),
        ("speckled", ["image"], False),  # chance
        ("style", ["image", "styled"], False),
        ("styled", ["image"], False),
        ("styled", [], False),
    ],
)
def test_which_answers_are_told_by_what_is_known(kind, known, told):
    assert has_one_answer(kind, known) == told


def test_told_tokens_are_those_of_blanks_with_one_answer(tiny):
    batch = batch_of(tiny, "blurred > image")
    row = batch.told.shape[1] // 2
    assert torch.equal(batch.told, batch.targets) and not batch.told[:, :row].any()
    assert not batch_of(tiny, "edge > normals").told.any()
    mixed = batch_of(tiny, "image > speckled + depth", size=12)
    cells = mixed.told.sum(1) / (mixed.targets.shape[1] / 6)
    assert set(cells.tolist()) <= {0.0, 1.0} and (mixed.targets.sum(1) > mixed.told.sum(1)).any()
    assert not (mixed.told & ~mixed.targets).any()
    # Without examples only words can tell the task, and a number is not in them.
    assert not batch_of(tiny, "image > hue 30", examples=(1,)).told.any()
    assert not batch_of(tiny, "image > flipped", examples=(1,)).told.any()
    plain = [batch_of(tiny, "blurred > image", examples=(1,), seed=seed) for seed in range(6)]
    said = torch.tensor(["[IMAGE1]" in prompt for batch in plain for prompt in batch.prompts])
    assert torch.equal(said, torch.cat([batch.told.any(1) for batch in plain])) and 0 < said.sum() < len(said)


def good_guess(batch, off: float):
    """A model whose guess of the truth is off by so much everywhere."""
    return lambda z, sigma, *rest: (z - batch.clean - off) / sigma[:, None, None]


def test_a_models_own_path_is_the_one_the_pipeline_goes(tiny):
    batch = batch_of(tiny, "blurred > image")
    prompts = encode_ids(tiny.text_encoder, tiny.text_encoder_2, *tokenize(tiny, batch.prompts, 64))
    went = rollouts.walked(
        lambda z, sigma: velocity(tiny.transformer, z, batch.condition, sigma, prompts, batch.ids),
        batch, random.Random(0),
    )  # fmt: skip
    assert went.levels.shape[0] - 1 in rollouts.STEPS and (went.levels[:, :1] == went.levels).all()
    inputs = went.stops[0], batch.condition, batch.ids, prompts, went.levels[:, 0]
    steps = list(euler_sample(tiny.transformer, *inputs, layout=Layout(((64, 64),) * 3, 2)))
    assert len(steps) == len(went.stops) - 1
    for step, tokens in zip(steps, went.stops[1:], strict=True):
        assert torch.allclose(step.after, tokens, atol=1e-5)
        assert torch.allclose(went.at(torch.full((4,), step.sigma_next)), tokens, atol=1e-5)
    assert torch.allclose(went.at(torch.ones(4)), went.stops[0], atol=1e-5)
    # In between it is straight: every point of a leg guesses the same image. Grids may stand at different levels.
    last, end = went.levels[-2, 0].item(), went.stops[-1]
    between = went.at(torch.tensor([last / 4, last / 4, last, 1.0]))
    assert torch.allclose(between[:2], (went.stops[-2] / 4 + 3 * end / 4)[:2], atol=1e-5)
    assert torch.allclose(between[2], went.stops[-2, 2], atol=1e-5)
    assert torch.allclose(between[3], went.stops[0, 3], atol=1e-5)


def test_a_models_own_paths_have_few_steps_or_many(tiny):
    batch = batch_of(tiny, "blurred > image")
    found = [rollouts.walked(good_guess(batch, 0.1), batch, random.Random(chance)).levels[:, 0] for chance in range(24)]
    assert {len(levels) - 1 for levels in found} == set(rollouts.STEPS)
    assert all(levels[0] == 1 and levels[-1] == 0 and (levels.diff() < 0).all() for levels in found)
    halves = [levels[len(levels) // 2].item() for levels in found]  # of a shift s the middle level is s / (1 + s)
    low, high = (s / (1 + s) for s in rollouts.SPREAD)
    assert low <= min(halves) < max(halves) <= high and max(halves) - min(halves) > (high - low) / 2


def test_practice_begins_on_the_own_path_where_the_task_is_understood(tiny):
    batch = batch_of(tiny, "blurred > image")
    off = 0.3
    went = rollouts.walked(good_guess(batch, off), batch, random.Random(0))
    assert torch.equal(went.tokens, batch.told) and torch.allclose(went.stops[-1], batch.clean + off, atol=1e-4)
    lost = rollouts.walked(good_guess(batch, 1.0), batch, random.Random(0))
    assert not lost.tokens.any()
    shown = []

    def model(z, condition, sigma, *rest):
        shown.append((z, sigma))
        return good_guess(batch, off)(z, sigma)

    for path, offs in ((went, off**2), (lost, None), (None, None)):
        loss, each, sigma = train_transformer.loss_of(model, batch, tiny, random.Random(0), path)
        z, seen = shown.pop()
        assert torch.equal(seen, sigma)
        if path is went:  # the error of the guess counts, and what is seen is the path, but for what is known
            assert torch.equal(z[batch.told], path.at(sigma)[batch.told])
            assert not torch.equal(z[~batch.told], path.at(sigma)[~batch.told])
            assert torch.allclose(each, torch.full_like(each, offs), atol=1e-3)
        else:  # the error of the velocity counts
            assert torch.allclose(each, (off / sigma) ** 2, rtol=1e-2)


def test_on_the_own_path_late_guesses_count_the_more_and_levels_are_spread(tiny):
    batch = batch_of(tiny, "blurred > image")
    went = rollouts.walked(good_guess(batch, 0.3), batch, random.Random(0))
    off = batch.told[..., None] * torch.tensor([0.1, 0.2, 0.3, 0.4])[:, None, None]
    levels = []
    for path in (went, None):
        torch.manual_seed(0)
        seen = []
        for _ in range(100):
            loss, each, sigma = train_transformer.loss_of(
                lambda z, c, sigma, *rest: good_guess(batch, off)(z, sigma), batch, tiny, random.Random(1), path
            )
            seen.append(sigma)
            count = 1 / sigma.clamp(min=train_transformer.FINE) if path else torch.ones(4)
            assert loss.item() == pytest.approx(((each * count).sum() / count.sum()).item(), rel=1e-3)
        levels.append(torch.cat(seen).mean().item())
    expected = [s / (s - 1) - s * math.log(s) / (s - 1) ** 2 for s in (train_transformer.PATH_SHIFT, batch.noise_shift)]
    assert levels == pytest.approx(expected, abs=0.04) and expected[0] < expected[1] - 0.1


def test_a_batch_for_stage_2_begins_with_what_stage_2_begins_with(tiny, draws):
    batch = batches.large(tiny.vae, random.Random(2), 1)
    small = image_of(draws["images"][1][0])
    width, height = 3 * small.width, 3 * small.height
    rebuilt = to_images(decode(tiny.vae, encode(tiny.vae, pixels(small), torch.Generator())).clamp(-1, 1))[0]
    ready = sdedit.prepare_stage2(
        rebuilt, (width, height), tiny.vae, tiny.scheduler.config, 4, 1.0, torch.Generator().manual_seed(0)
    )
    assert batch.begun.shape == batch.clean.shape == ready.z.shape
    enlarged = pack(encode(tiny.vae, sdedit.enlarge(rebuilt, (width, height)), torch.Generator()))
    assert torch.allclose(batch.begun, enlarged, atol=0.05)
    assert not torch.allclose(batch.begun, batch.clean, atol=0.05)


def test_stage_2_practises_from_where_it_begins(tiny):
    batch = batches.large(tiny.vae, random.Random(0), 2)
    batch.begun = batch.clean + 0.2 * torch.randn_like(batch.clean)
    off, shown = 0.1, []

    def model(z, sigma, *rest):
        shown.append((z, sigma))
        return good_guess(batch, off)(z, sigma)

    torch.manual_seed(5)
    went = rollouts.walked(model, batch, random.Random(0))
    torch.manual_seed(5)
    noise = torch.randn_like(batch.clean)
    assert torch.equal(went.stops[0], add_noise(batch.begun, noise, went.first[:, None, None])) and went.tokens.all()
    assert (went.levels.diff(dim=0) < 0).all() and 0.3 <= went.first.min() and went.first.max() <= 0.9
    assert torch.allclose(went.at(went.first), went.stops[0], atol=1e-5)
    assert torch.allclose(went.stops[-1], batch.clean + off, atol=1e-4)
    own = 0
    for chance in range(40):
        shown.clear()
        _, each, sigma = train_transformer.loss_of(
            lambda z, c, sigma, *rest: model(z, sigma), batch, tiny, random.Random(chance), went
        )
        if torch.equal(shown[0][0], went.at(sigma)):
            own += 1
            assert (sigma <= went.first).all()
            assert torch.allclose(each, (off / went.first) ** 2, rtol=1e-2)  # as the velocity's where it begins
        else:
            assert torch.allclose(each, (off / sigma) ** 2, rtol=1e-2)
    assert 20 < own < 39  # now and then it begins with noise alone


# texts


def long_prompts():
    """Prompts of scenes and grids that the tokenizers were not built from."""
    rng = random.Random(5)
    for i, task in enumerate([*TRAINED_TASKS, *HELD_OUT_TASKS] * 4):
        columns = [phrase(kind) for kind in task.columns]
        caption = make_scene(50_000 + i).caption()
        n_rows = 1 + i % 5
        yield full_prompt(n_rows, len(columns), column_prompt(columns, [rng.randrange(len(columns))]), caption)
        yield caption
    for rows in range(1, 6):
        for cols in range(1, 6):
            yield full_prompt(rows, cols, "", None)


def test_the_tokenizers_know_every_word_and_every_prompt_fits(tiny):
    unknown = tiny.tokenizer_2.unk_token_id
    for prompt in long_prompts():
        t5 = tiny.tokenizer_2(prompt).input_ids
        assert unknown not in t5, prompt
        assert len(t5) <= tiny_model.TEXT_TOKENS, prompt
        # CLIP reads 77 tokens, here as in the real model; what four columns have beyond is T5's alone, and of three
        # at most the last word, "ground.".
        if "4 columns" not in prompt:
            assert len(tiny.tokenizer(prompt.removesuffix(" ground.")).input_ids) <= 77, prompt
    assert unknown in tiny.tokenizer_2("a zebra").input_ids
    assert tiny.tokenizer_2.model_max_length == tiny_model.TEXT_TOKENS and tiny.tokenizer.model_max_length == 77
    assert tiny.text_encoder_2.config.vocab_size == len(tiny.tokenizer_2)


def test_tokenizers_survive_a_folder(tiny, tmp_path):
    tiny.tokenizer.save_pretrained(tmp_path / "1")
    tiny.tokenizer_2.save_pretrained(tmp_path / "2")
    clip, t5 = tiny.tokenizer, tiny.tokenizer_2
    loaded = type(clip).from_pretrained(tmp_path / "1"), type(t5).from_pretrained(tmp_path / "2")
    for prompt in [*long_prompts()][:20]:
        assert loaded[0](prompt).input_ids == clip(prompt).input_ids
        assert loaded[1](prompt).input_ids == t5(prompt).input_ids
    assert loaded[1].model_max_length == tiny_model.TEXT_TOKENS


@pytest.mark.parametrize("length", [8, 64, 512])
def test_texts_that_differ_are_read_differently_at_any_pad_length(tiny, length):
    one, other = (encode_text(tiny, prompt, length) for prompt in ("a red circle on sand.", "a blue star on mint."))
    assert one.states.shape == (1, length, 128) and one.pooled.shape == (1, 64)
    assert (one.states - other.states).abs().max() > 1e-3
    assert (one.pooled - other.pooled).abs().max() > 1e-3


# runs


@pytest.fixture
def quick_run(monkeypatch, tmp_path):
    """A run of seconds: the real loop on a small transformer, one fresh batch a step."""
    monkeypatch.setattr(tiny_model, "build_transformer", small_transformer)
    monkeypatch.setattr(tiny_model, "corpus", functools.partial(tiny_model.corpus, texts=200))
    monkeypatch.setattr(train_transformer, "COPYING_STEPS", 2)
    monkeypatch.setattr(train_transformer, "POOL", 1)
    monkeypatch.setattr(train_transformer, "REUSE", 1)
    score = scores.score_tasks
    tasks = scores.SPINE[:1]
    monkeypatch.setattr(train_transformer, "score_tasks", lambda pipe, **_: score(pipe, tasks, scenes=2, steps=1))
    sure_vae().save_pretrained(tmp_path / "vae")

    def run(out, **settings):
        settings = dict(steps=5, batch_size=2, save_every=2, measure_every=5) | settings
        train_transformer.train(tmp_path / "vae", out, **settings)
        return torch.load(out / "state.pt", weights_only=False)

    return run


def same(one, other):
    """Whether two nested states are equal bit for bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_a_run_that_was_killed_ends_as_one_that_was_not(quick_run, monkeypatch, tmp_path):
    unbroken = quick_run(tmp_path / "a", measure_every=2)  # measuring, too, must leave no trace
    for name in ("tokenizer", "tokenizer_2"):  # built anew, they would differ from the first run's
        shutil.copytree(tmp_path / "a" / name, tmp_path / "b" / name)
    factor = train_transformer.learning_rate_factor

    def killed(step, total, **settings):
        if step == 3:
            raise KeyboardInterrupt
        return factor(step, total, **settings)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(train_transformer, "learning_rate_factor", killed)
        quick_run(tmp_path / "b")
    assert torch.load(tmp_path / "b" / "state.pt", weights_only=False)["step"] == 2
    resumed = quick_run(tmp_path / "b")
    assert resumed["step"] == unbroken["step"] == 5
    assert resumed["average"]["updates"] == 5
    for part in ("model", "average", "optimisers"):
        assert same(resumed[part], unbroken[part]), part
    assert not same(resumed["model"], resumed["average"]["weights"])
    vocabularies = [
        CLIPTokenizer.from_pretrained(tmp_path / place / "tokenizer").get_vocab()
        for place in ("a", "b", "a/pipeline", "b/pipeline")
    ]
    assert all(vocabulary == vocabularies[0] for vocabulary in vocabularies), "texts would get other numbers"
    # A finished run does nothing more. Where several processes share a CPU, its device has a number.
    with monkeypatch.context() as patch:
        patch.setattr(train_transformer.Accelerator, "device", property(lambda self: torch.device("cpu:0")))
        assert same(quick_run(tmp_path / "b")["model"], resumed["model"])

    # Stock diffusers loads what it leaves, which holds the averaged weights, and runs it.
    pipe = quiet(diffusers.VisualClozePipeline.from_pretrained(tmp_path / "b" / "pipeline"))
    weights = pipe.transformer.state_dict()
    assert all(torch.equal(resumed["average"]["weights"][f"transformer.{k}"], v) for k, v in weights.items())
    cell = to_image(torch.rand(3, 64, 64))
    call = dict(task_prompt="", content_prompt=None, image=[[cell, cell], [cell, None]], num_inference_steps=2)
    call |= dict(upsampling_height=64, upsampling_width=64, max_sequence_length=64, upsampling_strength=0.5)
    made = pipe(**call, generator=torch.Generator().manual_seed(0)).images[0][0]
    assert made.size == (64, 64)
    with (tmp_path / "b" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["5"] and str(scores.SPINE[0]) in rows[0]


@pytest.mark.parametrize("begun", [False, True])
def test_a_run_practises_on_its_own_path_once_that_leads_somewhere(quick_run, monkeypatch, tmp_path, tiny, begun):
    batch, seen, loss_of = batch_of(tiny, "blurred > image", size=2), [], train_transformer.loss_of
    metric = 2 * torch.eye(64)

    def see(model, batch, pipe, rng, path, shown):
        assert shown is metric  # what the decoder shows of an error counts in every step
        seen.append(path)
        return loss_of(model, batch, pipe, rng, path, shown)

    monkeypatch.setattr(train_transformer, "PLAIN_STEPS", 3)
    monkeypatch.setattr(train_transformer, "shown_error", lambda vae: metric)
    monkeypatch.setattr(train_transformer, "draw_batch", lambda *args: batch)
    monkeypatch.setattr(train_transformer, "loss_of", see)
    if begun:
        monkeypatch.setattr(train_transformer, "take_over", lambda pipe, begun: None)
        monkeypatch.setattr(train_transformer.VisualClozePipeline, "from_pretrained", lambda folder: None)
    quick_run(tmp_path / "run", start=tmp_path if begun else None)
    assert [path is not None for path in seen] == [begun] * 3 + [True] * 2
    assert all(torch.equal(path.first, torch.ones(2)) for path in seen if path)


def test_a_kill_while_saving_leaves_the_old_state(monkeypatch, tmp_path):
    path = tmp_path / "state.pt"
    checkpoints.save_atomically({"step": 1}, path)
    assert list(tmp_path.iterdir()) == [path]

    def half(what, where):
        where.write_bytes(b"half of")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save_atomically({"step": 2}, path)
    assert torch.load(path) == {"step": 1}


def test_the_average_forgets_the_start_and_follows_the_model():
    model = torch.nn.Linear(2, 2)
    average = checkpoints.Average(model, decay=0.9)
    with torch.no_grad():
        model.weight.fill_(5.0)
    for _ in range(3):
        average.update(model)
    # decays 2/11, 3/12, 4/13: what is left of the start is their product
    assert average.updates == 3
    with torch.no_grad():
        model.weight.fill_(0.0)
    before = average.weights["weight"].clone()
    assert (before > 4.9).all()
    for _ in range(300):
        average.update(model)
    assert average.weights["weight"].abs().max() < 1e-3
    copy_ = checkpoints.Average(model)
    copy_.load_state_dict(copy.deepcopy(average.state_dict()))
    assert copy_.updates == 303 and torch.equal(copy_.weights["weight"], average.weights["weight"])


def test_learning_rates_warm_up_and_fall():
    factors = [train_transformer.learning_rate_factor(step, 1000) for step in range(1000)]
    assert factors[0] == 0.01 and factors[99:700] == [1.0] * 601 and factors[999] == 0.01
    assert all(a >= b for a, b in zip(factors[700:], factors[701:], strict=False))
    vae = [checkpoints.cosine(step, 1000) for step in range(1000)]
    assert vae[0] == 1 / 200 and max(vae) == 1.0 and vae[-1] == pytest.approx(0.02, abs=1e-3)


def test_the_log_has_one_header(tmp_path):
    for step in range(2):
        checkpoints.Log(tmp_path / "log.csv").write(step=step, loss=0.1234567)
    assert (tmp_path / "log.csv").read_text().splitlines() == ["step,loss", "0,0.12346", "1,0.12346"]


def test_the_loss_falls_on_one_batch_shown_again_and_again(tiny):
    pipe = copy.copy(tiny)
    model = train_transformer.Model(pipe)
    model = copy.deepcopy(model).requires_grad_(True)
    tuned = train_transformer.optimisers(model, 3e-3)
    batch = batches.grids(tiny.vae, random.Random(2), {Task.parse("image > mask"): 1.0}, 4, examples=(0, 1))
    losses = []
    for _ in range(15):
        torch.manual_seed(0)  # the same noise, so that only learning can lower the loss
        loss = train_transformer.loss_of(model, batch, tiny, random.Random(1))[0]
        loss.backward()
        for optimiser in tuned:
            optimiser.step()
            optimiser.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0], losses


def test_every_weight_is_trained_once():
    pipe = build_random_pipe()
    model = train_transformer.Model(pipe)
    groups = [group for optimiser in train_transformer.optimisers(model, 1e-3) for group in optimiser.param_groups]
    tuned = [p for group in groups for p in group["params"]]
    assert len(tuned) == len({id(p) for p in tuned}) == len(list(model.parameters()))


def test_vae_training_resumes_and_writes_its_latent_scale(monkeypatch, tmp_path):
    monkeypatch.setattr(vae_training, "measure", lambda vae: {"image": 0.0})
    monkeypatch.setattr(vae_training, "batch", functools.partial(vae_training.batch, cells=2))
    scale = vae_training.set_latent_scale
    monkeypatch.setattr(vae_training, "set_latent_scale", lambda vae, rng: scale(vae, rng, batches=2))
    vae_training.train(tmp_path, 2, save_every=2)
    assert torch.load(tmp_path / "state.pt", weights_only=False)["step"] == 2
    vae_training.train(tmp_path, 3, save_every=2)
    assert torch.load(tmp_path / "state.pt", weights_only=False)["step"] == 3
    vae = diffusers.AutoencoderKL.from_pretrained(tmp_path / "vae")
    rng = random.Random(0)
    with torch.no_grad():
        latents = [vae.encode(vae_training.batch(rng)).latent_dist.sample().flatten() for _ in range(2)]
    scaled = (torch.cat(latents) - vae.config.shift_factor) * vae.config.scaling_factor
    assert scaled.mean().abs() < 0.05 and scaled.std() == pytest.approx(1, abs=0.05)


@pytest.fixture(autouse=True)
def few_scenes_for_the_mean(monkeypatch):
    monkeypatch.setattr(scores, "mean_image", functools.partial(scores.mean_image, scenes=12))


def hue_grids(vae, rng):
    return batches.grids(vae, rng, {Task.parse("image > hue 120"): 1.0}, 2)


@pytest.mark.parametrize("make", [hue_grids, batches.large])
def test_batches_are_as_exact_under_autocast(tiny, make):
    """The pipeline encodes in float32, so training must, also inside the accelerator's bfloat16 region."""
    plain = make(tiny.vae, random.Random(0))
    with torch.autocast("cpu", torch.bfloat16):
        inside = make(tiny.vae, random.Random(0))
    assert inside.condition.dtype == torch.float32
    assert torch.equal(inside.condition, plain.condition)
    assert torch.equal(inside.clean, plain.clean)


def test_an_exported_checkpoint_is_the_run_s_own_at_half_the_size(tiny, tmp_path):
    run, to = tmp_path / "run", tmp_path / "shipped"
    tiny.save_pretrained(run / "pipeline")
    (run / "log.csv").write_text("step\n1\n")
    to.mkdir()
    (to / "README.md").write_text("the model card")
    (to / "left over").write_text("of an older checkpoint")
    for kept in ("training/transformer-first.csv", "training/vae.csv", "experiments/density.csv"):
        (to / kept).parent.mkdir(exist_ok=True)
        (to / kept).write_text("older\n")
    size = export(run, run, to)
    for kept in ("training/transformer-first.csv", "experiments/density.csv"):
        assert (to / kept).read_text() == "older\n"
    assert not (to / "left over").exists() and not (tmp_path / "shipped.partial").exists()
    assert (to / "README.md").read_text() == "the model card"
    for config in to.rglob("*.json"):
        assert str(tmp_path) not in config.read_text(), config
    assert size == sum(file.stat().st_size for file in to.rglob("*") if file.is_file())
    assert (to / "training" / "vae.csv").read_text() == (to / "training" / "transformer.csv").read_text() == "step\n1\n"
    for tokenizer in ("tokenizer", "tokenizer_2"):  # the numbers of the words are part of the weights
        written = (to / tokenizer / "tokenizer.json").read_bytes()
        assert written == (run / "pipeline" / tokenizer / "tokenizer.json").read_bytes()
    weights = "transformer/diffusion_pytorch_model.safetensors"
    assert (to / weights).stat().st_size < 0.6 * (run / "pipeline" / weights).stat().st_size
    loaded = diffusers.VisualClozePipeline.from_pretrained(to)
    assert {part.dtype for part in (loaded.vae, loaded.transformer, loaded.text_encoder)} == {torch.float32}
    for name, value in tiny.transformer.state_dict().items():
        assert torch.equal(loaded.transformer.state_dict()[name], value.half().float()), name


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_an_exported_checkpoint_may_be_the_mean_with_another(tiny, tmp_path, share):
    run, other = tmp_path / "run", copy.deepcopy(tiny)
    for part in (other.transformer, other.text_encoder, other.text_encoder_2):
        for weight in part.parameters():
            weight.data += 0.5
    tiny.save_pretrained(run / "pipeline")
    (run / "log.csv").write_text("step\n1\n")
    other.save_pretrained(tmp_path / "other")
    assert main(
        ["train", "export", "--run", str(run), "--vae-run", str(run), "--to", str(tmp_path / "mean"),
         "--mean-with", str(tmp_path / "other"), *(["--share", str(share)] if share != 0.5 else [])]
    ) == 0  # fmt: skip
    loaded = diffusers.VisualClozePipeline.from_pretrained(tmp_path / "mean")
    for part, near in (("transformer", 1e-3), ("text_encoder", 1e-5), ("text_encoder_2", 1e-5)):
        one, two, mean = (getattr(pipe, part).state_dict() for pipe in (tiny, other, loaded))
        numbers = [k for k in mean if one[k].is_floating_point()]
        met = {k: share * one[k] + (1 - share) * two[k] for k in numbers}
        assert all(torch.allclose(mean[k], met[k], rtol=near, atol=near) for k in numbers)
        assert not any(torch.allclose(mean[k], one[k], atol=near) for k in numbers)
    for k, weight in tiny.vae.state_dict().items():  # the VAE was not trained
        assert torch.equal(loaded.vae.state_dict()[k], weight.half().float())
    for name in ("tokenizer", "tokenizer_2"):
        strange = copy.copy(other)
        setattr(strange, name, getattr(build_random_pipe(), name))
        with pytest.raises(ValueError, match=f"the {name} of"):
            meet(tiny, strange)
    with pytest.raises(ValueError, match="share is 1.5"):
        meet(tiny, other, 1.5)
    other.text_encoder = other.text_encoder_2
    with pytest.raises(ValueError, match="shape of text_encoder:"):
        meet(tiny, other)


def test_training_begins_from_a_checkpoint(tiny, tmp_path, monkeypatch):
    """Weights are taken over; a word keeps what was learned of it, though its number is another now."""
    monkeypatch.setattr(tiny_model, "build_transformer", small_transformer)
    bias = tiny.transformer.proj_out.bias
    monkeypatch.setattr(bias, "data", bias.data + 1)  # not what a fresh model of the same seed has
    tiny.save_pretrained(tmp_path / "begun")
    tiny.vae.save_pretrained(tmp_path / "vae")
    monkeypatch.setattr(train_transformer, "score_tasks", lambda *args, **settings: {})
    corpus = tiny_model.corpus
    monkeypatch.setattr(tiny_model, "corpus", lambda: [*corpus(), "an aardvark and a zebra"])
    train_transformer.train(
        tmp_path / "vae", tmp_path / "run", steps=1, batch_size=2, learning_rate=0.0, start=tmp_path / "begun"
    )
    begun, done = tiny.transformer.state_dict(), torch.load(tmp_path / "run" / "state.pt", weights_only=False)["model"]
    assert all(torch.equal(done[f"transformer.{name}"], value) for name, value in begun.items())
    for encoder, tokenizer, inside in (
        (tiny.text_encoder, tiny.tokenizer, "encoder.layers.0.mlp.fc1.weight"),
        (tiny.text_encoder_2, tiny.tokenizer_2, "encoder.block.0.layer.1.DenseReluDense.wo.weight"),
    ):
        part = "text_encoder" if encoder is tiny.text_encoder else "text_encoder_2"
        folder = tmp_path / "run" / part.replace("text_encoder", "tokenizer")
        words_ = type(tokenizer).from_pretrained(folder).get_vocab()
        known, old = tokenizer.get_vocab(), encoder.get_input_embeddings().weight
        name = next(key for key, value in encoder.state_dict().items() if value is not None and torch.equal(value, old))
        new = done[f"{part}.{name}"]
        assert len(words_) > len(known) and len(new) == len(words_)
        moved = [word for word in known if word in words_ and words_[word] != known[word]]
        assert moved, "the test is of no use unless numbers change"
        assert all(torch.equal(new[words_[word]], old[known[word]]) for word in known if word in words_)
        same_name = next(key for key in encoder.state_dict() if key.endswith(inside))
        assert torch.equal(done[f"{part}.{same_name}"], encoder.state_dict()[same_name])


def spoken(model, seed=0):
    """What a transformer of the tiny interface says to a row of two cells, the second blank: noise, velocity."""
    chance = torch.Generator().manual_seed(seed)
    noise = torch.randn(2, 32, 64, generator=chance)
    known = torch.zeros(2, 32, 320)
    known[..., :64] = torch.randn(2, 32, 64, generator=chance)
    ids = torch.tensor([[1.0, i // 8, i % 8] for i in range(32)])
    blank = ids[:, 2] >= 4
    known[:, blank, 64:] = 1.0
    text = Text(torch.randn(2, 5, 128, generator=chance), torch.zeros(2, 64), torch.zeros(5, 3))
    with torch.no_grad():
        return noise[:, blank], velocity(model, noise, known, torch.ones(2), text, ids)[:, blank]


def test_an_untrained_transformer_lets_the_noise_through(monkeypatch):
    model, carried = tiny_model.build_transformer(), []
    model.norm_out.register_forward_pre_hook(lambda module, given: carried.append(given[0][:, :, :64]))
    noise, said = spoken(model)
    error = (said - noise).square().mean()
    assert error < 0.1
    blank = [i for i in range(32) if i % 8 >= 4]
    assert torch.allclose(carried[0][:, blank], 0.3 * noise, atol=1e-5)  # no block has written there
    monkeypatch.setattr(tiny_model, "pass_noise_on", lambda transformer: None)
    assert (spoken(tiny_model.build_transformer())[1] - noise).square().mean() > 0.8


def test_a_deeper_transformer_begins_where_a_shallower_one_stood(monkeypatch):
    monkeypatch.setattr(tiny_model, "SINGLE_BLOCKS", 3)
    shallow = tiny_model.build_transformer()
    for i, block in enumerate(shallow.single_transformer_blocks):
        block.proj_out.bias.data += i  # no two alike
    monkeypatch.setattr(tiny_model, "SINGLE_BLOCKS", 5)
    deep = tiny_model.build_transformer()
    assert not torch.allclose(spoken(deep)[1], spoken(shallow)[1], atol=0.1)
    tiny_model.deepen(deep, shallow)
    assert torch.allclose(spoken(deep)[1], spoken(shallow)[1], atol=1e-5)
    outputs = [block.proj_out.bias.abs().sum() for block in deep.single_transformer_blocks]
    assert [bool(size == 0) for size in outputs] == [False, True, False, True, False]
    inside = [block.attn.to_q.weight for block in deep.single_transformer_blocks]
    assert torch.equal(inside[1], inside[0]) and torch.equal(inside[3], inside[2])  # silent, but not empty
    with pytest.raises(ValueError, match="at most 3 single blocks, this one has 5"):
        tiny_model.deepen(shallow, deep)
