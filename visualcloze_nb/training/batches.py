"""Draw training batches from rows that are rendered and encoded once and used many times.

Rendering and encoding a row costs more than a training step on it, so rows are kept (`row_sets.py`). What the
transformer reads is what the pipeline feeds it; `tests/test_training.py` holds the two equal.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from visualcloze_nb.data.prompts import column_prompt, full_prompt
from visualcloze_nb.sampling.latents import BLACK, cell_mask, decode, encode, pack, pack_mask, to_images
from visualcloze_nb.sampling.sdedit import GREY, enlarge
from visualcloze_nb.sampling.text import tokenize
from visualcloze_nb.settings import TINY_TEXT_TOKENS, TOKEN_PIXELS, UPSCALING
from visualcloze_nb.toyworld import TRAINED_TASKS, Task, concrete, draw, phrase
from visualcloze_nb.toyworld.graph import changed, changes_images
from visualcloze_nb.toyworld.samples import eight_bits
from visualcloze_nb.toyworld.scene_batch import SceneBatch
from visualcloze_nb.toyworld.splits import has_one_answer, may_be_blank_together, only_examples_tell
from visualcloze_nb.training.photo_crops import PhotoCrops
from visualcloze_nb.training.row_sets import NOISE_SHIFT, Batch, GridShape, RowSet, Wording

CELLS = ((64, 64),) * 12 + ((64, 48), (48, 64), (80, 48), (48, 80))  # (width, height), as often as they stand here
GRIDS = ((1, 1), (2, 1), (3, 1), (3, 2), (4, 3), (4, 1))  # (rows, of which are queries)
GRID_SHARES = (3, 7, 3, 4, 3, 0.5)
PADDED_SHARE = 0.1  # of the batches whose texts are as long as the pipeline pads them
PHOTO_SHARE = 0.4  # of the rows whose task needs no annotation
CAPTION_SHIFT = 8.0  # colours that only a caption tells are decided near pure noise
DESCRIBED = tuple(
    Task.parse(t)
    for t in ("edge > image", "depth > image", "mask > image", "edge + depth > image", "background > image", "> image")
)
"""Tasks that leave colours or shapes open, so that a caption decides."""
FILLED = ("image", "image", "image", "edge", "depth", "mask", "normals", "styled")  # images with holes


TASKS: dict[Task, float] = TRAINED_TASKS | {
    Task.parse(text): weight
    for text, weight in {
        "image > edge": 9, "image > mask": 10, "image > depth": 4, "image > instances": 1.5,
        "image > recolour *": 5, "image > replace *": 6, "image > move *": 1, "image > light *": 6,
        "image > removed": 1.5, "image + style > styled": 6, "edge + subject + style > styled": 2,
        "image > hue *": 6, "image > mix *": 6, "image > negative": 2, "image > grey": 2,
        "image > subject": 4, "image > contours": 2, "grey > image": 4, "pixelated > image": 6, "holed > image": 5,
        "background > image": 0.5, "> image": 0.3,
    }.items()
}  # fmt: skip
"""What `train tiny` trains on, and the last two runs of the bundled checkpoint did: `TRAINED_TASKS`, more often those
that the eighth run had failed, and three more tasks."""


def draw_targets(task: Task, row: Sequence[str], rng: random.Random) -> tuple[int, ...]:
    """Choose the blank columns: of two columns one, mostly the last; of more sometimes several, never all.

    Args:
        task: its outputs are the usual targets.
        row: the kinds of the task in the order in which they stand.
        rng: source of randomness.
    """
    answers = tuple(column for column, kind in enumerate(row) if kind in task.outputs)
    if len(row) == 1:
        return (0,)
    if len(answers) > 1 and rng.random() < 0.75:
        return answers
    if len(row) > 2 and rng.random() < 0.3:
        some = tuple(sorted(rng.sample(range(len(row)), rng.randint(2, len(row) - 1))))
        if may_be_blank_together([row[c] for c in some]):
            return some
    return (rng.randrange(len(row)) if rng.random() < 0.35 else len(row) - 1,)


class RowBank:
    """Makes row sets on the training device and draws batches from them; old sets give way to new ones.

    Args:
        pipe: gives the VAE and the tokenizers.
        tasks: what is trained on, with weights.
        rows: `N`, rows of a set.
        seed: of all randomness.
        keep: row sets kept of each kind of row.
    """

    def __init__(self, pipe, tasks: Mapping[Task, float] = TASKS, rows: int = 16, seed: int = 0, keep: int = 96):
        self.pipe, self.tasks, self.rows, self.keep = pipe, tasks, rows, keep
        self.device = pipe.vae.device
        self.rng = random.Random(seed)
        self.scenes = SceneBatch.sample(20_000 if self.device.type == "cpu" else 200_000, np.random.default_rng(seed))
        self.photos = PhotoCrops(self.device)
        self.sets: dict[tuple, deque[RowSet]] = {}  # by `GridShape.row`
        self.made = 0  # rows so far

    def shape(self) -> GridShape:
        """Sample the shape of a batch."""
        rng, part = self.rng, self.rng.random()
        if part < 0.08:
            return GridShape(1, 1, rng.choice(((192, 192), (192, 192), (192, 144), (144, 192))), "stage 2")
        if part < 0.23:
            return GridShape(rng.choice((1, 1, 2)), rng.choice((1, 1, 2)), CELLS[0], "hole", worded=False)
        if part < 0.34:
            task = rng.choice(DESCRIBED)
            return GridShape(rng.choice((1, 1, 2, 3)), len(task.columns), CELLS[0], "caption")
        (task,) = rng.choices(list(self.tasks), list(self.tasks.values()))
        ((rows, queries),) = rng.choices(GRIDS, GRID_SHARES)
        if rows > 3 and len(task.columns) > 2:
            rows, queries = 3, min(queries, 2)
        worded = rows == 1 or rng.random() < 0.5
        return GridShape(rows, len(task.columns), rng.choice(CELLS), worded=worded, queries=queries)

    @torch.no_grad()
    def refresh(self, shape: GridShape | None = None) -> None:
        """Make one more row set."""
        shape = shape or self.shape()
        with torch.autocast(self.device.type, enabled=False):
            made = self.make(shape)
        self.sets.setdefault(shape.row, deque(maxlen=self.keep)).append(made)
        self.made += len(made.clean)

    def batch(self, size: int, sets: int = 16) -> Batch:
        """A batch of `size` grids, from up to `sets` row sets of one shape."""
        shape = self.shape()
        while shape.row not in self.sets:
            self.refresh(shape)
        kept = self.sets[shape.row]
        size = max(
            1, round(size * 96 / (shape.rows * shape.cols * shape.cell[0] * shape.cell[1] / TOKEN_PIXELS**2 + 32))
        )
        chosen = [self.rng.choice(kept) for _ in range(min(sets, size))]
        counts = [size // len(chosen) + (i < size % len(chosen)) for i in range(len(chosen))]
        wordings = [self.word(rows, shape) for rows in chosen]
        parts = [rows.grids(count, shape) for rows, count in zip(chosen, counts, strict=True)]
        *tensors, clip_ids, t5_ids, begun = zip(*parts, strict=True)
        clean, condition, targets, determined, emphasis = (torch.cat(one) for one in tensors)
        clip_ids, t5_ids = torch.cat(clip_ids), torch.cat(t5_ids)
        longest = int((t5_ids != 0).sum(1).max())  # padding is read as text: its length must not matter
        length = TINY_TEXT_TOKENS if self.rng.random() < PADDED_SHARE else -(-longest // 8) * 8
        return Batch(
            clean, condition, shape.ids.to(self.device), targets, determined, emphasis,
            clip_ids.to(self.device), t5_ids[:, :length].to(self.device),
            has_determined=any(wording.has_determined for wording in wordings),
            noise_shift=CAPTION_SHIFT if shape.what == "caption" else NOISE_SHIFT,
            begun=None if begun[0] is None else torch.cat(begun),
        )  # fmt: skip

    def _scenes(self, count: int) -> SceneBatch:
        return self.scenes[np.array([self.rng.randrange(len(self.scenes)) for _ in range(count)])]

    def _columns(self, columns: Sequence[str], scenes: SceneBatch, cell: tuple[int, int]) -> list[torch.Tensor]:
        """Images `(N, 3, h, w)` in 0..1 of each column; of photographs where no annotation is needed."""
        width, height = cell
        random_ = torch.Generator(self.device).manual_seed(self.rng.getrandbits(40))
        simple = all(kind == "image" or changes_images(kind) for kind in columns)
        if simple and self.photos.images and self.rng.random() < PHOTO_SHARE:
            crops = self.photos.sample(len(scenes), cell, self.rng)
            return [crops if kind == "image" else changed(crops, kind, random_) for kind in columns]
        return [draw(kind, scenes, height, width, random_, self.device) for kind in columns]

    def make(self, shape: GridShape) -> RowSet:
        """Render and encode rows of one task of this shape."""
        rng, cell, vae = self.rng, shape.cell, self.pipe.vae
        count = self.rows if shape.what != "stage 2" else max(2, self.rows // 3)
        scenes = self._scenes(count)
        if shape.what in ("stage 2", "hole"):
            columns = tuple(rng.choice(FILLED) for _ in range(shape.cols))
            while not may_be_blank_together(columns):  # a hole in one would be filled from the other: a held-out task
                columns = tuple(rng.choice(FILLED) for _ in range(shape.cols))
            task, blank = Task((), columns), tuple(range(shape.cols))
        else:
            pool = [t for t in (DESCRIBED if shape.what == "caption" else self.tasks) if len(t.columns) == shape.cols]
            weights = [self.tasks.get(t, 1.0) if shape.what == "task" else 1.0 for t in pool]
            task = concrete(rng.choices(pool, weights)[0], rng)
            inputs = rng.sample(task.inputs, len(task.inputs))  # conditions in any order
            columns = (*inputs, *task.outputs)
            if len(task.outputs) > 1:  # several answers may stand anywhere
                columns = tuple(rng.sample(columns, len(columns)))
            blank = (shape.cols - 1,) if shape.what == "caption" else draw_targets(task, columns, rng)
        images = self._columns(columns, scenes, cell)
        strip = eight_bits(torch.cat(images, dim=3))
        mask = cell_mask([c in blank for c in range(shape.cols)], cell).to(self.device).expand(count, -1, -1, -1)
        begun = None
        if shape.what == "hole":
            mask = random_holes(count, shape.cols, cell, rng).to(self.device)
        clean = pack(encode(vae, strip))
        if shape.what == "stage 2":
            known = pack(encode(vae, torch.full_like(strip, GREY)))
            begun = self._enlarged(strip)
        else:
            known = pack(encode(vae, torch.where(mask > 0, BLACK, strip)))
        tokens = pack_mask(mask)
        emphasis = torch.ones(count, tokens.shape[1], device=self.device)
        if shape.what == "caption":  # objects cover little beside the ground, but most words are about them
            shown = draw("mask", scenes, cell[1], cell[0], device=self.device).amax(1, keepdim=True) > 0
            emphasis[tokens.amax(-1) > 0] += 6 * F.avg_pool2d(shown.float(), TOKEN_PIXELS).flatten()
        half = clean.half(), known.half(), tokens.to(torch.uint8)
        made = RowSet(columns, blank, scenes, *half, emphasis, begun)
        self.word(made, shape)
        return made

    def word(self, rows: RowSet, shape: GridShape) -> Wording:
        """Word rows for grids of this shape; once for each shape they stand in."""
        if shape not in rows.wordings:
            texts, told = self._texts(shape, rows.columns, rows.blank, rows.scenes)
            determined = torch.zeros(rows.clean.shape[:2], dtype=torch.bool, device=self.device)
            if shape.what == "stage 2":
                determined[:] = True
            elif told:
                one = cell_mask([c in told for c in range(shape.cols)], shape.cell).to(self.device)
                determined[:] = (F.avg_pool2d(one, TOKEN_PIXELS) > 0.5).flatten(1)
            ids = tokenize(self.pipe, texts, TINY_TEXT_TOKENS)
            rows.wordings[shape] = Wording(*ids, determined, bool(told))
        return rows.wordings[shape]

    def _enlarged(self, large: torch.Tensor) -> torch.Tensor:
        """What stage 2 starts from: the small image as the VAE leaves it, enlarged as the pipeline does."""
        vae, (height, width) = self.pipe.vae, large.shape[-2:]
        small = F.interpolate(large, (height // UPSCALING, width // UPSCALING), mode="area")
        seen = decode(vae, encode(vae, small)).clamp(-1, 1)
        enlarged = torch.cat([enlarge(image, (width, height)) for image in to_images(seen)]).to(self.device)
        return pack(encode(vae, enlarged)).half()

    def _texts(self, shape: GridShape, columns, blank, scenes) -> tuple[list[str], list[int]]:
        """Prompts of each row as the query, and the target columns that have one right answer."""
        rng, count = self.rng, len(scenes)
        if shape.what == "stage 2":
            return [c if rng.random() < 0.6 else "" for c in scenes.captions()], list(blank)
        if shape.what == "hole":
            return [
                full_prompt(shape.rows, shape.cols, "", None) if rng.random() < 0.5 else "" for _ in range(count)
            ], []
        if not shape.worded:
            text, contents = "", [None] * count
        else:
            alone = shape.rows == 1
            text = column_prompt([phrase(k) for k in columns], blank) if alone or rng.random() < 0.8 else ""
            told = shape.what == "caption" or rng.random() < (0.3 if text else 1.0)
            contents = scenes.captions() if told else [None] * count
        known = [kind for c, kind in enumerate(columns) if c not in blank]
        clear = shape.rows > 1 or (text and not any(map(only_examples_tell, columns)))
        one_answer = [c for c in blank if clear and has_one_answer(columns[c], known)]
        return [full_prompt(shape.rows, shape.cols, text, content) for content in contents], one_answer


def random_holes(count: int, cols: int, cell: tuple[int, int], rng: random.Random) -> torch.Tensor:
    """Masks with one or two rectangles or discs each, `(count, 1, height, width * cols)` of 0 and 1."""
    width, height = cell[0] * cols, cell[1]
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    masks = torch.zeros(count, 1, height, width)
    for mask in masks:
        for _ in range(rng.choice((1, 1, 2))):
            w, h = (cell[i] * rng.uniform(0.2, 0.65) for i in (0, 1))
            left, top = rng.uniform(-0.1 * w, width - 0.9 * w), rng.uniform(-0.1 * h, height - 0.9 * h)
            u, v = (x - left) / w * 2 - 1, (y - top) / h * 2 - 1
            inside = u.square() + v.square() < 1 if rng.random() < 0.5 else (u.abs() < 1) & (v.abs() < 1)
            mask[0, inside] = 1
    return masks
