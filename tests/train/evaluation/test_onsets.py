"""Metrics of onset detectors, with values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from seisedge.train.evaluation.figure import Figures
from seisedge.train.evaluation.onsets import (
    Arrivals,
    Detections,
    Recording,
    add_pick_errors,
    are_near,
    best_at_matched,
    detection_curve,
    false_rate,
    measure_point,
    pick_errors,
    thinned,
)

S = 1_000_000_000


def ns(*seconds: float) -> np.ndarray:
    return np.array([round(s * S) for s in seconds], dtype=np.int64)


def recording(station: str, lists: dict[str, list[float]], length_s: float = 3600.0) -> Recording:
    truth = {
        name: Arrivals(ns(*times), np.array([f"{name} {i}" for i in range(len(times))]))
        for name, times in lists.items()
    }
    return Recording(station, 0, round(length_s * S), truth)


def test_the_bounds_of_a_match_are_2_s_before_and_3_5_s_after_the_arrival() -> None:
    found, matched = are_near(ns(98.0, 203.5, 297.99, 403.51), ns(100, 200, 300, 400))
    assert found.tolist() == matched.tolist() == [True, True, False, False]


def test_inputs_in_any_order_and_empty_ones() -> None:
    found, matched = are_near(ns(200, 100.5, 50), ns(400, 100))
    assert found.tolist() == [False, True]
    assert matched.tolist() == [False, True, False]
    found, matched = are_near(ns(), ns(100))
    assert found.tolist() == [False] and matched.tolist() == []


def test_a_later_onset_close_to_a_kept_one_is_dropped_but_one_below_the_threshold_drops_nothing() -> None:
    detections = Detections(ns(10, 12, 14.5, 16, 40), np.array([0.5, 0.9, 0.9, 0.6, 0.2]))
    assert (thinned(detections, 0.4, 5.0).time_ns / S).tolist() == [10, 16]
    assert (thinned(detections, 0.7, 5.0).time_ns / S).tolist() == [12]
    assert (thinned(detections, 0.0).time_ns / S).tolist() == [10, 12, 14.5, 16, 40]


def test_a_point_counts_arrivals_by_list_and_onsets_of_any_list() -> None:
    both = [
        recording("A", {"catalogue": [100, 200], "automatic": [100, 300]}),
        recording("B", {"catalogue": [110, 210], "automatic": [110, 310]}, 1800),
    ]
    point = measure_point(both, [ns(101, 301, 900), ns(211)], threshold=0.5)
    assert point.recall["catalogue"].value == 0.5 and point.recall["catalogue"].n_groups == 2
    assert point.found("catalogue") == 2 and point.found("automatic") == 2
    assert point.matched.value == 0.75
    assert point.n_onsets == 4 and point.hours == 1.5 and point.onsets_per_hour == pytest.approx(4 / 1.5)


def test_random_onsets_find_a_share_of_the_arrivals_and_are_matched_as_often_as_the_windows_cover_the_time() -> None:
    dense = recording("A", {"automatic": [100.0, 102.0, 500.0]}, 1000)  # the first two windows overlap
    point = measure_point([dense], [ns(*range(0, 1000, 100))])
    assert point.random_matched == pytest.approx((2 + 2 + 3.5 + 5.5) / 1000)
    assert point.random_recall["automatic"] == pytest.approx(1 - (1 - 5.5 / 1000) ** 10)


def test_the_interval_resamples_earthquakes_and_not_arrivals() -> None:
    """The same earthquakes at four stations are not four times as many: the interval must stay as wide."""
    times = [100.0 * i for i in range(1, 21)]
    onsets = ns(*times[:10])
    one = measure_point([recording("A", {"c": times})], [onsets])
    four = measure_point([recording(name, {"c": times}) for name in "ABCD"], [onsets] * 4)
    assert four.recall["c"].value == one.recall["c"].value == 0.5
    width = one.recall["c"].high - one.recall["c"].low
    assert 0.3 < width < 0.6
    assert four.recall["c"].high - four.recall["c"].low == pytest.approx(width, abs=1e-9)


def test_a_curve_and_the_best_point_at_a_share_matched() -> None:
    here = recording("A", {"c": [100, 200, 300]})
    found = Detections(ns(100, 150, 200, 300, 350, 400), np.array([0.9, 0.8, 0.7, 0.3, 0.2, 0.1]))
    points = detection_curve([here], [found], [0.85, 0.5, 0.25, 0.05])
    assert [p.n_onsets for p in points] == [1, 3, 4, 6]
    assert [round(p.matched.value, 3) for p in points] == [1.0, 0.667, 0.75, 0.5]
    best = best_at_matched(points, "c", 0.7)
    assert best is not None and best.threshold == 0.25 and best.recall["c"].value == 1.0
    assert best_at_matched(points, "c", 1.01) is None


def test_without_onsets_nothing_is_found_and_the_share_matched_is_undefined() -> None:
    point = measure_point([recording("A", {"c": [100]})], [ns()])
    assert point.recall["c"].value == 0 and math.isnan(point.matched.value)


def test_a_false_rate_is_per_hour_of_all_sites_and_zero_has_an_upper_limit() -> None:
    rate = false_rate([10, 0, 0, 2], [1.0, 1.0, 0.5, 0.5], ["a", "b", "c", "a"])
    assert rate.per_hour == pytest.approx(4.0) and rate.n_sites == 3 and rate.n_onsets == 12
    assert rate.low is not None and rate.high is not None and rate.low < 4 < rate.high <= 8
    none = false_rate([0, 0], [1.0, 2.0], ["a", "b"])
    assert none.per_hour == 0 and none.high == 1.0


def test_pick_errors_are_of_the_nearest_onset_and_a_missed_pick_is_in_no_tolerance() -> None:
    errors = pick_errors([np.array([9.0, 10.15]), np.array([]), np.array([33.1]), np.array([40.05])],
                         np.array([10.0, 20.0, 30.0, 40.0]))  # fmt: skip
    assert errors[[0, 3]] == pytest.approx([0.15, 0.05])
    assert np.isnan(errors[[1, 2]]).all()
    out = Figures(100)
    add_pick_errors(out, np.append(errors, -0.3), np.array(list("abcde")), on="P")
    values = {f.what: f.value for f in out.rows}
    assert values["found within 2 s"] == 0.6
    assert values["median error, s"] == pytest.approx(0.05)
    assert values["MAD, s"] == pytest.approx(1.4826 * 0.1, abs=1e-4)
    assert (values["within 0.1 s"], values["within 0.2 s"], values["within 0.5 s"]) == (0.2, 0.4, 0.6)
