"""What a model answers on stored records: fixed windows, one a record and answer length, no chance in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seisedge.runtime.inference.estimate import bin_centres
from seisedge.train.archive.archive import Archive
from seisedge.train.archive.cutter import WindowCutter, show_marks
from seisedge.train.archive.gains import UNKNOWN_GAIN
from seisedge.train.archive.sampler import Draw
from seisedge.train.archive.task import Chosen, parts_of, usable
from seisedge.train.models._base import Geometry, Model
from seisedge.train.recipes.recipe import Recipe

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Windows:
    """Fixed windows of records: triggered use, the onset at its nominal place.

    label: of an event type model; 0 for magnitude.
    """

    record: Ints
    label: Ints
    start: Ints
    bound: Ints

    def draw(self, geometry: Geometry, answer_s: float, vertical: bool) -> Draw:
        """As a batch at an answer length; `vertical`: without the horizontals."""
        size = len(self.record)
        length = np.full(size, round((geometry.onset_s + answer_s) * geometry.rate_hz))
        keep = np.ones((size, 3), dtype=bool)
        keep[:, 1:] = not vertical
        return Draw(self.record, self.start, length, keep, self.label, np.zeros(size, np.int64), self.bound)

    def fitting(self, archive: Archive, geometry: Geometry, answer_s: float) -> npt.NDArray[np.bool_]:
        """Which records are long enough for the answer."""
        end = self.start + round((geometry.onset_s + answer_s) * geometry.rate_hz)
        limit = np.minimum(self.bound, np.array([archive.records[i].n_samples for i in self.record]))
        return np.asarray((self.start >= 0) & (end <= limit))

    def part(self, which: npt.NDArray[np.bool_]) -> Windows:
        """The windows for which `which` is true."""
        return Windows(self.record[which], self.label[which], self.start[which], self.bound[which])


def windows_of(
    recipe: Recipe, model: Model, archive: Archive, chosen: Chosen, answer_s: float, faint: bool = True
) -> Windows:
    """Every record of the recipe's sources for which `chosen` is true; with `faint` also those too faint to
    train on. Noise is cut from the middle of its stretch.
    """
    g = model.geometry
    if faint:
        recipe = msgspec.structs.replace(recipe, data=msgspec.structs.replace(recipe.data, visible_only=False))
    span, lead = round((g.onset_s + answer_s) * g.rate_hz), g.onset_s * g.rate_hz
    rows: list[tuple[int, int, int, int]] = []
    for part in parts_of(recipe, model):
        for i, record in enumerate(archive.records):
            if not chosen(record) or not usable(recipe, model, record, part):
                continue
            if model.task == "magnitude" and record.magnitude is None:
                continue
            if part.noise:
                rows.append((i, part.label, (record.noise_end - span) // 2, record.noise_end))
            else:
                rows.append((i, part.label, round(record.onset - lead), record.n_samples))
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    windows = Windows(table[:, 0], table[:, 1], table[:, 2], table[:, 3])
    return windows.part(windows.fitting(archive, g, answer_s))


@torch.no_grad()
def predict(
    model: Model,
    archive: Archive,
    cutter: WindowCutter,
    draw: Draw,
    station_term: dict[str, float],
    batch: int = 128,
) -> Tensor:
    """What the model says before calibration, (windows, k), on the CPU.

    For magnitude the counts become m/s by the gain, or by the fitted station term.
    """
    model.eval()
    out = []
    for first in range(0, len(draw.record), batch):
        part = Draw(**{k: getattr(draw, k)[first : first + batch] for k in Draw.__dataclass_fields__})
        x, valid = cutter.cut(part)
        show_marks(model, cutter, part)
        if model.task == "magnitude":
            x = x / gains_of(archive, part.record, station_term).to(x.device)[:, None, None]
        out.append(model.raw(x, valid).cpu())
    return torch.cat(out) if out else torch.zeros(0, len(model.labels))


@torch.no_grad()
def probabilities_of(model: Model, raw: Tensor) -> Floats:
    """Probabilities (windows, labels) at the model's temperature."""
    return np.asarray(model.probabilities(raw.to(model.temperature.device)).double().cpu().numpy())


def gains_of(archive: Archive, record: Sequence[int] | Ints, station_term: dict[str, float]) -> Tensor:
    """Counts per m/s (n,): the catalogued gain, else the nominal one times the station's fitted term."""
    gains = []
    for i in record:
        r = archive.records[i]
        gains.append(r.gain if r.gain is not None else UNKNOWN_GAIN * 10 ** station_term.get(r.station, 0.0))
    return torch.tensor(gains, dtype=torch.float32)


def magnitude_from_bins(probabilities: Floats, edges: Sequence[float | None]) -> Floats:
    """Expected magnitude (n,), as the station computes it."""
    return np.asarray(probabilities @ bin_centres(edges))


def facts(archive: Archive, windows: Windows) -> dict[str, npt.NDArray[Any]]:
    """Arrays a window: the record's fields named below, and its magnitude, nan where it has none."""
    records = [archive.records[i] for i in windows.record]
    names = ("group", "event", "kind", "source", "three", "visible", "station", "gain", "distance_km")
    flags = ("three", "visible")  # of no window at all numpy could not tell their type
    out = {n: np.array([getattr(r, n) for r in records], dtype=bool if n in flags else None) for n in names}
    out["magnitude"] = np.array([np.nan if r.magnitude is None else r.magnitude for r in records])
    return out
