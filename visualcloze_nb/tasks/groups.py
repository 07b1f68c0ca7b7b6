"""Groups of tasks: the paths of each, how the authors run it, and what its texts say besides the kinds.

A path is a row of kinds, its conditions first and its target last. The 12 groups of Graph200K and their paths are in
the authors' `data/prefix_instruction.py` (lzyhha/VisualCloze, commit fadd3b6); the other families are in their demo
(`examples/gradio_tasks*.py`). The sentences are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from visualcloze_nb.settings import STEPS
from visualcloze_nb.tasks.degradations import DEGRADATIONS

Path = tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """Tasks of one family.

    Attributes:
        name: of the group.
        paths: kinds of the columns of each task, conditions first.
        authors: number of paths that the authors list for it.
        noise: level that stage 2 begins at, 1 less the demo's slider; 0 for no stage 2. `strength_of` converts it.
        trained_on: "Graph200K"; "other data" for a family that the demo does not count as unseen, where the authors
            say only that the released models also saw data of their own; "" for an unseen one.
        targets: number of columns that are filled, the last ones.
        steps: of stage 1.
        sentence: what the task prompt says after the kinds.
        lead: what precedes the content prompt.
        instructed: an instruction for the query goes into the task prompt.
        ideas: contents or instructions that the authors' demo shows for it, in our words.
    """

    name: str
    paths: tuple[Path, ...]
    authors: int
    noise: float = 0.6
    trained_on: Literal["Graph200K", "other data", ""] = "Graph200K"
    targets: int = 1
    steps: int = STEPS
    sentence: str = ""
    lead: str = ""
    instructed: bool = False
    ideas: tuple[str, ...] = ()


_MAPS = ("canny", "depth", "hed", "normal", "mlsd", "openpose", "sam2", "uniformer")  # those that are also predicted
_MASKS = ("mask", "boxes")
_LAYERS = ("foreground", "background")
_STYLES = (("style-reference", "styled"), ("style-reference", "restyled"))  # the second column is the target
_EDITS = ("background-changed", "subject-changed")  # from the edit back to the photograph, so the target is real


def _to_image(kinds: tuple[str, ...], *before: str) -> tuple[Path, ...]:
    return tuple((*before, kind, "image") for kind in kinds)


_EDIT = {"sentence": "Each row edits an image as an instruction says.", "instructed": True}
_LIGHT = "The light of each row changes, and the background with it."

GROUPS: dict[str, Group] = {
    group.name: group
    for group in (
        Group("conditional generation", _to_image((*_MAPS, *_MASKS, *_LAYERS)), 12),
        Group(
            "conditional generation with reference",
            _to_image((*_MAPS, *_MASKS, "background"), "reference"),
            11,
            noise=0.4,
        ),
        Group(
            "conditional generation with style",
            tuple((kind, *style) for style in _STYLES for kind in (*_MAPS, *_MASKS)),
            20,
        ),
        Group("image generation with reference", (("reference", "image"),), 1, noise=0.4),
        Group("subject extraction", (("image", "reference"),), 1),
        Group(
            "style transfer",
            (*(("image", *style) for style in _STYLES), ("reference", *_STYLES[0])),
            3,
        ),
        Group(
            "style transfer with condition",
            tuple(("reference", kind, *_STYLES[0]) for kind in (*_MAPS, *_MASKS)),
            10,
            noise=0.4,
        ),
        Group("image editing", _to_image(_EDITS), 2),
        Group("image editing with reference", _to_image(_EDITS, "reference"), 2),
        Group("dense prediction", tuple(("image", kind) for kind in _MAPS), 8, noise=0.3),
        Group("restoration", _to_image(tuple(DEGRADATIONS)), 32),
        Group("restoration with reference", _to_image(tuple(DEGRADATIONS), "reference"), 32, noise=0.4),
        Group("virtual try-on", (("person", "garment", "dressed"),), 1, trained_on="other data"),
        Group(
            "relighting",
            (("image", "relit"),),
            1,
            noise=0.4,
            trained_on="other data",
            steps=50,
            sentence=_LIGHT,
            lead="The light falls in from the left:",
            ideas=(
                "a sunset over the sea",
                "hard light and deep shadow",
                "glowing colours of a cyberpunk city",
                "golden hour",
                "the shadow of a window frame",
                "soft light in a studio",
                "gothic gloom",
                "warm neon, as in a film by Wong Kar-wai",
                "a lamp in a cosy bedroom",
                "a warm evening at home",
                "daylight",
                "magical glow",
                "sunshine through a window",
                "neon signs in a city",
            ),
        ),
        Group(
            "doodle",
            (("image", "doodle"),),
            1,
            trained_on="other data",
            lead="What is drawn over the last photograph:",
            ideas=("a friendly furry monster", "flowers and wavy shapes", "a moon and stars", "coloured outlines"),
        ),
        Group("object added", (("image", "object-added"),), 1, trained_on="other data", **_EDIT),
        Group("object removed", (("image", "object-removed"),), 1, trained_on="other data", **_EDIT),
        Group("frontal face", (("face-left", "face-right", "face-front"),), 1, trained_on=""),
        Group("several maps at once", (("image", "depth", "normal", "hed"),), 1, noise=0, trained_on="", targets=3),
        Group(
            "image and relighting from depth",
            (("depth", "image", "relit"),),
            1,
            trained_on="",
            targets=2,
            sentence=_LIGHT,
            lead="The light falls in from the left:",
        ),
        Group("pose and edges to image", (("openpose", "hed", "image"),), 1, trained_on=""),
        Group(
            "attribute changed",
            (("image", "attribute-changed"),),
            1,
            trained_on="",
            **_EDIT,
            ideas=("make the sunglasses green",),
        ),
        Group(
            "environment changed",
            (("image", "environment-changed"),),
            1,
            trained_on="",
            **_EDIT,
            ideas=("turn the season into a snowy winter",),
        ),
    )
}
NOISE = {("openpose", "image"): 0.7, ("reference", "style-reference", "styled"): 0.4}  # unlike their group's
