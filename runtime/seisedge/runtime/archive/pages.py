"""The pages of `archive summary` and `archive diff`."""

from __future__ import annotations

import datetime
from collections import Counter
from html import escape
from pathlib import Path

import msgspec
import numpy as np

from seisedge.runtime.archive import plots
from seisedge.runtime.archive.diff import Difference, EventRow, text_lines
from seisedge.runtime.archive.output import Manifest, event_files, read_manifest
from seisedge.runtime.archive.table import UnitFacts, read_facts, read_tables
from seisedge.runtime.errors import DataError

BIN = 0.1  # of magnitudes
SHIFT_BIN = 0.05
MAX_BARS = 60  # days of one plot; more are joined
UNIT_S = {"d": 86_400, "h": 3600, "m": 60}


class StationSummary(msgspec.Struct):
    """Data and events of one station. coverage: of the channel with most data, share of the time of its units."""

    station: str
    units: int
    days_of_data: float
    coverage: float
    gaps: int
    events: int
    magnitudes: int
    largest: float | None


class Summary(msgspec.Struct):
    """An output in figures. events_by_day: day → type → number. frequency: lower edge of a bin → number of events."""

    units: int
    events: int
    types: dict[str, int]
    events_by_day: dict[str, dict[str, int]]
    frequency: dict[str, int]
    stations: list[StationSummary]
    failures: int


