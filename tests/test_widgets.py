"""The builder's controls: each works, and none loses an error. The browser's side is tested in tests/browser."""

import asyncio
import io
import subprocess
import sys
import threading
import warnings
from datetime import datetime

import ipywidgets
import numpy as np
import pytest
from conftest import noise_image, rows
from hypothesis import given, settings
from ipywidgets import Widget
from PIL import Image
from test_widgets_state import grids

from tools import task_cards
from visualcloze_nb import Grid, ImageError, tasks
from visualcloze_nb.widgets import (
    GridBuilder,
    cards,
    file_upload,
    gallery,
    notebook_output,
    photo_gallery,
    task_picker,
    thumbnails,
)
from visualcloze_nb.widgets.cell_text import describe
from visualcloze_nb.widgets.drop_zone import SENT_BYTES, DropWidget
from visualcloze_nb.widgets.error_output import ErrorOutput


def png(shown: Image.Image) -> bytes:
    data = io.BytesIO()
    shown.save(data, "PNG")
    return data.getvalue()


def open_example(builder, number):
    """Choose a card, or in the plain form a line of the list, as a reader does."""
    cards = builder.picker.cards
    if cards.plain:
        cards.list.value = number
        cards.button.click()
    else:
        cards.box._handle_custom_msg({"kind": "choose", "number": number}, [])


def alive() -> int:
    """Number of widgets."""
    return len(Widget.widgets if file_upload.SEVEN else ipywidgets.widgets.widget._instances)


def choose(builder, name: str, data: bytes) -> None:
    """What happens to ipywidgets' FileUpload, of 7 or 8, when a reader chooses a file."""
    sent = {"name": name, "type": "image/png", "size": len(data)}
    if file_upload.SEVEN:
        builder.cell_form.file.set_trait("value", {name: {"metadata": sent, "content": data}})
    else:
        builder.cell_form.file.value = ({**sent, "content": memoryview(data), "last_modified": datetime.now()},)


@pytest.fixture(params=["plain", "drop"])
def builder(request):
    return GridBuilder(Grid(rows(2, 2)), drag_and_drop=request.param == "drop")


def test_import_and_first_display_take_no_torch_and_under_a_second():
    script = """
import sys, time
start = time.process_time()  # of this process alone: other work on the machine is not what is measured
from visualcloze_nb.widgets import GridBuilder
builder = GridBuilder()
builder.show()
seconds = time.process_time() - start
heavy = [name for name in ("torch", "diffusers", "transformers", "matplotlib") if name in sys.modules]
print("measured", round(seconds, 2), heavy, file=sys.stderr)
"""
    lines = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        lines.append(done.stderr.strip().split("\n")[-1].split(maxsplit=2))
        assert lines[-1][2] == "[]", f"imported {lines[-1][2]}"
    assert min(float(line[1]) for line in lines) < 1.0


@given(grids())
@settings(max_examples=15, deadline=None)
def test_the_builder_gives_back_its_grid_and_its_code_makes_it(grid):
    builder = GridBuilder(grid, drag_and_drop=False)
    assert builder.grid == grid
    namespace = {}
    exec(builder.code(), namespace)
    assert namespace["grid"] == grid


# No error is lost ------------------------------------------------------------------------------------------


def trigger(connection):
    """Do to a widget what the browser does."""
    widget = connection.widget
    if connection.event == "click":
        widget.click()
    elif connection.event == "msg":
        widget._handle_custom_msg({"kind": "swap", "row": 0, "col": 0}, [])
    else:
        old = getattr(widget, connection.event)
        widget.notify_change({"name": connection.event, "old": old, "new": old, "owner": widget, "type": "change"})


def test_an_error_in_any_handler_is_shown(builder):
    """Each handler in turn is made to fail, and triggered through its own widget."""
    connections = builder.errors.connections
    assert len(connections) > 25 and len({connection.name for connection in connections}) == len(connections)
    for connection in connections:
        builder.errors.clear()

        def fail(*args, name=connection.name):
            raise RuntimeError(f"<boom> in {name}")

        builder.errors.handlers[connection.name] = fail
        trigger(connection)
        shown = builder.errors.message.value
        assert f"&lt;boom&gt; in {connection.name}" in shown and 'role="alert"' in shown, connection.name
        assert "RuntimeError" in shown and "<pre>" in shown, "the traceback is there to be opened"


