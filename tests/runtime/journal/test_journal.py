"""Killed between any two packets, a run goes on and says what an uninterrupted one says; and what befalls its disk."""

import dataclasses
import errno
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.fakes import TECTONIC, ListSource, burst, fake_models, packets_of

from seisedge.runtime.config import EventsConfig, JournalConfig, ModelsConfig, StationConfig, TriggerConfig, load_config
from seisedge.runtime.demo import RECORDING, STATIONS
from seisedge.runtime.engines._base import Array
from seisedge.runtime.errors import InputError
from seisedge.runtime.event import CIRCUMSTANCES, Event, Hop, content_of
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.journal import database
from seisedge.runtime.journal.journal import Journal
from seisedge.runtime.journal.outbox import MAX_UNSAVED
from seisedge.runtime.records.packet import Packet
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.sinks import Sink
from seisedge.runtime.sinks._drain import Drain
from seisedge.runtime.sinks.jsonl import JsonLinesFile
from seisedge.runtime.sources import Source, open_source
from seisedge.runtime.station.station import Station

CONFIGS = {str(c.station_id): c for c in (load_config(path) for path in STATIONS.glob("*.toml"))}
PART_RECORDS = 360  # three minutes and a half of both stations
QUERY = "PB_B918,PB_B921?from=earliest"


class Kept(Sink):
    def __init__(self) -> None:
        self.lines: list[Event | Hop] = []

    def write(self, line: Event | Hop) -> None:
        self.lines.append(line)


class Killed(Exception):
    """Thrown into a run in place of its next packet."""


class Deadly(Source):
    """A source that kills the run after so many packets."""

    def __init__(self, inner: Source, packets: int) -> None:
        super().__init__(inner.url)
        self.live = inner.live
        self._inner = inner
        self._left = packets

    def packets(self) -> Iterator[Packet | None]:
        for item in self._inner.packets():
            if self._left == 0:
                raise Killed
            self._left -= item is not None
            yield item

    def open(self) -> None:
        self._inner.open()

    def close(self) -> None:
        self._inner.close()


@pytest.fixture(scope="module")
def models() -> Models:
    return Models.load(ModelsConfig())


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("journal") / "part.mseed"
    path.write_bytes(RECORDING.read_bytes()[: 512 * PART_RECORDS])
    return path


def _contents(events: Path) -> dict[str, list[bytes]]:
    """Lines of a file by station, without their circumstances."""
    found: dict[str, list[bytes]] = {}
    for text in events.read_text(encoding="utf-8").splitlines():
        plain = {key: value for key, value in json.loads(text).items() if key not in CIRCUMSTANCES}
        found.setdefault(plain["station"], []).append(json.dumps(plain, separators=(",", ":")).encode())
    return found


def _uninterrupted(where: str | list[str | Path], models: Models, mode: str) -> dict[str, list[bytes]]:
    kept = Kept()
    with open_source(where, until_end=True, connect_timeout_s=10) as source:
        Loop(models, [kept], CONFIGS, mode=mode).run(source)  # type: ignore[arg-type]
    lines: dict[str, list[bytes]] = {}
    for line in kept.lines:
        compact = json.dumps(json.loads(content_of(line)), separators=(",", ":")).encode()
        lines.setdefault(line.station, []).append(compact)
    return lines


def _attempt(
    url: str, state: Path, models: Models, packets: int, commit_s: float, mode: str = "triggered"
) -> int | None:
    """One run that is killed after so many packets; where it came to the end, how many there were."""
    journal = Journal(state, url, JournalConfig(commit_s=commit_s))
    drain = Drain(JsonLinesFile(state / "events.jsonl"), "file", journal)
    drain.start()
    loop = Loop(models, [], CONFIGS, mode=mode, journal=journal)  # type: ignore[arg-type]
    source = open_source(url, until_end=True, connect_timeout_s=10, resume=journal.resume, resume_ns=journal.resume_ns)
    try:
        with Deadly(source, packets) as deadly:
            loop.run(deadly)
        drain.close(20)
        journal.flush()
        return loop.report.packets
    except Killed:
        return None
    finally:
        journal.close()  # without a last transaction
        drain.close(5)


