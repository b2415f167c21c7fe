"""Segment: consecutive samples of one component on one clock, each sample once, with its gaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.timeline.masks import runs
from seisedge.runtime.timeline.resample import Float, Mask

SEGMENT_GAP_S = 30.0
SPARE_S = 20.0  # length of a buffer beyond the samples that are kept: how often they are moved to its front
SPARE_PART = 4  # the spare length is at least the kept length divided by this
MIN_SIZE = 1024
FOLLOWS_SAMPLES = 0.75  # a packet that starts closer than this to the end of the previous one follows it without a gap
FOLLOWS_JITTER_S = 0.025  # the same for a channel whose times jitter: a small computer's clock is off by this much
JITTER_SAMPLES = 0.1  # start times that are off by more, and not by whole samples, jitter
LARGEST = 1e12  # of float samples; 32-bit counts reach 2e9, larger values are fill values (1e20) or damaged


def is_sound(samples: npt.NDArray[Any]) -> Mask:
    """(n,), True where a sample is valid: models and detectors square samples in float32, which must not overflow."""
    if samples.dtype.kind != "f":
        return np.ones(len(samples), dtype=bool)
    return np.asarray(np.abs(samples, dtype=np.float64) < LARGEST)


@dataclass(slots=True)
class TrackCounters:
    """Numbers of samples and of irregularities of a component, since the start of the run."""

    samples: int = 0
    gaps: int = 0
    gap_samples: int = 0
    duplicate_samples: int = 0
    disagreeing_samples: int = 0
    late_samples: int = 0
    unsound_samples: int = 0  # NaN, infinite, or not below `LARGEST`
    retimings: int = 0  # times that the clock was set, because the times of packets had drifted by half a sample


class SegmentState(msgspec.Struct, frozen=True):
    """State of a segment without its samples; known: runs [n0, n1) of existing samples between `settled` and `end`."""

    anchor_ns: int
    rate_hz: float
    settled: int
    end: int
    known: list[tuple[int, int]]
    end_ns: int = msgspec.field(name="heard_ns")  # stored states have this name


class Segment:
    """Samples at the times `anchor_ns + n / rate_hz`, with gaps of up to `SEGMENT_GAP_S`.

    settled: every index below is final, either a sample or a gap.
    end: index after the newest sample.
    end_ns: time of `end` by the header of the packet that ends there.

    Counts are kept as 32-bit integers, and as float64 from the first packet on whose samples do not fit into them;
    `view` returns float64 in both cases, so that no output depends on it.
    """

    def __init__(self, anchor_ns: int, rate_hz: float) -> None:
        self.anchor_ns = anchor_ns
        self.rate_hz = rate_hz
        self.settled = 0
        self.end = 0
        self.end_ns = anchor_ns
        self._first = 0  # index of the first sample in the buffer
        self._keep = 0  # samples before this index may be dropped
        self._spare = max(MIN_SIZE, int(rate_hz * SPARE_S))
        self._x: npt.NDArray[Any] = np.zeros(self._spare, dtype=np.int32)
        self._ok: Mask = np.zeros(self._spare, dtype=bool)

    def state(self) -> SegmentState:
        """The state without the samples."""
        ahead = self._ok[self.settled - self._first : self.end - self._first]
        known = [(n0 + self.settled, n1 + self.settled) for n0, n1 in runs(ahead)]
        return SegmentState(self.anchor_ns, self.rate_hz, self.settled, self.end, known, self.end_ns)

    @classmethod
    def from_state(cls, state: SegmentState, first: int) -> Segment:
        """Restore a segment; the values of its samples are lost.

        Samples from index `first` to `settled` are missing. Those in `known` exist with the value 0, so that gaps
        are detected as before; outputs that depend on them must not be used.
        """
        segment = cls(state.anchor_ns, state.rate_hz)
        segment.settled, segment._first, segment._keep = state.settled, min(first, state.settled), first
        segment.end = state.settled  # `_reserve` copies samples up to here
        segment._reserve(state.end)
        segment.end, segment.end_ns = state.end, state.end_ns
        for n0, n1 in state.known:
            segment._ok[n0 - segment._first : n1 - segment._first] = True
        return segment

    def index_of(self, time_ns: int) -> int:
        """Index of the sample nearest to a time: start times of packets may jitter by half a sample."""
        return round((time_ns - self.anchor_ns) * self.rate_hz / NS_PER_S)

    def follows(self, start_ns: int, n: int, *, jitters: bool) -> bool:
        """True if a packet of `n` samples follows the previous one without a gap, by its time.

        jitters: the times of the channel are known to jitter.
        """
        off = abs(start_ns - self.end_ns) * self.rate_hz / NS_PER_S
        limit = FOLLOWS_SAMPLES
        if jitters:
            limit = max(limit, min(FOLLOWS_JITTER_S * self.rate_hz, n / 4))
        return off < limit

    def retime(self, start_ns: int) -> None:
        """Set the clock so that `end` is at `start_ns`; the times of earlier samples shift by as much."""
        self.anchor_ns = start_ns - round(self.end * NS_PER_S / self.rate_hz)

    def put(self, index: int, samples: npt.NDArray[Any], counters: TrackCounters) -> None:
        """Store `samples` from `index` on; existing samples are kept, and samples below `settled` are too late."""
        if index >= self.end:  # the usual case: nothing is known of their times
            self._append(index, samples, counters)
            return
        late = min(max(self.settled - index, 0), len(samples))
        if late:
            held = min(
                max(self._first - index, 0), late
            )  # older than the buffer: there is nothing to compare them with
            self._compare(index + held, samples[held:late], counters)
            counters.late_samples += held
            index, samples = index + late, samples[late:]
        if not len(samples):
            return
        self._reserve(index + len(samples))
        self._hold(samples.dtype)
        here = slice(index - self._first, index - self._first + len(samples))
        known = self._ok[here].copy()
        if known.any():
            self._compare(index, samples, counters)
        sound = is_sound(samples)
        new = ~known & sound
        self._x[here][new] = samples[new]
        self._ok[here] |= new
        counters.samples += int(new.sum())
        counters.unsound_samples += int((~known & ~sound).sum())
        self.end = max(self.end, index + len(samples))

    def _append(self, index: int, samples: npt.NDArray[Any], counters: TrackCounters) -> None:
        end = index + len(samples)
        self._reserve(end)
        self._hold(samples.dtype)
        here = slice(index - self._first, end - self._first)
        count = len(samples)
        if samples.dtype.kind == "f":
            sound = is_sound(samples)
            count = int(np.count_nonzero(sound))
            np.copyto(self._x[here], samples, where=sound)
            self._ok[here] = sound
        else:
            self._x[here], self._ok[here] = samples, True
        if index == self.settled and count == len(samples):
            self.settled = end
        self.end = end
        counters.samples += count
        counters.unsound_samples += len(samples) - count

    def _compare(self, index: int, samples: npt.NDArray[Any], counters: TrackCounters) -> None:
        here = slice(index - self._first, index - self._first + len(samples))
        known = self._ok[here]
        differ = int((known & (self._x[here] != samples)).sum())
        counters.disagreeing_samples += differ
        counters.duplicate_samples += int(known.sum()) - differ
        settled = np.arange(index, index + len(samples)) < self.settled
        counters.late_samples += int((~known & settled).sum())

    def settle(self, reorder_n: int, counters: TrackCounters) -> None:
        """Move `settled` past existing samples, and past gaps that began at least `reorder_n` samples before `end`."""
        ahead = self._ok[self.settled - self._first : self.end - self._first]
        for n0, n1 in runs(~ahead):
            if len(ahead) - n0 < reorder_n:
                self.settled += n0
                return
            counters.gaps += 1
            counters.gap_samples += n1 - n0
        self.settled = self.end

    def view(self, n0: int, n1: int) -> tuple[Float, Mask]:
        """Samples and mask of the indices [n0, n1), valid until the next `put`; there is none before `first`."""
        missing = max(min(self._first, n1) - n0, 0)
        here = slice(n0 + missing - self._first, n1 - self._first)
        x, ok = self._x[here].astype(np.float64, copy=False), self._ok[here]
        if missing:
            x, ok = np.concatenate([np.zeros(missing), x]), np.concatenate([np.zeros(missing, dtype=bool), ok])
        return x, ok

    def forget(self, n0: int) -> None:
        """Allow samples before `n0` to be dropped when the buffer needs space."""
        self._keep = n0

    @property
    def first(self) -> int:
        """Index of the oldest sample in the buffer."""
        return self._first

    def trimmed(self, n0: int) -> Segment:
        """A copy with the samples from `n0` on, for reading only."""
        n0 = min(max(n0, self._first), self.end)
        other = Segment(self.anchor_ns, self.rate_hz)
        other.settled, other.end, other._first = self.settled, self.end, n0
        here = slice(n0 - self._first, self.end - self._first)
        other._x, other._ok = self._x[here].copy(), self._ok[here].copy()
        return other

    def _hold(self, dtype: np.dtype[Any]) -> None:
        """Keep the samples in a type that holds those of `dtype` exactly."""
        if dtype != self._x.dtype and not np.can_cast(dtype, self._x.dtype):
            self._x = self._x.astype(np.float64)

    def _reserve(self, end: int) -> None:
        """Make space for the samples before `end`; those that are no longer needed are dropped."""
        if end - self._first <= len(self._x):
            return
        keep = max(min(self._keep, self.settled), self._first)
        kept = slice(keep - self._first, self.end - self._first)
        x, ok = self._x[kept], self._ok[kept]
        size = end - keep + max(self._spare, (end - keep) // SPARE_PART)
        if not end - keep + self._spare // 2 <= len(self._x) <= 2 * size:
            self._x, self._ok = np.zeros(size, dtype=x.dtype), np.zeros(size, dtype=bool)
        self._x[: len(x)], self._ok[: len(ok)] = x, ok
        self._ok[len(ok) :] = False
        self._first = keep
