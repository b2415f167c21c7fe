"""Draft: an output line before the loop adds when it was emitted, from which source, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass

from seisedge.runtime.event import Cost, Event, Hop, Latency
from seisedge.runtime.inference.infer import Meter

# Placeholders for the circumstances of a line. The loop replaces them, because its latency includes emitting the line.
PENDING_TEXT = ""
PENDING_LATENCY = Latency(assemble=0.0, host_to_device=0.0, infer=0.0, device_to_host=0.0, emit=0.0, total=0.0)
PENDING_COST: Cost = Meter().cost()


@dataclass(frozen=True, slots=True)
class Draft:
    """A complete line except for its circumstances (`event.CIRCUMSTANCES`).

    line: with placeholders for `emitted`, `source`, `latency_ms` and `cost`.
    last_sample_ns: time of the newest sample that the line depends on.
    meter: the inferences made for the line.
    """

    line: Event | Hop
    last_sample_ns: int
    meter: Meter
