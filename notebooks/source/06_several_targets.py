# %% [markdown]
# # 06 Several targets
#
# **What does one call give that two do not?**
#
# A grid may have several empty cells in its last row. One call then fills them all: outlines, depth map and mask of one
# image, or a depth map and the image that belongs to it. Two separate calls could do the same, one cell each. Here you
# find out when it makes a difference, and what in the network makes it.
#
# You will be able to
#
# - fill a chain of images in one call, and see in which order its cells form;
# - test whether cells of one run agree better than cells of two;
# - write an attention mask that keeps blank cells apart, and predict what it does.
#
# About 30 minutes. A CPU is enough. The paper counts it among the unseen tasks:
# [VisualCloze](https://arxiv.org/abs/2504.07960), section 5.1, "Multi-task consolidation".

# %% tags=["setup"]
from functools import cache

import numpy as np
import torch
from diffusers.models.transformers.transformer_flux import FluxAttnProcessor

from visualcloze_nb import load, show
from visualcloze_nb.evaluation.metrics import region
from visualcloze_nb.evaluation.predictions import predict_task
from visualcloze_nb.lessons import l06_several_targets as checks
from visualcloze_nb.lessons import predict
from visualcloze_nb.sampling import flow, latents
from visualcloze_nb.sampling.text import encode_text
from visualcloze_nb.toyworld import Task, sample, to_image
from visualcloze_nb.toyworld.graph import changed
from visualcloze_nb.widgets.explorers import StepExplorer

torch.set_grad_enabled(False)
pipe = load("tiny")

# %% [markdown]
# ## A chain of images in one call
#
# From one image to its outlines, its depth map and its class mask. `sample` leaves three cells empty; nothing else is
# new. `result.images` then has three images, left to right. In diffusers they are `images[0]` of
# `VisualClozePipeline`, for three `None` in the last row of `image=`.

# %%
SCENES = [62, 49, 33]
chain = sample("image > edge + depth + mask", scenes=SCENES)
result = pipe.fill(chain.grid, seed=0, steps=12, strength=0, progress=False)
print("empty cells:", chain.grid.targets, "  images:", len(result.images))
show.show_grid(result.filled, "One call, three answers (bottom row)", ["image", "outlines", "depth map", "mask"])

# %% [markdown]
# All three show a ring in the same place. (The colour of this mask is wrong: it should name the shape, and a ring is
# yellow. The examples show no ring, so its colour must come from training.)
#
# A chain may also end in an image. From outlines, a depth map *and* an image: the depth map is the intermediate result
# of the chain *outlines, depth, image*, and we get to see it. At each step `pipe.read(step, step.x0)` decodes the x0
# prediction of every empty cell (lesson 03).

# %%
guess = predict("Whose first x0 prediction is nearer to its final form?", ..., ["depth map", "image"])

# %%
both = sample("edge + depth > image", scenes=SCENES, targets=(1, 2))
steps = list(pipe.steps(both.grid, seed=0, steps=12, strength=0))
forming = [pipe.read(step, step.x0) for step in steps]
some = (0, 2, 4, 7, 11)
images = [cell for col in (0, 1) for cell in (*(forming[i][col] for i in some), both.truth[col])]
titles = [f"{name}\n{when}" for name in ("depth map", "image") for when in (*(f"step {i + 1}" for i in some), "true")]
show.sheet(images, titles, cols=6, title="From outlines: a depth map and an image form together")


# %%
def difference(one, other):
    """Root mean square error of two images in percent."""
    return 50 * (latents.pixels(one) - latents.pixels(other)).square().mean().sqrt().item()


left = {
    name: [difference(cells[col], forming[-1][col]) for cells in forming]
    for col, name in enumerate(("depth map", "image"))
}
guess.compare(min(left, key=lambda name: left[name][0]))

# %%
figure = show.new_figure(2.8, 6)
axes = figure.subplots()
for (name, values), (colour, line, mark) in zip(left.items(), show.LINES, strict=False):
    axes.plot([step.sigma for step in steps], values, color=colour, linestyle=line, marker=mark, label=name)
axes.set(xlim=(1.02, 0), ylim=(0, None), xlabel="sigma: noise left, answer right", ylabel="RMSE, percent")
axes.legend(frameon=False)
axes.set_title("How far each cell is from its final form", size=11, weight="bold", loc="left")
first = ", ".join(f"{name} {values[0]:.0f} percent" for name, values in left.items())
figure.alt = f"How far each cell is from its final form, over sigma. After the first step: {first}. At the end: 0."
figure

