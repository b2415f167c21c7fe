"""Track: the samples of one component, put in order, each once, and resampled to the clock of a model.

Packets may arrive out of order, twice, or overlapping. They are placed in order of their start times: one that follows
the samples so far at once, any other, also the first one, when a packet that starts at least `reorder_wait_s` later
has arrived. Samples that are still missing then are a gap, which is never filled. A gap longer than `SEGMENT_GAP_S` or
a new sampling rate starts a new segment, so that long gaps need no memory.

Start times may jitter and drift. A packet whose start is off by half a sample or more, but close to the end of the
previous packet, follows it, and the clock of the segment is set (`Segment.follows`). Rates that differ by less than
`RATE_TOLERANCE` are the same rate; what remains of the difference is a drift.
"""

from __future__ import annotations

import bisect
import dataclasses
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S, iso_from_ns
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.timeline.joined import Joined, Stretch, can_join
from seisedge.runtime.timeline.masks import runs
from seisedge.runtime.timeline.resample import Float, Mask, Resampler
from seisedge.runtime.timeline.segment import (
    FOLLOWS_JITTER_S,
    JITTER_SAMPLES,
    SEGMENT_GAP_S,
    Segment,
    SegmentState,
    TrackCounters,
    is_sound,
)

logger = logging.getLogger(__name__)

RATE_TOLERANCE = 1e-4  # oscillators of digitizers are this exact: a smaller difference is no other nominal rate
MAX_RATE_SLIP_SAMPLES = 0.25  # a packet with another rate than its segment is placed in pieces that slip by less
MAX_SLIP_SAMPLES = 0.49  # from the samples of a clock: packets that are joined have the nearest one for sure
JITTER_PACKETS = 100  # number of packets after which a jitter is forgotten
MAX_WAITING_PACKETS = 2000
MAX_WAITING = 8  # times the wait and the longest packet: length of the data that wait to be placed


class WaitingState(msgspec.Struct, frozen=True):
    """A packet that waits to be placed, without its samples; sound: runs [n0, n1) of samples that are valid."""

    start_ns: int
    rate_hz: float
    n: int
    sound: list[tuple[int, int]]


class TrackState(msgspec.Struct, frozen=True):
    """State of a track without its samples; a restored track makes the same decisions on the packets that follow.

    jitter: number of packets for which the times are known to jitter. waiting: in order of start times.
    """

    counters: TrackCounters
    newest_start_ns: int | None
    done_k: int | None
    next_k: int
    segment: SegmentState | None
    jitter: int = 0
    waiting: list[WaitingState] = []


@dataclass(frozen=True, slots=True)
class GridSpec:
    """Clock of a model: outputs at `k / rate_hz` seconds since 1970; frequencies up to `pass_hz` are kept."""

    rate_hz: float
    pass_hz: float


@dataclass(frozen=True, slots=True)
class RawStretch:
    """Samples as recorded, before resampling: views of the buffer, valid until the next `add`.

    x: (n,), counts, from `start_ns` on. ok: (n,), True where the sample exists. first: index of sample 0 on the clock
    of `resampler`, which makes the outputs.
    """

    x: Float
    ok: Mask
    start_ns: int
    rate_hz: float
    resampler: Resampler
    first: int

    def outputs_under(self, n0: int, n1: int) -> tuple[int, int]:
        """Outputs [k0, k1) that have any of the samples [n0, n1) under their kernel."""
        return self.resampler.outputs_under(self.first + n0, self.first + n1)


