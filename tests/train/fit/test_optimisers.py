"""Ranger is RAdam that moves the weights halfway back every six steps."""

from __future__ import annotations

import copy

import pytest
import torch

from seisedge.train.fit.optimisers import LOOK_AHEAD_STEPS, Ranger, optimiser_from


def bowl(name: str, steps: int) -> list[float]:
    """Path of one parameter on a parabola, starting at 3."""
    p = torch.nn.Parameter(torch.tensor([3.0]))
    optimiser = optimiser_from(name, [{"params": [p]}], 0.1, 0.0)
    way = []
    for _ in range(steps):
        optimiser.zero_grad()
        p.square().sum().backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        optimiser.step()
        way.append(p.item())
    return way


@pytest.mark.parametrize("name", ["adam", "adamw", "ranger"])
def test_finds_the_minimum(name: str) -> None:
    assert abs(bowl(name, 400)[-1]) < 0.1


def test_the_sixth_step_goes_halfway_back() -> None:
    p = torch.nn.Parameter(torch.tensor([3.0]))
    plain = torch.optim.RAdam([p], lr=0.1, betas=(0.9, 0.999))
    for _ in range(LOOK_AHEAD_STEPS):
        plain.zero_grad()
        p.square().sum().backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        plain.step()
    ours = bowl("ranger", LOOK_AHEAD_STEPS)
    assert ours[-1] == pytest.approx((3.0 + p.item()) / 2, rel=1e-6)


def test_restored_state_continues() -> None:
    a, b = (torch.nn.Parameter(torch.tensor([3.0, -1.0])) for _ in range(2))
    one = Ranger([{"params": [a]}], 0.1, 1e-5)

    def step(p: torch.nn.Parameter, optimiser: Ranger) -> None:
        optimiser.zero_grad()
        (p.square() * p.sin()).sum().backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        optimiser.step()

    for _ in range(LOOK_AHEAD_STEPS - 2):
        step(a, one)
    with torch.no_grad():
        b.copy_(a)
    other = Ranger([{"params": [b]}], 0.1, 1e-5)
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    for _ in range(LOOK_AHEAD_STEPS):
        step(a, one)
        step(b, other)
    assert torch.equal(a, b)


def test_decay_is_in_the_gradient_of_adam_only() -> None:
    ends = {}
    for name in ("adam", "adamw"):
        p = torch.nn.Parameter(torch.tensor([3.0]))
        optimiser = optimiser_from(name, [{"params": [p]}], 0.1, 0.5)
        p.grad = torch.zeros(1)
        optimiser.step()
        ends[name] = p.item()
    assert ends["adam"] == pytest.approx(2.9)  # one step of the learning rate, independent of the decay
    assert ends["adamw"] == pytest.approx(3.0 * (1 - 0.05))
