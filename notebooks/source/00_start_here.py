# %% [markdown]
# # 00 Start here
# **What does it feel like to ask a model by showing, not by telling?**
#
# In a cloze test a text has gaps, and you write what belongs there. VisualCloze is a model that does this with images.
# The paper is [VisualCloze](https://arxiv.org/abs/2504.07960), section "Visual In-context Learning". At the end of
# this lesson you will be able to
#
# - put images into a grid and let the model fill the empty cell,
# - measure in one number how good its answer is, and tell a typical answer from a lucky one,
# - change the task without a word, by changing the examples,
# - build grids with the mouse, from photographs as well,
# - save an answer together with how it was made.
#
# 15 minutes, on a CPU. You need a little Python and nothing else.

# %% tags=["setup"]
import tempfile
from pathlib import Path

import numpy as np
from PIL import ImageOps

from visualcloze_nb import Grid, GridBuilder, load, photos, show
from visualcloze_nb.lessons import predict
from visualcloze_nb.lessons import l00_start_here as checks
from visualcloze_nb.data.result import read_provenance
from visualcloze_nb.toyworld import sample

pipe = load("tiny")

# %% [markdown]
# The model is now in `pipe`. It is the tiny one: the same kind of model as the real VisualCloze, and more than a
# thousand times smaller. It was trained on a toy world of simple shapes and, a little, on photographs. Lesson 10 runs
# the same lines on the model with 17 billion *parameters*, the numbers that training adjusts.
#
# ## What is a grid?
# We take three **held-out** scenes of the toy world: scenes that were not used in training. Each scene has an image,
# and a *depth map* that shows how near everything is: the brighter, the nearer.
#
# Two scenes, 40 and 41, serve as finished examples. The third is the one to fill, chosen by a rule: of the scenes 50 to
# 57 it is the first whose error is below the median in both tasks of this lesson, scene 52. The section *Is every
# answer like this?* runs the rule, and shows the scenes that it leaves out. `sample` draws a task of the toy world: in
# `grid` the images, and in `truth` what belongs in the empty cell.

# %%
SCENES = [40, 41, 52]
depth = sample("image > depth", scenes=SCENES, text=False)
(image_1, depth_1), (image_2, depth_2), (query, _) = depth.grid.rows
show.sheet([image_1, depth_1, query], ["an image", "its depth map", "another image"], title="Bright means near")

# %% [markdown]
# A grid is a list of rows, and a row is a list of images. `None` stands for the cell to fill.

# %%
grid = Grid([[image_1, depth_1], [image_2, depth_2], [query, None]])
show.show_grid(grid, "Two examples, and a query with a gap")

# %% [markdown]
# **Exercise.** Make the smallest grid: one example (`image`, `answer`), and a row with `query` and an empty cell.


# %% tags=["exercise"]
def one_example(image, answer, query):
    """A grid of two rows: a finished example, and the query with its gap."""
    ### BEGIN SOLUTION
    return Grid([[image, answer], [query, None]])
    ### END SOLUTION


# %%
checks.one_example.check(one_example)

# %% [markdown]
# Three terms are used in every lesson:
#
# - The upper rows are the **examples**. Each shows the task done.
# - The last row is the **query**: the task not done yet. Its given images are its **conditions**.
# - The empty cell is the **target**, drawn with stripes.
#
# **Predict.** The grid contains no text. What will the model generate in the target?

# %%
KINDS = {"the query again": query, "the query's depth map": depth.truth[0], "the depth map above": depth_2}
guess = predict("What will it generate?", ..., list(KINDS))

# %%
result = pipe.fill(grid, seed=0, progress=False)
truth = depth.large()[0]  # as `depth.truth[0]`, drawn three times as large
print("stage 1:", result.stage1[0].size, "stage 2:", result.image.size)
show.show_result(result, truth, "The model's answer, and the ground truth")


# %%
def difference(one, other):
    """Mean difference of two images of the same size, 0 to 255."""
    return np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).mean()


answer = result.stage1[0]
guess.compare(min(KINDS, key=lambda kind: difference(answer, KINDS[kind])))

# %% [markdown]
# The word "depth" was not given. The model saw two rows in which the right image is the depth map of the left one,
# and continued in the same way. It worked in two stages: stage 1 fills the grid at a small size; stage 2 makes the
# answer three times larger. Lesson 08 is about stage 2. From here on we look at stage 1 alone, with `strength=0`: that
# is faster.
#
# Compare it with the **ground truth**, the exact right answer. In the committed run it is a depth map of the right
# objects: a triangle, and farther away a ring, each in its place, before a ground that gets nearer towards the bottom.
# Both are a little too bright. Their outlines are wavy, and stage 2 keeps them so. The model is tiny; its card,
# `visualcloze_nb/tiny/README.md`, says how it was trained.
#
# This package builds on *diffusers*, a widely used library of image models. In diffusers this call is
# `VisualClozePipeline`, with `image=[[…], […, None]]`. Each lesson names the symbols of diffusers that do the same.
#
# ## How good is the answer?
# A number that measures quality is called a **metric**. The toy world draws the ground truth exactly, so we can measure
# how far two images differ: take the difference of all their numbers (0 to 1), square it, take the mean, take the root.
# This metric is the *root mean square error*:
#
# $$\mathrm{RMSE}(a, b) = \sqrt{\mathrm{mean}\bigl((a - b)^2\bigr)}$$
#
# **Exercise.** Write it for two images, $a$ and $b$. `np.asarray(image) / 255` is the array of an image's numbers, 0
# to 1.


