"""SIGTERM and SIGHUP as an exception, so that a command removes what it has not finished and its children end."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """The process was told to end by a signal. A command that handles Ctrl-C handles this in the same way."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)

    @property
    def exit_code(self) -> int:
        """As a shell reports the end by a signal."""
        return 128 + self.number


@contextlib.contextmanager
def stops_on_signals() -> Iterator[None]:
    """Within the block, SIGTERM and SIGHUP raise `Stopped` in the main thread. An ignored signal stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: FrameType | None) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)  # a second one must not end the removal
        raise Stopped(number)

    earlier = {each: signal.getsignal(each) for each in SIGNALS}
    for each, handler in earlier.items():
        if handler == signal.SIG_DFL:
            signal.signal(each, stop)
    try:
        yield
    finally:
        for each, handler in earlier.items():
            signal.signal(each, handler)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Within the block, signals wait: an exception must not pass through a library that writes a file."""
    waiting = {*SIGNALS, signal.SIGINT}
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, waiting)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)
