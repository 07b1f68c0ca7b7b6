"""Lesson 09: the exercises, from counting tasks to a kind of image of one's own."""

from __future__ import annotations

from itertools import combinations, count, product

import torch
from PIL import Image, ImageOps

from visualcloze_nb.lessons.exercise import exercise
from visualcloze_nb.sampling.latents import pixels
from visualcloze_nb.toyworld import draw, make_scene, to_image
from visualcloze_nb.toyworld.graph import changed

# How many tasks? --------------------------------------------------------------------------------------------


@exercise(cases=[(2,), (3,), (4,), (7,)])
def count_tasks(n):
    return 3**n - 2 * 2**n + 1


@count_tasks.mistake("That counts one condition and one target. A task may have several of both.")
def one_to_one(n):
    return n * (n - 1)


@count_tasks.mistake("That counts tasks of one target. Several kinds may be targets at once.")
def one_target(n):
    return n * (2 ** (n - 1) - 1)


@count_tasks.mistake("Choices without any target, and choices without any condition, are no tasks: take them away.")
def every_choice(n):
    return 3**n


@count_tasks.mistake("The choice that leaves everything out has neither condition nor target: you took it away twice.")
def nothing_taken_twice(n):
    return 3**n - 2 * 2**n


# Which pairs are trained? -----------------------------------------------------------------------------------

_ROWS = [("image", "edge"), ("edge", "image"), ("image", "depth", "normals"), ("mask", "edge")]
_OTHERS = [("subject", "depth", "image"), ("style", "styled")]


@exercise(cases=[(_ROWS,), (_OTHERS,)])
def pairs_of(rows):
    return {frozenset(pair) for row in rows for pair in combinations(row, 2)}


@pairs_of.mistake("Only neighbouring columns are joined. Any two kinds of a row are seen together.")
def neighbouring_columns(rows):
    return {frozenset(pair) for row in rows for pair in zip(row, row[1:], strict=False)}


@pairs_of.mistake("Only the first and the last kind of a row are joined. Any two of them are seen together.")
def both_ends(rows):
    return {frozenset((row[0], row[-1])) for row in rows}


@pairs_of.mistake("A pair has no direction, since any cell may be the blank one: use frozenset((one, other)).")
def with_direction(rows):
    return {pair for row in rows for pair in combinations(row, 2)}


@pairs_of.mistake("A kind is not joined with itself: `combinations`, not `product`.")
def with_itself(rows):
    return {frozenset(pair) for row in rows for pair in product(row, repeat=2)}


# Which pairs are two hops apart? ----------------------------------------------------------------------------


def _graph(*pairs: str) -> set[frozenset[str]]:
    return {frozenset(pair.split()) for pair in pairs}


_HUB = _graph("image edge", "image depth", "image mask", "mask edge")
_CHAIN = _graph("noisy image", "image depth", "depth normals", "normals mask", "style styled")


@exercise(cases=[(_HUB,), (_CHAIN,)])
def two_hops(pairs):
    found = {one ^ other for one, other in combinations(pairs, 2) if len(one & other) == 1}
    return found - pairs


@two_hops.mistake("Pairs that are trained themselves are one hop apart: leave them out.")
def with_one_hop(pairs):
    return {one ^ other for one, other in combinations(pairs, 2) if len(one & other) == 1}


@two_hops.mistake("That is every pair that is not trained. Many have no kind in between that is trained with both.")
def not_trained(pairs):
    kinds = sorted(set().union(*pairs))
    return {frozenset(pair) for pair in combinations(kinds, 2)} - pairs


@two_hops.mistake("Your paths may have more than two hops: a pair needs one kind that is trained with both.")
def any_number_of_hops(pairs):
    reached = set(pairs)
    while more := two_hops.answer(reached) - reached:
        reached |= more
    return reached - pairs


@two_hops.mistake("From a kind to its neighbour and back is no task: a pair has two different kinds.")
def there_and_back(pairs):
    return two_hops.answer(pairs) | {frozenset((kind,)) for pair in pairs for kind in pair}


# What does a new kind open? ---------------------------------------------------------------------------------


@exercise(cases=[(["image", "edge", "depth"], "tiles"), (["mask"], "sepia")])
def opened(kinds, new):
    return {f"{new} > {kind}" for kind in kinds} | {f"{kind} > {new}" for kind in kinds}


