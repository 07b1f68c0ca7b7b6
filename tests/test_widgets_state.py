"""State of the grid builder: drafts, undo, problems at their cells, code. No widgets, no torch."""

import pytest
from conftest import noise_image, rows
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from visualcloze_nb import Grid, GridError, ImageError
from visualcloze_nb.data.prompts import column_prompt
from visualcloze_nb.widgets.code_export import code
from visualcloze_nb.widgets.draft import Cell, place
from visualcloze_nb.widgets.state import BuilderState

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NAMES = st.sampled_from(["an image", "a depth map", "white outlines", 'a "quoted" one', "x, y"])


@st.composite
def grids(draw):
    """Any grid of up to 5 x 5 small images, with or without targets, with any texts."""
    n_rows, n_cols = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    size = st.tuples(st.integers(1, 9), st.integers(1, 9))
    cells = [[noise_image(*draw(size), seed=5 * r + c) for c in range(n_cols)] for r in range(n_rows)]
    targets = draw(st.sets(st.integers(0, n_cols - 1), max_size=n_cols if n_rows > 1 else n_cols - 1))
    for col in targets:
        cells[-1][col] = None
    names = draw(st.lists(NAMES, min_size=n_cols, max_size=n_cols))
    task = draw(TEXTS | st.just(column_prompt(names, sorted(targets)) if targets else ""))
    return Grid(cells, task, draw(st.none() | TEXTS))


def run(text: str) -> Grid:
    namespace = {}
    exec(text, namespace)
    return namespace["grid"]


@given(grids())
@settings(max_examples=60, deadline=None)
def test_a_grid_opened_is_the_same_grid(grid):
    assert BuilderState(grid).grid == grid


@given(grids())
@settings(max_examples=40, deadline=None)
def test_the_code_of_a_grid_makes_an_equal_grid(grid):
    assert run(code(BuilderState(grid))) == grid


MOVES = {
    "resize": lambda s, a, b, p: s.resize(a % 5 + 1, b % 5 + 1),
    "put": lambda s, a, b, p: s.put(a % s.n_rows, b % s.n_cols, p),
    "clear": lambda s, a, b, p: s.clear(a % s.n_rows, b % s.n_cols),
    "mark": lambda s, a, b, p: s.mark(b % s.n_cols, a % 2 == 0),
    "swap": lambda s, a, b, p: s.swap((a % s.n_rows, b % s.n_cols), (b % s.n_rows, a % s.n_cols)),
    "move": lambda s, a, b, p: s.move(a % s.n_rows, b % s.n_cols, ("left", "right", "up", "down")[a % 4]),
    "name": lambda s, a, b, p: s.name_columns([f"kind {a + col}" for col in range(s.n_cols)]),
    "task": lambda s, a, b, p: s.write_task(None if a % 3 == 0 else f"task {b}"),
    "content": lambda s, a, b, p: s.write_content(None if a % 3 == 0 else f"content {b}"),
    "predict": lambda s, a, b, p: s.set_predictions([p] * len(s.draft.targets)),
    "reverse": lambda s, a, b, p: s.reverse(),
    "select": lambda s, a, b, p: s.select(a % s.n_rows, b % s.n_cols),
    "refuse": lambda s, a, b, p: s.refuse(a % s.n_rows, b % s.n_cols, "no"),
}


STEPS = st.tuples(st.sampled_from(sorted(MOVES)), st.integers(0, 24), st.integers(0, 24))


@given(grids(), st.lists(STEPS, max_size=12))
@settings(max_examples=60, deadline=None)
def test_whatever_is_done_the_state_holds_together_and_can_be_undone(grid, moves):
    """Every move either changes the state or is refused in words; code and grid agree; undo leads back."""
    state = BuilderState(grid)
    for name, a, b in moves:
        try:
            MOVES[name](state, a, b, noise_image(3, 2, seed=a))
        except GridError:
            pass
        assert {len(row) for row in state.draft.rows} == {state.n_cols}
        assert state.draft.targets <= set(range(state.n_cols))
        assert state.selected[0] < state.n_rows and state.selected[1] < state.n_cols
        assert all(r < state.n_rows and c < state.n_cols for r, c in state.refused)
        if state.problems:
            with pytest.raises(GridError):
                _ = state.grid
        else:
            assert run(code(state)) == state.grid
    while state.undo():
        pass
    assert state.grid == grid
    while state.redo():
        pass


def test_problems_name_their_cell_and_what_to_do():
    state = BuilderState()
    assert state.problems[0, 1] == "row 1, column 2 is empty: put an image in"
    assert state.problems[2, 0] == "row 3, column 1 is empty: put an image in or mark it as a target"
    assert (2, 1) not in state.problems
    for row, col in list(state.problems):
        state.put(row, col, noise_image())
    assert state.problems == {} and state.problem == ""
    assert state.grid.targets == (1,)
    state.mark(1, False)
    assert state.problem == "row 3, column 2 is empty: put an image in or mark it as a target"
    state.put(2, 1, noise_image())
    assert state.problem == "row 3 has no target: mark the cell to be filled in"


def test_one_row_of_targets_is_refused_at_its_cell():
    state = BuilderState(Grid(rows(1, 2)))
    state.mark(0)
    assert "one cell needs an image" in state.problems[0, 0]
    with pytest.raises(GridError, match="row 1"):
        _ = state.grid


def test_a_bad_image_is_refused_at_its_cell_and_leaves_it_as_it_was():
    state = BuilderState(Grid(rows()))
    before = state.draft
    with pytest.raises(ImageError, match="row 1, column 2 is not an image"):
        state.put(0, 1, b"not an image at all")
    assert state.refused[0, 1].startswith("row 1, column 2") and state.draft is before
    state.put(0, 1, noise_image(5, 5))
    assert state.refused == {}