def test_every_control_is_connected(builder):
    """Each control has a handler, or is read when a button is clicked."""
    connected = {id(connection.widget) for connection in builder.errors.connections}
    controls = [widget for widget in everything(builder.box) if hasattr(widget, "disabled")]
    form = builder.cell_form
    picker = builder.picker
    read_later = {picker.scene, picker.examples, form.kind, form.toy_scene, form.other, builder.ways_out.path}
    read_later |= {
        builder.panel.seed,
        getattr(picker.cards, "list", None),
        getattr(builder.history.cards, "list", None),
    }
    assert len(controls) > 25
    for control in controls:
        assert id(control) in connected or control in read_later, f"{control.description} does nothing"


def everything(box):
    for child in getattr(box, "children", ()):
        yield child
        yield from everything(child)


def test_our_refusals_are_shown_in_their_words_without_a_traceback(builder):
    builder.state.select(0, 0)
    builder.cell_form.moves["left"].click()
    assert "row 1, column 1 is at the edge" in builder.errors.message.value
    assert "<pre>" not in builder.errors.message.value


def test_warnings_are_shown_too(builder):
    def warn(*_):
        warnings.warn("only <half> of it is used", stacklevel=1)

    builder.errors.handlers["undo"] = warn
    builder.buttons["Undo"].click()
    assert "only &lt;half&gt; of it is used" in builder.errors.message.value


def test_choosing_a_cell_does_not_take_a_message_away(builder):
    builder.errors.show_text("read me")
    builder.cell_form.which.value = (1, 0)
    assert "read me" in builder.errors.message.value and builder.state.selected == (1, 0)
    builder.buttons["Add row"].click()
    assert "read me" not in builder.errors.message.value


def test_changing_a_muted_widget_calls_no_handler():
    import ipywidgets

    errors, box, heard = ErrorOutput(), ipywidgets.Text(), []
    errors.connect("text", box, "value", heard.append)
    with errors.muted():
        box.value = "ours"
    box.value = "theirs"
    assert heard == ["theirs"]


# Each control ----------------------------------------------------------------------------------------------


def test_rows_and_columns_come_and_go(builder):
    builder.buttons["Add row"].click()
    builder.buttons["Add column"].click()
    assert (builder.state.n_rows, builder.state.n_cols) == (3, 3) and len(builder.prompt_form.names) == 3
    for _ in range(3):
        builder.buttons["Add row"].click()
    assert (
        builder.state.n_rows == 5 and builder.buttons["Add row"].disabled and not builder.buttons["Remove row"].disabled
    )
    for _ in range(4):
        builder.buttons["Remove row"].click()
    assert builder.state.n_rows == 1 and builder.buttons["Remove row"].disabled
    assert builder.errors.message.value == ""


def test_fifty_column_changes_leave_the_number_of_widgets_level(builder):
    def change(times):
        for _ in range(times):
            for label in ("Add column", "Add row", "Remove column", "Remove row"):
                builder.buttons[label].click()

    change(1)
    before = alive(), len(builder.errors.connections), len(builder.errors.handlers)
    change(25)
    assert (alive(), len(builder.errors.connections), len(builder.errors.handlers)) == before


def test_a_target_is_marked_and_unmarked(builder):
    builder.state.select(1, 0)
    assert not builder.cell_form.is_target.disabled
    builder.cell_form.is_target.value = True
    assert builder.state.draft.targets == {0, 1}
    builder.cell_form.is_target.value = False
    assert builder.grid.targets == (1,)
    builder.state.select(0, 0)
    assert builder.cell_form.is_target.disabled and not builder.cell_form.is_target.value


def test_cells_are_swapped_moved_and_emptied(builder):
    first, second = builder.state.draft.rows[0]
    builder.state.select(0, 0)
    builder.cell_form.moves["right"].click()
    assert builder.state.draft.rows[0] == (second, first) and builder.state.selected == (0, 1)
    builder.cell_form.other.value = (0, 0)
    builder.cell_form.swap.click()
    assert builder.state.draft.rows[0] == (first, second)
    builder.cell_form.clear.click()
    assert builder.state.problems == {(0, 1): "row 1, column 2 is empty: put an image in"}
    builder.buttons["Undo"].click()
    assert not builder.state.problems
    builder.buttons["Redo"].click()
    assert builder.state.problems


