"""The builder in JupyterLab and Notebook 7, by mouse and by keyboard alone. Run by: make test-browser"""

import subprocess
import sys

import numpy as np
import pytest
from conftest import build_random_pipe
from PIL import Image
from servers import BROWSER, FAINT, PATIENCE, SHOTS, Notebook, Server, missing, until

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "-")

BUILDER = """
import json, pathlib, time, zlib
from visualcloze_nb.widgets import GridBuilder
from visualcloze_nb.widgets.forward_hooks import LivePreview
preview = LivePreview._preview
LivePreview._preview = lambda *call: (time.sleep(0.1), preview(*call))[1]  # else a run ends before Cancel is clicked
builder = GridBuilder(pipe={model!r}, drag_and_drop={drag})
arrived = []  # bytes of the images that the browser sent
if builder.cells.takes_files:
    builder.files.on_msg(lambda _, content, buffers: (arrived.append(sum(map(len, buffers))), write_down()))
def write_down():
    state, draft = builder.state, builder.state.draft
    said = dict(shape=[state.n_rows, state.n_cols], selected=list(state.selected), targets=sorted(draft.targets),
                notes=[[cell.note for cell in row] for row in draft.rows], problem=state.problem,
                images=[[cell.image and zlib.crc32(cell.image.tobytes()) for cell in row] for row in draft.rows],
                refused={{str(list(cell)): why for cell, why in state.refused.items()}},
                predictions=sorted(draft.predictions), task=draft.task_text, arrived=arrived)
    pathlib.Path({file!r}).write_text(json.dumps(said))
builder.state.observe(write_down)
write_down()
builder
"""


