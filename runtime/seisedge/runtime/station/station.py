"""Station: takes the packets of one station and yields drafts of its output lines."""

from __future__ import annotations

import functools
import hashlib
import logging
import math
from collections.abc import Callable, Iterator, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import iso_from_ns, ns_from_s
from seisedge.runtime.config import EventsConfig, Mode, StationConfig, TriggerKind, settings_of
from seisedge.runtime.counters import StationCounters
from seisedge.runtime.detection.opener import TRIGGER_GRID, Opener
from seisedge.runtime.detection.trigger import Trigger
from seisedge.runtime.errors import InputError
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.inference.onset_detector import OnsetDetector
from seisedge.runtime.inference.windows import grid_of
from seisedge.runtime.records.channelcode import COMPONENTS, state_of_health_of
from seisedge.runtime.records.orientation import WeightsByTime
from seisedge.runtime.records.packet import Packet, RecordFlag
from seisedge.runtime.records.stationxml import StationXml
from seisedge.runtime.sources.batch import Batch
from seisedge.runtime.station.clock_steps import ClockSteps
from seisedge.runtime.station.draft import Draft
from seisedge.runtime.station.held_apart import HeldApart
from seisedge.runtime.station.hop_lines import HopLines
from seisedge.runtime.station.sensors import Sensors
from seisedge.runtime.station.state import STATE_VERSION, BackState, FrontState
from seisedge.runtime.station.triggered import TriggeredMode
from seisedge.runtime.timeline.joined import Joined, first_start_ns, joined, joined_batch, lag_ns, newest_start_ns
from seisedge.runtime.timeline.resample import MAX_RATE_IN_HZ, reaches_band
from seisedge.runtime.timeline.segment import TrackCounters
from seisedge.runtime.timeline.timeline import KEEP_S, RatiosByTime, Timeline
from seisedge.runtime.timeline.track import GridSpec

logger = logging.getLogger(__name__)

OpenerMaker = Callable[[Timeline], Opener]

LONG_GAP_S = 30.0  # on top of the time that the timeline waits for a component

SLOW_SHARE = 0.8  # part of the Nyquist frequency that the trigger uses of a slow channel
TRIGGER_HEADROOM_HZ = 1.0  # minimum width of the trigger's band

RAW_SLACK_S = 20.0  # raw samples are kept this much longer than the longest window, also of the onset detector
NEEDED_MARGIN_S = 0.1  # covers the rounding of sample times


