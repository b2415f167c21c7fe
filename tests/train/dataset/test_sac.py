"""SAC files as recordings of `dataset build`: times, codes and samples against obspy, and headers that mislead."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import obspy
import pytest
from obspy.io.sac import SACTrace
from tests.train.dataset.test_build import START, made_catalogue, made_stationxml, made_trace, run, table

from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.errors import DataError
from seisedge.runtime.records.packet import SourceId
from seisedge.train.dataset import sac
from seisedge.train.dataset.recordings import Recordings
from seisedge.train.dataset.store import Store

CODES = ("HHZ", "HHN", "HHE")
NO_NETWORK = (
    "SAC: KNETWK is undefined, and --stations does not contain the station once; write the network code into the header"
)


def write_sac(trace: Any, path: Path, byteorder: str = "little", **header: Any) -> Path:
    made = SACTrace.from_obspy_trace(trace)
    for key, value in header.items():
        setattr(made, key, value)
    made.write(str(path), byteorder=byteorder)
    return path


def put(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """catalogue.xml, stations.xml, and the same recording as miniSEED in mseed/ and as SAC in sac/."""
    folder = tmp_path_factory.mktemp("made")
    for name in ("mseed", "sac"):
        (folder / name).mkdir()
    for k, code in enumerate(CODES):
        trace = made_trace(code, k)
        trace.write(str(folder / "mseed" / f"{code}.mseed"), format="MSEED", reclen=512)
        middle = trace.stats.starttime + 500
        for half, part in enumerate((trace.slice(endtime=middle - 0.005), trace.slice(starttime=middle - 0.004))):
            write_sac(part, folder / "sac" / f"{code}{half}.SAC", ("little", "big")[half])
    made_catalogue(folder / "catalogue.xml")
    made_stationxml(folder / "stations.xml")
    return folder


def build(made: Path, out: Path, *data: object, stations: bool = True) -> tuple[int, str, str]:
    known = ("--stations", made / "stations.xml") if stations else ()
    return run(made / "catalogue.xml", *data, *known, "-o", out, "--travel-times", 6, "--noise", 0)


def test_sac_gives_the_set_of_the_same_recording_in_miniseed(made: Path, tmp_path: Path) -> None:
    """Two files for each channel, one in each byte order."""
    for name in ("mseed", "sac"):
        code, out, err = build(made, tmp_path / name, made / name)
        assert code == 0, out + err
    assert table(tmp_path / "sac") == table(tmp_path / "mseed")
    with Store(tmp_path / "sac") as a, Store(tmp_path / "mseed") as b:
        assert len(a.rows) == 4
        for x, y in zip(a.rows, b.rows, strict=True):
            assert np.array_equal(a.samples(x), b.samples(y))


@pytest.mark.filterwarnings("ignore:Sample spacing:UserWarning")  # obspy's, on the rounding of DELTA
@pytest.mark.parametrize(
    ("rate_hz", "b_s"), [(100.0, 0.0), (40.0, -12.25), (125.0, 86399.99), (62.5, 0.003), (30.0, 0.0), (18.2, 7.5)]
)
def test_times_are_reference_time_plus_b(tmp_path: Path, rate_hz: float, b_s: float) -> None:
    trace = obspy.Trace(np.arange(4000, dtype=np.float32), {"network": "XX", "station": "A", "channel": "HHZ"})
    trace.stats.sampling_rate, trace.stats.starttime = rate_hz, obspy.UTCDateTime("2021-12-31T23:59:58.123")
    path = write_sac(trace, tmp_path / "x.sac", "big", b=b_s)
    with path.open("rb") as file:
        header = sac.read_header(file, ">", {})
    assert header.rate_hz == rate_hz  # DELTA has 24 bits: 1 / DELTA is 100.0000022 Hz for 0.01 s
    assert header.start_ns == ns_from_iso("2021-12-31T23:59:58.123Z") + round(b_s * 1000) * 1_000_000
    read = obspy.read(str(path))[0]
    assert abs(read.stats.starttime.ns - header.start_ns) < 4_000_000  # obspy uses B as stored: 86399.9921875
    cut = Recordings([str(path)]).cut(SourceId("XX", "A", "", "HHZ"), header.start_ns + 20_000_000_000, 10.0)
    assert cut is not None and cut.rate_hz == rate_hz
    first = round(20 * rate_hz)
    assert np.array_equal(cut.samples, np.arange(first, first + round(10 * rate_hz)))
    assert cut.valid.all()


def test_version_7_states_interval_and_begin_in_double_precision(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.sac"
    path.write_bytes((made / "sac" / "HHZ0.SAC").read_bytes())
    put(path, 4 * sac.NVHDR, struct.pack("<i", 7))
    footer = [0.0] * 22
    footer[0], footer[1], footer[18], footer[19] = 0.01000001, 2.0000001, 7.25, 45.5
    with path.open("ab") as file:
        file.write(struct.pack("<22d", *footer))
    with path.open("rb") as file:
        header = sac.read_header(file, "<", {})
    assert header.rate_hz == 1 / 0.01000001
    assert header.start_ns == ns_from_iso(START) + 2_000_000_100
    assert header.position == (45.5, 7.25)


@pytest.mark.parametrize(
    ("khole", "location"), [(b"00      ", "00"), (b"-12345  ", ""), (b"--      ", ""), (b"10\0\0\0\0\0\0", "10")]
)
def test_codes_are_padded_with_blanks_or_zero_bytes(made: Path, tmp_path: Path, khole: bytes, location: str) -> None:
    path = tmp_path / "x.sac"
    path.write_bytes((made / "sac" / "HHZ0.SAC").read_bytes())
    put(path, sac.KHOLE, khole)
    put(path, sac.KSTNM, b"AAA\0\0\0\0\0")
    assert Recordings([str(path)]).channels() == [SourceId("XX", "AAA", location, "HHZ")]


def at(position: int, value: bytes) -> Callable[[Path], None]:
    return lambda path: put(path, position, value)


def floating(position: int, value: float) -> Callable[[Path], None]:
    return at(4 * position, struct.pack("<f", value))


def whole(position: int, value: int) -> Callable[[Path], None]:
    return at(4 * position, struct.pack("<i", value))


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (at(sac.KSTNM, b"-12345  "), "SAC: KSTNM is undefined; write the station code into the header"),
        (at(sac.KNETWK, b"        "), NO_NETWORK),
        (at(sac.KNETWK, b"X/../   "), "SAC: KNETWK 'X/../' is not a code of letters, digits and '-'"),
        (at(sac.KCMPNM, b"-12345  "), "SAC: KCMPNM '' is not a channel code of three letters such as HHZ"),
        (at(sac.KCMPNM, b"vert    "), "SAC: KCMPNM 'vert' is not a channel code of three letters such as HHZ"),
        (whole(sac.NZYEAR, sac.UNDEFINED), "SAC: the reference time (NZYEAR to NZMSEC) is undefined"),
        (whole(sac.NZYEAR + 1, 400), "SAC: the reference time (NZYEAR to NZMSEC) is not a time"),
        (floating(sac.B, sac.UNDEFINED), "SAC: B, the time of the first sample, is undefined"),
        (floating(sac.B, float("nan")), "SAC: B, the time of the first sample, is undefined"),
        (floating(sac.DELTA, sac.UNDEFINED), "SAC: DELTA is undefined or not a sampling interval"),
        (floating(sac.DELTA, float("nan")), "SAC: DELTA is undefined or not a sampling interval"),
        (floating(sac.DELTA, 0.0), "SAC: DELTA is undefined or not a sampling interval"),
        (whole(sac.NPTS, 2**31 - 1), "SAC: the file is shorter than NPTS states"),
        (whole(sac.NPTS, -5), "SAC: the file is shorter than NPTS states"),
        (whole(sac.NVHDR, 7), "SAC: the file is shorter than NPTS states"),  # no footer
        (whole(sac.LEVEN, 0), "SAC: not an evenly sampled time series (IFTYPE must be ITIME, LEVEN true)"),
        (whole(sac.IFTYPE, 4), "SAC: not an evenly sampled time series (IFTYPE must be ITIME, LEVEN true)"),
        (whole(sac.NVHDR, 5), "neither miniSEED nor binary SAC"),
        (lambda path: path.write_bytes(path.read_bytes()[:600]), "neither miniSEED nor binary SAC"),
        (lambda path: path.write_bytes(b""), "neither miniSEED nor binary SAC"),
    ],
)
def test_a_bad_file_is_skipped_named_and_counted(
    made: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: Callable[[Path], None], reason: str
) -> None:
    bad = tmp_path / "bad.SAC"
    bad.write_bytes((made / "sac" / "HHZ0.SAC").read_bytes())
    harm(bad)
    recordings = Recordings([str(made / "sac"), str(bad)])
    assert recordings.skipped == {reason: ["bad.SAC"]}
    assert f"{bad}: skipped: {reason}" in caplog.text
    assert [c.channel for c in recordings.channels()] == sorted(CODES)
    with pytest.raises(DataError) as raised:
        Recordings([str(bad)])
    assert str(raised.value) == f"{bad}: contains no miniSEED record and no SAC file (1 × {reason})"


def test_the_summary_counts_what_was_skipped_and_not_used(made: Path, tmp_path: Path) -> None:
    (tmp_path / "rec").mkdir()
    for name in ("HHZ0", "HHZ1", "HHN0", "HHN1"):
        (tmp_path / "rec" / f"{name}.SAC").write_bytes((made / "sac" / f"{name}.SAC").read_bytes())
    put(tmp_path / "rec/HHN0.SAC", sac.KSTNM, b"-12345  ")
    put(tmp_path / "rec/HHN1.SAC", sac.KSTNM, b"-12345  ")
    for position, value in ((sac.SCALE, 6e8), (sac.PICKS[0], 12.0), (sac.PICKS[1], 14.0)):
        floating(position, value)(tmp_path / "rec/HHZ0.SAC")
    whole(sac.IDEP, 7)(tmp_path / "rec/HHZ0.SAC")
    code, out, err = build(made, tmp_path / "out", tmp_path / "rec")
    assert code == 0, out + err
    for line in (
        "2 files skipped: SAC: KSTNM is undefined; write the station code into the header; the first is HHN0.SAC",
        "1 SAC: SCALE is stated and not applied; samples are taken as counts",
        "1 SAC: IDEP states velocity; samples are taken as counts",
        "1 SAC: picks of the header (A, T0 to T9) are not used",
    ):
        assert line in [printed.strip() for printed in out.splitlines()], out
        assert line in (tmp_path / "out/README.md").read_text()
    kept = json.loads((tmp_path / "out/build.json").read_text())["built"]["files_skipped"]
    assert kept == {
        "SAC: KSTNM is undefined; write the station code into the header": {"count": 2, "first": "HHN0.SAC"}
    }
    assert {r["trace_gain_counts_per_m_s"] for r in table(tmp_path / "out")} == {"1e+09"}  # of StationXML, not SCALE


def test_the_position_of_the_header_is_used_where_no_file_states_one(made: Path, tmp_path: Path) -> None:
    (tmp_path / "rec").mkdir()
    write_sac(made_trace("HHZ", 0), tmp_path / "rec/z.SAC", stla=45.2, stlo=7.0)
    code, out, err = build(made, tmp_path / "out", tmp_path / "rec", stations=False)
    assert code == 0, out + err
    assert "1 SAC: XX.AAA: position of the header, 45.2, 7" in out
    assert {r["station_latitude_deg"] for r in table(tmp_path / "out")} == {"45.2"}
    code, out, err = build(made, tmp_path / "stated", tmp_path / "rec")
    assert "position of the header" not in out
    assert {r["station_latitude_deg"] for r in table(tmp_path / "stated")} == {"45.144"}


def test_a_missing_network_code_is_that_of_the_station_metadata(made: Path, tmp_path: Path) -> None:
    (tmp_path / "rec").mkdir()
    put(write_sac(made_trace("HHZ", 0), tmp_path / "rec/z.SAC"), sac.KNETWK, b"-12345  ")
    code, out, err = build(made, tmp_path / "out", tmp_path / "rec")
    assert code == 0, out + err
    assert "1 SAC: KNETWK is undefined; the network of XX.AAA in the station metadata is used" in out
    two = (made / "stations.xml").read_text()
    network = two[two.index("<Network") : two.index("</Network>") + len("</Network>")]
    (tmp_path / "two.xml").write_text(two.replace(network, network + network.replace('code="XX"', 'code="YY"')))
    code, _, err = run(
        made / "catalogue.xml", tmp_path / "rec", "--stations", tmp_path / "two.xml", "-o", tmp_path / "o"
    )
    assert code == 2 and NO_NETWORK in err
