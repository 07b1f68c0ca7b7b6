"""Bootstrap confidence interval of any statistic (Efron 1979, percentile method). Needs numpy alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def bootstrap(statistic: Callable, values: np.ndarray, samples: int = 1000) -> tuple[float, float, float]:
    """A statistic of independent entries, and its 95 % interval.

    Args:
        statistic: a function of an array like `values`, to one number.
        values: `(N, ...)`, one entry per scene or grid; entries are drawn with replacement, always with the same seed.
        samples: how often they are drawn.

    Returns:
        the statistic of `values`, and the 2.5th and 97.5th percentile over the samples; nan where none is finite.
    """
    rng = np.random.default_rng(0)
    values = np.asarray(values, dtype=float)
    drawn = [statistic(values[rng.integers(0, len(values), len(values))]) for _ in range(samples)]
    low, high = np.nanpercentile(drawn, [2.5, 97.5]) if np.isfinite(drawn).any() else (np.nan, np.nan)
    return float(statistic(values)), float(low), float(high)
