"""CNN [13] of paper B: J. Zhu, L. Fang, F. Miao, L. Fan, J. Zhang and Z. Li (2023), Deep learning and transfer learning
of earthquake and quarry-blast discrimination, Geophys. J. Int. 236(2), 979-993, https://doi.org/10.1093/gji/ggad463.

| layer | kernel | stride | filters | samples |
|---|---|---|---|---|
| convolution 1 to 8, each with ReLU | 5 | 2 | 16, 16, 32, 32, 64, 64, 64, 64 | 5000 to 40 |
| global average pooling, fully connected | | | n_classes | |

The layers of the cited paper are not open. Paper B states 80.06 K parameters, too few for a fully connected layer on
all samples. The layers here are chosen to have as many within 3 %: 81.7 K.
"""

from __future__ import annotations

import itertools

from torch import nn

from seisedge.train.models._base import EventTypeModel
from seisedge.train.models._registry import register_model
from seisedge.train.models.standardised import MeanOverTime, StandardisedModel, convolution

WIDTHS = (16, 16, 32, 32, 64, 64, 64, 64)


@register_model
def cnn_zhu(n_classes: int = 3) -> EventTypeModel:
    """CNN of Zhu et al. (2023): eight convolutions and a mean over time."""
    layers = [convolution(before, after, 5, 2) for before, after in itertools.pairwise((3, *WIDTHS))]
    return StandardisedModel(n_classes, nn.Sequential(*layers, MeanOverTime(), nn.Linear(WIDTHS[-1], n_classes)))
