"""Residual shrinkage: soft thresholding with a learned threshold for each channel (Zhao et al. 2020, deep residual
shrinkage networks, doi:10.1109/TII.2019.2943898), the denoising part of paper A.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seisedge.train.models.masking import valid_mean


class Shrinkage(nn.Module):
    """y = sign(x) · max(|x| - τ, 0); τ = mean(|x|) · α with α in (0, 1) from a small perceptron."""

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        hidden = max(channels // reduction, 4)
        self.alpha = nn.Sequential(nn.Conv1d(channels, hidden, 1), nn.ReLU(), nn.Conv1d(hidden, channels, 1))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (batch, channels, n), zeros where mask (batch, 1, n) is 0."""
        size = valid_mean(x.abs(), mask)
        threshold = size * torch.sigmoid(self.alpha(size))
        return x - torch.minimum(torch.maximum(x, -threshold), threshold)
