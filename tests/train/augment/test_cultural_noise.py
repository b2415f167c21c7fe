"""Tests of the made cultural noise: its level by class, and the kinds of sources."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from seisedge.train.archive.archive import Archive
from seisedge.train.augment import Chance, augmentation_from, cultural_noise
from seisedge.train.augment.cultural_noise import KINDS, bursts
from seisedge.train.augment.mixed_noise import highpassed, rms
from seisedge.train.fit.feed import WindowFeed
from seisedge.train.fit.stage import Settings, Stage
from seisedge.train.recipes.recipe import load_recipe

RATE_HZ, LEAD, N = 40.0, 200, 1800


def chance(event: Tensor | None = None) -> Chance:
    out = Chance(3, torch.device("cpu"), RATE_HZ, LEAD)
    out.event = event
    return out


def windows(size: int) -> tuple[Tensor, Tensor]:
    """Noise with an RMS of 1, and a signal 100 times as large in one second after the onset."""
    x = torch.randn(size, 3, N, generator=torch.Generator().manual_seed(7))
    x[..., LEAD : LEAD + 40] *= 100
    return x, torch.ones_like(x)


def added(event: Tensor | None) -> tuple[Tensor, Tensor]:
    """Windows and what the augmentation adds to them."""
    x, valid = windows(64)
    table = {"name": "cultural-noise", "share": 1.0, "noise_ratio": [50.0, 50.0], "event_ratio": [0.1, 0.1]}
    y, there = augmentation_from(table)(x, valid, chance(event))
    assert torch.equal(there, valid)
    return x, y - x


def test_the_level_follows_the_noise_in_noise_and_the_peak_in_events() -> None:
    event = torch.arange(64) < 32
    x, made = added(event)
    own = highpassed(x, torch.ones_like(x), RATE_HZ)
    before = rms(own[..., :LEAD], torch.ones_like(own[..., :LEAD])).flatten()
    peak = made.abs().amax((1, 2))
    assert torch.allclose(peak[~event], 50 * before[~event], rtol=1e-3)
    assert torch.allclose(peak[event], 0.1 * own.abs().amax((1, 2))[event], rtol=1e-3)


def test_without_the_class_the_smaller_level_is_used() -> None:
    x, made = added(None)
    own = highpassed(x, torch.ones_like(x), RATE_HZ)
    before = rms(own[..., :LEAD], torch.ones_like(own[..., :LEAD])).flatten()
    smaller = torch.minimum(50 * before, 0.1 * own.abs().amax((1, 2)))
    assert torch.allclose(made.abs().amax((1, 2)), smaller, rtol=1e-3)


@pytest.mark.parametrize("name", list(KINDS))
def test_each_kind_has_its_band_and_most_begin_near_the_onset(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cultural_noise, "KINDS", {name: KINDS[name]})
    y = bursts(200, N, chance())
    assert torch.isfinite(y).all()
    power = torch.fft.rfft(y).abs().square().sum((0, 1))
    f = torch.fft.rfftfreq(N, 1 / RATE_HZ)
    assert float(power[(f > 0.5) & (f < 20)].sum() / power.sum()) > 0.9
    # The envelope rises within a few rise times of its beginning; 70 % begin within 2 s of the nominal onset
    strongest = y.abs().amax(1).argmax(1) / RATE_HZ
    last_s = LEAD / RATE_HZ + 2 + 3 * KINDS[name].rise_s[1] + KINDS[name].fall_s[1]
    assert float((strongest < last_s).float().mean()) > 0.6


def test_footsteps_are_impulses_at_their_cadence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The envelope of the impulses repeats after the time between two steps."""
    kind = cultural_noise.Kind((2.0, 2.0), (20.0, 20.0), (60.0, 60.0), (15.0, 15.0), (5.0, 5.0))
    monkeypatch.setattr(cultural_noise, "KINDS", {"footsteps": kind})
    size = bursts(20, N, chance())[:, 0, 400:1200].abs()
    size = size - size.mean(1, keepdim=True)
    spectrum = torch.fft.rfft(size).abs().square().sum(0)
    f = torch.fft.rfftfreq(800, 1 / RATE_HZ)
    slow = (f > 0.5) & (f < 3.0)
    assert float(f[slow][spectrum[slow].argmax()]) == pytest.approx(2.0, abs=0.3)


def test_a_training_states_which_windows_contain_an_event(few: Archive) -> None:
    """Label 2 of an event-type model is noise; all windows of a magnitude model contain an event."""
    for name in ("event-type", "magnitude"):
        recipe = load_recipe(name, {"arguments.width": 8, "optimisation.batch": 16, "optimisation.steps": 1})
        cpu = torch.device("cpu")
        stage = Stage(recipe, few, lambda r: r.split == "train", 1, cpu, None, None, Settings(), lambda _: None)
        label = stage.batch()[2]
        assert isinstance(stage.feed, WindowFeed)
        assert stage.feed.chance.event is not None
        assert torch.equal(stage.feed.chance.event, label != 2)
        assert name == "magnitude" or bool((label == 2).any())
