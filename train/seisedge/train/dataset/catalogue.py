"""Read events and picks from QuakeML (or any other catalogue format of obspy), or from CSV.

CSV columns, in any order, under any of the names below; times are ISO 8601, and UTC if they have no time zone:

| column | other names | |
| --- | --- | --- |
| origin_time | time | required |
| latitude, longitude | latitude_deg, longitude_deg, lat, lon | required, degrees |
| depth_km | depth | below sea level; default 0 |
| event_id | id | default: made from the time |
| event_type | type, source_type | required, unless a default type is given |
| magnitude | mag | |
| magnitude_type | magType, mag_type | |

A CSV of picks has `event_id`, `station` (NET.STA), `phase` (begins with P or S) and `time`, and may have `status`.
"""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seisedge.runtime.clock import iso_from_ns, ns_from_iso
from seisedge.runtime.errors import InputError
from seisedge.runtime.paths import text_from_path

logger = logging.getLogger(__name__)

NO_TYPE = ("", "not reported", "unknown")
COLUMNS: dict[str, tuple[str, ...]] = {
    "origin_time": ("time", "source_origin_time"),
    "latitude": ("latitude_deg", "lat", "source_latitude_deg"),
    "longitude": ("longitude_deg", "lon", "source_longitude_deg"),
    "depth_km": ("depth", "source_depth_km"),
    "event_id": ("id", "source_id"),
    "event_type": ("type", "source_type"),
    "magnitude": ("mag", "source_magnitude"),
    "magnitude_type": ("magType", "mag_type", "source_magnitude_type"),
}
REQUIRED = ("origin_time", "latitude", "longitude")
PICK_COLUMNS = ("event_id", "station", "phase", "time")


@dataclass(frozen=True, slots=True)
class Pick:
    """station: NET.STA, or the station code alone if the catalogue has no network code. phase: 'P' or 'S'."""

    station: str
    phase: str
    time_ns: int
    status: str


@dataclass(frozen=True, slots=True)
class CatalogueEvent:
    """One entry of a catalogue; `type` is unchanged."""

    id: str
    origin_ns: int
    latitude_deg: float
    longitude_deg: float
    depth_km: float
    type: str
    magnitude: float | None
    magnitude_type: str
    picks: tuple[Pick, ...] = ()

    def pick(self, phase: str, station: str) -> Pick | None:
        """The earliest pick of a phase at NET.STA."""
        code = station.partition(".")[2]
        hits = [p for p in self.picks if p.phase == phase and p.station in (station, code)]
        return min(hits, key=lambda p: p.time_ns, default=None)


def events_from(path: Path, picks: Path | None = None, default_type: str = "") -> list[CatalogueEvent]:
    """The events of a catalogue sorted by time, with the picks of a CSV file added. Raises InputError."""
    if not path.is_file():
        raise InputError(f"{path}: the catalogue does not exist; expected a QuakeML or CSV file")
    events = _from_csv(path) if path.suffix.lower() == ".csv" else list(_from_obspy(path))
    if not events:
        raise InputError(f"{path}: the catalogue has no events")
    if default_type:
        events = [replace(e, type=default_type) if e.type.lower() in NO_TYPE else e for e in events]
    untyped = [e.id for e in events if not e.type]
    if untyped:
        raise InputError(
            f"{path}: {len(untyped)} events have no type, the first is {untyped[0]}; "
            "set a type for them, as in --event-type earthquake"
        )
    seen: set[str] = set()
    for event in events:
        if event.id in seen:
            raise InputError(f"{path}: event id {event.id} occurs twice; ids must be unique")
        seen.add(event.id)
    if picks is not None:
        events = _with_picks(events, picks)
    return sorted(events, key=lambda e: (e.origin_ns, e.id))


