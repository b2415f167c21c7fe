"""The tables of the demo: detections compared with the catalogue, counts and latencies."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seisedge.runtime.clock import iso_from_ns, ns_from_iso
from seisedge.runtime.config import StationConfig
from seisedge.runtime.demo.truth import Earthquake, belongs
from seisedge.runtime.event import Event, Latency
from seisedge.runtime.station.run_report import RunReport

STAGES = ("record_fill", "transport", "wait", "assemble", "infer", "emit")


@dataclass(frozen=True, slots=True)
class Matches:
    """Events assigned to earthquakes. Of each event its last revision, without retracted events.

    catalogued: earthquake id → station → event. automatic: events only in the automatic catalogue. unlisted: events in
    neither catalogue.
    """

    catalogued: dict[str, dict[str, Event]]
    automatic: list[Event]
    unlisted: list[Event]


def last_revisions(lines: Iterable[Event]) -> list[Event]:
    """The last revision of each event that was not retracted, in order of onset."""
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
    """Assign each event to the earthquake with the nearest predicted P arrival, if `belongs`."""
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
    """One row per earthquake, one column per station; 80 columns for two stations."""
    stations = list(configs)
    lines = [f"{'catalogue':20}" + "".join(f"{station:31}" for station in stations).rstrip()]
    for quake in catalogue:
        row = f"{iso_from_ns(quake.origin_ns)[11:21]}  M {quake.magnitude:4.2f}  "  # 20 columns
        for station in stations:
            event = matches.catalogued[quake.id].get(station)
            distance = f"{_distance_km(quake, configs[station]):3.0f} km "
            row += f"{distance + (_cell(event) if event else 'missed'):31}"
        lines.append(row.rstrip())
    return lines


def _cell(event: Event) -> str:
    kind = f"{event.event_type.label} {event.event_type.probability:.2f}" if event.event_type else "no label"
    size = event.magnitude
    if size is None:
        return kind
    return f"{kind} {size.label if size.value is None else format(size.value, '.2f')}"


def verdict(matches: Matches, catalogue: Sequence[Earthquake], stations: Sequence[str]) -> list[str]:
    """Numbers of detected and unlisted events; types and magnitude errors of the detected earthquakes."""
    found = {s: sum(s in events for events in matches.catalogued.values()) for s in stations}
    both = sum(bool(events) for events in matches.catalogued.values())
    per_station = ", ".join(f"{station} {count}" for station, count in found.items())
    lines = [
        f"{both} of {len(catalogue)} catalogued earthquakes detected by at least one station ({per_station})",
        f"{len(matches.automatic)} further events are only in the automatic catalogue; {len(matches.unlisted)} are in "
        "neither (unlisted small earthquakes, or false)",
    ]
    pairs = [
        (quake, event) for quake in catalogue for event in matches.catalogued[quake.id].values() if event.event_type
    ]
    right = sum(event.event_type is not None and event.event_type.label == "tectonic" for _, event in pairs)
    lines.append(f"{right} of {len(pairs)} detections of catalogued earthquakes have the type tectonic")
    errors = [
        event.magnitude.value - quake.magnitude
        for quake, event in pairs
        if event.magnitude is not None and event.magnitude.value is not None
    ]
    if len(errors) >= 2:
        lines.append(
            f"magnitude minus catalogue, {len(errors)} detections: mean {statistics.mean(errors):+.2f}, "
            f"sd {statistics.stdev(errors):.2f}, within 0.2 {_within(errors, 0.2):.0%}, "
            f"within 0.3 {_within(errors, 0.3):.0%}"
        )
    return lines


def _within(errors: list[float], bound: float) -> float:
    return sum(abs(error) <= bound for error in errors) / len(errors)


def count_lines(report: RunReport) -> list[str]:
    """Data, packets, triggers, events and inferences of the run."""
    first_ns = min(s.first_ns for s in report.stations.values() if s.first_ns)
    noise = sum(station.counters.noise_events for station in report.stations.values())
    repeated = sum(station.counters.retriggers for station in report.stations.values())
    per_station = ", ".join(f"{name} {s.counters.triggers}" for name, s in report.stations.items())
    return [
        f"{report.stream_s / 60:.1f} min of data from {iso_from_ns(first_ns)[:19]}Z in {report.wall_s:.1f} s, "
        f"{report.packets} packets",
        f"{report.triggers} triggers ({per_station}): {repeated} during an open event, {noise} classified as noise; "
        f"{report.events_text}, {report.inferences} inferences",
    ]


def latency_table(lines: Sequence[Event]) -> list[str]:
    """p50, p95 and p99 of each stage over all emitted revisions, in milliseconds."""
    table = [f"{'latency by stage':38}{'p50':>9}{'p95':>9}{'p99':>9}  ms"]
    names = {
        "record_fill": "last sample to end of record (data)",
        "transport": "transport (digitizer to arrival)",
        "wait": "queue and other work of the record",
        "assemble": "assembly of the window",
        "infer": "inference",
        "emit": "output",
    }
    for stage in STAGES:
        values = [v for line in lines if (v := getattr(line.latency_ms, stage)) is not None]
        if values:
            table.append(f"{names[stage]:38}" + _percentiles(values))
    own = [_own(line.latency_ms) for line in lines]
    return [*table, f"{'total in the station (from arrival)':38}" + _percentiles(own)]


def _own(latency: Latency) -> float:
    return latency.total - (latency.record_fill or 0.0) - (latency.transport or 0.0)


def _percentiles(values: Sequence[float]) -> str:
    return "".join(f"{p:9.2f}" for p in np.percentile(values, [50, 95, 99]))
