"""Notebook output of a widget: a static image that is saved with the notebook, then the live widget.

A notebook is read without a kernel more often than with one, and a live widget is then blank. While the widget
lives, the static image above it is hidden, and kept up to date for the next save.
"""

from __future__ import annotations

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

STATIC = "VISUALCLOZE_NB_STATIC"  # environment variable; if set, only static images are shown, as in executed lessons
THUMBNAIL = 160  # pixels of the longer side of an image in a cell
_numbers = itertools.count(1)

STYLE = """
.vcnb { color: var(--jp-ui-font-color1, #222); }
.vcnb :is(button, input, select, textarea, summary, [tabindex]):focus-visible {
  outline: 3px solid #1a73e8 !important; outline-offset: 2px; }
.vcnb .vcnb-error { color: #8a1600; background: #fff4f0; border-left: 4px solid #8a1600; padding: 4px 8px;
  line-height: 1.35; overflow-wrap: anywhere; }
.vcnb .vcnb-error pre { white-space: pre-wrap; }
.vcnb .vcnb-say { padding: 4px 8px; border-left: 4px solid #3b6ea5; line-height: 1.35; }
.vcnb .vcnb-say:empty { display: none; }
.vcnb .vcnb-facts { line-height: 1.45; overflow-wrap: anywhere; }
.vcnb h4 { margin: 6px 0 2px; font-size: 1em; }
.vcnb figure { margin: 0; text-align: center; line-height: 1.3; font-size: 0.86em; }
.vcnb figure img { display: block; margin: 0 auto 2px; width: 112px; max-height: 128px; object-fit: contain;
  border: 1px solid #767676; }
.vcnb figure.vcnb-big img { width: 192px; max-width: 192px; max-height: 260px; }
.vcnb figure.vcnb-target img { border: 3px dashed #b34700; }
.vcnb figure.vcnb-chosen img { outline: 3px solid #1a73e8; outline-offset: 2px; }
.vcnb .widget-html-content { line-height: 1.35; }
"""


def is_static() -> bool:
    """Whether only static images are shown: `VISUALCLOZE_NB_STATIC` is set in the environment."""
    return bool(os.environ.get(STATIC))


class Keyboard(anywidget.AnyWidget):
    """Keeps Jupyter's keyboard shortcuts from taking the keys typed into a form."""

    _esm = Path(__file__).parent / "keyboard.js"


class NotebookOutput:
    """Shows a static image and a live widget in one cell's output.

    Args:
        box: the live widget.
        still: gives the current static image: anything that a notebook displays.
    """

    def __init__(self, box: ipywidgets.Box, still: Callable[[], object]):
        self.box, self.still = box, still
        self.handle: Any = None

    def show(self) -> None:
        """Display both; in static mode the image alone."""
        from IPython.display import display

        self.handle = display(self.still(), display_id=True)
        if not is_static():
            mark = f"vcnb-live-{os.getpid()}-{next(_numbers)}"
            hide = f".jp-OutputArea-child:has(+ .jp-OutputArea-child .{mark}) {{ display: none; }}"
            live = ipywidgets.VBox([ipywidgets.HTML(f"<style>{STYLE}{hide}</style>"), Keyboard(), self.box])
            live.add_class("vcnb").add_class(mark)
            # Without a kernel, and so without the widget, a notebook shows the text.
            text = "(Live controls appear here in a running notebook.)"
            display({**(live._repr_mimebundle_() or {}), "text/plain": text}, raw=True)

    def update(self) -> None:
        """Update the static image that will be saved."""
        if self.handle is not None:
            self.handle.update(self.still())


class StaticImage:
    """An image with alt text, as a notebook displays it."""

    def __init__(self, image: Image.Image, alt: str):
        self.image, self.alt = image, alt

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        return image_output(png_bytes(self.image), self.alt, repr(self))

    def __repr__(self) -> str:
        return f"<StaticImage: {self.alt}>"


def thumbnail(image: Image.Image, side: int = THUMBNAIL) -> tuple[bytes, str]:
    """Encode a small copy for the browser; returns its bytes and MIME type (PNG or JPEG)."""
    small = image.copy()
    small.thumbnail((side, side))
    if small.width * small.height <= 96 * 96:
        return png_bytes(small), "image/png"
    data = io.BytesIO()
    small.save(data, "JPEG", quality=85)
    return data.getvalue(), "image/jpeg"


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
