"""The onset detector: a block alone and in a stream, gain, drifts, missing samples, what an output depends on."""

from __future__ import annotations

import pytest
import torch

from seisedge.train.models import create_model
from seisedge.train.models._base import OnsetModel
from seisedge.train.models.onset import HOP_N, TAPS, onset_kernels

N_BLOCKS = 4


@pytest.fixture(scope="module")
def model() -> OnsetModel:
    torch.manual_seed(3)
    built = create_model("onset_tcn").eval()
    assert isinstance(built, OnsetModel)
    return built


def stream(model: OnsetModel, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Two streams: one with a gap on all components, one with the vertical only."""
    n = model.geometry.n_samples + (N_BLOCKS - 1) * model.block_hops * HOP_N
    x = torch.randn(2, 3, n, generator=torch.Generator().manual_seed(seed)) * 300
    valid = torch.ones_like(x)
    valid[0, :, 500:560] = 0
    valid[1, 1:] = 0
    return x, valid


def test_a_block_alone_equals_the_block_in_a_stream(model: OnsetModel) -> None:
    x, valid = stream(model)
    step, n = model.block_hops * HOP_N, model.geometry.n_samples
    with torch.no_grad():
        whole = model.raw(x, valid)
        alone = [model.raw(x[..., k : k + n], valid[..., k : k + n]) for k in range(0, N_BLOCKS * step, step)]
    assert whole.shape == (2, N_BLOCKS * model.block_hops, 5)
    assert torch.allclose(whole, torch.cat(alone, dim=1), atol=1e-5)


@pytest.mark.parametrize("gain", [1e-9, 1e-3, 1e6])
def test_a_gain_changes_nothing(model: OnsetModel, gain: float) -> None:
    x, valid = stream(model)
    n = model.geometry.n_samples
    with torch.no_grad():
        before, after = (model(y[..., :n], valid[..., :n]) for y in (x, x * gain))
    assert torch.allclose(before, after, atol=1e-4)


def test_slow_drifts_have_no_influence(model: OnsetModel) -> None:
    """A parabola of a hundred times the amplitude over the length of a filter."""
    x, valid = stream(model)
    n = model.geometry.n_samples
    t = torch.arange(n) / n
    with torch.no_grad():
        before, after = (model(y, valid[..., :n]) for y in (x[..., :n], x[..., :n] + 1e5 * (t - 0.5) ** 2 + 1e5))
    assert torch.allclose(before, after, atol=1e-3)


def test_the_filters_are_blind_to_parabolas_and_have_unit_energy() -> None:
    kernels = onset_kernels()[:, 0].double()
    t = torch.arange(TAPS, dtype=torch.float64) / TAPS
    for power in range(3):
        assert (kernels @ t**power).abs().max() < 1e-6
    assert torch.allclose(kernels.pow(2).sum(1), torch.ones(len(kernels), dtype=torch.float64), atol=1e-5)


def test_a_hop_touched_by_a_missing_sample_is_not_used(model: OnsetModel) -> None:
    """Zeros in place of missing samples would look like an onset."""
    x, valid = stream(model)
    n = model.geometry.n_samples
    x, valid = x[:1, :, :n] + 1e4, valid[:1, :, :n]
    features, mask = model.front(x, valid)  # type: ignore[operator]  # of that model
    ends = torch.arange(mask.shape[-1]) * HOP_N + TAPS  # first sample after the filters of a hop
    touched = (ends > 500) & (ends - TAPS < 560)
    assert (mask[0, :, touched] == 0).all()
    assert (mask[0, :, ~touched] == 1).all()
    assert (features[0, :, touched] == 0).all() and features[0, :, ~touched].abs().min() > 0


def test_an_output_does_not_see_what_follows_its_block(model: OnsetModel) -> None:
    x, valid = stream(model)
    later = x.clone()
    first = model.geometry.n_samples  # of the second block
    later[..., first:] *= 50
    with torch.no_grad():
        before, after = model.raw(x, valid), model.raw(later, valid)
    assert torch.equal(before[:, : model.block_hops], after[:, : model.block_hops])
    assert not torch.equal(before[:, model.block_hops :], after[:, model.block_hops :])


def test_picks_are_calibrated_independently_of_the_classes(model: OnsetModel) -> None:
    raw = torch.randn(1, 10, 5, generator=torch.Generator().manual_seed(0))
    before = model.probabilities(raw)
    model.picks.copy_(torch.tensor([[2.0, 1.0], [-1.0, 0.0]]))
    after = model.probabilities(raw)
    model.picks.copy_(torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
    assert torch.allclose(after[..., 0], torch.sigmoid(2 * raw[..., 0] - 1))
    assert torch.equal(after[..., 1:], before[..., 1:])
    assert torch.allclose(after[..., 2:].sum(-1), torch.ones(1, 10), atol=1e-6)
