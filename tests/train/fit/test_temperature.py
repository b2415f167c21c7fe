"""The temperature: it corrects overconfidence, on which windows, and with which weights."""

from __future__ import annotations

import dataclasses
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]  # scipy publishes no types
from scipy.special import logsumexp  # type: ignore[import-untyped]  # scipy publishes no types
from torch import Tensor

from seisedge.runtime.engines.onnxruntime import OnnxRuntimeEngine
from seisedge.train.archive.archive import Archive, Record
from seisedge.train.archive.cutter import WindowCutter
from seisedge.train.archive.mixture import with_sources
from seisedge.train.evaluation.predict import predict, training_windows
from seisedge.train.fit.loop import Trained
from seisedge.train.fit.temperature import Outputs, best_temperature, fit_temperature, target_of
from seisedge.train.models import create_model
from seisedge.train.models._base import EventTypeModel, Geometry, MagnitudeModel
from seisedge.train.recipes.recipe import load_recipe

CPU = torch.device("cpu")


@pytest.mark.parametrize("factor", [0.8, 2.0, 3.0])
def test_temperature_corrects_overconfidence(factor: float) -> None:
    rng = np.random.default_rng(1)
    n = 6000
    logits = rng.standard_normal((n, 3)) * 2
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    label = (p.cumsum(1) < rng.random((n, 1))).sum(1)
    model = create_model("ganet_small")
    right = Outputs(torch.from_numpy(logits * factor).float(), label, np.ones(n))
    wrong = Outputs(torch.from_numpy(logits * 9).float(), label[::-1].copy(), np.zeros(n))  # weight 0
    assert best_temperature(model, [right, wrong]) == pytest.approx(factor, rel=0.08)
    assert float(model.temperature) == 1.0
    assert best_temperature(model, [wrong]) == 1.0


def test_kinds_and_noise_have_the_same_total_weight(few: Archive) -> None:
    recipe, _ = with_sources(load_recipe("event-type"), few)
    model = create_model(recipe.model, width=8)
    windows = training_windows(recipe, model, few, lambda r: r.split == "train", 3.0)
    label, weight = target_of(model, few, windows, {})
    records = [few.records[i] for i in windows.record]
    noise = label == model.labels.index("noise")
    kind = np.where(noise, "noise", [r.kind for r in records])
    assert {k: round(float(weight[kind == k].sum()), 6) for k in np.unique(kind)} == dict.fromkeys(
        ["blast", "mass movement", "noise", "tectonic"], 1.0
    )
    visible = np.array([r.visible for r in records])
    assert not visible[~noise].all()
    assert not weight[~visible & ~noise].any()
    assert weight[noise].all()


def test_magnitudes_without_a_gain_have_no_weight(few: Archive) -> None:
    recipe, _ = with_sources(load_recipe("magnitude"), few)
    model = create_model(recipe.model, **(recipe.arguments | {"width": 8}))
    assert isinstance(model, MagnitudeModel)
    windows = training_windows(recipe, model, few, lambda r: r.split == "train", 3.0)
    records = [few.records[i] for i in windows.record]
    known = np.array([r.gain is not None for r in records])
    visible = np.array([r.visible for r in records])
    term = next(r.station for r, k in zip(records, known, strict=True) if not k)
    _, weight = target_of(model, few, windows, {term: 0.1})
    fitted = np.array([r.station == term for r in records])
    assert weight.astype(bool).tolist() == (visible & (known | fitted)).tolist()


def test_only_the_chosen_records_are_used(few: Archive) -> None:
    """Changing records that are not chosen does not change the temperature."""
    recipe, _ = with_sources(load_recipe("event-type", {"nuisance.answers_s": [3.0]}), few)
    torch.manual_seed(0)
    model = create_model(recipe.model, width=8)

    def chosen(r: Record) -> bool:
        return r.split == "train" and r.fold == 0

    found = fit_temperature(recipe, Trained(model, {}), few, chosen, CPU)
    wave = few.waveform.copy()
    for i, r in enumerate(few.records):
        if not chosen(r):
            wave[i] = 0
    assert fit_temperature(recipe, Trained(model, {}), dataclasses.replace(few, waveform=wave), chosen, CPU) == found


class BundledModel(EventTypeModel):
    """The answers of the bundled model at another temperature: its probabilities to the power of `factor`."""

    def __init__(self, factor: float) -> None:
        engine = OnnxRuntimeEngine(Path(str(resources.files("seisedge.runtime") / "models" / "event-type.onnx")))
        card = engine.card
        geometry = Geometry(card.n_samples, card.sampling_rate_hz, card.onset_s)
        super().__init__(geometry, list(card.labels), card.band_hz)
        self.engine, self.factor = engine, factor

    def raw(self, waveform: Tensor, valid: Tensor) -> Tensor:
        p, _ = self.engine.infer(waveform.numpy(), valid.numpy())
        return self.factor * torch.from_numpy(np.array(p)).clamp(min=1e-9).log()


def test_noise_windows_weigh_as_much_as_a_kind_of_event(few: Archive) -> None:
    """The temperature fitted to answers of the bundled model, against a fit by scipy with weights by hand."""
    answer_s = 10.0
    recipe, _ = with_sources(load_recipe("event-type", {"nuisance.answers_s": [answer_s]}), few)
    model = BundledModel(factor=3.0)

    def chosen(r: Record) -> bool:
        return r.split == "test"

    windows = training_windows(recipe, model, few, chosen, answer_s)
    cutter = WindowCutter(few, model.geometry, CPU)
    raw = np.concatenate(
        [predict(model, few, cutter, windows.draw(model.geometry, answer_s, v), {}).numpy() for v in (False, True)]
    )
    label = np.tile(windows.label, 2)
    records = [few.records[i] for i in windows.record] * 2
    kind = np.array(["noise" if k == 2 else r.kind for r, k in zip(records, label, strict=True)])
    kind[[k != "noise" and not r.visible for r, k in zip(records, kind, strict=True)]] = "invisible"

    def best(noise_weight: float) -> float:
        total = {"invisible": 0.0, "noise": noise_weight}
        weight = np.array([total.get(k, 1.0) / (kind == k).sum() for k in kind])

        def loss(log_temperature: float) -> float:
            z = raw.astype(np.float64) / np.exp(log_temperature)
            return -float(weight @ (z[np.arange(len(z)), label] - logsumexp(z, axis=1)))

        return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.5), np.log(4.0)), method="bounded").x))

    found = fit_temperature(recipe, Trained(model, {}), few, chosen, CPU)
    assert found == pytest.approx(best(1.0), rel=0.03)  # candidates are 5 % apart
    assert best(0.0) > 1.1 * found > 1.2 * best(3.0)  # the weight of noise matters
