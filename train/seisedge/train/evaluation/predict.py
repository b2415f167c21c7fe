"""What a model answers on stored records: fixed windows, one per record and answer length, nothing random."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seisedge.runtime.inference.estimate import NOISE, bin_centres
from seisedge.train.archive.archive import Archive
from seisedge.train.archive.cutter import WindowCutter, show_marks
from seisedge.train.archive.gains import UNKNOWN_GAIN
from seisedge.train.archive.sampler import Draw
from seisedge.train.archive.task import RecordFilter, parts_of, usable
from seisedge.train.dataset.vocabulary import LABEL_OF_KIND
from seisedge.train.models._base import Geometry, Model
from seisedge.train.recipes.recipe import Recipe

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
Damage = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
BATCH = 128


@dataclass(frozen=True)
class FixedWindows:
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

    def part(self, which: Bool | Ints) -> FixedWindows:
        """The windows for which `which` is true, or those at the places it holds."""
        return FixedWindows(self.record[which], self.label[which], self.start[which], self.bound[which])


def windows_of(
    task: str, labels: Sequence[str], geometry: Geometry, archive: Archive, chosen: Bool, answer_s: float
) -> FixedWindows:
    """Windows of the records for which `chosen` (records,) is true, where they reach to the answer.

    Of a magnitude model one window per event record with a magnitude. Of an event type model one per event record
    whose kind has a label in `labels`, and one of noise, from the middle of the record's noise stretch, where noise
    is a label and the stretch is long enough.
    """
    span, lead = round((geometry.onset_s + answer_s) * geometry.rate_hz), geometry.onset_s * geometry.rate_hz
    rows: list[tuple[int, int, int, int]] = []
    for i in map(int, np.flatnonzero(chosen)):
        r = archive.records[i]
        event = (round(r.onset - lead), r.n_samples)
        if task == "magnitude":
            if r.kind != NOISE and r.magnitude is not None:
                rows.append((i, 0, *event))
            continue
        label = LABEL_OF_KIND[r.kind]
        if label != NOISE and label in labels:
            rows.append((i, labels.index(label), *event))
        if r.noise_end > 0 and NOISE in labels:
            rows.append((i, labels.index(NOISE), (r.noise_end - span) // 2, r.noise_end))
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    windows = FixedWindows(table[:, 0], table[:, 1], table[:, 2], table[:, 3])
    return windows.part(windows.fitting(archive, geometry, answer_s))


def noise_label(labels: Sequence[str]) -> int:
    """Index of the label for noise, -1 where the model has none."""
    return list(labels).index(NOISE) if NOISE in labels else -1


def training_windows(
    recipe: Recipe, model: Model, archive: Archive, chosen: RecordFilter, answer_s: float, *, faint: bool = True
) -> FixedWindows:
    """Those of `windows_of` that the recipe trains on, in the order of their labels.

    faint: also records too faint to train on.
    """
    if faint:
        recipe = msgspec.structs.replace(recipe, data=msgspec.structs.replace(recipe.data, visible_only=False))
    records = archive.records
    windows = windows_of(
        model.task, model.labels, model.geometry, archive, np.array([chosen(r) for r in records], dtype=bool), answer_s
    )
    parts = {part.label: part for part in parts_of(recipe, model)}
    pairs = zip(windows.record, windows.label, strict=True)
    used = [int(k) in parts and usable(recipe, model, records[i], parts[int(k)]) for i, k in pairs]
    windows = windows.part(np.array(used, dtype=bool))
    return windows.part(np.argsort(windows.label, kind="stable"))


def batches(
    archive: Archive,
    cutter: WindowCutter,
    draw: Draw,
    model: Model | None,
    station_term: dict[str, float] | None,
    damage: Damage | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """waveform and valid (batch, 3, n), as the network gets them.

    model: gets the marks of each batch where its picture shows them. station_term: counts become m/s by the gain or
    the fitted term; None keeps counts. damage: what is done to the counts before.
    """
    for first in range(0, len(draw.record), BATCH):
        part = Draw(**{k: getattr(draw, k)[first : first + BATCH] for k in Draw.__dataclass_fields__})
        x, valid = cutter.cut(part)
        if damage is not None:
            x, valid = damage(x, valid)
        if model is not None:
            show_marks(model, cutter, part)
        if station_term is not None:
            x = x / gains_of(archive, part.record, station_term).to(x.device)[:, None, None]
        yield x, valid


@torch.no_grad()
def predict(model: Model, archive: Archive, cutter: WindowCutter, draw: Draw, station_term: dict[str, float]) -> Tensor:
    """Output of the model before the temperature, (windows, k), on the CPU."""
    model.eval()
    scale = station_term if model.task == "magnitude" else None
    out = [model.raw(x, valid).cpu() for x, valid in batches(archive, cutter, draw, model, scale)]
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


def facts(archive: Archive, windows: FixedWindows) -> dict[str, npt.NDArray[Any]]:
    """Arrays a window: the record's fields named below, and its magnitude, nan where it has none."""
    records = [archive.records[i] for i in windows.record]
    names = ("group", "event", "kind", "source", "three", "visible", "station", "gain", "distance_km")
    flags = ("three", "visible")  # of no window at all numpy could not tell their type
    out = {n: np.array([getattr(r, n) for r in records], dtype=bool if n in flags else None) for n in names}
    out["magnitude"] = np.array([np.nan if r.magnitude is None else r.magnitude for r in records])
    return out
