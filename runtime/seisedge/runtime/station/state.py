"""State of a station without its samples, as the journal stores it.

It consists of two parts that may be taken at different times. `Station.restore` with the front after an earlier packet
and the back after a later one, followed by the packets after the earlier one, leads to the same station as the
uninterrupted run: the front takes the same decisions on the same packets, and the back has nothing to do until the
front is where it was. Two conditions must hold: no packet up to the earlier one has samples after `Station.needed_ns`
at the time of the back, and both parts are of the same epoch.

Fields keep their stored names when they are renamed (`msgspec.field(name=...)`); any other change of what is stored
needs a new `STATE_VERSION`.
"""

from __future__ import annotations

import msgspec

from seisedge.runtime.counters import StationCounters
from seisedge.runtime.station.clock_steps import ClockStepsState
from seisedge.runtime.station.triggered import TriggeredState
from seisedge.runtime.timeline.timeline import TimelineState

# Of both structs, and of the computations that they continue: filters, triggers, and the rules that judge events. A run
# of `seisedge archive` is continued only with the version that began it.
STATE_VERSION = 8


class FrontState(msgspec.Struct, frozen=True):
    """The station up to the samples on its timelines, after a certain packet.

    build_rate_hz: sampling rate of the first packet of these timelines.
    first_ns, last_ns: span of the data on these timelines.
    epoch: number of earlier sets of timelines; earlier_ns: length of the data on them.
    """

    build_rate_hz: float
    packets: int
    first_ns: int
    last_ns: int
    timelines: list[TimelineState]
    clock_steps: ClockStepsState
    epoch: int
    earlier_ns: int


class BackState(msgspec.Struct, frozen=True):
    """The station from its timelines on: the results of the samples so far.

    seismometer, accelerometer: location, band and instrument code, and the channel code of each component.
    """

    seismometer: tuple[tuple[str, str] | None, dict[str, str]]
    accelerometer: tuple[tuple[str, str] | None, dict[str, str]]
    counters: StationCounters
    triggered: TriggeredState | None = None
