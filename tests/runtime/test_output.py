"""Lines to readers that read, read late, stop reading, and close."""

import fcntl
import io
import os
import pty
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

import pytest

from seisedge.runtime.output import MAX_LOG_BYTES, MAX_LOG_LINES, OutputStream

NAME = "standard output"


class Pipe:
    """Both ends of something that blocks when nobody reads."""

    def __init__(self, kind: str) -> None:
        if kind == "pipe":
            self.read_fd, self.write_fd = os.pipe()
        elif kind == "terminal":
            try:
                self.read_fd, self.write_fd = pty.openpty()
            except OSError as error:
                pytest.skip(f"no pseudo-terminal: {error}")
        else:
            self._pair = socket.socketpair()
            self.read_fd, self.write_fd = self._pair[0].fileno(), self._pair[1].fileno()
        self.kind = kind
        self.text = open(self.write_fd, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - closed by the fixture
        os.set_blocking(self.read_fd, False)

    def read(self) -> bytes:
        """All bytes that can be read now."""
        found = b""
        while True:
            try:
                data = os.read(self.read_fd, 1 << 20)
            except BlockingIOError:
                return found.replace(b"\r\n", b"\n")
            found += data
            if not data:
                return found

    def close_reader(self) -> None:
        os.close(self.read_fd)
        self.read_fd = -1

    def close(self) -> None:
        self.text.close()
        if self.kind == "socket":
            for link in self._pair:
                link.close()
            return
        for fd in (self.read_fd, self.write_fd):
            if fd >= 0:
                os.close(fd)


OPENED: list[OutputStream] = []


def _opened(stream: TextIO, name: str, now_s: Callable[[], float] = time.monotonic) -> OutputStream:
    OPENED.append(OutputStream(stream, name, now_s=now_s))
    return OPENED[-1]


@pytest.fixture(autouse=True)
def _close_streams() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close(0.0)


@pytest.fixture(params=["pipe", "terminal", "socket"])
def pipe(request: pytest.FixtureRequest) -> Iterator[Pipe]:
    made = Pipe(request.param)
    yield made
    made.close()


@pytest.fixture
def one_pipe() -> Iterator[Pipe]:
    made = Pipe("pipe")
    yield made
    made.close()


def test_a_reader_that_reads_receives_everything_at_once(pipe: Pipe) -> None:
    stream = _opened(pipe.text, NAME)
    stream.post("a log line")
    stream.offer("an event")
    stream.deliver("another")
    assert pipe.read() == b"a log line\nan event\nanother\n"
    assert (stream.waiting, stream.dropped, stream.stalled_s, stream.close(0.0)) == (0, 0, 0.0, 0)


def test_a_reader_that_stops_blocks_nobody_and_is_told_what_it_missed(pipe: Pipe) -> None:
    now_s = [0.0]
    stream = _opened(pipe.text, NAME, now_s=lambda: now_s[0])
    sent = [f"line {k} {'x' * 200}" for k in range(4 * MAX_LOG_LINES)]
    for line in sent:
        stream.post(line)
    assert stream.waiting <= MAX_LOG_LINES + 1
    assert stream.dropped > MAX_LOG_LINES
    now_s[0] = 40.0
    assert stream.stalled_s == 40.0
    received = b""
    while stream.waiting:
        received += pipe.read()
        stream.pump()
    received += pipe.read()
    stream.post("the last line")
    received += pipe.read()
    lines = received.decode().splitlines()
    assert lines.pop() == "the last line"
    dropped = 0
    for k, line in enumerate(lines):  # a terminal takes more a moment later: then lines are dropped in two places
        if mark := re.fullmatch(rf"WARNING {NAME}: (\d+) lines were dropped here because nobody read it", line):
            dropped += int(mark[1])
            sent[k:k] = [line]
            del sent[k + 1 : k + 1 + int(mark[1])]
    assert lines == sent and dropped == stream.dropped
    assert stream.stalled_s == 0.0


def test_the_mode_of_the_shared_descriptor_is_unchanged(pipe: Pipe) -> None:
    """Other processes write to it, too; they expect it to block."""
    stream = _opened(pipe.text, NAME)
    for _ in range(3000):
        stream.post("x" * 100)
    assert not fcntl.fcntl(pipe.write_fd, fcntl.F_GETFL) & os.O_NONBLOCK
    assert stream.close(0.0) > 0


def test_bytes_are_bounded(one_pipe: Pipe) -> None:
    stream = _opened(one_pipe.text, NAME)
    for _ in range(20):
        stream.post("x" * (MAX_LOG_BYTES // 4))
    assert stream._bytes <= MAX_LOG_BYTES and stream.dropped >= 14


def test_deliver_waits_and_loses_nothing(pipe: Pipe) -> None:
    stream = _opened(pipe.text, NAME)
    sent = [f"{k} {'x' * 1000}" for k in range(500)]
    received = []

    def write() -> None:
        for line in sent:
            stream.deliver(line)

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive() or stream.waiting:
        received.append(pipe.read())
        stream.pump()
        writer.join(0.001)
    received.append(pipe.read())
    assert b"".join(received).decode().splitlines() == sent and stream.dropped == 0


def test_a_patient_stream_keeps_log_lines(one_pipe: Pipe) -> None:
    stream = _opened(one_pipe.text, NAME)
    stream.patient = True

    def write() -> None:
        for k in range(3 * MAX_LOG_LINES):
            stream.post(f"{k}{'x' * 200}")

    writer = threading.Thread(target=write)
    writer.start()
    while stream.waiting < MAX_LOG_LINES:
        writer.join(0.001)
    received = b""
    while writer.is_alive() or stream.waiting:
        received += one_pipe.read()
        stream.pump()
        writer.join(0.001)
    received += one_pipe.read()
    assert received.count(b"\n") == 3 * MAX_LOG_LINES and stream.dropped == 0


def test_deliver_ends_after_its_timeout_and_the_line_is_not_written(one_pipe: Pipe) -> None:
    stream = _opened(one_pipe.text, NAME)
    size = 0
    with pytest.raises(TimeoutError, match="standard output: nobody reads it"):
        for k in range(10_000):
            stream.deliver(f"{k:099}", timeout_s=0.0)
            size = k
    received = one_pipe.read()
    assert stream.pump()
    received += one_pipe.read()
    assert received.split()[-1] == f"{size:099}".encode()


@pytest.mark.parametrize("patient", [True, False])
def test_give_up_ends_every_wait(one_pipe: Pipe, patient: bool) -> None:
    stream = _opened(one_pipe.text, NAME)
    stream.patient = patient
    ended = []

    def write() -> None:
        try:
            for _ in range(3 * MAX_LOG_LINES):
                (stream.post if patient else stream.deliver)("x" * 1000)
        except TimeoutError:
            pass
        ended.append(True)

    writer = threading.Thread(target=write)
    writer.start()
    while stream.stalled_s == 0.0:
        time.sleep(0.001)
    stream.give_up()
    writer.join(10)
    assert ended and stream.close(60.0) >= patient


def test_a_reader_that_closes() -> None:
    pipe = Pipe("pipe")
    stream = _opened(pipe.text, NAME)
    pipe.close_reader()
    reported: list[int] = []
    stream.on_reader_gone = lambda: reported.append(1)
    stream.post("a log line")  # not an error: a view that nobody looks at
    assert stream.dropped == 1
    with pytest.raises(BrokenPipeError):
        stream.offer("an event")
    with pytest.raises(BrokenPipeError):
        stream.deliver("an event")
    assert reported == [1]
    assert stream.close(1.0) == 0
    pipe.close()


def test_without_proc_a_pipe_is_polled(one_pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    stream = _opened(one_pipe.text, NAME)
    monkeypatch.undo()
    for _ in range(3 * MAX_LOG_LINES):
        stream.post("x" * 200)
    assert stream.dropped > 0 and stream.waiting <= MAX_LOG_LINES + 1
    assert one_pipe.read().startswith(b"xxx")


def test_a_file_and_a_stream_in_memory(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w", encoding="utf-8") as file:
        file.write("before\n")
        stream = _opened(file, NAME)
        stream.post("after")
    assert (tmp_path / "log").read_text() == "before\nafter\n"
    memory = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    _opened(memory, NAME).post("é")
    assert memory.buffer.getvalue() == "é\n".encode()
    text = io.StringIO()
    _opened(text, NAME).offer("é")
    assert text.getvalue() == "é\n"


def test_what_the_stream_cannot_show_is_escaped() -> None:
    with tempfile.TemporaryFile("w+", encoding="ascii") as file:
        _opened(file, NAME).post("\u00e9 \udce9")
        file.seek(0)
        assert file.read() == "\\xe9 \\xe9\n"


def test_a_full_disk_is_an_error_of_events_only() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        stream = _opened(full, NAME)
        stream.post("a log line")
        assert stream.dropped == 1
        with pytest.raises(OSError, match="No space left"):
            stream.deliver("an event")
        stream.close(0.0)
