"""Rows of `benchmarks/streams.py`: a live SeedLink connection, its latency and the number of stations per process.

The server is `seisedge replay` in a separate process; the station is the loop in this process.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter, process_time

import msgspec
import numpy as np

from benchmarks.measure import Row, take_turns
from seisedge.runtime.demo.made_day import CONFIGS, RATE_HZ, Kept, counts_of_recording, write_counts
from seisedge.runtime.event import Event
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.machine import resident_mib
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sources import open_source
from seisedge.runtime.station.run_report import RunReport

STATION = "PB.B918"
CONFIG = msgspec.structs.replace(CONFIGS[STATION], station=None)  # for copies under other codes
STAGES = ("wait", "assemble", "host_to_device", "infer", "device_to_host", "emit")


@contextmanager
def digitizer(data: Path, speed: float, copies: int = 1) -> Iterator[str]:
    """URL of the virtual digitizer in a separate process."""
    command = [
        sys.executable, "-m", "seisedge.cli", "replay", str(data),
        "--listen", "127.0.0.1:0", "--speed", str(speed), "--stations", str(copies),
    ]  # fmt: skip
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield server.stdout.readline().split()[0]
    finally:
        server.kill()
        server.wait()


def run_live(url: str, models: Models) -> tuple[RunReport, list[Event]]:
    """The whole stream, packet by packet."""
    kept = Kept()
    with open_source(f"{url}/?from=earliest", until_end=True, connect_timeout_s=30) as source:
        report = Loop(models, [kept], {}, default=CONFIG).run(source)
    return report, [line for line in kept.lines if isinstance(line, Event)]


def shifted_swarm(path: Path, stations: int, seconds: float) -> Path:
    """The bundled swarm at many stations with shifted times: each station starts elsewhere in the recording."""
    whole = counts_of_recording(STATION)
    n = round(seconds * RATE_HZ)
    begins = np.linspace(0, whole.shape[1] - n, stations).astype(int)
    return write_counts(path, {f"XX.S{k:03}": whole[:, begin : begin + n] for k, begin in enumerate(begins)})


def latency_lines(title: str, data: Path, models: Models, copies: int = 1) -> list[str]:
    """Milliseconds by stage at speed 1, over all revisions of all events."""
    with digitizer(data, 1.0, copies) as url:
        cpu = process_time()
        report, events = run_live(url, models)
        cpu = process_time() - cpu
    by_stage = {stage: [float(getattr(e.latency_ms, stage) or 0.0) for e in events] for stage in STAGES}
    by_stage["arrival to event"] = [sum(values) for values in zip(*by_stage.values(), strict=True)]
    hours = report.stream_s * len(report.stations) / 3600
    lines = [
        f"{title}: {len(report.stations)} stations, {report.stream_s:.0f} s at speed 1, {len(events)} revisions, "
        f"{report.triggers / hours:.0f} triggers/h and {report.inferences / hours:.0f} inferences/h a station, "
        f"{cpu / report.wall_s:.0%} of a core",
        f"{'ms':24}{'p50':>9}{'p99':>9}{'max':>9}",
    ]
    for stage, values in by_stage.items():
        p50, p99 = np.percentile(values, [50, 99]) if values else (float("nan"), float("nan"))
        lines.append(f"{stage.replace('_', ' '):24}{p50:9.2f}{p99:9.2f}{max(values, default=float('nan')):9.2f}")
    return lines


def sustained_rows(data: dict[str, Path], models: Models, copies: int) -> tuple[list[Row], list[str]]:
    """Station-seconds per second over SeedLink at full speed: the number of stations in real time."""
    reports: dict[str, RunReport] = {}

    def of(name: str, path: Path) -> float:
        with digitizer(path, 0.0, copies) as url:
            reports[name], _ = run_live(url, models)
        report = reports[name]
        return report.stream_s * len(report.stations)

    rows = take_turns({name: partial(of, name, path) for name, path in data.items()}, warm_up=False)
    notes = []
    for name, report in reports.items():
        hours = report.stream_s * len(report.stations) / 3600
        notes.append(
            f"{name}: {len(report.stations)} stations in one process, {hours:.1f} station-hours, "
            f"{report.triggers / hours:.1f} triggers/h, {report.inferences / hours:.0f} inferences/h a station"
        )
    return rows, notes


@dataclass(frozen=True)
class Held:
    """A run of many stations at speed 1."""

    stations: int
    stream_s: float
    late_s: float  # end of the run after the end of the data, without the time to start
    core_share: float
    memory_mib: float


def held_in_real_time(data: Path, models: Models, copies: int) -> Held:
    """A number of stations at speed 1; their records arrive at the same moment, since the stations are copies."""
    with digitizer(data, 1.0, copies) as url:
        began, cpu = perf_counter(), process_time()
        report, _ = run_live(url, models)
        wall_s, cpu_s = perf_counter() - began, process_time() - cpu
    return Held(
        len(report.stations), report.stream_s, wall_s - report.stream_s, cpu_s / wall_s, resident_mib() or float("nan")
    )
