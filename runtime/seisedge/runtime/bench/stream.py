"""Runs the virtual digitizer and a station, each in its own process, in real time: `seisedge bench stream`.

Latency counts from the time at which a record is due by the schedule, so that a slow station cannot hide its queue. A
run in which the digitizer itself was late is invalid.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from seisedge.runtime.bench.disturbance import Sampler
from seisedge.runtime.bench.report import packed, unpacked
from seisedge.runtime.bench.stream_data import Matched, match
from seisedge.runtime.bench.stream_report import Generator, StreamRun
from seisedge.runtime.clock import iso_from_ns
from seisedge.runtime.errors import FailedError
from seisedge.runtime.threads import start_task

Protocol = Literal["seedlink", "datalink", "udp"]
GENERATOR = Path(__file__).with_name("_generator.py")
HOST = "127.0.0.1"
NS_PER_MS = 1e6
READY_S = 120.0  # for a process to start
TAIL_S = 3.0  # after the data, for the last lines
STOP_S = 60.0
LEAD_S, LEAD_PER_STATION_S = 2.0, 0.004  # from the connection of the station to the first sample
CLOCK_STEP_MS = 1.0
SAMPLE_S = 1.0


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """One kind of run. max_lag_ms: of the digitizer; above it a run is invalid. together: as in `stream_report`."""

    data: Path
    stations: int
    seconds: float
    protocol: Protocol = "seedlink"
    together: bool = False
    max_lag_ms: float = 50.0
    models: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Running:
    """The processes of a run, once the data flow. start_s: first sample, on the monotonic clock."""

    generator: int
    station: int
    start_s: float


def run_stream(plan: StreamPlan, started: Callable[[Running], None] = lambda running: None) -> StreamRun:
    """One run. started: called when the first sample is due, as in tests that stop a process.

    Raises FailedError if one of the two processes cannot run.
    """
    began, sampler = iso_from_ns(time.time_ns())[:19] + "Z", Sampler()
    with (
        tempfile.TemporaryFile("w+") as own_errors,
        tempfile.TemporaryFile("w+") as errors,
        _generator(plan, own_errors) as generator,
    ):
        port = generator.say()["port"]
        metrics = _free_port(socket.SOCK_STREAM)
        target = _free_port(socket.SOCK_DGRAM) if port is None else port
        with _station(plan, target, metrics, errors) as station:
            if port is None:
                _wait_for_metrics(metrics, station, errors)
                generator.tell(str(target))
            begin = generator.say()
            start_s = begin["monotonic_ns"] / 1e9
            time.sleep(max(start_s - time.monotonic(), 0.0))
            started(Running(generator.process.pid, station.process.pid, start_s))
            usage = _Usage(station.process.pid), _Usage(generator.process.pid)
            with sampler:
                _watch(usage, start_s + plan.seconds, station, errors)
                own = generator.say()
                time.sleep(max(start_s + plan.seconds + TAIL_S - time.monotonic(), 0.0))
            counters = _counters(metrics)
            lines = station.lines_until_now()
    start_ns, offset_ns = begin["start_ns"], begin["start_ns"] - begin["monotonic_ns"]
    schedule = {name: unpacked(times) for name, times in begin["schedule"].items()}
    matched = match([(at_ns + offset_ns, text) for at_ns, text in lines], schedule, start_ns)
    return _run_of(plan, began, own, counters, matched, usage, sampler.summary)


def _run_of(
    plan: StreamPlan,
    began: str,
    own: dict[str, Any],
    counters: dict[str, int],
    matched: Matched,
    usage: tuple[_Usage, _Usage],
    conditions: dict[str, Any],
) -> StreamRun:
    generator = Generator(
        packets=own["packets"],
        lag_ms=[ns / NS_PER_MS for ns in own["lag_ns"]],
        pulse_ms=own["pulse_ns"] / NS_PER_MS,
        blocked_ms=own["blocked_ns"] / NS_PER_MS,
        clock_step_ms=own["clock_step_ns"] / NS_PER_MS,
    )
    return StreamRun(
        began=began,
        seconds=plan.seconds,
        invalid=why_invalid(generator, matched.unmatched, plan.max_lag_ms),
        generator=generator,
        latency=packed(matched.latency),
        due=packed(matched.due),
        stages={name: packed(values) for name, values in matched.stages.items()},
        unmatched=matched.unmatched,
        triggers=counters.get("triggers", 0),
        inferences=counters.get("inferences", 0),
        dropped_windows=counters.get("dropped_windows", 0),
        processor=usage[0].processor,
        generator_processor=usage[1].processor,
        resident_mib=usage[0].resident_mib,
        conditions=conditions,
    )


def why_invalid(generator: Generator, unmatched: int, max_lag_ms: float) -> list[str]:
    """Why a run does not count; empty if it does."""
    faults = []
    largest = max(generator.lag_ms[-1], generator.pulse_ms)
    if largest > max_lag_ms:
        faults.append(f"the digitizer was up to {largest:.0f} ms late; the limit is {max_lag_ms:g} ms (--max-lag)")
    if abs(generator.clock_step_ms) > CLOCK_STEP_MS:
        faults.append(f"the clock of the machine was set by {generator.clock_step_ms:.1f} ms")
    if unmatched:
        faults.append(f"{unmatched} lines belong to no record of the schedule")
    if not generator.packets:
        faults.append("no record was sent")
    return faults


class _Usage:
    """Processor time and memory of a process, by second."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before = self._read()
        self.processor: list[float] = []
        self.resident_mib: list[float] = []

    def sample(self) -> None:
        now = self._read()
        seconds = max(now[0] - self._before[0], 1e-9)
        self.processor.append(round((now[1] - self._before[1]) / seconds, 4))
        self.resident_mib.append(round(now[2], 2))
        self._before = now

    def _read(self) -> tuple[float, float, float]:
        """Monotonic time and processor time in s, resident memory in MiB; the last ones of a process that ended."""
        try:
            fields = Path(f"/proc/{self._pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
        except OSError:
            return time.monotonic(), *self._before[1:]
        ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGESIZE")
        return time.monotonic(), (int(fields[11]) + int(fields[12])) / ticks, int(fields[21]) * page / 2**20


class _Station:
    """The station process; its lines are stamped with the monotonic time at which they arrive."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._lines: list[tuple[int, bytes]] = []
        self._reader = start_task("bench reader", self._read, lambda error: None)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append((time.monotonic_ns(), line))

    def lines_until_now(self) -> list[tuple[int, bytes]]:
        """The event lines so far; those of a station that is stopped later would be of events cut short."""
        return [(at_ns, line) for at_ns, line in self._lines if b'"seisedge.event/1"' in line]


@dataclass(slots=True)
class _Generator:
    process: subprocess.Popen[str]
    errors: IO[str]

    def say(self) -> dict[str, Any]:
        """The next line of the digitizer. Raises FailedError if it has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise FailedError(f"the virtual digitizer of the benchmark has ended: {_last_line(self.errors)}")
        found: dict[str, Any] = json.loads(line)
        return found

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()


@contextlib.contextmanager
def _generator(plan: StreamPlan, errors: IO[str]) -> Iterator[_Generator]:
    process = subprocess.Popen(
        [sys.executable, "-P", str(GENERATOR)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
    )
    generator = _Generator(process, errors)
    request = {
        "data": str(plan.data),
        "seconds": plan.seconds,
        "stations": plan.stations,
        "protocol": plan.protocol,
        "together": plan.together,
        "lead_s": LEAD_S + LEAD_PER_STATION_S * plan.stations,
    }
    try:
        generator.tell(json.dumps(request))
        yield generator
    finally:
        _end(process)


@contextlib.contextmanager
def _station(plan: StreamPlan, port: int, metrics: int, errors: IO[str]) -> Iterator[_Station]:
    url = f"shake-udp://{HOST}:{port}?station=XX_C0001&listen={HOST}" if plan.protocol == "udp" else ""
    url = url or f"{plan.protocol}://{HOST}:{port}"
    command = [sys.executable, "-m", "seisedge.cli", "run", "--source", url, "--json"]
    command += ["--max-stations", str(plan.stations), "--metrics", f"{HOST}:{metrics}"]
    command += [word for path in plan.models for word in ("--model", str(path))]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
    try:
        yield _Station(process)
    finally:
        _end(process)


def _end(process: subprocess.Popen[Any]) -> None:
    """End a process, also one that was stopped with SIGSTOP."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGCONT)
        process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError, ValueError):
            if pipe is not None:
                pipe.close()


def _watch(usage: Sequence[_Usage], until_s: float, station: _Station, errors: IO[str]) -> None:
    """Sample both processes each second. Raises FailedError if the station ends."""
    next_s = time.monotonic() + SAMPLE_S
    while next_s < until_s:
        time.sleep(max(next_s - time.monotonic(), 0.0))
        next_s += SAMPLE_S
        for each in usage:
            each.sample()
        if station.process.poll() is not None:
            raise FailedError(f"the station process has ended during the benchmark: {_last_line(errors)}")
    time.sleep(max(until_s - time.monotonic(), 0.0))


def _free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as link:
        link.bind((HOST, 0))
        return int(link.getsockname()[1])


def _wait_for_metrics(port: int, station: _Station, errors: IO[str]) -> None:
    until_s = time.monotonic() + READY_S
    while time.monotonic() < until_s and station.process.poll() is None:
        with contextlib.suppress(OSError, FailedError):
            if _metrics(port):
                return
        time.sleep(0.1)
    raise FailedError(f"the station process does not start: {_last_line(errors)}")


def _metrics(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=30) as answer:
            text: str = answer.read().decode()
            return text
    except (urllib.error.URLError, TimeoutError) as error:
        raise FailedError(f"the station process does not answer on its metrics port: {error}") from error


def _counters(port: int) -> dict[str, int]:
    """Sums over the stations of the counters of `/metrics`, by name without prefix and `_total`."""
    found: dict[str, int] = {}
    for name, value in re.findall(r"^seisedge_([a-z_]+)_total(?:\{[^\n]*\})? (\S+)$", _metrics(port), re.MULTILINE):
        found[name] = found.get(name, 0) + int(float(value))
    return found


def _last_line(errors: IO[str]) -> str:
    errors.seek(0)
    lines = errors.read().strip().splitlines() or ["no message"]
    return lines[-1].removeprefix("Error: ")