# Errors on an empty page too: Notebook 7 looks for a schema that it does not have, files that are not there.
THEIRS = ("reading 'schema'", 'property "schema"', "WebSocket connection", "example.invalid")


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A folder with a pipeline of random weights."""
    folder = tmp_path_factory.mktemp("model") / "random"
    build_random_pipe(resolution=64).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["lab", "notebook"])
def server(request, tmp_path_factory):
    with Server(request.param, tmp_path_factory.mktemp(request.param)) as started:
        yield started


@pytest.fixture
def notebook(server, browser, model, request):
    """Gives `open(form)`: a notebook with a builder in it, run; its errors in the browser fail the test."""
    opened, problems = [], []

    def listen(text: str) -> None:
        if not any(known in text for known in THEIRS):
            problems.append(text)

    def open_(form: str, code: str | None = None, height: int = 1500) -> Notebook:
        name = f"{request.node.name.split('[')[0]}_{form}.ipynb"
        code = code or BUILDER.format(model=str(model), drag=form == "drop", file=f"{name}.json")
        server.write(name, code.strip(), "print('the end')")
        page = browser.new_page(viewport={"width": 1280 if height < 1000 else 1180, "height": height})
        page.set_default_timeout(PATIENCE * 1000)
        page.on("pageerror", lambda error: listen(error.stack))
        page.on("console", lambda said: said.type == "error" and listen(f"{said.text} ({said.location['url']})"))
        opened.append(page)
        made = Notebook(page, server, name).open()
        page.locator(".jp-Notebook .jp-CodeCell").first.focus()  # Notebook 7 sometimes focuses nothing yet
        page.keyboard.press("Control+Enter")
        page.locator(".vcnb [data-keyboard=ready]").wait_for(state="attached")
        return made

    yield open_
    for number, page in enumerate(opened):
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SHOTS / f"last-{request.node.name}-{number}.png")
        page.close()
    assert not problems


def press(nb: Notebook, name: str):
    nb.page.locator(".vcnb .jupyter-button", has_text=name).first.click()


def photo_file(folder, name="photo.png", size=(90, 60)):
    Image.linear_gradient("L").resize(size).convert("RGB").save(folder / name)
    return folder / name


CELLS = {"drop": '[role="gridcell"]', "plain": ".vcnb figure:not(.vcnb-big)"}
FORMS = list(CELLS)


def fold(nb: Notebook, title: str):
    """Open or close a section."""
    nb.page.locator(".vcnb summary", has_text=title).first.click()


def open_example(nb: Notebook, form: str, title: str = "depth"):
    """Open an example task by mouse."""
    if form == "drop":
        nb.page.locator(".vcnb-cards button", has_text=title).first.click()
    else:
        press(nb, "Open example task")
    nb.until("problem", "")


@pytest.mark.parametrize("form", FORMS)
def test_everything_by_mouse(form, notebook, tmp_path):
    nb = notebook(form)
    page = nb.page
    nb.until("problem", "row 1, column 1 is empty: put an image in")
    assert "⚠" not in page.locator(".vcnb").inner_text(), "no warning before the first try"
    nb.shot(f"mouse-{form}-1-empty")
    press(nb, "Run")
    nb.until_text("row 1, column 1 is empty: put an image in", ".vcnb-message")
    if form == "drop":
        page.wait_for_function("() => document.activeElement.ariaLabel?.startsWith('row 1, column 1')")

    open_example(nb, form)
    assert nb.state["shape"] == [3, 2] and nb.state["targets"] == [1]

    # A file into row 3, column 1, then the target moved there and back by its box.
    fold(nb, "This cell")
    if form == "drop":
        page.locator('[role="gridcell"]').nth(4).click()
        nb.until("selected", [2, 0])
        nb.choose(lambda: page.locator(".vcnb-choose").click(), photo_file(tmp_path))
    else:
        press(nb, "row 3, column 1")
        nb.until("selected", [2, 0])
        nb.choose(lambda: press(nb, "Image file"), photo_file(tmp_path))
    nb.until("notes", lambda notes: notes[2][0] == "photo.png, 90 x 60")
    page.get_by_label("Target: to be filled in").check()
    nb.until("targets", [0, 1])
    page.get_by_label("Target: to be filled in").uncheck()
    nb.until("targets", [1])

    if form == "drop":  # a cell dragged onto another
        before = nb.state["images"]
        assert before[0][0] != before[1][0]
        nb.drag(page.locator('[role="gridcell"]').nth(0), page.locator('[role="gridcell"]').nth(2))
        nb.until("images", [before[1][:1] + before[0][1:], before[0][:1] + before[1][1:], before[2]])

    fold(nb, "Settings")
    nb.number("Steps", 12)
    press(nb, "Run")
    nb.until_text("step")
    nb.until("predictions", [1])
    nb.until_text("Done in")
    nb.shot(f"mouse-{form}-2-run")

    nb.number("Steps", 100)
    press(nb, "Run")
    nb.until_text("preview", ".vcnb figure")
    nb.shot(f"mouse-{form}-3-preview")
    press(nb, "Cancel")
    nb.until_text("Cancelled. The grid is unchanged.")
    nb.until_text("target: from the model, seed 0")
    assert page.locator(f"{CELLS[form]}:has-text('preview')").count() == 0, "the cell shows its prediction again"

    fold(nb, "Save, open, code")
    page.get_by_label("File or folder").fill(f"mouse-{form}.png")
    press(nb, "Save the answer")
    nb.until_text("with its record and its grid", ".vcnb-message")
    nb.number("Steps", 3)
    press(nb, "Run it backwards")
    nb.until("targets", [0])
    nb.until("predictions", [0])
    nb.until_text("Done in")
    assert nb.state["notes"][2][1].startswith("from the model")
    assert "[IMAGE1] a picture based on [IMAGE2]" in nb.state["task"]
    page.locator(".vcnb .jupyter-button", has_text="Open").last.click()
    nb.until("targets", [1])
    nb.until("predictions", [1])
    press(nb, "Show the code")
    nb.until_text("grid = Grid([")
    page.locator(".vcnb-copy").click()
    nb.until_text("Copied")
    assert page.evaluate(FAINT) == []
    nb.shot(f"mouse-{form}-4-end")


IN_VIEW = """(selector) => {
  const box = document.querySelector(selector).getBoundingClientRect();
  return box.top >= 0 && box.bottom <= innerHeight && box.left >= 0 && box.right <= innerWidth && box.width > 0;
}"""


def test_a_ready_task_is_run_by_two_clicks_without_scrolling(notebook):
    """At 1280 x 800, in a notebook of one cell; the answer is in view too."""
    name = "test_a_ready_task_is_run_by_two_clicks_without_scrolling_drop.ipynb"
    code = f"""import json, pathlib
