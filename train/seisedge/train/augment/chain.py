"""A recipe's augmentations one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from seisedge.runtime.errors import InputError
from seisedge.train.augment._base import Augmentation, Chance, Pair
from seisedge.train.augment.islands import without_islands


def check_augmentations(augmentations: Sequence[Augmentation], task: str) -> None:
    """Raises InputError where a magnitude would be taught with a wrong amplitude."""
    wrong = [a.name for a in augmentations if a.touches_amplitude]
    if task == "magnitude" and wrong:
        raise InputError(
            f"augmentation '{wrong[0]}' changes the size of the signal, by which a magnitude is told, but not "
            "the label; leave it out of a magnitude recipe (optimisation.magnitude_shift moves both together)"
        )


class Chain:
    """In the order given. Raises InputError as `check_augmentations` does."""

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
        there = without_islands(valid, self.chance.rate_hz)  # a gap may leave some
        return torch.where(there > 0.5, x, 0.0), there

    @torch.no_grad()
    def picture(self, x: Tensor) -> Tensor:
        """x: (batch, channels, height, width)."""
        valid = torch.ones_like(x)
        for augmentation in self.pictures:
            x, valid = augmentation(x, valid, self.chance)
        return x
