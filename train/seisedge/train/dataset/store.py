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
from seisedge.runtime.files import MIB, read_up_to
from seisedge.runtime.paths import text_from_path
from seisedge.runtime.text import printable, quoted, reason_of, shortened
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
from seisedge.train.dataset.hdf5 import data_set_at, require_trace
from seisedge.train.dataset.plausible import Implausible

CHUNK = "trace_chunk"
MAX_KEYS = 100  # of the group data_format
UNLABELLED_HINT = "; seisedge train RECIPE --set data.unlabelled=tectonic takes the events as earthquakes"
MAX_COLUMNS = 2000
MAX_NAME = 500  # characters of a trace_name
MAX_CHUNKS = 10_000
_PLACE = re.compile(r"-?\d*(:-?\d*){0,2}")

Array = npt.NDArray[Any]


class Store:
    """One data set. Rows are `canonical`; `samples` reads a trace. Use it in a `with` block.

    taken: sources of other folders, which the name of this one must not repeat. implausible: for each row the values
    that are treated as missing, see `plausible`.

    The constructor raises InputError, which names the file and what is missing.
    """

    def __init__(self, folder: Path, taken: Collection[str] = (), labelled: bool = True) -> None:
        """labelled: a column with the type of the event is required."""
        self.folder, self._labelled = folder, labelled
        self._source = source_of_folder(text_from_path(folder.resolve().name), taken)
        self.chunks = chunks_of(folder)
        self._files: dict[str, h5py.File] = {}
        self._last: tuple[tuple[str, str], h5py.Dataset] | None = None  # chunk and block, and its data set
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
        self._last = None

    def paths(self) -> Iterator[Path]:
        """The files, metadata before waveforms, chunk by chunk."""
        for chunk in self.chunks:
            yield self.folder / f"metadata{chunk}.csv"
            yield self.folder / f"waveforms{chunk}.hdf5"

    def samples(self, row: Row) -> Array:
        """Samples (components, n) in their stored type. Raises InputError if the trace is missing or unreadable."""
        block, _, place = row["trace_name"].partition("$")
        chunk = row[CHUNK]
        path = self.folder / f"waveforms{chunk}.hdf5"
        where = f"{path}: trace {shortened(row['trace_name'])}"
        order = self._order(chunk)
        try:
            stored = self._block(chunk, block)
            index = _slices(place) if place else ()
            require_trace(_selected(stored.shape, index), stored.dtype, where, order)
            data: Array = np.asarray(stored[index])
        except (KeyError, ValueError, IndexError, TypeError) as error:
            raise InputError(f"{where} of metadata.csv is missing") from error
        except (OSError, RuntimeError) as error:
            raise InputError(f"{where} cannot be read; check that the file is complete") from error
        if data.ndim == 1:
            return data[None]
        return data.T if order == "WC" else data

    def _block(self, chunk: str, block: str) -> h5py.Dataset:
        """A data set of samples; the last one is kept. Raises KeyError, InputError."""
        if self._last is None or self._last[0] != (chunk, block):
            path = self.folder / f"waveforms{chunk}.hdf5"
            self._last = (chunk, block), data_set_at(self._file(chunk), path, f"data/{block}")
        return self._last[1]

    def data_format(self, chunk: str) -> dict[str, str]:
        """The values of the group `data_format` as text; empty if there is no such group."""
        file, path = self._file(chunk), self.folder / f"waveforms{chunk}.hdf5"
        try:
            if "data_format" not in file.keys():  # noqa: SIM118 - "in file" follows links
                return {}
            if isinstance(file.get("data_format", getlink=True), h5py.ExternalLink):
                raise InputError(f"{path}: data_format is a link to another file; write it into this file")
            names = [name for _, name in zip(range(MAX_KEYS), file["data_format"], strict=False)]
            stored = {name: data_set_at(file, path, f"data_format/{name}") for name in names}
            large = next((name for name, value in stored.items() if value.size > MAX_KEYS), None)
            if large is not None:
                raise InputError(
                    f"{path}: data_format/{shortened(large)} must be a text; it has more than {MAX_KEYS} values"
                )
            return {name: _text(value[()]) for name, value in stored.items()}
        except (KeyError, ValueError, TypeError, OSError, RuntimeError, AttributeError) as error:
            raise InputError(f"{path}: the group data_format cannot be read: {reason_of(error)}") from error

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
            with path.open(newline="", encoding="utf-8-sig") as file:  # with or without a byte order mark
                reader = csv.DictReader(file, restval="")
                columns = list(reader.fieldnames or [])
                if len(columns) > MAX_COLUMNS:
                    raise InputError(f"{path}: has {len(columns)} columns, at most {MAX_COLUMNS} are read")
                missing = [] if "trace_name" in columns else ["trace_name"]
                rated = {"trace_sampling_rate_hz", "trace_dt_s"} & set(columns)
                rate = "" if rated else self._common("sampling_rate", chunk)
                if not rated and not rate:
                    missing.append("trace_sampling_rate_hz")
                if self._labelled and not has_label(columns):
                    missing.append(f"source_type (nor {', '.join(LABELS[1:])})")
                if missing:
                    hint = UNLABELLED_HINT if missing[-1].startswith("source_type") else ""
                    raise InputError(f"{path}: no column {', '.join(missing)}{hint}")
                rows = [{key: value for key, value in row.items() if key is not None} for row in reader]
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{path}: is not a CSV table in UTF-8: {reason_of(error)}") from error
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from error
        components = "" if "trace_component_order" in columns else self._common("component_order", chunk)
        out = []
        for number_of_row, row in enumerate(rows, 1):
            if not row["trace_name"].isprintable() or len(row["trace_name"]) > MAX_NAME:
                raise InputError(
                    f"{path}: the trace_name of record {number_of_row} must have at most {MAX_NAME} printable "
                    f"characters; got {quoted(row['trace_name'])}"
                )
            if not "".join(row.values()).isprintable():
                row = {key: printable(value) for key, value in row.items()}
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
        names = _chunk_names(folder / "chunks")
    else:
        names = sorted(path.name[8:-4] for path in folder.glob("metadata?*.csv"))
        names = [name for name in names if (folder / f"waveforms{name}.hdf5").is_file()]
    for name in names or [""]:
        for file in (f"metadata{name}.csv", f"waveforms{name}.hdf5"):
            if not (folder / file).is_file():
                raise InputError(f"{folder}: {file} is missing; --data needs a folder in SeisBench format")
    return names


def _chunk_names(path: Path) -> list[str]:
    """The names in the file `chunks`. Raises InputError."""
    try:
        names = [line.strip() for line in read_up_to(path, MIB).decode("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: must contain one name of a chunk in each line: {reason_of(error)}") from error
    bad = next((name for name in names if "/" in name or "\\" in name or not name.isprintable()), None)
    if bad is not None:
        raise InputError(f"{path}: {shortened(bad)!r} is not the name of a chunk; it must contain no / or \\")
    if len(names) > MAX_CHUNKS:
        raise InputError(f"{path}: has {len(names)} names, at most {MAX_CHUNKS} are read")
    return names


def _selected(shape: tuple[int, ...], index: tuple[int | slice, ...]) -> tuple[int, ...]:
    """The shape of an array of `shape` at an index of `_slices`. Raises IndexError."""
    if len(index) > len(shape):
        raise IndexError(index)
    out = []
    for size, part in zip(shape, index, strict=False):
        if isinstance(part, slice):
            out.append(len(range(*part.indices(size))))
        elif not -size <= part < size:
            raise IndexError(index)
    return (*out, *shape[len(index) :])


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
