"""A line plot of the waveform, drawn in the graph: what paper A's networks look at.

Each component is a picture of its own, one of three channels. Time runs to the right, amplitude is scaled so that the
smallest valid sample is at the bottom and the largest at the top (the paper's [-1, 1]). In each column of pixels the
line goes from the smallest to the largest valid sample of that column and of the first of the next, so it is joined;
where nothing is valid nothing is drawn. Only gathers, comparisons, minima and maxima: it exports to any engine.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seisedge.train.models.frontend import select_valid, unit_scale

OUTSIDE = 2.0  # beyond any scaled sample


class LinePlot(nn.Module):
    """(batch, 3, n_samples) → (batch, 3, side, side), 0 and 1; the first row is the top."""

    columns: Tensor
    rows: Tensor
    edges: Tensor

    def __init__(self, n_samples: int, side: int = 224) -> None:
        super().__init__()
        self.n_samples, self.side = n_samples, side
        first = torch.arange(side) * n_samples // side
        last = torch.cat([first[1:], torch.tensor([n_samples - 1])])  # with the first of the next column
        width = int((last - first).max()) + 1
        place = torch.minimum(first[:, None] + torch.arange(width), last[:, None])  # (side, width)
        self.register_buffer("columns", place.flatten(), persistent=False)
        self.register_buffer("rows", 1 - (2 * torch.arange(side) + 1) / side, persistent=False)  # value of a row
        self.register_buffer("edges", first.float(), persistent=False)

    def forward(self, waveform: Tensor, valid: Tensor) -> Tensor:
        """waveform, valid: (batch, 3, n_samples)."""
        x, mask = select_valid(waveform, valid)
        x, _ = unit_scale(x, mask)  # float32 carries what is left of a large offset
        there = mask > 0.5
        low = torch.where(there, x, OUTSIDE).amin(-1, keepdim=True)
        high = torch.where(there, x, -OUTSIDE).amax(-1, keepdim=True)
        y = (2 * x - low - high) / (high - low).clamp(min=1e-6)  # (batch, 3, n) in [-1, 1]
        shape = (-1, 3, self.side, self.columns.shape[0] // self.side)
        lowest = torch.where(there, y, OUTSIDE).index_select(-1, self.columns).reshape(shape).amin(-1)
        highest = torch.where(there, y, -OUTSIDE).index_select(-1, self.columns).reshape(shape).amax(-1)
        half = 1 / self.side
        value = self.rows[:, None]  # (side, 1) against (batch, 3, 1, side)
        drawn = (value >= lowest[:, :, None] - half) & (value <= highest[:, :, None] + half)
        return drawn.to(waveform.dtype)

    def marked(self, picture: Tensor, marks: Tensor) -> Tensor:
        """The picture with upright lines; marks: (batch, 3), samples of P, S and end, one a channel, nan: none."""
        column = torch.searchsorted(self.edges, torch.nan_to_num(marks, -1.0), right=True) - 1  # (batch, 3)
        inside = (marks >= 0) & (marks < self.n_samples)
        at = inside[..., None] & (torch.arange(self.side, device=marks.device) == column[..., None])
        return torch.where(at[:, :, None], 1.0, picture)
