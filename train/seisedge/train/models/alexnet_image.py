"""AlexNet on a line plot of the waveform (paper A): Krizhevsky 2014, One weird trick for parallelizing convolutional
neural networks, https://arxiv.org/abs/1404.5997, the version of torchvision.

| layer | kernel | stride | filters | pixels |
|---|---|---|---|---|
| convolution 1, ReLU; maximum over 3, stride 2 | 11 | 4 | 64 | 55, 27 |
| convolution 2, ReLU; maximum over 3, stride 2 | 5 | 1 | 192 | 27, 13 |
| convolutions 3 to 5, ReLU; maximum over 3, stride 2 | 3 | 1 | 384, 256, 256 | 13, 6 |
| dropout 0.5, fully connected, ReLU; twice | | | 4096 | |
| fully connected | | | 30 | |

57,126,750 parameters: the 61,100,840 of the source, with 30 in place of 1000 classes.
"""

from __future__ import annotations

from torch import nn

from seisedge.train.models._base import BinnedMagnitudeModel
from seisedge.train.models._registry import register_model
from seisedge.train.models.attention_2d import Attention
from seisedge.train.models.picture_network import BINS, Additions, Input, Marks, StackedNetwork


@register_model
def alexnet_image(
    marks: Marks = "none",
    attention: Attention = "none",
    shrinkage: bool = False,
    width: int = 64,
    onset_s: float = 7.5,
) -> BinnedMagnitudeModel:
    """AlexNet on a 224 × 224 line plot; 30 bins. width: filters of the first layer; the other widths are
    proportional.
    """
    features = nn.Sequential(
        nn.Conv2d(3, width, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(width, 3 * width, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(3 * width, 6 * width, 3, padding=1), nn.ReLU(),
        nn.Conv2d(6 * width, 4 * width, 3, padding=1), nn.ReLU(),
        nn.Conv2d(4 * width, 4 * width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
    )  # fmt: skip
    hidden = 64 * width
    classifier = nn.Sequential(
        nn.Dropout(0.5), nn.Linear(36 * 4 * width, hidden), nn.ReLU(),
        nn.Dropout(0.5), nn.Linear(hidden, hidden), nn.ReLU(),
        nn.Linear(hidden, BINS),
    )  # fmt: skip
    return StackedNetwork(
        Input(marks, onset_s), features, classifier, [width, 3 * width, 4 * width], Additions(attention, shrinkage)
    )