def test_swap_without_a_partner_is_said(builder):
    builder.cell_form.other.value = None
    builder.cell_form.swap.click()
    assert 'role="alert"' in builder.errors.message.value and "choose the other cell" in builder.errors.message.value


def test_texts(builder):
    for text, name in zip(builder.prompt_form.names, ("a picture", "a depth map"), strict=True):
        text.value = name
    assert "[IMAGE2] a depth map based on [IMAGE1] a picture" in builder.grid.task and builder.prompt_form.task.disabled
    builder.prompt_form.from_names.value = False
    builder.prompt_form.task.value = "by hand"
    assert builder.grid.task == "by hand" and not builder.prompt_form.task.disabled
    builder.prompt_form.from_names.value = True
    assert "[IMAGE2]" in builder.grid.task
    assert builder.grid.content is None
    builder.prompt_form.with_content.value = True
    builder.prompt_form.content.value = "a cat"
    assert builder.grid.content == "a cat"
    builder.prompt_form.with_content.value = False
    assert builder.grid.content is None


def test_layout_prompt_tokens_and_seconds_are_live(builder):
    layout = builder.prompt_form.layout_prompt
    assert "3 rows" not in layout.value and "✓ Ready to run." in builder.facts.value
    assert "64 image tokens, in stage 2 144" in builder.panel.estimate.value and "About" in builder.panel.estimate.value
    builder.buttons["Add row"].click()
    assert "with 3 rows and 2 columns" in layout.value and "2 cells to fill" in builder.facts.value
    assert "once the grid is complete" in builder.panel.estimate.value


def test_nothing_is_a_problem_before_the_first_try_and_then_run_leads_to_the_first(builder):
    builder.buttons["Add row"].click()
    builder.state.select(2, 0)
    assert not any(describe(builder.state, r, c).problem for r in range(3) for c in range(2))
    asked = []
    builder.cells.focus = lambda: asked.append(builder.state.selected)
    builder.panel.buttons["Run"].click()
    assert asked == [(1, 0)] and not builder.panel.running
    assert "row 2, column 1 is empty: put an image in" in builder.errors.message.value
    assert "Not ready: row 2, column 1 is empty" in builder.facts.value
    assert describe(builder.state, 1, 1).problem and not describe(builder.state, 0, 0).problem
    for col in range(2):
        builder.state.put(1, col, noise_image())
    builder.buttons["Add row"].click()
    assert "2 cells to fill" in builder.facts.value, "hints again, once it was complete"


def test_the_message_stands_beside_run(builder):
    controls = builder.panel.box.children
    assert controls[1] is builder.errors.message and builder.panel.buttons["Run"] in controls[0].children


def test_a_file_is_put_into_the_chosen_cell():
    builder = GridBuilder(drag_and_drop=False)
    builder.state.select(1, 1)
    choose(builder, "cat.png", png(noise_image(30, 20)))
    cell = builder.state.draft.rows[1][1]
    assert cell.image.size == (30, 20) and cell.note == "cat.png, 30 x 20" and builder.errors.message.value == ""
    assert not builder.cell_form.file.value
    shown = builder.cells._cells[1, 1][0].value
    assert 'alt="row 2, column 2: cat.png, 30 x 20"' in shown and "data:image/png;base64" in shown


@pytest.mark.parametrize(
    "data, said", [(b"broken", "not an image that can be read"), (bytes(5_000_001), "5.0 MB, over the limit of 5 MB")]
)
def test_a_broken_or_too_large_file_is_refused_at_its_cell(data, said):
    builder = GridBuilder(drag_and_drop=False)
    builder.state.select(0, 1)
    choose(builder, "bad.png", data)
    assert said in builder.state.refused[0, 1] and said in builder.errors.message.value
    assert said in builder.cells._cells[0, 1][0].value and 'role="alert"' in builder.cells._cells[0, 1][0].value
    assert said not in builder.cells._cells[0, 0][0].value and said in builder.cell_form.heading.value
    assert builder.state.draft.rows[0][1].image is None and not builder.state.can_undo


