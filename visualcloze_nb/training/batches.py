"""Training batches: grids of the toy world, as tensors, made ready by the shipped `latents.py`.

All grids of a batch have the same shape (rows, columns, cell size); tasks, targets and texts differ. What the
transformer sees here is what the pipeline feeds it; `tests/test_training.py` holds the two equal.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from visualcloze_nb.data.layout import Layout
from visualcloze_nb.data.prompts import column_prompt, full_prompt
from visualcloze_nb.sampling.latents import BLACK, cell_mask, condition, decode, encode, pack, position_ids, to_images
from visualcloze_nb.sampling.sdedit import GREY, enlarged
from visualcloze_nb.settings import TOKEN_CHANNELS, TOKEN_PIXELS, UPSCALING
from visualcloze_nb.toyworld import FIRST_TRAINING_SEED, Scene, Task, concrete, draw, make_scene, words
from visualcloze_nb.toyworld.splits import has_one_answer, may_be_blank_together, only_examples_tell

NOISE_SHIFT, CAPTION_NOISE_SHIFT = 3.0, 8.0  # colours that only a caption tells are chosen near pure noise
SIZES = ((64, 64), (64, 48), (48, 64), (80, 48), (48, 80))  # (width, height) of a cell


@dataclass
class Batch:
    """Grids of one shape, ready for the transformer.

    Attributes:
        clean: `(B, L, 64)`, the finished grids.
        condition: `(B, L, 320)`, what is known of them.
        ids: `(L, 3)`.
        targets: `(B, L)` bool, tokens to be filled in.
        prompts: B texts.
        stage: 1 or 2.
        noise_shift: how much noise levels are drawn towards noise; 1 is evenly.
        emphasis: `(B, L)`, how much more the error of each token counts; None is 1.
        told: `(B, L)` bool, targets that have one right answer, see `toyworld.tasks.has_one_answer`.
        begun: `(B, L, 64)`, for stage 2: the small images, enlarged, which it begins with.
    """

    clean: torch.Tensor
    condition: torch.Tensor
    ids: torch.Tensor
    targets: torch.Tensor
    prompts: list[str]
    stage: int
    noise_shift: float = 1.0
    emphasis: torch.Tensor | None = None
    told: torch.Tensor | None = None
    begun: torch.Tensor | None = None


@torch.autocast("cpu", enabled=False)
@torch.autocast("cuda", enabled=False)
def draw_columns(tasks: Sequence[tuple[str, ...]], scenes, size, chance, device) -> torch.Tensor:
    """One row of each grid, `(B, 3, H, n W)` float32 in -1..1; grids that share a task are drawn together."""
    width, height = size
    strips = torch.empty(len(tasks), 3, height, width * len(tasks[0]), device=device)
    for columns in set(tasks):
        which = [i for i, other in enumerate(tasks) if other == columns]
        mine = [scenes[i] for i in which]
        drawn = [draw(kind, mine, height, width, chance, device) for kind in columns]
        strips[which] = (torch.cat(drawn, dim=3) * 255).round() / 127.5 - 1  # 8 bits, as any image file has
    return strips


@torch.autocast("cpu", enabled=False)
@torch.autocast("cuda", enabled=False)
def assemble(vae, rows: Sequence[torch.Tensor], targets: Sequence[Sequence[int]], size, generator=None):
    """Rows of pixels to clean tokens, condition, ids and target mask.

    Args:
        rows: one a grid row, `(B, 3, H, n W)` in -1..1, the last one complete with its answers.
        targets: columns to blank in the last row, for each grid.
        size: (width, height) of a cell.

    Returns:
        `(B, L, 64)`, `(B, L, 320)`, `(L, 3)`, `(B, L)` bool.
    """
    n_cols = rows[0].shape[3] // size[0]
    layout = Layout((size,) * len(rows), n_cols)
    device = rows[0].device
    blank = torch.cat([cell_mask([c in t for c in range(n_cols)], size) for t in targets]).to(device)
    known = [*rows[:-1], torch.where(blank > 0, BLACK, rows[-1])]
    masks = [torch.zeros_like(blank)] * (len(rows) - 1) + [blank]
    given = condition(vae, known, masks, generator)
    answer = layout.row_slices[-1]
    clean = given[..., :64].clone()
    clean[:, answer] = pack(encode(vae, rows[-1], generator))
    return clean, given, position_ids(layout).to(device), given[..., TOKEN_CHANNELS:].mean(-1) > 0.5


def training_scene(rng: random.Random) -> Scene:
    """Any of the scenes that are not held out: a million millions of them."""
    return make_scene(rng.randrange(FIRST_TRAINING_SEED, 2**40))


def easily_described(rng: random.Random) -> Scene:
    """A scene to train on; in half of the cases with a single large thing, whose colour the caption's only one is."""
    scene, easy = training_scene(rng), rng.random() < 0.5
    while easy and (len(scene.things) > 1 or scene.subject.size < 0.4):
        scene = training_scene(rng)
    return scene


