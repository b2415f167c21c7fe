"""Read a folder in SeisBench format: metadata rows and samples.

Format: https://seisbench.readthedocs.io/en/stable/pages/data/data_format.html. Blocks (`block$slice`), chunks
(`metadataNAME.csv`, `waveformsNAME.hdf5`, with or without a file `chunks`) and any order of dimensions are supported.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt

from seisedge.runtime.errors import InputError
from seisedge.runtime.paths import text_from_path
from seisedge.train.dataset.columns import (
    LABELS,
    Row,
    canonical,
    has_label,
    number,
    source_of_folder,
    text,
    without_implausible,
)
from seisedge.train.dataset.plausible import Implausible

CHUNK = "trace_chunk"
_PLACE = re.compile(r"-?\d*(:-?\d*){0,2}")

Array = npt.NDArray[Any]


class Store:
    """One data set. Rows are `canonical`; `samples` reads a trace. Use it in a `with` block.

    taken: sources of other folders, which the name of this one must not repeat. implausible: for each row the values
    that are treated as missing, see `plausible`.

    The constructor raises InputError, which names the file and what is missing.
    """

    def __init__(self, folder: Path, taken: Collection[str] = ()) -> None:
        self.folder = folder
        self._source = source_of_folder(text_from_path(folder.resolve().name), taken)
        self.chunks = chunks_of(folder)
        self._files: dict[str, h5py.File] = {}
        self._orders: dict[str, str] = {}  # order of the dimensions, by chunk
        self.rows: list[Row] = []
        self.implausible: list[list[Implausible]] = []
        for chunk in self.chunks:
            self.rows += self._rows(chunk)
        if not self.rows:
            raise InputError(f"{folder / f'metadata{self.chunks[0]}.csv'}: no records")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()

    def paths(self) -> Iterator[Path]:
        """The files, metadata before waveforms, chunk by chunk."""
        for chunk in self.chunks:
            yield self.folder / f"metadata{chunk}.csv"
            yield self.folder / f"waveforms{chunk}.hdf5"

    def samples(self, row: Row) -> Array:
        """Samples (components, n) in their stored type. Raises InputError if the trace is missing or unreadable."""
        block, _, place = row["trace_name"].partition("$")
        path = self.folder / f"waveforms{row[CHUNK]}.hdf5"
        try:
            stored = self._file(row[CHUNK])["data"][block]
            data: Array = np.asarray(stored[_slices(place)] if place else stored[()])
        except (KeyError, ValueError, IndexError, TypeError) as error:
            raise InputError(f"{path}: trace {row['trace_name']} of metadata.csv is missing") from error
        except OSError as error:
            raise InputError(
                f"{path}: trace {row['trace_name']} cannot be read; check that the file is complete"
            ) from error
        order = self._order(row[CHUNK])
        if data.ndim == 1:
            data = data[None]
        elif order == "WC":
            data = data.T
        if data.ndim != 2:
            raise InputError(f"{path}: trace {row['trace_name']} must be (components, samples); got {data.shape}")
        return data

    def data_format(self, chunk: str) -> dict[str, str]:
        """The values of the group `data_format` as text; empty if there is no such group."""
        group = self._file(chunk).get("data_format")
        if group is None:
            return {}
        return {key: _text(group[key][()]) for key in group}

    def _order(self, chunk: str) -> str:
        if chunk not in self._orders:
            order = self.data_format(chunk).get("dimension_order", "CW").removeprefix("N")
            if order not in ("CW", "WC"):
                raise InputError(f"{self.folder}: dimension_order must be CW or WC; got '{order}'")
            self._orders[chunk] = order
        return self._orders[chunk]

    def _file(self, chunk: str) -> h5py.File:
        if chunk not in self._files:
            path = self.folder / f"waveforms{chunk}.hdf5"
            try:
                self._files[chunk] = h5py.File(path)
            except OSError as error:
                raise InputError(f"{path}: cannot be read as HDF5; check that the download is complete") from error
        return self._files[chunk]

    def _rows(self, chunk: str) -> list[Row]:
        path = self.folder / f"metadata{chunk}.csv"
        try:
            with path.open(newline="", encoding="utf-8") as file:
                reader = csv.DictReader(file, restval="")
                columns = list(reader.fieldnames or [])
                missing = [] if "trace_name" in columns else ["trace_name"]
                rated = {"trace_sampling_rate_hz", "trace_dt_s"} & set(columns)
                rate = "" if rated else self._common("sampling_rate", chunk)
                if not rated and not rate:
                    missing.append("trace_sampling_rate_hz")
                if not has_label(columns):
                    missing.append(f"source_type (nor {', '.join(LABELS[1:])})")
                if missing:
                    raise InputError(f"{path}: no column {', '.join(missing)}")
                rows = [{key: value for key, value in row.items() if key is not None} for row in reader]
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{path}: is not a CSV table in UTF-8: {error}") from error
        components = "" if "trace_component_order" in columns else self._common("component_order", chunk)
        out = []
        for row in rows:
            plausible, found = without_implausible(row)
            self.implausible.append(found)
            row = canonical(plausible)
            row[CHUNK] = chunk
            row["subset"] = text(row, "subset") or self._source
            row["trace_component_order"] = text(row, "trace_component_order") or components or "ZNE"
            step = number(row, "trace_dt_s")
            if not text(row, "trace_sampling_rate_hz"):
                row["trace_sampling_rate_hz"] = rate or ("" if not step else f"{1 / step:.10g}")
            if not (number(row, "trace_sampling_rate_hz") or 0) > 0:
                raise InputError(f"{path}: {row['trace_name']} has no sampling rate")
            out.append(row)
        return out

    def _common(self, key: str, chunk: str) -> str:
        """A value of the data format; '' if the file cannot be read, which reading a trace will report."""
        try:
            return self.data_format(chunk).get(key, "")
        except InputError:
            return ""


def chunks_of(folder: Path) -> list[str]:
    """Names of the chunks, [''] for a data set without chunks. Raises InputError if there is no data set."""
    if (folder / "waveforms.hdf5").is_file() and (folder / "metadata.csv").is_file():
        return [""]
    if (folder / "chunks").is_file():
        names = [line.strip() for line in (folder / "chunks").read_text().splitlines() if line.strip()]
    else:
        names = sorted(path.name[8:-4] for path in folder.glob("metadata?*.csv"))
        names = [name for name in names if (folder / f"waveforms{name}.hdf5").is_file()]
    for name in names or [""]:
        for file in (f"metadata{name}.csv", f"waveforms{name}.hdf5"):
            if not (folder / file).is_file():
                raise InputError(f"{folder}: {file} is missing; --data needs a folder in SeisBench format")
    return names


def _slices(place: str) -> tuple[int | slice, ...]:
    """The numpy index for a text such as `3,:3,:6000`. Raises ValueError."""
    out: list[int | slice] = []
    for part in place.replace(" ", "").split(","):
        if not part or not _PLACE.fullmatch(part):
            raise ValueError(place)
        bounds = [int(bound) if bound else None for bound in part.split(":")]
        out.append(slice(*bounds) if len(bounds) > 1 else int(part))
    return tuple(out)


def _text(value: Any) -> str:
    """A scalar or array of HDF5 as text."""
    if isinstance(value, np.ndarray):
        return "".join(_text(item) for item in value.ravel())
    return value.decode() if isinstance(value, bytes) else str(value)
