"""What goes: blocks by what the answers lose without them, then channels by first-order Taylor on real windows.

A channel's importance is the mean over windows of (Σ activation · gradient of the loss)², the squared first-order
change of the loss when it is set to zero (Molchanov et al. 2019, https://arxiv.org/abs/1906.10771). Channels are taken
from the group where a multiply-add saved costs least, until the network has lost the wanted share; no group loses
more than that share of its channels, for the first order says little of a group that is nearly gone. Blocks come
first, because at these sizes time follows the number of operators, not their width.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from seisedge.export.prune.surgery import Group, Surgery
from seisedge.runtime.errors import InputError
from seisedge.train.models import create_model
from seisedge.train.models._base import Model

SLACK = 0.05  # a block may take the removed share so far above the wanted one
LOOK_AGAIN = 8  # steps
LARGEST_EFFECT = 0.05  # mean change of a probability without a block; beyond it a block stays, unless asked
FRONT = ("front", "bank")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Choice:
    """What stays: places of the units by group; dropped blocks; the argument `shape` of the child."""

    keep: dict[str, Tensor]
    dropped: set[int]
    shape: dict[str, Any]
    macs_before: int
    macs_after: int


def positions_of(model: Model) -> dict[str, int]:
    """How often each weight outside the front end is used in one window, by the name of its layer."""
    out: dict[str, int] = {}

    def hook_for(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
            out[name] = out.get(name, 0) + output.numel() // int(output.shape[1])

        return hook

    with ExitStack() as stack:
        for name, module in model.named_modules():
            if isinstance(module, nn.Conv1d | nn.Linear) and not name.startswith(FRONT):
                stack.enter_context(_hooked(module, hook_for(name)))
        x = torch.zeros(1, 3, model.geometry.n_samples)
        with torch.no_grad():
            model.eval()(x, torch.ones_like(x))
    return out


def network_macs(model: Model, positions: dict[str, int] | None = None) -> int:
    """Multiply-adds of convolutions and products outside the front end, one window.

    positions: of a model that differs in widths only; found by running the model where not given.
    """
    used = positions_of(model) if positions is None else positions
    return sum(_weights(model.get_submodule(name)) * count for name, count in used.items())


def _weights(layer: nn.Module) -> int:
    assert isinstance(layer, nn.Conv1d | nn.Linear)
    return layer.weight.numel()


@contextmanager
def _hooked(module: nn.Module, hook: Callable[..., Any]) -> Iterator[None]:
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def importance_of(model: Model, groups: list[Group], loss: Callable[[], Iterator[Tensor]]) -> dict[str, Tensor]:
    """(units,) a group. loss: yields the (batch,) losses of one batch after another, from the model itself."""
    out = {g.name: torch.zeros(g.units) for g in groups}
    seen: list[tuple[Group, Tensor]] = []

    def hook_for(group: Group) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
            output.retain_grad()
            seen.append((group, output))

        return hook

    model.eval()
    with ExitStack() as stack:
        for group in groups:
            for module in group.outputs:
                stack.enter_context(_hooked(module, hook_for(group)))
        for values in loss():
            model.zero_grad(set_to_none=True)
            values.sum().backward()  # type: ignore[no-untyped-call]  # torch publishes no type for it
            for group, output in seen:
                assert output.grad is not None
                change = (output.detach() * output.grad).sum(-1).square().mean(0)  # (channels,)
                out[group.name] += change[: group.units] + change[group.units :] if group.paired else change
            seen.clear()
    model.zero_grad(set_to_none=True)
    return out


def _pass_over(module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> object:
    """Hook: (x, mask) as they came, or x alone where the module gives no mask."""
    return inputs if isinstance(output, tuple) else inputs[0]


def block_effects(model: Model, surgery: Surgery, x: Tensor, valid: Tensor) -> dict[int, float]:
    """Mean difference of a probability when a block is passed over."""

    @torch.no_grad()
    def answers() -> Tensor:
        out: Tensor = model.eval()(x, valid)
        return out

    whole = answers()
    effects = {}
    for place, modules in surgery.blocks().items():
        with ExitStack() as stack:
            for module in modules:
                stack.enter_context(_hooked(module, _pass_over))
            effects[place] = float((answers() - whole).abs().mean())
    return effects


def choose(
    surgery: Surgery,
    name: str,
    arguments: dict[str, Any],
    ratio: float,
    importance: dict[str, Tensor],
    effects: dict[int, float],
    say: Say,
    largest_effect: float = LARGEST_EFFECT,
) -> Choice:
    """Blocks, then channels, until the network has lost `ratio` of its multiply-adds. Raises InputError."""
    groups = {g.name: g for g in surgery.groups()}
    units = {g.name: g.units for g in groups.values()}
    dropped: set[int] = set()

    def built(changed: dict[str, int], without: set[int]) -> Model:
        return create_model(name, **(arguments | {"shape": surgery.shape(changed, without)}))

    before = now = network_macs(surgery.model)
    for place in sorted(effects, key=lambda p: effects[p]):
        if effects[place] > largest_effect:
            say(f"block {place} stays: without it probabilities change by {effects[place]:.4f} in the mean")
            continue
        trial = network_macs(built(units, dropped | {place}))
        if 1 - trial / before <= ratio + SLACK:
            say(f"block {place} goes: without it probabilities change by {effects[place]:.4f} in the mean")
            dropped, now = dropped | {place}, trial
    order = {n: torch.argsort(importance[n]) for n in groups}  # the least important first
    gone = {f"inside {i}" for i in dropped}
    positions = positions_of(built(units, dropped))
    floor = {g.name: max(g.least, math.ceil((1 - ratio) * g.units)) for g in groups.values()}
    saved: dict[str, int] = {}  # by a step of each group; looked at again now and then, for it changes slowly
    for turn in itertools.count():
        if 1 - now / before >= ratio:
            break
        open_groups = [
            g
            for g in groups.values()
            if g.name not in gone
            and units[g.name] - g.step >= floor[g.name]
            and surgery.fits(units | {g.name: units[g.name] - g.step}, dropped)
        ]
        if not open_groups:
            raise InputError(
                f"--ratio {ratio:g}: too large: at the smallest widths {1 - now / before:.0%} of the network's "
                "multiply-adds are removed; lower --ratio, or raise --largest-effect so that more blocks go"
            )
        for g in open_groups:
            if turn % LOOK_AGAIN == 0 or g.name not in saved:
                narrower = built(units | {g.name: units[g.name] - g.step}, dropped)
                saved[g.name] = now - network_macs(narrower, positions)

        def price(g: Group) -> float:
            taken = g.units - units[g.name]
            cost = float(importance[g.name][order[g.name][taken : taken + g.step]].sum())
            return cost / max(saved[g.name], 1)

        cheapest = min(open_groups, key=price)
        units[cheapest.name] -= cheapest.step
        now = network_macs(built(units, dropped), positions)
    keep = {n: order[n][g.units - units[n] :].sort().values for n, g in groups.items()}
    return Choice(keep, dropped, surgery.shape(units, dropped), before, now)
