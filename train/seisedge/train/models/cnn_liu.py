"""CNN [10] of paper B: X. Liu, T. Ren, H. Chen and Y. Chen (2020), Classification of tectonic and non-tectonic
seismicity based on convolutional neural network, Geophys. J. Int. 224(1), 191-198.

Its summary describes seven convolutional layers with small kernels and one fully connected layer on the waveform.

| layer | kernel | stride | filters | samples |
|---|---|---|---|---|
| convolution 1 to 7, each with ReLU | 3 | 2 | 32, 64, 128, 256, 380, 380, 380 | 5000 to 79 |
| fully connected | | | n_classes | |

Paper B states 1.36 M parameters. The summary does not state the widths: here they double up to the fourth layer, and
are then 380, so that the network has 1.35 M.
"""

from __future__ import annotations

import itertools

from torch import nn

from seisedge.train.models._base import EventTypeModel
from seisedge.train.models._registry import register_model
from seisedge.train.models.standardised import StandardisedModel, convolution

WIDTHS = (32, 64, 128, 256, 380, 380, 380)
LENGTH = 79  # 10000 samples, halved seven times


@register_model
def cnn_liu(n_classes: int = 3) -> EventTypeModel:
    """CNN of Liu et al. (2020): seven convolutions and one fully connected layer."""
    layers = [convolution(before, after, 3, 2) for before, after in itertools.pairwise((3, *WIDTHS))]
    return StandardisedModel(n_classes, nn.Sequential(*layers, nn.Flatten(), nn.Linear(WIDTHS[-1] * LENGTH, n_classes)))
