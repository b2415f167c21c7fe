"""An SDS archive, day by day."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from pymseed import MS3Record

from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.errors import DataError, InputError
from seisedge.runtime.sources import open_source
from seisedge.runtime.sources.miniseed import MiniSeedSource
from seisedge.runtime.sources.sds import DAY_NS, SdsSource

BEGIN_NS = ns_from_iso("2019-12-30T00:00:00")  # three days across the end of a year


def archive(root: Path, days: int = 3, channels: tuple[str, ...] = ("EHE", "EHZ")) -> Path:
    """A record of 7 minutes every 7 minutes; the last of a day ends in the next one. Channels are 90 s apart."""
    for number, channel in enumerate(channels):
        start_ns = BEGIN_NS + number * 90 * 10**9
        while start_ns < BEGIN_NS + days * DAY_NS:
            record = MS3Record(reclen=4096)
            record.formatversion, record.sourceid, record.samprate = 2, f"FDSN:XX_ABC_00_E_H_{channel[2]}", 1.0
            record.starttime = start_ns
            day = (start_ns - ns_from_iso("2019-01-01")) // DAY_NS
            year, day = (2019, day + 1) if day < 365 else (2020, day - 364)
            path = root / f"{year}/XX/ABC/{channel}.D/XX.ABC.00.{channel}.D.{year}.{day:03d}"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.writelines(record.generate(data_samples=np.arange(420, dtype=np.int32), sample_type="i"))
            start_ns += 420 * 10**9
    return root


def places(source: MiniSeedSource) -> list[tuple[int, str]]:
    with source:
        return [(p.starttime_ns, str(p.source_id)) for p in source.packets() if p is not None]


def test_true_order_over_days_and_years(tmp_path: Path) -> None:
    archive(tmp_path)
    found = places(SdsSource(tmp_path, "sds:x"))
    assert found == places(MiniSeedSource([tmp_path]))
    assert found == sorted(found) and len(found) == 618 + 617


def test_headers_of_two_days_are_in_memory_at_a_time(tmp_path: Path) -> None:
    archive(tmp_path, days=9)
    source = open_source(f"sds:{tmp_path}")
    assert isinstance(source, SdsSource)
    with source:
        stream = source.packets()
        next(stream)
        assert len(source._files) == 2  # the next day is indexed near the end of this one
        days = [len(part) for part in SdsSource(tmp_path, "sds:x")._index_in_parts()]
    assert max(days) <= 2 * 206 + 36
    assert len(days) == 9


def test_missing_days_and_other_files_are_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    archive(tmp_path)
    next(tmp_path.rglob("*EHZ.D.2019.365")).unlink()
    next(tmp_path.rglob("*EHE.D.2020.001")).write_bytes(b"no miniSEED at all, " * 30)
    (tmp_path / "README").write_text("notes", encoding="utf-8")
    (tmp_path / "XX.ABC.00.EHZ.L.2019.365").write_bytes(b"a log")
    for year in ("0000", "9999"):  # of a digitizer whose clock was not set
        (tmp_path / f"XX.ABC.00.EHZ.D.{year}.001").write_bytes(b"a day")
    with caplog.at_level(logging.INFO):
        found = places(SdsSource(tmp_path, "sds:x"))
    assert found == sorted(found) and len(found) == 618 + 617 - 206 - 206
    assert "XX.ABC.00.EHE.D.2020.001: passed over: is not miniSEED" in caplog.text
    assert "skipped 2 files that are not day files" in caplog.text
    for year in ("0000", "9999"):
        assert f"EHZ.D.{year}.001: skipped: the year of a day file must be 1900 to 2199" in caplog.text


def test_unusable_archives(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no day file with miniSEED in this SDS archive"):
        SdsSource(tmp_path, "sds:x").open()
    with pytest.raises(InputError, match="is not a folder"):
        open_source(f"sds:{tmp_path / 'none'}")
    with pytest.raises(InputError, match="sds: has no keys"):
        open_source(f"sds:{tmp_path}?follow=true")
