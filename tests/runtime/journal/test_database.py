"""Retention to the nanosecond, and errors of the file."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.runtime.journal.conftest import Connections
from tests.runtime.journal.runs import Clock, event, hop

from seisedge.runtime.config import JournalConfig
from seisedge.runtime.errors import InputError
from seisedge.runtime.journal.database import Damaged, Database
from seisedge.runtime.journal.folder_lock import Unavailable
from seisedge.runtime.journal.journal import Journal
from seisedge.runtime.journal.reader import DatabaseReader
from seisedge.runtime.journal.schema import FILE_NAME

DAY_S = 86_400.0
PRUNE_S = 3600.0


def _journal(folder: Path, clock: Clock, settings: JournalConfig) -> Journal:
    journal = Journal(folder, "list:", settings, now_s=clock, time_ns=clock.time_ns)
    journal.outbox.subscribe("a sink that takes nothing", lambda: None)
    return journal


def _stored(folder: Path) -> tuple[list[int], list[int]]:
    """Revisions known as emitted, and numbers of the lines."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as link, link:
        revisions = [revision for (revision,) in link.execute("SELECT revision FROM emitted ORDER BY revision")]
        return revisions, [seq for (seq,) in link.execute("SELECT seq FROM outbox ORDER BY seq")]


def test_revisions_are_kept_for_keep_days_and_lines_for_their_sinks(tmp_path: Path) -> None:
    clock = Clock(100 * DAY_S)
    journal = _journal(tmp_path, clock, JournalConfig(keep_days=2.0))
    for revision, after_s in enumerate((0.0, PRUNE_S - 1, PRUNE_S, PRUNE_S + 1)):
        clock.now_s = 100 * DAY_S + after_s
        journal.add(event(revision))
        journal.step()
    clock.now_s = 102 * DAY_S
    journal.add(event(4))
    journal.step()
    assert _stored(tmp_path) == ([0, 1, 2, 3, 4], [1, 2, 3, 4, 5])  # the first is exactly two days old
    clock.now_s = 102 * DAY_S + PRUNE_S - 1
    journal.add(event(5))
    journal.step()
    assert _stored(tmp_path)[0] == [0, 1, 2, 3, 4, 5]  # the first is too old, but pruning is not yet due
    clock.now_s = 102 * DAY_S + PRUNE_S
    journal.add(event(6))
    journal.step()
    assert _stored(tmp_path) == ([2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 7])  # the second is too old by a second
    assert not journal.add(event(2)) and journal.add(event(1))  # the key was removed
    clock.now_s = 110 * DAY_S
    journal.flush()
    assert _stored(tmp_path) == ([1], [1, 2, 3, 4, 5, 6, 7, 8]) and journal.counters.dropped_lines == 0


def test_a_wall_clock_that_is_set_right_loses_nothing(tmp_path: Path) -> None:
    """A run whose clock is 40 days slow, until its last minute; the next run has the right clock."""
    monotonic, wall = Clock(), Clock(1000 * DAY_S)

    def opened() -> Journal:
        journal = Journal(tmp_path, "list:", JournalConfig(), now_s=monotonic, time_ns=wall.time_ns)
        journal.outbox.subscribe("hook", lambda: None)
        journal.flush()  # removes what is too old
        return journal

    journal = opened()
    for revision in range(62):
        monotonic.now_s += 60
        wall.now_s += 60
        journal.add(event(revision))
        journal.step()
    wall.now_s += 40 * DAY_S
    monotonic.now_s += PRUNE_S
    journal.add(event(62))
    journal.step()
    assert len(journal.outbox.lines_after(0)) == 63 and journal.outbox.oldest_waiting_s("hook") == 61 * 60 + PRUNE_S
    journal.close()
    wall.now_s += 40 * DAY_S
    journal = opened()
    assert [line.seq for line in journal.outbox.lines_after(0)] == list(range(1, 64))
    assert journal.outbox.undelivered("hook") == 63 and journal.outbox.oldest_waiting_s("hook") == 61 * 60 + PRUNE_S
    assert not any(journal.add(event(revision)) for revision in range(63))  # a replay repeats no line
    assert journal.counters.dropped_lines == 0
    wall.now_s -= 80 * DAY_S
    monotonic.now_s += PRUNE_S
    journal.add(event(63))
    journal.step()
    assert _stored(tmp_path) == (list(range(64)), list(range(1, 65)))


