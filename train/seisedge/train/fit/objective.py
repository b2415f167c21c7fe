"""Model, station terms and loss in one module, which is trained, compiled, and distributed over processes."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import Archive
from seisedge.train.archive.gains import UNKNOWN_GAIN
from seisedge.train.fit.losses import balanced_weight, criterion_from
from seisedge.train.models._base import BinnedMagnitudeModel, EventTypeModel, MagnitudeModel, Model, OnsetModel
from seisedge.train.recipes.recipe import Recipe

SMALLEST = 1e-7  # probability
TEACHER_WEIGHT = 4.0  # weight of the divergence from the teacher, relative to the loss on labels

ONSET_SCORE = "share of P hops found"


class RecordFacts(nn.Module):
    """For each record: the gain used, the index of its station term, whether the term applies (`unknown`), the
    magnitude, and the log10 distance.
    """

    gain: Tensor
    index: Tensor
    unknown: Tensor
    magnitude: Tensor
    log_distance: Tensor

    def __init__(self, archive: Archive) -> None:
        super().__init__()
        records = archive.records
        self.stations = sorted({r.station for r in records if r.gain is None})
        place = {station: i for i, station in enumerate(self.stations)}
        columns: dict[str, list[float]] = {
            "gain": [UNKNOWN_GAIN if r.gain is None else r.gain for r in records],
            "unknown": [float(r.gain is None) for r in records],
            "magnitude": [math.nan if r.magnitude is None else r.magnitude for r in records],
            "log_distance": [
                math.nan if r.distance_km is None else math.log10(max(r.distance_km, 1.0)) for r in records
            ],
        }
        for name, values in columns.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)
        index = [place.get(r.station, 0) if r.gain is None else 0 for r in records]
        self.register_buffer("index", torch.tensor(index), persistent=False)


class BatchObjective(nn.Module, abc.ABC):
    """The loss of a batch and its score, of one task. terms: station terms that are trained; None: there are none."""

    terms: nn.Parameter | None

    @property
    @abc.abstractmethod
    def score_name(self) -> str:
        """Name of the score that `forward` returns."""

    @property
    def stations(self) -> Sequence[str]:
        """The stations of `terms`."""
        return []

    def set_terms(self, station_term: Mapping[str, float]) -> None:
        """Set the initial station terms (log10), where there are any; other stations keep theirs."""


class Objective(BatchObjective):
    """forward(x, valid, label, record, shift) → mean loss of the batch, and its score: accuracy for event types, mean
    absolute error for magnitudes.
    """

    def __init__(
        self, recipe: Recipe, model: Model, facts: RecordFacts, counts: Tensor, teacher: Model | None = None
    ) -> None:
        """counts: (labels,), how often each label is drawn; used by a weighted loss. teacher: a model whose
        probabilities are learned in addition to the labels. Raises InputError.
        """
        super().__init__()
        o = recipe.optimisation
        # In a list, so that it is not registered: neither trained nor stored
        self._teacher = [teacher] if teacher is not None else []
        self.spec, self.model, self.facts = o, model, facts
        ordered = model.task == "magnitude"
        criterion = criterion_from(o.loss, ordered, balanced_weight(counts.float()), o.label_smoothing, o.focal_gamma)
        self.criterion = criterion
        self.terms = nn.Parameter(torch.zeros(max(len(facts.stations), 1))) if ordered else None
        if isinstance(model, BinnedMagnitudeModel):
            model.criterion = criterion
        elif isinstance(model, MagnitudeModel) and o.loss != "cross-entropy":
            raise InputError(
                f"optimisation.loss '{o.loss}': model '{recipe.model}' defines its own likelihood; remove the key"
            )

    def forward(self, x: Tensor, valid: Tensor, label: Tensor, record: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        """x, valid: (batch, 3, n), counts; label, record: (batch,) int64; shift: (batch,), log10 of a factor by which
        amplitude and magnitude grow together. With `consistency` the second half of the batch is another copy of the
        windows of the first, and the loss contains the divergence between both.
        """
        loss, score, raw = self.outcome(x, valid, label, record, shift)
        if self.spec.consistency:
            loss = loss + self.spec.consistency * disagreement(self.model.probabilities(raw.float()))
        return loss, score

    def outcome(
        self, x: Tensor, valid: Tensor, label: Tensor, record: Tensor, shift: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As `forward`, and the output of `raw` of the model, (batch, k)."""
        model, o = self.model, self.spec
        if isinstance(model, EventTypeModel):
            logits = model.raw(x, valid).float()
            right = (logits.argmax(1) == label).float().mean()
            loss = self.criterion(logits, label).mean()
            return (loss + self.divergence(x, valid) if self._teacher else loss), right, logits
        if not isinstance(model, MagnitudeModel) or self.terms is None:
            raise TypeError(f"no loss for {type(model).__name__}")
        f = self.facts
        ground = x * (10**shift / f.gain[record])[:, None, None]
        term = self.term(record)
        magnitude = f.magnitude[record] + shift
        likelihood, distance, expected, raw = model.losses(ground, valid, magnitude, term, f.log_distance[record])
        loss = likelihood.mean() + o.distance_weight * distance.mean() + o.station_weight * self.terms.square().sum()
        if self._teacher:
            loss = loss + self.divergence(self.in_unit(x * 10 ** shift[:, None, None], record), valid)
        known = torch.isfinite(magnitude)
        error = torch.where(known, (expected - magnitude).abs(), 0.0).sum() / known.sum().clamp(min=1)
        return loss, error.detach(), raw

    def term(self, record: Tensor) -> Tensor:
        """(batch,): log10 of gain / nominal gain; 0 if the gain is known. record: (batch,) int64."""
        if self.terms is None:
            return torch.zeros(len(record), device=record.device)
        return self.terms[self.facts.index[record]] * self.facts.unknown[record]

    def in_unit(self, x: Tensor, record: Tensor) -> Tensor:
        """x (batch, 3, n) converted from counts to the model's unit, by the gain, or by nominal gain and
        station term.
        """
        if self.model.unit == "counts":
            return x
        return x / (self.facts.gain[record] * 10 ** self.term(record).detach())[:, None, None]

    @property
    def stations(self) -> Sequence[str]:
        return self.facts.stations

    @torch.no_grad()
    def set_terms(self, station_term: Mapping[str, float]) -> None:
        if self.terms is not None:
            for i, station in enumerate(self.facts.stations):
                self.terms[i] = station_term.get(station, 0.0)

    def divergence(self, x: Tensor, valid: Tensor) -> Tensor:
        """TEACHER_WEIGHT times the mean Kullback-Leibler divergence of the model's probabilities from the teacher's;
        x: (batch, 3, n) in the model's unit.
        """
        with torch.no_grad():
            wanted: Tensor = self._teacher[0].eval()(x, valid).float()
        got: Tensor = self.model(x, valid).float().clamp(min=SMALLEST)
        return TEACHER_WEIGHT * (wanted * (wanted.clamp(min=SMALLEST).log() - got.log())).sum(1).mean()

    @property
    def score_name(self) -> str:
        return "accuracy" if self.model.task == "event_type" else "mean error"


