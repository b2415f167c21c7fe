"""`seisedge run` on the command line: input, errors for invalid input, exit status."""

import json
import logging
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner, Result
from tests.fakes import described, stationxml

from seisedge.cli import main
from seisedge.runtime.card import CARD_KEY, SCHEMA
from seisedge.runtime.demo import RECORDING, STATIONS
from seisedge.runtime.inference.infer import bundled_model

RECORD = 512


def _seisedge(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def _part(path: Path, records: int = 240) -> Path:
    path.write_bytes(RECORDING.read_bytes()[: RECORD * records])
    return path


def _refused(result: Result, code: int, *words: str) -> None:
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit | type(None)), result.exception
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.output, result.output
    message = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert len(message) == 1, result.stderr


def test_a_file_with_station_files(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    result = _seisedge("run", *STATIONS.glob("*.toml"), _part(tmp_path / "part.mseed"), "--events", events)
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    assert {line["station"] for line in lines} == {"PB.B918", "PB.B921"}
    assert all(line["schema"] == "seisedge.event/1" for line in lines)
    assert not any(remark["code"] == "uncalibrated" for line in lines for remark in line["quality"])
    assert "min of data from 2 station(s), 240 packets" in result.output


def test_a_live_run_in_this_process_restores_the_log_level(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("seisedge.runtime")
    before = log.level
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    result = _seisedge("run", f"shake-udp://127.0.0.1:{port}?station=AM_R1234", "--idle-exit", "0.1")
    assert result.exit_code == 0, result.output
    assert any(record.levelno == logging.INFO for record in caplog.records)  # a live run shows its connections
    assert log.level == before


def test_a_station_file_of_another_station(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    path.write_text('[station]\nnetwork = "XX"\nstation = "OTHER"\n', encoding="utf-8")
    result = _seisedge("run", path, _part(tmp_path / "part.mseed"))
    assert result.exit_code == 2
    assert "no record is of a station that a station file names; the data are of PB.B918, PB.B921" in result.output


def test_standard_input_and_json() -> None:
    data = RECORDING.read_bytes()[: RECORD * 240]
    command = [sys.executable, "-m", "seisedge.cli", "run", "-", "--json"]
    done = subprocess.run(command, input=data, capture_output=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines and all(line["quality"][0]["code"] for line in lines)


def test_one_component(tmp_path: Path) -> None:
    data = RECORDING.read_bytes()
    vertical = [data[i : i + RECORD] for i in range(0, RECORD * 700, RECORD) if data[i + 15 : i + 18] == b"EHZ"]
    path = tmp_path / "z.mseed"
    path.write_bytes(b"".join(vertical))
    result = _seisedge("run", path)
    assert result.exit_code == 0, result.output
    assert "events" in result.output


def _renamed(path: Path, codes: dict[bytes, bytes], records: int = 240) -> Path:
    """The recording with other channel codes."""
    data = bytearray(RECORDING.read_bytes()[: RECORD * records])
    for i in range(0, len(data), RECORD):
        data[i + 15 : i + 18] = codes[bytes(data[i + 15 : i + 18])]
    path.write_bytes(data)
    return path


def test_accelerometers_alone_are_used(tmp_path: Path) -> None:
    """Three minutes of both stations, renamed: the counts are taken as accelerations."""
    path = _renamed(tmp_path / "n.mseed", {b"EHZ": b"HNZ", b"EH1": b"HNN", b"EH2": b"HNE"}, records=320)
    events = tmp_path / "events.jsonl"
    result = _seisedge("run", path, "--events", events)
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    assert {part["sensor"] for line in lines for part in line["sensors"]} == {"HN"}
    assert {line["magnitude"]["provisional"] for line in lines if "magnitude" in line} == {True}


def test_mass_positions_alone_are_refused(tmp_path: Path) -> None:
    path = _renamed(tmp_path / "m.mseed", {b"EHZ": b"HMZ", b"EH1": b"HMN", b"EH2": b"HME"})
    events = tmp_path / "events.jsonl"
    result = _seisedge("run", path, "--events", events)
    _refused(result, 2, "nothing that can be used: PB_B9", "HM", "instrument code M is a mass position")
    assert events.read_bytes() == b""


def test_stationxml_gives_the_gains(tmp_path: Path) -> None:
    """Both stations in one file: the same lines as with their station files."""
    part = _part(tmp_path / "part.mseed")
    channels = [described(f"EH{c}", sensitivity=7.81398e8) for c in "Z12"]
    text = stationxml(tmp_path / "b918.xml", "PB.B918", channels).read_text(encoding="utf-8")
    other = stationxml(tmp_path / "b921.xml", "PB.B921", channels).read_text(encoding="utf-8")
    inner = other[other.index("<Network") : other.index("</FDSNStationXML>")]
    both = tmp_path / "both.xml"
    both.write_text(text.replace("</FDSNStationXML>", inner + "</FDSNStationXML>"), encoding="utf-8")
    said = []
    for name, given in (("files", [*STATIONS.glob("*.toml")]), ("xml", ["--stationxml", both])):
        events = tmp_path / f"{name}.jsonl"
        result = _seisedge("run", part, *given, "--events", events)
        assert result.exit_code == 0, result.output
        lines = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
        for line in lines:
            for key in ("latency_ms", "cost", "emitted", "source"):
                del line[key]
        said.append(lines)
    assert len(said[0]) > 5 and said[0] == said[1]


@pytest.mark.parametrize(
    ("station_id", "channels", "words"),
    [
        ("PB.B000", [described("EHZ")], ["is not in it; it has PB.B000"]),
        ("PB.B918", [described("HHZ")], ["PB.B918 has no channel EH", "it has HHZ"]),
        ("PB.B918", [described(f"EH{c}", end="2015-01-01T00:00:00") for c in "Z12"], ["has no epoch", "2019-07-07T"]),
        ("PB.B918", [described(f"EH{c}", input_units="M/S**2") for c in "Z12"], ["its input units are M/S**2"]),
        ("PB.B918", [described(f"EH{c}", sensitivity=None) for c in "Z12"], ["has no InstrumentSensitivity"]),
    ],
)
def test_unusable_stationxml(tmp_path: Path, station_id: str, channels: list[str], words: list[str]) -> None:
    data = RECORDING.read_bytes()
    one = b"".join(data[i : i + RECORD] for i in range(0, RECORD * 240, RECORD) if data[i + 8 : i + 12] == b"B918")
    (tmp_path / "b918.mseed").write_bytes(one)
    path = stationxml(tmp_path / "meta.xml", station_id, channels)
    result = _seisedge("run", tmp_path / "b918.mseed", "--stationxml", path)
    _refused(result, 2, "B918", *words)


def test_a_station_that_is_not_in_the_stationxml_is_skipped(tmp_path: Path) -> None:
    """As `seisedge dataset build` does. A station with a station file is an error, see below."""
    part = _part(tmp_path / "part.mseed")
    path = stationxml(tmp_path / "meta.xml", "PB.B918", [described(f"EH{c}", sensitivity=7.81398e8) for c in "Z12"])
    result = _seisedge("run", part, "--stationxml", path, "--events", tmp_path / "events.jsonl")
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {line["station"] for line in lines} == {"PB.B918"}
    assert "packets of other stations, ignored" in result.output


def test_stationxml_is_checked_against_the_station_files_at_once(tmp_path: Path) -> None:
    path = stationxml(tmp_path / "meta.xml", "PB.B000", [described("EHZ")])
    station = next(STATIONS.glob("*.toml"))
    result = _seisedge("run", station, "--source", "seedlink://127.0.0.1:1/PB_B918", "--stationxml", path)
    _refused(result, 2, "meta.xml", "is not in it; it has PB.B000")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.mseed", None, ["missing.mseed"]),
        ("empty.mseed", b"", ["empty.mseed", "empty"]),
        ("text.mseed", b"Dear diary, today the ground shook.\n" * 40, ["text.mseed", "not miniSEED"]),
    ],
)
def test_files_without_data(tmp_path: Path, name: str, content: bytes | None, words: list[str]) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    _refused(_seisedge("run", path), 2, *words)


def test_truncated_and_damaged_files_lose_only_the_damaged_part(tmp_path: Path) -> None:
    data = RECORDING.read_bytes()[: RECORD * 240]
    truncated = tmp_path / "truncated.mseed"
    truncated.write_bytes(data[:-200])
    result = _seisedge("run", truncated)
    assert result.exit_code == 0, result.output
    assert "239 packets" in result.output and "truncated records: 1" in result.output
    damaged = tmp_path / "damaged.mseed"
    damaged.write_bytes(data[: RECORD * 100] + b"\xa5" * 700 + data[RECORD * 100 :])
    result = _seisedge("run", damaged)
    assert result.exit_code == 0, result.output
    assert "240 packets" in result.output and "bytes skipped between records: 700" in result.output


def test_a_record_of_rate_0_among_good_ones_is_skipped(tmp_path: Path) -> None:
    data = bytearray(RECORDING.read_bytes()[: RECORD * 240])
    struct.pack_into(">hh", data, RECORD * 50 + 32, 0, 0)  # factor and multiplier of the fixed header
    path = tmp_path / "rate0.mseed"
    path.write_bytes(data)
    result = _seisedge("run", path)
    assert result.exit_code == 0, result.output
    assert "239 packets" in result.output and "damaged records left out: 1" in result.output


def test_only_records_of_rate_0(tmp_path: Path) -> None:
    data = bytearray(RECORDING.read_bytes()[: RECORD * 3])
    for i in range(3):
        struct.pack_into(">hh", data, RECORD * i + 32, 0, 0)
    path = tmp_path / "rate0.mseed"
    path.write_bytes(data)
    _refused(_seisedge("run", path), 2, "rate0.mseed")


def _changed(
    records: int = 12,
    *,
    codes: bytes = b"",
    rate: tuple[int, int] | None = None,
    encoding: int | None = None,
    samples: int | None = None,
    activity: int = 0,
) -> bytes:
    """Records of the recording with other headers. codes: of band and instrument. rate: factor and multiplier."""
    data = bytearray(RECORDING.read_bytes()[: RECORD * records])
    for i in range(0, len(data), RECORD):
        data[i + 15 : i + 15 + len(codes)] = codes
        data[i + 36] |= activity
        if rate is not None:
            struct.pack_into(">hh", data, i + 32, *rate)
        if encoding is not None:
            data[i + 60] = encoding
        if samples is not None:
            struct.pack_into(">H", data, i + 30, samples)
    return bytes(data)


LOGS = _changed(codes=b"LO", rate=(0, 0), encoding=0)
TEXT = _changed(encoding=0)
SLOW = _changed(codes=b"LH", rate=(1, 1))
VERY_SLOW = _changed(codes=b"VH", rate=(-10, 1))
MASS_POSITIONS = _changed(codes=b"HM")
NO_SAMPLES = _changed(samples=0)
RATE_0 = _changed(rate=(0, 0))
CALIBRATION = _changed(activity=1)
NOTHING = [
    (LOGS, ["12 left out: it holds text (a log), not samples"]),
    (TEXT, ["12 left out: it holds text (a log), not samples"]),
    (SLOW, ["PB_B918__LHZ", "1 Hz is too slow for a trigger above 4 Hz"]),
    (VERY_SLOW, ["PB_B918__VHZ", "0.1 Hz is too slow for a trigger above 4 Hz"]),
    (MASS_POSITIONS, ["PB_B918__HMZ", "instrument code M is a mass position"]),
    (NO_SAMPLES, ["12 left out: no samples"]),
    (RATE_0, ["12 left out: sampling rate 0 Hz"]),
    (CALIBRATION, ["PB_B918__EHZ", "its records are flagged as calibration"]),
    (
        TEXT + SLOW + RATE_0 + MASS_POSITIONS + NO_SAMPLES,
        [
            "12 record(s) left out: it holds text (a log), not samples", "12 record(s) left out: no samples",
            "12 record(s) left out: sampling rate 0 Hz", "1 Hz is too slow", "M is a mass position",
        ],
    ),
]  # fmt: skip
KINDS = ["logs", "text", "1 Hz", "0.1 Hz", "mass positions", "no samples", "rate 0", "calibration", "several"]


@pytest.mark.parametrize(("data", "words"), NOTHING, ids=KINDS)
@pytest.mark.parametrize("mode", ["triggered", "continuous"])
def test_files_with_nothing_that_can_be_used(tmp_path: Path, data: bytes, words: list[str], mode: str) -> None:
    path = tmp_path / "a.mseed"
    path.write_bytes(data)
    result = _seisedge("run", path, "--mode", mode)
    _refused(result, 2, f"Error: {path}: no", *words)
    assert "min of data" not in result.output


@pytest.mark.parametrize(("data", "words"), NOTHING, ids=KINDS)
def test_standard_input_with_nothing_that_can_be_used(data: bytes, words: list[str]) -> None:
    result = CliRunner().invoke(main, ["run", "-", "--json"], input=data)
    _refused(result, 2, *words)
    assert result.stdout == ""


@pytest.mark.parametrize(("data", "words"), NOTHING, ids=KINDS)
def test_good_records_among_others_are_used(tmp_path: Path, data: bytes, words: list[str]) -> None:
    path = tmp_path / "a.mseed"
    path.write_bytes(data + RECORDING.read_bytes()[: RECORD * 24] + data)
    result = _seisedge("run", path)
    assert result.exit_code == 0, result.output
    assert "0.2 min of data from 2 station(s)" in result.output


def test_logs_are_text_and_not_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.mseed"
    path.write_bytes(LOGS + RECORDING.read_bytes()[: RECORD * 24] + RATE_0)
    result = _seisedge("run", path)
    assert "text records (logs) left out: 12" in result.output
    assert "damaged records left out: 12" in result.output  # those of rate 0


def test_a_station_that_no_station_file_names_among_other_reasons(tmp_path: Path) -> None:
    station, path = tmp_path / "station.toml", tmp_path / "a.mseed"
    station.write_text('[station]\nnetwork = "XX"\nstation = "OTHER"\n', encoding="utf-8")
    path.write_bytes(RECORDING.read_bytes()[: RECORD * 24] + LOGS)
    words = ["no record is of a station that a station file names; the data are of PB.B918, PB.B921"]
    _refused(_seisedge("run", station, path), 2, *words, "12 record(s) left out: it holds text (a log), not samples")


def test_data_below_the_band_of_the_models(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.mseed"
    path.write_bytes(_changed(240, codes=b"BH", rate=(20, 1)))
    words = "PB.B918: 20 Hz does not reach the onset detector's band up to 15 Hz; STA/LTA opens its events"
    for mode, more in (("continuous", ", and it has no hop lines"), ("triggered", "")):
        caplog.clear()
        assert _seisedge("run", path, "--mode", mode).exit_code == 0
        assert f"{words}{more}" in [record.getMessage() for record in caplog.records]


def test_an_onset_detector_that_no_station_uses_is_not_loaded(tmp_path: Path) -> None:
    station, part = tmp_path / "station.toml", _part(tmp_path / "part.mseed", 24)
    text = '[station]\nnetwork = "PB"\nstation = "B918"\n[models]\nonset = "missing.onnx"\n[trigger]\nkind = '
    station.write_text(f'{text}"sta-lta"\n', encoding="utf-8")
    assert _seisedge("run", station, part).exit_code == 0
    station.write_text(f'{text}"onset"\n', encoding="utf-8")
    _refused(_seisedge("run", station, part), 2, "missing.onnx: no such model file")


def test_a_single_record_is_used(tmp_path: Path) -> None:
    result = _seisedge("run", _part(tmp_path / "one.mseed", 1))
    assert result.exit_code == 0, result.output


def test_records_whose_samples_cannot_be_decoded(tmp_path: Path) -> None:
    """Their headers are good, so that the file is indexed."""
    data = bytearray(RECORDING.read_bytes()[: RECORD * 3])
    for i in range(0, len(data), RECORD):
        data[i + 200] ^= 0x55
    path = tmp_path / "a.mseed"
    path.write_bytes(data)
    _refused(
        _seisedge("run", path),
        2,
        "2 record(s) left out: the last decoded sample differs from the check value in the record",
    )


def test_a_refused_host(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    result = _seisedge("run", "--source", f"seedlink://127.0.0.1:{port}/XX_STA", "--connect-timeout", 0.5)
    _refused(result, 1, f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["run"], ["nothing to read", "--source"]),
        (["run", "--sauce", "x"], ["No such option", "--source"]),
        (["run", "--source", "seedlonk://h/XX_STA"], ["seedlonk", "did you mean 'seedlink'"]),
        (["run", "--source", "seedlink://h:99999/XX_STA"], ["99999"]),
        (["run", "--source", "seedlink://h/XX_STA?selct=EHZ"], ["selct", "did you mean 'select'"]),
        (["run", "--source", "seedlink://h/XX_STA?from=yesterday"], ["yesterday"]),
        (["run", "--mode", "sometimes", "x.mseed"], ["sometimes"]),
        (["run", "--idle-exit", "-1", "x.mseed"], ["--idle-exit"]),
        (["run", "x.mseed", "--source", "seedlink://h/XX_STA"], ["DATA or --source"]),
        (["run", "nowhere.toml", "x.mseed"], ["nowhere.toml: no such station file"]),
        (["rum"], ["no command 'rum'", "did you mean 'run'"]),
    ],
)
def test_invalid_usage(args: list[str], words: list[str]) -> None:
    result = _seisedge(*args)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.output, result.output


def test_an_unknown_key_of_the_station_file(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    path.write_text('[station]\nnetwork = "XX"\nstation = "STA"\nlocatoin = "00"\n', encoding="utf-8")
    _refused(_seisedge("run", path, RECORDING), 2, "station.locatoin: unknown key; did you mean 'location'?")


def test_unusable_model_files(tmp_path: Path) -> None:
    part = _part(tmp_path / "part.mseed")
    model = onnx.load(bundled_model("event_type"))
    card = model.metadata_props[0]
    assert card.key == CARD_KEY
    newer, bare = tmp_path / "newer.onnx", tmp_path / "bare.onnx"
    card.value = card.value.replace(f'"schema":{SCHEMA}', '"schema":7')
    onnx.save(model, newer)
    del model.metadata_props[:]
    onnx.save(model, bare)
    _refused(_seisedge("run", part, "--model", bare), 2, "bare.onnx: no card in the file")
    _refused(_seisedge("run", part, "--model", newer), 2, "newer.onnx: the card has schema 7")
    _refused(
        _seisedge("run", part, "--model", tmp_path / "no.onnx"),
        2,
        "no.onnx: no such model file and no bundled model; known: event-type, magnitude",
    )
    station = tmp_path / "station.toml"
    station.write_text(
        f'[station]\nnetwork = "PB"\nstation = "B918"\n[models]\nevent_type = "{bundled_model("magnitude")}"\n',
        encoding="utf-8",
    )
    _refused(
        _seisedge("run", station, part), 2, "a model for the task 'magnitude'; models.event_type needs 'event_type'"
    )


def test_station_files_with_different_models(tmp_path: Path) -> None:
    for code, models in (("B918", ""), ("B921", '[models]\nmagnitude = "none"\n')):
        text = f'[station]\nnetwork = "PB"\nstation = "{code}"\n{models}'
        (tmp_path / f"{code}.toml").write_text(text, encoding="utf-8")
    result = _seisedge("run", tmp_path / "B918.toml", tmp_path / "B921.toml", RECORDING)
    _refused(result, 2, "PB.B918 and PB.B921 have different models")


def test_signal_handlers_are_restored(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert _seisedge("run", _part(tmp_path / "part.mseed", 30)).exit_code == 0
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_an_events_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = _seisedge("run", RECORDING, "--events", tmp_path / "file" / "such" / "folder.jsonl")
    _refused(result, 2, "events cannot be written to this file")


def test_help_has_examples() -> None:
    result = _seisedge("run", "--help")
    assert result.exit_code == 0 and "Examples:" in result.output and "seisedge run" in result.output


@pytest.mark.parametrize("arguments", [["{}"], ["sds:{}"], ["a.mseed", "--model", "{}"], ["{}.toml"]])
def test_a_name_that_no_file_can_have(arguments: list[str]) -> None:
    result = _seisedge("run", *(word.format("a" * 300) for word in arguments))
    _refused(result, 2, "aaa")


@pytest.mark.parametrize("option", ["--state", "--events", "--stationxml", "--model"])
def test_an_empty_path_is_not_the_working_directory(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of `--state "$STATE"` where the variable is not set."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["run", str(RECORDING), option, ""])
    assert result.exit_code == 2 and f"'{option}': the path is empty" in result.output
    assert list(tmp_path.iterdir()) == []
