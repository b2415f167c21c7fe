"""Files, folders and standard input."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.paths import RECORDING

from seisedge.runtime.errors import DataError, InputError
from seisedge.runtime.records.miniseed import BadRecord
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.sources import open_source
from seisedge.runtime.sources.miniseed import MAX_OPEN_FILES, MiniSeedSource

DATA = RECORDING.read_bytes()
RECORDS = [DATA[k : k + 512] for k in range(0, len(DATA), 512)]
RATE_0 = RECORDS[9][:32] + b"\0\0" + RECORDS[9][34:]
# Of a digitizer's log: channel LOG, rate 0, text.
LOG = RECORDS[3][:15] + b"LOG" + RECORDS[3][18:32] + bytes(4) + RECORDS[3][36:60] + bytes(1) + RECORDS[3][61:]


def packets(source: MiniSeedSource) -> list[Packet]:
    with source:
        return [packet for packet in source.packets() if packet is not None]


def last_ns(packet: Packet) -> int:
    return packet.starttime_ns + round((len(packet.samples) - 1) * 1e9 / packet.sampling_rate_hz)


def written(path: Path, records: list[bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(records))
    return path


def key(packet: Packet) -> tuple[str, int, bytes]:
    return str(packet.source_id), packet.starttime_ns, packet.samples.tobytes()


def test_the_recording_in_its_own_order() -> None:
    source = MiniSeedSource([RECORDING])
    found = packets(source)
    assert len(found) == source.counters.records == 2733
    assert source.counters.bytes == len(DATA)
    ends = [(last_ns(packet), packet.source_id) for packet in found]
    assert ends == sorted(ends)


def test_any_layout_gives_the_same_packets_in_the_same_order(tmp_path: Path) -> None:
    wanted = [key(packet) for packet in packets(MiniSeedSource([RECORDING]))]
    by_channel: dict[bytes, list[bytes]] = {}
    for record in RECORDS:
        by_channel.setdefault(record[8:20], []).append(record)
    plain = written(tmp_path / "plain.mseed", [r for channel in by_channel.values() for r in channel])
    assert [key(packet) for packet in packets(MiniSeedSource([plain]))] == wanted
    for name, records in by_channel.items():
        station, channel = name[:5].decode().strip(), name[7:10].decode()
        day = tmp_path / "sds/2019/PB" / station / f"{channel}.D" / f"PB.{station}..{channel}.D.2019.188"
        written(day, records[::-1])  # in reverse order of time
    assert [key(p) for p in packets(MiniSeedSource([tmp_path / "sds"]))] == wanted
    source = open_source(f"sds:{tmp_path / 'sds'}")
    assert source.url == f"sds:{tmp_path / 'sds'}"
    assert isinstance(source, MiniSeedSource) and [key(p) for p in packets(source)] == wanted


def test_more_files_than_are_kept_open(tmp_path: Path) -> None:
    n = MAX_OPEN_FILES + 40
    for number in range(n):
        written(tmp_path / f"{number:03d}", RECORDS[number : n * 8 : n])
    found = packets(MiniSeedSource([tmp_path]))
    assert [key(p) for p in found] == [key(p) for p in packets(MiniSeedSource([RECORDING]))[: n * 8]]


def test_several_files_are_merged(tmp_path: Path) -> None:
    one, two = written(tmp_path / "1", RECORDS[0:100:2]), written(tmp_path / "2", RECORDS[1:100:2])
    source = open_source([two, str(one)])
    assert isinstance(source, MiniSeedSource)
    assert [p.samples.tobytes() for p in packets(source)] == [
        p.samples.tobytes() for p in packets(MiniSeedSource([RECORDING]))[:100]
    ]


@pytest.mark.parametrize("form", ["file:{}", "file://{}", "{}"])
def test_file_urls(form: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.mseed", RECORDS[:5])
    source = open_source(form.format(path))
    assert isinstance(source, MiniSeedSource) and len(packets(source)) == 5


def test_standard_input_is_read_in_order_of_arrival(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(b"".join(RECORDS[:20][::-1]))

    monkeypatch.setattr(sys, "stdin", Stdin)
    found = packets(MiniSeedSource(["-"]))
    wanted = packets(MiniSeedSource([RECORDING]))[:20]
    assert [key(p) for p in found] == [key(p) for p in wanted[::-1]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "standard input is empty"),
        (b"not miniSEED at all, " * 10, "is not miniSEED: it starts with 'not miniSEED"),
        (RATE_0, "no usable record"),
    ],
)
def test_unusable_standard_input(data: bytes, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(data)

    monkeypatch.setattr(sys, "stdin", Stdin)
    with pytest.raises(DataError, match=message):
        packets(MiniSeedSource(["-"]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a.mseed: the file is empty"),
        (b"Dear reader, this is text.\n" * 50, "is not miniSEED: it starts with 'Dear reader, this is"),
        (b"\x89HDF\r\n\x1a\n" + bytes(4000), "is not miniSEED: it starts with 89 48 44 46"),
        (RECORDS[0][:300], "the only one is cut off"),
        (RATE_0 * 3, "no usable record: 3 left out: sampling rate 0 Hz"),
    ],
)
def test_unusable_files(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mseed"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        MiniSeedSource([RECORDING, path]).open()
    assert message in str(caught.value)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_missing_file() -> None:
    with pytest.raises(InputError, match=r"no/such\.mseed: no such file or folder"):
        MiniSeedSource(["no/such.mseed"]).open()


def test_folder_without_miniseed(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing here")
    with pytest.raises(DataError, match=r"no miniSEED in this folder \(1 files looked at\)"):
        MiniSeedSource([tmp_path]).open()


def test_a_folder_without_a_usable_record_says_why(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing here")
    written(tmp_path / "log.mseed", [LOG] * 2)
    why = r"no usable record in this folder \(2 files\); .*log\.mseed: no usable record: 2 left out: it holds text"
    with pytest.raises(DataError, match=why):
        MiniSeedSource([tmp_path]).open()


@pytest.mark.parametrize("text", [LOG, RECORDS[3][:60] + bytes(1) + RECORDS[3][61:]])  # of rate 0, and of 100 Hz
def test_text_among_good_records_is_counted_as_text(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: bytes
) -> None:
    source = MiniSeedSource([written(tmp_path / "a.mseed", [*RECORDS[:3], text, text, *RECORDS[4:6]])])
    quarantine: list[BadRecord] = []
    source.on_bad_record = quarantine.append
    assert len(packets(source)) == 5
    counters = source.counters
    assert (counters.records, counters.text_records, counters.bad_records) == (5, 2, 0)
    assert source.reasons == {"it holds text (a log), not samples": 2}
    assert not quarantine and not caplog.records


def test_skipped_files_in_a_folder_are_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written(tmp_path / "good.mseed", RECORDS[:3])
    for name in "abc":
        (tmp_path / f"{name}.txt").write_text("nothing here")
    with caplog.at_level(logging.INFO):
        assert len(packets(MiniSeedSource([tmp_path]))) == 3
    assert [r.message for r in caplog.records] == [
        f"{tmp_path}: 3 files without miniSEED passed over, the first {tmp_path / 'a.txt'}"
    ]


def test_standard_input_cannot_be_combined_with_files() -> None:
    with pytest.raises(InputError, match="standard input"):
        MiniSeedSource(["-", str(RECORDING)])


def test_damage_among_good_records_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    damaged = bytes(RECORDS[5][:300]) + bytes([RECORDS[5][300] ^ 0x55]) + RECORDS[5][301:]
    pieces = [*RECORDS[:5], damaged, b"\xff" * 700, RATE_0, *RECORDS[6:9], RECORDS[10][:200]]
    path = written(tmp_path / "a.mseed", pieces)
    source = MiniSeedSource([path])
    quarantine: list[BadRecord] = []
    source.on_bad_record = quarantine.append
    found = packets(source)
    wanted = packets(MiniSeedSource([written(tmp_path / "b", [*RECORDS[:5], *RECORDS[6:9]])]))
    assert [key(p) for p in found] == [key(p) for p in wanted]
    counters = source.counters
    assert (counters.records, counters.bad_records) == (8, 2)
    assert (counters.skipped_bytes, counters.truncated) == (700, 1)
    assert {bad.record for bad in quarantine} == {damaged, RATE_0}
    assert {r.levelno for r in caplog.records} == {logging.WARNING}
    assert any("700 bytes are not miniSEED" in r.message for r in caplog.records)
    assert any("truncated after 200 bytes" in r.message for r in caplog.records)


def test_a_file_that_is_truncated_while_it_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mseed", RECORDS[:10])
    source = MiniSeedSource([path])
    with source:
        source.open()
        path.write_bytes(b"".join(RECORDS[:4]) + RECORDS[4][:100])
        found = [packet for packet in source.packets() if packet is not None]
    assert len(found) == 4
    assert source.counters.bad_records == 6


def test_close_ends_the_packets() -> None:
    source = MiniSeedSource([RECORDING])
    with source:
        stream = source.packets()
        next(stream)
        source.close()
        assert list(stream) == []


def test_records_are_decoded_lazily() -> None:
    source = MiniSeedSource([RECORDING])
    with source:
        first = next(iter(source.packets()))
        assert first is not None
        np.testing.assert_array_equal(first.samples[:3], [251, 548, 396])
        assert source.counters.records == 1
