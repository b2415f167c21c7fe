"""Read events and picks from QuakeML (or any other catalogue format of obspy), or from CSV.

CSV columns, in any order, under any of the names below; times are ISO 8601, and UTC if they have no time zone:

| column | other names | |
| --- | --- | --- |
| origin_time | time | required |
| latitude, longitude | latitude_deg, longitude_deg, lat, lon | required, degrees |
| depth_km | depth | below sea level |
| event_id | id | default: made from the time |
| event_type | type, source_type | required, unless `untyped` states what to do without it |
| magnitude | mag | |
| magnitude_type | magType, mag_type | |

A CSV of picks has `event_id`, `station` (NET.STA), `phase` and `time`, and may have `status`.

Of the phases only direct and refracted waves of the crust and the upper mantle are used, as the IASPEI list names them:
P, Pg, Pb (P*), Pn and S, Sg, Sb (S*), Sn, in capitals or small letters, with or without `i` (impulsive) or `e`
(emergent) before them. Depth phases (pP, sP), core phases (PKP, SKS) and all others are no labels; they are counted.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from seisedge.runtime.clock import iso_from_ns, ns_from_iso, ns_from_s
from seisedge.runtime.errors import InputError
from seisedge.runtime.files import read_up_to
from seisedge.runtime.machine import install_command
from seisedge.runtime.text import quoted, reason_of, shortened
from seisedge.train.dataset.flags import AFTER_ORIGIN_S, BEFORE_ORIGIN_S, is_plausible_arrival
from seisedge.train.dataset.origins import WITHIN_KM, WITHIN_S
from seisedge.train.dataset.plausible import Implausible, is_implausible, is_implausible_time
from seisedge.train.dataset.quakeml import MAX_BYTES, read_entries
from seisedge.train.dataset.traveltimes import distance_km
from seisedge.train.dataset.vocabulary import UNUSED, kind_of_word

logger = logging.getLogger(__name__)

SKIP = "skip"  # value of `untyped`: leave out events without a type
NO_NUMBER = ("", "nan", "none", "null", "n/a", "na")
NO_PLACE = "no origin with time, latitude and longitude"
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
PHASE = re.compile(r"[ie]?([PS])[ngb*]?", re.IGNORECASE)
SCHEME = re.compile(r"^(smi|quakeml):", re.IGNORECASE)
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
    """One entry of a catalogue; `type` is unchanged. depth_km, magnitude: None if not stated or implausible.
    picks_ignored: the reason for each pick that is not used.
    """

    id: str
    origin_ns: int
    latitude_deg: float
    longitude_deg: float
    depth_km: float | None
    type: str
    magnitude: float | None
    magnitude_type: str
    picks: tuple[Pick, ...] = ()
    picks_ignored: tuple[str, ...] = ()

    @property
    def type_is_used(self) -> bool:
        """True if records of this type are used for training."""
        return kind_of_word(self.type) != UNUSED

    def pick(self, phase: str, station: str) -> Pick | None:
        """The earliest pick of a phase at NET.STA."""
        code = station.partition(".")[2]
        hits = [p for p in self.picks if p.phase == phase and p.station in (station, code)]
        return min(hits, key=lambda p: p.time_ns, default=None)


_Entry = tuple[str, CatalogueEvent]  # with the whole name of its resource


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Events sorted by time.

    left_out: reason → number of entries that are not events here. choices: what was chosen or is missing → number of
    events or values. implausible: values that are treated as missing, see `plausible`.
    """

    events: list[CatalogueEvent]
    left_out: Counter[str] = field(default_factory=Counter)
    choices: Counter[str] = field(default_factory=Counter)
    implausible: list[Implausible] = field(default_factory=list)


def events_from(path: Path, picks: Path | None = None, untyped: str = "") -> list[CatalogueEvent]:
    """The events of `read_catalogue`."""
    return read_catalogue(path, picks, untyped).events


def read_catalogue(
    path: Path, picks: Path | None = None, untyped: str = "", magnitude_types: Sequence[str] = ()
) -> Catalogue:
    """Read a catalogue, with the picks of a CSV file added.

    untyped: type of the events without one, or SKIP to leave them out; without it they are an error. magnitude_types:
    the magnitude of the first of these types that an event has is used; without it the preferred magnitude, else the
    first listed. Raises InputError.
    """
    if not path.is_file():
        raise InputError(f"{path}: the catalogue does not exist; expected a QuakeML or CSV file")
    found = Catalogue([])
    read = _from_csv if path.suffix.lower() == ".csv" else _from_obspy
    entries = _typed(path, list(read(path, found, magnitude_types)), untyped, found)
    events = _unique(path, entries, found)
    if not events:
        why = "; ".join(f"{n} × {reason}" for reason, n in found.left_out.items())
        raise InputError(f"{path}: the catalogue has no events" + (f" that can be used: {why}" if why else ""))
    for event in events:
        if event.depth_km is None:
            found.choices["no depth: it stays missing, and travel times are computed for 0 km"] += 1
        if event.magnitude is None:
            found.choices["no magnitude"] += 1
        if not event.type_is_used:
            found.choices[f"type '{shortened(event.type, 30)}': not used for training"] += 1
    if picks is not None:
        events = _with_picks(events, picks)
    events = [_without_impossible_picks(event) for event in events]
    found.events.extend(sorted(events, key=lambda e: (e.origin_ns, e.id)))
    return found


