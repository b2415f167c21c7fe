"""The console of a run: standard output, standard error, and the signals that end the run.

A run never waits for a reader that has stopped reading, with one exception: a source that waits for the station (files,
`--until-end`) waits for the reader of the events, too, so that `seisedge run FILE | TOOL` loses nothing. SIGTERM and
Ctrl-C end that wait as well.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Self

from seisedge.runtime.errors import FailedError
from seisedge.runtime.journal._base import BaseJournal
from seisedge.runtime.output import LogHandler, OutputStream
from seisedge.runtime.paths import text_of_message
from seisedge.runtime.screen import Screen, Style
from seisedge.runtime.sinks import Sink
from seisedge.runtime.sinks.terminal import JsonTerminalSink, TerminalSink
from seisedge.runtime.sources import Source
from seisedge.runtime.threads import start_worker

logger = logging.getLogger(__name__)
OUR_LOG = logging.getLogger("seisedge.runtime")

SINK_WAIT_S = 5.0  # with a state folder: then the lines wait there, and the sink is reported as down
END_WAIT_S = 30.0  # at the end, for lines that the reader has yet to take; without limit for those of a file
STOP_LIMIT_S = 4.5  # after SIGTERM or Ctrl-C the process ends, whatever its main thread waits for


LEVEL_STYLES: dict[str, tuple[Style, ...]] = {"WARNING": ("yellow",), "ERROR": ("red",), "CRITICAL": ("red",)}


class _LogFormatter(logging.Formatter):
    """A log line with its time in UTC, in which every name is printable; on a terminal it is wrapped between words."""

    converter = time.gmtime  # type: ignore[assignment]  # its parameter has a default

    def __init__(self, screen: Screen) -> None:
        super().__init__("%(asctime)sZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
        self._screen = screen

    def format(self, record: logging.LogRecord) -> str:
        lines = text_of_message(super().format(record)).splitlines()
        text = "\n".join(self._screen.wrapped(line, "    ") for line in lines)
        level = record.levelname
        return text.replace(level, self._screen.painted(level, *LEVEL_STYLES.get(level, ())), 1)


class Console:
    """Both standard streams of a run. The log goes to standard output or, with JSON lines there, to standard error."""

    def __init__(self, *, as_json: bool) -> None:
        self.out = OutputStream(sys.stdout, "standard output")
        self.err = OutputStream(sys.stderr, "standard error")
        self._as_json = as_json
        self._end_wait_s = END_WAIT_S
        self._alone = True
        self._failed = False  # writing to standard output, once
        self._level_before: int | None = None  # of our log, where this run has changed it
        self._screen = Screen.of(sys.stdout)
        self._err_screen = Screen.of(sys.stderr)
        log = self.err if as_json else self.out
        formatter = _LogFormatter(self._err_screen if as_json else self._screen)
        root = logging.getLogger()
        for handler in list(root.handlers):
            if isinstance(handler, LogHandler) or getattr(handler, "stream", None) is sys.stderr:
                ours = LogHandler(log)
                ours.setFormatter(formatter)
                root.removeHandler(handler)
                root.addHandler(ours)

    @property
    def streams(self) -> tuple[OutputStream, ...]:
        """Both streams, for the health."""
        return self.out, self.err

    def sink(self, journal: BaseJournal, source: Source, *, alone: bool) -> Sink:
        """The sink that writes events to standard output. alone: no other output has them."""
        self._alone = alone
        if source.live:
            self._level_before = _show_state_changes()
        if source.back_pressure:
            self.out.patient = True
            self._end_wait_s = float("inf")
        if journal.folder is not None or not alone:  # else the run ends, with a message
            events = "its event lines wait in the state folder" if journal.folder is not None else "other outputs work"
            self.out.on_reader_gone = lambda: self.err.post(
                f"WARNING {self.out.name}: its reader has closed it; the run continues, {events}"
            )
        if journal.folder is not None:  # the lines wait in the folder; the thread of the sink tries again
            return self._sink(lambda line: self.out.deliver(line, SINK_WAIT_S))
        return self._sink(self._direct(self.out.deliver if source.back_pressure else self.out.offer))

    def _sink(self, echo: Callable[[str], None]) -> Sink:
        return JsonTerminalSink(echo) if self._as_json else TerminalSink(echo, self._screen)

    def _direct(self, write: Callable[[str], None]) -> Callable[[str], None]:
        """Write a line from the loop. A reader that has gone ends the run only if no other output has the events."""

        def echo(line: str) -> None:
            try:
                write(line)
            except TimeoutError:  # only after a signal
                self.out.dropped += 1
            except OSError as error:
                if self._alone and isinstance(error, BrokenPipeError):  # as by `| head`
                    raise FailedError(
                        f"{self.out.name}: its reader has closed it, and no other output has the events; the run ends "
                        "(with --events FILE it would continue)"
                    ) from error
                if self._alone:
                    raise FailedError(f"{self.out.name}: events cannot be written: {error.strerror}") from error
                self.out.dropped += 1
                level = logging.DEBUG if self._failed else logging.WARNING
                self._failed = True
                logger.log(level, "%s: %s; other outputs still receive events", self.out.name, error.strerror)

        return echo

    def say(self, line: str) -> None:
        """Write a line of the summary, to standard error."""
        self.err.post(self._err_screen.wrapped(line, "    "))

    def give_up(self) -> None:
        """Do not wait for readers any more."""
        for stream in self.streams:
            stream.give_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what waits; may be called twice."""
        if self._level_before is not None:
            OUR_LOG.setLevel(self._level_before)
            self._level_before = None
        lost = self.out.close(self._end_wait_s)
        if lost:
            self.err.post(f"WARNING {self.out.name}: the last {lost} lines were not read")
        self.err.close(END_WAIT_S)


def _show_state_changes() -> int | None:
    """Log at INFO what a live run does: connections of sources and sinks, and their recovery. -vv shows more.

    Returns the level that was set before, or None if the level already shows them.
    """
    if OUR_LOG.getEffectiveLevel() <= logging.INFO:
        return None
    before = OUR_LOG.level
    OUR_LOG.setLevel(logging.INFO)
    return before


@contextlib.contextmanager
def stopped_by_signals(*stops: Callable[[], None]) -> Iterator[None]:
    """Make SIGTERM and Ctrl-C call `stops`, which end the run normally, with exit status 0.

    If the process has not ended `STOP_LIMIT_S` after the signal, because the main thread hangs in a library, a driver
    or a disk, a thread ends it with exit status 1. That is the same as a crash: a run with a state folder resumes from
    its last transaction.
    """

    def stop(_number: int, _frame: FrameType | None) -> None:
        for one in stops:
            one()

    signals = (signal.SIGTERM, signal.SIGINT)
    with _stop_limit(signals):
        before = {number: signal.signal(number, stop) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _stop_limit(signals: tuple[int, ...]) -> Iterator[None]:
    """End the process `STOP_LIMIT_S` after one of the signals; the interpreter reports them to a pipe at once."""
    read_fd, write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    ended = threading.Event()

    def watch() -> None:
        poll = select.poll()
        poll.register(read_fd, select.POLLIN)
        while not ended.is_set():
            if not poll.poll():
                continue
            received = os.read(read_fd, 64)
            if not any(number in received for number in signals):
                continue
            if not ended.wait(STOP_LIMIT_S):
                os._exit(1)

    worker = start_worker("stop limit", watch)
    earlier = signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(earlier)
        ended.set()
        worker.stop()
        os.write(write_fd, b"\0")
        worker.join(1.0)
        os.close(write_fd)
        os.close(read_fd)
