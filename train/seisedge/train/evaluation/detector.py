"""Runs an onset detector over recordings in memory, as the station does, and chooses its thresholds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.config import TriggerConfig
from seisedge.runtime.detection.trigger import Trigger
from seisedge.runtime.inference.onset_detector import HOLD_S, RISE_HOPS, peaks
from seisedge.train.archive.archive import Archive, Record
from seisedge.train.evaluation.detector_input import ArrayTimeline, onsets_in
from seisedge.train.evaluation.onsets import Arrivals, Recording, measure_point
from seisedge.train.models._base import OnsetModel

P, S = 0, 1
CHUNK_BLOCKS = 256
PICK_S = 1.0  # an S onset is right if it lies this close to an S arrival
THRESHOLDS = np.round(np.concatenate([np.arange(0.02, 0.2, 0.02), np.arange(0.2, 0.96, 0.025)]), 3)
QUIET_S = 30.0  # shorter noise before an event is not counted
HARD_THRESHOLD = 0.1  # noise with an onset above it is drawn more often

Floats = npt.NDArray[np.float64]
Chosen = Callable[[Record], bool]


@dataclass(frozen=True)
class Stretch:
    """Consecutive records of one station in one piece.

    waveform, valid: (3, n). start_ns: time of the first sample. picks: phase and sample of each arrival.
    """

    name: str
    station: str
    start_ns: int
    waveform: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    picks: list[tuple[str, float]]

    @property
    def hours(self) -> float:
        """Length, at 40 Hz."""
        return float(self.waveform.shape[1] / 40.0 / 3600)


def stretches(archive: Archive, chosen: Chosen) -> list[Stretch]:
    """The chosen records, joined where one follows the other; a record without a time alone, as if it began at 0."""
    rows = [(r.event, r.station, r.time_ns, i) for i, r in enumerate(archive.records) if chosen(r) and r.time_ns]
    runs: list[list[tuple[int, int]]] = []  # (first sample, index of the record)
    key: tuple[str, str] | None = None
    end = 0.0
    for event, station, time_ns, i in sorted(rows):
        at = time_ns / NS_PER_S * archive.rate_hz
        if key != (event, station) or not -1 <= at - end <= archive.rate_hz:
            runs.append([])
            begin, key = at, (event, station)
        runs[-1].append((round(at - begin), i))
        end = at + archive.records[i].n_samples
    runs += [[(0, i)] for i, r in enumerate(archive.records) if chosen(r) and not r.time_ns]
    return [_joined(archive, run) for run in runs]


def _joined(archive: Archive, run: Sequence[tuple[int, int]]) -> Stretch:
    n = max(at + archive.records[i].n_samples for at, i in run)
    waveform, valid = np.zeros((3, n), dtype=np.float32), np.zeros((3, n), dtype=bool)
    picks = []
    for at, i in run:
        size = archive.records[i].n_samples
        waveform[:, at : at + size] = archive.waveform[i, :, :size]
        valid[:, at : at + size] = archive.valid[i, :, :size]
        picks += [(phase, sample + at) for phase, sample in archive.records[i].picks]
    first = archive.records[run[0][1]]
    return Stretch(first.event, first.station, first.time_ns or 0, waveform, valid, picks)


@torch.no_grad()
def hop_probabilities(
    model: OnsetModel, waveform: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """waveform, valid: (3, n) → (n // hop_n, 5), the row of each hop. Nothing exists before the first sample."""
    model = model.eval()
    hops = waveform.shape[1] // model.hop_n
    blocks = -(-(hops + model.delay_hops) // model.block_hops)
    context_n = model.geometry.n_samples - model.block_hops * model.hop_n
    after_n = blocks * model.block_hops * model.hop_n - waveform.shape[1]
    pad = ((0, 0), (context_n, max(after_n, 0)))
    x, v = (torch.from_numpy(np.pad(a.astype(np.float32), pad)) for a in (waveform, valid))
    device = next(model.parameters()).device
    rows = []
    step_n = model.block_hops * model.hop_n
    for first in range(0, blocks, CHUNK_BLOCKS):
        here = slice(first * step_n, min(first + CHUNK_BLOCKS, blocks) * step_n + context_n)
        rows.append(model.probabilities(model.raw(x[None, :, here].to(device), v[None, :, here].to(device)))[0])
    return torch.cat(rows)[model.delay_hops : model.delay_hops + hops].cpu().numpy()


def noise_onsets(model: OnsetModel, archive: Archive, chosen: Chosen) -> list[tuple[int, int]]:
    """(record, hop) of the onsets that the model reports in the noise of the chosen records."""
    out = []
    for i, record in enumerate(archive.records):
        if not chosen(record) or record.noise_end < 60 * model.hop_n:
            continue
        end = record.noise_end
        p = hop_probabilities(model, archive.waveform[i, :, :end], archive.valid[i, :, :end])[:, P]
        out += [(i, hop) for hop in peaks(p, HARD_THRESHOLD)[0] if hop > 30]  # at the start of the data little is known
    return out


@dataclass(frozen=True)
class Heard:
    """Probabilities of a detector on a stretch, (hops, 5). open_hops: (hops,), those whose block passes the gate of the
    station by the STA/LTA ratio; None: all.
    """

    stretch: Stretch
    probabilities: npt.NDArray[np.float32]
    open_hops: npt.NDArray[np.bool_] | None = None

    def p_hops(self, threshold: float) -> list[int]:
        """Hops with a P onset, as the station reports them: after an onset the gate stays open for HOLD_S."""
        p = self.probabilities[:, P]
        if self.open_hops is None:
            return peaks(p, threshold)[0]
        is_open = self.open_hops.copy()
        while True:
            hops = peaks(np.where(is_open, p, np.float32(0.0)), threshold)[0]
            before = int(is_open.sum())
            for hop in hops:
                is_open[hop : hop + round(HOLD_S * 10)] = True
            if int(is_open.sum()) == before:
                return hops

    def p_times_ns(self, threshold: float) -> npt.NDArray[np.int64]:
        """Times of the P onsets at a threshold."""
        return self.stretch.start_ns + np.array(self.p_hops(threshold), dtype=np.int64) * (NS_PER_S // 10)

    @property
    def recording(self) -> Recording:
        """The stretch with its P arrivals: all that are listed, and those with a clear onset."""
        start = self.stretch.start_ns
        truth = {}
        for name, phases in (("listed", ("P", "P?")), ("clear", ("P",))):
            times = [start + round(s / 40.0 * NS_PER_S) for phase, s in self.stretch.picks if phase in phases]
            events = np.array([f"{self.stretch.station} {t}" for t in times], dtype=np.str_)
            truth[name] = Arrivals(np.array(times, dtype=np.int64), events)
        end_ns = start + round(self.stretch.hours * 3600 * NS_PER_S)
        return Recording(self.stretch.station, start, end_ns, truth)


def hear(model: OnsetModel, found: Sequence[Stretch], gate_ratio: float = 0.0) -> list[Heard]:
    """The probabilities on each stretch. gate_ratio: of the card; 0: no gate."""
    return [
        Heard(
            s,
            hop_probabilities(model, s.waveform, s.valid),
            open_hops(s, gate_ratio, model.delay_hops, model.block_hops) if gate_ratio else None,
        )
        for s in found
    ]


def open_hops(stretch: Stretch, gate_ratio: float, delay_hops: int, block_hops: int) -> npt.NDArray[np.bool_]:
    """(hops,): is the hop in a block that the station looks at by the STA/LTA ratio? See `OnsetDetector._passes`."""
    n = stretch.waveform.shape[1] // 4
    ratios = Trigger(ArrayTimeline(stretch.waveform, stretch.valid), TriggerConfig()).advance()
    found = np.zeros(n, dtype=bool)
    if ratios is None:
        return found
    passes = np.flatnonzero(ratios.best >= gate_ratio) + ratios.first
    for begin in range(-delay_hops % block_hops, n, block_hops):  # first hop that a block is for
        low, high = begin + min(RISE_HOPS, delay_hops), begin + delay_hops + block_hops
        found[begin : begin + block_hops] = np.searchsorted(passes, high) > np.searchsorted(passes, low)
    return found


@dataclass(frozen=True)
class ThresholdRow:
    """A threshold of P: recall of the arrivals with a clear onset, share of the onsets near an arrival; onsets per hour
    on recordings of noise, and on the quiet noise before events. None: no such data.
    """

    threshold: float
    recall: float | None
    matched: float | None
    noise_per_hour: float | None
    quiet_per_hour: float | None


@dataclass(frozen=True)
class Limits:
    """What a threshold of P must reach: the smallest share matched, the largest numbers of onsets per hour."""

    matched: float
    noise_per_hour: float
    quiet_per_hour: float


def quiet_stretches(archive: Archive, chosen: Chosen) -> list[Stretch]:
    """The noise before the events of the chosen records, where it lasts QUIET_S or longer."""
    found = []
    for i, r in enumerate(archive.records):
        if chosen(r) and r.kind != "noise" and r.noise_end >= QUIET_S * archive.rate_hz:
            here = slice(0, r.noise_end)
            found.append(Stretch(r.event, r.station, 0, archive.waveform[i, :, here], archive.valid[i, :, here], []))
    return found


def threshold_table(swarm: Sequence[Heard], noise: Sequence[Heard], quiet: Sequence[Heard]) -> list[ThresholdRow]:
    """One row for each of THRESHOLDS."""
    rows = []
    for threshold in THRESHOLDS:
        point = None
        if swarm:
            onsets = [h.p_times_ns(float(threshold)) for h in swarm]
            point = measure_point([h.recording for h in swarm], onsets, float(threshold), draws=10)
        rows.append(
            ThresholdRow(
                float(threshold),
                None if point is None else point.recall["clear"].value,
                None if point is None else point.matched.value,
                *(_rate(part, onsets_at(float(threshold))) for part in (noise, quiet)),
            )
        )
    return rows


def onsets_at(threshold: float) -> Callable[[Heard], int]:
    """Number of P onsets at a threshold."""
    return lambda h: len(h.p_hops(threshold))


def trigger_limits(swarm: Sequence[Heard], noise: Sequence[Heard], quiet: Sequence[Heard]) -> Limits:
    """What the STA/LTA trigger of the station reaches with its default settings on the same data. 0 and infinite where
    there are no data.
    """
    matched = 0.0
    if swarm:
        onsets = [_trigger_onsets(h.stretch) for h in swarm]
        if any(len(times) for times in onsets):
            matched = measure_point([h.recording for h in swarm], onsets, draws=10).matched.value
    rates = [_rate(part, lambda h: len(_trigger_onsets(h.stretch))) for part in (noise, quiet)]
    return Limits(matched, *(math.inf if rate is None else rate for rate in rates))


def _rate(part: Sequence[Heard], count: Callable[[Heard], int]) -> float | None:
    """Onsets per hour; None without data."""
    hours = sum(h.stretch.hours for h in part)
    return sum(count(h) for h in part) / hours if hours else None


def _trigger_onsets(stretch: Stretch) -> npt.NDArray[np.int64]:
    found = onsets_in(stretch.waveform, stretch.valid, None, None)
    return np.array([stretch.start_ns + onset.time_ns for onset in found], dtype=np.int64)


def p_threshold_from(rows: Sequence[ThresholdRow], limits: Limits) -> float:
    """The lowest threshold that keeps within all limits for which there are data; 0.5 if no data decide, the highest if
    none is good enough.
    """
    if all(r.matched is None and r.noise_per_hour is None and r.quiet_per_hour is None for r in rows):
        return 0.5
    for row in rows:
        matched = row.matched is None or row.matched >= limits.matched
        noise = row.noise_per_hour is None or row.noise_per_hour <= limits.noise_per_hour
        quiet = row.quiet_per_hour is None or row.quiet_per_hour <= limits.quiet_per_hour
        if matched and noise and quiet:
            return row.threshold
    return rows[-1].threshold


def s_threshold_from(swarm: Sequence[Heard], precision: float) -> float:
    """The lowest threshold at which at least `precision` of the S onsets lie within PICK_S of a listed S arrival; 0.5
    without S arrivals.
    """
    truth = [np.array([s / 4.0 for phase, s in h.stretch.picks if phase.startswith("S")]) for h in swarm]
    if not sum(map(len, truth)):
        return 0.5
    for threshold in THRESHOLDS:
        right = total = 0
        for h, arrivals in zip(swarm, truth, strict=True):
            for hop in peaks(h.probabilities[:, S], float(threshold))[0]:
                total += 1
                right += bool(len(arrivals)) and bool(np.abs(arrivals - hop).min() <= PICK_S * 10)
        if total and right / total >= precision:
            return float(threshold)
    return float(THRESHOLDS[-1])
