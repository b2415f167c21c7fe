"""The output folder: a Parquet file per unit and a manifest.

    OUT/manifest.json                                          what was computed from what, with counts and failures
    OUT/inputs.parquet                                         each input file with its size and time
    OUT/events/year=YYYY/station=NET.STA/UNIT.parquet          the last revision of each event
    OUT/revisions/year=YYYY/station=NET.STA/UNIT.parquet       all revisions, with --revisions

A file appears whole or not at all. A unit is done once its file in `events` exists; `revisions` is written before it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from seisedge.runtime.archive.reading import ArchiveFile
from seisedge.runtime.archive.table import SCHEMA, UnitFacts, read_facts, table_of, write_table
from seisedge.runtime.archive.unit import UnitResult
from seisedge.runtime.errors import FailedError, InputError
from seisedge.runtime.files import lock, write_atomically

MANIFEST, INPUTS = "manifest.json", "inputs.parquet"


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """A unit without a file, and why. seam_out, follows: as in `UnitFacts`, where they are known."""

    station: str
    unit: str
    reason: str
    seam_out: str | None = None
    follows: str = ""


class ModelFacts(msgspec.Struct, frozen=True):
    """A model of the run."""

    task: str
    name: str
    sha256: str
    engine: str


class Settings(msgspec.Struct, frozen=True):
    """What the events depend on besides the samples; two outputs with the same settings can be continued.

    state_version: `STATE_VERSION`, which differs where versions of seisedge detect or judge events differently; 0 in
    manifests that do not state it.
    """

    models: list[ModelFacts]
    unit: str
    start: str | None
    end: str | None
    revisions: bool
    stations: dict[str, str]  # station id → SHA-256 of its settings and metadata
    seisedge: str
    state_version: int = 0


class Manifest(msgspec.Struct):
    """The file `manifest.json`. status: `running`, `complete`, or `incomplete` where units have failed.

    station_settings: what the values of `Settings.stations` are the SHA-256 of: mode, settings and metadata.
    """

    schema: str
    status: str
    created: str
    finished: str | None
    settings: Settings
    software: dict[str, str]
    data: list[str]
    inputs: dict[str, Any]
    counts: dict[str, Any]
    failures: list[Failure]
    unusable: dict[str, str] = {}
    station_settings: dict[str, Any] = {}


class Output:
    """One output folder, opened for writing by one process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Create the folder, and keep other processes out. Raises InputError, FailedError, OSError."""
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{self.folder}: is a file; -o needs a folder")
        if self.folder.is_dir() and any(self.folder.iterdir()) and not (self.folder / MANIFEST).exists():
            raise InputError(
                f"{self.folder}: the folder is not empty and has no {MANIFEST}: it is no output of this command; "
                "choose another folder"
            )
        created = not self.folder.exists()
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                lock(descriptor)
            except BlockingIOError:
                raise FailedError(f"{self.folder}: another process writes to this folder; wait until it ends") from None
            yield
        finally:
            os.close(descriptor)
            if created:
                with contextlib.suppress(OSError):  # it is not empty
                    self.folder.rmdir()

    def manifest(self) -> Manifest | None:
        """The present manifest; None without one. Raises InputError for another schema or a damaged file."""
        return read_manifest(self.folder) if (self.folder / MANIFEST).exists() else None

    def write_manifest(self, manifest: Manifest) -> None:
        data = msgspec.json.format(msgspec.json.encode(manifest, order="deterministic"), indent=1)
        write_atomically(self.folder / MANIFEST, data + b"\n")

    def write_inputs(self, files: Sequence[ArchiveFile]) -> str:
        """Write the list of the input files; returns its SHA-256 over the content."""
        columns = {
            "url": pa.array([file.url for file in files], pa.string()),
            "size": pa.array([file.size for file in files], pa.int64()),
            "mtime": pa.array([file.mtime for file in files], pa.float64()),
        }
        write_table(self.folder / INPUTS, pa.table(columns))
        return hashlib.sha256(msgspec.json.encode([(f.url, f.size, f.mtime) for f in files])).hexdigest()

    def path_of(self, station_id: str, unit: str, kind: str = "events") -> Path:
        """The file of a unit; kind: `events` or `revisions`."""
        return self.folder / kind / f"year={unit[:4]}" / f"station={station_id}" / f"{unit}.parquet"

    def facts(self, station_id: str, unit: str) -> UnitFacts | None:
        """The facts of a unit that is done; None for another one."""
        path = self.path_of(station_id, unit)
        return read_facts(path) if path.exists() else None

    def publish(self, result: UnitResult, facts: UnitFacts, *, revisions: bool) -> None:
        """Write the files of a unit. Raises OSError."""
        if revisions:
            every = [line for lines in result.revisions.values() for line in lines]
            write_table(self.path_of(facts.station, facts.unit, "revisions"), table_of(every, facts))
        last = [lines[-1] for lines in result.revisions.values()]
        write_table(self.path_of(facts.station, facts.unit), table_of(last, facts))

    def withdraw(self, station_id: str, unit: str) -> None:
        """Remove the files of a unit that is to be computed again."""
        for kind in ("events", "revisions"):
            self.path_of(station_id, unit, kind).unlink(missing_ok=True)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an output folder. Raises InputError."""
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
        plain = msgspec.json.decode(data)
        schema = plain.get("schema") if isinstance(plain, dict) else None
        if schema != SCHEMA:
            raise InputError(
                f"{path}: schema '{schema}'; this version of seisedge uses '{SCHEMA}': choose another folder"
            )
        return msgspec.json.decode(data, type=Manifest)
    except FileNotFoundError:
        raise InputError(f"{folder}: no {MANIFEST} in it; give an output folder of `seisedge archive`") from None
    except msgspec.MsgspecError as error:
        raise InputError(f"{path}: cannot be read as a manifest: {error}") from error


def event_files(folder: Path, kind: str = "events") -> list[Path]:
    """The files of all units, by station and time."""
    found = (folder / kind).glob("year=*/station=*/*.parquet")
    return sorted(found, key=lambda path: (path.parent.name, path.name))


def difference(old: Settings, new: Settings) -> str | None:
    """The first difference between two settings, as a clause; None where they are the same."""
    if (old.seisedge, old.state_version) != (new.seisedge, new.state_version):
        return f"another version of seisedge ({old.seisedge}, state version {old.state_version or 'unknown'})"
    for name, what in (
        ("models", "other models"),
        ("unit", "another --unit"),
        ("start", "another --start"),
        ("end", "another --end"),
        ("revisions", "another choice of --revisions"),
    ):
        if getattr(old, name) != getattr(new, name):
            return f"{what} ({_shown(getattr(old, name))})"
    changed = [key for key in old.stations.keys() & new.stations.keys() if old.stations[key] != new.stations[key]]
    return f"other settings or metadata of {min(changed)}" if changed else None


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(f"{model.name} {model.sha256[:8]}" for model in value)
    return str(value)


def models_of(engines: Sequence[Any]) -> list[ModelFacts]:
    """Facts of the engines of a run."""
    return [ModelFacts(e.card.task, e.card.name, e.sha256, e.name) for e in engines]


def settings_digest(parts: object) -> str:
    """SHA-256 of settings."""
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
