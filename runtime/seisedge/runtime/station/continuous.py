"""Continuous mode: the event type model classifies the latest window at every hop; thresholds open and close events.

Hops lie on the sample clock: the window of a hop ends at a multiple of `hop_s` since 1970. The score of a hop is
1 - P(noise). An event opens when the score has stayed at or above `open_threshold` for `min_duration_s`. It closes when
the score falls below `close_threshold`, or after `max_duration_s`. Its onset is the end of the window of the first of
these hops. Events have no magnitude, because the position of the onset in the window is unknown. No event opens while
a calibration pulse or tone is in the window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S, iso_from_ns, ns_from_s
from seisedge.runtime.config import ContinuousConfig, StationConfig
from seisedge.runtime.counters import StationCounters
from seisedge.runtime.detection import pulse
from seisedge.runtime.detection.inspection import BEFORE_S, Inspection, Inspector, flag_remarks
from seisedge.runtime.engines import Engine
from seisedge.runtime.errors import InputError
from seisedge.runtime.event import (
    HOP_SCHEMA,
    SCHEMA,
    Event,
    Hop,
    Quality,
    SensorPart,
    Status,
    TriggerInfo,
    WindowInfo,
    event_id,
)
from seisedge.runtime.inference.estimate import DECIMALS, NOISE, type_estimate
from seisedge.runtime.inference.infer import Meter, Models, infer, model_units_per_count
from seisedge.runtime.inference.windows import Window, cut_window, grid_of, span_of_window
from seisedge.runtime.records.packet import RecordFlag
from seisedge.runtime.station.draft import PENDING_COST, PENDING_LATENCY, PENDING_TEXT, Draft
from seisedge.runtime.station.sensors import Sensors
from seisedge.runtime.timeline.timeline import Timeline
from seisedge.runtime.timeline.track import GridSpec


class EventHop(msgspec.Struct, frozen=True):
    """One hop of an event, or of a candidate that has not lasted `min_duration_s` yet.

    time_ns: end of its window. probabilities: (n_labels,), float32 values.
    """

    time_ns: int
    probabilities: list[float] = msgspec.field(name="shares")
    window: WindowInfo
    sensors: list[SensorPart]
    remarks: list[Quality]
    questionable: bool


class ContinuousState(msgspec.Struct, frozen=True):
    """State without samples."""

    next_ns: int
    hops: list[EventHop] = msgspec.field(name="above")
    open: bool
    pulse_ns: int | None


class ContinuousMode:
    """Turns a timeline into hops, and hops into events."""

    def __init__(
        self,
        station_id: str,
        config: StationConfig,
        models: Models,
        channels: Sensors,
        timelines: dict[GridSpec, Timeline],
        counters: StationCounters,
        drops: Callable[[], bool],
    ) -> None:
        """drops: called before a window is classified; True: skip the hop, the run is behind a live stream.

        Raises InputError where there is no event type model, or it was not trained for continuous mode.
        """
        engine = models.event_type
        if engine is None or "continuous" not in engine.card.modes:
            raise InputError("continuous mode needs an event type model that was trained for it; see its card")
        if NOISE not in engine.card.labels:
            raise InputError(f"continuous mode needs an event type model with the label '{NOISE}'; see its card")
        self._station_id = station_id
        self._settings: ContinuousConfig = config.continuous
        self._engine: Engine = engine
        self._channels = channels
        self._timeline = timelines.get(grid_of(engine.card))
        self._inspector = Inspector(self._timeline) if self._timeline is not None else None
        self._counters = counters
        self._drops = drops
        self._hop_ns = ns_from_s(config.continuous.hop_s)
        self._next_ns = 0
        self._hops: list[EventHop] = []  # of the open event or of the candidate
        self._open = False
        self._pulse_ns: int | None = None  # the newest hop at which a calibration was found

    def state(self) -> ContinuousState:
        return ContinuousState(self._next_ns, list(self._hops), self._open, self._pulse_ns)

    def restore(self, state: ContinuousState) -> None:
        """Resume from `state`; the samples from `needed_ns` on must be supplied again."""
        self._next_ns, self._hops, self._open = state.next_ns, list(state.hops), state.open
        self._pulse_ns = state.pulse_ns

    @property
    def needed_ns(self) -> int | None:
        """Time of the oldest sample that the next hop uses; None before the first hop."""
        if not self._next_ns:
            return None
        return self._next_ns - ns_from_s(self._engine.card.window_s + BEFORE_S)

    def step(self, *, ended: bool = False) -> Iterator[Draft]:
        """Yield the lines of every hop that is ready. ended: no more samples will come; close the open event."""
        timeline = self._timeline
        if timeline is None or timeline.ready_k <= timeline.oldest_k:
            return
        oldest_ns = -(-timeline.time_of(timeline.oldest_k) // self._hop_ns) * self._hop_ns
        self._next_ns = max(self._next_ns, oldest_ns)  # skips the hops of a long gap
        while timeline.k_at(self._next_ns) <= timeline.ready_k:
            yield from self._hop(self._next_ns, timeline)
            self._next_ns += self._hop_ns
        if ended and self._open:
            yield self._event("final", self._hops[-1].time_ns, Meter())
            self._open, self._hops = False, []

    def _hop(self, time_ns: int, timeline: Timeline) -> Iterator[Draft]:
        """The line of one hop, and that of an event which opens or closes with it."""
        card = self._engine.card
        start_ns = time_ns - ns_from_s(card.window_s)
        k0, k1 = span_of_window(timeline, card, start_ns, time_ns)
        assert self._inspector is not None
        inspection = self._inspector.window(k0, k1, k1)
        window = cut_window(timeline, card, start_ns, time_ns, inspection.mask, inspection.second)
        if not window.coverage:  # before the first sample, or in a long gap
            if self._open:
                yield self._event("final", time_ns, Meter())
            self._open, self._hops = False, []
            return
        if window.coverage >= card.min_coverage and self._drops():
            self._counters.dropped_windows += 1
            return
        meter = Meter()
        probabilities: npt.NDArray[np.float32] | None = None
        if window.coverage >= card.min_coverage:
            scale = self._channels.at(time_ns)
            units_per_count = model_units_per_count(card, scale.polarity, scale.metres_per_count)
            probabilities = infer(self._engine, window, units_per_count, meter)
        self._counters.hops += 1
        self._counters.inferences += meter.inferences
        yield Draft(self._hop_line(time_ns, window, probabilities), time_ns, meter)
        if probabilities is None:
            return
        sensors = self._channels.parts(inspection.second, window.start_ns, card.sampling_rate_hz)
        flags = timeline.flags_between(start_ns, time_ns, of_second=bool(sensors))
        yield from self._follow(_event_hop(time_ns, probabilities, window, sensors, inspection, flags), timeline, meter)

    def _follow(self, hop: EventHop, timeline: Timeline, meter: Meter) -> Iterator[Draft]:
        """Apply the thresholds to a hop: open, extend or close an event."""
        settings = self._settings
        score = 1.0 - hop.probabilities[self._engine.card.labels.index(NOISE)]
        if self._open:
            duration_ns = hop.time_ns - self._hops[0].time_ns
            if score < settings.close_threshold or duration_ns >= ns_from_s(settings.max_duration_s):
                yield self._event("final", hop.time_ns, meter)
                self._open, self._hops = False, []
            else:
                self._hops.append(hop)
        elif self._is_calibrating(hop.time_ns, timeline):
            self._hops = []
        elif score >= settings.open_threshold:
            self._hops.append(hop)
            if hop.time_ns - self._hops[0].time_ns >= ns_from_s(settings.min_duration_s):
                self._open = True
                self._counters.events += 1
                yield self._event("new", hop.time_ns, meter)
        else:
            self._hops = []

    def _is_calibrating(self, time_ns: int, timeline: Timeline) -> bool:
        """True while a calibration that was found is in the window; called at every hop outside of an event."""
        window_s = self._engine.card.window_s
        rate_hz = timeline.spec.rate_hz
        before, after = round(pulse.BEFORE_S * rate_hz), round(pulse.AFTER_S * rate_hz)
        end_k = timeline.k_at(time_ns)
        in_window = self._pulse_ns is not None and time_ns - self._pulse_ns < ns_from_s(window_s)
        longest_s = min(self._hop_ns / NS_PER_S, window_s - pulse.BEFORE_S - pulse.AFTER_S)
        for back_s in np.arange(0.0, longest_s, 1.0):  # each iteration tests the onsets within one second
            onset_k = end_k - after - round(back_s * rate_hz)
            waveform, valid = timeline.window(onset_k - before, onset_k + after)
            if pulse.is_calibration(waveform, valid, rate_hz, before):
                self._counters.calibration_triggers += not in_window
                self._pulse_ns = time_ns
                return True
        return in_window

    def _hop_line(self, time_ns: int, window: Window, probabilities: npt.NDArray[np.float32] | None) -> Hop:
        card = self._engine.card
        rounded = None
        if probabilities is not None:
            rounded = {label: round(float(p), DECIMALS) for label, p in zip(card.labels, probabilities, strict=True)}
        return Hop(
            schema=HOP_SCHEMA,
            station=self._station_id,
            time=iso_from_ns(time_ns),
            coverage=round(window.coverage, DECIMALS),
            probabilities=rounded,
            model=card.name,
            emitted=PENDING_TEXT,
            source=PENDING_TEXT,
            latency_ms=PENDING_LATENCY,
            cost=PENDING_COST,
        )

    def _event(self, status: Status, time_ns: int, meter: Meter) -> Draft:
        """The event up to now; its type is the mean over its hops."""
        onset_ns = self._hops[0].time_ns
        stacked = np.array([hop.probabilities for hop in self._hops], dtype=np.float32)
        mean: npt.NDArray[np.float32] = stacked.mean(axis=0, dtype=np.float64).astype(np.float32)
        window = self._hops[-1].window
        sensors = self._hops[-1].sensors
        remarks = list(dict.fromkeys(remark for hop in self._hops for remark in hop.remarks))
        line = Event(
            schema=SCHEMA,
            id=event_id(self._station_id, onset_ns),
            revision=0 if status == "new" else 1,
            status=status,
            station=self._station_id,
            onset=iso_from_ns(onset_ns),
            emitted=PENDING_TEXT,
            source=PENDING_TEXT,
            trigger=TriggerInfo(kind="continuous"),
            event_type=type_estimate(self._engine.card, self._engine.sha256, mean),
            window=msgspec.structs.replace(window, answer_s=round((time_ns - onset_ns) / 1e9, 3)),
            sensors=sensors or None,
            overlaps=[],
            timing="questionable" if any(hop.questionable for hop in self._hops) else "ok",
            quality=remarks or [Quality(code="ok", reason="nothing to remark")],
            latency_ms=PENDING_LATENCY,
            cost=PENDING_COST,
        )
        return Draft(line, time_ns, meter)


def _event_hop(
    time_ns: int,
    probabilities: npt.NDArray[np.float32],
    window: Window,
    sensors: list[SensorPart],
    inspection: Inspection,
    flags: RecordFlag,
) -> EventHop:
    info = WindowInfo(
        start=iso_from_ns(window.start_ns),
        length_s=round(window.span_s, 3),
        answer_s=0.0,  # set in the line of the event
        coverage=round(window.coverage, DECIMALS),
        gaps=window.gaps,
    )
    remarks = [*inspection.remarks, *flag_remarks(flags, inspection)]
    questionable = bool(flags & (RecordFlag.TIME_QUESTIONABLE | RecordFlag.CLOCK_UNLOCKED))
    return EventHop(time_ns, [float(p) for p in probabilities], info, sensors, remarks, questionable)