def _typed(path: Path, entries: list[_Entry], untyped: str, found: Catalogue) -> list[_Entry]:
    """The entries with a type; see `untyped` of `read_catalogue`."""
    missing = [event.id for _, event in entries if not event.type]
    if not missing:
        return entries
    if not untyped:
        raise InputError(
            f"{path}: {len(missing)} events have no type, the first is {shortened(missing[0])}; give --untyped "
            f"earthquake (or another type) if they all have that type, or --untyped {SKIP} to leave them out"
        )
    if untyped == SKIP:
        found.left_out["no type (--untyped skip)"] += len(missing)
        return [(name, event) for name, event in entries if event.type]
    found.choices[f"no type: taken as '{untyped}' (--untyped)"] += len(missing)
    return [(name, event if event.type else replace(event, type=untyped)) for name, event in entries]


def _unique(path: Path, entries: list[_Entry], found: Catalogue) -> list[CatalogueEvent]:
    """Events with unique ids: ids that several resources share are replaced by the whole names of the resources.

    An entry with the id and the origin of another one is left out. Raises InputError for an id of different origins.
    """
    names: dict[str, set[str]] = {}
    for name, event in entries:
        names.setdefault(event.id, set()).add(name)
    out: dict[str, CatalogueEvent] = {}
    for name, event in entries:
        if len(names[event.id]) > 1:
            event = replace(event, id=_clean(SCHEME.sub("", name)))
            found.choices["an id that ends like another one: the whole id is used"] += 1
        first = out.setdefault(event.id, event)
        if first is event:
            continue
        near = distance_km(event.latitude_deg, event.longitude_deg, first.latitude_deg, first.longitude_deg)
        if abs(event.origin_ns - first.origin_ns) > ns_from_s(WITHIN_S) or near > WITHIN_KM:
            raise InputError(
                f"{path}: event id {shortened(event.id)} occurs twice, with different origins; ids must be unique"
            )
        found.left_out["listed twice, with the same id and origin"] += 1
    return list(out.values())


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
    if not path.is_file():  # also a FIFO, which might never end
        raise InputError(f"{path}: {what} cannot be read: no such file")
    try:
        text = read_up_to(path, MAX_BYTES).decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""), restval="")
        return list(reader.fieldnames or []), [dict(row) for row in reader]
    except OSError as error:
        raise InputError(f"{path}: {what} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is not a CSV table in UTF-8: {reason_of(error)}") from error


def _from_csv(path: Path, found: Catalogue, magnitude_types: Sequence[str]) -> Iterator[_Entry]:
    columns, rows = _table(path, "the catalogue")
    name = {key: next((c for c in (key, *others) if c in columns), "") for key, others in COLUMNS.items()}
    missing = [key for key in REQUIRED if not name[key]]
    if missing:
        expected = ", ".join(f"{key} (or {', '.join(COLUMNS[key])})" for key in missing)
        raise InputError(
            f"{path}: missing column {expected}; the file has {shortened(', '.join(columns) or 'no columns', 300)}"
        )
    for line, row in enumerate(rows, 2):
        values = {key: (row.get(column) or "").strip() if column else "" for key, column in name.items()}

        def number(key: str, values: dict[str, str] = values, line: int = line) -> float | None:
            if values[key].lower() in NO_NUMBER:
                return None
            try:
                return float(values[key])
            except ValueError:
                raise InputError(
                    f"{path}, line {line}: {name[key]} must be a number; got {quoted(values[key])}"
                ) from None

        try:
            origin_ns = ns_from_iso(values["origin_time"])
        except ValueError:
            raise InputError(
                f"{path}, line {line}: {name['origin_time']} must be a time, as in 2019-07-07T08:16:25.29Z; "
                f"got {quoted(values['origin_time'])}"
            ) from None
        event_id = _clean(values["event_id"]) or f"at-{iso_from_ns(origin_ns)}"
        place = _place(origin_ns, number("latitude"), number("longitude"), event_id, found)
        if place is None:
            continue
        magnitude, magnitude_type = number("magnitude"), values["magnitude_type"]
        if magnitude is not None and magnitude_types and not _is_one_of(magnitude_type, magnitude_types):
            found.choices[f"no magnitude of the types {', '.join(magnitude_types)}"] += 1
            magnitude, magnitude_type = None, ""
        event = CatalogueEvent(
            id=event_id,
            origin_ns=origin_ns,
            latitude_deg=place[0],
            longitude_deg=place[1],
            depth_km=_plausible("source_depth_km", number("depth_km"), event_id, found),
            type=values["event_type"],
            magnitude=_plausible("source_magnitude", magnitude, event_id, found),
            magnitude_type=magnitude_type,
        )
        yield event_id, event


