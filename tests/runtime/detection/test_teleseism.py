import numpy as np
import pytest

from seisedge.runtime.detection.teleseism import dominance_of, is_teleseism

RATE_HZ = 40.0
ONSET, N = 200, 700
ALL = np.ones((3, N), dtype=bool)
T = (np.arange(N) - ONSET) / RATE_HZ


def _after(frequency_hz: float, amplitude: float) -> np.ndarray:
    return np.where(T >= 0, amplitude * np.sin(2 * np.pi * frequency_hz * T), 0.0)


def _wave(*rows: np.ndarray) -> np.ndarray:
    wave = np.zeros((3, N), dtype=np.float32)
    for row, x in enumerate(rows):
        wave[row] = x
    return wave


def _dominance(*rows: np.ndarray, end: int = N, valid: np.ndarray = ALL, onset: int = ONSET) -> float:
    return dominance_of(_wave(*rows), valid, RATE_HZ, onset, end)


@pytest.mark.parametrize(("long", "short"), [(100.0, 10.0), (100.0, 25.0), (30.0, 60.0)])
def test_the_dominance_is_the_ratio_of_the_energies(long: float, short: float) -> None:
    x = _after(1.0, long) + _after(8.0, short)
    assert _dominance(x) == pytest.approx((long / short) ** 2, rel=0.05)
    assert _dominance(0.5 * x, x, -x) == pytest.approx((long / short) ** 2, rel=0.05)
    both = _after(1.0, long) + _after(8.0, short), _after(1.0, long)
    assert _dominance(*both) == pytest.approx(2 * (long / short) ** 2, rel=0.05)


@pytest.mark.parametrize("frequency_hz", [0.1, 3.0, 17.0])
def test_only_the_two_bands_count(frequency_hz: float) -> None:
    x = _after(1.0, 100.0) + _after(8.0, 10.0) + _after(frequency_hz, 20.0)
    assert _dominance(x) == pytest.approx(100.0, rel=0.1)


@pytest.mark.parametrize(("short", "expected"), [(2.9, True), (3.4, False)])
def test_a_teleseism_has_a_thousand_times_the_energy(short: float, expected: bool) -> None:
    """31.6 squared is 1,000."""
    wave = _wave(_after(1.0, 100.0) + _after(8.0, short))
    assert is_teleseism(wave, ALL, RATE_HZ, ONSET, N) is expected


def test_steady_microseisms_do_not_count() -> None:
    steady = 100 * np.sin(2 * np.pi * 0.7 * T)
    assert _dominance(steady + _after(8.0, 100.0)) == 0.0  # less than five times the noise
    assert _dominance(steady + _after(1.0, 1000.0) + _after(8.0, 100.0)) == pytest.approx(100.0, rel=0.1)
    short = 100 * np.sin(2 * np.pi * 8.0 * T)
    assert _dominance(short + _after(1.0, 1000.0) + _after(6.0, 100.0)) == pytest.approx(100.0, rel=0.15)


@pytest.mark.parametrize(("noise", "counts"), [(19.0, True), (21.0, False)])
def test_an_onset_has_five_times_the_amplitude_of_the_noise(noise: float, counts: bool) -> None:
    before = np.where(T < 0, noise * np.sin(2 * np.pi * 1.0 * T), 0.0)
    assert (_dominance(before + _after(1.0, 100.0)) > 0) is counts


def test_a_part_of_the_record_is_used() -> None:
    x = _after(1.0, 100.0) + _after(8.0, 10.0)
    later = x + np.where(T >= 10.0, 1e6 * np.sin(2 * np.pi * 8.0 * T), 0.0)
    assert _dominance(later) == _dominance(x)
    earlier = x.copy()
    earlier[: ONSET - 192] = 1e6
    assert _dominance(earlier) == _dominance(x)
    assert _dominance(x, end=ONSET + 200) == pytest.approx(100.0, rel=0.1)
    assert _dominance(x, end=ONSET + 116) > 0 and _dominance(x, end=ONSET + 115) == 0.0


def test_the_noise_before_the_onset_is_needed() -> None:
    wave = _wave(_after(1.0, 100.0) + _after(8.0, 10.0))
    for first, found in ((8, True), (9, False)):
        part = dominance_of(wave[:, first:], ALL[:, first:], RATE_HZ, ONSET - first, N - first)
        assert (part > 0) is found


def test_a_gap_excludes_a_component() -> None:
    x, other = _after(1.0, 100.0) + _after(8.0, 10.0), _after(8.0, 1000.0)
    for sample, excluded in ((ONSET - 193, False), (ONSET - 192, True), (ONSET + 399, True), (ONSET + 400, False)):
        valid = ALL.copy()
        valid[1, sample] = False
        assert (_dominance(x, other, valid=valid) > 50) is excluded
    valid = ALL.copy()
    valid[:, ONSET] = False
    assert _dominance(x, valid=valid) == 0.0
