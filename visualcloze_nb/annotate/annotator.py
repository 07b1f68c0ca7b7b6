"""Annotator: what the package knows of one kind of condition image, and whether it works on this machine.

A new annotator is one function in one file, and one entry of that file's `ANNOTATORS`:

    ANNOTATORS = {"canny": Annotator(canny, needs=("cv2",))}

`visualcloze_nb.annotate` finds the entry by itself. Libraries are imported inside the function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np

from visualcloze_nb.errors import UsageError, shown

LIBRARIES = {"cv2": "opencv-python-headless", "skimage": "scikit-image"}  # where pip's name is another one
INSTALL = "python -m pip install 'visualcloze_nb[annotate]'"


class Availability(NamedTuple):
    """Whether a kind works here; if not, why and the command that helps, else what is worth knowing, or ""."""

    works: bool
    note: str = ""


def nothing_else() -> Availability:
    """The check of an annotator without weights."""
    return Availability(True)


@dataclass(frozen=True)
class Annotator:
    """How one kind of condition image is made.

    Args:
        function: takes an RGB image as a uint8 array of shape (H, W, 3), each side from 1 to 32,766 pixels, and
            returns a uint8 array of shape (H, W, 3) or (H, W). It must not change its argument.
        needs: modules that must be installed, all from the extra `annotate`.
        seeded: the function draws random numbers: it also takes the keyword `seed`, an integer of at least 0.
        turns: the result may have its sides swapped; all other kinds keep the size.
        check: says whether what else is needed is here, such as weights; called often, so it must not download.
    """

    function: Callable[..., np.ndarray]
    needs: tuple[str, ...] = ()
    seeded: bool = False
    turns: bool = False
    check: Callable[[], Availability] = nothing_else

    @property
    def has_weights(self) -> bool:
        """Whether it is a network, whose weights may have to be downloaded."""
        return self.check is not nothing_else

    def availability(self) -> Availability:
        """Whether this annotator works here; imports and downloads nothing."""
        missing = [LIBRARIES.get(name, name) for name in self.needs if not find_spec(name)]
        if missing:
            return Availability(False, f"needs {' and '.join(missing)}, not installed here: {INSTALL}")
        return self.check()

    def require(self, kind: str) -> None:
        """Raise a `UsageError` unless this annotator works here."""
        found = self.availability()
        if not found.works:
            raise UsageError(f"kind {shown(kind)} {found.note}")