# %% tags=["exercise"]
def rmse(one, other):
    """Root mean square error of two images of the same size, 0 to 1."""
    ### BEGIN SOLUTION
    difference = np.asarray(one) / 255 - np.asarray(other) / 255
    return float(np.sqrt((difference**2).mean()))
    ### END SOLUTION


# %%
checks.rmse.check(rmse)
rmse = checks.rmse.or_answer(rmse)  # yours if it is right
print(f"an image and itself: {rmse(query, query):.2f}")
print(f"the query and its depth map: {rmse(query, depth.truth[0]):.2f}")

# %% [markdown]
# A number alone says little. It needs a **baseline**, a simple answer to compare with. Without any model one could
# return the query itself, or one of the depth maps of the examples.
#
# **Predict.** How large is the RMSE of the model's answer? A table with those two baselines follows; write your
# number down first. (Within 0.03 counts as right.)

# %%
guess = predict("RMSE of the model's answer?", ...)

# %%
table = {"the model's answer": answer, "the query itself": query, "a depth map of an example": depth_1}
for name, image in table.items():
    print(f"{name:26} {rmse(image, depth.truth[0]):.2f}")
guess.compare(round(rmse(answer, depth.truth[0]), 2), within=0.03)

# %% [markdown]
# The smaller, the better. In the committed run the model's error is a small part of either baseline: it did not copy
# the image beside the gap or the one above it. It did to the query what the examples show.
#
# ## Do the examples decide?
# Here are the same three scenes with another task: the right column shows white outlines. We keep the query exactly as
# it is, and change only the examples.

# %%
edges = sample("image > edge", scenes=SCENES, text=False)
show.show_grid(edges.grid, "The same scenes, another task")

# %% [markdown]
# **Exercise.** Write a function that puts the query of one grid below the examples of another. A `Grid` has what you
# need:
#
# | | |
# |---|---|
# | `grid.examples` | the rows above the query |
# | `grid.query` | the last row |
# | `grid.with_examples(rows)` | a new grid: other examples, the same query, the same texts |


# %% tags=["exercise"]
def with_examples_of(grid, other):
    """The query and texts of `grid`, with the examples of `other`."""
    ### BEGIN SOLUTION
    return grid.with_examples(other.examples)
    ### END SOLUTION


# %%
checks.with_examples_of.check(with_examples_of)

# %% [markdown]
# Whether or not you have solved it, the lesson goes on: from here it uses `grid.with_examples` directly.
#
# **Predict.** Same model, same query, same random numbers (`seed=0`), outlines in the examples. Which ground truth will
# the new answer be nearer to?

# %%
guess = predict("Nearer to which?", ..., ["the depth map", "the outlines"])

# %%
grids = {"depth": grid, "outlines": grid.with_examples(edges.grid.examples)}
answers = {name: pipe.fill(one, seed=0, strength=0, progress=False).image for name, one in grids.items()}
truths = {"depth": depth.truth[0], "outlines": edges.truth[0]}
print("the same query:", grids["outlines"].query == grid.query)
print("other examples, and no more of them:", grids["outlines"].examples == edges.grid.examples)

images = [query, *answers.values(), query, *truths.values()]
titles = ["the query", *(f"answer, examples: {name}" for name in answers)]
titles += ["the query", *(f"ground truth: {name}" for name in truths)]
show.sheet(images, titles, cols=3, title="One query, two answers: only the examples differ")

# %%
print("RMSE                 to the depth map   to the outlines")
for name, one in answers.items():
    print(f"examples: {name:10} {rmse(one, truths['depth']):16.2f} {rmse(one, truths['outlines']):17.2f}")

new = answers["outlines"]
nearer = rmse(new, truths["outlines"]) < rmse(new, truths["depth"])
guess.compare("the outlines" if nearer else "the depth map")

# %% [markdown]
# ## Is every answer like this?
# One answer may be luck. There are two ways to get others: other noise, and other scenes.
#
# The model starts from random noise. The seed determines the noise, so the same seed gives the same answer.

# %%
again = [pipe.fill(grid, seed=seed, strength=0, progress=False).image for seed in (0, 1, 2)]
print("seed 0 again, the same image:", again[0] == answers["depth"])
print("different images from three seeds:", len({image.tobytes() for image in again}))
print(f"seeds 0 and 1 differ by {rmse(*again[:2]):.2f}, the ground truth is {rmse(again[0], truths['depth']):.2f} away")

