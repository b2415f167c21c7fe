"""The units of an archive, and what each of them reads."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from seisedge.runtime.archive.inputs import unit_starts
from seisedge.runtime.archive.reading import ArchiveFile
from seisedge.runtime.archive.unit import UnitRequest
from seisedge.runtime.clock import NS_PER_S, iso_from_ns
from seisedge.runtime.config import StationConfig
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.sources.sds import DAY_NS
from seisedge.runtime.station.memory import memory_s

NEVER_NS = 2**62


@dataclass(frozen=True, slots=True)
class Range:
    """Onsets that are wanted; None: no limit."""

    start_ns: int | None = None
    end_ns: int | None = None


class StationPlan:
    """The units of one station, in order of time."""

    def __init__(
        self, station_id: str, config: StationConfig, files: Sequence[ArchiveFile], unit_ns: int, wanted: Range
    ) -> None:
        self.station_id, self.config, self.files = station_id, config, files
        self._unit_ns = unit_ns
        self._low_ns = np.array([file.low_ns for file in files], dtype=np.int64)
        self._high_ns = np.array([file.high_ns for file in files], dtype=np.int64)
        starts = unit_starts(files, unit_ns)
        low, high = wanted.start_ns, wanted.end_ns
        within = [
            start for start in starts if (low is None or start + unit_ns > low) and (high is None or start < high)
        ]
        self.starts = within
        later = [start for start in starts if within and start > within[-1]]
        self._last_end_ns = min(high if high is not None else NEVER_NS, later[0] if later else NEVER_NS)
        self._first_begin_ns = low if low is not None else (within[0] - DAY_NS if within else 0)

    def __len__(self) -> int:
        return len(self.starts)

    def name(self, number: int) -> str:
        """`2019-07-07`, or `2019-07-07T06-30` for units shorter than a day."""
        stamp = iso_from_ns(self.starts[number])
        return stamp[:10] if self._unit_ns == DAY_NS else stamp[:16].replace(":", "-")

    def request(self, number: int, models: Models, *, all_files: bool = False) -> UnitRequest:
        """What a worker needs for a unit; all_files: those to the end of the archive, not only of the next unit."""
        begin_ns = self.starts[number] if number else self._first_begin_ns
        end_ns = self.starts[number + 1] if number + 1 < len(self) else self._last_end_ns
        after_ns = round(memory_s(models, self.config.timeline.max_wait_s) * NS_PER_S)
        files_end_ns = None
        if not all_files and end_ns < NEVER_NS:
            files_end_ns = end_ns + self._unit_ns
            if self._high_ns.max() <= files_end_ns:
                files_end_ns = None
        within = self._high_ns > begin_ns - after_ns
        if files_end_ns is not None:
            within &= self._low_ns < files_end_ns
        files = tuple(self.files[k] for k in np.flatnonzero(within).tolist())
        return UnitRequest(self.station_id, self.name(number), begin_ns, end_ns, self.config, files, files_end_ns)


def plan_stations(
    files: Mapping[str, Sequence[ArchiveFile]], configs: Mapping[str, StationConfig], unit_ns: int, wanted: Range
) -> list[StationPlan]:
    """Stations with at least one unit within `wanted`, in order of their ids."""
    plans = [StationPlan(key, configs[key], files[key], unit_ns, wanted) for key in sorted(files)]
    return [plan for plan in plans if len(plan)]


def inputs_digest(request: UnitRequest) -> str:
    """SHA-256 of what a unit is computed from, besides models and settings: limits, and files with size and time."""
    files = [(file.url, file.size, file.mtime) for file in request.files]
    return hashlib.sha256(msgspec.json.encode((request.begin_ns, request.end_ns, files))).hexdigest()
