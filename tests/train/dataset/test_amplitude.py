"""Impossible gains and amplitudes are left out and counted by build, info, check and train."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.train.dataset.sets import make_arrays, make_rows, write_set

from seisedge.train.archive.archive import load_archive
from seisedge.train.dataset.amplitude import TOO_LARGE, gain_fault, is_too_large
from seisedge.train.dataset.check import check
from seisedge.train.dataset.info import info, text_from_info
from seisedge.train.dataset.survey import survey

GAINS = ["0", "1e-300", "-4e8", "inf", "1e300", "4e8", "", "nan", "1"]  # the last four are kept


def own_set(folder: Path) -> Path:
    rows, arrays = make_rows(len(GAINS)), [a.astype(np.float64) for a in make_arrays(len(GAINS))]
    for row, gain in zip(rows, GAINS, strict=True):
        row["trace_gain_counts_per_m_s"] = gain
    arrays[5][0, 100] = 1e30
    arrays[8] *= 1e-9  # in m/s
    return write_set(folder, rows, arrays)


def test_train_check_and_info_leave_out_the_same(tmp_path: Path) -> None:
    data = own_set(tmp_path / "mine")
    archive = load_archive([data], 40.0, 15.0)
    assert archive.left_out == {TOO_LARGE: 1}
    assert {r.name: r.gain for r in archive.records} == {
        "t0": None, "t1": None, "t2": None, "t3": None, "t4": None, "t6": None, "t7": None, "t8": 1.0
    }  # fmt: skip
    notes = "\n".join(archive.notes)
    assert "a sample above 1e+12, which no digitizer records: t5" in notes
    assert "the gain of 5 records is not used: t0 (0 is not between 1 and 1e+15 counts per m/s), t1 (1e-300" in notes

    findings = {f.code: f for f in check(survey([data])).findings}
    assert findings["amplitude"].examples == [f"t5 ({TOO_LARGE})"]
    assert findings["gain"].count == 5 + 1  # with 1e30 counts the gain of t5 is impossible as well

    found = info(survey([data], samples=False))
    assert sum(c.records for c in found.by_gain_fault) == 5
    assert "gain that is not used" in text_from_info(found)


@pytest.mark.parametrize(
    ("peak", "gain", "fault"),
    [
        (1e6, "4e8", ""),
        (1e6, "1", "with a gain of 1 counts per m/s the ground would move at 1e+06 m/s"),
        (2e9, "4e8", ""),
        (0.5, "1", ""),
    ],
)
def test_gain_and_samples_must_fit(peak: float, gain: str, fault: str) -> None:
    x = np.array([[0.0, peak, -peak, np.nan]])
    assert gain_fault({"trace_gain_counts_per_m_s": gain}, x) == fault


def test_too_large() -> None:
    assert not is_too_large(np.array([np.iinfo(np.int32).min, np.iinfo(np.int32).max]))
    assert not is_too_large(np.array([np.nan, np.inf, 1e12]))
    assert is_too_large(np.array([0, -1.1e12]))
    assert not is_too_large(np.zeros((0, 3)))


def test_the_bundled_data_have_no_such_record(datasets: Path) -> None:
    traces = survey([datasets], samples=False)
    assert not [t.name for t in traces if t.gain_fault]
