"""Draft: a line as the mode writes it, before the loop adds when and how fast.

`line` leaves the latency to the loop, which measures the making of the line, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seisedge.runtime.event import (
    HOP_SCHEMA,
    SCHEMA,
    Cost,
    Event,
    Hop,
    Latency,
    MagnitudeEstimate,
    Quality,
    Status,
    TriggerInfo,
    TypeEstimate,
    WindowInfo,
)
from seisedge.runtime.inference.infer import Meter

NOT_MEASURED = Latency(assemble=0.0, host_to_device=0.0, infer=0.0, device_to_host=0.0, emit=0.0, total=0.0)


@dataclass(slots=True)
class StationCounters:
    """What a station has done so far."""

    packets: int = 0
    stray_packets: int = 0  # with a time that no other packet said: left out
    new_timelines: int = 0  # the clock went back
    triggers: int = 0
    retriggers: int = 0  # of an event that was already open
    events: int = 0
    noise_answers: int = 0
    noise_events: int = 0  # triggers that were noise to the end: nothing was emitted
    spike_triggers: int = 0  # triggers that were nothing but bad samples: no event was opened
    step_triggers: int = 0
    calibration_triggers: int = 0
    inferences: int = 0
    hops: int = 0
    dropped_windows: int = 0  # no inference: the run was behind a live stream
    dropped_events: int = 0  # none of their windows was looked at: nothing was emitted


@dataclass(frozen=True, slots=True)
class EventDraft:
    """An event's revision but for its circumstances."""

    id: str
    revision: int
    status: Status
    station: str
    onset: str
    trigger: TriggerInfo
    event_type: TypeEstimate | None
    magnitude: MagnitudeEstimate | None
    window: WindowInfo
    overlaps: list[str]
    timing: Literal["ok", "questionable"]
    quality: list[Quality]
    last_sample_ns: int  # the newest sample this revision needed
    meter: Meter

    def line(self, emitted: str, source: str, cost: Cost) -> Event:
        return Event(
            schema=SCHEMA,
            id=self.id,
            revision=self.revision,
            status=self.status,
            station=self.station,
            onset=self.onset,
            emitted=emitted,
            source=source,
            trigger=self.trigger,
            event_type=self.event_type,
            magnitude=self.magnitude,
            window=self.window,
            overlaps=self.overlaps,
            timing=self.timing,
            quality=self.quality,
            latency_ms=NOT_MEASURED,
            cost=cost,
        )


@dataclass(frozen=True, slots=True)
class HopDraft:
    """A step of continuous mode but for its circumstances."""

    station: str
    time: str
    coverage: float
    probabilities: dict[str, float] | None
    model: str
    last_sample_ns: int
    meter: Meter

    def line(self, emitted: str, source: str, cost: Cost) -> Hop:
        return Hop(
            schema=HOP_SCHEMA,
            station=self.station,
            time=self.time,
            coverage=self.coverage,
            probabilities=self.probabilities,
            model=self.model,
            emitted=emitted,
            source=source,
            latency_ms=NOT_MEASURED,
            cost=cost,
        )


Draft = EventDraft | HopDraft
