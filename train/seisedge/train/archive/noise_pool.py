"""Recorded noise of the data set, which augmentations add to windows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from seisedge.train.archive.archive import Archive
from seisedge.train.archive.cutter import WindowCutter
from seisedge.train.archive.task import RecordFilter
from seisedge.train.augment import Chance


class NoisePool:
    """Draws noise before the onset, as long as the window, on the device; a noise source for `Chance`."""

    def __init__(self, archive: Archive, chosen: RecordFilter, cutter: WindowCutter) -> None:
        self.cutter = cutter
        fits = [i for i, r in enumerate(archive.records) if chosen(r) and r.noise_end >= cutter.n]
        self.record = torch.from_numpy(np.array(fits, dtype=np.int64)).to(cutter.device)
        ends = np.array([archive.records[i].noise_end for i in fits], dtype=np.int64)
        self.end = torch.from_numpy(ends).to(cutter.device)

    def __len__(self) -> int:
        return len(self.record)

    def __call__(self, chance: Chance, size: int) -> tuple[Tensor, Tensor]:
        """Waveform and mask, (size, 3, n) each."""
        place = (chance.uniform(size) * len(self)).long().clamp(max=len(self) - 1)
        free = self.end[place] - self.cutter.n + 1
        start = (chance.uniform(size) * free).long().clamp(max=free - 1)
        return self.cutter.cut_at(self.record[place], start)
