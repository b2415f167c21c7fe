"""Apply the augmentations of a recipe one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from seisedge.runtime.errors import InputError
from seisedge.train.augment._base import Augmentation, Chance, Pair
from seisedge.train.augment.islands import without_islands


def check_augmentations(augmentations: Sequence[Augmentation], task: str) -> None:
    """Raises InputError for an augmentation that would invalidate the magnitude labels."""
    wrong = [a.name for a in augmentations if a.touches_amplitude]
    if task == "magnitude" and wrong:
        raise InputError(
            f"augmentation '{wrong[0]}' changes the amplitude of the signal but not the magnitude label; "
            "remove it from the recipe (optimisation.magnitude_shift changes both together)"
        )


class Chain:
    """Applies augmentations in the given order. Raises InputError as `check_augmentations` does."""

    def __init__(self, augmentations: Sequence[Augmentation], task: str, chance: Chance) -> None:
        check_augmentations(augmentations, task)
        self.chance = chance
        self.waveforms = [a for a in augmentations if a.acts_on == "waveform"]
        self.pictures = [a for a in augmentations if a.acts_on == "picture"]

    @torch.no_grad()
    def waveform(self, x: Tensor, valid: Tensor) -> Pair:
        """x, valid: (batch, 3, n)."""
        for augmentation in self.waveforms:
            x, valid = augmentation(x, valid, self.chance)
        there = without_islands(valid, self.chance.rate_hz)  # a gap may create islands
        return torch.where(there > 0.5, x, 0.0), there

    @torch.no_grad()
    def picture(self, x: Tensor) -> Tensor:
        """x: (batch, channels, height, width)."""
        valid = torch.ones_like(x)
        for augmentation in self.pictures:
            x, valid = augmentation(x, valid, self.chance)
        return x