def test_a_damaged_time_does_not_move_the_storage_clock(tmp_path: Path) -> None:
    clock = Clock(1000 * DAY_S)
    journal = _journal(tmp_path, clock, JournalConfig())
    for revision in range(2):
        journal.add(event(revision))
    journal.step()
    journal.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as link:
        link.execute("UPDATE outbox SET created_ns = ? WHERE seq = 1", (2**63 - 1,))
        link.execute("UPDATE emitted SET emitted_ns = ? WHERE revision = 1", (2**63 - 1,))
    journal = _journal(tmp_path, clock, JournalConfig())
    journal.add(event(2))
    journal.step()
    assert _stored(tmp_path) == ([0, 1, 2], [1, 2, 3]) and not journal.failing
    journal.close()


@pytest.mark.parametrize("statement", ["UPDATE sinks SET seq = ?", "UPDATE outbox SET seq = ?"])
def test_a_damaged_number_is_not_continued(tmp_path: Path, statement: str) -> None:
    """The next line could not be stored."""
    for _ in range(8):
        clock = Clock(1000 * DAY_S)
        journal = _journal(tmp_path, clock, JournalConfig())
        for revision in range(2):
            clock.now_s += 1.0
            journal.add(event(revision))
            journal.step()
        assert _stored(tmp_path) == ([0, 1], [1, 2]) and not journal.failing
        journal.outbox.delivered("a sink that takes nothing", 1)
        journal.flush()
        journal.close()
        with sqlite3.connect(tmp_path / FILE_NAME) as link:
            link.execute(statement, (2**63 - 1,))
        link.close()
        for kept in tmp_path.glob("*.damaged"):  # as if they were of different seconds
            kept.rename(tmp_path / f"{FILE_NAME}.{kept.stat().st_mtime_ns}.damaged")
    assert len(list(tmp_path.glob("*.damaged"))) == 5


def test_every_count_of_waiting_lines_is_without_the_dropped_ones(tmp_path: Path) -> None:
    clock = Clock(100 * DAY_S)
    settings = JournalConfig(max_lines=100)

    def counts() -> list[int]:
        with DatabaseReader(tmp_path) as reader:
            shown = {name: waiting for name, waiting, _ in reader.sinks()}["a sink that takes nothing"]
        lines = journal.outbox.lines_after(0, 1000)
        return [journal.outbox.undelivered("a sink that takes nothing"), shown, len(lines)]

    journal = _journal(tmp_path, clock, settings)
    for revision in range(142):
        journal.add(event(revision))
    journal.step()
    assert counts() == [100, 100, 100] and journal.counters.dropped_lines == 42
    journal.close()
    journal = _journal(tmp_path, clock, settings)
    assert counts() == [100, 100, 100]
    journal.outbox.delivered("a sink that takes nothing", 100)
    journal.flush()
    assert counts() == [42, 42, 42]
    journal.close()


def test_the_newest_max_lines_are_kept(tmp_path: Path) -> None:
    clock = Clock(100 * DAY_S)
    journal = _journal(tmp_path, clock, JournalConfig(max_lines=100))
    for revision in range(100):
        journal.add(event(revision))
    journal.step()
    clock.now_s += PRUNE_S
    journal.outbox.delivered("a sink that takes nothing", 0)
    journal.flush()
    assert _stored(tmp_path)[1] == list(range(1, 101)) and journal.counters.dropped_lines == 0
    journal.add(event(100))
    journal.step()
    assert len(_stored(tmp_path)[1]) == 101  # until the next look
    journal.outbox.delivered("a sink that takes nothing", 1)
    for revision in range(101, 104):
        journal.add(event(revision))
    clock.now_s += PRUNE_S
    journal.step()
    assert _stored(tmp_path)[1] == list(range(5, 105))
    assert journal.counters.dropped_lines == 3  # 2, 3 and 4: line 1 was delivered
    assert _stored(tmp_path)[0] == list(range(104))  # keys are not lines


