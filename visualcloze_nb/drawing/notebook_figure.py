"""The matplotlib figure of all drawings here: it needs no pyplot, displays itself once, and has alt text."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

from visualcloze_nb.data.notebook_image import image_output


class NotebookFigure(Figure):
    """A matplotlib figure that a notebook displays without pyplot, with alt text.

    Attributes:
        alt: the alt text.
    """

    alt = ""

    def _repr_png_(self) -> bytes:
        data = io.BytesIO()
        self.savefig(data, format="png", dpi=self.dpi)
        return data.getvalue()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        return image_output(self._repr_png_(), self.alt, repr(self))

    def __repr__(self) -> str:
        return f"<Figure: {self.alt}>"
