"""Records in SeisBench format with their picks, as arrays; shared by detection.py and phasenet.py."""

from __future__ import annotations

import csv
import dataclasses
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import msgspec
import numpy as np
import numpy.typing as npt

from seisedge.train.dataset.event_hashes import event_hash, event_key
from seisedge.train.evaluation.figure import Figure

ROWS = {"Z": 0, "N": 1, "E": 2, "1": 1, "2": 2}
AFTER_S, GUARD_S = 10.0, 1.0  # of a record after its last pick; before its first, where its noise may contain a signal
SIGNALS = {"tectonic", "blast", "mining-induced"}  # classes whose records have a P


@dataclass(frozen=True)
class PickedRecord:
    """waveform: (3, n) Z, N, E in the unit of the record; a missing component is zero, and not in `components`.

    picks: (phase, seconds after the first sample): 'P', 'S', or with '?' where the arrival is known to be near but
    cannot be seen. analyst: the P is the pick of an analyst. s_known: False where an S exists that nobody picked.
    key: of the event, see `event_hashes.event_key`.
    """

    name: str
    event: str
    subset: str
    kind: str
    split: str
    rate_hz: float
    components: str
    waveform: npt.NDArray[np.float32]
    picks: list[tuple[str, float]]
    analyst: bool
    s_known: bool
    key: str = ""

    @property
    def length_s(self) -> float:
        """Length of the record."""
        return float(self.waveform.shape[1] / self.rate_hz)

    def begun_later(self) -> PickedRecord:
        """The record without 2 to 4 s at its start, drawn by its name.

        The picks of `phasenet_ncedc` all lie exactly 30 s after the start: on the border of a hop, a block or a window.
        """
        skip = round((2 + zlib.crc32(self.name.encode()) % 2000 / 1000) * self.rate_hz)
        moved = [(phase, time_s - skip / self.rate_hz) for phase, time_s in self.picks]
        return dataclasses.replace(self, waveform=self.waveform[:, skip:], picks=moved)

    def continued(self) -> PickedRecord:
        """The record, followed by AFTER_S of its own noise before P, backwards, if it ends earlier after its last pick.

        The records of `poland` end 2 to 5 s after S. A station goes on, and knows an onset 2.5 to 3.5 s after its time.
        """
        n, quiet = round(AFTER_S * self.rate_hz), round((min(t for _, t in self.picks) - GUARD_S) * self.rate_hz)
        if self.length_s - max(t for _, t in self.picks) >= AFTER_S or quiet <= 0:
            return self
        noise = np.pad(self.waveform[:, :quiet], ((0, 0), (max(n - quiet, 0), 0)), mode="reflect")[:, -n:][:, ::-1]
        level = self.waveform[:, :quiet].mean(axis=1, keepdims=True) - noise.mean(axis=1, keepdims=True)
        return dataclasses.replace(self, waveform=np.concatenate([self.waveform, noise + level], axis=1))

    def times_s(self, phase: str) -> list[float]:
        """Times of the picks of a phase."""
        return [time_s for name, time_s in self.picks if name == phase]


class StatedOnset(msgspec.Struct):
    """A P onset of another detector on the bundled recording. score: its probability."""

    station: str
    time_ns: int
    score: float


class Stated(msgspec.Struct):
    """What another detector found: onsets on the bundled recording, and figures on records with picks."""

    name: str
    onsets: list[StatedOnset]
    figures: list[Figure]


def pick_groups(folders: Sequence[Path], trained: Collection[bytes] = ()) -> dict[str, list[PickedRecord]]:
    """The records with picks of analysts whose events are not training data, by data set.

    trained: hashes of the training events of a model, see `event_hashes`; records of split 'train' are left out anyway.
    """
    groups: dict[str, list[PickedRecord]] = {}
    for folder in folders:
        for r in records_of(folder, analyst_only=True):
            if r.split in ("test", "") and not (r.key and event_hash(r.key) in trained):
                groups.setdefault(r.subset, []).append(r.begun_later())
    return groups


def records_of(folder: Path, analyst_only: bool = False) -> Iterator[PickedRecord]:
    """All records of a folder whose signal is visible. analyst_only: those with an analyst's pick of P."""
    with (
        (folder / "metadata.csv").open(encoding="utf-8", newline="") as file,
        h5py.File(folder / "waveforms.hdf5") as archive,
    ):
        for row in csv.DictReader(file):
            rate_hz = float(row["trace_sampling_rate_hz"])
            picks = _picks(row, rate_hz)
            analyst = bool(row.get("trace_p_arrival_sample"))
            if (analyst_only and not analyst) or row.get("trace_visible", "True") != "True":
                continue
            data = archive["data"][row["trace_name"]][()]
            order = row["trace_component_order"]
            waveform = np.zeros((3, data.shape[1]), dtype=np.float32)
            for code, x in zip(order, data, strict=False):
                if code in ROWS and np.ptp(x) > 0:
                    waveform[ROWS[code]] = x
            present = "".join(code for k, code in enumerate("ZNE") if waveform[k].any())
            if not present:
                continue
            kind = row.get("source_class") or row.get("source_type", "")
            yield PickedRecord(
                name=row["trace_name"],
                event=row.get("source_group") or row["source_id"] or row["trace_name"],
                subset=row["subset"],
                kind=kind,
                split=row.get("split", ""),
                rate_hz=rate_hz,
                components=present,
                waveform=waveform,
                picks=picks,
                analyst=analyst,
                s_known=kind == "noise" or any(phase.startswith("S") for phase, _ in picks),
                key=event_key(row),
            )


def _picks(row: dict[str, str], rate_hz: float) -> list[tuple[str, float]]:
    if row.get("trace_picks"):
        pairs = (part.split() for part in row["trace_picks"].split(";"))
        return [(phase, float(sample) / rate_hz) for phase, sample in pairs]
    found = []
    p = row.get("trace_p_arrival_sample")
    if not p and row.get("source_class") in SIGNALS:
        p = row.get("trace_onset_sample")
    for phase, sample in (("P", p), ("S", row.get("trace_s_arrival_sample"))):
        if sample:
            found.append((phase, float(sample) / rate_hz))
    return found


def quiet_noise(folder: Path, least_s: float = 40.0) -> list[tuple[str, npt.NDArray[np.float32], float, str]]:
    """Station, samples (3, n), rate and components of the noise before the events of held-out records."""
    out = []
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        ends = {
            row["trace_name"]: (float(row["trace_noise_end_sample"] or 0), row["station_code"], row["split"])
            for row in csv.DictReader(file)
        }
    for r in records_of(folder):
        end, station, split = ends[r.name]
        if split == "test" and end / r.rate_hz >= least_s:
            out.append((station, r.waveform[:, : int(end)], r.rate_hz, r.components))
    return out
