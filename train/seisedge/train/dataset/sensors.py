"""Group the channels of a station into sensors, and cut windows of all components on one sample clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.records.channelcode import is_accelerometer, refusal_of
from seisedge.runtime.records.packet import SourceId
from seisedge.train.dataset.recordings import Recordings, same_rate

ORDER = "ZNE12UVW"  # of components in a trace


@dataclass(frozen=True, slots=True)
class Sensor:
    """One sensor of a station: its channels by component code, in ORDER."""

    station: str
    location: str
    band_and_instrument: str
    channels: tuple[SourceId, ...]

    @property
    def is_accelerometer(self) -> bool:
        return is_accelerometer(self.band_and_instrument)

    @property
    def vertical(self) -> SourceId | None:
        return next((c for c in self.channels if c.channel.endswith("Z")), None)


@dataclass(frozen=True, slots=True)
class SensorWindow:
    """samples: (components, n), zeros in gaps. valid: same shape. codes: one letter for each component, as recorded.

    The sample clock is that of the first component; the others are aligned to its nearest sample. disagreeing: number
    of samples that differ between overlapping records.
    """

    samples: npt.NDArray[np.generic]
    valid: npt.NDArray[np.bool_]
    codes: str
    channels: tuple[SourceId, ...]
    start_ns: int
    rate_hz: float
    disagreeing: int

    def sample_at(self, time_ns: int) -> float:
        """Sample index of a time, fractional."""
        return (time_ns - self.start_ns) * self.rate_hz / NS_PER_S


def sensors_of(recordings: Recordings, patterns: Sequence[str]) -> tuple[dict[str, list[Sensor]], Counter[str]]:
    """Sensors by station in order of preference: seismometers, number of components, then location code and band.

    patterns: patterns of channel codes such as `EH?`; empty for all seismometers and accelerometers. Also returns the
    number of skipped channels by reason.
    """
    members: dict[tuple[str, str, str], list[SourceId]] = {}
    skipped: Counter[str] = Counter()
    for channel in recordings.channels():
        code = channel.channel
        why = refusal_of(code) if not patterns else None
        if patterns and not any(fnmatchcase(code, p) for p in patterns):
            why = f"not selected by --channels {','.join(patterns)}"
        if why is None and code[-1:] not in ORDER:
            why = "the last letter of its code is not a component code"
        if why is not None:
            skipped[f"{code}: {why}"] += 1
            continue
        members.setdefault((channel.station_id, channel.location, code[:-1]), []).append(channel)
    out: dict[str, list[Sensor]] = {}
    for (station, location, band), channels in sorted(members.items()):
        channels.sort(key=lambda c: ORDER.index(c.channel[-1]))
        out.setdefault(station, []).append(Sensor(station, location, band, tuple(channels)))
    for sensors in out.values():
        sensors.sort(key=lambda s: (s.vertical is None, s.is_accelerometer, -len(s.channels)))
    return out, skipped


def window_of(recordings: Recordings, sensor: Sensor, start_ns: int, length_s: float) -> SensorWindow | None:
    """All components of a sensor that have the vertical's sampling rate; None if the vertical has no sample."""
    first = sensor.vertical
    cut = None if first is None else recordings.cut(first, start_ns, length_s)
    if first is None or cut is None:
        return None
    cuts, channels = [cut], [first]
    for channel in sensor.channels:
        if channel == first:
            continue
        other = recordings.cut(channel, cut.start_ns, length_s)
        if other is not None and same_rate(other.rate_hz, cut.rate_hz) and len(other.samples) == len(cut.samples):
            cuts.append(other)
            channels.append(channel)
    dtype = np.result_type(*(c.samples for c in cuts))
    return SensorWindow(
        samples=np.stack([c.samples.astype(dtype) for c in cuts]),
        valid=np.stack([c.valid for c in cuts]),
        codes="".join(c.channel[-1] for c in channels),
        channels=tuple(channels),
        start_ns=cut.start_ns,
        rate_hz=cut.rate_hz,
        disagreeing=sum(c.disagreeing for c in cuts),
    )


def missing_text(window: SensorWindow) -> str:
    """The gaps in the form of the column `trace_missing`."""
    parts = []
    for code, valid in zip(window.codes, window.valid, strict=True):
        edges = np.flatnonzero(np.diff(np.concatenate([[True], valid, [True]]).astype(np.int8)))
        if len(edges):
            parts.append(f"{code}:" + " ".join(f"{a}-{b}" for a, b in zip(edges[::2], edges[1::2], strict=True)))
    return ";".join(parts)
