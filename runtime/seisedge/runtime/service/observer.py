"""Observer: what the loop passes on to a part that only looks, such as the page of the station."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from seisedge.runtime.event import Event, Hop
from seisedge.runtime.records.packet import Packet


class Observer(Protocol):
    """Is called in the thread of the loop: each method returns at once, raises nothing and changes no argument."""

    def note_packet(self, packet: Packet) -> None:
        """A packet that is analysed."""

    def note_line(self, line: Event | Hop) -> None:
        """A line that was emitted."""

    def note_block(self, station_id: str, time_ns: int, probabilities: npt.NDArray[np.float32]) -> None:
        """Probabilities (hops, 5) of the onset detector, one row each 0.1 s from `time_ns` on."""
