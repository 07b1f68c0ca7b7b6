"""Lesson 11: the exercises, the flow-matching loss, a layer with an adapter, merging it, and reading pairs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw

from visualcloze_nb.lessons.exercise import exercise
from visualcloze_nb.loading.checkpoints import place_of

# The flow-matching loss -------------------------------------------------------------------------------------


def _bent(z: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """A stand-in for the model: it bends, so that no other input gives the same output."""
    return torch.sin(2 * z) + z * sigma[:, None, None]


def _drawn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _loss_cases() -> list[tuple]:
    return [
        (_bent, _drawn(2, 6, 4, seed=0), _drawn(2, 6, 4, seed=1), torch.tensor([0.9, 0.3]), torch.arange(6) > 3),
        (_bent, _drawn(1, 5, 3, seed=2), _drawn(1, 5, 3, seed=3), torch.tensor([0.5]), torch.arange(5) % 2 == 0),
    ]


def _squared_error(velocity: Callable, clean: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Squared error of the velocity, of every number: Lipman et al. 2023 (arXiv 2210.02747), equation 14."""
    level = sigma[:, None, None]
    z = (1 - level) * clean + level * noise
    return (velocity(z, sigma) - (noise - clean)) ** 2


@exercise(cases=_loss_cases)
def flow_loss(velocity, clean, noise, sigma, targets):
    return _squared_error(velocity, clean, noise, sigma)[:, targets].mean()


@flow_loss.mistake("The velocity points from the image to the noise, `noise - clean`; yours points the other way.")
def towards_the_image(velocity, clean, noise, sigma, targets):
    level = sigma[:, None, None]
    z = (1 - level) * clean + level * noise
    return ((velocity(z, sigma) - (clean - noise)) ** 2)[:, targets].mean()


@flow_loss.mistake("All tokens count. Only those of the cell to be filled in should: index the error with `targets`.")
def all_tokens(velocity, clean, noise, sigma, targets):
    return _squared_error(velocity, clean, noise, sigma).mean()


@flow_loss.mistake("The noise level is the wrong way round: at sigma 1 there is only noise.")
def sigma_reversed(velocity, clean, noise, sigma, targets):
    level = sigma[:, None, None]
    z = level * clean + (1 - level) * noise
    return ((velocity(z, sigma) - (noise - clean)) ** 2)[:, targets].mean()


@flow_loss.mistake("You compare with the image. The model predicts the velocity, `noise - clean`.")
def compared_with_the_image(velocity, clean, noise, sigma, targets):
    level = sigma[:, None, None]
    z = (1 - level) * clean + level * noise
    return ((velocity(z, sigma) - clean) ** 2)[:, targets].mean()


@flow_loss.mistake("The model sees pure noise at every sigma. Give it `(1 - sigma) * clean + sigma * noise`.")
def always_pure_noise(velocity, clean, noise, sigma, targets):
    return ((velocity(noise, sigma) - (noise - clean)) ** 2)[:, targets].mean()


@flow_loss.mistake("That is the absolute error. Its best prediction is a median, not the mean: square it.")
def absolute_error(velocity, clean, noise, sigma, targets):
    return _squared_error(velocity, clean, noise, sigma).sqrt()[:, targets].mean()


@flow_loss.mistake("That is the sum, which grows with the grid and the batch. Take the mean.")
def summed(velocity, clean, noise, sigma, targets):
    return _squared_error(velocity, clean, noise, sigma)[:, targets].sum()


# A layer with an adapter ------------------------------------------------------------------------------------


def _measure_layer(attempt: Callable, inputs: int, outputs: int, rank: int, scale: float) -> Any:
    """Make a layer of the reader's class and describe it by numbers.

    Returns:
        the output of the new layer, the shapes of what is trained, whether `up` gets a gradient, and the output once
        both matrices have values; `...` if the class is a stub.
    """
    with torch.random.fork_rng():
        torch.manual_seed(inputs)
        layer = torch.nn.Linear(inputs, outputs)
        made = attempt(layer, rank)
    x = _drawn(3, inputs, seed=outputs)
    start = ... if made is ... else made(x)
    if start is ...:
        return ...
    trained = sorted(list(p.shape) for p in made.parameters() if p.requires_grad)
    (gradient,) = torch.autograd.grad(made(x).square().sum(), made.up)
    with torch.no_grad():
        made.down.copy_(_drawn(rank, inputs, seed=1))
        made.up.copy_(_drawn(outputs, rank, seed=2))
        made.scale = scale
        return [start.detach(), trained, bool(gradient.any()), made(x)]


@exercise(cases=[(6, 4, 2, 1.0), (5, 5, 3, 0.5)], probe=_measure_layer)
class LoRALinear(torch.nn.Module):
    """A linear layer with an adapter: LoRA, Hu et al. 2021 (arXiv 2106.09685), section 4.1."""

    def __init__(self, layer: torch.nn.Linear, rank: int):
        super().__init__()
        self.layer, self.scale = layer.requires_grad_(False), 1.0
        self.down = torch.nn.Parameter(torch.randn(rank, layer.in_features) / layer.in_features**0.5)
        self.up = torch.nn.Parameter(torch.zeros(layer.out_features, rank))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) + self.scale * (x @ self.down.T @ self.up.T)


class _Layer(LoRALinear.answer):  # pyright: ignore[reportGeneralTypeIssues]  # the decorator hides the class
    """What the mistakes begin with."""


@LoRALinear.mistake("At the start your layer's output differs from the old one's. Fill `up` with zeros.")
class BothRandom(_Layer):
    def __init__(self, layer, rank):
        super().__init__(layer, rank)
        self.up = torch.nn.Parameter(self.up + 1)


