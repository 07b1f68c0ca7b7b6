# %% [markdown]
# # 02 Cloze and masks
# **How does the model know what to fill?**
#
# A cloze test is a text with blanks. In [VisualCloze](https://arxiv.org/abs/2504.07960) the blanks are images. In
# lesson 01 the blank was simply black. That cannot be all: a night sky is black too. At the end
# you will be able to
#
# - write the mask that marks the blanks,
# - pack it without loss into 256 numbers for each token,
# - name all 384 channels that the model reads for each token,
# - put a blank anywhere, of any shape.
#
# Its three exercises are pieces of your own pipeline (lesson 08).
#
# 30 minutes, on a CPU. Lesson 01 explains strips and tokens.

# %% tags=["setup"]
import numpy as np
import torch
from PIL import Image
from diffusers import VisualClozeGenerationPipeline
from einops import rearrange

from visualcloze_nb.sampling import latents
from visualcloze_nb import load, photos, show
from visualcloze_nb.data.images import resize_and_crop
from visualcloze_nb.sampling.flow import euler_sample, schedule
from visualcloze_nb.lessons import l02_cloze_masks as checks
from visualcloze_nb.lessons import predict
from visualcloze_nb.sampling.text import encode_text
from visualcloze_nb.toyworld import sample

pipe = load("tiny")

# %%
task = sample("image > edge", seed=16, examples=1)  # the first from 15 on with a query lighter than middle grey
grid = task.grid
show.show_grid(grid, "The task: draw the outlines", titles=["image", "outlines"])

# %% [markdown]
# ## What does the model see of an empty cell?
# The images of a row lie side by side in one strip. The VAE (lesson 01) reads numbers from -1 (black) to 1 (white),
# and cannot read "nothing". So a blank needs some colour. In stage 1 diffusers makes it black.
#
# **Exercise.** Write `strip`. `pixels` below turns an image into numbers, and `torch.full(shape, value)` makes a tensor
# of one value. `torch.cat(list, dim=3)` joins along the width.


# %%
def pixels(image):
    """An image as (1, 3, H, W): 0..255 becomes -1..1."""
    return rearrange(torch.from_numpy(np.array(image) / np.float32(127.5)), "h w c -> 1 c h w") - 1


# %% tags=["exercise"]
def strip(cells, size):
    """The cells of a row side by side: (1, 3, height, width * number of cells), a blank (None) black.

    cells: images of the size (width, height), or None.
    """
    ### BEGIN SOLUTION
    width, height = size
    black = torch.full((1, 3, height, width), -1.0)
    return torch.cat([black if cell is None else pixels(cell) for cell in cells], dim=3)
    ### END SOLUTION


# %%
checks.strip.check(strip)
lay = checks.strip.or_answer(strip)  # yours if it is right
query = lay(grid.query, (64, 64))
print(tuple(query.shape), "blank:", query[..., 64:].unique().tolist())

# %% [markdown]
# In the package this is `latents.strip`; in diffusers `VisualClozeProcessor.preprocess_image` puts
# `Image.new("RGB", size, (0, 0, 0))` where a cell is `None`.
#
# **Predict.** One query row is an image and a blank. Another is the same image and a *photo taken in the dark*,
# completely black. The strips have 3 x 64 x 128 = 24,576 numbers. How many of them differ?

# %%
guess = predict("Numbers that differ?", ...)

# %%
night = Image.new("RGB", (64, 64))
other = lay([grid.query[0], night], (64, 64))
guess.compare(int((query != other).sum()))

# %% [markdown]
# So the strip alone cannot tell what to fill. Outlines make it worse: they are white lines on black, and most of their
# pixels are as black as a blank. The model needs a second strip: the **mask**, 1 for each pixel to fill, 0 for each
# that is known.


# %%
def cell_mask(cells):
    """1 on blanks, 0 elsewhere: (1, 1, 64, 64 * cells)."""
    return torch.cat([torch.full((1, 1, 64, 64), float(cell is None)) for cell in cells], dim=3)


mask = cell_mask(grid.query)
print("as the package's:", torch.equal(mask, latents.cell_mask([cell is None for cell in grid.query], (64, 64))))
print("blank pixels:", int(mask.sum()), "and with the night photo:", int(cell_mask([grid.query[0], night]).sum()))

# %%
words = "Three strips: the query with a black cell; its mask, white in that cell; the other mask, black all over."
rows = {"known image": query, "mask": mask, "mask, if it is\na night photo": cell_mask([grid.query[0], night])}
checks.draw_strips(rows, "Equal strips, different masks: fill the white part", words)

