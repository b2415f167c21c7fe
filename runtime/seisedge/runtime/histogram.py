"""Histogram: counts of values, for those who watch from another thread."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

BUCKETS_MS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


class Histogram:
    """Counts of values up to each bound, and beyond the last."""

    def __init__(self, bounds: Sequence[float] = BUCKETS_MS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def add(self, value: float, times: int = 1) -> None:
        """Count a value, or so many of the same."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times
