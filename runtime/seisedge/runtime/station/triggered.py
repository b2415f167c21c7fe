"""Triggered mode: onsets become events, events answer as their window fills.

Everything is decided in the order of the sample clock: an answer is due at the trigger hop that has seen its last
sample, and sees the onsets found up to that hop and no others. So it does not matter how much arrived at once.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec
import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S, iso_from_ns, ns_from_s
from seisedge.runtime.config import StationConfig
from seisedge.runtime.detection.inspection import BEFORE_S, Artefact, flag_remarks
from seisedge.runtime.detection.trigger import HOP_N, ONSET_SEARCH_HOPS, TRIGGER_GRID, Onset, Trigger, TriggerState
from seisedge.runtime.engines import Engine
from seisedge.runtime.event import MagnitudeEstimate, Quality, Status, TriggerInfo, TypeEstimate, WindowInfo
from seisedge.runtime.inference.estimate import DECIMALS, NOISE, magnitude_estimate, type_estimate
from seisedge.runtime.inference.infer import Meter, Models, infer, unit_scale
from seisedge.runtime.inference.windows import cut_window, grid_of, span_of_window, start_of_window
from seisedge.runtime.records.packet import RecordFlag
from seisedge.runtime.station.channels import Channels
from seisedge.runtime.station.draft import EventDraft, StationCounters
from seisedge.runtime.station.examination import LEAD_S, TELESEISM, Examiner
from seisedge.runtime.timeline.timeline import Timeline
from seisedge.runtime.timeline.track import GridSpec

OVERLAP_GUARD_S = 0.5  # an earlier window ends this long before the next onset
MIN_ANSWER_S = 1.0  # of an event cut short by the next one; less carries no answer


@dataclass(slots=True)
class Life:
    """One event from its onset to its last answer."""

    onset: Onset
    id: str
    answers: list[float]  # those still to come, seconds after the onset
    shown: bool = False
    suppressed: bool = False  # the last answer was confident noise
    revision: int = 0
    seen_ns: int = 0  # end of the data in the last answer
    event_type: TypeEstimate | None = None
    magnitude: MagnitudeEstimate | None = None
    window: WindowInfo | None = None
    remarks: dict[str, list[Quality]] = field(default_factory=dict)  # by what they are about
    questionable: bool = False
    suspect: Artefact | None = None  # the trigger went on because of bad samples, as far as was known then
    clipped: bool = False
    teleseism: bool = False


class TriggeredState(msgspec.Struct, frozen=True):
    """Everything but the samples. due: hop, order of creation, and place in `lives` of each answer to come."""

    trigger: TriggerState
    found: list[Onset]
    lives: list[Life]
    due: list[tuple[int, int, int]]
    created: int


def event_id(station_id: str, onset_ns: int) -> str:
    """Deterministic: station and onset, to the millisecond."""
    stamp = iso_from_ns(onset_ns)[:-4].replace("-", "").replace(":", "")
    return f"{station_id}-{stamp}"


class TriggeredMode:
    """Turns what the timelines hold into drafts of events."""

    def __init__(
        self,
        station_id: str,
        config: StationConfig,
        models: Models,
        channels: Channels,
        trigger: Trigger,
        timelines: dict[GridSpec, Timeline],
        counters: StationCounters,
        drops: Callable[[], bool] = lambda: False,
    ) -> None:
        """drops: asked before a window is looked at; True: leave it out, the run is behind a live stream."""
        self._station_id = station_id
        self._config = config
        self._models = models
        self._channels = channels
        self._trigger = trigger
        self._timelines = timelines  # of the models whose band this station carries
        self._counters = counters
        self._drops = drops
        self._answers = sorted({a for engine in models.engines for a in engine.card.answers_s})
        self._found: list[Onset] = []
        self._due: list[tuple[int, int, Life]] = []  # hop, order of creation, event
        self._lives: list[Life] = []  # in order of onset; those that may still matter to a window
        self._created = 0
        self._examiner = Examiner(models, trigger, timelines)

    def state(self) -> TriggeredState:
        """To be written out before the next step: the lives in it are those in use."""
        place = {id(life): k for k, life in enumerate(self._lives)}
        due = [(hop, order, place[id(life)]) for hop, order, life in self._due]
        return TriggeredState(self._trigger.state(), list(self._found), list(self._lives), due, self._created)

    def restore(self, state: TriggeredState) -> None:
        """Go on from `state`; the samples from `needed_ns` on must be given again."""
        self._trigger.restore(state.trigger)
        self._found, self._lives, self._created = list(state.found), list(state.lives), state.created
        self._due = [(hop, order, self._lives[k]) for hop, order, k in state.due]
        heapq.heapify(self._due)

    @property
    def needed_ns(self) -> int | None:
        """Time of the oldest sample an answer still to come may look at; None where that is not known."""
        scanned, remembered_ns = self._trigger.scanned_hop, self._trigger.needed_ns
        if scanned is None or remembered_ns is None:
            return None
        search_ns = ns_from_s((ONSET_SEARCH_HOPS + 1) * HOP_N / TRIGGER_GRID.rate_hz)
        onsets = [self._trigger.time_of_hop(scanned) - search_ns]  # of an event that is yet to be found
        onsets += [onset.time_ns for onset in self._found]
        onsets += [life.onset.time_ns for _, _, life in self._due]
        before_s = max(engine.card.onset_s for engine in self._models.engines)
        before_ns = ns_from_s(max(max(before_s, LEAD_S) + BEFORE_S, self._trigger.reach_s))
        return min(min(onsets) - before_ns, remembered_ns)

    def step(self, *, ended: bool = False) -> Iterator[EventDraft]:
        """Everything that is due; `ended`: no more samples will come, what is open is closed with what there is."""
        self._found += self._trigger.scan()
        scanned = self._trigger.scanned_hop
        if scanned is None:
            return
        while self._found or self._due:
            hop = self._due[0][0] if self._due else None
            if self._found and (hop is None or self._found[0].hop <= hop):
                self._open(self._found.pop(0))
            elif hop is not None and (ended or (hop <= scanned and self._ready(hop))):
                _, _, life = heapq.heappop(self._due)
                draft = self._answer(life)
                if draft is not None:
                    yield draft
            else:
                break

    def _ready(self, hop: int) -> bool:
        time_ns = self._trigger.time_of_hop(hop)
        return all(t.ready_k >= t.k_at(time_ns) for t in self._timelines.values())

    def _open(self, onset: Onset) -> None:
        self._counters.triggers += 1
        separation_ns = ns_from_s(self._config.events.min_event_separation_s)
        newest = self._lives[-1] if self._lives else None
        if newest and newest.suspect is None and not newest.seen_ns and newest.answers:
            # what follows a spike is not part of it; a strong one is heard before it is there
            newest.suspect = self._examiner.artefact_at(newest.onset, onset.hop)
            newest.suppressed |= newest.suspect is not None
        if newest and newest.suspect is None and onset.time_ns - newest.onset.time_ns < separation_ns:
            self._counters.retriggers += 1
            return
        suspect = self._examiner.artefact_at(onset, onset.hop)
        life = Life(
            onset,
            event_id(self._station_id, onset.time_ns),
            list(self._answers),
            suspect=suspect,
            suppressed=suspect is not None,
        )
        self._lives.append(life)
        self._push(life)

    def _push(self, life: Life) -> None:
        answer_ns = life.onset.time_ns + ns_from_s(life.answers[0])
        # an onset is known a little after it began: an answer never comes before its own trigger
        hop = max(self._trigger.hop_after(answer_ns), life.onset.hop)
        heapq.heappush(self._due, (hop, self._created, life))
        self._created += 1

    def _answer(self, life: Life) -> EventDraft | None:
        answer_s = life.answers.pop(0)
        last = not life.answers
        end_ns = life.onset.time_ns + ns_from_s(answer_s)
        cut_ns = self._cut_before_next(life, end_ns)
        if not life.seen_ns and self._is_artefact(life, answer_s):
            life.suppressed, life.answers = True, []
            self._forget()
            return None
        meter = Meter()
        if cut_ns > life.seen_ns and self._drops():
            self._drop(life, answer_s)
        elif cut_ns > life.seen_ns:
            life.remarks.pop("dropped", None)
            self._estimate(life, answer_s, cut_ns, meter)
            life.seen_ns = cut_ns
        self._counters.inferences += meter.inferences
        noise = life.event_type is not None and (
            life.event_type.label == NOISE and life.event_type.probability >= self._config.events.noise_threshold
        )
        status: Status | None = None
        if noise:
            self._counters.noise_answers += 1
            if life.shown:
                status, last = "retracted", True
                life.answers = []
        elif last:
            status = "final"
        elif meter.inferences or not life.shown:
            status = "update" if life.shown else "new"
        life.suppressed = noise
        if life.window is None:  # every window so far was dropped
            status = None
            self._counters.dropped_events += last
        if not last:
            self._push(life)
        elif not life.shown and noise:
            self._counters.noise_events += 1
        self._forget()
        if status is None:
            return None
        assert life.window is not None
        draft = EventDraft(
            id=life.id,
            revision=life.revision,
            status=status,
            station=self._station_id,
            onset=iso_from_ns(life.onset.time_ns),
            trigger=TriggerInfo(kind="sta_lta", snr=life.onset.snr),
            event_type=life.event_type,
            magnitude=life.magnitude,
            window=life.window,
            overlaps=self._overlaps(life, end_ns),
            timing="questionable" if life.questionable else "ok",
            quality=_merged(life.remarks) or [Quality(code="ok", reason="nothing to remark")],
            last_sample_ns=end_ns,
            meter=meter,
        )
        if not life.shown:
            self._counters.events += 1
        life.shown = True
        life.revision += 1
        return draft

    def _is_artefact(self, life: Life, answer_s: float) -> bool:
        """True where a spike, a step or a calibration is all there is; asked at the first answer."""
        separation_ns = ns_from_s(self._config.events.min_event_separation_s)
        followed = any(0 < o.onset.time_ns - life.onset.time_ns < separation_ns for o in self._lives)
        kind = self._examiner.artefact_until(life.onset, answer_s)
        if life.suspect is not None and followed:
            kind = life.suspect
        life.suspect, life.suppressed = kind, False
        if kind is not None:
            self._counters.spike_triggers += kind == "spike"
            self._counters.step_triggers += kind == "step"
            return True
        if not self._examiner.is_calibration(life.onset, answer_s):
            return False
        self._counters.calibration_triggers += 1
        return True

    def _examine(self, life: Life, answer_s: float, cut_ns: int) -> None:
        """What speaks against an amplitude stays with the event."""
        seen = self._examiner.examine(life.onset, min(life.onset.time_ns + ns_from_s(answer_s), cut_ns))
        life.clipped |= seen.clipped
        life.teleseism |= seen.teleseism
        life.remarks["unsound"] = list(seen.remarks)
        if life.teleseism:
            life.remarks["unsound"].append(TELESEISM)

    def _drop(self, life: Life, answer_s: float) -> None:
        """Leave out a window; what the event knows from an earlier one stands."""
        self._counters.dropped_windows += 1
        reason = f"the station was behind the stream: the data up to +{answer_s:g} s were not looked at"
        life.remarks["dropped"] = [Quality(code="dropped", reason=reason)]

    def _cut_before_next(self, life: Life, end_ns: int) -> int:
        """Where the data of an answer end: a later event that was not called noise has its own window."""
        for other in self._lives:
            if other.onset.time_ns > life.onset.time_ns and not other.suppressed:
                return min(end_ns, other.onset.time_ns - ns_from_s(OVERLAP_GUARD_S))
        return end_ns

    def _overlaps(self, life: Life, end_ns: int) -> list[str]:
        start_ns = life.onset.time_ns - ns_from_s(max(e.card.onset_s for e in self._models.engines))
        return [
            other.id
            for other in self._lives
            if other is not life and not other.suppressed and start_ns < other.onset.time_ns < end_ns
        ]

    def _estimate(self, life: Life, answer_s: float, cut_ns: int, meter: Meter) -> None:
        """Ask the models; where the new data do not carry an answer, the earlier one stands."""
        seconds = (cut_ns - life.onset.time_ns) / NS_PER_S
        if seconds < answer_s:
            reason = f"the next event begins {seconds + OVERLAP_GUARD_S:.1f} s after this one"
            life.remarks["overlap"] = [Quality(code="overlap", reason=reason)]
        self._examine(life, answer_s, cut_ns)
        type_engine, magnitude_engine = self._models.event_type, self._models.magnitude
        if type_engine is not None:
            shares = self._ask(life, type_engine, answer_s, cut_ns, meter)
            if shares is not None:
                life.event_type = type_estimate(type_engine.card, type_engine.sha256, shares)
        if magnitude_engine is None:
            return
        noise = life.event_type is not None and life.event_type.label == NOISE
        if noise or life.clipped or life.teleseism:
            life.magnitude = None
            life.remarks.pop("magnitude", None)
            return
        within_s = min(answer_s, magnitude_engine.card.answers_s[-1])
        if life.magnitude is not None and life.onset.time_ns + ns_from_s(within_s) <= life.seen_ns:
            return  # this model has seen all it was made for
        shares = self._ask(life, magnitude_engine, within_s, cut_ns, meter)
        if shares is not None:
            self._magnitude(life, magnitude_engine, shares)

    def _magnitude(self, life: Life, engine: Engine, shares: npt.NDArray[np.float32]) -> None:
        calibrated = self._channels.at(life.onset.time_ns).calibrated
        life.magnitude = magnitude_estimate(engine.card, engine.sha256, shares, calibrated=calibrated)
        if not calibrated:
            reason = "no sensitivity and no station correction: the magnitude bin is provisional"
            life.remarks[engine.card.task].append(Quality(code="uncalibrated", reason=reason))
        elif None in life.magnitude.bin:
            reason = f"the magnitude is {life.magnitude.label}, outside the model's bins: no value"
            life.remarks[engine.card.task].append(Quality(code="out_of_range", reason=reason))

    def _ask(
        self, life: Life, engine: Engine, answer_s: float, cut_ns: int, meter: Meter
    ) -> npt.NDArray[np.float32] | None:
        """Probabilities of a model, or None with a remark where it cannot be asked."""
        card = engine.card
        remarks = life.remarks[card.task] = []
        start_ns = start_of_window(card, life.onset.time_ns)
        end_ns = min(life.onset.time_ns + ns_from_s(answer_s), cut_ns)
        timeline = self._timelines.get(grid_of(card))
        window = None
        if timeline is not None:
            k0, k1 = span_of_window(timeline, card, start_ns, end_ns)
            seen = self._examiner.inspect(timeline, k0, k1, timeline.k_at(life.onset.time_ns))
            window = cut_window(timeline, card, start_ns, end_ns, seen.mask)
        if engine is self._models.engines[0]:
            life.window = WindowInfo(
                start=iso_from_ns(window.start_ns if window else start_ns),
                length_s=round(window.span_s if window else (end_ns - start_ns) / NS_PER_S, 3),
                answer_s=answer_s,
                coverage=round(window.coverage, DECIMALS) if window else 0.0,
                gaps=window.gaps if window else 0,
            )
        if timeline is None or window is None:
            reason = f"the channels do not carry the band of {card.name}, up to {card.band_hz[1]:g} Hz"
            remarks.append(Quality(code="band", reason=reason))
            return None
        flags = timeline.flags_between(start_ns, end_ns)
        life.questionable |= bool(flags & (RecordFlag.TIME_QUESTIONABLE | RecordFlag.CLOCK_UNLOCKED))
        remarks += flag_remarks(flags)
        if end_ns - life.onset.time_ns < ns_from_s(MIN_ANSWER_S):
            reason = f"less than {MIN_ANSWER_S:g} s before the next event"
            remarks.append(Quality(code="insufficient", reason=reason))
            return None
        if window.coverage < card.min_coverage:
            reason = f"{window.coverage:.0%} of the samples are there, {card.name} needs {card.min_coverage:.0%}"
            remarks.append(Quality(code="insufficient", reason=reason))
            return None
        meaning = self._channels.at(life.onset.time_ns)
        scale = unit_scale(card, meaning.polarity, meaning.metres_per_count)
        if not window.valid[np.isfinite(scale)].any():
            remarks.append(Quality(code="insufficient", reason=f"no component with a gain has samples for {card.name}"))
            return None
        return infer(engine, window, scale, meter)

    def _forget(self) -> None:
        """Drop ended events, but the newest: re-triggers are measured from it."""
        open_from = min((life.onset.time_ns for _, _, life in self._due), default=None)
        reach_ns = ns_from_s(max(engine.card.window_s for engine in self._models.engines))
        self._lives = [
            life
            for life in self._lives
            if life.answers
            or life is self._lives[-1]
            or (open_from is not None and life.onset.time_ns > open_from - reach_ns)
        ]


def _merged(remarks: dict[str, list[Quality]]) -> list[Quality]:
    """All remarks, each once, in the order of the models."""
    return list(dict.fromkeys(remark for part in remarks.values() for remark in part))
