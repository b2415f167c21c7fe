"""Find noise: intervals of a recording without a visible catalogued event and without another signal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S
from seisedge.train.dataset.onset import power_from_record

BEFORE_P_S = 5.0  # an arrival may be earlier than expected by this much
QUIET_RATIO = 3.0  # largest RMS of one second over the 30th percentile of all seconds

Span = tuple[int, int]


def quiet_spans(recorded: Sequence[Span], busy: Sequence[Span]) -> list[Span]:
    """The parts of `recorded` outside `busy`. Spans are [start, end) in ns; `recorded` is sorted without overlaps."""
    out: list[Span] = []
    blocks = sorted(busy)
    for start, end in recorded:
        at = start
        for first, last in blocks:
            if last <= at or first >= end:
                continue
            if first > at:
                out.append((at, first))
            at = max(at, last)
        if at < end:
            out.append((at, end))
    return out


def candidates(spans: Sequence[Span], length_s: float, station: str) -> Iterator[int]:
    """Start times in ns of adjacent windows in the spans, in the order of a hash, which spreads the first few."""
    step = round(length_s * NS_PER_S)
    starts = [start for first, end in spans for start in range(first, end - step + 1, step)]
    yield from sorted(starts, key=lambda start: hashlib.sha256(f"{station}:{start}".encode()).hexdigest())


def pieces_of(spans: Sequence[Span], longest_s: float, least_s: float, station: str) -> list[Span]:
    """The spans in adjacent pieces of at most `longest_s` and at least `least_s`, in the order of a hash."""
    step, least = round(longest_s * NS_PER_S), round(least_s * NS_PER_S)
    pieces = [(at, min(at + step, end)) for first, end in spans for at in range(first, end, step)]
    kept = [(first, end) for first, end in pieces if end - first >= least]
    return sorted(kept, key=lambda span: hashlib.sha256(f"{station}:{span[0]}".encode()).hexdigest())


def loudest_ratio(x: npt.NDArray[np.generic], rate_hz: float) -> float:
    """Largest RMS (2-15 Hz) of one second of x (components, n) over the 30th percentile of all its seconds."""
    power = power_from_record(x, rate_hz)
    second = max(round(rate_hz), 1)
    n = len(power) // second
    rms = np.sqrt(power[: n * second].reshape(n, second).mean(1))
    floor = np.quantile(rms, 0.3)
    return float(rms.max() / floor) if floor > 0 else float("inf")
