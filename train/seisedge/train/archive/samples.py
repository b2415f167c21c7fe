"""The samples of an archive on a device, in the first of these forms that fits into its memory.

int16, if all samples are integers of 16 bits: exact. float32: exact. float16 after removing the mean of each component
and scaling it to 1: exact to 5e-4 of the distance of a sample from the mean. Else the samples stay in host memory,
or in a file (see `spool`), and each batch is gathered there and sent from page-locked memory while the device processes
the batch before.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from seisedge.train.archive.archive import Archive

INT16 = 32767


class Samples(Protocol):
    """Samples of rows; a row is one component of one record."""

    longest: int
    notes: list[str]

    def take(self, row: Tensor, sample: Tensor) -> tuple[Tensor, Tensor]:
        """row: (batch, 3); sample: (batch, n), valid indices. Returns float32 waveform and bool mask, (batch, 3, n)."""


class Resident:
    """Samples in the memory of the device."""

    def __init__(
        self, waveform: Tensor, present: Tensor, offset: Tensor | None, scale: Tensor | None, notes: list[str]
    ) -> None:
        """waveform, present: (records, 3, longest); offset, scale: (records · 3,), for float16 only."""
        self.waveform, self.present, self.offset, self.scale = waveform, present, offset, scale
        self.longest, self.notes = waveform.shape[-1], notes

    def take(self, row: Tensor, sample: Tensor) -> tuple[Tensor, Tensor]:
        """See `Samples`."""
        index = row[:, :, None] * self.longest + sample[:, None]  # (batch, 3, n)
        x = self.waveform.take(index).float()
        if self.scale is not None and self.offset is not None:
            x = x * self.scale[row][:, :, None] + self.offset[row][:, :, None]
        return x, self.present.take(index)


class Streamed:
    """Samples in host memory or in a file; each batch is sent to the device."""

    def __init__(self, waveform: Tensor, present: Tensor, device: torch.device, notes: list[str]) -> None:
        self.device = device
        self.pinned = device.type == "cuda"
        self.waveform, self.present = waveform, present
        self.longest, self.notes = waveform.shape[-1], notes

    def take(self, row: Tensor, sample: Tensor) -> tuple[Tensor, Tensor]:
        """See `Samples`."""
        index = (row[:, :, None] * self.longest + sample[:, None]).cpu()
        x, present = self.waveform.take(index), self.present.take(index)
        if self.pinned:
            x, present = x.pin_memory(), present.pin_memory()
        return x.to(self.device, non_blocking=True), present.to(self.device, non_blocking=True)


def samples_on(archive: Archive, device: torch.device, budget: int | None) -> Samples:
    """Choose the form, see the module. budget: bytes; None: half of the free memory of a GPU, no limit on a CPU."""
    waveform, present = torch.from_numpy(archive.waveform), torch.from_numpy(archive.valid)
    if budget is None:
        if device.type != "cuda":
            return Resident(waveform, present, None, None, [])
        budget = torch.cuda.mem_get_info(device)[0] // 2
    mask = present.numel()
    if 2 * waveform.numel() + mask <= budget and is_int16(waveform):
        return Resident(waveform.to(torch.int16).to(device), present.to(device), None, None, [])
    if 4 * waveform.numel() + mask <= budget:
        return Resident(waveform.to(device), present.to(device), None, None, [])
    size = f"{4 * waveform.numel() / 1e9:.2g} GB of samples do not fit into {budget / 1e9:.2g} GB on the device"
    if 2 * waveform.numel() + mask <= budget:
        half, offset, scale = half_from(waveform, present)
        notes = [f"{size}: stored as float16, exact to 5e-4 of a sample"]
        return Resident(half.to(device), present.to(device), offset.to(device), scale.to(device), notes)
    return Streamed(waveform, present, device, [f"{size}: streamed from host memory"])


def is_int16(waveform: Tensor) -> bool:
    """True if every sample is an integer in the range of int16."""
    return all(bool(((x == x.round()) & (x.abs() <= INT16)).all()) for x in waveform)


def half_from(waveform: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """float16 (records, 3, longest), and the offset subtracted and the scale divided by, (records · 3,) each."""
    half = torch.empty_like(waveform, dtype=torch.float16)
    offsets, scales = [], []
    for i, (x, there) in enumerate(
        zip(waveform, present, strict=True)
    ):  # record by record, to avoid a second copy in memory
        count = there.sum(-1, keepdim=True).clamp(min=1)
        offset = (x.double() * there).sum(-1, keepdim=True) / count
        centred = (x.double() - offset) * there
        scale = centred.abs().amax(-1, keepdim=True).clamp(min=1e-30)
        half[i] = (centred / scale).half()
        offsets.append(offset[:, 0].float())
        scales.append(scale[:, 0].float())
    return half, torch.cat(offsets), torch.cat(scales)
