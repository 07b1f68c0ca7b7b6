"""Annotators that need no weights: edges and the 32 degradations, each held to what its name says."""

import io
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image, ImageDraw

from visualcloze_nb import annotate as room
from visualcloze_nb import photos
from visualcloze_nb.annotate import annotate, annotator, annotators, kinds
from visualcloze_nb.cli.main import main
from visualcloze_nb.errors import ImageError, UsageError

cv2 = pytest.importorskip("cv2", reason="the extra 'annotate' is not installed")
pytest.importorskip("skimage", reason="the extra 'photos' is not installed")

DEGRADATIONS = (
    "blur gaussian-blur defocus-blur sr-x2 sr-x4 pixelate mosaic oversharpen gaussian-noise poisson-noise "
    "salt-and-pepper compression quantisation jpeg contrast-up contrast-down brighten darken low-light saturation-up "
    "saturation-down grey colour-distortion inpainting rotate-90 rotate-180 rotate-270 barrel pincushion elastic rain "
    "frost"
).split()
KINDS = [*DEGRADATIONS, "canny", "mlsd"]
SIDE = 512


def array(image) -> np.ndarray:
    return np.asarray(image).astype(float)


def made(image, kind, seed=0) -> np.ndarray:
    return array(annotate(np.asarray(image, np.uint8), kind, seed=seed))


def flat(level=128, size=(SIDE, SIDE)) -> np.ndarray:
    return np.full((*size, 3), level, np.uint8)


def psnr(one, other) -> float:
    return 10 * np.log10(255**2 / max(((array(one) - array(other)) ** 2).mean(), 1e-9))


def detail(image) -> float:
    """Energy of high frequencies: the mean square of the Laplacian."""
    return float((cv2.Laplacian(array(image), cv2.CV_64F) ** 2).mean())


def energy_above(image, cycles, axis) -> float:
    """Energy of the luma's frequencies over `cycles` per pixel along one axis."""
    power = abs(np.fft.rfft(array(image.convert("L")), axis=axis)) ** 2
    return float(power.compress(np.fft.rfftfreq(image.size[1 - axis]) > cycles, axis).sum())


def chroma(image) -> float:
    return float(np.ptp(array(image), axis=2).mean())


@pytest.fixture(scope="module")
def astronaut():
    return photos.load("astronaut")


# -- All kinds --------------------------------------------------------------------------------------------------------


def test_there_are_32_degradations_and_all_kinds_without_weights_work_here():
    found = kinds()
    assert len(set(DEGRADATIONS)) == 32
    assert {kind for kind in KINDS if found[kind] == (True, "")} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_on_every_photograph(kind):
    for name in photos.names():
        photo = photos.load(name)
        start = time.perf_counter()
        image = annotate(photo, kind, seed=3)
        assert time.perf_counter() - start < 5, name
        turned = kind in ("rotate-90", "rotate-270")
        assert image.mode == "RGB" and image.size == (photo.size[::-1] if turned else photo.size), name
        assert photo == photos.load(name), "the photograph itself was changed"
        if kind in DEGRADATIONS and not (chroma(photo) == 0 and kind in ("saturation-up", "saturation-down", "grey")):
            assert turned or psnr(image, photo) < 45, name