def summarise(out: Path) -> tuple[Manifest, Summary, dict[str, list[UnitFacts]]]:
    """Figures of an output, and the facts of its units by station. Raises InputError, DataError without a unit."""
    manifest = read_manifest(out)
    files = event_files(out)
    if not files:
        raise DataError(f"{out}: no unit is done; run `seisedge archive` on it first")
    unit_s = int(manifest.settings.unit[:-1]) * UNIT_S[manifest.settings.unit[-1]]
    summary = Summary(len(files), 0, {}, {}, {}, [], len(manifest.failures))
    facts_of: dict[str, list[UnitFacts]] = {}
    days: dict[str, Counter[str]] = {}
    sizes: list[float] = []
    of_station: dict[str, list[Path]] = {}
    for path in files:
        of_station.setdefault(path.parent.name.removeprefix("station="), []).append(path)
    for station, paths in of_station.items():
        facts = facts_of[station] = [one for one in map(read_facts, paths) if one is not None]
        table = read_tables(paths, ["onset", "status", "type", "magnitude"])
        columns = [table[name].to_pylist() for name in ("status", "type", "magnitude")]
        onsets = table["onset"].cast("int64").to_pylist()
        kept = [row for row in zip(onsets, *columns, strict=True) if row[1] != "retracted"]
        for onset_ns, _, kind, _ in kept:
            day = datetime.datetime.fromtimestamp(onset_ns // 10**9, datetime.UTC).strftime("%Y-%m-%d")
            days.setdefault(day, Counter())[kind or "no type"] += 1
        here = [size for *_, size in kept if size is not None]
        sizes += here
        data_s = sum(one.data_s for one in facts)
        gaps = sum(max((gaps for _, gaps, _ in one.coverage.values()), default=0) for one in facts)
        summary.stations.append(
            StationSummary(
                station, len(paths), round(data_s / 86_400, 3), round(data_s / (unit_s * len(paths)), 4), gaps,
                len(kept), len(here), max(here, default=None),
            )
        )  # fmt: skip
    summary.events_by_day = {day: dict(sorted(days[day].items())) for day in sorted(days)}
    summary.types = dict(sorted(sum(days.values(), Counter[str]()).items()))
    summary.events = sum(summary.types.values())
    bins = Counter(int(np.floor(size / BIN + 1e-6)) for size in sizes)
    summary.frequency = {f"{k * BIN:.1f}": bins[k] for k in range(min(bins), max(bins) + 1)} if bins else {}
    return manifest, summary, facts_of


def summary_page(out: Path, manifest: Manifest, summary: Summary, facts_of: dict[str, list[UnitFacts]]) -> str:
    """Events a day, types, magnitudes and their frequency, and the data of each station."""
    models = ", ".join(f"{model.name} {model.sha256[:12]}" for model in manifest.settings.models)
    parts = [
        f"<p>{summary.events} events in {summary.units} units of {len(summary.stations)} station(s), "
        f"{summary.failures} failed; made {escape(manifest.created)} by seisedge "
        f"{escape(manifest.settings.seisedge)} with {escape(models)}. These are detections of single stations: nothing "
        "is associated or located, and an earthquake counts once at each station.</p>",
        "<h2>Events a day</h2>",
        _events_plot(summary),
        "<h2>Magnitude and frequency</h2>",
        *_magnitude_plots(summary),
        "<h2>Data of each station</h2>",
        _coverage_plot(facts_of, manifest.settings.unit),
        plots.table(
            ["station", "units", "days of data", "coverage", "gaps", "events", "with magnitude", "largest"],
            [
                [s.station, s.units, f"{s.days_of_data:.2f}", f"{s.coverage:.1%}", s.gaps, s.events, s.magnitudes,
                 "" if s.largest is None else f"{s.largest:.2f}"]
                for s in summary.stations
            ],
        ),
    ]  # fmt: skip
    if manifest.failures:
        rows = [[failure.station, failure.unit, failure.reason] for failure in manifest.failures]
        parts += ["<h2>Units that have failed</h2>", plots.table(["station", "unit", "reason"], rows)]
    return plots.page(f"Archive {out.name}", parts)


def _events_plot(summary: Summary) -> str:
    days = list(summary.events_by_day)
    if not days:
        return "<p>No event.</p>"
    size = -(-len(days) // MAX_BARS)
    groups = [days[k : k + size] for k in range(0, len(days), size)]
    series = [
        (kind, [float(sum(summary.events_by_day[day].get(kind, 0) for day in group)) for group in groups])
        for kind in summary.types
    ]
    label = "events a day" if size == 1 else f"events in {size} days with events"
    return plots.bars("Events a day by type", [group[0] for group in groups], series, y_label=label, most_labels=7)


def _magnitude_plots(summary: Summary) -> list[str]:
    if not summary.frequency:
        return ["<p>No event has a magnitude.</p>"]
    edges, numbers = list(summary.frequency), list(summary.frequency.values())
    above = np.cumsum(numbers[::-1])[::-1].tolist()
    points = [(float(edge), float(number)) for edge, number in zip(edges, above, strict=True)]
    return [
        plots.bars("Number of events by magnitude", edges, [("events", numbers)], y_label=f"events per {BIN}"),
        plots.dots(
            "Number of events of a magnitude or larger", points,
            x_label="magnitude", y_label="events of this magnitude or larger", log_y=True,
        ),
    ]  # fmt: skip


def _coverage_plot(facts_of: dict[str, list[UnitFacts]], unit: str) -> str:
    unit_s = int(unit[:-1]) * UNIT_S[unit[-1]]
    units = sorted({one.unit for facts in facts_of.values() for one in facts})
    rows = []
    for station, facts in facts_of.items():
        share = {one.unit: one.data_s / unit_s for one in facts}
        rows.append((station, [share.get(name) for name in units]))
    return plots.strips("Share of each unit that has data", rows, units)


def difference_page(old: Path, new: Path, difference: Difference) -> str:
    """Totals, the shifts of magnitudes, and all changes."""
    lines = list(text_lines(difference, 0))
    parts = ["<ul>", *(f"<li>{escape(line)}</li>" for line in lines if not line.startswith("  ")), "</ul>"]
    kinds = ["same", "found", "lost", "type", "magnitude"]
    numbers = [float(difference.same), *(float(difference.count(kind)) for kind in kinds[1:])]
    parts += ["<h2>Events</h2>", plots.bars("Events by change", kinds, [("events", numbers)], y_label="events")]
    parts.append("<h2>Magnitudes</h2>")
    if difference.shifts:
        bins = Counter(int(np.floor(shift / SHIFT_BIN + 0.5)) for shift in difference.shifts)
        places = range(min(bins), max(bins) + 1)
        labels = [f"{k * SHIFT_BIN:+.2f}" for k in places]
        parts.append(
            plots.bars("New - old magnitude", labels, [("events", [float(bins[k]) for k in places])], y_label="events")
        )
    else:
        parts.append("<p>No event has a magnitude in both outputs.</p>")
    rows = [[change.station, change.kind, *_cells(change.old), *_cells(change.new)] for change in difference.changes]
    header = ["station", "change", "old onset", "type", "magnitude", "new onset", "type", "magnitude"]
    parts += ["<h2>Changes</h2>", plots.table(header, rows)]
    return plots.page(f"{old.name} and {new.name}", parts)


def _cells(event: EventRow | None) -> tuple[str, str, str]:
    if event is None:
        return "", "", ""
    return event.onset[:23], event.type or "", "" if event.magnitude is None else f"{event.magnitude:.2f}"
