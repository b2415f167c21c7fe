"""VGG16 on a line plot of the waveform (paper A): Simonyan and Zisserman 2014, https://arxiv.org/abs/1409.1556.

| stage | convolutions of 3 × 3, each with ReLU | filters | pixels after the maximum |
|---|---|---|---|
| 1 to 5 | 2, 2, 3, 3, 3 | 64, 128, 256, 512, 512 | 112, 56, 28, 14, 7 |
| fully connected, ReLU, dropout 0.5; twice | | 4096 | |
| fully connected | | 30 | |

134,383,454 parameters: the 138,357,544 of the source, with 30 in place of 1000 classes.
"""

from __future__ import annotations

from torch import nn

from seisedge.train.models._base import BinnedMagnitudeModel
from seisedge.train.models._registry import register_model
from seisedge.train.models.attention_2d import Attention
from seisedge.train.models.picture_network import BINS, Additions, Input, Marks, StackedNetwork

DEPTHS = (2, 2, 3, 3, 3)
FACTORS = (1, 2, 4, 8, 8)


@register_model
def vgg16_image(
    marks: Marks = "none",
    attention: Attention = "none",
    shrinkage: bool = False,
    width: int = 64,
    onset_s: float = 7.5,
) -> BinnedMagnitudeModel:
    """VGG16 on a 224 × 224 line plot; 30 bins. width: filters of the first stage; the other widths are
    proportional.
    """
    layers: list[nn.Module] = []
    channels = 3
    for depth, factor in zip(DEPTHS, FACTORS, strict=True):
        for _ in range(depth):
            layers += [nn.Conv2d(channels, factor * width, 3, padding=1), nn.ReLU()]
            channels = factor * width
        layers.append(nn.MaxPool2d(2))
    hidden = 64 * width
    classifier = nn.Sequential(
        nn.Linear(49 * channels, hidden), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(hidden, BINS),
    )  # fmt: skip
    widths = [factor * width for factor in FACTORS]
    return StackedNetwork(
        Input(marks, onset_s), nn.Sequential(*layers), classifier, widths, Additions(attention, shrinkage)
    )
