"""A plain convolutional network on a line plot of the waveform: the baseline of paper A, H. Wang and H. Wang (2025),
Research on microseismic magnitude prediction method based on improved residual network and transfer learning, Appl.
Sci. 15(15), 8246, https://doi.org/10.3390/app15158246.

| layer | kernel | filters | pixels after the maximum |
|---|---|---|---|
| convolution 1 to 4, each with ReLU and maximum over 2 | 3 | 16, 32, 64, 64 | 112, 56, 28, 14 |
| fully connected, ReLU, dropout 0.5 | | 128 | |
| fully connected | | 30 | |

Paper A states neither the layers nor the number of parameters of its baseline; the layers are a choice of this project.
"""

from __future__ import annotations

import itertools

from torch import nn

from seisedge.train.models._base import BinnedMagnitudeModel
from seisedge.train.models._registry import register_model
from seisedge.train.models.attention_2d import Attention
from seisedge.train.models.picture_network import BINS, Additions, Input, Marks, StackedNetwork


@register_model
def cnn_image(
    marks: Marks = "none",
    attention: Attention = "none",
    shrinkage: bool = False,
    width: int = 16,
    onset_s: float = 7.5,
) -> BinnedMagnitudeModel:
    """Four convolutions on a 224 × 224 line plot; 30 bins. width: filters of the first one."""
    widths = [width, 2 * width, 4 * width, 4 * width]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise((3, *widths)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    classifier = nn.Sequential(
        nn.Linear(14 * 14 * widths[-1], 8 * width), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8 * width, BINS)
    )
    return StackedNetwork(
        Input(marks, onset_s), nn.Sequential(*layers), classifier, widths, Additions(attention, shrinkage)
    )
