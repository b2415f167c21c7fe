"""`seisedge run`"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import cast, get_args

import click

from seisedge.runtime.bench.recorded import trial_windows
from seisedge.runtime.commands import FiniteRange
from seisedge.runtime.commands._run_inputs import read_inputs
from seisedge.runtime.commands._service import Operation, Outputs, log_to_stdout, open_journal
from seisedge.runtime.config import EngineName, Mode, StationConfig
from seisedge.runtime.errors import DataError
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.journal._base import BaseJournal
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sinks.jsonl import JsonLinesSink
from seisedge.runtime.sinks.terminal import TerminalSink
from seisedge.runtime.sources import Source, open_source
from seisedge.runtime.station.run_report import RunReport

MAX_NAMES = 5  # of channels or stations in one message
SINKS_END_S = 30.0  # time for sinks to deliver their lines at the end of the data
SINKS_STOP_S = 3.0  # the same after SIGTERM or Ctrl-C

EPILOG = """\b
Examples:
  seisedge run recording.mseed
  seisedge run station.toml --source seedlink://127.0.0.1/PB_B918
  cat *.mseed | seisedge run - --json
  seisedge run station.toml --state state/B918 --events events.jsonl
"""


@click.command(epilog=EPILOG)
@click.argument("data", nargs=-1, metavar="[STATION.toml] [DATA]...")
@click.option(
    "--source",
    "urls",
    multiple=True,
    metavar="URL",
    help="\b\nRead this source instead of DATA. Takes\nprecedence over `source` of a station file.\n"
    "  seedlink://HOST/NET_STA\n  datalink://HOST/NET_STA\n  shake-udp://:PORT?station=NET_STA\n  sds:DIR\n"
    "  file:PATH[?follow=true]",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Use this model file for its task; may be repeated. Default: the station file's, else the bundled model.",
)
@click.option(
    "--engine",
    type=click.Choice(get_args(EngineName)),
    help="Engine for the models. Default: the station file's, else onnxruntime.",
)
@click.option(
    "--stationxml",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take gains and orientations from this StationXML file instead of the station files.",
)
@click.option(
    "--mode",
    type=click.Choice(get_args(Mode)),
    help="Analyse triggered windows, or all data. Default: the station file's, else triggered.",
)
@click.option(
    "--events",
    type=click.Path(path_type=Path),
    help="Also write the events to this file, as JSON lines. It is overwritten; with --state, appended to.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Store the state of the run in this folder and resume from it after a restart. Default: the station file's.",
)
@click.option(
    "--metrics",
    metavar="HOST:PORT",
    help="Serve /healthz and /metrics on this address, for example 127.0.0.1:9108. Default: the station file's.",
)
@click.option(
    "--until-end",
    is_flag=True,
    help="Start at the earliest data, unless the URL has from=, and end with the server's last packet.",
)
@click.option("--idle-exit", type=FiniteRange(min=0.1), metavar="S", help="End after S seconds without a packet.")
@click.option(
    "--connect-timeout",
    type=FiniteRange(min=0.1),
    metavar="S",
    help="Fail after S seconds without a connection. Default: no limit, or the first failure with --until-end.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines, and log to standard error.")
def command(  # noqa: PLR0913 - one parameter for each option of the command
    data: tuple[str, ...],
    urls: tuple[str, ...],
    models: tuple[Path, ...],
    engine: str | None,
    stationxml: Path | None,
    mode: str | None,
    events: Path | None,
    state: Path | None,
    metrics: str | None,
    until_end: bool,
    idle_exit: float | None,
    connect_timeout: float | None,
    as_json: bool,
) -> None:
    """Read a stream, files, folders or standard input (-) and emit events.

    Arguments that end in .toml are station files, all others are miniSEED. With station files, only data of their
    stations are analysed.

    Readable lines and the log go to standard output. With --json only JSON lines go to standard output.

    Exit status: 0 success, 1 no connection or another failure, 2 unusable input.
    """
    if not as_json:
        log_to_stdout()
    inputs = read_inputs(data, urls, stationxml, engine)
    configs = list(inputs.configs.values())
    journal = open_journal(state, inputs.where, configs)
    source = open_source(
        inputs.where,
        until_end=until_end,
        connect_timeout_s=connect_timeout,
        resume=journal.resume,
        resume_ns=journal.resume_ns,
    )
    loaded = Models.load(inputs.models, models, trial_windows)
    shown = JsonLinesSink(sys.stdout.buffer) if as_json else TerminalSink(click.echo)
    metrics = metrics or next((config.metrics for config in configs if config.metrics), None)
    with Operation(journal, source, metrics) as operation:
        outputs = Outputs(journal, shown, events, configs, loaded)
        chosen = cast("Mode | None", mode)
        loop = Loop(
            loaded,
            outputs.direct,
            inputs.configs,
            default=None if configs else StationConfig(),
            mode=chosen,
            journal=journal,
            health=operation.health,
            metadata=inputs.metadata,
        )
        operation.watch(loop, loaded, outputs.drains)
        try:
            with source, _stopped_by_signals(loop, source):
                operation.ready()
                report = loop.run(source, idle_exit_s=idle_exit)
        finally:
            operation.stopping()
            outputs.close(SINKS_STOP_S if loop.stopped else SINKS_END_S)
    if not source.live and not loop.stopped:
        _refuse_unusable(report, source)
    if not as_json:
        _summary(report, source, journal, loaded)


def _refuse_unusable(report: RunReport, source: Source) -> None:
    """Raises DataError with all reasons if no data of the files reached the timeline of a station."""
    if any(station.used for station in report.stations.values()):
        return
    why: dict[str, list[str]] = {}  # reason → channels
    for station in report.stations.values():
        for name, reason in station.refusals.items():
            why.setdefault(reason, []).append(name)
    reasons = [f"{_few(names)}: {reason}" for reason, names in why.items()]
    if report.other_stations:
        reasons.append(
            f"no record is of a station that a station file names; the data are of {_few(report.other_stations)}"
        )
    reasons += [f"{count} record(s) left out: {reason}" for reason, count in source.reasons.items()]
    raise DataError(f"{source.url}: nothing that can be used: {'; '.join(reasons) or 'no record'}")


def _few(names: Iterable[str]) -> str:
    """The first names in order, and how many more there are."""
    ordered = sorted(names)
    more = len(ordered) - MAX_NAMES
    return ", ".join(ordered[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


@contextlib.contextmanager
def _stopped_by_signals(loop: Loop, source: Source) -> Iterator[None]:
    """Make SIGTERM and Ctrl-C end the run normally, with exit status 0.

    Open events are closed and written; with a state folder they stay open for the next run.
    """

    def stop(_number: int, _frame: FrameType | None) -> None:
        loop.stop()
        source.close()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _summary(report: RunReport, source: Source, journal: BaseJournal, models: Models) -> None:
    counters, stations = source.counters, report.stations.values()
    click.echo(
        f"{report.stream_s / 60:.1f} min of data from {len(report.stations)} station(s), "
        f"{report.packets} packets: {report.triggers} triggers, {report.events} events, "
        f"{report.inferences} inferences in {report.wall_s:.1f} s",
        err=True,
    )
    problems = {
        "damaged records left out": counters.bad_records,
        "text records (logs) left out": counters.text_records,
        "bytes skipped between records": counters.skipped_bytes,
        "truncated records": counters.truncated,
        "reconnects": counters.reconnects,
        "times a server no longer had the next packet": counters.resume_gaps,
        "times an inferred sampling rate was wrong": counters.rate_corrections,
        "windows dropped because the run was behind the stream": report.dropped_windows,
        "triggers caused by a spike, a step or a calibration": report.artefacts,
        "packets whose time no other packet confirms": sum(s.counters.stray_packets for s in stations),
        "times a clock was set back": sum(s.counters.new_timelines for s in stations),
        "packets of other stations, ignored": sum(report.other_stations.values()),
        "lines already emitted by an earlier run": journal.counters.repeated_lines,
    }
    for station in stations:
        for timeline in station.timelines[:1]:
            for component, track in timeline.tracks.items():
                if track.counters.gaps:
                    problems[f"gaps on {station.station_id} {component}"] = track.counters.gaps
    for what, count in problems.items():
        if count:
            click.echo(f"  {what}: {count}", err=True)
    for sentence in models.stand_ins:
        click.echo(f"  {sentence}", err=True)
