"""Any image file becomes RGB or one ImageError; sizes are diffusers' own."""

import io
import os
import random
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageFile

from visualcloze_nb.data import images
from visualcloze_nb.data.images import fit_size, resize_and_crop, to_rgb
from visualcloze_nb.errors import ImageError, ImageWarning

Image.init()
ORIENTATION = ExifTags.Base.Orientation
MIRRORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    7: Image.Transpose.TRANSVERSE,
}
MODES = ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"]
WIDE_MODES = ["I", "I;16", "I;16B", "I;16L", "I;16N", "F"]
PROGRAMS = {"EPS", "WMF"}
ORANGE = (240, 120, 40)


def ramp(width=12, height=9):
    """An image without symmetry: red grows to the right, green downwards, one blue corner."""
    x = np.linspace(0, 255, width)[None, :].repeat(height, 0)
    y = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    blue = np.zeros((height, width))
    blue[0, 0] = 255
    return Image.fromarray(np.stack([x, y, blue], -1).astype(np.uint8))


def in_mode(mode):
    if mode == "LAB":
        return Image.new("LAB", (12, 9), (128, 130, 120))
    if mode in ("La", "RGBa"):
        return ramp().convert({"La": "LA", "RGBa": "RGBA"}[mode]).convert(mode)
    if mode == "PA":
        return ramp().convert("P").convert("PA")
    if mode.startswith("I;16"):
        return Image.new(mode, (12, 9), 30_000)
    return ramp().convert("L").convert(mode) if mode in ("I", "F") else ramp().convert(mode)


def encoded(image, file_format, **options):
    data = io.BytesIO()
    image.save(data, file_format, **options)
    return data.getvalue()


def written_corpus():
    """(format, mode, bytes) for every writer and every mode that it takes."""
    for file_format in sorted(Image.SAVE):
        for mode in [*MODES, *WIDE_MODES]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # some writers are being retired
                try:
                    yield file_format, mode, encoded(in_mode(mode), file_format)
                except Exception:  # this writer does not take this mode
                    continue


CORPUS = list(written_corpus())


def read_or_refuse(data, **limits):
    """The bar: a sound RGB image, or ImageError; True if it was an image."""
    limits = {"max_pixels": 1_000_000, **limits}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ImageWarning)
        try:
            image = to_rgb(data, **limits)
        except ImageError as error:
            assert str(error).startswith("image")
            return False
    assert image.mode == "RGB" and image.width * image.height <= limits["max_pixels"]
    image.tobytes()
    return True


@pytest.mark.filterwarnings("ignore::visualcloze_nb.errors.ImageWarning")
@pytest.mark.parametrize(("file_format", "mode", "data"), CORPUS, ids=[f"{f}-{m}" for f, m, _ in CORPUS])
def test_every_writer_and_mode_is_read_or_refused(file_format, mode, data):
    if file_format in PROGRAMS:
        assert not read_or_refuse(data)
    elif read_or_refuse(data) and file_format not in ("ICO", "ICNS"):
        assert to_rgb(data).size == (12, 9)


def test_the_corpus_is_large_and_the_usual_formats_are_read_in_every_mode():
    assert len(CORPUS) > 90
    usual = {"BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP"}
    refused = {(f, m) for f, m, data in CORPUS if f in usual and not read_or_refuse(data)}
    assert refused == {("TIFF", "LAB"), ("PPM", "I")}  # the second holds 7 to 226 of 65535


SMALL_FILES = {
    "PNG": encoded(ramp(), "PNG"),
    "PNG palette": encoded(ramp().convert("P"), "PNG", transparency=3),
    "JPEG": encoded(ramp(), "JPEG", quality=30),
    "GIF": encoded(ramp(4, 4), "GIF", save_all=True, append_images=[ramp(4, 4).rotate(90)]),
    "BMP": encoded(ramp(), "BMP"),
    "TIFF": encoded(ramp(), "TIFF", compression="tiff_lzw"),
    "WEBP": encoded(ramp(), "WEBP"),
    "ICO": encoded(ramp(16, 16), "ICO"),
    "TGA": encoded(ramp(), "TGA", compression="tga_rle"),
}


@pytest.mark.parametrize("name", SMALL_FILES)
def test_every_truncation_is_read_or_refused(name):
    data = SMALL_FILES[name]
    assert read_or_refuse(data)
    outcomes = [read_or_refuse(data[:end]) for end in range(len(data))]
    assert not all(outcomes) and not outcomes[0]


