"""Memory of a station: what its future lines depend on besides the packets to come.

Two stations with the same digest give the same lines for the same packets that follow. Totals, and what happened longer
ago than anything can depend on, are left out: a station that began some minutes ago and one that has run for a year
have the same digest, unless the difference can still show.

The digest holds for packets in order of their last samples, as files are read: such packets are never behind the
newest one, so that the earlier stretches of `ClockSteps` decide nothing.
"""

from __future__ import annotations

import hashlib
import io
import math
import pickle
from fractions import Fraction
from typing import Any

import msgspec

from seisedge.runtime.clock import NS_PER_S, ns_from_s
from seisedge.runtime.engines import Engine
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.inference.onset_detector import HOLD_S
from seisedge.runtime.records.stationxml import StationXml
from seisedge.runtime.station.station import LONG_GAP_S, Station
from seisedge.runtime.station.triggered import MAX_S_MINUS_P_S, TriggeredMode
from seisedge.runtime.timeline.timeline import KEEP_S, Timeline
from seisedge.runtime.timeline.track import TrackState


def memory_s(models: Models, max_wait_s: float) -> float:
    """Length of the packets after which the memory of a new station is that of an old one, in seconds.

    The samples that are kept, the longest window, the wait for a late component at their beginning and at their end,
    the time that a P onset holds the gate open, and the longest S - P time. It does not bound what depends on a chain
    of onsets or on the clock of a digitizer whose times jitter; for these compare `digest`.
    """
    windows = [engine.card.window_s for engine in models.window_engines]
    return KEEP_S + max(windows) + 2 * max_wait_s + LONG_GAP_S + HOLD_S + MAX_S_MINUS_P_S


def digest(station: Station) -> str:
    """SHA-256 of the memory, in hexadecimal; call after `step`."""
    clock, held = station.clock_steps, station._held_apart
    waiting = [(component, packet.starttime_ns, len(packet.samples)) for component, packet in clock._held]
    apart = [(one.component, one.packet.starttime_ns, len(one.packet.samples)) for one in held._held]
    parts: list[Any] = [
        [(sensor, sorted(codes.items())) for sensor, codes in station.channels.state()],
        [rates[-1][1] for _, rates in sorted(station.channels.seismometer._rates.items()) if rates],
        (clock._newest_ns, clock._end_ns, waiting, clock._ahead if waiting else False, clock._far),
        sorted(clock._astray),
        (held.newest_end_ns, apart, sorted(held._ends_ns.items()) if apart else []),
        [draft.line for draft in station._pending],
    ]
    hashed = hashlib.sha256()
    if station._mode is not None:
        parts.append(_mode_memory(station._mode))
        parts += [_timeline_memory(timeline) for timeline in station.timelines]
        for timeline in station.timelines:
            k0 = timeline.ready_k - math.ceil(KEEP_S * timeline.spec.rate_hz)
            rows = [slice(0, 3), slice(3, 6)] if timeline.has_second else [slice(0, 3)]
            for array in (array for row in rows for array in timeline._rows(row, k0, timeline.ready_k)):
                hashed.update(array.tobytes())
    hashed.update(msgspec.json.encode(parts))
    return hashed.hexdigest()


def settled_ns(station: Station) -> int:
    """No event with an onset before this time is open, or can still open; 0 before the first packet."""
    mode = station._mode
    earliest_ns = mode._opener.earliest_ns if mode is not None else None
    if mode is None or earliest_ns is None:
        return 0
    times = [earliest_ns, *(onset.time_ns for onset in mode._onsets)]
    times += [event.onset.time_ns for _, _, event in mode._due]
    times += [packet.starttime_ns for _, packet in station.clock_steps._held]
    times += [held.packet.starttime_ns for held in station._held_apart._held]
    return min(times)


def _mode_memory(mode: TriggeredMode) -> list[Any]:
    state = mode.state()
    opener = state.trigger
    scanned = opener.scanned_hop or 0
    since_ns = mode._opener.time_of_hop(scanned) - ns_from_s(2 * (MAX_S_MINUS_P_S + LONG_GAP_S))
    due = [(hop, state.events[index].id) for hop, _, index in sorted(state.due)]
    kept = [event for event in state.events if event.answers or event.onset.time_ns > since_ns]
    hold_hop = max(opener.hold_hop, scanned)
    return [scanned, opener.armed, opener.s_armed, hold_hop, state.onsets, kept, due, state.hop_lines, state.noise]


def _timeline_memory(timeline: Timeline) -> list[Any]:
    state = timeline.state()
    oldest_k = timeline.ready_k - math.ceil(KEEP_S * timeline.spec.rate_hz)
    oldest_ns = timeline.time_of(oldest_k)
    flagged = [
        (span.component, span.start_ns, span.end_ns, int(span.flags))
        for span in timeline.flagged
        if span.end_ns > oldest_ns
    ]
    tracks = [(name, _track_memory(track, oldest_k)) for name, track in state.tracks.items()]
    return [repr(timeline.spec), state.ready_k, state.awaited, flagged, tracks]


def _track_memory(track: TrackState, oldest_k: int) -> list[Any]:
    """Without its counters. A component that has ended long ago begins a new segment as if it were the first."""
    segment = track.segment
    if segment is None or (track.done_k is not None and track.done_k < oldest_k and not track.waiting):
        return [track.jitter, track.waiting]
    # the time of the next sample, exactly: its clock, whatever sample its indices are counted from
    next_n = Fraction(segment.anchor_ns, NS_PER_S) * Fraction(segment.rate_hz) + segment.end
    known = [(n0 - segment.end, n1 - segment.end) for n0, n1 in segment.known]
    clock = [str(next_n), segment.rate_hz, segment.settled - segment.end, known, segment.end_ns]
    return [track.jitter, track.waiting, track.done_k, track.next_k, clock]


class _Pickler(pickle.Pickler):
    """Leaves out what all stations of a process share."""

    def persistent_id(self, obj: object) -> tuple[str, str] | None:
        if isinstance(obj, Models):
            return ("models", "")
        if isinstance(obj, Engine):
            return ("engine", obj.card.task)
        if isinstance(obj, StationXml):
            return ("metadata", "")
        return None


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, models: Models, metadata: StationXml | None) -> None:
        super().__init__(io.BytesIO(data))
        self._models, self._metadata = models, metadata

    def persistent_load(self, pid: Any) -> Models | Engine | StationXml | None:
        kind, task = pid
        if kind == "models":
            return self._models
        if kind == "engine":
            return next(engine for engine in self._models.engines if engine.card.task == task)
        return self._metadata


def packed(station: Station) -> bytes:
    """The whole station, without models and StationXML. `drops` must be a function of a module."""
    out = io.BytesIO()
    _Pickler(out, protocol=pickle.HIGHEST_PROTOCOL).dump(station)
    return out.getvalue()


def unpacked(data: bytes, models: Models, metadata: StationXml | None) -> Station:
    """The station of `packed`, with the same models and metadata. Only for data that this program wrote itself."""
    station = _Unpickler(data, models, metadata).load()
    assert isinstance(station, Station)
    return station
