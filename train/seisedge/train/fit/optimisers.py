"""The optimisers of recipes: Adam, AdamW and Ranger."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

LOOK_AHEAD_STEPS = 6  # value of Ranger; the Lookahead paper finds no difference between 5 and 10
LOOK_AHEAD_SHARE = 0.5

Groups = list[dict[str, Any]]


class Ranger(torch.optim.RAdam):
    """RAdam with Lookahead; the combination was named Ranger by L. Wright.

    RAdam: Liu et al. 2020, https://arxiv.org/abs/1908.03265 (implemented by torch). Lookahead: Zhang et al. 2019,
    https://arxiv.org/abs/1907.08610: every six steps the slow weights move halfway to the fast weights, and the
    fast weights are set to them. The slow weights are part of the state.
    """

    def __init__(self, groups: Groups, lr: float, weight_decay: float) -> None:
        super().__init__(groups, lr=lr, betas=(0.9, 0.999), weight_decay=weight_decay)
        self.count = 0

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step of RAdam; every sixth step also updates the slow weights."""
        parameters = [p for group in self.param_groups for p in group["params"]]
        for p in parameters:
            if "slow" not in self.state[p]:
                self._start(p)
        loss = super().step(closure)
        self.count += 1
        if self.count % LOOK_AHEAD_STEPS == 0:
            for p in parameters:
                slow: Tensor = self.state[p]["slow"]
                slow.lerp_(p, LOOK_AHEAD_SHARE)
                p.copy_(slow)
        return loss

    def _start(self, p: Tensor) -> None:
        """Initialise the state of p completely: RAdam initialises a state only if it is empty."""
        self.state[p] = {
            "step": torch.zeros((), dtype=torch.float32),
            "exp_avg": torch.zeros_like(p),
            "exp_avg_sq": torch.zeros_like(p),
            "slow": p.detach().clone(),
        }

    def state_dict(self) -> dict[str, Any]:
        """State of RAdam and the number of steps (`count`)."""
        return {**super().state_dict(), "count": self.count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.count = state_dict["count"]
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "count"})


def optimiser_from(name: str, groups: Groups, rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """The optimiser with the name used in a recipe. groups: parameters; a group may set its own `lr` or `weight_decay`.

    Adam adds the weight decay to the gradient; AdamW applies it separately.
    """
    if name == "ranger":
        return Ranger(groups, rate, weight_decay)
    kind = torch.optim.Adam if name == "adam" else torch.optim.AdamW
    return kind(groups, lr=rate, weight_decay=weight_decay)