@dataclass(frozen=True, slots=True)
class _Arrived:
    """Samples of one packet; empty where they may not be used, `n` is their number all the same."""

    start_ns: int
    rate_hz: float
    samples: npt.NDArray[Any]
    n: int
    end_ns: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "end_ns", self.start_ns + round(self.n * NS_PER_S / self.rate_hz))

    def state(self) -> WaitingState:
        return WaitingState(self.start_ns, self.rate_hz, self.n, runs(is_sound(self.samples)))

    @classmethod
    def from_state(cls, state: WaitingState) -> _Arrived:
        """Valid samples are restored as 0: they count, and outputs that depend on them are not used."""
        samples = np.full(state.n if state.sound else 0, np.nan)
        for n0, n1 in state.sound:
            samples[n0:n1] = 0.0
        return cls(state.start_ns, state.rate_hz, samples, state.n)

    def pieces(self, rate_hz: float) -> Iterator[_Arrived]:
        """Parts that slip by less than `MAX_RATE_SLIP_SAMPLES` against a clock of `rate_hz`."""
        slip = abs(self.rate_hz - rate_hz) / rate_hz
        if slip * self.n < MAX_RATE_SLIP_SAMPLES:
            yield self
            return
        size = int(MAX_RATE_SLIP_SAMPLES / slip)
        for n0 in range(0, self.n, size):
            start_ns = self.start_ns + round(n0 * NS_PER_S / self.rate_hz)
            yield _Arrived(start_ns, self.rate_hz, self.samples[n0 : n0 + size], min(size, self.n - n0))


def _is_same_rate(rate_hz: float, other_hz: float) -> bool:
    return rate_hz == other_hz or abs(rate_hz - other_hz) <= RATE_TOLERANCE * other_hz


@dataclass(frozen=True, slots=True)
class _Piece:
    """A segment with the clock that was valid for outputs before `end_k`."""

    segment: Segment
    resampler: Resampler
    end_k: int

    @property
    def end_ns(self) -> int:
        return round(self.end_k * NS_PER_S / float(self.resampler.rate_out))


