"""Source: where packets come from. One file per kind of source; each is a subclass with two hooks.

A source is opened, iterated once and closed. Files give back-pressure because they are only read when iterated. Live
sources yield `None` at least every `TICK_S` while no packet arrives, so that the station can check its timers.
"""

from __future__ import annotations

import abc
import enum
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from seisedge.runtime.clock import NS_PER_S, iso_from_ns
from seisedge.runtime.paths import text_from_path
from seisedge.runtime.records.miniseed import BadRecord, Decoder, FailedRecord, TextRecord, failed_record
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.sources.batch import Batch
from seisedge.runtime.urls import shown_url

logger = logging.getLogger(__name__)

TICK_S = 0.5
MAX_REASONS = 8
REPEATED_S = 30.0  # without a new record while repeated ones arrive, before this is logged
FAILURE_SHOWN_S = 3600.0  # how long health reports a record whose handling raised an exception


class RecordWatch:
    """Notes which record is being handled, so that a later run can pass over one that has ended several runs.

    This base notes nothing: for a run without a state folder.
    """

    notes = False  # True for a watch that notes records

    @property
    def suspicious(self) -> bool:
        """True until the record that an earlier run did not survive has been handled."""
        return False

    def begin(self, record: bytes) -> str | None:
        """Call before a record is parsed; a text is the reason why it must not be parsed."""
        return None

    def end(self) -> None:
        """Call when everything that follows from the records so far is done."""


class LinkState(enum.Enum):
    """State of a source's connection, for metrics, `/healthz` and the watchdog."""

    CONNECTING = "connecting"
    NEGOTIATING = "negotiating"
    STREAMING = "streaming"
    WAITING = "waiting"  # before the next attempt
    CLOSED = "closed"


@dataclass(slots=True)
class SourceCounters:
    """Counters of a source, for the summary at the end and the metrics."""

    records: int = 0
    bytes: int = 0
    bad_records: int = 0  # set aside: not decodable, sampling rate 0, time out of range
    failed_records: int = 0  # of these, records whose handling raised an unexpected exception
    text_records: int = 0  # logs of a digitizer: text, no samples
    skipped_bytes: int = 0  # between records, skipped to find the next readable record
    truncated: int = 0  # last records of a file that are incomplete
    duplicates: int = 0  # sent again by a server after a reconnection, and dropped
    reconnects: int = 0
    resume_gaps: int = 0  # times a server no longer had the packet after the last one processed
    foreign: int = 0  # packets of another sender than the selected one
    sender_changes: int = 0  # times the packets came from another address than before
    rate_corrections: int = 0  # times an inferred sampling rate was wrong
    dropped: int = 0  # packets lost because they arrived faster than they were read, from a sender without flow control


@dataclass(slots=True)
class _Repeated:
    """Records of one station that arrive again, without a new one between them."""

    began_ns: int  # on the monotonic clock
    number: int = 0
    logged: bool = False


