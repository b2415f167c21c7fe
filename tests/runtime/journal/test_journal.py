"""What a later run continues with, and what one transaction holds."""

import dataclasses
import json
import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from tests.fakes import TECTONIC, ListSource, classic_config, fake_models
from tests.runtime.journal.conftest import Connections
from tests.runtime.journal.runs import (
    CONFIGS,
    PLAIN,
    STORY,
    Clock,
    event,
    hop,
    numbered,
    run,
    state_of,
    waiting,
    with_tokens,
)

from seisedge.runtime.config import EventsConfig, JournalConfig, StationConfig, TriggerConfig
from seisedge.runtime.engines._base import Array
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.journal.folder_lock import FolderLock
from seisedge.runtime.journal.journal import Journal
from seisedge.runtime.journal.memory import MemoryJournal
from seisedge.runtime.journal.reader import DatabaseReader
from seisedge.runtime.journal.schema import FILE_NAME
from seisedge.runtime.journal.store import StoreState
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sources import open_source
from seisedge.runtime.station.station import Station


def _subscribed(folder: Path, **settings: object) -> Journal:
    journal = Journal(folder, "list:", **settings)  # type: ignore[arg-type]
    journal.outbox.subscribe("a sink that takes nothing", lambda: None)
    return journal


def test_a_run_resumes_from_before_the_oldest_sample_it_needs(tmp_path: Path) -> None:
    journal = _subscribed(tmp_path)
    assert (journal.folder, journal.source, journal.resume) == (tmp_path, "list:", {})
    run(journal, 0, 60)  # to second 60: an event is open
    assert waiting(journal.outbox) == STORY[:2]
    journal.close()
    journal = Journal(tmp_path, "list:")
    token = int(journal.resume["XX.STA"], 16)
    newest_s = token // 3 * 3.0 + 3
    assert 20 < newest_s <= 34.8  # the window of the open event begins five seconds before its onset
    assert journal.resume_ns["XX.STA"] == numbered()[token].endtime_ns
    run(journal, token + 1, stop=False)
    assert waiting(journal.outbox) == STORY


def test_counters_of_a_resumed_station_are_those_of_one_run(tmp_path: Path) -> None:
    loop = run(MemoryJournal(), stop=False)
    whole = dataclasses.asdict(loop.report.stations["XX.STA"].counters)
    journal = _subscribed(tmp_path)
    run(journal, 0, 120)  # the first event is closed
    journal.close()
    journal = Journal(tmp_path, "list:")
    loop = run(journal, int(journal.resume["XX.STA"], 16) + 1, stop=False)
    resumed = dataclasses.asdict(loop.report.stations["XX.STA"].counters)
    assert resumed == whole
    assert (whole["events"], whole["triggers"], whole["packets"]) == (2, 2, 162)


class Died(BaseException):
    """The end of the process in the middle of a step; an exception would only end the open event."""


def test_the_end_of_the_process_in_the_middle_of_a_step_loses_nothing(tmp_path: Path) -> None:
    """It ends at the second answer: the next run gives that answer."""
    calls = 0

    def failing(_waveform: Array, _valid: Array) -> list[float]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise Died
        return TECTONIC

    journal = _subscribed(tmp_path)
    loop = Loop(fake_models(failing), [], {}, default=PLAIN, journal=journal)
    with pytest.raises(Died):
        loop.run(ListSource(with_tokens(), live=True))
    journal.save_places()
    journal.close()
    journal = Journal(tmp_path, "list:")
    run(journal, int(journal.resume["XX.STA"], 16) + 1, stop=False)
    assert waiting(journal.outbox) == STORY


def test_places_are_saved_without_the_stations(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "list:")
    journal.outbox.subscribe("sink", lambda: None)
    run(journal, 0, 60)
    stored = _row(tmp_path)
    station = Station("XX.STA", PLAIN, fake_models(), "triggered")
    journal.record_packet(station, numbered()[60])  # in the middle of a step: its state must not be stored
    journal.outbox.delivered("sink", 1)
    journal.save_places()
    journal.close()
    assert _row(tmp_path) == stored
    assert Journal(tmp_path, "list:").outbox.subscribe("sink", lambda: None) == 1


def test_the_point_of_an_earlier_run_stays_a_candidate(tmp_path: Path) -> None:
    """A second kill soon after the first resumes from the same token, with the newer state."""
    journal = _subscribed(tmp_path)
    run(journal, 0, 60)
    journal.close()
    token, packet_count = _row(tmp_path)
    assert (int(token, 16), packet_count) == (24, 60)
    journal = _subscribed(tmp_path)
    run(journal, 25, 31)
    journal.close()
    assert _row(tmp_path) == (token, 31)


