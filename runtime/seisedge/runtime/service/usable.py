"""Whether a run over files has used any of its data."""

from __future__ import annotations

from collections.abc import Iterable

from seisedge.runtime.errors import DataError
from seisedge.runtime.records.stationxml import StationXml
from seisedge.runtime.sources import Source
from seisedge.runtime.station.run_report import RunReport

MAX_NAMES = 5  # of channels or stations in one message


def refuse_unusable(report: RunReport, source: Source, metadata: StationXml | None) -> None:
    """Raises DataError with all reasons if no data of the files reached the timeline of a station."""
    if any(station.used for station in report.stations.values()):
        return
    if metadata is not None and report.other_stations and not report.stations:
        metadata.check(min(report.other_stations), [])  # raises: no station of the data is in the file
    why: dict[str, list[str]] = {}  # reason → channels
    for station in report.stations.values():
        for name, reason in station.refusals.items():
            why.setdefault(reason, []).append(name)
    reasons = [f"{few(names)}: {reason}" for reason, names in why.items()]
    if report.other_stations:
        reasons.append(
            f"no record is of a station that a station file names; the data are of {few(report.other_stations)}"
        )
    reasons += [f"{count} record(s) left out: {reason}" for reason, count in source.reasons.items()]
    raise DataError(f"{source.url}: nothing that can be used: {'; '.join(reasons) or 'no record'}")


def few(names: Iterable[str]) -> str:
    """The first names in order, and how many more there are."""
    ordered = sorted(names)
    more = len(ordered) - MAX_NAMES
    return ", ".join(ordered[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
