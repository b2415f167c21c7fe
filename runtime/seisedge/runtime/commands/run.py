"""`seisedge run`"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, cast, get_args

import click

from seisedge.runtime.config import Mode, StationConfig, load_config
from seisedge.runtime.errors import InputError
from seisedge.runtime.inference import Models
from seisedge.runtime.loop import Loop, RunReport
from seisedge.runtime.sinks import Sink
from seisedge.runtime.sinks._config import SinksConfig
from seisedge.runtime.sinks.jsonl import JsonLinesFile, JsonLinesSink
from seisedge.runtime.sinks.terminal import TerminalSink
from seisedge.runtime.sources import Source, open_source

if TYPE_CHECKING:
    from seisedge.runtime.journal import Journal  # loaded where there is a state, or a sink
    from seisedge.runtime.sinks._drain import Drain

SINKS_END_S = 30.0  # how long sinks are waited for when the data have ended
SINKS_STOP_S = 3.0  # and when the run is told to stop

EPILOG = """\b
Examples:
  seisedge run recording.mseed
  seisedge run station.toml --source seedlink://127.0.0.1:18000/PB_B918 --events events.jsonl
  cat *.mseed | seisedge run - --json
  seisedge run station.toml --state /var/lib/seisedge/B918 --events events.jsonl
