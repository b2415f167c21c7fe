"""One bad entry of a catalogue, a recording or an archive is left out and counted; it does not end a build."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import obspy
import pytest
from tests.train.dataset.sets import make_arrays, make_rows, write_set
from tests.train.dataset.test_build import START, made_catalogue, made_stationxml, made_trace, run, table

from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import load_archive
from seisedge.train.dataset.catalogue import events_from
from seisedge.train.dataset.check import check
from seisedge.train.dataset.flags import EARLY, flag
from seisedge.train.dataset.store import Store
from seisedge.train.dataset.survey import survey


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    (folder / "rec").mkdir()
    for k, code in enumerate(("HHZ", "HHN", "HHE")):
        made_trace(code, k).write(str(folder / "rec" / f"{code}.mseed"), format="MSEED", reclen=512)
    made_catalogue(folder / "catalogue.xml")
    made_stationxml(folder / "stations.xml")
    return folder


def build(made: Path, data: object, out: Path, *more: object) -> tuple[int, str, str]:
    return run(
        made / "catalogue.xml", data, "--stations", made / "stations.xml", "-o", out, "--travel-times", 6,
        "--noise", 0, *more,
    )  # fmt: skip


def float_trace(at_s: float, value: float) -> Any:
    """The vertical of `made` as floats, with one value in place of a sample."""
    trace = made_trace("HHZ", 0)
    trace.data = trace.data.astype(np.float32)
    trace.data[round(at_s * 100)] = value
    return trace


def test_a_sample_that_is_no_number_is_a_gap(made: Path, tmp_path: Path) -> None:
    (tmp_path / "rec").mkdir()
    float_trace(130.0, np.nan).write(str(tmp_path / "rec" / "z.mseed"), format="MSEED", encoding="FLOAT32")
    code, out, err = build(made, tmp_path / "rec", tmp_path / "out")
    assert code == 0, out + err
    row = table(tmp_path / "out")[0]
    assert row["trace_missing"] == f"Z:{2000 + 700}-{2000 + 701}"
    assert float(row["trace_onset_snr"]) > 1.5
    with Store(tmp_path / "out") as store:
        assert np.isfinite(store.samples(store.rows[0])).all()


def test_an_impossible_amplitude_leaves_one_record_out(made: Path, tmp_path: Path) -> None:
    (tmp_path / "rec").mkdir()
    float_trace(130.0, 1e30).write(str(tmp_path / "rec" / "z.mseed"), format="MSEED", encoding="FLOAT32")
    code, out, err = build(made, tmp_path / "rec", tmp_path / "out")
    assert code == 0, out + err
    assert "1 left out: a sample above 1e+12, which no digitizer records" in out
    assert {r["source_id"] for r in table(tmp_path / "out")} == {"e1", "e2", "e3"}


def test_an_sds_file_of_the_year_0000_and_a_fifo_are_skipped(
    made: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "sds" / "2020" / "XX" / "AAA" / "HHZ.D"
    folder.mkdir(parents=True)
    day = folder / "XX.AAA.00.HHZ.D.2020.001"
    made_trace("HHZ", 0).write(str(day), format="MSEED", reclen=512)
    shutil.copy(day, folder / "XX.AAA.00.HHZ.D.0000.001")
    os.mkfifo(folder / "XX.AAA.00.HHZ.D.2020.002")
    code, out, err = build(made, f"sds:{tmp_path / 'sds'}", tmp_path / "out")
    assert code == 0, out + err
    assert "XX.AAA.00.HHZ.D.0000.001: skipped: the year of an SDS day file must be 0001 to 9999" in caplog.text
    assert len(table(tmp_path / "out")) == 4


def test_a_pick_that_cannot_be_of_the_event_is_ignored_and_counted(made: Path, tmp_path: Path) -> None:
    origin = obspy.UTCDateTime(START) + 120
    picks = tmp_path / "picks.csv"
    picks.write_text(
        "event_id,station,phase,time\n"
        f"e0,XX.AAA,P,{origin - 300}\n"
        f"e0,XX.AAA,S,{origin + 7200}\n"
        "e0,XX.AAA,P,\n"
        "e0,XX.AAA,P,soon\n"
        "e0,XX.AAA,,2020-01-01\n"
    )
    event = next(e for e in events_from(made / "catalogue.xml", picks) if e.id == "e0")
    early = "more than 60 s before the origin, or more than 3600 s after it"
    assert event.picks_ignored == (
        "P without a time", "P with the time 'soon', which is not ISO 8601", "no phase", f"P {early}", f"S {early}"
    )  # fmt: skip
    assert {p.phase for p in event.picks} == {"P", "S"}  # those of the catalogue
    code, _, err = build(made, made / "rec", tmp_path / "out", "--picks", picks)
    assert code == 0, err
    assert json.loads((tmp_path / "out" / "build.json").read_text())["built"]["picks_ignored"][f"P {early}"] == 1


def test_an_onset_before_the_origin_is_neither_trained_on_nor_unnoticed(tmp_path: Path) -> None:
    rows = make_rows(4, trace_start_time="2020-01-01T00:00:00Z")  # P at 20 s
    for row, origin, side in zip(
        rows, ("00:00:12", "00:01:30", "00:05:00", "00:01:10"), ("train", "train", "test", "test"), strict=True
    ):
        row |= {"source_origin_time": f"2020-01-01T{origin}Z", "split": side}
    data = write_set(tmp_path / "mine", rows, make_arrays(4))
    archive = load_archive([data], 40.0, 15.0)
    assert [r.name for r in archive.records] == ["t0", "t3"]
    assert archive.left_out == {EARLY: 2}
    finding = next(f for f in check(survey([data])).findings if f.code == "arrival time")
    assert (finding.count, finding.examples) == (2, ["t1", "t2"])


def test_words_for_true_and_false(tmp_path: Path) -> None:
    rows = make_rows(7)
    for row, word in zip(rows, ("True", "1", "", "False", "false", "0", "no"), strict=True):
        row["trace_visible"] = word
    archive = load_archive([write_set(tmp_path / "mine", rows, make_arrays(7))], 40.0, 15.0)
    assert [r.visible for r in archive.records] == [True, True, True, False, False, False, False]
    with pytest.raises(InputError, match=r"t9: column trace_visible must be true or false .* got 'maybe'"):
        flag({"trace_name": "t9", "trace_visible": "maybe"}, "trace_visible", True)


@pytest.mark.parametrize("option", ["--stations", "--picks"])
def test_a_fifo_is_not_waited_for(made: Path, tmp_path: Path, option: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    code, _, err = run(made / "catalogue.xml", made / "rec", option, tmp_path / "fifo", "-o", tmp_path / "out")
    assert code == 2
    assert "no such file" in err


@pytest.mark.parametrize(
    ("pattern", "replacement", "line"),
    [
        (r"<mag>\s*<value>1\.1</value>", "<mag><value>NaN</value>",
         "1 implausible values of source_magnitude are treated as missing: NaN (1)"),
        (r"<mag>\s*<value>1\.1</value>", "<mag><value>1e999</value>",
         "1 implausible values of source_magnitude are treated as missing: 1e999 (1)"),
        (r"<mag>\s*<value>1\.1</value>", "<mag><value>unknown</value>",
         "1 a value that cannot be read is missing: 'unknown'"),
        (r"<depth>\s*<value>5000\.0</value>", "<depth><value>-inf</value>",
         "1 implausible values of source_depth_km are treated as missing: -inf (1)"),
        (r"<longitude>\s*<value>7\.0</value>", "<longitude><value>nan</value>",
         "1 entries of the catalogue left out: no origin with time, latitude and longitude"),
        (r"</longitude>", "</longitude><quality><standardError>NaN</standardError></quality>",
         "1 a number that is not finite is missing: standardError"),
        (r"<time>\s*<value>2020-01-01T00:06:00.000000Z", "<time><value>yesterday",
         "1 entries of the catalogue left out: no origin with time, latitude and longitude"),
        (r"<type>earthquake</type>", "<type>quake-ish</type>",
         "1 entries of the catalogue left out: type 'quake-ish' is not a type of QuakeML"),
    ],
)  # fmt: skip
def test_a_value_that_obspy_refuses_does_not_end_a_build(
    made: Path, tmp_path: Path, pattern: str, replacement: str, line: str
) -> None:
    """obspy refuses a whole QuakeML file for one number that is not finite, and leaves out events of other types."""
    text, n = re.subn(pattern, replacement, (made / "catalogue.xml").read_text(), count=1)
    assert n == 1
    (tmp_path / "catalogue.xml").write_text(text)
    code, out, err = run(
        tmp_path / "catalogue.xml", made / "rec", "--stations", made / "stations.xml", "-o", tmp_path / "out",
        "--travel-times", 6, "--noise", 0,
    )  # fmt: skip
    assert code == 0, out + err
    assert any(printed.strip().startswith(line) for printed in out.splitlines()), out
    left = "left out" in line
    assert len(table(tmp_path / "out")) == 4 - left
    magnitudes = [r["source_magnitude"] for r in table(tmp_path / "out")]
    assert magnitudes.count("") == ("magnitude" in line or "unknown" in line)


def test_a_name_that_reads_as_a_number_is_kept(made: Path, tmp_path: Path) -> None:
    text = (made / "catalogue.xml").read_text()
    text = re.sub(r"<mag>\s*<value>1\.1</value>", "<mag><value>nan</value>", text, count=1)
    text = text.replace("<type>ML</type>", "<type>Inf</type>")
    (tmp_path / "catalogue.xml").write_text(text)
    assert [e.magnitude_type for e in events_from(tmp_path / "catalogue.xml")] == ["Inf", "", "Inf", "Inf"]
