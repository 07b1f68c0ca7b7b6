"""A real JupyterLab, a real Notebook 7, a real browser: started on this machine by the tests, and ended by them.

Needs the `browser` extra and Chromium (Debian: apt install chromium), or with BROWSER=firefox the Firefox that is
installed (apt install firefox-esr), which Playwright drives by WebDriver BiDi. Without them the tests are skipped.
"""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import nbformat

FLAGS = """--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking
--disable-component-update --disable-sync""".split()
BROWSER = os.environ.get("BROWSER", "chromium")
PACKAGE = {"chromium": "chromium", "firefox": "firefox-esr"}[BROWSER]  # Debian's
PROGRAM = os.environ.get(BROWSER.upper()) or shutil.which(BROWSER) or shutil.which(PACKAGE)
ROOT = Path(__file__).parents[2]
SHOTS = Path(os.environ.get("SCREENSHOTS", ROOT / ".make" / "screenshots"))
PATIENCE = int(os.environ.get("PATIENCE", 120))  # seconds: a busy machine starts a kernel slowly


def missing() -> str:
    """What keeps the browser tests from running here, or ""."""
    for module in ("playwright", "notebook", "jupyterlab"):
        try:
            __import__(module)
        except ImportError:
            return f"{module} is not installed: pip install -e '.[browser]'"
    return "" if PROGRAM else f"there is no {BROWSER}: apt install {PACKAGE}"


@contextmanager
def open_browser():
    """Start the browser, as a context."""
    from playwright.sync_api import sync_playwright

    options = {"args": FLAGS}
    if BROWSER == "firefox":
        options = {"channel": "moz-firefox"}
        os.environ["NODE_OPTIONS"] = f"--require={Path(__file__).with_name('firefox_140.cjs')}"
    with sync_playwright() as playwright:
        started = getattr(playwright, BROWSER).launch(executable_path=PROGRAM, **options)
        yield started
        started.close()


