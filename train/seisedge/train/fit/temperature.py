"""The temperature of a model: one number, fitted on records held out of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seisedge.runtime.inference.estimate import bins_of
from seisedge.train.archive.archive import Archive
from seisedge.train.archive.cutter import WindowCutter
from seisedge.train.archive.task import RecordFilter
from seisedge.train.evaluation.predict import (
    FixedWindows,
    Floats,
    Ints,
    facts,
    noise_label,
    predict,
    probabilities_of,
    training_windows,
)
from seisedge.train.fit.loop import Trained
from seisedge.train.models._base import MagnitudeModel, Model
from seisedge.train.recipes.recipe import Recipe

CANDIDATES = np.exp(np.linspace(np.log(0.5), np.log(4.0), 43))


@dataclass(frozen=True)
class Outputs:
    """raw: outputs (n, k) of a model before the temperature. label, weight: (n,), true label and weight of
    each window.
    """

    raw: Tensor
    label: Ints
    weight: Floats


def fit_temperature(
    recipe: Recipe, trained: Trained, archive: Archive, chosen: RecordFilter, device: torch.device
) -> float:
    """Fit on the chosen records at every answer length, with all components and with the vertical only."""
    model = trained.model
    cutter = WindowCutter(archive, model.geometry, device)
    outputs = []
    for answer_s in recipe.nuisance.answers_s:
        windows = training_windows(recipe, model, archive, chosen, answer_s)
        label, weight = target_of(model, archive, windows, trained.station_term)
        for vertical in (False, True):
            draw = windows.draw(model.geometry, answer_s, vertical)
            outputs.append(Outputs(predict(model, archive, cutter, draw, trained.station_term), label, weight))
    return best_temperature(model, outputs)


def best_temperature(model: Model, outputs: Sequence[Outputs]) -> float:
    """The candidate with the smallest mean log loss; 1 if all weights are 0."""
    if not sum(float(o.weight.sum()) for o in outputs) > 0:
        return 1.0
    keep = model.temperature.clone()
    losses = []
    for temperature in CANDIDATES:
        model.temperature.fill_(float(temperature))
        loss = 0.0
        for o in outputs:
            p = probabilities_of(model, o.raw)[np.arange(len(o.label)), o.label]
            loss -= float((o.weight * np.log(np.clip(p, 1e-9, 1))).sum())
        losses.append(loss)
    model.temperature.copy_(keep)
    return float(CANDIDATES[int(np.argmin(losses))])


def target_of(
    model: Model, archive: Archive, windows: FixedWindows, station_term: dict[str, float]
) -> tuple[Ints, Floats]:
    """True label and weight (n,) of windows.

    The weight is 0 if the signal is not visible, and for a magnitude also if the gain is unknown and the station has no
    fitted term. For event types, the weights of each kind of event, and of noise, sum to 1.
    """
    f = facts(archive, windows)
    if isinstance(model, MagnitudeModel):
        pairs = zip(f["gain"], f["station"], strict=True)
        known = np.array([gain is not None or station in station_term for gain, station in pairs], dtype=bool)
        return bins_of(model.edges, f["magnitude"]), (f["visible"] & known).astype(np.float64)
    noise = windows.label == noise_label(model.labels)
    weight = (f["visible"] | noise).astype(np.float64)
    kinds = np.where(noise, "noise", f["kind"])
    for kind in np.unique(kinds[weight > 0]):
        weight[kinds == kind] /= weight[kinds == kind].sum()
    return windows.label, weight
