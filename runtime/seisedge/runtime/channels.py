"""Channels of a station: which component each is, and what one count means."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt

from seisedge.runtime.config import ChannelConfig, StationConfig
from seisedge.runtime.packet import Packet
from seisedge.runtime.timeline import COMPONENTS

logger = logging.getLogger(__name__)

# SEED orientation codes. 1 and 2 are orthogonal but not geographic: they stand in the rows of N and E.
COMPONENT_OF = {"Z": "Z", "N": "N", "1": "N", "E": "E", "2": "E"}

# A 24-bit digitizer behind a common seismometer; only for the provisional bin of a station without a gain.
NOMINAL_COUNTS_PER_M_S = 6e8


class Channels:
    """One sensor of a station: the first location, band and instrument heard, or those of the station file."""

    def __init__(self, station_id: str, config: StationConfig) -> None:
        self.station_id = station_id
        self._config = config
        self._sensor: tuple[str, str] | None = None  # location, band and instrument code
        self._codes: dict[str, str] = {}  # component → channel code
        self.ignored: dict[str, int] = {}  # packets of other channels, by source id

    def state(self) -> tuple[tuple[str, str] | None, dict[str, str]]:
        """The sensor heard (location, band and instrument code), and the channel code of each component."""
        return self._sensor, dict(self._codes)

    def restore(self, sensor: tuple[str, str] | None, codes: dict[str, str]) -> None:
        """Go on listening to the same sensor."""
        self._sensor, self._codes = sensor, dict(codes)

    def component_of(self, packet: Packet) -> str | None:
        """Row of a packet's channel (Z, N or E), or None where it is not one of ours."""
        code, location = packet.source_id.channel, packet.source_id.location
        component = COMPONENT_OF.get(code[-1:])
        sensor = (location, code[:-1])
        if component and self._listed(code, location):
            self._sensor = self._sensor or sensor
            if sensor == self._sensor and self._codes.setdefault(component, code) == code:
                return component
        name = str(packet.source_id)
        if name not in self.ignored:
            heard = f"{self._sensor[1]}? at '{self._sensor[0]}'" if self._sensor else "the station file's channels"
            logger.warning("%s: channel %s is ignored, this station listens to %s", self.station_id, name, heard)
        self.ignored[name] = self.ignored.get(name, 0) + 1
        return None

    def _listed(self, code: str, location: str) -> bool:
        config = self._config
        if config.channels and code not in config.channels:
            return False
        return not (config.station and config.station.location) or config.station.location == location

    @property
    def polarity(self) -> npt.NDArray[np.float64]:
        """(3,), +1 or -1, ZNE."""
        entries = (self._entry(c) for c in COMPONENTS)
        return np.array([float(entry.polarity) if entry else 1.0 for entry in entries])

    @property
    def calibrated(self) -> bool:
        """True where amplitudes have a physical scale: a gain, or a station correction."""
        return self._has_gain or self._config.magnitude.station_correction is not None

    @property
    def metres_per_count(self) -> npt.NDArray[np.float64]:
        """(3,), m/s per count with the station correction; NaN for a component without a gain beside one with.

        With no gain at all a nominal one stands in; what comes of it is provisional unless a station
        correction was fitted to it.
        """
        entries = [self._entry(c) for c in COMPONENTS]
        if self._has_gain:
            gain = np.array([e.sensitivity if e and e.sensitivity else np.nan for e in entries])
        else:
            gain = np.full(3, NOMINAL_COUNTS_PER_M_S)
        correction: float = 10.0 ** (self._config.magnitude.station_correction or 0.0)
        return np.asarray(correction / gain)

    @property
    def _has_gain(self) -> bool:
        return any(e and e.sensitivity for e in (self._entry(c) for c in COMPONENTS))

    def _entry(self, component: str) -> ChannelConfig | None:
        return self._config.channels.get(self._codes.get(component, ""))
