"""Source: where packets come from. One file a source; each is a subclass with two hooks.

A source is opened, iterated once and closed. Files give back-pressure by being iterated; live sources yield
`None` at least every `TICK_S` while nothing comes, so that the station can look at its clocks.
"""

from __future__ import annotations

import abc
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from seisedge.runtime.paths import text_from_path
from seisedge.runtime.records.miniseed import BadRecord, TextRecord
from seisedge.runtime.records.packet import Packet

logger = logging.getLogger(__name__)

TICK_S = 0.5
MAX_REASONS = 8


@dataclass(slots=True)
class SourceCounters:
    """What a source has met so far; the station reports it at the end and in its metrics."""

    records: int = 0
    bytes: int = 0
    bad_records: int = 0  # quarantined: not decodable, rate 0, absurd time
    text_records: int = 0  # logs of a digitizer: text, no samples
    skipped_bytes: int = 0  # between records, while looking for the next good one
    truncated: int = 0  # a last record that ends too early
    duplicates: int = 0  # sent again by a server after a reconnection, and dropped
    reconnects: int = 0
    foreign: int = 0  # packets of another sender than the one listened to
    dropped: int = 0  # packets that came faster than they could be taken, from a sender that cannot be slowed


class Source(abc.ABC):
    """Base of all sources.

    url: as the user gave it, printable (see `paths`), for messages and for the event's `source` field.
    live: True where packets come at the pace of the world and losing the connection is not the end.
    on_bad_record: called with each record that is set aside, for a dead-letter file; None to only count.
    reasons: why records were set aside, with their number; up to `MAX_REASONS` different ones.
    idle_ns: when, on the monotonic clock, a live source last had nothing more to give; 0 where it never had.
    """

    live: bool = False

    def __init__(self, url: str) -> None:
        self.url = text_from_path(url)
        self.counters = SourceCounters()
        self.on_bad_record: Callable[[BadRecord], None] | None = None
        self.reasons: dict[str, int] = {}
        self.idle_ns = 0

    @property
    def back_pressure(self) -> bool:
        """True where nothing is lost by being slow: the source waits. Files, and streams read to their end."""
        return not self.live

    def set_aside(self, bad: BadRecord, where: str) -> None:
        """Count a record that cannot be used; `where` is its place in the source, for the log.

        Text is not damaged: it is counted apart, and is no dead letter.
        """
        if bad.reason in self.reasons or len(self.reasons) < MAX_REASONS:
            self.reasons[bad.reason] = self.reasons.get(bad.reason, 0) + 1
        if isinstance(bad, TextRecord):
            self.counters.text_records += 1
            level = logging.INFO if self.counters.text_records == 1 else logging.DEBUG
            logger.log(level, "%s: record at %s left out: %s", self.url, where, bad.reason)
            return
        self.counters.bad_records += 1
        level = logging.WARNING if self.counters.bad_records == 1 else logging.DEBUG
        logger.log(level, "%s: record at %s set aside: %s", self.url, where, bad.reason)
        if self.on_bad_record is not None:
            self.on_bad_record(bad)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:  # noqa: B027  a hook, not every source needs it
        """Check what can be checked before the first packet; raises InputError with one sentence."""

    @abc.abstractmethod
    def packets(self) -> Iterator[Packet | None]:
        """Packets in the order of the source; None as a tick while waiting; ends when there is no more."""

    def close(self) -> None:  # noqa: B027  a hook, not every source needs it
        """Give back files and sockets; may be called twice, and from another thread to end `packets`."""
