"""EventEstimator: runs the models on the window of a triggered event and stores the estimates in the event."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from seisedge.runtime.card import ModelCard
from seisedge.runtime.clock import NS_PER_S, iso_from_ns, ns_from_s
from seisedge.runtime.detection.inspection import flag_remarks
from seisedge.runtime.engines import Engine
from seisedge.runtime.event import MagnitudeEstimate, Quality, WindowInfo
from seisedge.runtime.inference.amplitude import largest_closed, least_magnitude, with_least_magnitude
from seisedge.runtime.inference.estimate import DECIMALS, NOISE, combined_type, magnitude_estimate, type_answer
from seisedge.runtime.inference.infer import Meter, Models, infer, model_units_per_count
from seisedge.runtime.inference.windows import Window, cut_window, grid_of, span_of_window, start_of_window
from seisedge.runtime.records.packet import RecordFlag
from seisedge.runtime.station.examination import TELESEISM, Examiner
from seisedge.runtime.station.sensors import Sensors
from seisedge.runtime.station.triggered_event import TriggeredEvent
from seisedge.runtime.timeline.timeline import Timeline
from seisedge.runtime.timeline.track import GridSpec

MIN_ANSWER_S = 1.0  # a window cut shorter than this by the next event is not classified


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

    def estimate(self, event: TriggeredEvent, answer_s: float, cut_ns: int, meter: Meter) -> None:
        """Update type, magnitude and remarks with the data up to `cut_ns`.

        Where these data do not suffice for a model, its earlier estimate is kept.
        """
        self._examine(event, answer_s, cut_ns)
        type_engine, magnitude_engine = self._models.event_type, self._models.magnitude
        if type_engine is not None:
            probabilities = self._probabilities(event, type_engine, answer_s, cut_ns, meter)
            if probabilities is not None:
                length_s = (min(event.onset.time_ns + ns_from_s(answer_s), cut_ns) - event.onset.time_ns) / NS_PER_S
                sound_s = length_s * (event.window.coverage if event.window is not None else 1.0)
                event.type_answers.append(type_answer(answer_s, sound_s, probabilities, clipped=event.clipped))
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
        probabilities = None if given is None else _run(event, engine, *given, meter)
        if given is None or probabilities is None:
            return
        apart_m = self._channels.apart_m(event.onset.time_ns) if event.sensors else 0.0
        calibrated = self._channels.at(event.onset.time_ns).calibrated and not apart_m
        if calibrated:
            probabilities = _not_below_amplitude(engine.card, *given, probabilities)
        event.magnitude = magnitude_estimate(engine.card, engine.sha256, probabilities, calibrated=calibrated)
        if not calibrated:
            reason = "no sensitivity and no station correction: the magnitude bin is provisional"
            if apart_m:
                reason = f"the accelerometer is {apart_m:g} m above or below the seismometer: the bin is provisional"
            event.remarks[engine.card.task].append(Quality(code="uncalibrated", reason=reason))
        elif None in event.magnitude.bin:
            reason = f"the magnitude is {event.magnitude.label}, outside the model's bins: no value"
            event.remarks[engine.card.task].append(Quality(code="out_of_range", reason=reason))

    def _probabilities(
        self, event: TriggeredEvent, engine: Engine, answer_s: float, cut_ns: int, meter: Meter
    ) -> npt.NDArray[np.float32] | None:
        """Output of a model (n_labels,); None, with a remark, where the data do not suffice for it."""
        given = self._input(event, engine, answer_s, cut_ns)
        return None if given is None else _run(event, engine, *given, meter)

    def _input(
        self, event: TriggeredEvent, engine: Engine, answer_s: float, cut_ns: int
    ) -> tuple[Window, npt.NDArray[np.float64]] | None:
        """Window of a model, and the factors (3,) from counts to its unit; None, with a remark, where the data do not
        suffice for it.
        """
        card = engine.card
        remarks = event.remarks[card.task] = []
        start_ns = start_of_window(card, event.onset.time_ns)
        end_ns = min(event.onset.time_ns + ns_from_s(answer_s), cut_ns)
        timeline = self._timelines.get(grid_of(card))
        window = inspection = None
        if timeline is not None:
            k0, k1 = span_of_window(timeline, card, start_ns, end_ns)
            inspection = self._examiner.inspect(timeline, k0, k1, timeline.k_at(event.onset.time_ns))
            window = cut_window(timeline, card, start_ns, end_ns, inspection.mask, inspection.second)
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
        scale = self._channels.at(event.onset.time_ns)
        units_per_count = model_units_per_count(card, scale.polarity, scale.metres_per_count)
        if not window.valid[np.isfinite(units_per_count)].any():
            remarks.append(Quality(code="insufficient", reason=f"no component with a gain has samples for {card.name}"))
            return None
        return window, units_per_count


def _run(
    event: TriggeredEvent, engine: Engine, window: Window, units_per_count: npt.NDArray[np.float64], meter: Meter
) -> npt.NDArray[np.float32] | None:
    """Output of a model (n_labels,); None, with a remark, where it is none."""
    probabilities = infer(engine, window, units_per_count, meter)
    if probabilities is None:
        reason = f"{engine.card.name} gave values that are no probabilities"
        event.remarks[engine.card.task].append(Quality(code="insufficient", reason=reason))
    return probabilities


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
