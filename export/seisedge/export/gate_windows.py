"""Windows to compare models on: held-out records × answer lengths × damages, nothing random in them.

All that is needed is a card and a data set, so a model file of anyone's making can be compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from seisedge.runtime.card import ModelCard
from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import Archive, load_archive
from seisedge.train.archive.cutter import WindowCutter
from seisedge.train.archive.gains import UNKNOWN_GAIN
from seisedge.train.evaluation.predict import FixedWindows, noise_label, windows_of
from seisedge.train.models._base import Geometry

Array = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]
GAP_S = 1.0


def _whole(x: Array, valid: Array, onset: int, rate_hz: float) -> tuple[Array, Array]:
    return x, valid


def _vertical(x: Array, valid: Array, onset: int, rate_hz: float) -> tuple[Array, Array]:
    alone = valid.copy()
    alone[:, 1:] = 0
    return x, alone


def _gap(x: Array, valid: Array, onset: int, rate_hz: float) -> tuple[Array, Array]:
    """A second is missing from one second after the onset."""
    holed = valid.copy()
    first = onset + round(rate_hz)
    holed[:, :, first : first + round(GAP_S * rate_hz)] = 0
    return x, holed


def _offset(x: Array, valid: Array, onset: int, rate_hz: float) -> tuple[Array, Array]:
    """A step of ten times the record's own size: a mass that is not centred."""
    size = np.abs(x).max((1, 2), keepdims=True)
    return x + 10 * size * (valid > 0.5), valid


def _turned(x: Array, valid: Array, onset: int, rate_hz: float) -> tuple[Array, Array]:
    """Horizontals exchanged and the vertical upside down."""
    return np.stack([-x[:, 0], x[:, 2], x[:, 1]], 1), np.stack([valid[:, 0], valid[:, 2], valid[:, 1]], 1)


DAMAGES = {
    "as recorded": _whole,
    "vertical only": _vertical,
    "a second missing": _gap,
    "offset": _offset,
    "horizontals exchanged": _turned,
}


@dataclass(frozen=True)
class HeldOut:
    """waveform, valid: float32 (n, 3, n_samples), in the card's unit. target: label, or magnitude (nan: none).

    scored: undamaged, visible, and for magnitude of known gain; only these have a say in the score. Windows of
    unknown gain are compared at the nominal one.
    """

    waveform: Array
    valid: Array
    target: npt.NDArray[np.float64]
    scored: Bool
    event: npt.NDArray[np.str_]
    answer_s: npt.NDArray[np.float64]
    damage: npt.NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.waveform)

    @property
    def sha256(self) -> str:
        """Fingerprint of the windows themselves."""
        digest = hashlib.sha256()
        for part in (self.waveform, self.valid):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()

    def part(self, which: npt.NDArray[np.int64]) -> HeldOut:
        """The windows at the given places."""
        return HeldOut(
            self.waveform[which],
            self.valid[which],
            self.target[which],
            self.scored[which],
            self.event[which],
            self.answer_s[which],
            self.damage[which],
        )

    def spread(self, count: int) -> HeldOut:
        """About `count` of them, evenly over all."""
        n = min(count, len(self))
        return self.part(np.arange(n) * (len(self) - 1) // max(n - 1, 1))


def refuse_detector(card: ModelCard) -> None:
    """Raises InputError for an onset detector, whose output the gate cannot compare."""
    if card.task == "onset":
        raise InputError(
            f"model '{card.name}': an onset detector cannot be quantized or compared by the gate: it answers for each "
            "hop of a block, and its network is so small that most of the time is spent between its operators"
        )


def load_records(card: ModelCard, folders: Sequence[Path]) -> Archive:
    """The data set as the model's station would see it, without synthetic records: no figure and no range comes from
    one. Raises InputError.
    """
    refuse_detector(card)
    return load_archive(list(folders), card.sampling_rate_hz, card.band_hz[1])


def gate_windows(
    card: ModelCard,
    archive: Archive,
    count: int,
    split: str = "test",
    station_term: Mapping[str, float] | None = None,
) -> HeldOut:
    """About `count` windows of the records on a side of the split, undamaged ones of all records first.

    station_term: log10 of the gain over the nominal one, of stations of unknown gain where the run fitted it.
    Raises InputError where a record of that side is not there, or for an onset detector.
    """
    refuse_detector(card)
    g = Geometry(card.n_samples, card.sampling_rate_hz, card.onset_s)
    cutter = WindowCutter(archive, g, torch.device("cpu"))
    parts = []
    for answer_s in card.answers_s:
        windows, target = _windows_of(card, archive, split, answer_s)
        if not len(windows.record):
            continue
        x, mask = (t.numpy() for t in cutter.cut(windows.draw(g, answer_s, False)))
        records = [archive.records[i] for i in windows.record]
        known = np.ones(len(records), bool)
        if card.unit == "m/s":
            terms = station_term or {}
            gain = [UNKNOWN_GAIN * 10 ** terms.get(r.station, 0.0) if r.gain is None else r.gain for r in records]
            x = x / np.array(gain, np.float32)[:, None, None]
            known = np.array([r.gain is not None or r.station in terms for r in records])
        visible = np.array([r.visible or r.kind == "noise" for r in records])
        if card.task == "event_type":
            visible |= target == noise_label(card.labels)
        event = np.array([r.group for r in records])
        for damage, damaged in _damaged(x, mask, round(g.onset_s * g.rate_hz), g.rate_hz):
            scored = visible & known & (damage == "as recorded")
            n = len(records)
            parts.append(
                HeldOut(*damaged, target, scored, event, np.full(n, answer_s), np.full(n, damage, dtype="<U24"))
            )
    if not parts:
        raise InputError(f"the data hold no {split} record that carries an answer of model '{card.name}'")
    plain = [p for p in parts if p.damage[0] == "as recorded"]
    other = [p for p in parts if p.damage[0] != "as recorded"]
    whole = _joined(plain)
    if len(whole) >= count or not other:
        return whole.spread(count)
    return _joined([whole, _joined(other).spread(count - len(whole))])


def _damaged(x: Array, mask: Array, onset: int, rate_hz: float) -> Iterator[tuple[str, tuple[Array, Array]]]:
    for name, damage in DAMAGES.items():
        y, valid = damage(x, mask, onset, rate_hz)
        yield name, (np.where(valid > 0.5, y, 0).astype(np.float32), valid.astype(np.float32))


def _joined(parts: Sequence[HeldOut]) -> HeldOut:
    return HeldOut(*(np.concatenate([getattr(p, f) for p in parts]) for f in HeldOut.__dataclass_fields__))


def _windows_of(
    card: ModelCard, archive: Archive, split: str, answer_s: float
) -> tuple[FixedWindows, npt.NDArray[np.float64]]:
    """Windows of every record of a side, a record's noise before its event; and their targets (n,)."""
    g = Geometry(card.n_samples, card.sampling_rate_hz, card.onset_s)
    side = np.array([r.split == split for r in archive.records], dtype=bool)
    windows = windows_of(card.task, card.labels, g, archive, side, answer_s)
    windows = windows.part(np.lexsort((windows.label != noise_label(card.labels), windows.record)))
    if card.task == "event_type":
        return windows, windows.label.astype(np.float64)
    return windows, np.array([archive.records[i].magnitude for i in windows.record], dtype=np.float64)
