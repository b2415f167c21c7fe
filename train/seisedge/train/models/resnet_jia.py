"""ResNet [11] of paper B: L. Jia, H. Chen and K. Xing (2022), Rapid classification of local seismic events using
machine learning, J. Seismol. 26(5), 897-912, https://doi.org/10.1007/s10950-022-10109-5; after ResNet, He et al. 2015,
https://arxiv.org/abs/1512.03385.

y = relu(F(x) + s(x)): F two convolutions of 3 samples, s the identity, or a 1×1 convolution where the shape changes.

| stage | layers | filters | samples |
|---|---|---|---|
| stem | convolution of 7, stride 2; maximum over 3, stride 2 | 64 | 2500 |
| 1 | 3 blocks | 64 | 2500 |
| 2 | 4 blocks, the first with stride 2 | 128 | 1250 |
| 3 | 6 blocks, the first with stride 2 | 256 | 625 |
| 4 | 3 blocks, the first with stride 2 | 512 | 313 |
| head | global average pooling, fully connected | n_classes | |

Paper B states 7.13 M parameters. The depth is not stated: the 34 layers of He et al. in one dimension have 7.22 M,
their 18 layers 3.85 M.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seisedge.train.models._base import EventTypeModel
from seisedge.train.models._registry import register_model
from seisedge.train.models.standardised import MeanOverTime, StandardisedModel, convolution

DEPTHS = (3, 4, 6, 3)


class BasicBlock(nn.Module):
    """relu(F(x) + s(x)), see above."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.first = convolution(channels_in, channels_out, 3, stride)
        self.second = convolution(channels_out, channels_out)[:2]
        self.shortcut = (
            nn.Identity() if channels_in == channels_out else convolution(channels_in, channels_out, 1, stride)[:2]
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels_in, n) → (batch, channels_out, ceil(n / stride))."""
        return torch.relu(self.second(self.first(x)) + self.shortcut(x))


@register_model
def resnet_jia(n_classes: int = 3, width: int = 64) -> EventTypeModel:
    """ResNet of Jia et al. (2022) in one dimension, 34 layers. width: of the first stage."""
    layers: list[nn.Module] = [convolution(3, width, 7, 2), nn.MaxPool1d(3, 2, 1)]
    channels = width
    for stage, depth in enumerate(DEPTHS):
        for k in range(depth):
            layers.append(BasicBlock(channels, width << stage, 2 if stage and not k else 1))
            channels = width << stage
    return StandardisedModel(n_classes, nn.Sequential(*layers, MeanOverTime(), nn.Linear(channels, n_classes)))
