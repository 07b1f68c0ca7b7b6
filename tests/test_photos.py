"""The photographs: where they come from, which are held out, and what is said where they are not installed."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

from visualcloze_nb import photos
from visualcloze_nb.errors import ImageError

installed = pytest.mark.skipif(
    not all(find_spec(photo.package) for photo in photos.PHOTOS.values()), reason="the extra 'photos' is not installed"
)


def test_splits_share_no_photograph():
    trained, held_out = set(photos.names(held_out=False)), set(photos.names(held_out=True))
    assert trained and held_out and not trained & held_out
    assert trained | held_out == set(photos.names()) == set(photos.PHOTOS)
    files = {(photo.package, photo.file) for photo in photos.PHOTOS.values()}
    assert len(files) == len(photos.PHOTOS)  # else one file could stand in both splits


def test_every_photograph_has_a_source_and_a_free_licence():
    for name, photo in photos.PHOTOS.items():
        assert photo.title and photo.source, name
        assert photo.licence in ("public domain", "CC0", "CC BY 2.0", "no known restrictions"), name


@installed
def test_photographs_are_read_in_colour_without_the_libraries_that_bring_them():
    for name in photos.names():
        image = photos.load(name)
        assert image.mode == "RGB" and min(image.size) >= 300 and max(image.size) <= 1411, name
    code = "import sys; from visualcloze_nb import photos; photos.load('cat'); photos.load('temple'); "
    code += "sys.exit(bool({'skimage', 'sklearn', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_missing_photograph_is_named(monkeypatch):
    with pytest.raises(ImageError, match="no photograph 'dog'; there are astronaut, "):
        photos.load("dog")
    monkeypatch.setattr(photos, "find_spec", lambda package: None)
    with pytest.raises(ImageError, match=r"'cat' comes with .* pip install 'visualcloze_nb\[photos\]'"):
        photos.load("cat")
