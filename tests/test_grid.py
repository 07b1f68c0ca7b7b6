"""A grid checks itself, lays itself out as diffusers does, and shows itself."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from visualcloze_nb import Grid, GridError, ImageError
from visualcloze_nb.data.grid_image import TARGET


def flat(colour, width=64, height=64):
    return Image.new("RGB", (width, height), colour)


RED, BLUE, GREEN = flat("red"), flat("blue"), flat("green")


@pytest.fixture
def grid():
    return Grid([[RED, BLUE], [GREEN, None]], task="swap", content="a field")


def test_a_grid_knows_its_parts(grid):
    assert (grid.n_rows, grid.n_cols, grid.targets) == (2, 2, (1,))
    assert len(grid.examples) == 1 and grid.query[1] is None
    assert grid.query[0].getpixel((0, 0)) == (0, 128, 0)
    assert grid.layout_prompt.startswith("A grid layout with 2 rows and 2 columns, displaying 4")
    assert grid.prompt == f"{grid.layout_prompt} swap The last image of the last row depicts: a field"
    assert Grid([[RED, None]]).prompt == Grid([[RED, None]]).layout_prompt


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "the grid has no cells"),
        ([[]], "the grid has no cells"),
        ([[RED, BLUE], [RED]], "row 2 has 1 cells, row 1 has 2"),
        (
            [[RED, BLUE], [None, RED], [RED, None]],
            "row 2, column 1 is empty: only the last row may have blanks",
        ),
        ([[None, None]], "row 1 has no image"),
        (RED, "rows is of type Image: give a list of rows"),
        ([RED, None], "row 1 is of type Image: give a list of images"),
        ([[RED, None], None], "row 2 is of type NoneType"),
    ],
)
def test_a_grid_that_breaks_the_rules_says_where(rows, message):
    with pytest.raises(GridError, match=message):
        Grid(rows)


def test_a_bad_image_is_named_by_its_cell():
    with pytest.raises(ImageError, match="row 2, column 1 is not an image"):
        Grid([[RED, BLUE], [b"junk", None]])


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"task": None}, "task is of type NoneType, not a text"),
        ({"content": 3}, "content is of type int, not a text"),
    ],
)
def test_texts_must_be_texts(texts, message):
    with pytest.raises(GridError, match=message):
        Grid([[RED, None]], **texts)


def test_a_grid_never_changes(grid):
    with pytest.raises(AttributeError):
        grid.task = "other"
    source = flat("red")
    kept = Grid([[source, None]])
    source.paste("black", (0, 0, 64, 64))
    assert kept.query[0].getpixel((0, 0)) == (255, 0, 0)
    lists = grid.to_lists()
    lists[1][1] = RED
    assert grid.targets == (1,)


def test_equality_is_that_of_pixels_and_texts(grid):
    same = Grid([[flat("red"), flat("blue")], [flat("green"), None]], task="swap", content="a field")
    assert grid == same and hash(grid) == hash(same)
    assert grid == copy.deepcopy(grid) == pickle.loads(pickle.dumps(grid))
    dot = flat("red")
    dot.putpixel((5, 5), (254, 0, 0))
    assert grid != same.with_examples([[dot, BLUE]])
    assert grid != same.replace(content=None) and grid != same.replace(task="")
    assert grid != grid.completed([RED]) and grid != "grid"


def test_filling_and_moving_the_blanks(grid):
    full = grid.completed([RED])
    assert full.targets == () and full.query[1].getpixel((0, 0)) == (255, 0, 0)
    backwards = full.with_blanks(0)
    assert backwards.targets == (0,) and backwards.examples == full.examples
    assert backwards.completed([GREEN]) == full
    both = grid.with_blanks(1, 0)
    assert both.targets == (0, 1)
    assert both.completed([GREEN, RED]) == full
    other = grid.with_blanks(0, query=[None, BLUE])
    assert other.targets == (0,) and other.query[1].getpixel((0, 0)) == (0, 0, 255)
    assert grid.with_examples([]).n_rows == 1 and grid.with_examples([]).query == grid.query


def test_only_a_grid_with_targets_can_be_asked(grid):
    assert grid.require_targets() is grid
    with pytest.raises(GridError, match="row 2 has no empty cell to fill: put None"):
        grid.completed([RED]).require_targets()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda grid: grid.completed([]), "0 images for 1 empty cells"),
        (lambda grid: grid.with_blanks(), "at least one column"),
        (lambda grid: grid.with_blanks(2), "there is no column 2: columns are 0 to 1"),
        (lambda grid: grid.with_blanks(-1), "there is no column -1"),
        (lambda grid: grid.with_blanks(0), "row 2, column 2 is empty and would have to be a condition"),
        (lambda grid: grid.with_blanks(0, query=[RED]), "query has 1 cells and the grid 2 columns"),
        (lambda grid: grid.layout(64).target_box(2), "there is no column 2"),
        (lambda grid: grid.with_examples([[RED, None]]), "row 1, column 2 is empty"),
    ],
)
def test_impossible_targets_are_refused(grid, call, message):
    with pytest.raises(GridError, match=message):
        call(grid)


def test_a_layout_by_hand():
    layout = Grid([[flat("red", 100, 60), RED], [flat("red", 60, 100), None]]).layout(64)
    assert layout.sizes == ((80, 48), (48, 80))
    assert layout.tokens == [30, 30] and layout.total == 60
    assert layout.row_slices == [slice(0, 30), slice(30, 60)]
    assert layout.target_box(1) == (48, 0, 96, 80)
    assert layout.ids.shape == (60, 3)
    assert layout.ids[[0, 1, 10, 29, 30, 59]].tolist() == [
        [1, 0, 0],
        [1, 0, 1],
        [1, 1, 0],
        [1, 2, 9],
        [2, 0, 0],
        [2, 4, 5],
    ]
    assert layout.cells[[0, 4, 5, 29, 30, 59]].tolist() == [[0, 0], [0, 0], [0, 1], [0, 1], [1, 0], [1, 1]]
    assert layout.target_tokens.sum() == 15 and not layout.target_tokens[:30].any()


def test_token_counts_of_the_published_grids():
    square = [RED, RED]
    assert Grid([square, [RED, None]]).layout(384).total == 2304
    assert Grid([[RED] * 3, [RED] * 3, [RED, RED, None]]).layout(384).total == 9 * 576
    assert Grid([square, [RED, None]]).layout(512).total == 4096


def test_an_empty_query_takes_the_size_of_the_last_example():
    grid = Grid([[RED, RED], [flat("red", 100, 60)] * 2, [None, None]])
    assert grid.layout(64).sizes == ((64, 64), (80, 48), (80, 48))
    assert grid.targets == (0, 1)
    assert grid.image().width > 100


SIDE = st.integers(8, 300)


@st.composite
def grids(draw):
    rows, cols = draw(st.integers(1, 3)), draw(st.integers(2, 4))
    noise = np.random.default_rng(draw(st.integers(0, 999)))
    cells = [
        [Image.fromarray(noise.integers(0, 256, (draw(SIDE), draw(SIDE), 3), dtype=np.uint8)) for _ in range(cols)]
        for _ in range(rows)
    ]
    cells[-1][draw(st.integers(0, cols - 1))] = None
    return Grid(cells)


@given(grids())
@settings(max_examples=25, deadline=None)
def test_layout_and_pixels_are_diffusers_own(grid):
    import torch
    from diffusers import VisualClozeGenerationPipeline
    from diffusers.pipelines.visualcloze.visualcloze_utils import VisualClozeProcessor

    tensors, sizes, targets = VisualClozeProcessor(resolution=64).preprocess_image(grid.to_lists(), 8)
    layout = grid.layout(64)
    assert [[(w, h)] * grid.n_cols for w, h in layout.sizes] == [[(w, h) for h, w in row] for row in sizes]
    assert tuple(np.flatnonzero(targets)) == grid.targets
    for ours, stock in zip(grid.fitted(64), tensors, strict=True):
        for cell, tensor in zip(ours, stock, strict=True):
            pixels = (tensor[0] / 2 + 0.5).permute(1, 2, 0).numpy() * 255
            assert not pixels.any() if cell is None else np.allclose(np.asarray(cell), pixels, atol=1e-3)
    strips = [torch.cat(row, dim=3) for row in tensors]
    ids = VisualClozeGenerationPipeline._prepare_latent_image_ids(strips, 8, "cpu", torch.float32)
    assert np.array_equal(layout.ids, ids.numpy())
    assert layout.total == len(ids)


def test_several_targets_in_a_square_grid_are_laid_out_as_in_diffusers():
    from diffusers.pipelines.visualcloze.visualcloze_utils import VisualClozeProcessor

    grid = Grid([[RED, BLUE, GREEN], [RED, None, None]])
    tensors, sizes, _ = VisualClozeProcessor(resolution=64).preprocess_image(grid.to_lists(), 8)
    assert sizes == [[[64, 64]] * 3] * 2 and grid.layout(64).sizes == ((64, 64),) * 2
    assert np.allclose(np.asarray(grid.fitted(64)[0][1]) / 127.5 - 1, tensors[0][1][0].permute(1, 2, 0))


def test_several_targets_keep_the_shape_of_the_row():
    wide = flat("red", 640, 480)
    assert Grid([[wide] * 3, [wide, None, None]]).layout(384).sizes == ((432, 320),) * 2


def pixels_near(image, colour):
    wanted = np.array(colour)
    return (np.abs(np.asarray(image).astype(int) - wanted).max(-1) < 12).sum()


def test_the_image_shows_cells_blanks_and_outline(grid):
    vermillion = tuple(int(TARGET[i : i + 2], 16) for i in (1, 3, 5))
    shown, full = grid.image(), grid.completed([RED]).image()
    assert shown.size == full.size
    for colour, cells in (((255, 0, 0), 1), ((0, 0, 255), 1), ((0, 128, 0), 1)):
        assert pixels_near(shown, colour) == pytest.approx(cells * 128 * 128, rel=0.05)
    assert pixels_near(full, (255, 0, 0)) == pytest.approx(2 * 128 * 128, rel=0.05)
    assert pixels_near(shown, vermillion) > 1000 and pixels_near(full, vermillion) == 0
    assert pixels_near(grid.completed([RED]).image(outline=[1]), vermillion) > 1000
    upper = shown.crop((0, 0, shown.width, shown.height // 2 - 10))
    assert pixels_near(upper, vermillion) == 0
    assert grid.image(titles=["one", "two"]).height > shown.height
    assert grid.image(cell=64).width < shown.width
    with pytest.raises(ValueError, match="1 titles for 2 columns"):
        grid.image(titles=["one"])
    with pytest.raises(ValueError, match="at least 16"):
        grid.image(cell=4)


def test_rows_are_drawn_at_their_own_aspect_ratio():
    tall = Grid([[flat("red", 50, 80), flat("blue", 50, 80)], [flat("green", 90, 30), None]]).image()
    red = np.argwhere(np.all(np.asarray(tall) == (255, 0, 0), -1))
    height, width = red.max(0) - red.min(0) + 1
    assert height / width == pytest.approx(1.6, rel=0.05)
    assert height * width == pytest.approx(128 * 128, rel=0.05)
    assert max(Grid([[flat("red", 5000, 1), None]]).image().size) < 700


def test_a_notebook_gets_an_image_and_words(grid):
    data, metadata = grid._repr_mimebundle_()
    assert Image.open(__import__("io").BytesIO(data["image/png"])).size == grid.image().size
    assert data["image/png"] == grid._repr_png_()
    assert metadata["image/png"]["alt"] == "Grid of 1 example row above a query row: an image, empty."
    assert repr(grid) == data["text/plain"]
    assert repr(grid) == "<Grid 2 x 2, target in column 2, task='swap', content='a field'>"
    assert "targets in columns 1, 2" in repr(grid.with_blanks(0, 1))
    assert "finished" in repr(grid.completed([RED]))


def test_a_list_that_cannot_be_read_is_refused():
    class Unreadable(list):
        def __iter__(self):
            raise RuntimeError("no items")

    with pytest.raises(GridError, match="rows is of type Unreadable: give a list"):
        Grid(Unreadable([[None]]))
    with pytest.raises(GridError, match="row 1 is of type Unreadable: give a list"):
        Grid([Unreadable([None])])
