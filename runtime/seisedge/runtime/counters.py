"""Counters of a running station, written by the loop and read from other threads by `/metrics` and the reports."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

BUCKETS_MS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


@dataclass(slots=True)
class StationCounters:
    """Totals of one station since its start."""

    packets: int = 0
    stray_packets: int = 0  # discarded: no other packet confirmed their time
    new_timelines: int = 0  # the clock was set back
    triggers: int = 0
    retriggers: int = 0  # belonged to an event that was already open
    events: int = 0
    retracted_events: int = 0  # of these: taken back by a later answer, as noise or for a low probability
    noise_answers: int = 0
    noise_events: int = 0  # classified as noise up to the last answer: never emitted
    spike_triggers: int = 0  # caused by bad samples alone: no event was opened
    step_triggers: int = 0
    calibration_triggers: int = 0
    inferences: int = 0
    hops: int = 0
    dropped_windows: int = 0  # skipped without inference because the run was behind a live stream
    dropped_events: int = 0  # every window was skipped: never emitted


class Histogram:
    """Counts of values up to each bound, and above the last."""

    def __init__(self, bounds: Sequence[float] = BUCKETS_MS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def add(self, value: float, times: int = 1) -> None:
        """Count a value `times` times."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times
