"""Intervals over events: whole events are drawn again, with all their records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Statistic = Callable[[Floats], float]  # weights of the records → value

DRAWS = 1000


def interval(group: npt.NDArray[Any], statistic: Statistic, seed: int = 0, draws: int = DRAWS) -> tuple[float, float]:
    """95 % percentile interval of a weighted statistic over resampled groups; nan where it is undefined."""
    names, place = np.unique(group, return_inverse=True)
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        times = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))
        value = statistic(times[place].astype(np.float64))
        if np.isfinite(value):
            values.append(value)
    if not values:
        return float("nan"), float("nan")
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def weighted_mean(values: Floats, weight: Floats) -> float:
    """nan where nothing weighs."""
    total = weight.sum()
    return float((values * weight).sum() / total) if total > 0 else float("nan")


def weighted_sd(values: Floats, weight: Floats) -> float:
    """Standard deviation about the weighted mean."""
    mean = weighted_mean(values, weight)
    return float(np.sqrt(weighted_mean((values - mean) ** 2, weight)))