class Track:
    """One component of a station; returns resampled samples once they are final.

    `add` determines which outputs are final; `take` resamples those of several packets at once.
    done_k: outputs below this index are final; None before the first packet.
    raw_from_ns: samples from this time on are kept for `raw`; set by the user of the track.
    integrates: the samples are accelerations, the outputs velocities; see `Resampler`.
    """

    def __init__(self, name: str, spec: GridSpec, reorder_wait_s: float, *, integrates: bool = False) -> None:
        self.name = name
        self._integrates = integrates
        self.spec = spec
        self.reorder_wait_s = reorder_wait_s
        self.counters = TrackCounters()
        self.newest_start_ns: int | None = None
        self.done_k: int | None = None
        self.raw_from_ns = 0
        self._waiting: list[_Arrived] = []  # in order of start times
        self._jitter = 0  # number of packets for which the times are known to jitter
        self._segment: Segment | None = None
        self._resampler: Resampler | None = None
        self._past: list[_Piece] = []  # earlier segments and clocks, as far as `raw` needs them
        self._next_k = 0  # first output of the segment that is not final
        self._due: list[
            tuple[int, int]
        ] = []  # final outputs [k0, k1) of the current segment that are not yet resampled
        self._warned_of_segment = False  # the first new segment is logged as a warning
        self._pending: list[tuple[int, Float, Mask]] = []

    @property
    def reach_s(self) -> float:
        """Length of the samples before an output that it depends on: those under the kernel of the resampler."""
        return self._resampler.reach_s if self._resampler is not None else 0.0

    @property
    def waits(self) -> bool:
        """True while packets wait to be placed, because earlier ones may still arrive."""
        return bool(self._waiting)

    @property
    def newest_end_ns(self) -> int | None:
        """Newest end of the packets, those that wait to be placed included; None before the first."""
        ends = [arrived.end_ns for arrived in self._waiting]
        if self._segment is not None:
            ends.append(self._segment.end_ns)
        return max(ends, default=None)

    def state(self) -> TrackState:
        """The state without the samples."""
        segment = self._segment.state() if self._segment is not None else None
        return TrackState(
            dataclasses.replace(self.counters),
            self.newest_start_ns,
            self.done_k,
            self._next_k,
            segment,
            self._jitter,
            [arrived.state() for arrived in self._waiting],
        )

    def restore(self, state: TrackState) -> None:
        """Resume from `state`; outputs that depend on earlier samples are missing."""
        self.counters = dataclasses.replace(state.counters)
        self.newest_start_ns, self.done_k, self._next_k = state.newest_start_ns, state.done_k, state.next_k
        self._jitter, self._waiting = state.jitter, [_Arrived.from_state(waiting) for waiting in state.waiting]
        self._segment = self._resampler = None
        if state.segment is not None:
            self._resampler = self._resampler_at(state.segment.rate_hz, state.segment.anchor_ns)
            first, _ = self._resampler.inputs_for(self._next_k, self._next_k + 1)
            self._segment = Segment.from_state(state.segment, first - 2)

    def add(self, packet: Packet, usable: bool, wanted_k: int) -> None:
        """Add a packet; one that is not `usable` (calibration) becomes a gap.

        wanted_k: outputs before this index are not needed, and not resampled.
        Raises ValueError if the Nyquist frequency of the packet is not above `spec.pass_hz`.
        """
        if self.newest_start_ns is None or packet.starttime_ns > self.newest_start_ns:
            self.newest_start_ns = packet.starttime_ns
        samples = packet.samples
        arrived = _Arrived(
            packet.starttime_ns, packet.sampling_rate_hz, samples if usable else samples[:0], len(samples)
        )
        if not self._waiting and self._continues(arrived):  # the usual case
            self._place(arrived, wanted_k)
        else:
            bisect.insort(self._waiting, arrived, key=lambda other: other.start_ns)
            self._place_due(self.newest_start_ns - round(self.reorder_wait_s * NS_PER_S), wanted_k)
        self._settle(wanted_k)

    def joins(self, run: Joined) -> bool:
        """True if `add` would put these packets in their order behind the samples so far, without any other effect.

        There may be gaps between them; packets behind the newest gap may wait to be placed, before and after.
        """
        segment, waiting = self._segment, self._waiting
        if segment is None or segment.rate_hz != run.rate_hz or self.done_k != self._next_k:
            return False
        if len(waiting) + len(run.counts) > MAX_WAITING_PACKETS:
            return False
        if not all(one.rate_hz == run.rate_hz and can_join(one.samples) for one in waiting):
            return False
        end, end_ns = segment.end, segment.end_ns
        for stretch in self._queued(run).stretches:
            if not self._lies_behind(segment, stretch, end, end_ns):
                return False
            end, end_ns = segment.index_of(stretch.start_ns) + stretch.n, stretch.end_ns
        return True

    def continues(self, run: Joined) -> bool:
        """True if a run begins where the samples so far end, all of which are final."""
        segment = self._segment
        if segment is None or self._waiting or segment.settled != segment.end:
            return False
        return segment.index_of(run.starts_ns[0]) == segment.end

    def _lies_behind(self, segment: Segment, stretch: Stretch, end: int, end_ns: int) -> bool:
        """True if the packets of a stretch are placed behind `end`, with no or a short gap, and without a new clock."""
        exact = (stretch.start_ns - segment.anchor_ns) * segment.rate_hz / NS_PER_S
        index = segment.index_of(stretch.start_ns)
        if abs(exact - index) + stretch.slip > MAX_SLIP_SAMPLES:
            return False
        off = abs(stretch.start_ns - end_ns) * segment.rate_hz / NS_PER_S
        if index == end:
            return off <= JITTER_SAMPLES
        if index < end or self._jitter or off < 1 - JITTER_SAMPLES or index - end > SEGMENT_GAP_S * segment.rate_hz:
            return False
        return off > FOLLOWS_JITTER_S * segment.rate_hz or abs(off - round(off)) <= JITTER_SAMPLES

    def _queued(self, run: Joined) -> Joined:
        """The packets of a run behind those that wait."""
        if not self._waiting:
            return run
        queued = Joined(run.component, run.source_id, run.rate_hz, run.longest)
        for arrived in self._waiting:
            queued.add(arrived.start_ns, arrived.samples)
        for start_ns, samples in zip(run.starts_ns, run.parts, strict=True):
            queued.add(start_ns, samples)
        return queued

    def join(self, run: Joined, wanted_k: int) -> None:
        """As `add` of each packet; `joins` must be True. wanted_k: see `add`."""
        segment, rate_hz = self._segment, run.rate_hz
        assert segment is not None
        self.newest_start_ns = max(self.newest_start_ns or run.starts_ns[0], run.starts_ns[-1])
        self._jitter = max(self._jitter - len(run.counts), 0)
        until_ns = self.newest_start_ns - round(self.reorder_wait_s * NS_PER_S)
        run = self._queued(run)
        placed = len(run.counts)
        for number, stretch in enumerate(run.stretches):
            index = segment.index_of(stretch.start_ns)
            if index != segment.end and stretch.start_ns > until_ns:
                placed = stretch.first
                break
            segment.put(index, run.samples(number), self.counters)
            segment.end_ns = stretch.end_ns
        rest = slice(placed, None)
        waiting = zip(run.starts_ns[rest], run.parts[rest], run.counts[rest], strict=True)
        self._waiting = [_Arrived(start_ns, rate_hz, samples, n) for start_ns, samples, n in waiting]
        self._settle(wanted_k)

    def release(self, until_ns: int, wanted_k: int) -> bool:
        """Place the packets that start up to `until_ns` without further waiting; True if there are any."""
        if not self._waiting or self._waiting[0].start_ns > until_ns:
            return False
        self._place_due(until_ns, wanted_k)
        self._settle(wanted_k)
        return True

    def finish(self, wanted_k: int) -> None:
        """End of the packets: everything that waits for late packets becomes final."""
        for arrived in self._waiting:
            self._place(arrived, wanted_k)
        self._waiting = []
        if self._segment is not None:
            self._flush(self._segment, wanted_k)

    def _place_due(self, until_ns: int, wanted_k: int) -> None:
        """Place the packets that start up to `until_ns`, those that follow the samples so far, and too many others."""
        while (number := self._next(until_ns)) is not None:
            self._place(self._waiting.pop(number), wanted_k)

    def _next(self, until_ns: int) -> int | None:
        """The packet to be placed next; one that follows takes precedence over an earlier one that overlaps."""
        if not self._waiting:
            return None
        first, segment = self._waiting[0], self._segment
        if segment is not None and first.end_ns > segment.end_ns:
            for number, arrived in enumerate(self._waiting):
                off = segment.index_of(arrived.start_ns) - segment.end
                if off > 1 + FOLLOWS_JITTER_S * segment.rate_hz:
                    break
                if _is_same_rate(arrived.rate_hz, segment.rate_hz) and (off == 0 or self._follows(segment, arrived)):
                    return number
        known = segment is not None and first.end_ns <= segment.end_ns
        return 0 if first.start_ns <= until_ns or known or self._too_many() else None

    def _too_many(self) -> bool:
        if len(self._waiting) > MAX_WAITING_PACKETS:
            return True
        lengths = [arrived.end_ns - arrived.start_ns for arrived in self._waiting]
        return sum(lengths) > MAX_WAITING * (self.reorder_wait_s * NS_PER_S + max(lengths))

    def _continues(self, arrived: _Arrived) -> bool:
        """True if no samples are missing between the samples so far and a packet."""
        segment = self._segment
        if segment is None or not _is_same_rate(arrived.rate_hz, segment.rate_hz):
            return False
        return segment.index_of(arrived.start_ns) <= segment.end or self._follows(segment, arrived)

    def _follows(self, segment: Segment, arrived: _Arrived) -> bool:
        return segment.follows(arrived.start_ns, arrived.n, jitters=self._jitter > 0)

    def _place(self, arrived: _Arrived, wanted_k: int) -> None:
        segment = self._segment
        if segment is not None:
            rate_hz = segment.rate_hz
            same = _is_same_rate(arrived.rate_hz, rate_hz)
            if not same and arrived.end_ns <= segment.end_ns:
                self.counters.late_samples += len(arrived.samples)
                return
            missing = segment.index_of(arrived.start_ns) - segment.end
            if not same or missing / rate_hz > SEGMENT_GAP_S:
                why = f"gap of {missing / rate_hz:.1f} s" if same else f"rate {rate_hz:g} to {arrived.rate_hz:g} Hz"
                level = logging.DEBUG if self._warned_of_segment else logging.WARNING
                logger.log(level, "%s: new segment at %s: %s", self.name, iso_from_ns(arrived.start_ns), why)
                self._warned_of_segment = True
                self._flush(segment, wanted_k)
                self._retire(ended=True)
                self.counters.gaps += 1
                self.counters.gap_samples += max(missing, 0)
                segment = None
            else:
                self._watch_jitter(segment, arrived)
        if segment is None:
            segment = self._open(arrived)
        for piece in arrived.pieces(segment.rate_hz):
            self._put(segment, piece)

    def _put(self, segment: Segment, arrived: _Arrived) -> None:
        index = segment.index_of(arrived.start_ns)
        if index != segment.end and self._follows(segment, arrived):
            self._resample()
            self._retire(ended=False)
            segment.retime(arrived.start_ns)
            index = segment.end
            self._resampler = self._resampler_for(segment)
            self.counters.retimings += 1
        samples = arrived.samples
        if arrived.end_ns <= segment.end_ns:  # a repetition, though its index may be off by a sample where times jitter
            samples = samples[: max(segment.end - index, 0)]
        if len(samples):
            segment.put(index, samples, self.counters)
            if index + len(samples) == segment.end:
                segment.end_ns = arrived.end_ns

    def _watch_jitter(self, segment: Segment, arrived: _Arrived) -> None:
        """Note whether the start of a packet is off from the end of the previous one by a part of a sample."""
        off = abs(arrived.start_ns - segment.end_ns) * segment.rate_hz / NS_PER_S
        near = off <= FOLLOWS_JITTER_S * segment.rate_hz or off < 1
        if near and abs(off - round(off)) > JITTER_SAMPLES:
            self._jitter = JITTER_PACKETS
        elif self._jitter:
            self._jitter -= 1

    def _settle(self, wanted_k: int) -> None:
        segment = self._segment
        if segment is None:
            return
        if segment.settled < segment.end:
            segment.settle(round(self.reorder_wait_s * segment.rate_hz), self.counters)
        self._finalize(segment, wanted_k)

    def raw(self, k0: int, k1: int) -> list[RawStretch]:
        """Final samples under the kernels of the outputs [k0, k1), one stretch per segment and clock."""
        found: list[RawStretch] = []
        for piece in [*self._past, *self._piece()]:
            high = min(k1, piece.end_k)
            n0, n1 = piece.resampler.inputs_for(k0, high) if high > k0 else (0, 0)
            n0, n1 = max(n0, piece.segment.first), min(n1, piece.segment.settled)
            if n1 > n0:
                x, ok = piece.segment.view(n0, n1)
                rate_hz = piece.segment.rate_hz
                start_ns = piece.resampler.anchor_ns + round(n0 * NS_PER_S / rate_hz)
                found.append(RawStretch(x, ok, start_ns, rate_hz, piece.resampler, n0))
            k0 = max(k0, piece.end_k)
        return found

    def take(self, k0: int | None = None, k1: int | None = None) -> list[tuple[int, Float, Mask]]:
        """Final outputs that were not taken yet, each piece as (first k, values, mask). k0, k1: those of [k0, k1)."""
        self._resample(k0, k1)
        pending, self._pending = self._pending, []
        return pending

    def _open(self, arrived: _Arrived) -> Segment:
        self._segment = Segment(arrived.start_ns, arrived.rate_hz)
        self._resampler = resampler = self._resampler_for(self._segment)
        first_k, _ = resampler.outputs_from(0, 0)
        low, _ = resampler.inputs_for(first_k, first_k + 1)
        assert low >= 0
        self._next_k = first_k
        self.done_k = first_k if self.done_k is None else max(self.done_k, first_k)
        return self._segment

    def _resampler_for(self, segment: Segment) -> Resampler:
        return self._resampler_at(segment.rate_hz, segment.anchor_ns)

    def _resampler_at(self, rate_hz: float, anchor_ns: int) -> Resampler:
        spec = self.spec
        return Resampler(rate_hz, spec.rate_hz, spec.pass_hz, anchor_ns, integrates=self._integrates)

    def _piece(self) -> list[_Piece]:
        """The current segment with its current clock."""
        if self._segment is None or self._resampler is None:
            return []
        return [_Piece(self._segment, self._resampler, self._next_k)]

    def _retire(self, *, ended: bool) -> None:
        """Keep the current segment for `raw`, before a new one starts (`ended`) or its clock is set."""
        self._past = [piece for piece in self._past if piece.end_ns > self.raw_from_ns]
        for piece in self._piece():
            segment = piece.segment
            if ended:
                segment = segment.trimmed(segment.index_of(self.raw_from_ns))
            piece = _Piece(segment, piece.resampler.without_kernel(), piece.end_k)
            if ended or not self._past or piece.end_k > self._past[-1].end_k:
                self._past.append(piece)

    def _flush(self, segment: Segment, wanted_k: int) -> None:
        segment.settle(0, self.counters)
        self._finalize(segment, wanted_k)
        self._resample()

    def _finalize(self, segment: Segment, wanted_k: int) -> None:
        assert self._resampler is not None
        k0, k1 = self._next_k, self._resampler.output_after(segment.settled)
        if k1 <= k0:
            return
        self._next_k = k1
        self.done_k = k1 if self.done_k is None else max(self.done_k, k1)
        k0 = max(k0, wanted_k)
        if self._due and self._due[-1][1] == k0:
            self._due[-1] = (self._due[-1][0], k1)
        elif k1 > k0:
            self._due.append((k0, k1))

    def _resample(self, from_k: int | None = None, to_k: int | None = None) -> None:
        """Compute the outputs that are due; from_k, to_k: those of [from_k, to_k)."""
        if not self._due or self._segment is None or self._resampler is None:
            return
        if from_k is not None and to_k is not None and not any(k0 < to_k and from_k < k1 for k0, k1 in self._due):
            return
        due, self._due = self._due, []
        for first, end in due:
            k0 = first if from_k is None else min(max(first, from_k), end)
            k1 = end if to_k is None else max(min(end, to_k), k0)
            self._due += [(low, high) for low, high in ((first, k0), (k1, end)) if high > low]
            if k1 > k0:
                n0, n1 = self._resampler.inputs_for(k0, k1)
                values, whole = self._resampler(*self._segment.view(n0, n1), n0, k0, k1)
                self._pending.append((k0, values, whole))
        self._forget()

    def skip(self, before_k: int) -> None:
        """Outputs before this index are not needed any more: those that were not taken are never resampled."""
        if self._due and self._due[0][0] < before_k:  # in order
            self._due = [(max(k0, before_k), k1) for k0, k1 in self._due if k1 > before_k]
            self._forget()

    def _forget(self) -> None:
        """Allow samples to be dropped that no output needs any more."""
        if self._segment is None or self._resampler is None:
            return
        # a few more samples: they may come under the kernel when the clock is set
        more = 2 + math.ceil(FOLLOWS_JITTER_S * self._segment.rate_hz)
        next_k = self._due[0][0] if self._due else self._next_k
        needed = self._resampler.inputs_for(next_k, next_k + 1)[0] - more
        self._segment.forget(min(needed, self._segment.index_of(self.raw_from_ns)))