# %% [markdown]
# The outlines decide most of the depth map, so its first prediction is the nearer one; from there it changes slowly, to
# the last step. They decide no colour: the image begins greyish, and the next step chooses. From then on both cells
# change alike. The ground truth of the image has other colours, and both are right. Here are all steps of the image; in
# a running notebook there is a slider.

# %%
StepExplorer.of(pipe, both.grid, target=1, seed=0, steps=12, strength=0)

# %% [markdown]
# ## Do they agree where the given image decides?
#
# Outlines, depth map and mask of *one* image should show the same objects. Whether two answers agree can be measured
# without any ground truth.
#
# **Exercise.** `one` and `other` are boolean arrays: True where an image shows an object. Return the pixels that are
# True in both, divided by those that are True in either: their **intersection over union**.


# %% tags=["exercise"]
def overlap(one, other):
    """Intersection over union of two regions, 0 to 1."""
    ### BEGIN SOLUTION
    return (one & other).sum() / (one | other).sum()
    ### END SOLUTION


# %%
checks.overlap.check(overlap)

# %% [markdown]
# Now the comparison. Run the same grid with two seeds, that is, from two draws of noise. Both cells of *one run* come
# from one draw. For *two runs* take the depth map of one and the mask of the other, as if you called twice and kept one
# cell of each. Nothing else differs.


# %%
@cache
def run(task, targets, seed):
    """Answers for 8 held-out scenes."""
    return predict_task(pipe, Task.parse(task), scenes=8, steps=6, seed=seed, targets=targets)


def one_and_two_runs(task, targets, disagreement):
    """Disagreement of two targets in each scene, in one run and in two: two arrays of 8."""
    (a, b), (c, d) = (run(task, targets, seed).outputs[:, -2:].unbind(1) for seed in (0, 1))
    one, two = (disagreement(a, b), disagreement(c, d)), (disagreement(a, d), disagreement(c, b))
    return tuple(np.mean([np.asarray(x) for x in pair], axis=0) for pair in (one, two))


def objects_differ(depth, mask):
    """100 less the overlap of the objects in percent."""
    find = checks.overlap.answer
    pairs = zip(region("depth", depth).numpy(), region("mask", mask).numpy(), strict=True)
    return [100 * (1 - find(*pair)) for pair in pairs]


# %%
guess = predict("Depth map and mask of a given image: one run agrees", ..., ["better", "about as well", "worse"])

# %% [markdown]
# **Exercise.** `one_run` and `two_runs` are arrays: how much two answers disagree in each scene, in one run and in two.
# The scenes are the same. Return the mean gain (positive if two runs disagree *more*) and the standard error of that
# mean. (`values.std(ddof=1)`.)


# %% tags=["exercise"]
def paired_test(one_run, two_runs):
    """Mean gain of one run over two, and its standard error."""
    ### BEGIN SOLUTION
    gain = two_runs - one_run
    return gain.mean(), gain.std(ddof=1) / np.sqrt(len(gain))
    ### END SOLUTION


# %%
checks.paired_test.check(paired_test)


# %%
def report(name, one_run, two_runs):
    """Print means and gain; return the verdict."""
    gain, error = checks.paired_test.answer(one_run, two_runs)
    verdict = "about as well" if abs(gain) <= 2 * error else "better" if gain > 0 else "worse"
    print(
        f"{name:22} one run {one_run.mean():4.1f}, two runs {two_runs.mean():4.1f}, gain {gain:4.1f} ± {error:.1f}:",
        end=" ",
    )
    print(f"one run agrees {verdict}")
    return verdict


DECIDED = "image > edge + depth + mask", (1, 2, 3)
guess.compare(report("depth map and mask", *one_and_two_runs(*DECIDED, objects_differ)))

# %% [markdown]
# In the committed run the gain is **tiny**, 0.4 of 9.3, though more than two standard errors. Each answer follows from
# the given image, so the noise decides hardly anything, and two calls hardly contradict each other more than one does.
# The disagreement that is left is error of the model. If all your targets follow from what is given, one call saves
# time and little more. (With eight scenes, a mean of pure luck passes two standard errors about once in twelve tests.)
#
# ## And where it does not decide?
#
# Now leave open what the noise must decide. From outlines, generate an image and its negative: the colours are free,
# but those of one cell determine those of the other. From a class mask, generate an image and its grey version: free
# as well, and the brightness must agree. *Disagreement* is the error between the second answer and what the first one
# implies: its own negative, its own grey version.

# %%
guess = predict("Image and negative from outlines: one run agrees", ..., ["better", "about as well", "worse"])


