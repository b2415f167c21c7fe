"""A sink that fails does not delay others, and receives its lines in order when it works again."""

import base64
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from tests.waiting import wait_until

from seisedge.runtime.event import Event, Hop, content_of
from seisedge.runtime.journal.journal import Journal
from seisedge.runtime.journal.line import Line
from seisedge.runtime.journal.memory import MemoryJournal
from seisedge.runtime.journal.schema import FILE_NAME
from seisedge.runtime.sinks import LeftOut, Refused, Sink
from seisedge.runtime.sinks._dead_letters import MAX_BYTES, SinkDeadLetters
from seisedge.runtime.sinks._drain import Drain
from seisedge.runtime.sinks.jsonl import EventsFile, JsonLinesFile
from seisedge.runtime.sinks.quakeml import QuakeMLSink


class Switched(Sink):
    """Fails until `up` is set. blocked: does not even return until then."""

    def __init__(self) -> None:
        self.up = threading.Event()
        self.blocked = False
        self.lines: list[Event | Hop] = []
        self.tried = threading.Event()
        self.closed = False

    def write(self, line: Event | Hop) -> None:
        self.tried.set()
        if self.blocked:
            self.up.wait(10)
        if not self.up.is_set():
            raise ConnectionError("down")
        self.lines.append(line)

    def close(self) -> None:
        self.closed = True


def _content(lines: Sequence[Event | Hop]) -> list[bytes]:
    return list(map(content_of, lines))


@pytest.mark.parametrize("blocked", [False, True])
def test_one_is_down_the_other_is_not(tmp_path: Path, events: list[Event], blocked: bool) -> None:
    journal = Journal(tmp_path, "list:")
    dead, alive = Switched(), Switched()
    dead.blocked = blocked
    alive.up.set()
    drains = [Drain(s, name, journal.outbox, backoff_first_s=0.01) for s, name in ((dead, "dead"), (alive, "alive"))]
    for drain in drains:
        drain.start()
    for event in events:
        assert journal.add(event)
        journal.step()
    assert drains[1].close(5) == 0 and _content(alive.lines) == _content(events)
    assert dead.tried.wait(5) and dead.lines == []
    assert journal.outbox.undelivered("dead") == 3 and alive.closed
    dead.up.set()
    assert drains[0].close(5) == 0 and _content(dead.lines) == _content(events)


def test_undelivered_lines_are_delivered_after_a_restart(tmp_path: Path, events: list[Event]) -> None:
    journal = Journal(tmp_path, "list:")
    dead = Switched()
    drain = Drain(dead, "hook", journal.outbox, backoff_first_s=0.01)
    drain.start()
    for event in events[:2]:
        journal.add(event)
    journal.step()
    assert drain.close(1) == 2
    journal.flush()
    journal.close()
    journal = Journal(tmp_path, "list:")
    dead.up.set()
    drain = Drain(dead, "hook", journal.outbox)
    drain.start()
    assert journal.add(events[2])
    assert not journal.add(events[1])
    journal.step()
    assert drain.close(5) == 0 and _content(dead.lines) == _content(events)


def test_the_time_to_be_stored_is_added_to_the_delivered_line(tmp_path: Path, events: list[Event]) -> None:
    """The stored line cannot contain this time, and a later run does not know it."""
    now_s = [100.0]
    journal = Journal(tmp_path, "list:", now_s=lambda: now_s[0])
    sink = Switched()
    sink.up.set()
    drain = Drain(sink, "hook", journal.outbox)
    journal.outbox.subscribe("a sink that takes nothing", lambda: None)
    drain.start()
    journal.add(events[0])
    now_s[0] += 0.0125
    journal.step()
    assert drain.close(5) == 0
    (line,) = sink.lines
    assert line.latency_ms.journal == 12.5
    assert line.latency_ms.total == pytest.approx(events[0].latency_ms.total + 12.5, abs=1e-3)
    assert content_of(line) == content_of(events[0])
    journal.flush()
    journal.close()
    journal = Journal(tmp_path, "list:")
    (again,) = journal.outbox.lines_after(0)
    assert again.decoded() == events[0] and events[0].latency_ms.journal is None
    journal.close()


