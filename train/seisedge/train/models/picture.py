"""A line plot of the waveform, computed in the exported graph: the input of the networks of paper A.

Each component is one of three channels of the picture. Time runs to the right, amplitude is scaled so that the
smallest valid sample is at the bottom and the largest at the top (the paper's [-1, 1]). In each column of pixels the
line extends from the smallest to the largest valid sample of that column and the first sample of the next, so that it
is connected. Columns without valid samples are empty. The operations are only gathers, comparisons, minima and maxima,
so that the graph can be exported to any engine.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seisedge.train.models.frontend import scale_to_unit_peak, select_valid

OUTSIDE = 2.0  # larger than any scaled sample


class LinePlot(nn.Module):
    """(batch, 3, n_samples) → (batch, 3, side, side) with values 0 and 1; the first row is the top."""

    columns: Tensor
    rows: Tensor
    edges: Tensor

    def __init__(self, n_samples: int, side: int = 224) -> None:
        super().__init__()
        self.n_samples, self.side = n_samples, side
        first = torch.arange(side) * n_samples // side
        last = torch.cat([first[1:], torch.tensor([n_samples - 1])])  # includes the first sample of the next column
        width = int((last - first).max()) + 1
        place = torch.minimum(first[:, None] + torch.arange(width), last[:, None])  # (side, width)
        self.register_buffer("columns", place.flatten(), persistent=False)
        self.register_buffer(
            "rows", 1 - (2 * torch.arange(side) + 1) / side, persistent=False
        )  # amplitude at the centre of a row
        self.register_buffer("edges", first.float(), persistent=False)

    def forward(self, waveform: Tensor, valid: Tensor) -> Tensor:
        """waveform, valid: (batch, 3, n_samples)."""
        x, mask = select_valid(waveform, valid)
        x, _ = scale_to_unit_peak(x, mask)  # removes a large offset, for the precision of float32
        present = mask > 0.5
        low = torch.where(present, x, OUTSIDE).amin(-1, keepdim=True)
        high = torch.where(present, x, -OUTSIDE).amax(-1, keepdim=True)
        y = (2 * x - low - high) / (high - low).clamp(min=1e-6)  # (batch, 3, n) in [-1, 1]
        shape = (-1, 3, self.side, self.columns.shape[0] // self.side)
        lowest = torch.where(present, y, OUTSIDE).index_select(-1, self.columns).reshape(shape).amin(-1)
        highest = torch.where(present, y, -OUTSIDE).index_select(-1, self.columns).reshape(shape).amax(-1)
        half = 1 / self.side
        value = self.rows[:, None]  # (side, 1) against (batch, 3, 1, side)
        drawn = (value >= lowest[:, :, None] - half) & (value <= highest[:, :, None] + half)
        return drawn.to(waveform.dtype)

    def marked(self, picture: Tensor, marks: Tensor) -> Tensor:
        """The picture with a vertical line in each channel. marks: (batch, 3), samples of P, S and end, nan: none."""
        column = torch.searchsorted(self.edges, torch.nan_to_num(marks, -1.0), right=True) - 1  # (batch, 3)
        inside = (marks >= 0) & (marks < self.n_samples)
        at = inside[..., None] & (torch.arange(self.side, device=marks.device) == column[..., None])
        return torch.where(at[:, :, None], 1.0, picture)
