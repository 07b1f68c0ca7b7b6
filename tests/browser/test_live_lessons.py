"""Every lesson with a widget, run from top to bottom in JupyterLab; then its widget moved. Run by: make test-browser"""

import shutil

import pytest
from servers import PATIENCE, ROOT, Notebook, Server, missing
from test_live_cells import IN_LESSONS

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "-")

RUN_ALL = "() => jupyterapp.commands.execute('notebook:run-all-cells')"
ERRORS = """() => [...jupyterapp.shell.currentWidget.content.model.cells]
  .flatMap((cell) => cell.outputs?.toJSON() ?? []).filter((output) => output.output_type === "error")
  .map((output) => `${output.ename}: ${output.evalue}`)"""
SCROLL_TO_WIDGET = """() => {
  const notebook = jupyterapp.shell.currentWidget.content;
  const live = (cell) => JSON.stringify(cell.outputs?.toJSON() ?? []).includes("widget-view+json");
  notebook.activeCellIndex = [...notebook.model.cells].findLastIndex(live);
  return notebook.scrollToItem(notebook.activeCellIndex, "start");
}"""
CAPTIONS = """() => [...document.querySelectorAll(".vcnb .vcnb-big")].map((one) => one.innerText).join()"""
CAPTIONS_DIFFER = f"(before) => ({CAPTIONS})() !== before"


@pytest.mark.parametrize("lesson", IN_LESSONS)
def test_a_lesson_runs_and_its_widget_is_alive(lesson, browser, tmp_path):
    with Server("lab", tmp_path) as server:
        shutil.copy(ROOT / "notebooks" / f"{lesson}.ipynb", server.folder)
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        page.set_default_timeout(PATIENCE * 1000)
        nb = Notebook(page, server, f"{lesson}.ipynb").open()
        page.evaluate(RUN_ALL)
        assert page.evaluate(ERRORS) == []
        page.evaluate(SCROLL_TO_WIDGET)
        page.locator(".vcnb [data-keyboard=ready]").first.wait_for(state="attached")
        for widget in IN_LESSONS[lesson]:
            if widget == "GridBuilder":
                page.locator(".vcnb .mod-primary").click()
                nb.until_text("Done in")
            else:
                before = page.evaluate(CAPTIONS)
                if widget == "GreyOutExplorer":
                    page.get_by_label("Cell", exact=True).select_option(index=2)
                else:
                    page.locator(".vcnb [role=slider]").focus()
                    page.keyboard.press("ArrowRight")
                page.wait_for_function(CAPTIONS_DIFFER, arg=before)
        nb.shot(f"lesson-{lesson}")
        page.close()
