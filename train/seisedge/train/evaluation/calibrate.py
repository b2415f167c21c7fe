"""Temperature: one number, fitted on records left out of training."""

from __future__ import annotations

import numpy as np
import torch

from seisedge.train.archive.archive import Archive
from seisedge.train.archive.task import Chosen
from seisedge.train.evaluation.bootstrap import Floats
from seisedge.train.evaluation.evaluate import Answers, answers_of
from seisedge.train.evaluation.predict import Ints, probabilities_of
from seisedge.train.fit.loop import Trained
from seisedge.train.models._base import MagnitudeModel, Model
from seisedge.train.recipes.recipe import Recipe

CANDIDATES = np.exp(np.linspace(np.log(0.5), np.log(4.0), 43))


def fit_temperature(recipe: Recipe, trained: Trained, archive: Archive, chosen: Chosen, device: torch.device) -> float:
    """The candidate with the least mean log loss over the chosen records and answer lengths."""
    model = trained.model
    keep = model.temperature.clone()
    answers = list(answers_of(recipe, trained, archive, chosen, device))
    targets = [target_of(model, a, trained) for a in answers]
    total = sum(float(weight.sum()) for _, weight in targets)
    losses = []
    for temperature in CANDIDATES:
        model.temperature.fill_(float(temperature))
        loss = 0.0
        for a, (label, weight) in zip(answers, targets, strict=True):
            p = probabilities_of(model, a.raw)[np.arange(len(label)), label]
            loss -= float((weight * np.log(np.clip(p, 1e-9, 1))).sum())
        losses.append(loss)
    model.temperature.copy_(keep)
    return float(CANDIDATES[int(np.argmin(losses))]) if total > 0 else 1.0


def target_of(model: Model, a: Answers, trained: Trained) -> tuple[Ints, Floats]:
    """True label and weight a window. Weight 0 where the signal cannot be seen, and for magnitude where the gain
    is unknown and the station was not trained on; every class of event, blasts apart, weighs the same.
    """
    f = a.facts
    if isinstance(model, MagnitudeModel):
        pairs = zip(f["gain"], f["station"], strict=True)
        known = np.array([gain is not None or station in trained.station_term for gain, station in pairs], dtype=bool)
        return model.bin_of(f["magnitude"]), (f["visible"] & known).astype(np.float64)
    label = a.windows.label
    weight = (f["visible"] | (label == 2)).astype(np.float64)
    kinds = np.where(label == 1, f["kind"], label.astype(str))
    for kind in np.unique(kinds[weight > 0]):
        weight[kinds == kind] /= weight[kinds == kind].sum()
    return label, weight
