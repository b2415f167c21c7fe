"""Cuts batches of windows from an archive on the device, without a loop over samples."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from seisedge.train.archive.archive import Archive
from seisedge.train.archive.sampler import Draw
from seisedge.train.archive.samples import samples_on
from seisedge.train.augment.islands import without_islands
from seisedge.train.models._base import Geometry, Model, PictureModel


class WindowCutter:
    """Keeps an archive on a device and cuts batches from it.

    budget: largest number of bytes on the device; None: half of the free memory of a GPU, no limit on a CPU. notes:
    messages for the user about how the samples are stored.
    """

    def __init__(self, archive: Archive, geometry: Geometry, device: torch.device, budget: int | None = None) -> None:
        self.device, self.n, self.rate_hz = device, geometry.n_samples, archive.rate_hz
        self.records = archive.records
        self.samples = samples_on(archive, device, budget)
        self.notes = self.samples.notes
        self.steps = torch.arange(self.n, device=device)

    def cut(self, draw: Draw) -> tuple[Tensor, Tensor]:
        """waveform and valid, float32 (batch, 3, n); 0 where no sample exists or has arrived yet."""
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
        """As `cut`, with tensors on the device, (batch,) and keep (batch, 3). An argument of None sets no limit."""
        longest = self.samples.longest
        sample = start[:, None] + self.steps  # (batch, n)
        inside = (sample >= 0) & (sample < longest)
        if bound is not None:
            inside &= sample < bound[:, None]
        if length is not None:
            inside &= self.steps < length[:, None]
        row = record[:, None] * 3 + torch.arange(3, device=self.device)  # (batch, 3)
        waveform, present = self.samples.take(row, sample.clamp(0, longest - 1))
        valid = present & inside[:, None]
        if keep is not None:
            valid &= keep[:, :, None]
        there = without_islands(valid.float(), self.rate_hz)
        return torch.where(there > 0.5, waveform, 0.0), there

    def marks(self, draw: Draw) -> Tensor:
        """P (the onset), S and end of the signal, (batch, 3), in samples of the window; nan if unknown."""
        values = [
            (r.onset if r.kind != "noise" else math.nan, _or_nan(r.s_arrival), _or_nan(r.end))
            for r in (self.records[int(i)] for i in draw.record)
        ]
        table = torch.tensor(values, dtype=torch.float64)
        return (table - torch.from_numpy(draw.start)[:, None]).float().to(self.device)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def show_marks(model: Model, cutter: WindowCutter, draw: Draw) -> None:
    """Pass the arrival marks of the next batch to a model whose picture shows them."""
    if isinstance(model, PictureModel) and model.wants_marks:
        model.marks = cutter.marks(draw)
