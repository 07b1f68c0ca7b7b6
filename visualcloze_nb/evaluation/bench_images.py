"""Benchmarks of generated images: agreement with conditions, several targets, reverse generation, captions."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch

from visualcloze_nb.evaluation.benchmark import (
    Band,
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
)
from visualcloze_nb.evaluation.metrics import agreement, colours_found, consistency, psnr, shapes_found
from visualcloze_nb.evaluation.predictions import TaskPrediction, queries, swapped
from visualcloze_nb.evaluation.scores import errors_of, mean_image
from visualcloze_nb.toyworld import Task

CONDITIONS = ("edge", "depth", "mask")
SEVERAL = ("image > edge + depth", "image > depth + mask", "image > edge + depth + mask")
ALL_AT_ONCE = ("edge + depth > image", "subject + mask > image", "edge + grey > image")
CAPTIONS = {"true": "true caption", None: "no caption", "swapped": "swapped caption"}
AGREEMENT = (
    "The condition is recovered from the predicted image (edges: where colour changes fast, F1; depth and mask: what "
    "differs from a fitted ground, IoU). Score: 0 is what the better of the mean image and another scene's "
    "image reaches, 1 what the VAE's reconstruction of the ground truth reaches."
)


def condition_errors(kind: str, prediction: TaskPrediction, condition: torch.Tensor) -> np.ndarray:
    """Disagreement with a condition, of the model, the best baseline and the VAE, `(N, 3)`."""
    truth = prediction.truths[:, 0]
    baselines = [mean_image("image").expand_as(truth), truth.roll(1, 0)]
    best = max((agreement(kind, p, condition) for p in baselines), key=lambda a: a.mean())
    found = (
        agreement(kind, prediction.outputs[:, 0], condition),
        best,
        agreement(kind, prediction.reconstructions[:, 0], condition),
    )
    return 1 - torch.stack(found, dim=-1).double().numpy()


def _agreements(errors: np.ndarray) -> dict[str, float]:
    return dict(zip(("found", "baseline", "VAE"), (1 - errors.mean(0)).tolist(), strict=True))


def control(predictor: CachedPredictor) -> Benchmark:
    """Edge, depth, mask to image: the condition is recovered from the result."""
    benchmark = Benchmark("Agreement with conditions", AGREEMENT)
    errors = []
    for kind in CONDITIONS:
        prediction = predictor(f"{kind} > image")
        errors.append(condition_errors(kind, prediction, prediction.conditions[kind]))
        raw = _agreements(errors[-1])
        benchmark.rows.append(row(f"{kind} > image", "2 examples, text", mean_score, errors[-1], **raw))
        benchmark.bands.append(band(prediction, f"{kind} > image"))
    mean = score_row("mean", "2 examples, text", np.stack(errors, axis=1))
    benchmark.rows.append(mean)
    benchmark.floors.append(Floor("edge, depth, mask to image: condition recovered", mean.value, 0.5, 0.85))
    return benchmark


def several(predictor: CachedPredictor) -> Benchmark:
    """Several targets in one run against one at a time."""
    benchmark = Benchmark(
        "Several targets at once",
        "Score as for trained tasks. Ratio: mean score of several targets over that of one at a time. Agreement of "
        "two predictions of one run (IoU of their objects, F1 where one is an edge drawing), beside it of two runs, "
        "of the exact images. No two of these targets are ever blank together in training; others are.",
    )
    together, single = [], []
    for task in SEVERAL:
        prediction, kinds = predictor(task), Task.parse(task).outputs
        apart = [predictor(f"image > {kind}") for kind in kinds]
        benchmark.bands.append(band(prediction, task))
        for i in range(len(kinds)):
            together.append(errors_of(prediction, i))
            single.append(errors_of(apart[i]))
            alone = mean_score(single[-1])
            got = task_row(prediction, f"of {task}", i)
            benchmark.rows.append(score_row(got.what, got.setting, together[-1], **{"one at a time": alone}))
        for i, j in combinations(range(len(kinds)), 2):
            two = kinds[i], kinds[j]
            agreed = [consistency(two, pair).mean().item() for pair in (
                (apart[i].outputs[:, 0], apart[j].outputs[:, 0]),
                (prediction.truths[:, i], prediction.truths[:, j]),
            )]  # fmt: skip
            values = consistency(two, (prediction.outputs[:, i], prediction.outputs[:, j])).double().numpy()
            raw = {"two runs": agreed[0], "exact": agreed[1]}
            benchmark.rows.append(row(f"{two[0]} and {two[1]} agree", f"of {task}", np.mean, values, **raw))
    both = np.stack([np.stack(together, axis=1), np.stack(single, axis=1)], axis=-1)  # (N, T, 3, 2)

    both = both[:, has_score(both[..., 1])]

    def ratio(e):
        one = mean_score(e[..., 1])
        return mean_score(e[..., 0]) / one if one > 0 else np.nan

    benchmark.rows.append(row("mean", "ratio to one at a time", ratio, both))
    benchmark.floors.append(
        Floor("several targets: mean score against one at a time", benchmark.rows[-1].value, 0.95, 0.98)
    )
    return benchmark


def reverse(predictor: CachedPredictor) -> Benchmark:
    """The forward task's columns and prompt, with the image given and the conditions blank; and the round trip."""
    benchmark = Benchmark(
        "Reverse generation",
        "Score as for trained tasks. The conditions that are targets together are never blank together in training. "
        f"Round trip: the predicted conditions are given back to the model. {AGREEMENT}",
    )
    for kind in CONDITIONS:
        prediction = predictor(f"{kind} > image", targets=(0,))
        benchmark.rows.append(task_row(prediction, "one condition"))
        benchmark.bands.append(band(prediction, f"{kind} > image, backwards"))
        back = predictor(f"{kind} > image", given={0: prediction.outputs[:, 0]})
        errors = condition_errors(kind, back, prediction.truths[:, 0])
        raw = _agreements(errors) | {"PSNR": float(psnr(back.outputs[:, 0], back.truths[:, 0]).mean())}
        benchmark.rows.append(row(f"image > {kind} > image", "round trip", mean_score, errors, **raw))
        shown = {"image": back.truths[:, 0], f"{kind} predicted": prediction.outputs[:, 0]}
        shown["predicted from it"] = back.outputs[:, 0]
        benchmark.bands.append(Band(f"image > {kind} > image", shown))
    errors = []
    for task in ALL_AT_ONCE:
        prediction = predictor(task, targets=(0, 1))
        benchmark.bands.append(band(prediction, f"{task}, backwards"))
        for i in range(2):
            errors.append(errors_of(prediction, i))
            benchmark.rows.append(task_row(prediction, f"all conditions of {task}", i))
    mean = score_row("mean", "all conditions at once", np.stack(errors, axis=1))
    benchmark.rows.append(mean)
    benchmark.floors.append(Floor("reverse, all conditions at once", mean.value, 0.7, 0.85))
    return benchmark


