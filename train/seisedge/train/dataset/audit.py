"""The nuisance audit: how well can the label be predicted from properties that are unrelated to the ground motion?

For each nuisance (sampling rate, components, length, kind of sensor, stored
type, station, source) the predictor is a lookup table: for
each value of the nuisance, the label that is most probable there. It is evaluated by five-fold cross-validation over
events. Every label has the same weight, and so has every event of a label; the chance level is therefore 1/labels
for any class balance. The interval is a bootstrap over events. A nuisance that predicts the label better than chance is
a shortcut: a network may learn it instead of the waveform.

For magnitudes the predictor is the mean magnitude for each value of the nuisance. The score is the share of variance
explained on events that were not used for the fit: 0 is no better than the overall mean, below 0 is worse.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seisedge.runtime.records.channelcode import is_accelerometer
from seisedge.train.bootstrap import estimate
from seisedge.train.dataset.survey import Trace
from seisedge.train.dataset.vocabulary import LABEL_OF_KIND

N_FOLDS = 5
MIN_EVENTS = 10  # for each label; fewer events give no reliable estimate
DRAWS = 400

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

NUISANCES: dict[str, Callable[[Trace], str]] = {
    "sampling rate": lambda t: f"{t.rate_hz:g} Hz",
    "components": lambda t: "".join(sorted(t.components)),
    "length": lambda t: f"{t.length_s:.1f} s",
    "rate, components and length": lambda t: f"{t.rate_hz:g} Hz, {''.join(sorted(t.components))}, {t.length_s:.1f} s",
    "kind of sensor": lambda t: "accelerometer" if is_accelerometer(t.channel.rpartition(".")[2]) else "other",
    "stored type": lambda t: t.stored,
    "station": lambda t: t.station,
    "source": lambda t: t.source,
}


@dataclass(frozen=True, slots=True)
class Guess:
    """Cross-validated balanced accuracy of predicting the label from one nuisance, with its 95 % interval.

    sees: the nuisance. chance: accuracy of random guessing. values: number of different values of the nuisance.
    """

    sees: str
    accuracy: float
    low: float
    high: float
    chance: float
    values: int

    @property
    def beats_chance(self) -> bool:
        """True if the accuracy is more than three standard errors above chance.

        The standard error follows from the interval. Three, not two, because several nuisances are tested.
        """
        return self.accuracy - self.chance > 3 / 1.96 * (self.accuracy - self.low)


def too_few(traces: Sequence[Trace], what: str) -> str:
    """The reason why there are too few events for an audit; empty if there are enough.

    Events that share samples count once.
    """
    groups, events = len({t.group or t.event for t in traces}), len({t.event for t in traces})
    if groups >= MIN_EVENTS:
        return ""
    of = f" (of {events}; events that share samples count once)" if events > groups else ""
    return f"{groups} events {what}{of} are too few; at least {MIN_EVENTS} are needed"


def audit(traces: Sequence[Trace]) -> tuple[list[Guess], str]:
    """The result for each nuisance; or an empty list and the reason why there is no result."""
    used = [t for t in traces if t.kind in LABEL_OF_KIND]
    names = sorted({LABEL_OF_KIND[t.kind] for t in used})
    label = np.array([names.index(LABEL_OF_KIND[t.kind]) for t in used], dtype=np.int64)
    group = np.array([t.group or t.event for t in used])
    if len(names) < 2:
        return [], f"at least two labels are needed; the data have {', '.join(names) or 'none'}"
    for k, name in enumerate(names):
        if few := too_few([t for t, of in zip(used, label, strict=True) if of == k], f"of label {name}"):
            return [], few
    out = []
    for sees, value in NUISANCES.items():
        cell = np.unique([value(t) for t in used], return_inverse=True)[1].astype(np.int64)
        out.append(guess_from(sees, cell, label, group))
    return out, ""


@dataclass(frozen=True, slots=True)
class Explained:
    """Cross-validated share of the variance of magnitudes explained by one nuisance, with its 95 % interval."""

    sees: str
    share: float
    low: float
    high: float
    values: int

    @property
    def beats_chance(self) -> bool:
        """True if the share is more than three standard errors above 0."""
        return self.share > 3 / 1.96 * (self.share - self.low)


def audit_magnitudes(traces: Sequence[Trace]) -> tuple[list[Explained], str]:
    """The result for each nuisance; or an empty list and the reason why there is no result."""
    used = [t for t in traces if t.kind in LABEL_OF_KIND and t.magnitude is not None]
    group = np.array([t.group or t.event for t in used])
    if few := too_few(used, "with a magnitude"):
        return [], few
    magnitude = np.array([t.magnitude for t in used], dtype=np.float64)
    out = []
    for sees, value in NUISANCES.items():
        cell = np.unique([value(t) for t in used], return_inverse=True)[1].astype(np.int64)
        out.append(explained_from(sees, cell, magnitude, group))
    return out, ""


def explained_from(sees: str, cell: Ints, magnitude: Floats, group: npt.NDArray[np.str_]) -> Explained:
    """cell (index of the nuisance's value), magnitude, group: (records,)."""
    _, place, size = np.unique(group, return_inverse=True, return_counts=True)
    weight = 1.0 / size[place]
    fold = _folds(group, np.zeros(len(cell), dtype=np.int64))
    guess, baseline = np.zeros(len(cell)), np.zeros(len(cell))
    for k in range(N_FOLDS):
        fit, held_out = fold != k, fold == k
        mean = float(np.average(magnitude[fit], weights=weight[fit]))
        total = np.bincount(cell[fit], weight[fit], minlength=int(cell.max()) + 1)
        summed = np.bincount(cell[fit], (weight * magnitude)[fit], minlength=len(total))
        table = np.where(total > 0, summed / np.maximum(total, 1e-12), mean)  # a value not in the fit: the overall mean
        guess[held_out], baseline[held_out] = table[cell[held_out]], mean

    def share(times: Floats) -> Floats:
        w = weight * times
        return 1 - (w @ (magnitude - guess) ** 2) / np.maximum(w @ (magnitude - baseline) ** 2, 1e-12)

    e = estimate(group, share, draws=DRAWS)
    return Explained(sees, e.value, e.low, e.high, int(cell.max()) + 1)


def guess_from(sees: str, cell: Ints, label: Ints, group: npt.NDArray[np.str_]) -> Guess:
    """cell (index of the nuisance's value), label, group: (records,)."""
    _, place, size = np.unique(
        np.char.add(np.char.add(group, "/"), label.astype(str)), return_inverse=True, return_counts=True
    )
    weight = 1.0 / size[place]  # each event of a label has the same weight, whatever its number of records
    fold = _folds(group, label)
    n_labels, n_cells = int(label.max()) + 1, int(cell.max()) + 1
    hit = np.zeros(len(label))
    for k in range(N_FOLDS):
        fit, held_out = fold != k, fold == k
        votes = np.zeros((n_cells, n_labels))
        np.add.at(votes, (cell[fit], label[fit]), weight[fit])
        likelihood = votes / np.maximum(votes.sum(0), 1e-12)
        best = likelihood.max(1, keepdims=True)
        share = np.where(
            best > 0, (likelihood >= best * (1 - 1e-9)) / 1.0, 1.0
        )  # ties and values not in the fit: equal shares
        share /= share.sum(1, keepdims=True)
        hit[held_out] = share[cell[held_out], label[held_out]]

    def balanced(times: Floats) -> Floats:
        member = weight[:, None] * np.eye(n_labels)[label]
        return np.asarray(np.mean((times @ (hit[:, None] * member)) / np.maximum(times @ member, 1e-12), axis=1))

    e = estimate(group, balanced, draws=DRAWS)
    return Guess(sees, e.value, e.low, e.high, 1 / n_labels, n_cells)


def _folds(group: npt.NDArray[np.str_], label: Ints) -> Ints:
    """Fold of each record. Groups are assigned to folds in turn, in the order of a hash within their first label."""
    first: dict[str, int] = {}
    for g, k in zip(group.tolist(), label.tolist(), strict=True):
        first.setdefault(g, k)
    order = sorted(first, key=lambda g: (first[g], hashlib.sha256(g.encode()).hexdigest()))
    fold = {g: i % N_FOLDS for i, g in enumerate(order)}
    return np.array([fold[g] for g in group.tolist()], dtype=np.int64)
