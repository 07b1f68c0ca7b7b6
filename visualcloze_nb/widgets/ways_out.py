"""Ways out of the builder, and in again: save the answer, the images or the code; open what was saved."""

from __future__ import annotations

import html
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ipywidgets import HTML, Text

from visualcloze_nb.data.grid_files import save_grid
from visualcloze_nb.data.images import to_rgb
from visualcloze_nb.errors import UsageError, shorten
from visualcloze_nb.widgets.code_export import code
from visualcloze_nb.widgets.controls import FULL_LABEL, Fold, button, row
from visualcloze_nb.widgets.error_output import ErrorOutput
from visualcloze_nb.widgets.history import PastRun
from visualcloze_nb.widgets.saved_png import expanded, free_path, open_saved, png_path, save
from visualcloze_nb.widgets.state import BuilderState

EMBEDDED = 20_000  # characters of code; images that take more are written to files


class WaysOut:
    """Controls that save and open.

    Args:
        state: of the builder.
        errors: shows what the handlers raise.
        current: gives the run whose answer is shown, or None.
        call: gives the call of `fill`, as a line of code.
        restore: called with the settings of an answer that was opened.

    Attributes:
        box: the widget.
    """

    def __init__(
        self,
        state: BuilderState,
        errors: ErrorOutput,
        current: Callable[[], PastRun | None],
        call: Callable[[], str],
        restore: Callable[[dict[str, Any]], object],
    ):
        self.state, self.errors, self._current, self._call, self._restore = state, errors, current, call, restore
        self.path = Text("grid.png", description="File or folder", style=FULL_LABEL, layout={"width": "auto"})
        self.python = HTML()
        self.python.add_class("vcnb-code")
        self.save = button(errors, "Save the answer (PNG)", self._save, "download")
        self.images = button(errors, "Save the images (folder)", self._save_images, "files-o")
        self.open = button(errors, "Open", self._open, "folder-open")
        self.code = button(errors, "Show the code", self._show_code, "code")
        buttons = row(self.save, self.images, self.open, self.code)
        self.box = Fold("Save, open, code", self.path, buttons, self.python)

    def write_code(self, folder: str | os.PathLike[str] | None = None) -> tuple[str, str | None]:
        """Write the grid and the call as code.

        Args:
            folder: where to save the images; by default small ones are embedded, and others saved beside the notebook.

        Returns:
            the code, and the folder that images were saved in, or None.
        """
        if folder is None:
            images = [
                cell.image
                for r, cells in enumerate(self.state.draft.rows)
                for c, cell in enumerate(cells)
                if cell.image is not None and cell.origin is None and not self.state.is_target(r, c)
            ]
            if sum(image.width * image.height for image in images) * 2 > EMBEDDED:  # as PNG, base64, at the least
                text = code(self.state)
                if len(text) > EMBEDDED:
                    folder = free_path(Path("grid-images"))
        return f"{code(self.state, folder)}# {self._call()}\n", None if folder is None else str(folder)

    def _named(self) -> Path:
        if not self.path.value.strip():
            raise UsageError("File or folder is empty: give a name, such as grid.png")
        return expanded(self.path.value.strip())

    def _save(self) -> None:
        run = self._current()
        if run is None:
            raise UsageError("there is no answer yet: run the grid first")
        paths = save(run, self._named())
        image = run.result.image
        names = ", ".join(str(path) for path in paths)
        self.errors.show_text(f"Saved {names} ({image.width} x {image.height}) with its record and its grid.")

    def _save_images(self) -> None:
        draft = self.state.draft
        truths = [draft.truth(col) for col in sorted(draft.targets)]
        known = [to_rgb(image) for image, sure in truths if image is not None and sure]
        folder = free_path(png_path(self._named()).with_suffix(""))
        save_grid(self.state.grid, folder, known if len(known) == len(truths) else ())
        self.errors.show_text(f"Saved all images in the folder {folder}; Open and `visualcloze-nb run` read it.")

    def _open(self) -> None:
        path = self._named()
        draft, settings = open_saved(path)
        self.state.open(draft)
        self._restore(settings)
        self.errors.show_text(f"Opened {shorten(path)}. Undo brings back the grid before.")

    def _show_code(self) -> None:
        text, folder = self.write_code()
        label = 'tabindex="0" role="region" aria-label="Python that makes this grid"'
        copy = '<button type="button" class="vcnb-copy">Copy</button>'
        self.python.value = f"{copy}<pre {label}>{html.escape(text)}</pre>"
        if folder is not None:
            self.errors.show_text(f"The code reads the images that were saved in the folder {folder}.")
