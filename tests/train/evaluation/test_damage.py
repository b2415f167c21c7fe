"""Every kind of damage changes a batch as its name states, and identically at each call."""

from __future__ import annotations

import dataclasses
from typing import cast

import pytest
import torch

from seisedge.train.augment import augmentation_names
from seisedge.train.evaluation.damage import HORIZONTALS, KIND, LADDERS, Ladder, Noise, damage_from
from seisedge.train.evaluation.subject import Subject
from seisedge.train.models._base import Geometry

CPU = torch.device("cpu")
N = 800


@dataclasses.dataclass
class Fake:
    """The attributes of a subject that `damage_from` uses."""

    geometry: Geometry = dataclasses.field(default_factory=lambda: Geometry(N, 40.0, 5.0))


def noise(chance: object, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(size, 3, N, generator=torch.Generator().manual_seed(2)), torch.ones(size, 3, N)


@pytest.mark.parametrize("ladder", LADDERS, ids=lambda ladder: ladder.name)
def test_each_amount_changes_the_batch_and_is_seeded(ladder: Ladder) -> None:
    generator = torch.Generator().manual_seed(1)
    x, valid = torch.randn(6, 3, N, generator=generator) * 100, torch.ones(6, 3, N)
    for amount in ladder.amounts:
        change = [damage_from(ladder, amount, cast(Subject, Fake()), cast(Noise, noise), CPU) for _ in range(2)]
        (y, there), (again, _) = (c(x.clone(), valid.clone()) for c in change)
        assert torch.equal(y, again)
        assert not torch.equal(y, x)
        assert (y[there < 0.5] == 0).all()
    if ladder.name == "gap":
        assert (there.sum(-1) >= N - amount * 40 - 1).all()
    if ladder.name == HORIZONTALS:
        assert there[:, 0].all()
        assert not there[:, 1:].any()
    if ladder.name == "clipping":
        assert (y.abs().amax((1, 2)) < 0.15 * x.abs().amax((1, 2))).all()


def test_all_are_augmentations_of_training() -> None:
    for ladder in LADDERS:
        assert ladder.name == HORIZONTALS or KIND.get(ladder.name, ladder.name) in augmentation_names()
