"""Augmentation of a batch on the device: one augmentation for each module, registered by name, applied in recipe order.

>>> import torch
>>> from seisedge.train.augment import Chance, augmentation_from
>>> gap = augmentation_from({"name": "gap", "length_s": [1.0, 1.0]})
>>> x, valid = gap(torch.ones(4, 3, 400), torch.ones(4, 3, 400), Chance(1, torch.device("cpu"), 40.0, 100))
>>> int(valid.min())
0
"""

from seisedge.train.augment import (  # noqa: F401  importing registers them
    accelerometer,
    clipping,
    colour,
    cultural_noise,
    dead_channel,
    flipped_channel,
    gain_error,
    gap,
    mixed_noise,
    noise,
    offset,
    picture,
    polarity,
    resize_crop,
    scale,
    shift,
    spikes,
    swapped_horizontals,
    truncation,
    turn,
    white_noise,
)
from seisedge.train.augment._base import Augmentation, Chance
from seisedge.train.augment._registry import (
    augmentation_class,
    augmentation_from,
    augmentation_names,
    augmentations_from,
    register_augmentation,
)
from seisedge.train.augment.chain import Chain

__all__ = [
    "Augmentation",
    "Chain",
    "Chance",
    "augmentation_class",
    "augmentation_from",
    "augmentation_names",
    "augmentations_from",
    "register_augmentation",
]
