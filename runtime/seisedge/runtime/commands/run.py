"""`seisedge run`"""

from __future__ import annotations

from pathlib import Path
from typing import cast, get_args

import click

from seisedge.runtime.bench.recorded import trial_windows
from seisedge.runtime.commands import FilePath, FiniteRange
from seisedge.runtime.commands._console import Console, stopped_by_signals
from seisedge.runtime.commands._run_inputs import read_inputs
from seisedge.runtime.commands._safe_mode import reported_in_safe_mode
from seisedge.runtime.commands._service import (
    Operation,
    Outputs,
    documents_of,
    has_sinks,
    open_journal,
    open_recorder,
)
from seisedge.runtime.config import EngineName, Mode, StationConfig
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.journal._base import BaseJournal
from seisedge.runtime.machine import memory_limit_mib
from seisedge.runtime.service.long_lived import LongLived
from seisedge.runtime.service.loop import Loop, default_max_stations
from seisedge.runtime.service.usable import refuse_unusable
from seisedge.runtime.sources import Source, open_source
from seisedge.runtime.station.run_report import RunReport

SINKS_END_S = 30.0  # time for sinks to deliver their lines at the end of the data
YEAR_S = 31_536_000.0  # a longer limit is none: leave the option out
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
    type=FilePath(),
    help="Use this model file for its task; may be repeated. Default: the station file's, else the bundled model.",
)
@click.option(
    "--engine",
    type=click.Choice(get_args(EngineName)),
    help="Engine for the models. Default: the station file's, else onnxruntime.",
)
@click.option(
    "--stationxml",
    type=FilePath(),
    metavar="FILE",
    help="Take gains and orientations from this StationXML file instead of the station files.",
)
@click.option(
    "--mode",
    type=click.Choice(get_args(Mode)),
    help="Write events only, or a line for each second as well. Default: the station file's, else triggered.",
)
@click.option(
    "--events",
    type=FilePath(),
    help="Also write the events to this file, as JSON lines. It is overwritten; with --state, appended to. A new file "
    "can be read by its owner only, unless `file_mode` of [journal] sets other rights.",
)
@click.option(
    "--state",
    type=FilePath(),
    metavar="DIR",
    help="Store the state of the run in this folder and resume from it after a restart. Default: the station file's.",
)
@click.option(
    "--metrics",
    metavar="HOST:PORT",
    help="Serve /healthz and /metrics on this address, for example 127.0.0.1:9108. Default: the station file's.",
)
@click.option(
    "--page",
    metavar="HOST:PORT",
    help="Serve the page of the station on this address, for example 127.0.0.1:8080. Default: the station file's.",
)
@click.option(
    "--until-end",
    is_flag=True,
    help="Start at the earliest data, unless the URL has from=, and end with the server's last packet.",
)
@click.option(
    "--idle-exit", type=FiniteRange(min=0.1, max=YEAR_S), metavar="S", help="End after S seconds without a packet."
)
@click.option(
    "--connect-timeout",
    type=FiniteRange(min=0.1, max=YEAR_S),
    metavar="S",
    help="Fail after S seconds without a connection. Default: no limit, or the first failure with --until-end.",
)
@click.option(
    "--max-stations",
    type=click.IntRange(min=1),
    metavar="N",
    help="Without station files: analyse the first N stations of the data and count the packets of others. "
    "Default: as many as the memory allows.",
)
@click.option(
    "--safe-mode",
    is_flag=True,
    help="If the run cannot start, serve /healthz and /metrics with the reason instead of ending, and start again when "
    "a station, StationXML or model file changes, at SIGHUP, and after five minutes. For services.",
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
    page: str | None,
    until_end: bool,
    idle_exit: float | None,
    connect_timeout: float | None,
    max_stations: int | None,
    safe_mode: bool,
    as_json: bool,
) -> None:
    """Read a stream, files, folders or standard input (-) and emit events.

    Arguments that end in .toml are station files, all others are miniSEED. With station files, only data of their
    stations are analysed.

    Readable lines and the log go to standard output. With --json only JSON lines go to standard output.

    Exit status: 0 success, 1 no connection or another failure, 2 unusable input.
    """
    watched = (stationxml, *models)
    with reported_in_safe_mode(safe_mode, data, metrics, watched) as start, Console(as_json=as_json) as console:
        chosen = cast("Mode | None", mode)
        inputs = read_inputs(data, urls, stationxml, engine, chosen)
        configs = list(inputs.configs.values())
        journal = open_journal(state, inputs.where, configs)
        recorder = open_recorder(inputs.configs, journal)
        source = open_source(
            inputs.where,
            until_end=until_end,
            connect_timeout_s=connect_timeout,
            resume=journal.resume,
            resume_ns=journal.resume_ns,
        )
        loaded = Models.load(inputs.models, models, trial_windows)
        loaded.try_batches()  # before a record is in hand, which a kill in this time would be blamed on
        metrics = metrics or next((config.metrics for config in configs if config.metrics), None)
        pages = [("--page", page), *(("page.listen", config.page.listen) for config in configs)]
        shown_at = next(((setting, listen) for setting, listen in pages if listen), None)
        long_lived = LongLived() if source.live else None
        kept = events if journal.folder is not None else None  # without a journal the file is overwritten
        with Operation(journal, source, metrics, console, configs, shown_at, kept) as operation:
            shown = console.sink(journal, source, alone=events is None and not has_sinks(configs))
            outputs = Outputs(
                journal, shown, events, configs, loaded, back_pressure=source.back_pressure,
                documents=documents_of(configs, loaded, source, operation.health, inputs.metadata),
                recorder=recorder,
            )  # fmt: skip
            loop = Loop(
                loaded,
                outputs.direct,
                inputs.configs,
                default=None if configs else StationConfig(),
                mode=chosen,
                journal=journal,
                health=operation.health,
                metadata=inputs.metadata,
                max_stations=max_stations or default_max_stations(memory_limit_mib()),
                recorder=recorder,
                observer=operation.page.feed if operation.page is not None else None,
                long_lived=long_lived,
            )
            outputs.stations = loop.report.stations
            operation.watch(loop, loaded, outputs.drains, recorder, source)
            with stopped_by_signals(loop.stop, source.close, console.give_up):
                try:
                    with source:
                        operation.health.note_opened()
                        start.up = True
                        report = loop.run(source, idle_exit_s=idle_exit)
                finally:
                    operation.stopping()
                    if long_lived is not None:
                        long_lived.close()
                    outputs.close(SINKS_STOP_S if loop.stopped else SINKS_END_S)
                if not source.live and not loop.stopped:
                    refuse_unusable(report, source, inputs.metadata)
                if not as_json:
                    _summary(report, source, journal, loaded, console)
                    outputs.summarise(console)
                if not loop.stopped:
                    outputs.check()
                console.close()


def _summary(report: RunReport, source: Source, journal: BaseJournal, models: Models, console: Console) -> None:
    counters, stations = source.counters, report.stations.values()
    console.say(
        f"{report.stream_s / 60:.1f} min of data from {len(report.stations)} station(s), "
        f"{report.packets} packets: {report.triggers} triggers, {report.events_text}, "
        f"{report.inferences} inferences in {report.wall_s:.1f} s"
    )
    problems = {
        "damaged records left out": counters.bad_records,
        "of these, records whose analysis failed (a fault of seisedge, see the log)": counters.failed_records,
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
        "lines of standard output that nobody read": console.out.dropped,
    }
    for station in stations:
        for timeline in station.timelines[:1]:
            for component, track in timeline.tracks.items():
                if track.counters.gaps:
                    problems[f"gaps on {station.station_id} {component}"] = track.counters.gaps
    for what, count in problems.items():
        if count:
            console.say(f"  {what}: {count}")
    for sentence in models.stand_ins:
        console.say(f"  {sentence}")
