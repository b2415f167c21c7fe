"""The bundled recording is what its README says."""

from __future__ import annotations

import csv
from pathlib import Path

from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.sources.miniseed import MiniSeedSource

FOLDER = Path(__file__).parents[3] / "runtime/seisedge/runtime/demo/data"
BEGIN_NS, END_NS = ns_from_iso("2019-07-07T08:16:00"), ns_from_iso("2019-07-07T08:42:00")


def test_no_sample_lies_before_its_time_or_is_missing() -> None:
    path = FOLDER / "ridgecrest.mseed"
    assert path.stat().st_size == 2733 * 512 <= 2_000_000
    ends: dict[str, int] = {}
    with MiniSeedSource([path]) as source:
        for packet in source.packets():
            assert packet is not None
            assert packet.starttime_ns >= BEGIN_NS
            assert packet.endtime_ns <= END_NS + 10_000_000  # one sample: endtime_ns is that of the next one
            assert ends.get(str(packet.source_id), packet.starttime_ns) == packet.starttime_ns
            ends[str(packet.source_id)] = packet.endtime_ns
    assert sorted(ends) == [
        f"PB_{station}__{channel}" for station in ("B918", "B921") for channel in ("EH1", "EH2", "EHZ")
    ]


def test_the_catalogues_are_of_the_same_time() -> None:
    for name, column, n in (("catalogue.csv", "origin_time", 21), ("automatic.csv", "time", 90)):
        with (FOLDER / name).open() as file:
            times = [ns_from_iso(row[column]) for row in csv.DictReader(file)]
        assert len(times) == n
        assert all(BEGIN_NS <= time_ns <= END_NS for time_ns in times)
