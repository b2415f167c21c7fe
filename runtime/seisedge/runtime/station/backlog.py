"""Backlog: how far a live run has fallen behind its stream, and whether a window must be dropped for it.

Counted since the source last had nothing more to give: seconds of work less seconds of data taken, where data are the
mean over the channels that spoke. So reading history, however old and however long, is no backlog as long as it is
read faster than it was recorded; a burst that is worked off is none; and neither clocks nor gaps enter.

No window is dropped from a source that waits for the station (`Source.back_pressure`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.records.packet import Packet, SourceId

logger = logging.getLogger(__name__)


class Backlog:
    """Of one run. The loop calls `take` with a packet in hand, `rest` when all that it made due is done."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self.dropped = 0
        self._now_s = now_s
        self._idle_ns = 0
        self._channels: set[SourceId] = set()
        self._data_s = 0.0  # of all channels together
        self._work_s = 0.0
        self._began_s: float | None = None  # of the work at hand
        self.dropping = False  # since the backlog began, until the run is level with the stream

    def take(self, packet: Packet, idle_ns: int) -> None:
        """Work on a packet begins. idle_ns: when the source last had nothing more to give."""
        if idle_ns != self._idle_ns:
            self._idle_ns = idle_ns
            self.clear()
        self._channels.add(packet.source_id)
        self._data_s += (packet.endtime_ns - packet.starttime_ns) / NS_PER_S
        self._began_s = self._now_s()

    def rest(self) -> None:
        """The work on a packet has ended."""
        if self._began_s is not None:
            self._work_s += self._now_s() - self._began_s
            self._began_s = None

    def clear(self) -> None:
        """Nothing waits: the run is level with its stream."""
        if self.dropping:
            logger.info("%d windows were dropped so far; level with the stream again", self.dropped)
        self.dropping = False
        self._channels.clear()
        self._data_s = self._work_s = 0.0

    @property
    def behind_s(self) -> float:
        """Seconds behind the stream, at this moment."""
        at_hand_s = 0.0 if self._began_s is None else self._now_s() - self._began_s
        return max(self._work_s + at_hand_s - self._data_s / max(len(self._channels), 1), 0.0)

    def drops(self, station_id: str, max_behind_s: float) -> bool:
        """True where the window that is due now is to be dropped; then it is counted."""
        behind_s = self.behind_s
        if behind_s <= max_behind_s:
            return False
        self.dropped += 1
        logger.log(
            logging.DEBUG if self.dropping else logging.WARNING,
            "%s: %.0f s behind the stream (live.max_behind_s is %g): windows are dropped, samples are not",
            station_id,
            behind_s,
            max_behind_s,
        )
        self.dropping = True
        return True
