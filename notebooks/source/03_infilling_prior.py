# %% [markdown]
# # 03 The infilling prior
#
# **Why does an infilling model already know how?**
#
# VisualCloze took FLUX.1-Fill, a model that fills holes in images, and trained it further: same architecture, same
# objective (what training minimises), only grids instead of single images ([VisualCloze, section
# 4](https://arxiv.org/abs/2504.07960)). What a model has learned before is called its **prior**: here, how to fill
# holes. The objective is *flow matching* ([Lipman et al. 2023](https://arxiv.org/abs/2210.02747)). Here you write its
# loss and its sampler, train a network in seconds, meet a perfect infiller that fits in five lines, and look into the
# tiny model.
#
# You will be able to
#
# - add noise to an image, and say what velocity means on the line between the two;
# - write the training loss, and say what it makes a network predict;
# - write an Euler sampler, and say what more steps are good for;
# - see where a token looks, and what guidance does.
#
# About 30 minutes. A CPU is enough.

# %% tags=["setup"]
from functools import partial

import torch
from diffusers.models.embeddings import apply_rotary_emb
from matplotlib.patches import Rectangle
from torch import nn

from visualcloze_nb import load, photos, show
from visualcloze_nb.lessons import ablation_curves, predict
from visualcloze_nb.lessons import l03_infilling_prior as checks
from visualcloze_nb.sampling import flow, latents
from visualcloze_nb.sampling.text import encode_text
from visualcloze_nb.toyworld import sample
from visualcloze_nb.widgets.explorers import StepExplorer

# %% [markdown]
# ## A line between noise and an image
#
# Take an image `x` and noise `n` of the same shape. Every number of `n` is drawn from the normal distribution, a bell
# curve around 0 with standard deviation 1. Draw a straight line from one to the other. **Sigma**, the noise level,
# says where on the line we are: 0 is the image, 1 is noise.
#
# $$z = (1 - \sigma)\,x + \sigma\,n$$
#
# **Exercise.** Write it down. (In lesson 08 you put this and the next functions together to your own `my_fill(grid)`.)


# %% tags=["exercise"]
def add_noise(clean, noise, sigma):
    """The point at noise level sigma, of clean's shape."""
    ### BEGIN SOLUTION
    return (1 - sigma) * clean + sigma * noise
    ### END SOLUTION


# %%
checks.add_noise.check(add_noise)
noisy = checks.add_noise.or_answer(add_noise)  # yours if it is right
photo = latents.pixels(photos.load("coffee").resize((192, 128)))  # 0..255 becomes -1..1
noise = torch.randn(photo.shape, generator=torch.Generator().manual_seed(0))
levels = [0, 0.25, 0.5, 0.75, 1]
shown = [latents.to_images(noisy(photo, noise, sigma))[0] for sigma in levels]
show.sheet(shown, [f"sigma {sigma}" for sigma in levels], cols=5, title="The photograph fades and the noise grows")

# %% [markdown]
# How fast does a point move when sigma grows? That is the **velocity**, and on a straight line it is the same
# everywhere: `n - x`. Going back from noise to the image is called **denoising**. An **Euler step** follows the
# velocity from one noise level to the next one below.
#
# **Exercise.** Write one Euler step: `z` plus the velocity times the change of sigma.


# %% tags=["exercise"]
def euler_step(z, velocity, sigma, sigma_next):
    """The point at noise level sigma_next, seen from z at sigma."""
    ### BEGIN SOLUTION
    return z + (sigma_next - sigma) * velocity
    ### END SOLUTION


# %%
checks.euler_step.check(euler_step)
step = checks.euler_step.or_answer(euler_step)
guess = predict("How many Euler steps from noise to the photograph, if the velocity is the true one?", ...)

# %%
z = step(noise, noise - photo, 1.0, 0.0)
arrived = torch.allclose(z, photo, atol=1e-5)
print("one step reaches the photograph:", arrived)
guess.compare(1 if arrived else 2)

# %% [markdown]
# One step, because the line is straight. But to know `n - x` you must know `x`. A model has to predict it. In
# diffusers the line is `FlowMatchEulerDiscreteScheduler.scale_noise` and the step is its `step`.
#
# ## Where does the velocity come from?
#
# Let an image be a single pixel, so that we can compute everything: -1 (black) or +1 (white), equally probable. We see
# `z`, somewhere between pixel and noise. What is the best prediction of the pixel?
#
# If the pixel were `x`, the noise must have been `(z - (1 - sigma) * x) / sigma`. Noise far from 0 is unlikely:
# `exp(-noise**2 / 2)`. So weight each possible answer by that (`softmax`: `exp`, then weights that sum to 1), and take
# the mean. No other prediction has a smaller mean square error.


