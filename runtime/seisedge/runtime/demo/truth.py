"""The two catalogues of the bundled recording, and predicted P arrivals."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from seisedge.runtime.clock import ns_from_iso, ns_from_s

P_SPEED_KM_S = 6.0  # straight rays, as for the predictions of the data set
EARLY_S, LATE_S = 2.0, 3.5  # largest difference of an onset from the predicted P arrival of its earthquake
EARTH_RADIUS_KM = 6371.0


@dataclass(frozen=True, slots=True)
class Earthquake:
    """One entry of a catalogue."""

    id: str
    origin_ns: int
    magnitude: float
    latitude_deg: float
    longitude_deg: float
    depth_km: float

    def distance_km(self, latitude_deg: float, longitude_deg: float) -> float:
        """Epicentral distance of a point, on a sphere."""
        here, there = math.radians(latitude_deg), math.radians(self.latitude_deg)
        turn = math.radians(longitude_deg - self.longitude_deg)
        half = math.sin((here - there) / 2) ** 2 + math.cos(here) * math.cos(there) * math.sin(turn / 2) ** 2
        return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(half))

    def predicted_p_ns(self, distance_km: float) -> int:
        """Predicted P arrival, with a straight ray."""
        return self.origin_ns + ns_from_s(math.hypot(distance_km, self.depth_km) / P_SPEED_KM_S)


def belongs(onset_ns: int, predicted_ns: int) -> bool:
    """True if an onset is close enough to the predicted P arrival of an earthquake."""
    return -ns_from_s(EARLY_S) <= onset_ns - predicted_ns <= ns_from_s(LATE_S)


def catalogue_from_csv(path: Path) -> list[Earthquake]:
    """The catalogued earthquakes, in order of origin time."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [
            Earthquake(
                id=row["event_id"],
                origin_ns=ns_from_iso(row["origin_time"]),
                magnitude=float(row["magnitude"]),
                latitude_deg=float(row["latitude"]),
                longitude_deg=float(row["longitude"]),
                depth_km=float(row["depth_km"]),
            )
            for row in csv.DictReader(file)
        ]
    return sorted(rows, key=lambda quake: quake.origin_ns)


def automatic_from_csv(path: Path) -> list[Earthquake]:
    """The automatic detections, in order of time; their magnitudes are not comparable with the catalogue's."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [
            Earthquake(
                id="automatic",
                origin_ns=ns_from_iso(row["time"]),
                magnitude=float(row["magnitude"]),
                latitude_deg=float(row["latitude"]),
                longitude_deg=float(row["longitude"]),
                depth_km=float(row["depth(m)"]) / 1000,
            )
            for row in csv.DictReader(file)
        ]
    return sorted(rows, key=lambda quake: quake.origin_ns)
