"""Events of an output as CSV and as QuakeML."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import msgspec

from seisedge.runtime.archive.output import Manifest, event_files
from seisedge.runtime.archive.table import COLUMNS, event_of, read_tables
from seisedge.runtime.clock import iso_from_ns
from seisedge.runtime.files import file_written_whole
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.sinks.quakeml import QuakeMLSink

FILE_MODE = 0o644


def write_csv(out: Path, path: Path) -> None:
    """The station and all columns but `event`; lists are joined by spaces, missing values empty. Raises OSError."""
    names = [name for name in COLUMNS.names if name != "event"]
    times = {field.name for field in COLUMNS if field.name.endswith("_time") or field.name == "onset"}
    with file_written_whole(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([names[0], "station", *names[1:]])
        for unit in event_files(out):
            table, station = read_tables([unit], names), unit.parent.name.removeprefix("station=")
            columns = [
                table[name].cast("int64").to_pylist() if name in times else table[name].to_pylist() for name in names
            ]
            for row in zip(*columns, strict=True):
                first, *others = (_cell(name in times, value) for name, value in zip(names, row, strict=True))
                writer.writerow([first, station, *others])
        text.flush()
        text.detach()


def _cell(is_time: bool, value: object) -> object:
    if is_time and isinstance(value, int):
        return iso_from_ns(value)
    if isinstance(value, list):
        return " ".join(value)
    return "" if value is None else value


def write_quakeml(out: Path, folder: Path, manifest: Manifest, models: Models) -> None:
    """FOLDER/YYYY-MM-DD/ID.xml, as the sink of a station writes them. Raises InputError, OSError."""
    sink = QuakeMLSink(folder, scale_remarks=models.scale_remarks, file_mode=FILE_MODE)
    for unit in event_files(out):
        for content in read_tables([unit], ["event"])["event"].to_pylist():
            sink.write(msgspec.structs.replace(event_of(content), emitted=manifest.created))
