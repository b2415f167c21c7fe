"""The report of `seisedge bench stream`: schema `seisedge.bench-stream/1`, from a record's due time to the event line.

Every figure is computed from the raw samples of the runs, which are kept in the report.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from seisedge.runtime.bench.intervals import percentile
from seisedge.runtime.bench.report import NS_PER_MS, Figure, Machine, figures_of, rounded, unpacked

SCHEMA: Literal["seisedge.bench-stream/1"] = "seisedge.bench-stream/1"
Data = Literal["quiet", "swarm", "files"]
STAGES = ("delivery", "wait", "assemble", "host_to_device", "infer", "device_to_host", "emit", "output")
LATENCY_FIGURES = ("mean", "p50", "p90", "p95", "p99", "p99.9", "max", "jitter")


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Generator(_Part, frozen=True, kw_only=True):
    """What the virtual digitizer measured of itself, in ms; see `_generator`."""

    packets: int
    lag_ms: list[float]  # median, p99 and maximum
    pulse_ms: float
    blocked_ms: float
    clock_step_ms: float


class StreamRun(_Part, frozen=True, kw_only=True):
    """One run of fresh processes. Series are packed as in `report`, in ns, in the order of the event lines.

    latency: from the due time of the record that completed the needed samples to the arrival of the line at its reader.
    stages: the parts of it. due: the due time of that record, after the start of the data. seconds: of data.
    invalid: why the run does not count; empty for a valid one. processor, generator_processor: shares of one core, and
    resident_mib: memory of the station process, each second.
    """

    began: str
    seconds: float
    invalid: list[str]
    generator: Generator
    latency: str
    due: str
    stages: dict[str, str]
    unmatched: int  # lines whose record is not in the schedule
    triggers: int
    inferences: int
    dropped_windows: int
    processor: list[float]
    generator_processor: list[float]
    resident_mib: list[float]
    conditions: dict[str, Any]

    @property
    def latencies_ns(self) -> list[int]:
        """Raises InputError."""
        return unpacked(self.latency)


class StreamRow(_Part, frozen=True, kw_only=True):
    """One number of stations. together: all stations send the same data at the same time. stages: p50, p99, max, ms."""

    data: Data
    stations: int
    together: bool
    runs: list[StreamRun]
    figures: dict[str, Figure]
    stages: dict[str, list[float]]


class Trial(_Part, frozen=True, kw_only=True):
    """One run of a search. passed: valid, no window dropped, and p99 within the limit."""

    stations: int
    passed: bool
    p99_ms: float | None
    reason: str


class Search(_Part, frozen=True, kw_only=True):
    """The largest number of stations that passed in 3 of 3 fresh runs; None if none did."""

    data: Data
    limit_ms: float
    stations: int | None
    trials: list[Trial]


class StreamReport(_Part, frozen=True, kw_only=True):
    """A benchmark of the station process on a live stream."""

    schema: Literal["seisedge.bench-stream/1"] = SCHEMA
    created: str
    seisedge: str
    command: list[str]
    machine: Machine
    method: dict[str, Any]
    protocol: Literal["seedlink", "datalink", "udp"]
    windows: str  # the data
    models: dict[str, str]  # name and sha256
    rows: list[StreamRow]
    searches: list[Search]


def latency_figures(runs: Sequence[Sequence[int]]) -> dict[str, Figure]:
    """The figures of a row, from the latencies of each run in ns."""
    if not runs or not all(runs):
        reason = "a run has no event" if runs else "no run is valid"
        return {name: Figure(value=None, reason=reason) for name in LATENCY_FIGURES}
    return {
        name: msgspec.structs.replace(figure, reason=_of_lines(figure.reason))
        for name, figure in figures_of(runs, 1).items()
        if name in LATENCY_FIGURES
    }


def _of_lines(reason: str) -> str:
    """A reason that is stated for the inferences of a round, for the lines of a run."""
    return reason.replace("inferences", "lines").replace("round", "run")


def stage_figures(runs: Sequence[Mapping[str, str]]) -> dict[str, list[float]]:
    """p50, p99 and maximum of each stage in ms, over all runs. Raises InputError."""
    found = {}
    for stage in STAGES:
        values = sorted(ns / NS_PER_MS for run in runs for ns in unpacked(run[stage]))
        three = (percentile(values, 0.5), percentile(values, 0.99), values[-1]) if values else ()
        found[stage] = [rounded(value) for value in three]
    return found


def p99_or_max_ms(latencies_ns: Sequence[int]) -> float:
    """The p99 of a run; of fewer than 100 lines the largest. Infinite without any."""
    values = sorted(latencies_ns)
    if not values:
        return math.inf
    return (percentile(values, 0.99) if len(values) >= 100 else values[-1]) / NS_PER_MS
