"""Curves: packets and probabilities of one station to the rings that the page draws. Run in the thread of the page.

The curves show what was recorded: counts of the channel, without gain or rotation. Where a station has a seismometer
and an accelerometer, those of the seismometer are shown.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.page.filter import BandPass
from seisedge.runtime.page.rings import MinMaxRing, ProbabilityRing, SampleRing
from seisedge.runtime.records.channelcode import COMPONENT_OF_ORIENTATION, COMPONENTS, quantity_of_code
from seisedge.runtime.records.packet import Packet, RecordFlag
from seisedge.runtime.timeline.segment import FOLLOWS_JITTER_S, FOLLOWS_SAMPLES, is_sound

HELICORDER_COLUMNS = 25 * 3600  # of 1 s: a day, and an hour to scroll
LIVE_S = 600
MAX_SAMPLES = 150_000  # of a component: a channel above 250 Hz is kept for less than LIVE_S
PROBABILITY_COLUMNS = 36_000  # of 0.1 s: an hour
RATE_TOLERANCE = 0.01  # a smaller change of the sampling rate is a difference of clocks
SHORT_GAP_S = 0.1  # is bridged in the helicorder
LEAP_NS = 3600 * NS_PER_S  # a packet further ahead, or behind, needs a second one that confirms its time


class Component:
    """One component of a station."""

    def __init__(self, code: tuple[str, str], rate_hz: float, start_ns: int) -> None:
        """code: location and channel code."""
        self.code = code
        self.rate_hz = rate_hz
        self.helicorder = MinMaxRing(HELICORDER_COLUMNS)
        self.samples = SampleRing(rate_hz, _columns(rate_hz), start_ns)
        self.end_ns = start_ns  # of the newest sample
        self._filter = BandPass(rate_hz)
        self._due = 0  # number of the sample of the next output of the filter
        self._next: int | None = None  # number of the sample that the filter takes next; None: any
        self._leap_ns: int | None = None  # end of a packet whose time is not confirmed yet

    @property
    def nbytes(self) -> int:
        return self.helicorder.nbytes + self.samples.nbytes

    def add(self, packet: Packet) -> None:
        """Take a packet; its samples before the first one of the ring are left out."""
        if self._is_leap(packet):
            return
        changed = abs(packet.sampling_rate_hz / self.rate_hz - 1) > RATE_TOLERANCE
        if changed or packet.starttime_ns < self.samples.origin_ns - LEAP_NS:
            self._begin(packet, keeps=changed)
        samples = np.where(is_sound(packet.samples), packet.samples, np.nan).astype(np.float32)
        ring = self.samples
        ahead_s = abs(packet.starttime_ns - ring.end_ns) / NS_PER_S
        follows = ahead_s < max(FOLLOWS_SAMPLES / self.rate_hz, FOLLOWS_JITTER_S)
        first = ring.newest + 1 if follows else ring.index(packet.starttime_ns)
        ring.put(first, samples)
        self.end_ns = max(self.end_ns, packet.endtime_ns)
        self._filter_on(first, samples)

    def _filter_on(self, first: int, samples: npt.NDArray[np.float32]) -> None:
        """Give samples (n,) from number `first` on to the filter, anew after a gap."""
        sound = np.flatnonzero(np.isfinite(samples))
        if not len(sound):
            return
        samples = np.where(np.isfinite(samples), samples, samples[sound[0]])
        gap = None if self._next is None else first - self._next
        if gap is not None and 0 < gap <= SHORT_GAP_S * self.rate_hz:
            samples = np.concatenate([np.full(gap, samples[0], dtype=np.float32), samples])
            first -= gap
        elif gap != 0:
            self.finish()
            self._due = first
        self._next = first + len(samples)
        self._show(self._filter.push(samples))

    def finish(self) -> None:
        """Show what the filter holds back: no more samples follow for now."""
        self._show(self._filter.finish())
        self._filter, self._next = BandPass(self.rate_hz), None

    def _is_leap(self, packet: Packet) -> bool:
        """True for a packet of another hour that no packet before it confirms."""
        near_ns = self._leap_ns if self._leap_ns is not None else self.end_ns
        if abs(packet.starttime_ns - self.end_ns) <= LEAP_NS or abs(packet.starttime_ns - near_ns) <= LEAP_NS:
            self._leap_ns = None
            return False
        self._leap_ns = packet.endtime_ns
        return True

    def _begin(self, packet: Packet, *, keeps: bool) -> None:
        """Begin with another sampling rate, or after the clock was set back. keeps: the helicorder continues."""
        self.finish()
        self.rate_hz = packet.sampling_rate_hz
        if not keeps:
            self.helicorder = MinMaxRing(HELICORDER_COLUMNS)
        self.samples = SampleRing(self.rate_hz, _columns(self.rate_hz), packet.starttime_ns)
        self.end_ns = packet.starttime_ns
        self._filter = BandPass(self.rate_hz)

    def _show(self, filtered: npt.NDArray[np.float64]) -> None:
        """Extend the helicorder by the next outputs of the filter."""
        if not len(filtered):
            return
        k = self._due + np.arange(len(filtered))
        self._due += len(filtered)
        seconds = (self.samples.origin_ns + np.rint(k / self.rate_hz * NS_PER_S).astype(np.int64)) // NS_PER_S
        starts = np.concatenate([[0], np.flatnonzero(np.diff(seconds)) + 1])
        low, high = np.minimum.reduceat(filtered, starts), np.maximum.reduceat(filtered, starts)
        first, last = int(seconds[0]), int(seconds[-1])
        both = np.full((last - first + 1, 2), np.nan, dtype=np.float32)
        both[seconds[starts] - first] = np.stack([low, high], axis=1)
        self.helicorder.merge(first, both[:, 0], both[:, 1])


def _columns(rate_hz: float) -> int:
    return max(min(round(LIVE_S * rate_hz), MAX_SAMPLES), 1)


class Curves:
    """The components and the probabilities of one station."""

    def __init__(self) -> None:
        self.components: dict[str, Component] = {}
        self.probabilities = ProbabilityRing(PROBABILITY_COLUMNS)
        self.clock = "ok"  # by the flags of the newest packet

    @property
    def nbytes(self) -> int:
        """Bytes of all rings, once they are full."""
        return self.probabilities.nbytes + sum(one.nbytes for one in self.components.values())

    def add(self, packet: Packet) -> None:
        """Take a packet of the sensor that is shown; those of another one are left out."""
        code = packet.source_id.channel
        name = COMPONENT_OF_ORIENTATION.get(code[-1:])
        if name is None or name not in COMPONENTS:
            return
        key = (packet.source_id.location, code)
        known = self.components.get(name)
        if known is not None and known.code != key:
            if quantity_of_code(known.code[1]) != "acceleration" or quantity_of_code(code) == "acceleration":
                return
            known = None  # the seismometer takes the place of the accelerometer
        if known is None:
            known = self.components[name] = Component(key, packet.sampling_rate_hz, packet.starttime_ns)
        known.add(packet)
        flags = packet.flags
        self.clock = (
            "unlocked"
            if flags & RecordFlag.CLOCK_UNLOCKED
            else "questionable"
            if flags & RecordFlag.TIME_QUESTIONABLE
            else "ok"
        )

    @property
    def newest_ms(self) -> dict[str, int]:
        """Time in ms of the end of the data, by component, in the order Z, N, E."""
        return {c: self.components[c].end_ns // 1_000_000 for c in COMPONENTS if c in self.components}
