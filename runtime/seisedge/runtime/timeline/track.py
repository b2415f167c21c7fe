"""Track: the samples of one component, put in order, each once, and resampled to the clock of a model.

Packets may arrive out of order within `reorder_wait_s` of data time, twice, or overlapping. Samples that are missing
for longer are a gap, which is never filled. A gap longer than `SEGMENT_GAP_S` or a new sampling rate starts a new
segment, so that long gaps need no memory.
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass

import msgspec

from seisedge.runtime.clock import NS_PER_S, iso_from_ns
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.timeline.resample import Float, Mask, Resampler
from seisedge.runtime.timeline.segment import SEGMENT_GAP_S, Segment, SegmentState, TrackCounters

logger = logging.getLogger(__name__)


class TrackState(msgspec.Struct, frozen=True):
    """State of a track without its samples; a restored track makes the same decisions on the packets that follow."""

    counters: TrackCounters
    newest_start_ns: int | None
    done_k: int | None
    next_k: int
    segment: SegmentState | None


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
    """

    def __init__(self, name: str, spec: GridSpec, reorder_wait_s: float) -> None:
        self.name = name
        self.spec = spec
        self.reorder_wait_s = reorder_wait_s
        self.counters = TrackCounters()
        self.newest_start_ns: int | None = None
        self.done_k: int | None = None
        self._segment: Segment | None = None
        self._resampler: Resampler | None = None
        self.raw_from_ns = 0
        self._past: list[_Piece] = []  # earlier segments and clocks, as far as `raw` needs them
        self._next_k = 0  # first output of the segment that is not final
        self._due: list[
            tuple[int, int]
        ] = []  # final outputs [k0, k1) of the current segment that are not yet resampled
        self._warned_of_segment = False  # the first new segment is logged as a warning
        self._pending: list[tuple[int, Float, Mask]] = []

    @property
    def reach_s(self) -> float:
        """Half the length of the resampling kernel: an output depends on samples up to this far on either side."""
        return self._resampler.half_s if self._resampler is not None else 0.0

    def state(self) -> TrackState:
        """The state without the samples."""
        segment = self._segment.state() if self._segment is not None else None
        return TrackState(dataclasses.replace(self.counters), self.newest_start_ns, self.done_k, self._next_k, segment)

    def restore(self, state: TrackState) -> None:
        """Resume from `state`; outputs that depend on earlier samples are missing."""
        self.counters = dataclasses.replace(state.counters)
        self.newest_start_ns, self.done_k, self._next_k = state.newest_start_ns, state.done_k, state.next_k
        self._segment = self._resampler = None
        if state.segment is not None:
            self._resampler = Resampler(
                state.segment.rate_hz, self.spec.rate_hz, self.spec.pass_hz, state.segment.anchor_ns
            )
            first, _ = self._resampler.inputs_for(self._next_k, self._next_k + 1)
            self._segment = Segment.from_state(state.segment, first - 2)

    def add(self, packet: Packet, usable: bool, wanted_k: int) -> None:
        """Add a packet; one that is not `usable` (calibration) becomes a gap.

        wanted_k: outputs before this index are not needed, and not resampled.
        Raises ValueError if the Nyquist frequency of the packet is not above `spec.pass_hz`.
        """
        segment = self._segment
        if segment is not None:
            index = segment.index_of(packet.starttime_ns)
            jump_s = (index - segment.end) / segment.rate_hz
            if packet.sampling_rate_hz != segment.rate_hz or jump_s > SEGMENT_GAP_S:
                logger.log(
                    logging.DEBUG if self._warned_of_segment else logging.WARNING,
                    "%s: new segment at %s: %s",
                    self.name,
                    iso_from_ns(packet.starttime_ns),
                    f"gap of {jump_s:.1f} s"
                    if packet.sampling_rate_hz == segment.rate_hz
                    else f"rate {segment.rate_hz:g} to {packet.sampling_rate_hz:g} Hz",
                )
                self._warned_of_segment = True
                self._flush(segment, wanted_k)
                self._retire(ended=True)
                self.counters.gaps += 1
                self.counters.gap_samples += max(index - segment.end, 0)
                segment = None
        if segment is None:
            segment, index = self._open(packet), 0
        elif segment.has_drifted(packet, index):
            self._resample()
            self._retire(ended=False)
            segment.retime(packet)
            index = segment.end
            self._resampler = self._resampler_for(segment)
            self.counters.retimings += 1
        if self.newest_start_ns is None or packet.starttime_ns > self.newest_start_ns:
            self.newest_start_ns = packet.starttime_ns
        if usable:
            segment.put(index, packet.samples, self.counters)
            if index + len(packet.samples) == segment.end:
                segment.end_ns = packet.endtime_ns
        if segment.settled < segment.end:
            segment.settle(round(self.reorder_wait_s * segment.rate_hz), self.counters)
        self._finalize(segment, wanted_k)

    def finish(self, wanted_k: int) -> None:
        """End of the packets: everything that waits for late packets becomes final."""
        if self._segment is not None:
            self._flush(self._segment, wanted_k)

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

    def take(self) -> list[tuple[int, Float, Mask]]:
        """Outputs that became final since the last call, each piece as (first k, values, mask)."""
        self._resample()
        pending, self._pending = self._pending, []
        return pending

    def _open(self, packet: Packet) -> Segment:
        self._segment = Segment(packet.starttime_ns, packet.sampling_rate_hz)
        self._resampler = resampler = self._resampler_for(self._segment)
        first_k, _ = resampler.outputs_from(0, 0)
        low, _ = resampler.inputs_for(first_k, first_k + 1)
        assert low >= 0
        self._next_k = first_k
        self.done_k = first_k if self.done_k is None else max(self.done_k, first_k)
        return self._segment

    def _resampler_for(self, segment: Segment) -> Resampler:
        return Resampler(segment.rate_hz, self.spec.rate_hz, self.spec.pass_hz, segment.anchor_ns)

    def _piece(self) -> list[_Piece]:
        """The current segment with its current clock."""
        if self._segment is None or self._resampler is None:
            return []
        return [_Piece(self._segment, self._resampler, self._next_k)]

    def _retire(self, *, ended: bool) -> None:
        """Keep the current segment for `raw`, before a new one starts (`ended`) or its clock is set."""
        self._past = [piece for piece in self._past if piece.end_ns > self.raw_from_ns]
        for piece in self._piece():
            if ended:
                segment = piece.segment.trimmed(piece.segment.index_of(self.raw_from_ns))
                piece = _Piece(segment, piece.resampler, piece.end_k)
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

    def _resample(self) -> None:
        if not self._due or self._segment is None or self._resampler is None:
            return
        due, self._due = self._due, []
        for k0, k1 in due:
            n0, n1 = self._resampler.inputs_for(k0, k1)
            values, whole = self._resampler(*self._segment.view(n0, n1), n0, k0, k1)
            self._pending.append((k0, values, whole))
        # two more samples: they may come under the kernel when the clock is set
        needed = self._resampler.inputs_for(self._next_k, self._next_k + 1)[0] - 2
        self._segment.forget(min(needed, self._segment.index_of(self.raw_from_ns)))
