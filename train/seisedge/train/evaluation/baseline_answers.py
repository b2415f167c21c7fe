"""Answers of the baselines. They are fitted on the training records of the model. On data of another origin they are
cross-fitted: for each fifth of the events on the other four fifths, which favours them over the model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from seisedge.train.bootstrap import Floats
from seisedge.train.evaluation.answers import Facts, Predictor
from seisedge.train.evaluation.baselines import (
    Measured,
    design,
    event_weight,
    fit_logistic,
    fit_predict,
    logistic,
    measure,
    phase_ratios,
)
from seisedge.train.evaluation.predict import FixedWindows, gains_of

COMMONEST = "commonest class"
PHASES = "P/S ratio + logistic regression"
MEDIAN = "median magnitude"
AMPLITUDE = "log amplitude + duration"
DISTANCE = "log amplitude + log distance, catalogued distance"
OF_SOURCE = ", fitted on each source"
N_FOLDS = 5
LEAST = 20  # smallest number of records for a separate fit of a source

Ints = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]
Fit = Callable[[Bool, Bool], Floats]  # (rows to fit on, rows to evaluate) → answers


def folds_of(group: npt.NDArray[np.str_]) -> Ints:
    """Fold of each group, 0 to N_FOLDS - 1, from a hash of its name."""
    return np.array([int(hashlib.sha256(f"simple:{g}".encode()).hexdigest(), 16) % N_FOLDS for g in group])


def cross_fitted(fit: Fit, own: Bool, group: npt.NDArray[np.str_], evaluated: Bool) -> Floats:
    """Answers for the rows `evaluated`: fitted on the rows `own`, or, if there are none, on the other folds."""
    if own.any():
        return fit(own, evaluated)
    fold = folds_of(group)
    parts = {k: evaluated & (fold == k) for k in range(N_FOLDS)}
    out: Floats | None = None
    for k, part in parts.items():
        if not part.any():
            continue
        others = evaluated & (fold != k)
        answers = fit(others if others.any() else evaluated, part)
        if out is None:
            out = np.full((len(group), *answers.shape[1:]), np.nan)
        out[part] = answers
    assert out is not None
    return out[evaluated]


def type_answers(predictor: Predictor, fits: FixedWindows, windows: FixedWindows, answer_s: float) -> dict[str, Floats]:
    """Baseline name → probabilities (windows, labels). fits: training windows; may be empty."""
    archive, n_labels = predictor.archive, len(predictor.subject.labels)
    record, start = np.concatenate([fits.record, windows.record]), np.concatenate([fits.start, windows.start])
    label = np.concatenate([fits.label, windows.label])
    f, g = predictor.facts(fits), predictor.facts(windows)
    group = np.concatenate([f["group"], g["group"]])
    event = np.concatenate([f["event"], g["event"]])
    seen = np.concatenate([f["visible"] | f["noise"], g["visible"] | g["noise"]])
    evaluated = np.arange(len(record)) >= len(fits.record)
    onset = start + round(predictor.subject.geometry.onset_s * archive.rate_hz)
    x = phase_ratios(archive, record, onset, answer_s)

    def commonest(rows: Bool, to: Bool) -> Floats:
        share = np.bincount(label[rows], minlength=n_labels) / rows.sum()
        return np.repeat(share[None], int(to.sum()), axis=0)

    def phases(rows: Bool, to: Bool) -> Floats:
        weight = event_weight(np.char.add(event[rows].astype(str), label[rows].astype(str)))
        for k in range(n_labels):  # equal weight for each class, as in training
            of = label[rows] == k
            weight[of] /= max(weight[of].sum(), 1e-12)
        return logistic(x[to], fit_logistic(x[rows], label[rows], n_labels, weight))

    out = {}
    for name, fit in ((COMMONEST, commonest), (PHASES, phases)):
        own = ~evaluated & seen
        if not own.any():  # fit on the visible records of the other folds, evaluate all

            def within(rows: Bool, to: Bool, fit: Fit = fit) -> Floats:
                return fit(rows & seen if (rows & seen).any() else rows, to)

            out[name] = cross_fitted(within, own, group, evaluated)
        else:
            out[name] = cross_fitted(fit, own, group, evaluated)
    return out


def magnitude_answers(
    predictor: Predictor, fits: FixedWindows, windows: FixedWindows, answer_s: float
) -> dict[str, Floats]:
    """Baseline name → magnitudes (windows,), nan if a feature is missing. fits: training windows; may be empty."""
    archive, term = predictor.archive, predictor.subject.station_term
    record = np.concatenate([fits.record, windows.record])
    f, g = predictor.facts(fits), predictor.facts(windows)
    facts: Facts = {k: np.concatenate([f[k], g[k]]) for k in ("group", "event", "source", "visible", "scaled")}
    magnitude = np.concatenate([f["magnitude"], g["magnitude"]]).astype(np.float64)
    evaluated = np.arange(len(record)) >= len(fits.record)
    gain = gains_of(archive, record, term).double().numpy()
    m = measure(archive, record, gain, answer_s)
    visible, usable = facts["visible"], facts["visible"] & facts["scaled"]

    def median(rows: Bool, to: Bool) -> Floats:
        some = rows & visible
        return np.full(int(to.sum()), float(np.median(magnitude[some])) if some.any() else np.nan)

    def regression(x: Floats, of_source: bool) -> Fit:
        def fit(rows: Bool, to: Bool) -> Floats:
            weight = np.zeros(len(record))
            weight[rows & usable] = event_weight(facts["event"][rows & usable])
            good = rows & usable & np.isfinite(x).all(1)
            if good.sum() < x.shape[1] + 1:
                return np.full(int(to.sum()), np.nan)
            out = np.full(len(record), np.nan)
            out[to] = fit_predict(x[good], magnitude[good], weight[good], x[to])
            for source in np.unique(facts["source"]) if of_source else []:
                here = facts["source"] == source
                if (good & here).sum() >= LEAST and (to & here).any():
                    of = good & here
                    out[to & here] = fit_predict(x[of], magnitude[of], weight[of], x[to & here])
            return out[to]

        return fit

    wanted: dict[str, Fit] = {MEDIAN: median}
    for name, x in ((AMPLITUDE, design(m, False, True)), (DISTANCE, design(m, True, False))):
        wanted[name] = regression(x, False)
        if len(np.unique(facts["source"])) > 1:
            wanted[name + OF_SOURCE] = regression(x, True)
    return {name: cross_fitted(fit, ~evaluated, facts["group"], evaluated) for name, fit in wanted.items()}


def features(predictor: Predictor, windows: FixedWindows, answer_s: float) -> dict[str, Floats]:
    """The features that paper A correlates with the magnitude, as a station can measure them: log10 of the peak, of the
    duration (up to the answer), and of peak times distance.
    """
    gain = gains_of(predictor.archive, windows.record, predictor.subject.station_term).double().numpy()
    m: Measured = measure(predictor.archive, windows.record, gain, answer_s)
    return {
        "log peak velocity": m.log_peak,
        "log duration": np.log10(m.duration_s),
        "log peak velocity + log distance": m.log_peak + np.log10(np.maximum(m.distance_km, 1.0)),
    }
