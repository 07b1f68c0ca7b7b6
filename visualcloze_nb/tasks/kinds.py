"""Kinds of image: what a column of a grid holds, with wordings for prompts.

Which kinds there are, what each shows and the authors' names are facts from their repository (lzyhha/VisualCloze,
`data/`) and the card of Graph200K; all wordings are ours. The released models were trained on wordings drawn at random,
so no single one matters.
"""

from __future__ import annotations

from dataclasses import dataclass

from visualcloze_nb.tasks.degradations import DEGRADATIONS


@dataclass(frozen=True)
class Kind:
    """One kind of image.

    Attributes:
        name: ours, as `annotate` takes it.
        family: photograph, condition, degradation, subject, style, edit or person.
        wordings: for task prompts; the first is the default.
        authors: the authors' name; "" where they give none.
        bring: what the image is, where no annotator can make it from the photograph alone; else "".
    """

    name: str
    family: str
    wordings: tuple[str, ...]
    authors: str = ""
    bring: str = ""


_PHOTOGRAPH = Kind(
    "image",
    "photograph",
    ("a sharp photograph", "a detailed photograph", "a clean and well-exposed photograph", "the finished image"),
    "target",
)

# name, the authors' name, wordings
_CONDITIONS = (
    ("canny", "canny", ("a Canny edge map", "thin white Canny edges on black", "all contours in thin lines")),
    ("depth", "depth_anything_v2", ("a depth map", "a depth map with near parts bright", "depth as shades of grey")),
    ("hed", "hed", ("a soft HED edge map", "soft edges from a HED network", "outlines in soft shades of grey")),
    ("normal", "midas_depth_normal", ("a surface normal map", "normals as colours", "the slope of surfaces in colour")),
    ("mlsd", "mlsd", ("straight line segments from M-LSD", "the straight lines of the scene", "white line segments")),
    ("openpose", "openpose", ("an OpenPose skeleton", "a pose as coloured limbs on black", "a coloured stick figure")),
    ("sam2", "sam2_mask", ("SAM 2 masks in many colours", "all segments SAM 2 finds", "a coloured map of segments")),
    ("uniformer", "uniformer", ("a UniFormer segmentation", "a colour for each class", "semantic regions in colour")),
    ("mask", "qwen_mask", ("masks of the named objects", "the main objects as flat colours", "coloured object masks")),
    ("foreground", "frontground", ("the subject cut out", "the foreground alone", "the subject on a plain ground")),
    ("background", "background", ("the scene without its subject", "the background alone", "a scene with a gap")),
)

# name, family, the authors' name, what it is, wordings
_BROUGHT = (
    (
        "boxes",
        "condition",
        "qwen_bbox",
        "rectangles around the main objects, on a plain ground",
        ("boxes around the objects", "a rectangle for each object", "a plain ground with boxes"),
    ),
    (
        "reference",
        "subject",
        "reference",
        "another photograph of the same subject",
        ("the same subject elsewhere", "another photograph of the subject", "the subject to be shown"),
    ),
    (
        "style-reference",
        "style",
        "style_source",
        "any image in the wanted style",
        ("a work of art in the wanted style", "a sample of the style", "an image whose style is taken over"),
    ),
    (
        "styled",
        "style",
        "InstantStyle",
        "the image redrawn in the style, its content kept",
        ("the image redrawn in that style", "the same scene painted in the style", "a stylised version"),
    ),
    (
        "restyled",
        "style",
        "ReduxStyle",
        "the image remade in the style, its content varied",
        ("a new image in that style", "the scene remade freely in the style", "a loose variation in the style"),
    ),
    (
        "background-changed",
        "edit",
        "DepthEdit",
        "the same subject before another background",
        ("the subject before another background", "the subject in another scene", "an exchanged background"),
    ),
    (
        "subject-changed",
        "edit",
        "FrontEdit",
        "the same background with another subject",
        ("the scene with another subject", "an exchanged subject", "the same surroundings with another subject"),
    ),
    (
        "object-added",
        "edit",
        "",
        "the photograph with one more object",
        ("the photograph with an object added", "the scene with something new in it", "the scene plus one object"),
    ),
    (
        "object-removed",
        "edit",
        "",
        "the photograph without one of its objects",
        ("the photograph with an object removed", "the scene with something gone", "the scene minus one object"),
    ),
    (
        "attribute-changed",
        "edit",
        "",
        "the photograph with one property of its subject changed",
        ("the photograph with one property changed", "the subject in another colour", "the subject slightly altered"),
    ),
    (
        "environment-changed",
        "edit",
        "",
        "the photograph in another season, weather or time of day",
        ("the scene in another season", "the scene in other weather", "the same place at another time"),
    ),
    (
        "relit",
        "edit",
        "",
        "the subject under another light, before a new background",
        ("the subject in another light", "the photograph relit", "the same person lit from elsewhere"),
    ),
    (
        "doodle",
        "edit",
        "",
        "the photograph with drawings over it",
        ("the photograph with hand-drawn doodles", "the scene decorated with drawings", "a photograph drawn upon"),
    ),
    (
        "person",
        "person",
        "",
        "a photograph of a person",
        ("a person", "a person facing the camera", "the one who tries on the garment"),
    ),
    (
        "garment",
        "person",
        "",
        "a photograph of a garment alone",
        ("a garment", "a piece of clothing laid flat", "the garment to be worn"),
    ),
    (
        "dressed",
        "person",
        "",
        "the person wearing the garment",
        ("the person wearing that garment", "the same person dressed in it", "the garment tried on"),
    ),
    (
        "face-left",
        "person",
        "",
        "a face seen from its left",
        ("a face from the left", "the left profile of a face", "a head that shows its left side"),
    ),
    (
        "face-right",
        "person",
        "",
        "a face seen from its right",
        ("a face from the right", "the right profile of a face", "a head that shows its right side"),
    ),
    (
        "face-front",
        "person",
        "",
        "the same face from the front",
        ("the same face from the front", "a frontal portrait of that person", "the face turned to the lens"),
    ),
)

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        _PHOTOGRAPH,
        *(Kind(name, "condition", wordings, authors) for name, authors, wordings in _CONDITIONS),
        *(Kind(name, "degradation", wordings, authors) for name, (authors, wordings) in DEGRADATIONS.items()),
        *(Kind(name, family, wordings, authors, bring) for name, family, authors, bring, wordings in _BROUGHT),
    )
}
