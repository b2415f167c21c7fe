"""Records without an event id: those of one event stay on one side of the split, or the data are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.train.dataset.sets import make_arrays, make_rows, write_set

from seisedge.runtime.clock import NS_PER_S, iso_from_ns, ns_from_iso
from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import load_archive
from seisedge.train.dataset.check import check
from seisedge.train.dataset.survey import survey

N_EVENTS, N_STATIONS = 20, 3
T0_NS = ns_from_iso("2020-01-01")


def a_set(folder: Path, *without: str, **more: object) -> Path:
    """Each event is recorded by three stations, at different distances; `without` these columns."""
    rows = make_rows(N_EVENTS * N_STATIONS)
    for i, row in enumerate(rows):
        event, station = divmod(i, N_STATIONS)
        origin_ns = T0_NS + event * 600 * NS_PER_S
        row |= {
            "source_id": f"e{event}",
            "source_origin_time": iso_from_ns(origin_ns),
            "trace_start_time": iso_from_ns(origin_ns + (station * 7 - 15) * NS_PER_S),
            "trace_npts": 3000,
            "station_network_code": "XX",
            "station_code": f"S{station}",
        }
        row |= more
        for key in without:
            del row[key]
    return write_set(folder, rows, make_arrays(len(rows), 1, 3000), block=True)


@pytest.mark.parametrize(
    "without",
    [
        ("source_id",),
        ("source_id", "source_origin_time"),
        ("source_id", "trace_start_time"),
        ("source_id", "source_origin_time", "trace_npts"),
    ],
)
@pytest.mark.parametrize("rule", ["", "event"])
def test_the_records_of_an_event_stay_together(tmp_path: Path, without: tuple[str, ...], rule: str) -> None:
    data = a_set(tmp_path / "mine", *without)
    records = load_archive([data], 40.0, 15.0, split=rule).records
    sides: dict[int, set[tuple[str, int]]] = {}
    for i, r in enumerate(records):
        sides.setdefault(i // N_STATIONS, set()).add((r.split, r.fold))
    assert len(records) == N_EVENTS * N_STATIONS
    assert len({r.group for r in records}) == N_EVENTS
    assert [len(s) for s in sides.values()] == [1] * N_EVENTS
    assert sum(("test", -1) in s for s in sides.values()) == 4
    (finding,) = [f for f in check(survey([data])).findings if f.code == "no event id"]
    assert finding.count == len(records)


def test_a_given_split_that_divides_an_event_without_id_is_a_fault(tmp_path: Path) -> None:
    data = a_set(tmp_path / "mine", "source_id", "source_origin_time", split="train")
    table = (data / "metadata.csv").read_text().splitlines()
    table[1] = table[1].replace("train", "test")
    (data / "metadata.csv").write_text("\n".join(table) + "\n")
    assert [f.code for f in check(survey([data])).faults] == ["leak"]
    with pytest.raises(InputError, match="in two parts"):
        load_archive([data], 40.0, 15.0)


def test_data_without_any_hint_are_not_divided(tmp_path: Path) -> None:
    hints = ("source_id", "source_origin_time", "trace_start_time", "trace_npts")
    data = a_set(tmp_path / "mine", *hints)
    with pytest.raises(InputError, match=r"60 records do not state their event.* give them source_id"):
        load_archive([data], 40.0, 15.0)
    assert [f.code for f in check(survey([data])).faults] == ["no event"]
    given = a_set(tmp_path / "given", *hints, split="train")
    assert len(load_archive([given], 40.0, 15.0).records) == N_EVENTS * N_STATIONS
    with pytest.raises(InputError, match="do not state their event"):
        load_archive([given], 40.0, 15.0, split="event")
