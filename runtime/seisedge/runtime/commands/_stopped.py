"""SIGTERM and SIGHUP as an exception, so that a command removes what it has not finished and its children end."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
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
    """Within the block, signals wait: an exception must not pass through a library that writes a file.

    Their handlers are replaced, not the mask of the thread: a signal to the process may arrive in another thread, and
    its handler would then run in the main thread nevertheless.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[tuple[int, FrameType | None]] = []

    def hold(number: int, frame: FrameType | None) -> None:
        arrived.append((number, frame))

    earlier: dict[int, Callable[[int, FrameType | None], object]] = {}
    for each in (*SIGNALS, signal.SIGINT):
        handler = signal.getsignal(each)
        if callable(handler):
            earlier[each] = handler
            signal.signal(each, hold)
    try:
        yield
    finally:
        for number, replaced in earlier.items():
            signal.signal(number, replaced)
        for number, frame in arrived[:1]:
            earlier[number](number, frame)