@pytest.mark.parametrize("number", range(len({f for f, _, _ in CORPUS})))
def test_fuzzed_headers_are_read_or_refused(number):
    name = sorted({f for f, _, _ in CORPUS})[number]
    sources = [data for file_format, _, data in CORPUS if file_format == name]
    generator = random.Random(number)
    for _ in range(60):
        data = bytearray(generator.choice(sources))
        for _ in range(generator.randint(1, 6)):
            place = generator.randrange(min(len(data), 200))
            data[place] = generator.choice([0, 1, 0x7F, 0x80, 0xFF, generator.randrange(256)])
        read_or_refuse(bytes(data))


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff", b"II*\0"]),
)
@settings(max_examples=150, deadline=None)
def test_bytes_of_any_kind_are_refused_quietly(data, start):
    read_or_refuse(start + data)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_image_upright(orientation, tmp_path):
    upright = ramp()
    undo = {None: None, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    as_stored = {**MIRRORED, **undo}.get(orientation)
    stored = upright.transpose(as_stored) if as_stored is not None else upright
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = encoded(stored, "PNG", exif=exif)
    assert to_rgb(data).tobytes() == upright.tobytes()
    path = tmp_path / "photo.png"
    path.write_bytes(data)
    assert to_rgb(Image.open(path).convert("RGBA")).tobytes() == upright.tobytes()
    assert to_rgb(to_rgb(data)).tobytes() == upright.tobytes()


def test_an_image_turned_by_load_image_is_not_turned_again():
    from PIL import ImageOps

    exif = Image.Exif()
    exif[ORIENTATION] = 6
    opened = Image.open(io.BytesIO(encoded(ramp(), "JPEG", exif=exif)))
    turned = ImageOps.exif_transpose(opened)
    assert turned.size == (9, 12)
    assert to_rgb(turned).tobytes() == turned.tobytes()


def test_alpha_is_laid_on_white():
    image = Image.new("RGBA", (2, 1), (*ORANGE, 255))
    image.putpixel((1, 0), (*ORANGE, 0))
    assert to_rgb(image).getpixel((0, 0)) == ORANGE
    assert to_rgb(image).getpixel((1, 0)) == (255, 255, 255)
    half = to_rgb(Image.new("RGBA", (1, 1), (0, 0, 0, 128))).getpixel((0, 0))
    assert half == (127, 127, 127)
    assert to_rgb(Image.new("LA", (1, 1), (0, 0))).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["P", "L", "RGB", "1"])
def test_a_transparent_colour_becomes_white(mode):
    image = Image.new("RGB", (2, 1), "black")
    image.putpixel((1, 0), (255, 255, 255))
    image = image.convert(mode)
    image.putpixel((0, 0), image.getpixel((0, 0)))
    colour = image.getpixel((0, 0))
    data = encoded(image, "PNG", transparency=colour)
    assert to_rgb(data).getpixel((0, 0)) == (255, 255, 255)


def test_palette_grey_and_cmyk_keep_their_colours():
    flat = Image.new("RGB", (8, 8), ORANGE)
    assert to_rgb(encoded(flat.convert("P", palette=Image.Palette.ADAPTIVE), "GIF")).getpixel((3, 3)) == ORANGE
    assert to_rgb(Image.new("L", (8, 8), 77)).getpixel((3, 3)) == (77, 77, 77)
    for data in (encoded(flat.convert("CMYK"), "TIFF"), encoded(flat.convert("CMYK"), "JPEG", quality=100)):
        assert np.allclose(to_rgb(data).getpixel((3, 3)), ORANGE, atol=4)
    assert np.allclose(to_rgb(flat.convert("YCbCr")).getpixel((3, 3)), ORANGE, atol=4)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_become_eight(file_format):
    values = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    image = to_rgb(encoded(Image.fromarray(values), file_format))
    assert [image.getpixel((x, 0))[1] for x in range(4)] == [0, 1, 128, 255]


def test_a_dark_image_of_sixteen_bits_stays_dark():
    assert to_rgb(b"P5 1 1 65535 " + (200).to_bytes(2, "big")).getpixel((0, 0)) == (1, 1, 1)


def test_big_endian_sixteen_bits_become_eight():
    assert to_rgb(Image.new("I;16B", (1, 1), 128 * 257)).getpixel((0, 0)) == (128, 128, 128)


