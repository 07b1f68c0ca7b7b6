"""Benchmarks of tasks: trained ones, effect of examples and text, misleading examples, unseen tasks, steps, order."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from visualcloze_nb.evaluation.benchmark import (
    MIN_MARGIN,
    Benchmark,
    CachedPredictor,
    Floor,
    band,
    has_score,
    mean_score,
    row,
    score_row,
    share_row,
    task_row,
    worst_tenth,
)
from visualcloze_nb.evaluation.predictions import SIDE, queries
from visualcloze_nb.evaluation.scores import SPINE, errors_of, mean_image, rmse
from visualcloze_nb.toyworld import HELD_OUT, TRAINED_TASKS, Task, draw
from visualcloze_nb.toyworld.graph import changed, changes_images
from visualcloze_nb.toyworld.splits import TRAINED_NUMBERS

GROUPS = {
    "dense prediction": ("> edge", "> depth", "> mask", "> normals", "> instances"),
    "restoration": ("pixelated", "blurred", "noisy", "speckled", "holed", "grey", "dark", "faded", "posterised"),
    "conditional": ("edge", "depth", "mask", "edge + depth", "edge + grey", "normals + background"),
    "subject": ("subject + depth", "subject + mask", "subject + edge"),
    "extraction": ("> subject", "> foreground", "> background"),
    "style": ("image + style > styled", "edge + subject + style > styled"),
    "edit": ("> removed", "> recolour *", "> replace *", "> move *"),
    "relight": ("> light *",),
    "families": ("> grey", "> negative", "> hue *", "> mix *", "> flipped", "> turn *", "> shift *"),
}  # fmt: skip
"""Trained tasks by family; a missing side is `image`, and `*` is one trained number, see `with_number`."""
SCORE = (
    "Score: 0 is the best baseline (a copied condition or the mean image), 1 the VAE's own reconstruction. Where the "
    f"VAE's error is not {MIN_MARGIN:.0%} below the baseline's there is no score, and means leave the task out."
)
UNSEEN_FLOORS = {"interpolated": 0.0, "changes composed": 0.1, "edges composed": 0.45}
MISLEADING = (  # what the text says, what the examples show
    ("image > edge", "image > depth"),
    ("image > depth", "image > mask"),
    ("image > mask", "image > grey"),
    ("image > grey", "image > negative"),
)


def with_number(task: str) -> str:
    """The task with a trained number in place of `*`, always the same one of each family."""
    name = task.split()[-2]
    return task.replace("*", str(TRAINED_NUMBERS[name][len(TRAINED_NUMBERS[name]) // 3])) if "*" in task else task


def tasks_of(group: str) -> list[str]:
    """The tasks of one of `GROUPS`, in full."""
    return [
        with_number(t if " > " in t else f"image {t}" if t.startswith(">") else f"{t} > image") for t in GROUPS[group]
    ]


REPRESENTATIVE = ("image > edge", "pixelated > image", with_number("image > hue *"), "subject + depth > image")


def in_domain(predictor: CachedPredictor) -> Benchmark:
    """Every family of trained tasks, with two examples and text."""
    benchmark = Benchmark("Trained tasks", f"{SCORE} Two examples, task text.")
    errors = {}
    for group in GROUPS:
        for task in tasks_of(group):
            prediction = predictor(task)
            errors.setdefault(group, []).append(errors_of(prediction))
            benchmark.rows.append(task_row(prediction, group))
            benchmark.bands.append(band(prediction, task))
        benchmark.rows.append(score_row("mean", group, np.stack(errors[group], axis=1)))
    both = np.stack(errors["dense prediction"] + errors["restoration"], axis=1)
    benchmark.rows.append(score_row("mean", "dense prediction and restoration", both))
    benchmark.floors.append(Floor("dense prediction and restoration, mean score", benchmark.rows[-1].value, 0.72, 0.9))
    for kind, bound in (("edge", 0.65), ("mask", 0.72)):
        found = next(r for r in benchmark.rows if r.what == f"image > {kind}")
        benchmark.floors.append(Floor(f"image > {kind}, score", found.value, bound, 0.9))
    for group, task in (("style", ""), ("relight", ""), ("edit", "recolour"), ("edit", "replace")):
        rows = [r for r in benchmark.rows if r.setting == group and (f"> {task} " in r.what or not task)]
        benchmark.floors.append(Floor(f"{task or group}, score", rows[-1].value, 0.2, 0.6, strict=True))
    every = np.stack([e for of_group in errors.values() for e in of_group], axis=1)
    kept = every[:, has_score(every)]
    benchmark.rows.append(row("worst tenth", "answers of all trained tasks", worst_tenth, kept))
    benchmark.floors.append(
        Floor("worst tenth of answers, trained tasks", benchmark.rows[-1].value, 0.0, 0.4, strict=True)
    )
    return benchmark


def examples(predictor: CachedPredictor) -> Benchmark:
    """A few tasks with 0 to 3 examples, with and without text; and the error ratio of two examples to none."""
    benchmark = Benchmark(
        "Examples and text",
        f"{SCORE} The last row is not a score but a ratio: RMSE with two examples over RMSE with none, both without "
        "task text, mean over all trained tasks of two columns.",
    )
    for text in (True, False):
        for count in range(4):
            setting = f"{count} examples, {'text' if text else 'no text'}"
            prediction = [
                predictor(task, examples=count, text=text, scenes=predictor.few_scenes) for task in REPRESENTATIVE
            ]
            benchmark.rows += [task_row(m, setting) for m in prediction]
            benchmark.rows.append(score_row("mean", setting, np.stack([errors_of(m) for m in prediction], axis=1)))
            benchmark.bands.append(band(prediction[2], f"{REPRESENTATIVE[2]}, {setting}"))
    two = [task for group in GROUPS for task in tasks_of(group) if len(Task.parse(task).columns) == 2]
    pairs = [[predictor(task, examples=n, text=False, scenes=predictor.few_scenes) for n in (2, 0)] for task in two]
    errors = np.stack([np.stack([errors_of(m)[:, 0] for m in pair], axis=-1) for pair in pairs], axis=1)  # (N, T, 2)
    setting = "error ratio of 2 examples to 0, no text"
    benchmark.rows.append(
        row(f"mean of {len(two)} tasks", setting, lambda e: (e.mean(0)[:, 0] / e.mean(0)[:, 1]).mean(), errors)
    )
    floor = Floor(
        "two examples against none, no text: mean error ratio", benchmark.rows[-1].value, 0.7, 0.3, at_most=True
    )
    benchmark.floors.append(floor)
    return benchmark


def misleading(predictor: CachedPredictor) -> Benchmark:
    """Examples of another task than the text says: which does the prediction follow?"""
    benchmark = Benchmark(
        "Misleading examples",
        "Percent of scenes where the prediction is nearest (RMSE) to what the examples' task gives. Beside it: nearest "
        "to what the text's task gives, and to neither, that is to the input or to a mean image of either kind.",
    )
    for count in (1, 2, 3):
        all_follow = []
        for said, shown in MISLEADING:
            text_task, other = Task.parse(said), Task.parse(shown)
            prediction = predictor(text_task, shown=other, examples=count, scenes=predictor.few_scenes)
            kinds = other.columns[-1], text_task.columns[-1]
            exact = [draw(kind, queries(predictor.few_scenes), SIDE, SIDE) for kind in kinds]
            baselines = [*prediction.conditions.values(), *(mean_image(kind) for kind in kinds)]
            output = prediction.outputs[:, 0]
            away = torch.stack([rmse(output, p) for p in (*exact, *baselines)]).argmin(0).clamp(max=2)
            all_follow.append(away.numpy())
            if count == 2:
                benchmark.bands.append(band(prediction, f"text: {said}; examples: {shown}"))
            benchmark.rows.append(_followed_row(f"text: {said}; examples: {kinds[0]}", count, away.numpy()[:, None]))
        benchmark.rows.append(_followed_row("mean", count, np.stack(all_follow, axis=1)))
    return benchmark


def _followed_row(what: str, count: int, which: np.ndarray):
    """A row of what was followed: 0 the examples, 1 the text, 2 neither; `(N, T)`."""
    shares = {name: 100 * float((which == n).mean()) for n, name in enumerate(("examples", "text", "neither"))}
    return share_row(what, f"{count} examples", (which == 0).mean(1), **shares)


@lru_cache(maxsize=8)
def trained_outputs(kind: str, scenes: int, mixes: int = 48) -> dict[str, torch.Tensor]:
    """Every kind of image that stands beside this one in a trained grid, drawn exactly.

    Of the channel mixes, which are hundreds, only the first `mixes`.
    """
    found, shown = {}, queries(scenes)
    images = draw("image", shown, SIDE, SIDE)
    for other in sorted({c for task in TRAINED_TASKS if kind in task.columns for c in task.columns} - {kind}):
        name = other.removesuffix(" *").split(" then ")[-1]
        numbers = TRAINED_NUMBERS[name][:mixes] if name == "mix" else TRAINED_NUMBERS.get(name, (None,))
        for number in numbers if "*" in other else (None,):
            filled = other if number is None else other.replace("*", str(number))
            generator = torch.Generator().manual_seed(0)
            if changes_images(filled):  # the image need not be drawn again for each
                found[filled] = changed(images, filled, generator)
            else:
                found[filled] = draw(filled, shown, SIDE, SIDE, generator)
    return found


def unseen(predictor: CachedPredictor) -> Benchmark:
    """Held-out tasks, against the best exact output of any trained task."""
    benchmark = Benchmark(
        "Unseen tasks",
        "Score: 0 is the better of the best baseline and the best exact image of any kind that is trained "
        "beside the input, any trained number included; 1 is the VAE's own reconstruction. Two examples, task text. "
        "A score is not steady where a trained output is nearly as good as the VAE's; so the rows of all tasks "
        "together average the errors, not the scores. Each kind has a floor of its own.",
    )
    errors = {}
    for kind, tasks in HELD_OUT.items():
        for task in tasks:
            prediction = predictor(task)
            known = trained_outputs(task.inputs[0], predictor.scenes)
            truth = prediction.truths[:, 0]
            best = min(known, key=lambda name: float(rmse(known[name], truth).mean()))
            benchmark.rows.append(task_row(prediction, f"{kind}; nearest trained: {best}", baseline=[*known.values()]))
            errors.setdefault(kind, []).append(errors_of(prediction, baseline=[*known.values()]))
            benchmark.bands.append(band(prediction, f"{task} ({kind})"))
        benchmark.rows.append(score_row("all", kind, np.mean(errors[kind], axis=0)))
        if kind in UNSEEN_FLOORS:
            floor = Floor(f"unseen, {kind}: score", benchmark.rows[-1].value, UNSEEN_FLOORS[kind], 0.5, strict=True)
            benchmark.floors.append(floor)
    return benchmark


def steps(predictor: CachedPredictor) -> Benchmark:
    """Fewer steps against thirty."""
    benchmark = Benchmark("Steps", f"{SCORE} Mean over tasks; beside it that mean over the one of 30 steps.")
    errors = {}
    for count in (30, 8, 4):
        prediction = [predictor(task, steps=count, scenes=predictor.few_scenes) for task in SPINE]
        errors[count] = np.stack([errors_of(m) for m in prediction], axis=1)
        kept = has_score(errors[30])
        most = mean_score(errors[30][:, kept])
        ratio = mean_score(errors[count][:, kept]) / most if most > 0 else np.nan
        benchmark.rows.append(score_row(f"mean of {len(SPINE)} tasks", f"{count} steps", errors[count], ratio=ratio))
        benchmark.bands.append(band(prediction[0], f"{SPINE[0]}, {count} steps"))
    benchmark.floors.append(Floor("8 steps over 30 steps, mean score", benchmark.rows[1].raw["ratio"], 0.9, 0.98))
    return benchmark


def order(predictor: CachedPredictor) -> Benchmark:
    """The same three examples in three orders."""
    benchmark = Benchmark(
        "Order of the examples", f"{SCORE} Three examples; spread is the largest score less the smallest."
    )
    for task in REPRESENTATIVE:
        scores = [
            score_row("", "", errors_of(predictor(task, examples=3, order=n, scenes=predictor.few_scenes)))
            for n in range(3)
        ]
        values = [s.value for s in scores]
        errors = np.stack(
            [errors_of(predictor(task, examples=3, order=n, scenes=predictor.few_scenes)) for n in range(3)], axis=1
        )
        raw = {f"order {n + 1}": v for n, v in enumerate(values)} | {"spread": max(values) - min(values)}
        benchmark.rows.append(row(task, "mean of three orders", mean_score, errors, **raw))
    return benchmark
