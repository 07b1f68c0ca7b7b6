# %% [markdown]
# # 08 SDEdit
#
# **How does a small answer become a large image?**
#
# Stage 1 fills a cell of 64 x 64 pixels (384 or 512 in the released models). The result of the whole pipeline is three
# times as wide and high. Enlarging alone cannot do that: the details are missing. Stage 2 generates them. Its method is
# **SDEdit** (Meng et al. 2022). It has one parameter, strength, and stock diffusers sets it to its maximum.
#
# You will be able to
#
# - say which details noise hides and which it leaves;
# - compute the noise level at which stage 2 starts, from strength, steps and size;
# - write stage 2, and choose its strength by measuring.
#
# About 30 minutes. A CPU is enough.

# %% tags=["setup"]
import inspect

import diffusers
import torch
from PIL import Image

from visualcloze_nb.sampling import flow, latents, sdedit
from visualcloze_nb import load, show
from visualcloze_nb.data.layout import Layout
from visualcloze_nb.lessons import predict
from visualcloze_nb.lessons import l08_sdedit as checks
from visualcloze_nb.sampling.text import encode_text
from visualcloze_nb.toyworld import sample

# %% [markdown]
# ## What is missing when you enlarge?
#
# Stage 2 gets whatever stage 1 generated, mistakes included. To see stage 2 alone, we give it a perfect small image:
# the ground truth, drawn with 64 pixels. The same scene can be drawn exactly at any size, so we know the large ground
# truth too. The baseline is *bicubic* interpolation, which fits smooth curves between the pixels, as most image
# programs do.

# %%
torch.set_grad_enabled(False)
pipe = load("tiny")
pipe.set_progress_bar_config(disable=True)
task = sample("edge + depth > image", seed=4, caption=True)
small, truth = task.truth[0], task.large(3)[0]
bicubic = small.resize(truth.size, Image.Resampling.BICUBIC)
print("small", small.size, "large", truth.size, "|", task.grid.content)
show.sheet(
    [small.resize(truth.size, Image.Resampling.NEAREST), bicubic, truth],
    ["small", "bicubic", "ground truth"],
    cols=3,
    title="Bicubic is right inside the objects and soft at their edges",
)

# %% [markdown]
# Two metrics for the rest of the lesson, both against the large ground truth. The **error** is the root mean
# square error, black 0 to white 1. The **sharpness** is the root mean square difference of neighbouring
# pixels, divided by that of the ground truth: below 1 is softer. (Because of the squares, one large step counts more
# than the same step in three small ones.)


# %%
def error(a, b):
    return (latents.pixels(a) - latents.pixels(b)).square().mean().sqrt().item() / 2


def sharpness(image, truth):
    a, b = (latents.pixels(p).diff(dim=3).square().mean().sqrt().item() for p in (image, truth))
    return a / b


print(f"bicubic: error {error(bicubic, truth):.2f}, sharpness {sharpness(bicubic, truth):.2f}")

# %% [markdown]
# ## What does noise hide?
#
# SDEdit enlarges the image, adds noise, and lets the model denoise it (lesson 03). It works because noise does not hide
# everything at once.
#
# An image is a sum of waves. Waves of low frequency, one or two across the image, are its large shapes. High
# frequencies are its details. The strength of each frequency is called the **spectrum**. Here is the spectrum of the
# latents, and of noise. (`fft2`, the Fourier transform, computes it. If you have not met it, continue at the figure.)


