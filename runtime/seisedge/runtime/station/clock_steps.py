"""Clock steps: whether times far from those before are believed, and what becomes of the packets meanwhile.

A digitizer that loses its time reference says times that are an hour or a year off, for one record, for a while or for
good; a network outage, an archive of single events or a server that sends old records once more look much the same.
One packet alone therefore decides nothing. Far packets are held until others agree, by data time alone:

- *Ahead* is a packet that begins more than `FAR_S` after the newest one. It is believed with the next that agrees, if
  none of the present came between the two, or with one that is farther ahead still.
- *Behind* is a packet that ends more than `max_wait_s` before the newest one began: too late for the timeline. Where it
  says a time that was never heard (it lies in what a step ahead left out, or before the first packet), the clock has
  come back as soon as every live component is behind, or `max_wait_s` of data are. Where it says a time that was heard
  already, every live component must be behind for `max_wait_s` of data. Then a new timeline begins with what was held.
- What is not believed within `max_wait_s` is given up: packets ahead are strays and left out, packets behind are late.
  So is what repeats itself: more data than can lie between the times it says.
  A component given up so is not held again before it says a time of the present, or a step is believed.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from seisedge.runtime.clock import ns_from_s
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.station.draft import StationCounters

FAR_S = 600.0
_FAR_NS = ns_from_s(FAR_S)
MAX_STRETCHES = 32  # of times heard before the present; older ones count as never heard
MAX_HELD = 8  # times the longest stretch of one component that can be held: three components, each sent twice, and some


class ClockStepsState(msgspec.Struct, frozen=True):
    """Between two packets, with none held. heard: stretches [first start, newest start] before the present one."""

    first_ns: int | None = None
    starts: dict[str, int] = {}
    heard: list[tuple[int, int]] = []
    astray: list[str] = []


@dataclass(frozen=True, slots=True)
class Admitted:
    """A packet that is taken now; `turn`: it begins a new timeline, the clock went back."""

    component: str
    packet: Packet
    turn: bool = False


class ClockSteps:
    """Admits the packets of one station in the order of arrival. max_wait_s: of data, as the timeline waits."""

    def __init__(self, max_wait_s: float, counters: StationCounters) -> None:
        self._counters = counters
        self._max_wait_ns = ns_from_s(max_wait_s)
        self._first_ns: int | None = None  # of the present stretch
        self._newest_ns = 0  # newest start in it
        self._starts: dict[str, int] = {}  # newest start of each component in it
        self._heard: list[tuple[int, int]] = []
        self._astray: set[str] = set()
        self._held: list[tuple[str, Packet]] = []
        self._held_data_ns = self._held_low_ns = self._held_high_ns = self._held_longest_ns = 0  # of these; the starts
        self._ahead = False  # what is held is ahead; else behind
        self._held_at_ns = 0  # the newest start when the first one was held
        self._run = 0  # far packets since the last one of the present

    @property
    def holding(self) -> bool:
        """True while packets are held: their fate depends on what comes."""
        return bool(self._held)

    def state(self) -> ClockStepsState:
        """What there is but the packets held."""
        return ClockStepsState(self._first_ns, dict(self._starts), list(self._heard), sorted(self._astray))

    def restore(self, state: ClockStepsState) -> None:
        """Go on from `state`."""
        self._first_ns, self._starts = state.first_ns, dict(state.starts)
        self._newest_ns = max(state.starts.values(), default=0)
        self._heard, self._astray = [(a, b) for a, b in state.heard], set(state.astray)

    def passes(self, component: str, packet: Packet) -> bool:
        """True where the packet is taken at once: it is of the present, and none is held. Else ask `admit`."""
        if self._held or self._astray or self._first_ns is None:
            return False
        if not -self._max_wait_ns <= packet.starttime_ns - self._newest_ns <= _FAR_NS:
            return False
        self._run = 0
        self._present(component, packet)
        return True

    def admit(self, component: str, packet: Packet) -> list[Admitted]:
        """What may be taken now that this packet has come, in order."""
        if self._first_ns is None:
            self._present(component, packet)
            return [Admitted(component, packet)]
        newest_ns = self._newest_ns
        ahead = packet.starttime_ns - newest_ns > _FAR_NS
        if not ahead and newest_ns - packet.endtime_ns <= self._max_wait_ns:
            self._run = 0
            self._astray.discard(component)
            self._present(component, packet)
            taken = [Admitted(component, packet)]
            if self._held and self._newest_ns - self._held_at_ns > self._max_wait_ns:
                taken += self._give_up()
            return taken
        self._run += 1
        if component in self._astray:
            self._counters.stray_packets += ahead
            return [] if ahead else [Admitted(component, packet)]
        taken = []
        if self._held and not self._agrees(packet, ahead):
            onward = ahead and self._ahead and packet.starttime_ns > self._held[-1][1].starttime_ns
            taken = self._step() if onward else self._give_up(astray=False)
        if not self._held:
            self._ahead, self._held_at_ns = ahead, newest_ns
        self._hold(component, packet)
        if self._believed():
            taken += self._step()
        elif self._span_ns() > self._max_wait_ns or self._repeats():
            taken += self._give_up()
        return taken

    def finish(self) -> list[Admitted]:
        """No more packets: what is held is taken, ahead as it is, behind as late."""
        return self._step() if self._ahead else self._give_up()

    def _present(self, component: str, packet: Packet) -> None:
        start_ns = packet.starttime_ns
        if self._first_ns is None:
            self._first_ns = self._newest_ns = start_ns
        if start_ns > self._starts.get(component, 0):
            self._starts[component] = start_ns
            self._newest_ns = max(self._newest_ns, start_ns)
        elif start_ns < self._first_ns:
            self._first_ns = start_ns

    def _agrees(self, packet: Packet, ahead: bool) -> bool:
        off_ns = packet.starttime_ns - self._held[-1][1].starttime_ns
        return ahead == self._ahead and abs(off_ns) <= _FAR_NS

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

    def _believed(self) -> bool:
        if self._ahead:
            return self._run >= 2 and len(self._held) >= 2
        if self._run < len(self._held) or len(self._held) < 2:
            return False  # the present goes on meanwhile, or nothing agrees yet
        live = {c for c, start_ns in self._starts.items() if self._newest_ns - start_ns <= self._max_wait_ns}
        long = self._span_ns() >= self._max_wait_ns
        heard = self._was_heard(self._held[-1][1].starttime_ns)
        if heard and not long:
            return False
        whole = live <= {component for component, _ in self._held}
        return whole if heard else whole or long

    def _was_heard(self, time_ns: int) -> bool:
        assert self._first_ns is not None
        present = (self._first_ns, self._newest_ns)
        return any(first_ns <= time_ns <= last_ns for first_ns, last_ns in [*self._heard, present])

    def _step(self) -> list[Admitted]:
        """What is held is the present now."""
        held, self._held = self._held, []
        if not held:
            return []
        assert self._first_ns is not None
        self._heard = [*self._heard, (self._first_ns, self._newest_ns)][-MAX_STRETCHES:]
        self._first_ns = None
        self._starts.clear()
        self._astray.clear()
        self._run = 0
        turn = not self._ahead
        taken = []
        for component, packet in held:
            self._present(component, packet)
            taken.append(Admitted(component, packet, turn))
            turn = False
        return taken

    def _give_up(self, *, astray: bool = True) -> list[Admitted]:
        held, self._held = self._held, []
        if astray:
            self._astray |= {component for component, _ in held}
        if self._ahead:
            self._counters.stray_packets += len(held)
            return []
        return [Admitted(component, packet) for component, packet in held]
