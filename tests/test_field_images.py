"""Faults of images, grids and saved results that users met elsewhere, named by row of issue 18: 2, 6, 7, 8, 12."""

import base64
import io
import os
import time
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image, ImageCms, PngImagePlugin

from visualcloze_nb import Grid
from visualcloze_nb.data.grid import grey_out
from visualcloze_nb.data.images import to_rgb
from visualcloze_nb.data.prompts import column_prompt, task_prompt
from visualcloze_nb.data.result import Result, read_provenance
from visualcloze_nb.errors import (
    FileError,
    GridError,
    ImageError,
    ImageWarning,
    TextWarning,
    UsageError,
    VisualClozeError,
)

RED = Image.new("RGB", (32, 32), "red")


def encoded(image, file_format, **options):
    data = io.BytesIO()
    image.save(data, file_format, **options)
    return data.getvalue()


def pfm(values):
    height, width = values.shape
    return f"Pf\n{width} {height}\n-1.0\n".encode() + values[::-1].astype("<f4").tobytes()


def grey(image):
    return np.asarray(image)[..., 0].tolist()


METRES = np.array([[0.4, 2.5], [9.75, 31]], np.float32)
MILLIMETRES = np.array([[400, 2500], [8000, 9750]], np.uint16)
KITTI = np.array([[0, 1500], [12_800, 20_480]], np.uint16)  # metres times 256, up to 80
UNIT = np.array([[0, 0.25], [0.5, 1]], np.float32)


def every_source(values, tmp_path):
    """The same numbers as files, PIL images and an array."""
    wide = values.dtype == np.uint16
    image = Image.fromarray(values)
    files = [encoded(image, "PNG"), encoded(image, "PPM")] if wide else [pfm(values)]
    files += [encoded(image, "TIFF")]
    path = tmp_path / "numbers"
    path.write_bytes(files[0])
    return [*files, path, image, Image.open(path), values]