def test_no_revision_is_forgotten_by_default_within_a_month(tmp_path: Path) -> None:
    clock = Clock(1000 * DAY_S)
    journal = _journal(tmp_path, clock, JournalConfig())
    journal.add(event(0))
    journal.step()
    clock.now_s += 30 * DAY_S
    journal.add(event(1))
    journal.step()
    assert _stored(tmp_path) == ([0, 1], [1, 2])
    clock.now_s += PRUNE_S
    journal.add(event(2))
    journal.step()
    assert _stored(tmp_path) == ([1, 2], [1, 2, 3])


def test_a_pruning_that_fails_is_a_failure(tmp_path: Path, connections: Connections) -> None:
    clock = Clock()
    journal = _journal(tmp_path, clock, JournalConfig())
    journal.add(event(0))
    journal.step()
    locked: list[None] = []

    def lock_before_pruning() -> None:
        locked.append(None)
        connections[0].execute("PRAGMA query_only = 1")

    journal.outbox.subscribe("runs between the transaction and the pruning", lock_before_pruning)
    clock.now_s += PRUNE_S
    journal.add(event(1))
    journal.step()
    assert locked and journal.failing and journal.counters.failures == 1
    connections[0].execute("PRAGMA query_only = 0")
    clock.now_s += 10
    assert not journal.add(event(1))


def test_a_transaction_that_fails_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    clock = Clock()
    journal = _journal(tmp_path, clock, JournalConfig())
    journal.flush()
    with closing(sqlite3.connect(tmp_path / FILE_NAME, timeout=0)) as link, link:
        link.execute("ALTER TABLE outbox RENAME TO elsewhere")
    journal.add(event(0))
    journal.step()  # the key can be inserted, the line cannot
    assert journal.failing
    with closing(sqlite3.connect(tmp_path / FILE_NAME, timeout=0)) as link, link:  # the transaction does not stay open
        link.execute("ALTER TABLE elsewhere RENAME TO outbox")
    assert _stored(tmp_path) == ([], [])
    clock.now_s += 10
    journal.step()
    assert not journal.failing and _stored(tmp_path) == ([0], [1])


def test_a_state_show_may_read_while_a_run_writes(tmp_path: Path, connections: Connections) -> None:
    journal = _journal(tmp_path, Clock(), JournalConfig())
    (link,) = connections
    assert link.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert link.execute("PRAGMA busy_timeout").fetchone() == (5000,)
    assert link.execute("PRAGMA journal_size_limit").fetchone() == (4_194_304,)
    journal.add(event(0))
    journal.step()
    with DatabaseReader(tmp_path) as reader:
        link = connections[-1]
        assert link.execute("PRAGMA busy_timeout").fetchone() == (5000,)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            link.execute("DELETE FROM outbox")
        link.rollback()
        link.execute("BEGIN")
        assert (reader.line_count(), reader.revision_count()) == (1, 1)
        journal.add(event(1))
        journal.step()  # a reader does not delay the run
        assert not journal.failing
        link.rollback()
        assert (reader.line_count(), reader.revision_count()) == (2, 2)
        journal.outbox.subscribe("another", lambda: None)
        journal.flush()
        assert [(name, waiting) for name, waiting, _ in reader.sinks()] == [
            ("a sink that takes nothing", 2), ("another", 0)
        ]  # fmt: skip
    with pytest.raises(sqlite3.ProgrammingError):
        reader.line_count()


