"""A data set in memory: SeisBench folders read, resampled as the station resamples, laid out for sampling.

The columns used are those of `datasets/README.md`; of a SeisBench set of one's own only `trace_name`,
`trace_sampling_rate_hz`, `source_type` and an onset (`trace_onset_sample` or `trace_p_arrival_sample`) must be
there.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.errors import InputError
from seisedge.runtime.resample import reaches_band, resample_record
from seisedge.train.split import assign_split

logger = logging.getLogger(__name__)

COMPONENTS = "ZNE"
FLAT_S = 0.5  # equal samples for longer than this are no signal: padding, a dead channel, a clipped stretch
KM_PER_S_OF_S_MINUS_P = 8.22  # P at 6.0 km/s, Vp/Vs 1.73
REQUIRED = ("trace_name", "trace_sampling_rate_hz", "source_type")
BLASTS = {"explosion", "quarry blast", "mining explosion", "blast"}
TECTONIC = {"earthquake"}

Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Record:
    """The facts of one record, on the common clock. Samples are indices into `Archive.waveform`."""

    name: str
    source: str  # data set it came from
    event: str
    group: str  # events that share samples
    kind: str  # 'tectonic', 'blast' or 'mass movement'
    station: str  # NET.STA
    rate_hz: float  # as recorded
    three: bool  # has horizontal components
    onset: float  # sample
    noise_end: int  # samples before it are noise; 0: none
    n_samples: int
    visible: bool
    snr: float
    magnitude: float | None
    distance_km: float | None  # hypocentral where a depth is known; else from the S minus P of picks
    gain: float | None  # counts per m/s
    split: str
    fold: int


@dataclass(frozen=True)
class Archive:
    """All records of one or more folders at one rate.

    waveform: float32 (records, 3, longest), counts, zeros where nothing is.
    valid: bool, same shape.
    """

    rate_hz: float
    records: list[Record]
    waveform: npt.NDArray[np.float32]
    valid: Bool
    sha256: str
    sources: list[str]
    left_out: dict[str, int] = field(default_factory=dict)  # reason → records

    def indices(self, **wanted: object) -> npt.NDArray[np.int64]:
        """Records whose fields have the wanted values: `archive.indices(split="test", kind="blast")`."""
        hits = [i for i, r in enumerate(self.records) if all(getattr(r, k) == v for k, v in wanted.items())]
        return np.array(hits, dtype=np.int64)


def flat_runs(x: npt.NDArray[np.generic], longest: int) -> Bool:
    """True where x (n,) stays exactly equal for more than `longest` samples."""
    change = np.flatnonzero(np.concatenate([[True], x[1:] != x[:-1], [True]]))
    length = np.diff(change)
    return np.repeat(length > longest, length)


def find_dataset(start: Path) -> Path:
    """The repository's `datasets/` at or above `start`. Raises InputError."""
    for folder in (start, *start.parents):
        candidate = folder / "datasets"
        if (candidate / "metadata.csv").is_file() and (folder / "pyproject.toml").is_file():
            return candidate
    raise InputError(f"no --data given and no datasets/metadata.csv at or above {start}; give --data DIR")


def read_table(folder: Path) -> list[dict[str, str]]:
    """The rows of a folder's metadata.csv. Raises InputError, naming what is missing."""
    for name in ("metadata.csv", "waveforms.hdf5"):
        if not (folder / name).is_file():
            raise InputError(f"{folder}: no {name} there; --data wants a folder in SeisBench format")
    with (folder / "metadata.csv").open(newline="") as file:
        reader = csv.DictReader(file)
        missing = [key for key in REQUIRED if key not in (reader.fieldnames or [])]
        if missing:
            raise InputError(f"{folder / 'metadata.csv'}: no column {', '.join(missing)}")
        rows = list(reader)
    if not rows:
        raise InputError(f"{folder / 'metadata.csv'}: no records")
    return rows


def fingerprint(folders: Sequence[Path]) -> str:
    """SHA-256 over metadata and waveforms of the folders, in their order."""
    digest = hashlib.sha256()
    for folder in folders:
        for name in ("metadata.csv", "waveforms.hdf5"):
            with (folder / name).open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def number(row: dict[str, str], key: str) -> float | None:
    """A column's value, None where absent or empty."""
    text = row.get(key, "")
    return float(text) if text else None


def kind_of(row: dict[str, str]) -> str:
    """`source_class` where given, else from `source_type`."""
    if row.get("source_class"):
        return row["source_class"]
    kind = row["source_type"].lower()
    return "tectonic" if kind in TECTONIC else "blast" if kind in BLASTS else "mass movement"


def components_of(data: npt.NDArray[np.generic], order: str) -> dict[int, npt.NDArray[np.generic]]:
    """Rows of a SeisBench array by place in ZNE; rows of other names are not used."""
    return {COMPONENTS.index(c): data[i] for i, c in enumerate(order) if c in COMPONENTS}