class Source(abc.ABC):
    """Base of all sources.

    url: without its secrets (see `urls`) and printable (see `paths`), for messages and for the event's `source` field.
    live: True where packets come at the pace of the world and losing the connection is not the end.
    state: of the connection; always STREAMING for a source without one.
    on_bad_record: called with each record that is set aside, for a dead-letter file; None to only count.
    on_repeated: called with the station id of each record that was delivered before and is dropped.
    watch: is informed of each record that is handled.
    reasons: why records were set aside, with their number; up to `MAX_REASONS` different ones.
    idle_ns: when, on the monotonic clock, a live source last had nothing more to give; 0 where it never had.
    on_idle: called by a server's source while it has nothing to give: does a part, of about a millisecond, of the work
        that can be done in advance; returns False if none is left.
    """

    live: bool = False
    state: LinkState = LinkState.STREAMING

    def __init__(self, url: str) -> None:
        self.url = text_from_path(shown_url(url))
        self._decoder = Decoder()
        self._watch = RecordWatch()
        self._failure = ""  # the last exception that the handling of a record raised
        self._failed_s = 0.0  # when, on the monotonic clock
        self._failures_logged: set[str] = set()  # types of exceptions
        self.counters = SourceCounters()
        self.on_bad_record: Callable[[BadRecord], None] | None = None
        self.on_repeated: Callable[[str], None] | None = None
        self._repeated: dict[str, _Repeated] = {}  # by station
        self.reasons: dict[str, int] = {}
        self.idle_ns = 0
        self.on_idle: Callable[[], bool] | None = None

    @property
    def back_pressure(self) -> bool:
        """True if a slow reader loses nothing, since the source waits: files, and streams read to their end."""
        return not self.live

    @property
    def retrying(self) -> bool:
        """True from the first failed attempt to connect until the connection is made."""
        return False

    @property
    def link_text(self) -> str:
        """The state of the connection in words, after "the source is"; with its reason and duration where known."""
        return self.state.value

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
        if isinstance(bad, FailedRecord):
            self._note_failure_of(bad, where)
        else:
            level = logging.WARNING if self.counters.bad_records == 1 else logging.DEBUG
            logger.log(level, "%s: record at %s set aside: %s", self.url, where, bad.reason)
        if self.on_bad_record is not None:
            self.on_bad_record(bad)

    def _drop_repeated(self, station_id: str, arrival_ns: int) -> None:
        """Count a record that was delivered before; if no new ones come for `REPEATED_S`, log that once."""
        self.counters.duplicates += 1
        repeated = self._repeated.setdefault(station_id, _Repeated(arrival_ns))
        repeated.number += 1
        if not repeated.logged and arrival_ns - repeated.began_ns >= REPEATED_S * NS_PER_S:
            repeated.logged = True
            logger.info(
                "%s: %s: records that were read before arrive (%d so far); waiting for new ones",
                self.url,
                station_id,
                repeated.number,
            )
        if self.on_repeated is not None:
            self.on_repeated(station_id)

    def _count_new(self, station_id: str) -> None:
        """Count a record that is delivered."""
        self.counters.records += 1
        if self._repeated:
            self._repeated.pop(station_id, None)

    @property
    def last_record(self) -> bytes:
        """The record of the last packet."""
        return self._decoder.record

    @last_record.setter
    def last_record(self, record: bytes) -> None:
        self._decoder.record = record

    def set_aside_failed(self, record: bytes, name: str, time_ns: int, error: Exception) -> None:
        """Set a record aside: the analysis of its station or channel, `name`, raised `error`."""
        bad = failed_record(record, f"the analysis of {name}", error)
        self.set_aside(bad, iso_from_ns(time_ns))

    @property
    def watch(self) -> RecordWatch:
        return self._watch

    @watch.setter
    def watch(self, watch: RecordWatch) -> None:
        self._watch = watch
        self._decoder.refusal = watch.begin

    @property
    def recent_failure(self) -> str | None:
        """The last unexpected exception from the handling of a record, if it was in the last `FAILURE_SHOWN_S`."""
        if not self._failure or time.monotonic() - self._failed_s > FAILURE_SHOWN_S:
            return None
        return f"{self._failure}; {self.counters.failed_records} record(s) set aside because of such a fault in total"

    def _note_failure_of(self, bad: FailedRecord, where: str) -> None:
        """Count and log; the traceback once for each type of exception, of which there are few."""
        self.counters.failed_records += 1
        self._failure, self._failed_s = bad.reason, time.monotonic()
        kind = type(bad.error).__name__
        first = kind not in self._failures_logged
        self._failures_logged.add(kind)
        logger.log(
            logging.WARNING if first else logging.DEBUG,
            "%s: record at %s set aside: %s; this is a fault of seisedge, please report it with the dead letter",
            self.url,
            where,
            bad.reason,
            exc_info=bad.error if first else None,
        )

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:  # noqa: B027  a hook, not every source needs it
        """Check what can be checked before the first packet. Raises InputError."""

    @abc.abstractmethod
    def packets(self) -> Iterator[Packet | None]:
        """Packets in the order of the source; None as a tick while waiting. Ends with the data."""

    def batches(self) -> Iterator[Packet | Batch | None]:
        """As `packets`; records may come together. Their reader states which one was the last, see `last_record`."""
        yield from self.packets()

    def close(self) -> None:  # noqa: B027  a hook, not every source needs it
        """Close files and sockets. May be called twice, and from another thread to end `packets`."""
