"""Data sets built from the bundled recording and synthetic ones: samples, columns and error messages."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from seisedge.cli import main
from seisedge.runtime.clock import NS_PER_S, ns_from_iso
from seisedge.runtime.demo import CATALOGUE, RECORDING, STATIONS
from seisedge.train.archive.archive import load_archive
from seisedge.train.dataset import build as build_module
from seisedge.train.dataset.store import Store

obspy = pytest.importorskip("obspy", reason="obspy makes the recordings of these tests")

Rows = list[dict[str, str]]
START = "2020-01-01T00:00:00"


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["dataset", "build", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def table(folder: Path) -> Rows:
    with (folder / "metadata.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "swarm"
    code, text, _ = run(CATALOGUE, RECORDING, "--stations", STATIONS, "-o", out, "--before", 10, "--after", 45)
    assert code == 0, text
    assert "40 records of 20 events at 2 stations, 0 of them noise" in text  # a swarm leaves no quiet window
    assert "2 left out: less than 80% recorded" in text  # the last event
    return out


def test_samples_equal_those_read_by_obspy(bundled: Path) -> None:
    stream = obspy.read(str(RECORDING)).merge()
    with Store(bundled) as store:
        for row in store.rows[::7]:
            x = store.samples(row)
            assert x.dtype == np.dtype(np.int32)
            assert x.shape == (3, 5500)
            start = obspy.UTCDateTime(row["trace_start_time"])
            for code, y in zip(row["trace_component_order"], x, strict=True):
                trace = stream.select(station=row["station_code"], channel=f"EH{code}")[0]
                first = round((start - trace.stats.starttime) * 100)
                assert abs(trace.stats.starttime + first / 100 - start) < 0.0051
                assert np.array_equal(trace.data[first : first + 5500], y)


def test_columns_of_the_bundled_recording(bundled: Path) -> None:
    rows = table(bundled)
    row = next(r for r in rows if r["source_id"] == "ci38473831" and r["station_code"] == "B921")
    assert row["trace_component_order"] == "Z12"
    assert (row["source_magnitude"], row["source_type"], row["trace_category"]) == ("3.16", "earthquake", "earthquake")
    assert float(row["trace_gain_counts_per_m_s"]) == 7.81398e8
    assert float(row["path_ep_distance_km"]) == pytest.approx(7.57, abs=0.05)
    assert {r["trace_p_arrival_sample"] for r in rows} == {""}  # the catalogue has no picks
    assert {r["trace_onset_basis"] for r in rows} == {"energy near P computed (iasp91)", "P computed (iasp91)"}
    assert row["trace_visible"] == "True"
    shift = [float(r["trace_onset_sample"]) - float(r["trace_p_predicted_sample"]) for r in rows]
    assert np.median(np.abs(shift)) < 15  # samples
    assert {r["trace_onset_sample"] for r in rows} != {r["trace_p_predicted_sample"] for r in rows}
    start_ns = ns_from_iso(row["trace_start_time"])
    p_ns = start_ns + float(row["trace_p_predicted_sample"]) / 100 * NS_PER_S
    origin_ns = ns_from_iso("2019-07-07T08:38:27.410000Z")
    assert (p_ns - origin_ns) / NS_PER_S == pytest.approx(np.hypot(7.57, 0.0) / 5.8, abs=0.05)
    sides = {r["source_group"]: set[str]() for r in rows}
    for r in rows:
        sides[r["source_group"]].add(r["split"] + r["fold"])
    assert all(len(s) == 1 for s in sides.values())
    assert {r["split"] for r in rows} == {"train", "test"}
    notes = json.loads((bundled / "build.json").read_text())
    assert notes["travel_times"] == "iasp91"
    assert notes["built"]["records"] == 40


def test_it_passes_the_check_and_loads(bundled: Path) -> None:
    result = CliRunner().invoke(main, ["dataset", "check", str(bundled)])
    assert result.exit_code == 0, result.output
    assert "FAULT" not in result.output
    assert "licence (40)" in result.output
    archive = load_archive([bundled], 40.0, 15.0)
    assert len(archive.records) == 40
    assert archive.left_out == {}
    assert all(r.three and r.kind == "tectonic" and r.gain == 7.81398e8 for r in archive.records)
    assert {round(r.onset / 40) for r in archive.records} <= {8, 9, 10, 11}


def test_seisbench_reads_it(bundled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEISBENCH_CACHE_ROOT", str(tmp_path))  # the import writes to it
    data = pytest.importorskip("seisbench.data", reason="seisbench is not installed")
    dataset = data.WaveformDataset(bundled, component_order="Z12")
    assert len(dataset) == 40
    with Store(bundled) as store:
        assert np.array_equal(dataset.get_waveforms(3), store.samples(store.rows[3]))
    assert len(dataset.train()) + len(dataset.test()) == 40
    padded = data.WaveformDataset(bundled, component_order="ZNE").get_waveforms(3)
    assert (padded[1:] == 0).all()  # 1 and 2 are not north and east


def test_the_same_input_gives_the_same_bytes(bundled: Path, tmp_path: Path) -> None:
    run(CATALOGUE, RECORDING, "--stations", STATIONS, "-o", tmp_path / "again", "--before", 10, "--after", 45)
    for name in ("metadata.csv", "waveforms.hdf5", "build.json", "README.md"):
        assert (tmp_path / "again" / name).read_bytes() == (bundled / name).read_bytes(), name


# Synthetic recordings: 20 minutes of noise at two stations, an event every four minutes.

EVENTS_S = (120, 360, 600, 840)


def made_trace(code: str, seed: int, station: str = "AAA", rate: float = 100.0) -> Any:
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 100, round(1200 * rate))
    for at in EVENTS_S:
        first = round((at + 3) * rate)
        n = round(15 * rate)
        x[first : first + n] += 1000 * np.exp(-np.arange(n) / (4 * rate)) * rng.normal(0, 1, n)
    header = {"network": "XX", "station": station, "location": "00", "channel": code, "sampling_rate": rate}
    trace = obspy.Trace(np.round(x).astype(np.int32), header)
    trace.stats.starttime = obspy.UTCDateTime(START)
    return trace


def made_catalogue(path: Path, **more: Any) -> Path:
    """QuakeML: P picks at AAA for all but the last event, and an S pick for the first; one more P pick is rejected."""
    core = obspy.core.event
    t0 = obspy.UTCDateTime(START)
    events = []
    for i, at in enumerate(EVENTS_S):
        where = core.WaveformStreamID(network_code="XX" if i else None, station_code="AAA", channel_code="HHZ")
        picks = [core.Pick(time=t0 + at + 3.004, waveform_id=where, phase_hint="Pg", evaluation_mode="manual")]
        if i == 0:
            picks.append(core.Pick(time=t0 + at + 5, waveform_id=where, phase_hint="S", evaluation_mode="automatic"))
        if i == 2:
            picks.insert(0, core.Pick(time=t0 + at, waveform_id=where, phase_hint="P", evaluation_status="rejected"))
        if i == 3:
            picks = []
        events.append(
            core.Event(
                resource_id=core.ResourceIdentifier(f"smi:local/event/e{i}"),
                event_type=more.get("event_type", "quarry blast" if i % 2 else "earthquake"),
                origins=[core.Origin(time=t0 + at, latitude=45.0, longitude=7.0, depth=5000.0)],
                magnitudes=[core.Magnitude(mag=1.0 + i / 10, magnitude_type="ML")],
                picks=picks,
            )
        )
    core.Catalog(events).write(str(path), format="QUAKEML")
    return path


def made_stationxml(path: Path) -> Path:
    inv = obspy.core.inventory

    def channel(code: str, gain: float, start: str, end: str | None) -> Any:
        sensitivity = inv.InstrumentSensitivity(gain, 1.0, "M/S", "COUNTS")
        return inv.Channel(
            code, "00", 45.144, 7.0, 100.0, 0.0, start_date=obspy.UTCDateTime(start),
            end_date=end and obspy.UTCDateTime(end), response=inv.Response(instrument_sensitivity=sensitivity),
        )  # fmt: skip

    channels = [channel(c, 2e9, "2010-01-01", "2019-01-01") for c in ("HHZ", "HHN", "HHE")]
    channels += [channel(c, 1e9, "2019-01-01", None) for c in ("HHZ", "HHN", "HHE")]
    station = inv.Station("AAA", 45.144, 7.0, 100.0, channels=channels)
    inv.Inventory([inv.Network("XX", [station])]).write(str(path), format="STATIONXML")
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with catalogue.xml, stations.xml and recordings in rec/."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "rec").mkdir()
    stream = obspy.Stream([made_trace(f"HH{c}", i) for i, c in enumerate("ZNE")])
    stream += made_trace("HMZ", 7)
    stream.write(str(folder / "rec" / "aaa.mseed"), format="MSEED", reclen=512)
    made_trace("EHZ", 9, "BBB", 50.0).write(str(folder / "rec" / "bbb.mseed"), format="MSEED", reclen=512)
    (folder / "rec" / "notes.txt").write_text("no miniSEED here")
    made_catalogue(folder / "catalogue.xml")
    made_stationxml(folder / "stations.xml")
    return folder


def built(made: Path, out: Path, *more: object) -> Rows:
    code, text, err = run(
        made / "catalogue.xml", made / "rec", "--stations", made / "stations.xml", "-o", out,
        "--travel-times", 6, "--licence", "CC0", *more,
    )  # fmt: skip
    assert code == 0, text + err
    return table(out)


def test_picks_and_computed_arrivals_are_in_separate_columns(made: Path, tmp_path: Path) -> None:
    rows = built(made, tmp_path / "out")
    events = {r["source_id"]: r for r in rows if r["source_id"]}
    assert set(events) == {"e0", "e1", "e2", "e3"}  # at AAA; BBB has neither pick nor position
    assert [events[e]["trace_onset_basis"] for e in ("e0", "e1", "e2")] == ["P pick"] * 3
    for e in ("e0", "e1", "e2"):
        assert events[e]["trace_p_arrival_sample"] == "2000.40"  # 3.004 s after the origin, the grid at 10 ms
        assert events[e]["trace_p_status"] == "manual"
    assert (events["e0"]["trace_s_arrival_sample"], events["e0"]["trace_s_status"]) == ("2200.00", "automatic")
    assert events["e3"]["trace_onset_basis"] == "energy near P computed (straight rays, 6 km/s)"
    assert events["e3"]["trace_p_arrival_sample"] == ""
    onset_s = float(events["e3"]["trace_onset_sample"]) - float(events["e3"]["trace_p_predicted_sample"])
    travel_s = np.hypot(16.012, 5.0) / 6
    assert onset_s / 100 == pytest.approx(3.0 - travel_s, abs=0.1)
    assert [events[e]["source_type"] for e in sorted(events)] == ["earthquake", "quarry blast"] * 2
    assert (events["e1"]["source_magnitude"], events["e1"]["source_magnitude_type"]) == ("1.1", "ML")
    assert {r["trace_component_order"] for r in rows} == {"ZNE"}
    assert {r["trace_gain_counts_per_m_s"] for r in rows} == {"1e+09"}  # of the epoch that covers the data
    assert {r["station_latitude_deg"] for r in rows} == {"45.144"}
    assert {r["trace_licence"] for r in rows} == {"CC0"}


def test_noise_windows_are_between_the_events_and_quiet(made: Path, tmp_path: Path) -> None:
    rows = built(made, tmp_path / "out", "--noise", 2)
    noise = [r for r in rows if not r["source_id"]]
    assert 4 <= len(noise) <= 8
    busy = [(at - 5, at + 5 + 30) for at in EVENTS_S]
    for r in noise:
        start_s = (ns_from_iso(r["trace_start_time"]) - ns_from_iso(START)) / NS_PER_S
        assert all(start_s + 80 <= first + 5 or start_s >= last - 5 for first, last in busy), start_s
        assert (r["trace_category"], r["source_type"], r["source_magnitude"]) == ("noise", "", "")
        assert float(r["trace_noise_ratio"]) < 3
        assert r["trace_npts"] == "8000"  # equal to event windows: the length must not predict the label
    assert len({r["trace_start_time"] for r in noise}) == len(noise)
    archive = load_archive([tmp_path / "out"], 40.0, 15.0)
    assert sum(r.kind == "noise" for r in archive.records) == len(noise)
    assert "noise" not in {r["trace_category"] for r in built(made, tmp_path / "none", "--noise", 0)}


def test_metres_per_second_by_gain(made: Path, tmp_path: Path) -> None:
    built(made, tmp_path / "counts", "--noise", 0)
    rows = built(made, tmp_path / "mps", "--noise", 0, "--unit", "m/s")
    with Store(tmp_path / "counts") as counts, Store(tmp_path / "mps") as mps:
        for a, b in zip(counts.rows, mps.rows, strict=True):
            assert mps.samples(b).dtype == np.float32
            assert np.array_equal(mps.samples(b), (counts.samples(a) / 1e9).astype(np.float32))
    assert {(r["trace_unit"], r["trace_gain_counts_per_m_s"]) for r in rows} == {("m/s", "1")}
    assert load_archive([tmp_path / "mps"], 40.0, 15.0).records[0].gain == 1.0


@pytest.mark.parametrize(
    ("old", "new", "gain", "reason"),
    [
        ("", "", "1e+09", None),
        ("<Name>M/S</Name>", "<Name>MM/S</Name>", "1e+12", None),
        (
            "<Name>M/S</Name>",
            "<Name>NM/S</Name>",
            "",
            r"the channel has a sensitivity of 1e\+18 counts per m/s, which is",
        ),
        ("<Name>M/S</Name>", "<Name>Mm/s</Name>", "1000", None),
        ("<Name>M/S</Name>", "<Name>M/S**2</Name>", "", r"the channel has the input units M/S\*\*2 \(acceleration\)"),
        ("<Value>1000000000.0</Value>", "<Value>0</Value>", "", "the channel has an InstrumentSensitivity of 0"),
        ('code="HHZ"', 'code="EHZ"', "", "no StationXML or station file has a gain for the channel"),
        ('startDate="2019-01-01', 'startDate="2031-01-01', "", "StationXML has no epoch of the channel at the time"),
        ("one component", "", "", "the components have different gains, and the column holds only one"),
    ],
)
def test_records_without_a_gain_are_counted_with_the_reason(
    made: Path, tmp_path: Path, old: str, new: str, gain: str, reason: str | None
) -> None:
    text = (made / "stations.xml").read_text()
    if old == "one component":
        text = re.sub(r"<Value>1000000000\.0</Value>", "<Value>999999999.0</Value>", text, count=1)
    else:
        assert old in text
        text = text.replace(old, new)
    stations = tmp_path / "stations.xml"
    stations.write_text(text)
    code, out, err = run(
        made / "catalogue.xml", made / "rec", "--stations", stations, "-o", tmp_path / "out", "--travel-times", 6
    )
    assert code == 0, out + err
    rows = table(tmp_path / "out")
    assert {r["trace_gain_counts_per_m_s"] for r in rows} == {gain}
    counted = re.findall(r"^ +(\d+) without a gain: (.*)$", out, re.MULTILINE)
    kept = json.loads((tmp_path / "out" / "build.json").read_text())["built"]["without_gain"]
    assert kept == {why: int(n) for n, why in counted}
    if reason is None:
        assert not counted
    else:
        assert [int(n) for n, _ in counted] == [len(rows)]
        assert re.match(reason, counted[0][1])


def test_no_record_in_metres_per_second_without_a_gain(made: Path, tmp_path: Path) -> None:
    stations = tmp_path / "stations.xml"
    stations.write_text((made / "stations.xml").read_text().replace("<Name>M/S</Name>", "<Name>M</Name>"))
    code, out, err = run(
        made / "catalogue.xml", made / "rec", "--stations", stations, "-o", tmp_path / "out", "--travel-times", 6,
        "--unit", "m/s",
    )  # fmt: skip
    assert code == 2, out
    assert "× no gain for m/s: the channel has the input units M (displacement), and the models take" in err


def test_names_that_are_not_utf8(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system has no names that are not UTF-8")
    catalogue = shutil.copy(made / "catalogue.xml", folder / os.fsdecode(b"cat\xe9logue.xml"))
    recording = shutil.copy(made / "rec" / "aaa.mseed", folder / os.fsdecode(b"a\xe9.mseed"))
    stations = shutil.copy(made / "stations.xml", folder / os.fsdecode(b"s\xe9.xml"))
    out = folder / os.fsdecode(b"s\xe9t")
    code, text, err = run(catalogue, recording, "--stations", stations, "-o", out, "--travel-times", 6, "--json")
    assert code == 0, text + err
    assert json.loads(text)["folder"] == str(tmp_path / r"caf\xe9" / r"s\xe9t")
    assert json.loads((out / "build.json").read_text())["source"]["catalogue"] == r"cat\xe9logue.xml"
    assert {r.source for r in load_archive([out], 40.0, 15.0).records} == {r"s\xe9t"}
    for command in ("info", "check"):
        result = CliRunner().invoke(main, ["dataset", command, str(out), "--json"])
        assert result.exit_code in (0, 1) and isinstance(result.exception, SystemExit | None), result.exception
        assert json.loads(result.stdout)


def test_an_sds_archive_gives_the_same_set(made: Path, tmp_path: Path) -> None:
    for trace in obspy.read(str(made / "rec" / "*.mseed")):
        s = trace.stats
        folder = tmp_path / "sds" / "2020" / s.network / s.station / f"{s.channel}.D"
        folder.mkdir(parents=True)
        trace.write(str(folder / f"{trace.id}.D.2020.001"), format="MSEED", reclen=512)
    first = built(made, tmp_path / "files")
    code, text, err = run(
        made / "catalogue.xml", f"sds:{tmp_path / 'sds'}", "--stations", made / "stations.xml", "-o",
        tmp_path / "from-sds", "--travel-times", 6, "--licence", "CC0",
    )  # fmt: skip
    assert code == 0, text + err
    second = table(tmp_path / "from-sds")
    of_events = [[r for r in rows if r["source_id"]] for rows in (first, second)]
    assert of_events[0] == of_events[1]
    with Store(tmp_path / "files") as a, Store(tmp_path / "from-sds") as b:
        for x, y in zip(a.rows[:4], b.rows[:4], strict=True):
            assert np.array_equal(a.samples(x), b.samples(y))


def test_a_gap_is_zeros_named_and_masked(made: Path, tmp_path: Path) -> None:
    stream = obspy.read(str(made / "rec" / "aaa.mseed")).select(channel="HH?")
    t0 = obspy.UTCDateTime(START)
    (tmp_path / "rec").mkdir()
    for trace in stream:
        if trace.stats.channel == "HHN":
            parts = [trace.copy().trim(endtime=t0 + 130 - 0.01), trace.copy().trim(starttime=t0 + 131)]
        else:
            parts = [trace]
        for k, part in enumerate(parts):
            part.write(str(tmp_path / "rec" / f"{trace.stats.channel}{k}.mseed"), format="MSEED")
    code, _, err = run(
        made / "catalogue.xml", tmp_path / "rec", "--stations", made / "stations.xml", "-o", tmp_path / "out",
        "--travel-times", 6, "--noise", 0,
    )  # fmt: skip
    assert code == 0, err
    row = table(tmp_path / "out")[0]
    first = 2000 + 700  # P pick at 123.004 s: the window begins at 103.00 s
    assert row["trace_missing"] == f"N:{first}-{first + 100}"
    assert float(row["trace_completeness"]) == pytest.approx(1 - 100 / 24000, abs=1e-4)
    with Store(tmp_path / "out") as store:
        assert (store.samples(store.rows[0])[1, first : first + 100] == 0).all()
    archive = load_archive([tmp_path / "out"], 100.0, 15.0)
    lost = (~archive.valid[0, 1, : archive.records[0].n_samples]).sum()
    assert 100 <= lost <= 160  # and the resampler's reach


def test_a_gap_at_the_onset_leaves_the_event_out(made: Path, tmp_path: Path) -> None:
    trace = obspy.read(str(made / "rec" / "aaa.mseed")).select(channel="HHZ")[0]
    t0 = obspy.UTCDateTime(START)
    (tmp_path / "rec").mkdir()
    for k, part in enumerate([trace.copy().trim(endtime=t0 + 123), trace.copy().trim(starttime=t0 + 124)]):
        part.write(str(tmp_path / "rec" / f"{k}.mseed"), format="MSEED")
    code, out, _ = run(
        made / "catalogue.xml", tmp_path / "rec", "--stations", made / "stations.xml", "-o", tmp_path / "out",
        "--travel-times", 6, "--noise", 0,
    )  # fmt: skip
    assert code == 0
    assert "1 left out: a gap at the onset" in out
    assert {r["source_id"] for r in table(tmp_path / "out")} == {"e1", "e2", "e3"}


def test_an_accelerometer_is_recorded_as_such_and_integrated(made: Path, tmp_path: Path) -> None:
    """Beside a seismometer it is not used; alone its records are accelerations, with a gain in counts per m/s**2."""
    (tmp_path / "rec").mkdir()
    stream = obspy.Stream([made_trace(f"HN{c}", i) for i, c in enumerate("ZNE")])
    stream.write(str(tmp_path / "rec" / "aaa.mseed"), format="MSEED", reclen=512)
    xml = (made / "stations.xml").read_text().replace("HH", "HN").replace("M/S<", "CM/S**2<")
    (tmp_path / "stations.xml").write_text(xml)
    built_in = {}
    for unit in ("counts", "m/s"):
        out = built_in[unit] = tmp_path / f"out-{unit[0]}"
        code, _, err = run(
            made / "catalogue.xml", tmp_path / "rec", "--stations", tmp_path / "stations.xml", "-o", out,
            "--travel-times", 6, "--unit", unit,
        )  # fmt: skip
        assert code == 0, err
    rows = table(built_in["counts"])
    assert {(r["trace_channel"], r["trace_quantity"], r["trace_unit"]) for r in rows} == {
        ("HN", "acceleration", "counts")
    }
    assert {r["trace_gain_counts_per_m_s2"] for r in rows} == {"1e+11"}
    assert {r["trace_gain_counts_per_m_s"] for r in rows} == {""}
    assert {r["trace_unit"] for r in table(built_in["m/s"])} == {"m/s**2"}
    counts, scaled = (load_archive([folder], 40.0, 15.0) for folder in built_in.values())
    assert {r.gain for r in counts.records} == {1e11} and {r.gain for r in scaled.records} == {1.0}
    assert np.abs(counts.waveform / 1e11 - scaled.waveform).max() < 1e-4 * np.abs(scaled.waveform).max()
    longest_s = max(float(r["trace_npts"]) / float(r["trace_sampling_rate_hz"]) for r in rows)
    assert max(r.n_samples for r in counts.records) < (longest_s - 6.0) * 40.0  # without the run-in of the integration
    assert any("records of acceleration, integrated to velocity" in note for note in counts.notes)


def test_skipped_channels_are_reported(made: Path, tmp_path: Path) -> None:
    code, out, _ = run(
        made / "catalogue.xml", made / "rec", "--stations", made / "stations.xml", "-o", tmp_path / "out",
        "--travel-times", 6, "--json",
    )  # fmt: skip
    assert code == 0
    found = json.loads(out)
    assert found["left_out"]["XX.BBB has neither a pick nor a known position"] == 4
    assert list(found["channels_passed_over"]) == [
        "HMZ: instrument code M is a mass position, and the models take ground velocity: H, L or P, or N, whose "
        "acceleration is integrated"
    ]
    assert found["records"] == found["noise"] + 4


CSV = "origin_time,latitude,longitude,event_type\n2020-01-01T00:02:00,45,7,earthquake\n"


@pytest.mark.parametrize(
    ("catalogue", "more", "message"),
    [
        (None, [], "the catalogue does not exist; expected a QuakeML or CSV file"),
        (
            "time,lat\n1,2\n",
            [],
            "missing column longitude (or longitude_deg, lon, source_longitude_deg); the file has time, lat",
        ),
        ("time,lat,lon\n2020-01-01,45,7\n", [], "1 events have no type, the first is at-2020-01-01T00:00:00.000000Z"),
        (CSV.replace("2020", "yesterday"), [], "line 2: origin_time must be a time"),
        (CSV.replace("45", "95"), [], "no events that can be used: 1 × no origin with time, latitude and longitude"),
        (CSV.replace("45", "north"), [], "line 2: latitude must be a number; got 'north'"),
        (CSV.splitlines()[0] + "\n", [], "the catalogue has no events"),
        (
            "id,time,lat,lon,type\n7,2020-01-01,45,7,earthquake\n7,2021-01-01,45,7,earthquake\n",
            [],
            "occurs twice, with different origins; ids must",
        ),
        (CSV, [], "no window of an event could be cut: 1 × XX.AAA has neither a pick nor a known position"),
        (
            CSV.replace("2020", "2021"),
            ["--stations", "stations.xml"],
            "1 × nothing recorded; the recordings span 2020-01-01T00:00:00.000000Z to 2020-01-01T00:20:00.000000Z",
        ),
        (CSV, ["--stations", "nowhere"], "--stations nowhere: no such file or folder"),
        (CSV, ["--stations", "catalogue.csv"], "catalogue.csv: not XML"),
        (CSV, ["--travel-times", "iasp90"], "--travel-times iasp90: must be iasp91, ak135, prem or a P speed"),
        (CSV, ["--unit", "m/s"], "--unit m/s needs gains"),
        (CSV, ["--before", "0"], "--before 0: must be 1 to 3600"),
        (CSV, ["--picks", "picks.csv"], "picks.csv, line 2: event e7 is not in the catalogue"),
        (CSV, ["--channels", "BH?"], "not selected by --channels BH?"),
        (CSV, ["nothing.mseed"], "nothing.mseed: no such file or folder"),
        (CSV, ["sds:rec"], "sds:rec: contains no day file of an SDS archive"),
    ],
)
def test_bad_input(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, catalogue: str | None, more: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if catalogue is not None:
        Path("catalogue.csv").write_text(catalogue)
    Path("picks.csv").write_text("event_id,station,phase,time\ne7,XX.AAA,P,2020-01-01T00:02:03\n")
    Path("rec").symlink_to(made / "rec")
    Path("stations.xml").symlink_to(made / "stations.xml")
    data = [m for m in more if m.endswith(".mseed") or m.startswith("sds:")] or ["rec/aaa.mseed"]
    options = [m for m in more if m not in data]
    code, _, err = run("catalogue.csv", *data, "-o", "out", "--travel-times", "6", *options)
    assert code == 2, err
    assert message in err
    assert err.count("Error:") == 1
    assert "Traceback" not in err
    assert not Path("out").exists()
    assert list(Path().glob(".out*")) == []


def test_a_failed_build_leaves_no_files(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("disk failure")

    monkeypatch.setattr(build_module, "_assign_splits", fail)
    with pytest.raises(AssertionError):
        built(made, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_choices_are_stated_in_the_summary_and_the_readme(made: Path, tmp_path: Path) -> None:
    """Two equal sensors, a faint event, an event of unknown type and one that is not used for training."""
    stream = obspy.read(str(made / "rec" / "aaa.mseed")).select(channel="HH?")
    for trace in stream:
        trace.stats.location = "10"
    stream.write(str(tmp_path / "ten.mseed"), format="MSEED", reclen=512)
    text = (made / "catalogue.xml").read_text()
    text = text.replace("quarry blast</type>", "not reported</type>", 1).replace("<type>earthquake</type>", "", 1)
    (tmp_path / "catalogue.xml").write_text(text)
    arguments = (tmp_path / "catalogue.xml", made / "rec", tmp_path / "ten.mseed", "--stations", made / "stations.xml")
    code, _, err = run(*arguments, "-o", tmp_path / "out")
    assert code == 2
    assert "1 events have no type, the first is e0; give --untyped earthquake" in err
    code, _, err = run(*arguments, "-o", tmp_path / "out", "--untyped", "earthquak")
    assert code == 2
    assert "--untyped earthquak: must be skip or a source type; did you mean 'earthquake'?" in err
    code, text, err = run(*arguments, "-o", tmp_path / "out", "--untyped", "skip", "--magnitude-type", "Mw,ml")
    assert code == 0, err
    stated = [
        "1 records of type not reported",
        "1 type 'not reported': not used for training",
        "1 entries of the catalogue left out: no type (--untyped skip)",
        "6 XX.AAA: sensor 00.HH? is used, not 10.HH?",
    ]
    page = (tmp_path / "out" / "README.md").read_text()
    for line in stated:
        assert line in text
        assert line in page
    assert "of the first of the types Mw, ml that an event has" in page
    assert {row["source_magnitude_type"] for row in table(tmp_path / "out") if row["source_id"]} == {"ML"}


def test_noise_before_p(made: Path, tmp_path: Path) -> None:
    """P is 20 s after the start of a window: 18 s of noise, except in a window that begins in the coda of an event."""
    rows = [r for r in built(made, tmp_path / "out", "--noise-before-p") if r["source_id"]]
    ends = {r["source_id"]: r["trace_noise_end_sample"] for r in rows}
    assert [ends[e] for e in ("e0", "e1", "e2")] == ["1800"] * 3
    records = load_archive([tmp_path / "out"], 40.0, 15.0).records
    assert {round(r.noise_end / 40) for r in records if r.event == "e1"} <= {17, 18}
    rows = built(made, tmp_path / "long", "--noise-before-p", "--coda", "240")
    assert {r["trace_noise_end_sample"] for r in rows if r["source_id"] in ("e1", "e2", "e3")} == {""}
    assert {r["trace_noise_end_sample"] for r in rows if r["source_id"] == "e0"} == {"1800"}


def test_an_existing_folder_is_not_overwritten(made: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    code, _, err = run(made / "catalogue.xml", made / "rec", "-o", tmp_path / "out")
    assert code == 2
    assert "is not empty; give another folder with -o, or remove the folder" in err
