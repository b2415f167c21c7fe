"""Votes, means, ROC and grouping by event, on answers written by hand."""

from __future__ import annotations

import numpy as np
import pytest

from seisedge.train.evaluation.answers import Answers
from seisedge.train.evaluation.event_type import MEAN, PAIR, VISIBLE, VOTE, add_figures, events_of, roc
from seisedge.train.evaluation.figure import Figures
from seisedge.train.evaluation.predict import FixedWindows

LABELS = ["tectonic", "non-tectonic", "noise"]


def answers(rows: list[tuple[str, str, int, tuple[float, float, float]]]) -> Answers:
    """(event, kind, label, probabilities) of each record, all with a visible signal; noise has kind 'noise'."""
    n = len(rows)
    zeros = np.zeros(n, np.int64)
    kind = np.array([r[1] for r in rows])
    facts = {
        "group": np.array([r[0] for r in rows]),
        "event": np.array([r[0] for r in rows]),
        "kind": kind,
        "source": np.array(["x"] * n),
        "visible": np.ones(n, bool),
        "three": np.ones(n, bool),
        "noise": kind == "noise",
    }
    windows = FixedWindows(zeros, np.array([r[2] for r in rows]), zeros, zeros)
    return Answers(10.0, windows, np.array([r[3] for r in rows]), facts)


CASE = answers(
    [
        ("a", "tectonic", 0, (0.6, 0.3, 0.1)),  # event a: two of three answers are tectonic, the mean is non-tectonic
        ("a", "tectonic", 0, (0.5, 0.4, 0.1)),
        ("a", "tectonic", 0, (0.0, 0.9, 0.1)),
        ("b", "blast", 1, (0.7, 0.2, 0.1)),  # event b: a tie, the mean decides
        ("b", "blast", 1, (0.1, 0.8, 0.1)),
        ("c", "mass movement", 1, (0.2, 0.7, 0.1)),
        ("a", "noise", 2, (0.2, 0.2, 0.6)),  # noise before event a: belongs to no event
    ]
)


def test_vote_and_mean() -> None:
    truth, answer, kind, _ = events_of(CASE, CASE.probabilities, VOTE)
    assert truth.tolist() == [0, 1, 1]
    assert kind.tolist() == ["tectonic", "blast", "mass movement"]
    assert answer.tolist() == [0, 1, 1]
    assert events_of(CASE, CASE.probabilities, MEAN)[1].tolist() == [1, 1, 1]


def test_figures_of_the_case() -> None:
    out = Figures(50)
    add_figures(out, LABELS, CASE, CASE.probabilities, "model", None)
    found = {(f.what, f.on, f.level): f for f in out.rows}
    assert found["accuracy", VISIBLE, "record"].value == pytest.approx(5 / 7, abs=1e-4)
    assert found["recall, tectonic", VISIBLE, "record"].value == pytest.approx(2 / 3, abs=1e-4)
    assert found["specificity", PAIR, "record"].value == pytest.approx(2 / 3, abs=1e-4)
    assert found["accuracy", VISIBLE, VOTE].value == 1.0
    assert found["accuracy", VISIBLE, MEAN].value == pytest.approx(2 / 3, abs=1e-4)
    assert ("recall, blast", VISIBLE, "record") not in found  # no figure on two records
    assert found["recall, tectonic", VISIBLE, "record"].low is None  # one event: no interval
    assert found["accuracy", VISIBLE, "record"].n_events == 3


def test_roc_by_hand() -> None:
    points = roc(np.array([0.9, 0.8, 0.8, 0.3]), np.array([True, True, False, False]))
    assert points == [(0.0, 0.0), (0.0, 0.5), (0.5, 1.0), (1.0, 1.0)]
