"""The settings of a data set build, and its summary."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Plan:
    """Settings. before_s, after_s: window relative to the onset. noise: largest number of noise windows for each event
    window. coda_s: time after S until a station counts as quiet again. unit: 'counts' or 'm/s'. channels: patterns of
    channel codes; empty for all seismometers. refine: move a computed P to a rise of energy nearby.
    """

    before_s: float = 20.0
    after_s: float = 60.0
    noise: float = 1.0
    coda_s: float = 30.0
    max_distance_km: float = 200.0
    min_coverage: float = 0.8
    unit: str = "counts"
    channels: tuple[str, ...] = ()
    refine: bool = True
    licence: str = ""

    @property
    def length_s(self) -> float:
        return self.before_s + self.after_s


@dataclass(slots=True)
class Built:
    """Summary of a build: numbers written and left out. without_gain: records written without a gain, by reason.
    picks_ignored: picks of the catalogue that are no labels, by reason.
    """

    folder: str
    records: int = 0
    events: int = 0
    noise: int = 0
    stations: int = 0
    basis: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    without_gain: dict[str, int] = field(default_factory=dict)
    picks_ignored: dict[str, int] = field(default_factory=dict)
    channels_passed_over: dict[str, int] = field(default_factory=dict)
    bad_records: int = 0
    disagreeing_samples: int = 0


def text_from_built(built: Built) -> str:
    """Text for the terminal."""
    lines = [
        f"{built.folder}: {built.records} records of {built.events} events at {built.stations} stations, "
        f"{built.noise} of them noise"
    ]
    lines += [f"  {n:6} onset: {basis}" for basis, n in built.basis.items()]
    lines += [f"  {n:6} left out: {reason}" for reason, n in built.left_out.items()]
    lines += [f"  {n:6} without a gain: {reason}" for reason, n in built.without_gain.items()]
    lines += [f"  {n:6} picks ignored: {reason}" for reason, n in built.picks_ignored.items()]
    lines += [f"  {n:6} channels skipped: {reason}" for reason, n in built.channels_passed_over.items()]
    if built.bad_records:
        lines.append(f"  {built.bad_records:6} miniSEED records skipped because they are damaged")
    if built.disagreeing_samples:
        lines.append(
            f"  {built.disagreeing_samples:6} samples that differ between overlapping records; the first value is used"
        )
    lines.append(f"next: seisedge dataset check {shlex.quote(built.folder)}")
    return "\n".join(lines)
