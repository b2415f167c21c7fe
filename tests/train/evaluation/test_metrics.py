"""Each metric on a case computed by hand, weights against repeated records, and chance for shuffled labels."""

from __future__ import annotations

import numpy as np
import pytest

from seisedge.train.bootstrap import estimate, resamples
from seisedge.train.evaluation import metrics as m

ONE = np.ones((1, 8))
TRUTH = np.array([0, 0, 0, 0, 1, 1, 1, 2])
ANSWER = np.array([0, 0, 0, 1, 1, 1, 2, 2])


def test_confusion_by_hand() -> None:
    c = m.confusion(ONE, TRUTH, ANSWER, 3)
    assert c[0].tolist() == [[3, 1, 0], [0, 2, 1], [0, 0, 1]]
    assert m.accuracy(c)[0] == pytest.approx(6 / 8)
    assert m.balanced_accuracy(c)[0] == pytest.approx((3 / 4 + 2 / 3 + 1) / 3)
    assert [m.sensitivity(c, k)[0] for k in range(3)] == pytest.approx([3 / 4, 2 / 3, 1])
    assert [m.specificity(c, k)[0] for k in range(3)] == pytest.approx([1, 4 / 5, 6 / 7])
    assert [m.precision(c, k)[0] for k in range(3)] == pytest.approx([1, 2 / 3, 1 / 2])
    assert [m.f1(c, k)[0] for k in range(3)] == pytest.approx([6 / 7, 2 / 3, 2 / 3])


def test_auc_with_ties_by_hand() -> None:
    score = np.array([0.9, 0.8, 0.8, 0.3])
    positive = np.array([True, True, False, False])
    # pairs: .9>.8, .9>.3, .8=.8 (a half), .8>.3
    assert m.auc(np.ones((1, 4)), score, positive)[0] == pytest.approx(3.5 / 4)
    assert np.isnan(m.auc(np.ones((1, 4)), score, np.ones(4, bool))[0])


def test_calibration_error_by_hand() -> None:
    top, hit = np.array([0.95] * 4 + [0.65] * 4), np.array([1, 1, 1, 0, 1, 1, 1, 1.0])
    # 0.9-1.0: |0.75 - 0.95| = 0.2, half the weight; 0.6-0.7: |1 - 0.65| = 0.35, half the weight
    assert m.calibration_error(ONE, top, hit)[0] == pytest.approx(0.275)


def test_kendall_by_hand() -> None:
    x, y = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 2.0, 4.0])
    assert m.kendall(np.ones((1, 4)), x, y)[0] == pytest.approx(4 / 6)  # five pairs agree, one does not
    tied = np.array([1.0, 1.0, 2.0, 3.0])
    assert m.kendall(np.ones((1, 4)), tied, y)[0] == pytest.approx(3 / np.sqrt(5 * 6))  # four agree, one not, one tie


def test_a_weight_is_a_repeated_record() -> None:
    rng = np.random.default_rng(3)
    x, y, label = rng.standard_normal(12), rng.standard_normal(12), rng.integers(0, 2, 12)
    times = rng.integers(0, 4, 12)
    w, one = times[None].astype(float), np.ones((1, int(times.sum())))
    again = [np.repeat(v, times) for v in (x, y, label)]
    for figure, arguments, repeated in (
        (m.sd, (x,), (again[0],)),
        (m.rmse, (x,), (again[0],)),
        (m.mean, (x,), (again[0],)),
        (m.kendall, (x, y), tuple(again[:2])),
        (m.auc, (x, label == 1), (again[0], again[2] == 1)),
    ):
        assert figure(w, *arguments)[0] == pytest.approx(figure(one, *repeated)[0])


def test_prevalence_moves_precision_and_leaves_sensitivity() -> None:
    own = m.confusion(ONE, TRUTH, ANSWER, 3)
    rare = m.confusion(m.at_prevalence(ONE, TRUTH, (0.8, 0.1, 0.1)), TRUTH, ANSWER, 3)
    assert m.sensitivity(rare, 1)[0] == pytest.approx(m.sensitivity(own, 1)[0])
    assert m.precision(rare, 1)[0] == pytest.approx(0.1 * 2 / 3 / (0.1 * 2 / 3 + 0.8 / 4))
    assert m.accuracy(rare)[0] == pytest.approx(0.8 * 3 / 4 + 0.1 * 2 / 3 + 0.1)
    missing = m.at_prevalence(np.array([[1, 1, 1, 1, 0, 0, 0, 1.0]]), TRUTH, (0.8, 0.1, 0.1))
    assert np.isnan(m.accuracy(m.confusion(missing, TRUTH, ANSWER, 3))[0])  # undefined for a resampling without a class


def test_whole_events_are_resampled() -> None:
    group = np.repeat(np.arange(20), 50)
    for w in resamples(group, 200):
        assert (w.reshape(-1, 20, 50) == w.reshape(-1, 20, 50)[..., :1]).all()
        assert (w.sum(1) == 1000).all()
    values = np.repeat(np.arange(20) % 2, 50).astype(float)  # all records of an event are right, or all are wrong
    e = estimate(group, lambda w: m.mean(w, values))
    assert (e.n_groups, e.n_records, e.value) == (20, 1000, 0.5)
    assert 0.2 < e.low < 0.35  # twenty events of a half: 0.5 ± 1.96 * 0.11; by records alone 0.47 to 0.53
    assert 0.65 < e.high < 0.8


def test_shuffled_labels_bring_every_figure_to_chance() -> None:
    rng = np.random.default_rng(5)
    n = 3000
    logits = rng.standard_normal((n, 3)) * 2
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    label = rng.permutation(p.argmax(1))  # a perfect model, except for the shuffle
    group, answer, one = np.arange(n), p.argmax(1), np.ones((1, n))
    share = np.bincount(label) / n

    def chance(value: float, low: float | None, high: float | None, expected: float) -> None:
        assert low is not None
        assert high is not None
        assert low - 0.02 <= expected <= high + 0.02, (value, low, high, expected)

    def confused(w: np.ndarray) -> np.ndarray:
        return m.confusion(w, label, answer, 3)

    for k in range(3):
        for figure, expected in ((m.sensitivity, share[k]), (m.precision, share[k]), (m.specificity, 1 - share[k])):
            e = estimate(group, lambda w, f=figure, k=k: f(confused(w), k), 200)  # type: ignore[misc]  # a lambda
            chance(e.value, e.low, e.high, float(expected))
        area = estimate(group, lambda w, k=k: m.auc(w, p[:, k], label == k), 200)  # type: ignore[misc]  # a lambda
        chance(area.value, area.low, area.high, 0.5)
    assert m.balanced_accuracy(confused(one))[0] == pytest.approx(1 / 3, abs=0.03)
    magnitude = rng.uniform(0, 3, n)
    assert m.kendall(np.ones((1, 800)), magnitude[:800], rng.permutation(magnitude[:800]))[0] == pytest.approx(
        0, abs=0.06
    )
