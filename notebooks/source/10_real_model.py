# %% [markdown]
# # 10 The real model
# **What changes with 17 billion parameters?**
#
# **No output on this page came from the real model.** Its numbers are counted or computed, and its cells for a GPU are
# skipped without one. The author has not run the real weights.
#
# Everything so far ran on a tiny model. The released one has the same architecture, but is far larger. This lesson
# examines it before you download it: how large it is, where it fits, what a step costs, how to call it, and what its
# licence allows. At the end you will be able to
#
# - compute how much memory a model needs, from its configuration alone,
# - store weights in four bits, and measure the effect on an image,
# - tell which graphics cards can run the model, and how,
# - run the documented examples on a GPU, in both stages or each alone.
#
# 30 minutes. A CPU is enough. The paper: [VisualCloze](https://arxiv.org/abs/2504.07960), section 4; four bits:
# [QLoRA](https://arxiv.org/abs/2305.14314).

# %% tags=["setup"]
import copy
import re
import time

import diffusers
import torch
from diffusers.utils import load_image
from IPython.display import display

from visualcloze_nb import Grid, load, show, tasks
from visualcloze_nb.cli import doctor
from visualcloze_nb.sampling import latents
from visualcloze_nb.loading.random_weights import FULL, build
from visualcloze_nb.lessons import predict
from visualcloze_nb.lessons import l10_real_model as checks
from visualcloze_nb.lessons.documented_grids import OTHER_EXAMPLES, documented_grids
from visualcloze_nb.loading.hardware import probe
from visualcloze_nb.loading.memory_plan import RESERVE, TEXT_WORK, Machine, plan
from visualcloze_nb.loading.model_size import FULL_PARTS, GB, LIVE, full_model, gb
from visualcloze_nb.toyworld import sample

# %load_ext visualcloze_nb.lessons
torch.set_grad_enabled(False)
diffusers.utils.logging.set_verbosity_error()
pipe = load("tiny")

# %% [markdown]
# ## What is the same, and what is larger?
# PyTorch can build a model on the device `meta`: with all its layers and their shapes, but without memory for the
# weights. So we can build the full model here and count its parameters.

# %%
full = build(FULL, "meta")
PARTS = list(FULL_PARTS)
print("the same classes:", all(type(full[part]) is type(getattr(pipe, part)) for part in PARTS))
names = "in_channels out_channels num_layers num_single_layers num_attention_heads attention_head_dim "
names += "joint_attention_dim pooled_projection_dim guidance_embeds"
small, big_one = pipe.transformer.config, full["transformer"].config
for name in names.split():
    print(f"{name:22}{small[name]!s:>8}{big_one[name]!s:>8}{'  the same' if small[name] == big_one[name] else ''}")

# %% [markdown]
# Input and output are the same: 384 channels per token go in, 64 come out (lesson 02). Rows, masks, ids and schedule
# are those you know. Everything inside grows: layers, heads, and the text vectors. They come from two text encoders,
# CLIP (`text_encoder`) and T5 (`text_encoder_2`). One input is new, `guidance_embeds`, see below.
#
# **Predict.** How many times more parameters has the full model, all parts together?

# %%
guess = predict("full / tiny, in parameters?", ...)


# %%
def parameters(module):
    return sum(p.numel() for p in module.parameters())


sizes = {"tiny": {p: parameters(getattr(pipe, p)) for p in PARTS}, "full": {p: parameters(full[p]) for p in PARTS}}
for part in PARTS:
    print(f"{part:15}{sizes['tiny'][part]:>12,}{sizes['full'][part]:>16,}")
ratio = sum(sizes["full"].values()) / sum(sizes["tiny"].values())
guess.compare(int(round(ratio, -1)), within=ratio / 3)
checks.draw_areas(sizes, "Area is the parameter count: the tiny model is the dots on the left")

