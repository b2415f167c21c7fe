"""GivenOnsets: opens events at onsets that are known beforehand, such as those of a catalogue or of an analyst."""

from __future__ import annotations

from collections.abc import Iterable

from seisedge.runtime.config import TriggerConfig
from seisedge.runtime.detection.opener import Onset, Samples
from seisedge.runtime.detection.trigger import Trigger
from seisedge.runtime.timeline.timeline import Timeline

RISE_HOPS = 5  # length of the short average: the ratio of an onset is the largest in so many hops after it


class GivenOnsets(Trigger):
    """Scans as the classic trigger does, for the ratio at the onset, but opens events at the given times alone.

    Its events are never suppressed: noise at a given onset is an answer. times_ns: each once, in any order.
    """

    kind = "given"
    unconditional = True

    def __init__(self, timeline: Timeline, times_ns: Iterable[int]) -> None:
        super().__init__(timeline, TriggerConfig(), before=RISE_HOPS)
        self._times_ns = sorted(set(times_ns))

    def would_fire(self, sensors: list[Samples]) -> bool:
        """True: no spike and no step has caused the onset."""
        return True

    def scan(self) -> list[Onset]:
        ratios = self.advance()
        found: list[Onset] = []
        while ratios is not None and self._times_ns:
            known = max(self.hop_after(self._times_ns[0]) + RISE_HOPS, ratios.first)  # the first one behind a gap
            column = known - ratios.first
            if column + RISE_HOPS >= len(ratios.best):
                break
            snr = float(ratios.best[column : column + RISE_HOPS + 1].max())
            found.append(Onset(self._times_ns.pop(0), known, round(snr, 2)))
        return found
