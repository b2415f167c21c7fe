"""Whatever happens to the files, the events are the same, the fault is reported, and the station continues."""

import errno
import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from tests.paths import RECORDING
from tests.runtime.snippets.storing import STATION, Done, Kept, configs_of, records_in, run, snippets_in
from tests.waiting import wait_until

from seisedge.cli import main
from seisedge.runtime.config import ArchiveConfig, StationConfig
from seisedge.runtime.errors import InputError
from seisedge.runtime.event import Event
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.journal.journal import Journal
from seisedge.runtime.records.miniseed import BadRecord
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.service.health import Health
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.service.metrics import text_from_health
from seisedge.runtime.snippets import Recorder, recorder, sink
from seisedge.runtime.snippets.archive import Archive
from seisedge.runtime.snippets.received import Ring
from seisedge.runtime.sources import open_source
from seisedge.runtime.sources._base import RecordWatch
from seisedge.runtime.threads import workers


def test_the_summary_of_a_run_states_what_the_archive_has_not(tmp_path: Path) -> None:
    """A run over files ends before the disk has space again."""
    data, station = tmp_path / "data.mseed", tmp_path / "station.toml"
    data.write_bytes(RECORDING.read_bytes()[: 512 * 100])
    for min_free_mb, missing in ((1e8, True), (0, False)):
        text = f'[archive]\nfolder = "{tmp_path / "sds"}"\nmin_free_mb = {min_free_mb}\n'
        station.write_text(f'[station]\nnetwork = "PB"\nstation = "B918"\n{text}', encoding="utf-8")
        result = CliRunner().invoke(main, ["run", str(station), str(data)])
        assert result.exit_code == 0, result.output
        line = f"bytes of records not written (see the log) to archive {tmp_path / 'sds'}: "
        assert (line in result.output) == missing


