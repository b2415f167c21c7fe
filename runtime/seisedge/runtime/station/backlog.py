"""Backlog: how far a live run is behind its stream, and whether a window must be dropped for it.

The backlog is the seconds of work less the seconds of data since the source last had no more data to give. The data
are the mean over the channels that sent packets. Reading history, however old and long, is therefore no backlog while
it is read faster than it was recorded. Neither clocks nor gaps enter.

No window of a source that waits for the station (`Source.back_pressure`) is dropped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.records.packet import Packet, SourceId

logger = logging.getLogger(__name__)


class Backlog:
    """The backlog of one run. The loop calls `take` with each packet, and `rest` when the work on it is done."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self.dropped = 0
        self._now_s = now_s
        self._idle_ns = 0
        self._channels: set[SourceId] = set()
        self._data_s = 0.0  # sum over all channels
        self._work_s = 0.0
        self._began_s: float | None = None  # when the current work began
        self.dropping = False  # True from the first dropped window until the run has caught up

    def take(self, packet: Packet, idle_ns: int) -> None:
        """Work on a packet begins. idle_ns: time when the source last had no more data to give."""
        if idle_ns != self._idle_ns:
            self._idle_ns = idle_ns
            self.clear()
        self._channels.add(packet.source_id)
        self._data_s += (packet.endtime_ns - packet.starttime_ns) / NS_PER_S
        self._began_s = self._now_s()

    def rest(self) -> None:
        """Work on a packet has ended."""
        if self._began_s is not None:
            self._work_s += self._now_s() - self._began_s
            self._began_s = None

    def clear(self) -> None:
        """No packet is waiting: the run has caught up with its stream."""
        if self.dropping:
            logger.info("caught up with the stream; %d windows were dropped so far", self.dropped)
        self.dropping = False
        self._channels.clear()
        self._data_s = self._work_s = 0.0

    @property
    def behind_s(self) -> float:
        """Seconds behind the stream now."""
        current_s = 0.0 if self._began_s is None else self._now_s() - self._began_s
        return max(self._work_s + current_s - self._data_s / max(len(self._channels), 1), 0.0)

    def drops(self, station_id: str, max_behind_s: float) -> bool:
        """True where the window that is due must be dropped; counts it and logs the first."""
        behind_s = self.behind_s
        if behind_s <= max_behind_s:
            return False
        self.dropped += 1
        logger.log(
            logging.DEBUG if self.dropping else logging.WARNING,
            "%s: %.0f s behind the stream, live.max_behind_s is %g: windows are dropped, samples are not",
            station_id,
            behind_s,
            max_behind_s,
        )
        self.dropping = True
        return True
