"""Continuous mode: the type model looks at the last window at every hop; events open and close by thresholds.

Hops lie on the sample clock: a hop's window ends at a multiple of `hop_s` since 1970. An event opens when
1 - P(noise) has stayed at or above `open_threshold` for `min_duration_s`, and closes when it falls below
`close_threshold` or after `max_duration_s`. Its onset is the end of the first of those hops. There is no magnitude:
the window does not know where in it the event began. While a calibration pulse or tone is in the window, no event
opens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S, iso_from_ns, ns_from_s
from seisedge.runtime.config import ContinuousConfig, StationConfig
from seisedge.runtime.detection import pulse
from seisedge.runtime.detection.inspection import BEFORE_S, Inspector, flag_remarks
from seisedge.runtime.engines import Engine
from seisedge.runtime.errors import InputError
from seisedge.runtime.event import Quality, Status, TriggerInfo, WindowInfo
from seisedge.runtime.inference.estimate import DECIMALS, NOISE, type_estimate
from seisedge.runtime.inference.infer import Meter, Models, infer, unit_scale
from seisedge.runtime.inference.windows import Window, cut_window, grid_of, span_of_window
from seisedge.runtime.records.packet import RecordFlag
from seisedge.runtime.station.channels import Channels
from seisedge.runtime.station.draft import Draft, EventDraft, HopDraft, StationCounters
from seisedge.runtime.station.triggered import event_id
from seisedge.runtime.timeline.timeline import Timeline
from seisedge.runtime.timeline.track import GridSpec


class Heard(msgspec.Struct, frozen=True):
    """One hop of an event, or of the promise of one: its end, the probabilities, and what of its window is told."""

    time_ns: int
    shares: list[float]  # float32, exactly
    window: WindowInfo
    remarks: list[Quality] = []
    questionable: bool = False


class ContinuousState(msgspec.Struct, frozen=True):
    """Everything but the samples."""

    next_ns: int
    above: list[Heard]
    open: bool
    pulse_ns: int | None = None


class ContinuousMode:
    """Turns a timeline into hops, and hops into events."""

    def __init__(
        self,
        station_id: str,
        config: StationConfig,
        models: Models,
        channels: Channels,
        timelines: dict[GridSpec, Timeline],
        counters: StationCounters,
        drops: Callable[[], bool] = lambda: False,
    ) -> None:
        """drops: asked before a window is looked at; True: leave the hop out, the run is behind a live stream."""
        engine = models.event_type
        if engine is None or "continuous" not in engine.card.modes:
            raise InputError("continuous mode needs an event type model that was trained for it; see its card")
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
        self._above: list[Heard] = []  # hops of the event, or of its promise
        self._open = False
        self._pulse_ns: int | None = None  # the newest hop at which a calibration had begun

    def state(self) -> ContinuousState:
        return ContinuousState(self._next_ns, list(self._above), self._open, self._pulse_ns)

    def restore(self, state: ContinuousState) -> None:
        """Go on from `state`; the samples from `needed_ns` on must be given again."""
        self._next_ns, self._above, self._open = state.next_ns, list(state.above), state.open
        self._pulse_ns = state.pulse_ns

    @property
    def needed_ns(self) -> int | None:
        """Time of the oldest sample the next hop looks at; None before the first."""
        if not self._next_ns:
            return None
        return self._next_ns - ns_from_s(self._engine.card.window_s + BEFORE_S)

    def step(self, *, ended: bool = False) -> Iterator[Draft]:
        """Every hop that is ready; `ended` closes what is open."""
        timeline = self._timeline
        if timeline is None or timeline.ready_k <= timeline.oldest_k:
            return
        oldest_ns = -(-timeline.time_of(timeline.oldest_k) // self._hop_ns) * self._hop_ns
        self._next_ns = max(self._next_ns, oldest_ns)  # a long gap is not walked through
        while timeline.k_at(self._next_ns) <= timeline.ready_k:
            yield from self._hop(self._next_ns, timeline)
            self._next_ns += self._hop_ns
        if ended and self._open:
            yield self._event("final", self._above[-1].time_ns, Meter())
            self._open, self._above = False, []

    def _hop(self, time_ns: int, timeline: Timeline) -> Iterator[Draft]:
        card = self._engine.card
        start_ns = time_ns - ns_from_s(card.window_s)
        k0, k1 = span_of_window(timeline, card, start_ns, time_ns)
        assert self._inspector is not None
        seen = self._inspector.window(k0, k1, k1)
        window = cut_window(timeline, card, start_ns, time_ns, seen.mask)
        if not window.coverage:  # before the first sample, or in a long gap
            if self._open:
                yield self._event("final", time_ns, Meter())
            self._open, self._above = False, []
            return
        if window.coverage >= card.min_coverage and self._drops():
            self._counters.dropped_windows += 1
            return
        meter = Meter()
        shares: npt.NDArray[np.float32] | None = None
        if window.coverage >= card.min_coverage:
            meaning = self._channels.at(time_ns)
            scale = unit_scale(card, meaning.polarity, meaning.metres_per_count)
            shares = infer(self._engine, window, scale, meter)
        self._counters.hops += 1
        self._counters.inferences += meter.inferences
        yield HopDraft(
            station=self._station_id,
            time=iso_from_ns(time_ns),
            coverage=round(window.coverage, DECIMALS),
            probabilities=None
            if shares is None
            else {label: round(float(p), DECIMALS) for label, p in zip(card.labels, shares, strict=True)},
            model=card.name,
            last_sample_ns=time_ns,
            meter=meter,
        )
        if shares is None:
            return
        heard = _heard(time_ns, shares, window, seen.remarks, timeline.flags_between(start_ns, time_ns))
        score = 1.0 - float(shares[card.labels.index(NOISE)])
        duration_ns = time_ns - self._above[0].time_ns if self._above else 0
        settings = self._settings
        if self._open:
            if score < settings.close_threshold or duration_ns >= ns_from_s(settings.max_duration_s):
                yield self._event("final", time_ns, meter)
                self._open, self._above = False, []
            else:
                self._above.append(heard)
        elif self._calibrates(time_ns, timeline):
            self._above = []
        elif score >= settings.open_threshold:
            self._above.append(heard)
            if time_ns - self._above[0].time_ns >= ns_from_s(settings.min_duration_s):
                self._open = True
                self._counters.events += 1
                yield self._event("new", time_ns, meter)
        else:
            self._above = []

    def _calibrates(self, time_ns: int, timeline: Timeline) -> bool:
        """True while a calibration that began is in the window; called at every hop outside of an event."""
        window_s = self._engine.card.window_s
        rate_hz = timeline.spec.rate_hz
        before, after = round(pulse.BEFORE_S * rate_hz), round(pulse.AFTER_S * rate_hz)
        end_k = timeline.k_at(time_ns)
        known = self._pulse_ns is not None and time_ns - self._pulse_ns < ns_from_s(window_s)
        longest_s = min(self._hop_ns / NS_PER_S, window_s - pulse.BEFORE_S - pulse.AFTER_S)
        for back_s in np.arange(0.0, longest_s, 1.0):  # each looks at the starts of a second
            onset_k = end_k - after - round(back_s * rate_hz)
            waveform, valid = timeline.window(onset_k - before, onset_k + after)
            if pulse.is_calibration(waveform, valid, rate_hz, before):
                self._counters.calibration_triggers += not known
                self._pulse_ns = time_ns
                return True
        return known

    def _event(self, status: Status, time_ns: int, meter: Meter) -> EventDraft:
        """The event so far; its type is the mean over its hops."""
        onset_ns = self._above[0].time_ns
        stacked = np.array([heard.shares for heard in self._above], dtype=np.float32)
        mean: npt.NDArray[np.float32] = stacked.mean(axis=0, dtype=np.float64).astype(np.float32)
        window = self._above[-1].window
        remarks = list(dict.fromkeys(remark for heard in self._above for remark in heard.remarks))
        return EventDraft(
            id=event_id(self._station_id, onset_ns),
            revision=0 if status == "new" else 1,
            status=status,
            station=self._station_id,
            onset=iso_from_ns(onset_ns),
            trigger=TriggerInfo(kind="continuous"),
            event_type=type_estimate(self._engine.card, self._engine.sha256, mean),
            magnitude=None,
            window=msgspec.structs.replace(window, answer_s=round((time_ns - onset_ns) / 1e9, 3)),
            overlaps=[],
            timing="questionable" if any(heard.questionable for heard in self._above) else "ok",
            quality=remarks or [Quality(code="ok", reason="nothing to remark")],
            last_sample_ns=time_ns,
            meter=meter,
        )


def _heard(
    time_ns: int, shares: npt.NDArray[np.float32], window: Window, remarks: list[Quality], flags: RecordFlag
) -> Heard:
    info = WindowInfo(
        start=iso_from_ns(window.start_ns),
        length_s=round(window.span_s, 3),
        answer_s=0.0,  # told when the event is
        coverage=round(window.coverage, DECIMALS),
        gaps=window.gaps,
    )
    questionable = bool(flags & (RecordFlag.TIME_QUESTIONABLE | RecordFlag.CLOCK_UNLOCKED))
    return Heard(time_ns, [float(share) for share in shares], info, [*remarks, *flag_remarks(flags)], questionable)