def _table(path: Path, what: str) -> tuple[list[str], list[dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            return list(reader.fieldnames or []), [dict(row) for row in reader]
    except OSError as error:
        raise InputError(f"{path}: {what} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is not a CSV table in UTF-8: {error}") from error


def _from_csv(path: Path) -> list[CatalogueEvent]:
    columns, rows = _table(path, "the catalogue")
    name = {key: next((c for c in (key, *others) if c in columns), "") for key, others in COLUMNS.items()}
    missing = [key for key in REQUIRED if not name[key]]
    if missing:
        expected = ", ".join(f"{key} (or {', '.join(COLUMNS[key])})" for key in missing)
        raise InputError(f"{path}: missing column {expected}; the file has {', '.join(columns) or 'no columns'}")
    out = []
    for line, row in enumerate(rows, 2):
        values = {key: (row.get(column) or "").strip() if column else "" for key, column in name.items()}

        def number(key: str, values: dict[str, str] = values, line: int = line) -> float | None:
            try:
                return float(values[key]) if values[key] else None
            except ValueError:
                raise InputError(f"{path}, line {line}: {name[key]} must be a number; got '{values[key]}'") from None

        try:
            origin_ns = ns_from_iso(values["origin_time"])
        except ValueError:
            raise InputError(
                f"{path}, line {line}: {name['origin_time']} must be a time, as in 2019-07-07T08:16:25.29Z; "
                f"got '{values['origin_time']}'"
            ) from None
        latitude, longitude = number("latitude"), number("longitude")
        if latitude is None or longitude is None or not (-90 <= latitude <= 90 and -360 <= longitude <= 360):
            raise InputError(f"{path}, line {line}: latitude and longitude must be in degrees")
        out.append(
            CatalogueEvent(
                id=_clean(values["event_id"]) or f"at-{iso_from_ns(origin_ns)}",
                origin_ns=origin_ns,
                latitude_deg=latitude,
                longitude_deg=longitude,
                depth_km=number("depth_km") or 0.0,
                type=values["event_type"],
                magnitude=number("magnitude"),
                magnitude_type=values["magnitude_type"],
            )
        )
    return out


def _with_picks(events: list[CatalogueEvent], path: Path) -> list[CatalogueEvent]:
    columns, rows = _table(path, "the picks")
    missing = [key for key in PICK_COLUMNS if key not in columns]
    if missing:
        raise InputError(f"{path}: missing column {', '.join(missing)}; expected {', '.join(PICK_COLUMNS)}")
    known = {e.id for e in events}
    found: dict[str, list[Pick]] = {}
    for line, row in enumerate(rows, 2):
        event_id = _clean(row["event_id"])
        if event_id not in known:
            raise InputError(f"{path}, line {line}: event {event_id} is not in the catalogue")
        try:
            time_ns = ns_from_iso(row["time"])
        except ValueError:
            raise InputError(f"{path}, line {line}: time must be ISO 8601; got '{row['time']}'") from None
        phase = row["phase"].strip()[:1].upper()
        if phase not in ("P", "S"):
            raise InputError(f"{path}, line {line}: phase must begin with P or S; got '{row['phase']}'")
        pick = Pick(row["station"].strip(), phase, time_ns, (row.get("status") or "").strip())
        found.setdefault(event_id, []).append(pick)
    return [replace(e, picks=(*e.picks, *found.get(e.id, ()))) for e in events]


def _from_obspy(path: Path) -> Iterator[CatalogueEvent]:
    try:
        import obspy
    except ModuleNotFoundError:
        raise InputError(
            f"{path}: reading QuakeML needs obspy; run pip install 'seisedge[train]', or give a CSV file"
        ) from None
    try:
        # obspy's XML reader cannot open a name that is not UTF-8
        plain = str(path) == text_from_path(path)
        catalogue = obspy.read_events(str(path) if plain else io.BytesIO(path.read_bytes()))
    except Exception as error:  # the readers of obspy raise many types
        raise InputError(f"{path}: obspy cannot read this catalogue: {error or type(error).__name__}") from error
    for entry in catalogue:
        origin = entry.preferred_origin() or next(iter(entry.origins), None)
        magnitude = entry.preferred_magnitude() or next(iter(entry.magnitudes), None)
        name = _id_from_resource(str(entry.resource_id))
        if origin is None or origin.time is None or origin.latitude is None or origin.longitude is None:
            logger.warning("%s: event %s skipped: no origin with time, latitude and longitude", path, name)
            continue
        yield CatalogueEvent(
            id=name or f"at-{iso_from_ns(origin.time.ns)}",
            origin_ns=origin.time.ns,
            latitude_deg=origin.latitude,
            longitude_deg=origin.longitude,
            depth_km=(origin.depth or 0.0) / 1000,
            type=entry.event_type or "",
            magnitude=None if magnitude is None else magnitude.mag,
            magnitude_type="" if magnitude is None else magnitude.magnitude_type or "",
            picks=tuple(_picks_of(entry, origin)),
        )


def _picks_of(entry: Any, origin: Any) -> Iterator[Pick]:
    """Picks that were not rejected, with the phase of their arrival, or their phase hint if there is no arrival."""
    phases = {str(arrival.pick_id): arrival.phase for arrival in origin.arrivals}
    for pick in entry.picks:
        phase = (phases.get(str(pick.resource_id)) or pick.phase_hint or "")[:1].upper()
        where = pick.waveform_id
        if phase not in ("P", "S") or where is None or not where.station_code or pick.evaluation_status == "rejected":
            continue
        network = (where.network_code or "").strip("-")
        station = f"{network}.{where.station_code}" if network else where.station_code
        yield Pick(station, phase, pick.time.ns, pick.evaluation_mode or "")


def _id_from_resource(name: str) -> str:
    """The event id in a resource identifier such as `quakeml:us/fdsnws/event/1/query?eventid=ci1&format=quakeml`."""
    query = re.search(r"event_?id=([^&;]+)", name, re.IGNORECASE)
    return _clean(query[1] if query else name.rstrip("/").rpartition("/")[2])


def _clean(name: str) -> str:
    """An id without the characters that have a meaning in a trace name or a path."""
    return name.strip().replace("$", "_").replace("/", "_").replace(",", "_").replace(" ", "_")