@pytest.mark.parametrize("values", [METRES, MILLIMETRES, METRES * 1000, -METRES, MILLIMETRES // 100, KITTI])
def test_row_2_measurements_are_refused_with_the_line_that_scales_them(values, tmp_path):
    for source in every_source(values, tmp_path):
        with pytest.raises(ImageError, match=r"row 1, column 2 holds .*pass \(a - a.min\(\)\) / np.ptp\(a\)") as caught:
            to_rgb(source, where="row 1, column 2")
        assert len(str(caught.value)) <= 300
    a = np.asarray(values, float)
    assert {0, 255} <= set(np.ravel(grey(to_rgb((a - a.min()) / np.ptp(a)))))


def test_row_2_numbers_that_fill_their_range_are_images(tmp_path):
    for source in every_source(UNIT, tmp_path):
        assert grey(to_rgb(source)) == [[0, 64], [128, 255]]
    for source in every_source(np.array([[0, 257], [32896, 65535]], np.uint16), tmp_path):
        assert grey(to_rgb(source)) == [[0, 1], [128, 255]]
    eight = np.array([[0, 1], [128, 255]])
    for source in (eight, eight.astype(np.int32), eight.astype(float), Image.fromarray(eight.astype(np.int32))):
        assert grey(to_rgb(source)) == eight.tolist()
    assert grey(to_rgb(Image.fromarray(eight.astype(np.float32)))) == eight.tolist()


def test_row_2_numbers_that_are_not_finite_are_refused_alike(tmp_path):
    values = UNIT.copy()
    values[0, 0] = np.inf
    for source in every_source(values, tmp_path):
        with pytest.raises(ImageError, match=r"not finite.*a\[~np.isfinite\(a\)\] = 0"):
            to_rgb(source)


def test_row_2_a_transparent_value_of_16_bits_is_white_and_does_not_count():
    image = Image.fromarray(np.array([[0, 40_000, 65535]], np.uint16))
    assert grey(to_rgb(encoded(image, "PNG", transparency=0))) == [[255, 156, 255]]
    assert grey(to_rgb(encoded(image, "PNG", transparency=40_000))) == [[0, 255, 255]]
    depth = Image.fromarray(np.array([[1000, 2000, 65535]], np.uint16))  # 65535 where nothing was measured
    with pytest.raises(ImageError, match="from 1000 to 2000"):
        to_rgb(encoded(depth, "PNG", transparency=65535))


def closed_images(tmp_path):
    path = tmp_path / "a.png"
    RED.save(path)
    with Image.open(path) as inside:
        pass
    with path.open("rb") as file:
        from_file = Image.open(file)
    after_load = Image.open(path)
    after_load.load()
    after_load.close()
    made = RED.copy()
    made.close()
    return [inside, from_file, after_load, made]


def test_row_6_a_closed_image_is_said_to_be_closed(tmp_path):
    for image in closed_images(tmp_path):
        with pytest.raises(ImageError, match=r"row 1, column 1: its file was closed.*use im.copy\(\)"):
            Grid([[image, None]])
    file = io.BytesIO(encoded(RED, "PNG"))
    file.close()
    with pytest.raises(ImageError, match="its file was closed"):
        to_rgb(file)


def test_row_6_images_that_were_read_in_time_are_used(tmp_path):
    RED.save(tmp_path / "a.gif", save_all=True, append_images=[Image.new("RGB", (32, 32), "blue")])
    with Image.open(tmp_path / "a.gif") as loaded:
        loaded.load()
        copied = loaded.copy()
    assert to_rgb(loaded).tobytes() == to_rgb(copied).tobytes() == RED.tobytes()


TEXT64 = base64.b64encode(os.urandom(3_000_000)).decode()


@pytest.mark.parametrize(
    "cell", [TEXT64, "data:image/png;base64," + TEXT64, TEXT64.encode(), TEXT64[:300], "/9j/" + TEXT64]
)
def test_row_7_base64_is_named_in_one_line(cell):
    start = time.perf_counter()
    with pytest.raises(ImageError, match=r"row 2, column 1.*base64\.b64decode\(text") as caught:
        Grid([[RED, RED], [cell, None]])
    assert len(str(caught.value)) <= 300 and time.perf_counter() - start < 2


@pytest.mark.parametrize(
    "call",
    [
        lambda: to_rgb("x/" * 100_000),
        lambda: to_rgb(b"x" * 1_000_000),
        lambda: to_rgb("s3://" + "x" * 100_000),
        lambda: to_rgb("file:///" + "x" * 100_000),
        lambda: to_rgb(type("X" * 100_000, (), {})()),
        lambda: to_rgb(np.zeros((1,) * 60)),
        lambda: to_rgb(np.zeros(2, [("x" * 5000, int)]).reshape(1, 2)),
        lambda: Grid([[RED, None]]).with_blanks("x" * 100_000),
        lambda: Grid([[RED, None]], task=type("X" * 100_000, (), {})()),
        lambda: Grid(type("X" * 100_000, (), {})()),
    ],
)
def test_row_7_no_message_is_endless(call):
    with pytest.raises((ImageError, GridError)) as caught:
        call()
    assert len(str(caught.value)) <= 300 and "\n" not in str(caught.value)


def flat_profile(name):
    """The bytes of a wide-gamut profile: linear sRGB primaries, so that middle grey is far off."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()


def wide_profile():
    """An RGB profile with other primaries and gamma 1.8, as ProPhoto has: sRGB's with tags rewritten."""
    data = bytearray(flat_profile("sRGB"))
    count = int.from_bytes(data[128:132], "big")
    tags = {}
    for number in range(count):
        entry = data[132 + 12 * number :][:12]
        tags[bytes(entry[:4])] = int.from_bytes(entry[4:8], "big")
    primaries = {b"rXYZ": (0.79767, 0.28804, 0), b"gXYZ": (0.13519, 0.71188, 0), b"bXYZ": (0.03134, 0.00009, 0.82491)}
    for tag, values in primaries.items():
        for number, value in enumerate(values):
            place = tags[tag] + 8 + 4 * number
            data[place : place + 4] = round(value * 65536).to_bytes(4, "big", signed=True)
    return bytes(data)


def converted(image, profile, mode="RGB"):
    """The colours that LittleCMS itself gives."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return np.asarray(ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode))


def colours():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8))


def test_row_8_a_wide_profile_is_converted_and_srgb_changes_nothing(tmp_path, recwarn):
    image, wide = colours(), wide_profile()
    right = converted(image, wide).astype(int)
    assert np.abs(right - np.asarray(image)).max() > 20
    data = encoded(image, "PNG", icc_profile=wide)
    for source in (data, Image.open(io.BytesIO(data)), encoded(image, "TIFF", icc_profile=wide)):
        assert np.abs(np.asarray(to_rgb(source)) - right).max() <= 1
    clear = image.copy()
    clear.putalpha(255)
    assert np.abs(np.asarray(to_rgb(encoded(clear, "PNG", icc_profile=wide))) - right).max() <= 1
    again = to_rgb(data)
    assert to_rgb(again).tobytes() == again.tobytes()
    assert to_rgb(encoded(image, "PNG", icc_profile=flat_profile("sRGB"))).tobytes() == image.tobytes()
    assert not recwarn.list


@pytest.mark.parametrize(
    ("profile", "words"), [(b"junk", "damaged colour profile"), ("LAB", "another kind of colours")]
)
def test_row_8_a_profile_that_cannot_be_used_is_said(profile, words):
    data = encoded(colours(), "PNG", icc_profile=flat_profile(profile) if profile == "LAB" else profile)
    with pytest.warns(ImageWarning, match=f"row 1, column 1 has .*{words}"):
        assert to_rgb(data, where="row 1, column 1").tobytes() == colours().tobytes()


def test_row_8_without_littlecms_a_profile_is_said(monkeypatch):
    from visualcloze_nb.data import colour_profiles

    monkeypatch.setattr(colour_profiles.features, "check", lambda name: False)
    with pytest.warns(ImageWarning, match="no LittleCMS"):
        to_rgb(encoded(colours(), "PNG", icc_profile=wide_profile()))


XMP = "<rdf:Description xmlns:tiff='http://ns.adobe.com/tiff/1.0/' {}/>"


@pytest.mark.parametrize(
    "attribute", ['tiff:Orientation="6"', "tiff:Orientation='6'", "><tiff:Orientation> 6 </tiff:Orientation"]
)
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "raw profile"])
def test_row_8_orientation_in_xmp_alone(attribute, file_format):
    image = Image.new("RGB", (32, 16), "red")
    image.paste("blue", (0, 0, 8, 8))
    text = XMP.format(attribute)
    info = PngImagePlugin.PngInfo()
    if file_format == "raw profile":
        info.add_text("Raw profile type xmp", f"\nxmp\n{len(text):8}\n{text.encode().hex()}\n")
    else:
        info.add_itxt("XML:com.adobe.xmp", text)
    options = {
        "JPEG": {"xmp": text.encode()},
        "WEBP": {"xmp": text.encode(), "lossless": True},
        "TIFF": {"tiffinfo": {700: text.encode()}},
    }
    data = encoded(image, file_format.replace("raw profile", "PNG"), **options.get(file_format, {"pnginfo": info}))
    turned = to_rgb(data)
    assert turned.size == (16, 32)
    red, _, blue = turned.getpixel((13, 2))
    assert blue > 200 > 50 > red


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_row_8_the_frame_that_is_used_is_named(file_format):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("#cc2200", "#0022cc", "#00cc22")]
    image = Image.open(io.BytesIO(encoded(frames[0], file_format, save_all=True, append_images=frames[1:])))
    image.seek(1)
    with pytest.warns(ImageWarning, match="holds 3 frames: number 2 is used"):
        assert to_rgb(image).getpixel((8, 8))[2] > 150
    image.seek(0)
    with pytest.warns(ImageWarning, match="holds 3 frames: the first is used"):
        assert to_rgb(image).getpixel((8, 8))[0] > 150


@pytest.mark.parametrize("tags", [{254: 1}, {50706: b"\1\4\0\0"}, {254: 1, 271: "NIKON CORPORATION"}])
def test_row_8_the_preview_of_a_raw_file_is_said(tags):
    with pytest.warns(ImageWarning, match="raw file: only its preview of 32 x 32 is used"):
        to_rgb(encoded(RED, "TIFF", tiffinfo=tags))


@pytest.mark.parametrize("start", [b"IIRO\x08\0", b"IIU\0", b"FUJIFILMCCD-RAW ", b"\0\0\0\x18ftypcrx "])
def test_row_8_a_raw_file_that_cannot_be_read_is_named(start):
    with pytest.raises(ImageError, match="camera's raw file"):
        to_rgb(start + bytes(200))


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("", "is an empty text, not an image: give a path, or None"),
        ("  \n", "is an empty text"),
        ("HTTPS://example.org/a.png", "download the image first"),
        (" https://example.org/a.png", "download the image first"),
        ("s3://bucket/a.png", "download the image first"),
        ("gs://bucket/a.png", "download the image first"),
        ("hf://datasets/a.png", "download the image first"),
        ("file:///tmp/a%20b.png", "file:// address: give the path alone, '/tmp/a b.png'"),
        ("DATA:image/png;base64,AAAA", "data: address"),
    ],
)
def test_row_12_cells_that_are_no_paths(cell, words):
    with pytest.raises(ImageError, match=f"row 1, column 1 {words}|row 1, column 1.*{words}"):
        Grid([[cell, None]])


def test_row_12_a_photograph_of_200_megapixels_is_decoded_at_half_its_size():
    data = encoded(Image.new("L", (16_320, 12_240), 90), "JPEG")
    assert to_rgb(data).size == (8160, 6120)
    small = encoded(colours().resize((400, 300)), "JPEG", quality=95)
    opened = Image.open(io.BytesIO(small))
    half = to_rgb(opened, max_pixels=60_000)
    assert half.size == (200, 150) and opened.size == (400, 300)
    assert np.abs(np.asarray(half).astype(int) - np.asarray(to_rgb(opened).reduce(2))).mean() < 4
    assert to_rgb(opened).size == (400, 300)
    with pytest.raises(ImageError, match="over the limit"):
        to_rgb(small, max_pixels=29_000)


@pytest.mark.parametrize("text", ["\ud83d", "a cat \udc00", "half \ud83d emoji"])
@pytest.mark.parametrize("name", ["task", "content"])
def test_row_12_half_a_surrogate_pair_is_refused(name, text):
    with pytest.raises(GridError, match=rf"{name}: character \d+ is U\+D[8C][03][0D], half of a surrogate pair"):
        Grid([[RED, None]], **{name: text})
    assert Grid([[RED, None]], **{name: "\U0001f600"})


TWO = "In each row, a logical task is demonstrated to achieve [IMAGE2] a photo based on [IMAGE1] an edge map."
THREE = "to achieve [IMAGE3] a photo based on [IMAGE1] an edge map, [IMAGE2] a depth map."


@pytest.mark.parametrize(
    ("rows", "task", "words"),
    [
        ([[RED, RED], [RED, None]], THREE, r"\[IMAGE3\], but the grid has 2 columns"),
        ([[RED, RED], [RED, RED], [RED, None]], THREE, "is the grid transposed"),
        ([[RED] * 3, [RED, RED, None]], TWO, r"not the target \[IMAGE3\]: is the grid transposed"),
        ([[RED, None]], "[IMAGE0] and [IMAGE1]", r"\[IMAGE0\], but"),
        ([[RED, RED, None]], "[IMAGE1] to [IMAGE2]", r"not the target \[IMAGE3\]"),
    ],
)
def test_row_12_a_task_that_does_not_fit_the_columns_is_said(rows, task, words):
    with pytest.warns(TextWarning, match=words):
        Grid(rows, task=task)


def test_row_12_a_task_that_fits_is_not_worth_a_word(recwarn):
    grid = Grid([[RED, RED], [RED, None]], task=TWO)
    grid.completed([RED]).with_blanks(0).with_examples([])
    Grid([[RED] * 3, [RED, RED, None]], task="no columns are named")
    assert not recwarn.list


@pytest.fixture
def result():
    return Result([RED], [RED], Grid([[RED, None]]))


@pytest.mark.parametrize(
    ("path", "error", "words"),
    [
        ("missing/out.png", FileError, "there is no folder '.*missing': create it before"),
        ("file/out.png", FileError, "there is no folder '.*file'"),
        ("folder.png", FileError, r"folder.png' cannot be written \(Is a directory"),
        ("x" * 300 + ".png", FileError, r"cannot be written \(File name too long"),
        ("a\0b.png", FileError, "cannot be written"),
        (".png", UsageError, "has no name before .png: give one"),
        (".PNG", UsageError, "has no name before .png: give one"),
    ],
)
def test_row_12_save_names_what_the_user_gave(result, tmp_path, path, error, words):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(error, match=words) as caught:
        result.save(tmp_path / path)
    assert str(os.getpid()) not in str(caught.value).replace(str(tmp_path), "") and len(str(caught.value)) <= 300
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.png"]


def test_row_12_a_read_only_folder(result, tmp_path, monkeypatch):
    def refused(path, data):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.write_bytes", refused)
    with pytest.raises(FileError, match="out.png' cannot be written .Permission denied.: choose another folder"):
        result.save(tmp_path / "out.png")


@pytest.mark.parametrize("path", [None, 3, "~nobody-here/x.png"])
def test_row_12_save_and_read_take_only_paths(result, path):
    with pytest.raises((UsageError, FileError)):
        result.save(path)
    with pytest.raises((ValueError, FileError), match="path|exist"):
        read_provenance(path)


class Raises:
    """An object whose attributes all raise."""

    def __getattr__(self, name):
        raise RuntimeError(name)


GRID = Grid([[RED, RED], [RED, None]])
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.characters(categories=["Cs"])
)
DTYPES = st.sampled_from(
    ["bool", "uint8", "int8", "uint16", "int32", "uint64", "float16", "float32", "float64", "complex64", "U3"]
)
ARRAYS = DTYPES.flatmap(lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)))
MODES = st.sampled_from(
    ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16", "I;16B"]
)
IMAGES = st.builds(Image.new, MODES, st.tuples(st.integers(0, 9), st.integers(0, 9)))
ODD = st.builds(lambda number: [Raises(), object(), int, len, range(3), iter([1]), 10**30][number], st.integers(0, 6))
ANYTHING = st.recursive(
    st.one_of(SCALARS, ARRAYS, IMAGES, ODD, st.builds(io.BytesIO, st.binary())),
    lambda inner: st.lists(inner, max_size=3),
)
CALLS = {
    "to_rgb": to_rgb,
    "rows": Grid,
    "row": lambda value: Grid([value]),
    "cell": lambda value: Grid([[value, None]]),
    "task": lambda value: Grid([[RED, None]], task=value),
    "content": lambda value: Grid([[RED, None]], content=value),
    "completed": GRID.completed,
    "with_blanks": GRID.with_blanks,
    "query": lambda value: GRID.with_blanks(0, query=value),
    "with_examples": GRID.with_examples,
    "replace": lambda value: GRID.replace(nonsense=value),
    "layout": GRID.layout,
    "scale": lambda value: GRID.layout(64, value),
    "target_box": GRID.layout(64).target_box,
    "image": lambda value: GRID.image(value if not isinstance(value, (int, float)) else value % 100),
    "titles": lambda value: GRID.image(16, titles=value),
    "outline": lambda value: GRID.image(16, outline=value),
    "grey_out": lambda value: grey_out(GRID, value, 0),
    "colour": lambda value: grey_out(GRID, 0, 0, value),
    "inputs": lambda value: task_prompt(value, ["a"]),
    "outputs": lambda value: task_prompt(["a"], value),
    "targets": lambda value: column_prompt(["a", "b"], value),
    "result": lambda value: Result(value, value, GRID),
    "result grid": lambda value: Result([RED], [RED], value),
    "target": lambda value: Result([RED], [RED], GRID).save("missing/x.png", target=value),
    "save": lambda value: Result([RED], [RED], GRID).save(value) if not isinstance(value, str) else None,
    "read": read_provenance,
}


@pytest.mark.filterwarnings("ignore::visualcloze_nb.errors.VisualClozeWarning")
@pytest.mark.parametrize("name", CALLS)
@given(value=ANYTHING)
@settings(max_examples=60, deadline=2000)
def test_wrong_input_raises_only_the_packages_errors(name, value):
    try:
        CALLS[name](value)
    except VisualClozeError as error:
        assert len(str(error)) <= 300, str(error)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "value", ["x" * 10**6, b"x" * 10**6, ["x" * 10**6], [["x" * 10**6, None]], 10**4000, "\n" * 10**6]
)
def test_messages_stay_short_whatever_was_given(name, value):
    start = time.perf_counter()
    try:
        CALLS[name](value)
    except VisualClozeError as error:
        assert len(str(error)) <= 300, str(error)[:1000]
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize("highest", [1, 3, 15])
@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "I"])
def test_row_2_a_mask_of_small_numbers_is_said_to_be_black(highest, mode):
    values = np.tile(np.array([[0, highest]], np.uint8), (4, 4))
    image = Image.fromarray(values).convert(mode)
    sources = [image, np.asarray(image)] if mode != "LA" else [image]
    if mode != "I":
        sources.append(encoded(image, "PNG"))
    for source in sources:
        with pytest.warns(ImageWarning, match=rf"row 1, column 2 is all but black, at most {highest} of 255") as caught:
            to_rgb(source, where="row 1, column 2")
        assert len(caught) == 1 and len(str(caught[0].message)) <= 300
    a = np.asarray(image.convert("L"), int)
    assert grey(to_rgb(a * 255 // a.max())) == (values // highest * 255).tolist()


def test_row_2_black_and_dark_images_need_no_word(recwarn):
    for value in (0, 16, 255):
        to_rgb(np.full((4, 4), value, np.uint8))
    to_rgb(np.eye(4) > 0)
    assert not recwarn.list


def test_row_8_a_png_of_another_gamma_is_said(recwarn):
    data = encoded(colours(), "PNG")
    for gamma, expected in ((100_000, 1), (55_556, 1), (45_455, 0)):
        body = b"gAMA" + gamma.to_bytes(4, "big")
        chunk = b"\0\0\0\4" + body + zlib.crc32(body).to_bytes(4, "big")
        assert to_rgb(data[:33] + chunk + data[33:]).tobytes() == colours().tobytes()
        assert len([one for one in recwarn.list if "is a PNG of gamma" in str(one.message)]) == expected
        recwarn.clear()


def test_row_8_grey_with_a_profile_for_colours(recwarn):
    grey, wide = colours().convert("L"), wide_profile()
    right = converted(grey.convert("RGB"), wide).astype(int)
    assert np.abs(np.asarray(to_rgb(encoded(grey, "PNG", icc_profile=wide))) - right).max() <= 1
    same = to_rgb(encoded(grey, "PNG", icc_profile=flat_profile("sRGB")))
    assert same.tobytes() == grey.convert("RGB").tobytes() and not recwarn.list


@pytest.mark.parametrize("brand", [b"mif1", b"msf1", b"heix"])
def test_row_8_heic_by_other_brands(brand):
    with pytest.raises(ImageError, match="it is HEIC"):
        to_rgb(b"\0\0\0\x18ftyp" + brand + bytes(200))


def test_row_7_words_are_no_base64():
    with pytest.raises(ImageError, match="save it as PNG or JPEG"):
        to_rgb(b"a plain text of many words that somebody saved under the name of an image " * 9)
    with pytest.raises(ImageError, match="it looks like base64"):
        to_rgb(base64.encodebytes(os.urandom(900)))


def test_row_12_a_file_address_without_its_third_slash():
    with pytest.raises(ImageError, match="give the path alone, 'folder/a b.png'"):
        to_rgb("FILE://folder/a%20b.png")
