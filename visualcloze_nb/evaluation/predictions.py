"""Predictions of a model for toy-world tasks on held-out scenes, many grids in one batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from diffusers.utils.torch_utils import randn_tensor

from visualcloze_nb.data.layout import Layout
from visualcloze_nb.data.prompts import column_prompt, full_prompt
from visualcloze_nb.errors import UsageError
from visualcloze_nb.sampling.flow import euler_sample, schedule
from visualcloze_nb.sampling.latents import BLACK, cell_mask, condition, decode, encode, position_ids, unpack
from visualcloze_nb.sampling.text import Text, encode_ids, tokenize
from visualcloze_nb.settings import TINY_RESOLUTION, TOKEN_CHANNELS, VAE_SCALE
from visualcloze_nb.toyworld import Scene, Task, make_scene, phrase
from visualcloze_nb.toyworld.edit import exchange, recolour
from visualcloze_nb.toyworld.samples import draw_row
from visualcloze_nb.toyworld.scene_batch import SceneBatch

SIDE = TINY_RESOLUTION  # pixels along one side of a cell


@torch.no_grad()
def encode_prompts(pipe, prompts: Sequence[str]) -> Text:
    """Encode B prompts with both text encoders, each distinct one once."""
    different = list(dict.fromkeys(prompts))
    tokens = tokenize(pipe, different, pipe.tokenizer_2.model_max_length)
    text = encode_ids(pipe.text_encoder, pipe.text_encoder_2, *tokens)
    which = [different.index(prompt) for prompt in prompts]
    return Text(text.states[which], text.pooled[which], text.ids)


@torch.no_grad()
def fill_batch(
    pipe, rows: Sequence[torch.Tensor], targets: Sequence[int], prompts: list[str], steps: int, seed: int = 0
) -> torch.Tensor:
    """Fill many grids of one shape at once (stage 1).

    Args:
        pipe: the pipeline whose components are used.
        rows: one tensor per grid row, `(B, 3, 64, n 64)` in -1..1; the content of target cells is ignored.
        targets: blank columns of the last row, the same in all grids.
        prompts: B texts.
        steps: Euler steps.
        seed: of the noise and of the VAE's sampling.

    Returns:
        `(B, len(targets), 3, 64, 64)` in 0..1.
    """
    device, n_cols = pipe.vae.device, rows[0].shape[3] // SIDE
    layout = Layout(((SIDE, SIDE),) * len(rows), n_cols)
    generator = torch.Generator("cpu").manual_seed(seed)
    blank = cell_mask([c in targets for c in range(n_cols)], (SIDE, SIDE)).to(device).expand(len(prompts), -1, -1, -1)
    known = condition(
        pipe.vae,
        [*rows[:-1], torch.where(blank > 0, BLACK, rows[-1])],
        [torch.zeros_like(blank)] * (len(rows) - 1) + [blank],
        generator,
    )
    noise = randn_tensor((len(prompts), layout.total, TOKEN_CHANNELS), generator=generator, device=device)
    sigmas = schedule(steps, layout.total, pipe.scheduler.config)
    ids = position_ids(layout).to(device)
    text = encode_prompts(pipe, prompts)
    run = euler_sample(pipe.transformer, noise, known, ids, text, sigmas, layout=layout)
    last = deque(run, maxlen=1).pop()
    latents = unpack(last.after[:, layout.row_slices[-1]], SIDE // VAE_SCALE, n_cols * SIDE // VAE_SCALE)
    strips = (decode(pipe.vae, latents) * 0.5 + 0.5).clamp(0, 1)
    return torch.stack([strips[..., c * SIDE : (c + 1) * SIDE] for c in targets], dim=1)


@dataclass
class TaskPrediction:
    """Predictions of a model for one task, and their ground truth; images in 0..1, on the CPU.

    Attributes:
        columns: kinds of image, left to right.
        targets: columns that were blank.
        cells: `(B, columns, 3, 64, 64)`, the query rows, ground truth included.
        outputs: `(B, targets, 3, 64, 64)`, the predicted images.
        reconstructions: the same shape, the VAE's reconstruction of the ground truth.
    """

    columns: tuple[str, ...]
    targets: tuple[int, ...]
    cells: torch.Tensor
    outputs: torch.Tensor
    reconstructions: torch.Tensor

    @property
    def truths(self) -> torch.Tensor:
        return self.cells[:, list(self.targets)]

    @property
    def conditions(self) -> dict[str, torch.Tensor]:
        given = [c for c in range(len(self.columns)) if c not in self.targets]
        return {self.columns[c]: self.cells[:, c] for c in given}


def queries(scenes: int) -> list[Scene]:
    """The scenes of the queries: held out, and the same for every setting.

    Raises:
        ValueError: more than 1000 scenes, or none: examples and queries must differ.
    """
    if not 1 <= scenes <= 1000:
        raise UsageError(f"scenes is {scenes}, but must lie between 1 and 1000")
    return [make_scene(i) for i in range(scenes)]


def swapped(scene: Scene) -> Scene:
    """The scene with every colour and shape, and the ground, exchanged for others: the source of a wrong caption."""
    for _ in scene.objects:  # an edit changes the last object, so each is last once
        scene = replace(scene, objects=(*scene.objects[1:], scene.objects[0]))
        (scene,) = exchange(recolour(SceneBatch.of([scene]), 3), 2).scenes()
    return replace(scene, ground="mint" if scene.ground == "brown" else "brown")


@torch.no_grad()
def predict_task(
    pipe,
    task: Task,
    scenes: int = 24,
    examples: int = 2,
    steps: int = 20,
    text: bool = True,
    seed: int = 0,
    *,
    targets: Sequence[int] | None = None,
    caption: str | None = None,
    shown: Task | None = None,
    order: int = 0,
    given: Mapping[int, torch.Tensor] | None = None,
) -> TaskPrediction:
    """Predict one task on held-out scenes.

    Args:
        pipe: the pipeline under test.
        task: any task of the toy world.
        scenes: held-out queries, 1 to 1000; the examples are other held-out scenes.
        examples: in-context examples above the query.
        steps: Euler steps of stage 1.
        text: give the task prompt, or leave it out.
        seed: of all random numbers: noise, and the kinds of image that are drawn at random.
        targets: blank columns; else the task's outputs.
        caption: "true" or "swapped" (see `swapped`) gives a content prompt; None leaves it out.
        shown: the task that the examples show, where it differs (misleading examples); of as many columns as `task`.
        order: this many examples from above go to the end; 0 to `examples` - 1.
        given: column to images `(B, 3, 64, 64)` in 0..1 that are given in place of the exact condition.

    Returns:
        the predictions with their ground truth.

    Raises:
        ValueError: more than 1000 scenes, or none.
    """
    columns, shown = task.columns, shown or task
    targets = tuple(range(len(task.inputs), len(columns)) if targets is None else targets)
    query = queries(scenes)
    above = [[make_scene(row * 1000 + i) for i in range(scenes)] for row in range(1, examples + 1)]
    above = above[order:] + above[:order]
    generator = torch.Generator().manual_seed(seed)
    last = draw_row(columns, query, SIDE, SIDE, generator)
    rows = [draw_row(shown.columns, row, SIDE, SIDE, generator) for row in above]
    cells = torch.stack((last * 0.5 + 0.5).split(SIDE, dim=3), dim=1)
    for column, images in (given or {}).items():
        last[..., column * SIDE : (column + 1) * SIDE] = images * 2 - 1
    captions = {None: lambda s: None, "true": Scene.caption, "swapped": lambda s: swapped(s).caption()}[caption]
    wording = column_prompt([phrase(k) for k in columns], targets) if text else ""
    prompts = [full_prompt(examples + 1, len(columns), wording, captions(s)) for s in query]
    return predict_rows(pipe, columns, [*rows, last], targets, prompts, steps, seed, generator, cells)


@torch.no_grad()
def predict_rows(
    pipe, columns: Sequence[str], rows: Sequence[torch.Tensor], targets: Sequence[int], prompts: list[str],
    steps: int, seed: int, generator: torch.Generator, cells: torch.Tensor | None = None,
) -> TaskPrediction:  # fmt: skip
    """Predict the targets of given rows, and what the VAE makes of their ground truth.

    Args:
        pipe: the pipeline under test.
        columns: kinds of image, left to right.
        rows: as for `fill_batch`, the query row last.
        targets: blank columns.
        prompts: one a grid.
        steps: Euler steps of stage 1.
        seed: of the noise.
        generator: for the VAE's sampling of the ground truth.
        cells: the exact query rows, `(B, columns, 3, 64, 64)` in 0..1; unless given, the last row.
    """
    if cells is None:
        cells = torch.stack((rows[-1] * 0.5 + 0.5).split(SIDE, dim=3), dim=1)
    outputs = fill_batch(pipe, [row.to(pipe.vae.device) for row in rows], targets, prompts, steps, seed).cpu()
    exact = torch.cat(list(cells.unbind(1)), dim=3).to(pipe.vae.device) * 2 - 1
    reconstructions = (decode(pipe.vae, encode(pipe.vae, exact, generator)) * 0.5 + 0.5).clamp(0, 1).cpu()
    reconstructions = torch.stack([reconstructions[..., c * SIDE : (c + 1) * SIDE] for c in targets], dim=1)
    return TaskPrediction(tuple(columns), tuple(targets), cells, outputs, reconstructions)
