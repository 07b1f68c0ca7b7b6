"""The journey that docs/builder.md shows, with the bundled model. Run by: make test-browser

It leaves the page's images in .make/screenshots; copy them to docs/builder when the builder looks different.
"""

import re

import pytest
from PIL import Image
from servers import PATIENCE, ROOT, SHOTS, Notebook, Server, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "-")

PAGE = (ROOT / "docs" / "builder.md").read_text(encoding="utf-8")
STEPS = re.findall(r"!\[.+?\]\(builder/(.+?)\.png\)", PAGE)


def test_the_page_shows_what_a_reader_sees(browser, tmp_path):
    SHOTS.mkdir(parents=True, exist_ok=True)
    with Server("lab", tmp_path) as server:
        page = browser.new_page(viewport={"width": 1180, "height": 2000})
        page.set_default_timeout(PATIENCE * 1000)
        server.write("builder.ipynb", "from visualcloze_nb import GridBuilder, load\nGridBuilder(pipe=load('tiny'))")
        nb = Notebook(page, server, "builder.ipynb").open()
        page.locator(".jp-Notebook .jp-CodeCell").first.focus()
        page.keyboard.press("Control+Enter")

        def press(name: str):
            assert f"*{name}*" in PAGE, f"the page does not name {name}"
            page.locator(".vcnb :is(.jupyter-button, summary)", has_text=name).first.click()

        def keep(step: str):
            assert step in STEPS
            page.mouse.move(0, 0)
            page.locator(".jp-OutputArea-child .vcnb").first.screenshot(path=SHOTS / f"{step}.png")
            image = Image.open(SHOTS / f"{step}.png").convert("RGB")  # few colours: a fifth of the size
            image.quantize(128, dither=Image.Dither.NONE).save(SHOTS / f"{step}.png", optimize=True)
            assert (SHOTS / f"{step}.png").stat().st_size < 120_000

        page.locator(".vcnb [data-keyboard=ready]").wait_for(state="attached")
        page.locator('[role="gridcell"]').first.wait_for()
        keep("1-empty")
        page.locator(".vcnb-cards button", has_text="depth").first.click()
        nb.until_text("Ready to run")
        keep("2-task")
        press("Run")
        nb.until_text("preview", ".vcnb figure")
        keep("3-preview")
        nb.until_text("Done in")
        keep("4-result")
        press("Save, open, code")
        page.locator(".vcnb .jupyter-button", has_text="Show the code").click()
        nb.until_text("pipe.fill")
        keep("5-code")
        page.close()
    assert [path.stem for path in sorted((ROOT / "docs" / "builder").glob("*.png"))] == STEPS
