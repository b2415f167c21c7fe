"""Ghost modules and bottlenecks (Han et al. 2020, https://arxiv.org/abs/1911.11907) in one dimension (paper B):
a 1×1 primary convolution computes half of the maps, a depthwise 1×3 convolution of those the other half ("ghosts").
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seisedge.train.models.masking import pool_mask


class GhostModule(nn.Module):
    """`channels_in` to `channels_out` maps (even number); half of them are computed cheaply from the other half."""

    def __init__(self, channels_in: int, channels_out: int, active: bool = True) -> None:
        super().__init__()
        half = channels_out // 2
        self.primary = nn.Sequential(
            nn.Conv1d(channels_in, half, 1, bias=False),
            nn.BatchNorm1d(half),
            nn.ReLU() if active else nn.Identity(),
        )
        self.cheap = nn.Sequential(
            nn.Conv1d(half, half, 3, padding=1, groups=half, bias=False),
            nn.BatchNorm1d(half),
            nn.ReLU() if active else nn.Identity(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels_in, n) → (batch, channels_out, n)."""
        first = self.primary(x)
        return torch.cat([first, self.cheap(first)], dim=1)


def plain_module(channels_in: int, channels_out: int, active: bool = True) -> nn.Module:
    """A 1×1 convolution in place of a ghost module: all maps are computed from the input."""
    return nn.Sequential(
        nn.Conv1d(channels_in, channels_out, 1, bias=False),
        nn.BatchNorm1d(channels_out),
        nn.ReLU() if active else nn.Identity(),
    )


class GhostBottleneck(nn.Module):
    """Two ghost modules, the first expands, the second reduces, parallel to a shortcut. ghost: False replaces the ghost
    modules by ordinary convolutions.
    """

    def __init__(
        self, channels_in: int, expanded: int, channels_out: int, stride: int = 1, kernel: int = 5, ghost: bool = True
    ) -> None:
        super().__init__()
        self.stride = stride
        module = GhostModule if ghost else plain_module
        self.expand = module(channels_in, expanded)
        self.down = (
            nn.Identity()
            if stride == 1
            else nn.Sequential(
                nn.Conv1d(expanded, expanded, kernel, stride, kernel // 2, groups=expanded, bias=False),
                nn.BatchNorm1d(expanded),
            )
        )
        self.reduce = module(expanded, channels_out, active=False)
        self.shortcut = (
            nn.Identity()
            if stride == 1 and channels_in == channels_out
            else nn.Sequential(
                nn.Conv1d(channels_in, channels_in, kernel, stride, kernel // 2, groups=channels_in, bias=False),
                nn.BatchNorm1d(channels_in),
                nn.Conv1d(channels_in, channels_out, 1, bias=False),
                nn.BatchNorm1d(channels_out),
            )
        )

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """x (batch, channels_in, n), mask (batch, 1, n) → the same at the stride, zeros where not valid."""
        mask_out = pool_mask(mask, self.stride)
        y = self.reduce(self.down(self.expand(x))) + self.shortcut(x)
        return y * mask_out, mask_out
