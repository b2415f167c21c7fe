"""The measurement behind `seisedge bench stream`: data, runs, search, report."""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from seisedge.runtime.bench._generator import RECORD_BYTES
from seisedge.runtime.bench.disturbance import LIMITS
from seisedge.runtime.bench.stream import Protocol, StreamPlan, run_stream
from seisedge.runtime.bench.stream_report import (
    Data,
    Search,
    StreamReport,
    StreamRow,
    StreamRun,
    Trial,
    latency_figures,
    p99_or_max_ms,
    stage_figures,
)
from seisedge.runtime.commands._bench_run import this_machine
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.errors import InputError
from seisedge.runtime.inference.infer import BUNDLED_FILES, bundled_model, model_path
from seisedge.runtime.paths import text_from_path
from seisedge.runtime.replay._recording import Recording

QUIET_EVENTS_PER_HOUR = 4.0
QUIET_SPARE_H = 0.5  # of data beyond the duration, so that the stations begin at different places
STATION = "PB.B918"
CONFIRM = 3
MAX_INVALID = 3  # invalid runs of a number of stations
NO_EVENT = "no event in the run; a longer --duration is needed"
NARROW = 1.1  # a search ends when the smallest failure is at most this many times the largest success
LARGEST = 20_000


@dataclass(frozen=True, slots=True)
class Options:
    """Options of the command."""

    stations: int
    seconds: float
    protocol: Protocol
    data: Data | None  # None: both
    together: bool
    find_max: bool
    limit_ms: float
    max_lag_ms: float
    runs: int
    models: tuple[Path, ...]
    files: tuple[Path, ...]


def run_stream_bench(options: Options, log: Callable[[str], None]) -> StreamReport:
    """Measure and report. Raises FailedError where a process cannot run, InputError for unusable data."""
    if options.protocol == "udp" and (options.stations > 1 or options.find_max):
        raise InputError(
            "--protocol udp: the packets of a Shake do not state their station, so a process reads one; give "
            "--stations 1 without --find-max, or another protocol"
        )
    models = tuple(model_path(name) for name in options.models)
    kinds: tuple[Data, ...] = (options.data,) if options.data else ("quiet", "swarm")
    kinds = ("files",) if options.files else kinds
    rows: list[StreamRow] = []
    searches: list[Search] = []
    with tempfile.TemporaryDirectory(prefix="seisedge-bench-") as folder:
        for kind in kinds:
            path = _data(kind, Path(folder), options)
            plan = StreamPlan(
                path, options.stations, options.seconds, options.protocol, max_lag_ms=options.max_lag_ms, models=models
            )
            if options.find_max:
                searches.append(find_max(plan, kind, options.limit_ms, log))
                continue
            rows.append(_row(plan, kind, options.runs, log))
            if options.together and kind != "quiet":
                rows.append(_row(replace(plan, together=True), kind, options.runs, log))
    return StreamReport(
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        seisedge=version("seisedge"),
        command=[Path(sys.argv[0]).name, *map(shlex.quote, sys.argv[1:])],
        machine=this_machine(),
        method=_method(options),
        protocol=options.protocol,
        windows=_origin(options),
        models=hashes_of(models),
        rows=rows,
        searches=searches,
    )


def find_max(
    plan: StreamPlan,
    kind: Data,
    limit_ms: float,
    log: Callable[[str], None],
    run: Callable[[StreamPlan], StreamRun] = run_stream,
) -> Search:
    """The largest number of stations within the limit: doubled until one fails, then halved, then confirmed.

    A run without an event does not stop the search, but it confirms nothing. An invalid run says nothing about the
    station: it is repeated, and fails if it is invalid `MAX_INVALID` times.
    """
    trials: list[Trial] = []

    def tried(stations: int) -> Trial:
        for _ in range(MAX_INVALID):
            result = run(replace(plan, stations=stations))
            trials.append(judge(result, stations, limit_ms))
            log(f"{kind}, {stations} stations: {trials[-1].reason}")
            if not result.invalid:
                break
        return trials[-1]

    good, bad = 0, LARGEST + 1
    stations = plan.stations
    while True:
        trial = tried(stations)
        if trial.passed or trial.reason == NO_EVENT:
            good = stations
        else:
            bad = stations
        if bad <= max(good * NARROW, good + 1):
            break
        stations = min(2 * good, LARGEST) if bad > LARGEST else (good + bad) // 2
        if stations in (good, bad):
            break
    while good and not all(tried(good).passed for _ in range(CONFIRM)):
        good = 0 if trials[-1].reason == NO_EVENT else int(good / NARROW)
    return Search(data=kind, limit_ms=limit_ms, stations=good or None, trials=trials)


