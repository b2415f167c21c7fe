"""The classical baselines on cases with a known answer."""

from __future__ import annotations

import numpy as np
import pytest

from seisedge.runtime.errors import FailedError
from seisedge.train.archive.archive import Archive
from seisedge.train.evaluation.baselines import (
    Measured,
    design,
    event_weight,
    fit_logistic,
    fit_predict,
    logistic,
    measure,
)
from seisedge.train.evaluation.predict import magnitude_from_bins


def test_expected_magnitude_of_bins() -> None:
    edges = [None, 0.0, 0.1, 0.2, None]
    p = np.array([[0, 1, 0, 0], [0, 0.5, 0.5, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    assert magnitude_from_bins(p, edges) == pytest.approx([0.05, 0.1, -0.2, 0.4])


def test_regression_recovers_its_coefficients() -> None:
    rng = np.random.default_rng(2)
    peak, distance = rng.uniform(-8, -5, 50), rng.uniform(5, 60, 50)
    measured = Measured(peak, np.ones(50), distance)
    magnitude = 7.0 + 0.9 * peak + 1.4 * np.log10(distance)
    x = design(measured, distance=True, duration=False)
    assert fit_predict(x[:40], magnitude[:40], np.ones(40), x[40:]) == pytest.approx(magnitude[40:], abs=1e-9)


def test_measured_peak_is_ground_velocity(archive: Archive) -> None:
    index = archive.indices(source="ridgecrest")[:5]
    gain = np.array([archive.records[i].gain for i in index], dtype=float)
    a, b = measure(archive, index, gain, 10.0), measure(archive, index, gain * 10, 10.0)
    assert a.log_peak - b.log_peak == pytest.approx(np.ones(5))
    assert ((a.log_peak > -8.5) & (a.log_peak < -3)).all()  # of the order of micrometres per second
    assert a.duration_s.max() <= 10.0


def test_records_of_an_event_share_one_weight() -> None:
    assert event_weight(np.array(["a", "b", "a", "a"])).tolist() == pytest.approx([1 / 3, 1, 1 / 3, 1 / 3])


def test_logistic_regression_recovers_its_coefficients() -> None:
    """The fitted probabilities of each class sum to its share."""
    x = np.array([[1.0, 0.0], [1.0, 1.0]])
    shares = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    rows, label = np.repeat(x, 3, axis=0), np.tile(np.arange(3), 2)
    beta = fit_logistic(rows, label, 3, shares.ravel(), ridge=1e-9)
    assert logistic(x, beta) == pytest.approx(shares, abs=1e-4)
    heavy = fit_logistic(rows, label, 3, shares.ravel(), ridge=1e3)
    assert logistic(x, heavy) == pytest.approx(np.full((2, 3), 1 / 3), abs=1e-2)


def test_a_logistic_regression_that_does_not_converge_is_an_error() -> None:
    with pytest.raises(FailedError, match="does not converge"):
        fit_logistic(np.array([[1.0, np.nan], [1.0, 2.0]]), np.array([0, 1]), 2, np.ones(2))