# %%
def best_x0(z, sigma, answers):
    """The mean of all possible answers, each weighted by how well it explains z."""
    sigma = torch.as_tensor(sigma).reshape(-1, 1)  # one level, or one for each pixel
    noise = (z[:, None] - (1 - sigma) * answers) / sigma  # (pixels, answers)
    weights = torch.softmax(-(noise**2) / 2, dim=1)
    return (weights * answers).sum(1)


black_or_white = torch.tensor([-1.0, 1.0])
guess = predict("z is pure noise, 0.8, at sigma 1. What is the best prediction, between -1 and 1?", ...)

# %%
for sigma in (1.0, 0.8, 0.5):
    print(f"sigma {sigma}: {best_x0(torch.tensor([0.8]), sigma, black_or_white).item() + 0:.2f}")
guess.compare(round(best_x0(torch.tensor([0.8]), 1.0, black_or_white).item()))

# %% [markdown]
# Pure noise contains no information: the best prediction is grey, the mean of both answers. As the noise decreases, it
# approaches one of them.
#
# A prediction of the image without noise is called the **x0 prediction**. The line through `z` that ends in `x0` has
# the velocity `(z - x0) / sigma`, so the x0 prediction is `z - sigma * v`: one determines the other.
#
# For photographs nobody can write `best_x0`. A network *learns* it. Draw images, noise and noise levels, let the
# network predict the velocity, and take the mean square error:
#
# $$\mathcal L = \mathbb E\,\bigl\|\,v_\theta(z, \sigma) - (n - x)\,\bigr\|^2$$
#
# Here $v_\theta$ is the network with its weights $\theta$, and $\mathbb E$ the mean over images, noise and noise
# levels.
#
# **Exercise.** Write this loss for a batch of pixels. `velocity(z, sigma)` is the network; `clean`, `noise` and
# `sigma` are `(B,)`. (Lesson 11 needs it again, for the tokens of grids.)


# %% tags=["exercise"]
def flow_loss(velocity, clean, noise, sigma):
    """Mean square error of the velocity, a single number."""
    ### BEGIN SOLUTION
    z = (1 - sigma) * clean + sigma * noise
    return (velocity(z, sigma) - (noise - clean)).square().mean()
    ### END SOLUTION


# %%
checks.flow_loss.check(flow_loss)
loss_of = checks.flow_loss.or_answer(flow_loss)

# %% [markdown]
# Now train: two inputs, `z` and sigma, one output, two hidden layers. In the loop `loss.backward()` computes how each
# weight affects the loss, and `optimizer.step()` moves all weights a little so that it falls. The network never sees
# `best_x0`.

# %%
torch.manual_seed(0)
net = nn.Sequential(nn.Linear(2, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))


def learned(z, sigma):
    return net(torch.stack([z, torch.as_tensor(sigma).expand_as(z)], dim=-1))[..., 0]


def analytic(z, sigma, answers=None):
    return (z - best_x0(z, sigma, black_or_white if answers is None else answers)) / sigma


def batch(size):
    return black_or_white[torch.randint(2, (size,))], torch.randn(size), 1 - torch.rand(size)  # x, n, sigma


# %%
test = batch(20_000)
best = loss_of(analytic, *test).item()
print(f"loss before training {loss_of(learned, *test).item():.1f}, of the analytic velocity {best:.1f}")
optimizer = torch.optim.Adam(net.parameters())
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=1500)
for _ in range(1500):
    loss = loss_of(learned, *batch(256))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
torch.set_grad_enabled(False)
reached = loss_of(learned, *test).item()
print(f"loss after training {reached:.1f}, within a tenth of the best:", reached < 1.1 * best)

# %%
sigma, z = (
    axis.flatten() for axis in torch.meshgrid(torch.linspace(1, 0.1, 60), torch.linspace(-2, 2, 80), indexing="ij")
)
figure = show.new_figure(2.7)
fields = {"velocity, by the formula": analytic(z, sigma), "velocity, learned": learned(z, sigma)}
for axes, (name, field) in zip(figure.subplots(1, 2, sharey=True), fields.items(), strict=True):
    values = field.reshape(60, 80).T
    drawn = axes.imshow(values, cmap="RdBu", vmin=-3, vmax=3, extent=(1, 0.1, -2, 2), origin="lower", aspect="auto")
    axes.set(title=name, xlabel="sigma", ylabel="value z of the pixel")
