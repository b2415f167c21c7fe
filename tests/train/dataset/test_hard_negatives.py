"""Hard negatives of `seisedge dataset build`: windows at the onset of a trigger, far from catalogued events."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from seisedge.cli import main
from seisedge.runtime.clock import NS_PER_S, ns_from_iso
from seisedge.train.archive.archive import load_archive
from seisedge.train.dataset.quiet import pieces_of

obspy = pytest.importorskip("obspy", reason="obspy makes the recording of these tests")

START = "2020-01-01T00:00:00"
BURSTS_S = (120.0, 360.0, 420.0, 600.0)  # signals; only the first one is a catalogued event


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve minutes of one station, and a catalogue of one event."""
    folder = tmp_path_factory.mktemp("made")
    stream = obspy.Stream()
    for k, component in enumerate("ZNE"):
        rng = np.random.default_rng(k)
        x = rng.normal(0, 100, 72_000)
        for at in BURSTS_S:
            x[round(at * 100) :][:1500] += 2000 * np.exp(-np.arange(1500) / 400) * rng.normal(0, 1, 1500)
        header = {"network": "XX", "station": "AAA", "channel": f"HH{component}", "sampling_rate": 100.0}
        stream += obspy.Trace(np.round(x).astype(np.int32), header | {"starttime": obspy.UTCDateTime(START)})
    stream.write(str(folder / "aaa.mseed"), format="MSEED", reclen=512)
    (folder / "catalogue.csv").write_text(
        "origin_time,latitude,longitude,event_type,event_id\n2020-01-01T00:01:58Z,45.0,7.0,earthquake,e0\n"
    )
    (folder / "picks.csv").write_text("event_id,station,phase,time\ne0,XX.AAA,P,2020-01-01T00:02:00Z\n")
    return folder


def built(made: Path, out: Path, *more: object) -> tuple[list[dict[str, str]], str]:
    """Records at the onset of a trigger, and the summary."""
    arguments = [made / "catalogue.csv", made / "aaa.mseed", "--picks", made / "picks.csv", "-o", out, *more]
    result = CliRunner().invoke(main, ["dataset", "build", "--before", "20", "--after", "50", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    with (out / "metadata.csv").open() as file:
        return [r for r in csv.DictReader(file) if r["trace_onset_basis"] == "trigger"], result.output


def onsets_s(rows: list[dict[str, str]]) -> list[float]:
    starts = [(ns_from_iso(r["trace_start_time"]) - ns_from_iso(START)) / NS_PER_S for r in rows]
    return sorted(start + float(r["trace_onset_sample"]) / 100 for start, r in zip(starts, rows, strict=True))


def test_they_are_cut_where_a_trigger_opens_and_no_event_is_catalogued(made: Path, tmp_path: Path) -> None:
    rows, text = built(made, tmp_path / "out", "--hard-negatives", 10, "--noise", 0)
    # The one at 420 s is inside the window of the one at 360 s
    assert onsets_s(rows) == pytest.approx([360.0, 600.0], abs=0.8)
    assert "2 of the noise at the onset of a trigger" in text
    assert {r["trace_category"] for r in rows} == {"noise"}
    assert {r["trace_npts"] for r in rows} == {"7000"}
    records = [r for r in load_archive([tmp_path / "out"], 40.0, 15.0).records if r.kind == "noise"]
    assert [r.triggered_noise for r in records] == [True, True]


def test_their_number_is_limited_for_each_event_and_none_is_the_default(made: Path, tmp_path: Path) -> None:
    assert len(built(made, tmp_path / "one", "--hard-negatives", 1)[0]) == 1
    assert built(made, tmp_path / "none")[0] == []


def test_pieces_cover_the_spans_but_for_short_rests() -> None:
    second = NS_PER_S
    pieces = pieces_of([(0, 1500 * second), (2000 * second, 2050 * second)], 600, 80, "XX.AAA")
    assert sorted(pieces) == [
        (0, 600 * second), (600 * second, 1200 * second), (1200 * second, 1500 * second)
    ]  # fmt: skip
