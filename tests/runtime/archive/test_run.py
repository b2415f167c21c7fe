"""Runs into an output folder: complete, interrupted, with damaged files, and again."""

from __future__ import annotations

import errno
import os
import shutil
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from tests.runtime.archive.conftest import END_S, GAPS_S, STATION, Recording, later, records_of

from seisedge.cli import main
from seisedge.runtime.archive.diff import compare, text_lines
from seisedge.runtime.archive.inputs import LocalFiles, parse_unit
from seisedge.runtime.archive.output import Manifest, event_files, read_manifest
from seisedge.runtime.archive.pool import Answer, LocalPool, Metadata, Pool
from seisedge.runtime.archive.progress import Progress
from seisedge.runtime.archive.run import ArchiveOptions, ArchiveRun
from seisedge.runtime.archive.table import read_facts, read_tables, table_of, write_table
from seisedge.runtime.archive.unit import UnitRequest
from seisedge.runtime.clock import iso_from_ns, ns_from_iso
from seisedge.runtime.config import StationConfig
from seisedge.runtime.errors import ConnectError, DataError, FailedError, InputError
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.station.state import STATE_VERSION


class FailingPool(LocalPool):
    """Is lost after a number of answers, as a scheduler that is killed."""

    def __init__(self, models: Models, metadata: Metadata, answers: int) -> None:
        super().__init__(models, metadata, LocalFiles())
        self._left = answers

    def next(self) -> Answer:
        if not self._left:
            raise FailedError("lost")
        self._left -= 1
        return super().next()


class ReversedPool(LocalPool):
    """Answers the newest request first."""

    at_once = 9

    def next(self) -> Answer:
        self._requests.rotate(1)
        return super().next()


@dataclass(frozen=True)
class Archive:
    """Runs over the same data with the same settings."""

    models: Models
    configs: Mapping[str, StationConfig]

    def planned(self, out: Path, data: Path | str, unit: str = "10m", *, retry: bool = False) -> ArchiveRun:
        options = ArchiveOptions(out, (str(data),), unit=unit, unit_ns=parse_unit(unit), revisions=True, retry=retry)
        return ArchiveRun(options, self.models, self.configs, None, LocalFiles())

    def run(
        self,
        out: Path,
        data: Path | str,
        unit: str = "10m",
        *,
        retry: bool = False,
        pool: Callable[[ArchiveRun], Pool] | None = None,
    ) -> tuple[Manifest, ArchiveRun]:
        planned = self.planned(out, data, unit, retry=retry)

        def own_pool() -> Pool:
            return pool(planned) if pool is not None else LocalPool(self.models, planned.metadata, LocalFiles())

        return planned.run(own_pool, Progress(planned.totals, "units")), planned


@pytest.fixture(scope="module")
def archive(models: Models, config: StationConfig) -> Archive:
    return Archive(models, {STATION: config})


def content(out: Path) -> dict[str, bytes]:
    """All Parquet files of the units."""
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("station=*/*.parquet"))}


def lines(out: Path, kind: str = "events") -> list[bytes]:
    return [line.encode() for line in read_tables(event_files(out, kind), ["event"])["event"].to_pylist()]


def no_pool(_: ArchiveRun) -> Pool:
    raise AssertionError("nothing is missing")