def _kill(
    part: Path,
    tmp_path: Path,
    models: Models,
    times: int,
    commit_s: float,
    mode: str = "triggered",
    protocol: str = "seedlink",
    faults: Sequence[str] = (),
) -> None:
    expected = _uninterrupted([part], models, mode)
    rng = np.random.default_rng(round(times + 1000 * commit_s))
    killed, runs, shortest = 0, 0, PART_RECORDS
    with Digitizer([part], speed=0.0, faults=faults) as digitizer:
        url = f"{digitizer.url_for(protocol.rstrip('34'))}/{QUERY}"
        if protocol[-1] in "34":
            url += f"&protocol={protocol[-1]}"
        if faults:
            expected = _uninterrupted(url, models, mode)
        while killed < times:
            runs += 1
            state = tmp_path / f"state{runs}"
            state.mkdir()
            while killed < times:
                if _attempt(url, state, models, int(rng.integers(1, 200)), commit_s, mode) is not None:
                    break
                killed += 1
            packets = _attempt(url, state, models, 10**9, commit_s, mode)
            assert packets is not None
            shortest = min(shortest, packets)
            assert _contents(state / "events.jsonl") == expected, f"after {killed} kills"
    assert shortest < PART_RECORDS  # it did go on, not begin anew
    assert sum(map(len, expected.values())) > 15


@pytest.mark.parametrize("commit_s", [0.0, 60.0])
def test_killed_between_packets(part: Path, tmp_path: Path, models: Models, commit_s: float) -> None:
    """Twenty times in all; with a transaction for every packet, and with none but for events."""
    _kill(part, tmp_path, models, 10, commit_s)


@pytest.mark.parametrize("protocol", ["seedlink3", "datalink"])
def test_killed_with_other_tokens(part: Path, tmp_path: Path, models: Models, protocol: str) -> None:
    """SeedLink 3 has numbers of 24 bits a station, DataLink one row of numbers for all."""
    _kill(part, tmp_path, models, 5, 0.05, protocol=protocol)


@pytest.mark.parametrize(
    ("protocol", "times"),
    [
        ("datalink", 5),
        *(pytest.param(p, 60, marks=pytest.mark.long) for p in ("datalink", "seedlink3", "seedlink4")),
    ],
)
def test_killed_around_a_change_of_rate(part: Path, tmp_path: Path, models: Models, protocol: str, times: int) -> None:
    """DataLink goes back to the older of two stations' places: the other one must not see the old rate again."""
    _kill(part, tmp_path, models, times, 0.0, protocol=protocol, faults=("rate-change:at=60",))


FAULTS = [
    ("cut:every=150", "duplicate:every=5", "garbage:every=30"),
    ("gap:at=60,length=10", "overlap:every=6,differ=5", "poison:every=20"),
    ("late:channel=EH2,by=20", "reorder:every=20"),
    ("clock:by=3600,at=60,length=20",),
]


@pytest.mark.parametrize("faults", FAULTS, ids=lambda faults: faults[0].partition(":")[0])
def test_killed_on_a_bad_line(part: Path, tmp_path: Path, models: Models, faults: tuple[str, ...]) -> None:
    _kill(part, tmp_path, models, 4, 0.0, faults=faults)


@pytest.mark.long
@pytest.mark.parametrize("faults", FAULTS, ids=lambda faults: faults[0].partition(":")[0])
def test_killed_many_times_on_a_bad_line(part: Path, tmp_path: Path, models: Models, faults: tuple[str, ...]) -> None:
    _kill(part, tmp_path, models, 50, 0.0, faults=faults)


@pytest.mark.parametrize("faults", [(), ("clock:by=3600,at=60,length=20",)], ids=["plain", "clock"])
def test_killed_in_continuous_mode(part: Path, tmp_path: Path, models: Models, faults: tuple[str, ...]) -> None:
    """A clock that comes back says some times twice, of another stretch of data each."""
    _kill(part, tmp_path, models, 5, 0.02, "continuous", faults=faults)


