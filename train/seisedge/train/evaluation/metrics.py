"""Metrics of weighted records, for many weightings at once: weights `w` are (k, n), one row per resampling; results
(k,).

A metric is nan for rows without the records it needs (for example no record of a class).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

ECE_BINS = 10  # bins of the largest probability, of equal width


def ratio(part: Floats, whole: Floats) -> Floats:
    """part / whole; nan if whole is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(whole > 0, part / whole, np.nan))


def mean(w: Floats, x: Floats) -> Floats:
    """Weighted mean of x (n,)."""
    return ratio(w @ x, w.sum(1))


def sd(w: Floats, x: Floats) -> Floats:
    """Standard deviation about the weighted mean."""
    centre = np.mean(x) if len(x) else 0.0
    m = mean(w, x - centre)
    return np.asarray(np.sqrt(np.maximum(mean(w, (x - centre) ** 2) - m**2, 0.0)))


def rmse(w: Floats, x: Floats) -> Floats:
    """Root of the mean square."""
    return np.asarray(np.sqrt(mean(w, x**2)))


def confusion(w: Floats, truth: Ints, answer: Ints, n_labels: int) -> Floats:
    """(k, n_labels, n_labels): weight of records with true label i and answer j."""
    cell = np.eye(n_labels * n_labels)[truth * n_labels + answer]
    return np.asarray((w @ cell).reshape(len(w), n_labels, n_labels))


def sensitivity(c: Floats, k: int) -> Floats:
    """Share of class k that is answered k (recall). c: see `confusion`."""
    return ratio(c[:, k, k], c[:, k].sum(1))


def specificity(c: Floats, k: int) -> Floats:
    """Share of the other classes that is not answered k."""
    others = c.sum((1, 2)) - c[:, k].sum(1)
    return ratio(others - (c[:, :, k].sum(1) - c[:, k, k]), others)


def precision(c: Floats, k: int) -> Floats:
    """Share of the answers k that are right."""
    return ratio(c[:, k, k], c[:, :, k].sum(1))


def f1(c: Floats, k: int) -> Floats:
    """Harmonic mean of precision and sensitivity."""
    return ratio(2 * c[:, k, k], c[:, k].sum(1) + c[:, :, k].sum(1))


def accuracy(c: Floats) -> Floats:
    """Share of right answers."""
    return ratio(np.trace(c, axis1=1, axis2=2), c.sum((1, 2)))


def balanced_accuracy(c: Floats) -> Floats:
    """Mean sensitivity of the classes present; guessing gives 1 / number of classes."""
    present = np.flatnonzero(c.sum((0, 2)) > 0)
    return (
        np.asarray(np.mean([sensitivity(c, k) for k in map(int, present)], axis=0))
        if len(present)
        else np.full(len(c), np.nan)
    )


def auc(w: Floats, score: Floats, positive: Bool) -> Floats:
    """Area under the ROC curve: probability that a positive record has a higher score than a negative one; ties count
    half.
    """
    order = np.argsort(score, kind="stable")
    w, ordered, positive = w[:, order], score[order], positive[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    yes = np.add.reduceat(w * positive, first, axis=1)
    no = np.add.reduceat(w * ~positive, first, axis=1)
    below = np.cumsum(no, axis=1) - no
    return ratio((yes * (below + 0.5 * no)).sum(1), yes.sum(1) * no.sum(1))


def calibration_error(w: Floats, top: Floats, hit: Floats, bins: int = ECE_BINS) -> Floats:
    """Expected calibration error: mean over bins of |accuracy − mean largest probability|, weighted by bin."""
    place = np.minimum((top * bins).astype(np.int64), bins - 1)
    gap = np.abs((w * (hit - top)) @ np.eye(bins)[place])
    return ratio(gap.sum(1), w.sum(1))


def kendall(w: Floats, x: Floats, y: Floats) -> Floats:
    """Kendall's tau-b of x and y (n,); the weights are multiplicities of records."""
    dx, dy = np.sign(x[:, None] - x), np.sign(y[:, None] - y)
    agree, in_x, in_y = (np.einsum("ki,ki->k", w @ m, w) for m in (dx * dy, np.abs(dx), np.abs(dy)))
    return ratio(agree, np.sqrt(in_x * in_y))


def at_prevalence(w: Floats, label: Ints, prevalence: Sequence[float] | None) -> Floats:
    """Weights with which the classes have the shares in `prevalence`; a row without one of the classes becomes 0."""
    if prevalence is None:
        return w
    member = np.eye(len(prevalence))[label]
    wanted = np.array(prevalence)
    total = w @ member
    factor = ratio(np.broadcast_to(wanted, total.shape), total)
    missing = np.isnan(factor) & (wanted > 0)
    return np.asarray(w * (np.nan_to_num(factor) @ member.T) * ~missing.any(axis=1, keepdims=True))