figure.colorbar(drawn, ax=figure.axes)
title = "Learned from samples alone: nearly the velocity of the formula"
figure.suptitle(title, size=11, weight="bold", x=0.01, ha="left")
figure.alt = f"{title}. Two fields over sigma and z; they differ at small sigma, around 0 and beyond -1 and 1."
figure

# %% [markdown]
# The pixel comes from the left, at sigma 1. Blue is a positive velocity, red a negative one; a step to a lower sigma
# moves the pixel down in blue and up in red. Nobody told the network about means. The targets `n - x` contradict each
# other wherever lines cross; the mean square error is smallest at their mean, so that is what it learns. The loss does
# not go to 0: what remains is the spread of the targets. The two fields differ where there are hardly any samples: at
# small sigma, away from black and white.
#
# **Exercise.** Write the **sampler**: the loop that turns noise into an image. `sigmas` are noise levels, descending
# and not always even. Take one Euler step from each level to the next, compute the velocity anew each time, and return
# the last `z`.


# %% tags=["exercise"]
def euler_sample(velocity, z, sigmas):
    """Take Euler steps from noise level sigmas[0] to sigmas[-1] and return the last z."""
    ### BEGIN SOLUTION
    for i in range(len(sigmas) - 1):
        z = z + (sigmas[i + 1] - sigmas[i]) * velocity(z, sigmas[i])
    return z
    ### END SOLUTION


# %%
checks.euler_sample.check(euler_sample)
sampler = checks.euler_sample.or_answer(euler_sample)

# %% [markdown]
# Sample twelve pixels from different noise with the network, and with the formula (dotted). All states are kept for
# the figure: a run to level k is a run with the first k + 1 levels.


# %%
def states(velocity, steps):
    sigmas, start = torch.linspace(1, 0, steps + 1), torch.linspace(-2.2, 2.2, 12)
    return torch.stack([sampler(velocity, start, sigmas[: k + 1]) for k in range(steps + 1)])


figure = show.new_figure(2.7)
for axes, steps in zip(figure.subplots(1, 4, sharey=True), (1, 2, 4, 12), strict=True):
    paths, exact = states(learned, steps), states(analytic, steps)
    axes.plot(torch.linspace(1, 0, steps + 1), paths, color="tab:blue", linewidth=1)
    axes.plot(torch.linspace(1, 0, steps + 1), exact, "k:", linewidth=1)
    axes.set(title=f"{steps} step{'s' * (steps > 1)}", xlim=(1, 0), xlabel="sigma", xticks=[1, 0.5, 0])
    print(f"{steps:2d} steps: {(exact[-1].abs() > 0.95).sum():2d} of 12 analytic samples end at black or white")
figure.axes[0].set_ylabel("value of the pixel")
title = "One step lands on the mean, more steps choose"
figure.suptitle(title, size=11, weight="bold", x=0.01, ha="left")
figure.alt = f"{title}. Paths of twelve pixels over sigma, with 1, 2, 4 and 12 steps, learned and by the formula."
figure

# %% [markdown]
# With 12 steps both agree; with 4 the network misses where the velocity changes abruptly. That is why sampling takes
# many steps. Every true line is straight, but the mean of many lines is not: it bends towards one answer as the noise
# decreases. Which one depends on the noise at the start, that is, on the seed.
#
# ## A perfect infiller in a world of grids
#
# Now let an image be a grid of four pixels, of one of two kinds. In one, the right pixel of each row is the *same* as
# the left one. In the other it is the *opposite*. An infiller knows which images exist. It is given some pixels and
# fills in the missing one. The perfect infiller keeps all grids that agree with what it sees.

# %%
values = [-1.0, -0.5, 0.0, 0.5, 1.0]
world = [(a, sign * a, c, sign * c) for sign in (1, -1) for a in values for c in values]


def answers(*known):
    """The last pixel of every grid that agrees with the first three; None is unknown."""
    agree = [grid for grid in world if all(k in (None, p) for k, p in zip(known, grid[:3], strict=True))]
    return torch.tensor([grid[3] for grid in agree])


guess = predict("The example is 0 beside 0. Bottom left is 1. How many different answers are possible?", ...)

