"""Figures of an event type model, and the data of its plots: confusion matrix, ROC, confidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from seisedge.runtime.inference.estimate import NOISE
from seisedge.train.bootstrap import Floats, Statistics
from seisedge.train.dataset.vocabulary import KINDS
from seisedge.train.evaluation import metrics as m
from seisedge.train.evaluation.answers import Answers
from seisedge.train.evaluation.figure import MODEL, VERTICAL, Figures

Bool = npt.NDArray[np.bool_]
Prevalence = Sequence[float] | None

VISIBLE, ALL = "signal visible", "faint records included"
PAIR = "tectonic against non-tectonic, events alone"
VOTE, MEAN = "event by vote", "event by mean"


class Curve(Struct, frozen=True):
    """A ROC curve. who: the model or a baseline. points: (false positive rate, true positive rate)."""

    who: str
    answer_s: float
    points: list[tuple[float, float]]


class ConfidenceBin(Struct, frozen=True):
    """Records whose largest probability is in [low, high): numbers of right and wrong answers, and the mean of it."""

    low: float
    high: float
    right: int
    wrong: int
    mean: float | None


class Matrix(Struct, frozen=True):
    """Confusion matrix: rows are true labels, columns are answers."""

    level: str
    answer_s: float
    labels: list[str]
    counts: list[list[int]]


class TypePart(Struct):
    """Data of the plots of an event type model, in addition to the figures."""

    confusion: list[Matrix] = []
    roc: list[Curve] = []
    confidence: list[ConfidenceBin] = []  # at the last answer


def add_figures(  # noqa: C901 - one block for each group of figures
    out: Figures, labels: list[str], a: Answers, p: Floats, who: str, prevalence: Prevalence, short: bool = False
) -> None:
    """Add all figures of one answer length. p: (windows, labels), of the model or of a baseline. short: only the main
    figures, on records with a visible signal.
    """
    f, label = a.facts, a.label
    seen = f["visible"] | f["noise"]
    answer = p.argmax(1)
    group = a.group

    def add(what: str, which: Bool, statistic: Statistics, on: str = VISIBLE, needs: Sequence[Bool] = ()) -> None:
        parts = [part[which] for part in needs]
        out.add(what, group[which], statistic, on=on, who=who, answer_s=a.answer_s, needs=parts)

    def confused(w: Floats, which: Bool) -> Floats:
        w = m.at_prevalence(w, label[which], prevalence)
        return m.confusion(w, label[which], answer[which], len(labels))

    def of_class(w: Floats, figure: Callable[[Floats, int], Floats], k: int) -> Floats:
        return figure(confused(w, seen), k)

    add("accuracy", seen, lambda w: m.accuracy(confused(w, seen)))
    present = [label == k for k in np.unique(label[seen])]
    add("balanced accuracy", seen, lambda w: m.balanced_accuracy(confused(w, seen)), needs=present)
    for k, name in enumerate(labels):
        of, others = label == k, label != k
        for what, figure, needs in (
            ("sensitivity", m.sensitivity, [of]),
            ("specificity", m.specificity, [others]),
            ("precision", m.precision, [of, others]),
            ("F1", m.f1, [of, others]),
        ):
            add(f"{what}, {name}", seen, partial(of_class, figure=figure, k=k), needs=needs)
        positive = label[seen] == k
        add(f"AUC, {name}", seen, partial(m.auc, score=p[seen, k], positive=positive), needs=[of, others])
    hit, top = (answer == label).astype(np.float64), p.max(1)
    add("calibration error", seen, lambda w: m.calibration_error(w, top[seen], hit[seen]))
    if short:
        return
    surprise = -np.log(np.clip(p[np.arange(len(label)), label], 1e-9, 1))
    add("log loss", seen, lambda w: m.mean(w, surprise[seen]))
    everything = np.ones(len(label), dtype=bool)
    add("accuracy", everything, lambda w: m.accuracy(confused(w, everything)), ALL)
    for kind, member in kinds_of(a).items():
        for on, which in ((VISIBLE, seen), (ALL, everything)):
            if on == VISIBLE or kind != NOISE:  # noise has no signal that could be faint
                of = which & member
                add(f"recall, {kind}", of, partial(m.mean, x=hit[of]), on)
    for source in np.unique(f["source"]):
        of = seen & (f["source"] == source)
        add("accuracy", of, partial(m.mean, x=hit[of]), f"{VISIBLE}, source {source}")
    three = f["three"].astype(bool)
    if three.any() and not three.all():
        of = seen & ~three
        add("accuracy", of, partial(m.mean, x=hit[of]), f"{VISIBLE}, recorded as vertical only")
    _pair(out, labels, a, p, who)
    for level in (VOTE, MEAN):
        _events(out, labels, a, p, who, level)


def kinds_of(a: Answers) -> dict[str, Bool]:
    """Kind of event → windows of that kind (bool); noise windows of all records have the kind 'noise'."""
    kind = np.where(a.facts["noise"], NOISE, a.facts["kind"])
    return {name: kind == name for name in KINDS if (kind == name).any()}


def add_vertical(out: Figures, a: Answers) -> None:
    """Add figures of three-component records without their horizontals. a: answers on these."""
    f = a.facts
    seen = f["visible"] | f["noise"]
    hit = (a.probabilities.argmax(1) == a.label).astype(np.float64)
    on = f"{VISIBLE}, {VERTICAL}"
    parts = {"accuracy": np.ones(len(hit), bool)} | {f"recall, {k}": member for k, member in kinds_of(a).items()}
    for what, member in parts.items():
        of = seen & member
        out.add(what, a.group[of], partial(m.mean, x=hit[of]), on=on, answer_s=a.answer_s)


def _pair(out: Figures, labels: list[str], a: Answers, p: Floats, who: str) -> None:
    """Add figures of tectonic (positive) against non-tectonic, without noise and its probability, as in paper B."""
    if not {"tectonic", "non-tectonic"} <= set(labels):
        return
    yes, no = labels.index("tectonic"), labels.index("non-tectonic")
    which = a.facts["visible"] & np.isin(a.label, (yes, no))
    truth = (a.label[which] == no).astype(np.int64)
    score = p[which, yes] / np.maximum(p[which, yes] + p[which, no], 1e-12)
    answer = (score < 0.5).astype(np.int64)
    for what, figure, needs in (
        ("sensitivity", lambda w: m.sensitivity(m.confusion(w, truth, answer, 2), 0), [truth == 0]),
        ("specificity", lambda w: m.specificity(m.confusion(w, truth, answer, 2), 0), [truth == 1]),
        ("accuracy", lambda w: m.accuracy(m.confusion(w, truth, answer, 2)), []),
        ("AUC", lambda w: m.auc(w, score, truth == 0), [truth == 0, truth == 1]),
    ):
        out.add(what, a.group[which], figure, on=PAIR, who=who, answer_s=a.answer_s, needs=needs)


def events_of(
    a: Answers, p: Floats, level: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.str_], npt.NDArray[np.int64]]:
    """Events with a visible record: true label, answer, kind, and the index of one of its records; (events,) each.

    level VOTE: the most frequent answer of its records, the mean probability decides a tie. MEAN: the label with the
    largest mean probability.
    """
    which = np.flatnonzero(a.facts["visible"] & ~a.facts["noise"])
    event = a.facts["event"][which]
    truth, answer, kind, place = [], [], [], []
    for name in np.unique(event):
        rows = which[event == name]
        score = p[rows].mean(0)
        if level == VOTE:
            score = np.bincount(p[rows].argmax(1), minlength=p.shape[1]) + 0.5 * score
        truth.append(a.label[rows[0]])
        answer.append(int(score.argmax()))
        kind.append(str(a.facts["kind"][rows[0]]))
        place.append(rows[0])
    ints = np.int64
    return np.array(truth, ints), np.array(answer, ints), np.array(kind, np.str_), np.array(place, ints)


def _events(out: Figures, labels: list[str], a: Answers, p: Floats, who: str, level: str) -> None:
    truth, answer, kind, place = events_of(a, p, level)
    if not len(truth):
        return
    group = a.group[place]
    hit = (truth == answer).astype(np.float64)
    parts = {f"recall, {name}": truth == k for k, name in enumerate(labels) if (truth == k).any()}
    parts |= {f"recall, {name}": kind == name for name in KINDS if (kind == name).any()}
    for what, which in {"accuracy": np.ones(len(truth), bool), **parts}.items():
        out.add(
            what, group[which], partial(m.mean, x=hit[which]),
            on=VISIBLE, who=who, level=level, answer_s=a.answer_s,
        )  # fmt: skip


def add_pictures(part: TypePart, labels: list[str], a: Answers, baselines: dict[str, Floats], last: bool) -> None:
    """Add confusion matrix, ROC and, for the last answer, the histogram of confidence."""
    seen = a.facts["visible"] | a.facts["noise"]
    one = np.ones((1, int(seen.sum())))
    counts = m.confusion(one, a.label[seen], a.probabilities.argmax(1)[seen], len(labels))[0]
    part.confusion.append(Matrix("record", a.answer_s, labels, counts.astype(int).tolist()))
    for level in (VOTE, MEAN):
        truth, answer, _, _ = events_of(a, a.probabilities, level)
        if len(truth):
            counts = m.confusion(np.ones((1, len(truth))), truth, answer, len(labels))[0]
            part.confusion.append(Matrix(level, a.answer_s, labels, counts.astype(int).tolist()))
    if {"tectonic", "non-tectonic"} <= set(labels):
        yes, no = labels.index("tectonic"), labels.index("non-tectonic")
        events = a.facts["visible"] & np.isin(a.label, (yes, no))
        who = {MODEL: a.probabilities} | ({k: v for k, v in baselines.items() if "P/S" in k} if last else {})
        for name, p in who.items():
            if not events.any():
                break
            score = p[events, yes] / np.maximum(p[events, yes] + p[events, no], 1e-12)
            part.roc.append(Curve(name, a.answer_s, roc(score, a.label[events] == yes)))
    if last:
        top, hit = a.probabilities.max(1)[seen], (a.probabilities.argmax(1) == a.label)[seen]
        place = np.minimum((top * m.ECE_BINS).astype(int), m.ECE_BINS - 1)
        for b in range(m.ECE_BINS):
            of = place == b
            mean = round(float(top[of].mean()), 4) if of.any() else None
            part.confidence.append(ConfidenceBin(b / 10, (b + 1) / 10, int(hit[of].sum()), int((~hit[of]).sum()), mean))


def roc(score: Floats, positive: Bool) -> list[tuple[float, float]]:
    """Points of the ROC curve, from (0, 0) to (1, 1)."""
    order = np.argsort(-score, kind="stable")
    yes, ordered = positive[order], score[order]
    ends = np.flatnonzero(np.concatenate([ordered[1:] != ordered[:-1], [True]]))
    up = np.cumsum(yes)[ends] / max(int(yes.sum()), 1)
    along = np.cumsum(~yes)[ends] / max(int((~yes).sum()), 1)
    return [(0.0, 0.0), *((round(float(x), 5), round(float(y), 5)) for x, y in zip(along, up, strict=True))]
