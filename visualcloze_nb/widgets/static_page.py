"""How a control gets onto a page: a static image first, the live widget after it.

A notebook is read without a kernel more often than with one, and a live widget is then blank. So the image
is what gets saved. While the widget lives, the image above it is hidden and kept up to date.
"""

from __future__ import annotations

import base64
import html
import io
import itertools
import os
from functools import cache
from pathlib import Path

import ipywidgets
from PIL import Image

from visualcloze_nb.data.grid_image import png_bytes

STATIC = "VISUALCLOZE_NB_STATIC"  # set to anything: images only, as in executed lessons
THUMB = 160  # pixels of the longer side of an image in a cell
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
    """Whether only images are shown; `VISUALCLOZE_NB_STATIC=1` in the environment says so."""
    return bool(os.environ.get(STATIC))


class Page:
    """Shows a static image and a live widget in one cell's output.

    Args:
        box: the live widget.
        shown: anything with `_repr_mimebundle_` or an image of its own; called to get the present one.
    """

    def __init__(self, box: ipywidgets.Box, shown):
        self.shown, self.handle = shown, None
        mark = f"vcnb-live-{os.getpid()}-{next(_numbers)}"
        hide = f".jp-OutputArea-child:has(+ .jp-OutputArea-child .{mark}) {{ display: none; }}"
        self.box = ipywidgets.VBox([ipywidgets.HTML(f"<style>{STYLE}{hide}</style>"), *shield(), box])
        self.box.add_class("vcnb").add_class(mark)

    def show(self) -> None:
        """Display both; in static mode the image alone."""
        from IPython.display import display

        self.handle = display(self.shown(), display_id=True)
        if not is_static():
            # Without a kernel, and so without the widget, a page shows the text.
            words = "(Live controls appear here in a running notebook.)"
            display({**self.box._repr_mimebundle_(), "text/plain": words}, raw=True)

    def update(self) -> None:
        """Bring the image that will be saved up to date."""
        if self.handle is not None:
            self.handle.update(self.shown())


@cache
def _shield_class():
    import anywidget

    class Shield(anywidget.AnyWidget):
        _esm = Path(__file__).parent / "shield.js"

    return Shield


def shield() -> list[ipywidgets.DOMWidget]:
    """A widget that keeps Jupyter's shortcuts from taking a form's keys; none without anywidget."""
    try:
        return [_shield_class()()]
    except ImportError:
        return []


class StaticImage:
    """An image that a notebook shows with its words."""

    def __init__(self, image: Image.Image, alt: str):
        self.image, self.alt = image, alt

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"image/png": png_bytes(self.image), "text/plain": repr(self)}, {"image/png": {"alt": self.alt}}

    def __repr__(self) -> str:
        return f"<StaticImage: {self.alt}>"


def thumb(image: Image.Image, side: int = THUMB) -> tuple[bytes, str]:
    """Make a small copy to send to the browser: its bytes and their kind (`image/png` or `image/jpeg`)."""
    small = image.copy()
    small.thumbnail((side, side))
    if small.width * small.height <= 96 * 96:
        return png_bytes(small), "image/png"
    data = io.BytesIO()
    small.save(data, "JPEG", quality=85)
    return data.getvalue(), "image/jpeg"


def img(image: Image.Image, alt: str, side: int = THUMB) -> str:
    """Write an image as an HTML element, its words included."""
    data, kind = thumb(image, side)
    return f'<img alt="{html.escape(alt, quote=True)}" src="data:{kind};base64,{base64.b64encode(data).decode()}">'


def figure(image: Image.Image, alt: str, words: str = "", side: int = THUMB, classes: str = "") -> str:
    """Write an image with words below."""
    return f'<figure class="{classes}">{img(image, alt, side)}<figcaption>{html.escape(words)}</figcaption></figure>'
