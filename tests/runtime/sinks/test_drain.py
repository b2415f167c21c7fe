"""A sink that fails does not delay others, and receives its lines in order when it works again."""

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from seisedge.runtime.event import Event, Hop, content_of
from seisedge.runtime.journal.journal import Journal
from seisedge.runtime.journal.memory import MemoryJournal
from seisedge.runtime.sinks import Sink
from seisedge.runtime.sinks._drain import Drain


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
