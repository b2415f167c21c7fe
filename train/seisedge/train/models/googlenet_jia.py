"""GoogleNet [11] of paper B: L. Jia, H. Chen and K. Xing (2022), Rapid classification of local seismic events using
machine learning, J. Seismol. 26(5), 897-912, https://doi.org/10.1007/s10950-022-10109-5; after GoogLeNet, Szegedy et
al. 2014, https://arxiv.org/abs/1409.4842.

An Inception module concatenates four branches: 1×1; 1×1 and 1×3; 1×1 and 1×5; maximum over 3 and 1×1. INCEPTIONS has
their filters as in table 1 of Szegedy et al.: columns 1×1, reduction and 3, reduction and 5, after the maximum.

| layers | filters | samples |
|---|---|---|
| convolution of 7, stride 2; maximum over 3, stride 2 | 64 | 2500 |
| convolutions of 1 and 3; maximum over 3, stride 2 | 64, 192 | 1250 |
| Inception 3a, 3b; maximum over 3, stride 2 | 256, 480 | 625 |
| Inception 4a to 4e; maximum over 3, stride 2 | 512, 512, 512, 528, 832 | 313 |
| Inception 5a, 5b | 832, 1024 | 313 |
| global average pooling, dropout 0.4, fully connected | n_classes | |

Paper B states 5.12 M parameters, but not the widths. Those of Szegedy et al. give 3.43 M in one dimension; all widths
times 78/64 give 5.09 M, so that `width` is 78 here. The auxiliary classifiers of Szegedy et al. are omitted.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seisedge.train.models._base import EventTypeModel
from seisedge.train.models._registry import register_model
from seisedge.train.models.standardised import MeanOverTime, StandardisedModel, convolution

INCEPTIONS = (
    (64, 96, 128, 16, 32, 32),
    (128, 128, 192, 32, 96, 64),
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
    (256, 160, 320, 32, 128, 128),
    (384, 192, 384, 48, 128, 128),
)
POOLED_AFTER = (1, 6)  # modules 3b and 4e


class Inception(nn.Module):
    """Four branches, concatenated. widths: a row of INCEPTIONS."""

    def __init__(self, channels_in: int, widths: Sequence[int]) -> None:
        super().__init__()
        one, before_three, three, before_five, five, after_maximum = widths
        self.branches = nn.ModuleList(
            [
                convolution(channels_in, one, 1),
                nn.Sequential(convolution(channels_in, before_three, 1), convolution(before_three, three, 3)),
                nn.Sequential(convolution(channels_in, before_five, 1), convolution(before_five, five, 5)),
                nn.Sequential(nn.MaxPool1d(3, 1, 1), convolution(channels_in, after_maximum, 1)),
            ]
        )
        self.channels_out = one + three + five + after_maximum

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels_in, n) → (batch, channels_out, n)."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


@register_model
def googlenet_jia(n_classes: int = 3, width: int = 78) -> EventTypeModel:
    """GoogLeNet of Jia et al. (2022) in one dimension. width: of the first layer; all other widths are proportional."""
    layers: list[nn.Module] = [
        convolution(3, width, 7, 2), nn.MaxPool1d(3, 2, 1),
        convolution(width, width, 1), convolution(width, 3 * width, 3), nn.MaxPool1d(3, 2, 1),
    ]  # fmt: skip
    channels = 3 * width
    for k, widths in enumerate(INCEPTIONS):
        module = Inception(channels, [max(round(w * width / 64), 1) for w in widths])
        layers.append(module)
        channels = module.channels_out
        if k in POOLED_AFTER:
            layers.append(nn.MaxPool1d(3, 2, 1))
    head = nn.Sequential(MeanOverTime(), nn.Dropout(0.4), nn.Linear(channels, n_classes))
    return StandardisedModel(n_classes, nn.Sequential(*layers, head))