def judge(run: StreamRun, stations: int, limit_ms: float) -> Trial:
    """Whether a run is valid, without a dropped window and with its p99 within the limit."""
    latencies = run.latencies_ns
    p99_ms = p99_or_max_ms(latencies)
    what = "p99" if len(latencies) >= 100 else f"largest of {len(latencies)} lines"
    if run.invalid:
        reason = f"invalid: {'; '.join(run.invalid)}"
    elif not latencies:
        reason = NO_EVENT
    elif run.dropped_windows:
        reason = f"{run.dropped_windows} windows dropped"
    else:
        within = "within" if p99_ms <= limit_ms else "above"
        reason = f"{what} {p99_ms:.1f} ms, {within} {limit_ms:g} ms"
    passed = not run.invalid and not run.dropped_windows and p99_ms <= limit_ms
    return Trial(stations=stations, passed=passed, p99_ms=p99_ms if latencies else None, reason=reason)


def _row(plan: StreamPlan, kind: Data, runs: int, log: Callable[[str], None]) -> StreamRow:
    found = []
    for number in range(runs):
        found.append(run_stream(plan))
        log(f"{kind}, {plan.stations} stations{', all at once' if plan.together else ''}: run {number + 1} of {runs}")
    return row_of(kind, plan.stations, together=plan.together, runs=found)


def row_of(kind: Data, stations: int, *, together: bool, runs: list[StreamRun]) -> StreamRow:
    """A row of runs; the figures are those of the valid runs."""
    valid = [run for run in runs if not run.invalid]
    return StreamRow(
        data=kind,
        stations=stations,
        together=together,
        runs=runs,
        figures=latency_figures([run.latencies_ns for run in valid]),
        stages=stage_figures([run.stages for run in valid]),
    )


def _data(kind: Data, folder: Path, options: Options) -> Path:
    """A miniSEED file to send: the user's, the bundled recording, or a quiet day made of its noise and events.

    Raises InputError and DataError for files that the digitizer could not send for so long.
    """
    if kind != "quiet":
        Recording(options.files or [RECORDING], RECORD_BYTES).room_s(options.seconds)
    if options.files:
        path = folder / "data.mseed"
        with path.open("wb") as file:
            for each in options.files:
                file.write(_read(each))
        return path
    if kind == "swarm":
        return Path(RECORDING)
    from seisedge.runtime.demo.made_day import write_day

    hours = options.seconds / 3600 + QUIET_SPARE_H
    return write_day(folder / "quiet.mseed", [STATION], hours, QUIET_EVENTS_PER_HOUR)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def hashes_of(models: tuple[Path, ...]) -> dict[str, str]:
    """Name and sha256 of each model of the station: the given ones, else the bundled ones."""
    from seisedge.runtime.engines import open_engine

    found: dict[str, tuple[str, str]] = {}
    for path in (*(bundled_model(task) for task in BUNDLED_FILES), *models):
        engine = open_engine(path)
        found[engine.card.task] = engine.card.name, engine.sha256
    return dict(found.values())


def _origin(options: Options) -> str:
    if options.files:
        return ", ".join(text_from_path(path.name) for path in options.files)
    origins = {
        "swarm": "swarm: the bundled recording",
        "quiet": f"quiet: its noise, with {QUIET_EVENTS_PER_HOUR:g} of its events per hour",
    }
    return "; ".join(origins[kind] for kind in ([options.data] if options.data else ["quiet", "swarm"]))


def _method(options: Options) -> dict[str, Any]:
    return {
        "latency": "from the time at which the record that completes the needed samples is due by the schedule, to the "
        "arrival of the event line at the reader of the station's standard output",
        "speed": 1,
        "seconds": options.seconds,
        "runs": options.runs,
        "max_lag_ms": options.max_lag_ms,
        "stations": "copies of the recorded stations that begin at different places of the recording; 'all at once': "
        "at the same place",
        "interval": "95 %, for a repetition of the whole measurement with as many runs",
        "limits": LIMITS,
    }
