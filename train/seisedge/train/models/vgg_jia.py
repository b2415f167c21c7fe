"""VGG [11] of paper B: L. Jia, H. Chen and K. Xing (2022), Rapid classification of local seismic events using machine
learning, J. Seismol. 26(5), 897-912, https://doi.org/10.1007/s10950-022-10109-5; after VGG, Simonyan and Zisserman
2014, https://arxiv.org/abs/1409.1556.

| block | layers | filters | samples after pooling |
|---|---|---|---|
| 1 to 5 | 2 convolutions of 3 samples, maximum over 2 | 8, 16, 16, 24, 32 | 5000 to 312 |
| head | global average pooling, fully connected | n_classes | |

The cited paper designs a small network after VGG for three components of 60 s. Paper B states 11.37 K parameters: too
few for fully connected layers of VGG, so that the head is a mean over time. The widths are not stated; with these the
network has 11.66 K.
"""

from __future__ import annotations

import itertools

from torch import nn

from seisedge.train.models._base import EventTypeModel
from seisedge.train.models._registry import register_model
from seisedge.train.models.standardised import MeanOverTime, StandardisedModel, convolution

WIDTHS = (8, 16, 16, 24, 32)


@register_model
def vgg_jia(n_classes: int = 3) -> EventTypeModel:
    """VGG of Jia et al. (2022) in one dimension: five blocks of two convolutions."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise((3, *WIDTHS)):
        layers += [convolution(before, after), convolution(after, after), nn.MaxPool1d(2)]
    return StandardisedModel(n_classes, nn.Sequential(*layers, MeanOverTime(), nn.Linear(WIDTHS[-1], n_classes)))
