"""The run of the demo: the virtual digitizer serves the bundled recording, and the station reads it over SeedLink."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from seisedge.runtime.config import StationConfig, load_config
from seisedge.runtime.demo import RECORDING, STATIONS
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sinks import Sink
from seisedge.runtime.sources import open_source
from seisedge.runtime.station.run_report import RunReport

CONNECT_TIMEOUT_S = 10.0


class EventList(Sink):
    """Keeps all emitted revisions of events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def write(self, line: Event | Hop) -> None:
        if isinstance(line, Event):
            self.events.append(line)


def demo_configs() -> dict[str, StationConfig]:
    """The station files of the demo, by station id."""
    configs = (load_config(path) for path in sorted(STATIONS.glob("*.toml")))
    return {str(config.station_id): config for config in configs}


def run_demo(
    models: Models,
    sinks: Sequence[Sink],
    configs: Mapping[str, StationConfig],
    speed: float,
    on_start: Callable[[str], None],
) -> RunReport:
    """Replay the bundled recording at `speed` times real time (0: as fast as possible).

    on_start: called with the source URL before the first packet.
    """
    with Digitizer([RECORDING], listen=("127.0.0.1", 0), speed=speed) as digitizer:

        def transport_ms(packet: Packet) -> float | None:
            # released when the last sample is past; endtime_ns is one sample later
            last_ns = packet.endtime_ns - round(1e9 / packet.sampling_rate_hz)
            released_ns = digitizer.released_ns(last_ns) if speed else None
            return None if released_ns is None else max(packet.arrival_ns - released_ns, 0) / 1e6

        stations = ",".join(station.replace(".", "_") for station in configs)
        url = f"{digitizer.url}/{stations}?from=earliest"
        on_start(url)
        loop = Loop(models, sinks, configs, transport=transport_ms)
        with open_source(url, until_end=True, connect_timeout_s=CONNECT_TIMEOUT_S) as source:
            return loop.run(source)
