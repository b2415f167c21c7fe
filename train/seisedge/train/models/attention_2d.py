"""Attention on pictures (batch, channels, height, width), by name: the rows of paper A.

none: the identity. se: squeeze and excitation (Hu et al. 2017, https://arxiv.org/abs/1709.01507), a perceptron with two
layers from the mean of each channel to its weight. eca: efficient channel attention (Wang et al. 2019,
https://arxiv.org/abs/1910.03151), a convolution across neighbouring channels of their means. cbam: see `cbam_2d`.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from seisedge.train.models.cbam_2d import CBAM2d, Shrinkage2d

Attention = Literal["none", "se", "eca", "cbam"]


class SE2d(nn.Module):
    """x times sigmoid(W2 relu(W1 mean(x))) for each channel."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 4)
        self.weigh = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width)."""
        return x * torch.sigmoid(self.weigh(x.mean((2, 3), keepdim=True)))


class ECA2d(nn.Module):
    """x times sigmoid(convolution of the channels' means). Its kernel is that of the paper, the odd number next to
    log2(channels) / 2 + 1/2.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        size = int(math.log2(channels) / 2 + 0.5)
        kernel = size if size % 2 else size + 1
        self.across = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width)."""
        weight = self.across(x.mean((2, 3))[:, None])  # (batch, 1, channels)
        return x * torch.sigmoid(weight)[:, 0, :, None, None]


def attention_2d(name: Attention, channels: int) -> nn.Module:
    """The module of an attention. Raises ValueError for another name."""
    if name == "none":
        return nn.Identity()
    kinds: dict[str, type[SE2d | ECA2d | CBAM2d]] = {"se": SE2d, "eca": ECA2d, "cbam": CBAM2d}
    if name not in kinds:
        raise ValueError(f"attention must be {', '.join(get_args(Attention))}; got {name!r}")
    return kinds[name](channels)


def shrinkage_2d(on: bool, channels: int) -> nn.Module:
    """Residual shrinkage, or the identity."""
    return Shrinkage2d(channels) if on else nn.Identity()