# %%
cases = {"no example": (None, None), "example 0.5, -0.5": (0.5, -0.5), "example 0, 0": (0.0, 0.0)}
for name, example in cases.items():
    possible = answers(*example, 1.0)
    field = partial(analytic, answers=possible)
    ends = sampler(field, torch.linspace(-2.2, 2.2, 12), torch.linspace(1, 0, 33))
    print(f"{name:18} possible {sorted(set(possible.tolist()))}, {(ends < -0.95).sum():2d} of 12 samples end at -1")
guess.compare(len(set(possible.tolist())))

# %% [markdown]
# The infiller has no code for *same*, *opposite* or *example*. It only fills a hole so that the whole grid is one that
# exists. An example decides, if it can be read in one way only. That is the idea of VisualCloze: a grid of images is
# an image, and a model that fills holes well enough must use the other cells.
#
# What is the prior worth? The paper also trains FLUX.1-dev, which was never an infiller, with clean condition latents:
# for depth to image the error (RMSE, the paper's scale) without examples is 25.06, on Fill 10.31. Elsewhere dev is
# ahead: on Canny (F1 0.39 to 0.35). The bundled model cannot tell, since it was trained on grids from the start. So
# here are four smaller ones. Two first learned to fill holes in single images. Then all learned grids, by training all
# weights, or only LoRA weights, small additions to each layer (lesson 11), as VisualCloze does (the curves are old, see
# lesson 09). The error is that of the velocity near pure noise, on scenes **held out** from training; 1 is about what
# an *uninformed* model gets, one that ignores the other cells.

# %%
curves = {tasks: ablation_curves.read("infilling_prior", tasks) for tasks in ("trained", "held out")}
with_prior, without = (curves["trained"][f"{start}, LoRA"] for start in ("infilling prior", "from nothing"))
for name, curve in curves["trained"].items():
    print(f"{name:30s} error {curve.error[0]:.2f} at first, at the end {curve}")
print("with LoRA, the prior ends lower, intervals apart:", ablation_curves.lower(with_prior, without))
ablation_curves.draw(curves, title="Errors on trained and on held-out tasks, with and without an infilling prior")

# %% [markdown]
# At first the infiller is hardly better than uninformed: holes in single images have not taught it to use other cells.
# But it learns that quickly, even with LoRA. LoRA weights adapt what is there and add little: from nothing they stay
# worse than uninformed. Models that train all weights end alike. So in a world this small the prior is not needed for
# a good result; it makes LoRA possible. (The held-out tasks are different ones: compare within a panel.)
#
# ## The same sampler in the tiny model
#
# A pixel becomes a token: 64 numbers for 16 x 16 pixels (lesson 01). The network is a transformer. `flow.velocity`
# gives it `z` and, beside it, the `condition`, 320 numbers a token (lesson 02): the known cells, and where the blank
# is. The task comes as encoded text. The **schedule**, the list of noise levels, stays longer at high noise, where the
# large shapes are decided (lesson 08).

# %%
pipe = load("tiny")
task = sample("edge > image", seed=5)
ready = latents.prepare(task.grid, pipe.vae, pipe.resolution, torch.Generator().manual_seed(0))
text = encode_text(pipe, task.grid.prompt, 64)
sigmas = flow.schedule(4, ready.layout.total, pipe.scheduler.config)
print("noise", tuple(ready.noise.shape), "condition", tuple(ready.condition.shape), "levels", len(sigmas))
show.show_grid(task.grid, "Outlines to image: many colours would be right", ["outlines", "image"])


# %%
def velocity(z, sigma):
    return flow.velocity(pipe.transformer, z, ready.condition, sigma, text, ready.ids)


z = sampler(velocity, ready.noise, sigmas)
image = latents.decode_targets(z, pipe.vae, ready.layout)[0]
filled = pipe.fill(task.grid, seed=0, steps=4, strength=0, progress=False)
print("equal to the image that the pipeline makes:", image.tobytes() == filled.image.tobytes())
guess = predict("Two seeds, one step each. The two images will be", ..., ["much alike", "quite different"])


# %%
def answer(seed, steps):
    return pipe.fill(task.grid, seed=seed, steps=steps, strength=0, progress=False).image


runs = {seed: [answer(seed, steps) for steps in (1, 2, 4, 12)] for seed in (0, 1)}


def error(a, b):
    """Root mean square error of two images; black is 0, white 1."""
    return (latents.pixels(a) - latents.pixels(b)).square().mean().sqrt().item() / 2


