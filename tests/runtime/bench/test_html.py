"""The page of a report: complete, and without anything from elsewhere."""

import re
from itertools import pairwise
from xml.etree import ElementTree

from tests.runtime.bench.made import made_report

from seisedge.runtime.bench.html import page
from seisedge.runtime.bench.text import markdown_lines, terminal_lines


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


def test_terminal_and_markdown_have_the_same_figures() -> None:
    report = made_report()
    p99 = f"{report.settings[0].rows[0].figures['p99'].value:.3g}"
    for lines in (terminal_lines(report), markdown_lines(report)):
        text = "\n".join(lines)
        assert p99 in text and "not an MLPerf result" in text and "no sensor" in text
