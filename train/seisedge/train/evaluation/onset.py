"""Evaluation of an onset detector, beside the STA/LTA trigger of the station with its default settings.

Both are run as at the station, on the records that are evaluated: which P arrivals are found, by signal to noise; how
far the onsets are from picks; how many onsets an hour there are in noise. The curve repeats this over the threshold.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from seisedge.runtime.clock import NS_PER_S, ns_from_s
from seisedge.runtime.config import EventsConfig, TriggerConfig
from seisedge.runtime.detection.opener import TRIGGER_GRID, Onset
from seisedge.runtime.engines._base import Engine
from seisedge.runtime.errors import InputError
from seisedge.runtime.paths import text_from_path
from seisedge.train.archive.archive import Archive
from seisedge.train.bootstrap import Floats
from seisedge.train.dataset.progress import progress
from seisedge.train.evaluation.detector_input import RememberingEngine, Stretch, onsets_in, stretches_from
from seisedge.train.evaluation.figure import MODEL, Figures
from seisedge.train.evaluation.noise_packets import SUFFIXES, miniseed_in
from seisedge.train.evaluation.onsets import Detections, add_pick_errors, are_near, pick_errors, share_of, thinned
from seisedge.train.evaluation.subject import Subject
from seisedge.train.evaluation.unseen import NothingToEvaluate

STA_LTA = "STA/LTA"
P_THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
RATIOS = (2.0, 2.5, 3.0, 3.6, 4.2, 5.0, 6.0, 8.0)
SNR_EDGES = (0.0, 2.0, 4.0, 8.0, math.inf)
LEAST_NOISE_S = 30.0  # a shorter stretch of noise is not counted
RECALL, FALSE = "P arrivals found", "onsets per hour"
EVENTS, BEFORE = "events", "noise before the events"

Names = npt.NDArray[np.str_]


class ThresholdPoint(Struct, frozen=True, kw_only=True):
    """A detector at one threshold: share of the P arrivals found, and onsets per hour in all noise; None: no noise."""

    who: str
    threshold: float
    found: float
    low: float | None
    high: float | None
    per_hour: float | None


class OnsetPart(Struct, kw_only=True):
    """thresholds: who → the default, for which the figures are. curve: points in order of the threshold. errors:
    'who, P' or 'who, S' → onset minus pick in seconds.
    """

    thresholds: dict[str, float]
    curve: list[ThresholdPoint] = []
    errors: dict[str, list[float]] = {}


@dataclass(frozen=True)
class Noise:
    """A stretch of noise. on: the part of the report; site: the stretches of a site are resampled together."""

    on: str
    site: str
    data: Stretch


@dataclass(frozen=True)
class Arrivals:
    """Records (index) with their P arrivals: one row each. sample: at the rate of the archive. snr: nan if unknown."""

    record: npt.NDArray[np.int64]
    sample: Floats
    group: Names
    snr: Floats


class DetectorEvaluation:
    """Runs the detector and the trigger on the records `counts` of an archive and on noise."""

    def __init__(
        self, subject: Subject, archive: Archive, counts: npt.NDArray[np.bool_], noise_folders: Sequence[Path]
    ) -> None:
        """Raises NothingToEvaluate, InputError."""
        if archive.rate_hz != TRIGGER_GRID.rate_hz:
            raise InputError(f"{subject.path}: an onset detector must work at {TRIGGER_GRID.rate_hz:g} Hz")
        self.archive = archive
        assert subject.scale is not None
        self.thresholds = {MODEL: round(subject.scale.p_threshold, 4), STA_LTA: TriggerConfig().on_ratio}
        self.engines: dict[str, Engine | None] = {MODEL: RememberingEngine(subject), STA_LTA: None}
        chosen = np.flatnonzero(counts)
        self.arrivals = arrivals_of(archive, chosen)
        if not len(self.arrivals.record):
            raise NothingToEvaluate(
                f"{subject.path}: no record is left with a P arrival that is visible; the detector needs records of "
                "earthquakes or explosions with an onset"
            )
        self.noise = [*noise_before(archive, chosen), *noise_in(noise_folders)]

    def evaluate(self, out: Figures) -> OnsetPart:
        """Add the figures at the default thresholds; return curve and errors."""
        part = OnsetPart(thresholds=self.thresholds)
        a, records = self.arrivals, self.archive.records
        for who, engine in self.engines.items():
            found = self._onsets(engine, None)
            hit = self._hits(found)
            out.add(RECALL, a.group, share_of(hit), on=EVENTS, who=who)
            for low, high in itertools.pairwise(SNR_EDGES):
                some = (a.snr >= low) & (a.snr < high)
                on = (
                    f"{EVENTS}, signal to noise {low:g} to {high:g}"
                    if high < math.inf
                    else f"{EVENTS}, signal to noise over {low:g}"
                )
                out.add(RECALL, a.group[some], share_of(hit[some]), on=on, who=who)
            for phase in "PS" if engine is not None else "P":
                part.errors[f"{who}, {phase}"] = self._add_errors(out, who, phase, found)
            self._add_noise(out, who, engine)
            for threshold in P_THRESHOLDS if engine is not None else RATIOS:
                part.curve.append(self._point(who, engine, threshold, out.draws))
        n_picked = sum(records[i].p_picked for i in set(a.record.tolist()))
        part.errors = {name: values for name, values in part.errors.items() if n_picked and values}
        return part

    def _onsets(self, engine: Engine | None, threshold: float | None) -> dict[int, list[Onset]]:
        """Record → onsets."""
        found = {}
        for i in dict.fromkeys(self.arrivals.record.tolist()):
            n = self.archive.records[i].n_samples
            found[i] = onsets_in(self.archive.waveform[i, :, :n], self.archive.valid[i, :, :n], engine, threshold)
        return found

    def _hits(self, found: dict[int, list[Onset]]) -> npt.NDArray[np.bool_]:
        """(arrivals,): is an onset of P close enough?"""
        a = self.arrivals
        hit = np.zeros(len(a.record), dtype=bool)
        for k, (i, sample) in enumerate(zip(a.record.tolist(), a.sample.tolist(), strict=True)):
            at_ns = ns_from_s(sample / self.archive.rate_hz)
            hit[k] = are_near(p_times(found[i]), np.array([at_ns], dtype=np.int64))[0][0]
        return hit

    def _add_errors(self, out: Figures, who: str, phase: str, found: dict[int, list[Onset]]) -> list[float]:
        records, rate = self.archive.records, self.archive.rate_hz
        rows = [i for i in found if records[i].p_picked and any(p == phase for p, _ in records[i].picks)]
        if not rows:
            return []
        times = [np.array([o.time_ns / NS_PER_S for o in found[i] if o.phase == phase]) for i in rows]
        picks = np.array([next(s for p, s in records[i].picks if p == phase) / rate for i in rows])
        errors = pick_errors(times, picks)
        add_pick_errors(out, errors, np.array([records[i].group for i in rows]), on=f"picks of {phase}", who=who)
        return [round(float(e), 3) for e in errors if math.isfinite(e)]

    def _add_noise(self, out: Figures, who: str, engine: Engine | None) -> None:
        counts = self._noise_counts(engine, None)
        for on in dict.fromkeys(n.on for n in self.noise):
            rows = [k for k, n in enumerate(self.noise) if n.on == on]
            n = np.array([counts[k] for k in rows], dtype=np.float64)
            hours = np.array([self.noise[k].data.hours for k in rows])
            out.add(FALSE, np.array([self.noise[k].site for k in rows]), ratio_of(n, hours), on=on, who=who)

    def _noise_counts(self, engine: Engine | None, threshold: float | None) -> list[int]:
        counts = []
        for noise in self.noise:
            times = p_times(onsets_in(noise.data.waveform, noise.data.valid, engine, threshold))
            kept = thinned(
                Detections(times, np.ones(len(times))),
                0.0,
                EventsConfig().separation_s("sta-lta" if engine is None else "onset"),
            )
            counts.append(len(kept.time_ns))
        return counts

    def _point(self, who: str, engine: Engine | None, threshold: float, draws: int) -> ThresholdPoint:
        out = Figures(draws)
        out.add(RECALL, self.arrivals.group, share_of(self._hits(self._onsets(engine, threshold))), on=EVENTS, who=who)
        hours = sum(n.data.hours for n in self.noise)
        count = sum(self._noise_counts(engine, threshold))
        row = out.rows[0] if out.rows else None
        return ThresholdPoint(
            who=who,
            threshold=threshold,
            found=math.nan if row is None else row.value,
            low=None if row is None else row.low,
            high=None if row is None else row.high,
            per_hour=round(count / hours, 3) if hours else None,
        )


def p_times(onsets: Sequence[Onset]) -> npt.NDArray[np.int64]:
    """Times of the P onsets in ns, ascending."""
    return np.array(sorted(o.time_ns for o in onsets if o.phase == "P"), dtype=np.int64)


def ratio_of(n: Floats, hours: Floats) -> Callable[[Floats], Floats]:
    """Count per hour as a statistic of the bootstrap."""

    def ratio(weights: Floats) -> Floats:
        total = weights @ hours
        return np.asarray(np.divide(weights @ n, total, out=np.full(len(total), np.nan), where=total > 0))

    return ratio


def arrivals_of(archive: Archive, chosen: Sequence[int] | npt.NDArray[np.int64]) -> Arrivals:
    """The P arrivals of the visible earthquakes and explosions among the chosen records; no mass movements."""
    rows: list[tuple[int, float, str, float]] = []
    for i in chosen:
        r = archive.records[i]
        if r.kind in ("noise", "mass movement") or not r.visible:
            continue
        snr = r.snr or math.nan  # 0: not stated
        rows += [(int(i), sample, r.group, snr) for phase, sample in r.picks if phase == "P"]
    return Arrivals(
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.float64),
        np.array([row[2] for row in rows], dtype=np.str_),
        np.array([row[3] for row in rows], dtype=np.float64),
    )


def noise_before(archive: Archive, chosen: Sequence[int] | npt.NDArray[np.int64]) -> list[Noise]:
    """The noise of the chosen records, as far as it is long enough."""
    found = []
    for i in chosen:
        r = archive.records[i]
        if r.noise_end >= LEAST_NOISE_S * archive.rate_hz:
            on = "records of noise" if r.kind == "noise" else BEFORE
            here = slice(0, r.noise_end)
            found.append(
                Noise(on, r.station, Stretch(r.station, 0, archive.waveform[i, :, here], archive.valid[i, :, here]))
            )
    return found


def noise_files(folder: Path) -> list[Path]:
    """The miniSEED files of a folder. Raises InputError where there are none."""
    files = miniseed_in(folder)
    if not files:
        raise InputError(f"--noise {folder}: contains no miniSEED file ({', '.join('*' + s for s in SUFFIXES)})")
    return files


def noise_in(folders: Sequence[Path]) -> list[Noise]:
    """Continuous noise: each miniSEED file of the folders is a site. Raises InputError."""
    found = []
    for folder in folders:
        for path in progress(noise_files(folder), f"recordings of {text_from_path(folder)} read"):
            name = text_from_path(folder)
            found += [Noise(f"noise of {name}", path.stem, stretch) for stretch in stretches_from(path)]
    return found
