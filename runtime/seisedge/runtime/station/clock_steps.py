"""Clock steps: whether times far from the previous ones are accepted, and what happens to such packets meanwhile.

A digitizer without its time reference sends times that are an hour or a year wrong, for one record, for a while or for
ever. A network outage, an archive of single events, or a server that sends old records again look much the same. A
single packet therefore decides nothing: packets with far times are held until others confirm them. Only data time
counts.

- A packet is *ahead* if it begins more than `max_wait_s` after the newest one ends. Its time is accepted with the next
  packet that confirms it, unless a packet with a present time came in between, or with a packet that is farther ahead.
- A packet is *behind* if it ends more than `max_wait_s` before the newest one begins: too late for the timeline.
  If no packet had its time before (it lies in a stretch that a step ahead left out, or before the first packet), the
  clock has been corrected as soon as every live component is behind, or `max_wait_s` of data are. If packets had its
  time before, every live component must be behind for `max_wait_s` of data. Then a new timeline begins with the
  packets held.
- Times that are not confirmed within `max_wait_s` are given up: packets ahead are discarded as strays, packets behind
  are late. The same holds for repetitions, which are more data than fit between their times. A component given up in
  this way is not held again until it has a present time, or a step is accepted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from seisedge.runtime.clock import ns_from_s
from seisedge.runtime.counters import StationCounters
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.timeline.joined import Joined, first_start_ns, lag_ns, newest_start_ns

AGREE_S = 600.0  # packets held agree with each other if their starts are no further apart
_AGREE_NS = ns_from_s(AGREE_S)
LONGEST_RECORD_S = 480.0  # a longer record counts as one of this length: what it states may be false
_LONGEST_NS = ns_from_s(LONGEST_RECORD_S)
MAX_STRETCHES = 32  # earlier stretches of time that are remembered
MAX_HELD = 8  # times the longest stretch of one component: enough for three components, each sent twice


class ClockStepsState(msgspec.Struct, frozen=True):
    """State between two packets while none is held.

    first_ns: first start in the present stretch of time. starts: newest start in it, by component.
    known: earlier stretches, [first start, newest start]. astray: components whose far times were given up.
    end_ns: newest end in the present stretch.
    """

    first_ns: int | None = None
    starts: dict[str, int] = {}
    known: list[tuple[int, int]] = msgspec.field(default_factory=list, name="heard")
    astray: list[str] = []
    end_ns: int = 0


@dataclass(frozen=True, slots=True)
class Admitted:
    """A packet to be processed now. set_back: it begins a new timeline, because the clock was set back."""

    component: str
    packet: Packet
    set_back: bool = False


class ClockSteps:
    """Admits the packets of one station in order of arrival. max_wait_s: the timeline's, in data time."""

    def __init__(self, max_wait_s: float, counters: StationCounters) -> None:
        self._counters = counters
        self._max_wait_ns = ns_from_s(max_wait_s)
        self._first_ns: int | None = None  # first start in the present stretch
        self._newest_ns = 0  # newest start in it
        self._end_ns = 0  # newest end in it
        self._starts: dict[str, int] = {}  # newest start in it, by component
        self._known: list[tuple[int, int]] = []
        self._astray: set[str] = set()
        self._held: list[tuple[str, Packet]] = []
        self._held_data_ns = self._held_longest_ns = 0  # length of the packets held: sum and longest
        self._held_low_ns = self._held_high_ns = 0  # their first and newest start
        self._ahead = False  # the packets held are ahead; else they are behind
        self._held_at_ns = 0  # the newest start when the first of them was held
        self._far = 0  # number of far packets since the last one with a present time

    @property
    def holding(self) -> bool:
        """True while packets are held until later ones decide."""
        return bool(self._held)

    def state(self) -> ClockStepsState:
        """The state without the packets held."""
        return ClockStepsState(
            self._first_ns, dict(self._starts), list(self._known), sorted(self._astray), self._end_ns
        )

    def restore(self, state: ClockStepsState) -> None:
        """Resume from `state`."""
        self._first_ns, self._starts = state.first_ns, dict(state.starts)
        self._newest_ns, self._end_ns = max(state.starts.values(), default=0), state.end_ns
        self._known, self._astray = [(a, b) for a, b in state.known], set(state.astray)

    def passes(self, component: str, packet: Packet) -> bool:
        """True for a packet with a present time while none is held: process it at once. Else call `admit`."""
        if self._held or self._astray or self._first_ns is None:
            return False
        if packet.starttime_ns < self._newest_ns - self._max_wait_ns or self._is_ahead(packet):
            return False
        self._far = 0
        self._record(component, packet)
        return True

    def joins(self, runs: Sequence[Joined]) -> bool:
        """True if `passes` would be True for each of these packets; see `Joined`.

        Of packets in turn, each begins where an earlier one ends, and only the first ones may be ahead; of others the
        order of the channels is unknown.
        """
        if self._held or self._astray or self._first_ns is None:
            return False
        late_ns = lag_ns(runs)
        if late_ns is not None and late_ns > self._max_wait_ns:
            return False
        newest_ns = newest_start_ns(runs) if late_ns is None else max(run.starts_ns[0] for run in runs)
        newest_ns = max(newest_ns, self._newest_ns)
        if first_start_ns(runs) < newest_ns - self._max_wait_ns or newest_ns - self._end_ns > self._max_wait_ns:
            return False
        return all(
            run.starts_ns[0] > self._starts.get(run.component, 0) and run.longest_ns <= _LONGEST_NS for run in runs
        )

    def join(self, runs: Sequence[Joined]) -> None:
        """As `passes` for each packet; `joins` must be True."""
        self._far = 0
        for run in runs:
            self._starts[run.component] = run.starts_ns[-1]
            self._newest_ns = max(self._newest_ns, run.starts_ns[-1])
            self._end_ns = max(self._end_ns, run.end_ns)

    def admit(self, component: str, packet: Packet) -> list[Admitted]:
        """The packets to be processed after the arrival of this one, in order."""
        if self._first_ns is None:
            self._record(component, packet)
            return [Admitted(component, packet)]
        newest_ns = self._newest_ns
        ahead = self._is_ahead(packet)
        if not ahead and newest_ns - packet.endtime_ns <= self._max_wait_ns:
            self._far = 0
            self._astray.discard(component)
            self._record(component, packet)
            taken = [Admitted(component, packet)]
            if self._held and self._newest_ns - self._held_at_ns > self._max_wait_ns:
                taken += self._give_up()
            return taken
        self._far += 1
        if component in self._astray:
            self._counters.stray_packets += ahead
            return [] if ahead else [Admitted(component, packet)]
        taken = []
        if self._held and not self._agrees(packet, ahead):
            onward = ahead and self._ahead and packet.starttime_ns > self._held[-1][1].starttime_ns
            taken = self._accept() if onward else self._give_up(astray=False)
        if not self._held:
            self._ahead, self._held_at_ns = ahead, newest_ns
        self._hold(component, packet)
        if self._confirmed():
            taken += self._accept()
        elif self._span_ns() > self._max_wait_ns or self._repeats():
            taken += self._give_up()
        return taken

    def finish(self) -> list[Admitted]:
        """No more packets will come: admit those held, ahead with their times, behind as late packets."""
        return self._accept() if self._ahead else self._give_up()

    def _record(self, component: str, packet: Packet) -> None:
        start_ns = packet.starttime_ns
        if self._first_ns is None:
            self._first_ns = self._newest_ns = self._end_ns = start_ns
        self._end_ns = max(self._end_ns, min(packet.endtime_ns, start_ns + _LONGEST_NS))
        if start_ns > self._starts.get(component, 0):
            self._starts[component] = start_ns
            self._newest_ns = max(self._newest_ns, start_ns)
        elif start_ns < self._first_ns:
            self._first_ns = start_ns

    def _is_ahead(self, packet: Packet) -> bool:
        return packet.starttime_ns - self._end_ns > self._max_wait_ns

    def _agrees(self, packet: Packet, ahead: bool) -> bool:
        off_ns = packet.starttime_ns - self._held[-1][1].starttime_ns
        return ahead == self._ahead and abs(off_ns) <= _AGREE_NS

    def _hold(self, component: str, packet: Packet) -> None:
        start_ns, length_ns = packet.starttime_ns, packet.endtime_ns - packet.starttime_ns
        if not self._held:
            self._held_low_ns = self._held_high_ns = start_ns
            self._held_data_ns = self._held_longest_ns = 0
        self._held.append((component, packet))
        self._held_low_ns = min(self._held_low_ns, start_ns)
        self._held_high_ns = max(self._held_high_ns, start_ns)
        self._held_data_ns += length_ns
        self._held_longest_ns = max(self._held_longest_ns, length_ns)

    def _span_ns(self) -> int:
        return self._held_high_ns - self._held_low_ns

    def _repeats(self) -> bool:
        return self._held_data_ns > MAX_HELD * (self._max_wait_ns + self._held_longest_ns)

    def _confirmed(self) -> bool:
        if self._ahead:
            return self._far >= 2 and len(self._held) >= 2
        if self._far < len(self._held) or len(self._held) < 2:
            return False  # packets with present times came in between, or none confirms the time yet
        live = {c for c, start_ns in self._starts.items() if self._newest_ns - start_ns <= self._max_wait_ns}
        long = self._span_ns() >= self._max_wait_ns
        known = self._is_known(self._held[-1][1].starttime_ns)
        if known and not long:
            return False
        whole = live <= {component for component, _ in self._held}
        return whole if known else whole or long

    def _is_known(self, time_ns: int) -> bool:
        assert self._first_ns is not None
        present = (self._first_ns, self._newest_ns)
        return any(first_ns <= time_ns <= last_ns for first_ns, last_ns in [*self._known, present])

    def _accept(self) -> list[Admitted]:
        """Accept the times of the packets held as the present."""
        held, self._held = self._held, []
        if not held:
            return []
        assert self._first_ns is not None
        self._known = [*self._known, (self._first_ns, self._newest_ns)][-MAX_STRETCHES:]
        self._first_ns = None
        self._starts.clear()
        self._astray.clear()
        self._far = 0
        set_back = not self._ahead
        taken = []
        for component, packet in held:
            self._record(component, packet)
            taken.append(Admitted(component, packet, set_back))
            set_back = False
        return taken

    def _give_up(self, *, astray: bool = True) -> list[Admitted]:
        held, self._held = self._held, []
        if astray:
            self._astray |= {component for component, _ in held}
        if self._ahead:
            self._counters.stray_packets += len(held)
            return []
        return [Admitted(component, packet) for component, packet in held]