# %%
apart = [error(*pair) for pair in zip(*runs.values(), strict=True)]
print("difference of the two seeds with 1, 2, 4, 12 steps:", *(f"{value:.2f}" for value in apart))
guess.compare("much alike" if apart[0] < 0.7 * apart[-1] else "quite different")
shown = [cell for seed in runs for cell in (task.grid.query[0], *runs[seed])]
names = [name for seed in runs for name in ("given", *(f"seed {seed}, steps {n}" for n in (1, 2, 4, 12)))]
show.sheet(shown, names, cols=5, title="One step gives a pale mean, more steps choose colours")

# %% [markdown]
# As with one pixel: first a greyish mean with hints of colour, then a choice. Other noise makes the triangle blue, not
# purple; the ring stays orange. What the outlines decide, the places of the shapes, is there from the start. Here are
# all steps of one run; in a running notebook there is a slider. `pipe.steps` yields these steps, and
# `pipe.read(step, step.x0)` decodes them.

# %%
*_, last = pipe.steps(task.grid, seed=0, steps=4, strength=0)
print("the last of four steps is the pipeline's answer:", pipe.read(last)[0].tobytes() == runs[0][2].tobytes())
print("and so is its x0 prediction:", error(pipe.read(last, last.x0)[0], runs[0][2]) < 0.01)
StepExplorer.of(pipe, task.grid, seed=0, steps=12, strength=0)

# %% [markdown]
# ### Where does a token look?
#
# In each block of a transformer, tokens meet in one place only, **attention**: a token sends a *query* (a vector, not
# the query of a grid), all tokens offer a *key*, and the better they match, the more the token takes over from that
# other one. With a query in each row of $q$, a key in each row of $k$, and $d$ numbers in each of them:
#
# $$\text{attention} = \text{softmax}\bigl(q\,k^\top / \sqrt{d}\bigr)$$
#
# The positions enter by rotating `q` and `k` (lesson 01). Each block does this three times in parallel, in three
# *heads*. The tiny model has one block with separate weights for the text, and thirteen without: these are opened
# here. A hook notes what the blocks are given during one step; the rest is the formula.


# %%
def weights(attn, hidden_states, image_rotary_emb, **_):
    """Attention of one block, (heads, tokens that look, tokens that are seen)."""
    q = attn.norm_q(attn.to_q(hidden_states).unflatten(-1, (attn.heads, -1)))
    k = attn.norm_k(attn.to_k(hidden_states).unflatten(-1, (attn.heads, -1)))
    q, k = (apply_rotary_emb(vectors, image_rotary_emb, sequence_dim=1) for vectors in (q, k))
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / q.shape[-1] ** 0.5
    return scores.softmax(-1)[0]


noted = []
blocks = [block.attn for block in pipe.transformer.single_transformer_blocks]
hooks = [b.register_forward_pre_hook(lambda _, a, given: noted.append(given), with_kwargs=True) for b in blocks]
velocity(ready.noise, sigmas[0])
for hook in hooks:
    hook.remove()
attention = torch.stack([weights(attn, **given) for attn, given in zip(blocks, noted, strict=True)])
print("blocks, heads, looking, seen:", tuple(attention.shape))

# %% [markdown]
# The first 64 tokens are text. Then come 12 rows of 8 tokens: three rows of the grid, each 4 tokens high, with two
# cells of 4 side by side. Follow one token of the ring in the target. Of the thirteen blocks, take the one whose head
# looks most at the *given outlines* beside it.

# %%
y, x = 11, 5  # of the token, in tokens of the whole grid
seen = attention[:, :, 64 + y * 8 + x, 64:].reshape(-1, 3, 12, 8)  # by block and head
block = int(seen[:, :, 8:, :4].sum((2, 3)).amax(1).argmax())
figure, rows = show.new_figure(3.6), filled.filled.fitted(64)
cells = torch.cat([torch.cat([latents.pixels(cell) for cell in row], dim=3) for row in rows], dim=2)
for head, axes in enumerate(figure.subplots(1, 3)):
    here = seen[block, head]
    axes.imshow(latents.to_images(cells)[0].convert("L"), cmap="gray", extent=(0, 8, 12, 0))
    axes.imshow(here, cmap="autumn", extent=(0, 8, 12, 0), alpha=0.8 * here / here.max())
    axes.add_patch(Rectangle((x, y), 1, 1, fill=False, edgecolor="cyan", linewidth=2))
    axes.set(title=f"head {head + 1}", xticks=[0, 4, 8], yticks=[0, 4, 8, 12])
    given, own, examples = here[8:, :4].sum(), here[8:, 4:].sum(), here[:8].sum()
    print(f"head {head + 1}: given outlines {given:.1f}, its own cell {own:.1f}, examples {examples:.1f}")
