"""The demo's tables: events beside the catalogue, misses and false ones as what they are, and what it cost."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seisedge.runtime.clock import iso_from_ns, ns_from_iso
from seisedge.runtime.config import StationConfig
from seisedge.runtime.demo.truth import Earthquake, belongs
from seisedge.runtime.event import Event, Latency

STAGES = ("record_fill", "transport", "wait", "assemble", "infer", "emit")


@dataclass(frozen=True, slots=True)
class Matches:
    """Which events are which earthquakes. Events are the last revision of each, retracted ones left out.

    catalogued: per earthquake, station → event. automatic: events of the automatic list only. unlisted: of neither.
    """

    catalogued: dict[str, dict[str, Event]]
    automatic: list[Event]
    unlisted: list[Event]


def last_revisions(lines: Iterable[Event]) -> list[Event]:
    """The last word on each event that was not retracted, in order of onset."""
    latest = {line.id: line for line in lines}
    return sorted(
        (e for e in latest.values() if e.status != "retracted"), key=lambda event: (event.onset, event.station)
    )


def match(
    events: Sequence[Event],
    catalogue: Sequence[Earthquake],
    automatic: Sequence[Earthquake],
    configs: Mapping[str, StationConfig],
) -> Matches:
    """Give each event to the earthquake whose predicted P is nearest, if it is near enough."""
    catalogued: dict[str, dict[str, Event]] = {quake.id: {} for quake in catalogue}
    of_automatic: list[Event] = []
    unlisted: list[Event] = []
    for event in events:
        quake = _nearest(event, catalogue, configs[event.station])
        if quake is not None and event.station not in catalogued[quake.id]:
            catalogued[quake.id][event.station] = event
        elif quake is None and _nearest(event, automatic, configs[event.station]) is None:
            unlisted.append(event)
        else:
            of_automatic.append(event)
    return Matches(catalogued, of_automatic, unlisted)


def _nearest(event: Event, quakes: Sequence[Earthquake], config: StationConfig) -> Earthquake | None:
    onset_ns = ns_from_iso(event.onset)
    close: list[tuple[int, Earthquake]] = []
    for quake in quakes:
        predicted_ns = quake.predicted_p_ns(_distance_km(quake, config))
        if belongs(onset_ns, predicted_ns):
            close.append((abs(onset_ns - predicted_ns), quake))
    return min(close, key=lambda item: item[0])[1] if close else None


def _distance_km(quake: Earthquake, config: StationConfig) -> float:
    place = config.station
    assert place is not None and place.latitude_deg is not None and place.longitude_deg is not None
    return quake.distance_km(place.latitude_deg, place.longitude_deg)


def event_table(matches: Matches, catalogue: Sequence[Earthquake], configs: Mapping[str, StationConfig]) -> list[str]:
    """One row an earthquake, one column a station."""
    stations = list(configs)
    lines = [f"{'catalogue':22}" + "".join(f"{station:44}" for station in stations)]
    for quake in catalogue:
        row = f"{iso_from_ns(quake.origin_ns)[11:21]}  M {quake.magnitude:4.2f}    "
        for station in stations:
            event = matches.catalogued[quake.id].get(station)
            distance = f"{_distance_km(quake, configs[station]):3.0f} km  "
            row += f"{distance + (_cell(event) if event else 'missed'):44}"
        lines.append(row.rstrip())
    return lines


def _cell(event: Event) -> str:
    kind = f"{event.event_type.label} {event.event_type.probability:.2f}" if event.event_type else "no label"
    size = event.magnitude
    if size is None:
        return kind
    if size.expected is None or size.interval_90 is None:
        return f"{kind}  M {size.label}"
    low, high = ("" if edge is None else f"{edge:.1f}" for edge in size.interval_90)
    return f"{kind}  M {size.expected:.2f} [{low}, {high}]"


def verdict(matches: Matches, catalogue: Sequence[Earthquake], stations: Sequence[str]) -> list[str]:
    """Counts: found, missed, uncatalogued, unlisted; types and magnitudes of what was found."""
    found = {s: sum(s in events for events in matches.catalogued.values()) for s in stations}
    both = sum(bool(events) for events in matches.catalogued.values())
    lines = [
        f"found {both} of {len(catalogue)} catalogued earthquakes on at least one station ("
        + ", ".join(f"{station} {count}" for station, count in found.items())
        + ")"
    ]
    lines.append(
        f"{len(matches.automatic)} more events are on the automatic list: uncatalogued; "
        f"{len(matches.unlisted)} on neither list: small earthquakes nobody listed, or false"
    )
    pairs = [
        (quake, event) for quake in catalogue for event in matches.catalogued[quake.id].values() if event.event_type
    ]
    right = sum(event.event_type is not None and event.event_type.label == "tectonic" for _, event in pairs)
    lines.append(f"of the {len(pairs)} found records, {right} are called tectonic")
    errors = [
        event.magnitude.expected - quake.magnitude
        for quake, event in pairs
        if event.magnitude is not None and event.magnitude.expected is not None
    ]
    if len(errors) >= 2:
        lines.append(
            f"magnitude minus catalogue, {len(errors)} records: mean {statistics.mean(errors):+.2f}, "
            f"sd {statistics.stdev(errors):.2f}, within 0.2 {_within(errors, 0.2):.0%}, "
            f"within 0.3 {_within(errors, 0.3):.0%}"
        )
    return lines


def _within(errors: list[float], bound: float) -> float:
    return sum(abs(error) <= bound for error in errors) / len(errors)


def latency_table(lines: Sequence[Event]) -> list[str]:
    """p50, p95 and p99 of each stage over all emitted revisions; milliseconds."""
    table = [f"{'stage':38}{'p50':>9}{'p95':>9}{'p99':>9}  ms"]
    names = {
        "record_fill": "record fill (data time)",
        "transport": "transport (digitizer to arrival)",
        "wait": "wait (queue, other answers)",
        "assemble": "assemble",
        "infer": "infer",
        "emit": "emit",
    }
    for stage in STAGES:
        values = [v for line in lines if (v := getattr(line.latency_ms, stage)) is not None]
        if values:
            table.append(f"{names[stage]:38}" + _percentiles(values))
    own = [_own(line.latency_ms) for line in lines]
    return [*table, f"{'arrival to event, all of the station':38}" + _percentiles(own)]


def _own(latency: Latency) -> float:
    return latency.total - (latency.record_fill or 0.0) - (latency.transport or 0.0)


def _percentiles(values: Sequence[float]) -> str:
    return "".join(f"{p:9.2f}" for p in np.percentile(values, [50, 95, 99]))
