"""The nuisance audit: how well is the label guessed from what has nothing to do with the ground?

For each nuisance (sampling rate, components, length, stored type, station, source) the best possible guesser is the
table itself: per value the label that is likeliest there. It is fitted on four fifths of the events and asked on the
last, in turn. Every label counts the same, and every event of a label, so that blind guessing scores 1/labels
whatever the balance of the set; the interval is a bootstrap over events. A nuisance that scores above chance is a
shortcut that a network may take instead of listening.

Of magnitudes the guesser is the mean per value, and the score the share of the variance that it explains on events
it was not fitted on: 0 is blind, below 0 worse than that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seisedge.train.bootstrap import estimate
from seisedge.train.dataset.survey import Trace
from seisedge.train.dataset.vocabulary import LABEL_OF_KIND

N_FOLDS = 5
MIN_EVENTS = 10  # of a label; fewer say nothing
DRAWS = 400

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

SEES: dict[str, Callable[[Trace], str]] = {
    "sampling rate": lambda t: f"{t.rate_hz:g} Hz",
    "components": lambda t: "".join(sorted(t.components)),
    "length": lambda t: f"{t.length_s:.1f} s",
    "rate, components and length": lambda t: f"{t.rate_hz:g} Hz, {''.join(sorted(t.components))}, {t.length_s:.1f} s",
    "stored type": lambda t: t.stored,
    "station": lambda t: t.station,
    "source": lambda t: t.source,
}


@dataclass(frozen=True, slots=True)
class Guess:
    """Balanced accuracy of guessing the label from one nuisance, on events not fitted on, with its 95 % interval.

    chance: of blind guessing. values: how many values the nuisance has.
    """

    sees: str
    accuracy: float
    low: float
    high: float
    chance: float
    values: int

    @property
    def beats_chance(self) -> bool:
        """By more than three standard errors, read off the interval: several things are asked at once."""
        return self.accuracy - self.chance > 3 / 1.96 * (self.accuracy - self.low)


def too_few(traces: Sequence[Trace], what: str) -> str:
    """Why these events cannot be asked, in words; empty where they are enough. Those that share samples count once."""
    groups, events = len({t.group or t.event for t in traces}), len({t.event for t in traces})
    if groups >= MIN_EVENTS:
        return ""
    of = f" (of {events}, those that share samples counted once)" if events > groups else ""
    return f"{groups} events {what}{of} are too few; {MIN_EVENTS} are needed"


def audit(traces: Sequence[Trace]) -> tuple[list[Guess], str]:
    """A guess per nuisance; or none, and why not, in words."""
    used = [t for t in traces if t.kind in LABEL_OF_KIND]
    names = sorted({LABEL_OF_KIND[t.kind] for t in used})
    label = np.array([names.index(LABEL_OF_KIND[t.kind]) for t in used], dtype=np.int64)
    group = np.array([t.group or t.event for t in used])
    if len(names) < 2:
        return [], f"only one label is there ({', '.join(names) or 'none'})"
    for k, name in enumerate(names):
        if few := too_few([t for t, of in zip(used, label, strict=True) if of == k], f"of label {name}"):
            return [], few
    out = []
    for sees, value in SEES.items():
        cell = np.unique([value(t) for t in used], return_inverse=True)[1].astype(np.int64)
        out.append(guess_from(sees, cell, label, group))
    return out, ""


@dataclass(frozen=True, slots=True)
class Explained:
    """Share of the variance of magnitudes explained by one nuisance, on events not fitted on; 95 % interval."""

    sees: str
    share: float
    low: float
    high: float
    values: int

    @property
    def beats_chance(self) -> bool:
        """As of `Guess`."""
        return self.share > 3 / 1.96 * (self.share - self.low)


def audit_magnitudes(traces: Sequence[Trace]) -> tuple[list[Explained], str]:
    """What explains the magnitudes per nuisance; or nothing, and why not, in words."""
    used = [t for t in traces if t.kind in LABEL_OF_KIND and t.magnitude is not None]
    group = np.array([t.group or t.event for t in used])
    if few := too_few(used, "with a magnitude"):
        return [], few
    magnitude = np.array([t.magnitude for t in used], dtype=np.float64)
    out = []
    for sees, value in SEES.items():
        cell = np.unique([value(t) for t in used], return_inverse=True)[1].astype(np.int64)
        out.append(explained_from(sees, cell, magnitude, group))
    return out, ""


def explained_from(sees: str, cell: Ints, magnitude: Floats, group: npt.NDArray[np.str_]) -> Explained:
    """cell, magnitude, group: (records,)."""
    _, place, size = np.unique(group, return_inverse=True, return_counts=True)
    weight = 1.0 / size[place]
    fold = _folds(group, np.zeros(len(cell), dtype=np.int64))
    guess, blind = np.zeros(len(cell)), np.zeros(len(cell))
    for k in range(N_FOLDS):
        fit, ask = fold != k, fold == k
        mean = float(np.average(magnitude[fit], weights=weight[fit]))
        total = np.bincount(cell[fit], weight[fit], minlength=int(cell.max()) + 1)
        summed = np.bincount(cell[fit], (weight * magnitude)[fit], minlength=len(total))
        table = np.where(total > 0, summed / np.maximum(total, 1e-12), mean)  # the unseen: the mean of all
        guess[ask], blind[ask] = table[cell[ask]], mean

    def share(times: Floats) -> Floats:
        w = weight * times
        return 1 - (w @ (magnitude - guess) ** 2) / np.maximum(w @ (magnitude - blind) ** 2, 1e-12)

    e = estimate(group, share, draws=DRAWS)
    return Explained(sees, e.value, e.low, e.high, int(cell.max()) + 1)


def guess_from(sees: str, cell: Ints, label: Ints, group: npt.NDArray[np.str_]) -> Guess:
    """cell, label, group: (records,)."""
    _, place, size = np.unique(
        np.char.add(np.char.add(group, "/"), label.astype(str)), return_inverse=True, return_counts=True
    )
    weight = 1.0 / size[place]  # an event of a label weighs the same, however many records it has
    fold = _folds(group, label)
    n_labels, n_cells = int(label.max()) + 1, int(cell.max()) + 1
    hit = np.zeros(len(label))
    for k in range(N_FOLDS):
        fit, ask = fold != k, fold == k
        votes = np.zeros((n_cells, n_labels))
        np.add.at(votes, (cell[fit], label[fit]), weight[fit])
        likelihood = votes / np.maximum(votes.sum(0), 1e-12)
        best = likelihood.max(1, keepdims=True)
        share = np.where(best > 0, (likelihood >= best * (1 - 1e-9)) / 1.0, 1.0)  # ties and the unseen: in equal parts
        share /= share.sum(1, keepdims=True)
        hit[ask] = share[cell[ask], label[ask]]

    def balanced(times: Floats) -> Floats:
        member = weight[:, None] * np.eye(n_labels)[label]
        return np.asarray(np.mean((times @ (hit[:, None] * member)) / np.maximum(times @ member, 1e-12), axis=1))

    e = estimate(group, balanced, draws=DRAWS)
    return Guess(sees, e.value, e.low, e.high, 1 / n_labels, n_cells)


def _folds(group: npt.NDArray[np.str_], label: Ints) -> Ints:
    """Folds by group, dealt within the group's first label in the order of a hash."""
    first: dict[str, int] = {}
    for g, k in zip(group.tolist(), label.tolist(), strict=True):
        first.setdefault(g, k)
    order = sorted(first, key=lambda g: (first[g], hashlib.sha256(g.encode()).hexdigest()))
    fold = {g: i % N_FOLDS for i, g in enumerate(order)}
    return np.array([fold[g] for g in group.tolist()], dtype=np.int64)
