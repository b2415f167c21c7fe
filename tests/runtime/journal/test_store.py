"""State folders that cannot be used, damaged files, and disks that fail and are repaired."""

import errno
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from tests.fakes import ListSource, fake_models
from tests.runtime.journal.conftest import Connections
from tests.runtime.journal.runs import PLAIN, STORY, Clock, Kept, event, run, state_of, waiting, with_tokens
from tests.waiting import wait_until

from seisedge.runtime.errors import InputError
from seisedge.runtime.event import Event
from seisedge.runtime.journal.journal import Journal
from seisedge.runtime.journal.schema import FILE_NAME, SCHEMA_VERSION
from seisedge.runtime.journal.store import StoreState
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sinks._drain import Drain


def _levels(caplog: pytest.LogCaptureFixture, text: str) -> list[str]:
    return [record.levelname for record in caplog.records if text in record.message]


@pytest.mark.parametrize("damage", ["garbage", "torn page", "cut off", "definition", "index"])
def test_a_damaged_journal_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, connections: Connections, damage: str
) -> None:
    journal = Journal(tmp_path, "list:")
    journal.outbox.subscribe("a sink that takes nothing", lambda: None)
    run(journal)
    journal.close()
    path = tmp_path / FILE_NAME
    data = path.read_bytes()
    assert len(data) > 5 * 4096
    path.write_bytes(
        {
            "garbage": b"not a database, and longer than a header would be " * 100,
            "torn page": data[: 2 * 4096] + b"\xa5" * (3 * 4096) + data[5 * 4096 :],
            "cut off": data[: len(data) // 2],
            "definition": data.replace(b"CREATE TABLE hops", b"CREATE TAB\x8d\xff hops"),
            # the index of `stations` refers to a row that does not exist, which `PRAGMA quick_check` does not find
            "index": re.sub(rb"(?s)(\x04\x17\x19\x01list:XX\.STA).", rb"\g<1>c", data),
        }[damage]
    )
    damaged = path.read_bytes()
    assert damaged != data
    journal = Journal(tmp_path, "list:")
    assert "the journal is damaged" in caplog.text
    assert state_of(journal) is StoreState.STORING and journal.durable and journal.resume == {}
    for closed in connections[:2]:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            closed.execute("SELECT 1")
    run(journal)
    (kept,) = tmp_path.glob("*.damaged")
    assert kept.read_bytes() == damaged
    journal.close()
    assert Journal(tmp_path, "list:").resume != {}


def test_a_damaged_journal_on_a_read_only_disk(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"no database" * 1000)
    replace = Path.replace

    def read_only(path: Path, target: Path) -> Path:
        if target.name.endswith(".damaged"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return replace(path, target)

    clock = Clock()
    with monkeypatch.context() as disk:
        disk.setattr(Path, "replace", read_only)
        journal = Journal(tmp_path, "list:", now_s=clock)
        journal.outbox.subscribe("sink", lambda: None)
        journal.add(event(0))
        journal.step()
    assert state_of(journal) is StoreState.UNAVAILABLE and "cannot be renamed: Read-only file system" in caplog.text
    assert waiting(journal.outbox) == [("XX.STA-1", 0)]
    clock.now_s += 10
    journal.step()
    assert state_of(journal) is StoreState.STORING and len(list(tmp_path.glob("*.damaged"))) == 1
    journal.close()


def test_damage_during_the_run_is_set_aside(
    tmp_path: Path, connections: Connections, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    clock = Clock()
    journal = Journal(tmp_path, "list:", now_s=clock)
    journal.outbox.subscribe("sink", lambda: None)
    journal.add(event(0))
    journal.step()
    # a constraint that no seisedge has made stands for a page that no seisedge has written
    connections[0].execute("CREATE UNIQUE INDEX torn ON outbox (station)")
    journal.add(event(1))
    journal.step()
    assert state_of(journal) is StoreState.FAILING and journal.durable
    assert len(list(tmp_path.glob("*.damaged"))) == 1
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connections[0].execute("SELECT 1")
    assert waiting(journal.outbox) == [("XX.STA-1", 1)]  # the sink receives it without waiting for the disk
    clock.now_s += 9.9
    journal.step()
    assert state_of(journal) is StoreState.FAILING
    clock.now_s += 0.1
    journal.step()
    assert state_of(journal) is StoreState.STORING
    assert _levels(caplog, "the journal cannot be written") == ["WARNING"]
    assert _levels(caplog, "can be written again") == ["INFO"]
    journal.close()
    journal = Journal(tmp_path, "list:")
    assert journal.outbox.subscribe("sink", lambda: None) == 0  # the place is in the new file, too
    assert [line.seq for line in journal.outbox.lines_after(0)] == [2]


def test_damage_that_only_a_sink_has_read(tmp_path: Path, connections: Connections) -> None:
    """The transactions of the loop do not read the damaged page."""
    journal = Journal(tmp_path, "list:", now_s=Clock())
    journal.outbox.subscribe("sink", lambda: None)
    for revision in range(20):
        journal.add(msgspec.structs.replace(event(revision), overlaps=["x" * 2000]))
    journal.step()
    (link,) = connections
    link.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path = tmp_path / FILE_NAME
    at = path.read_bytes().index(b'"revision":7')
    with path.open("r+b") as file:
        file.seek(at // 4096 * 4096)
        file.write(b"\xa5" * 4096)
    link.execute("PRAGMA shrink_memory")
    assert len(journal.outbox.lines_after(0)) == 0 and journal.failing
    journal.add(event(20))
    journal.step()
    assert len(list(tmp_path.glob("*.damaged"))) == 1 and state_of(journal) is StoreState.FAILING
    assert waiting(journal.outbox) == [("XX.STA-1", 20)]
    assert journal.counters.dropped_lines == 20 and journal.outbox.undelivered("sink") == 1


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InputError, match="cannot be the state folder: it is a file"):
        Journal(file, "list:")
    with pytest.raises(InputError, match="cannot be the state folder: Not a directory"):
        Journal(file / "below", "list:")
    journal = Journal(tmp_path / "one", "list:")
    with pytest.raises(InputError, match="in use by another run"):
        Journal(tmp_path / "one", "list:")
    journal.close()
    with closing(sqlite3.connect(tmp_path / "one" / FILE_NAME)) as link, link:
        link.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    for _ in range(2):  # the first refusal has unlocked the folder
        with pytest.raises(InputError, match="made by a newer seisedge"):
            Journal(tmp_path / "one", "list:")
    with closing(sqlite3.connect(tmp_path / "one" / FILE_NAME)) as link, link:
        link.execute("PRAGMA application_id = 1")
    with pytest.raises(InputError, match="not a journal of seisedge"):
        Journal(tmp_path / "one", "list:")


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.ENODEV, errno.ENXIO])
def test_a_disk_fault_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """An unattended station emits events even if it cannot store them."""

    def mkdir(path: Path, *_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    journal = Journal(tmp_path / "state", "list:")
    assert "the run continues without a journal" in caplog.text and "retry every 10 s" in caplog.text
    assert state_of(journal) is StoreState.UNAVAILABLE and not journal.durable and journal.failing
    kept = Kept()
    drain = Drain(kept, "kept", journal.outbox)
    drain.start()
    run(journal)
    assert drain.close(5) == 0
    # the run was stopped, but closes its events all the same: no later run could resume them
    assert [line.revision for line in kept.lines if isinstance(line, Event)] == [0, 1, 2] * 2


def test_a_disk_that_is_repaired_during_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """From then on the run is stored, and lines left by an earlier run reach the sinks."""
    caplog.set_level("INFO", "seisedge.runtime.journal")
    journal = Journal(tmp_path, "list:")
    for name in ("kept", "another"):
        journal.outbox.subscribe(name, lambda: None)
    run(journal, 0, 60)
    assert waiting(journal.outbox) == STORY[:2]
    journal.outbox.delivered("kept", 1)
    journal.outbox.delivered("another", 2)
    journal.flush()
    journal.close()
    path, away = tmp_path / FILE_NAME, tmp_path / "away"
    path.rename(away)
    path.mkdir()  # nobody, not even root, can open a database there
    clock = Clock()
    journal = Journal(tmp_path, "list:", now_s=clock)
    assert not journal.durable and journal.resume == {}
    kept = Kept()
    drain = Drain(kept, "kept", journal.outbox)
    drain.start()
    packets = with_tokens()
    loop = Loop(fake_models(), [], {}, default=PLAIN, journal=journal)

    class Clocked(ListSource):
        def packets(self) -> Iterator[Packet | None]:
            for k, item in enumerate(packets):
                clock.now_s = float(k)
                if k == 75:
                    assert not journal.durable and [r.levelname for r in caplog.records] == ["WARNING"]
                    path.rmdir()
                    away.rename(path)
                if k == 90:
                    assert journal.durable and not journal.failing
                if k == 120:
                    loop.stop()
                yield item

    loop.run(Clocked([], live=True))
    assert "the journal can be written again" in caplog.text
    assert drain.close(5) == 0
    received = [(line.id[-10:], line.revision) for line in kept.lines if isinstance(line, Event)]
    assert sorted(received) == sorted([*STORY[:5], STORY[1]])  # the line that it lacked of the first run, too
    assert journal.counters.repeated_lines == 0
    journal.flush()
    journal.close()
    journal = Journal(tmp_path, "list:")
    token = int(journal.resume["XX.STA"], 16)
    assert 60 < token < 120  # of this run, not of the first
    run(journal, token + 1, stop=False)
    assert journal.counters.lines == 1  # the last revision, and no repetition


def test_no_line_is_passed_over_while_a_reopened_database_cannot_be_written(
    tmp_path: Path, connections: Connections
) -> None:
    """Lines of an earlier run are numbered behind those of this run, some of which are in memory only."""
    journal = Journal(tmp_path, "list:")
    journal.outbox.subscribe("sink", lambda: None)
    journal.add(event(0))
    journal.add(event(1))
    journal.flush()
    journal.close()
    path, away = tmp_path / FILE_NAME, tmp_path / "away"
    path.rename(away)
    path.mkdir()
    clock = Clock()
    journal = Journal(tmp_path, "list:", now_s=clock)
    journal.outbox.subscribe("sink", lambda: None)
    for revision in (10, 11, 12):
        journal.add(msgspec.structs.replace(event(revision), overlaps=["x" * 50_000]))
    journal.step()
    assert [line.seq for line in journal.outbox.lines_after(0)] == [1, 2, 3]
    path.rmdir()
    away.rename(path)
    clock.now_s += 10
    journal.outbox.delivered("sink", 1)
    number = len(connections)
    connections.on_open[number] = lambda link: _set_size(link, 0)  # lines can be renumbered, but none can be added
    journal.flush()
    assert state_of(journal) is StoreState.FAILING
    lines = [line.decoded() for line in journal.outbox.lines_after(1)]
    assert [line.revision for line in lines if isinstance(line, Event)] == [11, 12, 0, 1]
    assert [line.seq for line in journal.outbox.lines_after(2, limit=2)] == [3, 4]
    _set_size(connections[number], 1000)
    clock.now_s += 10
    journal.flush()
    assert state_of(journal) is StoreState.STORING
    lines = [line.decoded() for line in journal.outbox.lines_after(1)]
    assert [line.revision for line in lines if isinstance(line, Event)] == [11, 12, 0, 1]
    assert journal.outbox.undelivered("sink") == 4


def _set_size(link: sqlite3.Connection, more_pages: int) -> None:
    """Let the disk be full when the database has grown by so many pages."""
    (pages,) = link.execute("PRAGMA page_count").fetchone()
    link.execute(f"PRAGMA max_page_count = {pages + more_pages}")


def test_a_folder_that_another_run_has_taken_meanwhile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    with monkeypatch.context() as broken:

        def mkdir(path: Path, *_: object, **__: object) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

        broken.setattr(Path, "mkdir", mkdir)
        journal = Journal(tmp_path, "list:", now_s=clock)
    other = Journal(tmp_path, "list:")
    for _ in range(5):
        clock.now_s += 11
        journal.flush()
    assert state_of(journal) is StoreState.UNAVAILABLE
    assert _levels(caplog, "in use by another run") == ["WARNING"]
    other.close()
    clock.now_s += 11
    journal.add(event(0))
    journal.flush()
    assert state_of(journal) is StoreState.STORING
    journal.close()
    assert state_of(journal) is StoreState.CLOSED and not journal.durable
    clock.now_s += 11
    journal.flush()
    assert state_of(journal) is StoreState.CLOSED  # it is not opened again
    Journal(tmp_path, "list:").close()


def test_an_unavailable_database_is_tried_every_ten_seconds(tmp_path: Path, connections: Connections) -> None:
    (tmp_path / FILE_NAME).mkdir()
    clock = Clock(50.0)
    journal = Journal(tmp_path, "list:", now_s=clock)
    assert len(connections) == 0  # sqlite3 cannot open it
    (tmp_path / FILE_NAME).rmdir()
    journal.outbox.subscribe("sink", lambda: None)
    journal.add(event(0))
    clock.now_s = 59.9
    journal.step()
    assert state_of(journal) is StoreState.UNAVAILABLE
    assert waiting(journal.outbox) == [("XX.STA-1", 0)]  # at once, all the same
    clock.now_s = 60.0
    journal.add(event(1))
    journal.step()
    assert state_of(journal) is StoreState.STORING
    assert waiting(journal.outbox) == [("XX.STA-1", 0), ("XX.STA-1", 1)]
    journal.close()
    journal = Journal(tmp_path, "list:")
    assert not journal.add(event(0)) and not journal.add(event(1))


def test_a_disk_that_is_full_for_a_while(
    tmp_path: Path, connections: Connections, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    clock = iter(range(0, 10**9, 11))  # each look at the clock is beyond the next retry
    journal = Journal(tmp_path, "list:", now_s=lambda: float(next(clock)))
    kept = Kept()
    drain = Drain(kept, "kept", journal.outbox)
    drain.start()
    journal.outbox.subscribe("a sink that takes nothing", lambda: None)
    (link,) = connections
    _set_size(link, 0)
    run(journal, 0, 120)
    assert journal.failing and journal.durable and journal.counters.failures > 1
    assert _levels(caplog, "cannot be written") == ["WARNING"]
    wait_until(lambda: len(kept.lines) == 5)  # sinks receive lines all the same
    _set_size(link, 1000)
    journal.flush()
    assert not journal.failing and "can be written again" in caplog.text
    assert drain.close(5) == 0 and len(kept.lines) == 5
    journal.flush()
    journal.close()
    journal = Journal(tmp_path, "list:")
    assert journal.resume != {}
    run(journal, int(journal.resume["XX.STA"], 16) + 1, stop=False)
    assert journal.counters.lines == 1  # the last revision, and no repetition


def test_a_failing_transaction_is_retried_every_ten_seconds(tmp_path: Path, connections: Connections) -> None:
    clock = Clock()
    journal = Journal(tmp_path, "list:", now_s=clock)
    woken: list[float] = []
    journal.outbox.subscribe("sink", lambda: woken.append(clock.now_s))
    journal.flush()
    (link,) = connections
    link.execute("PRAGMA query_only = 1")
    clock.now_s = 100.0
    journal.add(event(0))
    journal.step()
    for now_s, failures in ((105.0, 1), (109.9, 1), (110.0, 2), (119.9, 2), (120.0, 3)):
        clock.now_s = now_s
        journal.add(event(round(now_s * 10)))
        journal.step()
        assert woken[-1] == now_s  # the new line does not wait for the disk
        assert (journal.counters.failures, journal.failing) == (failures, True)
    assert len(waiting(journal.outbox)) == 6
    journal.outbox.delivered("sink", 6)
    link.execute("PRAGMA query_only = 0")
    clock.now_s = 130.0
    journal.step()
    assert not journal.failing and waiting(journal.outbox) == []
    assert not journal.add(event(1050))  # delivered and then stored: a later run recognises it


def test_lines_in_memory_are_bounded_while_the_disk_fails(tmp_path: Path, connections: Connections) -> None:
    journal = Journal(tmp_path, "list:", now_s=Clock())
    journal.outbox.subscribe("sink", lambda: None)
    connections[0].execute("PRAGMA query_only = 1")
    for revision in range(10_003):
        journal.add(event(revision))
    journal.step()
    assert journal.failing and journal.counters.dropped_lines == 3
    seqs = [line.seq for line in journal.outbox.unsaved]
    assert (seqs[0], len(seqs)) == (4, 10_000)