from visualcloze_nb import GridBuilder
builder = GridBuilder()
written = pathlib.Path({name + ".json"!r})
builder.on_change(lambda changed: written.write_text(json.dumps({{"problem": changed.state.problem}})))
builder"""
    nb = notebook("drop", code, height=800)
    page = nb.page
    assert page.evaluate(IN_VIEW, ".vcnb-cards button")
    page.mouse.click(*center(page.locator(".vcnb-cards button").first))
    nb.until("problem", "")
    page.wait_for_function(IN_VIEW, arg=".vcnb .mod-primary")
    page.mouse.click(*center(page.locator(".vcnb .mod-primary")))
    nb.until_text("Done in")
    page.wait_for_function(IN_VIEW, arg=".vcnb figure.vcnb-big img")
    nb.shot("three-clicks")


def center(locator):
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


FOCUS_ON = "(name) => document.activeElement.innerText?.trim() === name"


@pytest.mark.parametrize("form", FORMS)
def test_everything_by_keyboard_alone(form, notebook, tmp_path):
    nb = notebook(form)
    page, keys = nb.page, nb.page.keyboard
    nb.until("shape", [3, 2])
    if form == "drop":
        nb.tab_to("depth")
        keys.press("ArrowRight")  # edges
        keys.press("Enter")
    else:
        nb.tab_to("Example task")
        keys.press("ArrowDown")
        nb.tab_to("Open example task")
        keys.press("Enter")
    nb.until("problem", "")
    assert "white outlines" in nb.state["task"]
    if form == "drop":
        page.wait_for_function("() => document.activeElement.ariaLabel?.startsWith('row 3, column 2')")
        assert nb.tab_to("Run") <= 12, "tab stops from the task to run"
    nb.tab_to("Add column", back=True)
    keys.press("Space")
    nb.until("shape", [3, 3])
    nb.tab_to("Remove column")
    keys.press("Space")
    nb.until("shape", [3, 2])

    if form == "drop":
        nb.tab_to("row ")
        keys.press("Home")
        for key in ("ArrowUp", "ArrowUp", "ArrowDown", "ArrowRight"):
            keys.press(key)
        nb.until("selected", [1, 1])
        before = nb.state["images"]
        assert before[0][1] != before[1][1]
        keys.press("Shift+ArrowUp")
        nb.until("images", [before[0][:1] + before[1][1:], before[1][:1] + before[0][1:], before[2]])
        nb.until("selected", [0, 1])
        page.wait_for_function("() => document.activeElement.ariaLabel?.startsWith('row 1, column 2')")
        keys.press("Control+z")
        nb.until("images", before)
        keys.press("ArrowDown")
        keys.press("ArrowDown")
        keys.press("ArrowLeft")
        nb.until("selected", [2, 0])
        keys.press("Delete")
        nb.until("problem", "row 3, column 1 is empty: put an image in or mark it as a target")
        nb.choose(lambda: keys.press("Enter"), photo_file(tmp_path))
        nb.until("notes", lambda notes: notes[2][0] == "photo.png, 90 x 60")
        page.wait_for_function("() => document.activeElement.getAttribute('role') === 'gridcell'")
        keys.press("Space")
        nb.until("targets", [0, 1])
        keys.press("Space")
        nb.until("targets", [1])
        nb.shot(f"keys-{form}-1-cells")
    else:
        nb.tab_to("row 3, column 1")
        keys.press("Enter")
        nb.until("selected", [2, 0])
        nb.tab_to("This cell")
        keys.press("Enter")
        nb.until_text("Chosen cell: row 3, column 1")  # the form follows a moment later
        nb.tab_to("Target: to be filled in")
        keys.press("Space")
        nb.until("targets", [0, 1])
        keys.press("Space")
        nb.until("targets", [1])
        nb.tab_to("Image file", back=True)
        nb.choose(lambda: keys.press("Enter"), photo_file(tmp_path))
        nb.until("notes", lambda notes: notes[2][0] == "photo.png, 90 x 60")
        nb.tab_to("Move right")
        keys.press("Enter")
        nb.until("selected", [2, 1])
        nb.shot(f"keys-{form}-1-cells")
        nb.tab_to("Undo", back=True)
        keys.press("Enter")
        nb.until("targets", [1])

    nb.tab_to("Settings")
    keys.press("Enter")
    nb.tab_to("Steps")
    keys.press("Control+a")
    keys.type("8")
    nb.tab_to("Run", back=True)
    keys.press("Enter")
    nb.until("predictions", [1])
    nb.until_text("Done in")
    nb.tab_to("Steps")
    keys.press("Control+a")
    keys.type("100")
    nb.tab_to("Run", back=True)
    nb.tab_to("Run", back=True)  # the first was to run it backwards
    keys.press("Space")
    nb.until_text("preview", ".vcnb figure")
    page.wait_for_function(FOCUS_ON, arg="Cancel")
    keys.press("Enter")
    nb.until_text("Cancelled. The grid is unchanged.")
    page.wait_for_function(FOCUS_ON, arg="Run")
    nb.until_text("target: from the model, seed 0")
    assert page.locator(f"{CELLS[form]}:has-text('preview')").count() == 0, "the cell shows its prediction again"
    nb.tab_to("Steps")
    keys.press("Control+a")
    keys.type("3")
    nb.tab_to("Run it backwards", back=True)
    keys.press("Enter")
    nb.until("targets", [0])
    nb.until("predictions", [0])
    nb.shot(f"keys-{form}-2-reversed")
    assert page.locator(".jp-CodeCell").count() == 2, "no key was taken for a command of the notebook"


def big_photo(folder):
    """A photograph as a camera makes it: 4,000 x 3,000, several megabytes."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)).resize((4000, 3000))
    grain = rng.integers(-12, 13, (3000, 4000, 3), dtype=np.int16)
    noisy = np.clip(np.asarray(coarse).astype(np.int16) + grain, 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(folder / "photo.jpg", quality=92)
    assert (folder / "photo.jpg").stat().st_size > 3.5e6
    return folder / "photo.jpg"


def test_a_3_by_3_grid_from_eight_photographs_in_one_drop_saved_and_opened_again(notebook, server, tmp_path):
    """Dropped beside the cells, on the title: nothing is left to be repaired, and one undo takes it back."""
    nb = notebook("drop")
    nb.until("shape", [3, 2])
    photos = [photo_file(tmp_path, f"{number}.png", (90 + number, 60)) for number in range(1, 9)]
    nb.drop(photos, ".vcnb .vcnb-name")
    nb.until("problem", "")
    nb.until("notes", lambda notes: notes[2][1].startswith("8.png"))
    assert nb.state["shape"] == [3, 3] and nb.state["targets"] == [2]
    assert [note.split(",")[0] for row in nb.state["notes"] for note in row][:8] == [f"{n}.png" for n in range(1, 9)]
    nb.shot("eight-photographs")
    press(nb, "Undo")
    nb.until("shape", [3, 2])
    press(nb, "Redo")
    nb.until("problem", "")
    fold(nb, "Settings")
    nb.page.get_by_label("No stage 2", exact=True).check()
    nb.number("Steps", 2)
    press(nb, "Run")
    nb.until("predictions", [2])
    fold(nb, "Save, open, code")
    nb.page.get_by_label("File or folder").fill("eight.png")
    press(nb, "Save the answer")
    nb.until_text("Saved eight.png", ".vcnb-message")
    press(nb, "Undo")  # the answer
    press(nb, "Undo")  # the photographs
    nb.until("shape", [3, 2])
    nb.page.locator(".vcnb .jupyter-button", has_text="Open").first.click()
    nb.until("predictions", [2])
    assert nb.state["shape"] == [3, 3] and nb.state["problem"] == ""


def test_folders_pasted_images_and_addresses(notebook, server, tmp_path):
    nb = notebook("drop")
    page = nb.page
    nb.until("shape", [3, 2])
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    inside = [photo_file(folder, "9.png"), photo_file(folder, "10.png"), photo_file(folder / "more", "a.png")]
    (folder / "notes.txt").write_text("no image")
    nb.drop([folder] if BROWSER == "chromium" else inside)
    nb.until("notes", lambda notes: notes[1][0].startswith("a.png"))
    assert [row[0].split(",")[0] for row in nb.state["notes"]] == ["9.png", "a.png"] and nb.state["shape"] == [2, 2]

    # An image copied elsewhere, pasted where the focus is.
    page.locator('[role="gridcell"]').nth(2).click()
    nb.until("selected", [1, 0])
    page.evaluate(PASTE, "pasted.png")
    nb.until("notes", lambda notes: notes[1][0].startswith("pasted.png"))

    # An image dragged from another page, whose site does not allow it to be read, and one that does.
    page.evaluate(DRAG_ADDRESS, ["https://example.invalid/cat.jpg", '[role="gridcell"]'])
    nb.until_text("cat.jpg cannot be fetched from example.invalid: save the image, then drop or choose the file")
    photo_file(server.folder, "served.png", (40, 30))
    page.evaluate(DRAG_ADDRESS, [f"{server.address}/files/served.png", '[role="gridcell"]'])
    nb.until("notes", lambda notes: notes[0][0].startswith("served.png, 40 x 30"))


PASTE = """async (name) => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 30, height: 20 });
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  const clipboardData = new DataTransfer();
  clipboardData.items.add(new File([blob], name, { type: "image/png" }));
  const event = new ClipboardEvent("paste", { bubbles: true, cancelable: true });
  Object.defineProperty(event, "clipboardData", { value: clipboardData }); // Firefox takes none from its options
  document.activeElement.dispatchEvent(event);
}"""

DRAG_ADDRESS = """([address, onto]) => {
  const dataTransfer = new DataTransfer();
  dataTransfer.setData("text/uri-list", address);
  const options = { dataTransfer, bubbles: true, cancelable: true };
  for (const kind of ["dragover", "drop"]) document.querySelector(onto).dispatchEvent(new DragEvent(kind, options));
}"""


def test_a_large_photo_arrives_small_and_bad_files_are_refused_at_their_cell(notebook, tmp_path):
    nb = notebook("drop")
    nb.until("shape", [3, 2])
    nb.page.locator('[role="gridcell"]').first.wait_for()

    photo = big_photo(tmp_path)
    nb.drop([photo], number=0)
    nb.until("notes", lambda notes: notes[0][0].startswith("photo.jpg (4000 x 3000, shrunk), "))
    width = int(nb.state["notes"][0][0].split(", ")[-1].split(" x ")[0])
    assert 1000 <= width <= 2048
    nb.until("arrived", lambda arrived: len(arrived) == 1)
    assert 100_000 < nb.state["arrived"][0] < 1_000_000
    print(f"{photo.stat().st_size} bytes dragged in, {nb.state['arrived'][0]} arrived: {nb.state['notes'][0][0]}")

    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 this is no image")
    nb.drop([tmp_path / "broken.jpg"], number=1)
    nb.until("refused", lambda refused: "[0, 1]" in refused)
    cut = (tmp_path / "photo.jpg").read_bytes()[:2_000]
    (tmp_path / "cut.jpg").write_bytes(cut)
    nb.drop([tmp_path / "cut.jpg"], number=2)
    nb.until("refused", lambda refused: "[1, 0]" in refused)
    assert "breaks off" not in nb.state["refused"]["[1, 0]"], "Python says what is wrong with a small file"
    (tmp_path / "cut_large.jpg").write_bytes(photo.read_bytes()[:2_500_000])
    nb.drop([tmp_path / "cut_large.jpg"], number=2)
    nb.until("refused", lambda refused: "cut_large.jpg breaks off before its end" in refused.get("[1, 0]", ""))
    with (tmp_path / "huge.png").open("wb") as huge:
        huge.truncate(51_000_000)
    nb.drop([tmp_path / "huge.png"], number=3)
    nb.until("refused", lambda refused: "[1, 1]" in refused)
    (tmp_path / "broken_large.png").write_bytes(bytes(2_000_000))
    nb.drop([tmp_path / "broken_large.png"], number=4)
    nb.until("refused", lambda refused: "[2, 0]" in refused)

    said = [nb.page.locator('[role="gridcell"]').nth(cell).inner_text() for cell in range(5)]
    assert "⚠" not in said[0] and "row 1, column 2 is not an image that can be read" in said[1]
    assert "row 2, column 1" in said[2] and "⚠" in said[2]
    assert "row 2, column 2: huge.png is 51 MB, over the limit of 50 MB" in said[3]
    assert "row 3, column 1: broken_large.png is not an image that a browser can read" in said[4]
    assert nb.state["notes"][0][1] == nb.state["notes"][1][1] == ""
    assert max(nb.state["arrived"]) < 1_000_000
    nb.shot("refused")


def test_the_saved_notebook_reads_well_without_a_kernel(notebook, server, browser):
    nb = notebook("drop")
    open_example(nb, "drop")
    nb.page.wait_for_timeout(1500)  # the static image is made when nothing has changed for a moment
    still = nb.page.locator(".jp-OutputArea-child img[alt^='Grid builder.']")
    assert still.count() == 1 and not still.is_visible(), "while the form lives, its still image is hidden"
    nb.page.keyboard.press("Control+s")
    saved = server.folder / nb.name
    words = "Grid builder. row 1, column 1: image, 64 x 64"
    until(lambda: words in saved.read_text(), "the notebook to be saved, with the image's words")
    command = [sys.executable, "-m", "nbconvert", "--to", "html", str(saved)]
    subprocess.run(command, check=True, capture_output=True)
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.goto(saved.with_suffix(".html").as_uri(), wait_until="domcontentloaded")
    image = page.locator("img[alt^='Grid builder.']")
    image.wait_for()
    assert image.is_visible() and image.bounding_box()["width"] > 200
    text = page.inner_text("body")
    assert "VBox(" not in text and "Run this cell to go on with live controls." in text
    Notebook(page, server, "page").shot("nbconvert")
    page.close()

    # The day after, with another kernel: trusted, as it was run here, and not, as one that came from elsewhere.
    nb.page.evaluate("() => jupyterapp.serviceManager.sessions.shutdownAll()")
    nb.page.wait_for_timeout(1000)
    (server.folder / f"sent_{nb.name}").write_text(saved.read_text() + " ")
    for name in (nb.name, f"sent_{nb.name}"):
        page = browser.new_page(viewport={"width": 1180, "height": 900})
        page.set_default_timeout(PATIENCE * 1000)
        again = Notebook(page, server, name).open()
        image = page.locator("img[alt^='Grid builder.']")
        image.wait_for()
        page.wait_for_function(GO_ON)
        assert image.is_visible()
        again.shot(f"day-after-{'sent' if name.startswith('sent') else 'own'}")
        page.close()


# What stands below the static image, as a reader sees it: text, unless too small to be read, and what styles add.
GO_ON = """() => {
  const seen = [...document.querySelectorAll(".jp-OutputArea-output")].map((one) => {
    const text = parseFloat(getComputedStyle(one).fontSize) ? one.innerText : "";
    return text + getComputedStyle(one, "::after").content;
  }).join(" ");
  return seen.includes("Run this cell to go on with live controls.") && !seen.includes("model not found");
}"""

EXPLORER = """
from visualcloze_nb import VisualClozePipeline
from visualcloze_nb.toyworld import sample
from visualcloze_nb.widgets import StepExplorer
pipe = VisualClozePipeline.from_pretrained({model!r})
explorer = StepExplorer.of(pipe, sample("image > depth").grid, seed=0, steps=8)
explorer
"""


def test_a_slider_over_the_steps(notebook, model):
    nb = notebook("explorer", EXPLORER.format(model=str(model)))
    nb.until_text("step 5 of 8")
    nb.tab_to("Step")
    nb.page.keyboard.press("ArrowRight")
    nb.until_text("step 6 of 8")
    nb.until_text("change of the prediction:")
    assert nb.page.locator(".vcnb figure img").count() == 3
    nb.shot("explorer")


def test_a_real_task_and_a_condition_made_from_a_photograph(notebook):
    """For a model of photographs, which is not loaded: the catalogue's tasks, annotators, and the panel's settings."""
    pytest.importorskip("skimage")
    pytest.importorskip("cv2")
    name = "test_a_real_task_and_a_condition_made_from_a_photograph_drop.ipynb"
    nb = notebook("drop", BUILDER.format(model="384", drag=True, file=f"{name}.json"))
    page = nb.page
    page.locator(".vcnb-cards button", has_text="image > canny").first.click()
    nb.until("problem", "")
    assert nb.state["notes"][0][1].startswith("canny, astronaut") and nb.state["targets"] == [1]
    nb.until_text("The released models were trained on it")
    page.locator('[role="gridcell"]').nth(1).click()
    nb.until("selected", [0, 1])
    fold(nb, "This cell")
    press(nb, "Make this condition")
    nb.until("notes", lambda notes: notes[0][1].startswith("canny of row 1, column 1"))
    fold(nb, "Settings")
    assert page.get_by_label("Size").input_value() == "as large as my photograph"
    page.get_by_label("No stage 2", exact=True).check()
    until(page.get_by_label("Size").is_disabled, "stage 2's size to be switched off")
    nb.shot("photographs")
    assert page.evaluate(FAINT) == []
