"""TriggeredEvent: what is known about one event, from its onset to its last answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from seisedge.runtime.clock import NS_PER_S, iso_from_ns
from seisedge.runtime.detection.inspection import Artefact
from seisedge.runtime.detection.opener import Kind, Onset
from seisedge.runtime.detection.sp_distance import SpDistance, distance_from_sp
from seisedge.runtime.event import (
    SCHEMA,
    Event,
    MagnitudeEstimate,
    Pick,
    Quality,
    SensorPart,
    Status,
    TriggerInfo,
    TypeEstimate,
    WindowInfo,
)
from seisedge.runtime.inference.estimate import TypeAnswer
from seisedge.runtime.station.draft import PENDING_COST, PENDING_LATENCY, PENDING_TEXT


def _distance(p: Onset, s: Onset | None) -> SpDistance | None:
    if s is None:
        return None
    return distance_from_sp((s.time_ns - p.time_ns) / NS_PER_S, p.uncertainty_s or 0.0, s.uncertainty_s or 0.0)


def _pick(onset: Onset, codes: Mapping[str, str]) -> Pick:
    return Pick(
        phase=onset.phase,
        time=iso_from_ns(onset.time_ns),
        uncertainty_s=onset.uncertainty_s or 0.0,
        probability=onset.probability or 0.0,
        channel=codes.get(onset.component or "", ""),
    )


@dataclass(slots=True)
class TriggeredEvent:
    """Mutable; stored in the journal by its field names."""

    onset: Onset
    id: str
    answers: list[float]  # answers still due, in seconds after the onset
    shown: bool = False  # at least one revision was emitted
    suppressed: bool = False  # the last answer was confident noise, or the trigger was caused by bad samples
    revision: int = 0  # number of the next revision
    seen_ns: int = 0  # end of the data used by the last answer; 0 before the first
    event_type: TypeEstimate | None = None
    type_answers: list[TypeAnswer] = field(default_factory=list)  # those that `event_type` combines
    magnitude: MagnitudeEstimate | None = None
    window: WindowInfo | None = None
    remarks: dict[str, list[Quality]] = field(default_factory=dict)  # by topic, in order of output
    questionable: bool = False
    suspect: Artefact | None = None  # bad samples that caused the trigger, judged by the data available so far
    clipped: bool = False
    teleseism: bool = False
    sensors: list[SensorPart] | None = None
    s_onset: Onset | None = None  # the S wave of this event

    @property
    def quality(self) -> list[Quality]:
        """All remarks, each once; `ok` where there is no remark."""
        remarks = dict.fromkeys(remark for topic in self.remarks.values() for remark in topic)
        return list(remarks) or [Quality(code="ok", reason="nothing to remark")]

    def line(self, station_id: str, status: Status, overlaps: list[str], kind: Kind, codes: Mapping[str, str]) -> Event:
        """The current revision, without its circumstances; a window must have been analysed before.

        kind: of the opener. codes: component → channel code.
        """
        assert self.window is not None
        picks = [_pick(onset, codes) for onset in (self.onset, self.s_onset) if onset is not None]
        distance = _distance(self.onset, self.s_onset)
        return Event(
            schema=SCHEMA,
            id=self.id,
            revision=self.revision,
            status=status,
            station=station_id,
            onset=iso_from_ns(self.onset.time_ns),
            emitted=PENDING_TEXT,
            source=PENDING_TEXT,
            trigger=TriggerInfo(kind=kind, snr=self.onset.snr, probability=self.onset.probability),
            picks=picks if kind == "onset" else None,
            distance_km=round(distance.value_km, 1) if distance is not None else None,
            distance_uncertainty_km=round(distance.uncertainty_km, 1) if distance is not None else None,
            event_type=self.event_type,
            magnitude=self.magnitude,
            window=self.window,
            sensors=self.sensors or None,
            overlaps=overlaps,
            timing="questionable" if self.questionable else "ok",
            quality=self.quality,
            latency_ms=PENDING_LATENCY,
            cost=PENDING_COST,
        )
