"""Packet: what every source hands to the station, one decoded record of one channel."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S

__all__ = ["Packet", "RecordFlag", "Samples", "SourceId"]

Samples = npt.NDArray[np.int32] | npt.NDArray[np.float32] | npt.NDArray[np.float64]


class RecordFlag(enum.IntFlag):
    """What the digitizer said about a record (miniSEED 2 quality bits and blockettes, miniSEED 3 flags)."""

    NONE = 0
    CALIBRATION = 1
    TIME_QUESTIONABLE = 2
    CLOCK_UNLOCKED = 4
    SATURATED = 8
    CLIPPED = 16
    SPIKES = 32


@dataclass(frozen=True, slots=True, order=True)
class SourceId:
    """One channel of one station, in FDSN words; an empty location is ''."""

    network: str
    station: str
    location: str
    channel: str

    @property
    def station_id(self) -> str:
        """`NET.STA`, the key of everything that is per station."""
        return f"{self.network}.{self.station}"

    def __str__(self) -> str:
        return f"{self.network}_{self.station}_{self.location}_{self.channel}"


@dataclass(frozen=True, slots=True)
class Packet:
    """Samples of one channel, contiguous, as they came.

    `samples`: (n,), counts, as decoded; owned by the packet (a copy, never a view of a reused buffer).
    """

    source_id: SourceId
    starttime_ns: int
    sampling_rate_hz: float
    samples: npt.NDArray[Any]
    flags: RecordFlag
    arrival_ns: int  # time.monotonic_ns() when the last byte was read
    token: str  # resume token of the source after this packet; '' where the source has no history

    @property
    def endtime_ns(self) -> int:
        """Time of the sample that would follow the last one."""
        return self.starttime_ns + round(len(self.samples) * NS_PER_S / self.sampling_rate_hz)
