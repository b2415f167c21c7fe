import numpy as np
import pytest

from seisedge.runtime.detection.pulse import is_calibration

RATE_HZ = 40.0
N = 300
ONSET = 100
ALL = np.ones((3, N), dtype=bool)


def _pulse(period_s: float, damping: float, start_s: float = 0.0) -> np.ndarray:
    """Response of a seismometer to a step of force, with a largest amplitude of 1; (N,)."""
    t = np.clip((np.arange(N) - ONSET) / RATE_HZ - start_s, 0.0, None)
    w = 2 * np.pi / period_s
    x = np.exp(-damping * w * t) * np.sin(w * np.sqrt(1 - damping**2) * t)
    return np.asarray(x / np.abs(x).max())


def _found(*components: np.ndarray, valid: np.ndarray = ALL, onset: int = ONSET) -> bool:
    wave = np.zeros((3, N), dtype=np.float32)
    for row, x in enumerate(components):
        wave[row] = x
    return is_calibration(wave, valid, RATE_HZ, onset)


def _burst(frequency_hz: float) -> np.ndarray:
    """An onset with a coda of several frequencies."""
    t = np.clip((np.arange(N) - ONSET) / RATE_HZ, 0.0, None)
    carrier = np.sin(2 * np.pi * frequency_hz * t) + 0.7 * np.sin(2 * np.pi * 1.618 * frequency_hz * t)
    return np.asarray(1000 * carrier * np.exp(-t / 1.5))


@pytest.mark.parametrize("damping", [0.5, 0.707, 0.9])
@pytest.mark.parametrize("period_s", [0.4, 1.0, 5.0, 30.0, 120.0])
@pytest.mark.parametrize("start_s", [-0.3, 0.0, 0.7])
def test_a_pulse_is_found(period_s: float, damping: float, start_s: float) -> None:
    x = 1000 * _pulse(period_s, damping, start_s)
    assert _found(x)
    assert _found(x, -0.3 * x, 2 * x)


@pytest.mark.parametrize("frequency_hz", [0.9, 2.0, 7.3])
def test_a_tone_is_found(frequency_hz: float) -> None:
    t = np.clip((np.arange(N) - ONSET) / RATE_HZ, 0.0, None)
    assert _found(1000 * np.sin(2 * np.pi * frequency_hz * t))


@pytest.mark.parametrize("frequency_hz", [2.0, 4.0, 6.0])
def test_an_onset_with_a_coda_is_no_calibration(frequency_hz: float) -> None:
    x = _burst(frequency_hz)
    assert not _found(x)
    assert not _found(1000 * _pulse(1.0, 0.7), x)  # one shape for all components


def test_a_trace_of_zeros_is_no_calibration() -> None:
    assert not _found()


def test_a_gap_excludes_a_component() -> None:
    x, other = 1000 * _pulse(1.0, 0.7), _burst(4.0)
    for sample, found in ((ONSET - 81, False), (ONSET - 80, True), (ONSET + 119, True), (ONSET + 120, False)):
        valid = ALL.copy()
        valid[1, sample] = False
        assert _found(x, other, valid=valid) is found
    valid = ALL.copy()
    valid[:, ONSET] = False
    assert not _found(x, valid=valid)


def test_all_samples_from_2_s_before_to_3_s_after_the_onset_are_needed() -> None:
    wave = np.zeros((3, N), dtype=np.float32)
    wave[0] = 1000 * _pulse(1.0, 0.7)
    for first, last, found in ((20, 220, True), (21, 220, False), (20, 219, False)):
        part = wave[:, first:last]
        assert is_calibration(part, ALL[:, first:last], RATE_HZ, ONSET - first) is found


@pytest.mark.parametrize(("snr", "found"), [(9.8, False), (10.2, True)])
def test_a_pulse_has_ten_times_the_amplitude_of_the_noise(snr: float, found: bool) -> None:
    """Noise of +1 and -1 before the onset; the ratio is that of the root mean squares."""
    x = _pulse(1.0, 0.7)
    x *= snr / np.sqrt((x[ONSET : ONSET + 120] ** 2).mean())
    x[: ONSET - 16] += (-1.0) ** np.arange(ONSET - 16)
    assert _found(x) is found


@pytest.mark.parametrize(("share", "found"), [(0.03, True), (0.09, False)])
def test_a_twentieth_of_the_energy_may_be_left(share: float, found: bool) -> None:
    x = 1000 * _pulse(3.0, 0.7)
    t = np.arange(N) / RATE_HZ
    other = np.where(np.arange(N) >= ONSET, np.sin(2 * np.pi * 1.3 * t), 0.0)
    x += other * np.sqrt(share * (x**2).sum() / (other**2).sum())
    assert _found(x) is found
