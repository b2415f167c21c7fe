"""Event life: each onset opens an event, and the event is answered again as its window fills. The same in both modes.

All decisions follow the sample clock: an answer belongs to the first hop that begins at or after its end, and takes
into account the onsets that are known with that hop and no later ones. The result therefore does not depend on how much
data arrives at once.

An S onset opens no event: it is the S pick of the newest event whose P began `MIN_S_MINUS_P_S` to `MAX_S_MINUS_P_S`
before it.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator

import msgspec

from seisedge.runtime.clock import NS_PER_S, ns_from_s
from seisedge.runtime.config import StationConfig, TriggerKind
from seisedge.runtime.counters import StationCounters
from seisedge.runtime.detection.inspection import BEFORE_S
from seisedge.runtime.detection.opener import NoisePart, Onset, Opener, OpenerState
from seisedge.runtime.event import Hop, Quality, Status, event_id
from seisedge.runtime.inference.estimate import is_suppressed, with_detector
from seisedge.runtime.inference.infer import Meter, Models
from seisedge.runtime.station.draft import Draft
from seisedge.runtime.station.event_estimator import EventEstimator, Expected
from seisedge.runtime.station.examination import LEAD_S, Examiner
from seisedge.runtime.station.hop_lines import HopLines
from seisedge.runtime.station.sensors import Sensors
from seisedge.runtime.station.triggered_event import TriggeredEvent
from seisedge.runtime.timeline.timeline import Timeline
from seisedge.runtime.timeline.track import GridSpec

OVERLAP_GUARD_S = 0.5  # the window of an earlier event ends this long before the next onset
SAME_S_S = 1.0  # two S onsets this close can be of one earthquake
MIN_S_MINUS_P_S, MAX_S_MINUS_P_S = 0.3, 30.0  # at a distance of 2.5 km and of 250 km
HEARD_S = 6.0  # the noise so long after an onset counts
NEVER = 2**62  # a hop after all others


class TriggeredState(msgspec.Struct, frozen=True):
    """State without samples. due: of each answer to come its hop, order of creation, and index into `events`."""

    trigger: OpenerState
    onsets: list[Onset] = msgspec.field(name="found")
    events: list[TriggeredEvent] = msgspec.field(name="lives")
    due: list[tuple[int, int, int]]
    created: int
    hop_lines: list[tuple[int, int, Hop]] = []  # hop, time of the newest sample, line; wait for an earlier answer
    noise: list[NoisePart] = []


class TriggeredMode:
    """Turns the onsets of an opener into drafts of event lines; in continuous mode also those of the hop lines."""

    def __init__(  # noqa: PLR0913 - independent inputs, each used as it is
        self,
        station_id: str,
        config: StationConfig,
        models: Models,
        channels: Sensors,
        opener: Opener,
        timelines: dict[GridSpec, Timeline],
        counters: StationCounters,
        drops: Callable[[], bool],
        hop_lines: HopLines | None = None,
    ) -> None:
        """timelines: of the models whose band this station's channels carry. hop_lines: of continuous mode.

        drops: called before a window is analysed; True: skip the window, the run is behind a live stream.
        """
        self._station_id = station_id
        self._config = config
        self._models = models
        self._channels = channels
        self._opener = opener
        self._hop_lines = hop_lines
        self._lines: deque[tuple[int, Draft]] = deque()  # hop lines in order, with the hop after which they are due
        self._timelines = timelines
        self._counters = counters
        self._drops = drops
        self._answers = sorted({a for engine in models.window_engines for a in engine.card.answers_s})
        self._noise: list[NoisePart] = []  # that answers to come may use
        self._onsets: list[Onset] = []  # detected, not yet opened as events
        self._due: list[tuple[int, int, TriggeredEvent]] = []  # heap: hop, order of creation, event
        self._events: list[TriggeredEvent] = []  # in order of onset; those that may still affect a window
        self._created = 0
        self._ended = self._foreseen = False  # of the present step: the last one; its answers were expected
        self._examiner = Examiner(models, opener, timelines)
        self._estimator = EventEstimator(models, channels, timelines, self._examiner, config.models.prevalence)

    def state(self) -> TriggeredState:
        """Shares its events with this object: encode it before the next step."""
        index = {id(event): k for k, event in enumerate(self._events)}
        due = [(hop, order, index[id(event)]) for hop, order, event in self._due]
        lines = [(hop, draft.last_sample_ns, draft.line) for hop, draft in self._lines if isinstance(draft.line, Hop)]
        return TriggeredState(
            self._opener.state(), list(self._onsets), list(self._events), due, self._created, lines, list(self._noise)
        )

    def restore(self, state: TriggeredState) -> None:
        """Resume from `state`; the samples from `needed_ns` on must be supplied again."""
        self._opener.restore(state.trigger)
        self._lines = deque((hop, Draft(line, last_ns, Meter())) for hop, last_ns, line in state.hop_lines)
        self._onsets, self._events, self._created = list(state.onsets), list(state.events), state.created
        self._noise = list(state.noise)
        self._due = [(hop, order, self._events[k]) for hop, order, k in state.due]
        heapq.heapify(self._due)

    def rescale(self) -> None:
        """The scale of the samples on the timelines has changed."""
        self._opener.recompute()

    @property
    def needed_ns(self) -> int | None:
        """Time of the oldest sample that a future answer may use; None before the first scan."""
        earliest_ns, opener_needed_ns = self._opener.earliest_ns, self._opener.needed_ns
        if earliest_ns is None or opener_needed_ns is None:
            return None
        before_s = max(max(engine.card.onset_s for engine in self._models.window_engines), LEAD_S) + BEFORE_S
        unseen = [earliest_ns, *(onset.time_ns for onset in self._onsets)]
        unseen += [event.onset.time_ns for _, _, event in self._due if not event.seen_ns]
        needed = [opener_needed_ns, min(unseen) - ns_from_s(max(before_s, self._opener.reach_s))]
        # What opened an event is examined with its first answer, and not again.
        needed += [event.onset.time_ns - ns_from_s(before_s) for _, _, event in self._due if event.seen_ns]
        return min(needed)

    def step(self, *, ended: bool = False) -> Iterator[Draft]:
        """Yield all answers that are due. ended: no more samples will come; answer open events with those available."""
        self._onsets += self._opener.scan()
        self._noise += self._opener.noise()
        if self._hop_lines is not None:
            self._lines += self._hop_lines.take()
        if self._opener.scanned_hop is None:
            return
        self._estimator.begin_step()
        self._ended, self._foreseen = ended, False
        while self._onsets or self._due or self._lines:
            onset_hop = self._onsets[0].hop if self._onsets else NEVER
            line_hop = self._lines[0][0] if self._lines else NEVER
            due_hop = self._due[0][0] if self._due else NEVER
            if onset_hop <= min(line_hop, due_hop):
                self._take(self._onsets.pop(0))
            elif line_hop <= due_hop:
                yield self._lines.popleft()[1]
            elif ended or (self._opener.scanned_to(due_hop) and self._ready(due_hop)):
                hop, _, event = heapq.heappop(self._due)
                draft = self._answer(event, hop)
                if draft is not None:
                    yield draft
            else:
                break
        self._noise = self._usable_noise()

    def _expected(self, now: TriggeredEvent, answer_s: float) -> list[Expected]:
        """This answer and those of the rest of the step, if no event turns out to be noise and each onset opens one."""
        onsets = [
            (event.onset, event.seen_ns, [answer_s, *event.answers] if event is now else event.answers)
            for event in self._events
            if event is now or not event.suppressed
        ]
        for onset in self._onsets:
            if onset.phase == "P" and not (onsets and onset.time_ns - onsets[-1][0].time_ns < self._separation_ns):
                onsets.append((onset, 0, self._answers))
        found: list[Expected] = []
        for number, (onset, seen_ns, answers) in enumerate(onsets):
            later = [(other, other.time_ns - ns_from_s(OVERLAP_GUARD_S)) for other, _, _ in onsets[number + 1 :]]
            for answer_s in answers:
                end_ns = onset.time_ns + ns_from_s(answer_s)
                hop = max(self._opener.hop_after(end_ns), onset.hop)
                if not (self._ended or (self._opener.scanned_to(hop) and self._ready(hop))):
                    break
                end_ns = min([end_ns, *(guard_ns for other, guard_ns in later if other.hop <= hop)])
                if end_ns > seen_ns:
                    found.append(Expected(onset.time_ns, answer_s, end_ns))
                    seen_ns = end_ns
        return found

    def prepare(self) -> None:
        """Do in advance what the next answers need; it changes none of them."""
        for _, _, event in self._due:
            self._examiner.prepare(event.onset)

    def _ready(self, hop: int) -> bool:
        """True where the timelines of all models hold the samples before a hop."""
        time_ns = self._opener.time_of_hop(hop)
        return all(t.ready_k >= t.k_at(time_ns) for t in self._timelines.values())

    def _take(self, onset: Onset) -> None:
        if onset.phase == "P":
            self._open(onset)
            return
        for event in reversed(self._events):
            if onset.time_ns - event.onset.time_ns >= ns_from_s(MIN_S_MINUS_P_S):
                self._take_s(event, onset)
                return

    def _take_s(self, event: TriggeredEvent, onset: Onset) -> None:
        """Note an S onset with the event it belongs to.

        A later one replaces it only within `SAME_S_S`, if it is more probable: after that it is of another earthquake.
        """
        if event.suspect is not None or onset.time_ns - event.onset.time_ns > ns_from_s(MAX_S_MINUS_P_S):
            return
        first = event.s_onset
        if first is not None:
            more_probable = (onset.probability or 0.0) > (first.probability or 0.0)
            if not more_probable or onset.time_ns - first.time_ns > ns_from_s(SAME_S_S):
                return
        event.s_onset = onset

    def _open(self, onset: Onset) -> None:
        """Open an event, unless the onset belongs to the newest event."""
        self._counters.triggers += 1
        newest = self._events[-1] if self._events else None
        if newest and newest.suspect is None and not newest.seen_ns and newest.answers:
            # An onset after a spike is an event of its own; before a strong onset the filter rings and triggers early.
            newest.suspect = self._examiner.artefact_at(newest.onset, onset.hop)
            newest.suppressed |= newest.suspect is not None
        if newest and newest.suspect is None and onset.time_ns - newest.onset.time_ns < self._separation_ns:
            self._counters.retriggers += 1
            return
        suspect = self._examiner.artefact_at(onset, onset.hop)
        event = TriggeredEvent(
            onset,
            event_id(self._station_id, onset.time_ns),
            list(self._answers),
            suspect=suspect,
            suppressed=suspect is not None,
        )
        self._events.append(event)
        self._schedule(event)

    def _schedule(self, event: TriggeredEvent) -> None:
        """Put the next answer of an event on the heap."""
        answer_ns = event.onset.time_ns + ns_from_s(event.answers[0])
        # An onset is detected a little after it began, so an answer is never due before its own trigger.
        hop = max(self._opener.hop_after(answer_ns), event.onset.hop)
        heapq.heappush(self._due, (hop, self._created, event))
        self._created += 1

    def _answer(self, event: TriggeredEvent, hop: int) -> Draft | None:
        """Take the next answer of an event, which is due at a hop; None where nothing is to be emitted."""
        answer_s = event.answers.pop(0)
        end_ns = event.onset.time_ns + ns_from_s(answer_s)
        if not event.seen_ns and self._is_artefact(event, answer_s):
            event.suppressed, event.answers = True, []
            self._forget()
            return None
        meter = Meter()
        self._analyse(event, answer_s, end_ns, meter)
        self._hear(event, hop)
        status = self._status(event, inferred=meter.inferences > 0)
        overlaps = self._overlaps(event, end_ns)
        if event.answers:
            self._schedule(event)
        self._forget()
        if status is None:
            return None
        line = event.line(self._station_id, status, overlaps, self._opener.kind, self._channels.codes)
        if not event.shown:
            self._counters.events += 1
        event.shown = True
        event.revision += 1
        return Draft(line, end_ns, meter)

    def _analyse(self, event: TriggeredEvent, answer_s: float, end_ns: int, meter: Meter) -> None:
        """Run the models where the answer has data that the previous one had not, or skip the window."""
        cut_ns = self._cut_before_next(event, end_ns)
        if cut_ns <= event.seen_ns:
            return
        if self._drops():
            self._counters.dropped_windows += 1
            reason = f"the station was behind the stream: the data up to +{answer_s:g} s were not looked at"
            event.remarks["dropped"] = [Quality(code="dropped", reason=reason)]
            return
        event.remarks.pop("dropped", None)
        if cut_ns < end_ns:
            seconds = (cut_ns - event.onset.time_ns) / NS_PER_S
            reason = f"the next event begins {seconds + OVERLAP_GUARD_S:.1f} s after this one"
            event.remarks["overlap"] = [Quality(code="overlap", reason=reason)]
        if not self._foreseen:
            self._foreseen = True
            self._estimator.expect(self._expected(event, answer_s))
        self._estimator.estimate(event, answer_s, cut_ns, meter)
        event.seen_ns = cut_ns
        self._counters.inferences += meter.inferences

    def _hear(self, event: TriggeredEvent, hop: int) -> None:
        """Add what the onset detector has heard after the onset up to a hop to the type of an event that it opened."""
        if event.event_type is None or self._opener.kind != "onset":
            return
        noise = [n.probability for n in self._noise if n.hop <= hop and self._is_heard(n, event.onset.time_ns)]
        event.event_type = with_detector(event.event_type, event.onset.probability or 0.0, noise)

    def _is_heard(self, noise: NoisePart, onset_ns: int) -> bool:
        """True for a part that ends after an onset, and at most `HEARD_S` after it."""
        return 0 < noise.time_ns + ns_from_s(self._opener.noise_s) - onset_ns <= ns_from_s(HEARD_S)

    def _usable_noise(self) -> list[NoisePart]:
        """The noise that an answer to come can use: of an open event, of an onset, or of one yet to be found."""
        times_ns = [event.onset.time_ns for _, _, event in self._due] + [onset.time_ns for onset in self._onsets]
        earliest_ns = self._opener.earliest_ns
        assert earliest_ns is not None  # something was scanned
        since_ns = earliest_ns - ns_from_s(self._opener.noise_s)
        return [n for n in self._noise if n.time_ns > since_ns or any(self._is_heard(n, t) for t in times_ns)]

    def _status(self, event: TriggeredEvent, *, inferred: bool) -> Status | None:
        """Status of the next revision; None where none is to be emitted. Ends an event that is retracted."""
        noise = event.event_type is not None and is_suppressed(event.event_type, self._config.events, self._kind)
        noise = noise and not self._opener.unconditional
        event.suppressed = noise
        if noise:
            self._counters.noise_answers += 1
            if event.shown:
                event.answers = []
                self._counters.retracted_events += 1
                return "retracted"
            self._counters.noise_events += not event.answers
            return None
        if event.window is None:  # every window so far was skipped
            self._counters.dropped_events += not event.answers
            return None
        if not event.answers:
            return "final"
        if not event.shown:
            return "new"
        return "update" if inferred else None

    def _is_artefact(self, event: TriggeredEvent, answer_s: float) -> bool:
        """True where a spike, a step or a calibration alone caused the trigger; decided at the first answer."""
        if self._opener.unconditional:
            return False
        later_ns = [other.onset.time_ns - event.onset.time_ns for other in self._events]
        followed = any(0 < later < self._separation_ns for later in later_ns)
        kind = self._examiner.artefact_until(event.onset, answer_s)
        if event.suspect is not None and followed:
            kind = event.suspect
        event.suspect, event.suppressed = kind, False
        if kind is not None:
            self._counters.spike_triggers += kind == "spike"
            self._counters.step_triggers += kind == "step"
            return True
        if not self._examiner.is_calibration(event.onset, answer_s):
            return False
        self._counters.calibration_triggers += 1
        return True

    def _cut_before_next(self, event: TriggeredEvent, end_ns: int) -> int:
        """End of the data of an answer: a later event that was not classified as noise has a window of its own."""
        for other in self._events:
            if other.onset.time_ns > event.onset.time_ns and not other.suppressed:
                return min(end_ns, other.onset.time_ns - ns_from_s(OVERLAP_GUARD_S))
        return end_ns

    def _overlaps(self, event: TriggeredEvent, end_ns: int) -> list[str]:
        """Ids of the other events whose onset lies in the window of an answer."""
        start_ns = event.onset.time_ns - ns_from_s(max(e.card.onset_s for e in self._models.window_engines))
        return [
            other.id
            for other in self._events
            if other is not event and not other.suppressed and start_ns < other.onset.time_ns < end_ns
        ]

    def _forget(self) -> None:
        """Remove ended events that no window can overlap; the newest stays, for the minimum separation."""
        open_from = min((event.onset.time_ns for _, _, event in self._due), default=None)
        reach_ns = ns_from_s(max(engine.card.window_s for engine in self._models.window_engines))
        self._events = [
            event
            for event in self._events
            if event.answers
            or event is self._events[-1]
            or (open_from is not None and event.onset.time_ns > open_from - reach_ns)
        ]

    @property
    def _separation_ns(self) -> int:
        if self._opener.unconditional:
            return 0
        return ns_from_s(self._config.events.separation_s(self._kind))

    @property
    def _kind(self) -> TriggerKind:
        return "onset" if self._opener.kind == "onset" else "sta-lta"