class Station:
    """One station. Its timelines and its mode are built at the first usable packet, which has the sampling rate.

    first_ns, last_ns: span of the data on the present timelines.
    epoch: number of earlier sets of timelines, each ended by a clock that was set back; counted from the step on that
        yields their last line.
    For the state without samples see `state.py`.
    """

    def __init__(
        self,
        station_id: str,
        config: StationConfig,
        models: Models,
        mode: Mode,
        drops: Callable[[], bool] = lambda: False,
        *,
        metadata: StationXml | None = None,
        strict: bool = False,
        opener: OpenerMaker | None = None,
    ) -> None:
        """drops: True where the window that is due is to be skipped; see `Backlog.drops`.

        metadata, strict: see `Sensors`. opener: makes what opens events; None: as the settings state.
        Raises InputError, see `check_opener`.
        """
        self._opener_kind = check_opener(config, models, mode)
        check_prevalence(station_id, config, models)
        self.station_id = station_id
        self.counters = StationCounters()
        self.channels = Sensors(station_id, config, metadata, strict=strict)
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self.epoch = 0
        self.clock_steps = ClockSteps(config.timeline.max_wait_s, self.counters)
        self._held_apart = HeldApart(config.timeline.max_wait_s, self.counters)
        self._token = ""  # of the newest packet
        self._token_before = ""  # of the packet before it, or before those that the clock steps hold
        self._config = config
        self._models = models
        self._mode_name: Mode = mode
        self.used = False  # a sample has reached a timeline that a trigger or a model looks at
        self._drops = drops
        self.on_block: Callable[[str, int, npt.NDArray[np.float32]], None] | None = None  # see `OnsetDetector`
        self._make_opener = opener
        self._build_rate_hz = 0.0
        self._timelines: dict[GridSpec, Timeline] = {}
        self._carried: dict[GridSpec, dict[str, TrackCounters]] = {}  # counters of earlier timelines, by component
        self._weights: WeightsByTime = ()  # of the timelines
        self._ratios: RatiosByTime = ()  # of the timelines
        self._mode: TriggeredMode | None = None
        self._unused: dict[str, str] = {}  # reason why a channel reaches no model or trigger, by its name
        self._warned_of_threshold = False
        self._pending: list[Draft] = []  # became due before a long gap or at the end of the earlier timelines
        self._restarted = False  # new timelines have begun, and `_pending` was not yielded since
        self._earlier_ns = 0  # length of the data on earlier timelines
        self._no_leap_ns = 0  # a packet that begins before this does not follow a long gap

    def add(self, packet: Packet) -> bool:
        """Take a packet. Packets of other sensors and of unusable sampling rates are ignored with a warning.

        Returns whether a trigger or a model looks at its samples; for the reason why not see `refusals`.
        Raises InputError, see `Sensors.row_of`.
        """
        if not self._has_usable_rate(packet):
            return False
        component = self.channels.row_of(packet)
        if component is None:
            return False
        if self._mode is None:
            self._build(packet.sampling_rate_hz)
        elif self.channels.weights is not self._weights or self.channels.ratios is not self._ratios:
            self._set_weights()  # the packet is the first of its channel
        self.counters.packets += 1
        if not self.clock_steps.holding:
            self._token_before = self._token
        self._token = packet.token
        if self.clock_steps.passes(component, packet):
            self._use(component, packet)
        else:
            for admitted in self.clock_steps.admit(component, packet):
                if admitted.set_back:
                    self._take_held()
                    self._restart_timelines(admitted.packet)
                self._use(admitted.component, admitted.packet)
        reached = any(reaches_band(packet.sampling_rate_hz, spec.pass_hz) for spec in self._timelines)
        return reached and not packet.flags & RecordFlag.CALIBRATION

    def join(self, packets: Sequence[Packet]) -> list[Packet] | None:
        """As `add` of each packet, at once; the longest one of each channel, all of which are looked at.

        None, without any effect, where the packets have an irregularity: add them one by one.
        """
        runs = joined(packets) if self._mode is not None else None
        if not runs or not self._joins(runs):
            return None
        self._token_before = packets[-2].token if len(packets) > 1 else self._token
        self._token = packets[-1].token
        return self._join(runs)

    def join_batch(self, batch: Batch, records: Sequence[int]) -> list[Packet] | None:
        """As `join`, of some records of a batch, in order; all those of this station between the first and the last."""
        runs = joined_batch(batch, records) if self._mode is not None else None
        return self._join(runs) if runs and self._joins(runs) else None

    def _join(self, runs: Sequence[Joined]) -> list[Packet]:
        self.counters.packets += sum(len(run.counts) for run in runs)
        self.clock_steps.join(runs)
        self._held_apart.join(runs)
        start_ns, end_ns = first_start_ns(runs), max(run.end_ns for run in runs)
        self.first_ns = start_ns if self.first_ns is None else min(start_ns, self.first_ns)
        self.last_ns = end_ns if self.last_ns is None else max(end_ns, self.last_ns)
        self.used = True
        for timeline in self._timelines.values():
            timeline.join(runs)
        return [run.longest for run in runs]

    def _joins(self, runs: Sequence[Joined]) -> bool:
        """True where `add` of these packets only adds their samples; sets their components."""
        if self.channels.weights is not self._weights or self.channels.ratios is not self._ratios:
            return False
        for run in runs:
            component = self.channels.known_row_of(run.longest)
            if component is None or not all(reaches_band(run.rate_hz, spec.pass_hz) for spec in self._timelines):
                return False
            run.component = component
        if not self.clock_steps.joins(runs) or not self._held_apart.joins(runs):
            return False
        if not all(timeline.joins(runs) for timeline in self._timelines.values()):
            return False
        in_turn = lag_ns(runs) is not None  # no gap in them: see `Timeline.joins` for the time of their first ones
        newest_ns = max(run.starts_ns[0] for run in runs) if in_turn else newest_start_ns(runs)
        if newest_ns > self._no_leap_ns:
            self._no_leap_ns = min(t.time_of(t.leap_from_k(LONG_GAP_S)) for t in self._timelines.values())
        return newest_ns <= self._no_leap_ns

    def _use(self, component: str, packet: Packet) -> None:
        """Put a packet on the timelines, unless it is held apart, and those that are held no longer."""
        for held in self._held_apart.admit(component, packet, self._token_before):
            self._take(held.component, held.packet)

    def _take_held(self) -> None:
        for held in self._held_apart.release():
            self._take(held.component, held.packet)

    @property
    def resume_token(self) -> str:
        """Token behind which a later run receives all packets that are held apart; '' where it is unknown."""
        held = self._held_apart.oldest
        return self._token if held is None else held.token_before

    def _take(self, component: str, packet: Packet) -> None:
        """Put a packet on the timelines."""
        start_ns, end_ns = packet.starttime_ns, packet.endtime_ns
        if start_ns > self._no_leap_ns:
            self._cross_gap(packet)
        if self.first_ns is None or start_ns < self.first_ns:
            self.first_ns = start_ns
        if self.last_ns is None or end_ns > self.last_ns:
            self.last_ns = end_ns
        if packet.flags & RecordFlag.CALIBRATION:
            self._unused.setdefault(str(packet.source_id), "its records are flagged as calibration")
        else:
            self.used = True
        for spec, timeline in self._timelines.items():
            if reaches_band(packet.sampling_rate_hz, spec.pass_hz):
                timeline.add(component, packet)
            elif (name := f"{packet.source_id} {spec.pass_hz:g}") not in self._unused:
                self._unused[name] = f"{packet.sampling_rate_hz:g} Hz does not reach {spec.pass_hz:g} Hz"
                logger.warning(
                    "%s: %s at %g Hz does not reach %g Hz; the component is not used",
                    self.station_id,
                    packet.source_id,
                    packet.sampling_rate_hz,
                    spec.pass_hz,
                )

    def step(self) -> Iterator[Draft]:
        """Yield all lines that are due after the packets so far."""
        yield from self._take_pending()
        if self._mode is not None:
            yield from self._mode.step()
            self._seen()

    def prepare(self) -> None:
        """Between steps, while no packet waits: do in advance what the next lines need; it changes none of them."""
        if self._mode is not None:
            self._mode.prepare()

    def finish(self) -> Iterator[Draft]:
        """The stream has ended: yield all remaining lines, with the samples available."""
        for admitted in self.clock_steps.finish():
            self._use(admitted.component, admitted.packet)
        self._take_held()
        yield from self._take_pending()
        if self._mode is not None:
            for timeline in self._timelines.values():
                timeline.finish()
            yield from self._mode.step(ended=True)
            self._check_axes()

    def start_anew(self) -> None:
        """Begin new timelines with the next packet; for the state that an exception has left half changed.

        Open events are closed with the samples available, and the next step yields their lines; an event whose answer
        raised the exception, or raises another one now, gets no final line. What follows depends only on the packets
        after this call.
        """
        try:
            if self._mode is not None:
                self._pending += self._mode.step(ended=True)
        except Exception:
            logger.warning("%s: events that were open have no final line", self.station_id)
            logger.debug("%s: closing open events", self.station_id, exc_info=True)
        self._mode = None
        self._end_timelines()
        self.clock_steps = ClockSteps(self._config.timeline.max_wait_s, self.counters)
        self._held_apart = HeldApart(self._config.timeline.max_wait_s, self.counters)

    def _end_timelines(self) -> None:
        """Forget the timelines, all but their counters."""
        self._earlier_ns = self.data_ns
        self.first_ns = self.last_ns = None
        for spec, timeline in self._timelines.items():
            self._carried[spec] = {component: track.counters for component, track in timeline.tracks.items()}
        self._timelines = {}
        self._restarted = True
        self.counters.new_timelines += 1

    def _take_pending(self) -> Iterator[Draft]:
        pending, self._pending = self._pending, []
        yield from pending
        self.epoch += self._restarted
        self._restarted = False

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all that a state depends on besides the samples: its version, settings, models and metadata."""
        models = [(engine.card.task, engine.sha256, engine.name) for engine in self._models.engines]
        parts = (STATE_VERSION, self._mode_name, models, settings_of(self._config), self.channels.metadata)
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()

    def front(self) -> FrontState | None:
        """The front after the packets so far; None before the first and while the clock steps hold packets.

        Also None while lines are pending. Packets that are held apart are not part of it, see `resume_token`.
        """
        if self._mode is None or self.first_ns is None or self.last_ns is None:
            return None
        if self.clock_steps.holding or self._restarted:
            return None
        return FrontState(
            self._build_rate_hz,
            self.counters.packets - len(self._held_apart),
            self.first_ns,
            self.last_ns,
            [timeline.state() for timeline in self._timelines.values()],
            self.clock_steps.state(),
            self.epoch,
            self._earlier_ns,
        )

    def back(self) -> BackState:
        """The back after the steps so far. Shares its events with the mode: encode it before the next step."""
        mode = self._mode
        return BackState(
            *self.channels.state(),
            self.counters,
            triggered=mode.state() if mode is not None else None,
        )

    def restore(self, front: FrontState, back: BackState) -> None:
        """Resume an earlier run with the same settings; call before the first packet."""
        self.channels.restore(back.seismometer, back.accelerometer)
        self._build(front.build_rate_hz)
        for timeline, state in zip(self._timelines.values(), front.timelines, strict=True):
            timeline.restore(state)
        self.first_ns, self.last_ns = front.first_ns, front.last_ns
        self._held_apart.newest_end_ns = front.last_ns
        self.clock_steps.restore(front.clock_steps)
        self.epoch, self._earlier_ns = front.epoch, front.earlier_ns
        for name in back.counters.__slots__:
            setattr(self.counters, name, getattr(back.counters, name))
        self.counters.packets = front.packets
        self.used = True
        if self._mode is not None and back.triggered is not None:
            self._mode.restore(back.triggered)

    @property
    def needed_ns(self) -> int | None:
        """Time of the oldest sample that a future line depends on; None where it is unknown yet."""
        needed_ns = self._mode.needed_ns if self._mode is not None else None
        if needed_ns is None:
            return None
        used = [timeline for timeline in self._timelines.values() if timeline.ready_k]
        ready_ns = min(timeline.time_of(timeline.ready_k) for timeline in used)
        reach_s = max(timeline.reach_s for timeline in used) + NEEDED_MARGIN_S
        return min(needed_ns, ready_ns) - ns_from_s(reach_s)

    @property
    def timelines(self) -> list[Timeline]:
        """The present timelines: the trigger's first, then those of the models."""
        return list(self._timelines.values())

    @property
    def sampling_rate_hz(self) -> float:
        """Rate of the packet for which the timelines were built; 0 before it."""
        return self._build_rate_hz

    @property
    def refusals(self) -> dict[str, str]:
        """Channels that are not used, with the reason."""
        return self._unused | self.channels.reasons

    @property
    def data_ns(self) -> int:
        """Length of the data, summed over the present and all earlier timelines."""
        return self._earlier_ns + ((self.last_ns or 0) - (self.first_ns or 0))

    def _restart_timelines(self, packet: Packet) -> None:
        """The clock was set back: close open events with the samples available, and begin new timelines."""
        assert self._mode is not None and self.last_ns is not None
        logger.warning(
            "%s: the clock was set back from %s to %s; a new timeline begins",
            self.station_id,
            iso_from_ns(self.last_ns),
            iso_from_ns(packet.starttime_ns),
        )
        for timeline in self._timelines.values():
            timeline.finish()
        self._pending += self._mode.step(ended=True)
        self._check_axes()
        self._end_timelines()
        self._build(packet.sampling_rate_hz)

    def _cross_gap(self, packet: Packet) -> None:
        """Before the first packet after a long gap: give the due answers, then skip the gap on the timelines."""
        assert self._mode is not None
        for timeline in self._timelines.values():
            timeline.expect(packet)
        leaps = [t for t in self._timelines.values() if t.ready_k and t.follows_gap(packet, LONG_GAP_S)]
        if not leaps:
            ready = [t.time_of(t.leap_from_k(LONG_GAP_S)) if t.ready_k else 0 for t in self._timelines.values()]
            self._no_leap_ns = min(ready)
            return
        for _ in range(math.ceil(KEEP_S / LONG_GAP_S)):
            for timeline in leaps:
                timeline.give_up(min(timeline.ready_k + _k(timeline, LONG_GAP_S), timeline.leap_to(packet)))
            self._pending += self._mode.step()
            self._seen()
        for timeline in leaps:
            timeline.restart(max(timeline.leap_to(packet), timeline.ready_k))

    def _seen(self) -> None:
        self._check_axes()
        for timeline in self._timelines.values():
            timeline.seen()

    def _check_axes(self) -> None:
        """Look for a missing axis of a triaxial sensor in what became ready since the last `_seen`."""
        timeline = next(iter(self._timelines.values()))
        if timeline.seen_k == timeline.ready_k or not self.channels.triaxial:
            return
        _, valid = timeline.recorded(timeline.seen_k, timeline.ready_k)
        self.channels.check_axes(valid, timeline.time_of(timeline.seen_k), timeline.spec.rate_hz)

    def _set_weights(self) -> None:
        had_ratios = bool(self._ratios)
        self._weights, self._ratios = self.channels.weights, self.channels.ratios
        for timeline in self._timelines.values():
            timeline.weights = self._weights
            timeline.second_weights, timeline.ratios = self.channels.second_weights, self._ratios
            if timeline.has_second and self.channels.seismometer.codes and not self.channels.uses_second:
                timeline.drop_second()
        if had_ratios and isinstance(self._mode, TriggeredMode):
            self._mode.rescale()

    def _has_usable_rate(self, packet: Packet) -> bool:
        """False, with a warning, for a channel that is too fast for the resampler or too slow for the trigger.

        Too slow: its band ends below the trigger's high-pass plus some headroom.
        """
        rate_hz, highpass_hz = packet.sampling_rate_hz, self._config.trigger.highpass_hz
        if rate_hz > MAX_RATE_IN_HZ:
            why = f"{rate_hz:g} Hz is too fast; the highest usable sampling rate is {MAX_RATE_IN_HZ:g} Hz"
        elif SLOW_SHARE * rate_hz / 2 >= highpass_hz + TRIGGER_HEADROOM_HZ:
            return True
        else:
            lowest_hz = 2 * (highpass_hz + TRIGGER_HEADROOM_HZ) / SLOW_SHARE
            why = (
                f"{rate_hz:g} Hz is too slow for a trigger above {highpass_hz:g} Hz; the lowest usable sampling rate "
                f"is {lowest_hz:g} Hz"
            )
        name = str(packet.source_id)
        if name not in self._unused:
            self._unused[name] = why
            level = logging.DEBUG if state_of_health_of(packet.source_id.channel) else logging.WARNING
            logger.log(level, "%s: channel %s is not used: %s", self.station_id, name, why)
        return False

    def _build(self, rate_hz: float) -> None:
        self._build_rate_hz, self._no_leap_ns = rate_hz, 0
        trigger_grid = TRIGGER_GRID
        if not reaches_band(rate_hz, trigger_grid.pass_hz):
            trigger_grid = GridSpec(TRIGGER_GRID.rate_hz, SLOW_SHARE * rate_hz / 2)
        settings = self._config.timeline
        model_grids = [grid_of(engine.card) for engine in self._models.window_engines]
        reached = [grid for grid in model_grids if reaches_band(rate_hz, grid.pass_hz)]
        if self._opener_kind == "onset" and trigger_grid != TRIGGER_GRID:
            logger.warning(
                "%s: %g Hz does not reach the onset detector's band up to %g Hz; STA/LTA opens its events%s",
                self.station_id,
                rate_hz,
                TRIGGER_GRID.pass_hz,
                ", and it has no hop lines" if self._mode_name == "continuous" else "",
            )
        waits_for_first, waits_for_second = self.channels.awaited
        components = COMPONENTS if self.channels.triaxial else settings.components
        for grid in dict.fromkeys([trigger_grid, *reached]):
            self._timelines[grid] = Timeline(
                self.station_id,
                grid,
                components=components if waits_for_first else "",
                max_wait_s=settings.max_wait_s,
                reorder_wait_s=settings.reorder_wait_s,
                raw_keep_s=max(engine.card.window_s for engine in self._models.engines) + RAW_SLACK_S,
            )
            if waits_for_second:
                self._timelines[grid].expect_second(components)
            self._timelines[grid].carry_counters(self._carried.get(grid, {}))
        self._set_weights()
        of_models = {grid: self._timelines[grid] for grid in reached}
        opener = self._opener(self._timelines[trigger_grid])
        if opener.kind == "sta_lta" and self._opener_kind == "onset":
            engine = self._models.event_type
            self._warn_of_threshold(has_type=engine is not None and grid_of(engine.card) in reached)
        hop_lines = None
        if self._mode_name == "continuous" and isinstance(opener, OnsetDetector):
            hop_lines = HopLines(self.station_id, opener, self.counters)
        self._mode = TriggeredMode(
            self.station_id,
            self._config,
            self._models,
            self.channels,
            opener,
            of_models,
            self.counters,
            self._drops,
            hop_lines,
        )

    def _warn_of_threshold(self, *, has_type: bool) -> None:
        """STA/LTA replaces the detector: warn once that `noise_threshold` then means something else, or nothing without
        a type.
        """
        threshold = self._config.events.noise_threshold
        if threshold is None or not 0 < threshold < 1 or self._warned_of_threshold:
            return
        self._warned_of_threshold = True
        if not has_type:
            logger.warning(
                "%s: events have no type, so events.noise_threshold (%g) has no effect", self.station_id, threshold
            )
            return
        logger.warning(
            "%s: STA/LTA opens the events, so events.noise_threshold (%g) is compared with the probability of noise of "
            "the event-type model alone; use a value that was chosen with STA/LTA, or remove the setting (default: %g)",
            self.station_id,
            threshold,
            EventsConfig().noise_limit("sta-lta"),
        )

    def _opener(self, timeline: Timeline) -> Opener:
        """The onset detector where it is configured and the channels carry its band, else the classic trigger."""
        settings, engine = self._config.trigger, self._models.onset
        if self._make_opener is not None:
            return self._make_opener(timeline)
        if self._opener_kind == "onset" and engine is not None and timeline.spec == TRIGGER_GRID:
            every_block = self._mode_name == "continuous"
            detector = OnsetDetector(timeline, engine, settings.p_threshold, every_block=every_block)
            if self.on_block is not None:
                detector.on_block = functools.partial(self.on_block, self.station_id)
            return detector
        return Trigger(timeline, settings)


