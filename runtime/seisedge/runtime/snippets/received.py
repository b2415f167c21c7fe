"""Records as received: the newest ones of each station, and those that are held for an event."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.records.packet import Packet, SourceId
from seisedge.runtime.snippets.packing import records_from_packets

ENTRY_BYTES = 300  # of an entry besides its record, in memory
MAX_CHANNELS = 64  # of one station that are kept
MAX_LOST = 1000  # records of one station that were set aside, which are remembered
WAIT_S = 60.0  # of data: a channel that is so far behind another one is not waited for
WAIT_NS = round(WAIT_S * NS_PER_S)


@dataclass(frozen=True, slots=True)
class Entry:
    """One record. packet: where the source has no miniSEED; then `record` is empty."""

    source_id: SourceId
    start_ns: int
    end_ns: int
    record: bytes
    packet: Packet | None = None

    @property
    def size(self) -> int:
        """Bytes in memory, about."""
        return ENTRY_BYTES + len(self.record) + (self.packet.samples.nbytes if self.packet is not None else 0)

    def overlaps(self, from_ns: int, to_ns: int) -> bool:
        return self.start_ns < to_ns and self.end_ns > from_ns


def entry_from_packet(packet: Packet, record: bytes) -> Entry:
    """record: b'' of a source without miniSEED."""
    return Entry(packet.source_id, packet.starttime_ns, packet.endtime_ns, record, None if record else packet)


def records_of(entries: Iterable[Entry]) -> list[bytes]:
    """The records, each once, in the order of their start; packets without a record are packed."""
    ordered = sorted(entries, key=lambda entry: entry.start_ns)
    packed = records_from_packets(entry.packet for entry in ordered if entry.packet is not None)
    return list(dict.fromkeys([entry.record for entry in ordered if entry.record] + packed))


@dataclass(slots=True, eq=False)
class Capture:
    """The records of one revision of an event while it waits for its file.

    from_ns, to_ns: the span that is wanted. began_s: when it was emitted, on the monotonic clock. resumed: an earlier
    run emitted it, so that its records must be sent again. gone_ns: records before this time were not kept any more.
    left_out: records that were not kept, for too many are held. behind: channels that were not waited for any longer,
    and how far each had come.
    """

    key: tuple[str, int]  # id and revision of the event
    station_id: str
    from_ns: int
    to_ns: int
    began_s: float
    resumed: bool
    gone_ns: int | None = None
    entries: list[Entry] = field(default_factory=list)
    bytes: int = 0
    left_out: int = 0
    behind: list[tuple[SourceId, int]] = field(default_factory=list)
    complete: threading.Event = field(default_factory=threading.Event)  # no more records are expected

    def add(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.bytes += entry.size


class Doubt(NamedTuple):
    """Records that may be missing in a capture. source_id: of the channel; None: of any that has others.

    cause: why, as a clause. kept: the archive, or a file that is already there, may have them.
    """

    from_ns: int
    until_ns: int
    cause: str
    source_id: SourceId | None = None
    kept: bool = True


class Ring:
    """The newest records of one station: of each channel so many that they span `keep_s`.

    The spans are counted by the lengths of the records, so that a wrong time removes no others. Its caller limits the
    bytes, with `drop_oldest`.
    """

    def __init__(self, keep_s: float) -> None:
        self.bytes = 0
        self.gone_ns: int | None = None  # end of the newest record that is not kept any more
        self.first_ns: int | None = None  # earliest start of a record, without those longer than WAIT_S
        self._keep_ns = round(keep_s * NS_PER_S)
        self._lost: deque[tuple[SourceId, int, int]] = deque(maxlen=MAX_LOST)  # begin and end of records set aside
        self._channels: dict[SourceId, deque[Entry]] = {}
        self._spans_ns: dict[SourceId, int] = {}

    def add(self, entry: Entry) -> bool:
        """False if the station has too many channels."""
        channel = self._channels.get(entry.source_id)
        if channel is None:
            if len(self._channels) >= MAX_CHANNELS:
                return False
            channel = self._channels[entry.source_id] = deque()
            self._spans_ns[entry.source_id] = 0
        if _is_awaited(entry):
            self.first_ns = min(entry.start_ns, self.first_ns or entry.start_ns)
        channel.append(entry)
        self.bytes += entry.size
        span_ns = self._spans_ns[entry.source_id] + entry.end_ns - entry.start_ns
        while span_ns - (channel[0].end_ns - channel[0].start_ns) >= self._keep_ns:
            oldest = channel.popleft()
            self.bytes -= oldest.size
            self.gone_ns = max(oldest.end_ns, self.gone_ns or oldest.end_ns)
            span_ns -= oldest.end_ns - oldest.start_ns
        self._spans_ns[entry.source_id] = span_ns
        return True

    def note_lost(self, source_id: SourceId, start_ns: int, end_ns: int) -> None:
        """A record was set aside."""
        self._lost.append((source_id, start_ns, end_ns))

    def lost(self, from_ns: int, to_ns: int) -> list[tuple[SourceId, int, int]]:
        """Channel, begin and end of the records that were set aside, as far as they are within a span."""
        overlapping = [one for one in self._lost if one[1] < to_ns and one[2] > from_ns]
        return [(source_id, max(start_ns, from_ns), min(end_ns, to_ns)) for source_id, start_ns, end_ns in overlapping]

    def drop_oldest(self) -> int:
        """Drop the oldest record of the longest channel; returns its bytes, 0 if there is none."""
        filled = [source_id for source_id, channel in self._channels.items() if channel]
        if not filled:
            return 0
        source_id = max(filled, key=self._spans_ns.__getitem__)
        oldest = self._channels[source_id].popleft()
        self.bytes -= oldest.size
        self._spans_ns[source_id] -= oldest.end_ns - oldest.start_ns
        self.gone_ns = max(oldest.end_ns, self.gone_ns or oldest.end_ns)
        return oldest.size

    def within(self, from_ns: int, to_ns: int) -> list[Entry]:
        """The records that overlap a span."""
        return [entry for channel in self._channels.values() for entry in channel if entry.overlaps(from_ns, to_ns)]

    def reached_ns(self, from_ns: int) -> int:
        """The time up to which all channels have arrived, of those that have reached `from_ns`."""
        newest = [channel[-1].end_ns for channel in self._channels.values() if channel]
        return min((end_ns for end_ns in newest if end_ns > from_ns), default=from_ns)

    def reaches(self, to_ns: int) -> bool:
        """True if every channel has reached a time, or one of them is WAIT_S beyond it.

        A channel whose records are longer than WAIT_S is not waited for.
        """
        newest = [channel[-1] for channel in self._channels.values() if channel]
        if any(entry.end_ns >= to_ns + WAIT_NS for entry in newest):
            return True
        awaited = [entry for entry in newest if _is_awaited(entry)]
        return bool(awaited) and all(entry.end_ns >= to_ns for entry in awaited)

    def behind(self, from_ns: int, to_ns: int) -> list[tuple[SourceId, int]]:
        """The channels that have not reached `to_ns`, and how far each has come; not those that stopped long before."""
        newest = [channel[-1] for channel in self._channels.values() if channel]
        found = [entry for entry in newest if _is_awaited(entry) and from_ns - WAIT_NS < entry.end_ns < to_ns]
        return [(entry.source_id, max(entry.end_ns, from_ns)) for entry in found]


def _is_awaited(entry: Entry) -> bool:
    """True if the next record of a channel is waited for: not if its records are too long, as of states of health."""
    return entry.end_ns - entry.start_ns <= WAIT_NS