# %%
def spectrum(x):
    """Mean amplitude in (B, C, s, s) of the frequencies 1, 2, ... s/2 waves across the image."""
    side = x.shape[-1]
    size = torch.fft.fft2(x - x.mean((2, 3), keepdim=True)).abs().square().mean((0, 1))
    f = torch.fft.fftfreq(side) * side
    waves = (f[:, None] ** 2 + f[None] ** 2).sqrt().round()
    return torch.stack([size[waves == k].mean() for k in range(1, side // 2 + 1)]).sqrt()


def hidden_at(times):
    """The sigma at which noise is as strong as the image, for each frequency."""
    scenes = [sample("grey > image", seed).large(times)[0] for seed in range(8)]
    clean = torch.cat([latents.encode(pipe.vae, latents.pixels(p), torch.Generator().manual_seed(0)) for p in scenes])
    image, noise = spectrum(clean), clean.shape[-1]  # white noise has the same amplitude at all frequencies: the side
    return image / (image + noise)  # where (1 - sigma) * image == sigma * noise


# %%
sigma_of = {f"{64 * times} pixels": hidden_at(times) for times in (1, 3)}
for name, sigmas in sigma_of.items():
    print(f"{name}: noise hides large shapes at sigma {sigmas[0]:.1f}, the finest details at {sigmas[-1]:.1f}")
checks.draw_lines(
    {name: (range(1, len(sigmas) + 1), sigmas) for name, sigmas in sigma_of.items()},
    title="The finer a detail, the less noise hides it; larger images tolerate more noise",
    xlabel="waves across the image: large shapes left, details right",
    ylabel="sigma at which noise hides it",
    octaves=True,
)

# %% [markdown]
# Read it from the left. At a sigma of one half the lowest frequencies of the large image are still stronger than the
# noise, the high ones are far weaker. The model denoises from there: it keeps what it can recognise and generates the
# rest. So the large shapes stay and the details are new.
#
# Now compare the lines. In a larger image the same shape is hidden at a higher sigma: it covers more latents, and the
# noise of many latents averages out.

# %%
guess = predict("Same sigma. Shrink the larger image back by 3. How many times weaker is its noise?", ...)

# %%
generator = torch.Generator().manual_seed(0)
noise = torch.randn(1, 3, 192, 192, generator=generator)
shrunk = torch.nn.functional.avg_pool2d(noise, 3)
guess.compare(round(noise.std().item() / shrunk.std().item()))

# %% [markdown]
# ## Where does stage 2 start?
#
# So a larger image needs a schedule with more noise. FLUX **shifts** its noise levels (Esser et al. 2024): it
# multiplies the ratio of noise to image, `sigma / (1 - sigma)`, by `exp(mu)`, and `mu` grows with the number of tokens.
# The tiny model has few tokens, so its line is lower; with 256 tokens both have the same shift.


# %%
def shifted(steps, tokens):
    """Even levels from 1 to 1/steps, shifted for this many tokens, and 0 at the end."""
    ratio = torch.linspace(1, 1 / steps, steps, dtype=torch.float64)
    ratio = ratio / (1 - ratio) * torch.tensor(flow.shift(tokens, pipe.scheduler.config)).exp()
    return torch.cat([torch.ones(1), (ratio / (1 + ratio))[1:].float(), torch.zeros(1)])


schedules = {tokens: shifted(30, tokens) for tokens in (16, 144, 256)}
same = [torch.allclose(s, flow.schedule(30, t, pipe.scheduler.config), atol=1e-5) for t, s in schedules.items()]
print("equal to flow.schedule:", all(same))

# %%
for name, config, counts in (("tiny", pipe.scheduler.config, (16, 144, 256)), ("FLUX", {}, (256, 4096))):
    print(name, *(f"  {tokens} tokens: mu {flow.shift(tokens, config):.2f}" for tokens in counts))

# %%
checks.draw_lines(
    {f"{tokens} tokens, {16 * int(tokens**0.5)} pixels a side": (range(31), s) for tokens, s in schedules.items()},
    title="The more tokens, the longer the schedule stays at high noise",
    xlabel="steps done, of 30",
    ylabel="sigma",
)

# %% [markdown]
# **Strength** is the fraction of the steps to run: with 30 steps and strength 0.4, the last 12. It is a fraction of the
# *steps*, not a noise level.

# %%
guess = predict("30 steps, strength 0.4, 192 x 192 pixels: at which sigma does stage 2 start?", ...)

# %%
first = sdedit.skipped_steps(30, 0.4)
print("skipped:", first, "run:", 30 - first)
guess.compare(round(schedules[144][first].item(), 2), within=0.05)
for strength in (0.2, 0.4, 0.8):
    sigma = schedules[144][sdedit.skipped_steps(30, strength)]
    above = (sigma_of["192 pixels"] > sigma).sum().item()
    print(f"strength {strength}: sigma {sigma:.2f}, {above} of 12 frequencies stronger than the noise")

# %% [markdown]
# **Exercise.** Write the start of stage 2. `clean` are the latents of the enlarged image, `noise` has the
# same shape, `sigmas` are the levels of the whole schedule, one more than there are steps. Skip the first
# `int(steps - steps * strength)` steps. Return a pair: the point on the line between `clean` and `noise` where
# sampling starts (lesson 03: `flow.add_noise(clean, noise, sigma)`), and the remaining levels, the first being that of
# the start.


# %% tags=["exercise"]
def start(clean, noise, sigmas, strength):
    """Start of stage 2: noisy latents, and the remaining noise levels."""
    ### BEGIN SOLUTION
    steps = len(sigmas) - 1
    left = sigmas[int(steps - steps * strength) :]
    return (1 - left[0]) * clean + left[0] * noise, left
    ### END SOLUTION


# %%
checks.start.check(start)

# %% [markdown]
# In diffusers this is `FluxFillPipeline.get_timesteps` and `FlowMatchEulerDiscreteScheduler.scale_noise`; here
# `sdedit.skipped_steps` and `flow.add_noise`.
#
# ## How does stage 2 denoise?
#
# For the model stage 2 is infilling again, with everything blank. There are four differences from stage 1: one cell
# instead of a grid, its row number is 0, the masked image is grey instead of black, and the text is the content
# prompt alone. No examples, no task: stage 2 does not know the task of stage 1.


# %%
def prepare(image, size, strength, steps, generator):
    """Noisy tokens, condition, ids, and noise levels."""
    layout = Layout((size,), 1)
    large = latents.pixels(image.resize(size, Image.Resampling.LANCZOS))
    clean = latents.encode(pipe.vae, large, generator)
    noise = torch.randn(clean.shape, generator=generator)
    sigmas = flow.schedule(steps, layout.total, pipe.scheduler.config)[sdedit.skipped_steps(steps, strength) :]
    z = latents.pack(flow.add_noise(clean, noise, sigmas[0]))
    grey, everywhere = torch.zeros_like(large), torch.ones_like(large[:, :1])
    known = latents.condition(pipe.vae, [grey], [everywhere], generator)
    return z, known, latents.position_ids(layout, first_row=0), sigmas


# %%
def enlarge(image, content, strength=0.4, size=(192, 192), steps=20, seed=0):
    """Stage 2: hide the details in noise and generate new ones."""
    z, known, ids, sigmas = prepare(image, size, strength, steps, torch.Generator().manual_seed(seed))
    text = encode_text(pipe, content, 64)
    for sigma, sigma_next in zip(sigmas, sigmas[1:], strict=False):
        z = flow.euler_step(z, flow.velocity(pipe.transformer, z, known, sigma, text, ids), sigma, sigma_next)
    clean = latents.unpack(z, size[1] // 8, size[0] // 8)
    return latents.to_images(latents.decode(pipe.vae, clean))[0]


# %%
mine = enlarge(small, task.grid.content)
generator = torch.Generator().manual_seed(0)
theirs = pipe.upsampling_pipe(
    prompt=task.grid.content, image=small, strength=0.4, num_inference_steps=20, generator=generator
).images[0]
print("equal to diffusers, byte for byte:", mine.tobytes() == theirs.tobytes())

# %% [markdown]
# The package's own form is `sdedit.prepare_stage2` and `flow.euler_sample`. Do they agree with the form above, and
# `pipe.steps` with `pipe.fill` over both stages?

# %%
steps = list(pipe.steps(task.grid, seed=0, steps=10, strength=0.4))
print("steps of stage 1 and 2:", [sum(step.stage == stage for step in steps) for stage in (1, 2)])
result = pipe.fill(task.grid, seed=0, steps=10, strength=0.4, progress=False)
print("pipe.steps and pipe.fill agree:", pipe.read(steps[-1])[0].tobytes() == result.image.tobytes())

ready = sdedit.prepare_stage2(
    small, (192, 192), pipe.vae, pipe.scheduler.config, 20, 0.4, torch.Generator().manual_seed(0)
)
above = prepare(small, (192, 192), 0.4, 20, torch.Generator().manual_seed(0))
same = zip((ready.z, ready.condition, ready.ids, ready.sigmas), above, strict=True)
print("prepared equally:", [torch.equal(a, b) for a, b in same])

# %%
text = encode_text(pipe, task.grid.content, 64)
inputs = ready.z, ready.condition, ready.ids, text, ready.sigmas
steps = list(flow.euler_sample(pipe.transformer, *inputs, layout=ready.layout, stage=2))
predictions = [pipe.read(step, step.x0)[0] for step in steps]
images = [sdedit.decode_stage2(ready.z, pipe.vae, ready.layout), predictions[0], predictions[3], predictions[-1]]
titles = [f"start, sigma {ready.sigmas[0]:.2f}", "x0, step 1", "x0, step 4", f"x0, step {len(steps)}"]
show.sheet(images, titles, title="Left the noisy start, then the x0 prediction")

# %% [markdown]
# ## How much strength?
#
# Strength 0 keeps the image, strength 1 starts from pure noise. Here are values between.

# %%
strengths = (0.2, 0.4, 0.6, 0.8, 1.0)
made = [enlarge(small, task.grid.content, strength) for strength in strengths]
show.sheet(
    [bicubic, *made, truth],
    ["bicubic", *(f"strength {s}" for s in strengths), "ground truth"],
    cols=4,
    title="The higher the strength, the less of the small image remains",
)

# %% [markdown]
# At strength 1 the first sigma is 1: the start is `0 * clean + 1 * noise`. Take two different small images,
# the same noise and the same text.

# %%
guess = predict("Strength 1, two different small images: how many percent of the pixels are equal?", ...)

# %%
upside_down = small.rotate(180)
for strength in (0.8, 1.0):
    a, b = (latents.pixels(enlarge(p, task.grid.content, strength)) for p in (small, upside_down))
    share = 100 * (a == b).all(dim=1).float().mean().item()
    print(f"strength {strength}: all pixels equal: {share == 100}")
guess.compare(round(share))

# %% [markdown]
# Stage 1 was computed and then ignored: stage 2 uses only a caption and noise, and there is no warning. So what is the
# default?

# %%
for name, cls in {"stock diffusers": diffusers.VisualClozePipeline, "this package": type(pipe)}.items():
    print(name, inspect.signature(cls.__call__).parameters["upsampling_strength"].default)

# %% [markdown]
# With stock diffusers set `upsampling_strength` yourself; the authors' examples use 0.2 to 0.4. (The noise
# slider of the authors' own demo has the opposite direction.)
#
# Which strength is best? Measure, on four scenes with perfect small images. *VAE* is the ground truth encoded and
# decoded, about the best that stage 2 could do.


# %%
def reconstruction(image):
    code = latents.encode(pipe.vae, latents.pixels(image), torch.Generator().manual_seed(0))
    return latents.to_images(latents.decode(pipe.vae, code))[0]


ways = {"bicubic": lambda t: t.truth[0].resize((192, 192), Image.Resampling.BICUBIC)}
ways |= {"VAE": lambda t: reconstruction(t.large()[0])}
ways |= {f"strength {s}": lambda t, s=s: enlarge(t.truth[0], t.grid.content, s) for s in strengths}
tasks = [sample("edge + depth > image", seed=seed, caption=True) for seed in range(4)]
errors, sharp = {}, {}
for name, way in ways.items():
    pairs = [(way(t), t.large()[0]) for t in tasks]
    errors[name] = sum(error(*pair) for pair in pairs) / len(pairs)
    sharp[name] = sum(sharpness(*pair) for pair in pairs) / len(pairs)
    print(f"{name:13s} error {errors[name]:.2f}   sharpness {sharp[name]:.1f}")  # its second digit varies by machine
rivals = [name for name in ways if name != "VAE"]
print("smallest error:", min(rivals, key=errors.get))
print("sharpness nearest to the ground truth:", min(rivals, key=lambda name: abs(sharp[name] - 1)))
print("strength 0.4 has a smaller error than bicubic:", errors["strength 0.4"] < errors["bicubic"])
gain = abs(sharp["bicubic"] - 1) - abs(sharp["strength 0.4"] - 1)
print("strength 0.4 is nearer in sharpness, by more than 0.05:", gain > 0.05)

# %% [markdown]
# Interpret this with care. The error penalises a sharp edge in the wrong place more than a soft one in the right place,
# so bicubic is hard to beat in error. And here it starts from a perfect small image, while stage 2 sees that image
# through the VAE; what stage 1 generates has gone through the VAE already, and `evaluate` compares from there (see the
# card). Sharpness alone is not quality: blots and noise are sharp, so look at the images too. What the VAE cannot
# reconstruct, stage 2 cannot get right, however sharp it is.
#
# If the last two lines are False, bicubic is better here. Stage 2 is only as good as what the model learned about large
# images. Its card, `visualcloze_nb/tiny/README.md`, says how it was trained on them, and how wide its outlines are
# compared with bicubic, which the sharpness of the whole image does not show. The method is that of FLUX; the quality
# is not.
#
# ### Other sizes
#
# Three times is the default. More pixels mean more tokens, a longer stay at high noise, and at the same strength
# a start with more noise.

# %%
sheet, names = [], []
for times in (2, 3, 4):
    tokens = (4 * times) ** 2
    sigma = flow.schedule(20, tokens, pipe.scheduler.config)[sdedit.skipped_steps(20, 0.4)]
    sheet.append(enlarge(small, task.grid.content, size=(64 * times, 64 * times)))
    names.append(f"{times}x, {tokens} tokens\nstart at sigma {sigma:.2f}")
    print(f"{times}x: error {error(sheet[-1], task.large(times)[0]):.2f}")
show.sheet(sheet, names, cols=3, title="The larger the result, the more noise at the start (all drawn at one size)")

# %% [markdown]
# In `pipe.fill`, give `height` or `width`, and the other follows from the aspect ratio of the image. In diffusers
# they are `upsampling_height` and `upsampling_width`. Stock documents the same but does not do it: a missing side is
# 1024, so give both.

# %%
wide = sample("image > grey", seed=1, height=48, width=80).grid
for sizes in ({}, {"width": 160}, {"height": 192}):
    made = pipe.fill(wide, seed=0, steps=4, progress=False, **sizes)
    print(sizes or "nothing given", "->", made.stage1[0].size, "to", made.image.size)
*_, last = pipe.steps(wide, seed=0, steps=4, height=192)
print("step by step, the same image:", pipe.read(last)[0] == made.image)

# %% [markdown]
# ## What we saw
#
# - Noise hides small details first. What is still stronger than the noise is kept, the rest is generated.
# - Larger images tolerate more noise, so FLUX shifts its levels with the number of tokens.
# - Strength is a fraction of the steps. Because of the shift, stage 2 starts at a sigma above that number.
# - Strength 1 ignores stage 1 completely, and it is stock's default.
# - Stage 2 sees one blank grey cell with row number 0 and the content prompt. The form above equals diffusers'.
#
# An open question: stage 2 sees neither the examples nor the other cells of the row. What would change if it
# could attend to them while it generates the details?
