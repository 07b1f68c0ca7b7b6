# %% [markdown]
# # 04 In context
#
# **Do the examples really tell the task?**
#
# Lesson 00 filled one grid and the answer was near the ground truth. Perhaps that was luck. Perhaps the model used one
# column of images only. Here you test the examples: more of them, fewer, none, misleading ones, and ones with a cell
# greyed out.
#
# You will be able to
#
# - measure an effect over several scenes, with an error bar, and tell when it is not significant;
# - find out what the model follows when text and examples disagree;
# - find out on which cells of a grid an answer depends.
#
# About 30 minutes. A CPU is enough. Doing a task from examples in the input, with unchanged weights, is called
# *in-context learning*. The paper measures it with 0, 1 and 2 examples:
# [VisualCloze](https://arxiv.org/abs/2504.07960), section "Experiments".

# %% tags=["setup"]
from functools import cache

import numpy as np
import torch
from PIL import Image

from visualcloze_nb.sampling import flow, latents
from visualcloze_nb import load, show
from visualcloze_nb.lessons import l04_in_context as checks
from visualcloze_nb.lessons import predict
from visualcloze_nb.sampling.text import Text, encode_text
from visualcloze_nb.toyworld import sample
from visualcloze_nb.widgets.explorers import GreyOutExplorer

torch.set_grad_enabled(False)
pipe = load("tiny")

# %% [markdown]
# ## How do I change only the examples?
#
# To measure the effect of examples, change the examples and as little else as possible: same query, same seed.
# `scenes=` gives the scene of each row, the query last. Every query has three example scenes of its own. With fewer
# examples, the last are left out. (Grids of one shape then get the same noise. In a larger grid the query's noise is
# another draw from the seed.)

# %%
QUERIES = range(8)


@cache
def build(task, query, examples, **settings):
    """A sample with scene number `query` as its query, and the first `examples` of its three examples."""
    others = [1000 * row + query for row in (1, 2, 3)]
    return sample(task, examples=examples, scenes=[*others[:examples], query], **settings)


same = [build("image > depth", 0, n).grid.query == build("image > depth", 0, 3).grid.query for n in range(4)]
print("the query stays the same:", all(same))
show.show_grid(build("image > depth", 0, 3).grid, "The largest grid: three examples", ["image", "depth map"])

# %% [markdown]
# One answer proves nothing: it may be luck. We need many, so we fill many grids of one shape as one **batch**. This is
# the sampler of lesson 03, with the grids along the first axis of every tensor. Each grid has its own noise, seeded by
# its index in the list. If you have not read that lesson, just use `fill_all`: grids in, answers out.


# %%
def fill_all(grids, steps=6):
    """Stage 1 for many grids of one shape."""
    noises = [torch.Generator().manual_seed(seed) for seed in range(len(grids))]
    ready = [latents.prepare(grid, pipe.vae, pipe.resolution, g) for grid, g in zip(grids, noises, strict=True)]
    texts = [encode_text(pipe, grid.prompt, 64) for grid in grids]
    text = Text(torch.cat([t.states for t in texts]), torch.cat([t.pooled for t in texts]), texts[0].ids)
    z, known = torch.cat([r.noise for r in ready]), torch.cat([r.condition for r in ready])
    sigmas = flow.schedule(steps, ready[0].layout.total, pipe.scheduler.config)
    for sigma, sigma_next in zip(sigmas, sigmas[1:], strict=False):
        v = flow.velocity(pipe.transformer, z, known, sigma, text, ready[0].ids)
        z = flow.euler_step(z, v, sigma, sigma_next)
    return [latents.decode_targets(one[None], pipe.vae, r.layout)[0] for one, r in zip(z, ready, strict=True)]


def rmse(one, other):
    """Root mean square error in percent: 0 for the same image, 100 for black against white."""
    return float(((latents.pixels(one) - latents.pixels(other)) / 2).square().mean().sqrt()) * 100


# %% [markdown]
# Now a mean over all scenes. Its **standard error** says how much the mean would vary with other scenes: the standard
# deviation of the single values, divided by the square root of their number.
#
# A second way needs no formula. Draw eight of the eight scenes at random, with replacement, take the mean, repeat this
# a thousand times, and take the standard deviation of the means. That is the **bootstrap**.
#
# **Exercise.** Write the first way, mean and standard error. `ddof=1` in `std` divides by n - 1, as it should where the
# mean is estimated too.


