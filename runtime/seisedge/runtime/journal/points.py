"""Points: places in the streams of the stations from which a later run can resume.

A candidate is taken every `POINT_S` of data. A run resumes from the newest candidate before the oldest sample that
any line yet to be emitted depends on (`Station.needed_ns`).
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from seisedge.runtime.clock import ns_from_s
from seisedge.runtime.station.station import Station

POINT_S = 5.0  # of data between two candidates
MAX_POINTS = 64  # per station; above it every second candidate is removed

HeldFrom = Callable[[str, int], int]  # station and the oldest time that its events need → an earlier time, or the same


class Point(msgspec.Struct, frozen=True):
    """A place in the stream of a station, and the state of the station's front there."""

    token: str
    newest_ns: int  # no sample up to the token is newer
    front: bytes
    epoch: int  # of the station's clock; a point of an earlier epoch is useless


class Points:
    """Candidates of all stations."""

    def __init__(self) -> None:
        self._points: dict[str, list[Point]] = {}  # oldest first

    def restore(self, station: Station, point: Point) -> None:
        """The station resumes from a point of an earlier run."""
        self._points[station.station_id] = [point]

    def add(self, station: Station) -> None:
        """Take the station's token as a candidate if the last one is old enough; call after `station.add`."""
        token = station.resume_token
        if not token or station.last_ns is None:
            return
        points = self._current(station)
        if points and station.last_ns < points[-1].newest_ns + ns_from_s(POINT_S):
            return
        front = station.front()
        if front is None:
            return
        points.append(Point(token, station.last_ns, msgspec.json.encode(front), station.epoch))
        if len(points) > MAX_POINTS:
            del points[1::2]

    def resume_point(self, station: Station, held_from: HeldFrom | None = None) -> Point | None:
        """The point from which the station would resume after a kill now; None if there is none yet.

        held_from: an earlier time from which the records are wanted again; without a point so old, the oldest is taken.
        """
        needed_ns = station.needed_ns
        points = self._current(station)
        if needed_ns is None or not points or points[0].newest_ns > needed_ns:
            return None
        if held_from is not None:
            needed_ns = held_from(station.station_id, needed_ns)
        while len(points) > 1 and points[1].newest_ns <= needed_ns:
            points.pop(0)
        return points[0]

    def _current(self, station: Station) -> list[Point]:
        """The station's candidates, without those of earlier epochs."""
        points = self._points.setdefault(station.station_id, [])
        points[:] = [point for point in points if point.epoch == station.epoch]
        return points
