# %% [markdown]
# # 07 Reverse
#
# **Can it run backwards?**
#
# A model that turns outlines and a depth map into an image is usually one network, and a model that turns an
# image into a depth map another. Here one model does both: you only move the blanks. This lesson shows which inputs
# change and why the model can follow, measures both directions, and finds what cannot be recovered. The paper shows it
# as *reverse generation*: [VisualCloze](https://arxiv.org/abs/2504.07960), section 5.1, "Bilateral generation".
#
# You will be able to
#
# - run a task in reverse, for one condition or for all at once;
# - name the inputs that change when the blanks move, and say why the model can follow;
# - measure a round trip, from an image to its conditions and back, without leaking the ground truth;
# - tell a wrong answer from another right one.
#
# About 30 minutes. A CPU is enough. Lessons 01 and 02 explain tokens and masks, lesson 03 sampling.

# %% tags=["setup"]
import random
from collections import Counter
from dataclasses import replace

import numpy as np
import torch

from visualcloze_nb.sampling import flow, latents
from visualcloze_nb import load, show
from visualcloze_nb.lessons import predict
from visualcloze_nb.lessons import l07_reverse as checks
from visualcloze_nb.data.prompts import column_prompt
from visualcloze_nb.sampling.text import encode_text
from visualcloze_nb.toyworld import draw, make_scene, sample, to_image, phrase
from visualcloze_nb.toyworld import Task
from visualcloze_nb.toyworld.scenes import COLOURS, GROUNDS, TEXTURES
from visualcloze_nb.training.batches import draw_targets
from visualcloze_nb.widgets.explorers import StepExplorer

torch.set_grad_enabled(False)
pipe = load("tiny")


# %% [markdown]
# ## Which inputs change when the blanks move?
#
# A task has three columns: outlines, a depth map, an image. Forwards the image is blank. In reverse the other two are.
# The examples stay the same.

# %%
TASK, SCENES = "edge + depth > image", [62, 49, 33]
there = sample(TASK, scenes=SCENES)
back = sample(TASK, scenes=SCENES, targets=(0, 1))
NAMES = ["outlines", "depth", "image"]
checks.draw_grids({"there": there.grid, "back": back.grid}, NAMES, "Same examples, same scene: only the blanks differ")

# %% [markdown]
# `sample` builds the toy world's grids. With your own images you move the blanks by hand.
#
# **Exercise.** `row` is a full row of images, `targets` are columns, counted from 0. Return the row as a list, with
# `None` in these columns.


# %% tags=["exercise"]
def move_blanks(row, targets):
    """The row as a list, `None` in the columns to generate."""
    ### BEGIN SOLUTION
    return [None if col in targets else image for col, image in enumerate(row)]
    ### END SOLUTION


# %%
checks.move_blanks.check(move_blanks)

# %% [markdown]
# `grid.with_blanks(*columns, query=row)` does this for a whole grid. The text should change as well, since it names the
# targets.
#
# **Predict.** Each of the nine cells is 16 tokens, and each token carries 256 mask values. The blanks move from the
# image to the two others. How many of the 144 tokens get another mask?

# %%
full = [*back.truth, *there.truth]
mine = there.grid.with_blanks(0, 1, query=full)
print("the text still says:", mine.task)
mine = mine.replace(task=column_prompt([phrase(kind) for kind in there.columns], [0, 1]))
print("now it says:", mine.task)
print("the grid of `sample`:", mine == back.grid)
guess = predict("Tokens with another mask?", ...)

# %%
a, b = (latents.prepare(one.grid, pipe.vae, pipe.resolution, torch.Generator().manual_seed(0)) for one in (there, back))
flipped = (a.condition[..., 64:] != b.condition[..., 64:]).all(-1)[0]
guess.compare(int(flipped.sum()))
print("those of the query, and no other:", flipped.nonzero().flatten().tolist() == list(range(96, 144)))

texts = [encode_text(pipe, one.grid.prompt, 64) for one in (there, back)]
parts = {
    "noise": (a.noise, b.noise),
    "position ids": (a.ids, b.ids),
    "examples: images and mask": (a.condition[:, :96], b.condition[:, :96]),
    "query: image latents": (a.condition[:, 96:, :64], b.condition[:, 96:, :64]),
    "query: mask": (a.condition[:, 96:, 64:], b.condition[:, 96:, 64:]),
    "text": (texts[0].states, texts[1].states),
}
for name, pair in parts.items():
    print(f"{name:28s} {'the same' if torch.equal(*pair) else 'CHANGES'}")

