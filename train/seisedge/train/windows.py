"""Windows out of an archive, on the device, a batch at a time: no loop over samples."""

from __future__ import annotations

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
        to = {k: torch.from_numpy(getattr(draw, k)).to(self.device) for k in ("record", "start", "length", "bound")}
        keep = torch.from_numpy(draw.keep).to(self.device)
        return self.cut_at(to["record"], to["start"], to["length"], to["bound"], keep)

    def cut_at(
        self,
        record: Tensor,
        start: Tensor,
        length: Tensor | None = None,
        bound: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """As `cut`, of tensors on the device (batch,), keep (batch, 3); what is left out limits nothing."""
        longest = self.waveform.shape[-1]
        sample = start[:, None] + self.steps  # (batch, n)
        inside = (sample >= 0) & (sample < longest)
        if bound is not None:
            inside &= sample < bound[:, None]
        if length is not None:
            inside &= self.steps < length[:, None]
        row = record[:, None] * 3 + torch.arange(3, device=self.device)  # (batch, 3)
        index = row[:, :, None] * longest + sample.clamp(0, longest - 1)[:, None]  # (batch, 3, n)
        valid = self.present.take(index) & inside[:, None]
        if keep is not None:
            valid &= keep[:, :, None]
        return torch.where(valid, self.waveform.take(index), 0.0), valid.float()