# %% [markdown]
# Where are they? A matrix from one vector of `width` numbers to another has `width`² parameters. Count the matrices of
# a FLUX block in units of `width`². A *double* block has separate weights for image and text: for each of the two 4 for
# attention, 8 for the MLP, 6 for modulation by timestep and text. A *single* block has the same weights for both: 3 + 9
# + 3, since attention and MLP share its last matrix.
#
# **Exercise.** Count the parameters of these matrices in a transformer with `double` double and `single` single blocks.


# %% tags=["exercise"]
def block_weights(width, double, single):
    """Parameters of the matrices of all blocks."""
    ### BEGIN SOLUTION
    return (2 * (4 + 8 + 6) * double + (3 + 9 + 3) * single) * width**2
    ### END SOLUTION


# %%
checks.block_weights.check(block_weights)
block_weights = checks.block_weights.or_answer(block_weights)  # yours if it is right
for name, config in {"tiny": small, "full": big_one}.items():
    width = config.num_attention_heads * config.attention_head_dim
    by_hand = block_weights(width, config.num_layers, config.num_single_layers)
    print(f"{name}: {by_hand:,} by hand, {by_hand / sizes[name]['transformer']:.0%} of the transformer")

# %% [markdown]
# ## How much memory do the weights need?
# A parameter in `bfloat16` takes 2 bytes. (GB here is 10⁹ bytes.)

# %%
weight = {part: 2 * sizes["full"][part] for part in PARTS}
print(", ".join(f"{part} {gb(size)}" for part, size in weight.items()), "| together", gb(sum(weight.values())))
print("as the package says:", all(weight[part] == FULL_PARTS[part].bytes("bf16") for part in PARTS))

# %% [markdown]
# Most graphics cards have less. The solution is **quantisation**: store weights with fewer bits. **nf4** uses four: a
# weight is one of 16 levels. The levels lie close together around 0, where most weights are. Every block of 64 weights
# has its own scale, its largest absolute value, so that it uses the full range.
#
# **Exercise.** Round weights to four bits. Divide each block by its scale, take the nearest level, multiply by the
# scale again. (The cells after the check use the package's form.)


# %% tags=["exercise"]
def four_bits(weights, levels):
    """Round weights (blocks, 64) to levels (16,) from -1 to 1, times the largest absolute value of each block."""
    ### BEGIN SOLUTION
    scale = weights.abs().amax(1, keepdim=True)
    nearest = (weights[..., None] / scale[..., None] - levels).abs().argmin(-1)
    return levels[nearest] * scale
    ### END SOLUTION


# %%
checks.four_bits.check(four_bits)
levels = checks.nf4_levels()
block = pipe.transformer.single_transformer_blocks[0].attn.to_q.weight.reshape(-1, 64)[:1]
rounded = checks.round_weights(block, levels)
checks.draw_rounding(block[0], rounded[0], levels * block.abs().max(), "Each weight moves to the nearest of 16 levels")

# %% [markdown]
# What is the effect on an image? Round every linear layer of the tiny transformer and fill the same grid, from the same
# noise. Call the two answers similar if their root mean square difference is below 0.1.
#
# **Predict.** The two answers will be

# %%
choices = ["equal", "similar", "different images"]
guess = predict("With four bits per weight:", ..., choices)


def in_four_bits(module):
    module = copy.deepcopy(module)
    for layer in module.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.weight.copy_(checks.round_weights(layer.weight.reshape(-1, 64), levels).view_as(layer.weight))
    return module


# %%
task = sample("image > depth", seed=3)
whole = pipe.fill(task.grid, seed=0, strength=0, progress=False).image
precise, pipe.transformer = pipe.transformer, in_four_bits(pipe.transformer)
quantised = pipe.fill(task.grid, seed=0, strength=0, progress=False).image
pipe.transformer = precise
off = (latents.pixels(whole) - latents.pixels(quantised)).square().mean().sqrt().item() / 2
print(f"root mean square difference: {off:.2f} (black against white is 1)")
guess.compare(choices[0] if whole == quantised else choices[1] if off < 0.1 else choices[2])
show.sheet(
    [task.grid.query[0], whole, quantised, task.truth[0]],
    ["given", "32 bits per weight", "4 bits per weight", "ground truth"],
    title="The same noise, an eighth of the bits: look for a difference",
)