# %% [markdown]
# ## How does a mask of pixels fit into tokens?
# The model reads tokens, and a token stands for 16 x 16 pixels. The VAE makes the strip smaller. The mask must become
# smaller too. A VAE would blur it. Averaging would lose its shape. FLUX Fill, the form of FLUX that fills holes in
# images and that VisualCloze was trained from, discards nothing: *every pixel of the mask gets its own channel.*
#
# 1. A latent stands for 8 x 8 pixels. Move these 64 numbers into the channels: `(1, 1, H, W)` becomes
#    `(1, 64, H/8, W/8)`.
# 2. Then pack as lesson 01 packs latents: 2 x 2 neighbours become one token.
#
# **Predict.** How many mask values does one token carry?

# %%
guess = predict("Mask values in each token?", ...)


# %%
def pack(z):
    """(B, C, H, W) to tokens (B, H/2 * W/2, 4 C), as in lesson 01."""
    return rearrange(z, "b c (h p) (w q) -> b (h w) (c p q)", p=2, q=2)


guess.compare(latents.pack_mask(mask).shape[-1])

# %% [markdown]
# **Exercise.** Write both steps. `rearrange(mask, "b 1 (h p) (w q) -> …", p=8, q=8)` reads as follows: the height is
# `h` squares of `p` pixels, the width `w` squares of `q`. After the arrow comes the new order. The 64 pixels of a
# square go into the channels line by line: `(p q)`. For the second step use `pack` above.


# %% tags=["exercise"]
def mask_tokens(mask):
    """A mask of pixels as tokens.

    mask: (B, 1, H, W) of 0 and 1; H and W are multiples of 16.
    Returns (B, H/16 * W/16, 256).
    """
    ### BEGIN SOLUTION
    squares = rearrange(mask, "b 1 (h p) (w q) -> b (p q) h w", p=8, q=8)
    return pack(squares)
    ### END SOLUTION


# %%
checks.mask_tokens.check(mask_tokens)
to_tokens = checks.mask_tokens.or_answer(mask_tokens)

# %% [markdown]
# The package calls it `latents.pack_mask`. In diffusers it is part of
# `VisualClozeGenerationPipeline._prepare_latents`. Here your form and theirs pack a mask that is not a cell, a disc cut
# from a photograph, and we unpack it again.

# %%
y, x = np.mgrid[:64, :128]
disc = torch.from_numpy((y - 45) ** 2 + (x - 26) ** 2 < 18**2).float()[None, None]
tokens, stage1 = to_tokens(disc), pipe.generation_pipe
random = torch.Generator().manual_seed(0)
stock = VisualClozeGenerationPipeline._prepare_latents(stage1, [[query]], [[disc]], random, 8, "cpu", torch.float32)
back = rearrange(tokens, "b (h w) (c d p q) -> b 1 (h p c) (w q d)", h=4, c=8, d=8, p=2, q=2)
print("as in diffusers:", torch.equal(tokens, stock[2]))
print("nothing lost:", torch.equal(back, disc))

# %%
partial = int(((tokens.mean(-1) > 0) & (tokens.mean(-1) < 1)).sum())
print(f"tokens: {int((tokens.mean(-1) == 1).sum())} inside, {partial} on the edge, of {tokens.shape[1]}")
average = tokens.mean(-1).reshape(1, 1, 4, 8).repeat_interleave(16, 2).repeat_interleave(16, 3)
cat = pixels(resize_and_crop(photos.load("cat"), 128, 64))
rows = {"photograph,\nmasked part black": torch.where(disc > 0, torch.tensor(-1.0), cat), "the mask": disc}
rows |= {"from 256 numbers\nper token": back, "from 1 number\nper token (mean)": average}
words = "A photograph of a cat with a black disc; the disc as a mask, from 256 numbers a token, and as grey squares."
checks.draw_strips(rows, "256 numbers per token keep the shape, one would not", words)

# %% [markdown]
# ## What are all the channels of a token?
# Now the known images. The VAE encodes the strip, blanks black, and packing gives 64 numbers per token: the *masked
# image latents*. The third part is the image that is being generated. It starts as pure noise: 64 numbers more. All
# three are concatenated.
#
# **Predict.** How many numbers does the model read for each token?

# %%
guess = predict("Numbers for each token?", ...)

# %%
guess.compare(pipe.transformer.config.in_channels)

# %% [markdown]
# **Exercise.** Put them together for one row. The order is noise, image, mask. Use `pack`, and `to_tokens` for the
# mask: your `mask_tokens`, if it is right.