@opened.mistake("The new kind can also be the condition.")
def as_target(kinds, new):
    return {f"{kind} > {new}" for kind in kinds}


@opened.mistake("The new kind can also be the target.")
def as_condition(kinds, new):
    return {f"{new} > {kind}" for kind in kinds}


@opened.mistake("Tasks between the old kinds were there before: only those with the new kind are opened.")
def all_tasks(kinds, new):
    return {f"{one} > {other}" for one, other in product([*kinds, new], repeat=2) if one != other}


@opened.mistake("A kind to itself is no task.")
def to_itself(kinds, new):
    return opened.answer(kinds, new) | {f"{new} > {new}"}


# A kind of one's own ----------------------------------------------------------------------------------------

KNOWN = ("grey", "negative", "flipped", "turn 2", "dark", "faded", "posterised", "blurred", "pixelated", "contours")
NEAR = 3  # percent of RMSE: two kinds that are nearer to each other are one
NOT_AN_IMAGE = "Return a Pillow image: `Image.fromarray(values)` makes one of an array."
OTHER_SIZE = "All cells of a row have one size: return an image of the size that you were given."
DRAWN_AT_RANDOM = (
    "Two calls give different images. Then no example can show what belongs in the blank: leave random numbers out."
)
SAME_FOR_ALL = "Your image is the same for every scene: then it tells nothing of the scene, and examples give it away."
UNCHANGED = "That is the image itself. Change it."


def _percent(one: Image.Image, other: Image.Image) -> float:
    return 50 * float((pixels(one) - pixels(other)).square().mean().sqrt())


def why_not(images: object, given: list[Image.Image]) -> str:
    """Why a function makes no new kind of image, or "" if it does.

    Args:
        images: for each given image, what two calls of the function returned.
        given: images of the toy world.
    """
    firsts, seconds = zip(*images, strict=True)  # type: ignore[call-overload]
    if not all(isinstance(image, Image.Image) for image in (*firsts, *seconds)):
        return NOT_AN_IMAGE
    firsts, seconds = ([image.convert("RGB") for image in half] for half in (firsts, seconds))
    if any(one.size != other.size for one, other in zip(firsts, given, strict=True)):
        return OTHER_SIZE
    if any(one.tobytes() != other.tobytes() for one, other in zip(firsts, seconds, strict=True)):
        return DRAWN_AT_RANDOM
    if all(one.tobytes() == firsts[0].tobytes() for one in firsts):
        return SAME_FOR_ALL
    if all(_percent(one, other) < NEAR for one, other in zip(firsts, given, strict=True)):
        return UNCHANGED
    for kind in KNOWN:
        made = [to_image(changed(pixels(image) * 0.5 + 0.5, kind)[0]) for image in given]
        if all(_percent(one, other) < NEAR for one, other in zip(firsts, made, strict=True)):
            return f"The graph has this kind already: {kind}. Make one that it does not have."
    return ""


def _given() -> list[tuple]:
    return [([to_image(image) for image in draw("image", [make_scene(seed) for seed in (2, 5, 9)])],)]


def _twice(attempt, given):
    """What two calls return for each image; the dots of a stub as they are."""
    made = [(attempt(image.copy()), attempt(image.copy())) for image in given]
    return ... if made[0][0] is ... else made


@exercise(cases=_given, probe=_twice, accept=lambda yours, given: why_not(yours, given) or True)
def my_kind(image):
    return ImageOps.colorize(image.convert("L"), "#102060", "#ffd080")


@my_kind.mistake(UNCHANGED)
def unchanged(image):
    return image


@my_kind.mistake(NOT_AN_IMAGE)
def a_tensor(image):
    return 1 - pixels(image)[0]


@my_kind.mistake(OTHER_SIZE)
def smaller(image):
    return image.resize((image.width // 2, image.height // 2))


_calls = count()


@my_kind.mistake(DRAWN_AT_RANDOM)
def random_colour(image):
    values = pixels(image) * 0.5 + 0.5
    random = torch.Generator().manual_seed(next(_calls))
    return to_image(values[0] * torch.rand(3, 1, 1, generator=random))


@my_kind.mistake(SAME_FOR_ALL)
def a_card(image):
    return Image.new("RGB", image.size, "orange")


@my_kind.mistake("The graph has this kind already: grey. Make one that it does not have.")
def grey(image):
    return image.convert("L").convert("RGB")
