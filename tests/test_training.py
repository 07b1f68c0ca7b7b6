"""Training feeds the transformer what the pipeline feeds it; what is held out stays out; runs survive a kill."""

import copy
import csv
import functools
import random
from pathlib import Path
from types import SimpleNamespace

import diffusers
import numpy as np
import pytest
import torch
from conftest import build_random_pipe, quiet
from test_latents import captured_inputs
from transformers import CLIPTokenizer

from visualcloze_nb import photos
from visualcloze_nb.cli.main import main
from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.layout import Layout
from visualcloze_nb.data.prompts import column_prompt, full_prompt
from visualcloze_nb.errors import ImageError, UsageError
from visualcloze_nb.pipelines.combined import VisualClozePipeline
from visualcloze_nb.sampling import sdedit
from visualcloze_nb.sampling.flow import add_noise, euler_sample, schedule, velocity
from visualcloze_nb.sampling.latents import decode, encode, pack, prepare, to_images, unpack
from visualcloze_nb.sampling.text import Text, encode_ids, encode_text
from visualcloze_nb.settings import TINY_TEXT_TOKENS
from visualcloze_nb.toyworld import HELD_OUT_TASKS, TRAINED_TASKS, Scene, SceneObject, Task, make_scene, phrase
from visualcloze_nb.toyworld.graph import THEN, draw, family
from visualcloze_nb.toyworld.samples import to_image
from visualcloze_nb.toyworld.scene_batch import SceneBatch
from visualcloze_nb.toyworld.scenes import MAX_OBJECTS
from visualcloze_nb.toyworld.splits import NEVER_BLANK_TOGETHER, TRAINED_NUMBERS, has_one_answer
from visualcloze_nb.training import (
    batches,
    checkpoints,
    device,
    initialisation,
    tiny_model,
    train_tiny,
    train_transformer,
    train_vae,
)
from visualcloze_nb.training.batches import RowBank
from visualcloze_nb.training.decoder_metric import decoder_metric
from visualcloze_nb.training.export import export, meet
from visualcloze_nb.training.optimisers import optimisers
from visualcloze_nb.training.photo_crops import PhotoCrops
from visualcloze_nb.training.rollouts import rollout
from visualcloze_nb.training.row_sets import NOISE_SHIFT, GridShape

HALF = dict(rtol=2e-3, atol=2e-3)  # kept rows are float16


def sure_vae():
    """A random VAE without sampling noise, which reads all images in one memory layout.

    The pipeline's are channels-last, where PyTorch's norms are less exact, and random weights make a third digit of
    that.
    """
    vae = build_random_pipe().vae.requires_grad_(False)
    vae.encoder.conv_out.bias[16:] = -30.0
    encode = vae.encode
    vae.encode = lambda images: encode(images.contiguous())
    return vae


def small_transformer(width=0):
    """The tiny model's interface at its smallest."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return diffusers.FluxTransformer2DModel(
            in_channels=384, out_channels=64, num_layers=1, num_single_layers=1, attention_head_dim=16,
            num_attention_heads=2, joint_attention_dim=128, pooled_projection_dim=64, axes_dims_rope=(4, 6, 6),
        )  # fmt: skip


@pytest.fixture(scope="module")
def small():
    """The tiny model's tokenizers and text encoders, untrained, with a smaller transformer and a sure VAE."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_model, "build_transformer", small_transformer)
        parts = tiny_model.build_pipeline(sure_vae()).components
    pipe = quiet(VisualClozePipeline(**parts, resolution=64))
    for part in (pipe.transformer, pipe.text_encoder, pipe.text_encoder_2, pipe.vae):
        part.eval().requires_grad_(False)
    return pipe


@pytest.fixture(scope="module")
def all_scenes():
    return SceneBatch.sample(500, np.random.default_rng(0))


@pytest.fixture
def bank(small, all_scenes, monkeypatch):
    """Rows of all tasks; photographs are switched off, so that a row always shows the scenes."""
    monkeypatch.setattr(SceneBatch, "sample", lambda *_: all_scenes)
    monkeypatch.setattr(batches, "PHOTO_SHARE", 0.0)
    return RowBank(small, rows=4)


def batch_of(bank, task, shape, size=6, blank=None):
    """A batch of one task and one grid shape, whose blank columns may be given."""
    with pytest.MonkeyPatch.context() as patch:
        if task:
            bank.tasks = {Task.parse(task): 1.0}
        if blank is not None:
            patch.setattr(batches, "draw_targets", lambda *_: blank)
            patch.setattr(random.Random, "sample", lambda self, kinds, k: list(kinds)[:k])  # in the order as written
        patch.setattr(bank, "shape", lambda: shape)
        bank.sets.clear()
        return bank.batch(size)


# what training feeds is what the pipeline feeds


@pytest.fixture
def made(monkeypatch):
    """Note what a row set was made of: the rows' pixels, and the parts of each prompt."""
    seen = SimpleNamespace(rows=None, texts=[])

    def see_rows(images):
        seen.rows = (images * 255).round() / 127.5 - 1
        return seen.rows

    def see_prompt(rows, cols, task, content):
        seen.texts.append((task, content))
        return full_prompt(rows, cols, task, content)

    monkeypatch.setattr(batches, "eight_bits", see_rows)
    monkeypatch.setattr(batches, "full_prompt", see_prompt)
    return seen


def image_of(values):
    """A training image, (3, H, W) in -1..1, as the image file it stands for."""
    return to_image((values + 1) / 2)


GRIDS = {  # shape, task, blank columns
    "2 x 2": (GridShape(2, 2, (64, 64)), "image > edge", (1,)),
    "3 x 2, first blank": (GridShape(3, 2, (64, 64)), "image > depth", (0,)),
    "4 x 2, no words": (GridShape(4, 2, (64, 64), worded=False), "image > hue *", (1,)),
    "1 x 2": (GridShape(1, 2, (64, 64)), "image > grey", (1,)),
    "3 x 1": (GridShape(3, 1, (64, 64)), "> styled", (0,)),
    "2 x 3, two blank": (GridShape(2, 3, (64, 64)), "subject + depth > image", (0, 2)),
    "landscape": (GridShape(3, 2, (80, 48)), "image > mask", (1,)),
    "portrait, 2 x 3": (GridShape(2, 3, (48, 64)), "edge + depth > image", (1,)),
    "2 x 4": (GridShape(2, 4, (48, 80)), "image > edge + negative + normals", (1, 3)),
    "a caption": (GridShape(2, 2, (64, 64), "caption"), None, (1,)),
}


@pytest.mark.parametrize("name, photographs", [*((name, False) for name in GRIDS), ("4 x 2, no words", True)])
def test_stage_1_reads_in_training_what_the_pipeline_feeds_it(bank, small, made, monkeypatch, name, photographs):
    shape, task, blank = GRIDS[name]
    if photographs:
        if not bank.photos.images:
            pytest.skip("no photographs here")
        monkeypatch.setattr(batches, "PHOTO_SHARE", 1.0)
    monkeypatch.setattr(batches, "draw_targets", lambda *_: blank)
    bank.tasks = {Task.parse(task): 1.0} if task else bank.tasks
    rows = bank.make(shape)
    torch.manual_seed(1)
    chosen = torch.randint(len(rows.clean), (shape.rows, 1)).flatten().tolist()
    torch.manual_seed(1)
    clean, condition, targets, _, _, clip_ids, t5_ids, begun = rows.grids(1, shape)
    assert begun is None

    cells = [[image_of(cell) for cell in made.rows[i].split(shape.cell[0], dim=2)] for i in chosen]
    assert cells[0][0].size == shape.cell and len(cells[0]) == shape.cols
    truth = list(cells[-1])
    for column in blank:
        cells[-1][column] = None
    text, content = made.texts[chosen[-1]]
    grid = Grid(cells, task=text, content=content)
    fed = captured_inputs(small, lambda: small.fill(grid, seed=0, steps=1, strength=0, progress=False))
    ready = prepare(grid, small.vae, 64, torch.Generator())
    for known in (fed["hidden_states"][..., 64:], ready.condition):
        assert torch.allclose(condition, known, **HALF)
    for ids in (fed["img_ids"], ready.ids):
        assert torch.equal(shape.ids, ids)
    states = encode_ids(small.text_encoder, small.text_encoder_2, clip_ids, t5_ids)
    assert torch.allclose(fed["encoder_hidden_states"], states.states, atol=1e-5)
    assert torch.allclose(fed["pooled_projections"], states.pooled, atol=1e-5)
    assert torch.equal(fed["txt_ids"], states.ids)
    # The ground truth is the finished grid, and the targets are where the blanks were.
    assert torch.equal(targets[0], torch.from_numpy(ready.layout.target_tokens))
    finished = Grid([*cells[:-1], truth, cells[-1]])
    there = prepare(finished, small.vae, 64, torch.Generator()).condition[:, : clean.shape[1], :64]
    assert torch.allclose(clean, there, **HALF)