# %% [markdown]
# Three inputs change: the known images, the mask, and the text. The weights, the settings and the noise stay the same.
# (So the mask changes in all 48 tokens of the query: from 1 to 0 in the image, from 0 to 1 in the two others.)
#
# In diffusers you run a task in reverse by putting `None` elsewhere in the last row of `image=`, and by changing
# `task_prompt` to match. There is no other switch. (Where several cells are blank and the query is not square, stock
# diffusers swaps width and height; `pipe.fill` does not.)
#
# **Why does it work?** The network has no input and no output column: it gets a grid and a mask. In training the mask
# is drawn at random for every batch, so that *any* cell of the query may be blank, not just the last. The loss is the
# same each time: denoise what is blank, given what is not. Forwards and backwards are two draws of one training task.
# `draw_targets` is the function that draws them. Here are 1000 draws.

# %%
rng, columns = random.Random(0), Task.parse(TASK).columns
drawn = Counter(draw_targets(Task.parse(TASK), columns, rng) for _ in range(1000))
for blanks, times in drawn.most_common():
    print(f"{times / 10:4.1f} %  blank: {' and '.join(NAMES[col] for col in blanks)}")

# %% [markdown]
# The last column is blank most often, but each of the three is at times. So the network has learned to denoise each
# kind from the others. Outlines and depth map are never blank *together*: this pair was held out on purpose. The
# reverse of this lesson combines two reverses that were trained apart. (The authors' training blanks one cell at a
# time: there every grid with several blanks is unseen.)
#
# ## Image to conditions: how good?
#
# Generate the outlines alone, the depth map alone, and both at once. A known depth map would help with the outlines,
# so for this comparison the tasks with one target have only two columns.

# %%
STEPS = 10


def fill(grid, seed=0):
    """The targets of a grid, stage 1 only."""
    return pipe.fill(grid, seed=seed, steps=STEPS, strength=0, progress=False).images


ours = fill(back.grid)
one_at_a_time = [fill(sample(f"{kind} > image", scenes=SCENES, targets=(0,)).grid)[0] for kind in ("edge", "depth")]
sheet = [pair for row in zip(one_at_a_time, ours, back.truth, strict=True) for pair in (full[2], *row)]
titles = ["given", "{}, alone", "{}, both at once", "true {}"]
titles = [title.format(name) for name in NAMES[:2] for title in titles]
show.sheet(sheet, titles, title="From one image back to its outlines and its depth map")

# %% [markdown]
# A number needs baselines. Two need no model: the image of that kind in the example above, and the mean of a hundred
# images of that kind. The **error** is the root mean square error, black 0 to white 1, over five held-out scenes; `±`
# is its standard error.
#
# **Predict.** One call for both, or one call for each: what will happen to the error of the depth map? With five
# scenes we take the difference scene by scene, and call it significant if its mean is more than twice *its own*
# standard error. That is smaller than those of the two errors: a hard scene is hard for both. (With five scenes luck
# alone passes this about once in nine tests.)


# %%
def error(one, other):
    return (latents.pixels(one) - latents.pixels(other)).square().mean().sqrt().item() / 2


def row_of(errors):
    """Mean and standard error as text."""
    errors = torch.tensor(errors)
    return f"{errors.mean():.2f} ± {errors.std() / len(errors) ** 0.5:.2f}"


def verdict(new, old):
    """Is the mean difference more than twice its standard error, and which way? (Few scenes: no proof.)"""
    more = torch.tensor(new) - torch.tensor(old)
    if more.mean().abs() <= 2 * more.std() / len(more) ** 0.5:
        return "about as good"
    return "worse" if more.mean() > 0 else "better"


KINDS, SEEDS = ("edge", "depth", "image"), range(5)
mean_of = {kind: to_image(draw(kind, [make_scene(i) for i in range(1000, 1100)]).mean(0)) for kind in KINDS}
guess = predict("Both at once: the depth map will be", ..., ["better", "about as good", "worse"])

# %%
samples = [sample(TASK, seed) for seed in SEEDS]
rows = [list(one.grid.completed(one.truth).query) for one in samples]
errors = {(kind, way): [] for kind in KINDS[:2] for way in ("alone", "both at once")}
for seed in SEEDS:
    both = fill(sample(TASK, seed, targets=(0, 1)).grid, seed)
    for col, kind in enumerate(KINDS[:2]):
        alone = fill(sample(f"{kind} > image", seed, targets=(0,)).grid, seed)[0]
        errors[kind, "alone"].append(error(alone, rows[seed][col]))
        errors[kind, "both at once"].append(error(both[col], rows[seed][col]))