@pytest.mark.long
@pytest.mark.parametrize("commit_s", [0.0, 0.02, 60.0])
def test_killed_many_times(part: Path, tmp_path: Path, models: Models, commit_s: float) -> None:
    _kill(part, tmp_path, models, 100, commit_s)


def _kill_9(part: Path, tmp_path: Path, models: Models, times: int) -> None:
    """The command itself, killed by the kernel at any moment."""
    expected = _uninterrupted([part], models, "triggered")
    rng = np.random.default_rng(times)
    killed, runs = 0, 0
    with Digitizer([part], speed=0.0) as digitizer:
        while killed < times:
            runs += 1
            state, events = tmp_path / f"state{runs}", tmp_path / f"events{runs}.jsonl"
            command = [
                sys.executable, "-m", "seisedge.cli", "run", *map(str, STATIONS.glob("*.toml")),
                "--source", f"{digitizer.url}/{QUERY}", "--until-end", "--state", str(state), "--events", str(events),
            ]  # fmt: skip
            done = False
            while not done:
                process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                try:
                    _, errors = process.communicate(timeout=float(rng.uniform(0.5, 2.5)) if killed < times else 60)
                    assert process.returncode == 0, errors.decode()
                    done = True
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.communicate()
                    killed += 1
            assert _contents(events) == expected, f"after {killed} kills"


def test_kill_9(tmp_path: Path, models: Models) -> None:
    part = tmp_path / "part.mseed"
    part.write_bytes(RECORDING.read_bytes()[: 512 * 1200])
    _kill_9(part, tmp_path, models, 5)


@pytest.mark.long
def test_kill_9_two_hundred_times(tmp_path: Path, models: Models) -> None:
    _kill_9(RECORDING, tmp_path, models, 200)


# Folders, disks and settings, on made packets.

TRACES = {f"HH{c}": burst(160.0, [40.0, 100.0], seed=i) for i, c in enumerate("ZNE")}
PLAIN = StationConfig()


def _with_tokens(first: int = 0) -> list[Packet | None]:
    packets = packets_of(TRACES, 3.0)
    numbered = [dataclasses.replace(p, token=f"{k:06X}") for k, p in enumerate(packets)]
    return list(numbered[first:])


def _run(
    journal: Journal, first: int = 0, last: int | None = None, config: StationConfig = PLAIN, *, stop: bool = True
) -> None:
    """Packets [first, last) of a live station, with no end of the data where `stop`."""
    loop = Loop(fake_models(), [], {}, default=config, journal=journal)

    class Stopping(ListSource):
        def packets(self) -> Iterator[Packet | None]:
            yield from super().packets()
            if stop:
                loop.stop()

    loop.run(Stopping(_with_tokens(first)[: None if last is None else last - first], live=True))


def _lines(journal: Journal) -> list[tuple[str, int]]:
    decoded = [line.decoded() for line in journal.lines_after(0, 1000)]
    return [(line.id[-10:], line.revision) for line in decoded if isinstance(line, Event)]


STORY = [(event, revision) for event in ("122719.800", "122819.800") for revision in (0, 1, 2)]


def test_a_run_goes_on_from_before_what_it_needs(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "list:")
    journal.subscribe("nobody takes anything", lambda: None)
    assert journal.resume == {}
    _run(journal, 0, 60)  # to second 60: an event is open
    assert _lines(journal) == STORY[:2]
    journal.close()
    journal = Journal(tmp_path, "list:")
    token = int(journal.resume["XX.STA"], 16)
    newest_s = token // 3 * 3.0 + 3
    assert 20 < newest_s <= 34.8  # the window of the open event begins five seconds before its onset
    _run(journal, token + 1, stop=False)
    assert _lines(journal) == STORY