def test_a_journal_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no journal there: journal.sqlite is missing"):
        DatabaseReader(tmp_path)
    (tmp_path / FILE_NAME).write_bytes(b"x" * 10_000)
    with pytest.raises(InputError, match="the journal cannot be read"):
        DatabaseReader(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == b"x" * 10_000


def test_a_new_file_is_of_the_released_schema(tmp_path: Path) -> None:
    """The released version must be able to read it after a downgrade."""
    Database(tmp_path / FILE_NAME).close()
    assert FILE_NAME == "journal.sqlite"
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as link, link:
        assert link.execute("PRAGMA user_version").fetchone() == (1,)
        assert link.execute("PRAGMA application_id").fetchone() == (0x5E15ED6E,)
        tables = [name for (name,) in link.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        columns = {table: [row[1] for row in link.execute(f"PRAGMA table_info({table})")] for table in tables}
    assert columns.pop("contents") == ["id", "revision", "digest", "last"]  # added later; the release ignores it
    assert columns == {
        "emitted": ["id", "revision", "emitted_ns"],
        "hops": ["source", "station", "time"],
        "outbox": ["seq", "station", "kind", "body", "created_ns"],
        "sinks": ["name", "seq", "updated_ns"],
        "stations": ["source", "station", "token", "token_ns", "front", "back", "settings", "updated_ns"],
    }


def test_reading_returns_nothing_and_writing_raises(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    database = Database(tmp_path / FILE_NAME)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as link, link:
        for table in ("outbox", "emitted", "sinks"):
            link.execute(f"DROP TABLE {table}")
    assert database.lines_after(0, 100) == []
    assert database.oldest_created_ns(0) is None
    assert database.was_emitted("x", 0) is False
    levels = [r.levelname for r in caplog.records if "cannot be read" in r.message]
    assert levels == ["WARNING", "DEBUG", "DEBUG"] and database.read_fault == "no such table: emitted"
    with pytest.raises(Unavailable):
        database.contents("list:")
    with pytest.raises(Unavailable):
        database.merge({}, 0, 0)
    with pytest.raises(Unavailable):
        database.prune(0, 100)
    database.close()
    with pytest.raises(Damaged):
        database.prune(0, 100)


def test_what_an_earlier_run_has_left_is_put_behind(tmp_path: Path) -> None:
    journal = _journal(tmp_path, Clock(), JournalConfig())
    for name in ("a", "b", "dead"):
        journal.outbox.subscribe(name, lambda: None)
    for revision in range(5):
        journal.add(event(revision))
    journal.add(hop(1))
    journal.flush()
    journal.outbox.delivered("a", 2)
    journal.outbox.delivered("b", 4)
    journal.outbox.delivered("a sink that takes nothing", 6)
    journal.flush()
    journal.close()
    database = Database(tmp_path / FILE_NAME)
    # "a" lacked 3 to 6; "new" had no place, and "dead" is not a sink of this run
    assert database.merge({"a": 7, "b": 9, "new": 8}, 10, 123) == 14
    lines = database.lines_after(0, 100)
    assert [(line.seq, line.kind) for line in lines] == [
        (11, "event"), (12, "event"), (13, "event"), (14, "hop")
    ]  # fmt: skip
    assert [getattr(line.decoded(), "revision", None) for line in lines] == [2, 3, 4, None]
    contents = database.contents("list:")
    assert contents.places == {"a": 7, "b": 9, "new": 8, "dead": 0, "a sink that takes nothing": 6}
    assert contents.seq == 14
    database.close()


def test_nothing_is_left_where_all_sinks_had_everything(tmp_path: Path) -> None:
    journal = _journal(tmp_path, Clock(), JournalConfig())
    journal.add(event(0))
    journal.flush()
    journal.close()
    database = Database(tmp_path / FILE_NAME)
    assert database.merge({"new": 3}, 4, 0) == 4
    assert database.lines_after(0, 100) == []
    database.close()
