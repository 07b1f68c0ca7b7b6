"""Small breakages of the package, each with the lesson that teaches what it breaks: see break_lessons.py.

`old` occurs exactly once in `file`; `new` is what somebody might write there by mistake.
"""

from typing import NamedTuple


class Breakage(NamedTuple):
    """One mistake: in `file` of the package `new` stands for `old`, and `lesson` must notice."""

    name: str
    file: str
    old: str
    new: str
    lesson: str


def _of(lesson: str, *rows: tuple[str, str, str, str]) -> list[Breakage]:
    return [Breakage(*row, lesson) for row in rows]


BREAKAGES = [
    *_of(
        "00_start_here",
        (
            "with_examples keeps the old examples",
            "data/grid.py",
            "self.replace(rows=[*examples, self.query])",
            "self.replace(rows=[*self.examples, self.query])",
        ),
        (
            "targets are counted from 1",
            "data/grid.py",
            "for col, cell in enumerate(self.query) if cell is None)",
            "for col, cell in enumerate(self.query, start=1) if cell is None)",
        ),
        (
            "every seed is 0",
            "pipelines/validation.py",
            'torch.Generator("cpu").manual_seed(int(seed))',
            'torch.Generator("cpu").manual_seed(0)',
        ),
        (
            "strength 0 does not leave stage 2 out",
            "pipelines/fill.py",
            "upsampling_strength=strength,",
            "upsampling_strength=strength or STRENGTH,",
        ),
        (
            "the saved image is stage 1's",
            "data/result.py",
            "png_bytes(self.images[target], texts)",
            "png_bytes(self.stage1[target], texts)",
        ),
        (
            "provenance counts the examples alone",
            "data/result.py",
            '"rows": self.query.n_rows,',
            '"rows": len(self.query.examples),',
        ),
        (
            "the first image of a result is stage 1's",
            "pipelines/fill.py",
            "images, stage1 = output.images[0], output.stage1[0]",
            "images, stage1 = output.stage1[0], output.stage1[0]",
        ),
    ),
    *_of(
        "01_grids",
        ("aspect ratio upside down", "data/images.py", "aspect = width / height", "aspect = height / width"),
        (
            "widths are rounded up",
            "data/images.py",
            "return max(new_width // multiple, 1) * multiple,",
            "return max(-(-new_width // multiple), 1) * multiple,",
        ),
        (
            "the area is one number short of a square",
            "data/images.py",
            "int((resolution * resolution / aspect) ** 0.5)",
            "int((resolution * (resolution - 1) / aspect) ** 0.5)",
        ),
        (
            "cut at the left edge, not in the middle",
            "data/images.py",
            "(width // 2 - scaled_width // 2, height // 2 - scaled_height // 2)",
            "(0, height // 2 - scaled_height // 2)",
        ),
        (
            "cut at the top, not in the middle",
            "data/images.py",
            "(width // 2 - scaled_width // 2, height // 2 - scaled_height // 2)",
            "(width // 2 - scaled_width // 2, 0)",
        ),
        (
            "scaled to fit inside, not to cover",
            "data/images.py",
            "wide = width / height > image.width / image.height",
            "wide = width / height < image.width / image.height",
        ),
        (
            "another filter",
            "data/images.py",
            "scaled = image.resize((scaled_width, scaled_height), Image.Resampling.LANCZOS)",
            "scaled = image.resize((scaled_width, scaled_height), Image.Resampling.BICUBIC)",
        ),
        ("rows are counted from 0", "data/layout.py", "enumerate(self.shapes, start=1)", "enumerate(self.shapes)"),
        (
            "x stands before y",
            "data/layout.py",
            'np.meshgrid([row], np.arange(down), np.arange(across), indexing="ij")',
            'np.meshgrid([row], np.arange(across), np.arange(down), indexing="ij")',
        ),
        (
            "tokens come column by column",
            "data/layout.py",
            'np.arange(across), indexing="ij"), -1).reshape(-1, 3)',
            'np.arange(across), indexing="ij"), -1).swapaxes(1, 2).reshape(-1, 3)',
        ),
        (
            "a strip is one cell wide",
            "data/layout.py",
            "(h // self.multiple, w // self.multiple * self.n_cols)",
            "(h // self.multiple, w // self.multiple)",
        ),
        (
            "a row's tokens start one too late",
            "data/layout.py",
            "np.cumsum([0, *self.tokens])",
            "np.cumsum([1, *self.tokens])",
        ),
        (
            "all rows get the first row's size",
            "data/grid.py",
            "for first in firsts)",
            "for first in firsts[:1] * len(firsts))",
        ),
        (
            "packing lays the four latents before the channels",
            "sampling/latents.py",
            '"b c (h p) (w q) -> b (h w) (c p q)", p=2, q=2)',
            '"b c (h p) (w q) -> b (h w) (p q c)", p=2, q=2)',
        ),
        (
            "packing exchanges down and across in a token",
            "sampling/latents.py",
            '"b c (h p) (w q) -> b (h w) (c p q)", p=2, q=2)',
            '"b c (h p) (w q) -> b (h w) (c q p)", p=2, q=2)',
        ),
        (
            "the layout prompt names the columns first",
            "data/prompts.py",
            "with {rows} rows and {cols} columns",
            "with {cols} rows and {rows} columns",
        ),
        (
            "the layout prompt counts the query's image out",
            "data/prompts.py",
            "displaying {rows * cols} images",
            "displaying {rows * cols - 1} images",
        ),
        (
            "the task comes before the layout",
            "data/prompts.py",
            "f\"{layout_prompt(rows, cols)} {task or ''} {ending}\"",
            "f\"{task or ''} {layout_prompt(rows, cols)} {ending}\"",
        ),
    ),
    *_of(
        "02_cloze_masks",
        ("blanks are grey", "sampling/latents.py", "BLACK = -1.0", "BLACK = 0.0"),
        (
            "the pipeline's blanks are white",
            "pipelines/image_processor.py",
            'cell or Image.new("RGB", size)',
            'cell or Image.new("RGB", size, "white")',
        ),
        (
            "images run from 0 to 1",
            "sampling/latents.py",
            'return 2.0 * rearrange(values, "b h w c -> b c h w") - 1.0',
            'return rearrange(values, "b h w c -> b c h w")',
        ),
        (
            "images lie on their side",
            "sampling/latents.py",
            '2.0 * rearrange(values, "b h w c -> b c h w")',
            '2.0 * rearrange(values, "b h w c -> b c w h")',
        ),
        ("1 marks what is known", "sampling/latents.py", "float(blank))", "float(not blank))"),
        (
            "the cells of a mask from right to left",
            "sampling/latents.py",
            "for blank in blanks], dim=3)",
            "for blank in blanks[::-1]], dim=3)",
        ),
        (
            "a mask's pixels are read column by column",
            "sampling/latents.py",
            '"b 1 (h p) (w q) -> b (p q) h w"',
            '"b 1 (h p) (w q) -> b (q p) h w"',
        ),
        (
            "mask before images",
            "sampling/latents.py",
            "torch.cat([images, blanks], dim=-1)",
            "torch.cat([blanks, images], dim=-1)",
        ),
        (
            "encoding scales before it shifts",
            "sampling/latents.py",
            "(latents - vae.config.shift_factor) * vae.config.scaling_factor",
            "latents * vae.config.scaling_factor - vae.config.shift_factor",
        ),
        (
            "decoding shifts the wrong way",
            "sampling/latents.py",
            "latents / vae.config.scaling_factor + vae.config.shift_factor",
            "latents / vae.config.scaling_factor - vae.config.shift_factor",
        ),
        (
            "the VAE's answer is not sampled",
            "sampling/latents.py",
            "vae.encode(strips).latent_dist.sample(generator)",
            "vae.encode(strips).latent_dist.mode()",
        ),
        (
            "unpacking exchanges down and across in a token",
            "sampling/latents.py",
            '"b (h w) (c p q) -> b c (h p) (w q)"',
            '"b (h w) (c q p) -> b c (h p) (w q)"',
        ),
        (
            "unpacking exchanges height and width",
            "sampling/latents.py",
            "h=height // 2, w=width // 2",
            "h=width // 2, w=height // 2",
        ),
    ),
    *_of(
        "03_infilling_prior",
        (
            "image and noise exchanged on the line",
            "sampling/flow.py",
            "return sigma * noise + (1.0 - sigma) * clean",
            "return sigma * clean + (1.0 - sigma) * noise",
        ),
        (
            "a step goes up in noise",
            "sampling/flow.py",
            "(sigma_next - sigma) * velocity",
            "(sigma - sigma_next) * velocity",
        ),
        (
            "a curve is lower whatever its interval",
            "lessons/ablation_curves.py",
            "one.high[-1] < other.low[-1]",
            "one.high[-1] > other.low[-1]",
        ),
        (
            "the curves are those of the other tasks",
            "lessons/ablation_curves.py",
            'if row["tasks"] == tasks:',
            'if row["tasks"] != tasks:',
        ),
        (
            "the guess has the wrong sign",
            "sampling/flow.py",
            "self.before - self.sigma * self.velocity",
            "self.before + self.sigma * self.velocity",
        ),
        (
            "the guess starts from the state after the step",
            "sampling/flow.py",
            "self.before - self.sigma * self.velocity",
            "self.after - self.sigma * self.velocity",
        ),
        (
            "the levels end one step too low",
            "sampling/flow.py",
            "np.linspace(1.0, 1 / steps, steps)",
            "np.linspace(1.0, 1 / (steps + 1), steps)",
        ),
        (
            "the schedule is not shifted",
            "sampling/flow.py",
            "mu / (mu + (1 / sigmas - 1) ** 1.0)",
            "1 / (1 + (1 / sigmas - 1) ** 1.0)",
        ),
        (
            "the last step is missing",
            "sampling/flow.py",
            "torch.cat([torch.from_numpy(sigmas).to(torch.float32), torch.zeros(1)])",
            "torch.from_numpy(sigmas).to(torch.float32)",
        ),
        (
            "the velocity is asked at the level of arrival",
            "sampling/flow.py",
            "velocity(transformer, z, condition, sigmas[i], text, ids, guidance)",
            "velocity(transformer, z, condition, sigmas[i + 1], text, ids, guidance)",
        ),
        ("every step starts at the noise", "sampling/flow.py", "        z = after\n", ""),
        (
            "time is ten times too long",
            "sampling/flow.py",
            "timestep.expand(z.shape[0]).to(z.dtype) / 1000",
            "timestep.expand(z.shape[0]).to(z.dtype) / 100",
        ),
        (
            "what is known stands before the noise",
            "sampling/flow.py",
            "torch.cat([z, condition], dim=2)",
            "torch.cat([condition, z], dim=2)",
        ),
        (
            "examples are masked like the query",
            "sampling/latents.py",
            "is_query and cell is None for cell in cells",
            "is_query or cell is None for cell in cells",
        ),
        (
            "the rows of the condition from bottom to top",
            "sampling/latents.py",
            "known = condition(vae, strips, masks, generator)",
            "known = condition(vae, strips[::-1], masks[::-1], generator)",
        ),
        (
            "another random number is drawn before the noise",
            "sampling/latents.py",
            "noise = randn_tensor((1, layout.total, 64), generator=generator, device=device, dtype=dtype)",
            "noise = randn_tensor((2, layout.total, 64), generator=generator, device=device, dtype=dtype)[1:]",
        ),
        (
            "targets are read from the first row",
            "sampling/latents.py",
            "tokens[:, layout.row_slices[-1]]",
            "tokens[:, layout.row_slices[0]]",
        ),
        (
            "images are cut off, not rounded",
            "sampling/latents.py",
            '(values * 255).round().astype("uint8")',
            '(values * 255).astype("uint8")',
        ),
        (
            "the laid-open walk reads the task alone",
            "pipelines/fill.py",
            "encode_text(self, grid.prompt, length)",
            "encode_text(self, grid.task, length)",
        ),
        (
            "read decodes where a step began",
            "pipelines/fill.py",
            "tokens = step.after if tokens is None else tokens",
            "tokens = step.before if tokens is None else tokens",
        ),
        (
            "read takes no other tokens",
            "pipelines/fill.py",
            "tokens = step.after if tokens is None else tokens",
            "tokens = step.after",
        ),
    ),
    *_of(
        "04_in_context",
        (
            "the text is padded to CLIP's length",
            "sampling/text.py",
            "t5 = pipe.tokenizer_2(prompts, max_length=max_sequence_length,",
            "t5 = pipe.tokenizer_2(prompts, max_length=pipe.tokenizer.model_max_length,",
        ),
        ("the task is left out of the text", "data/prompts.py", "{task or ''} {ending}", "{ending}"),
        (
            "CLIP's answer is lost",
            "sampling/text.py",
            "pooled.to(text_encoder.dtype)\n",
            "0 * pooled.to(text_encoder.dtype)\n",
        ),
        (
            "words have a place in the image",
            "sampling/text.py",
            "torch.zeros(states.shape[1], 3,",
            "torch.ones(states.shape[1], 3,",
        ),
    ),
    *_of(
        "07_reverse",
        (
            "with_blanks blanks the others",
            "data/grid.py",
            "[None if col in columns else cell for col, cell in enumerate(row)]",
            "[cell if col in columns else None for col, cell in enumerate(row)]",
        ),
        ("columns are named from 0", "data/prompts.py", "[IMAGE{column + 1}]", "[IMAGE{column}]"),
        (
            "the text names the targets as given, too",
            "data/prompts.py",
            "others = [column for column in range(len(columns)) if column not in targets]",
            "others = list(range(len(columns)))",
        ),
        (
            "two answers change places",
            "data/grid.py",
            "dict(zip(self.targets, images, strict=True))",
            "dict(zip(self.targets[::-1], images, strict=True))",
        ),
        (
            "the mask lies on the last column whatever is blank",
            "sampling/latents.py",
            "is_query and cell is None for cell in cells",
            "is_query and cell is cells[-1] for cell in cells",
        ),
        (
            "a target is cut out one column too far right",
            "data/layout.py",
            "return col * width, 0, (col + 1) * width, height",
            "return (col + 1) * width, 0, (col + 2) * width, height",
        ),
        (
            "a token's column is read from y",
            "data/layout.py",
            "ids[:, 2] // across[rows]",
            "ids[:, 1] // across[rows]",
        ),
        (
            "remembered texts are not told apart",
            "pipelines/prompt_cache.py",
            "(name, _state(encoder), texts, *arguments)",
            "(name, _state(encoder), *arguments)",
        ),
    ),
    *_of(
        "08_sdedit",
        (
            "strength the wrong way round",
            "sampling/sdedit.py",
            "int(max(steps - min(steps * strength, steps), 0))",
            "int(min(steps * strength, steps - 1))",
        ),
        (
            "one step too many is skipped",
            "sampling/sdedit.py",
            "int(max(steps - min(steps * strength, steps), 0))",
            "int(max(steps - min(steps * strength, steps), 0)) + 1",
        ),
        ("stage 2 sees black", "sampling/sdedit.py", "GREY = 0.0", "GREY = -1.0"),
        (
            "stage 2 counts rows from 1",
            "sampling/sdedit.py",
            "position_ids(layout, first_row=0)",
            "position_ids(layout)",
        ),
        (
            "stage 2's mask is empty",
            "sampling/sdedit.py",
            "torch.ones_like(large[:, :1])",
            "torch.zeros_like(large[:, :1])",
        ),
        (
            "the noise is as deep as strength, not as sigma",
            "sampling/sdedit.py",
            "noised(clean, noise, sigmas[0].to(vae.device, vae.dtype))",
            "noised(clean, noise, strength)",
        ),
        (
            "enlarged by another filter",
            "sampling/sdedit.py",
            "image.resize(size, Image.Resampling.LANCZOS)",
            "image.resize(size, Image.Resampling.BICUBIC)",
        ),
        (
            "the large image is read with height and width exchanged",
            "sampling/sdedit.py",
            "unpack(tokens, height // 8, width // 8)",
            "unpack(tokens, width // 8, height // 8)",
        ),
        (
            "the shift does not grow with the tokens",
            "sampling/flow.py",
            "return tokens * slope + (",
            "return low * slope + (",
        ),
        ("the default strength is 1", "pipelines/base.py", "STRENGTH = 0.4", "STRENGTH = 1.0"),
        ("stage 2 enlarges twice", "pipelines/validation.py", "UPSCALING = 3", "UPSCALING = 2"),
        (
            "the other side from the aspect ratio upside down",
            "pipelines/validation.py",
            "_nearest(new_height * width / height, multiple)",
            "_nearest(new_height * height / width, multiple)",
        ),
        (
            "stage 2 reads the task as well",
            "pipelines/fill.py",
            'encode_text(self, grid.content or "", length)',
            "encode_text(self, grid.prompt, length)",
        ),
        (
            "the pipeline's stage 2 may change nothing",
            "pipelines/upsampling.py",
            "(255, 255, 255)",
            "(0, 0, 0)",
        ),
        (
            "the pipeline's stage 2 gets width and height exchanged",
            "pipelines/combined.py",
            "            width, height = size\n",
            "            height, width = size\n",
        ),
    ),
    *_of(
        "10_real_model",
        ("four bits without their scales", "loading/memory_plan.py", "NF4 = 0.5 + 4 / 64", "NF4 = 0.5"),
        ("bfloat16 takes four bytes", "loading/memory_plan.py", '"bf16": 2.0', '"bf16": 4.0'),
        (
            "T5's touchy layers are packed as well",
            "loading/memory_plan.py",
            "self.linear - self.wide if packed",
            "self.linear if packed",
        ),
        ("the text's tokens cost nothing", "loading/memory_plan.py", "// 256 + TEXT_TOKENS", "// 256"),
        (
            "parts that take turns are added up",
            "loading/memory_plan.py",
            "max(turns) + RESERVE",
            "sum(turns) + RESERVE",
        ),
        (
            "freed text encoders still count",
            "loading/memory_plan.py",
            "(max(most, text + TEXT_WORK) if way.visits else text + most)",
            "(text + max(most, TEXT_WORK) if way.visits else text + most)",
        ),
        (
            "T5 in float16",
            "loading/memory_plan.py",
            'return "fp32" if precision == "fp16" else precision',
            "return precision",
        ),
    ),
]
