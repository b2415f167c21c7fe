"""Events as Parquet: one row per event with its last revision, or one per revision. Schema `seisedge.archive/1`.

The station is in the path (`station=NET.STA`), where readers of partitioned folders find it; in the files it would be a
second column of that name. The rows depend on the samples, the models and the settings only: they have no time of
computation, latency or cost.
"""

from __future__ import annotations

import datetime
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from seisedge.runtime.errors import InputError
from seisedge.runtime.event import Event
from seisedge.runtime.files import write_atomically
from seisedge.runtime.row import row_of_event
from seisedge.runtime.station.draft import PENDING_COST, PENDING_LATENCY

SCHEMA = "seisedge.archive/1"
SCHEMA_KEY, UNIT_KEY = b"seisedge.schema", b"seisedge.unit"
TIME = pa.timestamp("ns", tz="UTC")

COLUMNS = pa.schema(
    [
        ("id", pa.string()),
        ("onset", TIME),
        ("revision", pa.int32()),
        ("status", pa.string()),
        ("trigger", pa.string()),
        ("snr", pa.float64()),
        ("onset_probability", pa.float64()),
        ("p_time", TIME),
        ("p_uncertainty_s", pa.float64()),
        ("s_time", TIME),
        ("s_uncertainty_s", pa.float64()),
        ("distance_km", pa.float64()),
        ("distance_uncertainty_km", pa.float64()),
        ("type", pa.string()),
        ("type_probability", pa.float64()),
        ("magnitude", pa.float64()),
        ("magnitude_label", pa.string()),
        ("magnitude_type", pa.string()),
        ("magnitude_probability", pa.float64()),
        ("magnitude_low_90", pa.float64()),
        ("magnitude_high_90", pa.float64()),
        ("magnitude_provisional", pa.bool_()),
        ("coverage", pa.float64()),
        ("gaps", pa.int32()),
        ("window_s", pa.float64()),
        ("timing", pa.string()),
        ("quality", pa.list_(pa.string())),
        ("overlaps", pa.list_(pa.string())),
        ("event", pa.string()),
    ]
)


class UnitFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the file of a unit states of it, in its metadata.

    inputs: see `inputs_digest`. seam_in, seam_out: see `unit`. follows: seam of the unit before it that it was
    continued from; empty where it began by itself. coverage: by source id, seconds of samples, gaps and their length.
    """

    station: str
    unit: str
    inputs: str
    seam_in: str | None = None
    seam_out: str | None = None
    follows: str = ""
    records: int = 0
    data_s: float = 0.0
    coverage: dict[str, tuple[float, int, float]] = {}
    left_out: dict[str, int] = {}
    unused: dict[str, str] = {}


def event_of(content: bytes | str) -> Event:
    """The event of a line without circumstances; these are empty."""
    plain: dict[str, Any] = msgspec.json.decode(content)
    plain |= {"emitted": "", "source": "", "latency_ms": PENDING_LATENCY, "cost": PENDING_COST}
    return msgspec.convert(msgspec.to_builtins(plain), Event)


def row_of(content: bytes) -> dict[str, Any]:
    """The columns of one revision."""
    return row_of_event(event_of(content)) | {"event": content.decode()}


def table_of(contents: Iterable[bytes], facts: UnitFacts) -> pa.Table:
    """The rows in order of onset, id and revision."""
    rows = sorted(map(row_of, contents), key=lambda row: (row["onset"], row["id"], row["revision"]))
    arrays = [pa.array([row[field.name] for row in rows], type=field.type) for field in COLUMNS]
    metadata = {SCHEMA_KEY: SCHEMA.encode(), UNIT_KEY: msgspec.json.encode(facts, order="deterministic")}
    return pa.Table.from_arrays(arrays, schema=COLUMNS.with_metadata(metadata))


def write_table(path: Path, table: pa.Table) -> None:
    """Replace a file as a whole. Raises OSError."""
    data = io.BytesIO()
    pq.write_table(table, data, compression="zstd")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data.getvalue())


def read_facts(path: Path) -> UnitFacts | None:
    """The facts of the file of a unit; None where it is not whole. Raises InputError for another schema."""
    try:
        metadata: Mapping[bytes, bytes] = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return None
    schema = metadata.get(SCHEMA_KEY, b"none").decode(errors="replace")
    if schema != SCHEMA:
        raise InputError(f"{path}: schema '{schema}'; this version of seisedge writes and reads '{SCHEMA}'")
    return msgspec.json.decode(metadata[UNIT_KEY], type=UnitFacts)


def read_tables(paths: Sequence[Path], columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of the files of units, in the order of the files."""
    names = list(columns) if columns is not None else COLUMNS.names
    wanted = pa.schema([COLUMNS.field(name) for name in names])
    tables = [pq.ParquetFile(path).read(columns=names).replace_schema_metadata(None) for path in paths]
    return pa.concat_tables([wanted.empty_table(), *tables])


def utc_now() -> str:
    """Now, to the second."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
