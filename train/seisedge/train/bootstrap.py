"""Bootstrap over events: whole events are resampled, with all their records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Statistics = Callable[[Floats], Floats]  # weights (k, records) → (k,)

DRAWS = 1000
BLOCK = 20_000_000  # largest number of weights in memory at once
PERCENT = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its 95 % percentile interval; nan if undefined."""

    value: float
    low: float
    high: float
    n_groups: int
    n_records: int


def resamples(group: npt.NDArray[Any], draws: int, seed: int = 0) -> Iterator[Floats]:
    """Weights (k, records) in blocks, `draws` rows in total: how often the group of each record was drawn."""
    names, place = np.unique(group, return_inverse=True)
    rng = np.random.default_rng(seed)
    step = max(min(BLOCK // max(len(group), 1), draws), 1)
    share = np.full(len(names), 1 / max(len(names), 1))
    for first in range(0, draws, step):
        times = rng.multinomial(len(names), share, size=min(step, draws - first))
        yield times[:, place].astype(np.float64)


def estimate(group: npt.NDArray[Any], statistic: Statistics, draws: int = DRAWS, seed: int = 0) -> Estimate:
    """A statistic of all records, and its interval over resampled groups.

    `statistic` takes weights (k, records) and returns (k,), nan for rows for which it is undefined.
    """
    n = len(group)
    value = float(statistic(np.ones((1, n)))[0]) if n else float("nan")
    values = np.concatenate([statistic(w) for w in resamples(group, draws, seed)]) if n else np.zeros(0)
    values = values[np.isfinite(values)]
    low, high = np.percentile(values, PERCENT) if len(values) else (np.nan, np.nan)
    return Estimate(value, float(low), float(high), len(np.unique(group)), n)
