"""`seisedge run --state` and `seisedge state show`."""

import json
from pathlib import Path

from click.testing import CliRunner, Result
from tests.runtime.sinks.receiver import Receiver, serving

from seisedge.cli import main
from seisedge.runtime.demo import RECORDING, STATIONS
from seisedge.runtime.replay import Digitizer


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
        station.write_text(f'{text}\n[sinks.webhook]\nurl = "{receiver.url}"\n', encoding="utf-8")
        result = _seisedge("run", station, _part(tmp_path / "part.mseed"), "--state", state, "--events", events)
    assert result.exit_code == 0, result.output
    lines = events.read_text(encoding="utf-8").splitlines()
    letters = [json.loads(line) for line in (state / "sink-dead-letters.jsonl").read_text().splitlines()]
    assert len(letters) == len(lines) == len(receiver.got) > 5
    assert [letter["line"]["id"] for letter in letters] == [json.loads(line)["id"] for line in lines]
    assert {(letter["status"], letter["answer"]) for letter in letters} == {(413, "too large")}
    assert f"lines refused by webhook {receiver.url}: {len(lines)}\n" in result.stderr
    assert f"these lines are in {state / 'sink-dead-letters.jsonl'}" in result.stderr
