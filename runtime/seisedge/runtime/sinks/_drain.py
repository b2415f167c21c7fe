"""Drain: delivers lines from the outbox to one sink, in order, in a thread of its own.

A sink that fails is retried with a growing delay; neither the station nor other sinks wait for it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass

from seisedge.runtime.journal.line import Line
from seisedge.runtime.journal.outbox import Outbox
from seisedge.runtime.sinks._base import Refused, Sink

logger = logging.getLogger(__name__)

BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 300.0
BACKOFF_JITTER = 0.3
POLL_S = 5.0  # the outbox is read at least this often


@dataclass(slots=True)
class DrainCounters:
    """Totals of one sink."""

    delivered: int = 0
    failures: int = 0
    refused: int = 0


class Drain:
    """Delivers lines of `outbox` to `sink`. name: key of the sink's place in the outbox.

    stations: ids of the stations whose lines are delivered; None: all. hops: whether hops are delivered, too.
    owned: whether `close` closes the sink.
    down_since_s: when the sink began to fail, on the monotonic clock; None while it works.
    """

    def __init__(
        self,
        sink: Sink,
        name: str,
        outbox: Outbox,
        *,
        stations: Collection[str] | None = None,
        hops: bool = True,
        owned: bool = True,
        backoff_first_s: float = BACKOFF_FIRST_S,
    ) -> None:
        self.name = name
        self.counters = DrainCounters()
        self.down_since_s: float | None = None
        self._sink = sink
        self._outbox = outbox
        self._stations = stations
        self._hops = hops
        self._owned = owned
        self._backoff_first_s = backoff_first_s
        self._wake = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sink {name}", daemon=True)
        self._place = outbox.subscribe(name, self._wake.set)

    def start(self) -> None:
        self._wake.set()  # for lines of an earlier run
        self._thread.start()

    def close(self, within_s: float) -> int:
        """Deliver the remaining lines within `within_s`; returns the number of undelivered ones."""
        self._ending.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(within_s)
        if self._owned and not self._thread.is_alive():
            self._sink.close()
        left = self._outbox.undelivered(self.name)
        if left:
            durable = self._outbox.durable
            result = "they wait in the state folder" if durable else "they are lost, because there is no state folder"
            logger.warning("%s: %d lines not delivered; %s", self.name, left, result)
        return left

    def _run(self) -> None:
        while True:
            lines = self._outbox.lines_after(self._place)
            for line in lines:
                if not self._deliver(line):
                    return
                self._place = line.seq
                self._outbox.delivered(self.name, line.seq)
            if lines:
                continue
            if self._ending.is_set():
                return
            self._wake.wait(POLL_S)
            self._wake.clear()

    def _deliver(self, line: Line) -> bool:
        """False if the run ended before the sink accepted the line."""
        if (self._stations is not None and line.station not in self._stations) or (
            line.kind == "hop" and not self._hops
        ):
            return True
        backoff_s = self._backoff_first_s
        decoded = line.decoded()
        while True:
            try:
                self._sink.write(decoded)
            except OSError as error:
                self._failed(line, error)
            except Refused as error:
                self._refuse(line, str(error))
                return True
            except Exception:
                logger.exception("%s: %s: programming error in the sink", line.station, self.name)
                self._refuse(line, "programming error in the sink")
                return True
            else:
                if self.down_since_s is not None:
                    logger.warning("%s: the sink works again", self.name)
                self.down_since_s = None
                self.counters.delivered += 1
                return True
            if self._ending.is_set():
                return False
            self._ending.wait(
                backoff_s * (1 + random.uniform(-BACKOFF_JITTER, BACKOFF_JITTER))
            )  # then one last attempt
            backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)

    def _failed(self, line: Line, error: OSError) -> None:
        self.counters.failures += 1
        level = logging.WARNING if self.down_since_s is None else logging.DEBUG
        logger.log(level, "%s: %s: %s; retrying", line.station, self.name, error)
        if self.down_since_s is None:
            self.down_since_s = time.monotonic()

    def _refuse(self, line: Line, reason: str) -> None:
        level = logging.WARNING if not self.counters.refused else logging.DEBUG
        logger.log(level, "%s: %s: line %d was refused: %s; it is skipped", line.station, self.name, line.seq, reason)
        self.counters.refused += 1
