"""Notebook output of an image: HTML with alt text, and the image for frontends that show no HTML.

JupyterLab, Notebook 7 and nbconvert's default template write no `alt` for an `image/png`, whatever its metadata say.
In HTML they keep it, in an untrusted notebook too.
"""

from __future__ import annotations

import base64
import html


def image_tag(data: bytes, alt: str, kind: str = "image/png") -> str:
    """Write an encoded image as an HTML element, with its alt text."""
    return f'<img alt="{html.escape(alt, quote=True)}" src="data:{kind};base64,{base64.b64encode(data).decode()}">'


def image_output(png: bytes, alt: str, text: str) -> tuple[dict, dict]:
    """Make the data and metadata that a notebook displays.

    The image is in them twice: consoles and the export to LaTeX show only the second form. The committed lessons keep
    the first alone (tools/build_notebooks.py).

    Args:
        png: the image, encoded as PNG.
        alt: its alt text.
        text: what is shown where there are no images.

    Returns:
        data by MIME type, and metadata by MIME type.
    """
    data = {"text/html": image_tag(png, alt), "image/png": png, "text/plain": text}
    return data, {"image/png": {"alt": alt}}
