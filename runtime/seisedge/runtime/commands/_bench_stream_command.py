"""`seisedge bench stream`"""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from seisedge.runtime.commands import FiniteRange
from seisedge.runtime.commands._bench_options import log_progress, report_options
from seisedge.runtime.errors import InputError

if TYPE_CHECKING:
    from seisedge.runtime.bench.stream_report import Data

EPILOG = """\b
Examples:
  seisedge bench stream --stations 20 --duration 120 --simultaneous
  seisedge bench stream --data quiet --find-max --limit 50 --duration 60
"""


@click.command("stream", epilog=EPILOG)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]...")
@click.option(
    "--stations", type=click.IntRange(1, 20_000), default=20, show_default=True, help="Stations in real time."
)
@click.option(
    "--duration", "seconds", type=FiniteRange(5, 86_400), default=60.0, show_default=True, metavar="S",
    help="Seconds of data a run.",
)  # fmt: skip
@click.option("--speed", type=FiniteRange(min=0), default=1.0, show_default=True, help="Only 1: real time.")
@click.option(
    "--protocol", type=click.Choice(["seedlink", "datalink", "udp"]), default="seedlink", show_default=True,
    help="udp: the packets of a Raspberry Shake, one station.",
)  # fmt: skip
@click.option(
    "--data", type=click.Choice(["quiet", "swarm"]),
    help="swarm: the bundled recording. quiet: its noise with 4 events per hour. Default: both.",
)  # fmt: skip
@click.option("--simultaneous", is_flag=True, help="Also measure all stations with the same data at the same time.")
@click.option("--runs", type=click.IntRange(1, 100), default=1, show_default=True, help="Runs in fresh processes.")
@click.option("--find-max", is_flag=True, help="Search the largest number of stations, beginning with --stations.")
@click.option(
    "--limit", "limit_ms", type=FiniteRange(0.1), default=100.0, show_default=True, metavar="MS", help="Of --find-max."
)
@click.option(
    "--max-lag", "max_lag_ms", type=FiniteRange(0.1), default=50.0, show_default=True, metavar="MS",
    help="A run in which the digitizer itself is later than this is invalid.",
)  # fmt: skip
@click.option(
    "--model", "models", multiple=True, type=click.Path(path_type=Path), help="Model of the station; may be repeated."
)
@report_options
def stream(
    files: tuple[Path, ...],
    speed: float,
    data: str | None,
    simultaneous: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure a station process on a live stream: from ground to event, and how many stations this machine carries.

    The virtual digitizer and the station run in processes of their own. Latency counts from the time at which the last
    needed record is due, so that a slow station cannot hide its queue. If the digitizer itself was late, the run is
    invalid and the exit status 1. FILE: miniSEED to send instead.
    """
    from seisedge.runtime.commands._bench_output import Outputs, write_outputs
    from seisedge.runtime.commands._bench_stream import Options, run_stream_bench

    if speed != 1:
        raise InputError(f"--speed {speed:g}: latency is measured in real time; give 1")
    if files and data:
        raise InputError("give files or --data, not both")
    if simultaneous and data == "quiet":
        raise InputError("--simultaneous: quiet data have too few events; leave out --data quiet")
    names = {field.name for field in fields(Outputs)}
    outputs = Outputs(**{name: value for name, value in options.items() if name in names})
    outputs.check()
    chosen = {name: value for name, value in options.items() if name not in names}
    plan = Options(files=files, data=cast("Data | None", data), together=simultaneous, **chosen)
    report = run_stream_bench(plan, (lambda line: None) if as_json else log_progress)
    write_outputs(report, outputs, as_json=as_json)
    if any(all(run.invalid for run in row.runs) for row in report.rows):
        sys.exit(1)