title = f"Where one target token (outlined) looks, in block {block + 1} of {len(blocks)}"
figure.suptitle(title, size=11, weight="bold", x=0.01, ha="left")
figure.alt = f"{title}: the attention of three heads, laid over the filled grid."
figure

# %% [markdown]
# In the committed run each head asks something else. Head 1 looks at little but the same place in the given outlines.
# Head 2 looks half at the images of the examples, not at their outlines, and half at and around its own place. Head 3
# looks at its neighbours in the blank cell, mostly to the right. So a token hears what is drawn here, what such images
# look like, and what the tokens beside it hold. Nothing in the architecture says *given* or *example*: where to look
# was learned. (Other blocks differ. And a weight says where a token looks, not what it makes of it.)
#
# ## Guidance by two forward passes
#
# Can we make a model follow its text more strongly? Compute the velocity twice, *with* the text and *without* (the
# layout sentence stays). The difference is the effect of the text. Go further in that direction: `without + scale *
# (with - without)`. This is **classifier-free guidance** ([Ho and Salimans 2022](https://arxiv.org/abs/2207.12598)).
# Scale 1 is the plain model, scale 0 ignores the text. Here only the text says in which colours.


# %%
def guided(grid, scale, seed=0, steps=6):
    """Fill a grid with two forward passes a step, with and without its text."""
    ready = latents.prepare(grid, pipe.vae, pipe.resolution, torch.Generator().manual_seed(seed))
    texts = [encode_text(pipe, g.prompt, 64) for g in (grid, grid.replace(task="", content=None))]

    def velocity(z, sigma):
        v, v0 = (flow.velocity(pipe.transformer, z, ready.condition, sigma, text, ready.ids) for text in texts)
        return v0 + scale * (v - v0)

    z = sampler(velocity, ready.noise, flow.schedule(steps, ready.layout.total, pipe.scheduler.config))
    return latents.decode_targets(z, pipe.vae, ready.layout)[0]


def colour(image):
    """Mean distance of the largest from the smallest of red, green and blue, 0 to 1."""
    return (latents.pixels(image).amax(1) - latents.pixels(image).amin(1)).mean().item() / 2


guess = predict("Which scale comes nearest to the ground truth: 0, 1, 3 or 6?", ...)

# %%
tasks = [sample("edge > image", seed=seed, caption=True) for seed in range(1, 5)]
made = {scale: [guided(task.grid, scale) for task in tasks] for scale in (0, 1, 3, 6)}
means = {s: sum(error(a, t.truth[0]) for a, t in zip(made[s], tasks, strict=True)) / len(tasks) for s in made}
for scale, images in made.items():
    strength = sum(map(colour, images)) / len(images)
    print(f"scale {scale}: error {means[scale]:.2f}, strength of colour {strength:.2f}")
guess.compare(min(means, key=lambda scale: means[scale]))
two = (1, 2)  # the second and third grid
print(*(tasks[i].grid.content for i in two), sep="\n")
shown = [cell for i in two for cell in (tasks[i].grid.query[0], *(made[s][i] for s in made), tasks[i].truth[0])]
names = ["given", *(f"scale {s}" for s in made), "ground truth"] * 2
show.sheet(shown, names, cols=6, title="Scale 0 leaves the text out; higher scales strengthen its colours")

# %% [markdown]
# In the committed run the text itself helps most: the error falls by more than half from scale 0 to 1. Beyond that
# colours and stripes get stronger and the error grows: guidance exaggerates. It can only strengthen what the text
# already does.
#
# Two passes cost twice the time. In diffusers `FluxPipeline` calls the scale `true_cfg_scale`. The released
# FLUX.1-Fill was *distilled*: it takes the scale as an input, `guidance_scale=30`, and one pass is trained to match
# two. The tiny model has no such input.
#
# ## What we saw
#
# - Between noise and an image runs a straight line. Its velocity is `n - x`, and `z - sigma * v` is the x0 prediction.
# - Trained with the mean square error, a network learns the mean of all velocities that lead through a point.
# - So one step lands on a mean of all answers, and many steps choose one.
# - A perfect infiller of grids does the task that the examples show, without knowing what a task is.
# - The tiny model is sampled by your loop, and in attention its tokens look at the cells that help them.
# - Guidance computes the velocity twice and exaggerates the difference.
#
# An open question: the perfect infiller knew every grid of its world. How can a model that has seen only some tasks
# fill a grid of a task it has never seen?
