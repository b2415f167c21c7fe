"""File names that are not UTF-8: in every text that is printed, logged or stored."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seisedge.runtime.demo import RECORDING
from seisedge.runtime.inference.infer import bundled_model
from seisedge.runtime.paths import PRINTABLE, path_from_stored, stored_from_path, text_from_path
from seisedge.runtime.service.dead_letters import FILE_NAME

RECORD = 512
NAME = b"caf\xe9.mseed"
SHOWN = r"caf\xe9.mseed"


@pytest.fixture(autouse=True)
def _needs_such_names(tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9")).touch()
    except OSError:
        pytest.skip("this file system has no names that are not UTF-8")


def named(folder: Path, name: bytes, data: bytes) -> Path:
    path = folder / os.fsdecode(name)
    path.write_bytes(data)
    return path


def recording(folder: Path, records: int = 240) -> Path:
    return named(folder, NAME, RECORDING.read_bytes()[: RECORD * records])


def seisedge(*args: str | Path, encoding: str = "utf-8") -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "seisedge.cli", *map(str, args)]
    return subprocess.run(command, capture_output=True, check=False, env=environment)


def test_text_from_path() -> None:
    assert text_from_path(Path(os.fsdecode(b"/a/" + NAME))) == "/a/" + SHOWN
    assert text_from_path("/a/\u00e9\u65e5.mseed") == "/a/\u00e9\u65e5.mseed"
    assert text_from_path(text_from_path(os.fsdecode(NAME))) == SHOWN
    assert text_from_path("\ud800") == r"\ud800"


def test_a_terminal_escapes_what_it_cannot_show() -> None:
    text = os.fsdecode(NAME) + " \u00e9\u65e5"
    assert text.encode("utf-8", PRINTABLE) == SHOWN.encode() + " \u00e9\u65e5".encode()
    assert text.encode("latin-1", PRINTABLE) == SHOWN.encode() + b" \xe9\\u65e5"
    assert text.encode("ascii", PRINTABLE) == SHOWN.encode() + rb" \xe9\u65e5"


@pytest.mark.parametrize("name", [NAME, b"plain", b"a%20b\\xe9", b"100%\xff", "\u00e9".encode()])
def test_a_stored_path_is_found_again(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    stored = stored_from_path(path)
    assert stored.encode("utf-8")
    assert path_from_stored(stored) == path
    assert (stored == str(path)) == (name not in (NAME, b"100%\xff"))


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_run_writes_events_and_log(tmp_path: Path, encoding: str) -> None:
    path, events = recording(tmp_path), tmp_path / os.fsdecode(b"ev\xe9nts.jsonl")
    path.write_bytes(path.read_bytes()[:-100])  # the log names the file with the truncated tail
    done = seisedge("run", path, "--events", events, encoding=encoding)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stdout + done.stderr
    assert f"{SHOWN}: the last record is truncated after".encode() in done.stdout
    lines = [json.loads(line) for line in events.read_bytes().splitlines()]
    assert lines and {line["source"] for line in lines} == {str(tmp_path / SHOWN)}
    done = seisedge("run", path, "--json", encoding=encoding)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [line["id"] for line in lines]
    assert f"{SHOWN}: the last record is truncated after".encode() in done.stderr


def test_run_remembers(tmp_path: Path) -> None:
    path, state = recording(tmp_path), tmp_path / os.fsdecode(b"st\xe9te")
    data = bytearray(path.read_bytes())
    data[RECORD * 5 + 32 : RECORD * 5 + 36] = bytes(4)  # a rate of 0: a dead letter
    path.write_bytes(data)
    events = tmp_path / os.fsdecode(b"\xe9.jsonl")
    for _ in range(2):
        done = seisedge("run", path, "--state", state, "--events", events)
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stdout + done.stderr
    lines = [json.loads(line) for line in events.read_bytes().splitlines()]
    assert lines and len({(line["id"], line["revision"]) for line in lines}) == len(lines)
    letter = json.loads((state / FILE_NAME).read_text(encoding="utf-8").splitlines()[0])
    assert letter["source"] == str(tmp_path / SHOWN)
    shown = seisedge("state", "show", state, "--json")
    assert shown.returncode == 0, shown.stderr
    facts = json.loads(shown.stdout)
    assert facts["folder"] == str(tmp_path / r"st\xe9te")
    assert rf"jsonl {tmp_path.resolve()}/\xe9.jsonl" in {sink["name"] for sink in facts["sinks"]}
    assert seisedge("state", "show", state).returncode == 0


def test_a_followed_file_has_its_place_in_the_journal(tmp_path: Path) -> None:
    path, state = recording(tmp_path), tmp_path / "state"
    done = seisedge("run", "--source", f"file:{path}?follow=true", "--idle-exit", "0.5", "--state", state)
    assert done.returncode == 0, done.stderr
    facts = json.loads(seisedge("state", "show", state, "--json").stdout)
    assert {station["source"] for station in facts["stations"]} == {f"file:{tmp_path / SHOWN}?follow=true"}


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_errors_name_the_file(tmp_path: Path, encoding: str) -> None:
    empty = named(tmp_path, NAME, b"")
    for command in ("run", "replay"):
        done = seisedge(command, empty, encoding=encoding)
        assert done.returncode == 2
        assert f"Error: {tmp_path / SHOWN}: the file is empty".encode() in done.stderr
    done = seisedge("inspect", empty, encoding=encoding)
    assert done.returncode == 2
    assert f"Error: {tmp_path / SHOWN}: ".encode() in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_inspect_prints_the_name(tmp_path: Path, encoding: str) -> None:
    model = named(tmp_path, b"mod\xe8le.onnx", bundled_model("event_type").read_bytes())
    done = seisedge("inspect", model, encoding=encoding)
    assert done.returncode == 0, done.stderr
    assert rb"mod\xe8le.onnx" in done.stdout
    done = seisedge("inspect", model, "--json", encoding=encoding)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "event-type"


def test_replay_serves_it(tmp_path: Path) -> None:
    path = recording(tmp_path)
    command = [sys.executable, "-m", "seisedge.cli", "replay", str(path), "--listen", "127.0.0.1:0", "--speed", "0"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.terminate()
    assert b"240 records" in line or b"PB" in line, line
