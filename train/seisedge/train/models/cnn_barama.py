"""CNN [12] of paper B: L. Barama, J. Williams, A. V. Newman and Z. Peng (2023), Global nuclear explosion discrimination
using a convolutional neural network, Geophys. Res. Lett. 50(17), https://doi.org/10.1029/2022GL101528.

| layer | kernel | filters | samples |
|---|---|---|---|
| convolution 1 to 6, each with ReLU and maximum over 2 | 5 | 16, 32, 32, 64, 64, 128 | 5000 to 156 |
| fully connected, ReLU, dropout 0.5 | | 256 | |
| fully connected | | n_classes | |

The summary of the cited paper describes a convolutional network on seismograms of the P wave, without its layers.
Paper B states 5.20 M parameters, so most of them must be in a fully connected layer on all samples. The layers here are
chosen to have as many: 5.19 M.
"""

from __future__ import annotations

import itertools

from torch import nn

from seisedge.train.models._base import EventTypeModel
from seisedge.train.models._registry import register_model
from seisedge.train.models.standardised import StandardisedModel, convolution

WIDTHS = (16, 32, 32, 64, 64, 128)
LENGTH = 156  # 10000 samples, halved six times


@register_model
def cnn_barama(n_classes: int = 3, hidden: int = 256) -> EventTypeModel:
    """CNN of Barama et al. (2023): six convolutions and two fully connected layers, the first with `hidden` outputs."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise((3, *WIDTHS)):
        layers += [convolution(before, after, 5), nn.MaxPool1d(2)]
    head = [nn.Flatten(), nn.Linear(WIDTHS[-1] * LENGTH, hidden), nn.ReLU(), nn.Dropout(0.5)]
    return StandardisedModel(n_classes, nn.Sequential(*layers, *head, nn.Linear(hidden, n_classes)))
