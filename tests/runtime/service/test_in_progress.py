"""A record that ends the process while it is handled: the run after `MAX_ENDS` such ends passes over it."""

import base64
import json
import logging
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from seisedge.cli import main
from seisedge.runtime.demo import RECORDING, STATIONS
from seisedge.runtime.engines.onnxruntime import OnnxRuntimeEngine
from seisedge.runtime.event import CIRCUMSTANCES
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.service.dead_letters import FILE_NAME as DEAD_LETTERS
from seisedge.runtime.service.in_progress import FILE_NAME, MAX_DIGESTS, MAX_ENDS, InProgress

A, B = b"one record", b"another record"
REASON = f"{MAX_ENDS} earlier runs ended while they handled it"


def died_with(folder: Path, record: bytes) -> InProgress:
    """A run that ends while it handles `record`."""
    watch = InProgress(folder)
    assert watch.begin(record) is None
    return watch


def test_a_record_that_has_ended_three_runs_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert not died_with(tmp_path, A).suspicious
    assert died_with(tmp_path, A).suspicious
    assert caplog.messages[-1].endswith("it is handled again, and set aside after 3 such ends")
    assert died_with(tmp_path, A).suspicious
    caplog.clear()
    for _ in range(3):
        watch = InProgress(tmp_path)
        assert not watch.suspicious
        assert watch.begin(B) is None
        assert watch.begin(A) == watch.begin(A) == REASON
        assert watch.begin(B) is None
        watch.close()
    assert [message.partition(": ")[2] for message in caplog.messages] == [
        "the last run ended while it handled a record; the record will be set aside",
        *["a record is set aside because 3 runs ended while they handled it"] * 3,
    ]


def test_a_record_that_a_later_run_survives_is_forgotten(tmp_path: Path) -> None:
    died_with(tmp_path, A)
    watch = died_with(tmp_path, A)
    watch.end()
    assert not watch.suspicious
    died_with(tmp_path, A)  # counts as the first time
    assert InProgress(tmp_path).begin(A) is None


def test_a_run_that_ends_between_two_records_accuses_none(tmp_path: Path) -> None:
    for _ in range(3):
        died_with(tmp_path, A).end()
    for _ in range(3):
        died_with(tmp_path, A).close()
    watch = InProgress(tmp_path)
    assert watch.begin(A) is None and not watch.suspicious


def test_two_records_in_turn_are_not_refused(tmp_path: Path) -> None:
    for record in (A, B, A, B):
        died_with(tmp_path, record)
    watch = InProgress(tmp_path)
    assert watch.begin(A) is None and watch.begin(B) is None


