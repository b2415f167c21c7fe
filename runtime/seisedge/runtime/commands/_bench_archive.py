"""The measurement behind `seisedge bench archive`: files on disk to events, in fresh processes that take turns."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, Literal

from seisedge.runtime.bench.archive_report import ArchiveReport, ArchiveRound, ArchiveRow, archive_figures
from seisedge.runtime.bench.disturbance import LIMITS, Sampler
from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.commands._bench_run import this_machine
from seisedge.runtime.commands._bench_stream import QUIET_EVENTS_PER_HOUR, STATION, hashes_of
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.errors import FailedError
from seisedge.runtime.inference.infer import model_path
from seisedge.runtime.paths import text_from_path
from seisedge.runtime.replay._recording import Recording

ROUND = Path(__file__).with_name("_bench_archive_round.py")
RECORD_BYTES = 512
SHARES_OF_HOURS = (0.25, 0.5, 1.0)
COPIES = (1, 2, 4)
Mode = Literal["triggered", "continuous"]


@dataclass(slots=True)
class _Case:
    """What one row measures, and its rounds so far."""

    data: str
    file: Path
    mode: Mode
    processes: int
    stations: int
    hours: float
    rounds: list[ArchiveRound] = field(default_factory=list)


def run_archive_bench(
    files: Sequence[Path],
    *,
    processes: int,
    rounds: int,
    hours: float,
    models: Sequence[Path],
    log: Callable[[str], None],
) -> ArchiveReport:
    """Measure and report. Raises InputError and DataError for unusable files, FailedError for a process that fails."""
    paths = tuple(model_path(name) for name in models)
    with tempfile.TemporaryDirectory(prefix="seisedge-bench-") as folder:
        cases = _cases(files, Path(folder), processes, hours)
        for number in range(rounds):
            for case in cases:
                case.rounds.append(_round(case, paths))
            log(f"round {number + 1} of {rounds}")
    origin = ", ".join(text_from_path(path.name) for path in files)
    return ArchiveReport(
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        seisedge=version("seisedge"),
        command=[Path(sys.argv[0]).name, *map(shlex.quote, sys.argv[1:])],
        machine=this_machine(),
        method={
            "rate": "seconds of data of all stations and processes per second, from the open file to the encoded "
            "lines; without the start of the process",
            "processes": "each of them analyses the same file",
            "growth": "a part of the hours; copies of the stations under other codes",
            "rounds": f"{rounds} in fresh processes; the rows take turns",
            "interval": "95 %, for a repetition of the whole measurement with as many rounds",
            "limits": LIMITS,
        },
        windows=origin
        or f"quiet: noise of the bundled recording, with {QUIET_EVENTS_PER_HOUR:g} of its events per "
        "hour; swarm: the bundled recording",
        models=hashes_of(paths),
        rows=[
            ArchiveRow(
                data=case.data,
                mode=case.mode,
                processes=case.processes,
                stations=case.stations,
                hours=round(case.hours, 4),
                rounds=case.rounds,
                figures=archive_figures(case.rounds),
            )
            for case in cases
        ],
    )


def _cases(files: Sequence[Path], folder: Path, processes: int, hours: float) -> list[_Case]:
    """Triggered and continuous, one process and n, a part of the hours, copies of the stations."""
    if files:
        sources: dict[str, list[Path]] = {"files": list(files)}
    else:
        from seisedge.runtime.demo.made_day import write_day

        sources = {
            "quiet": [write_day(folder / "quiet.mseed", [STATION], hours, QUIET_EVENTS_PER_HOUR)],
            "swarm": [Path(RECORDING)],
        }
    cases = []
    for data, paths in sources.items():
        recording = Recording(paths, RECORD_BYTES)
        length_h = (recording.endtime_ns - recording.starttime_ns) / NS_PER_S / 3600
        base = len(recording.stations)
        whole = _write(recording, folder / f"{data}-1-1.mseed", 1.0)
        cases += [_Case(data, whole, mode, n, base, length_h) for mode in _MODES for n in sorted({1, processes})]
        for share in SHARES_OF_HOURS[:-1]:
            part = _write(recording, folder / f"{data}-{share:g}.mseed", share)
            cases.append(_Case(data, part, "triggered", 1, base, share * length_h))
        for copies in COPIES[1:]:
            more = _write(Recording(paths, RECORD_BYTES, copies), folder / f"{data}-1-{copies}.mseed", 1.0)
            cases.append(_Case(data, more, "triggered", 1, base * copies, length_h))
    return cases


_MODES: tuple[Mode, ...] = ("triggered", "continuous")


def _write(recording: Recording, path: Path, share: float) -> Path:
    """The first part of a recording, all stations in order of the ends of their records."""
    end_ns = recording.starttime_ns + round((recording.endtime_ns - recording.starttime_ns) * share)
    with path.open("wb") as file:
        for numbered in recording.in_sequence:
            if numbered.entry.release_ns <= end_ns:
                file.write(numbered.station.record(numbered.entry))
    return path


def _round(case: _Case, models: Sequence[Path]) -> ArchiveRound:
    began, sampler = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), Sampler()
    request = json.dumps({"file": str(case.file), "mode": case.mode, "models": [str(path) for path in models]})
    with tempfile.TemporaryFile("w+") as errors:
        running = [_start(request, errors) for _ in range(case.processes)]
        try:
            ready = [_say(process, errors)["ready_s"] for process in running]
            with sampler:
                for process in running:
                    _tell(process, "go")
                results = [_say(process, errors) for process in running]
        finally:
            for process in running:
                process.kill()
                process.communicate()
    total = {key: sum(result[key] for result in results) for key in results[0]}
    return ArchiveRound(
        began=began,
        station_s=total["station_s"],
        wall_s=max(result["wall_s"] for result in results),
        processor_s=total["processor_s"],
        ready_s=max(ready),
        peak_mib=max(result["peak_mib"] for result in results),
        events=total["events"],
        triggers=total["triggers"],
        inferences=total["inferences"],
        conditions=sampler.summary,
    )


def _start(request: str, errors: IO[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", str(ROUND)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
    _tell(process, request)
    return process


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _say(process: subprocess.Popen[str], errors: IO[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        errors.seek(0)
        lines = errors.read().strip().splitlines() or ["no message"]
        raise FailedError(f"a process of the benchmark has ended: {lines[-1].partition('Error: ')[2] or lines[-1]}")
    found: dict[str, Any] = json.loads(line)
    return found
