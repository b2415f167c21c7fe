"""Drain: gives one sink its lines from the outbox, in order, in a thread of its own.

A sink that is down is tried again with a growing wait; nobody else waits for it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass

from seisedge.runtime.journal.journal import Journal
from seisedge.runtime.journal.outbox import Line
from seisedge.runtime.sinks._base import Refused, Sink

logger = logging.getLogger(__name__)

BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 300.0
BACKOFF_JITTER = 0.3
LOOK_S = 5.0  # a look at the outbox without being called


@dataclass(slots=True)
class DrainCounters:
    """What a sink was given."""

    delivered: int = 0
    failures: int = 0
    refused: int = 0


class Drain:
    """From the journal to `sink`. name: what its place in the outbox is kept under.

    stations: those whose lines it gets; None: all. hops: whether lines of continuous mode are for it.
    owned: the sink is closed in the end.
    """

    def __init__(
        self,
        sink: Sink,
        name: str,
        journal: Journal,
        *,
        stations: Collection[str] | None = None,
        hops: bool = True,
        owned: bool = True,
        backoff_first_s: float = BACKOFF_FIRST_S,
    ) -> None:
        self.name = name
        self.counters = DrainCounters()
        self.down_since_s: float | None = None  # on the monotonic clock
        self._sink = sink
        self._journal = journal
        self._stations = stations
        self._hops = hops
        self._owned = owned
        self._backoff_first_s = backoff_first_s
        self._wake = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sink {name}", daemon=True)
        self._place = journal.subscribe(name, self._wake.set)

    def start(self) -> None:
        self._wake.set()  # what an earlier run has left
        self._thread.start()

    def close(self, within_s: float) -> int:
        """Give out what there is, no longer than `within_s`; returns how many lines are left."""
        self._ending.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(within_s)
        if self._owned and not self._thread.is_alive():
            self._sink.close()
        left = self._journal.undelivered(self.name)
        if left:
            fate = (
                "they wait in the state folder" if self._journal.durable else "there is no state folder: they are lost"
            )
            logger.warning("%s: %d lines not delivered; %s", self.name, left, fate)
        return left

    def _run(self) -> None:
        while True:
            lines = self._journal.lines_after(self._place)
            for line in lines:
                if not self._give(line):
                    return
                self._place = line.seq
                self._journal.delivered(self.name, line.seq)
            if lines:
                continue
            if self._ending.is_set():
                return
            self._wake.wait(LOOK_S)
            self._wake.clear()

    def _give(self, line: Line) -> bool:
        """False where the run ends before the sink has taken it."""
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
                logger.exception("%s: %s: a fault of the sink", line.station, self.name)
                self._refuse(line, "a fault of the sink")
                return True
            else:
                if self.down_since_s is not None:
                    logger.warning("%s: takes lines again", self.name)
                self.down_since_s = None
                self.counters.delivered += 1
                return True
            if self._ending.is_set():
                return False
            self._ending.wait(backoff_s * (1 + random.uniform(-BACKOFF_JITTER, BACKOFF_JITTER)))  # then a last try
            backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)

    def _failed(self, line: Line, error: OSError) -> None:
        self.counters.failures += 1
        level = logging.WARNING if self.down_since_s is None else logging.DEBUG
        logger.log(level, "%s: %s: %s; trying again", line.station, self.name, error)
        if self.down_since_s is None:
            self.down_since_s = time.monotonic()

    def _refuse(self, line: Line, reason: str) -> None:
        level = logging.WARNING if not self.counters.refused else logging.DEBUG
        logger.log(level, "%s: %s: line %d refused: %s; left out", line.station, self.name, line.seq, reason)
        self.counters.refused += 1
