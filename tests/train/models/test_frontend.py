"""Front ends: agreement with float64, frequency response, and independence of masked samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seisedge.train.models.filterbank import Filterbank
from seisedge.train.models.frontend import (
    LocalLine,
    LocalMean,
    MagnitudeFrontEnd,
    MaskedDetrend,
    MaskedHighpass,
    TypeFrontEnd,
    scale_to_unit_peak,
)

N, RATE = 1800, 40.0


def type_front() -> TypeFrontEnd:
    """The front end of the bundled event type model."""
    return TypeFrontEnd(MaskedHighpass(RATE))


def magnitude_front() -> MagnitudeFrontEnd:
    """The front end of the bundled magnitude model."""
    return MagnitudeFrontEnd(MaskedHighpass(RATE), RATE)


def drifting(valid_samples: int, hole: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise of 100 counts on an offset of 100,000 and a drift of thousands."""
    generator = torch.Generator().manual_seed(valid_samples)
    mask = torch.zeros(1, 3, N)
    mask[:, :, :valid_samples] = 1
    if hole:
        mask[:, :, 150:210] = 0
    t = torch.linspace(-1, 1, N)
    drift = 5e3 * t**3 + 1e5 + 3e3 * torch.sin(4 * t)
    return (torch.randn(1, 3, N, generator=generator) * 100 + drift) * mask, mask


@pytest.mark.parametrize(
    ("valid_samples", "hole"), [(200, False), (320, True), (600, True), (1000, True), (1800, True)]
)
def test_detrend_agrees_with_least_squares_in_float64(valid_samples: int, hole: bool) -> None:
    x, mask = drifting(valid_samples, hole)
    scaled, scale = scale_to_unit_peak(x, mask)
    ours = (MaskedDetrend(N, 10)(scaled, mask) * scale)[0, 0].double().numpy()
    present = mask[0, 0].numpy() > 0
    t = np.linspace(-1, 1, N)[present]
    degree = max(1, int(present.sum() * 10 / N))
    basis = np.polynomial.legendre.legvander((t - t.mean()) / np.ptp(t) * 2, degree)
    y = x[0, 0].double().numpy()[present]
    residual = y - basis @ np.linalg.lstsq(basis, y, rcond=None)[0]
    assert np.abs(ours[present] - residual).max() <= 1e-3 * residual.std()
    assert (ours[~present] == 0).all()


