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

A CSV of picks has `event_id`, `station` (NET.STA), `phase` and `time`, and may have `status`.

Of the phases only direct and refracted waves of the crust and the upper mantle are used, as the IASPEI list names them:
P, Pg, Pb (P*), Pn and S, Sg, Sb (S*), Sn, in capitals or small letters, with or without `i` (impulsive) or `e`
(emergent) before them. Depth phases (pP, sP), core phases (PKP, SKS) and all others are no labels; they are counted.
"""

from __future__ import annotations

import csv
import io
import logging
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seisedge.runtime.clock import iso_from_ns, ns_from_iso
from seisedge.runtime.errors import InputError
from seisedge.runtime.files import MIB, read_up_to
from seisedge.runtime.paths import text_from_path
from seisedge.runtime.records.xmlfile import check_xml
from seisedge.runtime.text import quoted, reason_of, shortened
from seisedge.train.dataset.flags import AFTER_ORIGIN_S, BEFORE_ORIGIN_S, is_plausible_arrival

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
MAX_BYTES = 64 * MIB  # of a catalogue or of a table of picks: about half a million events
PHASE = re.compile(r"[ie]?([PS])[ngb*]?", re.IGNORECASE)
XML_STARTS = (b"<", b"\xef\xbb\xbf<", b"\xff\xfe", b"\xfe\xff")
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
    """One entry of a catalogue; `type` is unchanged. picks_ignored: the reason for each pick that is not used."""

    id: str
    origin_ns: int
    latitude_deg: float
    longitude_deg: float
    depth_km: float
    type: str
    magnitude: float | None
    magnitude_type: str
    picks: tuple[Pick, ...] = ()
    picks_ignored: tuple[str, ...] = ()

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
    events = [_without_impossible_picks(event) for event in events]
    return sorted(events, key=lambda e: (e.origin_ns, e.id))


def _without_impossible_picks(event: CatalogueEvent) -> CatalogueEvent:
    """The event without picks whose time cannot be of it; they are counted as ignored."""
    bad = [p for p in event.picks if not is_plausible_arrival(p.time_ns, event.origin_ns)]
    if not bad:
        return event
    why = f"more than {BEFORE_ORIGIN_S:g} s before the origin, or more than {AFTER_ORIGIN_S:g} s after it"
    return replace(
        event,
        picks=tuple(p for p in event.picks if p not in bad),
        picks_ignored=(*event.picks_ignored, *(f"{p.phase} {why}" for p in bad)),
    )


def label_of(phase: str) -> str | None:
    """'P' or 'S' for a phase that is used as label, see the head of this module; None for all others.

    >>> [label_of(phase) for phase in ("Pg", "eSn", "pP", "sP", "SKS")]
    ['P', 'S', None, None, None]
    """
    match = PHASE.fullmatch(phase.strip())
    return match[1].upper() if match else None


def _table(path: Path, what: str) -> tuple[list[str], list[dict[str, str]]]:
    try:
        text = read_up_to(path, MAX_BYTES).decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""), restval="")
        return list(reader.fieldnames or []), [dict(row) for row in reader]
    except OSError as error:
        raise InputError(f"{path}: {what} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is not a CSV table in UTF-8: {reason_of(error)}") from error


def _from_csv(path: Path) -> list[CatalogueEvent]:
    columns, rows = _table(path, "the catalogue")
    name = {key: next((c for c in (key, *others) if c in columns), "") for key, others in COLUMNS.items()}
    missing = [key for key in REQUIRED if not name[key]]
    if missing:
        expected = ", ".join(f"{key} (or {', '.join(COLUMNS[key])})" for key in missing)
        raise InputError(
            f"{path}: missing column {expected}; the file has {shortened(', '.join(columns) or 'no columns', 300)}"
        )
    out = []
    for line, row in enumerate(rows, 2):
        values = {key: (row.get(column) or "").strip() if column else "" for key, column in name.items()}

        def number(key: str, values: dict[str, str] = values, line: int = line) -> float | None:
            try:
                value = float(values[key]) if values[key] else None
            except ValueError:
                value = math.nan
            if value is not None and not math.isfinite(value):
                raise InputError(f"{path}, line {line}: {name[key]} must be a number; got {quoted(values[key])}")
            return value

        try:
            origin_ns = ns_from_iso(values["origin_time"])
        except ValueError:
            raise InputError(
                f"{path}, line {line}: {name['origin_time']} must be a time, as in 2019-07-07T08:16:25.29Z; "
                f"got {quoted(values['origin_time'])}"
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
    ignored: dict[str, list[str]] = {}
    for line, row in enumerate(rows, 2):
        event_id = _clean(row["event_id"])
        if event_id not in known:
            raise InputError(f"{path}, line {line}: event {shortened(event_id)} is not in the catalogue")
        phase, time_ns = label_of(row["phase"]), _time_of(row["time"])
        if phase is None or time_ns is None:
            stated = row["time"].strip()
            ignored.setdefault(event_id, []).append(
                _not_a_label(row["phase"]) if phase is None
                else f"{phase} with the time {quoted(stated[:20])}, which is not ISO 8601" if stated
                else f"{phase} without a time"
            )  # fmt: skip
            continue
        pick = Pick(row["station"].strip(), phase, time_ns, (row.get("status") or "").strip())
        found.setdefault(event_id, []).append(pick)
    return [
        replace(
            e,
            picks=(*e.picks, *found.get(e.id, ())),
            picks_ignored=(*e.picks_ignored, *ignored.get(e.id, ())),
        )
        for e in events
    ]


def _time_of(stated: str) -> int | None:
    """A time in ISO 8601 as ns; None for other text."""
    try:
        return ns_from_iso(stated)
    except (ValueError, OverflowError):
        return None


def _from_obspy(path: Path) -> Iterator[CatalogueEvent]:
    try:
        import obspy
    except ModuleNotFoundError:
        raise InputError(
            f"{path}: reading QuakeML needs obspy; run pip install 'seisedge[train]', or give a CSV file"
        ) from None
    _check_size(path)
    try:
        # obspy's XML reader cannot open a name that is not UTF-8
        plain = str(path) == text_from_path(path)
        catalogue = obspy.read_events(str(path) if plain else io.BytesIO(path.read_bytes()))
    except Exception as error:  # the readers of obspy raise many types
        raise InputError(f"{path}: obspy cannot read this catalogue: {reason_of(error)}") from error
    for entry in catalogue:
        origin = entry.preferred_origin() or next(iter(entry.origins), None)
        magnitude = entry.preferred_magnitude() or next(iter(entry.magnitudes), None)
        name = _id_from_resource(str(entry.resource_id))
        if origin is None or origin.time is None or not _is_place(origin.latitude, origin.longitude):
            logger.warning("%s: event %s skipped: no origin with time, latitude and longitude", path, shortened(name))
            continue
        picks, ignored = _picks_of(entry, origin)
        yield CatalogueEvent(
            id=name or f"at-{iso_from_ns(origin.time.ns)}",
            origin_ns=origin.time.ns,
            latitude_deg=origin.latitude,
            longitude_deg=origin.longitude,
            depth_km=(origin.depth or 0.0) / 1000,
            type=entry.event_type or "",
            magnitude=None if magnitude is None else magnitude.mag,
            magnitude_type="" if magnitude is None else magnitude.magnitude_type or "",
            picks=tuple(picks),
            picks_ignored=tuple(ignored),
        )


def _check_size(path: Path) -> None:
    """Raises InputError for a catalogue that is too large, or too deeply nested XML; obspy would read all of it."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
        if head.lstrip().startswith(XML_STARTS):
            check_xml(path, "the catalogue")
        elif path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: the catalogue is larger than {MAX_BYTES // MIB} MiB; give fewer events")
    except OSError as error:
        raise InputError(f"{path}: the catalogue cannot be read: {error.strerror}") from error


def _is_place(latitude_deg: float | None, longitude_deg: float | None) -> bool:
    if latitude_deg is None or longitude_deg is None:
        return False
    return abs(latitude_deg) <= 90 and abs(longitude_deg) <= 360


def _picks_of(entry: Any, origin: Any) -> tuple[list[Pick], list[str]]:
    """Picks with the phase of their arrival, or their phase hint if there is no arrival; and why others are ignored."""
    phases = {str(arrival.pick_id): arrival.phase for arrival in origin.arrivals}
    picks, ignored = [], []
    for pick in entry.picks:
        phase = phases.get(str(pick.resource_id)) or pick.phase_hint or ""
        label, where = label_of(phase), pick.waveform_id
        if label is None:
            ignored.append(_not_a_label(phase))
        elif pick.time is None:
            ignored.append(f"{label} without a time")
        elif pick.evaluation_status == "rejected":
            ignored.append(f"{label} with the status rejected")
        elif where is None or not where.station_code:
            ignored.append(f"{label} without a station")
        else:
            network = (where.network_code or "").strip("-")
            station = f"{network}.{where.station_code}" if network else where.station_code
            picks.append(Pick(station, label, pick.time.ns, pick.evaluation_mode or ""))
    return picks, ignored


def _not_a_label(phase: str) -> str:
    return f"phase {shortened(phase.strip(), 20)} is not a label" if phase.strip() else "no phase"


def _id_from_resource(name: str) -> str:
    """The event id in a resource identifier such as `quakeml:us/fdsnws/event/1/query?eventid=ci1&format=quakeml`."""
    query = re.search(r"event_?id=([^&;]+)", name, re.IGNORECASE)
    return _clean(query[1] if query else name.rstrip("/").rpartition("/")[2])


def _clean(name: str) -> str:
    """An id without the characters that have a meaning in a trace name or a path."""
    return "".join("_" if c in "$/, " or not c.isprintable() else c for c in name.strip())
