"""Figures display themselves once, with alt text; contact sheets; image signatures."""

import io
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from visualcloze_nb import Grid, Result
from visualcloze_nb.data.grid_image import TARGET
from visualcloze_nb.drawing.contact_sheet import contact_sheet
from visualcloze_nb.drawing.figures import check_image, compare, sheet, show_grid, show_image, show_result, signature
from visualcloze_nb.drawing.fingerprint import difference

VERMILLION = tuple(int(TARGET[i : i + 2], 16) for i in (1, 3, 5))


def scene(seed, side=64):
    """A ground with two shapes: what the toy world's images are like."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (side, side), tuple(rng.integers(40, 215, 3).tolist()))
    draw = ImageDraw.Draw(image)
    for shape in (draw.ellipse, draw.rectangle):
        x, y = rng.integers(0, side * 6 // 10, 2).tolist()
        shape([x, y, x + side // 3, y + side // 3], fill=tuple(rng.integers(0, 256, 3).tolist()))
    return image


def edges(image):
    return image.convert("L").filter(ImageFilter.FIND_EDGES).point(lambda v: 255 * (v > 20)).convert("RGB")


A, B, C = scene(1), scene(2), scene(3, 192)


@pytest.fixture
def grid():
    return Grid([[A, B], [A, None]], task="t")


@pytest.fixture
def result(grid):
    return Result([C], [B], grid, model="tiny")


def drawn(figure):
    """What a notebook gets to see, as an array."""
    data, metadata = figure._repr_mimebundle_()
    assert metadata["image/png"]["alt"] == figure.alt
    return np.asarray(Image.open(io.BytesIO(data["image/png"])).convert("RGB")).astype(int)


def near(pixels, colour, atol=6):
    return int((np.abs(pixels - np.array(colour)).max(-1) <= atol).sum())


def test_a_grid_is_shown_with_its_title_and_words(grid):
    pixels = drawn(show_grid(grid, "Two rows, one answer missing", ["image", "other"]))
    assert pixels.shape[1] <= 760 and near(pixels, VERMILLION) > 500
    figure = show_grid(grid, "Two rows")
    assert figure.alt == "Two rows. Grid of 1 example row above a query row: an image, empty."
    assert repr(figure) == f"<Figure: {figure.alt}>"
    assert near(drawn(show_grid(grid.completed([A]))), VERMILLION) == 0
    with pytest.raises(ValueError, match="1 titles for 2 columns"):
        show_grid(grid, titles=["one"])


def test_a_long_title_stays_inside_the_figure(grid):
    title = "A title that goes on and on, far wider than any notebook is, " * 3
    figure = show_grid(grid, title.strip())
    figure.canvas.draw()
    (text,) = figure.texts
    assert text.get_window_extent().x1 <= figure.bbox.x1
    assert text.get_text().count("\n") >= 1 and "\n" not in figure.alt


def labels(figure):
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def test_a_result_shows_both_stages_and_the_truth(result):
    assert labels(show_result(result)) == ["stage 1\n64 x 64", "stage 2\n192 x 192"]
    figure = show_result(result, C, title="Compare")
    assert labels(figure)[2:] == ["ground truth\n192 x 192"]
    shown = [axes.images[0].get_array() for axes in figure.axes]
    assert np.array_equal(shown[1], np.asarray(B)) and np.array_equal(shown[2], np.asarray(C))
    assert drawn(figure).shape[1] <= 760
    with pytest.raises(ValueError, match="2 truths for 1 targets"):
        show_result(result, [A, B])


def test_a_draft_has_no_stage_2_to_show(grid):
    figure = show_result(Result([B], [B], grid), truth=C)
    assert [label.split("\n")[0] for label in labels(figure)] == ["stage 1", "ground truth"]


def test_several_targets_are_named_by_their_columns(grid):
    figure = show_result(Result([C, C], [A, B], grid.with_blanks(0, 1)), truth=[A, B])
    assert [label.split("\n")[0] for label in labels(figure)] == [
        *("stage 1, column 1", "stage 2, column 1", "ground truth, column 1"),
        *("stage 1, column 2", "stage 2, column 2", "ground truth, column 2"),
    ]


def test_a_sheet_of_anything(tmp_path):
    A.save(tmp_path / "a.png")
    images = [A, tmp_path / "a.png", np.zeros((5, 90)), None, B]
    figure = sheet(images, ["one", "two", "three", "four", "five"], cols=3, title="All")
    assert labels(figure) == ["one", "two", "three", "four", "five"]
    assert "one, two, three, four, five" in figure.alt
    rows = {round(axes.get_position().y1, 2) for axes in figure.axes}
    assert len(rows) == 3  # two rows, the flat image on its own line within the first
    assert near(drawn(figure), VERMILLION) > 50
    for wrong in ({"images": []}, {"images": [A], "titles": []}, {"images": [A], "cols": 0}):
        with pytest.raises(ValueError):
            sheet(**wrong)


def test_one_image_is_shown_within_a_notebook_s_width():
    figure = show_image(Image.new("RGB", (2000, 500), TARGET), "Wide", "an orange strip")
    assert figure.alt == "Wide. an orange strip" and drawn(figure).shape[1] == 760
    assert near(drawn(figure), VERMILLION) > 100_000


def test_a_contact_sheet_centres_rows_and_keeps_sizes():
    red, blue = Image.new("RGB", (40, 20), "red"), Image.new("RGB", (20, 30), "blue")
    page = np.asarray(contact_sheet([[red, blue], [blue]], gap=10, margin=5))
    assert page.shape == (30 + 10 + 30 + 5, 40 + 10 + 20 + 10, 3)
    assert (page[:20, 5:45] == (255, 0, 0)).all() and (page[:30, 55:75] == (0, 0, 255)).all()
    assert (page[40:70, 30:50] == (0, 0, 255)).all() and (page[70:] == 255).all()
    titled = contact_sheet([[red], [blue]], [["a title wider than its image"], [""]], gap=0)
    assert titled.height == 24 + 20 + 30 and titled.width > 100
    for wrong in ({"rows": []}, {"rows": [[red], []]}, {"rows": [[red]], "titles": [["a", "b"]]}):
        with pytest.raises(ValueError):
            contact_sheet(**wrong)


def test_a_comparison_says_and_shows_how_far_apart():
    other = A.copy()
    other.putpixel((10, 20), tuple((np.array(A.getpixel((10, 20))) + 30).tolist()))
    figure = compare({"stock": A, "ours": other, "same": A})
    assert labels(figure)[3:] == [
        "differs from stock\nby up to 30 of 255",
        "differs from stock\nby up to 0 of 255",
    ]
    one, none = (axes.images[0].get_array() for axes in figure.axes[3:])
    assert one[20, 10].max() == 255 and (one > 0).any(-1).sum() == 1 and not none.any()
    assert "ours differs from stock by up to 30 of 255" in figure.alt
    assert len(compare({"a": A, "b": B}, reference="b").axes) == 3
    for wrong in ({"a": A}, {}):
        with pytest.raises(ValueError, match="at least two"):
            compare(wrong)
    with pytest.raises(ValueError, match="no image 'c': the names are a, b"):
        compare({"a": A, "b": B}, reference="c")


def test_importing_show_is_cheap_and_pyplot_is_never_needed():
    code = (
        "import sys; from visualcloze_nb import show; from PIL import Image\n"
        "print('matplotlib' in sys.modules)\n"
        "show.sheet([Image.new('RGB', (8, 8))])._repr_png_()\n"
        "print('matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False", "False"]


def test_a_signature_is_short_stable_text():
    assert signature(Image.new("RGB", (32, 16), "black")) == "32x16:" + "A" * 64 + "g" * 32
    assert signature(Image.new("RGB", (32, 16), "white")) == "32x16:" + "/" * 64 + "g" * 32
    assert signature(A) == signature(np.asarray(A)) != signature(B)


def test_the_line_is_printed(capsys):
    assert check_image(A, signature(A))
    assert capsys.readouterr().out == "image ✓ as expected\n"
    assert not check_image(A.transpose(Image.Transpose.ROTATE_180), signature(A), name="answer")
    assert capsys.readouterr().out.startswith("answer ✗ differs: colour is off by 62 of 255 in row 3")
    assert not check_image(C, signature(A))
    assert capsys.readouterr().out == "image ✗ differs: it is 192 x 192 pixels, not 64 x 64\n"


def test_the_line_says_where():
    dot = Image.new("RGB", (64, 64), "grey")
    dot.paste("white", (40, 16, 48, 24))
    assert difference(dot, signature(Image.new("RGB", (64, 64), "grey"))) == (
        "brightness is off by 125 of 255 in row 3, column 6 of 8 x 8 fields"
    )


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_a_signature_survives_the_noise_of_another_machine(seed):
    image = scene(seed)
    noise = np.random.default_rng(seed).normal(0, 4, (64, 64, 3))
    noisy = (np.asarray(image) + noise).clip(0, 255).astype(np.uint8)
    assert not difference(noisy, signature(image))
    brighter = (np.asarray(image) + 3.0).clip(0, 255).astype(np.uint8)
    assert not difference(brighter, signature(image))


WRONG = {
    "flipped": lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "upside down": lambda p: p.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    "turned": lambda p: p.transpose(Image.Transpose.ROTATE_90),
    "shifted": lambda p: ImageChops.offset(p, 8, 0),
    "inverted": ImageChops.invert,
    "grey": lambda p: p.convert("L").convert("RGB"),
    "colours swapped": lambda p: Image.merge("RGB", p.split()[::-1]),
    "black": lambda p: Image.new("RGB", p.size),
    "mean": lambda p: p.resize((1, 1), Image.Resampling.BOX).resize(p.size),
    "noise": lambda p: Image.effect_noise(p.size, 60).convert("RGB"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_image_is_noticed(name):
    for seed in range(20):
        image = scene(seed)
        assert difference(WRONG[name](image), signature(image)), seed


def test_another_colour_of_the_same_brightness_is_noticed():
    blue, red = (Image.new("YCbCr", (64, 64), (120, *colours)).convert("RGB") for colours in ((160, 90), (90, 160)))
    assert difference(red, signature(blue)).startswith("colour is off by")


def test_other_images_and_other_edges_are_noticed():
    for seed in range(20):
        assert difference(scene(seed + 1), signature(scene(seed)))
        assert difference(edges(scene(seed + 1)), signature(edges(scene(seed))))


def test_one_wrong_cell_of_a_grid_is_noticed():
    rows = [[scene(10 * row + col) for col in range(3)] for row in range(3)]
    stored = signature(Grid(rows))
    assert stored == signature(Grid(rows).image())
    for place in range(9):
        wrong = [list(row) for row in rows]
        wrong[place // 3][place % 3] = scene(99)
        assert difference(Grid(wrong), stored)
    swapped = [rows[1], rows[0], rows[2]]
    assert difference(Grid(swapped), stored)


@pytest.mark.parametrize("text", ["", "64x64", "64x64:ABC", "64x64:" + "-" * 96])
def test_what_is_not_a_signature_is_refused(text):
    with pytest.raises(ValueError, match="not a signature"):
        check_image(A, text)
