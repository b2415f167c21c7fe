"""Temperature and the classical baselines on cases with a known answer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from seisedge.train.archive.archive import Archive
from seisedge.train.evaluation import calibrate
from seisedge.train.evaluation.baselines import Measured, bandpassed, design, event_weight, fit_predict, measure
from seisedge.train.evaluation.evaluate import Answers
from seisedge.train.evaluation.predict import Windows, magnitude_from_bins, probabilities_of
from seisedge.train.fit.loop import Trained
from seisedge.train.models import create_model
from seisedge.train.recipes.recipe import load_recipe


@pytest.mark.parametrize("factor", [0.8, 2.0, 3.0])
def test_temperature_undoes_overconfidence(monkeypatch: pytest.MonkeyPatch, archive: Archive, factor: float) -> None:
    rng = np.random.default_rng(1)
    n = 6000
    logits = rng.standard_normal((n, 3)) * 2
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    label = (p.cumsum(1) < rng.random((n, 1))).sum(1)
    model = create_model("ganet_small")
    raw = torch.from_numpy(logits * factor).float()
    ints = np.zeros(n, np.int64)
    facts = {"visible": np.ones(n, bool), "kind": np.array(["blast"] * n)}
    answer = Answers(3.0, False, Windows(ints, label, ints, ints), raw, probabilities_of(model, raw), facts)

    def answers(*_: object) -> Iterator[Answers]:
        yield answer

    monkeypatch.setattr(calibrate, "answers_of", answers)
    recipe = load_recipe("event-type")
    found = calibrate.fit_temperature(recipe, Trained(model, {}), archive, lambda r: True, torch.device("cpu"))
    assert found == pytest.approx(factor, rel=0.08)
    assert float(model.temperature) == 1.0


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
    assert ((a.log_peak > -8.5) & (a.log_peak < -3)).all()  # micrometres per second, give or take
    assert a.duration_s.max() <= 10.0


def test_band_of_the_baseline() -> None:
    t = np.arange(4000) / 40
    for frequency_hz, kept in ((0.5, False), (5.0, True), (18.0, False)):
        y = bandpassed(np.sin(2 * np.pi * frequency_hz * t), 40.0)[400:-400]
        assert (y.std() > 0.7) == kept


def test_records_of_an_event_share_one_weight() -> None:
    assert event_weight(np.array(["a", "b", "a", "a"])).tolist() == pytest.approx([1 / 3, 1, 1 / 3, 1 / 3])