def test_a_fault_in_the_middle_of_a_step_loses_nothing(tmp_path: Path) -> None:
    """A model that fails at the second answer: the next run gives that answer."""
    asked = 0

    def failing(_waveform: Array, _valid: Array) -> list[float]:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise ZeroDivisionError
        return TECTONIC

    journal = Journal(tmp_path, "list:")
    journal.subscribe("nobody takes anything", lambda: None)
    loop = Loop(fake_models(failing), [], {}, default=PLAIN, journal=journal)
    with pytest.raises(ZeroDivisionError):
        loop.run(ListSource(_with_tokens(), live=True))
    journal.delivered("nobody takes anything", 0)
    journal.save_places()
    journal.close()
    journal = Journal(tmp_path, "list:")
    _run(journal, int(journal.resume["XX.STA"], 16) + 1, stop=False)
    assert _lines(journal) == STORY


def test_another_source_has_other_tokens(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "list:")
    _run(journal)
    journal.close()
    assert Journal(tmp_path, "seedlink://elsewhere").resume == {}


def test_files_are_read_again_and_say_nothing_twice(tmp_path: Path, models: Models, part: Path) -> None:
    counts = []
    for _ in range(2):
        journal = Journal(tmp_path, str(part))
        with open_source([part]) as source:
            Loop(models, [], CONFIGS, journal=journal).run(source)
        counts.append((journal.counters.lines, journal.counters.known_lines))
        journal.close()
    assert counts[0][0] > 15
    assert counts == [(counts[0][0], 0), (0, counts[0][0])]


