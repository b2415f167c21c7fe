"""P over S by frequency, on made records of two pulses."""

import math
from typing import Any

import torch

from seisedge.train.models import create_model
from seisedge.train.models.ganet import GANetSmall

RATE_HZ, ONSET_S, S_S = 40.0, 5.0, 4.0
LOW, HIGH = 2.0, 11.0


def network(**arguments: Any) -> GANetSmall:
    torch.manual_seed(0)
    model = create_model("ganet_small", width=8, **arguments).eval()
    assert isinstance(model, GANetSmall)
    return model


def record(p_hz: float, s_hz: float, noise: float = 1.0, answer_s: float = 20.0) -> tuple[torch.Tensor, torch.Tensor]:
    """(1, 3, 1800): both pulses with both frequencies, but ten times more of `p_hz` in P and of `s_hz` in S."""
    torch.manual_seed(1)
    t = torch.arange(1800) / RATE_HZ - ONSET_S
    x = noise * torch.randn(3, 1800)
    for at_s, strong in ((0.0, p_hz), (S_S, s_hz)):
        pulse = torch.where(t > at_s, torch.exp(-(t - at_s)), 0.0)
        for f in (LOW, HIGH):
            x = x + (1000.0 if f == strong else 100.0) * pulse * torch.sin(2 * math.pi * f * t)
    valid = (t < answer_s).float().expand(3, -1)[None].clone()
    return x[None] * valid, valid


def evidence(x: torch.Tensor, valid: torch.Tensor) -> float:
    model = network(p_over_s=True)
    assert model.p_over_s is not None
    with torch.no_grad():
        _, frames, power = model.bank(*model.front(x, valid))
        return float(model.p_over_s(power, frames))


def test_high_frequencies_in_p_and_low_ones_in_s_are_evidence_of_a_blast() -> None:
    assert evidence(*record(HIGH, LOW)) > 2
    assert evidence(*record(LOW, HIGH)) < -2


def test_neither_the_gain_nor_the_response_of_the_sensor_matters() -> None:
    x, valid = record(HIGH, LOW)
    plain = evidence(x, valid)
    assert abs(evidence(1e-6 * x, valid) - plain) < 1e-3
    smooth = x + torch.roll(x, 1, -1)  # 0.16 dB less at 2 Hz, 3.9 dB at 11 Hz
    assert abs(evidence(smooth * valid, valid) - plain) < 0.1


def test_there_is_none_in_noise_and_before_s_can_be_expected() -> None:
    assert evidence(*record(HIGH, LOW, noise=1e6)) == 0
    assert evidence(*record(HIGH, LOW, answer_s=7.0)) == 0
    assert evidence(*record(HIGH, LOW, answer_s=10.0)) > 2


def test_it_is_added_to_the_logit_of_non_tectonic_alone() -> None:
    with_it, without = network(p_over_s=True), network()
    with_it.load_state_dict(without.state_dict())  # nothing of it is trained
    x, valid = record(HIGH, LOW)
    with torch.no_grad():
        difference = with_it.raw(x, valid) - without.raw(x, valid)
    torch.testing.assert_close(difference, torch.tensor([[0.0, evidence(x, valid), 0.0]]))


def test_a_record_with_the_vertical_alone() -> None:
    x, valid = record(HIGH, LOW)
    x[:, 1:], valid[:, 1:] = 0, 0
    assert evidence(x, valid) > 2
