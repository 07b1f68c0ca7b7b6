"""The builder under axe-core, in each state and theme, and at narrow widths. Run by: make test-browser"""

import json
from pathlib import Path

import pytest
from servers import BROWSER, PATIENCE, Notebook, Server, missing, until

axe = pytest.importorskip("axe_playwright_python", reason="pip install -e '.[browser]'")
pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "-")

AXE = Path(axe.__file__).with_name("axe.min.js")
BUILDER = """
import time
from visualcloze_nb import GridBuilder
from visualcloze_nb.widgets.forward_hooks import LivePreview
preview = LivePreview._preview
def slow(*call):
    time.sleep(0.2)
    if builder.panel.seed.value == 13:
        raise MemoryError("no memory for this run")
    return preview(*call)
LivePreview._preview = slow
builder = GridBuilder()
builder
"""
VIOLATIONS = """async () => {
  const found = await axe.run(".vcnb", { resultTypes: ["violations"] });
  return found.violations.map((one) => [one.id, one.impact, one.nodes.map((node) => node.html.slice(0, 200))]);
}"""
SMALL = """() => [...document.querySelectorAll(".vcnb :is(button, input, select, textarea, summary, [tabindex='0'])")]
  .filter((one) => one.getClientRects().length && !one.closest(".noUi-base"))
  .map((one) => [one.getBoundingClientRect(), one.outerHTML.slice(0, 120)])
  .filter(([box]) => box.width < 24 || box.height < 24).map(([box, html]) => `${box.width} x ${box.height} ${html}`)"""
WIDE = """() => [...document.querySelectorAll(".vcnb *")].filter((one) => one.getClientRects().length
  && !one.closest(".vcnb-cards, pre, select") && one.getBoundingClientRect().right
     > document.querySelector(".vcnb").getBoundingClientRect().right + 2).map((one) => one.outerHTML.slice(0, 150))"""


@pytest.fixture
def notebook(browser, tmp_path):
    """Gives `open(options)`: a builder in Notebook 7."""
    with Server("notebook", tmp_path) as server:

        def open_(**options):
            page = browser.new_context(**options).new_page()
            page.set_default_timeout(PATIENCE * 1000)
            server.write("axe.ipynb", BUILDER.strip())
            nb = Notebook(page, server, "axe.ipynb").open()
            page.locator(".jp-Notebook .jp-CodeCell").first.focus()
            page.keyboard.press("Control+Enter")
            page.locator(".vcnb [data-keyboard=ready]").wait_for(state="attached")
            page.locator('[role="gridcell"]').first.wait_for()
            return nb

        yield open_


def look(nb, state):
    """What is wrong: violations of any level, what is too small to be hit, what is beyond the right edge."""
    nb.shot(f"axe-{state}")
    found = [nb.page.evaluate(code) for code in (VIOLATIONS, SMALL, WIDE)]
    return {state: found} if any(found) else {}


def run(nb):
    nb.page.locator(".vcnb button", has_text="Run").first.click()


def test_no_violation_in_any_state_theme_or_width(notebook):
    nb = notebook(viewport={"width": 1280, "height": 800})
    page, wrong = nb.page, {}
    page.evaluate(AXE.read_text(encoding="utf-8"))
    wrong |= look(nb, "empty")
    run(nb)
    nb.until_text("is empty: put an image in", ".vcnb-message")
    wrong |= look(nb, "refused")
    page.locator(".vcnb-cards button", has_text="edges").first.click()
    nb.until_text("Ready to run")
    wrong |= look(nb, "filled")
    assert page.locator('.vcnb [role="progressbar"]').count() == 1, "there before a run"
    assert page.locator(".vcnb-message[role=status]").count() == page.locator(".vcnb-status[role=status]").count() == 1
    run(nb)
    nb.until_text("preview", ".vcnb figure")
    forming = page.locator('[role="gridcell"][data-kind="target"]')
    until(lambda: "forming" in forming.get_attribute("aria-label"), "the label to follow the forming cell")
    until(lambda: int(page.locator('.vcnb [role="progressbar"]').get_attribute("aria-valuenow") or 0) > 0, "progress")
    wrong |= look(nb, "running")
    page.locator(".vcnb button", has_text="Cancel").click()
    nb.until_text("Cancelled. The grid is unchanged.")
    for title in ("Settings", "Save, open, code", "Texts", "This cell", "Start from"):
        page.locator(".vcnb summary", has_text=title).first.click()
    page.get_by_role("slider").first.focus()
    assert page.get_by_role("slider").first.get_attribute("aria-valuetext") == "0.40"
    nb.number("Steps", 3)
    run(nb)
    nb.until_text("Done in")
    page.locator(".vcnb button", has_text="Show the code").click()
    nb.until_text("grid = Grid([")
    wrong |= look(nb, "done")
    nb.number("Seed", 13)
    run(nb)
    nb.until_text("no memory for this run", ".vcnb-message")
    wrong |= look(nb, "failed")
    page.locator(".vcnb button", has_text="Remove column").click()
    nb.until_text("outdated")
    wrong |= look(nb, "outdated")
    for theme in ("Dark", "Light"):
        page.evaluate(
            "(name) => jupyterapp.commands.execute('apputils:change-theme', { theme: `JupyterLab ${name}` })", theme
        )
        page.wait_for_timeout(1000)
        wrong |= look(nb, f"theme-{theme}")
    page.emulate_media(forced_colors="active")
    wrong |= look(nb, "forced-colours")
    page.emulate_media(forced_colors="none")
    for width in (640, 500, 390):  # 640: 1280 pixels at 200 %
        page.set_viewport_size({"width": width, "height": 1600})
        page.wait_for_timeout(500)
        wrong |= look(nb, f"width-{width}")
    assert not wrong, json.dumps(wrong, indent=1)


@pytest.mark.skipif(BROWSER != "chromium", reason="touches are sent by Chromium's own protocol")
def test_a_cell_is_moved_by_touch(notebook):
    nb = notebook(viewport={"width": 500, "height": 1200}, has_touch=True)
    page = nb.page
    page.locator(".vcnb-cards button").first.tap()
    nb.until_text("Ready to run")
    words = page.locator('[role="gridcell"] .vcnb-words')
    boxes = [page.locator('[role="gridcell"]').nth(number).bounding_box() for number in (0, 1)]
    first, second = ({"x": box["x"] + 30, "y": box["y"] + 30} for box in boxes)
    session = page.context.new_cdp_session(page)
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [first]})
    page.wait_for_timeout(600)
    session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [second]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    until(lambda: words.nth(0).inner_text().startswith("depth"), "the cells to be swapped")
