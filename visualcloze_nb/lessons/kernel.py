"""What a lesson asks of the kernel it runs in."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys


def finish() -> None:
    """Forget the lesson's variables and give their memory back; the last cell of each lesson calls it.

    The kernel itself stays, with the libraries it has loaded. On a small machine close it before you open the
    next lesson.
    """
    from IPython import get_ipython

    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
    if shell := get_ipython():
        shell.reset(new_session=False)
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # Linux with glibc only
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    print("The lesson's variables are gone. To free the rest: menu Kernel, Shut Down Kernel.")


def load_ipython_extension(shell) -> None:
    """Add the cell magic `%%gpu`, for `%load_ext visualcloze_nb.lessons`."""

    def gpu(line: str, cell: str) -> None:
        """Run the cell where there is a CUDA device, and say so where there is none."""
        import torch

        if torch.cuda.is_available():
            shell.run_cell(cell).raise_error()
        else:
            print("Skipped: this cell needs an NVIDIA GPU.")

    shell.register_magic_function(gpu, magic_kind="cell")
