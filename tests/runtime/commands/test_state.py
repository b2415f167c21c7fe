"""`seisedge run --state` and `seisedge state show`."""

import json
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.runtime.sinks.receiver import Receiver, serving

from seisedge.cli import main
from seisedge.runtime.demo import RECORDING, STATIONS
from seisedge.runtime.journal.folder_lock import FolderLock
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.urls import url_key


def _seisedge(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def _part(path: Path, records: int = 360) -> Path:
    path.write_bytes(RECORDING.read_bytes()[: 512 * records])
    return path


def test_a_run_and_its_state(tmp_path: Path) -> None:
    state, events = tmp_path / "state", tmp_path / "events.jsonl"
    with Digitizer([_part(tmp_path / "part.mseed")], speed=0.0) as digitizer:
        command = [
            "run", *STATIONS.glob("*.toml"), "--source", f"{digitizer.url}/PB_B918,PB_B921",
            "--until-end", "--state", state, "--events", events, "--json",
        ]  # fmt: skip
        first = _seisedge(*command)
        lines = events.read_bytes()
        again = _seisedge(*command)
    assert first.exit_code == again.exit_code == 0, first.output
    assert first.stdout_bytes == lines and lines.count(b"\n") > 15
    assert again.stdout_bytes == b"" and events.read_bytes() == lines

    result = _seisedge("state", "show", state, "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.output)
    assert [s["station"] for s in facts["stations"]] == ["PB.B918", "PB.B921"]
    assert facts["known_revisions"] == lines.count(b"\n") and facts["outbox_lines"] == 0
    assert {sink["waiting"] for sink in facts["sinks"]} == {0}
    for station in facts["stations"]:
        assert station["token"] and station["counters"]["events"] > 1
        assert station["token_time"] > "2019-07-07T08:17:00" and station["open_events"] == []
    readable = _seisedge("state", "show", state)
    assert readable.exit_code == 0, readable.output
    for word in ("PB.B918", "resumes after token", "sink standard output: 0 lines waiting", "revisions stored"):
        assert word in readable.output


def test_events_that_were_closed_are_not_listed_as_open(tmp_path: Path) -> None:
    """After --idle-exit: the state was stored a second after the last packet, and the events were closed later."""
    state, events = tmp_path / "state", tmp_path / "events.jsonl"
    with Digitizer([_part(tmp_path / "part.mseed", 240)], speed=0.0) as digitizer:
        command = ["run", "--source", f"{digitizer.url}/PB_B918,PB_B921?from=earliest", "--state", state, "--json"]
        done = _seisedge(*command, "--idle-exit", 2.5, "--events", events)
    assert done.exit_code == 0, done.output
    last = {line["id"]: line["status"] for line in map(json.loads, events.read_text(encoding="utf-8").splitlines())}
    assert set(last.values()) == {"final"}
    facts = json.loads(_seisedge("state", "show", state, "--json").output)
    assert [station["open_events"] for station in facts["stations"]] == [[], []]


def test_a_state_that_moves_to_another_machine(tmp_path: Path) -> None:
    """Exported while a run holds the folder; the run that resumes from the copy repeats nothing and loses nothing."""
    whole, first, second = tmp_path / "whole.jsonl", tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    old, new, copy = tmp_path / "old", tmp_path / "new", tmp_path / "B918.state"
    long, part = _part(tmp_path / "long.mseed"), _part(tmp_path / "part.mseed", 240)
    with Digitizer([long], speed=0.0) as digitizer:
        url = f"{digitizer.url}/PB_B918,PB_B921"
        command = ["run", *STATIONS.glob("*.toml"), "--until-end", "--json"]
        assert _seisedge(*command, "--source", url, "--events", whole).exit_code == 0
        port = int(digitizer.url.rpartition(":")[2])
    with Digitizer([part], listen=("127.0.0.1", port), speed=0.0):
        assert _seisedge(*command, "--source", url, "--state", old, "--events", first).exit_code == 0
    with closing(FolderLock(old)):  # as of a run
        exported = _seisedge("state", "export", old, copy)
        assert exported.exit_code == 0, exported.output
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    again = _seisedge("state", "export", old, copy)
    assert again.exit_code == 2 and "already exists" in again.output
    assert _seisedge("state", "import", copy, new).exit_code == 0
    facts = [json.loads(_seisedge("state", "show", folder, "--json").output) for folder in (old, new)]
    assert facts[0] | {"folder": ""} == facts[1] | {"folder": ""}
    with Digitizer([long], listen=("127.0.0.1", port), speed=0.0):
        assert _seisedge(*command, "--source", url, "--state", new, "--events", second).exit_code == 0
    ids = [[(x["id"], x["revision"]) for x in map(json.loads, p.read_text().splitlines())] for p in (first, second)]
    assert ids[0] and ids[1] and not set(ids[0]) & set(ids[1])
    expected = {x["id"] for x in map(json.loads, whole.read_text().splitlines())}
    assert {one for one, _ in ids[0] + ids[1]} == expected


def test_an_import_that_is_refused(tmp_path: Path) -> None:
    state, copy, text = tmp_path / "state", tmp_path / "copy", tmp_path / "text"
    assert _seisedge("run", _part(tmp_path / "part.mseed", 60), "--state", state, "--json").exit_code == 0
    assert _seisedge("state", "export", state, copy).exit_code == 0
    text.write_text("Dear diary", encoding="utf-8")
    newer = tmp_path / "newer"
    newer.write_bytes(copy.read_bytes())
    with sqlite3.connect(newer) as link:
        link.execute("PRAGMA user_version = 99")
    link.close()
    cases = (
        (text, tmp_path / "new", "this is no copy of a journal, or it is damaged"),
        (tmp_path / "none", tmp_path / "new", "no such file"),
        (newer, tmp_path / "new", "made by a newer seisedge (journal schema 99"),
        (copy, state, "there is a journal already"),
    )
    for source, folder, reason in cases:
        result = _seisedge("state", "import", source, folder)
        assert result.exit_code == 2 and reason in result.output, result.output
    with closing(FolderLock(tmp_path / "used")):
        result = _seisedge("state", "import", copy, tmp_path / "used")
        assert result.exit_code == 2 and "in use by another run" in result.output
    result = _seisedge("state", "export", tmp_path / "nowhere", tmp_path / "x")
    assert result.exit_code == 2 and "no journal there" in result.output and not (tmp_path / "x").exists()


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    """One damaged station does not hide the others."""
    state = tmp_path / "state"
    with Digitizer([_part(tmp_path / "part.mseed")], speed=0.0) as digitizer:
        url = f"{digitizer.url}/PB_B918,PB_B921"
        assert _seisedge("run", "--source", url, "--until-end", "--state", state, "--json").exit_code == 0
    for column, value in (("back", "{"), ("back", "{}"), ("back", "[" * 3000), ("token_ns", "x"), ("updated_ns", "")):
        with sqlite3.connect(state / "journal.sqlite") as link:
            before = link.execute(
                "SELECT back, token_ns, updated_ns FROM stations WHERE station = 'PB.B918'"
            ).fetchone()
            link.execute(f"UPDATE stations SET {column} = ? WHERE station = 'PB.B918'", (value,))
        shown = _seisedge("state", "show", state)
        assert shown.exit_code == 0 and "the stored state is damaged" in shown.output, shown.output
        assert "resumes after token" in shown.output.partition("PB.B921")[2]
        facts = json.loads(_seisedge("state", "show", state, "--json").output)
        assert ["damaged" in station for station in facts["stations"]] == [True, False]
        with sqlite3.connect(state / "journal.sqlite") as link:
            link.execute(
                "UPDATE stations SET (back, token_ns, updated_ns) = (?, ?, ?) WHERE station = 'PB.B918'", before
            )


def test_files_twice(tmp_path: Path) -> None:
    part, state = _part(tmp_path / "part.mseed"), tmp_path / "state"
    first, again = (_seisedge("run", part, "--state", state) for _ in range(2))
    assert first.exit_code == again.exit_code == 0
    assert "tectonic" in first.stdout and again.stdout == ""
    assert "lines already emitted by an earlier run: " in again.stderr and "earlier run" not in first.stderr
    assert "no station with a stored position" in _seisedge("state", "show", state).output


def test_unusable_state_folders(tmp_path: Path) -> None:
    result = _seisedge("state", "show", tmp_path)
    assert result.exit_code == 2 and "no journal there" in result.stderr
    (tmp_path / "journal.sqlite").write_bytes(b"x" * 10000)
    result = _seisedge("state", "show", tmp_path)
    assert result.exit_code == 2 and "cannot be read" in result.stderr
    result = _seisedge("run", RECORDING, "--state", tmp_path / "journal.sqlite")
    assert result.exit_code == 2 and "cannot be the state folder" in result.stderr
    two = [tmp_path / f"{code}.toml" for code in ("AAA", "BBB")]
    for path in two:
        text = f'state = "{path.stem}"\n[station]\nnetwork = "XX"\nstation = "{path.stem}"\n'
        path.write_text(text, encoding="utf-8")
    result = _seisedge("run", *two, RECORDING)
    assert result.exit_code == 2 and "name 2 state folders" in result.stderr


def test_sinks_of_the_station_file(tmp_path: Path) -> None:
    """Two stations that name the same file share it; a folder of QuakeML is one station's; with and without a state."""
    part = _part(tmp_path / "part.mseed")
    files = []
    for path in STATIONS.glob("*.toml"):
        text = path.read_text(encoding="utf-8") + f'\n[sinks.jsonl]\npath = "{tmp_path / "shared.jsonl"}"\n'
        if "B918" in path.name:
            text += f'[sinks.quakeml]\nfolder = "{tmp_path / "quakeml"}"\n'
        files.append(tmp_path / path.name)
        files[-1].write_text(text, encoding="utf-8")
    direct = tmp_path / "direct.jsonl"
    assert _seisedge("run", *files, part, "--events", direct).exit_code == 0
    lines = direct.read_bytes()
    assert (tmp_path / "shared.jsonl").read_bytes() == lines
    ids = {json.loads(line)["id"] for line in lines.splitlines()}
    documents = {path.stem for path in (tmp_path / "quakeml").rglob("*.xml")}
    assert documents == {name for name in ids if name.startswith("PB.B918")} != set()
    assert _seisedge("run", *files, part, "--state", tmp_path / "state").exit_code == 0
    assert (tmp_path / "shared.jsonl").read_bytes() == lines  # it already has these
    sinks = json.loads(_seisedge("state", "show", tmp_path / "state", "--json").output)["sinks"]
    assert [sink["name"].partition(" ")[0] for sink in sinks] == ["jsonl", "quakeml", "standard"]


def test_a_webhook_that_refuses_every_line(tmp_path: Path) -> None:
    """No line is lost without a trace: they are in a file, and the summary has their number."""
    station, state, events = tmp_path / "station.toml", tmp_path / "state", tmp_path / "events.jsonl"
    with serving(Receiver()) as receiver:
        receiver.codes, receiver.body = [413] * 1000, b"too large"
        text = (STATIONS / "PB.B918.toml").read_text(encoding="utf-8")
        sink = f'[sinks.webhook]\nurl = "{receiver.url}"\nstatus = ["new", "update", "final"]\n'
        station.write_text(f"{text}\n{sink}", encoding="utf-8")
        result = _seisedge("run", station, _part(tmp_path / "part.mseed"), "--state", state, "--events", events)
    assert result.exit_code == 0, result.output
    lines = events.read_text(encoding="utf-8").splitlines()
    letters = [json.loads(line) for line in (state / "sink-dead-letters.jsonl").read_text().splitlines()]
    assert len(letters) == len(lines) == len(receiver.got) > 5
    assert [letter["line"]["id"] for letter in letters] == [json.loads(line)["id"] for line in lines]
    assert {(letter["status"], letter["answer"]) for letter in letters} == {(413, "too large")}
    assert f"lines refused by webhook {url_key(receiver.url)}: {len(lines)}\n" in result.stderr
    assert f"these lines are in {state / 'sink-dead-letters.jsonl'}" in result.stderr


@pytest.mark.parametrize("umask", [0o022, 0o077])
@pytest.mark.parametrize(("file_mode", "folder_mode"), [(None, "0700"), ("0640", "0750")])
def test_rights_of_everything_that_a_run_creates(
    tmp_path: Path, umask: int, file_mode: str | None, folder_mode: str
) -> None:
    """By default only the owner can read events, whatever the umask."""
    made, part = tmp_path / "made", tmp_path / "part.mseed"
    data = _part(part).read_bytes()
    part.write_bytes(data[:32] + bytes(4) + data[36:])  # a record of rate 0, for a dead letter
    made.mkdir(mode=0o755)
    setting = "" if file_mode is None else f'file_mode = "{file_mode}"\n'
    station = tmp_path / "station.toml"
    with serving(Receiver()) as receiver:
        receiver.codes = [400]  # and a dead letter of a sink
        station.write_text(
            f"{(STATIONS / 'PB.B918.toml').read_text(encoding='utf-8')}\n[journal]\n{setting}"
            f'[sinks.jsonl]\npath = "{made / "lines.jsonl"}"\nmax_mb = 0.01\n{setting}'
            f'[sinks.quakeml]\nfolder = "{made / "deep" / "quakeml"}"\n{setting}'
            f'[sinks.webhook]\nurl = "{receiver.url}"\n',
            encoding="utf-8",
        )
        before = os.umask(umask)
        try:
            for where in (
                ("--state", made / "deep" / "state", "--events", made / "a.jsonl"),
                ("--events", made / "b.jsonl"),
            ):
                result = _seisedge("run", station, part, *where)
                assert result.exit_code == 0, result.output
        finally:
            os.umask(before)
    files = [path for path in made.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {int(file_mode or "0600", 8)}
    names = {path.name for path in files}
    assert names >= {
        "a.jsonl", "b.jsonl", "lines.jsonl", "lines.jsonl.1", "journal.sqlite", "lock", "dead-letters.jsonl",
        "sink-dead-letters.jsonl",
    }  # fmt: skip
    assert any(name.endswith(".xml") for name in names)
    folders = [path for path in made.rglob("*") if path.is_dir()]
    assert len(folders) == 4 and {stat.S_IMODE(path.stat().st_mode) for path in folders} == {int(folder_mode, 8)}
    assert stat.S_IMODE(made.stat().st_mode) == 0o755  # it existed


def test_an_existing_file_keeps_its_rights(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    events.touch(mode=0o644)
    events.chmod(0o644)
    assert _seisedge("run", _part(tmp_path / "part.mseed"), "--events", events).exit_code == 0
    assert events.stat().st_size > 10_000 and stat.S_IMODE(events.stat().st_mode) == 0o644


@pytest.mark.parametrize("file_mode", ["0777", "600", "0400", "rw"])
def test_unusable_rights(tmp_path: Path, file_mode: str) -> None:
    station = tmp_path / "station.toml"
    text = (STATIONS / "PB.B918.toml").read_text(encoding="utf-8")
    station.write_text(f'{text}\n[journal]\nfile_mode = "{file_mode}"\n', encoding="utf-8")
    result = _seisedge("run", station, RECORDING)
    assert result.exit_code == 2 and "journal.file_mode" in result.stderr
