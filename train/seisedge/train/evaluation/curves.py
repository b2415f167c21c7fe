"""The early-answer curve (figures against time after the onset) and the degradation curves (damaged records)."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from seisedge.train.bootstrap import Floats, Statistics
from seisedge.train.dataset.progress import progress
from seisedge.train.evaluation import metrics as m
from seisedge.train.evaluation.answers import Answers, Predictor
from seisedge.train.evaluation.damage import LADDERS, damage_from, noise_of
from seisedge.train.evaluation.figure import Figures
from seisedge.train.evaluation.magnitude import errors
from seisedge.train.evaluation.predict import FixedWindows, magnitude_from_bins

Bool = npt.NDArray[np.bool_]

SECONDS = (1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 40.0, 60.0, 90.0)
EARLY, DAMAGED = "early answer", "damaged"
UNDAMAGED = "none"


def add_early(out: Figures, predictor: Predictor, windows: FixedWindows) -> None:
    """Figures at SECONDS and at the answer lengths of the model, on the same windows.

    windows: those that reach to the longest answer.
    """
    answers_s = predictor.subject.answers_s
    for seconds in sorted({s for s in SECONDS if s < answers_s[-1]} | set(answers_s)):
        _add(out, predictor, predictor(windows, seconds), EARLY, "", None, np.ones(len(windows.record), dtype=bool))


def add_damage(out: Figures, predictor: Predictor, windows: FixedWindows, chosen: Bool, device: torch.device) -> None:
    """Figures for every kind and amount of damage, at the last answer, and for the same records without damage.

    windows: those that reach to the last answer. chosen: records whose noise may be added.
    """
    answer_s = predictor.subject.answers_s[-1]
    undamaged = predictor(windows, answer_s)
    noise = noise_of(predictor, chosen)
    three = undamaged.facts["three"].astype(bool)
    for ladder in progress(LADDERS, "kinds of damage evaluated"):
        which = three if ladder.three else np.ones(len(three), dtype=bool)
        if not which.any() or (ladder.name == "mixed-noise" and noise is None):
            continue
        _add(out, predictor, undamaged, DAMAGED, f"{UNDAMAGED} ({ladder.name})", None, which)
        for amount in ladder.amounts:
            answers = predictor(windows, answer_s, damage_from(ladder, amount, predictor.subject, noise, device))
            _add(out, predictor, answers, DAMAGED, ladder.name, float(amount), which)


def _add(
    out: Figures, predictor: Predictor, a: Answers, on: str, damage: str, amount: float | None, which: Bool
) -> None:
    """The figures of one point of a curve."""
    f, subject = a.facts, predictor.subject

    def add(what: str, rows: Bool, statistic: Statistics) -> None:
        out.add(what, a.group[rows], statistic, on=on, answer_s=a.answer_s, damage=damage, amount=amount)

    if subject.task == "magnitude":
        rows = which & f["visible"] & f["scaled"]
        found = errors((magnitude_from_bins(a.probabilities, subject.edges) - f["magnitude"].astype(np.float64))[rows])
        for what in ("MAE", "bias", "sd", "within ±0.3"):
            add(what, rows, found[what])
        return
    rows = which & (f["visible"] | f["noise"])
    label, answer, n = a.label[rows], a.probabilities.argmax(1)[rows], len(subject.labels)
    add("balanced accuracy", rows, lambda w: m.balanced_accuracy(m.confusion(w, label, answer, n)))

    def of_class(w: Floats, k: int) -> Floats:
        return m.sensitivity(m.confusion(w, label, answer, n), k)

    for k, name in enumerate(subject.labels):
        add(f"sensitivity, {name}", rows, partial(of_class, k=k))