def test_undo_and_redo_go_back_and_forth_and_a_new_change_ends_redo():
    state = BuilderState(Grid(rows()))
    first = state.grid
    state.write_content("one")
    state.write_content("two")
    assert state.undo() and state.grid.content == "one"
    assert state.undo() and state.grid == first and not state.undo()
    assert state.redo() and state.redo() and state.grid.content == "two" and not state.redo()
    state.undo()
    state.write_content("three")
    assert not state.can_redo and state.grid.content == "three"


def test_a_target_keeps_what_lay_there_until_it_is_unmarked():
    truth = noise_image(8, 8, seed=77)
    state = BuilderState(Grid([*rows(2, 2)[:1], [noise_image(seed=1), truth]]))
    state.mark(1)
    assert state.grid.targets == (1,) and state.shown(1, 1).image is None
    state.mark(1, False)
    assert state.grid.rows[1][1].tobytes() == truth.tobytes()


def test_an_image_put_into_a_target_makes_it_a_condition():
    state = BuilderState(Grid(rows(2, 3, targets=(1, 2))))
    state.put(1, 1, noise_image())
    assert state.grid.targets == (2,)


def test_targets_move_along_the_query_row_but_not_out_of_it():
    state = BuilderState(Grid(rows(2, 3, targets=(2,))))
    moved = state.draft.rows[1][1]
    state.move(1, 2, "left")
    assert state.draft.targets == {1} and state.draft.rows[1][2] is moved and state.selected == (1, 1)
    with pytest.raises(GridError, match="row 2, column 2 is a target: only the last row has targets"):
        state.move(1, 1, "up")
    with pytest.raises(GridError, match="row 1, column 1 is at the edge, with no cell left of it"):
        state.move(0, 0, "left")


def test_rows_are_added_above_the_query_and_taken_from_there():
    state = BuilderState(Grid(rows(2, 2)))
    query = state.draft.rows[-1]
    state.resize(3, 3)
    assert state.draft.rows[-1][:2] == query and state.n_cols == 3
    assert {(1, 0), (0, 2), (2, 2)} <= set(state.problems)
    state.resize(2, 2)
    assert state.draft.rows[-1] == query and not state.problems
    with pytest.raises(GridError, match="6 rows: give 1 to 5"):
        state.resize(6, 2)


def test_the_task_prompt_is_written_from_the_names_and_follows_the_targets():
    state = BuilderState(Grid(rows()))
    state.name_columns(["an image", "a depth map"])
    assert state.grid.task == column_prompt(["an image", "a depth map"], [1])
    state.put(1, 1, noise_image())
    state.mark(0)
    assert state.grid.task == column_prompt(["an image", "a depth map"], [0])
    state.write_task("my own words")
    assert state.grid.task == "my own words"


def test_names_are_read_out_of_a_prompt_in_the_authors_form():
    names = ["an edge map", "a depth map, inverted", "an image"]
    state = BuilderState(Grid(rows(2, 3), column_prompt(names, [2])))
    assert list(state.draft.names) == names and state.draft.task is None
    by_hand = BuilderState(Grid(rows(2, 3), "Make [IMAGE3] an image."))
    assert by_hand.draft.task == "Make [IMAGE3] an image." and by_hand.draft.names == ("", "", "an image")


def test_predictions_go_into_the_targets_and_reverse_moves_the_blanks():
    answer = noise_image(9, 9, seed=5)
    state = BuilderState(Grid(rows(2, 3, targets=(2,)), column_prompt(["a", "b", "c"], [2])))
    with pytest.raises(GridError, match="row 2 has no prediction yet: run it first"):
        state.reverse()
    state.set_predictions([answer])
    assert state.shown(1, 2).image is answer and state.grid.targets == (2,)
    state.reverse()
    assert state.grid.targets == (0, 1) and state.grid.rows[1][2].tobytes() == answer.tobytes()
    assert state.grid.task == column_prompt(["a", "b", "c"], [0, 1])
    assert state.draft.predictions == {}


def test_predictions_are_dropped_when_the_grid_changes_but_not_when_texts_do():
    state = BuilderState(Grid(rows()))
    state.set_predictions([noise_image()])
    state.write_content("a text")
    assert state.draft.predictions
    state.put(0, 0, noise_image(seed=9))
    assert not state.draft.predictions
    state.undo()
    assert state.draft.predictions


def test_code_can_save_the_images_as_files(tmp_path):
    grid = Grid(rows(2, 2), "task", "content")
    text = code(BuilderState(grid), tmp_path / "new")
    assert "base64" not in text and sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "image_1_1.png",
        "image_1_2.png",
        "image_2_1.png",
    ]
    assert run(text) == grid
    Image.new("RGB", (2, 2)).save(tmp_path / "new" / "image_1_1.png")
    assert run(text) != grid


def test_code_of_an_unfinished_grid_names_the_cell():
    with pytest.raises(GridError, match="row 1, column 1 is empty"):
        code(BuilderState())


def test_observers_are_called_after_every_change():
    state, heard = BuilderState(), []
    state.observe(lambda: heard.append(state.draft))
    state.put(0, 0, noise_image())
    state.refuse(0, 1, "no")
    state.select(1, 1)
    state.select(1, 1)
    state.undo()
    assert len(heard) == 4


def test_places_are_counted_from_one():
    assert place(0, 2) == "row 1, column 3" and Cell().image is None
