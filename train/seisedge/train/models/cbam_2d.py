"""CBAM (Woo et al. 2018, https://arxiv.org/abs/1807.06521) and residual shrinkage (Zhao et al. 2020,
doi:10.1109/TII.2019.2943898) on pictures, which have no mask.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CBAM2d(nn.Module):
    """Channel attention by mean and maximum, then spatial attention by mean and maximum across channels."""

    def __init__(self, channels: int, reduction: int = 16, kernel: int = 7) -> None:
        super().__init__()
        hidden = max(channels // reduction, 4)
        self.shared = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1))
        self.spatial = nn.Conv2d(2, 1, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width)."""
        weight = self.shared(x.mean((2, 3), keepdim=True)) + self.shared(x.amax((2, 3), keepdim=True))
        x = x * torch.sigmoid(weight)
        features = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.spatial(features))


class Shrinkage2d(nn.Module):
    """y = sign(x) · max(|x| - τ, 0); τ = mean(|x|) · α for each channel, α in (0, 1) from a small perceptron."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 4)
        self.alpha = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width)."""
        size = x.abs().mean((2, 3), keepdim=True)
        threshold = size * torch.sigmoid(self.alpha(size))
        return torch.relu(x - threshold) - torch.relu(-x - threshold)
