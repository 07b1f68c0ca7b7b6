# %% [markdown]
# # 01 Grids
# **How does a task become one image?**
#
# [VisualCloze](https://arxiv.org/abs/2504.07960) gets images in rows and columns. The neural network inside it, a
# *transformer*, reads one long list of *tokens*, each a short list of numbers. This lesson goes from one to the other.
# At the end you will be able to
#
# - compute at what size the model sees each image,
# - count the tokens of any grid,
# - give each token its position ids: row, y and x,
# - measure what a larger grid costs,
# - write the first three pieces of your own pipeline: `cover`, `pack` and `position_ids`.
#
# 30 minutes, on a CPU.

# %% tags=["setup"]
import time

import numpy as np
import torch
from PIL import Image
from diffusers import VisualClozeGenerationPipeline
from diffusers.pipelines.visualcloze.visualcloze_utils import VisualClozeProcessor
from einops import rearrange

from visualcloze_nb import Grid, GridBuilder, Layout, load, photos, show
from visualcloze_nb.data import images, prompts
from visualcloze_nb.sampling import latents
from visualcloze_nb.sampling.flow import velocity
from visualcloze_nb.lessons import l01_grids as checks
from visualcloze_nb.lessons import predict
from visualcloze_nb.sampling.text import encode_text
from visualcloze_nb.toyworld import sample

pipe = load("tiny")

# %% [markdown]
# Here is a task, made from two photographs: one example, one query. To make it interesting, the example is wide and the
# query is tall. The example shows what to do: take away the colour. (A sentence says so too, see below.)

# %%
temple, cat = photos.load("temple").crop((0, 43, 640, 427)), photos.load("cat").crop((113, 0, 338, 300))
grey = temple.convert("L").convert("RGB")
grid = Grid([[temple, grey], [cat, None]], task=sample("image > grey", seed=0).grid.task)
show.show_grid(grid, "A task: fill the empty cell", titles=["photograph", "grey version"])

# %% [markdown]
# The tiny model was trained on drawings and a few photographs, so do not expect it to fill this grid well. All that
# comes *before* the model is the same for any image, and that is what this lesson is about. In a running notebook the
# builder below changes the grid: add a row, drop in an image of your own, and watch the number of tokens.

# %%
GridBuilder(grid, pipe)

# %% [markdown]
# ## How large does each cell become?
# Images come in all sizes. A model has one number, its `resolution`: 64 for the tiny model, 384 or 512 for the
# released ones. It does not fix the width or the height. It fixes the *area*: a cell gets about `resolution`²
# pixels, whatever its shape. Then both sides are rounded down to multiples of 16. Why 16, we shall see below.


# %%
def cell_size(width, height, resolution):
    """About resolution² pixels, the same aspect ratio, sides divisible by 16."""
    aspect = width / height
    new_height = int((resolution**2 / aspect) ** 0.5)  # width * height = resolution²
    new_width = int(new_height * aspect)
    return new_width // 16 * 16, new_height // 16 * 16


for photo in [(200, 120), (120, 160), (1600, 900), (100, 1000)]:
    print(f"{photo} becomes {cell_size(*photo, 64)} at 64, {cell_size(*photo, 384)} at 384")

# %% [markdown]
# **Predict.** At resolution 384, a square image is cut into 24 x 24 = 576 squares of 16 x 16 pixels. How many such
# squares does a wide photo of 1600 x 900 give? Put a number in place of the dots.

# %%
guess = predict("Squares of a 1600 x 900 photo at resolution 384?", ...)