# %% [markdown]
# One scene and a tiny model prove little about the large one. But the arithmetic was not rounded: the model dequantises
# weights layer by layer, and computes as before. Four bits save memory, not work.
#
# Now compute the memory again. Only linear layers are quantised, and T5 keeps one kind of layer unchanged (`wo`),
# because rounding harms it. A scale takes 32 bits, so a weight costs half a byte and a 64th of 4 bytes.


# %%
def linear(module, but=()):
    """Number of weights in linear layers, `but` those of these names."""
    layers = {name: m for name, m in module.named_modules() if isinstance(m, torch.nn.Linear)}
    return sum(m.weight.numel() for name, m in layers.items() if name.split(".")[-1] not in but)


four_bit = {"transformer": linear(full["transformer"]), "text_encoder_2": linear(full["text_encoder_2"], ["wo"])}
light = {part: weight[part] - (2 - 0.5 - 4 / 64) * four_bit.get(part, 0) for part in PARTS}
print(", ".join(f"{part} {gb(size)}" for part, size in light.items()), "| together", gb(sum(light.values())))
print("as the package says:", all(light[part] == FULL_PARTS[part].bytes("bf16", part in four_bit) for part in PARTS))

# %% [markdown]
# In diffusers: `PipelineQuantizationConfig(quant_mapping=…)` with, for each of the two parts, a
# `BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)`: diffusers'
# for the transformer, that of transformers for T5. Without the last two, they are fp4 and `float32`.
#
# ## What does a step cost?
# On `meta` PyTorch can even run the model: it computes no numbers, but counts the work of all matrix products, each
# multiplication and each addition as one operation. Compare with a formula. A token is multiplied with about 12
# `width`² weights in each block (modulation, counted above, works once for a grid, not for each token), and attention
# multiplies every token with every other, twice over `width` numbers.
#
# **Exercise.** Count the operations of one step: those with weights, and those of attention.


# %% tags=["exercise"]
def operations(width, blocks, tokens):
    """Operations of all blocks, two numbers: of tokens with weights, and of tokens with tokens."""
    ### BEGIN SOLUTION
    return blocks * 2 * 12 * width**2 * tokens, blocks * 2 * 2 * tokens**2 * width
    ### END SOLUTION


# %%
checks.operations.check(operations)
guess = predict("A 2 x 2 grid, one step: the full model at 384 / the tiny one, in operations?", ...)


# %%
def formula(config, tokens):
    width, blocks = config.num_attention_heads * config.attention_head_dim, config.num_layers + config.num_single_layers
    counts = checks.operations.or_answer(operations)(width, blocks, tokens)
    return dict(zip(("matrices", "attention"), counts, strict=True))


