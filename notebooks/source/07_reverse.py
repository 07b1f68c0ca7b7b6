# %% [markdown]
# # 07 Reverse
#
# **Can it run backwards?**
#
# A model that turns outlines and a depth map into an image is usually one network, and a model that turns a
# image into a depth map another. Here it is one: you move the blanks. Nothing else. This lesson looks at what
# moves, measures both directions, and finds what cannot come back.
#
# You will be able to
#
# - run a task backwards, for one condition or for all at once;
# - name the numbers that change when the blanks move, and show that diffusers sees the same;
# - send an image there and back without letting the answer leak, and score it;
# - tell a wrong answer from another right one.
#
# About 30 minutes. A CPU is enough. Lessons 01 and 02 explain tokens and masks, lesson 03 the walk from noise.

# %% tags=["setup"]
import hashlib
from dataclasses import replace

import diffusers
import torch

from visualcloze_nb.sampling import flow, latents
from visualcloze_nb import load, show
from visualcloze_nb.lessons import predict
from visualcloze_nb.lessons import l07_reverse as checks
from visualcloze_nb.lessons.l02_cloze_masks import draw_strips
from visualcloze_nb.lessons.l03_infilling_prior import draw_curves
from visualcloze_nb.data.prompts import column_prompt, layout_prompt
from visualcloze_nb.sampling.text import encode_text
from visualcloze_nb.toyworld import draw, make_scene, sample, to_image, words
from visualcloze_nb.toyworld.scenes import COLOURS, GROUNDS, TEXTURES

pipe = load("tiny")
torch.set_grad_enabled(False)


def fingerprint():
    """A short text that changes if any weight of the model does."""
    weights = [part.numpy().tobytes() for part in pipe.transformer.state_dict().values()]
    return hashlib.sha256(b"".join(weights)).hexdigest()[:8]


at_first = fingerprint()

# %% [markdown]
# ## What moves when the blanks move?
#
# A task has three columns: outlines, a depth map, an image. Forwards the image is missing. Backwards the
# other two are. The examples stay as they are.

# %%
TASK, SCENES = "edge + depth > image", [62, 49, 33]
there = sample(TASK, scenes=SCENES)
back = sample(TASK, scenes=SCENES, targets=(0, 1))
NAMES = ["outlines", "depth", "image"]
checks.draw_grids({"there": there.grid, "back": back.grid}, NAMES, "Same examples, same scene: only the blanks differ")

# %% [markdown]
# `sample` builds the toy world's grids. With your own images you move the blanks by hand: give the query's full
# row and name the columns to be made. The text should change as well, since it says what is asked for.
#
# **Predict.** Each of the nine cells is 16 tokens, and for each token the model reads a mask of 256 numbers. The
# blanks move from the image to the two others. How many of the 144 tokens get another mask?

# %%
full = [*back.truth, *there.truth]
mine = there.grid.with_blanks(0, 1, query=full)
print("the text still says:", mine.task)
mine = mine.replace(task=column_prompt([words(kind) for kind in there.columns], [0, 1]))
print("now it says:", mine.task)
print("the grid of `sample`:", mine == back.grid)
guess = predict("Tokens with another mask?", ...)

# %%
a, b = (latents.prepare(one.grid, pipe.vae, pipe.resolution, torch.Generator().manual_seed(0)) for one in (there, back))
flipped = (a.condition[..., 64:] != b.condition[..., 64:]).all(-1)[0]
guess.compare(int(flipped.sum()))
print("those of the query, and no other:", flipped.nonzero().flatten().tolist() == list(range(96, 144)))

# %% [markdown]
# All three cells of the query: the image's mask goes from 1 to 0, the two others go from 0 to 1. Here is
# everything else the model reads, compared number by number.

# %%
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

# %%
rows = {name: list(one.grid.query) for name, one in {"there": there, "back": back}.items()}
strips = {f"{name}: known": latents.strip(row, (64, 64)) for name, row in rows.items()}
masks = {f"{name}: mask": latents.cell_mask([cell is None for cell in row], (64, 64)) for name, row in rows.items()}
alt = "The query row forwards and backwards: what is known is black where the mask is white, and the other way round."
draw_strips(strips | masks, "What is given forwards is asked for backwards", alt)