@pytest.mark.parametrize("data", [b"broken", bytes(5_000_001)])
def test_row_10_a_refused_file_can_be_chosen_again(data):
    """The browser sends no event for a value that stays as it is, so the form is empty before anything is raised."""
    builder = GridBuilder(drag_and_drop=False)
    for cell in ((0, 1), (0, 1), (1, 0)):
        builder.state.select(*cell)
        builder.errors.clear()
        choose(builder, "bad.png", data)
        assert not builder.cell_form.file.value and cell in builder.state.refused
        assert "bad.png" in builder.errors.message.value or "row" in builder.errors.message.value
    good = png(noise_image(30, 20))
    for cell in ((0, 1), (1, 0)):
        builder.state.select(*cell)
        choose(builder, "cat.png", good)
        assert builder.state.draft.rows[cell[0]][cell[1]].image.size == (30, 20) and not builder.cell_form.file.value


def test_a_gif_s_first_frame_is_used_and_that_is_said():
    builder, data = GridBuilder(drag_and_drop=False), io.BytesIO()
    frames = [noise_image(9, 9, seed=n) for n in range(3)]
    frames[0].save(data, "GIF", save_all=True, append_images=frames[1:])
    choose(builder, "moving.gif", data.getvalue())
    assert "holds 3 frames: the first is used" in builder.errors.message.value


# Drag and drop ---------------------------------------------------------------------------------------------


def drop(grid=Grid(rows(2, 3, targets=(2,)))):  # noqa: B008
    builder = GridBuilder(grid, drag_and_drop=True)
    zone = next(widget for widget in everything(builder.box) if isinstance(widget, DropWidget))

    def send(buffers=(), **said):
        box = zone if said["kind"] in ("put", "refuse", "failed") else builder.cells.box
        box._handle_custom_msg({"batch": str(said), "number": 0, "total": 1, **said}, list(buffers))

    return builder, send


def test_a_dropped_file_lands_in_its_cell():
    builder, send = drop()
    data = png(noise_image(40, 30))
    send([memoryview(data)], kind="put", at=[0, 1], name="photo.jpg", **{"from": [4000, 3000]})
    assert builder.state.draft.rows[0][1].note == "photo.jpg (4000 x 3000, shrunk), 40 x 30"
    assert builder.state.selected == (0, 1)
    sent = builder.cells.box.view["cells"][0][1]
    answers = []
    builder.cells.box.send = lambda content, buffers: answers.append((content, buffers))
    send(kind="want", keys=[sent["image"], "gone"])
    ((content, buffers),) = answers
    assert sent["kind"] == "image" and content["keys"] == [sent["image"]] and content["mimes"] == ["image/png"]
    assert content["asked"] == [sent["image"], "gone"] and buffers[0][:4] == b"\x89PNG"


def test_dropped_files_that_cannot_be_used_are_refused_at_their_cell():
    builder, send = drop()
    send([b"not an image"], kind="put", at=[0, 1], name="x.png", **{"from": None})
    assert "not an image" in builder.cells.box.view["cells"][0][1]["problem"]
    send(kind="refuse", at=[1, 0], name="huge.tif", why="is 61 MB, over the limit of 50 MB: save a smaller version")
    assert builder.cells.box.view["cells"][1][0]["problem"].startswith("row 2, column 1: huge.tif is 61 MB")
    send([bytes(1_000_001)], kind="put", at=[1, 1], name="y.png", **{"from": None})
    assert "over the limit of a million" in builder.errors.message.value and SENT_BYTES < 1_000_000


def test_cells_are_dragged_marked_and_emptied():
    builder, send = drop()
    first, second = builder.state.draft.rows[0][:2]
    send(kind="swap", row=0, col=0, to_row=0, to_col=1)
    assert builder.state.draft.rows[0][:2] == (second, first) and builder.cells.box.selected == [0, 1]
    send(kind="mark", row=1, col=1)
    assert builder.state.draft.targets == {1, 2}
    send(kind="mark", row=1, col=2)
    assert builder.state.draft.targets == {1}
    send(kind="mark", row=0, col=0)
    assert "only the last row has targets" in builder.errors.message.value
    send(kind="clear", row=0, col=2)
    assert "row 1, column 3 is empty" in builder.state.problem
    send(kind="undo", row=0, col=0)
    assert (0, 2) not in builder.state.problems
    send(kind="dance", row=0, col=0)
    assert "dance" in builder.errors.message.value
    send(kind="swap")
    assert "KeyError" in builder.errors.message.value


