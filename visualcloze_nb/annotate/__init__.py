"""From a photograph to its condition images: edges, pose, masks, depth, degradations.

    annotate("me.jpg", "canny")                 a Pillow image
    annotate(photo, "gaussian-noise", seed=3)   the kinds that draw random numbers take a seed
    kinds()                                     all kinds; which work on this machine, and why the others do not

Every module of this room that has a dictionary `ANNOTATORS` contributes the kinds in it.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

import numpy as np
from PIL import Image

from visualcloze_nb.annotate.annotator import Annotator, Availability
from visualcloze_nb.data import checks
from visualcloze_nb.data.images import ImageSource, to_rgb
from visualcloze_nb.errors import ImageError, UsageError, shorten

MAX_SIDE = 32_766  # OpenCV's limit for warping


def annotate(photo: ImageSource, kind: str, *, seed: int = 0) -> Image.Image:
    """Make the condition image of one kind from a photograph.

    Args:
        photo: a path, bytes, file object, PIL image or array, as a cell of a `Grid`.
        kind: one of `kinds()`.
        seed: for the kinds that draw random numbers, at least 0: same photograph, kind and seed, same result.

    Returns:
        an RGB image of the photograph's size (upright); a quarter turn swaps width and height.

    Raises:
        ImageError: the photograph cannot be read, or has a side of over 32,766 pixels.
        UsageError: there is no such kind, it does not work here (the message says what helps), or a bad seed.
        ModelError: the kind's weights cannot be downloaded.
    """
    annotator = find(kind)
    number = checks.seed(seed)
    annotator.require(kind)
    image = to_rgb(photo, where="photo")
    if max(image.size) > MAX_SIDE:
        raise ImageError(f"photo is {image.width} x {image.height}: annotators take up to {MAX_SIDE} pixels a side")
    options = {"seed": number} if annotator.seeded else {}
    return Image.fromarray(np.ascontiguousarray(annotator.function(np.asarray(image), **options))).convert("RGB")


def kinds() -> dict[str, Availability]:
    """Return every kind, and for each whether it works here; if not, why and the command that helps."""
    return {kind: annotator.availability() for kind, annotator in annotators().items()}


def find(kind: str) -> Annotator:
    """Return the annotator of a kind, or raise a `UsageError` that names similar kinds."""
    known = annotators()
    if isinstance(kind, str) and kind in known:
        return known[kind]
    near = get_close_matches(str(kind).lower()[:60], known, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "annotate.kinds() lists them"
    raise UsageError(f"there is no kind {shorten(repr(kind))} to annotate; {hint}")


@cache
def annotators() -> dict[str, Annotator]:
    """Collect the annotators of all modules of this room, by kind."""
    found: dict[str, Annotator] = {}
    for module in iter_modules(__path__, f"{__name__}."):
        found |= getattr(import_module(module.name), "ANNOTATORS", {})
    return found
