"""Alt text of every image in JupyterLab, Notebook 7 and nbconvert's page. Run by: make test-browser"""

import nbformat
import pytest
from servers import PATIENCE, SHOTS, Notebook, Server, missing, until

from tools.build_notebooks import execute

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "-")

CELLS = [
    "from PIL import Image\nfrom visualcloze_nb import Grid, GridBuilder, Result, show\n"
    "from visualcloze_nb.lessons import exercise\nred, blue = (Image.new('RGB', (64, 64), c) for c in ('red', 'blue'))",
    "grid = Grid([[red, blue], [red, None]])\ngrid",
    "Result([blue], [blue], grid)",
    "show.show_image(red, 'A red image', 'It is red all over')",
    "exercise(cases=[(red,)])(lambda image: image).check(lambda image: blue)",
]
ALT = [
    "Grid of 1 example row above a query row: an image, empty.",
    "Grid of 1 example row above a query row: an image, empty; the model filled column 2.",
    "A red image. It is red all over",
    "The expected answer beside yours.",
]
WIDGET = "Grid builder. row 1, column 1: "
IMAGES = """() => [...document.querySelectorAll(".jp-OutputArea-output img")].map(
  (image) => ({alt: image.alt, width: image.naturalWidth, fits: image.width <= image.parentElement.clientWidth}))"""

WORDS = """() => [...document.querySelectorAll(".jp-Notebook img")].map(
  (image) => image.alt || image.closest("[aria-label]")?.ariaLabel || "")"""  # a cell of the grid is named as a whole


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The cells as a lesson is committed: executed, each image stored once."""
    code = [*CELLS, "import os\nos.environ['VISUALCLOZE_NB_STATIC'] = '1'\nGridBuilder()"]
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in code])
    execute(made, tmp_path_factory.mktemp("executed"))
    return made


def check(page, widget: bool):
    """All images that the page shows have their alt text and their pixels."""
    wanted = len(ALT) + widget
    until(lambda: len(page.evaluate(IMAGES)) == wanted, f"{wanted} images")
    until(lambda: all(image["width"] for image in page.evaluate(IMAGES)), "the images to be loaded")
    found = page.evaluate(IMAGES)
    assert [image["alt"] for image in found][: len(ALT)] == ALT
    assert all(image["fits"] for image in found)
    assert all(image["alt"].startswith(WIDGET) for image in found[len(ALT) :])


@pytest.mark.parametrize("kind", ["lab", "notebook"])
def test_every_image_has_its_alt_text(kind, browser, executed, tmp_path):
    with Server(kind, tmp_path) as server:
        page = browser.new_page(viewport={"width": 1180, "height": 2000})
        page.set_default_timeout(PATIENCE * 1000)
        (server.folder / "committed.ipynb").write_text(nbformat.writes(executed))  # written from outside: not trusted
        committed = Notebook(page, server, "committed.ipynb").open()
        check(page, widget=True)
        committed.shot("alt-committed")

        server.write("live.ipynb", *CELLS, "GridBuilder(grid)")
        live = Notebook(page, server, "live.ipynb").open()
        page.locator(".jp-Notebook .jp-CodeCell").first.focus()
        for _ in range(len(CELLS) + 1):
            page.keyboard.press("Shift+Enter")
        page.locator(".vcnb [data-keyboard=ready]").wait_for(state="attached")
        until(lambda: page.locator(".vcnb img").count() >= 3, "the images of the grid in the builder")
        shown = page.evaluate(WORDS)
        assert shown[: len(ALT)] == ALT and all(alt.strip() for alt in shown), shown
        live.shot("alt-live")
        page.close()


def test_every_image_has_its_alt_text_in_the_page_that_nbconvert_makes(browser, executed, tmp_path):
    from nbconvert import HTMLExporter

    (tmp_path / "page.html").write_text(HTMLExporter().from_notebook_node(executed)[0])
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    check(page, widget=True)
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / "nbconvert-alt.png", full_page=True)
    page.close()