def until(true, what: str):
    """Wait until `true()` is; fail with `what`."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if got := true():
            return got
        time.sleep(0.2)
    raise AssertionError(f"waited in vain: {what}")


class Server:
    """JupyterLab (`lab`) or Notebook 7 (`notebook`), serving an empty folder, as a context."""

    def __init__(self, kind: str, root: Path):
        self.kind, self.folder, self.log = kind, root / "work", root / "log"
        home = root / "home"
        for folder in (self.folder, home):
            folder.mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        module = {"lab": "jupyterlab", "notebook": "notebook"}[kind]
        self.command = [sys.executable, "-m", module, "--no-browser", "--allow-root", "--ip=127.0.0.1"]
        self.command += [f"--port={port}", f"--ServerApp.root_dir={self.folder}", "--expose-app-in-browser"]
        self.command += [
            "--IdentityProvider.token=",
            "--ServerApp.password=",
        ]
        self.env = {**os.environ, "HOME": str(home), "PYTHONPATH": str(ROOT)}
        self.env |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}
        self.env |= {f"JUPYTER_{part}_DIR": str(home / part) for part in ("CONFIG", "DATA", "RUNTIME")}
        self.env |= {f"JUPYTERLAB_{part}_DIR": str(home / part) for part in ("SETTINGS", "WORKSPACES")}

        news = home / "SETTINGS" / "@jupyterlab" / "apputils-extension"
        news.mkdir(parents=True)
        (news / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')

    def __enter__(self):
        with self.log.open("w") as log:
            self.process = subprocess.Popen(self.command, env=self.env, stdout=log, stderr=log, start_new_session=True)
        until(self._answers, f"{self.kind} to start: {self.log}")
        return self

    def __exit__(self, *error):
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)

    def _answers(self):
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        try:
            return urllib.request.urlopen(f"{self.address}/api", timeout=5).read()
        except OSError:
            return b""

    def write(self, name: str, *cells: str) -> None:
        """Write a notebook."""
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
        cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
        notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
        (self.folder / name).write_text(nbformat.writes(notebook))

    def url(self, name: str) -> str:
        """The address of a notebook; in JupyterLab in a workspace of its own, where nothing else is open."""
        where = f"lab/workspaces/{name.removesuffix('.ipynb')}/tree" if self.kind == "lab" else "notebooks"
        return f"{self.address}/{where}/{name}"


# Firefox shows no dialogue to the tests and takes no dragged file from them: they give it the files inside the page.
TRANSFER = """(files) => {
  const transfer = new DataTransfer();
  for (const [name, text, size] of files) {
    const bytes = text ? Uint8Array.from(atob(text), (one) => one.charCodeAt(0)) : new Uint8Array(size);
    transfer.items.add(new File([bytes], name, { type: `image/${name.split(".").pop()}` }));
  }
  return transfer;
}"""
KEEP_DIALOGUE = """() => {
  const click = HTMLInputElement.prototype.click;
  HTMLInputElement.prototype.click = function () {
    if (this.type === "file") window.fileInput = this;
    else click.call(this);
  };
}"""
CHOOSE = f"""(files) => {{
  window.fileInput.files = ({TRANSFER})(files).files;
  window.fileInput.dispatchEvent(new Event("change", {{ bubbles: true }}));
}}"""
DROP = f"""(element, files) => {{
  const options = {{ dataTransfer: ({TRANSFER})(files), bubbles: true, cancelable: true }};
  for (const kind of ["dragover", "drop"]) element.dispatchEvent(new DragEvent(kind, options));
}}"""

DRAG = """([one, other]) => {
  const options = { dataTransfer: new DataTransfer(), bubbles: true, cancelable: true };
  one.dispatchEvent(new DragEvent("dragstart", options));
  for (const kind of ["dragover", "drop"]) other.dispatchEvent(new DragEvent(kind, options));
  one.dispatchEvent(new DragEvent("dragend", options));
}"""


def in_page(paths) -> list:
    """Files for `TRANSFER`: name, content in base64, size; a file of several megabytes of zeros without its content."""
    found = []
    for path in paths:
        size = path.stat().st_size
        found.append([path.name, base64.b64encode(path.read_bytes()).decode() if size < 10e6 else "", size])
    return found


KERNEL_IS_IDLE = """() => {
  const context = window.jupyterapp?.shell?.currentWidget?.sessionContext;
  return context?.session?.kernel?.status === "idle" && !!document.querySelector(".jp-Notebook .jp-CodeCell");
}"""

NAME_OF_FOCUS = """() => {
  const at = document.activeElement;
  if (!at) return "";
  const text = at.getAttribute("aria-label") || at.labels?.[0]?.textContent || at.innerText || at.title || "";
  return text.trim();
}"""

FOCUS_IS_SEEN = """() => {
  const style = getComputedStyle(document.activeElement);
  return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
}"""

# Text whose contrast with what lies behind it is under WCAG's 4.5, disabled controls left out.
FAINT = """() => {
  const light = (c) => { c = c / 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
  const numbers = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const behind = (el) => {
    for (; el; el = el.parentElement) {
      const c = numbers(getComputedStyle(el).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const el of document.querySelectorAll(".vcnb *")) {
    const own = [...el.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || el.closest(":disabled") || el.closest("style, option") || !el.getClientRects().length) continue;
    const [a, b] = [luminance(numbers(getComputedStyle(el).color)), luminance(behind(el))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) faint.push(`${el.textContent.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return faint;
}"""


class Notebook:
    """A notebook open in the browser, and what the builder in it says of its state."""

    def __init__(self, page, server: Server, name: str):
        self.page, self.server, self.name = page, server, name
        self.state_file = server.folder / f"{name}.json"

    def open(self):
        self.page.goto(self.server.url(self.name))
        self.page.wait_for_function(KERNEL_IS_IDLE, timeout=PATIENCE * 1000)
        return self

    @property
    def state(self) -> dict:
        """What the kernel wrote down after the last change."""
        try:
            return json.loads(self.state_file.read_text())
        except (OSError, ValueError):
            return {}

    def until(self, key: str, value):
        """Wait until the state has this value, or one for which it is true."""
        true = value if callable(value) else (lambda got: got == value)
        until(lambda: key in self.state and true(self.state[key]), f"{key} to be {value}; it is {self.state}")

    def until_text(self, text: str, inside: str = ".vcnb"):
        """Wait until the widget shows a text."""
        self.page.locator(inside, has_text=text).first.wait_for(timeout=PATIENCE * 1000)

    def tab_to(self, name: str, most: int = 150, back: bool = False) -> int:
        """Press Tab until the control of this name has the focus, which must be seen; returns how often."""
        passed = []
        for _ in range(most):
            self.page.keyboard.press("Shift+Tab" if back else "Tab")
            passed.append(self.page.evaluate(NAME_OF_FOCUS))
            if passed[-1].startswith(name):
                assert self.page.evaluate(FOCUS_IS_SEEN), f"the focus on {name!r} cannot be seen"
                return len(passed)
        raise AssertionError(f"no Tab leads to {name!r}, only to {passed}")

    def number(self, name: str, value: int):
        """Type a number into a box, by keys: Playwright's `fill` adds to what is there in Firefox."""
        self.page.get_by_role("spinbutton", name=name, exact=True).focus()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(str(value))
        self.page.keyboard.press("Tab")

    def choose(self, act, path: Path):
        """Choose a file in the dialogue that `act()` opens."""
        if BROWSER == "firefox":
            self.page.evaluate(KEEP_DIALOGUE)
            act()
            self.page.wait_for_function("() => window.fileInput")
            self.page.evaluate(CHOOSE, in_page([path]))
            self.page.evaluate("() => { window.fileInput = null; }")
            return
        with self.page.expect_file_chooser() as chooser:
            self.page.wait_for_timeout(500)  # Playwright begins to listen a moment later
            act()
        chooser.value.set_files(path)

    def drag(self, one, other):
        """Drag an element onto another; Firefox begins it, and does not go on without a screen."""
        if BROWSER == "firefox":
            self.page.evaluate(DRAG, [one.element_handle(), other.element_handle()])
        else:
            one.drag_to(other)

    def drop(self, paths, onto: str = '[role="gridcell"]', number: int = 0):
        """Drag files or, in Chromium, folders from outside the browser onto an element."""
        element = self.page.locator(onto).nth(number)
        element.scroll_into_view_if_needed()
        if BROWSER == "firefox":
            element.evaluate(DROP, in_page(paths))
            return
        box = element.bounding_box()
        session = self.page.context.new_cdp_session(self.page)
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        for kind in ("dragEnter", "dragOver", "drop"):
            session.send("Input.dispatchDragEvent", {"type": kind, "data": data, **at})

    def shot(self, what: str):
        """Keep an image of the page, to be looked at."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{self.server.kind}-{what}.png")
