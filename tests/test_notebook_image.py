"""Alt text of figures: in what a notebook is given, in what is committed, and in nbconvert's page."""

import html.parser
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from PIL import Image

from tools.build_notebooks import execute
from visualcloze_nb import Grid, Result
from visualcloze_nb.data.notebook_image import image_tag
from visualcloze_nb.drawing.figures import show_image
from visualcloze_nb.lessons.exercise import _show
from visualcloze_nb.widgets.notebook_output import StaticImage

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()
RED, BLUE = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
GRID = Grid([[RED, BLUE], [BLUE, None]])
SHOWN = {
    "grid": GRID,
    "result": Result([RED], [RED], GRID),
    "figure": show_image(RED, 'A "red" image & <nothing> else'),
    "widget": StaticImage(RED, "Grid builder. row 1, column 1: empty."),
}


class Images(html.parser.HTMLParser):
    """The attributes of all images of a page."""

    def __init__(self, page: str):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.found.append(dict(attrs))


def images(page: str) -> list[dict]:
    return Images(page).found


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_displayed_is_html_with_alt_text(name, monkeypatch):
    monkeypatch.setenv("VISUALCLOZE_NB_STATIC", "1")  # a live widget renews its image at each change, as a JPEG
    shown = SHOWN[name]
    data, metadata = shown._repr_mimebundle_()
    (image,) = images(data["text/html"])
    assert image["alt"] == shown.alt and image["src"].startswith("data:image/png;base64,iVBOR")
    assert data["image/png"][:4] == b"\x89PNG" and metadata["image/png"]["alt"] == shown.alt


def test_an_alt_text_cannot_end_its_attribute():
    (image,) = images(image_tag(b"", 'a "quoted" <b> & more', "image/jpeg"))
    assert image == {"alt": 'a "quoted" <b> & more', "src": "data:image/jpeg;base64,"}


def test_a_wrong_answer_is_shown_with_alt_text(monkeypatch):
    import IPython
    import IPython.display

    given = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: "a notebook")
    monkeypatch.setattr(IPython.display, "display", lambda data, **options: given.append((data, options)))
    _show(RED, BLUE)
    ((data, options),) = given
    assert options["raw"] and images(data["text/html"])[0]["alt"] == "The expected answer beside yours."


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """A notebook that shows one of each, executed as the lessons are."""
    cells = [
        "from PIL import Image\nfrom visualcloze_nb import Grid, show\nred = Image.new('RGB', (16, 16), 'red')",
        "Grid([[red, red], [red, None]])",
        "show.show_image(red, 'A red image', 'It is red all over')",
    ]
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    execute(made, tmp_path_factory.mktemp("alt"))
    return made


def test_a_committed_figure_is_stored_once(notebook):
    outputs = [output for cell in notebook.cells for output in cell.outputs]
    assert [set(output.data) for output in outputs] == [{"text/html", "text/plain"}] * 2
    assert [output.metadata for output in outputs] == [{}] * 2
    nbformat.validate(notebook)


def test_alt_text_reaches_the_page_that_nbconvert_makes(notebook):
    exporter = pytest.importorskip("nbconvert").HTMLExporter()
    page, _ = exporter.from_notebook_node(notebook)
    assert [image["alt"] for image in images(page)] == [
        "Grid of 1 example row above a query row: an image, empty.",
        "A red image. It is red all over",
    ]


@pytest.mark.parametrize(
    "old, new, passes", [("base64,iVBOR", "base64,AAAA", True), (r"<img alt=\"A red", r"<img alt=\"A blue", False)]
)
def test_pixels_are_not_compared_and_alt_text_is(notebook, old, new, passes, tmp_path):
    """By nbval, as `make test-lessons` calls it."""
    path = tmp_path / "changed.ipynb"
    path.write_text(nbformat.writes(notebook).replace(old, new))
    options = re.search(r"pytest (--nbval .+?) notebooks$", MAKEFILE.replace("\\\n", " "), re.M)[1].split()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", *options, path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == (not passes), done.stdout[-2000:]
