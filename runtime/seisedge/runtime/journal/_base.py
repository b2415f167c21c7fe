"""Interface of a journal: what the loop, the sinks and the metrics use."""

from __future__ import annotations

import abc
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from seisedge.runtime.counters import Histogram
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.files import OWNER_ONLY
from seisedge.runtime.journal.outbox import Outbox
from seisedge.runtime.journal.points import HeldFrom
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.station.station import Station

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class JournalCounters:
    """Totals of this run."""

    lines: int = 0
    repeated_lines: int = 0  # already emitted by an earlier run; not emitted again
    commits: int = 0  # transactions, including failed ones
    failures: int = 0
    dropped_lines: int = 0  # removed from the outbox before every sink had received them
    longest_commit_ms: float = 0.0


class BaseJournal(abc.ABC):
    """Base of `Journal` (a state folder) and `MemoryJournal` (no state folder).

    All methods are called from the thread of the loop; sinks use `outbox` from their own threads.

    folder: the state folder, or None. file_mode: rights of files that are created in it.
    source: URL of the stream, for messages.
    resume, resume_ns: by station, the token after which its stream continues, and a time in ns UTC that no sample up
    to the token exceeds. Empty without an earlier run.
    held_from: given a station and the time of the oldest sample that its events need, the time from which a later run
    is to read again; see `Recorder.held_from`.
    """

    folder: Path | None = None
    file_mode: int = OWNER_ONLY
    resume: Mapping[str, str] = {}
    resume_ns: Mapping[str, int] = {}
    held_from: HeldFrom | None = None

    def __init__(self, source: str, outbox: Outbox) -> None:
        self.source = source
        self.outbox = outbox
        self.counters = JournalCounters()
        self.commit_ms = Histogram()

    @property
    def durable(self) -> bool:
        """True while a database is open: open events survive the end of the process."""
        return False

    @property
    def failing(self) -> bool:
        """True while there is a state folder that cannot be written."""
        return False

    def restore(self, station: Station) -> None:  # noqa: B027  a hook, not every journal stores stations
        """Give a new station the state it had at the end of the earlier run."""

    def record_packet(self, station: Station, packet: Packet) -> None:  # noqa: B027  see `restore`
        """Consider the packet's token as a place to resume from; call after `station.add(packet)`."""

    def record_state(self, station: Station) -> None:  # noqa: B027  see `restore`
        """The state of the station has changed without a packet: the next transaction stores it."""

    def numbered(self, line: Event | Hop) -> Event | Hop | None:
        """The line as it is to be added; None where an earlier run has emitted the last revision of its event.

        A revision that an earlier run, of another version, emitted with another content gets the next free number.
        """
        return line

    @abc.abstractmethod
    def add(self, line: Event | Hop) -> bool:
        """Queue a line for the sinks. False if an earlier run emitted it: then it must not be emitted again."""

    @abc.abstractmethod
    def step(self) -> None:
        """Call after each step of the loop: store what is due and wake the sinks."""

    def flush(self) -> None:
        """Store everything now; call between two steps of the loop."""
        self.step()

    def save_places(self) -> None:
        """Store lines and the places of the sinks, but no station: for a run that ended inside a step."""
        self.step()

    def close(self) -> None:
        """Release the state folder without a last transaction; call `flush` before for one."""
        self.outbox.clear()

    def _count_dropped(self, count: int) -> None:
        if not count:
            return
        level = logging.DEBUG if self.counters.dropped_lines else logging.WARNING
        logger.log(
            level, "%s: dropped %d lines from the outbox before every sink had received them", self.source, count
        )
        self.counters.dropped_lines += count