# %% tags=["exercise"]
def channels(noise, z, mask):
    """All that the model reads of one row: (B, L, 384).

    noise: (B, L, 64). z: latents of the masked image, (B, 16, H/8, W/8). mask: (B, 1, H, W).
    """
    ### BEGIN SOLUTION
    return torch.cat([noise, pack(z), to_tokens(mask)], dim=-1)
    ### END SOLUTION


# %%
checks.channels.check(channels)
joined = checks.channels.or_answer(channels)
strips, masks = [lay(row, (64, 64)) for row in grid.rows], [cell_mask(row) for row in grid.rows]
random = torch.Generator().manual_seed(0)
with torch.no_grad():
    known = [latents.encode(pipe.vae, one, random) for one in strips]  # drawn from a distribution that the VAE predicts
noise = torch.randn(1, 64, 64, generator=random)
parts = zip(noise.chunk(2, dim=1), known, masks, strict=True)
numbers = torch.cat([joined(*part) for part in parts], dim=1)
print(tuple(numbers.shape))

# %%
words = (
    "A table of 64 tokens by 384 numbers: noise, then the latents of the known images, then the mask, all 0 or all 1."
)
parts = {"noise: 64": 64, "known: 64": 64, "mask: 256, one number per pixel": 256}
checks.draw_numbers(numbers, parts, "One line per token: its noise, the known image, the mask", words)

# %% [markdown]
# Read it from the right. The mask is light in half of the lower lines: these tokens are the blank. (The lines go
# through the strip from left to right, four tokens of the image, then four of the blank: hence the stripes.) There the
# masked image latents in the middle band are nearly equal, because the blank is black everywhere. The left band is the
# image to generate: noise, also where the image is known.
#
# Is this really what the model reads? Record its input with a **hook**, a function that PyTorch calls before a module
# runs, during one step of the pipeline.

# %%
inputs = []


def record(module, args, kwargs):
    inputs.append(kwargs["hidden_states"])


hook = pipe.transformer.register_forward_pre_hook(record, with_kwargs=True)
pipe.fill(grid, seed=0, steps=1, strength=0, progress=False)
hook.remove()
print(tuple(inputs[0].shape), "channels expected:", pipe.transformer.config.in_channels)
print("what we built is what it reads:", torch.allclose(inputs[0], numbers, atol=1e-3))

# %% [markdown]
# In the package `latents.condition` computes the last 320 numbers and `latents.prepare` all of them. In diffusers,
# `prepare_latents` calls the 320 `masked_image_latents`, mask included. The channels are those of FLUX.1-Fill, which
# was trained to fill holes in single images. Nothing was added for grids. That is the idea of VisualCloze.
#
# ## Black or grey?
# The mask marks the blank. Does the colour below it matter? Stage 1 feeds black (-1). The authors *trained* with grey
# (0), and stage 2 feeds grey. Our tiny model was trained with black in stage 1.
#
# **Predict.** We change the blank cell from black to grey. The image beside it is untouched. How many of *its* 16
# tokens change?

# %%
guess = predict("Tokens of the untouched image that change?", ...)

# %%
with torch.no_grad():
    black, grey = (
        pack(latents.encode(pipe.vae, torch.where(mask > 0, colour, query), torch.Generator().manual_seed(0)))
        for colour in (torch.tensor(-1.0), torch.tensor(0.0))
    )
moved = ((black - grey).abs().amax(-1) > 0.1).reshape(4, 8)
guess.compare(int(moved[:, :4].sum()))

# %% [markdown]
# The VAE encodes the whole row at once, and normalises over the whole row (*group norm*; FLUX's VAE also has attention
# in its middle). A black neighbour changes the scale of everything beside it. The decoder takes most of that back:

# %%
z = [latents.unpack(one, 8, 16) for one in (black, grey)]
with torch.no_grad():
    black_row, grey_row = (latents.decode(pipe.vae, one) for one in z)
print("unpack undoes pack:", torch.equal(pack(z[0]), black))
print("decoded blanks:", [round(float(one[..., 64:].mean()), 1) + 0.0 for one in (black_row, grey_row)])
off = [50 * (a - b)[..., :64].square().mean().sqrt() for a, b in ((black_row, query), (black_row, grey_row))]
print(f"decoded beside black: {off[0]:.0f} percent off the original, {off[1]:.0f} percent off the one beside grey")
rows = {"given": query, "blank black,\ndecoded": black_row, "blank grey,\ndecoded": grey_row}
words = "The query row; decoded from its latents with a black blank, then a grey one. The square is blurred in both."
checks.draw_strips(rows, "Decoded beside black or grey: alike, and coarser than given", words, token=0)