# %% [markdown]
# Three different images. The first two differ less from each other than from the ground truth. A depth map
# follows from its image, so one answer is right and the noise decides little. In the other direction, from outlines to
# an image, the noise decides the colours (lesson 07).
#
# Scenes make the difference. So we run the rule that chose the query of this lesson, on all eight scenes.
#
# **Exercise.** `errors` are numbers. Return the index of the first one that is below their median, counted from 0.
# (`np.median` is the middle of the sorted numbers: half of them lie below it.) Below, it is applied to each task.
# To save time these runs take `steps=10` in place of 30 (lesson 03 explains steps).


# %% tags=["exercise"]
def first_below_median(errors):
    """Index of the first number that is less than the median of all."""
    ### BEGIN SOLUTION
    median = np.median(errors)
    return next(i for i, error in enumerate(errors) if error < median)
    ### END SOLUTION


# %%
checks.first_below_median.check(first_below_median)

# %%
QUERIES, made, errors = range(50, 58), {}, {}
for task in ("image > depth", "image > edge"):
    samples = [sample(task, scenes=[40, 41, number], text=False) for number in QUERIES]
    made[task] = [pipe.fill(s.grid, seed=0, steps=10, strength=0, progress=False).image for s in samples]
    errors[task] = [rmse(one, s.truth[0]) for one, s in zip(made[task], samples, strict=True)]
    print(f"{task:14}", *(f"{n}: {e:.2f} " for n, e in zip(QUERIES, errors[task], strict=True)))
    print(f"   median {np.median(errors[task]):.2f}, first below:", end=" ")
    print(QUERIES[checks.first_below_median.answer(errors[task])])

# %%
better = [all(one[i] < np.median(one) for one in errors.values()) for i in range(len(QUERIES))]
print("better than half of them in both tasks:", [n for n, good in zip(QUERIES, better, strict=True) if good])
given = [s.grid.query[0] for s in samples]
images = [*given, *made["image > edge"], *(s.truth[0] for s in samples)]
titles = [f"scene {n}" for n in QUERIES] + [f"error {e:.2f}" for e in errors["image > edge"]] + ["truth"] * len(QUERIES)
show.sheet(images, titles, cols=8, title="Eight queries and their outlines: the most crowded have the largest errors")

# %% [markdown]
# ## How do I keep the answer?
# `save` writes a PNG file that also records how the image was made (its *provenance*): the model, the seed, the
# settings, the texts, and a fingerprint of the grid's images. With the same images anybody can repeat the run. A cell
# of a grid may be such a file, or any other image file: the package scales it to fit.

# %%
folder = Path(tempfile.mkdtemp())
path = result.save(folder / "depth.png")
record = read_provenance(path)
print(path.name, path.exists())
print({key: record[key] for key in ("seed", "rows", "columns", "targets", "task")})

from_files = Grid([[image_1, depth_1], [query, path]])
print(from_files.n_rows, "rows, finished:", from_files.targets == ())
print("the file contains the answer, pixel for pixel:", from_files.query[1] == result.image)

# %% [markdown]
# So you can build a grid from photographs. This package finds some that are free to use: `photos.names()`. Here the
# example takes the colour away. The tiny model was trained on a few photographs too, the flower among them; it has
# never seen the cup or the cat.

# %%
cup, flower, cat = (ImageOps.fit(photos.load(name), (128, 128)) for name in ("coffee", "flower", "cat"))
images = []
for photo in (flower, cat):
    example, truth = ([one, one.convert("L").convert("RGB")] for one in (cup, photo))
    filled = pipe.fill(Grid([example, [photo, None]]), seed=0, strength=0, progress=False)
    images += [*example, photo, filled.image, truth[1]]
titles = ["example", "its grey version", "query", "answer", "ground truth"] * 2
show.sheet(images, titles, cols=5, title="Photographs: the colour goes, the flower stays, the cat does not")

# %% [markdown]
# Both answers are grey, as the example asks for. Of the flower the form is left, as of a drawn object, and of the cat
# hardly anything: so small a model knows nothing as fine as fur. The large one is made for photographs; the lines that
# call it are the same (lesson 10).
#
# **Your turn.** The builder below makes grids without code. In a running notebook, open an example task, drop images of
# your own into cells, press *Run*, and let it show you the Python. What is saved with the notebook is its image. Its
# grid shows a third task, this time with text: a *class mask*, in which the colour of an object names its shape.

# %%
mine = sample("image > mask", scenes=SCENES, text=True)
GridBuilder(mine.grid, pipe)

# %%
result = pipe.fill(mine.grid, seed=0, strength=0, progress=False)
print(f"RMSE {rmse(result.image, mine.truth[0]):.2f}")
show.show_result(result, mine.truth[0], "The builder's grid, filled: the colour of a mask names the shape")

# %% [markdown]
# ## What we saw
# - A task is shown, not described: finished rows, and one row with a gap.
# - With other examples the same query got another answer, each nearest to its own ground truth.
# - The toy world draws the ground truth exactly, so each answer has a number, and a baseline to compare it with.
# - Simple scenes were filled better than crowded ones; of photographs little more than coarse forms was left.
# - An answer is saved together with how it was made.
#
# How can a grid of images be *one* input of a model that generates one image? Lesson 01 joins the cells.
#
# One question to keep: what would the model do if one example showed depth and the other showed outlines?
