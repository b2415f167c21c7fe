"""Drain: delivers lines from the outbox to one sink, in order, in a thread of its own.

A sink that fails is retried with a growing delay; neither the station nor other sinks wait for it. A line that the sink
refuses for good, or that is damaged, goes to the dead letters, and the next line is delivered. A thread that ends by an
exception is restarted with the same growing delay.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

from seisedge.runtime.clock import duration_text
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.journal.line import Line, Undecodable
from seisedge.runtime.journal.outbox import Outbox
from seisedge.runtime.sinks._base import LeftOut, Refused, Sink
from seisedge.runtime.sinks._dead_letters import SinkDeadLetters
from seisedge.runtime.sinks._link_log import LinkLog
from seisedge.runtime.text import error_clause
from seisedge.runtime.threads import Worker, start_worker

logger = logging.getLogger(__name__)

BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 300.0  # between two starts of a thread that fails
BACKOFF_JITTER = 0.3
POLL_S = 5.0  # the outbox is read at least this often
MAX_REASONS = 5  # different reasons for one failure that are logged as warnings
RECENT_LINES = 20  # for `refused_share`


@dataclass(slots=True)
class DrainCounters:
    """Totals of one sink.

    failures: attempts that were followed by another one. refused: lines that the sink will never accept.
    undecodable: damaged lines. dead_lettered: refused and undecodable lines that the dead-letter file has.
    left_out: lines that the conditions of the sink exclude, among them the hourly limit and the deadline of an alert.
    restarts: of the thread, after an exception.
    """

    delivered: int = 0
    failures: int = 0
    left_out: int = 0
    refused: int = 0
    undecodable: int = 0
    dead_lettered: int = 0
    restarts: int = 0


class Drain:
    """Delivers lines of `outbox` to `sink`. name: key of the sink's place in the outbox.

    stations: ids of the stations whose lines are delivered; None: all. hops: whether hops are delivered, too.
    wanted: whether a revision of an event is delivered; it gives the same answer for a repetition. None: all are.
    owned: whether `close` closes the sink. dead_letters: without them a refused line is only counted and logged.
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
        wanted: Callable[[Event], bool] | None = None,
        owned: bool = True,
        backoff_first_s: float = BACKOFF_FIRST_S,
    ) -> None:
        self.name = name
        self.counters = DrainCounters()
        self.down_since_s: float | None = None
        self.dead_letters: SinkDeadLetters | None = None
        self._sink = sink
        self._outbox = outbox
        self._stations = stations
        self._hops = hops
        self._wanted = wanted
        self._owned = owned
        self._backoff_first_s = backoff_first_s
        self._last_delivery_s: float | None = None
        self._recent: deque[bool] = deque(maxlen=RECENT_LINES)  # True: refused or damaged
        self._fault: str | None = None  # why the thread has ended, until it works again
        self._reason = ""  # of the last failure
        self._why: list[str] = []  # different reasons of the present failure, as logged
        self._link = LinkLog(name)
        self._catching_up = False
        self._worker: Worker | None = None
        self._wake = threading.Event()
        self._ending = threading.Event()
        self._place = outbox.subscribe(name, self._wake.set)

    # for health and metrics; may be read from any thread

    @property
    def waiting(self) -> int:
        """Number of lines that the sink has yet to receive."""
        return self._outbox.undelivered(self.name)

    @property
    def oldest_waiting_s(self) -> float:
        """Age of the oldest line that the sink has yet to receive; 0 if there is none."""
        return self._outbox.oldest_waiting_s(self.name)

    @property
    def last_delivery_s(self) -> float | None:
        """Seconds since the sink last accepted a line; None before the first."""
        return None if self._last_delivery_s is None else time.monotonic() - self._last_delivery_s

    @property
    def connected(self) -> bool | None:
        """Whether the sink has its connection; None if it has none to report."""
        return self._link.reason is None if self._link.reported else None

    @property
    def alive(self) -> bool:
        """True while the thread works; False before `start`, and from an exception to the next successful pass."""
        return self._worker is not None and self._worker.up and self._fault is None

    @property
    def closing(self) -> bool:
        """True from `close` on: the thread ends."""
        return self._ending.is_set()

    @property
    def fault(self) -> str | None:
        """The exception that ended the thread; None while the thread works."""
        return self._fault

    @property
    def down_reason(self) -> str:
        """Why the last attempt failed; of a sink that reports its connection: why it is not connected."""
        return (self._link.reason or self._reason)[:200]

    @property
    def refused(self) -> int:
        """Number of lines that the sink has refused for good."""
        return self.counters.refused

    @property
    def dead_lettered(self) -> int:
        """Number of refused or damaged lines that were stored in the dead-letter file."""
        return self.counters.dead_lettered

    @property
    def refused_share(self) -> float:
        """Share of refused and damaged lines among the last `RECENT_LINES` lines that left the outbox; 0 before."""
        recent = list(self._recent)
        return sum(recent) / len(recent) if recent else 0.0

    # for the run

    def start(self) -> None:
        self._wake.set()  # for lines of an earlier run
        self._catching_up = self.waiting > 0
        if self._catching_up:
            logger.info("%s: %d lines of an earlier run wait; they are delivered first", self.name, self.waiting)
        self._sink.watch(self._link_changed)
        self._worker = start_worker(f"sink {self.name}", self._work)

    def close(self, within_s: float) -> int:
        """Deliver the remaining lines within `within_s`; returns the number of undelivered ones."""
        self._ending.set()
        self._wake.set()
        self._sink.give_up()
        if self._worker is not None:
            self._worker.stop()
            self._worker.join(within_s)
        if self._owned and (self._worker is None or not self._worker.alive):
            try:
                self._sink.close()
            except Exception as error:  # the other sinks have yet to be closed
                logger.warning("%s: the sink could not be closed: %s", self.name, error)
        return self._outbox.undelivered(self.name)

    def report_undelivered(self) -> None:
        """Log how many lines the sink has not received, and what becomes of them; after the last transaction."""
        left = self._outbox.undelivered(self.name)
        if not left:
            return
        lost = self._outbox.unstored(self.name) if self._outbox.durable else left
        if not self._outbox.durable:
            result = "they are lost, because there is no state folder"
        elif lost:
            result = f"{left - lost} wait in the state folder, {lost} are lost, because they could not be stored"
        else:
            result = "they wait in the state folder"
        logger.warning("%s: %d lines not delivered; %s", self.name, left, result)

    # the thread

    def _work(self) -> None:
        """Run until the end of the run, through exceptions of any kind."""
        backoff_s = self._backoff_first_s
        while True:
            delivered = self.counters.delivered
            try:
                self._run()
            except BaseException as error:  # a sink whose thread has ended would wait for ever
                self._died(f"{type(error).__name__}: {error}", error)
            else:
                return
            if self.counters.delivered > delivered:
                backoff_s = self._backoff_first_s
            if self._pause(backoff_s):
                return
            backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)

    def _died(self, reason: str, error: BaseException | None = None) -> None:
        if self.down_since_s is None:
            self.down_since_s = time.monotonic()
        level = logging.ERROR if self._fault is None else logging.DEBUG
        self._fault = reason[:200]
        self.counters.restarts += 1
        logger.log(level, "%s: the thread of the sink failed: %s; it is restarted", self.name, reason, exc_info=error)

    def _pause(self, seconds: float) -> bool:
        """Wait about so long; True if the run ends."""
        return self._ending.wait(seconds * (1 + random.uniform(-BACKOFF_JITTER, BACKOFF_JITTER)))

    def _run(self) -> None:
        while True:
            lines = self._outbox.lines_after(self._place)
            for line in lines:
                if not self._deliver(line):
                    return
                self._place = line.seq
                self._outbox.delivered(self.name, line.seq)
                self._recovered()
            if lines:
                continue
            self._recovered()
            if self._catching_up:
                self._catching_up = False
                logger.info("%s: all waiting lines are delivered", self.name)
            if self._ending.is_set():
                return
            self._link.check()
            self._wake.wait(POLL_S)
            self._wake.clear()

    def _recovered(self) -> None:
        if self._fault is not None:
            self._fault, self.down_since_s = None, None
            logger.info("%s: the thread of the sink works again", self.name)

    def _deliver(self, line: Line) -> bool:
        """False if the run ended before the sink accepted the line."""
        try:
            decoded = line.decoded()
        except Undecodable as error:
            self.counters.undecodable += 1
            self._give_up(line, "is damaged", Refused(str(error)))
            return True
        if self._stations is not None and line.station not in self._stations:
            return True
        if line.kind == "hop" and not self._hops:
            return True
        if self._wanted is not None and isinstance(decoded, Event) and not self._wanted(decoded):
            self.counters.left_out += 1
            return True
        return self._write(line, decoded)

    def _write(self, line: Line, decoded: Event | Hop) -> bool:
        backoff_s = self._backoff_first_s
        while True:
            try:
                self._sink.write(decoded)
            except OSError as error:
                self._failed(line, error)
            except LeftOut:
                self.counters.left_out += 1
                self.down_since_s, self._why = None, []  # the line that waited is not sent any more
                return True
            except Refused as refusal:
                self._refuse(line, refusal)
                return True
            except MemoryError:
                raise  # the line is not to blame: the thread retries it
            except Exception as error:
                logger.exception("%s: %s: programming error in the sink", line.station, self.name)
                self._refuse(line, Refused(f"programming error in the sink: {type(error).__name__}"))
                return True
            else:
                self._delivered()
                return True
            if self._ending.is_set():
                return False
            self._pause(backoff_s)  # then one last attempt
            backoff_s = min(2 * backoff_s, self._sink.retry_max_s)

    def _delivered(self) -> None:
        self._recovered()
        if self.down_since_s is not None:
            outage, waiting = duration_text(time.monotonic() - self.down_since_s), max(self.waiting - 1, 0)
            logger.info("%s: the sink works again after %s; %d more lines wait", self.name, outage, waiting)
            self._catching_up = waiting > 0
        elif self._last_delivery_s is None and self._owned:
            logger.info("%s: the first line is delivered", self.name)
        self.down_since_s, self._why = None, []
        self._last_delivery_s = time.monotonic()
        self._recent.append(False)
        self.counters.delivered += 1

    def _failed(self, line: Line, error: OSError) -> None:
        self.counters.failures += 1
        reason = error_clause(error)
        self._reason = reason
        # what the sink reports of its connection is not logged twice
        known = reason in self._why or len(self._why) >= MAX_REASONS or self._link.reason is not None
        level = logging.DEBUG if known else logging.WARNING
        then = "" if self._ending.is_set() else f"; retrying, {self.waiting} lines wait"
        logger.log(level, "%s: %s: %s%s", line.station, self.name, reason, then)
        if not known:
            self._why.append(reason)
        if self.down_since_s is None:
            self.down_since_s = time.monotonic()

    def _link_changed(self, reason: str | None) -> None:
        if not self._ending.is_set():
            self._link.changed(reason)

    def _refuse(self, line: Line, refusal: Refused) -> None:
        self.counters.refused += 1
        self.down_since_s = None  # a server that refuses a line is there
        self._give_up(line, "was refused", refusal)

    def _give_up(self, line: Line, what: str, refusal: Refused) -> None:
        """Store the line in the dead letters, count and log it; the next line is delivered."""
        self._recent.append(True)
        stored = self.dead_letters is not None and self.dead_letters.add(self.name, line, refusal)
        self.counters.dead_lettered += stored
        first = self.counters.refused + self.counters.undecodable == 1
        place = f"it is in {self.dead_letters.path}" if stored and self.dead_letters is not None else "it is not stored"
        logger.log(
            logging.WARNING if first else logging.DEBUG,
            "%s: %s: line %d%s %s: %s; %s",
            line.station,
            self.name,
            line.seq,
            f" ({line.event_id[0]} revision {line.event_id[1]})" if line.event_id is not None else "",
            what,
            refusal,
            place,
        )
