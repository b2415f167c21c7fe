"""Examination: checks of the samples around an onset before its window is given to a model."""

from __future__ import annotations

from dataclasses import dataclass

from seisedge.runtime.clock import ns_from_s
from seisedge.runtime.detection import pulse
from seisedge.runtime.detection.inspection import Artefact, Inspection, Inspector, artefact_of
from seisedge.runtime.detection.opener import Onset, Opener
from seisedge.runtime.detection.teleseism import is_teleseism
from seisedge.runtime.event import Quality
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.inference.windows import grid_of, span_of_window, start_of_window
from seisedge.runtime.records.packet import RecordFlag
from seisedge.runtime.timeline.timeline import Timeline
from seisedge.runtime.timeline.track import GridSpec

LEAD_S = 5.0  # the minimum time before an onset that is examined
TELESEISM = Quality(
    code="teleseism",
    reason="the onset has its energy below 2 Hz, as of a distant earthquake: no local magnitude is given",
)


@dataclass(frozen=True, slots=True)
class Examination:
    """Result for one answer: remarks on its samples, and the reasons against a magnitude."""

    remarks: list[Quality]
    clipped: bool = False
    teleseism: bool = False


class Examiner:
    """Examines the window of the first model. Its results depend only on samples that are final."""

    def __init__(self, models: Models, opener: Opener, timelines: dict[GridSpec, Timeline]) -> None:
        self._card = models.window_engines[0].card
        self._opener = opener
        self._timelines = timelines
        self._inspectors: dict[GridSpec, Inspector] = {}
        self._inspected: dict[tuple[GridSpec, int, int, int], Inspection] = {}  # since `begin_step`

    def begin_step(self) -> None:
        """More samples may have arrived: the windows of `inspect` are inspected again."""
        self._inspected.clear()

    def artefact_at(self, onset: Onset, known_hop: int) -> Artefact | None:
        """Kind of bad samples that alone caused the trigger, judged by the samples up to `known_hop`; else None."""
        return artefact_of(self._opener, onset.hop, onset.hop, known_hop)

    def artefact_until(self, onset: Onset, answer_s: float) -> Artefact | None:
        """Kind of bad samples that alone caused the trigger, judged by all hops of an answer; else None."""
        last = max(self._opener.hop_after(onset.time_ns + ns_from_s(answer_s)) - 1, onset.hop)
        return artefact_of(self._opener, onset.hop, last, last)

    def is_calibration(self, onset: Onset, answer_s: float) -> bool:
        """True where a calibration pulse or tone begins at the onset; False for answers below `pulse.AFTER_S`."""
        timeline = self._timeline
        if timeline is None or answer_s < pulse.AFTER_S:
            return False
        onset_k, rate_hz = timeline.k_at(onset.time_ns), timeline.spec.rate_hz
        before, after = round(pulse.BEFORE_S * rate_hz), round(pulse.AFTER_S * rate_hz)
        waveform, valid = timeline.window(onset_k - before, onset_k + after)
        return pulse.is_calibration(waveform, valid, rate_hz, before)

    def examine(self, onset: Onset, end_ns: int) -> Examination:
        """Examine the samples up to `end_ns`; without remarks where the channels do not carry the model's band."""
        timeline = self._timeline
        if timeline is None:
            return Examination([])
        onset_k, rate_hz = timeline.k_at(onset.time_ns), timeline.spec.rate_hz
        k0, k1 = span_of_window(timeline, self._card, start_of_window(self._card, onset.time_ns), end_ns)
        k0 = min(k0, onset_k - round(LEAD_S * rate_hz))
        inspection = self.inspect(timeline, k0, k1, onset_k)
        flags = RecordFlag.NONE
        if not timeline.has_second:  # else the inspection takes the flags of each sensor into account
            flags = timeline.flags_between(timeline.time_of(k0), timeline.time_of(k1))
        waveform, valid = timeline.window(k0, max(k1, k0), inspection.second)
        sound = valid & ~inspection.mask
        return Examination(
            inspection.remarks,
            clipped=inspection.clipped or bool(flags & (RecordFlag.CLIPPED | RecordFlag.SATURATED)),
            teleseism=is_teleseism(waveform, sound, rate_hz, onset_k - k0, waveform.shape[1]),
        )

    def prepare(self, onset: Onset) -> None:
        """Inspect what is complete of the window of an event whose next answer is not due yet.

        It changes no result; the answer is faster.
        """
        timeline = self._timeline
        if timeline is not None:
            start_k = timeline.k_at(start_of_window(self._card, onset.time_ns))
            onset_k = timeline.k_at(onset.time_ns) - round(LEAD_S * timeline.spec.rate_hz)
            self._inspector(timeline).prepare(min(start_k, onset_k))

    def inspect(self, timeline: Timeline, k0: int, k1: int, onset_k: int) -> Inspection:
        """Bad samples in the outputs [k0, k1); inspected once for all models and answers of a step."""
        key = (timeline.spec, k0, k1, onset_k)
        if key not in self._inspected:
            self._inspected[key] = self._inspector(timeline).window(k0, k1, onset_k)
        return self._inspected[key]

    def _inspector(self, timeline: Timeline) -> Inspector:
        if timeline.spec not in self._inspectors:
            self._inspectors[timeline.spec] = Inspector(timeline)
        return self._inspectors[timeline.spec]

    @property
    def _timeline(self) -> Timeline | None:
        return self._timelines.get(grid_of(self._card))