# %% tags=["exercise"]
def mean_and_error(values):
    """Mean and standard error of independent measurements."""
    ### BEGIN SOLUTION
    values = np.asarray(values, dtype=float)
    return values.mean(), values.std(ddof=1) / np.sqrt(len(values))
    ### END SOLUTION


# %%
checks.mean_and_error.check(mean_and_error)
mean_and_error = checks.mean_and_error.or_answer(mean_and_error)  # yours if it is right

# %%
samples = [build("image > depth", query, 2) for query in QUERIES]
values = [rmse(a, s.truth[0]) for a, s in zip(fill_all([s.grid for s in samples]), samples, strict=True)]
drawn = np.random.default_rng(0).choice(values, (1000, len(values)))
print("single values:", *(f"{value:.0f}" for value in values))
print("mean {:.1f}, standard error {:.1f}".format(*mean_and_error(values)))
print(f"by bootstrap {drawn.mean(1).std():.1f}")

# %% [markdown]
# The bootstrap tends to be a little smaller: it divides by eight where the formula divides by seven. Read a mean of,
# say, 7 ± 1 as: with other scenes I might have got 6 or 8, rarely 4 or 10. `visualcloze-nb evaluate`
# measures the same way, with more scenes and steps, and bootstrap intervals.
#
# ## What do examples add?
#
# No examples, one, two, three; with the task text and without.

# %%
guess = predict("No text. Which example makes the largest difference?", ..., ["the first", "the second", "the third"])

# %%
answers, errors = {}, {}
for text in ("no text", "task text"):
    for n in range(4):
        samples = [build("image > depth", query, n, text=text == "task text") for query in QUERIES]
        answers[text, n] = fill_all([s.grid for s in samples])
        errors[text, n] = [rmse(a, s.truth[0]) for a, s in zip(answers[text, n], samples, strict=True)]
gains = {n: mean_and_error(np.subtract(errors["no text", n - 1], errors["no text", n])) for n in (1, 2, 3)}
guess.compare(dict(enumerate(["the first", "the second", "the third"], 1))[max(gains, key=lambda n: gains[n][0])])

