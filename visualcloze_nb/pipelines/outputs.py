"""Join the outputs of single runs in the shapes that diffusers gives a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch


def join(parts: Sequence[Any]) -> Any:
    """Join arrays or tensors, each (n, …), along their first axis.

    Returns:
        one array or tensor, as diffusers does; a list of all items if they differ in size, which stock diffusers
        cannot make, or if an interrupted call left PIL images among them.
    """
    if all(hasattr(part, "shape") for part in parts) and len({part.shape[1:] for part in parts}) == 1:
        return np.concatenate(parts) if isinstance(parts[0], np.ndarray) else torch.cat(list(parts))
    return [item for part in parts for item in (part if hasattr(part, "shape") else [part])]
