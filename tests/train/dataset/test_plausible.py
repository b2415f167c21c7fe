"""Sentinels in the metadata are missing values for build, info, check and train, and they are counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.train.dataset.sets import make_arrays, make_rows, write_set

from seisedge.train.archive.archive import load_archive
from seisedge.train.dataset.check import check, text_from_report
from seisedge.train.dataset.info import info, text_from_info
from seisedge.train.dataset.store import Store
from seisedge.train.dataset.survey import survey

SENTINELS = ["-999", "-9", "99.99", "1e20", "inf", "-9.99", "9999"]


def a_set(folder: Path, column: str, values: list[str], others: str = "2.1") -> Path:
    rows = make_rows(20)
    for i, row in enumerate(rows):
        row[column] = values[i] if i < len(values) else others
    return write_set(folder, rows, make_arrays(20), block=True)


def test_sentinels_of_the_magnitude_are_missing_everywhere(tmp_path: Path) -> None:
    data = a_set(tmp_path / "mine", "source_magnitude", [*SENTINELS, "nan", "NaN", ""])
    archive = load_archive([data], 40.0, 15.0)
    assert sorted(r.magnitude is None for r in archive.records) == [False] * 10 + [True] * 10
    text = "7 implausible values of source_magnitude are treated as missing: -999 (1), -9 (1), 99.99 (1), 1e20 (1); "
    text += "expected -4 to 9.6; the first is in bucket0$0,:3,:6000"
    assert text in archive.notes
    traces = survey([data])
    assert text in text_from_info(info(traces))
    assert [(c.value, c.records) for c in info(traces).by_magnitude] == [("(2, 2.5]", 10), ("none", 10)]
    (finding,) = [f for f in check(traces).findings if f.code == "implausible"]
    assert (finding.level, finding.count) == ("warning", 7)
    assert text in text_from_report(check(traces))


@pytest.mark.parametrize(
    ("column", "stored", "bad", "good"),
    [
        ("source_local_magnitude", "source_magnitude", ["-999", "99.9"], "-0.4"),
        ("source_depth_km", "source_depth_km", ["-999", "-9", "10000", "1e20"], "-2.7"),
        ("path_ep_distance_km", "path_ep_distance_km", ["-999", "-1", "1e20"], "0"),
        ("source_distance_km", "path_ep_distance_km", ["-999"], "12"),
        ("source_latitude_deg", "source_latitude_deg", ["-999", "99.99", "inf"], "-90"),
        ("station_longitude_deg", "station_longitude_deg", ["-999", "999"], "359.9"),
        ("trace_Pn_arrival_sample", "trace_p_arrival_sample", ["-12345", "-999", "1e20"], "-3"),
        ("source_origin_time", "source_origin_time", ["1970-01-01T00:00:00Z", "9999-12-31"], "1906-04-18T13:12:00Z"),
    ],
)
def test_other_columns(tmp_path: Path, column: str, stored: str, bad: list[str], good: str) -> None:
    data = a_set(tmp_path / "mine", column, bad, good)
    rows, n = Store(data).rows, len(bad)
    missing = {"trace_p_arrival_sample": "2000"}.get(stored, "")  # an earlier Pn would take precedence over P
    assert [row[stored] for row in rows[:n]] == [missing] * n
    assert [row[stored] for row in rows[n:]] == [good] * (20 - n)
    assert [len(found) for found in Store(data).implausible] == [1] * n + [0] * (20 - n)