errors["image", "from both"] = [error(fill(one.grid, i)[0], one.truth[0]) for i, one in enumerate(samples)]

for kind, way in errors:
    col = KINDS.index(kind)
    mean = row_of([error(mean_of[kind], row[col]) for row in rows])
    above = row_of([error(one.grid.rows[1][col], row[col]) for one, row in zip(samples, rows, strict=True)])
    print(f"{kind:8s}{way:13s} model {row_of(errors[kind, way])}   mean image {mean}   cell above {above}")
guess.compare(verdict(errors["depth", "both at once"], errors["depth", "alone"]))

# %% [markdown]
# In the committed run the four lines of the reverse direction are well below both baselines, and five scenes show no
# difference between both at once and each alone, although this pair was never trained. The last line is the forward
# direction. It starts from two exact conditions, and yet its error is *above* that of the mean image. Either the model
# has learned nothing here, or there is more than one right answer and this error cannot tell. Which is it?
#
# ## What cannot be recovered?
#
# Take a scene with one object in it. Give the object another colour, another texture, the ground another colour. (The
# ground also fades in some direction. We leave that unchanged.) Its outlines do not change by a single pixel, and
# neither does its depth map.

# %%
scene = make_scene(12)
print(len(COLOURS), "colours,", len(TEXTURES), "textures,", len(GROUNDS), "grounds")
guess = predict("How many different images have these outlines and this light?", ...)


# %%
def recoloured(scene, colour, texture, ground):
    """The same scene with other colours and another texture."""
    return replace(scene, ground=ground, objects=(replace(scene.objects[0], colour=colour, texture=texture),))


twins = [recoloured(scene, c, t, g) for c in COLOURS for t in TEXTURES for g in GROUNDS]
views = {kind: draw(kind, twins) for kind in KINDS}
for kind in KINDS:
    print(f"{len(twins)} scenes, different views of kind {kind}: {len({one.numpy().tobytes() for one in views[kind]})}")
guess.compare(len({one.numpy().tobytes() for one in views["image"]}))

# %% [markdown]
# All of them are right answers to *outlines to image*. (And each further object brings all its colours and
# textures.) The direction to the conditions is a function: one answer. The direction back is not. What does the model
# do? It samples from noise, and the noise decides (lesson 03). Three seeds show the spread.
#
# If you know which answer you want, describe it: the content prompt describes the target. Here are the same seeds with
# two captions, of two of the right answers.

# %%
task = sample("edge > image", scenes=[62, 49, 12])
wishes = [recoloured(scene, "red", "plain", "pale"), recoloured(scene, "blue", "plain", "dark")]
wanted = [to_image(draw("image", [one])[0]) for one in wishes]
captions = [None, *(one.caption() for one in wishes)]
made = {caption: [fill(task.grid.replace(content=caption), seed)[0] for seed in range(3)] for caption in captions}
print(*captions[1:], sep="\n")

# %%
sheet, titles = [], []
for caption, wish in zip(captions, [None, *wanted], strict=True):
    sheet += [task.grid.query[0], *made[caption], wish or task.truth[0]]
    titles += ["given", "seed 0", "seed 1", "seed 2", "one right answer" if wish is None else "caption's scene"]
show.sheet(sheet, titles, cols=5, title="No caption (above), and the same seeds with two captions")

# %% [markdown]
# **Exercise.** How far apart are several answers? `images` is an array `(n, height, width, 3)` of n of them. Take the
# standard deviation of each value over the n images (`ddof=1`, since the mean is estimated too), then the mean of all.


# %% tags=["exercise"]
def spread(images):
    """Mean standard deviation over the images."""
    ### BEGIN SOLUTION
    return images.std(axis=0, ddof=1).mean()
    ### END SOLUTION


# %%
checks.spread.check(spread)

# %%
for caption, images in made.items():
    to = [sum(error(one, wish) for one in images) / 3 for wish in wanted]
    nearer = ("red on pale", "blue on dark")[to[0] > to[1]]
    text = (caption or "no caption").rstrip(".")
    apart = checks.spread.answer(np.stack([np.asarray(one) / 255 for one in images]))
    print(f"{text}: spread {apart:.2f}, errors {to[0]:.2f}, {to[1]:.2f}, nearer: {nearer}")

