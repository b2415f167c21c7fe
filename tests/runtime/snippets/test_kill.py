"""A run that is killed at any moment: each final event has one snippet with all records, or a stated reason."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.runtime.snippets.storing import STATION, part_of, records_in

from seisedge.runtime.demo import STATIONS
from seisedge.runtime.replay import Digitizer

SPEED = 120.0  # of the digitizer: the short recording takes two seconds
# The command, which kills itself at the nth write of a snippet's file: before the rename or after it.
KILLS_ITSELF = """
import os, signal, sys
from seisedge.cli import main
from seisedge.runtime.snippets import sink
write, left, after = sink.write_atomically, int(sys.argv[1]), sys.argv[2] == "after"
def killing(path, data, mode):
    global left
    left -= 1
    if left == 0 and not after:
        path.with_name(f".{path.name}.0123abcd.part").write_bytes(data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, data, mode)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
sink.write_atomically = killing
main(sys.argv[3:])
"""


def _station_file(folder: Path, archive: bool) -> Path:
    """The station's file, with the tables of this room."""
    text = (STATIONS / f"{STATION}.toml").read_text(encoding="utf-8")
    text += f'\n[trigger]\nkind = "onset"\n[snippets]\nfolder = "{folder / "snippets"}"\nmin_free_mb = 0\n'
    if archive:
        text += f'[archive]\nfolder = "{folder / "sds"}"\nmin_free_mb = 0\n'
    path = folder / "station.toml"
    path.write_text(text, encoding="utf-8")
    return path


def _finals(events: Path) -> dict[str, dict[str, object]]:
    lines = map(json.loads, events.read_text(encoding="utf-8").splitlines())
    return {line["id"]: line for line in lines if line["status"] == "final"}


def _run(station: Path, url: str, folder: Path, within_s: float, kill: tuple[int, str] | None = None) -> bool:
    """The command; True if it reached its end before it was killed. kill: itself, see KILLS_ITSELF."""
    start = ["-m", "seisedge.cli"] if kill is None else ["-c", KILLS_ITSELF, *map(str, kill)]
    command = [
        sys.executable, *start, "run", str(station), "--source", url, "--until-end",
        "--state", str(folder / "state"), "--events", str(folder / "events.jsonl"),
    ]  # fmt: skip
    # these kills come when a record completes a snippet: three of them would be blamed on that record, which is sound
    (folder / "state/in-progress").unlink(missing_ok=True)
    log = folder / "log"
    with log.open("ab") as output:
        output.write(f"--- killed: {kill}\n".encode())
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return False
    killed = kill is not None and process.returncode == -signal.SIGKILL
    assert process.returncode == 0 or killed, log.read_text(encoding="utf-8")
    return process.returncode == 0


def _kill_9(data: Path, tmp_path: Path, times: int, speed: float, *, archive: bool) -> tuple[int, int]:
    """Kill the command so often, in as many runs as that takes. Returns the events, and those with a reason."""
    rng = np.random.default_rng(times)
    killed = runs = events = reasons = 0
    whole = tmp_path / "whole"
    whole.mkdir()
    with Digitizer(data, speed=0.0) as digitizer:
        assert _run(_station_file(whole, archive), f"{digitizer.url}/PB_B918?from=earliest", whole, 300)
    expected = {path.name: records_in(path) for path in (whole / "snippets").rglob("*.mseed")}
    while killed < times:
        runs += 1
        folder = tmp_path / f"run{runs}"
        folder.mkdir()
        station = _station_file(folder, archive)
        with Digitizer(data, speed=speed) as digitizer:
            url, ended = f"{digitizer.url}/PB_B918?from=earliest", False
            while not ended:
                if killed >= times:
                    ended = _run(station, url, folder, 300)
                elif rng.random() < 0.5:
                    ended = _run(station, url, folder, float(rng.uniform(0.8, 4.0)))
                else:
                    nth = int(rng.integers(1, 12))
                    ended = _run(station, url, folder, 300, (nth, "after" if rng.random() < 0.5 else "before"))
                killed += not ended
        finals = _finals(folder / "events.jsonl")
        assert finals.keys() == _finals(whole / "events.jsonl").keys()
        reasons += _check(folder, finals, expected)
        if archive:
            archived = [record for path in (folder / "sds").rglob("*.D.*.*") for record in records_in(path)]
            assert sorted(archived) == sorted(records_in(data))  # each record once
        events += len(finals)
    assert len(expected) > 5
    return events, reasons


def _check(folder: Path, finals: dict[str, dict[str, object]], expected: dict[str, list[bytes]]) -> int:
    """Each event has its own line, and all its records or a reason. Returns the number of reasons."""
    files = {path.name: path for path in (folder / "snippets").rglob("*.*") if path.is_file()}
    reasons = 0
    for event_id, line in finals.items():
        assert json.loads(files[f"{event_id}.json"].read_bytes())["revision"] == line["revision"]
        name = f"{event_id}.mseed"
        if f"{event_id}.txt" in files:
            assert files[f"{event_id}.txt"].read_text(encoding="utf-8").count("\n") == 1
            reasons += 1
        else:
            lacking = [record for record in expected[name] if record not in records_in(files[name])]
            assert not lacking and len(records_in(files[name])) == len(expected[name]), _told(folder, name, lacking)
    names = {name for name in files if not name.startswith(".")}  # which is the rest of a killed write
    assert names <= {f"{event_id}{end}" for event_id in finals for end in (".mseed", ".json", ".txt")}
    return reasons


def _told(folder: Path, name: str, lacking: list[bytes]) -> str:
    """What a snippet lacks, and the log of all runs."""
    headers = [record[:20].decode("latin-1") for record in lacking]
    return f"{name}: lacks {headers}\n{(folder / 'log').read_text(encoding='utf-8')}"


def test_kill_9_leaves_each_event_one_snippet(tmp_path: Path) -> None:
    _, reasons = _kill_9(part_of(tmp_path), tmp_path, 8, SPEED, archive=True)
    assert reasons == 0


@pytest.mark.long
@pytest.mark.parametrize("archive", [True, False])
def test_kill_9_a_hundred_times_leaves_each_event_one_snippet(tmp_path: Path, archive: bool) -> None:
    """Together 200 times."""
    events, reasons = _kill_9(part_of(tmp_path, 1200), tmp_path, 100, 3 * SPEED, archive=archive)
    assert reasons == 0, f"{reasons} of {events} events"
