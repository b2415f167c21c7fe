"""`seisedge demo`"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from seisedge.runtime.commands import FiniteRange
from seisedge.runtime.config import ModelsConfig
from seisedge.runtime.demo import AUTOMATIC, CATALOGUE, RECORDING
from seisedge.runtime.demo.cost import cost_lines
from seisedge.runtime.demo.report import count_lines, event_table, last_revisions, latency_table, match, verdict
from seisedge.runtime.demo.run import EventList, demo_configs, run_demo
from seisedge.runtime.demo.truth import automatic_from_csv, catalogue_from_csv
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.paths import text_from_path
from seisedge.runtime.screen import Screen
from seisedge.runtime.sinks import Sink
from seisedge.runtime.sinks._holding import Holding
from seisedge.runtime.sinks.jsonl import EventsFile
from seisedge.runtime.sinks.terminal import TerminalSink

SPEED = 60.0  # 26 minutes in 26 seconds

EPILOG = """\b
Examples:
  seisedge demo
  seisedge demo --speed 0 --events events.jsonl
"""


@click.command(epilog=EPILOG)
@click.option(
    "--speed",
    type=FiniteRange(min=0, max=1e6),
    default=SPEED,
    show_default=True,
    help="Replay speed, times real time; 0: as fast as possible.",
)
@click.option("--events", type=click.Path(path_type=Path), help="Also write the events to this file, as JSON lines.")
@click.option("--quiet", is_flag=True, help="Print only the tables at the end, not each event.")
def command(speed: float, events: Path | None, quiet: bool) -> None:
    """Replay 26 minutes of the Ridgecrest sequence over SeedLink into a station.

    The data are real records of two borehole stations; the models are the bundled ones. Prints the events as they
    are emitted. Then compares them with the catalogue, and reports missed earthquakes, latency by stage, FLOPs and
    memory on this machine.
    """
    configs, screen = demo_configs(), Screen.of(sys.stdout)
    models = Models.load(ModelsConfig())
    emitted = EventList()
    sinks: list[Sink] = [emitted]
    held: Holding | None = None
    if events is not None:
        held = Holding(EventsFile(events), text_from_path(events))
        sinks.append(held)
    if not quiet:
        sinks.append(TerminalSink(click.echo, screen))
    report = run_demo(models, sinks, configs, speed, lambda url: _announce(url, speed))
    for sink in sinks:
        sink.close()
    catalogue, automatic = catalogue_from_csv(CATALOGUE), automatic_from_csv(AUTOMATIC)
    matches = match(last_revisions(emitted.events), catalogue, automatic, configs)
    parts = [
        ["", "Detections beside the catalogue: distance, event type with its probability,", "magnitude", ""],
        event_table(matches, catalogue, configs),
        ["", *verdict(matches, catalogue, list(configs))],
        ["Each station detects on its own; detections are neither associated nor located.", ""],
        [*count_lines(report), ""],
        [*latency_table(emitted.events), ""],
        cost_lines(models, emitted.events, report, speed),
    ]
    click.echo("\n".join(screen.wrapped(line, "  ") for part in parts for line in part))
    if held is not None:
        held.check()


def _announce(url: str, speed: float) -> None:
    pace = f"{speed:g} times real time" if speed else "full speed"
    click.echo(f"The virtual digitizer replays {RECORDING.name} at {pace}; the station reads\n{url}")
    click.echo("Neither this recording nor its noise was used for training, fitting or calibration.")
    click.echo("But two choices between variants of the magnitude model were made with results on")
    click.echo("this recording known.\n")
