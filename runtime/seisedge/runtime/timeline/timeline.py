"""Timeline: the three components of a station on one clock.

Outputs below `ready_k` are final: each component has reached `ready_k`, or processing no longer waits for it because a
packet of another component *starts* more than `max_wait_s` of data time later. The wait is measured at the starts of
packets, so that records of any length may follow each other channel by channel. Processing waits for a component again
as soon as it is no more than `max_wait_s` behind.

A station may have a second sensor, an accelerometer: its components (`SECOND`) have tracks of their own, which
integrate to velocity. A window contains the first sensor, and the second one where a sample of the first is missing or
dead, or where the reader says so; both are then in counts of the first. Without a second sensor nothing of this is
computed.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.records.channelcode import COMPONENTS, SECOND
from seisedge.runtime.records.orientation import WeightsByTime, mix
from seisedge.runtime.records.packet import Packet, RecordFlag
from seisedge.runtime.timeline.joined import Joined, lag_ns, newest_start_ns
from seisedge.runtime.timeline.masks import runs
from seisedge.runtime.timeline.resample import MAX_RATE_DENOMINATOR
from seisedge.runtime.timeline.segment import SPARE_PART, SPARE_S, TrackCounters
from seisedge.runtime.timeline.track import GridSpec, RawStretch, Track, TrackState

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
NO_RAW_NS = 2**62
DEAD_S = 5.0  # a constant value for so long is a dead sensor
LEVEL_S = 0.5  # length of the samples from which the level of one sensor against the other is determined
UNREAD_S = 20.0  # length of outputs that are left to be computed in short steps: the inputs need more memory
KEEP_S = 180.0  # length of the outputs kept: the longest window and the reach of the filters


# Pieces (begin_ns, ratios) in order of time: from `begin_ns` on until the next piece, the rows (3,) of the second
# sensor are multiplied by `ratios` to be in counts of the first; NaN where that is unknown. Empty: no second sensor.
RatiosByTime = tuple[tuple[int, npt.NDArray[np.float64]], ...]


@dataclass(frozen=True, slots=True)
class FlaggedSpan:
    """Time [start_ns, end_ns) of a packet of a component with flags of the digitizer."""

    component: str
    start_ns: int
    end_ns: int
    flags: RecordFlag


class TimelineState(msgspec.Struct, frozen=True):
    """State of a timeline without its samples and flags."""

    first_k: int | None
    ready_k: int
    awaited: list[str]
    tracks: dict[str, TrackState]
    began_k: int | None = None


class Timeline:
    """Three tracks on the grid `k / spec.rate_hz`; packets in, (3, n) arrays with a mask out.

    components: the components to wait for.
    raw_keep_s: length of the samples as recorded that are kept before `seen_k`.
    weights: weights by which the rows as recorded are combined to Z, N and E; may be replaced at any time.
    second_weights, ratios: the same for the second sensor, and its scale; see `RatiosByTime`.
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
        self.second_weights: WeightsByTime = ()
        self.ratios: RatiosByTime = ()
        self._reorder_wait_s = min(reorder_wait_s, max_wait_s)
        self.tracks = {c: Track(f"{station_id} {c}", spec, min(reorder_wait_s, max_wait_s)) for c in COMPONENTS}
        self._raw_keep_k = math.ceil(raw_keep_s * spec.rate_hz)
        if not self._raw_keep_k:
            for track in self.tracks.values():
                track.raw_from_ns = NO_RAW_NS
        self._awaited = set(components)
        self._warned_of: set[str] = set()  # components whose first absence was logged as a warning
        self._max_wait_k = math.ceil(max_wait_s * spec.rate_hz)
        self._first_k: int | None = None  # index of column 0 of the buffers
        self._seen_k = 0  # outputs before this index were read
        self._written_k = 0  # value of `ready_k` when the outputs of all components were last written
        self._newest_start_ns = 0  # of all components
        self._began_k = 0  # start of the first packet: the wait for other components begins there
        rate = Fraction(spec.rate_hz).limit_denominator(MAX_RATE_DENOMINATOR)
        self._per_second, self._unit_ns = rate.numerator, rate.denominator * NS_PER_S  # index k is at k * unit / per
        size = math.ceil(spec.rate_hz * SPARE_S)
        self._wave: npt.NDArray[np.float32] = np.zeros((3, size), dtype=np.float32)
        self._valid: npt.NDArray[np.bool_] = np.zeros((3, size), dtype=bool)

    @property
    def has_second(self) -> bool:
        """True if the station has a second sensor."""
        return len(self.tracks) > len(COMPONENTS)

    def expect_second(self, components: str = COMPONENTS) -> None:
        """Wait for these components of a second sensor."""
        if self.has_second:
            return
        for component in COMPONENTS:
            name = SECOND[component]
            track = Track(f"{self.station_id} {name}", self.spec, self._reorder_wait_s, integrates=True)
            track.raw_from_ns = self.tracks[component].raw_from_ns
            self.tracks[name] = track
        self._awaited |= {SECOND[component] for component in components}
        self._wave = np.concatenate([self._wave, np.zeros_like(self._wave)])
        self._valid = np.concatenate([self._valid, np.zeros_like(self._valid)])

    def drop_second(self) -> None:
        """Forget the second sensor: its scale relative to the first is unknown."""
        for name in SECOND.values():
            self.tracks.pop(name, None)
            self._awaited.discard(name)
        self._wave, self._valid = self._wave[:3].copy(), self._valid[:3].copy()

    def state(self) -> TimelineState:
        """The state without samples and flags; see `TrackState`."""
        tracks = {component: track.state() for component, track in self.tracks.items()}
        first_k = None if self._first_k is None else max(self._first_k, self._needed_k)
        return TimelineState(first_k, self.ready_k, sorted(self._awaited), tracks, self._began_k)

    def restore(self, state: TimelineState) -> None:
        """Resume from `state`; all earlier samples are missing."""
        self._first_k, self.ready_k, self._awaited = state.first_k, state.ready_k, set(state.awaited)
        self._seen_k = self.ready_k
        self._began_k = state.ready_k if state.began_k is None else state.began_k
        if len(state.tracks) > len(COMPONENTS):
            self.expect_second("")
        elif self.has_second:
            self.drop_second()
        for component, track in state.tracks.items():
            self.tracks[component].restore(track)
        self._newest_start_ns = max(track.newest_start_ns or 0 for track in state.tracks.values())

    def carry_counters(self, earlier: Mapping[str, TrackCounters]) -> None:
        """Continue the counters of the previous timeline. earlier: by component."""
        if len(earlier) > len(COMPONENTS):
            self.expect_second()
        for component, counters in earlier.items():
            self.tracks[component].counters = counters

    @property
    def reach_s(self) -> float:
        """Length of the samples before an output that it depends on, in seconds."""
        reach_s = max(track.reach_s for track in self.tracks.values())
        return reach_s + DEAD_S if self.has_second else reach_s

    @property
    def oldest_k(self) -> int:
        """Index of the oldest output in the buffer; 0 before the first packet."""
        return self._first_k or 0

    @property
    def seen_k(self) -> int:
        """Value of `ready_k` at the last call of `seen`."""
        return self._seen_k

    @property
    def _needed_k(self) -> int:
        """Outputs before this index may be dropped. Where the buffer really begins depends on its size."""
        return self._seen_k - math.ceil(KEEP_S * self.spec.rate_hz)

    def k_at(self, time_ns: int) -> int:
        """First grid index at or after a time, with a tolerance of 1 ns, so that `k_at(time_of(k)) == k`."""
        return -((1 - time_ns) * self._per_second // self._unit_ns)

    def time_of(self, k: int) -> int:
        """Time of grid index `k`, rounded to the nearest nanosecond."""
        return (2 * k * self._unit_ns + self._per_second) // (2 * self._per_second)

    def add(self, component: str, packet: Packet) -> None:
        """Add a packet of one component. Raises ValueError if its Nyquist frequency is not above `spec.pass_hz`."""
        if self._first_k is None:
            # the packets of another component may have started earlier than the first packet received
            self._began_k = self.k_at(packet.starttime_ns)
            self._first_k = self._began_k - self._max_wait_k
            self.ready_k = self._seen_k = self._first_k
        if component not in self.tracks:
            self.expect_second()
        track = self.tracks[component]
        track.add(packet, usable=not packet.flags & RecordFlag.CALIBRATION, wanted_k=self.ready_k)
        if packet.flags:
            self.flagged.append(FlaggedSpan(component, packet.starttime_ns, packet.endtime_ns, packet.flags))
        self._advance(packet.starttime_ns)

    def joins(self, runs: Sequence[Joined]) -> bool:
        """True if `add` of these packets would leave the same state; see `Joined`.

        That holds while each component that is awaited is in time for the newest of them, and no other one appears. In
        any order of the channels, a component is in time if its samples so far are; of packets in turn, if it continues
        its samples, and is late by less than the wait.
        """
        if self._first_k is None or self.has_second:
            return False
        late_ns = lag_ns(runs)
        keeps_up = set() if late_ns is None else self._keep_up(runs, late_ns)
        newest_ns = max(newest_start_ns(runs), self._newest_start_ns)
        given_up_k = self.k_at(newest_ns) - self._max_wait_k
        before_k = self.k_at(self._newest_start_ns) - self._max_wait_k
        for component, track in self.tracks.items():
            needed_k = before_k if component in keeps_up else given_up_k
            if component in self._awaited and (track.done_k is None or track.done_k < needed_k):
                return False
            if component not in self._awaited and track.done_k is not None and track.done_k >= before_k:
                return False
        return all(run.component in self._awaited and self.tracks[run.component].joins(run) for run in runs)

    def _keep_up(self, runs: Sequence[Joined], late_ns: int) -> set[str]:
        """Components of packets in turn whose outputs are never given up; late_ns: see `lag_ns`."""
        tracks = {run.component: self.tracks[run.component] for run in runs}
        late_k = self.k_at(late_ns) + sum(math.ceil(2 * track.reach_s * self.spec.rate_hz) for track in tracks.values())
        if late_k >= self._max_wait_k or not all(tracks[run.component].continues(run) for run in runs):
            return set()
        return set(tracks)

    def join(self, runs: Sequence[Joined]) -> None:
        """As `add` of each packet; `joins` must be True."""
        for run in runs:
            self.tracks[run.component].join(run, self.ready_k)
        self._advance(newest_start_ns(runs))

    def leap_to(self, packet: Packet) -> int:
        """Index up to which the wait for all components ends with `packet`; after a long gap far beyond `ready_k`."""
        return self.k_at(packet.starttime_ns) - self._max_wait_k

    def leap_from_k(self, gap_s: float) -> int:
        """A packet that starts after this index follows a gap of more than `gap_s`; the index never decreases."""
        return self.ready_k + self._max_wait_k + round(gap_s * self.spec.rate_hz)

    def follows_gap(self, packet: Packet, gap_s: float) -> bool:
        """True if `packet` follows a gap of more than `gap_s`, also seen from packets that wait to be placed.

        A timeline that waits for a missing component is `max_wait_s` behind the samples of the others: no gap.
        """
        ends = [end_ns for track in self.tracks.values() if (end_ns := track.newest_end_ns) is not None]
        if ends and packet.starttime_ns - max(ends) <= gap_s * NS_PER_S:
            return False
        return self.k_at(packet.starttime_ns) > self.leap_from_k(gap_s)

    def expect(self, packet: Packet) -> None:
        """Before `packet` is added: place the packets that wait for earlier ones no longer, because of its start."""
        if self._release(self.leap_to(packet)):
            self._advance(self._newest_start_ns)

    def give_up(self, to_k: int) -> None:
        """Stop waiting for outputs before `to_k`: those that are not final are missing."""
        self._settle()
        self.ready_k = max(self.ready_k, to_k)

    def restart(self, at_k: int) -> None:
        """Clear the buffers and continue at `at_k`, so that a gap of hours needs no memory."""
        self._write()
        self._first_k = self.ready_k = self._seen_k = at_k
        self._wave[:], self._valid[:] = 0, False
        self.flagged.clear()

    def seen(self) -> None:
        """Mark all ready outputs as read: those more than `KEEP_S` before may be dropped."""
        step_k, self._seen_k = self.ready_k - self._seen_k, self.ready_k
        if step_k >= KEEP_S * self.spec.rate_hz:  # of a file: what nobody has read is not needed any more
            for track in self.tracks.values():
                track.skip(self._needed_k)
        elif self.ready_k - self._written_k > UNREAD_S * self.spec.rate_hz:
            self._write()
        if self._raw_keep_k:
            raw_from_ns = self.time_of(max(self._seen_k - self._raw_keep_k, 0))
            for track in self.tracks.values():
                track.raw_from_ns = raw_from_ns

    def _settle(self) -> None:
        for track in self.tracks.values():
            track.finish(self.ready_k)
        self._write()

    def finish(self) -> None:
        """End of the packets: the timeline is ready up to its last output."""
        self._settle()
        done = [track.done_k for track in self.tracks.values() if track.done_k is not None]
        if done:
            self.ready_k = max(self.ready_k, *done)

    def window(
        self, k0: int, k1: int, second: npt.NDArray[np.bool_] | None = None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Samples and mask, (3, k1 - k0) each, in Z, N and E, copies; 0 and False where a sample is missing.

        second: (3, k1 - k0), True where the sample of the second sensor is used, at the level of the first one around
        it. None: where a sample of the first sensor is missing or dead, and the second has one.
        """
        wave, valid = self.first(k0, k1)
        if not self.has_second:
            return wave, valid
        other, exists = self.second(k0, k1)
        if second is None:
            used = (~valid | self.dead(k0, k1)) & exists
        else:
            used = second & exists
            for row in np.flatnonzero(used.any(axis=1)):
                _level(wave[row], valid[row], other[row], exists[row], used[row], round(LEVEL_S * self.spec.rate_hz))
        wave[used] = other[used]
        valid |= used
        return wave, valid

    def first(
        self,
        k0: int,
        k1: int,
        wanted: Sequence[int] | None = None,
        spans: Sequence[tuple[int, int]] | None = None,
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """As `window`, of the first sensor only.

        wanted: rows that are used, if not all. spans: outputs [low, high) that are used, if not all. The others may be
        empty: outputs that nobody wants are never resampled.
        """
        wave, valid = self._rows(slice(0, 3), k0, k1, None if self.weights else wanted, spans)
        self.rotate(k0, wave, valid)
        return wave, valid

    def second(self, k0: int, k1: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """As `window`, of the second sensor only, in counts of the first; there must be one."""
        wave, valid = self._rows(slice(3, 6), k0, k1)
        self.scale_second(k0, wave, valid)
        return wave, valid

    def scale_second(self, k0: int, wave: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]) -> None:
        """Apply `second_weights` and `ratios` in place to rows as recorded, (3, n) each, from index `k0` on."""
        self.rotate(k0, wave, valid, self.second_weights)
        for begin, end, ratios in self._pieces(self.ratios, k0, k0 + wave.shape[1]):
            known = np.isfinite(ratios)
            wave[:, begin:end] *= np.where(known, ratios, 0.0).astype(np.float32)[:, None]
            valid[~known, begin:end] = False
        if not self.ratios:
            valid[:] = False

    def dead(self, k0: int, k1: int) -> npt.NDArray[np.bool_]:
        """(3, k1 - k0), in Z, N and E: True where the first sensor has had the same value for `DEAD_S` or longer.

        Only earlier samples count, so that the result does not depend on the end of the window.
        """
        alive = np.ones((3, max(k1 - k0, 0)), dtype=bool)
        for row, component in enumerate(COMPONENTS):
            for stretch in self.raw(component, k0 - math.ceil(DEAD_S * self.spec.rate_hz), k1):
                shortest = math.ceil(DEAD_S * stretch.rate_hz)
                same = stretch.ok[1:] & stretch.ok[:-1] & (stretch.x[1:] == stretch.x[:-1])
                for n0, n1 in runs(same, shortest):
                    low, high = stretch.outputs_under(n0 + shortest, n1 + 1)
                    alive[row, max(low - k0, 0) : max(high - k0, 0)] = False
        self.rotate(k0, np.zeros(alive.shape, dtype=np.float32), alive)
        return ~alive

    def recorded(self, k0: int, k1: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """As `first`, with the rows as recorded, before `weights` are applied."""
        return self._rows(slice(0, 3), k0, k1)

    def _rows(
        self,
        rows: slice,
        k0: int,
        k1: int,
        wanted: Sequence[int] | None = None,
        spans: Sequence[tuple[int, int]] | None = None,
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        for begin, end in ((k0, k1),) if spans is None else spans:
            self._write(wanted, begin, end)
        wave = np.zeros((3, k1 - k0), dtype=np.float32)
        valid = np.zeros((3, k1 - k0), dtype=bool)
        first = self.oldest_k
        low, high = max(k0, first), min(k1, first + self._wave.shape[1])
        if high > low:
            wave[:, low - k0 : high - k0] = self._wave[rows, low - first : high - first]
            valid[:, low - k0 : high - k0] = self._valid[rows, low - first : high - first]
        return wave, valid

    def rotate(
        self,
        k0: int,
        wave: npt.NDArray[np.float32],
        valid: npt.NDArray[np.bool_],
        weights_by_time: WeightsByTime | None = None,
    ) -> None:
        """Apply `weights`, or those of another sensor, in place to rows as recorded, (3, n) each, from `k0` on."""
        by_time = self.weights if weights_by_time is None else weights_by_time
        for begin, end, weights in self._pieces(by_time, k0, k0 + wave.shape[1]):
            if weights is not None:
                mix(weights, wave[:, begin:end], valid[:, begin:end])

    def _pieces(self, by_time: tuple[tuple[int, _T], ...], k0: int, k1: int) -> Iterator[tuple[int, int, _T]]:
        """The pieces that lie in the outputs [k0, k1), each with its first and its last column + 1."""
        begins = [max(self.k_at(begin_ns) - k0, 0) for begin_ns, _ in by_time]
        for begin, end, (_, value) in zip(begins, [*begins[1:], k1 - k0], by_time, strict=bool(by_time)):
            if end > begin:
                yield begin, min(end, k1 - k0), value

    def raw(self, component: str, k0: int, k1: int) -> list[RawStretch]:
        """Samples as recorded under the kernels of the outputs [k0, k1), kept from `raw_keep_s` before `seen_k` on.

        Only samples under valid outputs are the same in each run over the same data; others depend on the packets.
        """
        return self.tracks[component].raw(k0, k1) if k1 > k0 else []

    def flagged_outputs(self, component: str, flags: RecordFlag, k0: int, k1: int) -> list[tuple[int, int]]:
        """Outputs [low, high) within [k0, k1) of the packets of a component that have any of these flags."""
        spans = [
            (max(self.k_at(span.start_ns), k0), min(self.k_at(span.end_ns), k1))
            for span in self.flagged
            if span.component == component and span.flags & flags
        ]
        return [(low, high) for low, high in spans if high > low]

    def flags_between(self, start_ns: int, end_ns: int, *, of_second: bool = True) -> RecordFlag:
        """All flags of packets that overlap [start_ns, end_ns); of_second: those of the second sensor included."""
        found = RecordFlag.NONE
        for span in self.flagged:
            if not of_second and span.component not in COMPONENTS:
                continue
            if span.start_ns < end_ns and span.end_ns > start_ns:
                found |= span.flags
        return found

    def _write(self, wanted: Sequence[int] | None = None, k0: int | None = None, k1: int | None = None) -> None:
        """Copy the outputs that have become final into the buffers. wanted: of these rows. k0, k1: in [k0, k1)."""
        if wanted is None and k0 is None:
            self._written_k = self.ready_k
        for row, track in enumerate(self.tracks.values()):
            if wanted is not None and row not in wanted:
                continue
            for begin, values, mask in track.take(k0, k1):
                assert self._first_k is not None
                self._reserve(begin + len(values))
                skip = max(self._first_k - begin, 0)
                start = begin + skip - self._first_k
                here = slice(start, start + max(len(values) - skip, 0))
                self._wave[row, here] = values[skip:]
                self._valid[row, here] = mask[skip:]

    def _reserve(self, end_k: int) -> None:
        assert self._first_k is not None
        size = self._wave.shape[1]
        if end_k - self._first_k <= size:
            return
        first = max(self._first_k, self._needed_k)
        kept = slice(first - self._first_k, size)
        wave, valid = self._wave[:, kept], self._valid[:, kept]
        count, needed, spare = valid.shape[1], end_k - first, math.ceil(SPARE_S * self.spec.rate_hz)
        wanted = needed + max(spare, needed // SPARE_PART)
        if not needed + spare // 2 <= size <= 2 * wanted:
            self._wave = np.zeros((len(wave), wanted), dtype=np.float32)
            self._valid = np.zeros((len(valid), wanted), dtype=bool)
        self._wave[:, :count], self._valid[:, :count] = wave, valid
        self._wave[:, count:], self._valid[:, count:] = 0, False
        self._first_k = first
        oldest_ns = self.time_of(first)
        self.flagged = [span for span in self.flagged if span.end_ns > oldest_ns]

    def _release(self, given_up_k: int) -> bool:
        """Place the packets that wait for earlier ones and start up to `given_up_k`; True if there were any."""
        released = False
        for track in self.tracks.values():
            if track.waits and (track.done_k is None or track.done_k < given_up_k):
                released |= track.release(self.time_of(given_up_k), self.ready_k)
        return released

    def _advance(self, start_ns: int) -> None:
        self._newest_start_ns = max(self._newest_start_ns, start_ns)
        given_up_k = self.k_at(self._newest_start_ns) - self._max_wait_k
        self._release(given_up_k)
        if len(self._awaited) == len(self.tracks):
            slowest_k = min(self.ready_k if t.done_k is None else t.done_k for t in self.tracks.values())
            if slowest_k >= given_up_k and slowest_k > self.ready_k:  # the usual case: no component is late
                self.ready_k = slowest_k
                return
        passed: list[int] = []
        for component, track in self.tracks.items():
            done_k = track.done_k if track.done_k is not None else self.ready_k
            if component in self._awaited:
                passed.append(max(done_k, given_up_k))
            known = track.done_k is not None
            behind = (done_k if known else self._began_k) < given_up_k
            if behind and not track.waits and component in self._awaited:
                self._awaited.discard(component)
                level = logging.INFO  # the station may not have it
                if known:
                    level = logging.DEBUG if component in self._warned_of else logging.WARNING
                    self._warned_of.add(component)
                logger.log(
                    level,
                    "%s: component %s is %s; processing continues without it",
                    self.station_id,
                    _shown(component),
                    "late" if known else "missing: no packet received",
                )
        ready = min(passed) if passed else max(t.done_k or 0 for t in self.tracks.values())
        self.ready_k = max(self.ready_k, ready)
        for component, track in self.tracks.items():
            in_time = track.waits or (track.done_k is not None and track.done_k >= given_up_k)
            if component not in self._awaited and in_time:
                self._awaited.add(component)
                logger.info("%s: component %s is in time again", self.station_id, _shown(component))


def _shown(component: str) -> str:
    return component if component in COMPONENTS else f"{component[0]} of the accelerometer"


def _level(
    wave: npt.NDArray[np.float32],
    valid: npt.NDArray[np.bool_],
    other: npt.NDArray[np.float32],
    exists: npt.NDArray[np.bool_],
    used: npt.NDArray[np.bool_],
    length: int,
) -> None:
    """Shift `other`, in place, where it is `used` to the level of `wave`; each (n,).

    The level is the mean difference over `length` samples that both sensors have, the nearest ones before and after,
    with a straight line between them. Without such samples it is the mean of `wave`.
    """
    both = np.flatnonzero(valid & exists & ~used)
    if not len(both):
        alone = valid & ~used
        other[used] += wave[alone].mean(dtype=np.float64) if alone.any() else 0.0
        return
    off = wave[both].astype(np.float64) - other[both]
    for begin, end in runs(used):
        place = int(np.searchsorted(both, begin))
        sides = [
            side for side in (slice(max(place - length, 0), place), slice(place, place + length)) if len(both[side])
        ]
        at, level = [both[side].mean() for side in sides], [off[side].mean() for side in sides]
        other[begin:end] += np.interp(np.arange(begin, end), at, level).astype(np.float32)
