"""A lesson's kernel: its environment, `%%gpu` cells, and clean-up."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

from visualcloze_nb.errors import LongRunWarning

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

# The lessons are executed with these settings, so that printed numbers are the same everywhere: no downloads, a fixed
# number of threads, no live widgets. The Makefile repeats them for `make test` and `make notebooks`.
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "2",
    "PYTHONHASHSEED": "0",
    "VISUALCLOZE_NB_STATIC": "1",
}
if os.environ.get("VISUALCLOZE_NB_STATIC"):  # outputs are compared, and how long a call takes differs by machine
    warnings.simplefilter("ignore", LongRunWarning)


def finish() -> None:
    """Delete the lesson's variables and free their memory. The last cell of each lesson offers it.

    The kernel keeps running, with the libraries it has loaded. On a small machine shut it down before you open
    the next lesson.
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


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the cell magic `%%gpu`, for `%load_ext visualcloze_nb.lessons`."""

    def gpu(line: str, cell: str) -> None:
        """Run the cell if there is a CUDA device; otherwise print that it was skipped.

        `%%gpu NAME` also requires that variable to be set and not False: a loaded model, a reader's consent.
        """
        import torch

        names = line.split()
        if torch.cuda.is_available() and all(_is_set(shell.user_ns.get(name)) for name in names):
            shell.run_cell(cell).raise_error()
        else:  # the same text whatever is missing: the committed output is then the same with and without a GPU
            also = f", and {', '.join(f'`{name}`' for name in names)} to be set" if names else ""
            print(f"Skipped: this cell needs an NVIDIA GPU{also}.")

    shell.register_magic_function(gpu, magic_kind="cell")  # pyright: ignore[reportCallIssue]  # its decorator hides self


def _is_set(value: Any) -> bool:
    return value is not None and value is not False and value is not ...