# %% [markdown]
# What is lost, such as the sharp edges of the square, is lost in the VAE, with any blank. The two rows differ little.
# But the transformer never sees the decoded image. It sees the latents, and those differ. So the colour of a blank
# matters: **feed what the model was trained on.** (The released pipeline does not. What that costs has not been
# measured here.)
#
# ## Must the blank be a whole cell?
# Not for the mask. Here is a disc cut from the *known* image, and beside it the blank cell as before. Each part is
# written in a line or two, so that you can try other shapes. `euler_sample` is the **sampler**, which turns noise into
# an image step by step: lesson 03 builds it.

# %%
hole = torch.maximum(mask, disc)
holed = torch.where(hole > 0, torch.tensor(-1.0), query)
random = torch.Generator().manual_seed(0)
with torch.no_grad():
    given = latents.condition(pipe.vae, [strips[0], holed], [masks[0], hole], random)
changed = (given[..., 64:] != numbers[..., 128:]).any(-1)
print(tuple(given.shape))
print("tokens with a new mask:", int(changed.sum()), "of them in row 1:", int(changed[0, :32].sum()))

# %%
layout, text = grid.layout(64), encode_text(pipe, grid.prompt, 64)
sigmas = schedule(12, layout.total, pipe.scheduler.config)
steps = euler_sample(pipe.transformer, noise, given, latents.position_ids(layout), text, sigmas, layout=layout)
*_, last = steps
with torch.no_grad():
    generated = latents.decode(pipe.vae, latents.unpack(last.after[:, layout.row_slices[1]], 8, 16))
print("generated:", tuple(generated.shape), "of which blank:", f"{hole.mean():.0%}")

# %%
pasted = torch.where(hole > 0, generated, query)
inside, around = (disc > 0).expand_as(query), (hole == 0).expand_as(query)
wrong = 50 * (generated - query)[inside].square().mean().sqrt()
plain = 50 * (query[around].mean() - query)[inside].square().mean().sqrt()
print(f"in the hole: off by {wrong:.0f} percent of black to white; one grey all over would be off by {plain:.0f}")
rows = {"given": holed, "mask": hole, "generated": generated, "generated, pasted\ninside the mask": pasted}
words = "The query with a black disc and a black cell, the mask, the generated row, and that pasted inside the mask."
title = f"The hole is filled, and stays visible: off by {wrong:.0f} percent of black to white"
checks.draw_strips(rows, title, words, token=0)

# %% [markdown]
# The hole is no longer black, and it is filled badly. In the committed run the fill is a mottled grey disc on tan
# ground, hardly nearer than one grey all over would be. And in the blank cell the outlines follow much of its rim, as
# if it were an object. The bundled model met holes only late in its training, and none beside a blank cell. A hole in a
# single image, too, it mostly fills worse than the mean colour of the rest would (there is a figure in its card,
# `visualcloze_nb/tiny/README.md`). FLUX Fill was trained on holes of all shapes. The mask can *say* more than a model
# has learned to read.
#
# And look at the third strip: the model generates *every* token, also where the image is known. No step copies the
# known pixels in. The pipeline crops the target cells and discards the rest (`latents.decode_targets`), and here we
# paste along the mask. But the VAE decodes the whole row, so what is generated beside a target influences it. So
# training counts errors there too: less than those of the blanks for the tiny model, as much for the authors' models.
# What if the model generated noise there?

# %%
z = latents.unpack(last.after[:, layout.row_slices[1]], 8, 16)
z[..., :8] = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(1))  # the left cell's latents
with torch.no_grad():
    moved = (latents.decode(pipe.vae, z) - generated)[..., 64:]
print(f"noise beside it changes the right cell by {50 * moved.square().mean().sqrt():.0f} percent of black to white")

# %%
outside = (hole == 0).expand_as(query)
off = (generated - query)[outside].abs().max()
print("the model changed known pixels:", bool(off > 0.05))
print("after pasting inside the mask, they are unchanged:", torch.equal(pasted[outside], query[outside]))

# %% [markdown]
# ## What we saw
# - A blank is black in the strip. Only the mask tells it from a black image.
# - The mask is packed without loss: 8 x 8 pixels to 64 channels, 2 x 2 latents to a token, 256 numbers.
# - A token has 384 channels: 64 of noise, 64 of the masked image, 256 of mask.
# - The colour below the mask reaches the neighbours through the VAE. It must be the one of training.
# - The mask may have any shape. How well the model fills it depends on the masks that it was trained on.
#
# All of it is `visualcloze_nb/sampling/latents.py`.
#
# **An open question.** The mask does not protect the known pixels: the model generates all of them. One could replace
# the known tokens after each step by the ground truth with noise of that level. Would that help the blank, or harm it?
