"""A sink that fails in the thread of the loop."""

import pytest

from seisedge.runtime.errors import FailedError
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.sinks import Sink
from seisedge.runtime.sinks._holding import MAX_WAITING, RETRY_S, Holding


class Disk(Sink):
    """Accepts lines while it is not full. attempts: number of calls of `write`."""

    def __init__(self) -> None:
        self.full = False
        self.attempts = 0
        self.lines: list[Event | Hop] = []

    def write(self, line: Event | Hop) -> None:
        self.attempts += 1
        if self.full:
            raise OSError(28, "No space left on device")
        self.lines.append(line)

    def close(self) -> None:
        if self.full:
            raise OSError(28, "No space left on device")


def test_lines_wait_in_order_and_are_retried(revision, caplog: pytest.LogCaptureFixture) -> None:  # type: ignore[no-untyped-def]
    caplog.set_level("DEBUG")
    now_s = [100.0]
    disk = Disk()
    held = Holding(disk, "events", now_s=lambda: now_s[0])
    lines = [revision(revision=k) for k in range(6)]
    held.write(lines[0])
    disk.full = True
    for line in lines[1:4]:
        held.write(line)
    assert (disk.attempts, held.undelivered, held.failure) == (2, 3, "No space left on device")
    now_s[0] += RETRY_S
    held.write(lines[4])
    assert (disk.attempts, held.undelivered) == (3, 4)
    disk.full = False
    now_s[0] += RETRY_S
    held.write(lines[5])
    assert disk.lines == lines and held.undelivered == 0 and held.failure is None
    held.close()
    held.check()
    assert [r.levelname for r in caplog.records] == ["WARNING", "DEBUG", "INFO"]


def test_the_end_is_one_more_attempt(revision) -> None:  # type: ignore[no-untyped-def]  # a fixture of conftest
    disk = Disk()
    disk.full = True
    held = Holding(disk, "events")
    held.write(revision())
    held.close()
    with pytest.raises(FailedError, match="events: 1 event lines could not be written: No space left on device"):
        held.check()
    disk.full = False
    held.close()
    held.check()


def test_lines_in_memory_are_bounded(revision) -> None:  # type: ignore[no-untyped-def]  # a fixture of conftest
    disk = Disk()
    disk.full = True
    held = Holding(disk, "events")
    for k in range(MAX_WAITING + 3):
        held.write(revision(revision=k))
    assert (held.dropped, held.undelivered) == (3, MAX_WAITING + 3)
    disk.full = False
    held.close()
    assert [line.revision for line in disk.lines if isinstance(line, Event)] == list(range(3, MAX_WAITING + 3))
    with pytest.raises(FailedError, match="3 event lines"):
        held.check()
