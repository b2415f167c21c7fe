"""Annotator: runs the onset detector on every block of the data and keeps its probabilities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seisedge.runtime.card import ONSET_LABELS
from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.detection.opener import HOP_N, TRIGGER_GRID, Onset
from seisedge.runtime.engines import Engine
from seisedge.runtime.inference.onset_detector import Block, OnsetDetector
from seisedge.runtime.notebook.annotation import Annotation
from seisedge.runtime.timeline.timeline import Timeline

HOP_S = HOP_N / TRIGGER_GRID.rate_hz


class Annotator(OnsetDetector):
    """An onset detector that keeps the probabilities of every block, and opens no event."""

    def __init__(self, timeline: Timeline, engine: Engine, collected: Collected) -> None:
        super().__init__(timeline, engine, None, every_block=True)
        self._collected = collected

    def scan(self) -> list[Onset]:
        super().scan()
        blocks, self.blocks = self.blocks, []
        for block in blocks:
            self._collected.add(self.time_of_hop(block.first_hop), block)
        return []


class Collected:
    """The blocks of one station."""

    def __init__(self) -> None:
        self._starts_ns: list[int] = []
        self._outputs: list[npt.NDArray[np.float32]] = []

    def add(self, start_ns: int, block: Block) -> None:
        if block.probabilities is not None:
            self._starts_ns.append(start_ns)
            self._outputs.append(block.probabilities)

    def annotation(self, station: str) -> Annotation:
        """All blocks, in order of time; without a row where there was none."""
        hops = np.arange(len(self._outputs[0]) if self._outputs else 0, dtype=np.int64) * round(HOP_S * NS_PER_S)
        times_ns = (np.array(self._starts_ns, dtype=np.int64)[:, None] + hops).ravel()
        values = np.concatenate(self._outputs) if self._outputs else np.zeros((0, len(ONSET_LABELS)), dtype=np.float32)
        order = np.argsort(times_ns, kind="stable")
        return Annotation(station, HOP_S, tuple(ONSET_LABELS), times_ns[order], values[order])
