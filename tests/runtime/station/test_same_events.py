"""The same samples of the real recording give the same events, byte for byte, from every source."""

import json
import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from pymseed import DataEncoding, MS3Record
from tests.fakes import demo_configs

from seisedge.runtime.config import ChannelConfig, ModelsConfig, StationConfig
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.event import Event, Hop, content_of
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.replay._recording import Recording
from seisedge.runtime.replay.shake import ShakeSender
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sinks import Sink
from seisedge.runtime.sources import open_source
from seisedge.runtime.sources.miniseed import MiniSeedSource
from seisedge.runtime.sources.shake_udp import ShakeUdpSource

CONFIGS = demo_configs()
PART_RECORDS = 320  # the first three minutes of both stations
SHORT_RECORDS = 120  # a bit more than a minute, for speed 1


class _Kept(Sink):
    def __init__(self) -> None:
        self.lines: dict[str, list[bytes]] = {}

    def write(self, line: Event | Hop) -> None:
        self.lines.setdefault(line.station, []).append(content_of(line))


def _run(
    where: str | list[str | Path], mode: str | None = None, configs: dict[str, StationConfig] = CONFIGS
) -> dict[str, list[bytes]]:
    """Lines by station: stations are independent of each other, so the order is defined only within one."""
    kept = _Kept()
    with open_source(where, until_end=True, connect_timeout_s=10) as source:
        loop = Loop(Models.load(ModelsConfig()), [kept], configs, mode=mode)  # type: ignore[arg-type]
        loop.run(source)
    return kept.lines


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _cut(tmp_path_factory.mktemp("part"), PART_RECORDS)


def _cut(folder: Path, records: int) -> Path:
    path = folder / "part.mseed"
    path.write_bytes(RECORDING.read_bytes()[: 512 * records])
    return path


@pytest.fixture(scope="module")
def from_file(part: Path) -> dict[str, list[bytes]]:
    lines = _run([part])
    assert sum(map(len, lines.values())) > 5
    return lines


def _over_seedlink(
    part: Path, speed: float, record_length: int = 512, mode: str | None = None, protocol: int = 4
) -> dict[str, list[bytes]]:
    with Digitizer([part], speed=speed, record_length=record_length) as digitizer:
        return _run(f"{digitizer.url}/PB_B918,PB_B921?from=earliest&protocol={protocol}", mode)


@pytest.mark.parametrize(
    ("speed", "protocol"), [(0.0, 3), (0.0, 4), *(pytest.param(10.0, v, marks=pytest.mark.long) for v in (3, 4))]
)
def test_seedlink_at_any_speed(part: Path, from_file: dict[str, list[bytes]], speed: float, protocol: int) -> None:
    assert _over_seedlink(part, speed, protocol=protocol) == from_file


@pytest.mark.parametrize("record_length", [512, 65_536])
def test_the_classic_trigger(part: Path, from_file: dict[str, list[bytes]], record_length: int) -> None:
    configs = demo_configs("sta-lta")
    expected = _run([part], configs=configs)
    assert sum(map(len, expected.values())) > 5 and expected != from_file
    with Digitizer([part], speed=0.0, record_length=record_length) as digitizer:
        assert _run(f"{digitizer.url}/PB_B918,PB_B921?from=earliest", configs=configs) == expected


@pytest.mark.parametrize(
    ("speed", "record_length"), [(0.0, 512), (0.0, 65_536), pytest.param(10.0, 512, marks=pytest.mark.long)]
)
def test_datalink(part: Path, from_file: dict[str, list[bytes]], speed: float, record_length: int) -> None:
    with Digitizer([part], speed=speed, record_length=record_length) as digitizer:
        assert _run(f"{digitizer.url_for('datalink')}/PB_B918,PB_B921?from=earliest") == from_file


def test_shake_udp_at_its_millisecond_times(part: Path, tmp_path: Path) -> None:
    """The same samples from a file whose records begin at the milliseconds that the packets state."""
    data = part.read_bytes()
    records = [data[i : i + 512] for i in range(0, len(data), 512) if data[i + 8 : i + 12] == b"B918"]
    one, whole_ms = tmp_path / "one.mseed", tmp_path / "ms.mseed"
    one.write_bytes(b"".join(records))
    with whole_ms.open("wb") as file:
        for record in records:
            parsed = MS3Record.parse(record, unpack_data=True)
            parsed.starttime = (parsed.starttime + 500_000) // 1_000_000 * 1_000_000
            file.write(b"".join(parsed.generate()))
    source = ShakeUdpSource("shake-udp://127.0.0.1:0?station=PB_B918&location=--&listen=127.0.0.1")
    kept = _Kept()
    with source:
        sender = ShakeSender(one, ("127.0.0.1", source.port), speed=60)
        threading.Thread(target=sender.run, daemon=True).start()
        Loop(Models.load(ModelsConfig()), [kept], CONFIGS).run(source, idle_exit_s=2)
    assert source.counters.dropped == 0
    assert source.counters.records == sender.n_sent
    assert kept.lines == _run([whole_ms])
    assert len(kept.lines["PB.B918"]) > 3


