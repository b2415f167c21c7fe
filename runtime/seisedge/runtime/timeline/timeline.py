"""Timeline: the three components of a station on one clock, and how far it may be read.

The part up to `ready_k` will not change any more: each component has passed it, or was given up because another
component's packet *starts* `max_wait_s` of data time later. Waiting is measured on packet starts, so that records
of any length may follow each other channel by channel. A component that was given up is waited for again
as soon as it is less than that behind.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from fractions import Fraction

import msgspec
import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.records.channelcode import COMPONENTS
from seisedge.runtime.records.orientation import WeightsByTime, mix
from seisedge.runtime.records.packet import Packet, RecordFlag
from seisedge.runtime.timeline.resample import MAX_RATE_DENOMINATOR
from seisedge.runtime.timeline.track import GridSpec, RawStretch, Track, TrackState

logger = logging.getLogger(__name__)

NO_RAW_NS = 2**62
KEEP_S = 180.0  # behind `ready_k`: the longest window plus the filters' reach


@dataclass(frozen=True, slots=True)
class FlaggedSpan:
    """A stretch of time [start_ns, end_ns) the digitizer flagged."""

    start_ns: int
    end_ns: int
    flags: RecordFlag


class TimelineState(msgspec.Struct, frozen=True):
    """A timeline without its samples and flags."""

    first_k: int | None
    ready_k: int
    awaited: list[str]
    tracks: dict[str, TrackState]
    began_k: int | None = None


class Timeline:
    """Three tracks on the grid `k / spec.rate_hz`; packets in, (3, n) arrays with a mask out.

    components: those the station has; the others are not waited for.
    raw_keep_s: how long before what was seen raw samples are kept.
    weights: how the rows as recorded are combined to Z, N and E; may be replaced at any time.
    """

    def __init__(
        self,
        station_id: str,
        spec: GridSpec,
        *,
        components: str = COMPONENTS,
        max_wait_s: float = 60.0,
        reorder_wait_s: float = 2.0,
        raw_keep_s: float = 0.0,
    ) -> None:
        self.station_id = station_id
        self.spec = spec
        self.ready_k = 0
        self.flagged: list[FlaggedSpan] = []
        self.weights: WeightsByTime = ()
        self.tracks = {c: Track(f"{station_id} {c}", spec, reorder_wait_s) for c in COMPONENTS}
        self._raw_keep_k = math.ceil(raw_keep_s * spec.rate_hz)
        if not self._raw_keep_k:
            for track in self.tracks.values():
                track.raw_from_ns = NO_RAW_NS
        self._awaited = set(components)
        self._told: set[str] = set()  # components whose first absence was told
        self._max_wait_k = math.ceil(max_wait_s * spec.rate_hz)
        self._first_k: int | None = None  # index of column 0 of the buffers
        self._seen_k = 0  # up to here everything was looked at
        self._newest_start_ns = 0  # of all components
        self._began_k = 0  # where the component that spoke first began; the others are waited for from there
        rate = Fraction(spec.rate_hz).limit_denominator(MAX_RATE_DENOMINATOR)
        self._per_second, self._unit_ns = rate.numerator, rate.denominator * NS_PER_S  # index k is at k * unit / per
        size = int(spec.rate_hz * (KEEP_S + 2 * max_wait_s)) * 2
        self._wave: npt.NDArray[np.float32] = np.zeros((3, size), dtype=np.float32)
        self._valid: npt.NDArray[np.bool_] = np.zeros((3, size), dtype=bool)

    def state(self) -> TimelineState:
        """What there is but samples and flags; see `TrackState`."""
        tracks = {component: track.state() for component, track in self.tracks.items()}
        return TimelineState(self._first_k, self.ready_k, sorted(self._awaited), tracks, self._began_k)

    def restore(self, state: TimelineState) -> None:
        """Go on from `state`, with every sample before it missing."""
        self._first_k, self.ready_k, self._awaited = state.first_k, state.ready_k, set(state.awaited)
        self._seen_k = self.ready_k
        self._began_k = state.ready_k if state.began_k is None else state.began_k
        for component, track in state.tracks.items():
            self.tracks[component].restore(track)
        self._newest_start_ns = max(track.newest_start_ns or 0 for track in state.tracks.values())

    def carry_counters(self, earlier: Timeline) -> None:
        """Go on counting where the timeline before this one ended."""
        for component, track in self.tracks.items():
            track.counters = earlier.tracks[component].counters

    @property
    def reach_s(self) -> float:
        """How far before an output its samples lie."""
        return max(track.reach_s for track in self.tracks.values())

    @property
    def oldest_k(self) -> int:
        """First index still held; 0 before the first packet."""
        return self._first_k or 0

    @property
    def seen_k(self) -> int:
        """Index after the last output that was ready at the last call of `seen`."""
        return self._seen_k

    def k_at(self, time_ns: int) -> int:
        """First grid index at or after a time; of `time_of(k)`, which is to the nanosecond, it is k."""
        return -((1 - time_ns) * self._per_second // self._unit_ns)

    def time_of(self, k: int) -> int:
        """Time of grid index `k` in ns, to the nearest."""
        return (2 * k * self._unit_ns + self._per_second) // (2 * self._per_second)

    def add(self, component: str, packet: Packet) -> None:
        """Take a packet of one component. Raises ValueError where its rate does not carry the band."""
        if self._first_k is None:
            # a component may have started earlier than the one that spoke first
            self._began_k = self.k_at(packet.starttime_ns)
            self._first_k = self._began_k - self._max_wait_k
            self.ready_k = self._seen_k = self._first_k
        track = self.tracks[component]
        track.add(packet, usable=not packet.flags & RecordFlag.CALIBRATION, wanted_k=self.ready_k)
        if packet.flags:
            self.flagged.append(FlaggedSpan(packet.starttime_ns, packet.endtime_ns, packet.flags))
        self._advance(packet.starttime_ns)

    def leap_to(self, packet: Packet) -> int:
        """Index up to which `packet` would give up everything; far beyond `ready_k` after a long gap."""
        return self.k_at(packet.starttime_ns) - self._max_wait_k

    def leap_from_k(self, gap_s: float) -> int:
        """Index beyond which a packet that begins there leaps over more than `gap_s`; it only grows."""
        return self.ready_k + self._max_wait_k + round(gap_s * self.spec.rate_hz)

    def give_up(self, to_k: int) -> None:
        """What has not come before `to_k` is missing: the timeline is ready up to there."""
        self._settle()
        self.ready_k = max(self.ready_k, to_k)

    def restart(self, at_k: int) -> None:
        """Forget everything and go on at `at_k`; the buffers need not span a gap of hours."""
        self._write()
        self._first_k = self.ready_k = self._seen_k = at_k
        self._wave[:], self._valid[:] = 0, False
        self.flagged.clear()

    def seen(self) -> None:
        """Everything that is ready was looked at: what lies `KEEP_S` before may be forgotten."""
        self._seen_k = self.ready_k
        if self._raw_keep_k:
            raw_from_ns = self.time_of(max(self._seen_k - self._raw_keep_k, 0))
            for track in self.tracks.values():
                track.raw_from_ns = raw_from_ns

    def _settle(self) -> None:
        for track in self.tracks.values():
            track.finish(self.ready_k)
        self._write()

    def finish(self) -> None:
        """No more packets: the timeline is ready to its end."""
        self._settle()
        done = [track.done_k for track in self.tracks.values() if track.done_k is not None]
        if done:
            self.ready_k = max(self.ready_k, *done)

    def window(self, k0: int, k1: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Samples and mask, (3, k1 - k0) each, in Z, N and E, copies; 0 and False where a sample is missing."""
        wave, valid = self.recorded(k0, k1)
        self.rotate(k0, wave, valid)
        return wave, valid

    def recorded(self, k0: int, k1: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """As `window`, with the rows as recorded, before `weights` are applied."""
        self._write()
        wave = np.zeros((3, k1 - k0), dtype=np.float32)
        valid = np.zeros((3, k1 - k0), dtype=bool)
        first = self.oldest_k
        low, high = max(k0, first), min(k1, first + self._wave.shape[1])
        if high > low:
            wave[:, low - k0 : high - k0] = self._wave[:, low - first : high - first]
            valid[:, low - k0 : high - k0] = self._valid[:, low - first : high - first]
        return wave, valid

    def rotate(self, k0: int, wave: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]) -> None:
        """Apply `weights` in place to rows as recorded, (3, n) each, from index `k0` on."""
        if not self.weights:
            return
        begins = [max(self.k_at(begin_ns) - k0, 0) for begin_ns, _ in self.weights]
        for begin, end, (_, weights) in zip(begins, [*begins[1:], wave.shape[1]], self.weights, strict=True):
            if weights is not None and end > begin:
                mix(weights, wave[:, begin:end], valid[:, begin:end])

    def raw(self, component: str, k0: int, k1: int) -> list[RawStretch]:
        """Raw samples under the outputs [k0, k1), kept from `raw_keep_s` before what was `seen`, as recorded.

        Only those under an output that `window` calls valid are there for every run over the same samples.
        """
        return self.tracks[component].raw(k0, k1) if k1 > k0 else []

    def flags_between(self, start_ns: int, end_ns: int) -> RecordFlag:
        """What was flagged within [start_ns, end_ns)."""
        found = RecordFlag.NONE
        for span in self.flagged:
            if span.start_ns < end_ns and span.end_ns > start_ns:
                found |= span.flags
        return found

    def _write(self) -> None:
        """Into the buffers what has become final."""
        for row, component in enumerate(COMPONENTS):
            for k0, values, mask in self.tracks[component].take():
                assert self._first_k is not None
                self._reserve(k0 + len(values))
                skip = max(self._first_k - k0, 0)
                start = k0 + skip - self._first_k
                here = slice(start, start + max(len(values) - skip, 0))
                self._wave[row, here] = values[skip:]
                self._valid[row, here] = mask[skip:]

    def _reserve(self, end_k: int) -> None:
        assert self._first_k is not None
        size = self._wave.shape[1]
        if end_k - self._first_k <= size:
            return
        first = max(self._first_k, self._seen_k - math.ceil(KEEP_S * self.spec.rate_hz))
        grown = max(size, 2 * (end_k - first))
        wave = np.zeros((3, grown), dtype=np.float32)
        valid = np.zeros((3, grown), dtype=bool)
        kept = slice(first - self._first_k, size)
        count = max(size - (first - self._first_k), 0)
        wave[:, :count], valid[:, :count] = self._wave[:, kept], self._valid[:, kept]
        self._wave, self._valid, self._first_k = wave, valid, first
        oldest_ns = self.time_of(first)
        self.flagged = [span for span in self.flagged if span.end_ns > oldest_ns]

    def _advance(self, start_ns: int) -> None:
        self._newest_start_ns = max(self._newest_start_ns, start_ns)
        given_up_k = self.k_at(self._newest_start_ns) - self._max_wait_k
        if len(self._awaited) == len(COMPONENTS):
            slowest_k = min(self.ready_k if t.done_k is None else t.done_k for t in self.tracks.values())
            if slowest_k >= given_up_k and slowest_k > self.ready_k:  # all are there: the usual case
                self.ready_k = slowest_k
                return
        passed: list[int] = []
        for component, track in self.tracks.items():
            done_k = track.done_k if track.done_k is not None else self.ready_k
            if component in self._awaited:
                passed.append(max(done_k, given_up_k))
            known = track.done_k is not None
            if (done_k if known else self._began_k) < given_up_k and component in self._awaited:
                self._awaited.discard(component)
                level = logging.INFO  # it may not exist
                if known:
                    level = logging.DEBUG if component in self._told else logging.WARNING
                    self._told.add(component)
                logger.log(
                    level,
                    "%s: component %s is not waited for %s",
                    self.station_id,
                    component,
                    "any more" if known else "(nothing came from it)",
                )
        ready = min(passed) if passed else max(t.done_k or 0 for t in self.tracks.values())
        self.ready_k = max(self.ready_k, ready)
        for component, track in self.tracks.items():
            if component not in self._awaited and track.done_k is not None and track.done_k >= given_up_k:
                self._awaited.add(component)
                logger.info("%s: component %s is back", self.station_id, component)
