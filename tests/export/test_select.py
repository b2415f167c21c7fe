"""What pruning removes: known channels are silenced, known prices are given, and exactly those must go."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tests.export.test_prune import lively, silence, windows
from torch import Tensor

from seisedge.export.prune.select import (
    LARGEST_EFFECT,
    SLACK,
    Choice,
    Target,
    block_effects,
    choose,
    importance_of,
    network_macs,
    positions_of,
)
from seisedge.export.prune.surgery import Surgery, surgery_on
from seisedge.train.models import create_model
from seisedge.train.models._base import Model

RESNET, GANET = "resnet18_cbam_small", "ganet_small"
WIDTH = {RESNET: 8, GANET: 24}
FAR = 1e12  # importance of what must stay


def silent(_: str) -> None:
    """Progress that nobody reads."""


def choice_of(
    surgery: Surgery,
    name: str,
    ratio: float,
    importance: dict[str, Tensor],
    effects: dict[int, float] | None = None,
    largest_effect: float = LARGEST_EFFECT,
) -> Choice:
    target = Target(name, {"width": WIDTH[name]}, ratio, largest_effect)
    return choose(surgery, target, importance, effects or {}, silent)


def everything(surgery: Surgery, value: float = FAR) -> dict[str, Tensor]:
    return {g.name: torch.full((g.units,), value) for g in surgery.groups()}


def share_without(surgery: Surgery, name: str, fewer: dict[str, int], dropped: set[int] = frozenset()) -> float:  # type: ignore[assignment]
    """Share of the multiply-adds that goes with so many units of some groups, and with the dropped blocks."""
    units = {g.name: g.units - fewer.get(g.name, 0) for g in surgery.groups()}
    child = create_model(name, width=WIDTH[name], shape=surgery.shape(units, dropped))
    return 1 - network_macs(child) / network_macs(surgery.model)


def removed(surgery: Surgery, choice: Choice) -> dict[str, list[int]]:
    """Places of the units that went, by group."""
    out = {}
    for group in surgery.groups():
        gone = sorted(set(range(group.units)) - set(choice.keep[group.name].tolist()))
        if gone:
            out[group.name] = gone
    return out


def losses(model: Model) -> Iterator[Tensor]:
    """The same windows at each call."""
    torch.manual_seed(7)
    x, valid = windows(model)
    for _ in range(2):
        yield model(x, valid).clamp(min=1e-6).log()[:, 0].neg()


GHOST = ["trunk.bottlenecks.1.expand.primary.1", "trunk.bottlenecks.1.expand.cheap.1"]


@pytest.mark.parametrize(
    ("name", "group", "norms", "gone"),
    [
        (RESNET, "inside 5", ["trunk.blocks.5.body.1"], [2, 5, 7, 11]),
        (GANET, "inside 1", GHOST, [3, 6, 7, 11]),
        (GANET, "last", ["trunk.last.1"], [1, 3, 30, 31]),
    ],
)
def test_silent_channels_go_and_no_other(name: str, group: str, norms: list[str], gone: list[int]) -> None:
    """Their activation is 0, so their importance is exactly 0; a ghost module's map goes with its ghost.

    The other channels of the group are made dear, those of other groups are taken as they are.
    """
    model = lively(name, width=WIDTH[name])
    for norm in norms:
        silence(model.get_submodule(norm), torch.tensor(gone))
    surgery = surgery_on(model, name)
    importance = importance_of(model, surgery.groups(), lambda: losses(model))
    alive = ~torch.isin(torch.arange(len(importance[group])), torch.tensor(gone))
    assert not importance[group][gone].any() and importance[group][alive].any()
    importance[group][alive] += FAR
    choice = choice_of(surgery, name, 0.3, importance)
    assert removed(surgery, choice)[group] == gone
    assert choice.dropped == set()
    assert choice.macs_after == network_macs(create_model(name, width=WIDTH[name], shape=choice.shape))


def test_importance_is_the_squared_first_order_change_of_the_loss() -> None:
    """By hand on one group: mean over windows of (Σ activation · gradient)², summed over batches, map and ghost."""
    model = lively(GANET, width=WIDTH[GANET])
    surgery = surgery_on(model, GANET)
    group = next(g for g in surgery.groups() if g.name == "inside 4")
    seen: list[Tensor] = []

    def hook(module: object, inputs: object, output: Tensor) -> None:
        output.retain_grad()
        seen.append(output)

    handle = group.outputs[0].register_forward_hook(hook)
    for loss in losses(model):
        loss.sum().backward()  # type: ignore[no-untyped-call]  # torch publishes no type for it
    handle.remove()
    expected = torch.zeros(group.units)
    for output in seen:
        assert output.grad is not None
        change = (output.detach() * output.grad).sum(2).square().mean(0)
        expected += change[: group.units] + change[group.units :]
    model.zero_grad(set_to_none=True)
    importance = importance_of(model, surgery.groups(), lambda: losses(model))
    assert expected.max() > 0
    # the gradients of this untrained network are small, so that float32 rounding differs with the threads used
    torch.testing.assert_close(importance["inside 4"], expected, rtol=1e-3, atol=float(1e-3 * expected.max()))


def test_the_price_is_that_of_the_units_that_go_next() -> None:
    """The first step of `inside 5` is nearly free, the others are dear: it loses one step, then others go."""
    surgery = surgery_on(lively(RESNET, width=8), RESNET)
    importance = everything(surgery, 1.0)
    importance["inside 5"][:] = FAR
    importance["inside 5"][[3, 9]] = 1e-6
    gone = removed(surgery, choice_of(surgery, RESNET, 0.3, importance))
    assert gone["inside 5"] == [3, 9]
    assert len(gone) > 4


def test_the_price_is_for_a_multiply_add_saved() -> None:
    """Blocks bring it near the ratio, so that one step is enough: the one that saves more for its price."""
    surgery = surgery_on(lively(RESNET, width=8), RESNET)
    blocks, effects = {5, 7}, {5: 0.0, 7: 0.0}
    whole = share_without(surgery, RESNET, {}, blocks)
    saving = {n: share_without(surgery, RESNET, {n: 2}, blocks) - whole for n in ("inside 0", "inside 6")}
    poor, rich = sorted(saving, key=lambda n: saving[n])
    assert saving[rich] > 1.05 * saving[poor] > 0
    importance = everything(surgery)
    importance[rich][:2], importance[poor][:2] = 1.02, 1.0  # dearer, but for more multiply-adds
    choice = choice_of(surgery, RESNET, whole + saving[rich] - 1e-9, importance, effects)
    assert choice.dropped == blocks
    assert removed(surgery, choice) == {rich: [0, 1]}
    importance[rich][1] = 2 * saving[rich] / saving[poor]  # the second unit of the step makes it dear
    choice = choice_of(surgery, RESNET, whole + saving[poor] - 1e-9, importance, effects)
    assert removed(surgery, choice) == {poor: [0, 1]}


def test_no_group_loses_more_than_the_ratio_or_falls_below_its_least() -> None:
    """Everything in one group is free; it still keeps its share, and the rest is taken elsewhere."""
    surgery = surgery_on(lively(RESNET, width=8), RESNET)
    importance = everything(surgery, 1.0)
    importance["inside 7"][:] = 0
    choice = choice_of(surgery, RESNET, 0.3, importance)
    whole = {g.name: g.units for g in surgery.groups()}
    left = {name: len(places) for name, places in choice.keep.items()}
    lowest = {g.name: max(g.least, -(-7 * g.units // 10)) for g in surgery.groups()}
    assert all(left[name] >= lowest[name] for name in whole)
    assert left["inside 7"] < lowest["inside 7"] + 2  # no whole step above it
    assert 1 - choice.macs_after / choice.macs_before >= 0.3


def test_blocks_go_by_their_effect_and_up_to_the_ratio() -> None:
    surgery = surgery_on(lively(RESNET, width=8), RESNET)
    shares = {place: share_without(surgery, RESNET, {}, {place}) for place in surgery.blocks()}
    assert set(shares) == {1, 3, 5, 7}
    importance = everything(surgery)
    effects = {1: 0.04, 3: 0.01, 5: LARGEST_EFFECT, 7: 0.051}
    one = choice_of(surgery, RESNET, shares[3], importance, effects | {1: 0.2, 5: 0.2})
    assert one.dropped == {3} and removed(surgery, one) == {}
    two = choice_of(surgery, RESNET, shares[1] + shares[3], importance, effects | {5: 0.2})
    assert two.dropped == {1, 3}
    assert min(shares[3], shares[5]) > SLACK  # so that only one of them fits
    first = choice_of(surgery, RESNET, max(shares[3], shares[5]), everything(surgery, 1.0), {3: 0.04, 5: 0.01})
    assert first.dropped == {5}
    limit = sum(shares[p] for p in (1, 3, 5))
    assert choice_of(surgery, RESNET, limit, importance, effects).dropped == {1, 3, 5}  # at the limit it may go
    assert 7 in choice_of(surgery, RESNET, limit, importance, {7: 0.051}, largest_effect=0.06).dropped


def test_a_block_may_take_a_little_more_than_the_ratio() -> None:
    surgery = surgery_on(lively(RESNET, width=8), RESNET)
    all_three, effects = share_without(surgery, RESNET, {}, {3, 5, 7}), {3: 0.0, 5: 0.01, 7: 0.02}
    assert all_three - share_without(surgery, RESNET, {}, {3, 5}) > 1.2 * SLACK
    importance = everything(surgery, 1.0)
    assert choice_of(surgery, RESNET, all_three - 0.9 * SLACK, importance, effects).dropped == {3, 5, 7}
    assert choice_of(surgery, RESNET, all_three - 1.1 * SLACK, importance, effects).dropped == {3, 5}


def test_nothing_more_goes_than_asked() -> None:
    """One step less would be too little."""
    surgery = surgery_on(lively(RESNET, width=8), RESNET)
    importance = everything(surgery, 1.0)
    choice = choice_of(surgery, RESNET, 0.2, importance)
    gone = removed(surgery, choice)
    for name, places in gone.items():
        fewer = {n: len(p) for n, p in gone.items()} | {name: len(places) - 2}
        if share_without(surgery, RESNET, fewer) < 0.2:
            break
    else:
        raise AssertionError("every single step could have stayed")


def test_effects_are_measured_block_by_block() -> None:
    """A block whose output is its input changes nothing; the others do. The model is as before afterwards."""
    model = lively(RESNET, width=8)
    surgery = surgery_on(model, RESNET)
    x, valid = windows(model)
    before = model(x, valid)
    effects = block_effects(model, surgery, x, valid)
    assert all(effect > 0 for effect in effects.values()) and len(set(effects.values())) == 4
    assert torch.equal(model(x, valid), before)


def test_uses_of_a_weight_are_counted_outside_the_front_end() -> None:
    model = lively(GANET, width=WIDTH[GANET])
    positions = positions_of(model)
    assert not any(name.startswith(("front", "bank")) for name in positions)
    assert positions["trunk.classify"] == 1
    assert positions["trunk.attentions.0.channel.shared.0"] == 2  # of the mean and of the maximum
    assert network_macs(model) == network_macs(model, positions)