def held_out_scene(rng: random.Random) -> Scene:
    """Any of the scenes that no model is trained on."""
    return make_scene(rng.randrange(FIRST_TRAINING_SEED))


def draw_targets(task: Task, row: tuple[str, ...], rng: random.Random) -> tuple[int, ...]:
    """Which columns are blank: of two columns one, mostly the last; of more sometimes several, never all.

    Args:
        row: the kinds of the task in the order in which they stand.
    """
    answers = tuple(column for column, kind in enumerate(row) if kind in task.outputs)
    if len(answers) > 1 and rng.random() < 0.75:
        return answers
    if len(row) > 2 and rng.random() < 0.3:
        some = tuple(sorted(rng.sample(range(len(row)), rng.randint(2, len(row) - 1))))
        if may_be_blank_together([row[c] for c in some]):
            return some
    return (rng.randrange(len(row)) if rng.random() < 0.5 else len(row) - 1,)


def tokens_of(columns: Sequence[Sequence[int]], n_cols: int, size, like: torch.Tensor) -> torch.Tensor:
    """Which tokens show these columns of the last row, `(B, L)` bool; `like` is any `(B, L)`."""
    masks = torch.cat([cell_mask([c in some for c in range(n_cols)], size) for some in columns])
    last = F.avg_pool2d(masks, TOKEN_PIXELS).flatten(1) > 0.5
    found = torch.zeros(like.shape, dtype=torch.bool)
    found[:, -last.shape[1] :] = last
    return found.to(like.device)


def named(scenes: Sequence[Scene], size, batch: Batch) -> torch.Tensor:
    """Emphasis for captions: things cover little beside the ground, but most words are about them.

    Returns:
        `(B, L)`: 1, and up to 7 in the target cell where a token shows nothing but things.
    """
    shown = draw("mask", scenes, size[1], size[0], device=batch.clean.device).amax(1, keepdim=True) > 0
    emphasis = torch.ones_like(batch.targets, dtype=torch.float32)
    emphasis[batch.targets] += 6 * F.avg_pool2d(shown.float(), TOKEN_PIXELS).flatten()
    return emphasis


