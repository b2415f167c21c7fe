"""Rings: what the page shows of a station, in arrays of fixed size whose oldest columns are overwritten.

Column k of a ring is for the time k * step. A column without data is a gap. The arrays begin as zeros, which the system
gives memory only as they are filled; 0 is therefore the code of a gap.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S

Float = npt.NDArray[np.float32]

HOP_NS = NS_PER_S // 10
PROBABILITY_STEPS = 60_000  # of a probability from 0 to 1
_ZERO = 0x8000  # code of 0.0 in `_short`: -0.0


class Ring:
    """`columns` columns of `width` codes (uint16). newest: the last column that was written; None before the first."""

    def __init__(self, columns: int, width: int) -> None:
        self._codes = np.zeros((columns, width), dtype=np.uint16)
        self.newest: int | None = None

    @property
    def columns(self) -> int:
        return len(self._codes)

    @property
    def oldest(self) -> int:
        """The first column that the ring holds."""
        return 0 if self.newest is None else self.newest - self.columns + 1

    @property
    def nbytes(self) -> int:
        return self._codes.nbytes

    def write(self, first: int, codes: npt.NDArray[np.uint16]) -> None:
        """Write columns (n, width) from `first` on. Those that are older than the ring are left out."""
        places = self._places_for(first, len(codes))
        if len(places):
            self._codes[places] = codes[-len(places) :]

    def read(self, first: int, end: int) -> npt.NDArray[np.uint16]:
        """The columns [first, end), (n, width); 0 outside the ring."""
        found = np.zeros((max(end - first, 0), self._codes.shape[1]), dtype=np.uint16)
        if self.newest is not None:
            begin, stop = max(first, self.oldest), min(end, self.newest + 1)
            if stop > begin:
                found[begin - first : stop - first] = self._codes[np.arange(begin, stop) % self.columns]
        return found

    def _places_for(self, first: int, n: int) -> npt.NDArray[np.int64]:
        """Rows of the array for the last columns of [first, first + n); moves the ring on if these are new."""
        end = first + n
        if self.newest is None:
            self.newest = end - 1
        elif end - 1 > self.newest:
            skipped = min(end - 1 - self.newest, self.columns)
            self._codes[np.arange(end - skipped, end) % self.columns] = 0
            self.newest = end - 1
        begin = max(first, self.oldest)
        return np.arange(begin, end) % self.columns if end > begin else np.empty(0, dtype=np.int64)


class MinMaxRing(Ring):
    """Minimum and maximum of each column, with 8 significant bits: the rounding error is below 0.4 %."""

    def __init__(self, columns: int) -> None:
        super().__init__(columns, 2)

    def merge(self, first: int, low: Float, high: Float) -> None:
        """Extend the columns from `first` on, (n,) each, by these extremes; NaN is nothing."""
        held = self.values(first, first + len(low))
        both = np.stack([np.fmin(held[:, 0], low), np.fmax(held[:, 1], high)], axis=1)
        self.write(first, _short(both))

    def values(self, first: int, end: int) -> Float:
        """(n, 2), minimum and maximum of the columns [first, end); NaN in a gap."""
        return _long(self.read(first, end))


class ProbabilityRing(Ring):
    """Probabilities of the onset detector, (5,) for each hop of 0.1 s."""

    def __init__(self, columns: int) -> None:
        super().__init__(columns, 5)

    def put(self, time_ns: int, probabilities: Float) -> None:
        """probabilities: (hops, 5)."""
        codes = np.rint(np.clip(probabilities, 0.0, 1.0) * PROBABILITY_STEPS).astype(np.uint16) + np.uint16(1)
        self.write(round(time_ns / HOP_NS), codes)

    def values(self, first: int, end: int) -> Float:
        """(n, 5); NaN where the detector was not run."""
        codes = self.read(first, end)
        return np.where(codes == 0, np.nan, (codes.astype(np.float32) - 1) / PROBABILITY_STEPS).astype(np.float32)


class SampleRing:
    """The newest samples of a component at one rate, as float32; NaN is a gap. Sample k is at origin_ns + k / rate."""

    def __init__(self, rate_hz: float, columns: int, origin_ns: int) -> None:
        self.rate_hz = rate_hz
        self.origin_ns = origin_ns
        self.newest = -1
        self._samples = np.full(columns, np.nan, dtype=np.float32)

    @property
    def nbytes(self) -> int:
        return self._samples.nbytes

    @property
    def end_ns(self) -> int:
        """Time of the sample that follows the newest one."""
        return self.origin_ns + round((self.newest + 1) / self.rate_hz * NS_PER_S)

    def index(self, time_ns: int) -> int:
        """Number of the sample nearest to a time."""
        return round((time_ns - self.origin_ns) / NS_PER_S * self.rate_hz)

    def put(self, first: int, samples: npt.NDArray[np.floating]) -> None:
        """Samples (n,) from number `first` on; those that are older than the ring are left out."""
        n, end = len(self._samples), first + len(samples)
        if end - 1 > self.newest:
            skipped = min(end - 1 - self.newest, n)
            self._samples[np.arange(end - skipped, end) % n] = np.nan
            self.newest = end - 1
        begin = max(first, self.newest - n + 1, 0)
        if end > begin:
            self._samples[np.arange(begin, end) % n] = samples[begin - first :]

    def values(self, first: int, end: int) -> Float:
        """(end - first,), NaN outside the ring."""
        found = np.full(max(end - first, 0), np.nan, dtype=np.float32)
        begin, stop = max(first, self.newest - len(self._samples) + 1, 0), min(end, self.newest + 1)
        if stop > begin:
            found[begin - first : stop - first] = self._samples[np.arange(begin, stop) % len(self._samples)]
        return found


def envelope(ring: SampleRing, from_ns: int, to_ns: int, columns: int) -> Float:
    """(columns, 2), minimum and maximum of equal parts of a span, none of which is shorter than a sample."""
    first = ring.index(from_ns)
    offsets_ns = (from_ns - ring.origin_ns) + (to_ns - from_ns) * np.arange(columns + 1, dtype=np.int64) // columns
    edges = np.rint(offsets_ns / NS_PER_S * ring.rate_hz).astype(np.int64) - first
    samples = ring.values(first, first + max(int(edges[-1]), 1))
    starts = np.minimum(edges[:-1], len(samples) - 1)
    return np.stack([np.fmin.reduceat(samples, starts), np.fmax.reduceat(samples, starts)], axis=1)


def _short(values: npt.NDArray[np.floating]) -> npt.NDArray[np.uint16]:
    """float32 without its lower 16 bits, rounded; a gap is 0."""
    bits = values.astype(np.float32).view(np.uint32)
    short = ((bits.astype(np.uint64) + 0x8000) >> 16).astype(np.uint16)
    short = np.where(short == 0, np.uint16(_ZERO), short)
    return np.where(np.isnan(values), np.uint16(0), short).astype(np.uint16)


def _long(short: npt.NDArray[np.uint16]) -> Float:
    """Inverse of `_short`."""
    values = (short.astype(np.uint32) << 16).view(np.float32)
    return np.where(short == 0, np.nan, values).astype(np.float32)


def joined(values: Float, step: int) -> Float:
    """(n // step, 2), minimum and maximum of each `step` columns of (n, 2); NaN where all of them are gaps."""
    parts = values.reshape(-1, step, 2)
    return np.stack([np.fmin.reduce(parts[:, :, 0], axis=1), np.fmax.reduce(parts[:, :, 1], axis=1)], axis=1)
