"""Points: the places in the streams of stations that a run may go on from.

A candidate is taken every `POINT_S` of data. Of use is the newest one before the oldest sample that anything not yet
said depends on (`Station.needed_ns`).
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from seisedge.runtime.clock import ns_from_s
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.station.station import Station

POINT_S = 5.0  # of data between two candidates for the token
MAX_POINTS = 64  # a station; more are thinned out


class Point(msgspec.Struct, frozen=True):
    """A place in the stream of a station, and the station's front there."""

    token: str
    newest_ns: int  # no sample up to here is newer
    front: bytes
    epoch: int = 0  # of the station: places before its clock went back are of no use after


@dataclass(frozen=True, slots=True, order=True)
class HopPlace:
    """A hop among those of its station: within an epoch by time."""

    epoch: int
    time: str

    @classmethod
    def parse(cls, text: str) -> HopPlace:
        epoch, slash, time = text.rpartition("/")
        return cls(int(epoch) if slash else 0, time)

    def __str__(self) -> str:
        return f"{self.epoch}/{self.time}"


class Points:
    """Candidates of all stations, oldest first."""

    def __init__(self) -> None:
        self._points: dict[str, list[Point]] = {}

    def begin(self, station: Station, point: Point) -> None:
        """A station goes on from a point of an earlier run."""
        self._points[station.station_id] = [msgspec.structs.replace(point, epoch=station.epoch)]

    def took(self, station: Station, packet: Packet) -> None:
        """After `station.add(packet)`: a candidate, where the last one is long enough ago."""
        if not packet.token or station.last_ns is None:
            return
        points = self._of(station)
        if points and station.last_ns < points[-1].newest_ns + ns_from_s(POINT_S):
            return
        front = station.front()
        if front is None:
            return
        points.append(Point(packet.token, station.last_ns, msgspec.json.encode(front), station.epoch))
        if len(points) > MAX_POINTS:
            del points[1::2]

    def needed(self, station: Station) -> Point | None:
        """Where the station must go on from after a kill at this moment; None while there is no such place."""
        needed_ns = station.needed_ns
        points = self._of(station)
        if needed_ns is None or not points or points[0].newest_ns > needed_ns:
            return None
        while len(points) > 1 and points[1].newest_ns <= needed_ns:
            points.pop(0)
        return points[0]

    def _of(self, station: Station) -> list[Point]:
        """Those of the timelines at hand; changed in place."""
        points = self._points.setdefault(station.station_id, [])
        points[:] = [point for point in points if point.epoch == station.epoch]
        return points