work = {f"{r} x {c} at {s}": (r * c * s * s // 256, 512) for s in (384, 512) for r, c in [(2, 2), (3, 3)]}
work["stage 2, 1344 x 768"] = (1344 * 768 // 256, 512)
tiny_cost = sum(formula(small, 64 + 64).values())
costs = {name: formula(big_one, sum(tokens)) for name, tokens in work.items()}
for name, (tokens, text) in work.items():
    total = sum(costs[name].values())
    agrees = abs(checks.counted(full["transformer"], tokens, text) / total - 1) < 0.01
    print(f"{name:20}{tokens:6,} + {text} tokens{total / 1e12:8.1f} · 10¹² operations, as counted: {agrees}")
times = sum(costs["2 x 2 at 384"].values()) / tiny_cost
guess.compare(int(round(times, -3)), within=times / 3)
tera = {name: {part: n / 1e12 for part, n in cost.items()} for name, cost in costs.items()}
checks.draw_stacks(tera, "More pixels cost twice: more tokens, and more pairs of tokens", "10¹² operations per step")

# %% [markdown]
# ## Where does it fit?
# Memory holds more than weights. In a block, several copies of all tokens, the **activations**, exist at once (about
# `LIVE` = 18 numbers for each of the `width`), and in the VAE three large images of 256 channels. They are temporary:
# only the largest counts. `RESERVE` is for the driver, `TEXT_WORK` for T5's activations. And not all parts are needed
# at once. So there are several memory plans. Compute them; then guess which one a card of 24 GB needs.


# %%
def peaks(weight, tokens, pixels):
    """GPU memory that each plan needs, in bytes."""
    text, vae = weight["text_encoder"] + weight["text_encoder_2"], weight["vae"]
    denoise, decode = LIVE * tokens * 3072 * 2, 3 * pixels * 256 * 2
    stays = weight["transformer"] + vae
    return {
        "resident": stays + text + max(denoise, decode) + RESERVE,  # all parts stay
        "encode-then-free": stays + max(text + TEXT_WORK, denoise, decode) + RESERVE,  # text encoders are freed
        "offload": max(weight["transformer"] + denoise, text, vae + decode) + RESERVE,  # one part at a time
    }


tokens, pixels = 9 * 384**2 // 256 + 512, 9 * 384**2  # a 3 x 3 grid; stage 2 is three times a cell
bf16, nf4 = peaks(weight, tokens, pixels), peaks(light, tokens, pixels)
mine = {"resident": bf16["resident"], "encode-then-free": bf16["encode-then-free"]}
mine |= {"nf4": nf4["resident"], "offload": nf4["offload"]}
roomy = Machine(ram=1e12, gpu="any", gpu_memory=1e12, bf16=True, four_bit=True)
for way, size in mine.items():
    theirs = plan(full_model("384"), roomy, way).gpu
    print(f"{way:18}{gb(size):>8}, the package: {gb(theirs)}, equal: {round(size) == round(theirs)}")
guess = predict("A card of 24 GB:", ..., ["resident", "encode-then-free", "nf4", "offload", "cpu"])

# %%
CARDS = {"T4 (Colab)": (11, 15.8), "24 GB": (48, 25.3), "A100, 40 GB": (80, 42.4), "80 GB": (160, 85)}  # RAM, GPU
plans = {}
for name, (ram, memory) in CARDS.items():
    machine = Machine(ram * GB, gpu=name, gpu_memory=memory * GB, bf16="T4" not in name, four_bit=True)
    plans[name] = found = plan(full_model("384"), machine)
    print(f"{name:12}{found.precision}, needs {gb(found.gpu)}. {found.words().splitlines()[0]}")
guess.compare(plans["24 GB"].name)

# %%
bars = {}
for way, parts in {"bf16": weight, "nf4": light, "nf4, no bf16": plans["T4 (Colab)"].parts}.items():
    held = {"transformer": parts["transformer"], "T5": parts["text_encoder_2"]}
    held["CLIP and VAE"] = parts["text_encoder"] + parts["vae"]
    held["work and reserve"] = peaks(parts, tokens, pixels)["resident"] - sum(parts.values())
    bars[way] = {name: size / GB for name, size in held.items()}
lines = {name: memory for name, (_, memory) in CARDS.items()}
checks.draw_stacks(bars, "If all parts stay: a bar must end before the card's line", "GB of GPU memory", lines)

# %% [markdown]
# Memory is about what PyTorch reports, and we assume `bitsandbytes`, which quantises, on every card. The T4 is the
# difficult one. It has no `bfloat16`, so T5 must compute in `float32` (the lowest bar): it is loaded for a new text and
# freed again. This is computed, not measured.
#
# And this machine? `load` chooses in the same way; in a terminal, `visualcloze-nb doctor`. Without a GPU the
# answer is the CPU, if it has the memory, and hours: how many follows from how fast it multiplies matrices, here of
# `float32`; in `bfloat16` it may be several times faster or slower. (The output was printed where this page was made.
# It differs on every machine, so no test compares it.)

# %% tags=["nbval-ignore-output"]
here = probe()
print(doctor.describe_machine(here), doctor.report("384", here), sep="\n")
a, start = torch.randn(1024, 1024), time.perf_counter()
for _ in range(5):
    a @ a
rate = 5 * 2 * 1024**3 / (time.perf_counter() - start)
hours = 30 * sum(costs["2 x 2 at 384"].values()) / rate / 3600
print(f"30 steps of stage 1 on this CPU: {hours:.1f} hours, at {rate / 1e9:.0f} · 10⁹ operations a second")

# %% [markdown]
# ## How do I run it?
# ### First the licence
# - FLUX.1-Fill-dev, on which VisualCloze is based, is **gated and non-commercial**. Its licence has no separate
#   category for education. You may use the outputs, but not to train competing models; a content filter or a review of
#   outputs is required.
# - The released VisualCloze pipelines contain Fill's weights: treat them as its derivatives. The cards of the 512 LoRA
#   and of the Graph200K data say Apache-2.0; the authors' repository has no licence file.
# - You accept the licence yourself, with your own account. Nothing of it is in this course. The tiny model is not
#   affected: it was trained here, on drawn images and a few free photographs.
#
# ### The documented call
# The documentation of diffusers contains an example. We read it from there: the URLs of its images, and its texts.

# %%
example = diffusers.VisualClozePipeline.__call__.__doc__
urls = re.findall(r'"(https://\S+\.jpg)"', example)
task_prompt, content_prompt = (re.search(rf'{name} = "(.+)"', example)[1] for name in ("task_prompt", "content_prompt"))
print(*urls, sep="\n")
print(re.findall(r"(?:guidance|num_inf|max_seq|upsampling_)\w+=[\d.]+", example))

# %% [markdown]
# The page has two more examples, in the same folder: soft edges (two columns, 864 x 1152 pixels) and a subject in a new
# place (three columns, 1024 x 1024). Nothing was downloaded here. To see all three *grids*, build them from free
# photographs: `tasks` has the prompts and the settings of the authors' demo, its noise as a strength. Where an
# annotation needs a network, a stand-in takes its place: few colours for segments, a blurred Canny map for soft edges,
# grey values for depth.

# %%
examples = documented_grids()
for name, example in examples.items():
    display(show.show_grid(example.grid, f"{name}: photographs in place of the documented ones"))
    print(f"{example.task.name}; recommended: {dict(example.grid.recommended)}\n{example.grid.task}")

# %% [markdown]
# Two settings are new. The full model takes **guidance** as an input, 30 (lesson 03). And its text is padded to 512
# tokens: `max_sequence_length=512`. Below is the same call on the tiny model, which
# has no input for guidance and ignores the 30.
#
# Both stages work alone too. A pipeline contains both: `generation_pipe`, a `VisualClozeGenerationPipeline`, and
# `upsampling_pipe`, in diffusers a `FluxFillPipeline`. (From files: `from_pretrained` the first, then `from_pipe` the
# second, which shares the weights. Give stock's `torch_dtype=torch.bfloat16`, or it makes them float32, twice as
# large.)


# %%
def documented(pipe, rows, task, content, **more):
    """The call as diffusers documents it."""
    return pipe(
        task_prompt=task,
        content_prompt=content,
        image=rows,
        upsampling_strength=0.4,
        guidance_scale=30,
        num_inference_steps=30,
        generator=torch.Generator("cpu").manual_seed(0),
        **more,
    ).images[0][0]


toy = sample("edge + depth > image", seed=4, caption=True).grid
pipe.set_progress_bar_config(disable=True)
joint = documented(pipe, toy.to_lists(), toy.task, toy.content, max_sequence_length=64)
print("size", joint.size)


def two_stages(pipe, rows, task, content, text=64, **size):
    settings = {"num_inference_steps": 30, "max_sequence_length": text, "generator": torch.Generator().manual_seed(0)}
    small = pipe.generation_pipe(task_prompt=task, content_prompt=content, image=rows, **settings).images[0][0]
    large = pipe.upsampling_pipe(image=small, prompt=content, strength=0.4, **settings, **size).images[0]
    return small, large


small, large = two_stages(pipe, toy.to_lists(), toy.task, toy.content)
print("the same image as in one call:", large == joint)
show.sheet([small, large], ["stage 1", "stage 2"], title="The tiny model: stage 2 is three times as wide")

# %% [markdown]
# Now the real model. Install what it needs: `python -m pip install -e '.[gpu]'` in a checkout; in Colab put `[gpu]`
# behind the package's name in the first cell. Where a file is gated, accept its licence and set a read token as
# `HF_TOKEN` (in Colab a secret of that name). Set `DOWNLOAD = True` if you have read the licence and have space for
# the download. `load` then chooses as above, or reports what is missing. Without a GPU the cells below are skipped.

# %%
DOWNLOAD = DOWNLOAD_LORA = False
print("to fetch:", gb(full_model("384").download), "| Fill and the LoRA:", gb(full_model("384-lora").download))

# %% tags=["gpu"]
# %%gpu DOWNLOAD
big = load("384")
print(big.plan.words())
photos = [load_image(url) for url in urls]
rows = [photos[:2], [photos[2], None]]
show.show_grid(Grid(rows), "The documented example: a photograph from a mask")

# %% tags=["gpu"]
# %%gpu big
torch.cuda.reset_peak_memory_stats()
size = {"upsampling_width": 1344, "upsampling_height": 768}
image = documented(big, rows, task_prompt, content_prompt, max_sequence_length=512, **size)
print(f"planned for 3 x 3 and the driver {gb(big.plan.gpu)}, measured {gb(torch.cuda.max_memory_allocated())}")
small, large = two_stages(big, rows, task_prompt, content_prompt, text=512, width=1344, height=768)
show.sheet([image, small, large], ["one call", "stage 1 alone", "stage 2 alone"], cols=1, title="The full model")

# %% tags=["gpu"]
# %%gpu big
folder = urls[0].rpartition("mask2image")[0]
for name, (task, *kinds) in OTHER_EXAMPLES.items():
    cells = [[f"{folder}{name}_incontext-example-{n}_{kind}.jpg" for kind in kinds] for n in (1, 2)]
    cells.append([f"{folder}{name}_query_{kind}.jpg" for kind in kinds[:-1]])
    loaded = [[load_image(url) for url in row] for row in cells]
    display(show.show_result(big.fill(tasks.find(task).grid(loaded), seed=0), title=f"The full model: {name}"))

# %% [markdown]
# There is a second way. A **LoRA** (low-rank adaptation) keeps a matrix fixed and adds the product of two narrow ones,
# down to 256 numbers and up again: for a matrix of 3072 x 3072 that is a sixth as many parameters. VisualCloze was
# trained that way on Fill, so Fill and the LoRA file should give the same model. In diffusers it is
# `load_lora_weights`; here `load("384-lora")`. Two such models do not fit: restart the kernel, run the lesson's first
# cells (as far as `pipe = load("tiny")`), set `DOWNLOAD_LORA = True` in a new cell, and continue here.

# %% tags=["gpu"]
# %%gpu DOWNLOAD_LORA
big = load("384-lora")
print(big.plan.words())

# %% [markdown]
# ## What we saw
# - The same classes, inputs and outputs, with more and wider blocks inside.
# - Memory is parameters times bytes, plus activations. You computed the numbers that the package plans with.
# - Four bits per weight save memory, not work. With them the model fits cards of 24 GB.
# - The cost of a step grows with the tokens and with their pairs: with examples and pixels.
# - The call is the one you know. New are guidance as an input, 512 text tokens, and a licence to accept.
#
# An open question: VisualCloze trained only LoRA weights, a fraction of these parameters; all others come from a model
# that fills holes in single images. How small could a model be that only does the tasks *you* need?