def test_only_its_stations(tmp_path: Path, revision) -> None:  # type: ignore[no-untyped-def]  # a fixture of conftest
    journal = MemoryJournal("list:")
    sink = Switched()
    sink.up.set()
    drain = Drain(sink, "hook", journal.outbox, stations={"XX.B"})
    drain.start()
    for station in ("XX.A", "XX.B", "XX.C"):
        journal.add(revision(station=station, id=station))
    journal.step()
    assert drain.close(5) == 0
    assert [line.station for line in sink.lines] == ["XX.B"]


def test_an_exception_in_a_sink_skips_one_line(events: list[Event], caplog: pytest.LogCaptureFixture) -> None:
    class Faulty(Switched):
        def write(self, line: Event | Hop) -> None:
            if isinstance(line, Event) and line.revision == 1:
                raise ZeroDivisionError
            self.lines.append(line)

    journal = MemoryJournal("list:")
    sink = Faulty()
    drain = Drain(sink, "hook", journal.outbox)
    drain.start()
    for event in events:
        journal.add(event)
    journal.step()
    assert drain.close(5) == 0
    assert [line.revision for line in sink.lines if isinstance(line, Event)] == [0, 2]
    assert drain.counters.refused == 1 and "ZeroDivisionError" in caplog.text


def _flipped(body: bytes, part: bytes, bit: int) -> bytes:
    """A body with one bit flipped in the byte after `part`."""
    place = body.index(part) + len(part)
    return body[:place] + bytes([body[place] ^ bit]) + body[place + 1 :]