def _place(
    origin_ns: int, latitude_deg: float | None, longitude_deg: float | None, where: str, found: Catalogue
) -> tuple[float, float] | None:
    """Latitude and longitude; None, counted, if one is missing or implausible, or the origin time is implausible."""
    if is_implausible_time(origin_ns):
        found.implausible.append(Implausible(where, "source_origin_time", iso_from_ns(origin_ns)))
    latitude = _plausible("source_latitude_deg", latitude_deg, where, found)
    longitude = _plausible("source_longitude_deg", longitude_deg, where, found)
    if latitude is None or longitude is None or is_implausible_time(origin_ns):
        found.left_out[NO_PLACE] += 1
        return None
    return latitude, longitude


def _plausible(column: str, value: float | None, where: str, found: Catalogue) -> float | None:
    """The value; None, counted, if it is implausible."""
    if value is None or not is_implausible(column, value):
        return value
    found.implausible.append(Implausible(where, column, f"{value:g}"))
    return None


def _is_one_of(magnitude_type: str, wanted: Sequence[str]) -> bool:
    return any(_same_type(magnitude_type, name) for name in wanted)


def _same_type(one: str, other: str) -> bool:
    """True for two spellings of one magnitude type; mb and mB are different types."""
    return one == other or (one.lower() == other.lower() != "mb")


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


def _from_obspy(path: Path, found: Catalogue, magnitude_types: Sequence[str]) -> Iterator[_Entry]:
    if importlib.util.find_spec("obspy") is None:
        raise InputError(f"{path}: reading QuakeML needs obspy; run {install_command('train')}, or give a CSV file")
    entries = read_entries(path)
    found.left_out.update(entries.left_out)
    found.choices.update(entries.missing)
    found.implausible.extend(entries.implausible)
    for entry in entries.events:
        resource = str(entry.resource_id)
        name = _id_from_resource(resource)
        origin = entry.preferred_origin() or next(iter(entry.origins), None)
        if origin is None or origin.time is None:
            found.left_out[NO_PLACE] += 1
            logger.warning("%s: event %s skipped: %s", path, shortened(name), NO_PLACE)
            continue
        event_id = name or f"at-{iso_from_ns(origin.time.ns)}"
        place = _place(origin.time.ns, origin.latitude, origin.longitude, event_id, found)
        if place is None:
            logger.warning("%s: event %s skipped: %s", path, shortened(name), NO_PLACE)
            continue
        if entry.preferred_origin() is None and len(entry.origins) > 1:
            found.choices["no preferred origin: the first listed is used"] += 1
        magnitude = _magnitude_of(entry, magnitude_types, found)
        picks, ignored = _picks_of(entry, origin)
        event = CatalogueEvent(
            id=event_id,
            origin_ns=origin.time.ns,
            latitude_deg=place[0],
            longitude_deg=place[1],
            depth_km=_plausible(
                "source_depth_km", None if origin.depth is None else origin.depth / 1000, event_id, found
            ),
            type=entry.event_type or "",
            magnitude=_plausible("source_magnitude", None if magnitude is None else magnitude.mag, event_id, found),
            magnitude_type="" if magnitude is None else magnitude.magnitude_type or "",
            picks=tuple(picks),
            picks_ignored=tuple(ignored),
        )
        yield resource, event


def _magnitude_of(entry: Any, wanted: Sequence[str], found: Catalogue) -> Any:
    """The magnitude of an entry by the rule of `read_catalogue`; None if there is none."""
    listed = [m for m in entry.magnitudes if m.mag is not None]
    for name in wanted:
        for magnitude in listed:
            if _same_type(magnitude.magnitude_type or "", name):
                return magnitude
    if wanted:
        if listed:
            found.choices[f"no magnitude of the types {', '.join(wanted)}"] += 1
        return None
    preferred = entry.preferred_magnitude()
    if preferred is None and len(listed) > 1:
        kind = listed[0].magnitude_type or "type not stated"
        found.choices[f"no preferred magnitude: the first of several is used ({shortened(kind, 20)})"] += 1
    return preferred if preferred is not None else next(iter(listed), None)


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