# %%
def implies(kind):
    """Disagreement of an image and another kind that follows from it: RMSE in percent, scene by scene."""
    return lambda image, other: 100 * (changed(image, kind) - other).square().mean((1, 2, 3)).sqrt()


NEGATIVE = "edge > image + negative", (1, 2)
GREY = "image > mask + grey", (0, 2)
free = {"negative": one_and_two_runs(*NEGATIVE, implies("negative")), "grey": one_and_two_runs(*GREY, implies("grey"))}
guess.compare(report("image and its negative", *free["negative"]))
agrees = report("image and its grey", *free["grey"])

# %%
images, titles = [], []
for name, task, kind in (("outlines", NEGATIVE, "negative"), ("mask", GREY, "grey")):
    first, second, scene = run(*task, 0), run(*task, 1), int(free[kind][1].argmax())
    (image, other), elsewhere = first.outputs[scene], second.outputs[scene, 1]
    given = next(iter(first.conditions.values()))[scene]
    images += [given, image, changed(image[None], kind)[0], other, elsewhere]
    titles += [f"given {name}", "image", f"its own {kind},\ncomputed", f"{kind}\nsame run", f"{kind}\nanother run"]
title = "Where two runs disagree most: does the fourth image match the third?"
image, cell = run(*NEGATIVE, 0).outputs.unbind(1)
apart = [(other - cell).square().mean((1, 2, 3)) for other in (image, changed(image, "negative"))]
copies = int((apart[0] < apart[1]).sum())
print(f"the cell of the negative is nearer to the image itself in {copies} of {len(cell)} scenes")
show.sheet([to_image(one) for one in images], titles, cols=5, title=title)

# %% [markdown]
# Two pairs, two outcomes in the committed run. Image and **grey** version agree better in one run than in two: one call
# gives what two separate ones cannot. (A second call that is *given* the first one's image could: a chain.) For image
# and **negative** no gain is shown, and the count says why: the cell of the negative repeats the image in every scene,
# so there is no negative that could agree. A shared run makes agreement *possible*; whether it happens must be learned.
# (In training, image and grey version are blank together beside a mask, as here; image and negative only in grids of
# four columns.)
#
# ## How do the cells hear of each other?
#
# Two ways to find out: disturb one cell and watch the other, or cut the connection.
#
# **Exercise.** `noise` and `other` are two draws, `(1, tokens, 64)`. `place` is a boolean vector, True for the tokens
# of one cell. Return `noise` with these tokens taken from `other`. (`torch.where`.)


# %% tags=["exercise"]
def swap_noise(noise, other, place):
    """The noise, new under one cell."""
    ### BEGIN SOLUTION
    return torch.where(place[None, :, None], other, noise)
    ### END SOLUTION


# %%
checks.swap_noise.check(swap_noise)

# %%
grid = sample("image > mask + grey", scenes=SCENES, targets=(0, 2)).grid
ready, extra = (latents.prepare(grid, pipe.vae, pipe.resolution, torch.Generator().manual_seed(s)) for s in (0, 1))
text, sigmas = encode_text(pipe, grid.prompt, 64), flow.schedule(6, ready.layout.total, pipe.scheduler.config)
cells = ready.layout.cells.tolist()
PLACES = {name: torch.tensor([cell == [2, col] for cell in cells]) for name, col in (("image", 0), ("grey", 2))}


def finished(noise):
    """The tokens at the end of a run from this noise."""
    inputs = noise, ready.condition, ready.ids, text, sigmas
    return [*flow.euler_sample(pipe.transformer, *inputs, layout=ready.layout)][-1].after


def moved():
    """How much new noise under the image moves the tokens of each cell."""
    start = checks.swap_noise.answer(ready.noise, extra.noise, PLACES["image"])
    change = (finished(start) - finished(ready.noise)).square()
    return {name: change[:, place].mean().sqrt().item() for name, place in PLACES.items()}


free_run = moved()
print("new noise under the image:", ", ".join(f"{name} changes by {size:.1f}" for name, size in free_run.items()))

# %% [markdown]
# The grey version changes too, although its own noise is the same: it hears of the image. The only place where tokens
# meet is **attention**: there each token looks at the others. (All other parts of a transformer block work on one token
# at a time.) So write a mask that forbids it. The tokens of the text come first, then those of the grid.
#
# **Exercise.** `owner` has a number for each token: 0 for text and given cells, 1 for the first blank cell, 2 for the
# second. Return a boolean matrix, `[looking, seen]`: a token may look at everything that is given, and at the tokens of
# its own blank cell. Careful: who else might carry the message?


