from pathlib import Path

import msgspec
import pytest

from seisedge.runtime.errors import InputError
from seisedge.runtime.event import Event
from seisedge.runtime.sinks._base import Refused
from seisedge.runtime.sinks.jsonl import EventsFile, JsonLinesFile


def _revisions(path: Path) -> list[int]:
    return [msgspec.json.decode(line, type=Event).revision for line in path.read_bytes().splitlines()]


def test_a_file_is_appended_to_and_has_each_line_once(tmp_path: Path, events: list[Event]) -> None:
    path = tmp_path / "events.jsonl"
    sink = JsonLinesFile(path)
    sink.write(events[0])
    sink.write(events[1])
    sink.close()
    sink = JsonLinesFile(path)
    for event in events:
        sink.write(event)
    sink.close()
    assert _revisions(path) == [0, 1, 2]


def test_another_content_for_a_revision_in_the_file_is_refused(tmp_path: Path, events: list[Event]) -> None:
    """Of another version, after the journal was lost: it was dropped without a word before."""
    path = tmp_path / "events.jsonl"
    sink = JsonLinesFile(path)
    sink.write(events[0])
    sink.close()
    sink = JsonLinesFile(path)
    sink.write(msgspec.structs.replace(events[0], emitted="2020-01-01T00:00:00.000000Z"))  # a repetition
    with pytest.raises(Refused, match=f"revision 0 of {events[0].id} is in .* with another content"):
        sink.write(msgspec.structs.replace(events[0], timing="questionable"))
    sink.close()
    assert _revisions(path) == [0]


def test_an_incomplete_line_is_removed(tmp_path: Path, events: list[Event]) -> None:
    path = tmp_path / "events.jsonl"
    whole = msgspec.json.encode(events[0]) + b"\n"
    for left in (whole + b'{"schema":"seisedge.ev', b'{"schema":', b"", b"x" * 200_000):
        path.write_bytes(left)
        sink = JsonLinesFile(path)
        sink.write(events[0])
        sink.close()
        assert path.read_bytes() == whole


def test_rotation(tmp_path: Path, revision) -> None:  # type: ignore[no-untyped-def]  # a fixture of conftest
    path = tmp_path / "events.jsonl"
    size = len(msgspec.json.encode(revision())) + 1
    sink = JsonLinesFile(path, max_mb=3.5 * size / 1e6, keep_files=2)
    for k in range(11):
        sink.write(revision(revision=k))
    sink.close()
    assert _revisions(path) == [9, 10]
    assert _revisions(tmp_path / "events.jsonl.1") == [6, 7, 8]
    assert _revisions(tmp_path / "events.jsonl.2") == [3, 4, 5]
    assert len(list(tmp_path.iterdir())) == 3
    sink = JsonLinesFile(path, max_mb=3.5 * size / 1e6, keep_files=2)
    sink.write(revision(revision=8))  # is in the rotated file
    sink.write(revision(revision=11))
    sink.close()
    assert _revisions(path) == [9, 10, 11]


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, events: list[Event]) -> None:
    path = tmp_path / "events.jsonl"
    sink = JsonLinesFile(path)
    sink.write(events[0])
    inner = sink._file

    class Full:
        """A disk with little space: it accepts a part of a line."""

        def write(self, data: bytes) -> int:
            if len(data) < 200:
                raise OSError(28, "No space left on device")
            return inner.write(data[:-150])

        def fileno(self) -> int:
            return inner.fileno()

        def truncate(self, size: int) -> int:
            return inner.truncate(size)

    sink._file = Full()  # type: ignore[assignment]
    with pytest.raises(OSError, match="No space left"):
        sink.write(events[1])
    assert _revisions(path) == [0]
    sink._file = inner
    sink.write(events[1])
    assert _revisions(path) == [0, 1]
    sink.close()


def test_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="events cannot be written to this file: Not a directory"):
        JsonLinesFile(tmp_path / "file" / "events.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_event_is_flushed_to_the_disk_when_write_returns(
    tmp_path: Path, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[bytes] = []
    path = tmp_path / "events.jsonl"
    monkeypatch.setattr("os.fdatasync", lambda _file: flushed.append(path.read_bytes()))
    sink = JsonLinesFile(path)
    for event in events:
        sink.write(event)
    assert [data.count(b"\n") for data in flushed] == [1, 2, 3]
    sink.close()


@pytest.mark.parametrize("kind", [JsonLinesFile, EventsFile])
def test_a_missing_folder_is_created_for_its_owner(
    kind: type[JsonLinesFile | EventsFile], tmp_path: Path, events: list[Event]
) -> None:
    """As `config check --connect` and docs/operation.md promise."""
    path = tmp_path / "var" / "events" / "events.jsonl"
    sink = kind(path)
    sink.write(events[0])
    sink.close()
    assert _revisions(path) == [0]
    assert [oct(folder.stat().st_mode & 0o777) for folder in (path.parent, path.parent.parent)] == ["0o700"] * 2