@torch.no_grad()
def grids(
    vae,
    rng: random.Random,
    tasks: dict[Task, float],
    size: int = 16,
    *,
    examples=(4, 8, 6, 2),
    captions: float = 0.4,
    scene: Callable[[random.Random], Scene] = training_scene,
) -> Batch:
    """A batch for stage 1.

    Args:
        vae: frozen; gives the device.
        rng: all chance comes from it.
        tasks: what is practised, with weights.
        size: grids in the batch.
        examples: weights of 0, 1, 2, 3 … in-context examples.
        captions: share of grids with a content prompt. With 1, the last column is always the target, and no batch
            is without words: so grids are drawn in which the caption decides.
        scene: what is shown.
    """
    device = vae.device
    n_cols = len(rng.choices(list(tasks), list(tasks.values()))[0].columns)
    fitting = {task: weight for task, weight in tasks.items() if len(task.columns) == n_cols}
    n_rows = 1 + rng.choices(range(len(examples)), examples)[0]
    cell = SIZES[0] if rng.random() < 0.8 else rng.choice(SIZES)
    wordless = rng.random() < 0.2 * (captions < 1)  # a whole batch without task and content is short, and so quick
    # Without examples, which answers are wanted can only be told in words.
    said = 1.0 if n_rows == 1 and all(len(task.outputs) > 1 for task in tasks) else 0.7 * (not wordless)

    columns, targets, told_columns, prompts = [], [], [], []
    scenes = [[scene(rng) for _ in range(size)] for _ in range(n_rows)]
    chosen = [concrete(t, rng) for t in rng.choices(list(fitting), list(fitting.values()), k=max(1, size // 3))]
    for i in range(size):
        task = chosen[i % len(chosen)]  # drawn together, so fewer tasks than grids
        inputs = rng.sample(task.inputs, len(task.inputs))  # conditions in any order
        row = (*inputs, *task.outputs)
        if len(task.outputs) > 1:  # several answers may stand anywhere
            row = tuple(rng.sample(row, len(row)))
        blank = (n_cols - 1,) if captions == 1 else draw_targets(task, row, rng)
        columns.append(row)
        targets.append(blank)
        text = column_prompt([words(k) for k in row], blank) if rng.random() < said else ""
        known = [kind for c, kind in enumerate(row) if c not in blank]
        clear = n_rows > 1 or (text and not any(map(only_examples_tell, row)))
        told_columns.append([c for c in blank if clear and has_one_answer(row[c], known)])
        content = scenes[-1][i].caption() if rng.random() < captions and not wordless else None
        prompts.append(full_prompt(n_rows, n_cols, text, content))

    chance = torch.Generator(device).manual_seed(rng.getrandbits(40))
    rows = [draw_columns(columns, row, cell, chance, device) for row in scenes]
    batch = Batch(*assemble(vae, rows, targets, cell, chance), prompts, stage=1, noise_shift=NOISE_SHIFT)
    batch.told = tokens_of(told_columns, n_cols, cell, batch.targets)
    if captions == 1:
        batch.noise_shift, batch.emphasis = CAPTION_NOISE_SHIFT, named(scenes[-1], cell, batch)
    return batch


@torch.no_grad()
@torch.autocast("cpu", enabled=False)
@torch.autocast("cuda", enabled=False)
def large(vae, rng: random.Random, size: int = 6) -> Batch:
    """A batch for stage 2: one large image a grid, everything blank, the caption or nothing as text."""
    device = vae.device
    kinds = ("image",) * 6 + ("edge", "depth", "mask", "grey")
    width, height = rng.choice(((192, 192), (192, 192), (192, 144), (144, 192)))
    scenes = [training_scene(rng) for _ in range(size)]
    chance = torch.Generator(device).manual_seed(rng.getrandbits(40))
    shown = [rng.choice(kinds) for _ in scenes]
    images = draw_columns([(kind,) for kind in shown], scenes, (width, height), chance, device)
    ones = torch.ones_like(images[:, :1])
    given = condition(vae, [torch.full_like(images, GREY)], [ones], chance)
    layout = Layout(((width, height),), 1)
    clean = pack(encode(vae, images, chance))
    small = draw_columns([(kind,) for kind in shown], scenes, (width // UPSCALING, height // UPSCALING), chance, device)
    small = decode(vae, encode(vae, small, chance)).clamp(-1, 1)  # as stage 1 leaves it
    begun = torch.cat([enlarged(image, (width, height)) for image in to_images(small)]).to(device)
    texts = [s.caption() if rng.random() < 0.6 else "" for s in scenes]
    everything = torch.ones(clean.shape[:2], dtype=torch.bool, device=device)
    ids = position_ids(layout, 0).to(device)
    begun = pack(encode(vae, begun, chance))
    return Batch(clean, given, ids, everything, texts, stage=2, told=everything, begun=begun)
