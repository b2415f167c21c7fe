"""Each fault, put into a small data set, is found; the bundled data set has none."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from tests.train.dataset.sets import make_arrays, make_rows, write_set

from seisedge.cli import main
from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import load_archive
from seisedge.train.dataset.check import CheckReport, check
from seisedge.train.dataset.survey import survey
from seisedge.train.evaluation import probe

WHERE = {"station_network_code": "XX", "trace_licence": "CC BY 4.0", "trace_component_order": "ZNE"}


def report_of(folder: Path) -> CheckReport:
    return check(survey([folder]))


def rows_of(n: int, **more: Any) -> list[dict[str, Any]]:
    rows = make_rows(n, **WHERE, **more)
    for i, row in enumerate(rows):
        row |= {"station_code": f"S{i}", "source_type": ("earthquake", "quarry blast", "noise")[i % 3]}
    return rows


def test_a_data_set_without_faults_has_no_findings(tmp_path: Path) -> None:
    report = report_of(write_set(tmp_path, rows_of(6), make_arrays(6)))
    assert report.findings == []
    assert report.no_audit == "2 events of label noise are too few; at least 10 are needed"


def add_fault(name: str, rows: list[dict[str, Any]], arrays: list[np.ndarray]) -> None:  # noqa: C901 - one case for each fault
    if name == "duplicates":
        arrays[3] = arrays[0]
    elif name == "leak":
        for i, row in enumerate(rows):
            row |= {"split": "test" if i in (1, 4) else "train", "source_id": "e1" if i in (0, 1) else f"e{i}"}
    elif name == "leak by shared samples":
        for i, row in enumerate(rows):
            row |= {"split": "test" if i == 1 else "train", "station_code": "S", "trace_npts": 6000}
            row["trace_start_time"] = f"2020-01-0{1 + i}T00:00:00Z" if i > 1 else f"2020-01-01T00:00:{30 * i:02d}Z"
    elif name == "fold leak":
        for i, row in enumerate(rows):
            row |= {"split": "train", "fold": i % 2, "source_id": f"e{i % 3}"}
    elif name == "same windows":
        for row in rows[:4]:
            row |= {"trace_start_time": "2020-01-01T00:00:00Z", "source_id": "e", "station_code": "S"}
            row["source_type"] = "earthquake"
    elif name in ("two names", "leak by two names"):
        for i, row in enumerate(rows):
            row |= {"source_origin_time": f"2020-01-01T00:00:0{i}Z" if i < 2 else "", "source_latitude_deg": 45}
            row["source_longitude_deg"] = 7 + i / 10
            if name == "leak by two names":
                row["split"] = "test" if i == 1 else "train"
        rows[1]["source_type"] = "earthquake"
    elif name == "nan":
        arrays[0] = arrays[0].astype(np.float32)
        arrays[0][1, 5] = np.nan
    elif name == "flat":
        arrays[0][2] = 9
    elif name == "clipped":
        arrays[0][0] = np.clip(arrays[0][0] + 1e5 * np.sin(np.arange(6000) / 9) * (np.arange(6000) < 900), -3e4, 3e4)
    elif name == "copied":
        arrays[0][2] = 3 * arrays[0][1]
    elif name == "no arrival":
        rows[0]["trace_P_arrival_sample"] = ""
    elif name == "arrival outside":
        rows[0]["trace_P_arrival_sample"] = 6000
    elif name == "unused labels":
        rows[0]["source_type"] = "sonic boom"
    elif name == "balance":
        for row in rows:
            row["source_type"] = "noise"
    elif name == "magnitude type":
        rows[0]["source_magnitude"] = 1.0
    elif name == "magnitude types":
        for row, kind in zip(rows, ("ML", "Md", "Ml", "ml", "ml", "ml"), strict=True):
            row |= {"source_magnitude": 1.0, "source_magnitude_type": kind}
    elif name == "rates":
        rows[0]["trace_sampling_rate_hz"] = 200
    elif name == "licence":
        rows[0]["trace_licence"] = ""
    else:
        raise AssertionError(name)


@pytest.mark.parametrize(
    ("name", "code", "level", "count", "part"),
    [
        ("duplicates", "duplicates", "fault", 1, "identical samples"),
        ("leak", "leak", "fault", 1, "in both training and test data"),
        ("leak by shared samples", "leak", "fault", 1, "in both training and test data"),
        ("fold leak", "fold leak", "fault", 3, "two folds"),
        ("same windows", "same windows", "warning", 1, "as another"),
        ("two names", "two names", "warning", 1, "with another id"),
        ("nan", "nan", "warning", 1, "NaN"),
        ("flat", "flat", "warning", 1, "without signal"),
        ("clipped", "clipped", "warning", 1, "clipped"),
        ("copied", "copied", "warning", 1, "is a copy of another"),
        ("no arrival", "no arrival", "warning", 1, "without a P arrival"),
        ("arrival outside", "arrival outside", "warning", 1, "outside the samples"),
        ("unused labels", "unused labels", "warning", 1, "sonic boom (1)"),
        ("balance", "balance", "warning", 2, "tectonic 0, non-tectonic 0"),
        ("magnitude type", "magnitude type", "warning", 1, "no magnitude type"),
        ("magnitude types", "magnitude types", "warning", 2, "ml (5), md (1)"),
        ("rates", "rates", "warning", 2, "100 Hz (5), 200 Hz (1)"),
        ("licence", "licence", "warning", 1, "without a licence"),
    ],
)
def test_each_fault_is_found(tmp_path: Path, name: str, code: str, level: str, count: int, part: str) -> None:
    rows, arrays = rows_of(6), make_arrays(6)
    add_fault(name, rows, arrays)
    report = report_of(write_set(tmp_path, rows, arrays))
    assert [f.code for f in report.findings] == [code]
    assert (report.findings[0].level, report.findings[0].count) == (level, count)
    assert part in report.findings[0].text


def test_an_event_with_two_ids_on_two_sides_is_a_leak(tmp_path: Path) -> None:
    rows, arrays = rows_of(15), make_arrays(15)
    add_fault("leak by two names", rows, arrays)
    report = report_of(write_set(tmp_path, rows, arrays))
    assert [(f.code, f.count) for f in report.faults] == [("leak", 1)]
    with pytest.raises(InputError, match="has event e0 in two parts"):
        load_archive([tmp_path], 40.0, 15.0)
    kept = load_archive([tmp_path], 40.0, 15.0, split="event").records
    assert len({r.split for r in kept if r.event in ("e0", "e1")}) == 1


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["dataset", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_the_bundled_set_has_warnings_and_no_fault(datasets: Path) -> None:
    code, out, _ = run("check", str(datasets), "--json")
    assert code == 0
    report = json.loads(out)
    assert report["records"] == 1794
    assert {f["level"] for f in report["findings"]} == {"warning"}
    clipped = next(f for f in report["findings"] if f["code"] == "clipped")
    assert clipped["count"] == 10  # rails of 12-bit telemetry at -2048 and 2047, and the like
    guesses = {g["sees"]: g["accuracy"] for g in report["audit"]}
    assert guesses["source"] > 0.8  # all mass movements are from two sources, see datasets/README.md


def test_a_data_set_given_twice_consists_of_duplicates(tmp_path: Path) -> None:
    write_set(tmp_path / "mine", rows_of(6), make_arrays(6))
    code, out, err = run("check", str(tmp_path / "mine"), str(tmp_path / "mine"))
    assert code == 1
    assert "FAULT    duplicates (6)" in out
    assert "must not be used for training until the faults are fixed (duplicates)" in err
    assert "6 of 6 records of" in err


def test_a_shortcut_is_found_on_disk(tmp_path: Path) -> None:
    rows = make_rows(40, **WHERE)
    arrays = [a for i in range(40) for a in make_arrays(1, length=6000 + 500 * (i % 2), seed=i)]
    for i, row in enumerate(rows):
        row |= {"source_type": ("earthquake", "explosion")[i % 2], "station_code": f"S{i % 5}"}
    code, out, _ = run("check", str(write_set(tmp_path, rows, arrays)))
    assert code == 0
    assert "WARNING  shortcuts (2): properties predict the label without the waveform: length; rate, comp" in out
    assert "length                       100% (100% to 100%), chance 50%: shortcut" in out


def test_the_windows_of_a_recipe_are_tested_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line for a user's data set; tests/train/evaluation/test_probe.py tests the bundled data set."""
    monkeypatch.setattr(probe, "probe", functools.partial(probe.probe, draws=600, edge_draws=200))
    folder = write_set(tmp_path / "mine", rows_of(45), make_arrays(45, length=7000))
    code, out, err = run("check", str(folder), "--recipe", "event-type", "--json")
    assert code == 0, err
    windows = {w["sees"]: w for w in json.loads(out)["windows"]}
    for sees in ("components", "mask length", "components and mask length"):
        assert windows[sees]["accuracy"] <= windows[sees]["prior"] + 3 * windows[sees]["error"]
    rows = rows_of(45)
    for i, row in enumerate(rows):
        row |= {"source_magnitude": i % 9 / 3, "source_type": "earthquake", "trace_onset_sample": 2000}
    magnitudes = write_set(tmp_path / "magnitudes", rows, make_arrays(45, length=7000))
    code, out, err = run("check", str(magnitudes), "--recipe", "magnitude", "--json")
    assert code == 0, err
    windows = {w["sees"]: w for w in json.loads(out)["windows"]}
    assert windows["components"]["prior"] == pytest.approx(1 / 3, abs=0.12)  # three classes of magnitudes
    assert windows["components"]["accuracy"] <= windows["components"]["prior"] + 3 * windows["components"]["error"]


def test_info(datasets: Path) -> None:
    code, out, _ = run("info", str(datasets), "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["records"], found["events"]) == (1794, 464)
    assert found["by_kind"][0] == {"value": "tectonic", "events": 294, "records": 1000}
    assert sum(c["records"] for c in found["by_magnitude"]) == 1794
    assert {"value": "(1, 1.5]", "events": 40, "records": 216} in found["by_magnitude"]
    assert found["by_station"][0] == {"value": "CX.PB01", "events": 80, "records": 80}
    code, out, _ = run("info", str(datasets))
    assert code == 0
    assert "  mass movement (non-tectonic)         136      595" in out


@pytest.mark.parametrize("command", ["check", "info"])
def test_bad_input(tmp_path: Path, command: str) -> None:
    code, _, err = run(command, str(tmp_path))
    assert code == 2
    assert err.strip() == f"Error: {tmp_path}: metadata.csv is missing; --data needs a folder in SeisBench format"
    code, _, err = run(command)
    assert code == 2
    assert "Missing argument" in err
