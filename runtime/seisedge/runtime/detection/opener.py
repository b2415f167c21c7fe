"""Opener: finds the onsets that open events. `trigger` is the classic one; `inference.onset_detector` runs a model.

An opener scans a timeline in hops of 0.1 s of the sample clock. Its onsets depend on the samples only, not on how the
packets were cut.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from seisedge.runtime.timeline.timeline import Timeline
from seisedge.runtime.timeline.track import GridSpec

TRIGGER_GRID = GridSpec(rate_hz=40.0, pass_hz=15.0)  # for channels with a lower Nyquist frequency, `pass_hz` is lower
HOP_N = 4  # grid samples per hop, 0.1 s

Float = npt.NDArray[np.float64]
Samples = tuple[Float, npt.NDArray[np.bool_]]  # of one sensor, with their mask: (3, n) each
Kind = Literal["sta_lta", "onset", "given"]
Phase = Literal["P", "S"]


@dataclass(frozen=True, slots=True)
class Onset:
    """A detection: the start of the signal, and the hop with which it became known.

    snr: ratio of the short to the long average of the amplitude. phase, probability, uncertainty_s and component are
    those of the onset detector; the classic trigger does not know the phase and leaves the last three at None.
    """

    time_ns: int
    hop: int
    snr: float
    phase: Phase = "P"
    probability: float | None = None
    uncertainty_s: float | None = None
    component: str | None = None  # Z, N or E: where the onset was timed


class NoisePart(msgspec.Struct, frozen=True):
    """Mean probability of noise in the `Opener.noise_s` from `time_ns` on, known with a hop; of the onset detector."""

    time_ns: int
    hop: int
    probability: float


class OpenerState(msgspec.Struct, frozen=True):
    """State of an opener that cannot be computed from the samples before `scanned_hop`.

    s_armed, hold_hop: of the onset detector.
    """

    scanned_hop: int | None
    armed: bool
    s_armed: bool = True
    hold_hop: int = 0


class Opener(abc.ABC):
    """Scans a timeline for onsets.

    kind: its name in event lines. unconditional: every onset is an event that is kept, also one that is noise or an
    artefact, or that closely follows another. noise_s: length of each part of `noise`, in seconds.
    """

    kind: Kind
    unconditional = False
    noise_s = 1.0

    def __init__(self, timeline: Timeline) -> None:
        if timeline.spec.rate_hz != TRIGGER_GRID.rate_hz:
            raise ValueError(f"the trigger works at {TRIGGER_GRID.rate_hz:g} Hz; got {timeline.spec}")
        self.timeline = timeline

    @property
    @abc.abstractmethod
    def scanned_hop(self) -> int | None:
        """The first hop that is not yet scanned; None before the first scan."""

    @abc.abstractmethod
    def scanned_to(self, hop: int) -> bool:
        """True if no later scan can return an onset with this `hop` or an earlier one."""

    @abc.abstractmethod
    def scan(self) -> list[Onset]:
        """Onsets in what became ready since the last call, in order of their hops."""

    def noise(self) -> list[NoisePart]:
        """What was heard in the samples that were scanned since the last call; a trigger without a model: nothing."""
        return []

    @abc.abstractmethod
    def state(self) -> OpenerState:
        """The state without the samples."""

    @abc.abstractmethod
    def restore(self, state: OpenerState) -> None:
        """Resume from `state`; the next scan needs the samples from `needed_ns` on."""

    @abc.abstractmethod
    def recompute(self) -> None:
        """The scale of the samples on the timeline has changed: what was computed from them is computed again."""

    @property
    @abc.abstractmethod
    def needed_ns(self) -> int | None:
        """Time of the oldest sample that the next scan needs; None before the first scan."""

    @property
    @abc.abstractmethod
    def earliest_ns(self) -> int | None:
        """Time of the earliest onset that a later scan can find; None before the first scan."""

    @property
    @abc.abstractmethod
    def reach_s(self) -> float:
        """Length of the samples before an onset that the detection depends on, in seconds."""

    @abc.abstractmethod
    def span_of(self, hop0: int, hop1: int) -> tuple[int, int]:
        """Outputs [k0, k1) of the timeline that decisions in the hops from `hop0` to `hop1` (included) depend on."""

    @abc.abstractmethod
    def would_fire(self, sensors: list[Samples]) -> bool:
        """True if there is an onset in the samples of a `span_of`: those of the first sensor, and of a second one."""

    def time_of_hop(self, hop: int) -> int:
        """Start time of a hop, in ns."""
        return self.timeline.time_of(hop * HOP_N)

    def hop_after(self, time_ns: int) -> int:
        """First hop that starts at or after a time."""
        return -(-self.timeline.k_at(time_ns) // HOP_N)
