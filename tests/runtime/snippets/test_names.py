"""Codes of the wire and ids of a request become names that stay in their folder."""

from pathlib import Path

import pytest

from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.records.packet import SourceId
from seisedge.runtime.snippets.names import day_of, day_of_day_file, day_of_snippet, day_path, safe_name, snippet_path

ROOT = Path("/data")
HOSTILE = [
    "..",
    ".",
    "",
    "/",
    "../../etc",
    "a/b",
    "a\0b",
    "a\nb",
    "ä" * 300,
    "x" * 5000,
    "\ud800",
    "C:\\x",
    "-",
    "--",
    "~",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_name_stays_in_its_folder(text: str) -> None:
    name = safe_name(text)
    assert 0 < len(name.encode()) <= 200 and name.isascii() and name.isprintable()
    assert "/" not in name and name not in (".", "..")
    assert (ROOT / name).resolve().parent == ROOT
    assert len({safe_name(other) for other in HOSTILE}) == len(HOSTILE)  # and different texts have different names


def test_names_of_ordinary_codes() -> None:
    path = snippet_path(ROOT, "PB.B918-20190707T081625.290")
    assert path == ROOT / "PB.B918" / "2019-07-07" / "PB.B918-20190707T081625.290"
    day = day_of(ns_from_iso("2019-07-07T08:16:25"))
    expected = ROOT / "2019" / "PB" / "B918" / "EHZ.D" / "PB.B918..EHZ.D.2019.188"
    assert day_path(ROOT, SourceId("PB", "B918", "", "EHZ"), day) == expected
    assert day_of_day_file(expected.name) == day == day_of_snippet(f"{path.name}.mseed")


@pytest.mark.parametrize(
    "event_id", ["", "x", "../../etc/passwd", "-20190707T081625.290", "PB.B918-20190707", "a" * 9999]
)
def test_no_event_id(event_id: str) -> None:
    assert snippet_path(ROOT, event_id) is None


@pytest.mark.parametrize("station", HOSTILE[:2] + HOSTILE[3:])
def test_a_hostile_event_id(station: str) -> None:
    path = snippet_path(ROOT, f"{station}-20190707T081625.290")
    assert path is None or path.resolve().is_relative_to(ROOT)
    hostile = SourceId(station, station, station, station)
    found = day_path(ROOT, hostile, 18_000)
    assert found.resolve().is_relative_to(ROOT / "2019") and len(found.relative_to(ROOT).parts) == 5
    assert day_of_day_file(found.name) == 18_000


@pytest.mark.parametrize("name", ["journal.sqlite", "PB.B918-20191399T000000.000.mseed", "x.D.2019.400", ".D.2019.001"])
def test_files_of_others_have_no_day(name: str) -> None:
    assert day_of_snippet(name) is None and day_of_day_file(name) is None
