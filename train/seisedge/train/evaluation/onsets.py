"""Metrics of onset detectors: pure functions over onset times and lists of true arrivals.

An arrival is found if an onset lies close enough to it (`belongs` of the demo: from 2 s before to 3.5 s after the
predicted arrival). An onset is matched if it lies close enough to an arrival of any list. Lists of a swarm are dense,
so that onsets at random times find arrivals too: `Point` states these shares beside the measured ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S, ns_from_s
from seisedge.runtime.demo.truth import EARLY_S, LATE_S
from seisedge.train.bootstrap import DRAWS, Estimate, Floats, estimate
from seisedge.train.evaluation.figure import MODEL, Figures

Ints = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]
Names = npt.NDArray[np.str_]

BLOCK_S = 60.0  # onsets of the same minute at any station are resampled together
TOLERANCES_S = (0.1, 0.2, 0.5)
PICK_REACH_S = 2.0  # an onset further than this from a pick is not its onset
MAD_TO_SD = 1.4826  # factor from a median absolute deviation to the standard deviation of a normal distribution
EMPTY_RATE_COUNT = 3.0  # upper 95 % limit of a Poisson mean after a count of zero


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Predicted P arrivals at one station.

    time_ns: (n,). event: (n,), names of the earthquakes, the same at all stations. snr: (n,) signal-to-noise ratio, or
    None.
    """

    time_ns: Ints
    event: Names
    snr: Floats | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """A stretch of data of one station. truth: name of a list → its arrivals in the stretch."""

    station: str
    start_ns: int
    end_ns: int
    truth: Mapping[str, Arrivals]

    @property
    def hours(self) -> float:
        """Length of the stretch."""
        return (self.end_ns - self.start_ns) / NS_PER_S / 3600


@dataclass(frozen=True, slots=True)
class Detections:
    """Onsets of one detector on one recording. time_ns: (n,), ascending. score: (n,), e.g. the probability."""

    time_ns: Ints
    score: Floats


@dataclass(frozen=True, slots=True)
class Point:
    """A detector at one threshold.

    recall: list → share of its arrivals found, with the interval over earthquakes. matched: share of the onsets that
    are matched, with the interval over minutes. random_recall, random_matched: the same for as many onsets at random
    times.
    """

    threshold: float
    n_onsets: int
    hours: float
    recall: dict[str, Estimate]
    random_recall: dict[str, float]
    matched: Estimate
    random_matched: float

    @property
    def onsets_per_hour(self) -> float:
        """Onsets per hour and station."""
        return self.n_onsets / self.hours

    def found(self, name: str) -> int:
        """Number of arrivals of a list that are found."""
        return round(self.recall[name].value * self.recall[name].n_records)


@dataclass(frozen=True, slots=True)
class Rate:
    """Onsets per hour on data without a known earthquake, with the 95 % interval over sites.

    low, high: None with fewer than three sites. After a count of zero, high is the Poisson limit (3 / hours).
    """

    per_hour: float
    low: float | None
    high: float | None
    n_onsets: int
    n_sites: int
    hours: float


def are_near(onset_ns: Ints, arrival_ns: Ints, early_s: float = EARLY_S, late_s: float = LATE_S) -> tuple[Bool, Bool]:
    """Found (arrivals,) and matched (onsets,). Both inputs in any order."""
    onsets, arrivals = np.sort(onset_ns), np.sort(arrival_ns)
    early, late = ns_from_s(early_s), ns_from_s(late_s)

    def any_between(values: Ints, low: Ints, high: Ints) -> Bool:
        return np.asarray(np.searchsorted(values, high, "right") > np.searchsorted(values, low, "left"))

    found = any_between(onsets, arrival_ns - early, arrival_ns + late)
    matched = any_between(arrivals, onset_ns - late, onset_ns + early)
    return found, matched