@pytest.fixture(scope="module")
def out(archive: Archive, recording: Recording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive") / "out"
    archive.run(folder, recording.path)
    return folder


def test_the_tables_hold_the_events_of_one_run(out: Path, recording: Recording) -> None:
    assert sorted(lines(out)) == sorted(revisions[-1] for revisions in recording.events.values())
    assert sorted(lines(out, "revisions")) == sorted(one for every in recording.events.values() for one in every)
    whole = pq.read_table(out / "events")  # as one data set
    assert whole["station"].unique().to_pylist() == [STATION] and whole["year"].unique().to_pylist() == [2019]
    assert whole.num_rows == len(recording.events) and str(whole.schema.field("onset").type) == "timestamp[ns, tz=UTC]"
    manifest = read_manifest(out)
    assert (manifest.status, manifest.failures) == ("complete", [])
    assert manifest.counts["events"] == len(recording.events) and manifest.counts["units"] == 3
    assert [model.task for model in manifest.settings.models] == ["event_type", "magnitude", "onset"]
    used = manifest.station_settings[manifest.settings.stations[STATION]]
    assert used["settings"]["timeline"]["max_wait_s"] == 10.0 and used["settings"]["station"]["station"] == "B918"


def test_what_is_done_is_not_done_again(archive: Archive, out: Path, recording: Recording) -> None:
    before = content(out)
    archive.run(out, recording.path, pool=no_pool)
    assert content(out) == before


def test_an_interrupted_run_ends_with_the_same_files(
    archive: Archive, out: Path, recording: Recording, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(FailedError, match="lost"):
        archive.run(tmp_path / "out", recording.path, pool=lambda run: FailingPool(run.models, run.metadata, 1))
    assert read_manifest(tmp_path / "out").status == "running"
    assert 0 < len(content(tmp_path / "out")) < len(content(out))
    _, again = archive.run(
        tmp_path / "out", recording.path, pool=lambda run: ReversedPool(run.models, run.metadata, LocalFiles())
    )
    assert again.totals.done == 2 and again.totals.done_before == 1
    assert content(tmp_path / "out") == content(out)
    assert not caplog.records  # each gap of years of data would be a line


@pytest.mark.long
@pytest.mark.parametrize("length_s", [850.0, 1500.0])
def test_units_with_another_clock_are_continued(
    length_s: float,
    archive: Archive,
    make_recording: Callable[[list[tuple[int, bytes]]], Recording],
    tmp_path: Path,
) -> None:
    """The times of the records jitter: a unit that has not read the first of them cannot begin by itself."""
    records = [(ns, later(r, n * 7 % 25)) for n, (ns, r) in enumerate(records_of(STATION, length_s, ()))]
    jittery = make_recording(records)
    _, run = archive.run(tmp_path / "out", jittery.path)
    assert run.totals.continued == run.totals.done - 2 > 0
    assert sorted(lines(tmp_path / "out")) == sorted(revisions[-1] for revisions in jittery.events.values())
    whole = content(tmp_path / "out")
    event_files(tmp_path / "out")[-1].unlink()
    archive.run(tmp_path / "out", jittery.path)  # the carry is gone: the units before it are analysed once more
    assert content(tmp_path / "out") == whole


def next_day(record: bytes, days: int) -> bytes:
    return record[:22] + struct.pack(">H", struct.unpack_from(">H", record, 22)[0] + days) + record[24:]


def sds_file(root: Path, day: int, records: list[bytes]) -> Path:
    path = root / f"2019/PB/B918/EHZ.D/PB.B918..EHZ.D.2019.{day}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(records))
    return path


def test_a_damaged_file_fails_its_unit_alone(archive: Archive, recording: Recording, tmp_path: Path) -> None:
    root, out = tmp_path / "sds", tmp_path / "out"
    few = list(recording.records[: len(recording.records) // 6])
    sds_file(root, 188, few)
    damaged = sds_file(root, 189, [b"no seismogram"])
    sds_file(root, 190, [*(next_day(record, 2) for record in few), next_day(few[0], 9)])  # the clock was wrong once
    manifest, run = archive.run(out, f"sds:{root}", "1d")
    assert manifest.status == "incomplete"
    assert [(failure.station, failure.unit) for failure in manifest.failures] == [(STATION, "2019-07-08")]
    assert str(damaged) in manifest.failures[0].reason and "is not miniSEED" in manifest.failures[0].reason
    assert [path.stem for path in event_files(out)] == ["2019-07-07", "2019-07-09"]
    outside = "the time is more than two hours outside the day of the file"
    assert manifest.counts["left_out"] == {outside: 1} and run.totals.left_out_in == {outside: f"{STATION} 2019-07-09"}
    archive.run(out, f"sds:{root}", "1d", pool=no_pool)  # failed units are not tried again unasked
    sds_file(root, 189, [next_day(record, 1) for record in few])
    manifest, run = archive.run(out, f"sds:{root}", "1d", retry=True)
    assert manifest.status == "complete" and run.totals.done >= 1
    archive.run(tmp_path / "whole", f"sds:{root}", "1d")
    assert content(out) == content(tmp_path / "whole")
    per_day = [read_tables([path], ["id"]).num_rows for path in event_files(out)]
    assert per_day[0] == per_day[1] == per_day[2] > 0


def test_an_output_of_other_settings_is_left_alone(
    archive: Archive, out: Path, recording: Recording, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"was made with another --unit \(10m\); choose another folder"):
        archive.run(out, recording.path, "20m", pool=no_pool)
    manifest = read_manifest(out)
    plain = msgspec.to_builtins(manifest)
    assert plain["settings"].pop("state_version") == STATE_VERSION  # as in manifests of before it was stated
    (tmp_path / "manifest.json").write_bytes(msgspec.json.encode(plain))
    version = rf"another version of seisedge \({manifest.settings.seisedge}, state version unknown\)"
    with pytest.raises(InputError, match=f"was made with {version}; choose another folder"):
        archive.run(tmp_path, recording.path, pool=no_pool)
    manifest.schema = "seisedge.archive/9"
    (tmp_path / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    with pytest.raises(InputError, match=r"schema 'seisedge\.archive/9'"):
        archive.run(tmp_path, recording.path, pool=no_pool)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(InputError, match=r"not empty and has no manifest\.json"):
        archive.run(tmp_path / "other", recording.path, pool=no_pool)


def test_a_full_disk_leaves_no_part_of_a_file(
    archive: Archive, out: Path, recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, fsync, left = tmp_path / "out", os.fsync, [8]

    def until_full(descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr("os.fsync", until_full)
    with pytest.raises(OSError, match="No space left on device") as raised:
        archive.run(folder, recording.path)
    monkeypatch.undo()
    assert str(raised.value.filename).endswith(".parquet") and not list(folder.rglob(".*"))
    written = content(folder)
    assert written.items() < content(out).items()
    _, again = archive.run(folder, recording.path)
    assert again.totals.done_before == len(event_files(out)) - again.totals.done and content(folder) == content(out)


def test_a_pool_that_does_not_start_leaves_no_folder(archive: Archive, recording: Recording, tmp_path: Path) -> None:
    def unreachable(_: ArchiveRun) -> Pool:
        raise ConnectError("no scheduler")

    with pytest.raises(ConnectError):
        archive.run(tmp_path / "out", recording.path, pool=unreachable)
    assert not list(tmp_path.iterdir())


def test_data_that_cannot_be_analysed(archive: Archive, recording: Recording, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("no seismogram")
    for place, error, words in (
        (tmp_path / "absent", InputError, "no such file or folder"),
        (f"sds:{tmp_path / 'absent'}", InputError, "needs the root folder of an SDS archive"),
        (f"sds:{tmp_path}", InputError, "none of its 1 files has a name of the form"),
        (tmp_path, DataError, "no miniSEED"),
    ):
        with pytest.raises(error, match=words):
            archive.planned(tmp_path / "out", place)
    other = Archive(archive.models, {"XX.OTHER": archive.configs[STATION]})
    with pytest.raises(DataError, match=r"PB\.B918: no station file names it"):
        other.planned(tmp_path / "out", recording.path)


def test_a_fault_of_a_unit_is_its_failure(
    archive: Archive, recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(request: UnitRequest, *_: object) -> None:
        raise ValueError("broken")

    monkeypatch.setattr("seisedge.runtime.archive.pool.analyse", fail)
    manifest, _ = archive.run(tmp_path / "out", recording.path)
    assert {failure.reason for failure in manifest.failures} == {
        "ValueError: broken (a fault of seisedge, please report it)"
    }
    assert len(manifest.failures) == 3 and not content(tmp_path / "out")


def changed(out: Path, folder: Path) -> list[dict[str, Any]]:
    """A copy of an output in which the first event is gone, the second has a larger magnitude, the third another type,
    the fourth an onset 0.4 s later, and a new event comes 100 s after the last. Returns the events of `out`."""
    events = [msgspec.json.decode(line) for line in lines(out)]
    copies = [msgspec.json.decode(line) for line in lines(out)[1:]]
    for event in copies:
        if event["id"] == events[1]["id"]:
            event["magnitude"]["value"] = round(event["magnitude"]["value"] + 0.3, 2)
        elif event["id"] == events[2]["id"]:
            event["event_type"]["label"] = "non-tectonic"
        elif event["id"] == events[3]["id"]:
            event["onset"] = iso_from_ns(ns_from_iso(event["onset"]) + 400_000_000)
    found = dict(copies[-1], id="found", onset=iso_from_ns(ns_from_iso(copies[-1]["onset"]) + 100 * 10**9))
    paths = event_files(out)
    for path in paths:
        facts = read_facts(path)
        assert facts is not None
        own = {msgspec.json.decode(line)["id"] for line in read_tables([path], ["event"])["event"].to_pylist()}
        kept = [event for event in copies if event["id"] in own] + ([found] if path == paths[-1] else [])
        write_table(folder / path.relative_to(out), table_of([msgspec.json.encode(event) for event in kept], facts))
    shutil.copy(out / "manifest.json", folder)
    return events


def test_diff_names_what_has_changed(out: Path, tmp_path: Path) -> None:
    events = changed(out, tmp_path)
    found = compare(out, tmp_path)
    assert (found.units, found.units_of_one, found.other_data, found.same) == (3, 0, 0, len(events) - 3)
    assert [(change.kind, change.old.id if change.old is not None else None) for change in found.changes] == [
        ("lost", events[0]["id"]), ("magnitude", events[1]["id"]), ("type", events[2]["id"]), ("found", None),
    ]  # fmt: skip
    assert sorted(found.shifts)[-1] == pytest.approx(0.3) and found.shifts.count(0.0) == len(found.shifts) - 1
    assert compare(out, out).changes == []
    assert compare(out, tmp_path, shift=0.4).count("magnitude") == 0
    assert compare(out, tmp_path, tolerance_s=0.2).count("lost") == 2
    result = CliRunner().invoke(
        main,
        ["archive", "diff", str(out), str(tmp_path), "--table", str(tmp_path / "t"), "--plot", str(tmp_path / "p")],
    )
    assert result.exit_code == 0 and "1 found, " in result.output, result.output
    assert (tmp_path / "t").read_text().count("\n") > 1
    page = (tmp_path / "p").read_text()
    assert "<h2>Types</h2>" in page and "<td>non-tectonic</td><td>1</td>" in page and "Magnitudes that differ" in page
    gone, shorter = event_files(tmp_path)[:2]
    gone.unlink()
    facts = read_facts(shorter)
    assert facts is not None
    write_table(shorter, table_of([], msgspec.structs.replace(facts, coverage={})))
    found = compare(out, tmp_path)
    assert (found.units_of_one, found.other_data, found.other_settings) == (1, 1, [])
    manifest = read_manifest(tmp_path)
    manifest.settings.stations[STATION] = "other"
    (tmp_path / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    assert list(text_lines(compare(out, tmp_path), 0))[4] == (
        f"settings or metadata of 1 station(s) differ, the first is {STATION}"
    )


def test_summary_counts_events_and_data(out: Path, recording: Recording, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["archive", "summary", str(out), "-o", str(tmp_path / "page.html"), "--json"])
    assert result.exit_code == 0, result.output
    figures = msgspec.json.decode(result.output)
    shown = [r[-1] for r in recording.events.values() if msgspec.json.decode(r[-1])["status"] != "retracted"]
    assert figures["events"] == sum(figures["events_by_day"]["2019-07-07"].values()) == len(shown)
    assert sum(figures["frequency"].values()) == sum(b'"value"' in line for line in shown)
    (station,) = figures["stations"]
    silent_s = sum(high - low for low, high in GAPS_S)
    assert station["days_of_data"] * 86_400 == pytest.approx(END_S - silent_s, abs=45)
    assert station["gaps"] == 2
    page = (tmp_path / "page.html").read_text()
    assert page.count("<svg") == 3 and "Events a day" in page and "http" not in page.replace("http://www.w3.org", "")


def test_the_command(recording: Recording, tmp_path: Path) -> None:
    data, out = tmp_path / "few.mseed", tmp_path / "out"
    data.write_bytes(b"".join(recording.records[: len(recording.records) // 4]))
    listed = tmp_path / "list.txt"
    listed.write_text(f"# one file\n{data}\n")
    common = ["-o", str(out), "--workers", "1"]
    result = CliRunner().invoke(
        main,
        ["archive", str(data), *common, "--csv", str(tmp_path / "e.csv"), "--quakeml", str(tmp_path / "q"), "--json"],
    )
    assert result.exit_code == 0, result.output
    manifest = msgspec.json.decode(result.stdout, type=Manifest)
    assert manifest.status == "complete" and manifest.counts["events"] > 0
    rows = (tmp_path / "e.csv").read_text().splitlines()
    assert len(rows) == manifest.counts["events"] + 1 and rows[0].startswith("id,station,onset,")
    assert len(list((tmp_path / "q").rglob("*.xml"))) == manifest.counts["events"]
    assert "1 of 1 station-days" in result.stderr and manifest.counts["uncalibrated"] == manifest.counts["events"]
    result = CliRunner().invoke(main, ["archive", "run", "--files-from", str(listed), *common])
    assert result.exit_code == 0 and "0 analysed now" in result.output and "1 before" in result.output, result.output
    assert "0 times real time" not in result.output
    assert f"{manifest.counts['events']} event(s) of stations without a gain have no magnitude" in result.output
    for words, sentence in (
        ([str(data), "--start", "yesterday"], "--start yesterday: is not a time"),
        (
            [str(data), "--start", "2020-01-01"],
            "no data from 2020-01-01: the data of 1 station(s) begin at 2019-07-07T08:1",
        ),
        ([str(data), "--start", "2020-01-02", "--end", "2020-01-01"], "--end 2020-01-01: must be later than --start"),
        (["--files-from", str(tmp_path / "absent")], "absent: cannot be read: No such file or directory"),
        ([str(data), "--stations", "XX.*"], "no miniSEED of the stations XX.*"),
        ([str(data), "--scheduler", "tcp://h:1"], "give --workers or --scheduler, not both"),
        (["-"], "standard input ('-') cannot be read by several processes"),
        ([], "nothing to read"),
    ):
        result = CliRunner().invoke(main, ["archive", "run", *words, *common])
        assert (result.exit_code, sentence in result.output) == (2, True), result.output


def test_a_scheduler_without_workers(recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Empty(LocalPool):
        """A pool that says that it has no workers, but has."""

        workers, dashboard = 0, "http://h:1/status"

        def __init__(self, models: Models, _engine: str, metadata: Metadata, **_more: object) -> None:
            super().__init__(models, metadata, LocalFiles())

    monkeypatch.setattr("seisedge.runtime.commands.archive.DaskPool", Empty)
    data = tmp_path / "few.mseed"
    data.write_bytes(b"".join(recording.records[:100]))
    words = ["archive", "run", str(data), "-o", str(tmp_path / "out"), "--scheduler", "tcp://h:2"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert "no worker yet, waiting: `dask worker tcp://h:2` starts one; dashboard at http://h:1/status" in result.stderr
