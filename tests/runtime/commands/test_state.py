"""`seisedge run --state` and `seisedge state show`."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from seisedge.cli import main
from seisedge.runtime.demo import RECORDING, STATIONS
from seisedge.runtime.replay import Digitizer


def _seisedge(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def _part(path: Path, records: int = 360) -> Path:
    path.write_bytes(RECORDING.read_bytes()[: 512 * records])
    return path


def test_a_run_and_what_it_remembers(tmp_path: Path) -> None:
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
    for word in ("PB.B918", "goes on after token", "sink standard output: 0 lines waiting", "revisions known"):
        assert word in readable.output


def test_files_twice(tmp_path: Path) -> None:
    part, state = _part(tmp_path / "part.mseed"), tmp_path / "state"
    first, again = (_seisedge("run", part, "--state", state) for _ in range(2))
    assert first.exit_code == again.exit_code == 0
    assert "tectonic" in first.stdout and again.stdout == ""
    assert "lines said in an earlier run: " in again.stderr and "earlier run" not in first.stderr
    assert "no station with a place in a stream" in _seisedge("state", "show", state).output


def test_what_cannot_be_shown_or_used(tmp_path: Path) -> None:
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
