"""Journal of a run without a state folder: an outbox in memory, and nothing that survives the process."""

from __future__ import annotations

from seisedge.runtime.event import Event, Hop
from seisedge.runtime.journal._base import BaseJournal
from seisedge.runtime.journal.outbox import Outbox


class MemoryJournal(BaseJournal):
    """Lines wait in memory for the sinks that have subscribed; without subscribers nothing is kept."""

    def __init__(self, source: str = "") -> None:
        super().__init__(source, Outbox())
        self._added = False  # since the last step

    def add(self, line: Event | Hop) -> bool:
        self.counters.lines += 1
        if self.outbox.subscribed:
            self.outbox.add(line)
            self._added = True
        return True

    def step(self) -> None:
        if self._added or self.outbox.places_changed:
            self._added = False
            self._count_dropped(self.outbox.trim())
            self.outbox.notify()