"""


@click.command(epilog=EPILOG)
@click.argument("data", nargs=-1, metavar="[STATION.toml] [DATA]...")
@click.option("--source", "urls", multiple=True, metavar="URL", help="seedlink://host:port/NET_STA, sds:DIR, file:PATH")
@click.option("--model", "models", multiple=True, type=click.Path(path_type=Path), help="In place of a bundled model.")
@click.option("--mode", type=click.Choice(get_args(Mode)), help="Default: the station file's, else triggered.")
@click.option(
    "--events",
    type=click.Path(path_type=Path),
    help="Write JSON lines to this file; emptied, or appended to with --state.",
)
@click.option(
    "--state", type=click.Path(path_type=Path), metavar="DIR", help="Remember there, and go on after a restart."
)
@click.option("--until-end", is_flag=True, help="End when the server says that all is sent.")
@click.option("--idle-exit", type=click.FloatRange(min=0.1), metavar="S", help="End after S seconds without a packet.")
@click.option("--connect-timeout", type=click.FloatRange(min=0.1), metavar="S", help="Fail without a server.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines on standard output.")
def command(
    data: tuple[str, ...],
    urls: tuple[str, ...],
    models: tuple[Path, ...],
    mode: str | None,
    events: Path | None,
    state: Path | None,
    until_end: bool,
    idle_exit: float | None,
    connect_timeout: float | None,
    as_json: bool,
) -> None:
    """Read a stream, files, folders or standard input (-) and emit events.

    Of DATA, what ends in .toml is a station file; all else is miniSEED. With station files only their stations
    are listened to. Exit status: 0 done, 1 no connection, 2 input that cannot be used.
    """
    configs: dict[str, StationConfig] = {}
    for path in (Path(item) for item in data if item.endswith(".toml")):
        config = load_config(path)
        station_id = str(config.station_id)
        if station_id in configs:
            raise InputError(f"{path}: a second station file for {station_id}")
        configs[station_id] = config
    files = [item for item in data if not item.endswith(".toml")]
    where = _where(files, urls, list(configs.values()))
    journal = _journal(state, where, list(configs.values()))
    resume = journal.resume if journal is not None else None
    source = open_source(where, until_end=until_end, connect_timeout_s=connect_timeout, resume=resume)
    default = None if configs else StationConfig()
    first = next(iter(configs.values()), StationConfig())
    loaded = Models.load(first.models, models)
    shown = JsonLinesSink(sys.stdout.buffer) if as_json else TerminalSink(click.echo)
    outputs = _Outputs(journal, shown, events, list(configs.values()))
    loop = Loop(loaded, outputs.direct, configs, default=default, mode=cast("Mode | None", mode), journal=journal)
    _stop_on_signal(loop, source)
    try:
        with source:
            report = loop.run(source, idle_exit_s=idle_exit)
    finally:
        outputs.close(SINKS_STOP_S if loop.stopped else SINKS_END_S)
    if not as_json:
        _summary(report, source, journal)


class _Outputs:
    """Where lines go: straight to the terminal and to `--events`, or, with a state, by way of the journal's outbox.

    The sinks of the station files always go by way of an outbox, which without a state is in memory.
    """

    def __init__(
        self, journal: Journal | None, shown: Sink, events: Path | None, configs: Sequence[StationConfig]
    ) -> None:
        self._journal = journal
        self._file: Sink | None = None
        self._drains: list[Drain] = []
        self.direct: list[Sink] = []
        if journal is None or journal.folder is None:
            self._file = JsonLinesSink.to_file(events) if events is not None else None
            self.direct = [sink for sink in (self._file, shown) if sink is not None]
        if journal is None:
            return
        from seisedge.runtime.sinks._build import build_drains
        from seisedge.runtime.sinks._drain import Drain

        if journal.folder is not None:
            self._drains.append(Drain(shown, "standard output", journal, owned=False))
            if events is not None:
                self._drains.append(Drain(JsonLinesFile(events), f"jsonl {events.resolve()}", journal))
        self._drains += build_drains(configs, journal)
        for drain in self._drains:
            drain.start()

    def close(self, within_s: float) -> None:
        if self._file is not None:
            self._file.close()
        until_s = time.monotonic() + within_s
        for drain in self._drains:
            drain.close(max(until_s - time.monotonic(), 0.1))
        if self._journal is not None:
            self._journal.flush()  # what the sinks have got
            self._journal.close()


def _journal(state: Path | None, where: str | Sequence[str], configs: list[StationConfig]) -> Journal | None:
    """The journal of `--state`, else of the station files; None where there is nothing to remember or to hand on."""
    folders = [state] if state is not None else list(dict.fromkeys(Path(c.state) for c in configs if c.state))
    if len(folders) > 1:
        raise InputError(f"the station files name {len(folders)} state folders; run one process a folder, or --state")
    if not folders and all(config.sinks == SinksConfig() for config in configs):
        return None
    from seisedge.runtime.journal import Journal

    settings = configs[0].journal if configs else None
    return Journal(folders[0] if folders else None, where if isinstance(where, str) else ",".join(where), settings)


def _where(files: list[str], urls: tuple[str, ...], configs: list[StationConfig]) -> str | list[str]:
    """What to read: one URL, or files."""
    if files and urls:
        raise InputError("give DATA or --source, not both")
    if len(urls) > 1:
        raise InputError("one --source a run; several stations of one server: seedlink://host/NET_STA,NET_STA")
    if not files and not urls:
        urls = tuple(dict.fromkeys(config.source for config in configs if config.source))
        if not urls:
            raise InputError("nothing to read: give DATA, --source URL, or a station file with a source")
        if len(urls) > 1:
            raise InputError(f"the station files name {len(urls)} sources; run one process a source")
    return urls[0] if urls else files


def _stop_on_signal(loop: Loop, source: Source) -> None:
    """SIGTERM and Ctrl-C end the run in order, exit status 0.

    What is open is closed and written; with a state it stays open for the next run.
    """

    def stop(_number: int, _frame: FrameType | None) -> None:
        loop.stop()
        source.close()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _summary(report: RunReport, source: Source, journal: Journal | None) -> None:
    counters = source.counters
    click.echo(
        f"{report.stream_s / 60:.1f} min of data from {len(report.stations)} station(s), "
        f"{report.packets} packets: {report.triggers} triggers, {report.events} events, "
        f"{report.inferences} inferences in {report.wall_s:.1f} s",
        err=True,
    )
    troubles = {
        "damaged records left out": counters.bad_records,
        "bytes skipped between records": counters.skipped_bytes,
        "truncated records": counters.truncated,
        "reconnects": counters.reconnects,
        "packets of other stations": sum(report.other_stations.values()),
        "lines said in an earlier run": journal.counters.known_lines if journal is not None else 0,
    }
    for station in report.stations.values():
        for timeline in station.tracks[:1]:
            for component, track in timeline.tracks.items():
                if track.counters.gaps:
                    troubles[f"gaps on {station.station_id} {component}"] = track.counters.gaps
    for what, count in troubles.items():
        if count:
            click.echo(f"  {what}: {count}", err=True)
