"""Find events that occur under two ids: data sets of one region contain the same earthquakes under different ids."""

from __future__ import annotations

import math
from collections.abc import Sequence

from seisedge.runtime.clock import ns_from_s
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