# %% [markdown]
# In the committed run each caption brings the answers nearer to the scene that it describes, and nearer to each other:
# the spread falls to about a quarter or less. The caption has selected one of the right answers, and the noise has
# little left to decide.
#
# This matters for metrics as well. An error against *the* ground truth penalises other right answers. Compare the
# answers without caption with the ground truth, and with the nearest of the right answers that we have just counted.
# (It cannot be farther, since the ground truth is one of them.)

# %%
right = [to_image(one) for one in views["image"]]
for seed, one in enumerate(made[None]):
    distances = [error(one, other) for other in right]
    nearest = min(range(len(right)), key=distances.__getitem__)
    print(f"seed {seed}: to the ground truth {error(one, task.truth[0]):.2f}, to the nearest {distances[nearest]:.2f}:",
          twins[nearest].caption())  # fmt: skip
apart = sum(error(task.truth[0], other) for other in right) / (len(right) - 1)  # the ground truth is one of them
print(f"from the ground truth to another right answer: {apart:.2f} on average")

# %% [markdown]
# ## There and back again
#
# The paper shows reverse generation and gives no number. Here we have exact ground truth, so measure round trips: an
# image to its conditions and back to an image; or conditions to an image and back to conditions.
#
# **Exercise.** `row` is a full row of true images, `kept` are the columns you start from, counted from 0.
# `fill(row)` takes a row with `None` in it and returns the row with these cells generated. Keep the `kept` cells and
# generate the others. Then go back: generate the kept columns from those that were just generated. Return the row in
# which every cell has been generated.


# %% tags=["exercise"]
def round_trip(fill, row, kept):
    """There: generate all but `kept`. Back: generate `kept` from that. Return the generated row."""
    ### BEGIN SOLUTION
    generated = fill([cell if col in kept else None for col, cell in enumerate(row)])
    return fill([None if col in kept else cell for col, cell in enumerate(generated)])
    ### END SOLUTION


# %%
checks.round_trip.check(round_trip)

# %% [markdown]
# The lesson continues with the check's own answer. `filler` connects it to the tiny model: it puts a row below the
# examples, moves the blanks, and writes the matching text.


# %%
def filler(one, seed, content=None):
    """`fill(row)` for one sample of the toy world."""

    def fill_row(row):
        blanks = [col for col, cell in enumerate(row) if cell is None]
        text = column_prompt([phrase(kind) for kind in one.columns], blanks)
        grid = one.grid.with_blanks(*blanks, query=row).replace(task=text, content=content)
        return list(grid.completed(fill(grid, seed)).query)

    return fill_row


go_round = checks.round_trip.answer
trip = {"image first": (2,), "conditions first": (0, 1)}
ends = {way: [go_round(filler(one, i), rows[i], kept) for i, one in enumerate(samples)] for way, kept in trip.items()}
sheet = [cell for end in ends.values() for cell in (*rows[3], *end[3])]
titles = [*(f"true\n{name}" for name in NAMES), *(f"generated\n{name}" for name in NAMES)]
show.sheet(sheet, titles * 2, cols=6, title="Round trips: above from the image, below from the conditions")

# %% [markdown]
# Above, the generated outlines and depth map are the first half of the trip and the generated image is its end. Below
# it is the other way round.
#
# **Predict.** We divide each error after the whole trip by that of a baseline, the mean image of that kind. 1 means
# that the trip preserved no more than the mean image. Of which kind is most lost?

# %%
guess = predict("Most is lost of", ..., ["the outlines", "the depth map", "the image"])

# %%
described = [go_round(filler(one, i, one.scenes[-1].caption()), rows[i], (2,)) for i, one in enumerate(samples)]
trips = {"the outlines": (0, ends["conditions first"]), "the depth map": (1, ends["conditions first"])}
trips |= {"the image": (2, ends["image first"]), "the image, with a caption": (2, described)}
lost, after = {}, {}
for name, (col, end) in trips.items():
    after[name] = [error(one[col], row[col]) for one, row in zip(end, rows, strict=True)]
    mean = [error(mean_of[KINDS[col]], row[col]) for row in rows]
    lost[name] = sum(after[name]) / sum(mean)
    print(f"{name:28s} after the trip {row_of(after[name])}   mean image {row_of(mean)}   ratio {lost[name]:.2f}")
