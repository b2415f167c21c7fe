"""The noise floor of an accelerometer: its spectrum, and that no signal is buried."""

import numpy as np
import pytest
import torch

from seisedge.train.augment import Chance, augmentation_from
from seisedge.train.augment.accelerometer import integrated
from seisedge.train.augment.noise import highpassed_rms

RATE_HZ, LEAD, N = 40.0, 200, 1800


def _chance() -> Chance:
    return Chance(3, torch.device("cpu"), RATE_HZ, LEAD)


def _records(signal: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise of 1 count, and 6 Hz of an amplitude from the onset on."""
    x = torch.randn(64, 3, N, generator=torch.Generator().manual_seed(1))
    t = torch.arange(N - LEAD) / RATE_HZ
    x[..., LEAD:] += signal * torch.sin(2 * torch.pi * 6 * t)
    return x, torch.ones_like(x)


def test_the_spectrum_falls_with_the_frequency() -> None:
    white = torch.randn(200, 3, 4000, generator=torch.Generator().manual_seed(2))
    power = torch.fft.rfft(integrated(white, RATE_HZ)).abs().square().mean((0, 1)).numpy()
    frequency = np.fft.rfftfreq(4000, 1 / RATE_HZ)
    one, four, slow = (power[(frequency > f) & (frequency < 1.2 * f)].mean() for f in (1.0, 4.0, 0.3))
    assert 14 < one / four < 18 and slow < 1e-6 * one


def test_noise_is_added_before_and_after_the_onset_at_the_ratio() -> None:
    x, valid = _records(signal=1e4)
    y, there = augmentation_from({"name": "accelerometer", "ratio": [10.0, 10.0], "share": 1.0})(x, valid, _chance())
    added = highpassed_rms((y - x)[..., :LEAD], valid[..., :LEAD])
    own = highpassed_rms(x[..., :LEAD], valid[..., :LEAD])
    assert torch.equal(there, valid)
    assert 8 < float((added / own).median()) < 12


@pytest.mark.parametrize("signal", [3.0, 30.0])  # 3: seen in the samples, not in their second difference
def test_a_signal_that_would_be_buried_is_left_as_it_is(signal: float) -> None:
    x, valid = _records(signal)
    y, _ = augmentation_from({"name": "accelerometer", "ratio": [100.0, 100.0], "share": 1.0})(x, valid, _chance())
    assert torch.equal(x, y)


def test_noise_without_a_signal_is_changed_like_the_others() -> None:
    """Else the noise of the sensor would tell the model that a record is none of the class noise."""
    x, valid = _records(signal=0.0)
    y, _ = augmentation_from({"name": "accelerometer", "ratio": [10.0, 10.0], "share": 1.0})(x, valid, _chance())
    added = highpassed_rms(y - x, valid)
    assert 8 < float((added / highpassed_rms(x, valid)).min()) < 12


def test_samples_behind_the_mask_stay_zero() -> None:
    x, valid = _records(signal=1e4)
    valid[:, 1, 300:500] = 0
    y, there = augmentation_from({"name": "accelerometer", "share": 1.0})(x, valid, _chance())
    assert not y[:, 1, 300:500].any() and torch.equal(there, valid)