# %%
middle = int(np.argsort(errors["task text", 2])[len(QUERIES) // 2])  # a scene that is neither lucky nor unlucky
shown = build("image > depth", QUERIES[middle], 1)
images, titles = [], []
for text in ("no text", "task text"):
    images += [shown.grid.query[0], *(answers[text, n][middle] for n in range(4)), shown.truth[0]]
    titles += ["query", *(f"{text}\nexamples: {n}" for n in range(4)), "ground truth"]
show.sheet(images, titles, cols=6, title="One query: above with examples alone, below with the text too")

# %%
copied = np.mean([rmse(s.truth[0], s.grid.examples[0][1]) for s in samples])
curves = {}
for text in ("no text", "task text"):
    means, bars = zip(*(mean_and_error(errors[text, n]) for n in range(4)), strict=True)
    curves[text] = range(4), means, bars
    print(f"{text:10}", "  ".join(f"{n}: {m:4.1f} ± {e:.1f}" for n, (m, e) in enumerate(zip(means, bars, strict=True))))
checks.draw_means(
    curves,
    title="Error of the depth map by number of examples, mean of eight scenes",
    xlabel="examples",
    ylabel="RMSE, percent",
    level=("depth map of\nanother scene", copied),
)

# %% [markdown]
# Look at the image without text and without examples. Nothing specifies the task, so what would *you* answer?
#
# The error bars have two sources: the effect of the examples, and scenes that are hard with any examples. But the
# scenes are the *same* each time. So subtract scene by scene first, then take the mean: the second source drops out.
# Such differences are called *paired*.

# %%
for text in ("no text", "task text"):
    for n in (1, 2, 3):
        gain, error = mean_and_error(np.subtract(errors[text, n - 1], errors[text, n]))
        verdict = "not significant" if abs(gain) < 2 * error else "helps" if gain > 0 else "harms"
        print(f"{text:10} example {n}: error falls by {gain:5.1f} ± {error:.1f}: {verdict}")

# %% [markdown]
# "Not significant" means: less than two standard errors, so it may be random. It does not mean that there is no
# effect, only that eight scenes do not show one. And of six tests one may cross that line by accident: a change of a
# fraction of a percent, just beyond two standard errors, is no finding.
#
# Text and examples specify the same task here. What can an example add to the text? The paper measured the large model
# with its text: for depth to image, no, one and two examples give an error of 10.31, 9.91 and 9.68 (RMSE on the
# paper's own scale, lower is better). In other tasks examples add less or nothing: Canny F1 0.35, 0.36, 0.36.
#
# ## What does it follow when text and examples disagree?
#
# Now the examples are misleading. The text names a depth map, the examples show outlines. `Grid.with_examples` replaces
# the examples and keeps query and text.


# %%
def conflict(named, shown, query, examples):
    """A grid whose text names one kind and whose examples show another, and the ground truth of both."""
    text, images = (build(f"image > {kind}", query, examples) for kind in (named, shown))
    return text.grid.with_examples(images.grid.examples), text.truth[0], images.truth[0]


grid, *_ = conflict("depth", "edge", QUERIES[middle], 1)
show.show_grid(grid, "The text: " + grid.task.removeprefix("In each row, a logical task is demonstrated ")[:-1])

# %%
guess = predict("The text names depth, one example shows outlines. How many of 8 scenes follow the example?", ...)


# %%
def trial(named, shown, examples):
    """Answers, and for each whether it is nearer to what the examples show than to what the text names."""
    grids, by_text, by_examples = zip(*(conflict(named, shown, query, examples) for query in QUERIES), strict=True)
    made = fill_all(grids)
    return made, [rmse(a, e) < rmse(a, t) for a, t, e in zip(made, by_text, by_examples, strict=True)]


trials = {(t, e, n): trial(t, e, n) for t, e in (("depth", "edge"), ("edge", "depth")) for n in range(4)}
guess.compare(sum(trials["depth", "edge", 1][1]))

# %%
images, titles = [], []
for named, shown in (("depth", "edge"), ("edge", "depth")):
    images += [trials[named, shown, n][0][middle] for n in range(4)]
    titles += [f"text: {named}\n{n} x {shown}" for n in range(4)]
    images += conflict(named, shown, QUERIES[middle], 1)[1:]
    titles += [f"truth of the\ntext: {named}", f"truth of the\nexamples: {shown}"]
show.sheet(images, titles, cols=6, title="From left to right more misleading examples, the same text")

# %%
curves = {}
for named, shown in (("depth", "edge"), ("edge", "depth")):
    means, bars = zip(*(mean_and_error(trials[named, shown, n][1]) for n in range(4)), strict=True)
    curves[f"text: {named}\nexamples: {shown}"] = range(4), means, bars
    print(f"text: {named:5}  follows the examples:", "  ".join(f"{n}: {m:.0%}" for n, m in enumerate(means)))
checks.draw_means(
    curves,
    title="How often the model follows misleading examples",
    xlabel="misleading examples",
    ylabel="share of eight scenes",
    level=("as often as\nthe text", 0.5),
    top=1.08,
)

# %% [markdown]
# Where all scenes agree the error bar has no length. That is a weakness of the formula, not certainty: a true share of
# 0.7 also gives eight of eight, once in 17 trials. And compare the two lines: do answers follow text or examples, or
# simply one of the kinds? Look at the sheet as well. An answer may mix the two, and then "nearer to" says little.
#
# And if the examples contradict each other? Lesson 00 ended with this question. No text, one example of each kind.

# %%
for order in (("depth", "edge"), ("edge", "depth")):
    samples = {kind: [build(f"image > {kind}", query, 2, text=False) for query in QUERIES] for kind in order}
    pairs = list(zip(*samples.values(), strict=True))
    made = fill_all([above.grid.with_examples([above.grid.rows[0], below.grid.rows[1]]) for above, below in pairs])
    wins = [rmse(m, below.truth[0]) < rmse(m, above.truth[0]) for m, (above, below) in zip(made, pairs, strict=True)]
    print(f"above {order[0]:5}  below {order[1]:5}: like the lower one in {sum(wins)} of {len(wins)} scenes")

# %% [markdown]
# Read the two lines together. If the lower example wins in both, distance from the query counts. If the same *kind*
# wins in both, the model prefers that kind. In the committed run outlines win in both: in seven of eight scenes when
# they are below, in six when they are above. That one scene says nothing about distance. And six of eight alone would
# be weak: a tossed coin gives six or more in every seventh trial.
#
# ## What if no text can name the task?
#
# A text names a task only if there is a word for it. The toy world has families without: *hue 120* moves all colours by
# 120 degrees around the colour circle (red becomes green, green blue), *hue 240* by 240. Both are called "a recoloured
# image".

# %%
ANGLES = (0, 60, 120, 180, 240, 300)
prompts = {build(f"image > hue {angle}", 0, 0).grid.prompt for angle in ANGLES}
print(len(ANGLES), "tasks,", len(prompts), "text")
rotated = [build(f"image > hue {angle}", QUERIES[middle], 0).truth[0] for angle in ANGLES]
show.sheet(rotated, [f"hue {angle}" for angle in ANGLES], cols=6, title="One scene, six tasks, one text for all")

# %%
guess = predict("No examples: in how many of 8 scenes do 'hue 120' and 'hue 240' give the same image?", ...)

# %%
hues = {}
for angle in (120, 240):
    for n in (0, 1, 2):
        hues[angle, n] = fill_all([build(f"image > hue {angle}", query, n).grid for query in QUERIES])
guess.compare(sum(a.tobytes() == b.tobytes() for a, b in zip(hues[120, 0], hues[240, 0], strict=True)))

# %% [markdown]
# Without examples the two inputs are equal bit for bit: no model can do both. Which of the six hues is nearest to each
# answer? A random choice would be right in one of six.


# %%
def nearest_hue(image, query):
    return min(ANGLES, key=lambda angle: rmse(image, build(f"image > hue {angle}", query, 0).truth[0]))


for n in (0, 1, 2):
    right = [nearest_hue(hues[a, n][query], query) == a for a in (120, 240) for query in QUERIES]
    share, error = mean_and_error(np.reshape(right, (2, -1)).mean(0))  # a scene's two answers are not independent
    apart = np.mean([rmse(one, other) for one, other in zip(hues[120, n], hues[240, n], strict=True)])
    verdict = "better than random" if share - 2 * error > 1 / 6 else "not better than random"
    print(f"examples: {n}   the two answers differ by {apart:4.1f}   right {share:4.0%} ± {error:.0%}: {verdict}")

images, titles = [], []
for angle in (120, 240):
    images += [rotated[0], *(hues[angle, n][middle] for n in (0, 1, 2)), rotated[ANGLES.index(angle)]]
    titles += ["query", *(f"hue {angle}\nexamples: {n}" for n in (0, 1, 2)), f"hue {angle}\nground truth"]
show.sheet(images, titles, cols=5, title="Only examples specify the hue")

# %% [markdown]
# This is what examples are for: a task that you can show but have no word for. In the committed run none of the answers
# without examples has the right hue, and with one example 94 % have. A second example adds nothing that eight scenes
# could show.
#
# ## On which cells does an answer depend?
#
# Grey out one cell and see what changes. We use plain grey, since black is what a blank looks like to the model
# (lesson 02).
#
# **Exercise.** Write it: `grid.to_lists()` gives rows that you may change, `grid.replace(rows=rows)` a new grid, and
# `Image.new("RGB", cell.size, (128, 128, 128))` a grey image of the size of a cell. Row and column count from 0.


# %% tags=["exercise"]
def in_grey(grid, row, column):
    """The same grid with one cell in plain grey."""
    ### BEGIN SOLUTION
    rows = grid.to_lists()
    rows[row][column] = Image.new("RGB", rows[row][column].size, (128, 128, 128))
    return grid.replace(rows=rows)
    ### END SOLUTION


# %%
checks.in_grey.check(in_grey)
grey_out = checks.in_grey.or_answer(in_grey)  # yours if it is right
grid = build("image > depth", QUERIES[middle], 2, text=False).grid
show.show_grid(grey_out(grid, 0, 1), "The first example without its depth map", ["image", "depth map"])

# %% [markdown]
# **Exercise.** `fill(grid)` returns an answer, an image, always from the same noise. Grey out each cell of the
# examples, one at a time, fill again, and measure with `rmse` how much the answer differs from the answer to the whole
# grid. Return an array `(examples, columns)`.
#
# | | |
# |---|---|
# | `len(grid.examples)`, `grid.n_cols` | how many rows and columns of examples there are |
# | `grey_out(grid, row, column)` | a new grid; the old one is unchanged |
#
# The lesson continues with `checks.influence.answer`, which is the same function.


# %% tags=["exercise"]
def influence(fill, grid):
    """Change of the answer, in percent, when a cell is grey: an array (examples, columns)."""
    ### BEGIN SOLUTION
    answer = fill(grid)
    change = np.zeros((len(grid.examples), grid.n_cols))
    for row in range(len(grid.examples)):
        for column in range(grid.n_cols):
            change[row, column] = rmse(fill(grey_out(grid, row, column)), answer)
    return change
    ### END SOLUTION


# %%
checks.influence.check(influence)
guess = predict("One example, no text. Which of its two cells matters more?", ..., ["image", "depth map"])


# %%
def fill(grid):
    return fill_all([grid])[0]


one = checks.influence.answer(fill, build("image > depth", QUERIES[middle], 1, text=False).grid)
print("image {:.1f}, depth map {:.1f}".format(*one[0]))
guess.compare(["image", "depth map"][int(one[0].argmax())])

# %% [markdown]
# *How much* is one number. *Where* is an image: the change of each pixel of the answer. Here with two examples, and for
# comparison with the query greyed out.

# %%
answer = fill(grid)
changes = {}
for row, column in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]:
    moved = latents.pixels(fill(grey_out(grid, row, column))) - latents.pixels(answer)
    changes[row, column] = 50 * moved[0].square().mean(0).sqrt().numpy()
checks.draw_influence(grid.completed([answer]), changes, "Right, in each cell's place: what greying it out changes")

# %%
GreyOutExplorer.of(pipe, grid, seed=0, steps=6)

# %% [markdown]
# In the first figure, look for shapes in the right half. Without the query, what becomes of the objects? Without an
# example cell, does the answer change at the outlines, everywhere, or hardly at all? The colour scale is stretched, so
# that small changes are visible. The second figure shows the answers themselves, with a mean difference of 0 to 255 in
# place of the RMSE; in a running notebook, select the cell to grey out.
#
# This is one scene again. So, over all scenes: one example, two, and two with the text.


# %%
def table(examples, text):
    """Mean and standard error, over the scenes, of the change that each example cell causes."""
    grids = [build("image > depth", query, examples, text=text).grid for query in QUERIES]
    whole, moved = fill_all(grids), {}
    for cell in np.ndindex(examples, 2):
        greyed = fill_all([grey_out(grid, *cell) for grid in grids])
        moved[cell] = mean_and_error([rmse(a, b) for a, b in zip(greyed, whole, strict=True)])
    return moved


tables = {(n, text): table(n, text) for n, text in ((1, False), (2, False), (2, True))}
print("                          image         depth map")
for (n, text), moved in tables.items():
    for row in range(n):
        cells = "    ".join("{:4.1f} ± {:3.1f}".format(*moved[row, column]) for column in (0, 1))
        print(f"{'task text' if text else 'no text':9}, example {row + 1} of {n}:  {cells}")


def is_less(one, other):
    """Is the first mean smaller, by more than two standard errors of the difference (not paired: cautious)?"""
    gap, error = other[0] - one[0], np.hypot(one[1], other[1])
    return "not significant" if abs(gap) < 2 * error else bool(gap > 0)


alone, in_pair, with_text = (tables[key][key[0] - 1, 1] for key in ((1, False), (2, False), (2, True)))
print("the depth map next to the query matters")
print("  less if there is a second example:", is_less(in_pair, alone))
print("  still less if the text names the task too:", is_less(with_text, in_pair))
print("  more than the image beside it:", is_less(tables[1, False][0, 0], alone))

# %% [markdown]
# A cell that can be greyed out without effect is not useless: another cell may carry the same information. This limits
# all such *ablations* of one part at a time, here and in any model. And grey is not nothing: "an image, then grey" is a
# misleading example too, and the model may partly follow it. To remove an example, leave out its row.
#
# In diffusers you change an image in `image=[[…], […]]` of `VisualClozePipeline` and call it again with the same
# `generator`.
#
# ## What we saw
#
# - Change one input, keep query and seed, measure over several scenes, subtract scene by scene.
# - Text and examples can replace each other. What the second adds to the first must be measured, and may not be
#   significant.
# - When they disagree, count which one the answers follow. It may depend on the task and on the number of misleading
#   examples.
# - What no text can name, only examples can show: without them two tasks are the same input.
# - Greying out a cell shows whether and where an answer depends on it, unless another cell carries the same
#   information.
#
# An open question: a held-out task, shown in two examples, that was never trained. Would the model follow them?
