"""Claims about what answers show: conditions obeyed, several targets, reverse generation, captions."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch

from visualcloze_nb.evaluation.benchmark import (
    Ask,
    Band,
    Claim,
    Floor,
    band,
    judged,
    mean_score,
    row,
    score_row,
    share_row,
    task_row,
)
from visualcloze_nb.evaluation.metrics import agreement, colours_found, consistency, psnr, shapes_found
from visualcloze_nb.evaluation.predictions import Attempt, queries, swapped
from visualcloze_nb.evaluation.scores import errors_of, mean_image
from visualcloze_nb.toyworld import Task

CONDITIONS = ("edge", "depth", "mask")
SEVERAL = ("image > edge + depth", "image > depth + mask", "image > edge + depth + mask")
ALL_AT_ONCE = ("edge + depth > image", "subject + mask > image", "edge + grey > image")
CAPTIONS = {"true": "true caption", None: "no caption", "swapped": "swapped caption"}
OBEYED = (
    "The condition is found in the painted image again (edges: where colour changes fast, F1; depth and mask: what "
    "differs from a fitted ground, IoU). Score: 0 is what the better of the mean image and another scene's "
    "image reaches, 1 what the VAE's reconstruction of the truth reaches."
)


def obeyed(kind: str, made: Attempt, condition: torch.Tensor) -> np.ndarray:
    """Disagreement with a condition, of model, best trivial answer and VAE, `(N, 3)`."""
    truth = made.truths[:, 0]
    easy = [mean_image("image").expand_as(truth), truth.roll(1, 0)]
    best = max((agreement(kind, p, condition) for p in easy), key=lambda a: a.mean())
    found = agreement(kind, made.answers[:, 0], condition), best, agreement(kind, made.rebuilt[:, 0], condition)
    return 1 - torch.stack(found, dim=-1).double().numpy()


def _agreements(errors: np.ndarray) -> dict[str, float]:
    return dict(zip(("found", "trivial", "VAE"), (1 - errors.mean(0)).tolist(), strict=True))


def control(ask: Ask) -> Claim:
    """Edge, depth, mask to image: the condition is in the result."""
    claim = Claim("Conditions obeyed", OBEYED)
    errors = []
    for kind in CONDITIONS:
        made = ask(f"{kind} > image")
        errors.append(obeyed(kind, made, made.conditions[kind]))
        raw = _agreements(errors[-1])
        claim.rows.append(row(f"{kind} > image", "2 examples, text", mean_score, errors[-1], **raw))
        claim.bands.append(band(made, f"{kind} > image"))
    mean = score_row("mean", "2 examples, text", np.stack(errors, axis=1))
    claim.rows.append(mean)
    claim.floors.append(Floor("edge, depth, mask to image: condition found again", mean.value, 0.5, 0.85))
    return claim


def several(ask: Ask) -> Claim:
    """Several targets in one run against one at a time."""
    claim = Claim(
        "Several targets at once",
        "Score as for practised tasks. Ratio: mean score of several targets over that of one at a time. Agreement of "
        "two answers of one run (IoU of their things, F1 where one is an edge drawing), beside it of two runs, of the "
        "exact images. No two of these answers are ever blank together in training; others are.",
    )
    together, single = [], []
    for task in SEVERAL:
        made, kinds = ask(task), Task.parse(task).outputs
        apart = [ask(f"image > {kind}") for kind in kinds]
        claim.bands.append(band(made, task))
        for i in range(len(kinds)):
            together.append(errors_of(made, i))
            single.append(errors_of(apart[i]))
            alone = mean_score(single[-1])
            got = task_row(made, f"of {task}", i)
            claim.rows.append(score_row(got.what, got.asked, together[-1], **{"one at a time": alone}))
        for i, j in combinations(range(len(kinds)), 2):
            two = kinds[i], kinds[j]
            agreed = [consistency(two, pair).mean().item() for pair in (
                (apart[i].answers[:, 0], apart[j].answers[:, 0]), (made.truths[:, i], made.truths[:, j]))]  # fmt: skip
            values = consistency(two, (made.answers[:, i], made.answers[:, j])).double().numpy()
            raw = {"two runs": agreed[0], "exact": agreed[1]}
            claim.rows.append(row(f"{two[0]} and {two[1]} agree", f"of {task}", np.mean, values, **raw))
    both = np.stack([np.stack(together, axis=1), np.stack(single, axis=1)], axis=-1)  # (N, T, 3, 2)

    both = both[:, judged(both[..., 1])]

    def ratio(e):
        one = mean_score(e[..., 1])
        return mean_score(e[..., 0]) / one if one > 0 else np.nan

    claim.rows.append(row("mean", "ratio to one at a time", ratio, both))
    claim.floors.append(Floor("several targets: mean score against one at a time", claim.rows[-1].value, 0.8, 0.95))
    return claim


def reverse(ask: Ask) -> Claim:
    """The forward task's columns and kind of prompt, the image given and the conditions blank; and back again."""
    claim = Claim(
        "Reverse generation",
        "Score as for practised tasks. The conditions asked for together are never blank together in training. Round "
        f"trip: the conditions the model painted, given back to it. {OBEYED}",
    )
    for kind in CONDITIONS:
        made = ask(f"{kind} > image", targets=(0,))
        claim.rows.append(task_row(made, "one condition"))
        claim.bands.append(band(made, f"{kind} > image, backwards"))
        back = ask(f"{kind} > image", given={0: made.answers[:, 0]})
        errors = obeyed(kind, back, made.truths[:, 0])
        raw = _agreements(errors) | {"PSNR": float(psnr(back.answers[:, 0], back.truths[:, 0]).mean())}
        claim.rows.append(row(f"image > {kind} > image", "round trip", mean_score, errors, **raw))
        shown = {"image": back.truths[:, 0], f"{kind} painted": made.answers[:, 0]}
        shown["painted from it"] = back.answers[:, 0]
        claim.bands.append(Band(f"image > {kind} > image", shown))
    errors = []
    for task in ALL_AT_ONCE:
        made = ask(task, targets=(0, 1))
        claim.bands.append(band(made, f"{task}, backwards"))
        for i in range(2):
            errors.append(errors_of(made, i))
            claim.rows.append(task_row(made, f"all conditions of {task}", i))
    mean = score_row("mean", "all conditions at once", np.stack(errors, axis=1))
    claim.rows.append(mean)
    claim.floors.append(Floor("reverse, all conditions at once", mean.value, 0.4, 0.8))
    return claim


