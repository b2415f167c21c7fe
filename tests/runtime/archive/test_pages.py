"""The plots of the pages, over years and with days without data."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

import msgspec
import pytest

from seisedge.runtime.archive import plots
from seisedge.runtime.archive.diff import Difference
from seisedge.runtime.archive.output import Manifest, Settings
from seisedge.runtime.archive.pages import (
    MAX_COLUMNS,
    StationSummary,
    Summary,
    UnitClock,
    difference_page,
    summary_page,
)
from seisedge.runtime.archive.table import SCHEMA, UnitFacts
from seisedge.runtime.clock import ns_from_iso

FIRST = datetime.date(2019, 1, 1)


def manifest(unit: str, start: str | None = None, end: str | None = None) -> Manifest:
    settings = Settings([], unit, start, end, False, {}, "1.0")
    return Manifest(SCHEMA, "complete", "2026-01-01T00:00:00Z", None, settings, {}, [], {}, {}, [])


def day(number: int) -> str:
    return str(FIRST + datetime.timedelta(days=number))


def drawn(page: str, title: str) -> list[str]:
    """The tooltips of one plot."""
    (svg,) = re.findall(rf"<svg[^>]*>\n<title>{title}</title>(.*?)</svg>", page, re.DOTALL)
    return re.findall(r"<title>(.*?)</title>", svg)


def page_of(days: list[tuple[int, float]], events: dict[int, int]) -> str:
    """The page of one station: data in seconds by day, and numbers of events by day."""
    facts = {"XX.A": [UnitFacts("XX.A", day(number), "", data_s=data_s) for number, data_s in days]}
    by_day = {day(number): {"tectonic": count} for number, count in events.items()}
    summary = Summary(len(days), sum(events.values()), 0, {"tectonic": sum(events.values())}, by_day, {}, [], 0)
    return summary_page(Path("out"), manifest("1d"), summary, facts)


def test_days_without_data_have_their_place() -> None:
    page = page_of([(0, 86_400.0), (1, 86_400.0), (5, 21_600.0)], {0: 2, 5: 3})
    assert drawn(page, "Events a day by type") == ["2019-01-01: 2 tectonic", "2019-01-06: 3 tectonic"]
    bars = re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"[^>]*><title>2019-01-0[16]: ', page)
    (first, width), (last, _) = [(float(x), float(w)) for x, w in bars[:2]]
    assert last - first == pytest.approx(5 * width / 0.9, rel=0.01)
    cells = drawn(page, "Share of the time that has data")
    assert cells == ["XX.A 2019-01-01 to 2019-01-02: 100%"] * 2 + ["XX.A 2019-01-06: 25%"] * 2


def test_years_are_joined_to_columns_of_several_days() -> None:
    page = page_of([(number, 86_400.0) for number in range(1200)], dict.fromkeys(range(1200), 7))
    bars = drawn(page, "Events a day by type")
    assert len(bars) == MAX_COLUMNS and all(tip.endswith(": 7 tectonic") for tip in bars)
    assert "events a day, mean of 10 days" in page
    assert drawn(page, "Share of the time that has data") == ["XX.A 2019-01-01 to 2022-04-05: 100%"] * 2


@pytest.mark.parametrize(
    ("days", "length", "total"),
    [(2.3, "2.30 d", "2.3 station-days"), (0.25, "6.00 h", "6.0 station-hours"), (0.04, "0.96 h", "1.0 station-hours")],
)
def test_less_than_a_day_is_in_hours(days: float, length: str, total: str) -> None:
    station = StationSummary("XX.A", 1, days, 1.0, 0, 0.0, 3, 0, None)
    facts = {"XX.A": [UnitFacts("XX.A", day(0), "", data_s=days * 86_400)]}
    page = summary_page(Path("out"), manifest("1d"), Summary(1, 3, 0, {"tectonic": 3}, {}, {}, [station], 0), facts)
    assert f"; {total} of data in 1 units" in page and f">{length}</td>" in page


def test_events_beyond_the_bins_of_the_model_are_shown() -> None:
    station = StationSummary("XX.A", 1, 1.0, 1.0, 0, 0.0, 9, 6, 2.96, {">3.0": 2, "≤0.0": 1})
    facts = {"XX.A": [UnitFacts("XX.A", day(0), "", data_s=86_400)]}
    summary = Summary(1, 9, 0, {"tectonic": 9}, {}, {"2.8": 4, "2.9": 2}, [station], 0, station.open_bins)
    page = summary_page(Path("out"), manifest("1d"), summary, facts)
    assert "2 events have magnitude &gt;3.0, 1 events have magnitude ≤0.0, beyond the bins" in page
    assert "<td>6</td><td>&gt;3.0</td>" in page
    tips = drawn(page, "Number of events by magnitude")
    assert [tip for tip in tips if tip.startswith("2.9")] == [
        "2.95: 2 of this magnitude, in bins of 0.1",
        "2.9: 4 of this magnitude or larger",
    ]
    only = msgspec.structs.replace(summary, frequency={})
    page = summary_page(Path("out"), manifest("1d"), only, facts)
    assert "2 events have magnitude &gt;3.0" in page and "gains of the stations are unknown" not in page


def test_the_range_of_a_run_cuts_its_units() -> None:
    clock = UnitClock.of(manifest("6h", "2019-07-07T07:00:00Z", "2019-07-07T13:00:00Z"))
    assert clock.begin_ns("2019-07-07T06-00") == ns_from_iso("2019-07-07T06:00:00Z")
    assert [clock.length_s(f"2019-07-07T{hour}-00") for hour in ("06", "12")] == [18_000.0, 3600.0]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 138.0, [0.0, 50.0, 100.0]),
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (1.17, 2.68, [1.5, 2.0, 2.5]),
        (-0.3, 0.3, [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, ticks: list[float]) -> None:
    assert plots.round_ticks(low, high, 6 if low == 0 else 8) == ticks


def test_outputs_with_the_same_events_have_no_plots_of_changes() -> None:
    same = Difference(manifest("1d"), manifest("1d"), 3, 0, 0, 17, [], [0.0])
    page = difference_page(Path("old"), Path("new"), same)
    assert "17 the same" in page and "No event has changed" in page
    assert "<svg" not in page and "<table" not in page
