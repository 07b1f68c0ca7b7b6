"""Notebook output of a widget: a static image that is saved with the notebook, then the live widget.

A notebook is read without a kernel more often than with one, and a live widget is then blank. While the widget
lives, the static image above it is hidden, and kept up to date for the next save.
"""

from __future__ import annotations

import asyncio
import html
import io
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
from PIL import Image

from visualcloze_nb.data.grid_image import png_bytes
from visualcloze_nb.data.notebook_image import image_output, image_tag
from visualcloze_nb.widgets.thumbnails import THUMBNAIL, thumbnail

STATIC = "VISUALCLOZE_NB_STATIC"  # environment variable; if set, only static images are shown, as in executed lessons
IDLE = 0.5  # seconds without a change until the static image is made
HERE = Path(__file__).parent
STYLE = (HERE / "form.css").read_text()
GO_ON = "Run this cell to go on with live controls."
_numbers = itertools.count(1)

# In a saved notebook with a new kernel JupyterLab says "model not found" in place of the widget: say what helps.
SAVED = f"""<style class="vcnb-saved">
.jp-OutputArea-child:has(.vcnb-saved) + * > .jp-OutputArea-output.jupyter-widgets:not(:has(*)) {{ font-size: 0; }}
.jp-OutputArea-child:has(.vcnb-saved) + * > .jp-OutputArea-output.jupyter-widgets:not(:has(*))::after {{
  content: "{GO_ON}"; font-size: 14px; }}
</style>"""


def is_static() -> bool:
    """Whether only static images are shown: `VISUALCLOZE_NB_STATIC` is set in the environment."""
    return bool(os.environ.get(STATIC))


class FormScript(anywidget.AnyWidget):
    """What a form needs beside ipywidgets: keys that Jupyter would take, roles, names, copying."""

    _esm = HERE / "form.js"


class NotebookOutput:
    """Shows a static image and a live widget in one cell's output.

    Args:
        box: the live widget.
        still: gives the current static image: anything that a notebook displays.
    """

    def __init__(self, box: ipywidgets.Box, still: Callable[[], object]):
        self.box, self.still = box, still
        self.handle: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: asyncio.TimerHandle | None = None

    def show(self) -> None:
        """Display both; in static mode the image alone."""
        from IPython.display import display

        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:  # not in a notebook
            self._loop = None
        self.handle = display(self.still(), display_id=True)
        if is_static():
            return
        display({"text/html": SAVED}, raw=True)
        mark, child = f"vcnb-live-{os.getpid()}-{next(_numbers)}", ".jp-OutputArea-child"
        hidden = f"{child}:has(+ {child} .{mark}), {child}:has(+ {child} + {child} .{mark})"
        style = ipywidgets.HTML(f"<style>{STYLE}{hidden} {{ display: none; }}</style>")
        live = ipywidgets.VBox([style, FormScript(), self.box])
        live.add_class("vcnb").add_class(mark)
        # Without a kernel, and so without the widget, a notebook shows the text.
        view = {"version_major": 2, "version_minor": 0, "model_id": live.model_id}  # as ipywidgets 7 and 8 show it
        display({"application/vnd.jupyter.widget-view+json": view, "text/plain": GO_ON}, raw=True)

    def update(self) -> None:
        """Update the static image that will be saved, once no change has come for a moment; any thread may call it."""
        if self.handle is None:
            return
        if self._loop is None or not self._loop.is_running():
            self.handle.update(self.still())
        else:
            self._loop.call_soon_threadsafe(self._wait)

    def _wait(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        assert self._loop is not None
        self._waiting = self._loop.call_later(IDLE, lambda: self.handle.update(self.still()))


class StaticImage:
    """An image with alt text, as a notebook displays it; a live one gets a JPEG, as every change makes one."""

    def __init__(self, image: Image.Image, alt: str):
        self.image, self.alt = image, alt

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        if is_static():
            return image_output(png_bytes(self.image), self.alt, repr(self))
        data = io.BytesIO()
        self.image.save(data, "JPEG", quality=75)
        return {"text/html": image_tag(data.getvalue(), self.alt, "image/jpeg"), "text/plain": repr(self)}, {}

    def __repr__(self) -> str:
        return f"<StaticImage: {self.alt}>"


def _img(image: Image.Image, alt: str, side: int) -> str:
    data, kind = thumbnail(image, side)
    return image_tag(data, alt, kind)


def figure(image: Image.Image, alt: str, caption: str = "", side: int = THUMBNAIL, classes: str = "") -> str:
    """Write an image with a caption as HTML.

    Args:
        image: RGB.
        alt: the alt text.
        caption: the text below.
        side: largest side of the image that is sent, in pixels.
        classes: CSS classes.

    Returns:
        a `<figure>` element, the image embedded.
    """
    shown = f"{_img(image, alt, side)}<figcaption>{html.escape(caption)}</figcaption>"
    return f'<figure class="{classes}">{shown}</figure>'


def figures(panels: list[str]) -> str:
    """Place `figure` elements side by side, on as many lines as they need."""
    return f'<div style="display:flex;gap:12px;flex-wrap:wrap">{"".join(panels)}</div>'