def test_other_settings_begin_anew_from_the_token(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(tmp_path, "list:")
    journal.subscribe("nobody takes anything", lambda: None)
    _run(journal, 0, 60)
    journal.close()
    journal = Journal(tmp_path, "list:")
    token = journal.resume["XX.STA"]
    _run(journal, int(token, 16) + 1, 65, StationConfig(events=EventsConfig(noise_threshold=0.6)))
    assert "models or settings are not those of the earlier run" in caplog.text
    assert _lines(journal) == STORY[:2]  # found again, and known


def test_a_state_that_cannot_be_read_is_no_reason_to_be_silent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(tmp_path, "list:")
    journal.subscribe("nobody takes anything", lambda: None)
    _run(journal, 0, 60)
    journal.close()
    with sqlite3.connect(tmp_path / database.FILE_NAME) as link:
        link.execute("UPDATE stations SET back = '{}'")
    journal = Journal(tmp_path, "list:")
    _run(journal, int(journal.resume["XX.STA"], 16) + 1, stop=False)
    assert "its state cannot be read" in caplog.text
    assert _lines(journal) == STORY


def test_settings_of_no_matter_change_nothing() -> None:
    def fingerprint(config: StationConfig) -> str:
        return Station("XX.STA", config, fake_models(), "triggered").fingerprint

    assert fingerprint(PLAIN) == fingerprint(StationConfig(state="elsewhere", journal=JournalConfig(commit_s=5)))
    assert fingerprint(PLAIN) != fingerprint(StationConfig(trigger=TriggerConfig(on_ratio=3.5)))


@pytest.mark.parametrize("damage", ["garbage", "torn page", "cut off"])
def test_a_damaged_journal_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str) -> None:
    journal = Journal(tmp_path, "list:")
    journal.subscribe("nobody takes anything", lambda: None)
    _run(journal)
    journal.close()
    path = tmp_path / database.FILE_NAME
    data = path.read_bytes()
    assert len(data) > 5 * 4096
    path.write_bytes(
        {
            "garbage": b"not a database, and longer than a header would be " * 100,
            "torn page": data[: 2 * 4096] + b"\xa5" * (3 * 4096) + data[5 * 4096 :],
            "cut off": data[: len(data) // 2],
        }[damage]
    )
    journal = Journal(tmp_path, "list:")
    assert "the journal is damaged" in caplog.text
    assert journal.durable and journal.resume == {}
    _run(journal)
    assert len(list(tmp_path.glob("*.damaged"))) == 1
    journal.close()
    assert Journal(tmp_path, "list:").resume != {}


def test_folders_that_cannot_be(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InputError, match="cannot be the state folder: it is a file"):
        Journal(file, "list:")
    journal = Journal(tmp_path / "one", "list:")
    with pytest.raises(InputError, match="in use by another run"):
        Journal(tmp_path / "one", "list:")
    journal.close()
    with sqlite3.connect(tmp_path / "one" / database.FILE_NAME) as link:
        link.execute("PRAGMA user_version = 2")
    with pytest.raises(InputError, match="made by a newer seisedge"):
        Journal(tmp_path / "one", "list:")
    with sqlite3.connect(tmp_path / "one" / database.FILE_NAME) as link:
        link.execute("PRAGMA application_id = 1")
    with pytest.raises(InputError, match="not a journal of seisedge"):
        Journal(tmp_path / "one", "list:")


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC])
def test_a_disk_in_trouble_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """An unattended station must rather speak than remember."""

    def mkdir(path: Path, *_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    journal = Journal(tmp_path / "state", "list:")
    assert "the run goes on without a memory" in caplog.text and "another try every 10 s" in caplog.text
    assert not journal.durable and journal.failing
    kept = Kept()
    drain = Drain(kept, "kept", journal)
    drain.start()
    _run(journal)
    assert drain.close(5) == 0
    # stopped, and yet closed with what there is: nobody could go on with it
    assert [line.revision for line in kept.lines if isinstance(line, Event)] == [0, 1, 2] * 2


def test_a_disk_that_is_mended_in_mid_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """From then on the run is remembered, and what an earlier one had left comes to the sinks."""
    journal = Journal(tmp_path, "list:")
    for name in ("kept", "another"):
        journal.subscribe(name, lambda: None)
    _run(journal, 0, 60)
    assert _lines(journal) == STORY[:2]
    journal.delivered("kept", 1)
    journal.delivered("another", 2)
    journal.flush()
    journal.close()
    path, away = tmp_path / database.FILE_NAME, tmp_path / "away"
    path.rename(away)
    path.mkdir()  # what no journal can be opened as, whoever we are
    clock = [0.0]
    journal = Journal(tmp_path, "list:", now_s=lambda: clock[0])
    assert not journal.durable and journal.resume == {}
    kept = Kept()
    drain = Drain(kept, "kept", journal)
    drain.start()

    def mended() -> None:
        path.rmdir()
        away.rename(path)

    packets = _with_tokens()
    loop = Loop(fake_models(), [], {}, default=PLAIN, journal=journal)

    class Clocked(ListSource):
        def packets(self) -> Iterator[Packet | None]:
            for k, item in enumerate(packets):
                clock[0] = float(k)
                if k == 75:
                    assert not journal.durable and [r.levelname for r in caplog.records] == ["WARNING"]
                    mended()
                if k == 90:
                    assert journal.durable and not journal.failing
                if k == 120:
                    loop.stop()
                yield item

    loop.run(Clocked([], live=True))
    assert "the journal is written again" in caplog.text
    assert drain.close(5) == 0
    said = [(line.id[-10:], line.revision) for line in kept.lines if isinstance(line, Event)]
    assert sorted(said) == sorted([*STORY[:5], STORY[1]])  # the one that it had not got from the first run, too
    assert journal.counters.known_lines == 0
    journal.flush()
    journal.close()
    journal = Journal(tmp_path, "list:")
    token = int(journal.resume["XX.STA"], 16)
    assert 60 < token < 120  # of this run, not of the first
    _run(journal, token + 1, stop=False)
    assert journal.counters.lines == 1  # the rest, and nothing again


def test_a_folder_that_another_run_has_taken_meanwhile(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = [0.0]
    (tmp_path / database.FILE_NAME).mkdir()
    journal = Journal(tmp_path, "list:", now_s=lambda: clock[0])
    assert journal._locked is not None
    journal._locked.close()
    journal._locked = None  # as where the folder itself could not be made
    (tmp_path / database.FILE_NAME).rmdir()
    other = Journal(tmp_path, "list:")
    for _ in range(5):
        clock[0] += 11
        journal.flush()
    assert not journal.durable
    assert [r.levelname for r in caplog.records if "in use by another run" in r.message] == ["WARNING"]
    other.close()
    clock[0] += 11
    journal.flush()
    assert journal.durable
    journal.close()


def test_a_disk_that_is_full_for_a_while(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = iter(range(0, 10**9, 11))  # each look is beyond the next try
    journal = Journal(tmp_path, "list:", now_s=lambda: float(next(clock)))
    kept = Kept()
    drain = Drain(kept, "kept", journal)
    drain.start()
    journal.subscribe("nobody takes anything", lambda: None)
    assert journal._link is not None
    (pages,) = journal._link.execute("PRAGMA page_count").fetchone()
    journal._link.execute(f"PRAGMA max_page_count = {pages}")
    _run(journal, 0, 120)
    assert journal.failing and journal.counters.failures > 1
    assert [r.levelname for r in caplog.records if "cannot be written" in r.message] == ["WARNING"]
    _until(lambda: len(kept.lines) == 5)  # sinks get it all the same
    journal._link.execute("PRAGMA max_page_count = 100000")
    journal.flush()
    assert not journal.failing and "is written again" in caplog.text
    assert drain.close(5) == 0 and len(kept.lines) == 5
    journal.flush()
    journal.close()
    journal = Journal(tmp_path, "list:")
    assert journal.resume != {}
    _run(journal, int(journal.resume["XX.STA"], 16) + 1, stop=False)
    assert journal.counters.lines == 1  # the rest, and nothing again


def test_what_is_held_for_a_dead_disk_is_bounded(tmp_path: Path) -> None:
    journal = Journal(None, "list:")
    journal.subscribe("nobody takes anything", lambda: None)
    _run(journal, stop=False)
    line = journal.lines_after(0)[0].decoded()
    for _ in range(MAX_UNSAVED):
        journal.add(line)
    journal.flush()
    assert len(journal.lines_after(0, 10**6)) == MAX_UNSAVED
    assert journal.counters.dropped_lines == 6


def test_retention(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "list:", JournalConfig(keep_days=1e-9))
    journal.subscribe("nobody takes anything", lambda: None)
    _run(journal, stop=False)
    journal._next_tidy_s = 0.0
    journal.delivered("nobody takes anything", 1)
    journal.flush()
    assert journal.lines_after(0) == [] and journal.counters.dropped_lines == 5
    journal.close()
    journal = Journal(tmp_path, "another list:", JournalConfig(max_lines=100))
    journal.subscribe("nobody takes anything", lambda: None)
    _run(journal, stop=False)
    assert journal.counters.known_lines == 0  # forgotten: it was too long ago
    event = journal.lines_after(0)[0].decoded()
    assert isinstance(event, Event)
    for k in range(200):
        journal.add(msgspec.structs.replace(event, revision=100 + k))
    journal._next_tidy_s = 0.0
    journal.flush()
    assert len(journal.lines_after(0, 10**6)) == 100
    last = journal.lines_after(0, 10**6)[-1].decoded()
    assert content_of(last) == content_of(msgspec.structs.replace(event, revision=299))


def test_lines_that_all_sinks_have_leave_the_outbox(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "list:")
    for name in ("one", "two"):
        journal.subscribe(name, lambda: None)
    _run(journal, stop=False)
    journal.delivered("one", 6)
    journal.delivered("two", 4)
    journal.flush()
    assert [line.seq for line in journal.lines_after(0)] == [5, 6]
    assert journal.undelivered("two") == 2
    journal.close()
    journal = Journal(tmp_path, "list:")
    assert [journal.subscribe(name, lambda: None) for name in ("one", "two", "new")] == [6, 4, 6]


def _until(reached: Callable[[], bool]) -> None:
    """Other threads get there, or the test fails."""
    for _ in range(500):
        if reached():
            return
        time.sleep(0.01)
    raise AssertionError("not reached in 5 s")
