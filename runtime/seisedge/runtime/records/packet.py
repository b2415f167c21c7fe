"""Packet: one decoded record of one channel, the unit that every source delivers to the station."""

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
    """Flags that the digitizer set in a record (miniSEED 2 quality bits and blockettes, miniSEED 3 flags)."""

    NONE = 0
    CALIBRATION = 1
    TIME_QUESTIONABLE = 2
    CLOCK_UNLOCKED = 4
    SATURATED = 8
    CLIPPED = 16
    SPIKES = 32


@dataclass(frozen=True, slots=True, order=True)
class SourceId:
    """FDSN codes of one channel of one station; an empty location code is ''."""

    network: str
    station: str
    location: str
    channel: str

    @property
    def station_id(self) -> str:
        """`NET.STA`, the key of all data that belong to one station."""
        return f"{self.network}.{self.station}"

    def __str__(self) -> str:
        return f"{self.network}_{self.station}_{self.location}_{self.channel}"


@dataclass(frozen=True, slots=True)
class Packet:
    """Contiguous samples of one channel, as received.

    samples: (n,), counts, as decoded; a copy that belongs to the packet, never a view of a reused buffer.
    """

    source_id: SourceId
    starttime_ns: int
    sampling_rate_hz: float
    samples: npt.NDArray[Any]
    flags: RecordFlag
    arrival_ns: int  # time.monotonic_ns() when the last byte was read
    token: str  # where the source resumes after this packet; '' if the source cannot resume

    @property
    def endtime_ns(self) -> int:
        """Time of the sample that follows the last one, in ns."""
        return self.starttime_ns + round(len(self.samples) * NS_PER_S / self.sampling_rate_hz)
