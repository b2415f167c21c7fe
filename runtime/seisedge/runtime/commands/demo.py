"""`seisedge demo`"""

from __future__ import annotations

from pathlib import Path

import click

from seisedge.runtime import machine
from seisedge.runtime.bench.start import describe, measure_start
from seisedge.runtime.clock import iso_from_ns
from seisedge.runtime.commands import FiniteRange
from seisedge.runtime.config import ModelsConfig, load_config
from seisedge.runtime.demo import AUTOMATIC, CATALOGUE, RECORDING, STATIONS
from seisedge.runtime.demo.report import event_table, last_revisions, latency_table, match, verdict
from seisedge.runtime.demo.truth import automatic_from_csv, catalogue_from_csv
from seisedge.runtime.event import Event, Hop
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sinks import Sink
from seisedge.runtime.sinks.jsonl import JsonLinesSink
from seisedge.runtime.sinks.terminal import TerminalSink
from seisedge.runtime.sources import open_source
from seisedge.runtime.station.run_report import RunReport

SPEED = 60.0  # 26 minutes in 26 seconds
LATE = 1.05  # times what the replay takes by itself

EPILOG = """\b
Examples:
  seisedge demo
  seisedge demo --speed 0 --events events.jsonl
"""


class _Collector(Sink):
    """Keeps the events for the tables."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def write(self, line: Event | Hop) -> None:
        if isinstance(line, Event):
            self.events.append(line)


@click.command(epilog=EPILOG)
@click.option("--speed", type=FiniteRange(min=0), default=SPEED, show_default=True, help="0: as fast as it goes.")
@click.option("--events", type=click.Path(path_type=Path), help="Write the events to this file, as JSON lines.")
@click.option("--quiet", is_flag=True, help="Only the tables at the end.")
def command(speed: float, events: Path | None, quiet: bool) -> None:
    """Replay 26 minutes of the Ridgecrest sequence through a SeedLink connection into the station.

    Two borehole stations, real records, the bundled models. Then: the events beside the catalogue, what was
    missed, latency by stage, FLOPs and memory on this machine.
    """
    configs = {str(c.station_id): c for c in (load_config(path) for path in sorted(STATIONS.glob("*.toml")))}
    models = Models.load(ModelsConfig())
    collector = _Collector()
    sinks: list[Sink] = [collector]
    if events is not None:
        sinks.append(JsonLinesSink.to_file(events))
    if not quiet:
        sinks.append(TerminalSink(click.echo))
    with Digitizer([RECORDING], listen=("127.0.0.1", 0), speed=speed) as digitizer:

        def transport(packet: Packet) -> float | None:
            # released when the last sample is past: the end of a packet is one sample later
            last_ns = packet.endtime_ns - round(1e9 / packet.sampling_rate_hz)
            released_ns = digitizer.released_ns(last_ns) if speed else None
            return None if released_ns is None else max(packet.arrival_ns - released_ns, 0) / 1e6

        stations = ",".join(station.replace(".", "_") for station in configs)
        url = f"{digitizer.url}/{stations}?from=earliest"
        click.echo(f"virtual digitizer: {RECORDING.name} at {speed:g} times real time, station on {url}")
        click.echo(
            "This stretch and its noise were used for no training, fitting or calibration. One choice between two"
        )
        click.echo(
            "variants of the magnitude model was made with its figures in sight; cross-validation agreed with it.\n"
        )
        loop = Loop(models, sinks, configs, transport=transport)
        with open_source(url, until_end=True, connect_timeout_s=10) as source:
            report = loop.run(source)
    for sink in sinks:
        sink.close()
    catalogue, automatic = catalogue_from_csv(CATALOGUE), automatic_from_csv(AUTOMATIC)
    matches = match(last_revisions(collector.events), catalogue, automatic, configs)
    click.echo("\nEvents beside the catalogue (type and its probability, expected magnitude and 90 % interval)\n")
    click.echo("\n".join(event_table(matches, catalogue, configs)))
    click.echo()
    click.echo("\n".join(verdict(matches, catalogue, list(configs))))
    click.echo("Single-station detections: nothing is associated or located.\n")
    click.echo("\n".join(_counts(report)))
    click.echo()
    click.echo("\n".join(latency_table(collector.events)))
    click.echo("\n".join(_cost(models, collector.events, report, speed)))


def _counts(report: RunReport) -> list[str]:
    first = min(s.first_ns for s in report.stations.values() if s.first_ns)
    noise = sum(station.counters.noise_events for station in report.stations.values())
    again = sum(station.counters.retriggers for station in report.stations.values())
    per_station = ", ".join(f"{name} {s.counters.triggers}" for name, s in report.stations.items())
    return [
        f"stream time {report.stream_s / 60:.1f} min from {iso_from_ns(first)[:19]}Z in {report.wall_s:.1f} s, "
        f"{report.packets} packets",
        f"{report.triggers} triggers ({per_station}), {again} of them within an open event, "
        f"{noise} called noise to the end; {report.events} events, {report.inferences} inferences",
    ]


def _cost(models: Models, events: list[Event], report: RunReport, speed: float) -> list[str]:
    achieved = sorted(event.cost.gflops_per_s for event in events if event.cost.inferences)
    lines = []
    for engine in models.engines:
        card = engine.card
        lines.append(
            f"{card.name}: {card.flops / 1e6:.1f} MFLOP an inference, {card.parameters / 1e3:.0f} k parameters, "
            f"{engine.path.stat().st_size / 1e3:.0f} kB, {engine.name}, {card.precision}"
        )
    if achieved:
        lines.append(f"achieved {achieved[len(achieved) // 2]:.1f} GFLOP/s in the median revision")
    resident = machine.resident_mib()
    if resident is not None:
        lines.append(
            f"resident memory {resident:.0f} MiB, the virtual digitizer included; a station alone, from its start:"
        )
    lines += [f"  {line}" for line in describe(measure_start())]
    lines.append(f"measured on {machine.describe()}")
    if speed:
        kept_up = report.wall_s <= LATE * report.stream_s / speed
        lines.append(
            f"the station {'kept up' if kept_up else 'did NOT keep up'} at {speed:g} times real time; "
            "latencies are wall-clock at that load"
        )
    return lines
