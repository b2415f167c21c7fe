"""What every augmentation is: sizes, a share, and a change of a batch on the device."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

Range = tuple[float, float]
Pair = tuple[Tensor, Tensor]
NoiseSource = Callable[["Chance", int], Pair]

GENERATOR = "generator"


class Chance:
    """Random numbers for a batch, seeded, made on the device; and what an augmentation must know of the window.

    rate_hz: of the samples. lead: samples before the nominal onset.
    noise: gives stretches of real noise (batch, 3, n) and their mask; None where there are none.
    part, parts: of several processes that share a batch, each draws for the whole and keeps its rows, so that the
        batch is that of one process.
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
        self.part, self.parts = part, parts
        self.generator = torch.Generator(device=device).manual_seed(seed)

    def _rows(self, draw: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
        rows, *rest = shape
        whole = draw(rows * self.parts, *rest, generator=self.generator, device=self.device)
        return whole[self.part * rows : (self.part + 1) * rows]

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Between low and high; the first of `shape` is the batch."""
        return self._rows(torch.rand, shape) * (high - low) + low

    def log_uniform(self, *shape: int, low: float, high: float) -> Tensor:
        """Evenly in the logarithm, between low and high above 0."""
        return torch.exp(self.uniform(*shape, low=math.log(low), high=math.log(high)))

    def normal(self, *shape: int) -> Tensor:
        """Of mean 0 and standard deviation 1."""
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

    share: probability, a record.
    name: in recipes, set by the registry. acts_on: a batch of waveforms (batch, 3, n), or of the pictures drawn of
        them (batch, channels, height, width). touches_amplitude: the size of the signal changes, by which a
        magnitude is told, so a magnitude recipe refuses it.
    """

    share: float = 1.0

    name: ClassVar[str]
    acts_on: ClassVar[Literal["waveform", "picture"]] = "waveform"
    touches_amplitude: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must be from 0 to 1; got {self.share:g}")
        self.check()

    def check(self) -> None:  # noqa: B027  a hook: some have no size to check
        """Raises ValueError for sizes that cannot be."""

    def __call__(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        """x, valid: float32 of one shape, valid 0 or 1. The same, with zeros in x where not valid."""
        changed, there = self.change(x, valid, chance)
        if self.share < 1:
            chosen = chance.uniform(len(x)).lt(self.share).reshape(-1, *[1] * (x.ndim - 1))
            changed, there = torch.where(chosen, changed, x), torch.where(chosen, there, valid)
        return torch.where(there > 0.5, changed, 0.0), there

    @abc.abstractmethod
    def change(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        """Change every record of the batch; what stands where nothing is valid does not matter."""


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
    """One of the components that are there, evenly: bool (batch, 3). live: (batch, 3), 0 or 1."""
    score = chance.uniform(*live.shape) * live
    return (score >= score.amax(1, keepdim=True)) & (live > 0.5)


def live_of(valid: Tensor) -> Tensor:
    """Components with any valid sample, (batch, 3), 0 or 1."""
    return valid.amax(-1)
