"""Output: lines to standard output and standard error, without waiting for a reader that has stopped reading.

A pipe, a terminal or a socket whose reader stands still takes 64 KiB and then blocks whoever writes. Here lines wait
in a bounded queue instead: `post` and `offer` never block, and lines beyond the bound are dropped, counted and reported
in the stream itself as soon as it is read again. `deliver` waits for the reader, for output that must be complete.

Nothing is written through Python's own buffered streams: a thread that is blocked in one of them would hold a lock that
the interpreter needs at its end.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TextIO

from seisedge.runtime.paths import PRINTABLE

MAX_LOG_LINES, MAX_LOG_BYTES = 1_000, 1 << 20  # waiting; further log lines are dropped
MAX_LINES, MAX_BYTES = 10_000, 8 << 20  # waiting; further event lines are dropped
STALLED_S = 30.0  # without a byte read while lines wait: reported by `/healthz`
STEP_S = 0.2  # a wait ends this fast after `give_up`
ERROR_WAIT_S = 2.0  # for the message that ends a command

_BUSY = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR)


class OutputStream:
    """One standard stream of this process. All methods may be called from any thread.

    name: for messages. dropped: number of lines that were dropped.
    on_reader_gone: called once, when the reader has closed the stream.
    patient: `post` waits for the reader instead of dropping lines, for a run whose source waits, too.
    """

    def __init__(self, stream: TextIO, name: str, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.dropped = 0
        self.patient = False
        self.on_reader_gone: Callable[[], None] | None = None
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._now_s = now_s
        self._lock = threading.RLock()  # `post` may be called by a signal handler
        self._queue: deque[bytes] = deque()
        self._bytes = 0  # in the queue
        self._rest = b""  # of the line that is being written
        self._unreported = 0  # dropped lines
        self._delivering = 0  # calls of `deliver` that wait
        self._moved_s = now_s()  # when the reader last took a byte, or the first line began to wait
        self._gave_up = self._closed = False
        self._descriptor: _Descriptor | None = None
        self._write: Callable[[bytes], int]
        try:
            stream.flush()
            self._descriptor = _Descriptor(stream.fileno())
            self._write = self._descriptor.write
        except (OSError, ValueError):  # no descriptor: a stream in memory, which never blocks
            self._write = lambda data: _write_to(stream, data)

    def post(self, line: str) -> None:
        """Write a line of the log. Never raises OSError."""
        data = self._encoded(line)
        try:
            while self.patient and not self._gave_up and not self._has_room(data, MAX_LOG_LINES, MAX_LOG_BYTES):
                self._wait(STEP_S)
                self.pump()
            self._put(data, MAX_LOG_LINES, MAX_LOG_BYTES)
            self.pump()
        except OSError:
            return  # nobody will read it; counted by `pump`

    def offer(self, line: str) -> None:
        """Write a line of events. Never waits. Raises OSError if the reader has closed the stream."""
        self._put(self._encoded(line), MAX_LINES, MAX_BYTES)
        self.pump()

    def deliver(self, line: str, timeout_s: float = float("inf")) -> None:
        """Write a line of events, and wait for the reader.

        Raises TimeoutError if the reader takes nothing for `timeout_s` or `give_up` was called, and OSError if it has
        closed the stream; the line is then not written.
        """
        data = self._encoded(line)
        self._begin_to_wait()
        with self._lock:
            self._delivering += 1
        try:
            while not self._delivered(data):
                if self._gave_up or self._closed or self._now_s() - self._moved_s > timeout_s:
                    raise TimeoutError(f"{self.name}: nobody reads it")
                self._wait(STEP_S)
        finally:
            with self._lock:
                self._delivering -= 1

    def _delivered(self, data: bytes) -> bool:
        """True if the line, or its first part, could be written now."""
        with self._lock:
            if self._closed or not self.pump():
                return False
            written = self._write_some(data)
            if not written:
                return False
            self._rest = data[written:]
            self._moved_s = self._now_s()
            self.pump()
            return True

    def _write_some(self, data: bytes) -> int:
        """Write what can be written now; returns the number of bytes. Raises OSError."""
        try:
            return self._write(data)
        except BrokenPipeError:
            report, self.on_reader_gone = self.on_reader_gone, None
            if report is not None:
                report()
            raise

    def pump(self) -> bool:
        """Write what waits and can be written now; True if nothing waits any more. Raises OSError."""
        with self._lock:
            while not self._closed and (self._rest or self._queue):
                if not self._rest:
                    self._rest = self._queue.popleft()
                    self._bytes -= len(self._rest)
                try:
                    written = self._write_some(self._rest)
                except OSError:
                    self.dropped += 1 + len(self._queue)
                    self._rest, self._bytes = b"", 0
                    self._queue.clear()
                    raise
                if not written:
                    return False
                self._rest = self._rest[written:]
                self._moved_s = self._now_s()
                if not self._queue and self._unreported:
                    self._report_dropped()
            return True

    def give_up(self) -> None:
        """Let no call wait for the reader any more; for a signal handler."""
        self._gave_up = True

    def close(self, within_s: float) -> int:
        """Write what waits, for at most `within_s`, until the first `give_up`. Returns the number of lines left."""
        until_s = self._now_s() + within_s
        try:
            while not self.pump() and self._now_s() < until_s and not self._gave_up:
                self._wait(min(STEP_S, max(until_s - self._now_s(), 0.0)))
        except OSError:
            pass  # nobody is there to read it
        with self._lock:
            left = self.waiting
            self._queue.clear()
            self._rest, self._bytes = b"", 0
            self._closed = True
            if self._descriptor is not None:
                self._descriptor.close()
        return left

    @property
    def waiting(self) -> int:
        """Number of lines that the reader has yet to take."""
        with self._lock:
            return len(self._queue) + bool(self._rest)

    @property
    def stalled_s(self) -> float:
        """Seconds for which the reader has taken nothing while lines wait; 0 if none wait."""
        with self._lock:
            return self._now_s() - self._moved_s if self.waiting or self._delivering else 0.0

    def _begin_to_wait(self) -> None:
        with self._lock:
            if not self.waiting and not self._delivering:
                self._moved_s = self._now_s()

    def _has_room(self, data: bytes, max_lines: int, max_bytes: int) -> bool:
        return len(self._queue) < max_lines and self._bytes + len(data) <= max_bytes

    def _put(self, data: bytes, max_lines: int, max_bytes: int) -> None:
        with self._lock:
            if not self._has_room(data, max_lines, max_bytes):
                self.dropped += 1
                self._unreported += 1
                return
            self._begin_to_wait()
            if self._unreported:
                self._report_dropped()
            self._queue.append(data)
            self._bytes += len(data)

    def _report_dropped(self) -> None:
        count, self._unreported = self._unreported, 0
        notice = self._encoded(f"WARNING {self.name}: {count} lines were dropped here because nobody read it")
        self._queue.append(notice)
        self._bytes += len(notice)

    def _encoded(self, line: str) -> bytes:
        return f"{line}\n".encode(self._encoding, errors=PRINTABLE)

    def _wait(self, seconds: float) -> None:
        """Wait until the reader may have taken something."""
        if self._descriptor is not None:
            self._descriptor.wait(seconds)


class LogHandler(logging.Handler):
    """Writes log records to an OutputStream."""

    def __init__(self, stream: OutputStream) -> None:
        super().__init__()
        self.stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # a record with wrong arguments
            self.handleError(record)
            return
        self.stream.post(line)


class _Descriptor:
    """A file descriptor of which `write` never blocks, whatever other processes share it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._own: int | None = None  # an open file of our own, in non-blocking mode
        self._link: socket.socket | None = None
        kind = os.fstat(fd).st_mode
        self._may_block = not stat.S_ISREG(kind)
        if stat.S_ISSOCK(kind):
            self._link = socket.socket(fileno=os.dup(fd))
        elif self._may_block:
            try:
                # The mode belongs to the open file, which the processes of a shell share: it must not be changed.
                self._own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            except OSError:
                self._own = None  # a terminal of another user, or no /proc

    def write(self, data: bytes) -> int:
        """Write a part of the data; returns its length, 0 if nothing can be written now. Raises OSError."""
        try:
            if self._link is not None:
                return self._link.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            if self._own is not None:
                return os.write(self._own, data)
            if self._may_block:
                if not self.wait(0.0):
                    return 0
                data = data[: select.PIPE_BUF]  # a pipe that polls as writable takes this much
            return os.write(self._fd, data)
        except OSError as error:
            if error.errno in _BUSY:
                return 0
            raise

    def wait(self, seconds: float) -> bool:
        """Wait until the descriptor can be written; False if it cannot be yet."""
        poll = select.poll()
        poll.register(self._fd if self._own is None else self._own, select.POLLOUT)
        return bool(poll.poll(seconds * 1e3))

    def close(self) -> None:
        """Close what was opened here; the descriptor itself stays open."""
        if self._own is not None:
            os.close(self._own)
        if self._link is not None:
            self._link.close()
        self._own = self._link = None


def print_error(text: str) -> None:
    """Write a message to standard error, and wait for its reader for `ERROR_WAIT_S` at most."""
    stream = OutputStream(sys.stderr, "standard error")
    stream.post(text)
    stream.close(ERROR_WAIT_S)


def _write_to(stream: TextIO, data: bytes) -> int:
    """Write to a stream in memory."""
    try:
        buffer = stream.buffer
    except AttributeError:
        stream.write(data.decode(errors="replace"))
    else:
        buffer.write(data)
    stream.flush()
    return len(data)