# %% [markdown]
# Three things change: which images are known, the mask, and the text. No weight, no setting, no noise. Does
# diffusers agree? Let the stock pipeline prepare the backward grid, then let it run. (Its layout prompt is a
# tuple by mistake, lesson 01; we hand it the sentence.)

# %%
stock = diffusers.VisualClozePipeline(**pipe.components, resolution=pipe.resolution).generation_pipe
stock.image_processor.get_layout_prompt = lambda shape: layout_prompt(*shape)
stock.set_progress_bar_config(disable=True)
seen = stock.image_processor.preprocess("", None, back.grid.to_lists(), vae_scale_factor=8)
images, blanks = seen["init_image"][0], seen["mask"][0]
random = torch.Generator().manual_seed(0)
_, known, mask, ids = stock._prepare_latents(images, blanks, random, 8, "cpu", torch.float32)
print("condition as in diffusers:", torch.equal(b.condition, torch.cat([known, mask], dim=-1)))
print("ids as in diffusers:", torch.equal(b.ids, ids))

# %%
STEPS = 10


def fill(grid, seed=0):
    """The targets of a grid, stage 1 only."""
    return pipe.fill(grid, seed=seed, steps=STEPS, strength=0, progress=False).images


call = {"num_inference_steps": STEPS, "max_sequence_length": 64, "generator": torch.Generator().manual_seed(0)}
theirs = stock(back.grid.task, None, back.grid.to_lists(), **call).images[0]
ours = fill(back.grid)
print("images as in diffusers:", [x.tobytes() == y.tobytes() for x, y in zip(ours, theirs, strict=True)])

# %% [markdown]
# So in diffusers you run a task backwards by putting `None` elsewhere in the last row of `image=`, and by saying so in
# `task_prompt`. There is no other switch. (Where several cells are blank and the query is not square, stock diffusers
# swaps width and height; `pipe.fill` does not.)
#
# ## Image to conditions: how good?
#
# Ask for the outlines alone, for the depth map alone, and for both at once. When one is asked for, the other
# would help, so it must be hidden: for this comparison we use tasks with two columns.

# %%
one_at_a_time = [fill(sample(f"{kind} > image", scenes=SCENES, targets=(0,)).grid)[0] for kind in ("edge", "depth")]
sheet = [pair for row in zip(one_at_a_time, ours, back.truth, strict=True) for pair in (full[2], *row)]
titles = ["given", "{}, asked alone", "{}, both asked", "true {}"]
titles = [title.format(name) for name in NAMES[:2] for title in titles]
show.sheet(sheet, titles, title="From one image back to its outlines and its depth map")

# %% [markdown]
# A number needs something to compare with. Two answers need no model: the image of that kind in the example
# above, and the mean of a hundred images of that kind. The **error** is the root mean square error, black 0 to
# white 1, over five held-out scenes; `±` is its standard error.
#
# **Predict.** One call for both, or one call for each: what will happen to the error of the depth map? With five
# scenes we take the difference scene by scene, and call it real if its mean is more than twice *its own* standard
# error. That is smaller than those of the two errors: a hard scene is hard for both.


# %%
def error(one, other):
    return (latents.pixels(one) - latents.pixels(other)).square().mean().sqrt().item() / 2


def row_of(errors):
    """Mean and standard error as text."""
    errors = torch.tensor(errors)
    return f"{errors.mean():.2f} ± {errors.std() / len(errors) ** 0.5:.2f}"


def verdict(new, old):
    """Is the mean difference more than twice its standard error, and which way? (Few scenes: a hint, no proof.)"""
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

# %%
for kind, way in errors:
    col = KINDS.index(kind)
    lazy = row_of([error(mean_of[kind], row[col]) for row in rows])
    above = row_of([error(one.grid.rows[1][col], row[col]) for one, row in zip(samples, rows, strict=True)])
    print(f"{kind:8s}{way:13s} model {row_of(errors[kind, way])}   mean image {lazy}   cell above {above}")
