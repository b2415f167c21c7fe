"""Answers of the subject on stored records: one window per record, with the onset at its nominal position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seisedge.train.archive.archive import Archive
from seisedge.train.archive.cutter import WindowCutter
from seisedge.train.archive.sampler import Draw
from seisedge.train.evaluation.predict import Damage, FixedWindows, batches, facts, noise_label, windows_of
from seisedge.train.evaluation.subject import Floats, Subject

Bool = npt.NDArray[np.bool_]
Facts = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Answers:
    """Probabilities (windows, labels) at `answer_s` after the onset, and the facts of the windows.

    label: true labels; 0 for a magnitude, whose true bin the caller computes. group: the unit of the bootstrap.
    """

    answer_s: float
    windows: FixedWindows
    probabilities: Floats
    facts: Facts

    @property
    def label(self) -> npt.NDArray[np.int64]:
        return self.windows.label

    @property
    def group(self) -> npt.NDArray[Any]:
        group: npt.NDArray[Any] = self.facts["group"]
        return group


def windows_from(subject: Subject, archive: Archive, chosen: Bool, answer_s: float) -> FixedWindows:
    """The windows of a subject, see `windows_of`."""
    return windows_of(subject.task, subject.labels, subject.geometry, archive, chosen, answer_s)


class Predictor:
    """Runs a subject on windows of an archive."""

    def __init__(self, subject: Subject, archive: Archive, device: torch.device) -> None:
        self.subject, self.archive = subject, archive
        self._cutter = WindowCutter(archive, subject.geometry, device)

    def __call__(
        self, windows: FixedWindows, answer_s: float, damage: Damage | None = None, *, vertical: bool = False
    ) -> Answers:
        """damage: applied to (waveform in counts, valid) before inference. vertical: use the vertical
        component only.
        """
        subject = self.subject
        draw = windows.draw(subject.geometry, answer_s, vertical)
        scale = subject.station_term if subject.task == "magnitude" else None
        inputs = batches(self.archive, self._cutter, draw, subject.model, scale, damage)
        out = [subject.network(x, valid) for x, valid in inputs]
        p = np.concatenate(out) if out else np.zeros((0, len(subject.labels)))
        return Answers(answer_s, windows, p, self.facts(windows))

    def cut(self, draw: Draw) -> tuple[Tensor, Tensor]:
        """Windows in counts and their masks, (batch, 3, n) each."""
        return self._cutter.cut(draw)

    def facts(self, windows: FixedWindows) -> Facts:
        """The arrays of `predict.facts`, and: snr, distance_km, noise (bool), index (of the record), and scaled (bool):
        the gain is known or a station term was fitted.
        """
        f = facts(self.archive, windows)
        records = [self.archive.records[i] for i in windows.record]
        f["snr"] = np.array([r.snr for r in records])
        f["distance_km"] = np.array([np.nan if r.distance_km is None else r.distance_km for r in records])
        f["noise"] = windows.label == noise_label(self.subject.labels)
        f["scaled"] = np.array([r.gain is not None or r.station in self.subject.station_term for r in records], bool)
        f["index"] = np.asarray(windows.record)
        return f
