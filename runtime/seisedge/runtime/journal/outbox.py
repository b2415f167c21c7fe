"""Outbox: lines on their way to the sinks, and how far each sink has got.

Lines are numbered in the order in which they were added and delivered in this order. Those that a transaction has
stored are in the database; the others are held in memory.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.journal.gaps import Gaps
from seisedge.runtime.journal.line import Line

if TYPE_CHECKING:
    from seisedge.runtime.journal.database import Database  # a run without a state folder does not load sqlite3

MAX_TIMED = 256  # newest stored lines whose `journal_ms` is kept; a sink that is up takes them at once
MAX_UNSAVED = 10_000  # lines held in memory while they cannot be stored


class Outbox:
    """Numbered lines, and the number of the last line that each sink has received.

    All methods may be called from any thread. `lock` is held by the journal for the length of a transaction.
    """

    def __init__(
        self, *, now_s: Callable[[], float] = time.monotonic, time_ns: Callable[[], int] = time.time_ns
    ) -> None:
        """now_s: monotonic clock. time_ns: clock of the times at which lines were stored."""
        self.lock = threading.RLock()
        self._now_s = now_s
        self._time_ns = time_ns
        self._database: Database | None = None
        self._stored_only = False
        self._seq = 0  # of the newest line
        self._unsaved: list[Line] = []  # oldest first
        self._added_s: dict[int, float] = {}  # of unsaved lines, by number
        self._stored_ms: dict[int, float] = {}  # of stored lines, by number
        self._places: dict[str, int] = {}  # of the sinks of this run
        self._gaps = Gaps()
        self._stored_places: dict[str, int] = {}  # of the sinks of earlier runs
        self._places_changed = False
        self._callbacks: list[Callable[[], None]] = []

    # for sinks

    def subscribe(self, name: str, changed: Callable[[], None]) -> int:
        """Register a sink before the first line is added. Returns the number of the last line it has received.

        A sink without a stored place starts after the newest line. changed: called when there are new lines.
        """
        with self.lock:
            place = self._stored_places.get(name, self._seq)
            self._places[name] = place
            self._places_changed = True
            self._callbacks.append(changed)
            return place

    def lines_after(self, seq: int, limit: int = 100) -> list[Line]:
        """The next lines after number `seq`, in order: stored ones, and unsaved ones while they cannot be stored."""
        with self.lock:
            lines = self._database.lines_after(seq, limit) if self._database is not None else []
            lines = [dataclasses.replace(line, journal_ms=self._stored_ms.get(line.seq)) for line in lines]
            if self._stored_only:
                return lines
            unsaved = [line for line in self._unsaved if line.seq > seq]
            # lines of an earlier run are numbered after those of a run that started without the database
            return sorted(lines + unsaved, key=lambda line: line.seq)[:limit]

    def delivered(self, name: str, seq: int) -> None:
        """The sink has received every line up to number `seq`."""
        with self.lock:
            self._places[name] = seq
            self._places_changed = True

    def undelivered(self, name: str) -> int:
        """The number of lines that the sink has yet to receive, without those that were dropped."""
        with self.lock:
            place = self._places[name]
            return self._seq - place - self._gaps.count_after(place)

    def unstored(self, name: str) -> int:
        """The number of lines that the sink has yet to receive and that no transaction has stored."""
        with self.lock:
            place = self._places[name]
            return sum(line.seq > place for line in self._unsaved)

    def oldest_waiting_s(self, name: str) -> float:
        """Age of the oldest line that the sink has yet to receive; 0 if there is none.

        The time in which no run worked does not count.
        """
        with self.lock:
            place = self._places[name]
            created_ns = self._database.oldest_created_ns(place) if self._database is not None else None
            waiting = (line.seq for line in self._unsaved if line.seq > place)
            added_s = self._added_s.get(next(waiting, 0))
        stored_s = 0.0 if created_ns is None else (self._time_ns() - created_ns) / NS_PER_S
        return max(stored_s, 0.0 if added_s is None else self._now_s() - added_s, 0.0)

    @property
    def durable(self) -> bool:
        """True while a database is open: undelivered lines survive the end of the process."""
        return self._database is not None

    # for the journal

    def connect(self, database: Database | None, *, stored_only: bool) -> None:
        """Read stored lines from this database, which has yet to store the places of the sinks.

        stored_only: sinks receive no line before it is stored.
        """
        with self.lock:
            self._places_changed = True
            self._database = database
            self._stored_only = stored_only

    def start(self, seq: int, places: Mapping[str, int], numbers: Iterable[int]) -> None:
        """Continue after line `seq` of earlier runs, with the places that their sinks had. numbers: of stored lines."""
        with self.lock:
            self._seq = seq
            self._stored_places = dict(places)
            self._gaps = Gaps(numbers, seq)

    def renumber(self, seq: int, numbers: Iterable[int]) -> int:
        """The newest line is now number `seq`: lines of an earlier run were put behind those of this run.

        numbers: of stored lines. Returns how many lines that a sink has yet to receive are no longer stored.
        """
        with self.lock:
            delivered = min(self._places.values(), default=self._seq)
            before = self._gaps.count_after(delivered)
            self._seq = seq
            self._gaps = Gaps(sorted({*(line.seq for line in self._unsaved), *numbers}), seq)
            return self._gaps.count_after(delivered) - before

    def removed(self, up_to: int) -> None:
        """The stored lines up to this number were dropped; 0: none."""
        with self.lock:
            if up_to:
                self._gaps.add(1, up_to)

    @property
    def seq(self) -> int:
        """Number of the newest line."""
        return self._seq

    @property
    def places(self) -> dict[str, int]:
        """By sink of this run, the number of the last line it has received."""
        return dict(self._places)

    @property
    def places_changed(self) -> bool:
        """True if a place has changed since the last transaction, or, without a database, the last `trim`."""
        return self._places_changed

    @property
    def unsaved(self) -> list[Line]:
        """Lines that no transaction has stored, oldest first."""
        return list(self._unsaved)

    @property
    def subscribed(self) -> bool:
        """True if any sink has subscribed."""
        return bool(self._callbacks)

    def add(self, line: Event | Hop) -> None:
        """Number a line and hold it until it is stored or delivered."""
        with self.lock:
            self._seq += 1
            kind = "event" if isinstance(line, Event) else "hop"
            self._unsaved.append(Line(self._seq, line.station, kind, msgspec.json.encode(line)))
            self._added_s[self._seq] = self._now_s()

    def stored(self) -> None:
        """A transaction has stored all lines and places."""
        now_s = self._now_s()
        with self.lock:
            self._stored_ms |= {seq: (now_s - added_s) * 1e3 for seq, added_s in self._added_s.items()}
            for seq in list(self._stored_ms)[:-MAX_TIMED]:
                del self._stored_ms[seq]
            self._added_s.clear()
            self._unsaved.clear()
            self._gaps.forget(min(self._places.values(), default=0))
            self._places_changed = False

    def trim(self) -> int:
        """Hold only lines that some sink has yet to receive, and at most `MAX_UNSAVED` of them.

        Returns the number of removed lines that some sink has not received.
        """
        with self.lock:
            delivered = min(self._places.values(), default=self._seq)
            waiting = [line for line in self._unsaved if line.seq > delivered]
            self._unsaved = waiting[-MAX_UNSAVED:]
            self._gaps.forget(delivered)
            for line in waiting[:-MAX_UNSAVED]:
                self._gaps.add(line.seq, line.seq)
            held = {line.seq for line in self._unsaved}
            self._added_s = {seq: added_s for seq, added_s in self._added_s.items() if seq in held}
            self._places_changed = self._places_changed and self._database is not None
            return len(waiting) - len(self._unsaved)

    def notify(self) -> None:
        """Wake the sinks."""
        for changed in self._callbacks:
            changed()

    def clear(self) -> None:
        """Forget the lines in memory: the run ends."""
        with self.lock:
            self._unsaved.clear()