@pytest.mark.long
def test_seedlink_at_speed_1(tmp_path: Path) -> None:
    part = _cut(tmp_path, SHORT_RECORDS)
    assert _over_seedlink(part, 1.0) == _run([part])


@pytest.mark.parametrize("record_length", [128, 4096, 65_536])
def test_other_record_lengths(part: Path, from_file: dict[str, list[bytes]], record_length: int) -> None:
    assert _over_seedlink(part, 0.0, record_length) == from_file


@pytest.mark.parametrize(
    ("version", "kind", "encoding"),
    [
        (2, "i", "STEIM1"), (2, "i", "INT32"), (2, "f", "FLOAT32"), (2, "d", "FLOAT64"),
        (3, "i", "STEIM1"), (3, "i", "STEIM2"), (3, "i", "INT32"), (3, "f", "FLOAT32"), (3, "d", "FLOAT64"),
    ],
)  # fmt: skip
def test_other_encodings(
    part: Path, tmp_path: Path, from_file: dict[str, list[bytes]], version: int, kind: str, encoding: str
) -> None:
    """The recording is Steim2 in miniSEED 2; its counts are exact in every one of these."""
    path = tmp_path / "other.mseed"
    records: list[bytes] = []
    for packet in MiniSeedSource([part]).packets():
        assert packet is not None
        s = packet.source_id
        record = MS3Record(reclen=4096)
        record.formatversion, record.encoding = version, DataEncoding[encoding]
        record.sourceid = f"FDSN:{s.network}_{s.station}_{s.location}_{'_'.join(s.channel)}"
        record.starttime, record.samprate = packet.starttime_ns, packet.sampling_rate_hz
        samples = packet.samples.astype({"i": np.int32, "f": np.float32, "d": np.float64}[kind])
        records += record.generate(data_samples=samples, sample_type=kind)
    path.write_bytes(b"".join(records))
    assert _run([path]) == from_file


def test_a_file_of_long_records(tmp_path: Path) -> None:
    """Eight minutes per record: the whole recording is two dozen packets."""
    path = tmp_path / "long.mseed"
    stations = Recording([RECORDING], 65_536).stations
    path.write_bytes(b"".join(entry.record for station in stations for entry in station.entries))
    assert _run([path]) == _run([RECORDING])


def test_one_file_a_station_and_a_folder_of_them(part: Path, tmp_path: Path, from_file: dict[str, list[bytes]]) -> None:
    data = part.read_bytes()
    records = [data[i : i + 512] for i in range(0, len(data), 512)]
    for code in (b"B918", b"B921"):
        name = tmp_path / f"{code.decode()}.mseed"
        name.write_bytes(b"".join(r for r in records if r[8:12] == code))
    assert _run([tmp_path]) == from_file
    assert _run(sorted(tmp_path.iterdir(), reverse=True)) == from_file


def test_a_station_file_for_one_of_them_changes_nothing_for_it(
    part: Path, from_file: dict[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(CONFIGS, "PB.B921")
    assert _run([part]) == {"PB.B918": from_file["PB.B918"]}


def test_continuous_mode(part: Path) -> None:
    assert _over_seedlink(part, 0.0, 512, "continuous") == _run([part], "continuous")


@pytest.fixture(scope="module")
def two_sensors(part: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One station: its seismometer without the records of half a minute, and its samples as an accelerometer's."""
    data = part.read_bytes()
    records = [data[i : i + 512] for i in range(0, len(data), 512) if data[i + 8 : i + 12] == b"B918"]
    path = tmp_path_factory.mktemp("two") / "two.mseed"
    lost = range(len(records) // 2, len(records) // 2 + 18)
    path.write_bytes(
        b"".join((b"" if k in lost else record) + record[:15] + b"HN" + record[17:] for k, record in enumerate(records))
    )
    return path


@pytest.mark.parametrize("record_length", [512, 4096])
def test_an_accelerometer_beside_a_seismometer(
    two_sensors: Path, record_length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels = CONFIGS["PB.B918"].channels
    with_second = channels | {f"HN{code[-1]}": ChannelConfig(sensitivity=3e10) for code in channels}
    monkeypatch.setitem(CONFIGS, "PB.B918", msgspec.structs.replace(CONFIGS["PB.B918"], channels=with_second))
    expected = _run([two_sensors])
    assert any(b'"sensor":"HN"' in line for line in expected["PB.B918"])
    with Digitizer([two_sensors], speed=0.0, record_length=record_length) as digitizer:
        assert _run(f"{digitizer.url}/PB_B918?from=earliest") == expected


@pytest.mark.long
def test_the_whole_recording() -> None:
    assert _over_seedlink(RECORDING, 0.0) == _run([RECORDING])


def test_events_come_in_order_of_revision(from_file: dict[str, list[bytes]]) -> None:
    def by_id(lines: Iterable[bytes]) -> dict[str, list[dict[str, object]]]:
        found: dict[str, list[dict[str, object]]] = {}
        for line in map(json.loads, lines):
            found.setdefault(line["id"], []).append(line)
        return found

    for lines in from_file.values():
        for revisions in by_id(lines).values():
            assert [r["revision"] for r in revisions] == list(range(len(revisions)))
            assert revisions[-1]["status"] in ("final", "retracted")