def test_choosing_a_cell_in_the_browser_moves_the_form():
    builder, _ = drop()
    builder.cells.box.selected = [1, 2]
    assert builder.state.selected == (1, 2) and "row 2, column 3 (target)" in builder.cell_form.heading.value


def photos_of(count):
    return [memoryview(png(noise_image(20 + number, 20, seed=number))) for number in range(count)]


def drop_all(send, images, at=None, batch="one"):
    for number, data in enumerate(images):
        more = {"name": f"{number + 1}.png", "from": None, "at": at, "batch": batch}
        send([data], kind="put", number=number, total=len(images), **more)


@pytest.mark.parametrize(
    "count, shape", [(8, (3, 3)), (5, (3, 2)), (3, (2, 2)), (1, (3, 2)), (24, (5, 5)), (11, (4, 3))]
)
def test_photographs_dropped_on_a_blank_grid_fit_with_nothing_to_repair(count, shape):
    builder, send = drop(None)
    drop_all(send, photos_of(count), at=[1, 0] if count > 1 else None)
    state = builder.state
    assert (state.n_rows, state.n_cols) == shape
    notes = [cell.note for row in state.draft.rows for cell in row if cell.image is not None]
    assert notes == [f"{number + 1}.png, {20 + number} x 20" for number in range(count)], "in their order"
    if count == shape[0] * shape[1] - 1:
        assert state.problem == "" and builder.grid.targets == (shape[1] - 1,)
    builder.buttons["Undo"].click()
    assert (state.n_rows, state.n_cols) == (3, 2) and len(state.problems) == 5 and not state.can_undo, "one step"


def test_several_images_skip_targets_and_what_does_not_fit_is_said():
    builder, send = drop()
    before = builder.state.draft
    drop_all(send, photos_of(6), at=[0, 2])
    notes = [cell.note.split(",")[0] for row in builder.state.draft.rows for cell in row]
    assert notes[2:5] == ["1.png", "2.png", "3.png"] and builder.state.draft.targets == {2}
    said = builder.errors.message.value
    assert "3 did not fit: 4.png, 5.png, 6.png. Add a row or a column" in said
    drop_all(send, photos_of(1), at=[0, 0], batch="two")
    builder.buttons["Undo"].click()
    builder.buttons["Undo"].click()
    assert builder.state.draft is before and not builder.state.can_undo


def test_an_address_that_cannot_be_fetched_is_said():
    builder, send = drop()
    send(kind="failed", name="cat.jpg", host="example.org")
    assert "cat.jpg cannot be fetched from example.org: save the image, then drop" in builder.errors.message.value


def test_the_plain_form_takes_files_by_upload_and_the_other_by_drop():
    plain, dropped = (GridBuilder(Grid(rows()), drag_and_drop=drag) for drag in (False, True))
    assert plain.cell_form.file in list(everything(plain.box)) and not plain.cells.takes_files
    assert dropped.cell_form.file not in list(everything(dropped.box)) and dropped.cells.takes_files


def test_the_files_of_the_front_end_are_part_of_the_package():
    from visualcloze_nb.widgets import grid_view as module

    for name in ("grid_view.js", "drop_zone.js", "cards.js", "form.js"):
        script = (module.HERE / name).read_text()
        assert "://" not in script and "import(" not in script, "no build step and nothing from elsewhere"


# The toy world ---------------------------------------------------------------------------------------------


