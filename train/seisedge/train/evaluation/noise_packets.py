"""Continuous noise as the packets that a station would receive: miniSEED files, and records of a data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from seisedge.runtime.clock import NS_PER_S, ns_from_iso, ns_from_s
from seisedge.runtime.errors import InputError
from seisedge.runtime.records.packet import Packet, RecordFlag, SourceId
from seisedge.runtime.sources import open_source
from seisedge.runtime.timeline.masks import runs
from seisedge.train.archive.archive import missing_of
from seisedge.train.dataset.columns import Row, is_acceleration, kind_of, text
from seisedge.train.dataset.store import Store, chunks_of

SUFFIXES = (".mseed", ".ms", ".ms3", ".seed")
PACKET_S = 4.0  # of a record of a data set
APART_S = 600.0  # between records of a data set that do not follow each other


class Recording(Protocol):
    """Noise without a break in its meaning: a file, or the records of one recording in a data set.

    site: recordings of one site are resampled together.
    """

    @property
    def site(self) -> str:
        """Name of the site."""

    def packets(self) -> Iterator[Packet]:
        """The packets in order of time. Raises InputError."""


@dataclass(frozen=True)
class File:
    """A miniSEED file; each is a site of its own."""

    path: Path

    @property
    def site(self) -> str:
        return self.path.stem

    def packets(self) -> Iterator[Packet]:
        with open_source([str(self.path)]) as source:
            yield from (packet for packet in source.packets() if packet is not None)


@dataclass(frozen=True)
class Records:
    """The records of type noise of one recording (`source_id`) in a data set, in order of their start times.

    Records that overlap or have no start time are placed `APART_S` after the ones before them.
    """

    site: str
    store: Store
    rows: list[Row]

    def packets(self) -> Iterator[Packet]:
        next_ns = 0
        for row in self.rows:
            samples = self.store.samples(row)
            rate_hz = float(row["trace_sampling_rate_hz"])
            start_ns = _start_ns(row)
            if start_ns is None or start_ns < next_ns - round(0.5 * NS_PER_S / rate_hz):
                start_ns = next_ns + ns_from_s(APART_S)
            next_ns = start_ns + round(samples.shape[1] * NS_PER_S / rate_hz)
            yield from _packets_of(row, samples, rate_hz, start_ns)


def miniseed_in(folder: Path) -> list[Path]:
    """The miniSEED files of a folder, by their names."""
    return sorted(path for path in folder.iterdir() if path.is_file() and path.suffix in SUFFIXES)


def recordings_in(folder: Path) -> list[Recording]:
    """The recordings of noise in a folder of miniSEED files or in a data set. Raises InputError."""
    if any(folder.glob("metadata*.csv")) or (folder / "chunks").is_file():
        chunks_of(folder)
        return _records_in(folder)
    files = miniseed_in(folder)
    if not files:
        raise InputError(
            f"--noise {folder}: contains neither a miniSEED file ({', '.join('*' + s for s in SUFFIXES)}) nor a data "
            "set in SeisBench format"
        )
    return [File(path) for path in files]


def _records_in(folder: Path) -> list[Recording]:
    store = Store(folder)
    groups: dict[str, list[Row]] = {}
    for row in store.rows:
        if kind_of(row) == "noise":
            name = text(row, "source_id") or f"{text(row, 'station_network_code')}.{text(row, 'station_code')}"
            groups.setdefault(name, []).append(row)
    if not groups:
        raise InputError(f"--noise {folder}: the data set has no record of type noise")
    return [Records(name, store, sorted(rows, key=_order)) for name, rows in sorted(groups.items())]


def _order(row: Row) -> tuple[int, str]:
    return _start_ns(row) or 0, row["trace_name"]


def _start_ns(row: Row) -> int | None:
    """Time of the first sample; None if it is missing or not a time."""
    try:
        return ns_from_iso(text(row, "trace_start_time"))
    except ValueError:
        return None


def _packets_of(row: Row, samples: np.ndarray, rate_hz: float, start_ns: int) -> Iterator[Packet]:
    """Packets of a record (components, n), without the samples that the data set marks as missing."""
    order, missing = row["trace_component_order"], missing_of(row)
    sensor = "HN" if is_acceleration(row) else "HH"
    network, station = text(row, "station_network_code") or "XX", text(row, "station_code") or "NOISE"
    step = round(PACKET_S * rate_hz)
    exists = np.isfinite(samples) & (samples != 0).any(axis=1, keepdims=True)
    for component, gaps in missing.items():
        for low, high in gaps:
            exists[order.index(component), low:high] = False
    for first in range(0, samples.shape[1], step):
        for k, code in enumerate(order[: len(samples)]):
            for low, high in runs(exists[k, first : first + step]):
                yield Packet(
                    SourceId(network, station, text(row, "station_location_code"), f"{sensor}{code}"),
                    start_ns + round((first + low) * NS_PER_S / rate_hz),
                    rate_hz,
                    samples[k, first + low : first + high].copy(),
                    RecordFlag.NONE,
                    0,
                    "",
                )