def test_floats_and_wide_integers():
    assert to_rgb(Image.new("F", (1, 1), 0.5)).getpixel((0, 0)) == (128, 128, 128)
    assert to_rgb(Image.new("F", (1, 1), 177)).getpixel((0, 0)) == (177, 177, 177)
    assert to_rgb(Image.new("I", (1, 1), 77)).getpixel((0, 0)) == (77, 77, 77)
    metres = Image.fromarray(np.array([[-10, 0, 990]], np.float32))
    with pytest.raises(ImageError, match=r"floats outside 0 to 1 \(from -10 to 990\): pass \(a - a.min"):
        to_rgb(metres)
    with pytest.raises(ImageError, match="not finite"):
        to_rgb(Image.new("F", (1, 1), float("nan")))


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_the_first_frame_of_an_animation_is_used_and_said(file_format):
    if file_format not in Image.SAVE_ALL:
        pytest.skip(f"this Pillow does not write animated {file_format}")
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("#cc2200", "#0022cc", "#00cc22")]
    options = {"quality": 100} if file_format == "AVIF" else {}
    data = encoded(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
    with pytest.warns(ImageWarning, match="row 1, column 2 holds 3 frames: the first is used"):
        image = to_rgb(data, where="row 1, column 2")
    assert np.allclose(image.getpixel((8, 8)), (0xCC, 0x22, 0), atol=8)


def test_one_frame_and_phone_images_are_not_worth_a_note(recwarn):
    to_rgb(encoded(ramp(), "GIF"))
    to_rgb(encoded(ramp(), "MPO", save_all=True, append_images=[ramp()]))
    assert not recwarn.list


@pytest.mark.filterwarnings("error")  # Pillow's own warning must not get in the way
def test_too_many_pixels_are_refused_before_decoding(monkeypatch):
    data = encoded(Image.new("1", (30_000, 3_000)), "PNG")
    assert len(data) < 100_000
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ImageError, match=r"30000 x 3000, 90 million pixels.*limit of 64 million"):
        to_rgb(data)
    bomb = bytearray(encoded(Image.new("L", (1, 1)), "BMP"))
    bomb[18:26] = (60_000).to_bytes(4, "little") * 2
    with pytest.raises(ImageError, match="too many pixels"):
        to_rgb(bytes(bomb))


def test_what_pillow_warns_of_is_not_passed_on(recwarn):
    exif = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0"  # five entries promised, none complete
    data = encoded(ramp(), "PNG", exif=exif)
    Image.open(io.BytesIO(data)).getexif()
    assert "Corrupt EXIF" in str(recwarn.pop().message)
    assert to_rgb(data).size == (12, 9)
    assert not recwarn.list


def test_too_many_bytes_are_refused(tmp_path):
    data = encoded(ramp(), "BMP")
    path = tmp_path / "big.bmp"
    path.write_bytes(data)
    for image in (data, path, io.BytesIO(data)):
        with pytest.raises(ImageError, match="row 9 has more than 0 MB"):
            to_rgb(image, where="row 9", max_bytes=len(data) - 1)
        assert to_rgb(image, max_bytes=len(data)).size == (12, 9)


@pytest.mark.parametrize(
    ("data", "advice"),
    [
        (b"", "empty"),
        (b"hello", "PNG or JPEG"),
        (b"<?xml version='1.0'?><svg/>", "SVG"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"%PDF-1.7", "PDF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (encoded(ramp(), "EPS"), "PostScript"),
    ],
)
def test_what_is_not_an_image_is_named(data, advice):
    with pytest.raises(ImageError, match=advice):
        to_rgb(data)


def test_every_way_of_handing_in_an_image_gives_the_same(tmp_path):
    path = tmp_path / "ramp.png"
    ramp().save(path)
    data = path.read_bytes()
    file = path.open("rb")
    file.read(5)  # somebody looked at it before
    ways = [path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data), file]
    ways += [Image.open(path), ramp(), np.asarray(ramp()), np.asarray(ramp()) / 255]
    for way in ways:
        assert to_rgb(way).tobytes() == ramp().tobytes()
    file.close()


def test_the_result_shares_nothing_with_the_source():
    source = ramp()
    result = to_rgb(source)
    source.paste("black", (0, 0, 12, 9))
    assert result.tobytes() == ramp().tobytes()


@pytest.mark.parametrize(
    ("path", "reason"),
    [("missing.png", "does not exist"), (".", "is a folder"), ("a\0b", "exist|read"), (os.devnull, "exist")],
)
def test_paths_that_lead_nowhere(path, reason):
    with pytest.raises(ImageError, match=reason):
        to_rgb(path)


def test_other_things_that_are_not_images():
    with pytest.raises(ImageError, match="row 1, column 1 is None"):
        to_rgb(None, where="row 1, column 1")
    with pytest.raises(ImageError, match="is of type int"):
        to_rgb(3)
    with pytest.raises(ImageError, match="download the image"):
        to_rgb("https://example.org/a.png")
    with pytest.raises(ImageError, match='mode "rb"'):
        to_rgb(io.StringIO("text"))
    with pytest.raises(ImageError, match="0 x 5"):
        to_rgb(Image.new("RGB", (0, 5)))

    class Broken:
        def read(self, size):
            raise RuntimeError("gone")

    with pytest.raises(ImageError, match="gone"):
        to_rgb(Broken())


