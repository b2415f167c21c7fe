"""EventEstimator: runs the models on the window of a triggered event and stores the estimates in the event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seisedge.runtime.card import ModelCard
from seisedge.runtime.clock import NS_PER_S, iso_from_ns, ns_from_s
from seisedge.runtime.detection.inspection import Inspection, flag_remarks
from seisedge.runtime.engines import Engine, are_probabilities
from seisedge.runtime.errors import EngineError
from seisedge.runtime.event import MagnitudeEstimate, Quality, WindowInfo
from seisedge.runtime.inference.amplitude import largest_closed, least_magnitude, with_least_magnitude
from seisedge.runtime.inference.estimate import DECIMALS, NOISE, combined_type, magnitude_estimate, type_answer
from seisedge.runtime.inference.infer import Meter, Models, infer, infer_windows, model_input, model_units_per_count
from seisedge.runtime.inference.windows import Window, cut_window, grid_of, span_of_window, start_of_window
from seisedge.runtime.records.packet import RecordFlag
from seisedge.runtime.station.examination import TELESEISM, Examiner
from seisedge.runtime.station.sensors import Sensors
from seisedge.runtime.station.triggered_event import TriggeredEvent
from seisedge.runtime.timeline.timeline import Timeline
from seisedge.runtime.timeline.track import GridSpec

MIN_ANSWER_S = 1.0  # a window cut shorter than this by the next event is not classified
MIN_TOGETHER = 3  # windows; no engine takes fewer in a batch, and to try its sizes takes 40 ms, once


_Key = tuple[str, int, int]  # task, onset, and end of the data


@dataclass(frozen=True, slots=True)
class Expected:
    """An answer that will probably be due in a step: onset, length of the answer, end of its data."""

    onset_ns: int
    answer_s: float
    end_ns: int


@dataclass(frozen=True, slots=True)
class _Given:
    """Window of a model up to `end_ns`, and the factors (3,) from counts to its unit."""

    window: Window
    units_per_count: npt.NDArray[np.float64]
    end_ns: int

    @property
    def three(self) -> bool:
        """True if every component has samples that the model takes."""
        return bool((self.window.valid.any(axis=1) & np.isfinite(self.units_per_count)).all())


class EventEstimator:
    """The models of a station with what they need: physical scale, timelines, and the examination of samples."""

    def __init__(
        self,
        models: Models,
        channels: Sensors,
        timelines: dict[GridSpec, Timeline],
        examiner: Examiner,
        prevalence: Mapping[str, float],
    ) -> None:
        """timelines: by the grid of the models whose band the station's channels carry.

        prevalence: of the labels of the event-type model; empty: its probabilities are not weighted.
        """
        self._prevalence = prevalence
        self._models = models
        self._channels = channels
        self._timelines = timelines
        self._examiner = examiner
        # of the present step: windows, and outputs with their cost
        self._windows: dict[_Key, tuple[Window, Inspection]] = {}
        self._longest: dict[tuple[GridSpec, int, int, int], Window] = {}  # by outputs with data, and onset
        self._outputs: dict[_Key, tuple[npt.NDArray[np.float32], Meter]] = {}

    def begin_step(self) -> None:
        """More samples may have arrived."""
        self._examiner.begin_step()
        self._windows.clear()
        self._longest.clear()
        self._outputs.clear()

    def expect(self, expected: Sequence[Expected]) -> None:
        """Run the windows of answers of this step in batches, of sizes in which each has the bits that it has alone.

        An answer that is not among them, or with other data, is run alone.
        """
        if len(expected) >= MIN_TOGETHER:
            for engine in self._models.window_engines:
                self._infer_together(engine, expected)

    def _infer_together(self, engine: Engine, expected: Sequence[Expected]) -> None:
        smallest = min((size for size in engine.batch_sizes if size > 1), default=0)
        if not 0 < smallest <= len(expected):
            return
        windows: dict[_Key, tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]] = {}
        for one in expected:
            timeline = self._timelines.get(grid_of(engine.card))
            too_short = one.end_ns - one.onset_ns < ns_from_s(MIN_ANSWER_S)
            if timeline is None or too_short or (engine is self._models.magnitude and self._has_none(one)):
                continue
            window, _ = self._cut(engine.card, timeline, one.onset_ns, one.end_ns)
            units_per_count = self._units_per_count(engine.card, one.onset_ns)
            if _has_enough(engine.card, window, units_per_count):
                windows[engine.card.task, one.onset_ns, one.end_ns] = model_input(window, units_per_count)
        n = len(windows) // smallest * smallest
        if not n:
            return
        waveform, valid = (np.stack(column[:n]) for column in zip(*windows.values(), strict=True))
        meters = [Meter() for _ in range(n)]
        try:
            outputs = infer_windows(engine, waveform, valid, meters)
        except EngineError:  # each of them is run alone when it is due
            return
        self._outputs |= dict(zip(windows, zip(outputs, meters, strict=True), strict=False))

    def _has_none(self, expected: Expected) -> bool:
        """True where an answer gets no new magnitude: it is longer than its windows, or its type is known as noise."""
        type_engine, engine = self._models.event_type, self._models.magnitude
        if engine is None or expected.answer_s > engine.card.answers_s[-1]:
            return True
        if type_engine is None:
            return False
        known = self._outputs.get((type_engine.card.task, expected.onset_ns, expected.end_ns))
        return known is not None and type_engine.card.labels[int(np.argmax(known[0]))] == NOISE

    def estimate(self, event: TriggeredEvent, answer_s: float, cut_ns: int, meter: Meter) -> None:
        """Update type, magnitude and remarks with the data up to `cut_ns`.

        Where these data do not suffice for a model, its earlier estimate is kept.
        """
        self._examine(event, answer_s, cut_ns)
        type_engine, magnitude_engine = self._models.event_type, self._models.magnitude
        if type_engine is not None:
            given = self._input(event, type_engine, answer_s, cut_ns)
            probabilities = None if given is None else self._run(event, type_engine, given, meter)
            if given is not None and probabilities is not None:
                sound_s = (given.end_ns - event.onset.time_ns) / NS_PER_S * given.window.coverage
                answer = type_answer(answer_s, sound_s, probabilities, three=given.three, clipped=event.clipped)
                event.type_answers.append(answer)
                event.event_type = combined_type(
                    type_engine.card, type_engine.sha256, event.type_answers, self._prevalence
                )
        if magnitude_engine is not None:
            self._estimate_magnitude(event, magnitude_engine, answer_s, cut_ns, meter)

    def _examine(self, event: TriggeredEvent, answer_s: float, cut_ns: int) -> None:
        """Look for clipping and for a teleseism; once found they hold for all later answers."""
        end_ns = min(event.onset.time_ns + ns_from_s(answer_s), cut_ns)
        examination = self._examiner.examine(event.onset, end_ns)
        event.clipped |= examination.clipped
        event.teleseism |= examination.teleseism
        event.remarks["unsound"] = list(examination.remarks)
        if event.teleseism:
            event.remarks["unsound"].append(TELESEISM)

    def _estimate_magnitude(
        self, event: TriggeredEvent, engine: Engine, answer_s: float, cut_ns: int, meter: Meter
    ) -> None:
        noise = event.event_type is not None and event.event_type.label == NOISE
        if noise or event.clipped or event.teleseism:
            if noise or event.teleseism or not _is_above_all_bins(event.magnitude):
                event.magnitude = None
                event.remarks.pop("magnitude", None)
            return
        longest_s = min(answer_s, engine.card.answers_s[-1])
        if event.magnitude is not None and event.onset.time_ns + ns_from_s(longest_s) <= event.seen_ns:
            return  # the model has already used the longest window it was trained for
        given = self._input(event, engine, longest_s, cut_ns)
        probabilities = None if given is None else self._run(event, engine, given, meter)
        if given is None or probabilities is None:
            return
        apart_m = self._channels.apart_m(event.onset.time_ns) if event.sensors else 0.0
        calibrated = self._channels.at(event.onset.time_ns).calibrated and not apart_m
        if calibrated:
            probabilities = _not_below_amplitude(engine.card, given.window, given.units_per_count, probabilities)
        event.magnitude = magnitude_estimate(engine.card, engine.sha256, probabilities, calibrated=calibrated)
        if not calibrated:
            reason = "no sensitivity and no station correction: the magnitude bin is provisional"
            if apart_m:
                reason = f"the accelerometer is {apart_m:g} m above or below the seismometer: the bin is provisional"
            event.remarks[engine.card.task].append(Quality(code="uncalibrated", reason=reason))
        elif None in event.magnitude.bin:
            reason = f"the magnitude is {event.magnitude.label}, outside the model's bins: no value"
            event.remarks[engine.card.task].append(Quality(code="out_of_range", reason=reason))

    def _input(self, event: TriggeredEvent, engine: Engine, answer_s: float, cut_ns: int) -> _Given | None:
        """Input of a model; None, with a remark, where the data do not suffice for it."""
        card = engine.card
        remarks = event.remarks[card.task] = []
        start_ns = start_of_window(card, event.onset.time_ns)
        end_ns = min(event.onset.time_ns + ns_from_s(answer_s), cut_ns)
        timeline = self._timelines.get(grid_of(card))
        window = inspection = None
        if timeline is not None:
            window, inspection = self._cut(card, timeline, event.onset.time_ns, end_ns)
        if engine is self._models.window_engines[0]:
            event.window = WindowInfo(
                start=iso_from_ns(window.start_ns if window else start_ns),
                length_s=round(window.span_s if window else (end_ns - start_ns) / NS_PER_S, 3),
                answer_s=answer_s,
                coverage=round(window.coverage, DECIMALS) if window else 0.0,
                gaps=window.gaps if window else 0,
            )
            event.sensors = None
            if inspection is not None and window is not None:
                event.sensors = self._channels.parts(inspection.second, window.start_ns, card.sampling_rate_hz)
        if timeline is None or window is None or inspection is None:
            reason = f"the channels do not carry the band of {card.name}, up to {card.band_hz[1]:g} Hz"
            remarks.append(Quality(code="band", reason=reason))
            return None
        flags = timeline.flags_between(start_ns, end_ns, of_second=bool(event.sensors))
        event.questionable |= bool(flags & (RecordFlag.TIME_QUESTIONABLE | RecordFlag.CLOCK_UNLOCKED))
        remarks += flag_remarks(flags, inspection)
        if end_ns - event.onset.time_ns < ns_from_s(MIN_ANSWER_S):
            reason = f"less than {MIN_ANSWER_S:g} s before the next event"
            remarks.append(Quality(code="insufficient", reason=reason))
            return None
        if window.coverage < card.min_coverage:
            reason = f"{window.coverage:.0%} of the samples are there, {card.name} needs {card.min_coverage:.0%}"
            remarks.append(Quality(code="insufficient", reason=reason))
            return None
        units_per_count = self._units_per_count(card, event.onset.time_ns)
        if not window.valid[np.isfinite(units_per_count)].any():
            remarks.append(Quality(code="insufficient", reason=f"no component with a gain has samples for {card.name}"))
            return None
        return _Given(window, units_per_count, end_ns)

    def _cut(self, card: ModelCard, timeline: Timeline, onset_ns: int, end_ns: int) -> tuple[Window, Inspection]:
        """The window of an onset up to `end_ns`, cut once in a step."""
        key = (card.task, onset_ns, end_ns)
        if key not in self._windows:
            start_ns = start_of_window(card, onset_ns)
            k0, k1 = span_of_window(timeline, card, start_ns, end_ns)
            inspection = self._examiner.inspect(timeline, k0, k1, timeline.k_at(onset_ns))
            place = (timeline.spec, k0, k1, onset_ns)
            window = self._longest.get(place)
            if window is None or window.n_samples < card.n_samples:
                window = cut_window(timeline, card, start_ns, end_ns, inspection.mask, inspection.second)
                self._longest[place] = window
            self._windows[key] = window.first(card.n_samples), inspection
        return self._windows[key]

    def _units_per_count(self, card: ModelCard, onset_ns: int) -> npt.NDArray[np.float64]:
        scale = self._channels.at(onset_ns)
        return model_units_per_count(card, scale.polarity, scale.metres_per_count)

    def _run(
        self, event: TriggeredEvent, engine: Engine, given: _Given, meter: Meter
    ) -> npt.NDArray[np.float32] | None:
        """Output of a model (n_labels,); None, with a remark, where it is none."""
        known = self._outputs.get((engine.card.task, event.onset.time_ns, given.end_ns))
        if known is None:
            probabilities = infer(engine, given.window, given.units_per_count, meter)
        else:
            output, share = known
            meter.include(share)
            probabilities = output if are_probabilities(output) else None
        if probabilities is None:
            reason = f"{engine.card.name} gave values that are no probabilities"
            event.remarks[engine.card.task].append(Quality(code="insufficient", reason=reason))
        return probabilities


def _has_enough(card: ModelCard, window: Window, units_per_count: npt.NDArray[np.float64]) -> bool:
    """True if a model takes a window."""
    return window.coverage >= card.min_coverage and bool(window.valid[np.isfinite(units_per_count)].any())


def _not_below_amplitude(
    card: ModelCard, window: Window, units_per_count: npt.NDArray[np.float64], probabilities: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """The probabilities of a magnitude model in m/s, given the least magnitude that the amplitude allows."""
    if card.magnitude is None or card.unit != "m/s":
        return probabilities
    edges = card.magnitude.edges
    usable = np.isfinite(units_per_count)
    waveform = window.waveform.astype(np.float64) * np.where(usable, units_per_count, 0.0)[:, None]
    valid = window.valid & usable[:, None]
    least = least_magnitude(waveform, valid, card.sampling_rate_hz, card.onset_s, largest_closed(edges))
    return probabilities if least is None else with_least_magnitude(edges, probabilities, least)


def _is_above_all_bins(magnitude: MagnitudeEstimate | None) -> bool:
    """True for the open bin above all others: clipping, after which amplitudes are larger, does not contradict it."""
    return magnitude is not None and magnitude.bin[1] is None
