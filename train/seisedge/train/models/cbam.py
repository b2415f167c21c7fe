"""CBAM: channel, then spatial attention (Woo et al. 2018, https://arxiv.org/abs/1807.06521), in one dimension.

Both papers use it: paper B after each ghost bottleneck and before flatten, paper A after each residual block.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seisedge.train.models.masking import fill_invalid_low, valid_mean


class ChannelAttention(nn.Module):
    """A shared two-layer perceptron over the mean and the maximum of each channel."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = max(channels // reduction, 4)
        self.shared = nn.Sequential(nn.Conv1d(channels, hidden, 1), nn.ReLU(), nn.Conv1d(hidden, channels, 1))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (batch, channels, n), zeros where mask (batch, 1, n) is 0 → x times the weight of each channel."""
        mean = valid_mean(x, mask)
        largest = fill_invalid_low(x, mask).amax(-1, keepdim=True)
        weight = self.shared(torch.cat([mean, largest], dim=-1)).sum(-1, keepdim=True)
        return x * torch.sigmoid(weight)


class SpatialAttention(nn.Module):
    """A convolution over the mean and the maximum across channels."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 1, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, channels, n) → x times the weight of each sample."""
        features = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.conv(features))


class CBAM(nn.Module):
    """Channel attention, then spatial attention."""

    def __init__(self, channels: int, reduction: int = 8, kernel: int = 7) -> None:
        super().__init__()
        self.channel = ChannelAttention(channels, reduction)
        self.spatial = SpatialAttention(kernel)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (batch, channels, n), zeros where mask (batch, 1, n) is 0."""
        out: Tensor = self.spatial(self.channel(x, mask))
        return out