def _full(_path: Path, _data: bytes, _mode: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("archive", [True, False])
def test_a_full_disk_until_the_next_run(
    part: Path,
    tmp_path: Path,
    models: Models,
    expected: tuple[Kept, dict[str, list[bytes]]],
    monkeypatch: pytest.MonkeyPatch,
    archive: bool,
) -> None:
    """The events wait in the outbox; their records come from the source, which sends them again, or the archive."""
    configs = configs_of(tmp_path, archive)
    with Digitizer(part, speed=0) as digitizer:
        url = f"{digitizer.url}/PB_B918?from=earliest"

        held: list[set[str]] = []  # events whose records are held before the first packet

        def once(within_s: float) -> Done:
            journal = Journal(tmp_path / "state", url)
            source = open_source(
                url, until_end=True, connect_timeout_s=20, resume=journal.resume, resume_ns=journal.resume_ns
            )
            return run(
                source,
                configs,
                models,
                journal=journal,
                within_s=within_s,
                prepare=lambda given: held.append({event_id for event_id, _ in given._captures}),
            )

        with monkeypatch.context() as patched:
            patched.setattr(sink, "write_atomically", _full)
            first = once(0.5)
        assert first.kept.contents == expected[0].contents
        assert not snippets_in(tmp_path) and first.waiting > 0
        second = once(30)
    assert second.waiting == 0 and second.kept.events == []
    assert held == [set(), {event.id for event in first.kept.finals}]
    found = {event_id: records_in(path) for event_id, path in snippets_in(tmp_path).items()}
    assert {key: sorted(one) for key, one in found.items()} == {key: sorted(one) for key, one in expected[1].items()}
    assert not list((tmp_path / "snippets").rglob("*.txt"))


class _Refusing(RecordWatch):
    """Refuses one record, as `InProgress` does after three runs that ended while they handled it."""

    def __init__(self, record: bytes) -> None:
        self._record = record

    def begin(self, record: bytes) -> str | None:
        return "refused" if record == self._record else None


@pytest.mark.parametrize(("archived", "uniform"), [(True, True), (False, True), (False, False)])
def test_a_record_that_is_set_aside(
    part: Path,
    tmp_path: Path,
    models: Models,
    expected: tuple[Kept, dict[str, list[bytes]]],
    archived: bool,
    uniform: bool,
) -> None:
    """It is in no snippet of this run; the reason states that, or the archive of an earlier run has it.

    uniform: the records of a file are read one by one; else some of them when it is opened.
    """
    if not uniform:
        data, part = part.read_bytes(), tmp_path / "part.mseed"
        part.write_bytes(data + bytes(560))
    configs = configs_of(tmp_path, archived)
    if archived:
        run(open_source([part]), configs, models)
        shutil.rmtree(tmp_path / "snippets")
    refused = expected[1][expected[0].finals[3].id][-1]
    source = open_source([part])
    source.watch = _Refusing(refused)
    seen: list[BadRecord] = []
    source.on_bad_record = seen.append
    finals = run(source, configs, models).kept.finals
    assert {bad.record for bad in seen} == {refused}
    lacking = 0
    for event in finals:
        path = next((tmp_path / "snippets").rglob(f"{event.id}.mseed"))
        wanted = expected[1].get(event.id)
        if wanted is None or archived or refused not in wanted:
            assert not path.with_suffix(".txt").exists()
            assert wanted is None or sorted(records_in(path)) == sorted(wanted)
            continue
        lacking += 1
        assert sorted([*records_in(path), refused]) == sorted(wanted)
        reason = path.with_suffix(".txt").read_text(encoding="utf-8")
        assert reason.endswith("are missing: they were set aside, see the log\n")
    assert archived or lacking > 1


def test_a_folder_that_cannot_be_written(
    part: Path, tmp_path: Path, models: Models, expected: tuple[Kept, dict[str, list[bytes]]]
) -> None:
    """At the start; in the run the folder becomes usable, and everything is written."""
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    config = configs_of(blocked)
    health = Health()

    def repair(given: Recorder) -> None:
        health.recorder = given
        put, seen = given.archives[blocked / "sds"].put, 0

        def repaired(entry: Any, *, wait: bool) -> None:
            nonlocal seen
            seen += 1
            if seen == 60:
                wait_until(lambda: bool(given.faults()))
                assert "not a directory" in given.faults()[0]
                assert any("not a directory" in reason for reason in health.condition()[1])
                assert "seisedge_archive_failures_total" in text_from_health(health)
                blocked.unlink()
                given.archives[blocked / "sds"]._retry_s = 0.0
            put(entry, wait=wait)

        given.archives[blocked / "sds"].put = repaired  # type: ignore[method-assign]

    done = run(open_source([part]), config, models, prepare=repair)
    assert done.kept.contents == expected[0].contents and done.waiting == 0
    found = {event_id: sorted(records_in(path)) for event_id, path in snippets_in(blocked).items()}
    assert found == {key: sorted(one) for key, one in expected[1].items()}
    archived = [record for path in blocked.rglob("*.D.*.*") for record in records_in(path)]
    assert sorted(archived) == sorted(records_in(part)) and done.recorder.faults() == []
    assert {"kind", "folder", "free_bytes", "deleted_files", "written"} <= health.document()["storage"][0].keys()


def test_a_programming_error_is_reported(
    part: Path,
    tmp_path: Path,
    models: Models,
    expected: tuple[Kept, dict[str, list[bytes]]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In the loop: counted, logged once. In the storage thread: it is restarted, and `/healthz` has the reason."""
    flush, taken = Archive.flush, []
    reasons: list[str] = []

    def failing(self: Archive, *, ending: bool = False) -> None:
        if not reasons:
            raise ValueError("flush")
        flush(self, ending=ending)

    def broken(self: Ring, entry: object) -> bool:
        taken.append(entry)
        if len(taken) == 10:
            wait_until(lambda: any(worker.failures for worker in workers() if worker.name == "storage"))
            reasons.extend(Health().condition()[1])
        raise ValueError("ring")

    monkeypatch.setattr(Archive, "flush", failing)
    monkeypatch.setattr(Ring, "add", broken)
    with caplog.at_level(logging.ERROR):
        done = run(open_source([part]), configs_of(tmp_path), models)
    assert done.kept.contents == expected[0].contents
    assert done.recorder.failures == len(records_in(part))
    assert [record.message for record in caplog.records if "ring" in str(record.exc_info)] == [
        "PB.B918: a record could not be kept: programming error"
    ]
    assert any("thread storage has failed 1 times; the last time: ValueError: flush" in reason for reason in reasons)
    archived = [record for path in (tmp_path / "sds").rglob("*.D.*.*") for record in records_in(path)]
    assert sorted(archived) == sorted(records_in(part))


@pytest.mark.parametrize("archive", [True, False])
def test_too_many_events_wait(
    part: Path,
    tmp_path: Path,
    models: Models,
    expected: tuple[Kept, dict[str, list[bytes]]],
    monkeypatch: pytest.MonkeyPatch,
    archive: bool,
) -> None:
    """What is not held is in the archive; without one, the reason is written beside the event."""
    monkeypatch.setattr(recorder, "MAX_HELD_BYTES", 3000)
    done = run(open_source([part]), configs_of(tmp_path, archive), models)
    assert done.kept.contents == expected[0].contents and done.waiting == 0
    folder = tmp_path / "snippets"
    assert {path.stem for path in folder.rglob("*.json")} == expected[1].keys()
    (counters,) = done.recorder.counters.values()
    if archive:
        found = {event_id: sorted(records_in(path)) for event_id, path in snippets_in(tmp_path).items()}
        assert found == {key: sorted(one) for key, one in expected[1].items()}
        assert not list(folder.rglob("*.txt"))
        return
    reasons = [path.read_text(encoding="utf-8") for path in folder.rglob("*.txt")]
    assert len(reasons) == len(expected[1]) == counters.incomplete + counters.missing
    assert all(r.endswith("too many records waited for a file to be written\n") for r in reasons), reasons[0]


def test_the_memory_of_a_ring_is_bounded(
    part: Path, tmp_path: Path, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "MAX_RING_BYTES", 20_000)
    done = run(open_source([part]), configs_of(tmp_path, archive=False), models)
    assert done.recorder._ring_bytes <= 20_000
    reasons = [path.read_text(encoding="utf-8") for path in (tmp_path / "snippets").rglob("*.txt")]
    assert reasons and all("records from 2019-07-07T" in reason for reason in reasons)
    assert all(reason.endswith("missing: more records arrived than are kept in memory\n") for reason in reasons)


def test_the_number_of_waiting_events_is_bounded(
    part: Path,
    tmp_path: Path,
    models: Models,
    expected: tuple[Kept, dict[str, list[bytes]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An event beyond it has the records that are still in memory, or a reason."""
    monkeypatch.setattr(recorder, "MAX_CAPTURES", 0)
    monkeypatch.setattr(recorder, "WINDOW_S", -60.0)
    run(open_source([part]), configs_of(tmp_path, archive=False), models)
    folder = tmp_path / "snippets"
    assert {path.stem for path in folder.rglob("*.json")} == expected[1].keys()
    stated = {path.name.removesuffix(".txt"): path.read_text(encoding="utf-8") for path in folder.rglob("*.txt")}
    found = {event_id: sorted(records_in(path)) for event_id, path in snippets_in(tmp_path).items()}
    assert stated
    for event_id in expected[1].keys() - stated.keys():
        assert found[event_id] == sorted(expected[1][event_id])
    assert all(reason.endswith("more records arrived than are kept in memory\n") for reason in stated.values())


def test_a_damaged_event_file_is_replaced(part: Path, tmp_path: Path, models: Models) -> None:
    """With the records of the file beside it, if the source does not send them again; a sound one is left alone."""
    configs = configs_of(tmp_path, archive=False)
    event = run(open_source([part]), configs, models).kept.finals[0]
    path = next((tmp_path / "snippets").rglob(f"{event.id}.json"))
    records = records_in(path.with_name(f"{event.id}.mseed"))
    path.write_bytes(b'{"revision": 9')
    again = Recorder(configs, [STATION])
    again.finish(ended=True, continued=False)
    settings = configs[STATION].snippets
    assert settings is not None
    written = sink.SnippetSink(tmp_path / "snippets", {STATION: settings}, again)
    written.write(event)
    assert msgspec.json.decode(path.read_bytes(), type=Event) == event
    assert sorted(records_in(path.with_name(f"{event.id}.mseed"))) == sorted(records)
    before = path.stat().st_ino
    written.write(event)
    assert path.stat().st_ino == before and written.counters.written == 1 and not again._captures


def test_one_folder_with_two_limits(tmp_path: Path) -> None:
    one = ArchiveConfig(folder=str(tmp_path), keep_days=1)
    other = ArchiveConfig(folder=str(tmp_path), keep_days=2)
    with pytest.raises(
        InputError, match=r"of XX.A and XX.B use this folder with different settings of \[archive\]; give"
    ):
        Recorder({"XX.A": StationConfig(archive=one), "XX.B": StationConfig(archive=other)})


def test_without_the_tables_nothing_is_kept(part: Path, models: Models) -> None:
    """And a recorder for one station ignores the others."""
    kept = Kept()
    given = Recorder({"XX.OTHER": configs_of(Path("/nowhere"))[STATION]})
    with open_source([part]) as source:
        Loop(models, [kept], {STATION: StationConfig()}, recorder=given).run(source)
    assert kept.events and given._ring_bytes == 0 and not given._captures
    assert json.dumps(given.document())