# %%
width, height = cell_size(1600, 900, 384)
guess.compare(width // 16 * (height // 16))
sizes = [(w, h) for w in range(40, 2000, 97) for h in range(40, 2000, 97)]
same = all(cell_size(*size, 384) == images.fit_size(*size, 384) for size in sizes)
print(f"the package computes the same sizes for {len(sizes)} shapes:", same)

# %% [markdown]
# The shape changes, the area hardly does. So a cell costs about the same whatever its shape, and no image is
# distorted. (Rounding down to multiples of 16 loses some area: in the list above up to a quarter at 64, under a tenth
# at 384.)
#
# All cells of one row must have the same size, because they will be joined side by side. The first image of the row
# determines it. The others are scaled until they *cover* that size, then cropped equally on both sides.
#
# **Exercise.** Write `cover`. If the size to cover is wider than the image (compare width / height), the new width is
# `width` and the new height `image.height * width // image.width`; else the other way round. Scale with
# `image.resize(scaled, Image.Resampling.LANCZOS)`. The crop begins at half the new width minus half of `width` (all
# with `//`): `image.crop((left, top, left + width, top + height))`.


# %% tags=["exercise"]
def cover(image, width, height):
    """Scale an image until it covers width x height, then crop the middle."""
    ### BEGIN SOLUTION
    if width / height > image.width / image.height:
        scaled = width, image.height * width // image.width
    else:
        scaled = image.width * height // image.height, height
    left, top = scaled[0] // 2 - width // 2, scaled[1] // 2 - height // 2
    image = image.resize(scaled, Image.Resampling.LANCZOS)
    return image.crop((left, top, left + width, top + height))
    ### END SOLUTION


# %%
checks.cover.check(cover)
covered = checks.cover.or_answer(cover)  # yours if it is right
cropped = covered(cat, 80, 48)
show.sheet(
    [cat, cropped],
    [f"original, {cat.width} x {cat.height}", "in a row of 80 x 48"],
    title="A tall photograph in a wide row",
)

# %% [markdown]
# In the package the two functions are `images.fit_size` and `images.resize_and_crop`; in diffusers
# `VisualClozeProcessor.preprocess_image`, which calls `VaeImageProcessor._resize_and_crop`.
#
# ## How do the cells become tokens?
# Now the cells of each row are joined side by side: one *strip* for each row. The empty cell becomes black. The two
# strips are not joined to each other: they differ in width.


# %%
def strips_of(grid, resolution):
    """One array (H, W, 3) for each row: its cells side by side, blanks black."""
    strips = []
    for row in grid.rows:
        first = next(cell for cell in row if cell is not None)
        size = cell_size(*first.size, resolution)
        cells = [Image.new("RGB", size) if cell is None else covered(cell, *size) for cell in row]
        strips.append(np.concatenate([np.asarray(cell) for cell in cells], axis=1))
    return strips


strips = strips_of(grid, 64)
print([strip.shape for strip in strips])

# %% [markdown]
# Each strip goes through the VAE (variational autoencoder), a network that *encodes* images in fewer numbers and can
# *decode* them again, with some loss. It makes the strip 8 times smaller along each side, with 16 numbers (*channels*)
# at each position: the **latents**. FLUX, the model on which VisualCloze is based, then *packs* 2 x 2 neighbouring
# latents. Those 4 x 16 = 64 numbers are one **token**. A token therefore stands for 16 x 16 pixels.
#
# **Exercise.** Write `pack` with `rearrange` of the library einops, which names the axes of an array.
# `rearrange(z, "b c (h p) (w q) -> …", p=2, q=2)` reads as follows: `b` images (a *batch*) of `c` channels; the height
# is `h` times `p` latents, the width `w` times `q`. After the arrow comes the new order, and brackets join axes: the
# batch, then the tokens line by line, `(h w)`, and in each the channels first, `(c p q)`.


# %% tags=["exercise"]
def pack(z):
    """Latents (B, 16, H, W) to tokens (B, H/2 * W/2, 64)."""
    ### BEGIN SOLUTION
    return rearrange(z, "b c (h p) (w q) -> b (h w) (c p q)", p=2, q=2)
    ### END SOLUTION


# %%
checks.pack.check(pack)
packed = checks.pack.or_answer(pack)
with torch.no_grad():
    z = [pipe.vae.encode(latents.pixels(strip)).latent_dist.mean for strip in strips]
for number, one in enumerate(z):
    print(strips[number].shape, "->", tuple(one.shape), "->", tuple(packed(one).shape))
stock_pack = VisualClozeGenerationPipeline._pack_latents
print("packed as in diffusers:", all(torch.equal(packed(one), stock_pack(one, *one.shape)) for one in z))

# %% [markdown]
# **Predict.** The tokens of the second strip follow those of the first, in one list. How many are there in all?
# The next cell counts them, then draws the position of each.

# %%
guess = predict("Tokens of this grid?", ...)

# %%
tokens = torch.cat([packed(one) for one in z], dim=1)
guess.compare(tokens.shape[1])
numbers = range(tokens.shape[1])
words = "Two strips, black where the blank is, cut into squares that are numbered line by line from 0."
checks.draw_tokens(strips, numbers, f"What the model gets of the grid: {len(numbers)} tokens, in this order", words)

# %% [markdown]
# Follow the numbers. Token 4 belongs to the photograph and token 5 to its grey version: a line runs through *all* cells
# of a row. From here on there are no cells any more, only tokens. Their positions tell which cell they belong to.
#
# ## How does the model know where a token lies?
# In **attention**, the central operation of a transformer, each token looks at all others and takes something over from
# those that match (lesson 03). It works on a *set*: shuffle the tokens and it returns the same results, shuffled. So
# each token gets **position ids**: three numbers, `row, y, x`.
#
# - `row` is the row of the grid, counted from **1**.
# - `y` counts the tokens down, `x` the tokens across. Both start at 0 in each strip.
#
# **Exercise.** Compute them for all tokens, in the order of the figure above.


# %% tags=["exercise"]
def position_ids(sizes, n_cols):
    """Position ids of each token.

    sizes: (width, height) of a cell in pixels, one pair for each row of the grid, such as [(80, 48), (48, 64)].
    n_cols: cells in a row.
    Returns a numpy array (L, 3) of float32: row, y, x of each of the L tokens.
    """
    ### BEGIN SOLUTION
    ids = [
        (row, y, x)
        for row, (width, height) in enumerate(sizes, start=1)
        for y in range(height // 16)
        for x in range(width // 16 * n_cols)
    ]
    return np.array(ids, dtype=np.float32)
    ### END SOLUTION


# %%
checks.position_ids.check(position_ids)

# %% [markdown]
# The check compares with the package: `grid.layout(64)` knows sizes, token counts and ids. Its ids are those of
# `VisualClozeGenerationPipeline._prepare_latent_image_ids`:

# %%
layout = grid.layout(64)
planes = [latents.pixels(strip) for strip in strips]
stock_ids = VisualClozeGenerationPipeline._prepare_latent_image_ids(planes, 8, "cpu", torch.float32)
print(layout.sizes, layout.tokens, layout.total)
print("ids as in diffusers:", np.array_equal(layout.ids, stock_ids))

# %%
labels = [f"{row},{y},{x}" for row, y, x in layout.ids.astype(int)]
words = "The same strips; each square now shows its row, y and x. The first is 1,0,0, the last 2,3,5."
checks.draw_tokens(strips, labels, "Position ids of each token: row, y, x", words)

# %% [markdown]
# What does the model do with them? Attention compares vectors that it computes from the tokens. Before that it rotates
# pairs of their numbers by angles proportional to row, y and x, at several frequencies (*rotary embedding*,
# `transformer.pos_embed` in diffusers). When two rotated vectors are compared, only the *difference* of their angles
# counts. So between two image tokens attention sees the offset, not the place. (Text has the ids 0, 0, 0: relative to
# it, attention sees the place as well.) Below: the similarity of each position to the outlined one, which is the mean
# cosine of these differences.

# %%
here = 45
cos, sin = pipe.transformer.pos_embed(torch.from_numpy(layout.ids))
similarity = (cos * cos[here] + sin * sin[here]).mean(-1).numpy()  # the mean of cos(difference of angles)
above = int(similarity[layout.row_slices[0]].argmax())
print("position", labels[here], "is most similar in row 1 to:", labels[above])
words = "Heat map: brightest at the outlined token, fading around it; bright at the same y and x in the first strip."
checks.draw_tokens(checks.heat(similarity, layout), labels, "Bright: near, even in the other row", words, marked=[here])

# %% [markdown]
# The same y and x in *another row* is near. That should make examples easier to follow: "look at the same position in
# the example" is a small rotation. But there is a trap. Rows of different shape share x, not cells: token 2,2,3 lies in
# the blank cell and 1,2,3 in the example's *photograph*. If you can, give all rows the same aspect ratio.
#
# ## What does the text add?
# The model reads text through **text encoders**, networks that turn it into vectors. The text also describes the
# layout, in one sentence that the user never writes.


# %%
def layout_prompt(rows, cols):
    """The sentence that describes the layout."""
    count = rows * cols
    return f"A grid layout with {rows} rows and {cols} columns, displaying {count} images arranged side by side."


print(grid.prompt)

# %% [markdown]
# First the layout, then the task; `[IMAGE1]` and `[IMAGE2]` are its columns. A third sentence may follow that describes
# the target (`content`). In diffusers `VisualClozeProcessor.get_layout_prompt` writes the layout. In release 0.42.1 a
# stray comma makes it return a *tuple* of one sentence, so the stock pipeline's encoders read brackets and quotes as
# well. Ours read the sentence.

# %%
sizes = [(rows, cols) for rows in range(1, 6) for cols in range(1, 6)]
stock = VisualClozeProcessor(resolution=64)
print(all(layout_prompt(*size) == prompts.layout_prompt(*size) for size in sizes))
print(grid.prompt.startswith(layout_prompt(2, 2)))
print(stock.get_layout_prompt((2, 2)))

# %% [markdown]
# ## What does a larger grid cost?
# The model turns noise into an image in steps, some 30 of them (lesson 03). Each step reads all tokens: those of the
# grid, and those of the text, padded to a fixed length. The released model pads to 512. Count first:

# %%
for rows, cols in [(1, 2), (2, 2), (3, 2), (3, 3), (5, 5)]:
    count = Layout(((384, 384),) * rows, cols).total
    all_tokens = count + 512
    print(f"{rows} x {cols}: {count:6,} + 512 = {all_tokens:6,} tokens, {all_tokens**2 / 1e6:6.1f} million pairs")

# %% [markdown]
# Why pairs? A transformer does two kinds of work. Linear layers process each token alone: twice the tokens, twice the
# work. Attention compares every token with every other: twice the tokens, *four* times the work. Which of the two
# dominates? Measure it. We give the tiny model large cells, 256 x 256, so that there is enough work.

# %%
text = encode_text(pipe, grid.prompt, 64)


@torch.no_grad()
def seconds(layout):
    """Time of one step on a grid of this layout; the values of the tokens do not matter."""
    # A step is one pass through the transformer (lesson 03). It reads 64 + 320 numbers a token (lesson 02).
    noise, known = torch.zeros(1, layout.total, 64), torch.zeros(1, layout.total, 320)
    start = time.perf_counter()
    velocity(pipe.transformer, noise, known, 0.5, text, latents.position_ids(layout))
    return time.perf_counter() - start


# %% [markdown]
# **Predict.** From 1 x 2 to 3 x 3 cells, the tokens grow from 512 + 64 to 2,304 + 64: 4.1 times. (The tiny model pads
# its text to 64 tokens.) How does the time grow?
# (The result below was measured where this page was made. It varies on a busy machine, so no test compares it.)

# %%
choices = ["about as much as the tokens", "clearly more than the tokens"]
guess = predict("The time of one step grows", ..., choices)

# %% tags=["nbval-ignore-output"]
shapes = [(1, 2), (2, 2), (2, 3), (3, 3)]
layouts = [Layout(((256, 256),) * rows, cols) for rows, cols in shapes]
counts = [layout.total + 64 for layout in layouts]
rounds = [[seconds(layout) for layout in layouts] for _ in range(4)]
best = np.min(rounds, axis=0)  # of four rounds: other programs can only make a step slower
growth = (best[-1] / best[0]) / (counts[-1] / counts[0])
guess.compare(choices[1] if growth > 1.15 else choices[0])

# %%
times = best / best[0]
figure = show.new_figure(3.4, 6.4)
axes = figure.subplots()
axes.plot(counts, [count / counts[0] for count in counts], "--", color=show.BLUE, label="if proportional to tokens")
axes.plot(counts, times, "o-", color=show.ORANGE, label="measured here")
for x, y, shape in zip(counts, times, shapes, strict=True):
    axes.annotate("{} x {}".format(*shape), (x, y), xytext=(0, 8), textcoords="offset points", ha="center")
axes.set(xlabel="tokens (image and text)", ylabel="time of one step, 1 x 2 = 1", xlim=(0, counts[-1] * 1.08))
axes.set_ylim(0, max(*times, counts[-1] / counts[0]) * 1.15)
axes.legend(loc="upper left", frameon=False)
axes.set_title("Time of one step against the number of tokens", size=11, weight="bold", loc="left")
figure.alt = "Time of one step against tokens, measured, beside the dashed line of a time proportional to tokens."
figure

# %% [markdown]
# So an example is not free. It slows down every step in two ways: it adds tokens, and all others attend to them. That
# is why cells are small (384 or 512 pixels) and the result is enlarged afterwards, in a second stage (lesson 08).
#
# ## What we saw
# - A cell gets about `resolution`² pixels at its row's own aspect ratio, in multiples of 16.
# - Cells of a row become one strip, the strip becomes latents, and 2 x 2 latents a token of 16 x 16 pixels.
# - Position ids `row, y, x` tell where a token lies; the same position in another row is near.
# - The text describes the layout too.
# - Time grows faster than the number of tokens, because attention compares pairs.
#
# All of it is `grid.layout(resolution)` and `latents.pack`: read `visualcloze_nb/data/layout.py`, it is short.
#
# **An open question.** The examples are the same in all 30 steps. Could the model read them once and cache the result,
# instead of paying for them in each step? Which tokens must then no longer attend to which?
