# %% [markdown]
# # 00 Start here
# **What does it feel like to ask a model by showing, not by telling?**
#
# In some tests a series of images has a gap, and you say what belongs there. VisualCloze is a model that solves such
# tests. In this lesson you give it some. At the end you will be able to
#
# - put images into a grid and let the model fill the empty cell,
# - measure in one number how good its answer is,
# - change the task without a word, by changing the examples,
# - save the answer together with how it was made.
#
# 15 minutes, on a CPU. You need a little Python and nothing else.

# %% tags=["setup"]
import tempfile
from pathlib import Path

import numpy as np

from visualcloze_nb import Grid, load, show
from visualcloze_nb.lessons import predict
from visualcloze_nb.lessons import l00_start_here as checks
from visualcloze_nb.data.result import read_provenance
from visualcloze_nb.toyworld import sample

pipe = load("tiny")

# %% [markdown]
# The model is now in `pipe`. It is the tiny one: the same kind of model as the real VisualCloze, and more than a
# thousand times smaller. It was trained on a toy world of simple shapes, and that world is all it knows. Lesson 10 runs
# the same lines on the model with 17 billion parameters.
#
# ## What is a grid?
# We take three **held-out** scenes of the toy world: scenes that were not used in training. Each scene has an image,
# and a *depth map* that shows how near everything is: the brighter, the nearer.

# %%
SCENES = [50, 51, 52]
depth = sample("image > depth", scenes=SCENES, text=False)
(image_1, depth_1), (image_2, depth_2), (query, _) = depth.grid.rows
show.sheet([image_1, depth_1, query], ["an image", "its depth map", "another image"], title="Bright means near")

# %% [markdown]
# A grid is a list of rows, and a row is a list of images. `None` stands for the cell to fill.

# %%
grid = Grid([[image_1, depth_1], [image_2, depth_2], [query, None]])
show.show_grid(grid, "Two examples, and a query with a gap")

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
truth = depth.large()[0]
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
# Look first at *what* it tried to generate, then at how well: compare outlines, greys and small shapes with the
# **ground truth**, the exact right answer. Do not expect much. The model is tiny; its card,
# `visualcloze_nb/tiny/README.md`, says how it was trained and what it can do.
#
# This package builds on *diffusers*, a widely used library of image models. In diffusers this call is
# `VisualClozePipeline`, with `image=[[…], […, None]]`. Each lesson names the symbols of diffusers that do the same.
#
# ## How good is the answer?
# Looking is good, a number is better. A number that measures quality is called a **metric**. The toy world draws the
# ground truth exactly, so we can measure how far two images differ: take the difference of all their numbers, square
# it, take the mean, take the root. This metric is the *root mean square error*, RMSE. It is 0 for the same image, and 1
# for black against white.


# %%
def rmse(one, other):
    """Root mean square error of two images of the same size, 0 to 1."""
    difference = np.asarray(one) / 255 - np.asarray(other) / 255
    return float(np.sqrt((difference**2).mean()))


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
# The smaller, the better. If the first number is clearly the smallest, the model did not just copy the image beside
# the gap or the image above it. It did to the query what the examples show.
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

# %%
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
# Read the table line by line: in each line, the smaller number shows which ground truth the answer is nearer to.
# Nothing in the model changed between the lines, and nothing was trained. The task is *in the grid*. This is called
# **in-context learning**, and lesson 04 measures how far it goes, also with misleading examples.
#
# A text can name the task as well: `Grid(rows, task="…")`, in diffusers `task_prompt=`. The model reads it together
# with the images. Here it was empty all the time.
#
# ## Is there only one answer?
# The model starts from random noise. The seed determines the noise, so the same seed gives the same answer.

# %%
again = [pipe.fill(grid, seed=seed, strength=0, progress=False).image for seed in (0, 1, 2)]
print("seed 0 again, the same image:", again[0] == answers["depth"])
print("different images from three seeds:", len({image.tobytes() for image in again}))
print(f"seeds 0 and 1 differ by {rmse(*again[:2]):.2f}, the ground truth is {rmse(again[0], truths['depth']):.2f} away")
show.sheet(again, [f"seed {seed}" for seed in (0, 1, 2)], title="Three seeds: can you see a difference?")

# %% [markdown]
# A depth map follows from its image: one answer is right, so the noise should decide little, and three seeds may look
# alike, mistakes included. Compare the two numbers. From outlines to an image there is far more freedom, since the
# colours are not given (lesson 07). Lesson 03 shows how noise becomes an image.
#
# ## How do I keep the answer?
# `save` writes a PNG file that also records how the image was made (its *provenance*): the model, the seed, the
# settings, the texts, and a fingerprint of the grid's images. With the same images anybody can repeat the run.

# %%
folder = Path(tempfile.mkdtemp())
path = result.save(folder / "depth.png")
record = read_provenance(path)
print(path.name, path.exists())
print({key: record[key] for key in ("seed", "rows", "columns", "targets", "task")})

# %% [markdown]
# A cell of a grid may also be a file, of any size and any common image format; the package scales it to fit. So you
# can build a grid from your own photographs. The tiny model will not understand them (it knows its toy world only); the
# large one is made for them.

# %%
from_files = Grid([[image_1, depth_1], [query, path]])
print(from_files.n_rows, "rows, finished:", from_files.targets == ())
print("the file contains the answer, pixel for pixel:", from_files.query[1] == result.image)

# %% [markdown]
# **Your turn.** Change the scenes, the seed or the task, and run the cell again. Scenes have numbers from 0 to 99,999.
# Tasks to try: `"image > mask"`, `"image > grey"`, `"pixelated > image"`, `"image > edge"`.

# %%
mine = sample("image > mask", scenes=[5, 6, 7], text=True)
result = pipe.fill(mine.grid, seed=0, strength=0, progress=False)
print(f"RMSE {rmse(result.image, mine.truth[0]):.2f}")
show.show_result(result, mine.truth[0], "Your grid: does the answer look like the ground truth?")

# %% [markdown]
# ## What we saw
# - A task is shown, not described: finished rows, and one row with a gap.
# - The model fills the gap as the examples show it. With other examples the same query gets another answer.
# - The toy world draws the ground truth exactly, so we can measure each answer.
# - An answer is saved together with how it was made.
#
# How can a grid of images be *one* input of a model that generates one image? Lesson 01 joins the cells.
#
# One question to keep: what would the model do if one example showed depth and the other showed outlines?
