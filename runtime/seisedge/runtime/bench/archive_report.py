"""The report of `seisedge bench archive`: schema `seisedge.bench-archive/1`, seconds of station data per second."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from seisedge.runtime.bench.intervals import between_rounds
from seisedge.runtime.bench.report import Figure, Machine, rounded

SCHEMA: Literal["seisedge.bench-archive/1"] = "seisedge.bench-archive/1"
ARCHIVE_FIGURES = ("rate", "processor_rate", "peak_mib", "ready_s")


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class ArchiveRound(_Part, frozen=True, kw_only=True):
    """Fresh processes that analyse the same files at the same time; sums over them, and the slowest and largest one.

    ready_s: from the start of Python to the loaded models; not part of wall_s.
    """

    began: str
    station_s: float
    wall_s: float
    processor_s: float
    ready_s: float
    peak_mib: float
    events: int
    triggers: int
    inferences: int
    conditions: dict[str, Any]


class ArchiveRow(_Part, frozen=True, kw_only=True):
    """figures: `rate` and `processor_rate` (of one core): times real time; `peak_mib` of a process; `ready_s`."""

    data: str
    mode: Literal["triggered", "continuous"]
    processes: int
    stations: int
    hours: float  # of each station
    rounds: list[ArchiveRound]
    figures: dict[str, Figure]


class ArchiveReport(_Part, frozen=True, kw_only=True):
    """A benchmark of files on disk to events."""

    schema: Literal["seisedge.bench-archive/1"] = SCHEMA
    created: str
    seisedge: str
    command: list[str]
    machine: Machine
    method: dict[str, Any]
    windows: str  # the data
    models: dict[str, str]  # name and sha256
    rows: list[ArchiveRow]


def archive_figures(rounds: Sequence[ArchiveRound]) -> dict[str, Figure]:
    """The figures of a row; value: geometric mean over the rounds."""
    found = {}
    for name in ARCHIVE_FIGURES:
        each = archive_values(rounds, name)
        interval = between_rounds(each)
        if interval is None:
            found[name] = Figure(value=rounded(math.fsum(each) / len(each)), reason="one round has no interval")
        else:
            found[name] = Figure(value=rounded(interval.value), low=rounded(interval.low), high=rounded(interval.high))
    return found


def archive_values(rounds: Sequence[ArchiveRound], name: str) -> list[float]:
    """One value per round."""
    if name == "rate":
        return [each.station_s / each.wall_s for each in rounds]
    if name == "processor_rate":
        return [each.station_s / each.processor_s for each in rounds]
    return [float(getattr(each, name)) for each in rounds]