guess.compare(max(list(lost)[:3], key=lost.get))
print("with a caption the image is", verdict(after["the image, with a caption"], after["the image"]))

# %% [markdown]
# In the committed run outlines and depth map survive the trip, and the image does not. A ratio above 1 alone is no sign
# of a bad model: two independent samples are on average √2 = 1.41 times as far apart (root mean square) as one is from
# the mean. With a caption the image survives as well. These ratios have two causes. The model makes mistakes, twice.
# And outlines and depth maps contain no colours, so even a perfect model could not recover them; it could recover
# outlines and depth. The second cause remains, however long one trains. Only another input with the colours can help: a
# caption, which was given both ways, or one more condition, such as a grey image.
#
# ## How are two cells generated at once?
#
# One run of the sampler fills both blanks. `pipe.steps` yields every step of it, and `pipe.read(step, step.x0)` one x0
# prediction for each target cell (lesson 03).

# %%
run = list(pipe.steps(back.grid, seed=0, steps=12, strength=0))
first, last = (pipe.read(step, step.x0) for step in (run[0], run[-1]))
sheet = [cell for one in zip([full[2]] * 2, first, last, back.truth, strict=True) for cell in one]
titles = [title for name in NAMES[:2] for title in ("given", f"{name}\nstep 1", f"{name}\nstep 12", f"{name}\ntrue")]
for name, one, other in zip(NAMES, first, last, strict=False):
    print(f"{name}: the x0 prediction of step 1 is {error(one, other):.2f} from that of step 12")
show.sheet(sheet, titles, cols=4, title="Both cells are nearly complete after the first step")

# %% [markdown]
# The first step has found the ring already; the other eleven change little, since the given image decides the answer.
# (Compare lesson 06: an image *from* outlines changes more after its first step, because its colours are free.) Here
# are all steps of the depth map, with the noisy latents. In a running notebook there is a slider.

# %%
StepExplorer.of(pipe, back.grid, target=1, seed=0, steps=12, strength=0)

# %% [markdown]
# Are the two cells sampled independently, or jointly? Give new noise to one cell only, and see whether the other
# cell's answer changes. We compare tokens, before the VAE mixes neighbours.

# %%
ready = latents.prepare(back.grid, pipe.vae, pipe.resolution, torch.Generator().manual_seed(0))
text, sigmas = encode_text(pipe, back.grid.prompt, 64), flow.schedule(STEPS, 144, pipe.scheduler.config)
cell_of = [tuple(cell) for cell in ready.layout.cells.tolist()]
places = {name: torch.tensor([cell == (2, col) for cell in cell_of]) for col, name in enumerate(NAMES[:2])}


def sample_with_new_noise(place=None):
    noise = ready.noise.clone()
    if place is not None:
        noise[:, place] = torch.randn(1, 16, 64, generator=torch.Generator().manual_seed(1))
    inputs = noise, ready.condition, ready.ids, text, sigmas
    *_, last = flow.euler_sample(pipe.transformer, *inputs, layout=ready.layout)
    return last.after


plain = sample_with_new_noise()
for name, place in places.items():
    moved = (sample_with_new_noise(place) - plain).square()
    by = {other: moved[:, tokens].mean().sqrt().item() for other, tokens in places.items()}
    print(f"new noise in the {name:9s}", *(f"{other} changes by {far:.2f}" for other, far in by.items()), sep="   ")
    print("   the other cell changed:", min(by.values()) > 0)

# %% [markdown]
# The other cell changes too, but far less. At every step each blank sees the other's noisy state, so they can agree.
# Where several answers are right, separate calls cannot be consistent; one call can, or a chain of calls in which the
# next is given the last one's answer. Where each follows from the image, as here, two calls agree as well:
# `evaluation.md` beside the model's card compares them.
#
# ## What we saw
#
# - Reverse is the same grid with its blanks elsewhere. Only the mask, the known images and the text change.
# - It works because training blanks any cell of the query: each direction is one draw of the same training task.
# - One call can generate all conditions, and generates them jointly, each seeing the other.
# - Conditions to image has many right answers. The seed selects one, or the caption does.
# - A round trip is only valid if the way back starts from what was generated.
# - What a kind of image does not contain cannot be recovered from it.
#
# An open question: blank all three cells of the query, so that only the examples are given. What would the model
# generate, and which metric could measure an answer when every scene is right?