def test_local_line_agrees_with_weighted_least_squares_in_float64() -> None:
    """Compared with a fit at each point; gaps begin and end at the borders of pools."""
    sigma, pool = 10.0, 5
    rng = np.random.default_rng(0)
    t = np.arange(N // pool) * 1.0
    present = np.ones(N // pool, dtype=bool)
    present[100:130], present[300:] = False, False
    y = np.sin(t / 20) + 0.1 * rng.standard_normal(len(t)) + 0.02 * t
    x, mask = (torch.from_numpy(np.repeat(v, pool)).float().expand(1, 3, N) for v in (y * present, present * 1.0))
    ours = LocalLine(sigma, pool)(x, mask)[0, 0].double().numpy()
    for i in np.flatnonzero(present):
        far = np.abs(t - t[i])
        w = np.exp(-0.5 * (far * pool / sigma) ** 2) * present * (far <= 6)
        wanted = np.polynomial.polynomial.polyfit(t - t[i], y, 1, w=np.sqrt(w))[0]
        assert ours[i] == pytest.approx(wanted, abs=3e-3)


def test_local_mean_uses_valid_samples_only() -> None:
    x, mask = torch.full((1, 3, 400), 7.0), torch.ones(1, 3, 400)
    mask[..., 100:130], mask[:, 1] = 0, 0
    mean, share = LocalMean(6.0, 5)(x * mask, mask)
    assert mean[:, ::2].flatten().tolist() == pytest.approx([7.0] * 160, rel=1e-5)
    assert float(mean[:, 1].abs().max()) == 0
    assert share[0, 0, 19:27].tolist() == [1, 0, 0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("frequency_hz", "low", "high"),
    [(0.05, 0.0, 0.004), (0.2, 0.0, 0.05), (1.0, 0.65, 0.75), (2.0, 0.98, 1.0), (5.0, 0.99, 1.01), (12.0, 0.99, 1.01)],
)
def test_highpass(frequency_hz: float, low: float, high: float) -> None:
    t = torch.arange(N) / RATE
    x = torch.sin(2 * torch.pi * frequency_hz * t).expand(1, 3, N).contiguous()
    y = MaskedHighpass(RATE)(x, torch.ones(1, 3, N))
    gain = float(y[0, 0, 400:-400].square().mean().sqrt() / x[0, 0, 400:-400].square().mean().sqrt())
    assert low <= gain <= high


def test_a_slope_is_removed_at_ends_and_gaps() -> None:
    x = torch.linspace(-1000, 1000, N).expand(1, 3, N)
    mask = torch.ones(1, 3, N)
    mask[..., 300:420], mask[..., 1500:] = 0, 0
    assert float(MaskedHighpass(RATE)(x * mask, mask).abs().max()) < 2e-2


@pytest.mark.parametrize("rate_hz", [0.0, 16.0, 16.5, 17.0, 18.0, 19.5])
def test_bands_do_not_respond_beyond_the_edge(rate_hz: float) -> None:
    """Nor to an offset: at least 40 dB less than to a tone inside a band."""
    bank = Filterbank(RATE, 16, stride=20)
    t = torch.arange(N) / RATE

    def most(frequency_hz: float) -> float:
        x = torch.cos(2 * torch.pi * frequency_hz * t + 0.3).expand(1, 3, N).contiguous()
        return float(bank.power(x)[..., 10:-10].amax())

    assert most(rate_hz) < 1e-4 * most(13.0)


@pytest.mark.parametrize("hidden", [float("nan"), float("inf"), 1e9, -1e30])
def test_masked_samples_do_not_change_the_output(hidden: float) -> None:
    x, mask = drifting(1000, True)
    spoiled = torch.where(mask > 0, x, hidden)
    for front in (type_front(), magnitude_front(), TypeFrontEnd(MaskedDetrend(N))):
        for a, b in zip(front(x, mask), front(spoiled, mask), strict=True):
            assert torch.equal(a, b)


def test_type_front_end_gives_unit_power_and_keeps_component_ratios() -> None:
    t = torch.arange(N) / RATE
    x = torch.stack([a * torch.sin(2 * torch.pi * 4 * t) for a in (1.0, 2.0, 4.0)])[None]
    y, _ = type_front()(x, torch.ones(1, 3, N))
    assert float(y.square().mean()) == pytest.approx(1.0, rel=1e-4)
    sizes = y[0, :, 300:-300].square().mean(-1).sqrt()
    assert (sizes / sizes[0]).tolist() == pytest.approx([1.0, 2.0, 4.0], rel=1e-3)


def test_type_front_end_is_independent_of_the_gain() -> None:
    x, mask = drifting(1800, True)
    a, b = type_front()(x, mask)[0], type_front()(x * 1024, mask)[0]
    assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("gain_log10", [-3.0, -1.0, 2.0])
def test_magnitude_front_end_turns_a_gain_into_a_sum(gain_log10: float) -> None:
    x = torch.randn(1, 3, 1400, generator=torch.Generator().manual_seed(3)) * 1e-5
    valid = torch.ones_like(x)
    front = magnitude_front()
    shape, envelope, _, _ = front(x, valid)
    other_shape, other, _, _ = front(x * 10**gain_log10, valid)
    assert torch.allclose(shape, other_shape, atol=1e-4)
    assert torch.allclose(other - envelope, torch.full_like(other, gain_log10), atol=1e-3)


@pytest.mark.parametrize("value", [0.0, 1.0, -1e9, 1e-12])
def test_degenerate_input_stays_finite(value: float) -> None:
    for front in (type_front(), magnitude_front(), TypeFrontEnd(MaskedDetrend(N))):
        for valid in (torch.zeros(1, 3, N), torch.ones(1, 3, N), torch.eye(N)[:3][None]):
            for out in front(torch.full((1, 3, N), value), valid):
                assert torch.isfinite(out).all()


def test_a_constant_is_not_scaled_to_unit_power() -> None:
    y, _ = type_front()(torch.full((1, 3, N), 123456.7), torch.ones(1, 3, N))
    assert float(y.abs().max()) < 1.0
