"""What pruning removes: blocks by how the answers change without them, then channels by their importance.

The importance of a channel is the mean over windows of (Σ activation · gradient of the loss)², the squared first-order
change of the loss when the channel is set to zero (Molchanov et al. 2019, https://arxiv.org/abs/1906.10771). Channels
are taken from the group where a saved multiply-add costs least importance, until the wanted share is removed. No group
loses more than that share of its channels, because a first-order estimate is poor when most of a group is removed.
Blocks are removed first, because at these sizes time depends on the number of operators more than on their width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from seisedge.export.prune.surgery import Group, Surgery
from seisedge.runtime.errors import InputError
from seisedge.train.models import create_model
from seisedge.train.models._base import Model

SLACK = 0.05  # with a block, the removed share may exceed the wanted one by this much
LOOK_AGAIN = 8  # steps between two measurements of what a step saves
LARGEST_EFFECT = 0.05  # default of --largest-effect: mean change of a probability without a block
FRONT = ("front", "bank")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Choice:
    """Places of the units that stay, by group; the dropped blocks; the argument `shape` of the child."""

    keep: dict[str, Tensor]
    dropped: set[int]
    shape: dict[str, Any]
    macs_before: int
    macs_after: int


@dataclass(frozen=True)
class Target:
    """What to prune to. model, arguments: as in the recipe. ratio: share of the network's multiply-adds to remove.

    largest_effect: mean change of a probability without a block, beyond which the block stays.
    """

    model: str
    arguments: dict[str, Any]
    ratio: float
    largest_effect: float = LARGEST_EFFECT

    def build(self, surgery: Surgery, units: dict[str, int], dropped: Collection[int]) -> Model:
        """A model with so many units in each group and without the dropped blocks."""
        return create_model(self.model, **(self.arguments | {"shape": surgery.shape(units, dropped)}))


def positions_of(model: Model) -> dict[str, int]:
    """How often each weight outside the front end is used in one window, by layer name."""
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
    """Multiply-adds of convolutions and matrix products outside the front end, for one window.

    positions: of a model that differs in widths only; by default the model is run to count them.
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
    """Importance by group, (units,). loss: yields the loss of one batch after another, computed by the model itself."""
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
    """Hook: return the input (x, mask), or x alone where the module returns no mask."""
    return inputs if isinstance(output, tuple) else inputs[0]


def block_effects(model: Model, surgery: Surgery, x: Tensor, valid: Tensor) -> dict[int, float]:
    """Mean absolute change of a probability without each block. x, valid: (n, 3, n_samples)."""

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
    surgery: Surgery, target: Target, importance: dict[str, Tensor], effects: dict[int, float], say: Say
) -> Choice:
    """Remove blocks, then channels, until the network has lost `target.ratio` of its multiply-adds.

    importance: by group, (units,). effects: by block, the mean change of a probability without it. Raises InputError.
    """
    before = network_macs(surgery.model)
    dropped = _blocks_to_drop(surgery, target, effects, before, say)
    narrowing = _Narrowing(surgery, target, importance, dropped)
    while 1 - narrowing.macs / before < target.ratio:
        if not narrowing.step():
            raise InputError(
                f"--ratio {target.ratio:g}: too large: at the smallest widths {1 - narrowing.macs / before:.0%} of the "
                "network's multiply-adds are removed; lower --ratio, or raise --largest-effect so that more blocks go"
            )
    return Choice(narrowing.keep(), dropped, surgery.shape(narrowing.units, dropped), before, narrowing.macs)


def _blocks_to_drop(surgery: Surgery, target: Target, effects: dict[int, float], before: int, say: Say) -> set[int]:
    """Blocks in the order of their effect, as long as they take at most the ratio and SLACK."""
    units = {g.name: g.units for g in surgery.groups()}
    dropped: set[int] = set()
    for place in sorted(effects, key=lambda p: effects[p]):
        change = f"without it probabilities change by {effects[place]:.4f} on average"
        if effects[place] > target.largest_effect:
            say(f"block {place} stays: {change}")
        elif 1 - network_macs(target.build(surgery, units, dropped | {place})) / before <= target.ratio + SLACK:
            say(f"block {place} is removed: {change}")
            dropped.add(place)
    return dropped


class _Narrowing:
    """Widths while channels are removed, the cheapest step first. units: left in each group. macs: of the network."""

    def __init__(self, surgery: Surgery, target: Target, importance: dict[str, Tensor], dropped: set[int]) -> None:
        self.surgery, self.target, self.dropped = surgery, target, dropped
        gone = {f"inside {i}" for i in dropped}
        groups = surgery.groups()
        self.groups = [g for g in groups if g.name not in gone]
        self.units = {g.name: g.units for g in groups}
        self.importance = importance
        self.order = {g.name: torch.argsort(importance[g.name]) for g in groups}  # the least important first
        self.floor = {g.name: max(g.least, math.ceil((1 - target.ratio) * g.units)) for g in groups}
        whole = target.build(surgery, self.units, dropped)
        self.positions = positions_of(whole)
        self.macs = network_macs(whole, self.positions)
        self.saved: dict[str, int] = {}  # by one step of each group; measured again now and then, for it changes slowly
        self.turn = 0

    def step(self) -> bool:
        """Remove the cheapest step of channels; False where no group can lose another step."""
        candidates = [g for g in self.groups if self._open(g)]
        if not candidates:
            return False
        for g in candidates:
            if self.turn % LOOK_AGAIN == 0 or g.name not in self.saved:
                self.saved[g.name] = self.macs - self._macs(self._narrower(g))
        cheapest = min(candidates, key=self._price)
        self.units = self._narrower(cheapest)
        self.macs = self._macs(self.units)
        self.turn += 1
        return True

    def keep(self) -> dict[str, Tensor]:
        """Places of the units that stay, by group, ascending."""
        return {n: order[len(order) - self.units[n] :].sort().values for n, order in self.order.items()}

    def _open(self, g: Group) -> bool:
        narrower = self._narrower(g)
        return narrower[g.name] >= self.floor[g.name] and self.surgery.fits(narrower, self.dropped)

    def _narrower(self, g: Group) -> dict[str, int]:
        return self.units | {g.name: self.units[g.name] - g.step}

    def _macs(self, units: dict[str, int]) -> int:
        return network_macs(self.target.build(self.surgery, units, self.dropped), self.positions)

    def _price(self, g: Group) -> float:
        """Importance of the units that go next, for a multiply-add saved."""
        taken = g.units - self.units[g.name]
        cost = float(self.importance[g.name][self.order[g.name][taken : taken + g.step]].sum())
        return cost / max(self.saved[g.name], 1)
