"""Photographs for grids and training: in the public domain or free to use, each with its source and licence.

None is part of this package: scikit-image and scikit-learn bring them, and their files are read where pip put them,
so neither library is imported. The stereo pair of a motorcycle that scikit-image also brings, with true disparity, is
left out: scikit-image states its origin (Middlebury 2014) but no licence.

    photos.names()                 all, or those of one split
    photos.load("coffee")          a Pillow image
    photos.PHOTOS["coffee"]        title, source, licence, split
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

from visualcloze_nb.data.images import to_rgb
from visualcloze_nb.errors import ImageError, shorten, shown


@dataclass(frozen=True)
class Photo:
    """Where a photograph is found and what is known of it.

    Args:
        file: path inside the package.
        package: the module that brings it.
        title, source, licence: as the package states them.
        held_out: no model of this project was trained on it.
    """

    file: str
    package: str
    title: str
    source: str
    licence: str
    held_out: bool = False


def _skimage(file: str, title: str, source: str, licence: str, held_out: bool = False) -> Photo:
    return Photo(f"data/{file}", "skimage", title, source, licence, held_out)


def _sklearn(file: str, title: str, source: str, held_out: bool = False) -> Photo:
    return Photo(f"datasets/images/{file}", "sklearn", title, source, "CC BY 2.0", held_out)


PHOTOS = {
    "astronaut": _skimage("astronaut.png", "Eileen Collins, astronaut", "NASA", "public domain"),
    "brick": _skimage("brick.png", "A brick wall", "CC0 Textures", "CC0"),
    "camera": _skimage("camera.png", "A photographer", "Lav Varshney", "CC0"),
    "cat": _skimage("chelsea.png", "Chelsea, a cat", "Stefan van der Walt", "CC0", held_out=True),
    "coffee": _skimage("coffee.png", "A cup of coffee", "Rachel Michetti", "public domain", held_out=True),
    "coins": _skimage("coins.png", "Greek coins from Pompeii", "Brooklyn Museum", "no known restrictions"),
    "grass": _skimage("grass.png", "Grass", "linolafett, DeviantArt", "CC0"),
    "gravel": _skimage("gravel.png", "Gravel", "CC0 Textures", "CC0"),
    "hubble": _skimage("hubble_deep_field.jpg", "Hubble Deep Field", "NASA", "public domain"),
    "tissue": _skimage(
        "ihc.png", "Stained colonic glands", "Center for Microscopy, Queensland", "no known restrictions"
    ),
    "moon": _skimage("moon.png", "The surface of the moon", "NASA", "public domain"),
    "retina": _skimage("retina.jpg", "A human retina", "Mikael Häggström", "CC0"),
    "rocket": _skimage("rocket.jpg", "Launch of a Falcon 9", "SpaceX", "CC0"),
    "temple": _sklearn("china.jpg", "The Summer Palace, Beijing", "Karen Lo"),
    "flower": _sklearn("flower.jpg", "A dahlia", "dan rickard"),
}


def names(held_out: bool | None = None) -> list[str]:
    """Names of all photographs, or of those that models were trained on (False) or were not (True)."""
    return [name for name, photo in PHOTOS.items() if held_out is None or photo.held_out == held_out]


def load(name: str) -> Image.Image:
    """A photograph in RGB, at its full size (300 to 1411 pixels a side).

    Raises:
        ImageError: no such photograph, or the package that brings it is not installed.
    """
    if not isinstance(name, str) or name not in PHOTOS:
        raise ImageError(f"there is no photograph {shown(name, 40)}; there are {shorten(', '.join(PHOTOS), 200)}")
    photo = PHOTOS[name]
    spec = find_spec(photo.package)
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    if not (folder / photo.file).is_file():
        raise ImageError(
            f"the photograph {name!r} comes with scikit-image and scikit-learn, which are not installed: "
            "python -m pip install 'visualcloze_nb[photos]'"
        )
    return to_rgb(folder / photo.file, where=f"photograph {name!r}")