def test_the_number_of_records_is_bounded(tmp_path: Path) -> None:
    for k in range(MAX_DIGESTS + 10):
        died_with(tmp_path, b"%d" % k)
    InProgress(tmp_path).close()
    assert len((tmp_path / FILE_NAME).read_bytes().splitlines()) == MAX_DIGESTS + 1


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 4096, b"x" * 32 + b"\nyy zz\n" + b"a" * 32 + b" -1\n", b"\xff" * 10**6]
)
def test_a_damaged_file_accuses_no_record(content: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    watch = InProgress(tmp_path)
    assert watch.begin(A) is None and not watch.suspicious
    assert died_with(tmp_path, A).suspicious


def test_a_disk_fault_is_logged_and_nothing_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    (tmp_path / FILE_NAME).mkdir()
    watch = InProgress(tmp_path)
    for _ in range(3):
        assert watch.begin(A) is None
        watch.end()
    watch.close()
    (message,) = caplog.messages
    assert message.endswith("Is a directory; a record that ends the run will not be recognised")


CHILD = """
import os, signal, sys
from seisedge.runtime.records import _libmseed

fatal, parse = bytes.fromhex(sys.argv.pop(1)), _libmseed.RecordParser.parse

def parse_or_die(self, record, *, with_samples):
    if record == fatal and with_samples:
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when no memory is left
    return parse(self, record, with_samples=with_samples)

_libmseed.RecordParser.parse = parse_or_die
from seisedge.cli import main
main()
"""


def contents(path: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return sorted(
        ({key: value for key, value in line.items() if key not in CIRCUMSTANCES} for line in lines),
        key=lambda line: (str(line["id"]), str(line["revision"])),
    )


@pytest.mark.parametrize(
    "kind", ["seedlink", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("datalink", "follow", "file"))]
)
def test_a_station_that_has_died_of_a_record_passes_it(kind: str, tmp_path: Path) -> None:
    part, fatal_at = RECORDING.read_bytes()[: 512 * 360], 300
    fatal = part[512 * fatal_at : 512 * (fatal_at + 1)]
    data, without = tmp_path / "data.mseed", tmp_path / "without.mseed"
    data.write_bytes(part)
    without.write_bytes(part.replace(fatal, b""))
    state = tmp_path / "state"

    def run(*arguments: str, fatal: bytes) -> subprocess.CompletedProcess[str]:
        stations = map(str, sorted(STATIONS.glob("*.toml")))
        command = [sys.executable, "-c", CHILD, fatal.hex(), "run", *stations, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def attempt(url: str) -> subprocess.CompletedProcess[str]:
        end = ["--idle-exit", "2"] if kind == "follow" else ["--until-end"]
        where = [str(data)] if kind == "file" else ["--source", url, *end]
        return run(*where, "--state", str(state), "--events", str(tmp_path / "events.jsonl"), fatal=fatal)

    with Digitizer([data], speed=0.0) as digitizer:
        url = f"file:{data}?follow=true"
        if kind in ("seedlink", "datalink"):
            url = f"{digitizer.url_for(kind)}/PB_B918,PB_B921?from=earliest"
        for _ in range(MAX_ENDS):
            assert attempt(url).returncode == -signal.SIGKILL
        last = attempt(url)
    assert last.returncode == 0, last.stdout + last.stderr
    assert "a record is set aside because 3 runs ended while they handled it" in last.stdout
    (letter,) = map(json.loads, (state / DEAD_LETTERS).read_text(encoding="utf-8").splitlines())
    assert (base64.b64decode(letter["record"]), letter["reason"]) == (fatal, REASON)
    assert run(str(without), "--events", str(tmp_path / "expected.jsonl"), fatal=b"").returncode == 0
    assert contents(tmp_path / "events.jsonl") == contents(tmp_path / "expected.jsonl")
    assert len(contents(tmp_path / "events.jsonl")) > 15


def test_the_batch_sizes_are_found_before_the_first_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They take 0.1 s, longer than a record, and a kill in that time would be blamed on the record in hand."""
    begun: list[str] = []
    begin, infer = InProgress.begin, OnnxRuntimeEngine._in_batches_of

    def noted_begin(self: InProgress, record: bytes) -> str | None:
        begun.append("record")
        return begin(self, record)

    def noted_infer(self: OnnxRuntimeEngine, size: int, *windows: Any) -> bytes | None:
        begun.append("trial")
        return infer(self, size, *windows)

    monkeypatch.setattr(InProgress, "begin", noted_begin)
    monkeypatch.setattr(OnnxRuntimeEngine, "_in_batches_of", noted_infer)
    data = tmp_path / "part.mseed"
    data.write_bytes(RECORDING.read_bytes()[: 512 * 600])
    with Digitizer([data], speed=0.0) as digitizer:
        source = f"{digitizer.url}/PB_B918,PB_B921?from=earliest"
        words = ["run", "--source", source, "--until-end", "--state", str(tmp_path / "state")]
        result = CliRunner().invoke(main, [*words, "--events", str(tmp_path / "events.jsonl")])
    assert result.exit_code == 0, result.output
    assert "trial" in begun and "trial" not in begun[begun.index("record") :]
