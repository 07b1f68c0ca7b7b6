"""What a lesson asks of the kernel it runs in."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys

# What the lessons are executed with, so that printed numbers are the same everywhere: no downloads, one number of
# threads, no live controls. The Makefile says the same for `make test` and `make notebooks`.
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "2",
    "PYTHONHASHSEED": "0",
    "VISUALCLOZE_NB_STATIC": "1",
}


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
        """Run the cell where there is a CUDA device, and say so where there is none.

        `%%gpu NAME` also wants that variable to be there and true: a model that was loaded, a reader's consent.
        """
        import torch

        names = line.split()
        if torch.cuda.is_available() and all(_there(shell.user_ns.get(name)) for name in names):
            shell.run_cell(cell).raise_error()
        else:  # the same words whichever is missing: committed outputs agree with and without a GPU
            also = f", and {', '.join(f'`{name}`' for name in names)} to be set" if names else ""
            print(f"Skipped: this cell needs an NVIDIA GPU{also}.")

    shell.register_magic_function(gpu, magic_kind="cell")


def _there(value) -> bool:
    return value is not None and value is not False and value is not ...
