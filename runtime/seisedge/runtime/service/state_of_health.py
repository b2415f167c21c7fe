"""State of health of digitizers: the newest value of channels such as VEP (supply voltage), LCQ (clock quality), VMZ.

Which channels these are follows from their code, see `channelcode.STATE_OF_HEALTH`, or from a table in the station
file, which also has the unit and the limits. Their samples are not analysed.

The loop writes, other threads read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from seisedge.runtime.config.state_of_health import StateOfHealthConfig
from seisedge.runtime.records.channelcode import state_of_health_of
from seisedge.runtime.records.packet import Packet

MAX_CHANNELS = 32  # of one station
DEFAULT = StateOfHealthConfig()


@dataclass(frozen=True, slots=True)
class Reading:
    """The newest value of a channel. what: in words, '' if only the station file names the channel."""

    location: str
    channel: str
    what: str
    value: float
    unit: str
    time_ns: int
    fault: str | None

    def __str__(self) -> str:
        return f"{self.what or self.channel} {self.value:g} {self.unit}"


class StateOfHealth:
    """The newest readings of all stations."""

    def __init__(self) -> None:
        self._found: dict[str, dict[tuple[str, str], Reading]] = {}

    def note(self, packet: Packet, settings: Mapping[str, StateOfHealthConfig]) -> None:
        """Take a packet, if it is of a state-of-health channel. An older one than the newest changes nothing."""
        source_id = packet.source_id
        what = state_of_health_of(source_id.channel)
        if (what is None and source_id.channel not in settings) or not len(packet.samples):
            return
        found = self._found.setdefault(source_id.station_id, {})
        key = (source_id.location, source_id.channel)
        before = found.get(key)
        if (before is None and len(found) >= MAX_CHANNELS) or (
            before is not None and before.time_ns > packet.endtime_ns
        ):
            return
        config = settings.get(source_id.channel, DEFAULT)
        value = float(packet.samples[-1]) * config.per_count
        reading = Reading(*key, what or "", value, config.unit, packet.endtime_ns, None)
        found[key] = Reading(*key, what or "", value, config.unit, packet.endtime_ns, _fault(reading, config))

    def of(self, station_id: str) -> list[Reading]:
        """The readings of a station, by location and channel."""
        return [reading for _, reading in sorted(self._found.get(station_id, {}).items())]

    def faults(self) -> list[str]:
        """A clause for each reading beyond its limits."""
        return [
            f"{station_id}: {reading.fault}"
            for station_id in list(self._found)
            for reading in self.of(station_id)
            if reading.fault is not None
        ]


def _fault(reading: Reading, config: StateOfHealthConfig) -> str | None:
    """What is wrong with a reading, as a clause."""
    name = f"{reading.what or 'state of health'} ({reading.channel})"
    if config.lowest is not None and reading.value < config.lowest:
        return f"{name} is {reading.value:g} {reading.unit}, below {config.lowest:g}"
    if config.highest is not None and reading.value > config.highest:
        return f"{name} is {reading.value:g} {reading.unit}, above {config.highest:g}"
    return None
