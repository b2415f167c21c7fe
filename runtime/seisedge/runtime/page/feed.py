"""Feed: hands packets, lines and probabilities from the loop to the thread of the page.

The loop appends and never waits. Where the page falls behind, what is new is left out of the page and counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from seisedge.runtime.event import Event, Hop
from seisedge.runtime.records.packet import Packet

MAX_SAMPLES = 400_000  # that wait: 1.6 MB; three components at 100 Hz fill this in 22 minutes
MAX_ITEMS = 5_000  # packets and blocks that wait
MAX_EVENTS = 500  # that wait

Block = tuple[str, int, npt.NDArray[np.float32]]  # station, time in ns of the first hop, probabilities (hops, 5)


class Feed:
    """An `Observer`. `note_…` is called by the loop, `take` and `take_events` by the thread of the page.

    dropped: packets and blocks that were left out.
    stations: those of which packets and blocks are taken; None: all.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self.stations: frozenset[str] | None = None
        self._items: deque[Packet | Block] = deque()
        self._events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self._samples_in = 0  # written by the loop only
        self._samples_out = 0  # written by the page only

    def note_packet(self, packet: Packet) -> None:
        if self.stations is not None and packet.source_id.station_id not in self.stations:
            return
        n = len(packet.samples)
        if len(self._items) >= MAX_ITEMS or self._samples_in - self._samples_out + n > MAX_SAMPLES:
            self.dropped += 1
            return
        self._samples_in += n
        self._items.append(packet)

    def note_line(self, line: Event | Hop) -> None:
        if isinstance(line, Event):
            self._events.append(line)

    def note_block(self, station_id: str, time_ns: int, probabilities: npt.NDArray[np.float32]) -> None:
        if self.stations is not None and station_id not in self.stations:
            return
        if len(self._items) >= MAX_ITEMS:
            self.dropped += 1
            return
        self._items.append((station_id, time_ns, probabilities))

    def take(self, most: int) -> Iterator[Packet | Block]:
        """Up to `most` packets and blocks, oldest first."""
        for _ in range(min(most, len(self._items))):
            item = self._items.popleft()
            if isinstance(item, Packet):
                self._samples_out += len(item.samples)
            yield item

    def take_events(self, most: int) -> Iterator[Event]:
        """Up to `most` events, oldest first."""
        for _ in range(min(most, len(self._events))):
            yield self._events.popleft()

    @property
    def waiting(self) -> int:
        """Packets and blocks that wait."""
        return len(self._items)

    @property
    def waiting_events(self) -> int:
        return len(self._events)
