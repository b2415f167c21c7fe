"""Distance from S − P: the formula, its uncertainty, and that known distances lie within it."""

from __future__ import annotations

import math

import pytest

from seisedge.runtime.detection.sp_distance import distance_from_sp


def test_a_second_between_p_and_s_is_8_km() -> None:
    found = distance_from_sp(1.0, 0.0, 0.0)
    assert found is not None and found.value_km == pytest.approx(8.219, abs=1e-3)
    assert found.uncertainty_km == pytest.approx(8.219 * math.hypot(0.1, 0.08 / 0.73), abs=1e-3)


def test_travel_times_of_a_straight_ray_give_its_length() -> None:
    length_km = math.hypot(30.0, 8.0)
    found = distance_from_sp(length_km / (6.0 / 1.73) - length_km / 6.0, 0.05, 0.1)
    assert found is not None and found.value_km == pytest.approx(length_km)


def test_the_errors_of_both_picks_are_added() -> None:
    exact, picked = distance_from_sp(0.5, 0.0, 0.0), distance_from_sp(0.5, 0.3, 0.4)
    assert exact is not None and picked is not None
    assert picked.uncertainty_km == pytest.approx(math.hypot(exact.uncertainty_km, 0.5 * 8.219), abs=1e-3)


@pytest.mark.parametrize("s_minus_p_s", [0.0, -1.0, math.nan])
def test_no_distance_without_an_s_after_p(s_minus_p_s: float) -> None:
    assert distance_from_sp(s_minus_p_s, 0.1, 0.1) is None


@pytest.mark.parametrize(
    ("s_minus_p_s", "epicentral_km", "depth_km"),
    [(3.10, 24.51, 7.11), (3.14, 17.36, 7.11), (4.79, 27.0, 14.6), (3.69, 29.48, 4.81), (8.48, 68.94, 14.7)],
)  # picks of analysts: Corinth (AIO, AGE), Irpinia (CMP3), Valais (LAVEY), Henan (LYN)
def test_a_catalogued_distance_lies_within_two_standard_errors(
    s_minus_p_s: float, epicentral_km: float, depth_km: float
) -> None:
    found = distance_from_sp(s_minus_p_s, 0.05, 0.1)
    assert found is not None
    assert abs(found.value_km - math.hypot(epicentral_km, depth_km)) < 2 * found.uncertainty_km
