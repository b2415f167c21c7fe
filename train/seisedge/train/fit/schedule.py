"""Learning rate by step, and early stopping.

A run trains twice. The first training holds out the calibration fold and measures the loss on it at the end of each
epoch. The second training uses all training records, so it has no held-out loss. The first training stores when it
lowered the rate and when it stopped in `ScheduleDecisions`, and the second training repeats these epoch by epoch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from seisedge.train.recipes.recipe import Optimisation

WARM_UP_STEPS = 100
GAIN = 1e-4  # smallest decrease of the loss that counts as an improvement


def planned_steps(spec: Optimisation, epoch_steps: int) -> int:
    """Steps of a training that does not stop early. epoch_steps: that draw as many windows as there are records."""
    return min(([spec.steps] if spec.steps else []) + ([spec.epochs * epoch_steps] if spec.epochs else []))


def planned_windows(spec: Optimisation, n_records: int) -> int:
    """Windows that a training on so many records draws if it does not stop early."""
    return planned_steps(spec, max(-(-n_records // spec.batch), 1)) * spec.batch


def cosine(step: int, steps: int) -> float:
    """Factor of the full rate at a step: linear warm-up, then a cosine down to 0.01."""
    warm = min(WARM_UP_STEPS, max(steps // 10, 1))
    if step < warm:
        return (step + 1) / warm
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1)))


@dataclass
class ScheduleDecisions:
    """Decisions of the first training. shares: factor of the rate in each epoch; stopped: whether it stopped early."""

    shares: list[float] = field(default_factory=list)
    stopped: bool = False


class Schedule:
    """The schedule of one training. epoch_steps: number of steps that draw as many windows as there are records."""

    def __init__(self, spec: Optimisation, epoch_steps: int, decisions: ScheduleDecisions | None = None) -> None:
        self.spec, self.epoch_steps, self.earlier = spec, epoch_steps, decisions
        self.planned = planned_steps(spec, epoch_steps)
        self.steps = self.planned
        if decisions is not None and decisions.stopped:
            self.steps = min(self.planned, len(decisions.shares) * epoch_steps)
        self.decisions = ScheduleDecisions()
        self.share, self.best, self.since, self.since_lowered = 1.0, math.inf, 0, 0

    @property
    def needs_validation(self) -> bool:
        """True if the rate or the end of the training depends on the held-out loss."""
        return self.earlier is None and (self.spec.patience > 0 or self.spec.schedule == "plateau")

    def factor(self, step: int) -> float:
        """Factor of the full rate at a step."""
        epoch = step // self.epoch_steps
        if self.spec.schedule == "cosine":
            return cosine(step, self.planned)
        if self.spec.schedule == "step":
            return float(self.spec.rate_factor ** (epoch // self.spec.rate_epochs))
        if self.spec.schedule == "plateau":
            if self.earlier is not None and self.earlier.shares:
                return self.earlier.shares[min(epoch, len(self.earlier.shares) - 1)]
            return self.share
        return 1.0

    def end_epoch(self, loss: float) -> bool:
        """Record the end of an epoch; loss: on held-out records. Returns True if the training must stop."""
        self.decisions.shares.append(self.share)
        if loss < self.best - GAIN:
            self.best, self.since, self.since_lowered = loss, 0, 0
        else:
            self.since, self.since_lowered = self.since + 1, self.since_lowered + 1
        if self.spec.schedule == "plateau" and self.since_lowered >= self.spec.rate_epochs:
            self.share, self.since_lowered = self.share * self.spec.rate_factor, 0
        self.decisions.stopped = 0 < self.spec.patience <= self.since
        return self.decisions.stopped

    def state(self) -> dict[str, Any]:
        """The state to store in a checkpoint."""
        keys = ("share", "best", "since", "since_lowered")
        decisions = {"shares": list(self.decisions.shares), "stopped": self.decisions.stopped}
        return {key: getattr(self, key) for key in keys} | {"decisions": decisions}

    def restore(self, state: dict[str, Any]) -> None:
        """Inverse of `state`."""
        for key, value in state.items():
            setattr(self, key, ScheduleDecisions(**value) if key == "decisions" else value)
