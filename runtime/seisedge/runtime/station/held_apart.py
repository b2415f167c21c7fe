"""Held apart: a long record is not believed until something agrees with it.

A damaged or forged record may state far more samples than its channel has sent: at 100 Hz 65,000 of them reach eleven
minutes ahead, and the true samples that follow would count as repetitions. A packet whose samples reach more than
`max_wait_s` beyond the newest ones of the station is therefore held:

- It is used as soon as a packet of its channel begins where it ends or later, or a packet of another component ends no
  more than `max_wait_s` before its end, or begins `max_wait_s` or more after its start.
- It is discarded when a packet of its channel has other samples for the same time, and at the end of the data if it
  begins before the newest samples of its component.

Only data time counts. A station whose records are all that long has its channels confirm each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seisedge.runtime.clock import NS_PER_S, ns_from_s
from seisedge.runtime.counters import StationCounters
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.timeline.joined import Joined

SAME_TIME_SAMPLES = 0.5  # a packet that begins closer than this to the end of a held one does not overlap it
MAX_REPEATS = 4  # packets held for the same time of one component; more are discarded


@dataclass(frozen=True, slots=True)
class Held:
    """A packet that is held apart, or was; token_before: where a source resumes to send it again."""

    component: str
    packet: Packet
    token_before: str


class HeldApart:
    """Packets of one station, in order of arrival. max_wait_s: the timeline's, in data time."""

    def __init__(self, max_wait_s: float, counters: StationCounters) -> None:
        self._counters = counters
        self._max_wait_ns = ns_from_s(max_wait_s)
        self._held: list[Held] = []  # in order of arrival
        self.newest_end_ns: int | None = None  # of the packets used on the present timelines
        self._ends_ns: dict[str, int] = {}  # the same by component

    def __len__(self) -> int:
        return len(self._held)

    @property
    def oldest(self) -> Held | None:
        """The packet that was held first; None while there is none."""
        return self._held[0] if self._held else None

    def joins(self, runs: Sequence[Joined]) -> bool:
        """True if `admit` would use each of these packets at once; see `Joined`."""
        return not self._held and all(run.longest_ns <= self._max_wait_ns for run in runs)

    def join(self, runs: Sequence[Joined]) -> None:
        """As `admit` of each packet; `joins` must be True."""
        for run in runs:
            end_ns = run.end_ns
            self.newest_end_ns = end_ns if self.newest_end_ns is None else max(end_ns, self.newest_end_ns)
            self._ends_ns[run.component] = max(end_ns, self._ends_ns.get(run.component, 0))

    def admit(self, component: str, packet: Packet, token_before: str) -> list[Held]:
        """The packets to be used after the arrival of this one, in order."""
        if not self._held and not self._is_long(packet):  # the usual case
            self._use(component, packet)
            return [Held(component, packet, token_before)]
        used: list[Held] = []
        kept: list[Held] = []
        for held in self._held:
            if held.component == component and _overlaps(held.packet, packet):
                if _agree(held.packet, packet):
                    kept.append(held)
                else:
                    self._counters.stray_packets += 1
            elif self._confirms(held, component, packet):
                used.append(held)
                self._use(held.component, held.packet)
            else:
                kept.append(held)
        self._held = kept
        if not self._is_long(packet):
            self._use(component, packet)
            used.append(Held(component, packet, token_before))
        elif sum(held.component == component for held in kept) < MAX_REPEATS:
            self._held.append(Held(component, packet, token_before))
        else:
            self._counters.stray_packets += 1
        return used

    def release(self) -> list[Held]:
        """No more packets will come for the present timelines: the packets held that are used after all, in order."""
        held, self._held = self._held, []
        used = [one for one in held if one.packet.starttime_ns + _slack_ns(one.packet) >= self._end_ns(one)]
        self._counters.stray_packets += len(held) - len(used)
        self.newest_end_ns = None
        self._ends_ns.clear()
        return used

    def _end_ns(self, held: Held) -> int:
        return self._ends_ns.get(held.component, held.packet.starttime_ns)

    def _use(self, component: str, packet: Packet) -> None:
        end_ns = packet.endtime_ns
        if self.newest_end_ns is None or end_ns > self.newest_end_ns:
            self.newest_end_ns = end_ns
        if end_ns > self._ends_ns.get(component, 0):
            self._ends_ns[component] = end_ns

    def _is_long(self, packet: Packet) -> bool:
        known_ns = packet.starttime_ns
        if self.newest_end_ns is not None:
            known_ns = max(known_ns, self.newest_end_ns)
        return packet.endtime_ns - known_ns > self._max_wait_ns

    def _confirms(self, held: Held, component: str, packet: Packet) -> bool:
        if component == held.component:
            return packet.starttime_ns >= held.packet.starttime_ns  # behind its end, as it does not overlap
        return (
            packet.endtime_ns >= held.packet.endtime_ns - self._max_wait_ns
            or packet.starttime_ns >= held.packet.starttime_ns + self._max_wait_ns
        )


def _slack_ns(packet: Packet) -> int:
    return round(SAME_TIME_SAMPLES * NS_PER_S / packet.sampling_rate_hz)


def _overlaps(long: Packet, other: Packet) -> bool:
    slack_ns = _slack_ns(long)
    return other.starttime_ns < long.endtime_ns - slack_ns and other.endtime_ns > long.starttime_ns + slack_ns


def _agree(long: Packet, other: Packet) -> bool:
    """True if two packets of one channel that overlap have the same samples for the same times."""
    rate_hz = long.sampling_rate_hz
    if not np.isclose(other.sampling_rate_hz, rate_hz, rtol=1e-4):
        return False
    offset = round((other.starttime_ns - long.starttime_ns) * rate_hz / NS_PER_S)
    first, end = max(offset, 0), min(len(long.samples), offset + len(other.samples))
    x, y = long.samples[first:end], other.samples[first - offset : end - offset]
    return bool(((x == y) | ((x != x) & (y != y))).all())  # NaN agrees with NaN
