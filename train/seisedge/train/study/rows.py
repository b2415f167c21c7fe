"""Rows of metadata.csv of one or more data folders, read for the selections of a study, and written back."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seisedge.runtime.clock import NS_PER_S
from seisedge.runtime.files import folder_written_whole
from seisedge.train.dataset.columns import Row, is_synthetic, kind_of, label_of, number, text, time_ns
from seisedge.train.dataset.origins import same_origin
from seisedge.train.dataset.split import group_overlapping, join_groups
from seisedge.train.dataset.store import CHUNK, Store


@dataclass(slots=True)
class Item:
    """One record. row: with the columns of seisedge. changed: columns that a selection sets. group: see `grouped`."""

    folder: int
    row: Row
    kind: str
    event: str
    group: str = ""
    changed: Row = field(default_factory=dict)

    def get(self, key: str) -> str:
        """The value of a column, as changed; '' if missing."""
        return self.changed[key] if key in self.changed else text(self.row, key)

    @property
    def magnitude(self) -> float | None:
        """The catalogued magnitude, as changed."""
        return number(self.row | self.changed, "source_magnitude")


def read_items(folders: Sequence[Path], synthetic: bool = False, unlabelled: str = "") -> list[Item]:
    """All records of the folders, grouped; without synthetic ones unless `synthetic`. unlabelled: the kind of
    records whose type is not stated (`data.unlabelled` of a recipe). Raises InputError.
    """
    items: list[Item] = []
    taken: set[str] = set()
    for k, folder in enumerate(folders):
        with Store(folder, taken, labelled=not unlabelled) as store:
            taken |= {row["subset"] for row in store.rows}
            items += [
                Item(k, row, _kind_of(row, unlabelled), text(row, "source_id") or row["trace_name"])
                for row in store.rows
                if synthetic or not is_synthetic(row)
            ]
    return grouped(items)


def _kind_of(row: Row, unlabelled: str) -> str:
    """The kind of a record, as `archive` reads it."""
    return kind_of(row) if label_of(row) or text(row, "source_class") else unlabelled or kind_of(row)


def grouped(items: list[Item]) -> list[Item]:
    """The items with the name of their group: records of one event, of events with one origin, and of events that
    share samples at a station, have the same one.
    """
    events = [item.event for item in items]
    quiet = [item.kind == "noise" for item in items]
    origins = [None if q else time_ns(item.row, "source_origin_time") for item, q in zip(items, quiet, strict=True)]
    latitudes = [number(item.row, "source_latitude_deg") for item in items]
    longitudes = [number(item.row, "source_longitude_deg") for item in items]
    names = same_origin(events, origins, latitudes, longitudes)
    groups = join_groups([names[e] for e in events], [text(i.row, "source_group") or i.event for i in items])
    starts = [time_ns(item.row, "trace_start_time") or 0 for item in items]
    lengths = [(number(i.row, "trace_npts") or 0) / float(i.row["trace_sampling_rate_hz"]) for i in items]
    ends = [start + round(length * NS_PER_S) if start else 0 for start, length in zip(starts, lengths, strict=True)]
    codes = [(text(i.row, "station_network_code"), text(i.row, "station_code")) for i in items]
    stations = [".".join(c) if any(c) else i.row["trace_name"] for c, i in zip(codes, items, strict=True)]
    for item, group in zip(items, group_overlapping(groups, stations, starts, ends), strict=True):
        item.group = group
    return items


def write_items(items: Sequence[Item], folders: Sequence[Path], out: Path) -> list[Path]:
    """Write a copy of each folder with the given records only; the waveforms are links. Returns the new folders that
    have records. `out` must not exist.
    """
    made = []
    with folder_written_whole(out) as part:
        for k, folder in enumerate(folders):
            rows = [item.row | item.changed for item in items if item.folder == k]
            if not rows:
                continue
            name = folder.resolve().name
            target = part / str(k) / name
            target.mkdir(parents=True)
            chunks = sorted({row[CHUNK] for row in rows})
            if chunks != [""]:
                (target / "chunks").write_text("".join(f"{chunk}\n" for chunk in chunks), encoding="utf-8")
            for chunk in chunks:
                table = _csv([row for row in rows if row[CHUNK] == chunk])
                (target / f"metadata{chunk}.csv").write_bytes(table)
                waveforms = f"waveforms{chunk}.hdf5"
                (target / waveforms).symlink_to((folder / waveforms).resolve())
            if (folder / "sources.toml").is_file():
                (target / "sources.toml").symlink_to((folder / "sources.toml").resolve())
            made.append(out / str(k) / name)
    return made


def _csv(rows: Sequence[Row]) -> bytes:
    columns = [key for key in dict.fromkeys(key for row in rows for key in row) if key != CHUNK]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()