guess.compare(verdict(errors["depth", "both at once"], errors["depth", "alone"]))

# %% [markdown]
# Read each line: the model has learned something about a direction where its error is below both simple answers.
# Where it is not, either it has learned nothing (it has less than a thousandth of the real one's size), or there is
# more than one right answer and this error cannot tell. The last line is the forward direction. It starts from two
# right conditions, and yet it has the hardest task. Which of the two is it?
#
# ## What cannot come back?
#
# Take a scene with one thing in it. Give the thing another colour, another texture, the ground another colour. (The
# ground also fades in some direction. We leave that as it is.) Its outlines do not change by a single pixel, and
# neither does its depth map.

# %%
scene = make_scene(12)
print(len(COLOURS), "colours,", len(TEXTURES), "textures,", len(GROUNDS), "grounds")
guess = predict("How many different images are there with these outlines and this light?", ...)


# %%
def painted_anew(scene, colour, texture, ground):
    """The same scene with one thing and the ground painted otherwise."""
    return replace(scene, ground=ground, things=(replace(scene.things[0], colour=colour, texture=texture),))


twins = [painted_anew(scene, c, t, g) for c in COLOURS for t in TEXTURES for g in GROUNDS]
views = {kind: draw(kind, twins) for kind in KINDS}
for kind in KINDS:
    print(f"{len(twins)} scenes, different views of kind {kind}: {len({one.numpy().tobytes() for one in views[kind]})}")
guess.compare(len({one.numpy().tobytes() for one in views["image"]}))

# %% [markdown]
# All of them are right answers to *outlines to image*. (And each further thing brings all its colours and
# textures.) The direction to the conditions is a function: one answer. The direction back is not. What does the model
# do? It walks from noise, and the noise decides (lesson 03). Three seeds show the spread.
#
# If you know which answer you want, say so: the content prompt describes the target. Here are the same seeds with
# two captions, of two of the right answers.

# %%
asked = sample("edge > image", scenes=[62, 49, 12])
wishes = [painted_anew(scene, "red", "plain", "pale"), painted_anew(scene, "blue", "plain", "dark")]
wanted = [to_image(draw("image", [one])[0]) for one in wishes]
captions = [None, *(one.caption() for one in wishes)]
made = {caption: [fill(asked.grid.replace(content=caption), seed)[0] for seed in range(3)] for caption in captions}
print(*captions[1:], sep="\n")

# %%
sheet, titles = [], []
for caption, wish in zip(captions, [None, *wanted], strict=True):
    sheet += [asked.grid.query[0], *made[caption], wish or asked.truth[0]]
    titles += ["given", "seed 0", "seed 1", "seed 2", "one right answer" if wish is None else "what the words say"]
show.sheet(sheet, titles, cols=5, title="No words (above), and the same seeds with two captions")


# %%
def spread(images):
    """How far images lie apart: the standard deviation of each pixel over the images, black 0 to white 1."""
    return torch.cat([latents.pixels(one) for one in images]).std(0).mean().item() / 2


for caption, images in made.items():
    to = [sum(error(one, wish) for one in images) / 3 for wish in wanted]
    nearer = ("red on pale", "blue on dark")[to[0] > to[1]]
    said = (caption or "no words").rstrip(".")
    print(f"{said}: spread {spread(images):.2f}, errors {to[0]:.2f}, {to[1]:.2f}, nearer: {nearer}")

# %% [markdown]
# Compare each caption's line with the one without words: with the first caption the error to red on pale should fall,
# with the second that to blue on dark, and the last words should follow. Where they do, words have picked one of the
# right answers. How firmly is a matter of training.
#
# There is a lesson for scoring as well. An error against *the* image punishes other right answers. Compare the
# answers without words with the one truth, and with the nearest of the right answers we have just counted.