DAMAGES: dict[str, tuple[str, Callable[[bytes], object]]] = {
    "syntax": ("body", lambda body: _flipped(body, b'"revision":1', 0x10)),
    "not UTF-8": ("body", lambda body: _flipped(body, b'"id":"XX', 0x80)),
    "deep nesting": ("body", lambda _body: b"[" * 100_000),
    "another type": ("body", lambda _body: 7),
    "station in the JSON": ("body", lambda body: _flipped(body, b'"station":"XX', 0x01)),
    "station": ("station", lambda _body: b"XX.ST\xc1"),
    "kind": ("kind", lambda _body: "evdnt"),
    "kind, not UTF-8": ("kind", lambda _body: b"e\xf6ent"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_line_goes_to_the_dead_letters_and_the_next_is_delivered(
    tmp_path: Path, events: list[Event], caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    """The sink has its lines of one station only, as those of a station file do."""
    journal = Journal(tmp_path, "list:")
    journal.outbox.subscribe("hook", lambda: None)
    for event in events:
        journal.add(event)
    journal.flush()
    journal.close()
    column, damaged = DAMAGES[damage]
    with sqlite3.connect(tmp_path / FILE_NAME) as link:
        (body,) = link.execute("SELECT body FROM outbox WHERE seq = 2").fetchone()
        value = damaged(body)
        as_text = column != "body" and isinstance(value, bytes)
        link.execute(f"UPDATE outbox SET {column} = {'CAST(? AS TEXT)' if as_text else '?'} WHERE seq = 2", (value,))
    letters = SinkDeadLetters(tmp_path)
    for run in range(2):
        journal = Journal(tmp_path, "list:")
        sink = Switched()
        sink.up.set()
        drain = Drain(sink, "hook", journal.outbox, stations={"XX.STA"})
        drain.dead_letters = letters
        drain.start()
        assert drain.close(5) == 0
        journal.save_places()
        journal.close()
        if run == 0:
            assert [line.revision for line in sink.lines if isinstance(line, Event)] == [0, 2]
            assert (drain.counters.undecodable, drain.dead_lettered, drain.refused, drain.counters.restarts) == (
                1,
                1,
                0,
                0,
            )
            assert drain.refused_share == pytest.approx(1 / 3)
        else:
            assert sink.lines == [] and drain.dead_lettered == 0
    (letter,) = map(json.loads, letters.path.read_text(encoding="utf-8").splitlines())
    assert letter["sink"] == "hook" and letter["seq"] == 2 and letter["reason"]
    if column == "body" and damage not in ("deep nesting", "another type"):
        assert base64.b64decode(letter["base64"]) == value if "base64" in letter else letter["line"]["revision"] == 1
        assert damage == "not UTF-8" or (letter["id"], letter["revision"]) == (events[1].id, 1)
    (warning,) = [r.message for r in caplog.records if "is damaged" in r.message]
    assert "line 2" in warning and "sink-dead-letters.jsonl" in warning


def test_a_thread_that_ends_by_an_exception_is_restarted(events: list[Event], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    class Deadly(Switched):
        def write(self, line: Event | Hop) -> None:
            if not self.up.is_set():
                raise SystemExit("killed")
            self.lines.append(line)

    journal = MemoryJournal("list:")
    sink = Deadly()
    drain = Drain(sink, "hook", journal.outbox, backoff_first_s=0.01)
    assert not drain.alive
    drain.start()
    for event in events:
        journal.add(event)
    journal.step()
    wait_until(lambda: drain.counters.restarts > 1)
    assert not drain.alive and drain.fault == "SystemExit: killed" and drain.down_since_s is not None
    assert drain.waiting == 3 and drain.last_delivery_s is None
    sink.up.set()
    wait_until(lambda: drain.waiting == 0)
    assert drain.alive and drain.fault is None and drain.down_since_s is None
    assert drain.last_delivery_s is not None and drain.last_delivery_s < 5
    assert _content(sink.lines) == _content(events)
    assert drain.close(5) == 0
    assert [r.levelname for r in caplog.records if "the thread of the sink failed" in r.message] == ["ERROR"]
    assert [r.levelname for r in caplog.records if "works again" in r.message] == ["INFO"]


def test_a_thread_that_fails_outside_a_delivery_is_restarted(
    events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seisedge.runtime.threads.RESTART_FIRST_S", 0.01)
    journal = MemoryJournal("list:")
    sink = Switched()
    sink.up.set()
    drain = Drain(sink, "hook", journal.outbox)
    work, failed = drain._work, threading.Event()

    def fail_once() -> None:
        if not failed.is_set():
            failed.set()
            raise SystemExit("killed")
        work()

    monkeypatch.setattr(drain, "_work", fail_once)
    drain.start()
    journal.add(events[0])
    journal.step()
    wait_until(lambda: drain.waiting == 0)
    assert drain.alive and drain._worker is not None and drain._worker.failures == 1
    assert drain.close(5) == 0 and _content(sink.lines) == _content(events[:1])


def test_lines_without_a_state_folder_are_counted_and_not_stored(
    events: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    class Refusing(Switched):
        def write(self, line: Event | Hop) -> None:
            raise Refused("never", status=400)

    journal = MemoryJournal("list:")
    drain = Drain(Refusing(), "hook", journal.outbox)
    drain.start()
    for event in events:
        journal.add(event)
    journal.step()
    assert drain.close(5) == 0
    assert (drain.refused, drain.dead_lettered, drain.refused_share) == (3, 0, 1.0)
    (warning,) = [r.message for r in caplog.records if r.levelname == "WARNING"]
    assert warning == f"XX.STA: hook: line 1 ({events[0].id} revision 0) was refused: never; it is not stored"


def test_dead_letters_are_bounded_and_the_line_can_be_sent_again(tmp_path: Path, events: list[Event]) -> None:
    letters = SinkDeadLetters(tmp_path)
    body = msgspec.json.encode(events[0])
    refusal = Refused("no", status=413, answer="too large")
    for seq in range(MAX_BYTES // len(body) * 3):
        assert letters.add("hook", Line(seq, "XX.STA", "event", body), refusal)
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sizes.keys() == {"sink-dead-letters.jsonl", "sink-dead-letters.jsonl.1"}
    assert max(sizes.values()) < MAX_BYTES + 10_000
    letter = msgspec.json.decode(letters.path.read_bytes().splitlines()[-1])
    assert msgspec.convert(letter.pop("line"), Event) == events[0]
    del letter["time"]
    assert letter == {
        "sink": "hook", "seq": seq, "station": "XX.STA", "id": events[0].id, "revision": 0,
        "reason": "no", "status": 413, "answer": "too large",
    }  # fmt: skip


def test_sinks_can_decode_their_first_line_at_the_same_time(events: list[Event]) -> None:
    """Each in a new process, as after a restart. With a decoder per thread, one process in five crashes."""
    script = (
        "import sys, threading\nfrom seisedge.runtime.journal.line import Line\nsys.setswitchinterval(1e-6)\n"
        "line = Line(1, 'XX.STA', 'event', sys.stdin.buffer.read())\nstart = threading.Barrier(3)\n"
        "def decode():\n    start.wait()\n    assert line.decoded().id\n"
        "threads = [threading.Thread(target=decode) for _ in range(3)]\n"
        "for thread in threads: thread.start()\nfor thread in threads: thread.join()\n"
    )
    for _ in range(8):
        done = subprocess.run([sys.executable, "-c", script], input=msgspec.json.encode(events[0]), capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")


def test_lines_that_could_not_be_stored_are_not_said_to_wait(
    tmp_path: Path, events: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    """Of a full disk: only what a transaction has stored waits for the next run."""
    journal = Journal(tmp_path, "list:")
    drain = Drain(Switched(), "hook", journal.outbox)
    drain.start()
    journal.add(events[0])
    journal.step()
    for event in events[1:]:
        journal.add(event)
    assert drain.close(0.1) == 3
    drain.report_undelivered()
    assert caplog.messages[-1] == (
        "hook: 3 lines not delivered; 1 wait in the state folder, 2 are lost, because they could not be stored"
    )
    journal.step()
    drain.report_undelivered()
    assert caplog.messages[-1] == "hook: 3 lines not delivered; they wait in the state folder"
    journal.close()


def test_changes_of_state_are_logged_once(events: list[Event], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    journal = MemoryJournal("list:")
    sink = Switched()
    drain = Drain(sink, "hook", journal.outbox, backoff_first_s=0.01)
    drain.start()
    journal.add(events[0])
    journal.step()
    wait_until(lambda: drain.counters.failures > 3)
    assert drain.down_reason == "down"
    sink.up.set()
    wait_until(lambda: drain.waiting == 0)
    journal.add(events[1])
    journal.step()
    wait_until(lambda: drain.waiting == 0)
    assert drain.close(5) == 0
    assert [f"{r.levelname} {r.message}" for r in caplog.records] == [
        "WARNING XX.STA: hook: down; retrying, 1 lines wait",
        "INFO hook: the sink works again after 0 s; 0 more lines wait",
    ]


def test_a_line_that_the_sink_leaves_out_is_not_counted_as_delivered(
    events: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    """As an alert beyond its hourly limit: every line was counted as delivered before."""

    class Choosy(Sink):
        def write(self, line: Event | Hop) -> None:
            if isinstance(line, Event) and line.revision > 0:
                raise LeftOut

    journal = MemoryJournal()
    drain = Drain(Choosy(), "alert phone", journal.outbox)
    drain.start()
    for event in events:
        journal.add(event)
    journal.step()
    assert drain.close(5) == 0
    counters = drain.counters
    assert (counters.delivered, counters.left_out, counters.refused) == (1, 2, 0)
    assert "works again" not in caplog.text


def test_the_wait_between_two_attempts_is_limited_by_the_sink(
    events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten seconds for files, as the journal: 5 min after a disk was cleared they were still not written."""
    assert (JsonLinesFile.retry_max_s, EventsFile.retry_max_s, QuakeMLSink.retry_max_s) == (10.0, 10.0, 10.0)
    sink, journal = Switched(), MemoryJournal()
    sink.retry_max_s = 10.0
    drain = Drain(sink, "jsonl", journal.outbox)
    waits: list[float] = []

    def pause(seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 7:
            sink.up.set()
        return False

    monkeypatch.setattr(drain, "_pause", pause)
    journal.add(events[0])
    journal.step()
    drain.start()
    wait_until(lambda: drain.waiting == 0)
    assert drain.close(5) == 0 and waits == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0]
