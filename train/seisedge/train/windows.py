"""Windows out of an archive, on the device, a batch at a time: no loop over samples."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from seisedge.train.data import Archive
from seisedge.train.models._base import Geometry
from seisedge.train.sampler import Draw


class WindowCutter:
    """Holds an archive on a device and cuts batches out of it."""

    def __init__(self, archive: Archive, geometry: Geometry, device: torch.device) -> None:
        self.device, self.n = device, geometry.n_samples
        self.waveform = torch.from_numpy(archive.waveform).to(device)
        self.present = torch.from_numpy(archive.valid).to(device)
        self.steps = torch.arange(self.n, device=device)

    def cut(self, draw: Draw) -> tuple[Tensor, Tensor]:
        """waveform and valid, float32 (batch, 3, n); zeros where nothing is or has arrived."""
        longest = self.waveform.shape[-1]
        record = torch.from_numpy(draw.record).to(self.device)
        sample = torch.from_numpy(draw.start).to(self.device)[:, None] + self.steps  # (batch, n)
        bound = torch.from_numpy(np.minimum(draw.bound, longest)).to(self.device)[:, None]
        inside = (sample >= 0) & (sample < bound)
        inside &= self.steps < torch.from_numpy(draw.length).to(self.device)[:, None]
        index = sample.clamp(0, longest - 1)[:, None].expand(-1, 3, -1)  # (batch, 3, n)
        keep = torch.from_numpy(draw.keep).to(self.device)[:, :, None]
        valid = self.present[record].gather(2, index) & inside[:, None] & keep
        waveform = self.waveform[record].gather(2, index)
        return torch.where(valid, waveform, 0.0), valid.float()
