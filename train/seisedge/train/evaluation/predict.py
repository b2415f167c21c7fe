"""Outputs of a model on stored records: fixed windows, one per record and answer length, without random choices."""

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
    """Fixed windows of records as in triggered use, with the onset at its nominal position. Arrays (windows,).

    record: index. label: of an event type model; 0 for magnitude. start: first sample; bound: samples before it are
    used.
    """

    record: Ints
    label: Ints
    start: Ints
    bound: Ints

    def draw(self, geometry: Geometry, answer_s: float, vertical: bool) -> Draw:
        """The windows as a batch at an answer length; vertical: use the vertical component only."""
        size = len(self.record)
        length = np.full(size, round((geometry.onset_s + answer_s) * geometry.rate_hz))
        keep = np.ones((size, 3), dtype=bool)
        keep[:, 1:] = not vertical
        return Draw(self.record, self.start, length, keep, self.label, np.zeros(size, np.int64), self.bound)

    def fitting(self, archive: Archive, geometry: Geometry, answer_s: float) -> npt.NDArray[np.bool_]:
        """True for windows whose record is long enough for the answer."""
        end = self.start + round((geometry.onset_s + answer_s) * geometry.rate_hz)
        limit = np.minimum(self.bound, np.array([archive.records[i].n_samples for i in self.record]))
        return np.asarray((self.start >= 0) & (end <= limit))

    def part(self, which: Bool | Ints) -> FixedWindows:
        """The windows selected by `which`: a mask or indices."""
        return FixedWindows(self.record[which], self.label[which], self.start[which], self.bound[which])


def windows_of(
    task: str, labels: Sequence[str], geometry: Geometry, archive: Archive, chosen: Bool, answer_s: float
) -> FixedWindows:
    """Windows of the records for which `chosen` (records,) is true, if they reach to the answer.

    Magnitude model: one window for each event record with a magnitude. Event type model: one for each event record
    whose kind has a label in `labels`, and, if noise is a label, one from the middle of the noise part of each record
    that is long enough, or around the onset at which a trigger opened.
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
            start = round(r.onset - lead) if r.triggered_noise else (r.noise_end - span) // 2
            rows.append((i, labels.index(NOISE), start, r.noise_end))
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    windows = FixedWindows(table[:, 0], table[:, 1], table[:, 2], table[:, 3])
    return windows.part(windows.fitting(archive, geometry, answer_s))


def noise_label(labels: Sequence[str]) -> int:
    """Index of the noise label; -1 if the model has none."""
    return list(labels).index(NOISE) if NOISE in labels else -1


def training_windows(
    recipe: Recipe, model: Model, archive: Archive, chosen: RecordFilter, answer_s: float, *, faint: bool = True
) -> FixedWindows:
    """The windows of `windows_of` that the recipe trains on, sorted by label.

    faint: include records whose signal is not visible.
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
    """Inputs of the network: waveform and valid, (batch, 3, n) each.

    model: receives the arrival marks of each batch if its picture shows them. station_term: convert counts to m/s by
    gain or fitted term; None: keep counts. damage: applied to the counts first.
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
    """Outputs (windows, k) of the model before the temperature, on the CPU."""
    model.eval()
    scale = station_term if model.task == "magnitude" else None
    out = [model.raw(x, valid).cpu() for x, valid in batches(archive, cutter, draw, model, scale)]
    return torch.cat(out) if out else torch.zeros(0, len(model.labels))


@torch.no_grad()
def probabilities_of(model: Model, raw: Tensor) -> Floats:
    """Probabilities (windows, labels) at the model's temperature."""
    return np.asarray(model.probabilities(raw.to(model.temperature.device)).double().cpu().numpy())


def gains_of(archive: Archive, record: Sequence[int] | Ints, station_term: dict[str, float]) -> Tensor:
    """Counts per m/s (n,): the known gain, else the nominal gain times 10 to the fitted term of the station."""
    gains = []
    for i in record:
        r = archive.records[i]
        gains.append(r.gain if r.gain is not None else UNKNOWN_GAIN * 10 ** station_term.get(r.station, 0.0))
    return torch.tensor(gains, dtype=torch.float32)


def magnitude_from_bins(probabilities: Floats, edges: Sequence[float | None]) -> Floats:
    """Expected magnitude (n,), as the station computes it."""
    return np.asarray(probabilities @ bin_centres(edges))


def facts(archive: Archive, windows: FixedWindows) -> dict[str, npt.NDArray[Any]]:
    """Arrays (windows,) by name: the fields of the record named below, and the magnitude (nan if unknown)."""
    records = [archive.records[i] for i in windows.record]
    names = ("group", "event", "kind", "source", "three", "visible", "station", "gain", "distance_km")
    flags = ("three", "visible")  # without windows numpy cannot infer the type
    out = {n: np.array([getattr(r, n) for r in records], dtype=bool if n in flags else None) for n in names}
    out["magnitude"] = np.array([np.nan if r.magnitude is None else r.magnitude for r in records])
    return out