def disagreement(probabilities: Tensor) -> Tensor:
    """Mean Jeffreys divergence, Σ (p - q) log(p / q), of the first half of the rows (batch, labels) from the second."""
    p, q = probabilities.clamp(min=SMALLEST).chunk(2)
    return ((p - q) * (p / q).log()).sum(1).mean()


class OnsetObjective(BatchObjective):
    """forward(x, valid, picks, picks_weight, kind, kind_weight) → mean loss of the batch, and its score: the share of
    the hops with a P onset whose probability is above one half.
    """

    def __init__(self, recipe: Recipe, model: OnsetModel) -> None:
        super().__init__()
        self.spec, self.model, self.terms = recipe.detector, model, None

    def forward(
        self, x: Tensor, valid: Tensor, picks: Tensor, picks_weight: Tensor, kind: Tensor, kind_weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        """x, valid: (batch, 3, n); picks, picks_weight: (batch, hops, 2); kind, kind_weight: (batch, hops)."""
        logits = self.model.raw(x, valid).float()
        weight = picks_weight * torch.where(picks > 0, self.spec.onset_weight, 1.0)
        entropy = F.binary_cross_entropy_with_logits(logits[..., :2], picks, weight=weight, reduction="none")
        arrivals = entropy.sum((0, 1)) / picks_weight.sum((0, 1)).clamp(min=1.0)
        classes = F.cross_entropy(logits[..., 2:].flatten(0, 1), kind.flatten(), reduction="none")
        which = (classes * kind_weight.flatten()).sum() / kind_weight.sum().clamp(min=1.0)
        loss = self.spec.p_weight * arrivals[0] + self.spec.s_weight * arrivals[1] + self.spec.class_weight * which
        there = (picks[..., 0] > 0) & (picks_weight[..., 0] > 0)
        found = ((logits[..., 0] > 0) & there).sum() / there.sum().clamp(min=1)
        return loss, found.float().detach()

    @property
    def score_name(self) -> str:
        return ONSET_SCORE
