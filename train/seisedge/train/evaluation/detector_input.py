"""What the openers of the station need, for data in memory: a timeline, and an engine that remembers its outputs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from seisedge.runtime.card import ModelCard, Training
from seisedge.runtime.config import TriggerConfig
from seisedge.runtime.detection.opener import TRIGGER_GRID, Onset
from seisedge.runtime.detection.trigger import Trigger
from seisedge.runtime.engines._base import Array, Engine
from seisedge.runtime.inference.onset_detector import OnsetDetector
from seisedge.runtime.sources import open_source
from seisedge.runtime.timeline.timeline import Timeline
from seisedge.train.evaluation.subject import Subject

Bool = npt.NDArray[np.bool_]
TRIGGER_REACH_K = 4000  # samples before the first one that the trigger may look at; none of them exists


class ArrayTimeline(Timeline):
    """Samples (3, n) and mask on the grid of the trigger, as a timeline: sample k is at k / 40 s, all is ready."""

    def __init__(self, waveform: Array, valid: Bool) -> None:
        super().__init__("array", TRIGGER_GRID)
        self._samples, self._mask = waveform, valid
        self.ready_k = waveform.shape[1]

    @property
    def oldest_k(self) -> int:
        return -TRIGGER_REACH_K

    def first(
        self,
        k0: int,
        k1: int,
        wanted: Sequence[int] | None = None,
        spans: Sequence[tuple[int, int]] | None = None,
    ) -> tuple[Array, Bool]:
        wave, valid = np.zeros((3, k1 - k0), dtype=np.float32), np.zeros((3, k1 - k0), dtype=bool)
        low, high = max(k0, 0), min(k1, self._samples.shape[1])
        if high > low:
            wave[:, low - k0 : high - k0] = self._samples[:, low:high]
            valid[:, low - k0 : high - k0] = self._mask[:, low:high]
        return wave, valid


class RememberingEngine(Engine):
    """Runs the network of a subject, each window once: the thresholds of a curve do not change its output."""

    name = "remembering"

    def __init__(self, subject: Subject) -> None:
        assert subject.scale is not None
        self._subject = subject
        self._known: dict[bytes, Array] = {}
        super().__init__(Path(subject.path))

    def _load(self, path: Path) -> tuple[str, ModelCard]:
        return self._subject.sha256, card_of(self._subject)

    def _infer(self, waveform: Array, valid: Array) -> Array:
        key = hashlib.blake2b(waveform.tobytes() + valid.tobytes(), digest_size=16).digest()
        if key not in self._known:
            found = self._subject.network(torch.from_numpy(waveform), torch.from_numpy(valid))
            self._known[key] = found.astype(np.float32)
        return self._known[key]


def card_of(subject: Subject) -> ModelCard:
    """A card with what the station needs of an onset detector or an event-type model; costs and training are empty."""
    g = subject.geometry
    training = Training(
        recipe=subject.name, seed=0, data=[], data_sha256="", split="", n_events=0, n_records=0, licence="not stated"
    )
    return ModelCard(
        name=subject.name, task=subject.task, labels=subject.labels, magnitude=None, components="ZNE",
        sampling_rate_hz=g.rate_hz, n_samples=g.n_samples, onset_s=g.onset_s, unit="counts",
        band_hz=(1.0, subject.pass_hz), answers_s=subject.answers_s, modes=["triggered", "continuous"],
        min_coverage=subject.min_coverage, parameters=0, macs=0, flops=0, flops_by_operator={}, not_counted=[],
        temperature=1.0, training=training, metrics=[], not_for=[], precision="fp32", pruning="none",
        seisedge_version="", date="", onset=subject.scale,
    )  # fmt: skip


def onsets_in(waveform: Array, valid: Bool, engine: Engine | None, threshold: float | None) -> list[Onset]:
    """P and S onsets in samples and mask (3, n) on the grid of the trigger, times from the first sample.

    engine: an onset detector; None: the STA/LTA trigger. threshold: of P, or of the ratio; None: the default.
    """
    timeline = ArrayTimeline(waveform, valid)
    if engine is not None:
        return OnsetDetector(timeline, engine, threshold).scan()
    return Trigger(timeline, TriggerConfig() if threshold is None else TriggerConfig(on_ratio=threshold)).scan()


@dataclass(frozen=True, slots=True)
class Stretch:
    """Data of one station on the grid of the trigger: samples and mask, (3, n). start_ns: time of the first sample."""

    station: str
    start_ns: int
    waveform: Array
    valid: Bool

    @property
    def hours(self) -> float:
        """Length of what exists on the component that has most."""
        return float(self.valid.sum(axis=1).max()) / TRIGGER_GRID.rate_hz / 3600


def stretches_from(path: Path) -> Iterator[Stretch]:
    """The stations of a miniSEED file, resampled as the station does. Raises InputError."""
    timelines: dict[str, Timeline] = {}
    parts: dict[str, list[tuple[Array, Bool]]] = {}
    reached: dict[str, int] = {}

    def take(station: str) -> None:
        timeline = timelines[station]
        first = reached.get(station, timeline.oldest_k)
        if timeline.ready_k > first:
            parts.setdefault(station, []).append(timeline.window(first, timeline.ready_k))
            reached[station] = timeline.ready_k
            timeline.seen()

    with open_source([str(path)]) as source:
        for packet in source.packets():
            if packet is None:
                continue
            station, code = packet.source_id.station_id, packet.source_id.channel[-1:]
            component = {"1": "N", "2": "E"}.get(code, code)
            if component not in ("Z", "N", "E"):
                continue
            timeline = timelines.setdefault(station, Timeline(station, TRIGGER_GRID))
            timeline.add(component, packet)
            take(station)
    for station, timeline in timelines.items():
        timeline.finish()
        take(station)
        waves, masks = zip(*parts[station], strict=True)
        valid = np.concatenate(masks, axis=1)
        begin = int(np.argmax(valid.any(axis=0)))
        start_ns = timeline.time_of(reached[station] - valid.shape[1] + begin)
        yield Stretch(station, start_ns, np.concatenate(waves, axis=1)[:, begin:], valid[:, begin:])
