"""A growing file."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.paths import RECORDING

from seisedge.runtime.errors import ConnectError, InputError
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.sources import follow, open_source
from seisedge.runtime.sources.follow import FollowSource
from seisedge.runtime.sources.miniseed import MiniSeedSource

DATA = RECORDING.read_bytes()
RECORDS = [DATA[k : k + 512] for k in range(0, 512 * 40, 512)]


class Growing:
    """A file, and the packets that a source has read from it."""

    def __init__(self, path: Path, **options: object) -> None:
        self.path = path
        source = open_source(f"file:{path}?follow=true", **options)  # type: ignore[arg-type]  # as given
        assert isinstance(source, FollowSource)
        self.source = source
        self._stream = source.packets()

    def append(self, *pieces: bytes) -> None:
        with self.path.open("ab") as file:
            for piece in pieces:
                file.write(piece)

    def new(self) -> list[Packet]:
        """Packets until the source has read everything."""
        found = []
        while (packet := next(self._stream)) is not None:
            found.append(packet)
        return found


@pytest.fixture
def growing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Growing]:
    monkeypatch.setattr(follow, "TICK_S", 0.0)
    monkeypatch.setattr(follow, "POLL_S", 0.001)
    (tmp_path / "live.mseed").write_bytes(RECORDS[0])
    one = Growing(tmp_path / "live.mseed")
    yield one
    one.source.close()


def starts(packets: list[Packet]) -> list[tuple[str, int]]:
    return [(str(p.source_id), p.starttime_ns) for p in packets]


def wanted(tmp_path: Path, first: int, last: int) -> list[tuple[str, int]]:
    path = tmp_path / "wanted.mseed"
    found = []
    for record in RECORDS[first:last]:  # one at a time: a file source would sort them
        path.write_bytes(record)
        with MiniSeedSource([path]) as source:
            found += starts([p for p in source.packets() if p is not None])
    return found


def test_existing_and_appended_records_are_read(growing: Growing, tmp_path: Path) -> None:
    assert starts(growing.new()) == wanted(tmp_path, 0, 1)
    assert growing.new() == []
    growing.append(*RECORDS[1:4])
    assert starts(growing.new()) == wanted(tmp_path, 1, 4)


@pytest.mark.parametrize("cut", [1, 30, 47, 64, 511])
def test_an_incomplete_record_is_read_once_complete(cut: int, growing: Growing, tmp_path: Path) -> None:
    growing.new()
    growing.append(RECORDS[1], RECORDS[2][:cut])
    assert starts(growing.new()) == wanted(tmp_path, 1, 2)
    growing.append(RECORDS[2][cut:])
    assert starts(growing.new()) == wanted(tmp_path, 2, 3)
    assert growing.source.counters.skipped_bytes == growing.source.counters.truncated == 0


def test_a_replaced_file_is_read_to_its_end_first(growing: Growing, tmp_path: Path) -> None:
    growing.new()
    old = growing.path.open("ab")
    growing.path.rename(tmp_path / "live.mseed.1")
    assert growing.new() == []  # moved away, and the new file does not exist yet
    old.write(RECORDS[1] + RECORDS[2][:100])
    old.close()
    growing.path.write_bytes(RECORDS[3])
    assert starts(growing.new()) == wanted(tmp_path, 1, 2) + wanted(tmp_path, 3, 4)
    assert growing.source.counters.truncated == 1


def test_a_truncated_file_is_read_from_its_start(
    growing: Growing, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    growing.append(*RECORDS[1:6])
    assert len(growing.new()) == 6
    growing.path.write_bytes(RECORDS[6])
    assert starts(growing.new()) == wanted(tmp_path, 6, 7)
    assert "truncated from 3072 to 512 bytes" in caplog.text


def test_damage_is_set_aside_and_the_next_record_is_read(growing: Growing, tmp_path: Path) -> None:
    growing.new()
    growing.append(b"\xa5" * 700, RECORDS[1], RECORDS[2][:32] + b"\0\0" + RECORDS[2][34:], RECORDS[3])
    assert starts(growing.new()) == wanted(tmp_path, 1, 2) + wanted(tmp_path, 3, 4)
    assert growing.source.counters.bad_records == 1


def test_it_resumes_after_a_token(growing: Growing, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    growing.append(*RECORDS[1:])
    first = growing.new()
    tokens = {p.source_id.station_id: p.token for p in first[:20]}
    assert first[19].token == f"at:{20 * 512}@{growing.path.stat().st_ino}"
    again = Growing(growing.path, resume=tokens)
    assert [p.token for p in again.new()] == [p.token for p in first[20:]]
    again.source.close()
    begin = next(k for k, p in enumerate(first) if p.source_id.station_id == "PB.B918")
    again = Growing(growing.path, resume=tokens | {"PB.B918": first[begin].token})
    wanted_again = [p.token for p in first if p.source_id.station_id == "PB.B918"][1:]
    assert [p.token for p in again.new() if p.source_id.station_id == "PB.B918"] == wanted_again
    assert again.source.counters.duplicates == sum(p.source_id.station_id == "PB.B921" for p in first[begin:20])
    again.source.close()
    for token in ("at:512@1", f"at:999999@{growing.path.stat().st_ino}", "0000AA"):
        other = Growing(growing.path, resume={"PB.B918": token})
        assert len(other.new()) == 40
        other.source.close()
    assert caplog.text.count("this is not the file that was read before") == 2


def test_a_missing_file_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(follow, "TICK_S", 0.0)
    late = Growing(tmp_path / "late.mseed")
    assert late.new() == []
    assert late.new() == []
    assert caplog.text.count("late.mseed does not exist; waiting for it") == 1
    late.append(RECORDS[0])
    assert len(late.new()) == 1
    late.source.close()
    never = Growing(tmp_path / "never.mseed", connect_timeout_s=0.05)
    with pytest.raises(ConnectError, match=r"never\.mseed does not exist after 0\.05 s"):
        while True:
            never.new()


def test_silence_is_logged(growing: Growing, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    growing.source.options = growing.source.options.__class__(data_timeout_s=0.0)
    with caplog.at_level(logging.INFO):
        growing.new()
        growing.new()
        growing.append(RECORDS[1])
        growing.new()
    assert caplog.text.count("nothing appended for") == 1 + caplog.text.count("growing again")


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("file:{}?follow=true", {}, "is a folder; follow=true needs a file"),
        ("file:{}/x?follow=true", {"until_end": True}, "--until-end and follow=true exclude each other"),
        ("file:{}/x?follow=perhaps", {}, "follow=perhaps' is invalid"),
        ("file:{}/x?folow=true", {}, "folow=true' is invalid"),
    ],
)
def test_invalid_follow_urls(url: str, options: dict[str, bool], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        open_source(url.format(tmp_path), **options)  # type: ignore[arg-type]  # as given
