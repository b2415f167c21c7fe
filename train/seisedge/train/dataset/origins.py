"""Find records of one event without an id, and events that occur under two ids.

Data sets of one region contain the same earthquakes under different ids, and some data sets state no ids at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from seisedge.runtime.clock import ns_from_s
from seisedge.train.dataset.split import join_pairs
from seisedge.train.dataset.traveltimes import distance_km

WITHIN_S = 2.0  # difference of the origin times
WITHIN_KM = 25.0  # distance of the epicentres; the catalogues of two networks agree better on common events


def same_origin(
    events: Sequence[str],
    origins_ns: Sequence[int | None],
    latitudes_deg: Sequence[float | None],
    longitudes_deg: Sequence[float | None],
) -> dict[str, str]:
    """For each event id the alphabetically first id of all events with the same origin.

    The arguments have one entry for each record. An event without a time or position matches no other. In a swarm two
    different events may match; they are then only kept on the same side of the split, which does no harm.
    """
    parent = {event: event for event in events}

    def root(event: str) -> str:
        while parent[event] != event:
            parent[event] = parent[parent[event]]
            event = parent[event]
        return event

    located: dict[str, tuple[int, float, float]] = {}
    for event, time_ns, latitude, longitude in zip(events, origins_ns, latitudes_deg, longitudes_deg, strict=True):
        if time_ns is not None and latitude is not None and longitude is not None:
            located.setdefault(event, (time_ns, latitude, longitude))
    ordered = sorted((place, event) for event, place in located.items())
    first = 0
    for k, ((time_ns, latitude, longitude), event) in enumerate(ordered):
        while time_ns - ordered[first][0][0] > ns_from_s(WITHIN_S):
            first += 1
        for (_, other_latitude, other_longitude), other in ordered[first:k]:
            apart = distance_km(latitude, longitude, other_latitude, other_longitude)
            if math.isfinite(apart) and apart <= WITHIN_KM:
                low, high = sorted((root(event), root(other)))
                parent[high] = low
    return {event: root(event) for event in parent}


@dataclass(frozen=True, slots=True)
class Occurrence:
    """When and where the event of a record occurred. named: the data state an event id or a group for the record.

    start_ns, end_ns: of the record; equal if unknown.
    """

    named: bool
    noise: bool
    origin_ns: int | None
    start_ns: int
    end_ns: int
    latitude_deg: float | None = None
    longitude_deg: float | None = None

    @property
    def is_lost(self) -> bool:
        """True if nothing tells to which event the record belongs."""
        return not self.named and self.origin_ns is None and self.end_ns <= self.start_ns


def with_unnamed(groups: Sequence[str], records: Sequence[Occurrence]) -> list[str]:
    """The groups, in which each record without an event id has joined the records that may be of the same event.

    These are the records with the same origin time (and place, if both are known); for a record without an origin time
    all records of events, of any station, whose windows overlap its own.
    """
    if all(r.named or r.noise for r in records):
        return list(groups)
    return join_pairs(groups, [*_same_times(records), *_overlaps(records)])


def _same_times(records: Sequence[Occurrence]) -> list[tuple[int, int]]:
    """Pairs of records with one origin, of which at least one has no event id."""
    ordered = sorted((r.origin_ns, i) for i, r in enumerate(records) if r.origin_ns is not None and not r.noise)
    out, first = [], 0
    for k, (time_ns, i) in enumerate(ordered):
        while time_ns - ordered[first][0] > ns_from_s(WITHIN_S):
            first += 1
        out += [
            (j, i) for _, j in ordered[first:k]
            if not (records[i].named and records[j].named) and _may_be_near(records[i], records[j])
        ]  # fmt: skip
    return out


def _may_be_near(one: Occurrence, other: Occurrence) -> bool:
    a, b, c, d = one.latitude_deg, one.longitude_deg, other.latitude_deg, other.longitude_deg
    if a is None or b is None or c is None or d is None:
        return True
    return distance_km(a, b, c, d) <= WITHIN_KM


def _overlaps(records: Sequence[Occurrence]) -> list[tuple[int, int]]:
    """Pairs of records whose windows overlap, of which at least one has neither an event id nor an origin time."""
    ordered = sorted((r.start_ns, i) for i, r in enumerate(records) if r.end_ns > r.start_ns and not r.noise)
    out: list[tuple[int, int]] = []
    active: list[int] = []
    for start_ns, i in ordered:
        active = [j for j in active if records[j].end_ns > start_ns]
        for j in active:
            if any(not records[k].named and records[k].origin_ns is None for k in (i, j)):
                out.append((j, i))
        active.append(i)
    return out