def load_archive(
    folders: Sequence[Path],
    rate_hz: float,
    pass_hz: float,
    subsets: Sequence[str] | None = None,
    limit: int | None = None,
) -> Archive:
    """Read, resample and lay out. `limit`: every k-th record only, so that about so many remain (small tests).

    Raises InputError.
    """
    kept: list[tuple[dict[str, str], dict[int, tuple[npt.NDArray[np.float64], Bool]], float, float]] = []
    left_out: dict[str, int] = {}
    sources: list[str] = []
    for folder in folders:
        rows = read_table(folder)
        if subsets is not None:
            rows = [row for row in rows if row.get("subset", folder.name) in subsets]
        if limit is not None and len(rows) > limit:
            rows = rows[:: -(-len(rows) // limit)]
        with _opened(folder / "waveforms.hdf5") as archive:
            for row in rows:
                row.setdefault("subset", folder.name)
                rate = float(row["trace_sampling_rate_hz"])
                onset = number(row, "trace_onset_sample")
                if onset is None:
                    onset = number(row, "trace_p_arrival_sample")
                reason = (
                    f"Nyquist below {pass_hz:g} Hz" if not reaches_band(rate, pass_hz)
                    else "no onset" if onset is None
                    else ""
                )  # fmt: skip
                if reason or onset is None:
                    left_out[reason] = left_out.get(reason, 0) + 1
                    continue
                data = archive["data"][row["trace_name"]][()]
                start = row.get("trace_start_time", "")
                start_ns = ns_from_iso(start) if start else 0
                parts: dict[int, tuple[npt.NDArray[np.float64], Bool]] = {}
                first = 0
                for place, x in components_of(data, row.get("trace_component_order") or "ZNE").items():
                    present = ~flat_runs(x, round(FLAT_S * rate))
                    y, mask, first = resample_record(x.astype(np.float64), present, start_ns, rate, rate_hz, pass_hz)
                    if mask.any():
                        parts[place] = y, mask
                if 0 not in parts:
                    left_out["no vertical"] = left_out.get("no vertical", 0) + 1
                    continue
                kept.append((row, parts, rate_hz / rate, _grid(start_ns, rate_hz, first)))
                if row["subset"] not in sources:
                    sources.append(row["subset"])
    if not kept:
        raise InputError(f"no usable record in {', '.join(map(str, folders))}: {left_out or 'nothing selected'}")
    longest = max(len(y) for _, parts, _, _ in kept for y, _ in parts.values())
    waveform = np.zeros((len(kept), 3, longest), dtype=np.float32)
    valid = np.zeros((len(kept), 3, longest), dtype=bool)
    records = []
    for i, (row, parts, ratio, shift) in enumerate(kept):
        for place, (y, mask) in parts.items():
            waveform[i, place, : len(y)] = y
            valid[i, place, : len(y)] = mask
        records.append(_record(row, parts, ratio, shift))
    if not all(record.split for record in records):  # a set of one's own: the same rule as the bundled one
        splits, folds = assign_split([r.group for r in records], [f"{r.kind}/{r.source}" for r in records])
        records = [dataclasses.replace(r, split=s, fold=f) for r, s, f in zip(records, splits, folds, strict=True)]
    for reason, count in left_out.items():
        logger.info("%d records left out: %s", count, reason)
    return Archive(rate_hz, records, waveform, valid, fingerprint(folders), sources, left_out)


def _opened(path: Path) -> h5py.File:
    """Raises InputError where it is not HDF5."""
    try:
        return h5py.File(path)
    except OSError as error:
        raise InputError(f"{path}: not an HDF5 file that can be read; is the download whole?") from error


def _grid(start_ns: int, rate_hz: float, first: int) -> float:
    """Place of the record's first sample relative to output `first`, exact for times of today."""
    whole, rest = divmod(start_ns, 1_000_000_000)
    return (whole * rate_hz - first) + rest / 1e9 * rate_hz


def _record(
    row: dict[str, str],
    parts: dict[int, tuple[npt.NDArray[np.float64], Bool]],
    ratio: float,
    shift: float,
) -> Record:
    onset = number(row, "trace_onset_sample")
    if onset is None:
        onset = number(row, "trace_p_arrival_sample")
    epicentral, depth = number(row, "path_ep_distance_km"), number(row, "source_depth_km")
    event = row.get("source_id") or row["trace_name"]
    noise_end = number(row, "trace_noise_end_sample") or 0.0
    p, s = number(row, "trace_p_arrival_sample"), number(row, "trace_s_arrival_sample")
    distance = None if epicentral is None else float(np.hypot(epicentral, depth or 0.0))
    if distance is None and p is not None and s is not None and s > p:
        distance = (s - p) / float(row["trace_sampling_rate_hz"]) * KM_PER_S_OF_S_MINUS_P
    return Record(
        name=row["trace_name"],
        source=row["subset"],
        event=event,
        group=row.get("source_group") or event,
        kind=kind_of(row),
        station=f"{row.get('station_network_code', '')}.{row.get('station_code', '')}",
        rate_hz=float(row["trace_sampling_rate_hz"]),
        three=len(parts) == 3,
        onset=(onset or 0.0) * ratio + shift,
        noise_end=int(max(noise_end * ratio + shift, 0.0)) if noise_end else 0,
        n_samples=len(parts[0][0]),
        visible=row.get("trace_visible", "True") != "False",
        snr=number(row, "trace_onset_snr") or 0.0,
        magnitude=number(row, "source_magnitude"),
        distance_km=distance,
        gain=number(row, "trace_gain_counts_per_m_s"),
        split=row.get("split", ""),
        fold=int(row.get("fold") or -1),
    )
