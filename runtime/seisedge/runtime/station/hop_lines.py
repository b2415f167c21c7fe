"""Hop lines: what continuous mode writes beside the events, one line per second of the sample clock.

The lines are the output of the onset detector, which opens the events of both modes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

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
        self._model, self._length_s = detector.engine.card.name, detector.engine.card.answers_s[0]

    def take(self) -> list[tuple[int, Draft]]:
        """The lines of the blocks since the last call, each with the last hop that it depends on."""
        blocks, self._detector.blocks = self._detector.blocks, []
        self._counters.hops += len(blocks)
        known = [block.probabilities for block in blocks if block.probabilities is not None]
        values = iter(_values(np.stack(known)) if known else [])
        return [
            (block.known_hop, self._draft(block, None if block.probabilities is None else next(values)))
            for block in blocks
        ]

    def _draft(self, block: Block, values: tuple[dict[str, float], float, float] | None) -> Draft:
        """The line of a block; values: see `_values`, None where the coverage is too low."""
        detector = self._detector
        kinds, p_onset, s_onset = values or (None, None, None)
        line = Hop(
            schema=HOP_SCHEMA,
            station=self._station_id,
            time=iso_from_ns(detector.time_of_hop(block.first_hop)),
            coverage=block.coverage,
            length_s=self._length_s,
            probabilities=kinds,
            p_onset=p_onset,
            s_onset=s_onset,
            model=self._model,
            emitted=PENDING_TEXT,
            source=PENDING_TEXT,
            latency_ms=PENDING_LATENCY,
            cost=PENDING_COST,
        )
        return Draft(line, detector.time_of_hop(block.known_hop + 1), block.meter)


def _values(probabilities: npt.NDArray[np.float32]) -> list[tuple[dict[str, float], float, float]]:
    """Of each block, (n, hops, 5), the mean of each kind and the largest probability of P and of S.

    The hops are added one after the other, so that a block has the same bits among others as alone.
    """
    total = np.zeros((len(probabilities), len(KINDS)))
    for hop in range(probabilities.shape[1]):
        total += probabilities[:, hop, FIRST_KIND:]
    means = (total / probabilities.shape[1]).tolist()
    largest = probabilities[:, :, [P, S]].max(axis=1).tolist()
    return [
        (
            {label: round(x, DECIMALS) for label, x in zip(KINDS, mean, strict=True)},
            round(p, DECIMALS),
            round(s, DECIMALS),
        )
        for mean, (p, s) in zip(means, largest, strict=True)
    ]