def thinned(detections: Detections, threshold: float, separation_s: float = 0.0) -> Detections:
    """The detections with a score of at least `threshold`, without those less than `separation_s` after a kept one."""
    kept: list[int] = []
    for i in np.flatnonzero(detections.score >= threshold):
        if not kept or detections.time_ns[i] - detections.time_ns[kept[-1]] >= ns_from_s(separation_s):
            kept.append(int(i))
    return Detections(detections.time_ns[kept], detections.score[kept])


def measure_point(
    recordings: Sequence[Recording], onset_ns: Sequence[Ints], threshold: float = math.nan, draws: int = DRAWS
) -> Point:
    """Recall, share matched and onsets per hour. onset_ns: for each recording its onsets (n,)."""
    lists = list(dict.fromkeys(name for r in recordings for name in r.truth))
    hits: dict[str, list[tuple[Bool, Names]]] = {name: [] for name in lists}
    by_chance: dict[str, list[float]] = {name: [] for name in lists}
    matched, minutes, covered_s, seconds = [], [], [], []
    for recording, onsets in zip(recordings, onset_ns, strict=True):
        length_s = recording.hours * 3600
        everything = [a.time_ns for a in recording.truth.values()]
        matched.append(are_near(onsets, np.concatenate(everything) if everything else np.zeros(0, np.int64))[1])
        minutes.append(onsets // ns_from_s(BLOCK_S))
        covered_s.append(_covered_s(recording, everything))
        seconds.append(length_s)
        for name, arrivals in recording.truth.items():
            hits[name].append((are_near(onsets, arrivals.time_ns)[0], arrivals.event))
            missed = (1 - min((EARLY_S + LATE_S) / length_s, 1.0)) ** len(onsets)
            by_chance[name] += [1 - missed] * len(arrivals.time_ns)
    recall = {}
    for name, parts in hits.items():
        found = np.concatenate([f for f, _ in parts])
        recall[name] = estimate(np.concatenate([e for _, e in parts]), share_of(found), draws)
    return Point(
        threshold=threshold,
        n_onsets=sum(map(len, onset_ns)),
        hours=sum(seconds) / 3600,
        recall=recall,
        random_recall={name: float(np.mean(p)) if p else math.nan for name, p in by_chance.items()},
        matched=estimate(np.concatenate(minutes), share_of(np.concatenate(matched)), draws),
        random_matched=sum(covered_s) / sum(seconds),
    )


def detection_curve(
    recordings: Sequence[Recording],
    detections: Sequence[Detections],
    thresholds: Sequence[float],
    *,
    separation_s: float = 0.0,
    draws: int = DRAWS,
) -> list[Point]:
    """A point for each threshold, from the detections at a low threshold; see `thinned`."""
    return [
        measure_point(recordings, [thinned(d, threshold, separation_s).time_ns for d in detections], threshold, draws)
        for threshold in thresholds
    ]


def best_at_matched(points: Sequence[Point], name: str, share: float) -> Point | None:
    """The point with the highest recall of a list among those whose share matched is at least `share`."""
    some = [p for p in points if p.matched.value >= share]
    return max(some, key=lambda p: (p.recall[name].value, p.matched.value), default=None)


def found_arrivals(
    recordings: Sequence[Recording], onset_ns: Sequence[Ints], name: str
) -> tuple[Bool, Names, Floats | None]:
    """Of all arrivals of a list: found (n,), earthquake (n,), and signal-to-noise ratio (n,) where all state it."""
    lists = [(r.truth[name], onsets) for r, onsets in zip(recordings, onset_ns, strict=True) if name in r.truth]
    found = np.concatenate([are_near(onsets, a.time_ns)[0] for a, onsets in lists])
    ratios = [a.snr for a, _ in lists if a.snr is not None]
    return (
        found,
        np.concatenate([a.event for a, _ in lists]),
        np.concatenate(ratios) if len(ratios) == len(lists) else None,
    )


def false_rate(counts: Sequence[int], hours: Sequence[float], site: Sequence[str], draws: int = DRAWS) -> Rate:
    """Onsets per hour. counts, hours, site: one value for each recording without earthquakes."""
    n, length = np.array(counts, dtype=np.float64), np.array(hours, dtype=np.float64)
    names = np.array(site)
    e = estimate(names, lambda w: (w @ n) / np.maximum(w @ length, 1e-12), draws)
    low: float | None
    high: float | None
    low, high = (e.low, e.high) if e.n_groups >= 3 else (None, None)
    if not n.any():
        low, high = 0.0, EMPTY_RATE_COUNT / float(length.sum())
    return Rate(e.value, low, high, int(n.sum()), e.n_groups, float(length.sum()))


def pick_errors(onset_s: Sequence[Floats], pick_s: Floats, reach_s: float = PICK_REACH_S) -> Floats:
    """Onset minus pick (n,) in seconds, of the onset nearest to each pick; nan where none is within `reach_s`.

    onset_s: for each pick the onsets of its record, in seconds on the time axis of the pick.
    """
    errors = np.full(len(pick_s), np.nan)
    for i, (onsets, pick) in enumerate(zip(onset_s, pick_s, strict=True)):
        if len(onsets):
            nearest = float(onsets[np.argmin(np.abs(onsets - pick))] - pick)
            errors[i] = nearest if abs(nearest) <= reach_s else np.nan
    return errors


def add_pick_errors(out: Figures, errors: Floats, group: Names, *, on: str, who: str = MODEL) -> None:
    """Figures of onset errors (n,), nan where missed: share found, median, MAD, shares within TOLERANCES_S.

    The shares are of all picks: a missed one is in no tolerance. The median absolute deviation is scaled to the
    standard deviation of a normal distribution.
    """
    found = np.isfinite(errors)
    out.add(f"found within {PICK_REACH_S:g} s", group, share_of(found), on=on, who=who)
    seen, of = errors[found], group[found]
    out.add("median error, s", of, lambda w: _medians(seen, w), on=on, who=who)
    out.add("MAD, s", of, lambda w: _deviations(seen, w), on=on, who=who)
    for tolerance_s in TOLERANCES_S:
        within = found & (np.abs(np.where(found, errors, np.inf)) <= tolerance_s)
        out.add(f"within {tolerance_s:g} s", group, share_of(within), on=on, who=who)


def share_of(hit: Bool) -> Callable[[Floats], Floats]:
    """The weighted share of True, as a statistic of the bootstrap; nan where the weights sum to zero."""

    def share(weights: Floats) -> Floats:
        total = weights.sum(axis=1)
        return np.asarray(np.divide(weights @ hit, total, out=np.full(len(total), np.nan), where=total > 0))

    return share


def _covered_s(recording: Recording, lists: Sequence[Ints]) -> float:
    """Seconds of a recording in which an onset would be matched."""
    covered, until = 0, recording.start_ns
    for time_ns in np.sort(np.concatenate(lists)) if lists else []:
        low = max(int(time_ns) - ns_from_s(EARLY_S), until)
        high = min(int(time_ns) + ns_from_s(LATE_S), recording.end_ns)
        covered += max(high - low, 0)
        until = max(until, high)
    return covered / NS_PER_S


def _medians(values: Floats, weights: Floats) -> Floats:
    """Weighted medians (k,) of values (n,): weights (k, n) are whole numbers."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[:, order], axis=1)
    half = total[:, -1:] / 2
    lower = np.argmax(total >= half, axis=1)
    upper = np.argmax(total > half, axis=1)
    ranked = values[order]
    return np.where(total[:, -1] > 0, (ranked[lower] + ranked[upper]) / 2, np.nan)


def _deviations(values: Floats, weights: Floats) -> Floats:
    """MAD (k,) around the median of each row of weights."""
    medians = _medians(values, weights)
    rows = [_medians(np.abs(values - m), w[None])[0] for m, w in zip(medians, weights, strict=True)]
    return MAD_TO_SD * np.array(rows)