def test_the_gallery_has_real_kinds_and_every_family_of_the_paper():
    from visualcloze_nb.toyworld import phrase

    for kind in gallery.KINDS:
        phrase(kind)
    of_the_paper = {"Conditional generation", "Dense prediction", "Restoration", "Style transfer", "Subject extraction"}
    of_the_paper |= {"Reference to image", "Reverse generation", "Several targets", "Unseen task"}
    of_the_paper |= {f"Conditional generation with {more}" for more in ("a subject", "a style", "subject and style")}
    of_the_paper |= {"Editing, background kept", "Editing with a reference", "Restoration with a reference"}
    of_the_paper |= {"Style transfer with a condition", "Relighting"}
    assert {task.family for task in gallery.GALLERY} == of_the_paper
    trained = [task for task in gallery.GALLERY if gallery.trained_on(task)]
    assert 10 <= len(trained) < len(gallery.GALLERY)


def test_every_task_has_a_card_and_every_kind_a_thumbnail():
    picker = GridBuilder().picker
    sheet = Image.open(io.BytesIO(picker.cards.box.sheet))
    lines = -(-len(task_picker.toy_kinds()) // cards.PER_LINE)
    assert sheet.size == (cards.PER_LINE * cards.TILE, lines * cards.TILE), "run: python -m tools.task_cards"
    for number, kind in enumerate(task_picker.toy_kinds()):  # of today's scenes; a JPEG is not exact
        y, x = (cards.TILE * place for place in divmod(number, cards.PER_LINE))
        tile = sheet.crop((x, y, x + cards.TILE, y + cards.TILE))
        off = np.abs(np.asarray(tile, float) - np.asarray(gallery.toy_image(kind, task_cards.SCENE), float)).mean()
        assert off < (15 if kind == "noisy" else 6), f"{kind}, off by {off:.1f}: run python -m tools.task_cards"
    assert [card["title"] for card in picker.cards.box.cards] == [task.title for task in gallery.GALLERY]
    for card, task in zip(picker.cards.box.cards, gallery.GALLERY, strict=True):
        assert [task_picker.toy_kinds()[tile] for tile in card["tiles"]] == task_picker.columns_of(task.task)


def test_without_photographs_a_builder_for_them_still_opens(monkeypatch):
    def absent(name):
        raise ImageError("not installed")

    photo_gallery.thumbnails.cache_clear()
    monkeypatch.setattr(photo_gallery.photos, "load", absent)
    assert GridBuilder(pipe="384").state.n_rows
    photo_gallery.thumbnails.cache_clear()


def test_the_thumbnails_of_photographs_are_made_here_from_a_bundled_one():
    sheet = Image.open(io.BytesIO(photo_gallery.thumbnails()))
    assert sheet.height == -(-len(tasks.KINDS) // cards.PER_LINE) * cards.TILE
    tiles = [sheet.crop((x, y, x + 64, y + 64)) for y in range(0, sheet.height, 64) for x in range(0, 512, 64)]
    drawn = [len(np.unique(np.asarray(tile))) > 10 for tile in tiles[: len(tasks.KINDS)]]
    assert dict(zip(tasks.KINDS, drawn, strict=True))["image"] and sum(drawn) >= 33


@pytest.mark.parametrize("number", range(len(gallery.GALLERY)), ids=lambda number: gallery.GALLERY[number].label)
def test_an_example_task_opens_as_a_grid_whose_code_makes_it(number, builder):
    task = gallery.GALLERY[number]
    builder.picker.scene.value, builder.picker.examples.value = 3, 1
    open_example(builder, number)
    assert "vcnb-say" in builder.errors.message.value and task.label in builder.errors.message.value
    assert builder.state.selected == (1, builder.grid.targets[0])
    text = builder.code()
    assert "base64" not in text and "sample(" in text
    namespace = {}
    exec(text, namespace)
    assert namespace["grid"] == builder.grid
    for target in builder.grid.targets:
        builder.state.mark(target, False)  # the ground truth lies under the targets
    exec(builder.code(), namespace)
    assert namespace["grid"] == builder.grid and not builder.grid.targets


@pytest.mark.parametrize("kind", ["image", "noisy", "hue 120", "turn 1"])
def test_a_toy_image_is_put_and_made_again_by_the_code(kind):
    builder = GridBuilder(Grid(rows()), drag_and_drop=False)
    builder.state.select(0, 1)
    builder.cell_form.kind.value, builder.cell_form.toy_scene.value = kind, 7
    builder.cell_form.put_toy.click()
    assert builder.errors.message.value == "" and builder.state.draft.rows[0][1].note.startswith(f"toy world, {kind}")
    text = builder.code()
    assert f"toy_image({kind!r}, 7)" in text
    namespace = {}
    exec(text, namespace)
    assert namespace["grid"] == builder.grid


def test_show_code(builder):
    builder.ways_out.code.click()
    assert "base64.b64decode" in builder.ways_out.python.value and "vcnb-copy" in builder.ways_out.python.value
    builder.state.clear(0, 0)
    assert builder.ways_out.python.value == "", "code of another grid does not stay"
    builder.ways_out.code.click()
    assert "row 1, column 1 is empty" in builder.errors.message.value


# On the page -----------------------------------------------------------------------------------------------


def shown_by(widget, monkeypatch) -> list:
    """What `display` was given, as media types."""
    import IPython.display

    given_ = []

    class Handle:
        def update(self, shown):
            given_.append(("update", shown))

    def display(shown, **options):
        given_.append((options, shown))
        return Handle()

    monkeypatch.setattr(IPython.display, "display", display)
    widget._ipython_display_()
    return given_


def test_a_static_image_comes_first_and_is_kept_up_to_date(builder, monkeypatch):
    shown = shown_by(builder, monkeypatch)
    (first, still), (_, note), (second, live) = shown
    data, _ = still._repr_mimebundle_()
    assert first == {"display_id": True} and "data:image/jpeg;base64," in data["text/html"]
    assert 'alt="Grid builder. row 1' in data["text/html"] and "row 2, column 2: target" in data["text/html"]
    assert second == {"raw": True} and "application/vnd.jupyter.widget-view+json" in live
    assert len(live["text/plain"]) < 80, "a page without a kernel would print it"
    assert "Run this cell to go on" in note["text/html"] == notebook_output.SAVED
    builder.state.select(1, 1)
    assert len(shown) == 3
    builder.state.mark(0)
    assert shown[-1][0] == "update" and "row 2, column 1: target" in shown[-1][1].alt


def test_static_mode_shows_the_image_alone(builder, monkeypatch):
    monkeypatch.setenv(notebook_output.STATIC, "1")
    ((_, still),) = shown_by(builder, monkeypatch)
    data, _ = still._repr_mimebundle_()
    assert data["image/png"][:4] == b"\x89PNG" and "alt=" in data["text/html"]


def test_in_a_notebook_the_static_image_is_made_when_nothing_has_changed_for_a_moment(monkeypatch):
    """Also after a change in a thread, as when an answer arrives."""
    monkeypatch.setattr(notebook_output, "IDLE", 0.05)

    async def notebook():
        builder = GridBuilder(Grid(rows(2, 2)))
        shown = shown_by(builder, monkeypatch)
        for name in ("one", "two", "three"):
            builder.state.name_columns([name, "x"])
        assert len(shown) == 3
        await asyncio.sleep(0.4)
        assert [kind for kind, _ in shown[3:]] == ["update"]
        thread = threading.Thread(target=builder.state.clear, args=(0, 0))
        thread.start()
        thread.join()
        await asyncio.sleep(0.4)
        assert len(shown) == 5 and "row 1, column 1: drop, paste" in shown[-1][1].alt

    asyncio.run(notebook())


def test_an_unfinished_grid_has_an_image_too():
    shown = GridBuilder().still()
    assert shown.image.width > 200 and "row 1, column 1: drop, paste or choose an image" in shown.alt


def test_images_for_the_browser_are_small():
    for size in ((4000, 3000), (64, 64), (5000, 3)):
        data, kind = thumbnails.thumbnail(noise_image(*size))
        assert len(data) < 40_000 and max(Image.open(io.BytesIO(data)).size) <= thumbnails.THUMBNAIL
        assert kind == f"image/{Image.open(io.BytesIO(data)).format.lower()}"


def test_what_readers_write_is_not_run_as_html():
    builder = GridBuilder(Grid(rows(), task="<b>", content="<i>"), drag_and_drop=False)
    builder.state.select(0, 0)
    choose(builder, "<img onerror=x>.png", png(noise_image()))
    values = [widget.value for widget in everything(builder.box) if hasattr(widget, "value")]
    assert not any("<img onerror" in value for value in values if isinstance(value, str))
