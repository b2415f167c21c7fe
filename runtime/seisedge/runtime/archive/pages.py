"""The pages of `archive summary` and `archive diff`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import msgspec
import numpy as np

from seisedge.runtime.archive import plots
from seisedge.runtime.archive.diff import KINDS, Difference, EventRow, text_lines
from seisedge.runtime.archive.inputs import parse_unit
from seisedge.runtime.archive.output import Manifest, event_files, read_manifest
from seisedge.runtime.archive.table import UnitFacts, read_facts, read_tables
from seisedge.runtime.clock import NS_PER_S, iso_from_ns, ns_from_iso, seconds_text
from seisedge.runtime.errors import DataError
from seisedge.runtime.sources.sds import DAY_NS

BIN = 0.1  # of magnitudes
SHIFT_BIN = 0.05
MAX_COLUMNS = 120  # of a plot over time; days beyond are joined
NO_TYPE = "no type"
MAX_ROWS = 1000  # of a table of changes


class StationSummary(msgspec.Struct):
    """Data and events of one station.

    coverage: of the channel with most data, share of the time of its units. gaps, gap_s: within units, of the channel
    with most gaps. magnitudes, largest: of the events with a value. open_bins: see `Summary`.
    """

    station: str
    units: int
    days_of_data: float
    coverage: float
    gaps: int
    gap_s: float
    events: int
    magnitudes: int
    largest: float | None
    open_bins: dict[str, int] = {}


class Summary(msgspec.Struct):
    """An output in figures. retracted: events that were withdrawn; they are not counted elsewhere.

    events_by_day: day → type → number. frequency: lower edge of a bin → number of events with a value.
    open_bins: label, as `>3.0` → number of events beyond the bins of the model, which have no value.
    """

    units: int
    events: int
    retracted: int
    types: dict[str, int]
    events_by_day: dict[str, dict[str, int]]
    frequency: dict[str, int]
    stations: list[StationSummary]
    failures: int
    open_bins: dict[str, int] = {}


@dataclass(frozen=True)
class UnitClock:
    """Times of the units of an output. Names are `2019-07-07` or `2019-07-07T06-30`."""

    unit_ns: int
    start_ns: int
    end_ns: int

    @classmethod
    def of(cls, manifest: Manifest) -> UnitClock:
        settings = manifest.settings
        low = ns_from_iso(settings.start) if settings.start is not None else 0
        high = ns_from_iso(settings.end) if settings.end is not None else 2**62
        return cls(parse_unit(settings.unit), low, high)

    def begin_ns(self, name: str) -> int:
        return ns_from_iso(f"{name[:11]}{name[11:].replace('-', ':')}:00Z" if "T" in name else name)

    def length_s(self, name: str) -> float:
        """Length of a unit within the range of the run."""
        begin_ns = self.begin_ns(name)
        return (min(begin_ns + self.unit_ns, self.end_ns) - max(begin_ns, self.start_ns)) / NS_PER_S


def summarise(out: Path) -> tuple[Manifest, Summary, dict[str, list[UnitFacts]]]:
    """Figures of an output, and the facts of its units by station. Raises InputError, DataError without a unit."""
    manifest = read_manifest(out)
    files = event_files(out)
    if not files:
        raise DataError(f"{out}: no unit is done; run `seisedge archive` on it first")
    clock = UnitClock.of(manifest)
    summary = Summary(len(files), 0, 0, {}, {}, {}, [], len(manifest.failures))
    facts_of: dict[str, list[UnitFacts]] = {}
    days: dict[str, Counter[str]] = {}
    sizes: list[float] = []
    beyond: Counter[str] = Counter()
    of_station: dict[str, list[Path]] = {}
    for path in files:
        of_station.setdefault(path.parent.name.removeprefix("station="), []).append(path)
    for station, paths in of_station.items():
        facts = facts_of[station] = [one for one in map(read_facts, paths) if one is not None]
        names = ("status", "type", "magnitude", "magnitude_label", "magnitude_provisional")
        table = read_tables(paths, ["onset", *names])
        columns = [table[name].to_pylist() for name in names]
        onsets = table["onset"].cast("int64").to_pylist()
        kept = [row for row in zip(onsets, *columns, strict=True) if row[1] != "retracted"]
        summary.retracted += table.num_rows - len(kept)
        for onset_ns, _, kind, *_ in kept:
            days.setdefault(iso_from_ns(onset_ns)[:10], Counter())[kind or NO_TYPE] += 1
        here = [size for _, _, _, size, _, _ in kept if size is not None]
        open_bins = Counter(
            label for *_, size, label, provisional in kept if size is None and label is not None and not provisional
        )
        sizes += here
        beyond += open_bins
        summary.stations.append(_station(station, facts, clock, len(kept), here, open_bins))
    summary.events_by_day = {day: dict(sorted(days[day].items())) for day in sorted(days)}
    summary.types = dict(sum(days.values(), Counter[str]()).most_common())
    summary.events = sum(summary.types.values())
    bins = Counter(math.floor(size / BIN + 1e-6) for size in sizes)
    summary.frequency = {f"{k * BIN:.1f}": bins[k] for k in range(min(bins), max(bins) + 1)} if bins else {}
    summary.open_bins = dict(sorted(beyond.items()))
    return manifest, summary, facts_of


def _station(
    station: str, facts: Sequence[UnitFacts], clock: UnitClock, events: int, sizes: Sequence[float],
    open_bins: Counter[str],
) -> StationSummary:  # fmt: skip
    data_s = sum(one.data_s for one in facts)
    possible_s = sum(clock.length_s(one.unit) for one in facts)
    gaps = [max(((gaps, gap_s) for _, gaps, gap_s in one.coverage.values()), default=(0, 0.0)) for one in facts]
    return StationSummary(
        station, len(facts), round(data_s / 86_400, 3), round(data_s / possible_s, 4), sum(count for count, _ in gaps),
        round(sum(gap_s for _, gap_s in gaps), 3), events, len(sizes), max(sizes, default=None),
        dict(sorted(open_bins.items())),
    )  # fmt: skip


def summary_page(out: Path, manifest: Manifest, summary: Summary, facts_of: dict[str, list[UnitFacts]]) -> str:
    """Events a day, types, magnitudes and their frequency, and the data of each station."""
    models = ", ".join(f"{model.name} {model.sha256[:12]}" for model in manifest.settings.models)
    clock = UnitClock.of(manifest)
    days = _days(facts_of)
    data_days = sum(station.days_of_data for station in summary.stations)
    parts = [
        f"<p><b>{summary.events:,} events</b> of {len(summary.stations)} station(s) from {days[0]} to {days[-1]}; "
        f"{_station_time(data_days)} of data in {summary.units:,} units, {summary.failures} units failed; "
        f"{summary.retracted:,} more events were retracted and are not counted.</p>",
        f"<p>Made {escape(manifest.created)} by seisedge {escape(manifest.settings.seisedge)} with {escape(models)}. "
        "These are detections of single stations: nothing is associated or located, and an earthquake counts once at "
        "each station.</p>",
        "<h2>Events a day</h2>",
        _events_plot(summary, days),
        "<h2>Types</h2>",
        plots.table(
            ["type", "events", "share"],
            [[kind, f"{count:,}", f"{count / summary.events:.1%}"] for kind, count in summary.types.items()],
        ),
        "<h2>Magnitude and frequency</h2>",
        _frequency_plot(summary),
        "<h2>Data of each station</h2>",
        _coverage_plot(facts_of, clock, days),
        plots.table(
            ["station", "units", "data", "coverage", "gaps", "in gaps", "events", "events a day",
             "with magnitude", "largest"],
            [
                [s.station, s.units, _length(s.days_of_data), f"{s.coverage:.1%}", s.gaps, seconds_text(s.gap_s),
                 s.events, f"{s.events / s.days_of_data:.1f}" if s.days_of_data else "", s.magnitudes,
                 _largest(s)]
                for s in summary.stations
            ],
        ),
    ]  # fmt: skip
    if manifest.failures:
        rows = [[failure.station, failure.unit, failure.reason] for failure in manifest.failures]
        parts += ["<h2>Units that have failed</h2>", plots.table(["station", "unit", "reason"], rows)]
    return plots.page(f"Archive {out.name}", parts)


def _above(open_bins: Mapping[str, int]) -> dict[str, int]:
    """Of the events beyond the bins those above all bins."""
    return {label: count for label, count in open_bins.items() if label.startswith(">")}


def _largest(station: StationSummary) -> str:
    """The largest magnitude, which may be above all bins."""
    above = "".join(_above(station.open_bins))
    return above or ("" if station.largest is None else f"{station.largest:.2f}")


def _open_bins_text(summary: Summary) -> str:
    if not summary.open_bins:
        return ""
    parts = [f"{count:,} events have magnitude {escape(label)}" for label, count in summary.open_bins.items()]
    inside = " Those above all bins count as larger than each bin." if _above(summary.open_bins) else ""
    return (
        f"<p>{', '.join(parts)}, beyond the bins of the model: they have no value and no dot of their own.{inside}</p>"
    )


def _station_time(days: float) -> str:
    return f"{days:,.1f} station-days" if days >= 1 else f"{24 * days:.1f} station-hours"


def _length(days: float) -> str:
    return f"{days:.2f} d" if days >= 1 else f"{24 * days:.2f} h"


def _days(facts_of: dict[str, list[UnitFacts]]) -> list[str]:
    """All days from the first to the last unit, also those without data."""
    names = {one.unit[:10] for facts in facts_of.values() for one in facts}
    return [iso_from_ns(ns)[:10] for ns in range(ns_from_iso(min(names)), ns_from_iso(max(names)) + 1, DAY_NS)]


def _events_plot(summary: Summary, days: Sequence[str]) -> str:
    if not summary.events:
        return "<p>No event.</p>"
    size = math.ceil(len(days) / MAX_COLUMNS)
    groups = [days[k : k + size] for k in range(0, len(days), size)]
    series = [
        (kind, [sum(summary.events_by_day.get(day, {}).get(kind, 0) for day in group) / len(group) for group in groups])
        for kind in summary.types
    ]
    label = "events a day" if size == 1 else f"events a day, mean of {size} days"
    return plots.bars("Events a day by type", [group[0] for group in groups], series, y_label=label, most_labels=7)


def _frequency_plot(summary: Summary) -> str:
    if not summary.frequency:
        unknown = summary.events and not summary.open_bins
        none = "<p>No event has a magnitude: the gains of the stations are unknown.</p>" if unknown else ""
        return none + _open_bins_text(summary)
    edges, numbers = [float(edge) for edge in summary.frequency], list(summary.frequency.values())
    at_least = (np.cumsum(numbers[::-1])[::-1] + sum(_above(summary.open_bins).values())).tolist()
    plot = plots.log_dots(
        "Number of events by magnitude",
        [
            (f"of this magnitude, in bins of {BIN}",
             [(round(edge + BIN / 2, 2), number) for edge, number in zip(edges, numbers, strict=True) if number]),
            ("of this magnitude or larger", list(zip(edges, at_least, strict=True))),
        ],
        x_label="magnitude", y_label="number of events",
    )  # fmt: skip
    return plot + _open_bins_text(summary)


def _coverage_plot(facts_of: dict[str, list[UnitFacts]], clock: UnitClock, days: Sequence[str]) -> str:
    per_day = DAY_NS // clock.unit_ns
    size = math.ceil(len(days) * per_day / MAX_COLUMNS)
    first_ns = ns_from_iso(days[0])
    columns = math.ceil(len(days) * per_day / size)
    rows: list[tuple[str, list[float | None]]] = []
    for station, facts in facts_of.items():
        data_s, possible_s = np.zeros(columns), np.zeros(columns)
        for one in facts:
            column = (clock.begin_ns(one.unit) - first_ns) // (clock.unit_ns * size)
            data_s[column] += one.data_s
            possible_s[column] += clock.length_s(one.unit)
        rows.append(
            (station, [d / p if p else None for d, p in zip(data_s.tolist(), possible_s.tolist(), strict=True)])
        )
    stamps = [iso_from_ns(first_ns + k * size * clock.unit_ns) for k in range(columns)]
    labels = [stamp[:16].replace("T", " ") if per_day > size else stamp[:10] for stamp in stamps]
    caption = "Height of blue: share of the time with data. Grey: units with missing data. White: no file."
    return plots.strips("Share of the time that has data", rows, labels, caption)


def difference_page(old: Path, new: Path, difference: Difference) -> str:
    """Totals, the changes by kind, the shifts of magnitudes, and a table of the changes."""
    lines = list(text_lines(difference, 0))
    parts = ["<ul>", *(f"<li>{escape(line)}</li>" for line in lines if not line.startswith("  ")), "</ul>"]
    title = f"Changes from {old.name} to {new.name}"
    if not difference.changes:
        return plots.page(title, [*parts, "<p>No event has changed: there is nothing to draw.</p>"])
    numbers = [float(difference.count(kind)) for kind in KINDS]
    parts += ["<h2>Changes</h2>", plots.bars("Events by change", KINDS, [("events", numbers)], y_label="events")]
    types = Counter((c.old.type or NO_TYPE, c.new.type or NO_TYPE) for c in difference.changes if c.old and c.new)
    moved = [[*pair, count] for pair, count in types.most_common() if pair[0] != pair[1]]
    if moved:
        parts += ["<h2>Types</h2>", plots.table(["old type", "new type", "events"], moved)]
    parts += ["<h2>Magnitudes</h2>", _shifts_plot(difference.shifts)]
    shown = difference.changes[:MAX_ROWS]
    rows = [[change.station, change.kind, *_cells(change.old), *_cells(change.new)] for change in shown]
    header = ["station", "change", "old onset", "type", "magnitude", "new onset", "type", "magnitude"]
    parts += ["<h2>Table of changes</h2>", plots.table(header, rows)]
    if len(shown) < len(difference.changes):
        parts.append(f"<p>{len(difference.changes) - len(shown):,} more are left out; --table FILE writes all.</p>")
    return plots.page(title, parts)


def _shifts_plot(shifts: Sequence[float]) -> str:
    changed = [shift for shift in shifts if shift]
    if not changed:
        return f"<p>{len(shifts):,} events have a magnitude in both outputs; none differs.</p>"
    bins = Counter(math.floor(shift / SHIFT_BIN + 0.5) for shift in changed)
    places = range(min(bins), max(bins) + 1)
    labels, heights = [f"{k * SHIFT_BIN:+.2f}" for k in places], [float(bins[k]) for k in places]
    x_label = "new - old magnitude"
    plot = plots.bars("Magnitudes that differ", labels, [("events", heights)], x_label=x_label, y_label="events")
    return plot + f"<p>{len(shifts) - len(changed):,} events with the same magnitude in both are not drawn.</p>"


def _cells(event: EventRow | None) -> tuple[str, str, str]:
    if event is None:
        return "", "", ""
    return event.onset[:23], event.type or "", "" if event.magnitude is None else f"{event.magnitude:.2f}"