# %% tags=["exercise"]
def keep_apart(owner):
    """May token i look at token j? (tokens, tokens), True if it may."""
    ### BEGIN SOLUTION
    return (owner[None, :] == 0) | (owner[None, :] == owner[:, None])
    ### END SOLUTION


# %%
checks.keep_apart.check(keep_apart)

# %% [markdown]
# In diffusers the function that computes attention is a *processor*, and every attention layer has one that you may
# exchange. This one is FLUX's own, with our mask.


# %%
class Masked(FluxAttnProcessor):
    """FLUX's attention, in which token i looks at token j only where `allowed[i, j]`."""

    def __init__(self, allowed):
        super().__init__()
        self.allowed = allowed

    def __call__(self, attn, hidden, text=None, attention_mask=None, rotary=None):
        return super().__call__(attn, hidden, text, self.allowed, rotary)


owner = torch.cat([torch.zeros(64, dtype=int), 1 * PLACES["image"] + 2 * PLACES["grey"]])
pipe.transformer.set_attn_processor(Masked(torch.ones(len(owner), len(owner), dtype=bool)))
same = moved()
print("a mask that forbids nothing changes nothing:", all(abs(same[k] - free_run[k]) < 0.01 for k in same))

# %%
looks_at, seen = owner[:, None], owner[None, :]
masks = {
    "blanks do not see each other": (looks_at == 0) | (seen == 0) | (looks_at == seen),
    "nothing else sees them either": checks.keep_apart.answer(owner),
}

# %%
guess = predict("With attention between the blanks blocked, new noise under the image moves the grey cell by", ...)

# %%
for name, allowed in masks.items():
    pipe.transformer.set_attn_processor(Masked(allowed))
    apart = moved()
    print(f"{name}: the grey cell changes by {apart['grey']:.2f}")
guess.compare(round(apart["grey"], 2))

# %% [markdown]
# The first mask is not enough. In one layer the given cells look at the image, in the next the grey cell looks at the
# given cells, and the news has arrived. Only if nobody carries it does the change become exactly 0: the cells are then
# as far apart as in two calls. And their agreement?

# %%
guess = predict("Blocked, image and grey version in one run agree", ..., ["as in one run", "as in two runs"])

# %%
pipe.transformer.set_attn_processor(Masked(checks.keep_apart.answer(owner)))
blocked = [predict_task(pipe, Task.parse(GREY[0]), scenes=8, steps=6, seed=i, targets=GREY[1]) for i in (0, 1)]
pipe.transformer.set_attn_processor(FluxAttnProcessor())
differ = [implies("grey")(*one.outputs.unbind(1)).numpy() for one in blocked]
apart, ways = np.mean(differ, axis=0), dict(zip(("as in one run", "as in two runs"), free["grey"], strict=True))
print(f"one run, blocked: {apart.mean():.1f}")
for name, values in ways.items():
    more, error = checks.paired_test.answer(values, apart)
    print(f"{name:14} {values.mean():4.1f}, blocked less that {more:4.1f} ± {error:.1f}")
guess.compare(min(ways, key=lambda name: abs(ways[name].mean() - apart.mean())))

# %%
images, titles = [], []
for scene in differ[0].argsort()[-2:]:
    (image, grey), (far_image, far_grey) = run(*GREY, 0).outputs[scene], blocked[0].outputs[scene]
    images += [run(*GREY, 0).cells[scene, 1], image, grey, far_image, far_grey]
    titles += ["given", "image", "grey, same run", "image,\nblocked", "grey, same run,\nblocked"]
show.sheet(
    [to_image(one) for one in images],
    titles,
    cols=5,
    title="One run, free and blocked, where the blocked cells disagree most",
)

# %% [markdown]
# In the committed run the blocked cells disagree clearly more than those of a free run. From two runs no difference is
# shown. So one call's gain needs attention between the blanks. (A part of the new disagreement may be damage: the mask
# also hides the blanks from the given cells and the text, which the model has never met in training, and one blocked
# image in the sheet has a stripe that belongs to nothing.)
#
# ## What we saw
#
# - `None` in several cells of the last row: one call fills them all, and shows the steps of a chain.
# - What follows from the given images is nearer to its final form in the first prediction than what is free.
# - Where the given image decides, one call gains next to nothing over two.
# - Where it does not, one call *can* agree better. This model does so for an image and its grey version. Of an image
#   and its negative it paints the image twice.
# - The agreement needs attention between the blank cells: without it, no gain over two runs is shown.
#
# An open question: if you leave more and more cells blank, when does the model begin to contradict itself?
