"""What the subject answers on stored records: one window a record, the onset at its nominal place, no chance in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seisedge.train.archive.archive import Archive
from seisedge.train.archive.cutter import WindowCutter
from seisedge.train.archive.sampler import Draw
from seisedge.train.dataset.vocabulary import LABEL_OF_KIND
from seisedge.train.evaluation.predict import Windows, facts, gains_of
from seisedge.train.evaluation.subject import Floats, Subject

Bool = npt.NDArray[np.bool_]
Facts = dict[str, npt.NDArray[Any]]
Damage = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
BATCH = 128


@dataclass(frozen=True)
class Answers:
    """Probabilities (windows, labels) at `answer_s` after the onset, and the facts of the windows.

    label: true labels; of magnitude the true bin is the caller's to find. group: what is drawn again in a bootstrap.
    """

    answer_s: float
    windows: Windows
    probabilities: Floats
    facts: Facts

    @property
    def label(self) -> npt.NDArray[np.int64]:
        return self.windows.label

    @property
    def group(self) -> npt.NDArray[Any]:
        group: npt.NDArray[Any] = self.facts["group"]
        return group


def windows_from(subject: Subject, archive: Archive, chosen: Bool, answer_s: float) -> Windows:
    """Windows of the chosen records that the subject has a label for, and that reach to the answer.

    Of an event type model also noise, from the middle of a record's noise stretch, where that is long enough.
    """
    g = subject.geometry
    span, lead = round((g.onset_s + answer_s) * g.rate_hz), g.onset_s * g.rate_hz
    rows: list[tuple[int, int, int, int]] = []
    for i in map(int, np.flatnonzero(chosen)):
        r = archive.records[i]
        if subject.task == "magnitude":
            if r.kind != "noise" and r.magnitude is not None:
                rows.append((i, 0, round(r.onset - lead), r.n_samples))
            continue
        label = LABEL_OF_KIND[r.kind]
        if label != "noise" and label in subject.labels:
            rows.append((i, subject.labels.index(label), round(r.onset - lead), r.n_samples))
        if r.noise_end > 0 and "noise" in subject.labels:
            rows.append((i, subject.labels.index("noise"), (r.noise_end - span) // 2, r.noise_end))
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    windows = Windows(table[:, 0], table[:, 1], table[:, 2], table[:, 3])
    return windows.part(windows.fitting(archive, g, answer_s))


class Asker:
    """Asks a subject about windows of an archive."""

    def __init__(self, subject: Subject, archive: Archive, device: torch.device) -> None:
        self.subject, self.archive = subject, archive
        self._cutter = WindowCutter(archive, subject.geometry, device)

    def __call__(self, windows: Windows, answer_s: float, damage: Damage | None = None) -> Answers:
        """damage: what is done to (waveform in counts, valid) before the subject sees them."""
        draw = windows.draw(self.subject.geometry, answer_s, vertical=False)
        out = []
        for first in range(0, len(draw.record), BATCH):
            part = Draw(**{k: getattr(draw, k)[first : first + BATCH] for k in Draw.__dataclass_fields__})
            x, valid = self._cutter.cut(part)
            if damage is not None:
                x, valid = damage(x, valid)
            if self.subject.task == "magnitude":
                gain = gains_of(self.archive, part.record, self.subject.station_term)
                x = x / gain.to(x.device)[:, None, None]
            out.append(self.subject.network(x, valid))
        p = np.concatenate(out) if out else np.zeros((0, len(self.subject.labels)))
        return Answers(answer_s, windows, p, self.facts(windows))

    def cut(self, draw: Draw) -> tuple[Tensor, Tensor]:
        """Windows in counts, and their masks: (batch, 3, n) each."""
        return self._cutter.cut(draw)

    def facts(self, windows: Windows) -> Facts:
        """`predict.facts`, and: snr, noise (bool), scaled (bool): the gain is known, or a term was fitted for it."""
        f = facts(self.archive, windows)
        records = [self.archive.records[i] for i in windows.record]
        f["snr"] = np.array([r.snr for r in records])
        f["distance_km"] = np.array([np.nan if r.distance_km is None else r.distance_km for r in records])
        noise = self.subject.labels.index("noise") if "noise" in self.subject.labels else -1
        f["noise"] = windows.label == noise
        f["scaled"] = np.array([r.gain is not None or r.station in self.subject.station_term for r in records], bool)
        f["index"] = np.asarray(windows.record)
        return f
