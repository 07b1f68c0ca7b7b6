"""Claims about tasks: practised ones, what examples and text are worth, lies, unseen tasks, steps, order."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from visualcloze_nb.evaluation.benchmark import (
    ROOM,
    Ask,
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
"""Practised tasks by family; what is not written is `image`, and `*` is one practised number, see `settled`."""
SCORE = (
    "Score: 0 is the best trivial answer (a condition copied, the mean image), 1 the VAE's own reconstruction. Where "
    f"the VAE's error is not {ROOM:.0%} below the trivial answer's there is no score, and means leave the task out."
)
LIES = (  # what the text says, what the examples show
    ("image > edge", "image > depth"),
    ("image > depth", "image > mask"),
    ("image > mask", "image > grey"),
    ("image > grey", "image > negative"),
)


def settled(task: str) -> str:
    """The task with a practised number in place of `*`: of each family always the same."""
    name = task.split()[-2]
    return task.replace("*", str(TRAINED_NUMBERS[name][len(TRAINED_NUMBERS[name]) // 3])) if "*" in task else task


def tasks_of(group: str) -> list[str]:
    """The tasks of one of `GROUPS`, in full."""
    return [settled(t if " > " in t else f"image {t}" if t.startswith(">") else f"{t} > image") for t in GROUPS[group]]


REPRESENTATIVE = ("image > edge", "pixelated > image", settled("image > hue *"), "subject + depth > image")


def in_domain(ask: Ask) -> Claim:
    """Every family of practised tasks, with two examples and text."""
    claim = Claim("Practised tasks", f"{SCORE} Two examples, task text.")
    errors = {}
    for group in GROUPS:
        for task in tasks_of(group):
            made = ask(task)
            errors.setdefault(group, []).append(errors_of(made))
            claim.rows.append(task_row(made, group))
            claim.bands.append(band(made, task))
        claim.rows.append(score_row("mean", group, np.stack(errors[group], axis=1)))
    both = np.stack(errors["dense prediction"] + errors["restoration"], axis=1)
    claim.rows.append(score_row("mean", "dense prediction and restoration", both))
    claim.floors.append(Floor("dense prediction and restoration, mean score", claim.rows[-1].value, 0.6, 0.9))
    return claim


def examples(ask: Ask) -> Claim:
    """A few tasks with 0 to 3 examples, with and without text; and the error ratio of two examples to none."""
    claim = Claim(
        "Examples and text",
        f"{SCORE} The last row is not a score but a ratio: RMSE with two examples over RMSE with none, both without "
        "task text, mean over all practised tasks of two columns.",
    )
    for text in (True, False):
        for count in range(4):
            asked = f"{count} examples, {'text' if text else 'no text'}"
            made = [ask(task, examples=count, text=text, scenes=ask.few) for task in REPRESENTATIVE]
            claim.rows += [task_row(m, asked) for m in made]
            claim.rows.append(score_row("mean", asked, np.stack([errors_of(m) for m in made], axis=1)))
            claim.bands.append(band(made[2], f"{REPRESENTATIVE[2]}, {asked}"))
    two = [task for group in GROUPS for task in tasks_of(group) if len(Task.parse(task).columns) == 2]
    pairs = [[ask(task, examples=n, text=False, scenes=ask.few) for n in (2, 0)] for task in two]
    errors = np.stack([np.stack([errors_of(m)[:, 0] for m in pair], axis=-1) for pair in pairs], axis=1)  # (N, T, 2)
    asked = "error ratio of 2 examples to 0, no text"
    claim.rows.append(
        row(f"mean of {len(two)} tasks", asked, lambda e: (e.mean(0)[:, 0] / e.mean(0)[:, 1]).mean(), errors)
    )
    floor = Floor("two examples against none, no text: mean error ratio", claim.rows[-1].value, 0.7, 0.3, at_most=True)
    claim.floors.append(floor)
    return claim


def lying(ask: Ask) -> Claim:
    """Examples of another task than the text says: which does the answer follow?"""
    claim = Claim(
        "Examples that lie",
        "Percent of scenes where the answer is nearest (RMSE) to what the examples' task gives. Beside it: nearest to "
        "what the text's task gives, and to neither, that is to the input or to a mean image of either kind.",
    )
    for count in (1, 2, 3):
        all_follow = []
        for said, shown in LIES:
            told, other = Task.parse(said), Task.parse(shown)
            made = ask(told, shown=other, examples=count, scenes=ask.few)
            kinds = other.columns[-1], told.columns[-1]
            exact = [draw(kind, queries(ask.few), SIDE, SIDE) for kind in kinds]
            easy = [*made.conditions.values(), *(mean_image(kind) for kind in kinds)]
            answer = made.answers[:, 0]
            away = torch.stack([rmse(answer, p) for p in (*exact, *easy)]).argmin(0).clamp(max=2)
            all_follow.append(away.numpy())
            if count == 2:
                claim.bands.append(band(made, f"text: {said}; examples: {shown}"))
            claim.rows.append(_followed(f"text: {said}; examples: {kinds[0]}", count, away.numpy()[:, None]))
        claim.rows.append(_followed("mean", count, np.stack(all_follow, axis=1)))
    return claim


def _followed(what: str, count: int, which: np.ndarray):
    """A row of what was followed: 0 the examples, 1 the text, 2 neither; `(N, T)`."""
    shares = {name: 100 * float((which == n).mean()) for n, name in enumerate(("examples", "text", "neither"))}
    return share_row(what, f"{count} examples", (which == 0).mean(1), **shares)


@lru_cache(maxsize=8)
def practised_answers(kind: str, scenes: int, mixes: int = 48) -> dict[str, torch.Tensor]:
    """Every kind of image that stands in a practised grid beside this one, drawn exactly.

    Of the channel mixes, which are hundreds, only the first `mixes`.
    """
    found, shown = {}, queries(scenes)
    images = draw("image", shown, SIDE, SIDE)
    for other in sorted({c for task in TRAINED_TASKS if kind in task.columns for c in task.columns} - {kind}):
        name = other.removesuffix(" *").split(" then ")[-1]
        numbers = TRAINED_NUMBERS[name][:mixes] if name == "mix" else TRAINED_NUMBERS.get(name, (None,))
        for number in numbers if "*" in other else (None,):
            filled = other if number is None else other.replace("*", str(number))
            chance = torch.Generator().manual_seed(0)
            if changes_images(filled):  # the image need not be drawn again for each
                found[filled] = changed(images, filled, chance)
            else:
                found[filled] = draw(filled, shown, SIDE, SIDE, chance)
    return found


def unseen(ask: Ask) -> Claim:
    """Held-out tasks, against the best exact answer that any practised task would give."""
    claim = Claim(
        "Unseen tasks",
        "Score: 0 is the better of the best trivial answer and the best exact image of any kind that is practised "
        "beside the input, any practised number included; 1 is the VAE's own reconstruction. Two examples, task text. "
        "A score is not steady where a practised answer is nearly as good as the VAE's; so the rows of all tasks "
        "together average the errors, not the scores. In the last row, which has the floor, each of its three kinds "
        "counts alike. Half as many scenes again as elsewhere, for the floor is on an interval's end.",
    )
    errors, scenes = {}, ask.scenes * 3 // 2
    for kind, tasks in HELD_OUT.items():
        for task in tasks:
            made = ask(task, scenes=scenes)
            known = practised_answers(task.inputs[0], scenes)
            truth = made.truths[:, 0]
            best = min(known, key=lambda name: float(rmse(known[name], truth).mean()))
            claim.rows.append(task_row(made, f"{kind}; nearest practised: {best}", trivial=[*known.values()]))
            errors.setdefault(kind, []).append(errors_of(made, trivial=[*known.values()]))
            claim.bands.append(band(made, f"{task} ({kind})"))
        claim.rows.append(score_row("all", kind, np.mean(errors[kind], axis=0)))
    three = [np.mean(errors[kind], axis=0) for kind in ("interpolated", "changes composed", "edges composed")]
    mean = score_row("all", "interpolated and composed", np.mean(three, axis=0))
    claim.rows.append(mean)
    claim.floors.append(Floor("unseen, composed or interpolated: lower end of 95 %", mean.low, 0.0, 0.5, strict=True))
    return claim


def steps(ask: Ask) -> Claim:
    """Fewer steps against thirty."""
    claim = Claim("Steps", f"{SCORE} Mean over tasks; beside it that mean over the one of 30 steps.")
    errors = {}
    for count in (30, 8, 4):
        made = [ask(task, steps=count, scenes=ask.few) for task in SPINE]
        errors[count] = np.stack([errors_of(m) for m in made], axis=1)
        kept = judged(errors[30])
        most = mean_score(errors[30][:, kept])
        ratio = mean_score(errors[count][:, kept]) / most if most > 0 else np.nan
        claim.rows.append(score_row(f"mean of {len(SPINE)} tasks", f"{count} steps", errors[count], ratio=ratio))
        claim.bands.append(band(made[0], f"{SPINE[0]}, {count} steps"))
    claim.floors.append(Floor("8 steps over 30 steps, mean score", claim.rows[1].raw["ratio"], 0.9, 0.98))
    return claim


def order(ask: Ask) -> Claim:
    """The same three examples in three orders."""
    claim = Claim("Order of the examples", f"{SCORE} Three examples; spread is the largest score less the smallest.")
    for task in REPRESENTATIVE:
        scores = [score_row("", "", errors_of(ask(task, examples=3, order=n, scenes=ask.few))) for n in range(3)]
        values = [s.value for s in scores]
        errors = np.stack([errors_of(ask(task, examples=3, order=n, scenes=ask.few)) for n in range(3)], axis=1)
        raw = {f"order {n + 1}": v for n, v in enumerate(values)} | {"spread": max(values) - min(values)}
        claim.rows.append(row(task, "mean of three orders", mean_score, errors, **raw))
    return claim
