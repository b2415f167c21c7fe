"""LinkLog: the log of a sink's connection, which stays short while the connection is lost again and again."""

from __future__ import annotations

import logging
import threading
import time

from seisedge.runtime.clock import duration_text

logger = logging.getLogger(__name__)

STEADY_S = 120.0  # a connection that lasts so long works
MAX_SHORT = 3  # connections in a row that did not last, each of which is logged


class LinkLog:
    """What a sink reports of its connection, from threads of its own.

    reason: why it is not connected; None where it is, or where the sink reports nothing. reported: it reports.
    """

    def __init__(self, name: str) -> None:
        self.reason: str | None = None
        self.reported = False
        self._name = name
        self._lock = threading.Lock()
        self._down_s: float | None = None  # since when it is not connected, on the monotonic clock
        self._up_s: float | None = None  # since when it is connected
        self._short = 0  # connections in a row that did not last

    def changed(self, reason: str | None) -> None:
        """Log a change: one line, or none after MAX_SHORT connections that did not last."""
        with self._lock:
            if self.reported and reason == self.reason:
                return
            now_s = time.monotonic()
            if reason is None:
                after = f" after {duration_text(now_s - self._down_s)}" if self._down_s is not None else ""
                logger.log(self._level(logging.INFO), "%s: connected%s", self._name, after)
                self._up_s, self._down_s = now_s, None
            else:
                self._lost(reason, now_s)
            self.reported, self.reason = True, reason

    def _lost(self, reason: str, now_s: float) -> None:
        if self._up_s is not None:
            self._short = self._short + 1 if now_s - self._up_s < STEADY_S else 0
        last = self._up_s is not None and self._short == MAX_SHORT
        level = logging.WARNING if last else self._level(logging.WARNING)
        more = f"; no further change is logged until a connection lasts {duration_text(STEADY_S)}" if last else ""
        logger.log(level, "%s: not connected: %s; retrying%s", self._name, reason, more)
        self._up_s = None
        if self._down_s is None:
            self._down_s = now_s

    def _level(self, level: int) -> int:
        return level if self._short < MAX_SHORT else logging.DEBUG

    def check(self) -> None:
        """Call now and then: logs that a connection lasts, after those that did not."""
        with self._lock:
            if self._short >= MAX_SHORT and self._up_s is not None and time.monotonic() - self._up_s >= STEADY_S:
                self._short = 0
                logger.info("%s: the connection lasts", self._name)