def _row(folder: Path) -> tuple[str, int]:
    """Token and number of packets of the stored station."""
    with DatabaseReader(folder) as reader:
        ((_, _, token, _, back, _),) = reader.stations()
    return token, json.loads(back)["counters"]["packets"]


def test_close_forgets_lines_that_were_not_stored(tmp_path: Path) -> None:
    journal = _subscribed(tmp_path)
    journal.add(event(0))
    journal.close()
    assert journal.state is StoreState.CLOSED and waiting(journal.outbox) == []
    journal = _subscribed(tmp_path)
    assert waiting(journal.outbox) == [] and journal.add(event(0))


def test_no_line_that_was_not_stored_leaves_a_closing_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sink may read the outbox at any moment; the line would come before a stored one that waits."""
    journal = _subscribed(tmp_path)
    journal.add(event(0))
    journal.step()
    journal.add(event(1))
    read: list[int] = []
    close = FolderLock.close

    def reading(lock: FolderLock) -> None:
        read.extend(line.seq for line in journal.outbox.lines_after(0))
        close(lock)

    monkeypatch.setattr(FolderLock, "close", reading)
    journal.close()
    assert read == []
    assert waiting(_subscribed(tmp_path).outbox) == [("XX.STA-1", 0)]


def test_tokens_belong_to_one_source(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "list:")
    run(journal)
    journal.close()
    journal = Journal(tmp_path, "seedlink://elsewhere")
    assert journal.resume == {} and journal.resume_ns == {}


def test_files_are_read_again_without_repeated_lines(tmp_path: Path, models: Models, part: Path) -> None:
    counts = []
    for _ in range(2):
        journal = Journal(tmp_path, str(part))
        with open_source([part]) as source:
            Loop(models, [], CONFIGS, journal=journal).run(source)
        counts.append((journal.counters.lines, journal.counters.repeated_lines))
        journal.close()
    assert counts[0][0] > 15
    assert counts == [(counts[0][0], 0), (0, counts[0][0])]


def test_with_other_settings_only_the_token_is_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = _subscribed(tmp_path)
    run(journal, 0, 60)
    journal.close()
    journal = Journal(tmp_path, "list:")
    token = journal.resume["XX.STA"]
    run(journal, int(token, 16) + 1, 65, classic_config(events=EventsConfig(noise_threshold=0.6)))
    assert "models or settings differ from those of the earlier run" in caplog.text
    assert waiting(journal.outbox) == STORY[:2]  # found again, and recognised


def test_a_stored_state_that_cannot_be_read_is_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = _subscribed(tmp_path)
    run(journal, 0, 60)
    journal.close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as link, link:
        link.execute("UPDATE stations SET back = '{}'")
    journal = Journal(tmp_path, "list:")
    run(journal, int(journal.resume["XX.STA"], 16) + 1, stop=False)
    assert "its stored state cannot be read" in caplog.text
    assert waiting(journal.outbox) == STORY


def test_the_epoch_survives_a_state_that_cannot_be_read(tmp_path: Path) -> None:
    """Hops of an epoch are compared with the stored hop of the same epoch, or none of them would be emitted."""
    journal = _subscribed(tmp_path)
    run(journal, 0, 60)
    journal.close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as link, link:
        link.execute("UPDATE stations SET back = '{}'")
        link.execute("INSERT INTO hops VALUES ('list:', 'XX.STA', '3/2020-09-13T12:27:10.000000Z')")
    journal = Journal(tmp_path, "list:")
    station = Station("XX.STA", PLAIN, fake_models(), "triggered")
    journal.restore(station)
    assert station.epoch == 3
    assert [journal.add(hop(second)) for second in (9, 10, 11)] == [False, False, True]
    assert journal.counters.repeated_lines == 2


def test_settings_of_the_service_do_not_change_the_fingerprint() -> None:
    def fingerprint(config: StationConfig) -> str:
        return Station("XX.STA", config, fake_models(), "triggered").fingerprint

    assert fingerprint(PLAIN) == fingerprint(classic_config(state="elsewhere", journal=JournalConfig(commit_s=5)))
    assert fingerprint(PLAIN) != fingerprint(classic_config(trigger=TriggerConfig(kind="sta-lta", on_ratio=3.5)))


def test_a_folder_of_the_released_version_is_resumed(tmp_path: Path) -> None:
    """Tables and columns as version 1 of the schema has them, written here by hand."""
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as link, link:
        link.executescript(
            "CREATE TABLE stations (source TEXT NOT NULL, station TEXT NOT NULL, token TEXT NOT NULL, "
            "token_ns INTEGER NOT NULL, front TEXT NOT NULL, back TEXT NOT NULL, settings TEXT NOT NULL, "
            "updated_ns INTEGER NOT NULL, PRIMARY KEY (source, station));"
            "CREATE TABLE emitted (id TEXT NOT NULL, revision INTEGER NOT NULL, emitted_ns INTEGER NOT NULL, "
            "PRIMARY KEY (id, revision)) WITHOUT ROWID;"
            "CREATE TABLE hops (source TEXT NOT NULL, station TEXT NOT NULL, time TEXT NOT NULL, "
            "PRIMARY KEY (source, station));"
            "CREATE TABLE outbox (seq INTEGER PRIMARY KEY, station TEXT NOT NULL, kind TEXT NOT NULL, "
            "body BLOB NOT NULL, created_ns INTEGER NOT NULL);"
            "CREATE TABLE sinks (name TEXT PRIMARY KEY, seq INTEGER NOT NULL, updated_ns INTEGER NOT NULL);"
            "PRAGMA application_id = 1578495342; PRAGMA user_version = 1;"
            "INSERT INTO stations VALUES ('list:', 'XX.STA', '00002A', 1600000045000000000, '{}', '{}', 'x', 1);"
            "INSERT INTO hops VALUES ('list:', 'XX.STA', '2020-09-13T12:27:10.000000Z');"
            "INSERT INTO emitted VALUES ('XX.STA-1', 0, 1);"
            "INSERT INTO sinks VALUES ('file', 5, 1);"
        )
        link.execute("INSERT INTO outbox VALUES (6, 'XX.STA', 'event', ?, 1)", (b"{}",))
    journal = Journal(tmp_path, "list:")
    assert (journal.resume, journal.resume_ns) == ({"XX.STA": "00002A"}, {"XX.STA": 1_600_000_045_000_000_000})
    assert journal.outbox.subscribe("file", lambda: None) == 5
    assert [(line.seq, line.body) for line in journal.outbox.lines_after(5)] == [(6, b"{}")]
    assert not journal.add(event(0)) and journal.add(event(1))
    assert not journal.add(hop(10)) and journal.add(hop(11))


# transactions


def _transactions(statements: list[str]) -> list[tuple[str, list[str]]]:
    """(value of `synchronous`, statements) of each transaction that was committed, without BEGIN and COMMIT."""
    found: list[tuple[str, list[str]]] = []
    synchronous = ""
    body: list[str] | None = None
    for statement in statements:
        words = statement.replace(";", " ").split()
        if words[:2] == ["PRAGMA", "synchronous"]:
            assert body is None, "it has no effect inside a transaction"
            synchronous = words[3]
        elif words[0] == "BEGIN":
            body = []
        elif words[0] == "COMMIT":
            assert body is not None
            found.append((synchronous, body))
            body = None
        elif body is not None:
            body.append(statement)
        else:
            assert words[0] in ("SELECT", "PRAGMA"), f"outside of a transaction: {statement}"
    return found


def _tables(body: list[str]) -> set[str]:
    return {statement.split(" INTO ")[1].split()[0] for statement in body if " INTO " in statement}


def test_events_are_flushed_to_the_disk_before_a_sink_sees_them(tmp_path: Path, traced: Connections) -> None:
    """Against a loss of power: `synchronous` is FULL for a transaction with a line of an event, and only for those."""
    journal = Journal(tmp_path, "list:", JournalConfig(commit_s=0.0))
    written_before: list[int] = []
    journal.outbox.subscribe("sink", lambda: written_before.append(len(_transactions(traced.statements))))
    run(journal, stop=False)
    journal.add(hop(1))
    journal.flush()
    with_event: list[str] = []
    without: list[str] = []
    for synchronous, body in _transactions(traced.statements):
        event_lines = [x for x in body if "INTO outbox" in x and "'event'" in x]
        (with_event if event_lines else without).append(synchronous)
    assert with_event == ["FULL"] * len(STORY)
    assert len(without) > 50 and set(without) == {"NORMAL", ""}  # "": the transaction that creates the tables
    assert without.count("") == 1
    assert written_before == sorted(set(written_before))  # each notification comes after one more transaction


def test_a_retried_event_is_flushed_to_the_disk_too(tmp_path: Path, traced: Connections) -> None:
    clock = Clock()
    journal = Journal(tmp_path, "list:", now_s=clock)
    journal.outbox.subscribe("sink", lambda: None)
    traced[0].execute("PRAGMA query_only = 1")
    journal.add(event(0))
    journal.step()
    assert state_of(journal) is StoreState.FAILING
    traced[0].execute("PRAGMA query_only = 0")
    traced.statements.clear()
    clock.now_s += 11
    journal.step()
    assert state_of(journal) is StoreState.STORING
    assert {synchronous for synchronous, _ in _transactions(traced.statements)} == {"FULL"}
    assert waiting(journal.outbox) == [("XX.STA-1", 0)]


def test_line_key_state_and_token_are_one_transaction(tmp_path: Path, traced: Connections) -> None:
    """A kill between any two statements keeps all of them or none."""
    journal = Journal(tmp_path, "list:", JournalConfig(commit_s=0.0))
    journal.outbox.subscribe("sink", lambda: None)
    run(journal, stop=False)
    bodies = [body for _, body in _transactions(traced.statements)]
    with_event = [body for body in bodies if any("INTO outbox" in x for x in body)]
    assert len(with_event) == len(STORY)
    assert all(_tables(body) >= {"outbox", "emitted", "stations"} for body in with_event)
    keys = [x for body in bodies for x in body if "INTO emitted" in x]
    assert len(keys) == len(STORY)  # and none anywhere else
    tokens = [x.split("'XX.STA', '")[1][:6] for body in bodies for x in body if "INTO stations" in x]
    assert all(earlier <= later for earlier, later in pairwise(tokens)) and len(set(tokens)) > 5


def test_a_place_and_the_removal_of_its_lines_are_one_transaction(tmp_path: Path, traced: Connections) -> None:
    journal = Journal(tmp_path, "list:")
    journal.outbox.subscribe("sink", lambda: None)
    run(journal, stop=False)
    traced.statements.clear()
    journal.outbox.delivered("sink", 4)
    journal.flush()
    (body,) = [body for _, body in _transactions(traced.statements) if "sinks" in _tables(body)]
    assert any(x.startswith("DELETE FROM outbox") for x in body)
    assert [line.seq for line in journal.outbox.lines_after(0)] == [5, 6]


def test_a_quiet_second_costs_one_transaction(tmp_path: Path, connections: Connections) -> None:
    clock = Clock(100.0)
    journal = Journal(tmp_path, "list:", JournalConfig(commit_s=2.0), now_s=clock)
    run(journal, 0, 60)
    before = journal.counters.commits
    station = Station("XX.STA", PLAIN, fake_models(), "triggered")
    for _ in range(10):
        journal.record_packet(station, numbered()[0])
        journal.step()
    assert journal.counters.commits == before
    clock.now_s += 1.99
    journal.step()
    assert journal.counters.commits == before
    clock.now_s += 0.01
    journal.step()
    assert journal.counters.commits == before + 1
    clock.now_s += 10
    journal.step()
    assert journal.counters.commits == before + 1  # nothing has changed


def test_the_duration_of_transactions_is_measured(tmp_path: Path) -> None:
    clock = iter(100 + x / 8 for x in range(10**6))  # each look at the clock is 125 ms after the last
    journal = Journal(tmp_path, "list:", now_s=lambda: next(clock))
    for revision in range(3):
        journal.add(event(revision))
        journal.step()
    counters = journal.counters
    assert counters.commits == 3 and sum(journal.commit_ms.counts) == 3
    assert 125 <= counters.longest_commit_ms <= 1000 and counters.longest_commit_ms % 125 == 0
    assert 375 <= journal.commit_ms.total <= 3 * counters.longest_commit_ms


def test_memory_journal_keeps_lines_for_its_sinks_only() -> None:
    journal = MemoryJournal("list:")
    assert journal.add(event(0)) and journal.add(event(0))  # nothing is recognised
    journal.step()
    assert waiting(journal.outbox) == [] and journal.counters.lines == 2
    woken: list[None] = []
    assert journal.outbox.subscribe("sink", lambda: woken.append(None)) == 0
    journal.add(event(1))
    journal.step()
    assert waiting(journal.outbox) == [("XX.STA-1", 1)] and len(woken) == 1
    journal.outbox.delivered("sink", 1)
    journal.step()
    assert waiting(journal.outbox) == [] and journal.outbox.undelivered("sink") == 0
    journal.step()
    assert len(woken) == 2  # nothing has changed in the last step
    assert not journal.durable and not journal.failing and journal.resume == {}
    journal.add(event(2))
    journal.close()
    assert waiting(journal.outbox) == []
