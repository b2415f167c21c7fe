"""Single-sample spikes: telemetry errors, relays, lightning."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from seisedge.train.augment._base import Augmentation, Chance, Pair, Range, deviation_of, need_range
from seisedge.train.augment._registry import register_augmentation


@register_augmentation("spikes")
@dataclass(frozen=True, kw_only=True)
class Spikes(Augmentation):
    """count: spikes for each component. size: height in standard deviations of the component, with random sign."""

    count: int = 2
    size: Range = (5.0, 50.0)

    def check(self) -> None:
        need_range("size", self.size, above=0.0)
        if self.count < 1:
            raise ValueError(f"count must be at least 1; got {self.count}")

    def change(self, x: Tensor, valid: Tensor, chance: Chance) -> Pair:
        shape = (len(x), 3, self.count)
        place = (chance.uniform(*shape) * x.shape[-1]).long().clamp(max=x.shape[-1] - 1)
        sign = chance.uniform(*shape).lt(0.5).to(x.dtype) * 2 - 1
        size = chance.log_uniform(*shape, low=self.size[0], high=self.size[1]) * sign * deviation_of(x, valid)
        return x.scatter_add(2, place, size), valid