@pytest.mark.parametrize("kind", KINDS)
def test_a_pure_function_of_image_and_seed(kind, astronaut):
    first, second, other = (annotate(astronaut, kind, seed=seed) for seed in (1, 1, 2))
    assert first == second
    if annotators()[kind].seeded and kind != "colour-distortion":  # that one has eleven outcomes
        assert first != other
    elif kind != "colour-distortion":
        assert first == other


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (2, 3), (9, 700), (30_000, 1)], ids=str)
def test_on_images_of_any_shape(kind, size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    found = annotate(image, kind, seed=1)
    assert found.size == (size if annotators()[kind].turns else size[::-1])


LOST = ["blur", "gaussian-blur", "defocus-blur", "sr-x2", "sr-x4", "pixelate", "oversharpen", "gaussian-noise"]
LOST += [
    "poisson-noise",
    "salt-and-pepper",
    "compression",
    "jpeg",
    "low-light",
    "elastic",
    "inpainting",
    "rain",
    "frost",
]


@pytest.mark.parametrize("kind", LOST)
def test_a_large_photograph_is_as_degraded_in_a_cell_as_a_small_one(kind, astronaut):
    large = astronaut.resize((1536, 1536), Image.Resampling.BICUBIC)
    cell = annotate(large, kind, seed=1).resize(astronaut.size, Image.Resampling.BOX)
    assert abs(psnr(cell, astronaut) - psnr(annotate(astronaut, kind, seed=1), astronaut)) < 3.5


def test_edges_of_a_large_photograph_are_as_thick_in_a_cell(astronaut):
    large = annotate(astronaut.resize((1536, 1536), Image.Resampling.BICUBIC), "canny")
    assert set(np.unique(large)) == {0, 255}
    cell = array(large.resize(astronaut.size, Image.Resampling.BOX)).mean()
    assert 0.6 < cell / array(annotate(astronaut, "canny")).mean() < 1.4


# -- Edges ------------------------------------------------------------------------------------------------------------


def test_canny_draws_the_outline_of_a_square():
    image = flat(30)
    image[100:300, 150:400] = 220
    edges = made(image, "canny")[..., 0]
    assert set(np.unique(edges)) == {0, 255}
    rows, columns = np.nonzero(edges)
    on_outline = np.minimum(abs(rows[:, None] - [100, 299]).min(1), abs(columns[:, None] - [150, 399]).min(1))
    assert on_outline.max() <= 1 and 850 < len(rows) < 950  # of a perimeter of 900


def test_straight_lines_are_found_and_curves_are_not():
    page = Image.new("RGB", (SIDE, SIDE), "white")
    ImageDraw.Draw(page).line([(50, 60), (450, 300)], "black", 3)
    found = made(page, "mlsd")[..., 0]
    y, x = np.nonzero(found > 127)
    distance = abs((y - 60) - (x - 50) * 240 / 400) * 400 / np.hypot(240, 400)
    assert distance.max() < 5 and np.ptp(x) > 380
    page = Image.new("RGB", (SIDE, SIDE), "white")
    ImageDraw.Draw(page).ellipse([(226, 226), (286, 286)], outline="black", width=2)
    assert made(page, "mlsd").max() == 0
    assert made(flat(), "mlsd").max() == made(flat(), "canny").max() == 0


# -- Detail: blur, resolution, noise, coding ---------------------------------------------------------------------------


def spread_of_a_dot(kind, seed=0):
    """Standard deviation of a dot's light along its longer and its shorter axis, and its flatness: mean over peak."""
    image = flat(0)
    image[253:258, 253:258] = 255
    light = made(image, kind, seed)[..., 0]
    y, x = np.nonzero(light)
    covariance = np.cov(np.vstack([x, y]), aweights=light[y, x])
    short, long = np.sqrt(np.linalg.eigvalsh(covariance))
    return long, short, light[light > 0].mean() / light.max()


def test_blurs_differ_in_shape():
    long, short, _ = spread_of_a_dot("blur")
    assert long > 3 * short and 5 < long < 9  # a line of 24: 24 / sqrt(12) = 6.9
    long, short, gaussian_flatness = spread_of_a_dot("gaussian-blur")
    assert long == pytest.approx(short, rel=0.05) and 3.5 < long < 5
    long, short, disc_flatness = spread_of_a_dot("defocus-blur")
    assert long == pytest.approx(short, rel=0.05) and 3 < long < 5  # a disc of 7: 7 / 2 = 3.5
    assert disc_flatness > 0.6 > 0.4 > gaussian_flatness
    directions = {round(spread_of_a_dot("blur", seed)[0] * 100) for seed in range(3)}
    assert len(directions) > 1


@pytest.mark.parametrize("kind", ["blur", "gaussian-blur", "defocus-blur", "sr-x2", "sr-x4", "compression"])
def test_detail_is_lost_and_the_rest_stays(kind):
    for name in ("astronaut", "temple", "coffee"):
        photo = photos.load(name)
        image = annotate(photo, kind)
        assert detail(image) < 0.5 * detail(photo)
        small = [array(one.resize((16, 16), Image.Resampling.BOX)) for one in (image, photo)]
        assert abs(small[0] - small[1]).mean() < 8


def test_super_resolution_keeps_what_the_smaller_image_holds(astronaut):
    for kind, factor in (("sr-x2", 2), ("sr-x4", 4)):
        nyquist = 0.5 / factor  # of the smaller image; with half the factor over 0.4 of the energy is left
        for axis in (0, 1):
            left = energy_above(annotate(astronaut, kind), nyquist, axis)
            assert left < 0.32 * energy_above(astronaut, nyquist, axis)
        size = (SIDE // factor, SIDE // factor)
        kept = psnr(annotate(astronaut, kind).resize(size, Image.Resampling.BOX), astronaut.resize(size, 4))
        assert kept > psnr(annotate(astronaut, kind), astronaut) + 6
    assert psnr(annotate(astronaut, "sr-x2"), astronaut) > psnr(annotate(astronaut, "sr-x4"), astronaut) + 2


def test_pixelate_gives_constant_blocks_of_the_mean(astronaut):
    image = made(astronaut, "pixelate")
    blocks = image[:504, :504].reshape(42, 12, 42, 12, 3)
    assert np.ptp(blocks, axis=(1, 3)).max() == 0
    assert abs(blocks.mean((1, 3)) - array(astronaut)[:504, :504].reshape(42, 12, 42, 12, 3).mean((1, 3))).max() <= 1


def test_mosaic_keeps_one_channel_of_a_pixel_and_green_twice_as_often(astronaut):
    photo, image = np.maximum(array(astronaut), 1), made(np.maximum(np.asarray(astronaut), 1), "mosaic")
    kept = image > 0
    assert (kept.sum(2) == 1).all() and (image[kept] == photo[kept]).all()
    assert kept.mean((0, 1)) == pytest.approx([0.25, 0.5, 0.25])
    assert kept[0, 0, 0] and kept[0, 2, 1] and kept[2, 0, 1] and kept[2, 2, 2]  # RGGB, two pixels to an element


def test_oversharpening_adds_detail_and_halos(astronaut):
    assert detail(annotate(astronaut, "oversharpen")) > 5 * detail(astronaut)
    step = flat(100)
    step[:, 256:] = 150
    row = made(step, "oversharpen")[256, :, 0]
    assert row.min() < 80 and row.max() > 170 and row[0] == 100 and row[-1] == 150


def test_gaussian_noise_has_the_same_strength_everywhere():
    for level in (120, 135):
        noise = made(flat(level), "gaussian-noise") - level
        assert noise.std() == pytest.approx(40, rel=0.03) and abs(noise.mean()) < 0.5
        assert (noise**4).mean() / noise.std() ** 4 == pytest.approx(3, abs=0.15)  # of a normal distribution
        assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.02


def test_poisson_noise_grows_with_the_square_root_of_the_light():
    noise = {level: made(flat(level), "poisson-noise") for level in (0, 30, 120)}
    assert noise[0].max() == 0
    for level in (30, 120):
        assert noise[level].std() == pytest.approx((level * 255 / 16) ** 0.5, rel=0.06)
        assert noise[level].mean() == pytest.approx(level, abs=1)


def test_salt_and_pepper_are_white_and_black_pixels_among_untouched_ones(astronaut):
    image = made(flat(), "salt-and-pepper")
    assert set(np.unique(image)) == {0, 128, 255}
    assert (image == 255).mean() == pytest.approx(0.04, abs=0.004)
    assert (image == 0).mean() == pytest.approx(0.04, abs=0.004)


def blockiness(image) -> float:
    """Mean step between columns at multiples of eight, over that between others."""
    steps = abs(np.diff(array(image).mean(2), axis=1)).mean(0)
    return steps[7::8].mean() / np.delete(steps, np.s_[7::8]).mean()


def test_jpeg_shows_blocks_and_compression_does_not(astronaut):
    assert blockiness(annotate(astronaut, "jpeg")) > 2.5
    assert 0.8 < blockiness(annotate(astronaut, "compression")) < 1.2
    for kind in ("jpeg", "compression"):
        assert 18 < psnr(annotate(astronaut, kind), astronaut) < 28


def test_quantisation_leaves_five_levels(astronaut):
    image = made(astronaut, "quantisation")
    assert set(np.unique(image)) == {0, 64, 128, 191, 255}
    assert abs(image - array(astronaut)).max() <= 32


# -- Tone and colour ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["astronaut", "rocket", "temple", "moon"])
def test_tone(name):
    photo = photos.load(name)
    image = {kind: array(annotate(photo, kind)) for kind in ("contrast-up", "contrast-down", "brighten", "darken")}
    base = array(photo)
    assert image["contrast-up"].std() > 1.3 * base.std()
    assert image["contrast-down"].std() == pytest.approx(0.35 * base.std(), rel=0.05)
    assert image["contrast-down"].mean() == pytest.approx(base.mean(), abs=1)
    assert image["brighten"].mean() > base.mean() + 20 and (image["brighten"] >= base).all()
    assert image["darken"].mean() < base.mean() - 15 and (image["darken"] <= base).all()
    dim = array(annotate(photo, "low-light"))
    assert dim.mean() < 0.45 * base.mean() and dim.mean() < image["darken"].mean()


def test_low_light_is_noisy_and_darkening_is_not():
    assert made(flat(), "darken").std() == 0
    assert made(flat(), "low-light").std() > 1


@pytest.mark.parametrize("name", ["astronaut", "cat", "flower"])
def test_saturation(name):
    photo = photos.load(name)
    assert chroma(annotate(photo, "saturation-up")) > 1.3 * chroma(photo)
    pale = annotate(photo, "saturation-down")
    assert chroma(pale) == pytest.approx(0.3 * chroma(photo), rel=0.1)
    without = array(annotate(photo, "grey"))
    assert np.ptp(without, axis=2).max() == 0
    assert abs(without[..., 0] - array(photo.convert("L"))).max() <= 1  # Pillow's luma
    assert abs(array(pale.convert("L")) - without[..., 0]).max() <= 2  # the lightness stays


def test_colour_distortion_swaps_channels_or_floods_one(astronaut):
    photo, outcomes = np.asarray(astronaut), set()
    for seed in range(40):
        image = np.asarray(annotate(astronaut, "colour-distortion", seed=seed))
        home = [next((c for c in range(3) if (image[..., n] == photo[..., c]).all()), None) for n in range(3)]
        if None in home:
            (flooded,) = [n for n in range(3) if home[n] is None]
            assert np.ptp(image[..., flooded]) == 0 and image[0, 0, flooded] in (0, 255)
            home[flooded] = f"all {image[0, 0, flooded]}"
        assert home != [0, 1, 2]
        outcomes.add(tuple(home))
    assert len(outcomes) == 11  # five orders, three channels all black or all white
    grey = photos.load("camera")
    assert all(chroma(annotate(grey, "colour-distortion", seed=seed)) > 0 for seed in range(20))


# -- Shape and weather -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["astronaut", "rocket", "temple"])
def test_inpainting_covers_a_part_with_one_colour_and_leaves_the_rest(name):
    photo = array(photos.load(name))
    image = made(photo, "inpainting", seed=4)
    changed = (image != photo).any(2)
    colour = 255 if photo.mean() < 100 else 0
    assert 0.04 < changed.mean() < 0.4
    assert (image[changed] == colour).all(1).mean() > 0.9  # the others are on the strokes' antialiased rims


def test_rotation_is_counter_clockwise():
    photo = photos.load("temple")
    for degrees in (90, 180, 270):
        assert annotate(photo, f"rotate-{degrees}") == photo.rotate(degrees, expand=True)


def height_of_a_line(kind) -> tuple[float, float]:
    """Row of a horizontal line at row 100 of 512, in the middle and near the sides, after a distortion."""
    image = flat(0)
    image[98:103] = 255
    light = made(image, kind)[..., 0][:256]
    rows = np.arange(256)[:, None]
    middle, side = light[:, 250:262], light[:, 60:72]
    return float((rows * middle).sum() / middle.sum()), float((rows * side).sum() / side.sum())


def test_a_barrel_bows_lines_outwards_and_a_pincushion_inwards():
    middle, side = height_of_a_line("barrel")
    assert side - middle > 10
    middle, side = height_of_a_line("pincushion")
    assert middle - side > 10


def test_elastic_moves_pixels_smoothly():
    ramp = np.repeat(np.arange(SIDE)[None, :, None], SIDE, 0).repeat(3, 2) / 2
    moved = 2 * (made(ramp.astype(np.uint8), "elastic")[..., 0] - ramp.astype(np.uint8)[..., 0])
    inside = moved[60:-60, 60:-60]
    assert 3 < inside.std() < 12 and abs(inside).max() < 50
    assert abs(np.diff(inside, axis=0)).mean() < 1.5  # neighbours move together


def test_rain_is_bright_streaks_that_fall():
    streaks = made(flat(0), "rain")[..., 0]
    assert abs(np.diff(streaks, axis=1)).mean() > 2 * abs(np.diff(streaks, axis=0)).mean()
    assert 0.02 < (streaks > 60).mean() < 0.3 and np.median(streaks) < 40


def test_frost_is_white_and_blue_thick_at_the_rim_and_crystalline():
    ice = made(flat(60), "frost")
    rim = np.ones((SIDE, SIDE), bool)
    rim[60:-60, 60:-60] = False
    assert ice.mean() > 90 and ice[rim].mean() > ice[200:312, 200:312].mean() + 40
    assert ice[..., 2].mean() > ice[..., 0].mean() + 3
    assert detail(ice) > 50


# -- What may be given, and what is said -------------------------------------------------------------------------------


def test_every_source_of_an_image(tmp_path):
    photo = photos.load("cat")
    want = annotate(photo, "pixelate")
    photo.save(tmp_path / "cat.png")
    data = (tmp_path / "cat.png").read_bytes()
    for source in (tmp_path / "cat.png", str(tmp_path / "cat.png"), data, io.BytesIO(data), np.asarray(photo)):
        assert annotate(source, "pixelate") == want
    turned = photo.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    assert annotate(tmp_path / "turned.png", "pixelate") == want
    for mode in ("L", "RGBA", "P", "CMYK", "1"):
        assert annotate(photo.convert(mode), "gaussian-noise").size == photo.size
    grey = np.asarray(photo.convert("L"))
    for source in (grey, grey / 255, grey.astype(np.uint16) * 257, Image.fromarray(grey.astype(np.uint16) * 257)):
        assert annotate(source, "pixelate") == annotate(photo.convert("L"), "pixelate")


@pytest.mark.parametrize(
    "kind, hint",
    [
        ("cany", "did you mean 'canny'"),
        ("Gaussian_Noise", "did you mean 'gaussian-noise'"),
        ("gray", "did you mean 'grey'"),
        ("zebra crossing", r"annotate.kinds\(\) lists them"),
        (None, "there is no kind None"),
        (["canny"], "there is no kind"),
        ("x" * 10_000, "there is no kind"),
    ],
)
def test_a_bad_kind_names_similar_ones(kind, hint):
    with pytest.raises(UsageError, match=hint) as caught:
        annotate(flat(size=(8, 8)), kind)
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize("seed", [-1, 1.5, True, None, "3"])
def test_a_bad_seed_is_refused(seed):
    with pytest.raises(UsageError, match="give a whole number of at least 0"):
        annotate(flat(size=(8, 8)), "rain", seed=seed)


def test_a_bad_photograph_is_refused():
    with pytest.raises(ImageError, match="photo: .* does not exist"):
        annotate("no-such-file.jpg", "canny")
    with pytest.raises(ImageError, match="photo is None"):
        annotate(None, "canny")
    with pytest.raises(ImageError, match="photo is 40000 x 2: .* 32766 pixels a side"):
        annotate(flat(size=(2, 40_000)), "barrel")


def test_a_missing_extra_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(annotator, "find_spec", lambda name: None)
    with pytest.raises(
        UsageError, match=r"'canny' needs opencv-python-headless.* pip install 'visualcloze_nb\[annotate"
    ):
        annotate(flat(), "canny")
    assert not kinds()["rain"].works and "pip install" in kinds()["rain"].note
    assert kinds()["grey"].works and annotate(flat(), "grey")  # needs NumPy alone


def test_nothing_heavy_is_imported_before_it_is_used():
    code = "import sys; from visualcloze_nb.annotate import kinds; kinds(); "
    code += "print([m for m in ('cv2', 'torch', 'transformers', 'skimage', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_new_annotator_is_one_function_in_one_file(tmp_path, monkeypatch):
    (tmp_path / "inverted.py").write_text(
        "from visualcloze_nb.annotate.annotator import Annotator\n"
        "def invert(image):\n    return 255 - image\n"
        "ANNOTATORS = {'inverted': Annotator(invert)}\n"
    )
    monkeypatch.setattr(room, "__path__", [*room.__path__, str(tmp_path)])
    annotators.cache_clear()
    try:
        assert kinds()["inverted"].works and (made(flat(55), "inverted") == 200).all()
    finally:
        annotators.cache_clear()
        sys.modules.pop("visualcloze_nb.annotate.inverted", None)


# -- The command -------------------------------------------------------------------------------------------------------


def test_the_command_writes_one_image(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["annotate", "cat", "canny"]) == 0
    assert Image.open("canny.png").convert("RGB") == annotate(photos.load("cat"), "canny")
    photos.load("temple").save("mine.png")
    assert main(["annotate", "mine.png", "rain", "--seed", "5", "-o", "out.png"]) == 0
    assert Image.open("out.png").convert("RGB") == annotate("mine.png", "rain", seed=5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["canny.png", "mine.png", "out.png"]
    assert "out.png" in capsys.readouterr().out


def test_the_command_writes_a_sheet_of_kinds_and_photographs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("visualcloze_nb.cli.annotate.annotators", lambda: {"grey": 0, "canny": 0, "sepia": 0})
    out = tmp_path / "sheet.png"
    assert (
        main(["annotate", "--kinds", "grey,canny", "--photos", "cat,temple,coins", "--cell", "64", "-o", str(out)]) == 0
    )
    sheet, (height, width) = Image.open(out), (3 * 64, 3 * 64)
    assert sheet.width >= width and sheet.height >= height
    said = capsys.readouterr().out
    assert "2 of 3 kinds, 3 photographs" in said and "s at most" in said


def test_the_sheet_goes_on_without_a_kind_that_fails(tmp_path, monkeypatch, capsys):
    broken = annotator.Annotator(lambda image: image, check=lambda: annotator.Availability(False, "has no weights"))
    monkeypatch.setitem(annotators(), "depth", broken)
    out = tmp_path / "sheet.png"
    assert main(["annotate", "--kinds", "depth,grey", "--photos", "cat", "-o", str(out)]) == 0
    said = capsys.readouterr().out
    assert "left out: kind 'depth' has no weights" in said and "1 of" in said and out.exists()
    assert main(["annotate", "--list"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "depth               no    has no weights" in said and "grey                works" in said


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["cat"], "a photograph needs a kind"),
        (["cat", "cany"], "did you mean 'canny'"),
        (
            ["no-such.jpg", "canny"],
            "'no-such.jpg' does not exist: give the path of an image file, or give one of astronaut",
        ),
        (["cat", "canny", "--kinds", "grey"], "give them without PHOTO and KIND"),
        (["--kinds", "nonsense"], "there is no kind 'nonsense'"),
        (["--photos", "no-such"], "'no-such' does not exist"),
        (["--seed", "-1"], "'-1' is not a whole number of at least 0"),
        (["cat", "canny", "-o", "x.jpg"], "'x.jpg' is not a .png file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_arguments_are_refused_in_one_line(arguments, said, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["annotate", *arguments])
    assert caught.value.code == 2
    printed = capsys.readouterr().err
    assert said in printed and printed.count("\n") == 1