def content(predictor: CachedPredictor) -> Benchmark:
    """The caption decides what the conditions leave open."""
    benchmark = Benchmark(
        "Content prompt",
        "Percent of the named objects whose predicted colour is the true one (mean colour where the object is, nearest "
        "of eight). Beside it: coloured as the swapped caption says; the subject's shape, true or as swapped. A swapped"
        " caption names other colours and shapes. The ground truth itself gives the row of exact images. Where the "
        "empty background is given, the figure is the percent of subjects of the named shape.",
    )
    scenes = queries(predictor.scenes)
    others = [swapped(s) for s in scenes]
    gained = []
    for task in ("edge > image", "depth > image"):
        hits = {}
        for caption, setting in CAPTIONS.items():
            prediction = predictor(task, caption=caption)
            hits[caption], raw = _colours_named(prediction.outputs[:, 0], scenes, others)
            benchmark.rows.append(share_row(task, setting, hits[caption], **raw))
            benchmark.bands.append(band(prediction, f"{task}, {setting}"))
        gained.append(hits["true"] - hits[None])
    benchmark.rows.append(share_row("mean", "true caption less none, points", np.nanmean(gained, axis=0)))
    exact, raw = _colours_named(predictor("edge > image", caption=None).truths[:, 0], scenes, others)
    benchmark.rows.append(share_row("exact image", "", exact, **raw))
    benchmark.floors.append(Floor("named colour found: caption less none, points", benchmark.rows[-2].value, 70, 85))
    named = {c: _shapes_named(predictor("background > image", caption=c), scenes) for c in ("true", None)}
    for caption, hits in named.items():
        benchmark.rows.append(share_row("background > image: shape", CAPTIONS[caption], hits))
        benchmark.bands.append(band(predictor("background > image", caption=caption), CAPTIONS[caption]))
    gain = share_row("background > image: shape", "true caption less none, points", named["true"] - named[None])
    benchmark.rows.append(gain)
    benchmark.floors.append(Floor("named shape found: caption less none, points", gain.value, 30, 60))
    return benchmark


def _shapes_named(prediction: TaskPrediction, scenes) -> np.ndarray:
    """Whether the subject has the shape that its scene names, `(N,)` of 0 and 1."""
    found = shapes_found(prediction.outputs[:, 0], scenes)
    return np.array([float(name == s.subject.shape) for name, s in zip(found, scenes, strict=True)])


def _colours_named(images, scenes, others) -> tuple[np.ndarray, dict[str, float]]:
    """For each scene the share of its (one or two) named objects in their true colour; and other shares."""
    true, wrong = [], []
    for number in (0, 1):
        found = colours_found(images, scenes, number)
        for into, named in ((true, scenes), (wrong, others)):
            here = [
                np.nan if name is None else float(name == s.objects[-1 - number].colour)
                for name, s in zip(found, named, strict=True)
            ]
            into.append(here)
    shapes = shapes_found(images, scenes)

    def shape(named):
        return 100 * float(np.mean([name == s.subject.shape for name, s in zip(shapes, named, strict=True)]))

    raw = {"as swapped": 100 * float(np.nanmean(wrong)), "shape": shape(scenes), "shape as swapped": shape(others)}
    return np.nanmean(true, axis=0), raw
