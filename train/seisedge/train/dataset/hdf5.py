"""Data sets in an HDF5 file, looked at before they are read: where their values are stored, their type and their size.

HDF5 follows external links, external storage and virtual data sets silently: any file of the machine can be read as
samples, and the values of a missing file are zeros. They are refused unless the environment variable
`SEISEDGE_HDF5_LINKS` is 1. A small file can also state 10^12 samples, or compress gigabytes of equal ones.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py

from seisedge.runtime.errors import InputError
from seisedge.runtime.files import MIB
from seisedge.runtime.text import shortened

FOLLOW = "SEISEDGE_HDF5_LINKS"
MAX_COMPONENTS = 12
MAX_VALUES = 12_000_000  # of a trace; an hour of three components at 1000 Hz has 10.8 million
MAX_CHUNK_BYTES = 256 * MIB  # a compressed chunk is unpacked whole
MAX_SOFT_LINKS = 10
REMEDY = f"copy the samples into the file, or set {FOLLOW}=1 if you trust it"


def data_set_at(file: h5py.File, path: Path, name: str) -> h5py.Dataset:
    """The data set `name` of the file at `path`. Raises KeyError if it is missing, InputError if it is refused."""
    found = _resolved(file, path, name, 0)
    if not isinstance(found, h5py.Dataset):
        raise KeyError(name)
    where = f"{path}: {shortened(name)}"
    if not _follows():
        if found.external is not None:
            raise InputError(
                f"{where}: its samples are stored in other files ({shortened(found.external[0][0])}); {REMEDY}"
            )
        if found.is_virtual:
            raise InputError(f"{where}: is a virtual data set, whose samples are in other files; {REMEDY}")
    _require_sources(found, path, where)
    if found.chunks is not None and _product(found.chunks) * found.dtype.itemsize > MAX_CHUNK_BYTES:
        raise InputError(
            f"{where}: its chunks are larger than {MAX_CHUNK_BYTES // MIB} MiB; write it in smaller chunks"
        )
    return found


def require_trace(shape: tuple[int, ...], dtype: Any, where: str, order: str) -> None:
    """Raises InputError unless a trace of this shape and type can be read. order: of its dimensions, CW or WC.

    where: file and trace, for the message.
    """
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise InputError(f"{where} must contain integers or floats of at most 64 bits; got {shortened(str(dtype))}")
    if len(shape) not in (1, 2):
        raise InputError(f"{where} must be (components, samples); got {shape}")
    components = 1 if len(shape) == 1 else shape[order == "WC"]
    if components > MAX_COMPONENTS:
        raise InputError(
            f"{where} has {components} components, at most {MAX_COMPONENTS} are possible; if the samples come first, "
            f"data_format/dimension_order must be {'CW' if order == 'WC' else 'WC'}; it is {order}"
        )
    if _product(shape) > MAX_VALUES:
        raise InputError(
            f"{where} has {_product(shape)} samples, at most {MAX_VALUES} are read; cut windows around the events"
        )


def _resolved(group: Any, path: Path, name: str, depth: int) -> Any:
    """The object `name`, reached through groups and links within the file. Raises KeyError, InputError."""
    at = group
    parts = [part for part in name.split("/") if part not in ("", ".")]
    for part in parts:
        if not isinstance(at, h5py.Group):
            raise KeyError(name)
        link = at.get(part, getlink=True)
        if isinstance(link, h5py.ExternalLink) and not _follows():
            target = shortened(str(link.filename))
            raise InputError(f"{path}: {shortened(name)} is a link to another file ({target}); {REMEDY}")
        if isinstance(link, h5py.SoftLink):
            if depth >= MAX_SOFT_LINKS:
                raise InputError(f"{path}: {shortened(name)} is a link to a link, more than {MAX_SOFT_LINKS} times")
            base = group.file if link.path.startswith("/") else at
            at = _resolved(base, path, link.path, depth + 1)
        else:
            at = at[part]
    return at


def _require_sources(found: h5py.Dataset, path: Path, where: str) -> None:
    """Raises InputError if a file with values of the data set is missing: HDF5 would give zeros."""
    names = [str(source[0]) for source in found.external or ()]
    if found.is_virtual:
        names += [source.file_name for source in found.virtual_sources() if source.file_name != "."]
    for name in names:
        if not (path.parent / name).is_file():
            raise InputError(f"{where}: its samples are in {shortened(name)}, which is missing")


def _follows() -> bool:
    return os.environ.get(FOLLOW, "") == "1"


def _product(shape: tuple[int, ...]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size
