"""The page of a report: complete, and without anything from elsewhere."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import msgspec
import pytest
from tests.runtime.bench.made import made_report

from seisedge.runtime.bench.html import page, time_svg
from seisedge.runtime.bench.text import markdown_lines, scenario_lines, terminal_lines


def test_the_page_stands_alone() -> None:
    text = page(made_report(machine="<box> & co"))
    assert "&lt;box&gt; &amp; co" in text and "<box>" not in text
    assert not re.search(r"<(script|link|img)|url\(|href=|src=", text)
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawings) == 3
    for drawing in drawings:
        ElementTree.fromstring(drawing)
    curve = [
        tuple(map(float, point.split(","))) for point in drawings[0].partition('points="')[2].split('"')[0].split()
    ]
    for earlier, later in pairwise(curve):
        assert earlier[0] <= later[0] and earlier[1] >= later[1]  # to the right, and up
    places = [float(x) for x in re.findall(r'c?[xy]="(-?[0-9.]+)"', text)]
    assert min(places) >= 0 and max(places) <= 720


@pytest.mark.parametrize(
    ("largest", "labels"),
    [
        (855.0, ["0", "200", "400", "600", "800"]),
        (94.0, ["0", "20", "40", "60", "80"]),
        (0.3, ["0", "0.1", "0.2", "0.3"]),
    ],
)
def test_axes_over_time_have_round_numbers(largest: float, labels: list[str]) -> None:
    drawing = time_svg([0.0, largest, largest / 2])
    assert re.findall(r">([0-9.]+)<", drawing) == labels
    (points,) = re.findall(r'points="([^"]+)"', drawing)
    heights = [float(point.split(",")[1]) for point in points.split()]
    assert 10 <= heights[1] < heights[2] < heights[0] == 130
    assert time_svg([0.0, 0.0]).count("<text") > 2 and time_svg([5.0])


def test_terminal_and_markdown_have_the_same_figures() -> None:
    report = made_report()
    p99 = f"{report.settings[0].rows[0].figures['p99'].value:.3g}"
    for lines in (terminal_lines(report), markdown_lines(report)):
        text = "\n".join(lines)
        assert p99 in text and "not an MLPerf result" in text and "no sensor" in text


def test_back_to_back_rows_have_the_names_of_mlperf() -> None:
    row = made_report().settings[0].rows[0]
    rows = [
        msgspec.structs.replace(row, batch=batch, pace_ms=pace) for batch, pace in ((1, 0), (8, 0), (32, 0), (1, 10))
    ]
    names = [line.partition(":")[0] for line in scenario_lines(rows)]
    assert names == [
        "scenario single-stream",
        "scenario multi-stream (8 samples a query)",
        "scenario offline, batch 32",
    ]
