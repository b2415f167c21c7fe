import numpy as np
import pytest

from seisedge.runtime.detection.picking import FLOOR_S, SEARCH_S, pick

RATE_HZ = 40.0


def _onset(at: int, snr: float, n: int = 100, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (1, n))
    x[:, at:] += snr * rng.normal(0, 1, (1, n - at))
    return x + 1e5  # the level of the digitizer


@pytest.mark.parametrize("at", [52, 60, 68])
@pytest.mark.parametrize("snr", [8.0, 50.0, 1e5])
def test_the_sample_is_found(at: int, snr: float) -> None:
    found = [pick(_onset(at, snr, seed=seed), 60, RATE_HZ) for seed in range(20)]
    errors = [abs(p.offset - at) for p in found if p is not None]
    assert len(errors) == 20 and np.median(errors) <= 1
    assert all(FLOOR_S <= p.uncertainty_s < SEARCH_S for p in found if p is not None)


def test_a_weak_onset_is_less_certain() -> None:
    def mean(snr: float) -> float:
        found = [pick(_onset(60, snr, seed=seed), 60, RATE_HZ) for seed in range(40)]
        return float(np.mean([p.uncertainty_s for p in found if p is not None]))

    assert mean(1.5) > 1.3 * mean(20.0)


@pytest.mark.parametrize(
    "waveform",
    [
        np.zeros((1, 100)),
        np.full((2, 100), 7.0),
        np.random.default_rng(1).normal(0, 1, (1, 100)),
        np.full((1, 100), 1e300),
    ],
)
def test_nothing_to_find(waveform: np.ndarray) -> None:
    assert pick(waveform, 60, RATE_HZ) is None


def test_an_onset_outside_the_search_is_not_moved_to() -> None:
    found = pick(_onset(90, 50.0), 50, RATE_HZ)
    assert found is None or found.offset <= 50 + SEARCH_S * RATE_HZ + 1


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_too_few_samples(n: int) -> None:
    assert pick(_onset(1, 9.0, n), 3, RATE_HZ) is None


def test_finite_beside_silence() -> None:
    x = np.zeros((1, 100))
    x[0, 60:] = np.random.default_rng(0).normal(0, 1e6, 40)
    found = pick(x, 60, RATE_HZ)
    assert found is not None and found.offset == 60 and found.uncertainty_s == pytest.approx(FLOOR_S, abs=0.01)
