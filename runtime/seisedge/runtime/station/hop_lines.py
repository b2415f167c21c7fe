"""Hop lines: what continuous mode writes beside the events, one line per second of the sample clock.

The lines are the output of the onset detector, which opens the events of both modes.
"""

from __future__ import annotations

from seisedge.runtime.card import ONSET_LABELS
from seisedge.runtime.clock import iso_from_ns
from seisedge.runtime.counters import StationCounters
from seisedge.runtime.event import HOP_SCHEMA, Hop
from seisedge.runtime.inference.estimate import DECIMALS
from seisedge.runtime.inference.onset_detector import Block, OnsetDetector, P, S
from seisedge.runtime.station.draft import PENDING_COST, PENDING_LATENCY, PENDING_TEXT, Draft

KINDS = [label for label in ONSET_LABELS if label not in ("P", "S")]  # what is there, without the onsets
FIRST_KIND = ONSET_LABELS.index(KINDS[0])


class HopLines:
    """Makes the lines of the blocks of a detector that keeps every block."""

    def __init__(self, station_id: str, detector: OnsetDetector, counters: StationCounters) -> None:
        self._station_id = station_id
        self._detector = detector
        self._counters = counters

    def take(self) -> list[tuple[int, Draft]]:
        """The lines of the blocks since the last call, each with the last hop that it depends on."""
        blocks, self._detector.blocks = self._detector.blocks, []
        self._counters.hops += len(blocks)
        return [(block.known_hop, self._draft(block)) for block in blocks]

    def _draft(self, block: Block) -> Draft:
        detector, values = self._detector, block.probabilities
        kinds = p_onset = s_onset = None
        if values is not None:
            means = values[:, FIRST_KIND:].mean(axis=0, dtype="float64").tolist()
            kinds = {label: round(mean, DECIMALS) for label, mean in zip(KINDS, means, strict=True)}
            p_onset, s_onset = (round(float(values[:, label].max()), DECIMALS) for label in (P, S))
        line = Hop(
            schema=HOP_SCHEMA,
            station=self._station_id,
            time=iso_from_ns(detector.time_of_hop(block.first_hop)),
            coverage=block.coverage,
            length_s=detector.engine.card.answers_s[0],
            probabilities=kinds,
            p_onset=p_onset,
            s_onset=s_onset,
            model=detector.engine.card.name,
            emitted=PENDING_TEXT,
            source=PENDING_TEXT,
            latency_ms=PENDING_LATENCY,
            cost=PENDING_COST,
        )
        return Draft(line, detector.time_of_hop(block.known_hop + 1), block.meter)