def check_opener(config: StationConfig, models: Models, mode: Mode) -> TriggerKind:
    """What opens events. Raises InputError where a mode or the settings need an onset detector, and there is none."""
    kind = config.trigger.kind_in(mode, has_detector=models.onset is not None)
    if kind == "onset" and models.onset is None:
        if config.trigger.kind is None:
            raise InputError(
                "continuous mode needs an onset detector: set models.onset to a model file, or to 'bundled'"
            )
        raise InputError(
            "trigger.kind is 'onset', but no onset detector is loaded: set models.onset to a model file, "
            "or trigger.kind to 'sta-lta'"
        )
    if mode == "continuous" and kind != "onset":
        raise InputError(f"continuous mode needs the onset detector: set trigger.kind to 'onset'; got '{kind}'")
    return kind


def check_prevalence(station_id: str, config: StationConfig, models: Models) -> None:
    """Raises InputError where `models.prevalence` does not name the labels of the event-type model."""
    prevalence = config.models.prevalence
    labels = models.event_type.card.labels if models.event_type is not None else []
    if prevalence and set(prevalence) != set(labels):
        expected = ", ".join(labels) or "none, because no event-type model is loaded"
        raise InputError(
            f"{station_id}: models.prevalence: must have a share for each label of the event-type model ({expected}); "
            f"got {', '.join(prevalence)}"
        )


def _k(timeline: Timeline, seconds: float) -> int:
    return round(seconds * timeline.spec.rate_hz)
