"""Tests of all registered augmentations, then of the effect of each."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from seisedge.runtime.errors import InputError
from seisedge.train.augment import (
    Augmentation,
    Chain,
    Chance,
    augmentation_class,
    augmentation_from,
    augmentation_names,
    register_augmentation,
)
from seisedge.train.synthetic import coloured_noise

CPU = torch.device("cpu")
RATE, LEAD, N = 40.0, 200, 1200
ON_WAVEFORMS = [n for n in augmentation_names() if augmentation_class(n).acts_on == "waveform"]
NEEDS_NOISE = {"noise", "mixed-noise"}


def real_noise(chance: Chance, size: int) -> tuple[Tensor, Tensor]:
    """Noise of three components with a gap in its middle."""
    there = torch.ones(size, 3, N)
    there[..., 600:620] = 0
    return chance.normal(size, 3, N) * there, there


def chance(seed: int = 1, **more: Any) -> Chance:
    return Chance(seed, CPU, RATE, LEAD, real_noise, **more)


def batch(size: int = 6) -> tuple[Tensor, Tensor]:
    """Noise and a signal after the onset; one record each with only a vertical, short, with a gap, and empty."""
    x = torch.randn(size, 3, N, generator=torch.Generator().manual_seed(7))
    x[..., LEAD:] *= 10
    valid = torch.ones_like(x)
    valid[1, 1:] = 0
    valid[2, :, 500:] = 0
    valid[3, :, 300:320] = 0
    valid[4] = 0
    return torch.where(valid > 0.5, x, 0.0), valid


def apply(name: str, x: Tensor, valid: Tensor, seed: int = 1, **sizes: Any) -> tuple[Tensor, Tensor]:
    return augmentation_from({"name": name, "share": 1.0, **sizes})(x, valid, chance(seed))


@pytest.mark.parametrize("name", ON_WAVEFORMS)
def test_each_changes_the_batch_keeps_its_contract_and_is_seeded(name: str) -> None:
    x, valid = batch()
    before = x.clone(), valid.clone()
    y, there = apply(name, x, valid)
    assert torch.equal(x, before[0]), "the input is left alone"
    assert torch.equal(valid, before[1])
    assert y.shape == there.shape == x.shape
    assert y.dtype == there.dtype == torch.float32
    assert ((there == 0) | (there == 1)).all()
    assert torch.isfinite(y).all()
    assert (y[there == 0] == 0).all()
    assert not there[4].any(), "a record without valid samples stays empty"
    assert not torch.equal(y, x) or not torch.equal(there, valid)
    again, other = apply(name, x, valid), apply(name, x, valid, seed=2)
    assert torch.equal(y, again[0])
    assert torch.equal(there, again[1])
    if name not in ("polarity", "swapped-horizontals"):
        assert not torch.equal(y, other[0]) or not torch.equal(there, other[1])


@pytest.mark.parametrize("name", [n for n in ON_WAVEFORMS if n not in ("shift", "swapped-horizontals")])
def test_masked_samples_stay_masked(name: str) -> None:
    x, valid = batch()
    _, there = apply(name, x, valid)
    if name == "resize-crop":  # it also resizes the mask
        assert not there[1, 1:].any()
        assert not there[2, :, LEAD + round(300 * 1.1) + 1 :].any()
    else:
        assert (there <= valid).all()


@pytest.mark.parametrize("name", ON_WAVEFORMS)
def test_share_is_the_probability_of_a_record(name: str) -> None:
    x, valid = (part[:1].expand(400, -1, -1).contiguous() for part in batch())
    sizes = {"ratio": [1.0, 3.0]} if name == "accelerometer" else {}  # of noise that buries no signal
    y, there = augmentation_from({"name": name, "share": 0.3, **sizes})(x, valid, chance())
    changed = (y != x).flatten(1).any(1) | (there != valid).flatten(1).any(1)
    assert float(changed.float().mean()) == pytest.approx(0.3, abs=0.08)
    none, _ = augmentation_from({"name": name, "share": 0.0})(x, valid, chance())
    assert torch.equal(none, x)


@pytest.mark.parametrize("name", augmentation_names())
def test_two_parts_make_the_batch_of_one(name: str) -> None:
    kind = augmentation_class(name)
    x, valid = batch(8) if kind.acts_on == "waveform" else (torch.rand(8, 1, 32, 32), torch.ones(8, 1, 32, 32))
    augmentation = augmentation_from({"name": name, "share": 0.7})
    whole, _ = augmentation(x, valid, Chance(3, CPU, RATE, LEAD, real_noise if name in NEEDS_NOISE else None))
    for part in range(2):
        noise = real_noise if name in NEEDS_NOISE else None
        rows = slice(4 * part, 4 * part + 4)
        y, _ = augmentation(x[rows], valid[rows], Chance(3, CPU, RATE, LEAD, noise, part, 2))
        assert torch.allclose(y, whole[rows], atol=1e-6)


def test_chance_resumes_from_its_state() -> None:
    one = chance()
    one.uniform(5)
    state, ahead = one.state(), one.normal(4)
    other = chance(9)
    other.restore(state)
    assert torch.equal(other.normal(4), ahead)


def test_shift_delays_and_masks_samples_from_outside() -> None:
    x, valid = batch()
    y, there = apply("shift", x, valid, seconds=[2.0, 2.0])
    assert torch.equal(y[0, :, 80:], x[0, :, :-80])
    assert not there[..., :80].any()
    y, there = apply("shift", x, valid, seconds=[-2.0, -2.0])
    assert torch.equal(y[0, :, :-80], x[0, :, 80:])
    assert not there[..., -80:].any()


def test_noise_has_the_ratio_to_the_noise_before_the_onset() -> None:
    x, valid = batch()
    y, there = apply("noise", x, valid, ratio=[2.0, 2.0])
    added = (y - x)[0][there[0] > 0]
    assert float(added.std()) == pytest.approx(2 * float(x[0, :, :LEAD].std()), rel=0.1)
    assert not there[0, :, 600:620].any(), "where the noise has a gap there is one"
    assert torch.equal(Chance(1, CPU, RATE, LEAD).uniform(1), chance().uniform(1))
    silent, _ = augmentation_from({"name": "noise", "share": 1.0})(x, valid, Chance(1, CPU, RATE, LEAD))
    assert torch.equal(silent, x)


@pytest.mark.parametrize("snr_db", [0.0, 10.0])
def test_mixed_noise_has_the_signal_to_noise_ratio(snr_db: float) -> None:
    x, valid = batch()
    y, there = apply("mixed-noise", x, valid, snr_db=[snr_db, snr_db])
    for i in (0, 1):
        live = there[i] > 0
        signal, added = x[i, :, LEAD : LEAD + 400][valid[i, :, LEAD : LEAD + 400] > 0], (y - x)[i][live]
        assert 20 * math.log10(float(signal.std() / added.std())) == pytest.approx(snr_db, abs=0.5)


def test_mixed_noise_is_independent_of_an_offset() -> None:
    x, valid = batch()
    y, _ = apply("mixed-noise", x, valid, snr_db=[10.0, 10.0])
    lifted, _ = apply("mixed-noise", torch.where(valid > 0.5, x + 1e4, 0.0), valid, snr_db=[10.0, 10.0])
    assert torch.allclose((lifted - 1e4)[0, :, :600], y[0, :, :600], atol=0.05)


def test_white_noise_has_the_signal_to_noise_ratio() -> None:
    x, valid = batch()
    y, there = apply("white-noise", x, valid, snr_db=[30.0, 30.0])
    assert torch.equal(there, valid)
    assert 20 * math.log10(float(x[0, 0].std() / (y - x)[0, 0].std())) == pytest.approx(30, abs=0.5)


def test_coloured_noise_has_the_ratio_and_the_spectrum_of_the_synthetic_records() -> None:
    n, slope = 4000, 1.5
    x, valid = torch.randn(4, 3, n, generator=torch.Generator().manual_seed(7)), torch.ones(4, 3, n)
    y, _ = apply("white-noise", x, valid, snr_db=[10.0, 10.0], slope=[slope, slope])
    made = y - x
    assert 20 * math.log10(float(x.std() / made.std())) == pytest.approx(10, abs=0.2)
    reference = torch.from_numpy(coloured_noise(n, RATE, 1.0, 0, slope))
    f = torch.fft.rfftfreq(n, 1 / RATE)

    def fall(noise: torch.Tensor) -> float:
        """Mean power from 8 to 16 Hz over that from 1 to 2 Hz."""
        power = torch.fft.rfft(noise).abs().square().reshape(-1, len(f)).mean(0)
        return float(power[(f >= 8) & (f <= 16)].mean() / power[(f >= 1) & (f <= 2)].mean())

    assert fall(made) == pytest.approx(8.0 ** (-2 * slope), rel=0.2)
    assert fall(made) == pytest.approx(fall(reference), rel=0.2)


def test_factors_and_signs() -> None:
    x, valid = batch()
    assert torch.allclose(apply("scale", x, valid, factor=[1.1, 1.1])[0], 1.1 * x)
    assert torch.equal(apply("polarity", x, valid)[0], -x)
    ratio = (apply("gain-error", x, valid, spread=0.7)[0] / x)[0]
    assert torch.allclose(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-4)
    assert len(set(ratio[:, 0].tolist())) == 3
    y, _ = apply("flipped-channel", x, valid)
    assert sorted((y / x)[0, :, 0].tolist()) == [-1, 1, 1]
    assert (y / x)[1, 0, 0] == -1, "of a vertical alone it is the vertical"


def test_horizontals() -> None:
    x, valid = batch()
    y, there = apply("swapped-horizontals", x, valid)
    assert torch.equal(y[0], x[0, [0, 2, 1]])
    assert torch.equal(there[1], valid[1, [0, 2, 1]])
    y, _ = apply("turn", x, valid, angle_deg=[90.0, 90.0])
    assert torch.allclose(y[0], torch.stack([x[0, 0], x[0, 2], -x[0, 1]]), atol=1e-4)
    assert torch.equal(y[1], x[1]), "a vertical alone stays"
    y, _ = apply("turn", x, valid)
    assert torch.allclose(y[:, 1:].square().sum(1), x[:, 1:].square().sum(1), rtol=1e-4)


def test_augmentations_that_remove_samples() -> None:
    x, valid = batch()
    _, there = apply("truncation", x, valid, after_s=[3.0, 3.0])
    assert torch.equal(there[0], (torch.arange(N) < LEAD + 120).float().expand(3, -1))
    _, there = apply("gap", x, valid, length_s=[1.0, 1.0])
    hole = (there[0, 0] == 0).nonzero().flatten()
    assert 0 < len(hole) <= 40
    assert torch.equal(there[0, 0], there[0, 2])
    _, there = apply("dead-channel", x, valid)
    assert there[0].amax(-1).sum() == 2
    assert torch.equal(there[1], valid[1]), "the last channel is left alone"
    y, there = apply("dead-channel", x, valid, how="flat")
    assert torch.equal(there, valid)
    assert (y[0].std(-1) < 1e-5).sum() == 1


def test_augmentations_that_falsify_samples() -> None:
    x, valid = batch()
    y, _ = apply("clipping", x, valid, level=[0.5, 0.5])
    middle = x[0].mean(-1, keepdim=True)
    end = (x[0] - middle).abs().max() / 2
    assert torch.allclose((y[0] - middle).abs().max(), end, rtol=1e-4)
    inside = (x[0] - middle).abs() < end
    assert torch.allclose(y[0][inside], x[0][inside], atol=1e-5)
    y, _ = apply("offset", x, valid, size=[5.0, 5.0])
    assert torch.allclose((y - x)[0, :, 3], 5 * x[0].std(-1), rtol=1e-2)
    y, there = apply("spikes", x, valid, count=2, size=[20.0, 20.0])
    assert torch.equal(there, valid)
    assert ((y != x)[0].sum(-1) <= 2).all()
    assert (y - x)[0].abs().max() == pytest.approx(20 * float(x[0].std(-1).mean()), rel=0.2)


def test_resize_and_crop_moves_time_about_the_onset() -> None:
    x = torch.arange(N, dtype=torch.float32).expand(2, 3, N).contiguous()
    y, there = apply("resize-crop", x, torch.ones_like(x), factor=[1.1, 1.1])
    expected = (torch.arange(N) - LEAD) / 1.1 + LEAD
    assert torch.allclose(y[0, 0][there[0, 0] > 0], expected[there[0, 0] > 0], atol=1e-2)
    _, there = apply("resize-crop", x, torch.ones_like(x), factor=[0.9, 0.9])
    assert float(there[0, 0].mean()) == pytest.approx(0.9, abs=0.01)


def test_colour_keeps_the_power_of_white_noise() -> None:
    x = torch.randn(200, 3, N, generator=torch.Generator().manual_seed(3))
    y, _ = apply("colour", x, torch.ones_like(x))
    assert float(y.std()) == pytest.approx(1, abs=0.02)
    slope = (y[..., 1:] * y[..., :-1]).mean((1, 2))
    assert float(slope.min()) < -0.2 < 0.2 < float(slope.max())


def picture(x: int, y: int) -> Tensor:
    """A square of 3 × 3 pixels in a picture of 224 × 224."""
    out = torch.zeros(1, 1, 224, 224)
    out[0, 0, y - 1 : y + 2, x - 1 : x + 2] = 1
    return out


def centre(image: Tensor) -> tuple[float, float]:
    """Centre of the drawn pixels, x and y."""
    weight = image[0, 0] / image.sum()
    place = torch.arange(224, dtype=torch.float32)
    return float((weight.sum(0) * place).sum()), float((weight.sum(1) * place).sum())


@pytest.mark.parametrize(
    ("name", "sizes", "expected"),
    [
        ("picture-scale", {"factor": [1.1, 1.1]}, (111.5 + 1.1 * 38.5, 111.5 - 1.1 * 61.5)),
        ("picture-flip", {}, (73.0, 50.0)),
        ("picture-rotation", {"angle_deg": [5.0, 5.0]}, (144.5, 46.9)),
        ("picture-resize-crop", {}, (111.5 + 256 / 224 * 38.5, 111.5 - 256 / 224 * 61.5)),
    ],
)
def test_pictures(name: str, sizes: dict[str, Any], expected: tuple[float, float]) -> None:
    image = picture(150, 50)
    y, _ = augmentation_from({"name": name, "share": 1.0, **sizes})(image, torch.ones_like(image), chance())
    assert y.shape == image.shape
    assert centre(y) == pytest.approx(expected, abs=0.6)


def test_magnitude_recipes_refuse_changes_of_the_amplitude() -> None:
    x, valid = batch()
    names = {n for n in augmentation_names() if augmentation_class(n).touches_amplitude}
    assert names == {"clipping", "colour", "gain-error", "resize-crop", "scale"}
    for name in names:
        with pytest.raises(InputError, match=f"augmentation '{name}' changes the amplitude of the signal"):
            Chain([augmentation_from({"name": name})], "magnitude", chance())
    both = [augmentation_from({"name": "polarity", "share": 1.0}), augmentation_from({"name": "picture-flip"})]
    chain = Chain(both, "magnitude", chance())
    assert torch.equal(chain.waveform(x, valid)[0], -x)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "every table needs a name"),
        ({"name": "gapp"}, "did you mean 'gap'"),
        ({"name": "gap", "lenght_s": [1, 2]}, "augmentation.gap.lenght_s: unknown key; did you mean 'length_s'"),
        ({"name": "gap", "length_s": [2, 1]}, r"length_s must be \[low, high\], above 0; got \[2, 1\]"),
        ({"name": "gap", "length_s": "long"}, r"augmentation.gap: .*length_s"),
        ({"name": "gap", "share": 2}, "share must be from 0 to 1; got 2"),
        ({"name": "dead-channel", "how": "gone"}, "how"),
    ],
)
def test_bad_tables(table: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        augmentation_from(table)


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="registered already"):
        register_augmentation("gap")(Augmentation)
