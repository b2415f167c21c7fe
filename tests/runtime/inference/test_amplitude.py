"""The least magnitude by amplitude and time of the largest motion, and the bins that follow from it."""

import math
from typing import Any

import numpy as np
import pytest
from tests.fakes import EDGES

from seisedge.runtime.inference.amplitude import (
    AT_1_M_PER_S,
    ERROR_SHARE,
    bandpassed,
    least_magnitude,
    with_least_magnitude,
)

RATE_HZ, ONSET_S = 40.0, 5.0
Array = np.ndarray[Any, Any]


def _window(peak: float, at_s: float) -> Array:
    """(3, 1400): a burst of 5 Hz, of this amplitude in m/s on the vertical, half of it on the horizontals."""
    t = np.arange(1400) / RATE_HZ - ONSET_S - at_s
    burst: Array = peak * np.exp(-((t / 0.5) ** 2)) * np.cos(2 * np.pi * 5 * t)
    return np.asarray(burst * np.array([1.0, 0.5, 0.5])[:, None])


def _least(waveform: Array, valid: Array | None = None) -> float | None:
    return least_magnitude(waveform, np.ones((3, 1400), bool) if valid is None else valid, RATE_HZ, ONSET_S)


def test_the_band() -> None:
    t = np.arange(4000) / 40
    for frequency_hz, kept in ((0.5, False), (5.0, True), (18.0, False)):
        y = bandpassed(np.sin(2 * np.pi * frequency_hz * t), 40.0)[400:-400]
        assert (y.std() > 0.7) == kept


def test_by_hand() -> None:
    """12.16 s after the onset is 100 km at 8.22 km/s: no attenuation is added but the 3 of the definition."""
    least = _least(_window(1e-5, 100 / 8.219))
    assert least is not None and abs(least - (AT_1_M_PER_S - 5 + 3)) < 0.02


def test_amplitude_and_time_raise_it() -> None:
    near, large, far = (_least(_window(*given)) for given in ((1e-5, 3.0), (1e-4, 3.0), (1e-5, 24.0)))
    assert near is not None and large is not None and far is not None
    assert abs(large - near - 1) < 1e-6
    assert abs(far - near - 1.11 * math.log10(24 / 3) - 0.00189 * 8.219 * 21) < 0.05


def test_missing_samples_make_it_no_larger() -> None:
    whole, valid = _window(1e-5, 10.0) + 1e-3, np.ones((3, 1400), bool)  # the offset of a digitizer
    valid[:, 595:605] = False
    cut = np.where(valid, whole, 0.0)
    expected, found = _least(whole), _least(cut, valid)
    assert expected is not None and found is not None and expected - 0.5 < found <= expected + 0.02


@pytest.mark.parametrize("missing", [(0, slice(None)), (slice(None), slice(210, None)), (slice(None), slice(None))])
def test_none_without_a_vertical_or_without_motion_after_the_onset(missing: tuple[slice, slice]) -> None:
    valid = np.ones((3, 1400), bool)
    valid[missing] = False
    assert _least(np.where(valid, _window(1e-5, 10.0), 0.0), valid) is None
    assert _least(np.zeros((3, 1400))) is None


@pytest.mark.parametrize("peak", [1e-7, 1e-6, 1e-5, 1e-4])
@pytest.mark.parametrize("at_s", [0.5, 4.0, 9.0])
@pytest.mark.parametrize("n", [1400, 619])
def test_only_magnitudes_above_a_limit_are_determined(peak: float, at_s: float, n: int) -> None:
    waveform, valid = _window(peak, at_s)[:, :n] + 1e-7, np.ones((3, n), bool)
    least = least_magnitude(waveform, valid, RATE_HZ, ONSET_S)
    assert least is not None
    for above in (-2.0, 0.0, 1.0, 2.0, 3.0, 4.0, least - 1e-9, least):
        limited = least_magnitude(waveform, valid, RATE_HZ, ONSET_S, above)
        assert limited == (least if least > above else None)


# the bins


def _bins(**bins: float) -> Array:
    probabilities = np.zeros(32, dtype=np.float32)
    for name, p in bins.items():
        probabilities[int(name[1:])] = p
    return probabilities


def test_the_odds_of_the_open_bin_by_hand() -> None:
    """0.5 above the edge is one standard deviation: the other bins count 0.317."""
    found = with_least_magnitude(EDGES, _bins(b20=0.6, b28=0.2, b31=0.2), 3.5)
    expected = np.array([0.6 * 0.3173, 0.2 * 0.3173, 0.2])
    assert found.dtype == np.float32
    assert np.allclose(found[[20, 28, 31]], expected / expected.sum(), atol=1e-4)


def test_a_bound_far_above_is_believed_up_to_the_share_of_errors() -> None:
    found = with_least_magnitude(EDGES, _bins(b28=0.9, b31=0.1), 9.0)
    assert found[31] == pytest.approx(0.1 / (0.1 + 0.9 * ERROR_SHARE))


def test_a_bound_within_the_bins_and_a_closed_top_change_nothing() -> None:
    given = _bins(b10=0.9, b31=0.1)
    assert with_least_magnitude(EDGES, given, 3.0) is given
    closed = [*EDGES[:-1], 3.1]
    assert with_least_magnitude(closed, given, 9.0) is given