@pytest.mark.parametrize("cell", [(192, 192), (144, 192)])
def test_stage_2_reads_in_training_what_the_pipeline_feeds_it(bank, small, made, cell):
    shape = GridShape(1, 1, cell, "stage 2")
    rows = bank.make(shape)
    clean, condition, targets, determined, _, clip_ids, t5_ids, begun = rows.grids(40, shape)
    first = condition[(rows.clean[0] == clean).flatten(1).all(1)][0]
    clean, begun, condition = rows.clean[:1].float(), rows.begun[:1].float(), first[None]
    (width, height), large = cell, made.rows[:1]
    small_one = torch.nn.functional.interpolate(large, (height // 3, width // 3), mode="area")
    stage_1 = to_images(decode(small.vae, encode(small.vae, small_one)).clamp(-1, 1))[0]
    call = dict(image=stage_1, width=width, height=height, strength=0.5, num_inference_steps=4)

    def seeded():
        return torch.Generator().manual_seed(9)

    fed = captured_inputs(small, lambda: small.upsampling_pipe(prompt="", generator=seeded(), **call))
    ready = sdedit.prepare_stage2(stage_1, cell, small.vae, small.scheduler.config, 4, 0.5, seeded())
    sigma, random_ = schedule(4, clean.shape[1], small.scheduler.config)[2], seeded()
    _, noise = (torch.randn((1, 16, height // 8, width // 8), generator=random_) for _ in range(2))
    for z, known, ids in (
        (fed["hidden_states"][..., :64], fed["hidden_states"][..., 64:], fed["img_ids"]),
        (ready.z, ready.condition, ready.ids),
    ):
        assert torch.allclose(condition, known, **HALF)
        assert torch.allclose(add_noise(begun, pack(noise), sigma), z, **HALF)
        assert torch.equal(GridShape(1, 1, cell, "stage 2").ids, ids) and (ids[:, 0] == 0).all()
    assert torch.allclose(clean, pack(encode(small.vae, large)), **HALF)
    assert not torch.allclose(clean, begun, atol=0.05)  # sharp, not enlarged
    assert targets.all() and determined.all()
    assert clip_ids.shape == (40, 77) and t5_ids.shape == (40, TINY_TEXT_TOKENS)


def test_under_a_hole_the_known_image_is_black(bank, small, made):
    shape = GridShape(2, 2, (64, 64), "hole", worded=False)
    rows = bank.make(shape)
    mask = unpack_mask(rows.mask, 4, 8)
    inside = mask.flatten(1).mean(1)
    assert ((inside > 0.01) & (inside < 0.9)).all() and len({round(float(m), 3) for m in inside}) > 1
    black = torch.where(mask > 0, -1.0, made.rows)
    assert torch.allclose(rows.known.float(), pack(encode(small.vae, black)), **HALF)
    assert not rows.wordings[shape].determined.any()
    batch = batch_of(bank, None, shape)
    assert not batch.targets[:, : 4 * 8].any() and batch.targets[:, 4 * 8 :].any(1).all()  # in the query row alone


def unpack_mask(tokens, height, width):
    """(B, L, 256) of a row to (B, 1, 16 height, 16 width): the inverse of `pack_mask`."""
    latents = tokens.reshape(len(tokens), height, width, 8, 8, 2, 2)  # y, x, py, px inside a latent, p, q
    return latents.permute(0, 1, 5, 3, 2, 6, 4).reshape(len(tokens), 1, 16 * height, 16 * width).float()


def test_the_same_rows_stand_in_grids_of_any_height_each_with_its_own_words(bank, made):
    bank.tasks = {Task.parse("image > hue *"): 1.0}
    shapes = [GridShape(rows, 2, (64, 64), worded=rows == 1) for rows in (1, 2, 3)]
    rows = bank.make(shapes[0])
    wordings = [bank.word(rows, shape) for shape in shapes]
    assert bank.word(rows, shapes[1]) is wordings[1]  # worded once
    assert not torch.equal(wordings[1].t5_ids, wordings[2].t5_ids)  # two rows, three rows
    assert [wording.has_determined for wording in wordings][0] is False  # no example tells the number
    for shape in shapes:
        clean, _, _, determined, *_ = rows.grids(3, shape)
        assert clean.shape[1] == determined.shape[1] == shape.rows * 32
    bank.sets.clear()
    bank.refresh(shapes[1])
    (kept,) = bank.sets.values()
    assert bank.sets[shapes[2].row] is kept and shapes[0].row == shapes[2].row


def test_batches_are_as_exact_under_autocast(bank):
    """The pipeline encodes in float32, so training must, also inside a bfloat16 region."""
    shape = GridShape(2, 2, (64, 64))
    kept = []
    for enabled in (False, True):
        bank.rng.seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            bank.refresh(shape)
        kept.append(bank.sets[shape.row][-1])
    assert torch.allclose(kept[0].clean.float(), kept[1].clean.float(), **HALF)
    assert torch.allclose(kept[0].known.float(), kept[1].known.float(), **HALF)


# what is held out


def test_no_held_out_task_number_or_pair_is_ever_drawn(bank, monkeypatch):
    grids, columns_of = [], []

    def note(columns, scenes, cell):
        columns_of.append(tuple(columns))
        return [torch.zeros(len(scenes), 3, *cell[::-1])] * len(columns)

    def texts(shape, columns, blank, scenes):
        grids.append((tuple(columns), tuple(columns[column] for column in blank)))
        return [""] * len(scenes), []

    monkeypatch.setattr(bank, "_columns", note)
    monkeypatch.setattr(bank, "_texts", texts)
    monkeypatch.setattr(bank, "_enlarged", lambda strip: None)
    monkeypatch.setattr(batches, "encode", lambda vae, x: torch.zeros(len(x), 16, x.shape[2] // 8, x.shape[3] // 8))
    monkeypatch.setattr(batches, "tokenize", lambda pipe, texts, length: (torch.zeros(len(texts), 77),) * 2)
    bank.rows, kinds = 1, set()
    for _ in range(6000):
        bank.make(bank.shape())
    for columns, blank in grids:
        kinds.update(columns)
        assert not any(set(task.columns) <= set(columns) for task in HELD_OUT_TASKS), columns
        assert not any(pair <= set(blank) for pair in NEVER_BLANK_TOGETHER), (columns, blank)
        assert blank and (len(blank) < len(columns) or len(columns) == 1 or set(columns) <= set(batches.FILLED))
        for kind in columns:
            if found := family(kind.split(THEN)[-1]):
                assert int(found[1]) in TRAINED_NUMBERS[found[0]], kind
    patterns = {f"{found[0]} *" if (found := family(kind)) else kind for kind in kinds}
    assert {kind for task in batches.TASKS for kind in task.columns if THEN not in kind} <= patterns
    assert {len(blank) for _, blank in grids} >= {1, 2, 3}
    assert any(blank[-1] != columns[-1] for columns, blank in grids)


def test_held_out_photographs_are_never_trained_on(bank, small, monkeypatch):
    read = []

    def load(name):
        read.append(name)
        raise ImageError("not here")

    monkeypatch.setattr(photos, "load", load)
    assert not PhotoCrops().images  # none installed: none used
    RowBank(small)
    train_vae.RowImages(torch.device("cpu"), 0)
    assert set(read) == set(photos.names(held_out=False)) and not set(read) & set(photos.names(held_out=True))
    read.clear()
    PhotoCrops(held_out=True)
    assert read == photos.names(held_out=True)


def test_crops_come_from_the_photographs_at_any_size():
    crops = PhotoCrops()
    ramp = torch.arange(40 * 60).reshape(40, 60) % 251
    crops.images = [torch.stack([ramp, ramp, ramp]).byte()]
    got = crops.sample(20, (24, 16), random.Random(0))
    assert got.shape == (20, 3, 16, 24) and got.min() >= 0 and got.max() <= 1
    assert len({float(one.mean()) for one in got}) > 15  # not one crop again and again


def test_scenes_are_sampled_as_make_scene_makes_them():
    one = SceneBatch.of([make_scene(seed) for seed in range(4000)])
    other = SceneBatch.sample(4000, np.random.default_rng(0))
    assert (other.seed == -1).all()
    for batch in (one, other):  # what holds for each scene
        for first in range(MAX_OBJECTS):
            there = batch.count > first
            assert (np.abs(batch.x[there, first]) <= 1 - 0.75 * batch.size[there, first] + 1e-9).all()
            for second in range(first):
                far = np.hypot(batch.x[:, first] - batch.x[:, second], batch.y[:, first] - batch.y[:, second])
                apart = far >= 0.8 * (batch.size[:, first] + batch.size[:, second]) - 1e-9
                assert apart[there].all() and (batch.size[there, first] >= batch.size[there, second]).all()

    def figures(batch):
        exists = np.arange(MAX_OBJECTS) < batch.count[:, None]
        shares = [
            np.bincount(batch.count, minlength=MAX_OBJECTS + 1) / len(batch),
            np.bincount(batch.ground) / len(batch),
        ]
        shares += [np.bincount(getattr(batch, n)[exists]) / exists.sum() for n in ("shape", "colour", "texture")]
        values = [batch.size[exists], np.abs(batch.x[exists]), np.abs(batch.y[exists]), np.abs(batch.angle[exists])]
        return np.concatenate([*shares, [v.mean() for v in values], [v.std() for v in values]])

    assert np.abs(figures(one) - figures(other)).max() < 0.03
    assert abs(one.ground_angle.mean() - other.ground_angle.mean()) < 0.15
    scenes = [make_scene(seed) for seed in range(50)]
    assert SceneBatch.of(scenes).scenes() == scenes
    assert len(set(map(str, other[:50].scenes()))) == 50


# determined targets, emphasis, texts


@pytest.mark.parametrize(
    "task, shape, blank, told",
    [
        ("blurred > image", GridShape(2, 2, (64, 64)), (1,), [1]),
        ("image > edge", GridShape(3, 2, (64, 64), worded=False), (1,), [1]),
        ("image > edge", GridShape(2, 2, (64, 64)), (0,), []),  # colours do not follow from outlines
        ("edge > normals", GridShape(2, 2, (64, 64)), (1,), []),
        ("image > speckled + depth", GridShape(2, 3, (64, 64)), (1, 2), [2]),
        ("image > grey", GridShape(1, 2, (64, 64)), (1,), [1]),  # said in words
        ("image > hue 30", GridShape(1, 2, (64, 64)), (1,), []),  # without examples nothing tells the number
        ("image > flipped", GridShape(1, 2, (64, 64)), (1,), []),
        ("image > hue 30", GridShape(2, 2, (64, 64)), (1,), [1]),
    ],
)
def test_determined_tokens_are_those_of_targets_with_one_answer(bank, task, shape, blank, told):
    batch = batch_of(bank, task, shape, blank=blank)
    query = batch.ids[:, 0] == shape.rows
    column = batch.ids[:, 2] // 4
    for found, columns in ((batch.targets, blank), (batch.determined, told)):
        expected = query & torch.isin(column, torch.tensor(columns))
        assert torch.equal(found, expected.expand_as(found))
    assert batch.has_determined == bool(told)
    assert (batch.emphasis == torch.where(query, 1.0, 0.0)).all() and batch.noise_shift == NOISE_SHIFT


@pytest.mark.parametrize(
    "kind, known, told",
    [
        ("edge", ["image"], True), ("image", ["blurred"], True), ("image", ["negative then flipped"], True),
        ("styled", ["image", "style"], True), ("image", ["grey"], True), ("grey", ["edge", "dark then hue 30"], True),
        ("image", ["edge", "depth"], False), ("image", ["recolour 3"], False), ("speckled", ["image"], False),
        ("style", ["image", "styled"], False), ("styled", ["image"], False), ("styled", [], False),
    ],
)  # fmt: skip
def test_which_answers_follow_from_what_is_known(kind, known, told):
    assert has_one_answer(kind, known) == told


def test_where_a_caption_decides_every_grid_has_one_and_its_objects_count_more(bank, made, monkeypatch):
    one = SceneObject("square", "red", "plain", 0.5, x=-0.5, y=-0.5, angle=0.0)
    bank.scenes = SceneBatch.of([Scene(1, "pale", 0.0, (one,))])
    monkeypatch.setattr(batches, "DESCRIBED", (Task.parse("edge > image"),))
    batch = batch_of(bank, None, GridShape(2, 2, (64, 64), "caption"))
    assert made.texts and all(" ground." in content for _, content in made.texts)
    assert batch.noise_shift == batches.CAPTION_SHIFT > NOISE_SHIFT
    last = (batch.ids[:, 0] == 2) & (batch.ids[:, 2] > 3)
    assert (batch.emphasis[:, :32] == 0).all() and (batch.targets == last).all()
    known, cell = batch.emphasis[0, 32:].reshape(4, 8).split(4, dim=1)
    assert (known == 1).all() and cell[0, 0] > 4
    assert (cell[:2, :2] > 1).all() and (cell[3:] == 1).all() and (cell[:, 3:] == 1).all()
    for task in batches.DESCRIBED:
        assert task in TRAINED_TASKS and task.outputs == ("image",)


def test_prompts_fit_and_only_padding_is_cut(bank, made, monkeypatch):
    monkeypatch.setattr(batches, "PADDED_SHARE", 0.5)
    lengths = set()
    for worded in (False, True):
        made.texts.clear()
        shape = GridShape(2, 2, (64, 64), worded=worded)
        for _ in range(8):
            batch = batch_of(bank, None, shape)
            assert (batch.t5_ids == 1).sum(1).eq(1).all()  # the end of each text is there
            lengths.add((worded, batch.t5_ids.shape[1]))
        said = any(task or content for task, content in made.texts)
        assert said == worded
    assert {(False, 64), (True, 64)} < lengths and min(lengths)[1] <= 24 and all(n % 8 == 0 for _, n in lengths)


def long_prompts():
    """Prompts of scenes and grids that the tokenizers were not built from."""
    rng = random.Random(5)
    for i, task in enumerate([*batches.TASKS, *HELD_OUT_TASKS] * 3):
        columns = [phrase(kind) for kind in task.columns]
        caption = make_scene(50_000 + i).caption()
        rows = 1 + i % 5
        yield full_prompt(rows, len(columns), column_prompt(columns, [rng.randrange(len(columns))]), caption)
        yield caption
    for rows in range(1, 6):
        for cols in range(1, 6):
            yield full_prompt(rows, cols, "", None)


def test_the_tokenizers_know_every_word_and_every_prompt_fits(small):
    unknown = small.tokenizer_2.unk_token_id
    for prompt in long_prompts():
        t5 = small.tokenizer_2(prompt).input_ids
        assert unknown not in t5, prompt
        assert len(t5) <= TINY_TEXT_TOKENS, prompt
        # CLIP reads 77 tokens, here as in the real model; what four columns have beyond is T5's alone, and of three
        # at most the last word, "ground.".
        if "4 columns" not in prompt:
            assert len(small.tokenizer(prompt.removesuffix(" ground.")).input_ids) <= 77, prompt
    assert unknown in small.tokenizer_2("a zebra").input_ids
    assert small.tokenizer_2.model_max_length == TINY_TEXT_TOKENS and small.tokenizer.model_max_length == 77
    assert small.text_encoder_2.config.vocab_size == len(small.tokenizer_2)


def test_tokenizers_survive_a_folder(small, tmp_path):
    small.tokenizer.save_pretrained(tmp_path / "tokenizer")
    small.tokenizer_2.save_pretrained(tmp_path / "tokenizer_2")
    clip, t5 = tiny_model.build_tokenizers(tmp_path)
    for prompt in [*long_prompts()][:20]:
        assert clip(prompt).input_ids == small.tokenizer(prompt).input_ids
        assert t5(prompt).input_ids == small.tokenizer_2(prompt).input_ids
    assert t5.model_max_length == TINY_TEXT_TOKENS


@pytest.mark.parametrize("length", [8, 64, 512])
def test_texts_that_differ_are_read_differently_at_any_pad_length(small, length):
    one, other = (encode_text(small, prompt, length) for prompt in ("a red circle on sand.", "a blue star on mint."))
    assert one.states.shape == (1, length, 128) and one.pooled.shape == (1, 64)
    assert (one.states - other.states).abs().max() > 1e-3
    assert (one.pooled - other.pooled).abs().max() > 1e-3


# the loss, and where it is taken


def off_by(batch, off=0.0):
    """A model whose x0 prediction is off by so much everywhere: 0 is the true velocity."""
    return lambda z, sigma, batch_: (z - batch.clean - off) / sigma[:, None, None]


def test_the_loss_is_zero_for_the_true_velocity_and_counts_known_cells_a_little(bank):
    batch = batch_of(bank, "image > depth", GridShape(2, 2, (64, 64)))
    loss, each, sigma = train_transformer.loss_of(off_by(batch), batch)
    assert loss < 1e-6 and each.shape == sigma.shape == (len(batch.clean),)
    assert train_transformer.LEAST <= sigma.min() and sigma.max() <= 1
    off = 2.0
    for where, known in ((~batch.targets, True), (batch.targets, False)):
        model = off_by(batch, off * where[..., None])
        loss, each, sigma = train_transformer.loss_of(model, batch)
        if known:
            assert loss.item() == pytest.approx(train_transformer.KNOWN * off**2, rel=1e-3) and each.max() < 1e-6
        else:
            assert torch.allclose(each, (off / sigma) ** 2, rtol=1e-3)
            assert loss.item() == pytest.approx(each.mean().item(), rel=1e-3)
    batch.targets = torch.ones_like(batch.targets)  # as in stage 2: nothing is known
    batch.emphasis = torch.ones_like(batch.emphasis)
    assert train_transformer.loss_of(off_by(batch, off), batch)[0].isfinite()


def test_errors_count_by_emphasis(bank):
    batch = batch_of(bank, "edge > image", GridShape(1, 2, (64, 64)), blank=(1,))
    upper = batch.targets & (batch.ids[:, 1] < 2)
    batch.emphasis = torch.where(upper, 3.0, 1.0) * batch.targets
    wrong = off_by(batch, upper[..., None] * 1.0)
    _, each, sigma = train_transformer.loss_of(wrong, batch)
    assert torch.allclose(each * sigma**2, torch.full_like(each, 3 / 4), rtol=1e-3)


def test_noise_levels_are_shifted_as_the_batch_says_and_determined_grids_see_pure_noise(bank):
    batch = batch_of(bank, "edge > normals", GridShape(1, 2, (64, 64)), size=1)
    assert not batch.has_determined
    many = {name: getattr(batch, name)[:1].expand(4000, -1, -1) for name in ("clean", "condition")}
    batch.__dict__.update(many, determined=torch.zeros(4000, 32, dtype=torch.bool))

    def sigmas(shift):
        batch.noise_shift = shift
        return train_transformer.noisy_start(None, batch, rollouts=True)[1]

    for shift in (3.0, 8.0):
        found = sigmas(shift)
        assert (found == 1).float().mean() == pytest.approx(train_transformer.PURE_NOISE / 4, abs=0.02)
        middle = found[found < 1].median().item()  # of uniform u, the middle is 1/2: shift / (1 + shift)
        assert middle == pytest.approx(shift / (1 + shift), abs=0.02)
    batch.determined = ~batch.determined
    batch.has_determined = False  # no rollouts: plain training of determined targets
    assert (sigmas(3.0) == 1).float().mean() == pytest.approx(train_transformer.PURE_NOISE, abs=0.03)


def test_a_rollout_is_what_the_sampler_does(small, bank):
    batch = batch_of(bank, "blurred > image", GridShape(2, 2, (64, 64)))
    text = encode_ids(small.text_encoder, small.text_encoder_2, batch.clip_ids, batch.t5_ids)
    stops = []

    def predict(z, sigma):
        stops.append((z, sigma))
        return velocity(small.transformer, z, batch.condition, sigma, text, batch.ids)

    noise, ones = torch.randn_like(batch.clean), torch.ones(len(batch.clean))
    z, sigma = rollout(predict, noise, ones, 3)
    stops.append((z, sigma))
    assert len(stops) == 4 and all((a[1] > b[1]).all() for a, b in zip(stops, stops[1:], strict=False))
    for i in range(2):  # each grid by itself, on its own noise levels
        inputs = batch.condition[[i]], batch.ids, Text(text.states[[i]], text.pooled[[i]], text.ids)
        levels = torch.stack([level[i] for _, level in stops])
        steps = euler_sample(small.transformer, noise[[i]], *inputs, levels, layout=Layout(((64, 64),) * 2, 2))
        for step, (tokens, _) in zip(steps, stops[1:], strict=True):
            assert torch.allclose(step.after, tokens[[i]], atol=1e-4)


def test_the_true_velocity_rolls_out_to_the_truth():
    truth, noise = torch.randn(3, 8, 64), torch.randn(3, 8, 64)
    z, sigma = rollout(lambda z, s: (z - truth) / s[:, None, None], noise, torch.ones(3), 4)
    assert (sigma < 1).all() and torch.allclose(z, add_noise(truth, noise, sigma[:, None, None]), atol=1e-4)


@pytest.mark.parametrize("off, understood", [(0.3, True), (1.0, False)])
def test_training_starts_on_the_own_path_where_the_task_is_determined_and_understood(bank, off, understood):
    batch = batch_of(bank, "image > speckled + depth", GridShape(2, 3, (64, 64)), blank=(1, 2))
    assert batch.determined.any() and (batch.targets & ~batch.determined).any()
    model, own_batches = off_by(batch, off), 0
    for seed in range(12):
        torch.manual_seed(seed)
        noise = torch.randn_like(batch.clean)  # drawn first
        torch.manual_seed(seed)
        z, sigma, own = train_transformer.noisy_start(model, batch, rollouts=True)
        plain = add_noise(batch.clean, noise, sigma[:, None, None])
        path = add_noise(batch.clean + off, noise, sigma[:, None, None])
        assert torch.allclose(z[~own], plain[~own], atol=1e-4)
        above = own & (sigma > 0.02)[:, None]  # below, a rollout's second step takes the level for 0.02
        assert torch.allclose(z[above], path[above], atol=1e-3)
        if own.any():
            assert torch.equal(own, batch.determined)
            own_batches += 1
            torch.manual_seed(seed)
            loss, each, level = train_transformer.loss_of(model, batch, rollouts=True)
            assert torch.equal(level, sigma)
            share = batch.determined.sum(1) / batch.targets.sum(1)
            late = share / sigma.clamp(min=train_transformer.LATE)
            expected = off**2 * (late + (1 - share) / sigma**2) / (late + 1 - share)  # own: of the x0 prediction
            assert loss.isfinite() and torch.allclose(each, expected, rtol=1e-2)
        assert not train_transformer.noisy_start(model, batch, rollouts=False)[2].any()
    assert (1 < own_batches < 12) if understood else own_batches == 0


def test_stage_2_starts_from_the_enlarged_image(bank):
    batch = batch_of(bank, None, GridShape(1, 1, (192, 144), "stage 2"), size=9)
    low, high = train_transformer.STAGE2_START
    calls, begun = [], 0

    def model(z, sigma, batch_):
        calls.append(1)
        return off_by(batch)(z, sigma, batch_)

    for seed in range(40):
        calls.clear()
        torch.manual_seed(seed)
        noise = torch.randn_like(batch.clean)
        torch.manual_seed(seed)
        z, sigma, own = train_transformer.noisy_start(model, batch, rollouts=seed % 2 == 0)
        assert own.all() or not own.any()
        begun += bool(own.all())
        start = batch.begun if own.all() else batch.clean
        if not calls:
            assert torch.allclose(z, add_noise(start, noise, sigma[:, None, None]), atol=1e-4)
            assert not own.any() or (low <= sigma.min() and sigma.max() <= high)
        else:
            assert own.all() and sigma.max() < high and seed % 2 == 0
    assert 24 < begun < 40  # now and then it starts from noise on the sharp image


def test_the_metric_weighs_errors_by_what_the_decoder_shows_of_them(small, bank):
    metric = decoder_metric(small.vae, rows=8)
    assert torch.allclose(metric, metric.T, atol=1e-5) and (metric @ metric).trace() == pytest.approx(64, rel=1e-4)
    values, directions = torch.linalg.eigh(metric)
    assert values.min() ** 2 >= 0.5 - 1e-4  # half of it counts all directions alike
    assert values.max() ** 2 > 2  # and half does not
    tokens = pack(encode(small.vae, torch.cat([draw(kind, [make_scene(0)]) for kind in ("image", "depth")], 3) * 2 - 1))
    tokens = tokens.repeat(3, 1, 1)
    tokens[1, 5] += 0.1 * directions[:, 0]
    tokens[2, 5] += 0.1 * directions[:, -1]
    plain, least, most = decode(small.vae, unpack(tokens, 8, 16))
    assert (most - plain).square().sum() > 5 * (least - plain).square().sum()

    batch = batch_of(bank, "image > depth", GridShape(1, 2, (64, 64)), blank=(1,))
    for i in (0, -1):
        model = lambda z, sigma, batch_, i=i: off_by(batch)(z, sigma, batch_) + directions[:, i]  # noqa: E731
        loss = train_transformer.loss_of(model, batch, metric)[1].mean().item()
        assert loss == pytest.approx(values[i].item() ** 2 / 64, rel=1e-3)


def test_the_loss_falls_on_one_batch_shown_again_and_again(small, bank):
    model = copy.deepcopy(train_transformer.Model(small)).requires_grad_(True)
    tuned = optimisers(model, 3e-3)
    groups = [group for optimiser in tuned for group in optimiser.param_groups]
    ids = [id(p) for group in groups for p in group["params"]]
    assert len(ids) == len(set(ids)) == len(list(model.parameters()))  # every weight is trained once
    batch, losses = batch_of(bank, "image > mask", GridShape(2, 2, (64, 64)), blank=(1,)), []
    for _ in range(15):
        torch.manual_seed(0)  # the same noise, so that only learning can lower the loss
        loss = train_transformer.loss_of(model, batch)[0]
        loss.backward()
        for optimiser in tuned:
            optimiser.step()
            optimiser.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0], losses


def test_every_grid_that_is_drawn_has_an_example_or_words(bank):
    shapes = [bank.shape() for _ in range(800)]
    assert {(1, 1), (2, 1), (3, 2), (4, 3)} < {(shape.rows, shape.queries) for shape in shapes}
    for shape in shapes:
        assert 1 <= shape.queries < max(shape.rows, 2)
        assert shape.what != "task" or shape.rows > shape.queries or shape.worded


def test_several_queries_of_one_grid_are_each_as_if_it_were_the_only_one(bank):
    alone = batch_of(bank, "image > edge", GridShape(4, 2, (64, 64)), blank=(1,))
    [[rows]] = bank.sets.values()
    torch.manual_seed(1)
    one = rows.grids(6, GridShape(4, 2, (64, 64)))
    shape = GridShape(4, 2, (64, 64), queries=3)
    bank.word(rows, shape)
    torch.manual_seed(1)  # the same rows
    three = rows.grids(6, shape)
    row = alone.clean.shape[1] // 4
    assert torch.equal(one[0], three[0])
    assert torch.equal(one[1][:, :row], three[1][:, :row]) and torch.equal(one[1][:, -row:], three[1][:, -row:])
    targets, determined = three[2], three[3]
    assert not targets[:, :row].any() and torch.equal(targets, determined)
    for i in (1, 2, 3):
        assert torch.equal(targets[:, i * row :][:, :row], one[2][:, -row:])
    blank = targets[..., None].expand_as(three[0])
    assert not torch.equal(three[1][..., :64][blank], three[0][blank])  # the answers are not told


# the device and the state of a run


def test_the_best_batch_is_the_smallest_beyond_which_throughput_hardly_grows():
    def rate(rates):
        def of(size):
            if rates[size] is None:
                raise torch.cuda.OutOfMemoryError
            return rates[size]

        return of

    sizes = (1, 2, 4, 8)
    for rates, best in (((10, 20, 40, 80), 8), ((10, 20, 21, 80), 2), ((10, 20, None, 80), 2), ((10, 5, 99, 99), 1)):
        assert device.best_batch(rate(dict(zip(sizes, rates, strict=True))), sizes) == best


def test_the_matrix_rate_is_that_of_the_undisturbed_products(monkeypatch):
    ticks = iter(sum(([0.0, seconds] for seconds in (9, 5, 5, 2, 5, 5, 5, 5)), []))  # one round of eight is alone
    monkeypatch.setattr(device.time, "perf_counter", lambda: next(ticks))
    assert device.matrix_rate(torch.device("cpu"), torch.float32, side=4) == 2 * 2 * 4**3 / 2


@pytest.mark.parametrize("gain, expected", [(2.0, torch.bfloat16), (1.1, torch.float32)])
def test_a_cpu_takes_bfloat16_where_it_is_faster(monkeypatch, gain, expected):
    monkeypatch.setattr(device, "matrix_rate", lambda _, dtype: gain if dtype == torch.bfloat16 else 1.0)
    assert device.best_precision(torch.device("cpu")) == expected
    with device.precision_context(torch.device("cpu"), expected):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == expected


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


@pytest.mark.parametrize("updates", [0, 1000])
def test_the_average_follows_the_last_twentieth_of_the_updates(updates):
    model = torch.nn.Linear(1, 1, bias=False)
    average = checkpoints.average_of(model, updates)
    average.update_parameters(model)  # the first copies
    assert torch.equal(average.module.weight, model.weight)
    torch.nn.init.zeros_(average.module.weight)
    torch.nn.init.ones_(model.weight)
    for _ in range(100):
        average.update_parameters(model)
    gap = 1 - average.module.weight.item()
    expected = np.prod([1 - 20 / (20 + n) for n in range(updates + 1, updates + 101)])
    assert gap == pytest.approx(expected, rel=0.05, abs=1e-6)


def test_learning_rates_warm_up_stay_and_fall_with_the_time():
    factors = [checkpoints.learning_rate_factor(share / 1000) for share in range(1001)]
    assert factors[0] == pytest.approx(0.1) and factors[10:650] == [1.0] * 640 and factors[-1] == 0.002
    assert all(a > b for a, b in zip(factors[650:990], factors[651:991], strict=True))
    assert checkpoints.learning_rate_factor(0.5, decay=1.0) == 0.5


def test_a_budget_counts_the_seconds_of_earlier_runs(monkeypatch):
    clock = SimpleNamespace(now=500.0)
    monkeypatch.setattr(checkpoints, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    budget = checkpoints.Budget(minutes=2, used=30.0)
    assert budget.used == 30 and budget.share == 0.25
    clock.now += 60
    assert budget.used == 90 and budget.share == 0.75
    clock.now += 60
    assert budget.share == 1


def test_the_log_has_one_header(tmp_path):
    for step in range(2):
        checkpoints.Log(tmp_path / "log.csv").write(step=step, loss=0.1234567)
    assert (tmp_path / "log.csv").read_text().splitlines() == ["step,loss", "0,0.12346", "1,0.12346"]


# runs


@pytest.fixture
def clock(monkeypatch):
    """A step takes 35 seconds, nothing else takes any; `kill` is the step at which the run is killed."""
    clock = SimpleNamespace(now=0.0, steps=0, kill=-1)
    monkeypatch.setattr(checkpoints, "time", SimpleNamespace(perf_counter=lambda: clock.now))

    def factor(share, **settings):
        if clock.steps == clock.kill:
            raise KeyboardInterrupt
        clock.now, clock.steps = clock.now + 35, clock.steps + 1
        return checkpoints.learning_rate_factor(share, **settings)

    for module in (train_vae, train_transformer):
        monkeypatch.setattr(module, "learning_rate_factor", factor)
    return clock


@pytest.fixture
def vae_run(clock, monkeypatch, tmp_path):
    monkeypatch.setattr(train_vae, "build_vae", lambda: build_random_pipe().vae)
    monkeypatch.setattr(train_vae, "measure", lambda vae: {"image": 0.0})
    monkeypatch.setattr(train_vae, "KEPT", 2)
    render, scale = train_vae.RowImages.render, train_vae.set_latent_scale
    monkeypatch.setattr(train_vae.RowImages, "render", lambda self, cells: render(self, 2))
    monkeypatch.setattr(train_vae, "set_latent_scale", functools.partial(scale, batches=4))
    return lambda minutes, **settings: train_vae.train_vae(minutes, tmp_path, say=lambda line: None, **settings)


@pytest.fixture
def transformer_run(clock, small, all_scenes, monkeypatch, tmp_path):
    monkeypatch.setattr(SceneBatch, "sample", lambda *_: all_scenes)
    monkeypatch.setattr(tiny_model, "build_transformer", small_transformer)
    monkeypatch.setattr(tiny_model, "corpus", functools.partial(tiny_model.corpus, texts=200))
    monkeypatch.setattr(train_transformer, "PREFILLED", 2)
    monkeypatch.setattr(train_transformer, "decoder_metric", lambda vae: torch.eye(64))
    monkeypatch.setattr(train_transformer, "RowBank", lambda pipe, rows, seed: RowBank(pipe, rows=2, seed=seed))

    def run(minutes, score=None, **settings):
        vae = copy.deepcopy(build_random_pipe().vae)
        return train_transformer.train_transformer(
            vae, minutes, tmp_path, batch_size=2, say=lambda line: None, score=score, **settings
        )

    return run


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_vae_training_goes_on_after_a_kill(vae_run, clock, tmp_path):
    clock.kill = 3
    with pytest.raises(KeyboardInterrupt):
        vae_run(10)
    killed = torch.load(tmp_path / "state.pt")
    assert killed["step"] == 3 and killed["seconds"] == 105 and killed["seen"] > 0
    clock.kill, clock.now = -1, 1e6  # another process, another clock
    finished = vae_run(1).state_dict()  # no time is left: what was saved is the result
    average = {k.removeprefix("module."): v for k, v in killed["average"].items() if k != "n_averaged"}
    assert same(finished, average) and clock.steps == 3
    assert not same(average, killed["model"])
    vae_run(3)  # 105 of 180 seconds are used: three steps more
    state = torch.load(tmp_path / "state.pt")
    assert clock.steps == state["step"] == 6 and state["seconds"] == 210
    assert int(state["optimiser"]["state"][0]["step"]) == 6 and state["average"]["n_averaged"] == 6
    with (tmp_path / "log.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)][-1] == "6"


def test_vae_training_sets_the_latents_scale(vae_run, tmp_path):
    vae_run(1)
    vae = diffusers.AutoencoderKL.from_pretrained(tmp_path / "vae")
    rows = train_vae.RowImages(torch.device("cpu"), 7)
    with torch.no_grad():
        latents = torch.cat([encode(vae, rows.render(2)).flatten() for _ in range(12)])
    assert latents.mean().abs() < 0.3 and latents.std() == pytest.approx(1, abs=0.3)


def test_a_decoder_is_trained_on_while_the_latents_stay(vae_run, small, tmp_path):
    before = build_random_pipe().vae
    before.register_to_config(scaling_factor=1.5, shift_factor=0.1)
    before.save_pretrained(tmp_path / "start")
    after = vae_run(1, start=tmp_path / "start")
    assert same(after.encoder.state_dict(), before.encoder.state_dict())
    assert not same(after.decoder.state_dict(), before.decoder.state_dict())
    assert (after.config.scaling_factor, after.config.shift_factor) == (1.5, 0.1)
    run, to = tmp_path / "run", tmp_path / "to"
    (small_pipe := copy.copy(small)).register_modules(vae=before)
    small_pipe.save_pretrained(run / "pipeline")
    (run / "log.csv").write_text("step\n1\n")
    export(run, tmp_path, to)  # fits the transformer of the old one
    shipped = diffusers.AutoencoderKL.from_pretrained(to / "vae")
    assert same(shipped.decoder.state_dict(), {k: v.half().float() for k, v in after.decoder.state_dict().items()})
    before.register_to_config(scaling_factor=1.6)
    before.save_pretrained(run / "pipeline" / "vae")
    with pytest.raises(ValueError, match="another VAE than the one in"):
        export(run, tmp_path, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_training_goes_on_from_a_checkpoint_gently(transformer_run, small, clock, monkeypatch, tmp_path):
    small.save_pretrained(tmp_path / "start")
    rates = []
    monkeypatch.setattr(
        train_transformer, "optimisers", lambda model, rate, added: rates.append(rate) or optimisers(model, rate)
    )
    monkeypatch.setattr(train_transformer, "LEARNING_RATE", 0.0)  # so that the weights stay as they were
    made = VisualClozePipeline.from_pretrained(transformer_run(1, start=tmp_path / "start"))
    assert same(made.transformer.state_dict(), small.transformer.state_dict())
    assert made.tokenizer_2.get_vocab() == small.tokenizer_2.get_vocab()
    monkeypatch.setattr(train_transformer, "LEARNING_RATE", 1e-3)
    transformer_run(1, start=tmp_path / "start")
    assert rates == [0.0, 1e-3 * train_transformer.START_RATE]


def test_transformer_training_goes_on_after_a_kill(transformer_run, clock, tmp_path):
    scored = []

    def score(pipe):
        scored.append({k: v.clone() for k, v in pipe.transformer.state_dict().items()})
        return {"a task": 0.5}

    clock.kill = 3
    with pytest.raises(KeyboardInterrupt):
        transformer_run(10, score)
    killed = torch.load(tmp_path / "state.pt")
    assert killed["step"] == 2 and killed["seconds"] == 70 and killed["size"] == 2  # saved once a minute
    words = CLIPTokenizer.from_pretrained(tmp_path / "tokenizer").get_vocab()
    clock.kill, clock.now = -1, 1e6
    clock.steps = 2
    folder = transformer_run(3, score)
    state = torch.load(tmp_path / "state.pt")
    assert clock.steps == 6 and state["step"] == 6 and state["seconds"] == 210  # 70 of 180 were used
    pipe = quiet(diffusers.VisualClozePipeline.from_pretrained(folder))
    average = {
        k.removeprefix("module.transformer."): v
        for k, v in state["average"].items()
        if k.startswith("module.transformer.")
    }
    live = {k.removeprefix("transformer."): v for k, v in state["model"].items() if k.startswith("transformer.")}
    finished = pipe.transformer.state_dict()
    assert same(finished, average) and same(scored[-1], average) and not same(live, average)
    assert CLIPTokenizer.from_pretrained(folder / "tokenizer").get_vocab() == words  # else texts get other numbers
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[-1]["step"] == "6" and rows[-1]["a task"] == "0.5"

    # Stock diffusers runs it.
    cell = to_image(torch.rand(3, 64, 64))
    call = dict(task_prompt="", content_prompt=None, image=[[cell, cell], [cell, None]], num_inference_steps=2)
    call |= dict(upsampling_height=64, upsampling_width=64, max_sequence_length=64, upsampling_strength=0.5)
    assert pipe(**call, generator=torch.Generator().manual_seed(0)).images[0][0].size == (64, 64)


def test_a_resumed_run_begins_with_the_saved_weights_and_optimisers(transformer_run, clock, monkeypatch, tmp_path):
    clock.kill = 3
    with pytest.raises(KeyboardInterrupt):
        transformer_run(10)
    killed, begun = torch.load(tmp_path / "state.pt"), []

    def see(pipe, rows, seed):
        begun.append({k: v.clone() for k, v in pipe.transformer.state_dict().items()})
        raise KeyboardInterrupt

    monkeypatch.setattr(train_transformer, "RowBank", see)
    monkeypatch.setattr(torch.optim.Muon, "load_state_dict", lambda self, state: begun.append(state))
    with pytest.raises(KeyboardInterrupt):
        transformer_run(10)
    muon, weights = begun
    assert same(weights, {k[12:]: v for k, v in killed["model"].items() if k.startswith("transformer.")})
    momenta = killed["optimisers"][0]["state"]
    assert momenta and all(
        torch.equal(muon["state"][k]["momentum_buffer"], v["momentum_buffer"]) for k, v in momenta.items()
    )


def test_a_run_is_not_resumed_as_another(transformer_run, monkeypatch):
    transformer_run(3)
    monkeypatch.setattr(tiny_model, "build_transformer", lambda width: tiny_model.FluxTransformer2DModel.from_config(
        dict(small_transformer().config) | {"num_single_layers": 2}
    ))  # fmt: skip
    with pytest.raises(ValueError, match="use the --start, --grow and --width it began with to resume it"):
        transformer_run(6)


def test_scores_are_of_the_averaged_weights_and_the_trained_ones_come_back(small):
    model = copy.deepcopy(train_transformer.Model(small))
    average = checkpoints.average_of(model)
    average.update_parameters(model)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 1
    live, averaged = ({k: v.clone() for k, v in m.state_dict().items()} for m in (model, average.module))

    def score(pipe):
        assert same(model.state_dict(), averaged)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train_transformer._scores(small, model, average, score)
    assert same(model.state_dict(), live) and not same(live, averaged)


@pytest.fixture
def parts(monkeypatch):
    """`train_tiny` with each part replaced by one that only leaves its result."""
    done = []

    def leave(name, path, *said):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        done.append((name, *said))

    monkeypatch.setattr(
        train_tiny,
        "train_vae",
        lambda minutes, out, seed, say, *start: leave("vae", out / "vae" / "config.json", minutes, *start),
    )
    monkeypatch.setattr(
        train_tiny, "train_transformer",
        lambda vae, minutes, out, seed, width, say, score, start, grow: leave(
            "transformer", out / "pipeline" / "model_index.json", minutes, vae, width, *([start] if start else [])
        ),
    )  # fmt: skip
    monkeypatch.setattr(train_tiny, "export", lambda run, vae_run, to: done.append(("export", to)) or 0)
    monkeypatch.setattr(train_tiny.AutoencoderKL, "from_pretrained", lambda folder, **_: folder)
    monkeypatch.setattr(train_tiny.devices, "best_device", lambda: torch.device("cpu"))
    return done


def test_train_tiny_makes_all_parts_in_one_budget_and_no_part_twice(parts, tmp_path):
    assert train_tiny.train_tiny(40, tmp_path) == tmp_path / "tiny"
    vae = tmp_path / "vae" / "vae"
    assert parts == [("vae", 10.0), ("transformer", 30.0, vae, 320), ("export", tmp_path / "tiny")]
    parts.clear()
    train_tiny.train_tiny(40, tmp_path)
    assert [name for name, *_ in parts] == ["export"]


def test_train_tiny_makes_one_part_or_takes_a_trained_vae(parts, tmp_path):
    assert train_tiny.train_tiny(40, tmp_path, only="vae") == tmp_path / "vae" and parts.pop() == ("vae", 40)
    run = tmp_path / "transformer"
    assert train_tiny.train_tiny(200, tmp_path, only="transformer") == run
    assert parts.pop() == ("transformer", 200.0, tmp_path / "vae" / "vae", tiny_model.WIDTH)
    train_tiny.train_tiny(40, tmp_path / "other", vae=tmp_path / "given", width=64)
    assert parts[0] == ("transformer", 40.0, tmp_path / "given", 64) and len(parts) == 2
    parts.clear()
    train_tiny.train_tiny(40, tmp_path / "on", start=tmp_path / "checkpoint")  # with its own VAE
    assert parts[0] == ("transformer", 40.0, tmp_path / "checkpoint" / "vae", 320, tmp_path / "checkpoint")
    assert [name for name, *_ in parts] == ["transformer", "export"]
    parts.clear()
    train_tiny.train_tiny(40, tmp_path / "decoder", only="vae", start=tmp_path / "checkpoint")
    assert parts == [("vae", 40, tmp_path / "checkpoint" / "vae")]


# the checkpoint, and the untrained model


def test_an_exported_checkpoint_is_the_run_s_own_at_half_the_size(small, tmp_path):
    run, to = tmp_path / "run", tmp_path / "shipped"
    small.save_pretrained(run / "pipeline")
    (run / "log.csv").write_text("step\n1\n")
    to.mkdir()
    (to / "model_index.json").write_text("{}")
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
    for name, value in small.transformer.state_dict().items():
        assert torch.equal(loaded.transformer.state_dict()[name], value.half().float()), name


@pytest.mark.parametrize("name", ["weights.bin", "README.md", "folder/file"])
def test_export_never_replaces_what_is_no_checkpoint(small, tmp_path, name):
    kept = tmp_path / "models" / name
    kept.parent.mkdir(parents=True)
    kept.write_text("years of work")
    with pytest.raises(UsageError, match="holds something else than a checkpoint"):
        export(tmp_path / "run", tmp_path / "run", tmp_path / "models")
    assert kept.read_text() == "years of work" and [*tmp_path.iterdir()] == [tmp_path / "models"]


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_an_exported_checkpoint_may_be_the_mean_with_another(small, tmp_path, share):
    run, other = tmp_path / "run", copy.deepcopy(small)
    for part in (other.transformer, other.text_encoder, other.text_encoder_2):
        for weight in part.parameters():
            weight.data += 0.5
    small.save_pretrained(run / "pipeline")
    (run / "log.csv").write_text("step\n1\n")
    other.save_pretrained(tmp_path / "other")
    assert main(
        ["train", "export", "--run", str(run), "--vae-run", str(run), "--to", str(tmp_path / "mean"),
         "--mean-with", str(tmp_path / "other"), *(["--share", str(share)] if share != 0.5 else [])]
    ) == 0  # fmt: skip
    loaded = diffusers.VisualClozePipeline.from_pretrained(tmp_path / "mean")
    for part, near in (("transformer", 1e-3), ("text_encoder", 1e-5), ("text_encoder_2", 1e-5)):
        one, two, mean = (getattr(pipe, part).state_dict() for pipe in (small, other, loaded))
        numbers = [k for k in mean if one[k].is_floating_point()]
        met = {k: share * one[k] + (1 - share) * two[k] for k in numbers}
        assert all(torch.allclose(mean[k], met[k], rtol=near, atol=near) for k in numbers)
        assert not any(torch.allclose(mean[k], one[k], atol=near) for k in numbers)
    for k, weight in small.vae.state_dict().items():  # the VAE was not trained
        assert torch.equal(loaded.vae.state_dict()[k], weight.half().float())
    for name in ("tokenizer", "tokenizer_2"):
        strange = copy.copy(other)
        setattr(strange, name, getattr(build_random_pipe(), name))
        with pytest.raises(ValueError, match=f"the {name} of"):
            meet(small, strange)
    with pytest.raises(ValueError, match="share is 1.5"):
        meet(small, other, 1.5)
    other.text_encoder = other.text_encoder_2
    with pytest.raises(ValueError, match="shape of text_encoder:"):
        meet(small, other)


def spoken(model, seed=0):
    """What a transformer of the small interface says to a row of two cells, the second blank: noise, velocity."""
    seeded = torch.Generator().manual_seed(seed)
    noise = torch.randn(2, 32, 64, generator=seeded)
    known = torch.zeros(2, 32, 320)
    known[..., :64] = torch.randn(2, 32, 64, generator=seeded)
    ids = torch.tensor([[1.0, i // 8, i % 8] for i in range(32)])
    blank = ids[:, 2] >= 4
    known[:, blank, 64:] = 1.0
    text = Text(torch.randn(2, 5, 128, generator=seeded), torch.zeros(2, 64), torch.zeros(5, 3))
    with torch.no_grad():
        return noise[:, blank], velocity(model, noise, known, torch.ones(2), text, ids)[:, blank]


def test_an_untrained_transformer_lets_the_noise_through(monkeypatch):
    model, carried = tiny_model.build_transformer(), []
    model.norm_out.register_forward_pre_hook(lambda module, given: carried.append(given[0][:, :, :64]))
    noise, said = spoken(model)
    error = (said - noise).square().mean()
    assert error < 0.2
    blank = [i for i in range(32) if i % 8 >= 4]
    assert torch.allclose(carried[0][:, blank], 0.3 * noise, atol=1e-5)  # no block has written there
    monkeypatch.setattr(initialisation, "pass_noise_on", lambda transformer: None)
    assert (spoken(tiny_model.build_transformer())[1] - noise).square().mean() > 0.8


@pytest.fixture
def attention(monkeypatch):
    """What each call of attention looked at, `(B, heads, text and image tokens, the same)`."""
    looked = []

    def dispatch(query, key, value, **_):
        weights = torch.einsum("bihd,bjhd->bhij", query, key) / query.shape[-1] ** 0.5
        looked.append(weights.softmax(-1))
        return torch.einsum("bhij,bjhd->bihd", looked[-1], value)

    monkeypatch.setattr(diffusers.models.transformers.transformer_flux, "dispatch_attention_fn", dispatch)
    return looked


def heads_look(looked, block, head, offset, texts=5):
    """The share of its attention that a head gives to the token `offset` away, over those that have one."""
    ids = [(1, i // 8, i % 8) for i in range(32)]
    pairs = [(i, ids.index(place)) for i, id_ in enumerate(ids) if (place := tuple(np.add(id_, offset))) in ids]
    return torch.stack([looked[block][:, head, texts + i, texts + j] for i, j in pairs]).mean().item()


def test_every_head_of_an_untrained_transformer_points_somewhere(attention):
    spoken(tiny_model.build_transformer(320))
    for head, offset in enumerate(initialisation.WITHIN):
        assert heads_look(attention, 0, head, offset) > 0.8, offset
    for head, (row, *place) in enumerate(initialisation.ACROSS):
        if row == 0:  # there is no row above
            assert heads_look(attention, 1, head, (row, *place)) > 0.8, place


def test_blocks_added_to_a_trained_transformer_change_nothing_yet(attention):
    model = tiny_model.build_transformer(192)
    before = spoken(model)[1]
    old = list(model.single_transformer_blocks)
    offsets = (initialisation.LEFT, (0, -1, -4), (0, 0, -3))
    added = initialisation.add_blocks(model, ((0, offsets), (len(old), offsets)))
    assert list(model.single_transformer_blocks) == [added[0], *old, added[1]]
    assert model.config.num_single_layers == len(old) + 2
    attention.clear()
    assert torch.equal(spoken(model)[1], before)
    for head, offset in enumerate(offsets):
        assert heads_look(attention, 1, head, offset) > 0.8
    copied = type(model).from_config(model.config)  # the config tells the new shape
    copied.load_state_dict(model.state_dict())


def test_added_blocks_learn_twice_as_fast():
    model = tiny_model.build_transformer(192)
    added = initialisation.add_blocks(model, ((1, (initialisation.LEFT,)),))
    rates = {id(p): g["peak"] for o in optimisers(model, 1e-3, added) for g in o.param_groups for p in g["params"]}
    assert len(rates) == len(list(model.parameters()))
    new, old = model.single_transformer_blocks[1], model.single_transformer_blocks[2]
    assert rates[id(new.proj_out.weight)] == 2 * rates[id(old.proj_out.weight)] == pytest.approx(4e-3)
    assert rates[id(new.proj_out.bias)] == 2 * rates[id(old.proj_out.bias)] == pytest.approx(2e-3)


def test_blocks_are_added_to_heads_of_this_size_only():
    with pytest.raises(ValueError, match="heads of 64, not 16"):
        initialisation.add_blocks(small_transformer())


@pytest.mark.parametrize("block", ["transformer_blocks", "single_transformer_blocks"])
def test_gates_are_open_at_the_start(block):
    norm = getattr(tiny_model.build_transformer(192), block)[0]
    norm = norm.norm if block.startswith("single") else norm.norm1
    x, condition = torch.randn(2, 5, 192), torch.randn(2, 192)
    with torch.no_grad():
        normed, *others = norm(x, emb=condition)
    gates = [others[0]] if block.startswith("single") else [others[0], others[3]]
    assert all(gate.mean() == pytest.approx(1, abs=0.05) and gate.std() < 0.2 for gate in gates)
    assert (normed - torch.nn.functional.layer_norm(x, (192,))).abs().mean() < 0.1  # hardly scaled or shifted


def test_the_table_of_trials_says_what_the_log_says():
    folder = Path(train_transformer.__file__).parent
    with (folder / "logs" / "2026-11-cpu-trials-of-starts.csv").open() as file:
        points = {(row["cpu_seconds"], row["grids"]): row for row in csv.DictReader(file)}
    part = (folder / "README.md").read_text().partition("## What the transformer starts with")[2].partition("\n## ")[0]
    table = [[cell.strip() for cell in line.split("|")[2:6]] for line in part.splitlines() if line.startswith("|")][2:]
    assert len(table) == 11
    for seconds, grids, loss, score in table:
        if grids:
            point = points[seconds, grids.replace(",", "")]
            assert float(score.split(" ")[0]) == pytest.approx(float(point["mean"]), abs=0.0051)
            assert not loss or float(loss) == pytest.approx(float(point["loss"]), abs=0.0051)


def test_the_table_of_means_says_what_the_log_says():
    folder = Path(train_transformer.__file__).parent
    with (folder / "logs" / "2026-11-cpu-mean-of-weights.csv").open() as file:
        rows = [(float(row["share of the new run"]), float(row["mean"])) for row in csv.DictReader(file)]
    part = (
        (folder / "README.md").read_text().partition("## How the bundled checkpoint was made")[2].partition("\n## ")[0]
    )
    lines = [line.replace("*", "").split("|")[1:3] for line in part.splitlines() if line.startswith("|")][2:]
    assert [(float(share), float(mean)) for share, mean in lines] == rows