def content(ask: Ask) -> Claim:
    """The caption decides what the conditions leave open."""
    claim = Claim(
        "Content prompt",
        "Percent of the named things whose painted colour is the true one (mean colour where the thing is, nearest of "
        "eight). Beside it: painted as the swapped caption says; the subject's shape, true or as swapped. A swapped "
        "caption names other colours and shapes. The truth itself gives the last row.",
    )
    scenes = queries(ask.scenes)
    others = [swapped(s) for s in scenes]
    gained = []
    for task in ("edge > image", "depth > image"):
        hits = {}
        for caption, asked in CAPTIONS.items():
            made = ask(task, caption=caption)
            hits[caption], raw = _named(made.answers[:, 0], scenes, others)
            claim.rows.append(share_row(task, asked, hits[caption], **raw))
            claim.bands.append(band(made, f"{task}, {asked}"))
        gained.append(hits["true"] - hits[None])
    claim.rows.append(share_row("mean", "true caption less none, points", np.nanmean(gained, axis=0)))
    exact, raw = _named(made.truths[:, 0], scenes, others)
    claim.rows.append(share_row("exact image", "", exact, **raw))
    claim.floors.append(Floor("named colour found: caption less none, points", claim.rows[-2].value, 30, 60))
    return claim


def _named(images, scenes, others) -> tuple[np.ndarray, dict[str, float]]:
    """For each scene the share of its (one or two) named things in their true colour; and shares of other things."""
    true, wrong = [], []
    for number in (0, 1):
        found = colours_found(images, scenes, number)
        for into, told in ((true, scenes), (wrong, others)):
            here = [
                np.nan if name is None else float(name == s.objects[-1 - number].colour)
                for name, s in zip(found, told, strict=True)
            ]
            into.append(here)
    shapes = shapes_found(images, scenes)

    def shape(told):
        return 100 * float(np.mean([name == s.subject.shape for name, s in zip(shapes, told, strict=True)]))

    raw = {"as swapped": 100 * float(np.nanmean(wrong)), "shape": shape(scenes), "shape as swapped": shape(others)}
    return np.nanmean(true, axis=0), raw
