"""Figures of a magnitude model: errors of the magnitudes that a station reports, relative to the catalogue."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from seisedge.runtime.inference.estimate import bin_centres, bins_of, interval_bins, magnitude_label
from seisedge.train.bootstrap import Floats, Statistics
from seisedge.train.evaluation import metrics as m
from seisedge.train.evaluation.answers import Answers
from seisedge.train.evaluation.figure import MIN_RECORDS, MODEL, VERTICAL, Figures
from seisedge.train.evaluation.predict import magnitude_from_bins

Bool = npt.NDArray[np.bool_]

LIMITS = (0.1, 0.2, 0.3)
DISTANCES_KM = (0.0, 10.0, 20.0, 40.0, 80.0, np.inf)
SNRS = (1.5, 3.0, 6.0, 12.0, 25.0, np.inf)
MANY = 3000  # with at least this many records, classes are 0.1 magnitudes wide; else 0.5
TAU_RECORDS = 2000  # a rank correlation on more records uses a regular subset
MEAN = "event by mean"
KNOWN, FITTED = "gain known", "gain fitted in training"
EITHER = "gain known or fitted in training"
RELIABILITY_EDGES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.01)
SLICES = ("magnitude", "distance_km", "signal to noise")


class Point(Struct, frozen=True):
    """A record in the plot: catalogued and expected magnitude, and the 90 % interval (None: open)."""

    name: str
    catalogued: float
    expected: float
    low: float | None
    high: float | None


class ReliabilityBin(Struct, frozen=True):
    """Labels whose probability is within one interval: mean probability, share that is the true label, number."""

    mean: float
    share: float
    n: int


class MagnitudePart(Struct):
    """Data of the plots of a magnitude model, in addition to the figures; at the last answer."""

    points: list[Point] = []
    reliability: list[ReliabilityBin] = []


def gain_parts(a: Answers) -> dict[str, Bool]:
    """Name of the part → windows with a visible signal, by the origin of their gain; empty parts are omitted."""
    f = a.facts
    known = np.array([g is not None for g in f["gain"]], dtype=bool)
    fitted = f["visible"] & f["scaled"] & ~known
    parts = {KNOWN: f["visible"] & known}
    if fitted.any():
        parts |= {FITTED: fitted, EITHER: f["visible"] & f["scaled"]}
    return parts


def add_figures(out: Figures, edges: list[float | None], a: Answers, baselines: dict[str, Floats]) -> None:
    """Add all figures of one answer length, on records with a visible signal and a gain.

    baselines: name → magnitudes (windows,).
    """
    f, truth, p = a.facts, a.facts["magnitude"].astype(np.float64), a.probabilities
    parts = gain_parts(a)
    by_source = {
        f"source {source}, {name}": which & (f["source"] == source)
        for source in np.unique(f["source"])
        for name, which in parts.items()
        if name != EITHER
    }
    guesses = {MODEL: magnitude_from_bins(p, edges), **baselines}
    for on, which in (parts | by_source).items():
        for who, guess in guesses.items():
            add_errors(out, guess - truth, which, a, on=on, who=who)
    for on, which in parts.items():
        add_label_figures(out, edges, a, which, on)
        for who, guess in guesses.items():
            _add_events(out, guess - truth, which, a, on, who)


def _add_events(out: Figures, error: Floats, which: Bool, a: Answers, on: str, who: str) -> None:
    """Add errors of the event magnitude: the mean over the records of an event."""
    rows = np.flatnonzero(which & np.isfinite(error))
    if not len(rows):
        return
    _, first, place = np.unique(a.facts["event"][rows], return_index=True, return_inverse=True)
    mean = np.bincount(place, error[rows]) / np.bincount(place)
    for what, statistic in errors(mean).items():
        out.add(what, a.group[rows][first], statistic, on=on, who=who, level=MEAN, answer_s=a.answer_s)


def add_vertical(out: Figures, edges: list[float | None], a: Answers) -> None:
    """Add errors of three-component records without their horizontals. a: answers on these."""
    error = magnitude_from_bins(a.probabilities, edges) - a.facts["magnitude"].astype(np.float64)
    for on, which in gain_parts(a).items():
        add_errors(out, error, which, a, on=f"{on}, {VERTICAL}")


def errors(e: Floats) -> dict[str, Statistics]:
    """Name → statistic of the errors e (n,)."""
    out: dict[str, Statistics] = {
        "sd": lambda w: m.sd(w, e),
        "bias": lambda w: m.mean(w, e),
        "MAE": lambda w: m.mean(w, np.abs(e)),
        "RMSE": lambda w: m.rmse(w, e),
    }
    for limit in LIMITS:
        inside = (np.abs(e) <= limit + 1e-9).astype(np.float64)
        out[f"within ±{limit}"] = partial(m.mean, x=inside)
    return out


def add_errors(
    out: Figures, error: Floats, which: Bool, a: Answers, *, on: str, who: str = MODEL, only: tuple[str, ...] = ()
) -> None:
    """Add the statistics of `errors` (or only those in `only`) on the records in `which` with a known error."""
    good = which & np.isfinite(error)
    for what, statistic in errors(error[good]).items():
        if not only or what in only:
            out.add(what, a.group[good], statistic, on=on, who=who, answer_s=a.answer_s)


def add_label_figures(out: Figures, edges: list[float | None], a: Answers, which: Bool, on: str) -> None:
    """Add figures of the reported label: accuracy, share with a number, error of the bin centre; and of the interval.

    The label follows the rule of the station: an open outer bin only if its probability exceeds one half.
    """
    p, truth = a.probabilities[which], a.facts["magnitude"].astype(np.float64)[which]
    group = a.group[which]
    label, true_bin = magnitude_label(edges, p), bins_of(edges, truth)
    closed = np.array([None not in pair for pair in itertools.pairwise(edges)])
    number = closed[label]
    first, last = interval_bins(p)
    covered = (true_bin >= first) & (true_bin <= last)
    rows: dict[str, tuple[Bool, Floats]] = {
        "bin accuracy": (np.ones(len(p), bool), (label == true_bin).astype(np.float64)),
        "number given": (np.ones(len(p), bool), number.astype(np.float64)),
        "90 % interval covers": (np.ones(len(p), bool), covered.astype(np.float64)),
    }
    error = bin_centres(edges)[label] - truth
    for limit in LIMITS:
        rows[f"centre of the bin within ±{limit}, where a number is given"] = (
            number,
            (np.abs(error) <= limit + 1e-9).astype(np.float64),
        )
    for what, (of, values) in rows.items():
        out.add(what, group[of], partial(m.mean, x=values[of]), on=on, answer_s=a.answer_s)


def add_slices(out: Figures, edges: list[float | None], a: Answers) -> None:
    """Add bias, standard deviation and share within ±0.3 by class of magnitude, distance and signal-to-noise ratio."""
    f = a.facts
    truth = f["magnitude"].astype(np.float64)
    error, base = magnitude_from_bins(a.probabilities, edges) - truth, f["visible"] & f["scaled"]
    width = 0.1 if base.sum() >= MANY else 0.5
    some = truth[base]
    first, last = (np.floor(np.min(some) / width), np.ceil(np.max(some) / width)) if len(some) else (0.0, -1.0)
    marks: Sequence[float] = [float(k) * width for k in np.arange(first, last + 1)]
    slices: list[tuple[Floats, Sequence[float]]] = [
        (truth - 1e-9, marks),
        (f["distance_km"].astype(np.float64), DISTANCES_KM),
        (f["snr"].astype(np.float64), SNRS),
    ]
    for name, (values, borders) in zip(SLICES, slices, strict=True):
        for low, high in itertools.pairwise(borders):
            which = base & (values >= low) & (values < high)
            on = f"{name} {low:.3g} to {high:.3g}" if np.isfinite(high) else f"{name} above {low:.3g}"
            add_errors(out, error, which, a, on=on, only=("bias", "sd", "within ±0.3"))


def is_slice(on: str) -> bool:
    """True if `on` is a class of `add_slices`."""
    return on.startswith(tuple(f"{name} " for name in SLICES))


def add_kendall(out: Figures, a: Answers, features: dict[str, Floats]) -> None:
    """Add the rank correlation of measured features with the magnitude, as in the feature study of paper A."""
    f = a.facts
    truth = f["magnitude"].astype(np.float64)
    for who, x in features.items():
        rows = np.flatnonzero(f["visible"] & f["scaled"] & np.isfinite(x))
        rows = rows[:: -(-len(rows) // TAU_RECORDS)] if len(rows) else rows
        out.add(
            "Kendall tau with magnitude", a.group[rows], partial(m.kendall, x=x[rows], y=truth[rows]),
            who=who, answer_s=a.answer_s,
        )  # fmt: skip


def reliability_of(edges: list[float | None], a: Answers) -> list[ReliabilityBin]:
    """Probability of each label of each record against the share of true labels, by intervals of the probability."""
    which = np.flatnonzero(a.facts["visible"] & a.facts["scaled"])
    p = a.probabilities[which]
    hit = bins_of(edges, a.facts["magnitude"][which].astype(np.float64))[:, None] == np.arange(p.shape[1])
    out = []
    for low, high in itertools.pairwise(RELIABILITY_EDGES):
        here = (p >= low) & (p < high)
        if here.sum() >= MIN_RECORDS:
            out.append(
                ReliabilityBin(round(float(p[here].mean()), 4), round(float(hit[here].mean()), 4), int(here.sum()))
            )
    return out


def points_of(edges: list[float | None], archive_names: list[str], a: Answers) -> list[Point]:
    """The points of the scatter plot. archive_names: name of each record."""
    which = np.flatnonzero(a.facts["visible"] & a.facts["scaled"])
    p = a.probabilities[which]
    first, last = interval_bins(p)
    guess = magnitude_from_bins(p, edges)
    return [
        Point(
            name=archive_names[int(a.windows.record[i])],
            catalogued=round(float(a.facts["magnitude"][i]), 3),
            expected=round(float(g), 3),
            low=edges[int(lo)],
            high=edges[int(hi) + 1],
        )
        for i, g, lo, hi in zip(which, guess, first, last, strict=True)
    ]