@LoRALinear.mistake("Both matrices are zero, so neither ever gets a gradient. Only `up` starts at zero.")
class BothZero(_Layer):
    def __init__(self, layer, rank):
        super().__init__(layer, rank)
        self.down = torch.nn.Parameter(0 * self.down)


@LoRALinear.mistake("The old layer is trained as well. Freeze it: `layer.requires_grad_(False)`.")
class NotFrozen(_Layer):
    def __init__(self, layer, rank):
        super().__init__(layer, rank)
        layer.requires_grad_(True)


@LoRALinear.mistake("Only the adapter is left. Add its output to that of the old layer, `self.layer(x)`.")
class AdapterAlone(_Layer):
    def forward(self, x):
        return self.scale * (x @ self.down.T @ self.up.T)


@LoRALinear.mistake("`scale` has no effect. Multiply the adapter's output by it: at 0 the adapter is off.")
class WithoutScale(_Layer):
    def forward(self, x):
        return self.layer(x) + x @ self.down.T @ self.up.T


@LoRALinear.mistake("`scale` acts on the old layer as well. Multiply only the adapter's output.")
class AllScaled(_Layer):
    def forward(self, x):
        return self.scale * (self.layer(x) + x @ self.down.T @ self.up.T)


# Merging ----------------------------------------------------------------------------------------------------


@exercise(
    cases=[
        (_drawn(5, 4, seed=0), _drawn(2, 4, seed=1), _drawn(5, 2, seed=2), 0.5),
        (_drawn(3, 3, seed=3), _drawn(1, 3, seed=4), _drawn(3, 1, seed=5), 1.0),
    ]
)
def merge(weight, down, up, scale):
    return weight + scale * up @ down


@merge.mistake("The factors are exchanged. `down` acts first, so it stands on the right: `up @ down`.")
def exchanged(weight, down, up, scale):
    return weight + scale * down.T @ up.T


@merge.mistake("`scale` is missing. A merged layer keeps the strength that its adapter had.")
def merged_without_scale(weight, down, up, scale):
    return weight + up @ down


@merge.mistake("The old weights are gone. Add the product to them.")
def product_alone(weight, down, up, scale):
    return scale * up @ down


@merge.mistake("That takes the adapter out of merged weights. Here it goes in: add.")
def subtracted(weight, down, up, scale):
    return weight - scale * up @ down


# A folder of pairs ------------------------------------------------------------------------------------------


def _card(shade: int, mark: str) -> Image.Image:
    image = Image.new("RGB", (16, 16), (shade, 255 - shade, 120))
    ImageDraw.Draw(image).rectangle((3, 3, 3 + shade % 9, 9), fill=mark)
    return image


def _measure_pairs(attempt: Callable, before: Mapping[str, int], after: Mapping[str, int]) -> Any:
    """Write a folder of pairs, let the reader's function read it, and load the images."""
    with tempfile.TemporaryDirectory() as folder:
        for kind, files, mark in (("before", before, "white"), ("after", after, "black")):
            (Path(folder) / kind).mkdir()
            for name, shade in files.items():
                _card(shade, mark).save(Path(folder) / kind / name)
        pairs = attempt(Path(folder))
        if pairs is None or pairs is ...:
            return pairs
        return [tuple(image and image.convert("RGB") for image in pair) for pair in pairs]


def _open(path: Path) -> Image.Image | None:
    return Image.open(path).convert("RGB") if path.exists() else None


@exercise(
    cases=[
        ({"boat.png": 10, "ant.png": 60, "cow.png": 110}, {"cow.png": 115, "boat.png": 15, "dog.png": 165}),
        ({"b.png": 200, "a.png": 30}, {"a.png": 35, "b.png": 205}),
    ],
    probe=_measure_pairs,
)
def read_pairs(folder):
    names = sorted(path.name for path in (folder / "before").iterdir())
    pairs = [(_open(folder / "before" / name), _open(folder / "after" / name)) for name in names]
    return [pair for pair in pairs if pair[1]]


@read_pairs.mistake(
    "The lists are joined by position. If one file is missing, all later pairs are wrong: join by name."
)
def joined_by_position(folder):
    before, after = (sorted((folder / kind).iterdir()) for kind in ("before", "after"))
    return [(_open(one), _open(other)) for one, other in zip(before, after, strict=False)]


@read_pairs.mistake("The images of a pair are exchanged: `before` comes first.")
def after_first(folder):
    return [(after, before) for before, after in read_pairs.answer(folder)]


@read_pairs.mistake("An image without a partner cannot be learned from. Leave it out.")
def with_single_images(folder):
    names = sorted(path.name for path in (folder / "before").iterdir())
    return [(_open(folder / "before" / name), _open(folder / "after" / name)) for name in names]


@read_pairs.mistake("Both images come from `before`: the model would learn to copy.")
def before_twice(folder):
    return [(before, before) for before, _ in read_pairs.answer(folder)]


@read_pairs.mistake("The last pair is missing.")
def last_missing(folder):
    return read_pairs.answer(folder)[:-1]


# Stock diffusers --------------------------------------------------------------------------------------------


def stock_pipeline() -> Any:
    """diffusers' own `VisualClozePipeline` with the bundled checkpoint; progress bars and advice are muted.

    Its `load_lora_weights` needs `peft`: python -m pip install peft.
    """
    import diffusers
    import transformers
    from diffusers.pipelines.visualcloze.pipeline_visualcloze_combined import VisualClozePipeline

    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
        library.utils.logging.set_verbosity_error()
    return VisualClozePipeline.from_pretrained(place_of("tiny"), dtype=torch.float32)
