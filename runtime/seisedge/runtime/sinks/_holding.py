"""Holding: a sink in the thread of the loop that fails without stopping the others."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable

from seisedge.runtime.errors import FailedError
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.sinks._base import Sink

logger = logging.getLogger(__name__)

RETRY_S = 10.0
MAX_WAITING = 10_000  # lines in memory


class Holding(Sink):
    """Passes lines to `sink`. Lines that it does not accept wait, in order, for a later line or for `close`.

    `write` and `close` never raise OSError: the first failure is logged. name: for the log.
    dropped: lines that were too many to wait. failure: why the last attempt failed; None if it succeeded.
    """

    def __init__(self, sink: Sink, name: str, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.dropped = 0
        self.failure: str | None = None
        self._sink = sink
        self._now_s = now_s
        self._retry_s = 0.0
        self._waiting: deque[Event | Hop] = deque()

    @property
    def undelivered(self) -> int:
        """Lines that the sink does not have: they wait or were dropped."""
        return len(self._waiting) + self.dropped

    def check(self) -> None:
        """Raises FailedError if the sink does not have every line, once the run has ended."""
        if self.undelivered:
            raise FailedError(f"{self.name}: {self.undelivered} event lines could not be written: {self.failure}")

    def write(self, line: Event | Hop) -> None:
        self._waiting.append(line)
        if self.failure is None or self._now_s() >= self._retry_s:
            self._pass_on()
        if len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()
            self.dropped += 1

    def close(self) -> None:
        self._pass_on()
        try:
            self._sink.close()
        except OSError as error:
            self._failed(error)

    def _pass_on(self) -> None:
        while self._waiting:
            try:
                self._sink.write(self._waiting[0])
            except OSError as error:
                self._failed(error)
                return
            self._waiting.popleft()
        if self.failure is not None:
            logger.info("%s: events can be written again", self.name)
            self.failure = None

    def _failed(self, error: OSError) -> None:
        reason = error.strerror or str(error)
        logger.log(
            logging.WARNING if self.failure is None else logging.DEBUG,
            "%s: events cannot be written: %s; up to %d lines wait in memory, retry every %g s",
            self.name,
            reason,
            MAX_WAITING,
            RETRY_S,
        )
        self.failure = reason
        self._retry_s = self._now_s() + RETRY_S
