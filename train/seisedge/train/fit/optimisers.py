"""Adam, AdamW and Ranger, by the name in a recipe."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

LOOK_AHEAD_STEPS = 6  # as Ranger has it; the paper of Lookahead finds 5 and 10 alike
LOOK_AHEAD_SHARE = 0.5

Groups = list[dict[str, Any]]


class Ranger(torch.optim.RAdam):
    """RAdam with Lookahead, as L. Wright named the pair.

    RAdam: Liu et al. 2020, https://arxiv.org/abs/1908.03265 (torch has it). Lookahead: Zhang et al. 2019,
    https://arxiv.org/abs/1907.08610: every six steps the slow weights go half the way to the fast ones, which begin
    there again. The slow weights are part of the state.
    """

    def __init__(self, groups: Groups, lr: float, weight_decay: float) -> None:
        super().__init__(groups, lr=lr, betas=(0.9, 0.999), weight_decay=weight_decay)
        self.count = 0

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step of RAdam; at every sixth the slow weights move."""
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
        """RAdam fills a state only when it is empty, so this one is filled whole."""
        self.state[p] = {
            "step": torch.zeros((), dtype=torch.float32),
            "exp_avg": torch.zeros_like(p),
            "exp_avg_sq": torch.zeros_like(p),
            "slow": p.detach().clone(),
        }

    def state_dict(self) -> dict[str, Any]:
        """With the count of steps."""
        return {**super().state_dict(), "count": self.count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.count = state_dict["count"]
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "count"})


def optimiser_from(name: str, groups: Groups, rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """groups: parameters, with their own `lr` or `weight_decay` where they differ.

    Adam's decay is part of its gradient; AdamW's is not.
    """
    if name == "ranger":
        return Ranger(groups, rate, weight_decay)
    kind = torch.optim.Adam if name == "adam" else torch.optim.AdamW
    return kind(groups, lr=rate, weight_decay=weight_decay)