# %%
right = [to_image(one) for one in views["image"]]
for seed, one in enumerate(made[None]):
    distances = [error(one, other) for other in right]
    nearest = min(range(len(right)), key=distances.__getitem__)
    print(f"seed {seed}: to the truth {error(one, asked.truth[0]):.2f}, to the nearest {distances[nearest]:.2f}:",
          twins[nearest].caption())  # fmt: skip
apart = sum(error(asked.truth[0], other) for other in right) / (len(right) - 1)  # the truth is one of them
print(f"from the truth to another right answer it is {apart:.2f}, on average")

# %% [markdown]
# ## There and back again
#
# The paper shows reverse generation and gives no number. Here we have exact truth, so send things round: a
# image to its conditions and back to an image; or conditions to an image and back to conditions.
#
# **Exercise.** `row` is a full row of true images, `kept` are the columns you start from, counted from 0.
# `fill(row)` takes a row with `None` in it and returns the row with these cells painted. Keep the `kept` cells and
# let it paint the others. Then go back: let it paint the kept columns from what it has just painted. Return the
# row in which every cell has been painted.


# %% tags=["exercise"]
def round_trip(fill, row, kept):
    """There: paint all but `kept`. Back: paint `kept` from that. Return the painted row."""
    ### BEGIN SOLUTION
    painted = fill([cell if col in kept else None for col, cell in enumerate(row)])
    return fill([None if col in kept else cell for col, cell in enumerate(painted)])
    ### END SOLUTION


# %%
checks.round_trip.check(round_trip)

# %% [markdown]
# The lesson goes on with the check's own answer. `filler` gives it the tiny model: it puts a row under the
# examples, moves the blanks, and writes the text that belongs to them.


# %%
def filler(one, seed, content=None):
    """`fill(row)` for one sample of the toy world."""

    def fill_row(row):
        blanks = [col for col, cell in enumerate(row) if cell is None]
        text = column_prompt([words(kind) for kind in one.columns], blanks)
        grid = one.grid.with_blanks(*blanks, query=row).replace(task=text, content=content)
        return list(grid.completed(fill(grid, seed)).query)

    return fill_row


go_round = checks.round_trip.answer
trip = {"image first": (2,), "conditions first": (0, 1)}
ends = {way: [go_round(filler(one, i), rows[i], kept) for i, one in enumerate(samples)] for way, kept in trip.items()}
sheet = [cell for end in ends.values() for cell in (*rows[3], *end[3])]
titles = [*(f"true\n{name}" for name in NAMES), *(f"painted\n{name}" for name in NAMES)]
show.sheet(sheet, titles * 2, cols=6, title="Round trips: above the image comes last, below it comes first")

# %% [markdown]
# Above, the painted outlines and depth are half of the trip and the painted image is its end. Below it is the
# other way round.
#
# **Predict.** We compare each error after the whole trip with the error of the mean image of that kind. 1 means
# that one may as well not have travelled. Of which kind is most lost?

# %%
guess = predict("Most is lost of", ..., ["the outlines", "the depth map", "the image"])

# %%
described = [go_round(filler(one, i, one.scenes[-1].caption()), rows[i], (2,)) for i, one in enumerate(samples)]
trips = {"the outlines": (0, ends["conditions first"]), "the depth map": (1, ends["conditions first"])}
trips |= {"the image": (2, ends["image first"]), "the image, with a caption": (2, described)}
lost, after = {}, {}
for name, (col, end) in trips.items():
    after[name] = [error(one[col], row[col]) for one, row in zip(end, rows, strict=True)]
    lazy = [error(mean_of[KINDS[col]], row[col]) for row in rows]
    lost[name] = sum(after[name]) / sum(lazy)
    print(f"{name:28s} after the trip {row_of(after[name])}   mean image {row_of(lazy)}   ratio {lost[name]:.2f}")
guess.compare(max(list(lost)[:3], key=lost.get))
print("with a caption the image is", verdict(after["the image, with a caption"], after["the image"]))

