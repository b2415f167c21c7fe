"""RunReport: totals of a run over its stations, for the terminal, `/metrics` and the benchmarks."""

from __future__ import annotations

from dataclasses import dataclass, field

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.station.station import Station


@dataclass(slots=True)
class RunReport:
    """Totals of a run, up to now."""

    stations: dict[str, Station] = field(default_factory=dict)
    packets: int = 0
    other_stations: dict[str, int] = field(default_factory=dict)  # packets by station id; not configured
    wall_s: float = 0.0

    @property
    def events(self) -> int:
        return sum(station.counters.events for station in self.stations.values())

    @property
    def events_text(self) -> str:
        """Number of events emitted, and of those retracted, in words."""
        retracted = sum(station.counters.retracted_events for station in self.stations.values())
        return f"{self.events} events" + (f" ({retracted} of them retracted)" if retracted else "")

    @property
    def triggers(self) -> int:
        return sum(station.counters.triggers for station in self.stations.values())

    @property
    def artefacts(self) -> int:
        """Triggers that opened no event: spikes, steps, calibrations."""
        counters = [station.counters for station in self.stations.values()]
        return sum(c.spike_triggers + c.step_triggers + c.calibration_triggers for c in counters)

    @property
    def inferences(self) -> int:
        return sum(station.counters.inferences for station in self.stations.values())

    @property
    def dropped_windows(self) -> int:
        return sum(station.counters.dropped_windows for station in self.stations.values())

    @property
    def stream_s(self) -> float:
        """Length of the longest station's data."""
        return max((station.data_ns for station in self.stations.values()), default=0) / NS_PER_S
