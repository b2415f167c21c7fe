"""Intervals and whiskers: none for figures that depend on fewer than three events, in tables and in plots."""

from __future__ import annotations

import math

import numpy as np
import pytest

from seisedge.train.bootstrap import Floats
from seisedge.train.evaluation.figure import Figure, Figures
from seisedge.train.evaluation.magnitude import ReliabilityBin, reliability_of
from seisedge.train.evaluation.markdown import counts_of
from seisedge.train.evaluation.plots import _intervals, _whiskers


@pytest.mark.parametrize(("n_events", "has_interval"), [(2, False), (3, True)])
def test_a_label_of_two_events_has_no_interval(n_events: int, has_interval: bool) -> None:
    """Sensitivity is a statistic of all records, but depends on those of one label only."""
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(20), 5)
    label, hit = group < n_events, rng.random(100) < 0.6

    def sensitivity(w: Floats) -> Floats:
        return np.asarray((w * (label & hit)).sum(1) / np.maximum((w * label).sum(1), 1e-9))

    out = Figures(200)
    out.add("sensitivity", group, sensitivity, needs=[label])
    out.add("accuracy", group, lambda w: np.asarray((w * hit).sum(1) / w.sum(1)))
    sensitive, accurate = out.rows
    assert (sensitive.low is not None) == (sensitive.high is not None) == has_interval
    assert accurate.low is not None


def figure(n_records: int, n_events: int, low: float | None = None) -> Figure:
    return Figure(what="sd", value=0.2, low=low, high=0.3 if low else None, n_events=n_events, n_records=n_records)


def test_a_row_states_the_counts_of_all_its_figures() -> None:
    assert counts_of([figure(5, 2), figure(5, 2)]) == ("5", "2")
    assert counts_of([figure(9, 3, 0.1), figure(7, 3, 0.1), figure(5, 2)]) == ("9 to 5", "3 to 2")


def test_a_figure_without_an_interval_has_no_whisker() -> None:
    below, above = _whiskers([figure(5, 2), figure(9, 3, 0.15)])
    assert math.isnan(below[0]) and math.isnan(above[0])
    assert (below[1], above[1]) == pytest.approx((0.05, 0.1))


def test_a_title_states_intervals_only_where_they_are_drawn() -> None:
    assert _intervals("bars", [figure(5, 2), figure(9, 3, 0.15)]) == "bars: 95 % intervals"
    assert _intervals("bars", [figure(5, 2), figure(4, 2)]) == "no intervals: fewer than 3 events"


def test_reliability_of_perfect_and_of_overconfident_probabilities() -> None:
    from types import SimpleNamespace

    n = 400
    truth = np.random.default_rng(2).integers(0, 2, n)
    p = np.full((n, 4), 0.025)
    p[:, 0], p[:, 1] = 0.475, 0.475
    facts = {"visible": np.ones(n, bool), "scaled": np.ones(n, bool), "magnitude": np.where(truth, 1.5, 0.5)}
    bins = reliability_of([0.0, 1.0, 2.0, 3.0, 4.0], SimpleNamespace(facts=facts, probabilities=p))  # type: ignore[arg-type]
    assert bins == [ReliabilityBin(0.025, 0.0, 2 * n), ReliabilityBin(0.475, 0.5, 2 * n)]