# %% [markdown]
# Two things are mixed in these ratios. The model makes mistakes, twice. And outlines and depth keep no colours, so
# even a perfect model could not bring them back; it could bring back outlines and depth. That second part stays,
# however long one trains. Only something else that knows the colours can help: a caption, which went along on both
# ways, or one more condition, such as a grey image.
#
# ## How do two cells form at once?
#
# One walk paints both blanks. `pipe.steps` gives every step of it, and `pipe.read(step, step.x0)` one running
# guess for each target cell (lesson 03).

# %%
run = list(pipe.steps(back.grid, seed=0, steps=12, strength=0))
some = [run[i] for i in (0, 2, 4, 6, 8, 11)]
guesses = [pipe.read(step, step.x0) for step in some]
sheet = [one[cell] if cell < 2 else one for cell in range(2) for one in (*guesses, back.truth)]
titles = [f"{name}\n{when}" for name in NAMES[:2] for when in (*(f"sigma {one.sigma:.2f}" for one in some), "true")]
show.sheet(sheet, titles, cols=7, title="Two cells out of one noise: what the model would answer at each moment")

# %%
errors = torch.zeros(2, 4, 12)
for seed in range(4):
    task = sample(TASK, seed, targets=(0, 1))
    for step in pipe.steps(task.grid, seed=seed, steps=12, strength=0):
        cells = pipe.read(step, step.x0)
        errors[:, seed, step.index] = torch.tensor([error(*pair) for pair in zip(cells, task.truth, strict=True)])
curves = {f"{name}: error": one.tolist() for name, one in zip(NAMES, errors.mean(1), strict=False)}
draw_curves([step.sigma for step in run], curves, "The running guess of each cell against the truth, four grids")

# %% [markdown]
# Where a line rises, remember lesson 03: the first guess is a mean and plays safe. The walk then chooses, and a
# sharp choice in the wrong place costs more than a soft mean.
#
# Are these two walks that happen to run together, or one? Give new noise to one cell only, and see whether the
# other cell's answer moves. We look at the tokens, before the VAE mixes neighbours.

# %%
ready = latents.prepare(back.grid, pipe.vae, pipe.resolution, torch.Generator().manual_seed(0))
text, sigmas = encode_text(pipe, back.grid.prompt, 64), flow.schedule(STEPS, 144, pipe.scheduler.config)
cell_of = [tuple(cell) for cell in ready.layout.cells.tolist()]
places = {name: torch.tensor([cell == (2, col) for cell in cell_of]) for col, name in enumerate(NAMES[:2])}


def walk_with_new_noise(place=None):
    noise = ready.noise.clone()
    if place is not None:
        noise[:, place] = torch.randn(1, 16, 64, generator=torch.Generator().manual_seed(1))
    inputs = noise, ready.condition, ready.ids, text, sigmas
    *_, last = flow.euler_sample(pipe.transformer, *inputs, layout=ready.layout)
    return last.after


# %%
plain = walk_with_new_noise()
for name, place in places.items():
    moved = (walk_with_new_noise(place) - plain).square()
    by = {other: moved[:, tokens].mean().sqrt().item() for other, tokens in places.items()}
    print(f"new noise under the {name:9s}", *(f"{other} moves by {far:.2f}" for other, far in by.items()), sep="   ")
    print("   the other cell moved:", min(by.values()) > 0)
print("and in the whole lesson no weight has changed:", fingerprint() == at_first)

# %% [markdown]
# The other cell moves too, if far less. At every step each blank sees the other's noisy state, so what one decides, the
# other can follow. Where several answers are right, only one call can make them fit. Where each follows from the
# image, as here, two calls agree as well: `evaluation.md` beside the model's card compares them.
#
# ## What we saw
#
# - Backwards is the same grid with its blanks elsewhere. Only the mask, the known images and the text change;
#   `latents.py` and diffusers prepare the same numbers.
# - All conditions can come out of one call, and they form together, each seeing the other.
# - Conditions to image has many right answers. The seed picks one, or the words do.
# - A round trip is only honest if the way back starts from what was painted.
# - What a kind of image does not hold cannot come back through it.
#
# An open question: blank all three cells of the query, so that nothing is given but the examples. What would the
# model paint, and how could one score an answer when every scene is right?
