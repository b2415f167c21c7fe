"""Collect the properties of all traces of data sets, and the faults of their samples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.detection.soundness import flat_runs
from seisedge.train.dataset.amplitude import TOO_LARGE, gain_fault, is_too_large
from seisedge.train.dataset.columns import Row, kind_of, licence_of, number, onset_of, text, time_ns
from seisedge.train.dataset.flags import contradicts_origin
from seisedge.train.dataset.plausible import Implausible
from seisedge.train.dataset.progress import progress
from seisedge.train.dataset.store import Array, Store

CLIP_RUN = 3  # consecutive samples at the extreme
CLIP_RUNS = 2  # least number of such runs
CLIP_ABOVE = 20.0  # times the median absolute deviation; small integers repeat without being clipped
CLIP_VALUES = 32  # least number of different values; a nearly dead channel has few
COPY_CORRELATION = 0.99999
FLAT_SHARE = 0.5  # share of flat samples at and above which a component counts as flat


@dataclass(frozen=True, slots=True)
class Trace:
    """Properties of one trace. Faults are strings of component codes: `nan='ZN'`."""

    name: str
    source: str  # data set and subset
    kind: str  # of the vocabulary, or 'unused'
    word: str  # the label in the data set
    event: str
    group: str  # column source_group; '' if missing
    station: str  # NET.STA
    channel: str  # location and channel code
    rate_hz: float
    components: str
    n_samples: int
    stored: str  # data type of the samples
    start_ns: int | None
    origin_ns: int | None
    latitude_deg: float | None  # of the source
    longitude_deg: float | None
    onset_sample: float | None
    noise_samples: int  # number of samples usable as noise
    magnitude: float | None
    magnitude_type: str
    licence: str
    split: str
    fold: str
    nan: str
    flat: str
    clipped: str
    copied: str
    sha1: str  # SHA-1 of the samples as float64
    implausible: tuple[Implausible, ...] = ()  # values treated as missing
    named: bool = True  # the data state an event id or a group
    gain_fault: str = ""  # why the gain is not used; of survey without samples only what the metadata show
    early: bool = False  # the onset contradicts the origin time
    too_large: str = ""  # the reason, if the record is not used for its amplitude

    @property
    def length_s(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.rate_hz

    @property
    def end_ns(self) -> int | None:
        """Time after the last sample."""
        return None if self.start_ns is None else self.start_ns + round(self.n_samples / self.rate_hz * NS_PER_S)


def survey(folders: Sequence[Path], samples: bool = True) -> list[Trace]:
    """All traces of the folders. Raises InputError.

    samples: False reads only the metadata tables; then no trace has faults, a digest or a stored type.
    """
    return list(_traces(folders, samples))


def _traces(folders: Sequence[Path], samples: bool) -> Iterator[Trace]:
    for folder in folders:
        with Store(folder) as store:
            if not samples:
                for row, found in zip(store.rows, store.implausible, strict=True):
                    yield _trace(row, folder, None, found)
                continue
            read = progress(store.rows, f"records of {folder} read")
            for row, found in zip(read, store.implausible, strict=True):
                yield _trace(row, folder, store.samples(row), found)


def _trace(row: Row, folder: Path, x: Array | None, implausible: Sequence[Implausible]) -> Trace:
    order = row["trace_component_order"]
    kind = kind_of(row)
    onset = None if kind == "noise" else onset_of(row)
    rate = float(row["trace_sampling_rate_hz"])
    faults = {"nan": "", "flat": "", "clipped": "", "copied": ""} if x is None else _faults(x, order, rate)
    n = x.shape[1] if x is not None else int(number(row, "trace_npts") or _sliced(row["trace_name"]) or 0)
    event = text(row, "source_id")
    return Trace(
        name=text(row, "trace_name_original") or row["trace_name"],
        source=row["subset"],
        kind=kind,
        word=row["source_type"],
        event=event or row["trace_name"],
        group=text(row, "source_group"),
        station=f"{row.get('station_network_code', '')}.{row.get('station_code', '')}",
        channel=f"{text(row, 'station_location_code')}.{text(row, 'trace_channel')}",
        rate_hz=rate,
        components=order,
        n_samples=n,
        stored="" if x is None else str(x.dtype),
        start_ns=time_ns(row, "trace_start_time"),
        origin_ns=None if kind == "noise" else time_ns(row, "source_origin_time"),
        latitude_deg=number(row, "source_latitude_deg"),
        longitude_deg=number(row, "source_longitude_deg"),
        onset_sample=onset,
        noise_samples=n if kind == "noise" else int(number(row, "trace_noise_end_sample") or 0),
        magnitude=number(row, "source_magnitude"),
        magnitude_type=text(row, "source_magnitude_type"),
        licence=licence_of(row) or _licence_beside(folder),
        split=text(row, "split").lower(),
        fold=text(row, "fold"),
        sha1="" if x is None else hashlib.sha1(x.astype(np.float64).tobytes(), usedforsecurity=False).hexdigest(),
        implausible=tuple(implausible),
        named=bool(event or text(row, "source_group") or kind == "noise"),
        gain_fault=gain_fault(row, x),
        early=kind != "noise" and contradicts_origin(row),
        too_large=TOO_LARGE if x is not None and is_too_large(x) else "",
        **faults,
    )


def _faults(x: Array, order: str, rate_hz: float) -> dict[str, str]:
    """Component codes by fault."""
    out: dict[str, list[str]] = {"nan": [], "flat": [], "clipped": [], "copied": []}
    codes = order.ljust(len(x), "?")
    alive: list[tuple[str, Array]] = []
    for code, y in zip(codes, x, strict=False):
        finite = np.isfinite(y)
        if not finite.all():
            out["nan"].append(code)
        if not finite.any() or _flat_n(y, finite, rate_hz) >= FLAT_SHARE * len(y):
            out["flat"].append(code)
            continue
        y = y[finite].astype(np.float64)
        if clipped(y):
            out["clipped"].append(code)
        if any(_same(y, other) for _, other in alive):
            out["copied"].append(code)
        alive.append((code, y))
    return {fault: "".join(found) for fault, found in out.items()}


def _flat_n(y: Array, finite: npt.NDArray[np.bool_], rate_hz: float) -> int:
    """Number of samples in flat runs."""
    return sum(n1 - n0 for n0, n1 in flat_runs(y, finite, rate_hz))


def clipped(y: Array) -> bool:
    """True if the largest or smallest value of y (n,) repeats in several runs and is far from the median."""
    centre = np.median(y)
    spread = np.median(np.abs(y - centre))
    for extreme in (y.max(), y.min()):
        if abs(extreme - centre) <= CLIP_ABOVE * spread:
            continue
        at = np.flatnonzero(np.diff(np.concatenate([[False], y == extreme, [False]]).astype(np.int8)))
        if ((at[1::2] - at[::2]) >= CLIP_RUN).sum() >= CLIP_RUNS:
            return len(np.unique(y)) >= CLIP_VALUES
    return False


def _same(a: Array, b: Array) -> bool:
    """True if one is a copy of the other, scaled or not."""
    if len(a) != len(b):
        return False
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    return bool(scale > 0 and abs((a * b).sum()) > COPY_CORRELATION * scale)


def _sliced(name: str) -> int | None:
    """The number of samples in a block name such as `bucket0$3,:3,:6000`; None if it has none."""
    last = name.partition("$")[2].rpartition(":")[2]
    return int(last) if last.isdigit() else None


_BESIDE: dict[Path, str] = {}


def _licence_beside(folder: Path) -> str:
    """'see NAME' if the folder has a licence file, or a readme file that `dataset build` did not write; else ''."""
    if folder not in _BESIDE:
        stems = ("licence", "license") if (folder / "build.json").is_file() else ("licence", "license", "readme")
        names = [p.name for p in sorted(folder.iterdir()) if p.stem.lower() in stems]
        _BESIDE[folder] = f"see {names[0]}" if names else ""
    return _BESIDE[folder]