def test_arrays():
    assert to_rgb(np.array([[0.0, 0.5, 1.0]])).getpixel((1, 0)) == (128, 128, 128)
    assert to_rgb(np.array([[[0.0], [1.0]]])).getpixel((1, 0)) == (255, 255, 255)
    assert to_rgb(np.array([[True, False]])).getpixel((0, 0)) == (255, 255, 255)
    assert to_rgb(np.array([[65535]], np.uint16)).getpixel((0, 0)) == (255, 255, 255)
    assert to_rgb(np.full((2, 3, 4), 0.0)).getpixel((0, 0)) == (255, 255, 255)
    assert to_rgb(np.full((2, 3, 3), 200)).size == (3, 2)
    assert to_rgb(np.full((2, 3), 1, np.float16)).getpixel((0, 0)) == (255, 255, 255)
    assert to_rgb(np.asarray(ramp())[::-1, ::-1]).getpixel((11, 8)) == ramp().getpixel((0, 0))


@pytest.mark.parametrize(
    ("array", "advice"),
    [
        (np.zeros((3, 8, 8)), "channels last"),
        (np.zeros((1, 8, 8, 3)), "one image"),
        (np.zeros(5), "one image"),
        (np.zeros((0, 4)), "at least one pixel"),
        (np.full((4, 4), 7.0), "outside 0 to 1"),
        (np.full((4, 4), np.nan), "outside 0 to 1"),
        (np.full((4, 4), -1), "outside 0 to 255"),
        (np.full((4, 4), "a"), "array of <U1"),
        (np.full((4, 4), 1j), "array of complex"),
        (np.broadcast_to(np.uint8(0), (10_000, 10_000)), "100 million pixels"),
    ],
)
def test_arrays_that_are_not_images(array, advice):
    with pytest.raises(ImageError, match=f"image.*{advice}"):
        to_rgb(array)


SIDES = st.integers(1, 5000)


def stock_size(image, resolution):
    """The size that diffusers' own processor gives the first image of a row."""
    from diffusers.pipelines.visualcloze.visualcloze_utils import VisualClozeProcessor

    processor = VisualClozeProcessor(resolution=resolution)
    sizes = []
    processor._resize_and_crop = lambda image, width, height: (
        sizes.append((width, height)) or Image.new("RGB", (16, 16))
    )
    processor.preprocess_image([[image, None]], vae_scale_factor=8)
    return sizes[0]


@given(SIDES, SIDES, st.sampled_from([64, 384, 512]))
@settings(max_examples=150, deadline=None)
def test_fit_size_is_diffusers_own(width, height, resolution):
    class Sized:  # diffusers asks only for the size
        pass

    image = Sized()
    image.width, image.height = width, height
    fitted = fit_size(width, height, resolution)
    assert fitted == stock_size(image, resolution)
    assert fitted[0] % 16 == 0 and fitted[1] % 16 == 0 and min(fitted) >= 16
    assert fitted[0] * fitted[1] <= max(resolution**2, 16 * max(fitted))


def test_fit_size_by_hand():
    assert fit_size(640, 480, 384) == (432, 320)  # reference: stock with several targets says 320 x 432
    assert fit_size(100, 100, 64) == (64, 64)
    assert fit_size(100, 100, 100, multiple=1) == (100, 100)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 70), st.integers(1, 70), st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_resize_and_crop_is_diffusers_own(width, height, new_width, new_height, seed):
    from diffusers.image_processor import VaeImageProcessor

    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    ours = resize_and_crop(image, new_width, new_height)
    stock = VaeImageProcessor()._resize_and_crop(image, new_width, new_height)
    assert ours.size == (new_width, new_height)
    assert ours.tobytes() == stock.tobytes()


def test_a_long_strip_does_not_fill_the_memory(monkeypatch):
    strip = Image.new("RGB", (40_000, 2), "white")
    strip.paste(ORANGE, (19_000, 0, 21_000, 2))
    resize = Image.Image.resize

    def bounded(image, size, *args, **options):
        assert size[0] * size[1] <= images.MAX_PIXELS
        return resize(image, size, *args, **options)

    monkeypatch.setattr(Image.Image, "resize", bounded)
    cut = resize_and_crop(strip, 384, 384)
    assert cut.size == (384, 384) and cut.getpixel((192, 192)) == ORANGE


def test_cutting_first_agrees_with_scaling_first(monkeypatch):
    image = ramp(300, 40)
    wanted = np.asarray(resize_and_crop(image, 64, 64)).astype(int)
    monkeypatch.setattr(images, "MAX_PIXELS", 10)
    assert np.abs(np.asarray(resize_and_crop(image, 64, 64)) - wanted).max() <= 8
