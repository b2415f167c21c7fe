"""One event under two names: data sets of one region hold the same earthquakes with ids of their own."""

from __future__ import annotations

import math
from collections.abc import Sequence

from seisedge.runtime.clock import ns_from_s
from seisedge.train.dataset.traveltimes import distance_km

WITHIN_S = 2.0  # of origin time, and
WITHIN_KM = 25.0  # of epicentre: catalogues of two networks agree better on what both have located


def same_origin(
    events: Sequence[str],
    origins_ns: Sequence[int | None],
    latitudes_deg: Sequence[float | None],
    longitudes_deg: Sequence[float | None],
) -> dict[str, str]:
    """For each event the name, of it and those of the same origin, that is first in the alphabet.

    One entry a record goes in; events without a time or place are only themselves. In a swarm two events may be
    taken for one: they are then kept on one side together, which costs nothing.
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
