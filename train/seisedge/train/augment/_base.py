"""Base class of augmentations: parameters, a probability, and a change of a batch on the device."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from seisedge.runtime.text import quoted

Range = tuple[float, float]
Pair = tuple[Tensor, Tensor]
NoiseSource = Callable[["Chance", int], Pair]

GENERATOR = "generator"
LARGEST = 1e6  # of a parameter


class Chance:
    """Seeded random numbers for a batch, generated on the device, and the properties of the window.

    rate_hz: sampling rate. lead: samples before the nominal onset.
    noise: returns windows of recorded noise (batch, 3, n) and their mask; None if there is no noise.
    event: (batch,) bool, True for windows with an event; None if unknown. Set for each batch.
    part, parts: if several processes share a batch, each draws numbers for the whole batch and uses those of its own
        rows, so that the result does not depend on the number of processes.
    """

    def __init__(
        self,
        seed: int,
        device: torch.device,
        rate_hz: float,
        lead: int,
        noise: NoiseSource | None = None,
        part: int = 0,
        parts: int = 1,
    ) -> None:
        self.device, self.rate_hz, self.lead, self.noise = device, rate_hz, lead, noise
        self.event: Tensor | None = None
        self.part, self.parts = part, parts
        self.generator = torch.Generator(device=device).manual_seed(seed)

    def _rows(self, draw: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
        rows, *rest = shape
        whole = draw(rows * self.parts, *rest, generator=self.generator, device=self.device)
        return whole[self.part * rows : (self.part + 1) * rows]

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Uniform between low and high; the first dimension of `shape` is the batch."""
        return self._rows(torch.rand, shape) * (high - low) + low

    def log_uniform(self, *shape: int, low: float, high: float) -> Tensor:
        """Uniform in the logarithm between low and high, both above 0."""
        return torch.exp(self.uniform(*shape, low=math.log(low), high=math.log(high)))

    def normal(self, *shape: int) -> Tensor:
        """Normal with mean 0 and standard deviation 1."""
        return self._rows(torch.randn, shape)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {GENERATOR: self.generator.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Inverse of `state`."""
        self.generator.set_state(state[GENERATOR])


@dataclass(frozen=True, kw_only=True)
class Augmentation(abc.ABC):
    """Base of all augmentations; the fields of a subclass are the keys of its table in a recipe.

    share: probability that a record is changed.
    name: name in recipes, set by the registry. acts_on: waveforms (batch, 3, n), or the pictures drawn from them
        (batch, channels, height, width). touches_amplitude: the augmentation changes the amplitude, on which the
        magnitude depends; magnitude recipes do not accept it.
    """

    share: float = 1.0

    name: ClassVar[str]
    acts_on: ClassVar[Literal["waveform", "picture"]] = "waveform"
    touches_amplitude: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must be from 0 to 1; got {self.share:g}")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            for number in value if isinstance(value, tuple | list) else [value]:
                if isinstance(number, int | float) and not abs(number) <= LARGEST:  # False for nan
                    raise ValueError(f"{field.name} must be a finite number below {LARGEST:g}; got {quoted(number)}")
        self.check()

    def check(self) -> None:  # noqa: B027  a hook: some subclasses have nothing to check
        """Check the parameters. Raises ValueError."""

    def __call__(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        """x, valid: float32 of one shape, valid 0 or 1. Returns both after the change; x is 0 where not valid."""
        changed, there = self.change(x, valid, chance)
        if self.share < 1:
            chosen = chance.uniform(len(x)).lt(self.share).reshape(-1, *[1] * (x.ndim - 1))
            changed, there = torch.where(chosen, changed, x), torch.where(chosen, there, valid)
        return torch.where(there > 0.5, changed, 0.0), there

    @abc.abstractmethod
    def change(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        """Change every record of the batch; the values of x at invalid samples are ignored."""


def need_range(name: str, value: Range, above: float = -math.inf) -> None:
    """Raises ValueError unless low <= high and both are above a limit."""
    low, high = value
    if not (above < low <= high < math.inf):
        limit = "" if above == -math.inf else f", above {above:g}"
        raise ValueError(f"{name} must be [low, high]{limit}; got [{low:g}, {high:g}]")


def mean_of(x: Tensor, valid: Tensor) -> Tensor:
    """Mean of each component over its valid samples, (batch, 3, 1)."""
    return (x * valid).sum(-1, keepdim=True) / valid.sum(-1, keepdim=True).clamp(min=1.0)


def deviation_of(x: Tensor, valid: Tensor) -> Tensor:
    """Standard deviation of each component over its valid samples, (batch, 3, 1)."""
    return mean_of((x - mean_of(x, valid)).square(), valid).sqrt()


def pick_component(live: Tensor, chance: Chance) -> Tensor:
    """A random one of the present components: bool (batch, 3). live: (batch, 3), 0 or 1."""
    score = chance.uniform(*live.shape) * live
    return (score >= score.amax(1, keepdim=True)) & (live > 0.5)


def live_of(valid: Tensor) -> Tensor:
    """1 for components with any valid sample, else 0: (batch, 3)."""
    return valid.amax(-1)
